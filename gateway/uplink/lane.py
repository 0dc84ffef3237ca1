"""One lane in one session: what was read of it, what is on its way, and up to where all has arrived. Pure."""

from __future__ import annotations

import heapq
from collections import deque

from gateway.uplink.outbox import Message

_READ_AHEAD = 100  # each asking of the disk costs as much as sending twenty


class Lane:
    """Asks nobody and sends nothing: ``departures.py`` does."""

    def __init__(self) -> None:
        self.ready: deque[Message] = deque()
        self.under_way: set[int] = set()
        self.arrived: set[int] = set()
        self.read: set[int] = set()
        """Read from the outbox in this session, and not yet counted as delivered there."""
        self.answer: set[int] = set()
        """What the outbox had to give when it was asked last."""
        self.dry = False
        self._out: list[int] = []
        """A heap: of what was read, all but ``_run``."""
        self._run: deque[int] = deque()
        """Arrived, and so has all that was read below."""

    def ask(self) -> int:
        """How many messages must be taken to see new ones behind those the outbox still counts as waiting."""
        return _READ_AHEAD + len(self.read)

    def put(self, taken: list[Message]) -> None:
        """Keep what is news. A lower number may be news after a higher one: the outbox could not read it before."""
        self.answer = {message.sequence for message in taken}
        fresh = [message for message in taken if message.sequence not in self.read]
        if fresh:
            self.ready.extend(fresh)
            self.read.update(message.sequence for message in fresh)
            self._out += [*self._run, *(message.sequence for message in fresh)]
            self._run.clear()
            heapq.heapify(self._out)
            self.dry = False

    def land(self, sequence: int) -> None:
        """It has arrived, or others may pass it."""
        self.under_way.discard(sequence)
        self.arrived.add(sequence)

    def due(self) -> list[int]:
        """What to tell the outbox: the last number below which everything that was read has arrived.

        Numbers missing in its last answer are told each by itself: an outbox that cannot reach them now would not know that
        they are meant.
        """
        while self._out and self._out[0] in self.arrived:
            self._run.append(heapq.heappop(self._out))
        if not self._run:
            return []
        last = self._run[-1]
        return [*(one for one in self._run if one != last and one not in self.answer), last]

    def told(self, sequence: int) -> None:
        """The outbox counts everything up to here as delivered."""
        while self._run and self._run[0] <= sequence:
            one = self._run.popleft()
            self.read.discard(one)
            self.arrived.discard(one)
