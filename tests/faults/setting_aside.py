"""A small life of messages that a broker does not take, ended by SIGKILL at the n-th step of its store, and the life after it.

    python tests/faults/setting_aside.py FOLDER

For n = 1, 2, … up to a life that was not ended: a process lives and dies in a folder of its own, and another one lives on there. One
line of JSON for each n: {"n", "ended", "kept": places that were said to be durable, "got": [place, body] as the broker took them, in
both lives, "gone": messages that the second life did not find, "aside": what still waits at its end}. Steps begin behind the first
messages: each change of a place in memory, each record of the commit log before and after it is written, each statement that writes
messages or places to the tables, and each end of a transaction.

A test entry point, because no hook for tests belongs into what people install. Processes are forked, from one that has no threads.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import structlog

from gateway.app.rooms import Outbox
from gateway.store import connection
from gateway.store.commit_log import CommitLog
from gateway.store.departures import Departures as Places
from gateway.store.rows import JournalRow, Part, PendingMessage
from gateway.store.store import Store
from gateway.uplink.departures import Departures, Kind

LANE, LAST, REFUSED = "critical", 6, {2, 4}
_WRITES = re.compile(r"COMMIT|(INSERT|DELETE)[^(]* (outbox|cursors)\b")


class Fuse:
    """Counts steps; the n-th is the last."""

    def __init__(self, steps: int) -> None:
        self.left, self.lit = steps, False

    def burn(self) -> None:
        if self.lit:
            self.left -= 1
            if self.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


def build_in(fuse: Fuse) -> None:
    """Make each step burn the fuse."""

    def around(owner: type, name: str, *, before: bool = False) -> None:
        real = getattr(owner, name)

        def wrapped(*arguments: Any) -> Any:
            if before:
                fuse.burn()
            result = real(*arguments)
            fuse.burn()
            return result

        setattr(owner, name, wrapped)

    for name in ("set_aside", "settle", "advance"):
        around(Places, name)
    around(CommitLog, "append", before=True)
    dial = connection.dial

    def traced(path: Path) -> sqlite3.Connection:
        dialled = dial(path)
        dialled.set_trace_callback(lambda statement: fuse.burn() if _WRITES.match(statement) else None)
        return dialled

    connection.dial = traced


class Life:
    """A store, one uplink, and a broker that says what it takes on descriptor ``out``."""

    def __init__(self, folder: Path, out: int) -> None:
        self.store = Store(folder)
        self.leaving = Departures("city", Outbox(self.store), lambda: b"", dict)
        self._out = out

    def say(self, **said: object) -> None:
        os.write(self._out, json.dumps(said).encode() + b"\n")

    async def put(self, n: int) -> None:
        message = PendingMessage(LANE, n, f"a{n}/1", "alerts", f"a{n}", lambda _: b"%d" % n)
        part = Part((JournalRow(n, f"r.{n}", "press", b""),), messages=(message,), urgent=True)
        if await self.store.put(part):
            self.say(kept=n)

    async def session(self, until: Callable[[], bool], refused: frozenset[int] | set[int] = frozenset()) -> None:
        """One session with a broker that refuses these by name, until so much is done."""
        self.leaving.restart()
        for _ in range(1_000):
            while (parcel := await self.leaving.next()) is not None:
                if parcel.sequence in refused:
                    self.leaving.refused(parcel)
                    continue
                if parcel.kind is Kind.ALERT:
                    self.say(got=[parcel.sequence, parcel.body.decode()])
                self.leaving.arrived(parcel)
            await self.leaving.save()
            if until():
                break
            await asyncio.sleep(0.005)
        self.leaving.lost()

    @property
    def cursor(self) -> int:
        return self.store._departures.cursors.get(("city", LANE), 0)

    @property
    def has_nothing_left(self) -> bool:
        lane = self.leaving._lanes[LANE]
        return lane.dry and not lane.ready and self.leaving._retrial._is_read and not self.leaving.left_out

    async def tidy(self) -> None:
        await self.store.aside("city")  # what moved is told to the database, as by any job
        await self.store.tidying._tidy()


async def live(life: Life, fuse: Fuse) -> None:
    """Some are refused, the others pass them; then they come, and what was had is tidied away."""
    await life.store.start()
    await life.store.add_uplink("city")
    for n in range(1, LAST):
        await life.put(n)
    fuse.lit = True
    await life.session(lambda: life.cursor == LAST - 1, REFUSED)
    await life.tidy()
    await life.put(LAST)  # and on its commit rides how far they are
    await life.session(lambda: life.cursor == LAST and not life.leaving.left_out)
    await life.tidy()
    await life.put(LAST + 1)
    await life.session(lambda: life.cursor == LAST + 1)
    await life.store.stop()


async def live_on(life: Life) -> None:
    await life.store.start()
    await life.store.add_uplink("city")
    await life.session(lambda: life.has_nothing_left)
    await life.tidy()
    aside = await life.store.aside("city")
    life.say(gone=life.leaving.counts["alert_gone"], aside=aside)
    await life.store.stop()


def forked(do: Callable[[int], None]) -> tuple[bool, list[dict[str, Any]]]:
    """Whether a process that does so ended by itself, and what it said."""
    here, there = os.pipe()
    if not (child := os.fork()):
        os.close(here)
        do(there)
        os._exit(0)
    os.close(there)
    with os.fdopen(here, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return os.WIFEXITED(status), [json.loads(line) for line in said[: said.rfind(b"\n") + 1].splitlines()]


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    base = Path(sys.argv[1])
    for n in count(1):
        folder = base / str(n)

        def first(out: int, folder: Path = folder, n: int = n) -> None:
            fuse = Fuse(n)
            build_in(fuse)
            asyncio.run(live(Life(folder, out), fuse))

        def second(out: int, folder: Path = folder) -> None:
            asyncio.run(live_on(Life(folder, out)))

        ended, said = forked(first)
        _, later = forked(second)
        every = said + later
        print(
            json.dumps(
                {
                    "n": n,
                    "ended": ended,
                    "kept": [one["kept"] for one in every if "kept" in one],
                    "got": [one["got"] for one in every if "got" in one],
                    "gone": next((one["gone"] for one in later if "gone" in one), None),
                    "aside": next((one["aside"] for one in later if "aside" in one), None),
                }
            ),
            flush=True,
        )
        if ended:
            return


if __name__ == "__main__":
    main()
