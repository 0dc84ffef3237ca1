"""The real daemon with a crash built in: ends itself with SIGKILL at the n-th passage of a named place.

    python tests/faults/crashing.py PLACE RULE N SITE --state DIR

Places follow the order of deeds (design, decision 4). Everything else is the shipped code, run as ``loudong run`` runs it;
a test entry point, because no hook for tests belongs into what people install.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.actions import Publish
from gateway.actuators.outputs import OutputReconciler
from gateway.app import rooms
from gateway.app.inbox import Inbox
from gateway.app.logs import set_up_logging
from gateway.app.running import run
from gateway.drivers.modbus.poller import BusPoller
from gateway.drivers.modbus.writing import Writing
from gateway.store import access
from gateway.store.database import Database
from gateway.uplink.answering import Answering
from gateway.uplink.departures import Departures, Kind
from gateway.uplink.mqtt import MqttUplink


class Fuse:
    """Counts passages; the n-th is the last."""

    def __init__(self, passages: int) -> None:
        self._left = passages

    def pass_(self, *, relevant: bool) -> None:
        if not relevant:
            return
        self._left -= 1
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def before(owner: type, name: str, fuse: Fuse, relevant: Callable[..., bool]) -> None:
    """Burn the fuse when the function is called."""
    real = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        fuse.pass_(relevant=relevant(*arguments, **named))
        return real(*arguments, **named)

    setattr(owner, name, wrapped)


def after(owner: type, name: str, fuse: Fuse, relevant: Callable[..., bool]) -> None:
    """Burn the fuse when the function has done its work, before its caller learns of it."""
    real = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        result = real(*arguments, **named)
        fuse.pass_(relevant=relevant(*arguments, **named))
        return result

    setattr(owner, name, wrapped)


def after_awaited(owner: type, name: str, fuse: Fuse, relevant: Callable[..., bool]) -> None:
    """The same for a coroutine function."""
    real = getattr(owner, name)

    async def wrapped(*arguments: Any, **named: Any) -> Any:
        result = await real(*arguments, **named)
        fuse.pass_(relevant=relevant(*arguments, **named))
        return result

    setattr(owner, name, wrapped)


def build_in(place: str, rule: str, fuse: Fuse) -> None:
    """Build the crash in. ``rule``: only what concerns alerts of this rule counts (not at the relay); empty: of any."""
    mark = f'"rule":"{rule}"'.encode() if rule else b'"rule":"'

    def handled(_inbox: Inbox, outcome: Any, *_rest: Any) -> bool:
        return any(isinstance(a, Publish) and rule in {a.change.alert.rule, ""} for a in outcome.actions)

    def in_batch(_database: Database, batch: Any) -> bool:
        return any(mark in message.body for message in batch.messages)

    def is_alert(parcel: Any) -> bool:
        return parcel.kind is Kind.ALERT and mark in parcel.body

    waited_for: set[tuple[str, int]] = set()

    def remember(_departures: Departures, parcel: Any) -> bool:
        if is_alert(parcel):
            waited_for.add((parcel.lane, parcel.sequence))
        return False

    def passes(_outbox: Any, _uplink: str, lane: str, sequence: int) -> bool:
        return any((lane, one) in waited_for for one in range(1, sequence + 1))

    def valve(_writing: Writing, job: Any, spec: Any) -> bool:
        return bool((job.member.id, spec.name) == ("relay-1", "relay1"))

    match place:
        case "handled":  # the core has decided; nothing is on disk
            before(Inbox, "_keep", fuse, handled)
        case "wanted":  # the outputs know what they should be; nothing was written anywhere
            after(OutputReconciler, "want", fuse, lambda *_: True)
        case "committed":  # it is on disk; nobody was told
            after(Database, "commit", fuse, in_batch)
        case "sent":  # given to the socket; whether it left is open
            after(MqttUplink, "_depart", fuse, lambda _uplink, _session, parcel: is_alert(parcel))
        case "puback":  # the broker has it and said so; we have not looked
            before(MqttUplink, "_arrive", fuse, lambda _uplink, _session, parcel, _answer: is_alert(parcel))
        case "arrived":  # we have looked; the cursor has not moved
            after(Departures, "arrived", fuse, lambda _departures, parcel: is_alert(parcel))
        case "advanced":  # the cursor has moved, in memory only
            before(Departures, "arrived", fuse, remember)
            after_awaited(rooms.Outbox, "advance", fuse, passes)
        case "written":  # the relay board has confirmed; nobody has read it back
            after_awaited(Writing, "_write", fuse, valve)
        case "command":  # a command is on disk; the one who gave it was not answered
            before(Answering, "_deliver", fuse, lambda *_: True)
        case "hushed":  # the answer is on disk; the siren has not been switched off yet
            _hold_up(lambda point, on: point == "relay2" and not on)
            before(Answering, "_deliver", fuse, lambda *_: True)
        case "migrating":  # between two statements of the migration
            _between_statements(fuse)
        case "counted":  # this run has its name; nothing was read
            after(Database, "next_run", fuse, lambda *_: True)
        case "loaded":  # what was known is read; nobody lives yet
            after(Database, "load", fuse, lambda *_: True)
        case _:
            sys.exit(f"no such place: {place}")


def _hold_up(which: Callable[[str, bool], bool]) -> None:
    """A write of this kind waits for its turn on the bus, and does not live to see it."""
    real = BusPoller.write

    async def write(poller: BusPoller, device: str, point: str, on: bool, written: Callable[[], None]) -> None:
        if which(point, on):
            await asyncio.Event().wait()
        await real(poller, device, point, on, written)

    BusPoller.write = write  # type: ignore[method-assign]


def _between_statements(fuse: Fuse) -> None:
    """Each statement of a migration is a passage, before it is carried out."""
    real = access.migrate

    def migrate(connection: sqlite3.Connection, schemas: dict[int, str]) -> tuple[int, int]:
        connection.set_trace_callback(lambda _: fuse.pass_(relevant=True))
        try:
            return real(connection, schemas)
        finally:
            connection.set_trace_callback(None)

    access.migrate = migrate


def main() -> None:
    place, rule, passages, site, _, state = sys.argv[1:7]
    build_in(place, rule, Fuse(int(passages)))
    set_up_logging(as_json=True)
    run(Path(site), Path(state))


if __name__ == "__main__":
    main()
