"""The outbox as the uplinks see it: the next messages of each line, from the disk, from memory, or still at hand.

Decides nothing about writing: the store says what landed and when memory and disk part, and is asked for a commit on which
the cursors may ride.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import structlog

from gateway.faults import StoreFault
from gateway.store import jobs
from gateway.store.database import Database
from gateway.store.delivery import Delivery, Held, Line
from gateway.store.rows import Message
from gateway.store.tail import Tail
from gateway.store.worker import Worker

log = structlog.get_logger()


class Departures:
    """Of one store."""

    def __init__(self, worker: Worker, in_memory: Callable[[str], Held], moved: Callable[[], None]) -> None:
        """``in_memory`` gives a lane's messages that are not known to be on the disk; ``moved`` is told of new cursors."""
        self._worker, self._in_memory, self._moved = worker, in_memory, moved
        self._delivery, self._tail = Delivery(), Tail()
        self.cursors: Mapping[Line, int] = {}
        """Where each uplink stands; told to the database by its next job, for a job of its own would wake the thread."""
        self._followers: list[Callable[[], None]] = []
        self._sunk = False

    def begin(self, sequences: Mapping[str, int]) -> None:
        """The disk was opened and takes writes; these are the last numbers of its lanes."""
        self._tail.begin(sequences)

    # For the uplinks ---------------------------------------------------------------------------------------------

    def follow(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call whenever there may be more to take; answers what ends that."""
        self._followers.append(call)
        return lambda: self._followers.remove(call)

    async def take(self, uplink: str, lane: str, n: int) -> list[Message]:
        """The next ``n`` messages of a lane behind the uplink's cursor, in order."""
        line = (uplink, lane)
        before, passed, cursors = self._in_memory(lane), self._delivery.passed(line), self.cursors

        def read(database: Database) -> tuple[list[Message], int, bool]:
            jobs.tell_cursors(database, cursors)
            taken = database.take(uplink, lane, n + passed)
            return taken, database.cursor(uplink, lane), database.past_beginning(uplink, lane)

        if not self._sunk and not before and self._delivery.plain(line):
            at_hand = self._tail.after(line, n)
            if at_hand is not None:
                return at_hand
        try:
            disk, cursor, past_beginning = await self._worker.ask(read)
        except StoreFault as fault:
            log.warning("outbox_unreadable", uplink=uplink, lane=lane, fault=str(fault))
            return self._delivery.blind(line, n, self._in_memory(lane))
        now = self._in_memory(lane)
        taken, moved = self._delivery.merge(line, n, disk, cursor, before=before, now=now)
        if past_beginning:
            self._tail.seen(line, cursor)
        if moved > cursor:
            self._move(line, moved)
        return taken

    def advance(self, uplink: str, lane: str, sequence: int) -> None:
        """The uplink has all of the lane up to ``sequence``; see ``Delivery.advance`` for a disk that cannot be read."""
        if self._delivery.advance((uplink, lane), sequence, self._in_memory(lane)):
            self._move((uplink, lane), sequence)

    def _move(self, line: Line, sequence: int) -> None:
        # A new mapping: a job may be reading the old one.
        self.cursors = {**self.cursors, line: max(sequence, self.cursors.get(line, 0))}
        self._tail.moved(line, sequence)
        self._moved()

    # For the store -----------------------------------------------------------------------------------------------

    def announce(self) -> None:
        """There may be more to take."""
        for call in tuple(self._followers):
            call()

    def landed(self, messages: Iterable[Message], *, altered: bool) -> None:
        """These were committed; ``altered``: the disk may hold some of them elsewhere, or in other words."""
        self._tail.add(messages)
        if altered:
            self._tail.forget()

    def sink(self) -> None:
        """The disk refuses: what it holds and what memory holds differ from now on."""
        self._sunk = True
        self._tail.forget()

    def surface(self) -> None:
        """All is on the disk again."""
        self._sunk = False

    def forget_places(self) -> None:
        """Uplinks come or go: what was known of the others is on its way to the database, and asked for anew."""
        cursors, self.cursors = self.cursors, {}
        self._tail.drop_uplinks()
        self._worker.later(lambda database: jobs.tell_cursors(database, cursors))
