"""How long a start lets a danger wait, whatever its store looks like: from exec to the first answer that was read on the line.

The danger is there before the daemon. The store is empty; a year's, of tens of thousands of alerts; the same damaged in
what is past, and in what the core begins with, so that it is rebuilt before; and the same on a disk that takes its time over every read and every flush (strace stops them on their way into the
kernel). Files lie on the disk and in no cache.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.figures import Figure, median
from bench.rig import Daemon, Ear, Helper, broker, is_alert
from bench.tcp import QUIET_MS, write_site
from gateway.sim.ports import free_port
from gateway.store.database import NAME, Database
from gateway.store.rows import Batch, HistoryRow, JournalRow, StateRow

ALERTS, STEPS = 30_000, 4
BODY = 900
"""Bytes of a step that no compression makes smaller: what the store has in it is what the disk must give."""
READ_MS, FLUSH_MS = 5, 2_000
_PAGE = 4_096
_AT_ONCE = 500
_SPOILT = 64
_OPEN = "bench"
"""A kind of row that is loaded, and that no core knows."""
_SLOW = (
    "strace", "-f", "--seccomp-bpf", "-qq", "-o", os.devnull,
    "-e", "trace=pread64,fsync,fdatasync",
    "-e", f"inject=pread64:delay_enter={READ_MS}ms",
    "-e", f"inject=fsync,fdatasync:delay_enter={FLUSH_MS}ms",
)  # fmt: skip


def measure(*, quick: bool) -> Iterator[Figure]:
    """One figure for each store, beside the empty one's."""
    with tempfile.TemporaryDirectory(prefix="loudong-bench-") as name:
        year = Path(name) / "year"
        _live_a_year(year, ALERTS // 10 if quick else ALERTS)
        size = sum(path.stat().st_size for path in year.iterdir()) / 1e6
        trials = 1 if quick else 5
        empty = _starts(Path(name), None, trials)
        yield _figure("empty", empty, empty, "no file in the state folder")
        for kind, damage, wrap, what in (
            ("large", _leave, (), f"{size:.0f} MB, {ALERTS:,} closed alerts"),
            ("corrupt_past", _spoil_past, (), f"the same, {_SPOILT} pages of histories zeroed"),
            ("corrupt_state", _spoil_state, (), "the same, two pages zeroed of what is loaded: rebuilt first"),
            ("slow_disk", _leave, _SLOW, f"the same, {READ_MS} ms for each read and {FLUSH_MS / 1000:.0f} s for each flush"),
        ):  # fmt: skip
            found = _starts(Path(name), (year, damage), trials, wrap)
            yield _figure(kind, found, empty, what)


def _figure(kind: str, found: list[tuple[float, float]], empty: list[tuple[float, float]], what: str) -> Figure:
    first, alert = (median([one[n] for one in found]) for n in (0, 1))
    worst = max(one[0] for one in found)
    return Figure(
        f"first_poll_ms/{kind}", first, "ms", None, median([one[0] for one in empty]), "the same with an empty store",
        note=f"{what}; longest of {len(found)} {worst:.0f} ms; to the alert at the receiver {alert:.0f} ms",
    )  # fmt: skip


def _starts(
    folder: Path, store: tuple[Path, Callable[[Path], None]] | None, trials: int, wrap: tuple[str, ...] = ()
) -> list[tuple[float, float]]:
    """Milliseconds from exec to the first answer, and to the alert at the receiver, of each trial."""
    found = []
    for trial in range(trials):
        life = folder / f"life-{trial}"
        life.mkdir()
        if store is not None:
            shutil.copytree(store[0], life / "state")
            store[1](life / "state")
            _leave_no_cache(life / "state")
        found.append(asyncio.run(_start(life, wrap)))
        shutil.rmtree(life)
    return found


async def _start(folder: Path, wrap: tuple[str, ...]) -> tuple[float, float]:
    tcp_port = free_port()
    async with broker() as mqtt, Helper("-m", "bench.workload", str(tcp_port)) as world, Ear(mqtt.port) as ear:
        site = write_site(folder, tcp_port, mqtt.port, QUIET_MS, "alarm")
        world.tell("set 1 900")
        async with Daemon(site, folder / "state", wrapped_in=wrap) as daemon:
            left = float((await world.hear()).split()[2])
            _, arrived = await ear.until(is_alert("bench", "u1"))
        return 1000 * (left - daemon.started_at), 1000 * (arrived - daemon.started_at)


# Stores ------------------------------------------------------------------------------------------------------------------


def _live_a_year(folder: Path, alerts: int) -> None:
    dice = random.Random(7)
    database = Database.open(folder)
    for first in range(0, alerts, _AT_ONCE):
        names = [f"{n:016x}" for n in range(first, first + _AT_ONCE)]
        database.commit(
            Batch(
                journal=tuple(JournalRow(n, f"r.{n}", "press", dice.randbytes(BODY)) for n in range(first, first + _AT_ONCE)),
                state=tuple(StateRow("closed", name, dice.randbytes(BODY)) for name in names),
                history=tuple(
                    HistoryRow(name, step + 1, "told", first, None, "", dice.randbytes(BODY))
                    for name in names
                    for step in range(STEPS)
                ),
            )
        )  # fmt: skip
    database.commit(Batch(state=tuple(StateRow(_OPEN, f"{n:04}", dice.randbytes(BODY)) for n in range(_AT_ONCE))))
    database.close()
    (folder / "pseudonym.key").write_bytes(dice.randbytes(32))  # made at the first run, which this is not


def _leave(_state: Path) -> None:
    """Sound."""


def _spoil_past(state: Path) -> None:
    """Pages with steps of alerts in the middle of the year."""
    _zero(state, f"{ALERTS // 20:016x}"[:-2].encode(), _SPOILT)


def _spoil_state(state: Path) -> None:
    _zero(state, f"{_OPEN}02".encode(), 2)


def _zero(state: Path, sign: bytes, pages: int) -> None:
    content = (state / NAME).read_bytes()
    holding = [at for at in range(0, len(content), _PAGE) if sign in content[at : at + _PAGE]][:pages]
    assert len(holding) == pages, len(holding)
    with (state / NAME).open("r+b") as file:
        for at in holding:
            file.seek(at)
            file.write(bytes(_PAGE))


def _leave_no_cache(state: Path) -> None:
    for path in state.iterdir():
        with path.open("r+b") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
