"""The outbox as the uplinks see it: the next messages of each line, from the disk, from memory, or still at hand.

Decides nothing about writing: the store says what landed, and is asked for a commit on which the cursors may ride.

Theory. A message is given to the tail in the moment in which memory lets go of it, so the two together hold everything behind
the tail's edge, on a sick disk as on a sound one. An uplink that stands behind that edge has to ask the disk. Can that not be
read, it is told all that is at hand, in order, and what nobody could reach when the disk is back: an alarm does not wait for a
backlog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import structlog

from gateway.faults import StoreFault
from gateway.store import jobs
from gateway.store.database import Database
from gateway.store.delivery import Delivery, Held, Line
from gateway.store.outbox import HAD, WAITS, aside_line
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
        self._unread: dict[Line, str] = {}
        """Lines that the disk did not give when they were asked for last, and why: each is looked at for every message, and told once."""

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
        at_hand = self._tail.after(line, n + passed)
        if at_hand is not None:
            return self._merge(line, n, at_hand, self._tail.cursor(line), before)

        doubts, ends_known = self._tail.doubts, self._tail.knows_end(lane)

        def read(database: Database) -> tuple[list[Message], int, bool, dict[str, int]]:
            jobs.tell_cursors(database, cursors)
            taken = database.uplinks.take(uplink, lane, n + passed)
            ends = {} if ends_known else database.last_sequences()
            return taken, database.uplinks.cursor(uplink, lane), database.uplinks.past_beginning(uplink, lane), ends

        try:
            disk, cursor, past_beginning, ends = await self._worker.ask(read)
        except StoreFault as fault:
            if self._unread.get(line) != str(fault):
                self._unread[line] = str(fault)
                log.warning("outbox_unreadable", uplink=uplink, lane=lane, fault=str(fault))
            return self._delivery.blind(line, n, self._reachable(line))
        self._unread.pop(line, None)
        if past_beginning:
            self._tail.seen(line, cursor)
        if not ends_known:
            self._tail.learn(ends, doubts)
        return self._merge(line, n, disk, cursor, before)

    def _merge(self, line: Line, n: int, committed: Iterable[Message], cursor: int, before: Held) -> list[Message]:
        taken, moved = self._delivery.merge(line, n, committed, cursor, before=before, now=self._in_memory(line[1]))
        if moved > cursor:
            self._move(line, moved)
        return taken

    def _reachable(self, line: Line) -> Held:
        """All of a lane that can be told without the disk, by sequence."""
        cursor = self.cursors.get(line, 0)
        at_hand = {message.sequence: message for message in self._tail.newest(line[1]) if message.sequence > cursor}
        return at_hand | self._in_memory(line[1])

    def advance(self, uplink: str, lane: str, sequence: int) -> None:
        """The uplink has all of the lane up to ``sequence``; see ``Delivery.advance`` for a disk that cannot be read."""
        if self._delivery.advance((uplink, lane), sequence, self._in_memory(lane)):
            self._move((uplink, lane), sequence)

    def set_aside(self, uplink: str, lane: str, sequence: int) -> None:
        """The uplink's cursor may pass this message, which it has not had. Rides on the same commit as the cursor that passes."""
        self._move((uplink, aside_line(lane, sequence)), WAITS)

    def settle(self, uplink: str, lane: str, sequence: int) -> None:
        """The uplink has had what was set aside."""
        self._move((uplink, aside_line(lane, sequence)), HAD)

    async def aside(self, uplink: str) -> list[tuple[str, int]]:
        """Lane and place of what was set aside for this uplink and still waits. Raises StoreFault."""
        cursors = self.cursors

        def read(database: Database) -> list[tuple[str, int]]:
            jobs.tell_cursors(database, cursors)
            return database.uplinks.aside(uplink)

        return await self._worker.ask(read)

    async def find(self, lane: str, sequence: int) -> Message | None:
        """The message at a place of a lane, whoever has had it. Raises StoreFault."""
        held = self._in_memory(lane).get(sequence)
        return held or await self._worker.ask(lambda database: database.uplinks.find(lane, sequence))

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
        """These were committed, and memory holds them no longer; ``altered``: the disk may hold some elsewhere, or in other words."""
        self._tail.add(messages)
        if altered:
            self._tail.forget()

    def forget_places(self) -> None:
        """Uplinks come or go: what was known of the others is on its way to the database, and asked for anew."""
        cursors, self.cursors = self.cursors, {}
        self._tail.drop_uplinks()
        self._worker.later(lambda database: jobs.tell_cursors(database, cursors))
