"""Deadlines as data: what is due when, in a fixed order, without a timer.

Arming a name again moves its deadline. Equal moments fire in the order of their names, so that a replay fires them alike.
"""

from __future__ import annotations

import heapq

from gateway.instant import Instant

Name = tuple[str, ...]


class Deadlines:
    """A heap of named deadlines; moved and dropped ones are skipped when they surface."""

    def __init__(self) -> None:
        self._due: dict[Name, Instant] = {}
        self._heap: list[tuple[Instant, Name]] = []

    def arm(self, name: Name, due: Instant | None) -> None:
        """Set, move or (None) drop one deadline."""
        if due is None:
            self._due.pop(name, None)
        elif self._due.get(name) != due:
            self._due[name] = due
            heapq.heappush(self._heap, (due, name))
            self._compact()

    def next_due(self) -> Instant | None:
        """The soonest deadline."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self, until: Instant) -> tuple[Instant, Name] | None:
        """Take the soonest deadline that is due by ``until``."""
        due = self.next_due()
        if due is None or due > until:
            return None
        _, name = heapq.heappop(self._heap)
        del self._due[name]
        return due, name

    def _compact(self) -> None:
        """Moved deadlines leave their old place behind; drop those once they are the most."""
        if len(self._heap) > 64 + 4 * len(self._due):
            self._heap = [(due, name) for name, due in self._due.items()]
            heapq.heapify(self._heap)
