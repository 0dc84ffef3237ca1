"""Deadlines as data: what is due when, in a fixed order, without a timer.

Arming a name again moves its deadline. Equal moments fire in the order of their names, so that a replay fires them alike.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

from gateway.instant import Instant

Name = tuple[str, ...]


def _as_armed(_name: Name, armed: Instant) -> Instant | None:
    return armed


class Deadlines:
    """A heap of named deadlines; moved and dropped ones are skipped when they surface."""

    def __init__(self) -> None:
        self._due: dict[Name, Instant] = {}
        self._heap: list[tuple[Instant, Name]] = []
        self._doubted: set[Name] = set()
        self.ask: Callable[[Name, Instant], Instant | None] = _as_armed
        """What a doubted deadline is by now, given what it was armed for; never sooner than that. None: there is none any more."""

    def arm(self, name: Name, due: Instant | None) -> None:
        """Set, move or (None) drop one deadline."""
        self._doubted.discard(name)
        if due is None:
            self._due.pop(name, None)
        elif self._due.get(name) != due:
            self._due[name] = due
            heapq.heappush(self._heap, (due, name))
            self._compact()

    def doubt(self, names: Iterable[Name]) -> None:
        """These may be later by now than they were armed for: ``ask`` when they come up."""
        self._doubted.update(names)

    def next_due(self) -> Instant | None:
        """The soonest deadline."""
        while self._heap:
            due, name = self._heap[0]
            if self._due.get(name) != due:
                heapq.heappop(self._heap)
            elif name in self._doubted:
                self.arm(name, self.ask(name, due))
            else:
                return due
        return None

    def pop(self, until: Instant) -> tuple[Instant, Name] | None:
        """Take the soonest deadline that is due by ``until``."""
        if not self._heap or self._heap[0][0] > until:
            return None  # nearly every event
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
