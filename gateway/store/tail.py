"""The newest committed messages of each lane, for uplinks that are up to date: they need not ask the disk.

Pure bookkeeping, no I/O. Whoever reads here must get what the disk would say: whenever that is in doubt the answer is None,
and the disk is asked.

Theory. A wake of the disk's thread costs as much as half a commit on a busy machine, and an alert on its way out used to pay
it up to twice. What was just committed is still at hand. The tail of a lane holds everything behind one number (its *edge*);
an uplink whose cursor is known to stand at or behind that edge can be served from it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from gateway.store.delivery import Line
from gateway.store.rows import Message

KEPT = 200
"""Messages of each lane; ten windows of an uplink."""


class Tail:
    """What was committed last, and how far each uplink is known to be."""

    def __init__(self) -> None:
        self._last: dict[str, int] | None = None
        """Lanes' last numbers when the tail began; None: nothing is known of any lane that was not written to since."""
        self._edges: dict[str, int] = {}
        self._lanes: dict[str, deque[Message]] = {}
        self._cursors: dict[Line, int] = {}
        self.doubts = 0
        """How often all was forgotten."""

    def begin(self, last: Mapping[str, int]) -> None:
        """The store was just opened, and these are the last numbers of its lanes."""
        self._last = dict(last)

    def knows_end(self, lane: str) -> bool:
        """Whether anything can be at hand of this lane; else ``learn`` where the disk says that it ends."""
        return self._edge(lane) is not None

    def learn(self, last: Mapping[str, int], doubts: int) -> None:
        """The disk was asked for the lanes' last numbers when there had been so many ``doubts``; what was written since is known better."""
        if self._last is None and doubts == self.doubts:
            self.begin(last)

    def forget(self) -> None:
        """Disk and memory may differ from now on."""
        self.doubts += 1
        self._last = None
        self._edges, self._lanes, self._cursors = {}, {}, {}

    def add(self, messages: Iterable[Message]) -> None:
        """These were committed, in order."""
        for message in messages:
            lane, edge = message.lane, self._edge(message.lane)
            kept = self._lanes.setdefault(lane, deque())
            last = kept[-1].sequence if kept else edge
            if last is None or message.sequence != last + 1:
                kept.clear()
                self._edges[lane] = message.sequence - 1
            kept.append(message)
            if len(kept) > KEPT:
                self._edges[lane] = kept.popleft().sequence

    def seen(self, line: Line, cursor: int) -> None:
        """The disk says that this uplink stands here; a later ``moved`` goes on from it."""
        self._cursors[line] = max(cursor, self._cursors.get(line, 0))

    def moved(self, line: Line, sequence: int) -> None:
        """This uplink has everything up to here."""
        if line in self._cursors:
            self.seen(line, sequence)

    def drop_uplinks(self) -> None:
        """Uplinks came or went: where each stands must be asked anew."""
        self._cursors = {}

    def cursor(self, line: Line) -> int:
        """Where this uplink stands, as far as is known here."""
        return self._cursors.get(line, 0)

    def newest(self, lane: str) -> Iterable[Message]:
        """All that is at hand of a lane, in order."""
        return self._lanes.get(lane, ())

    def after(self, line: Line, n: int) -> list[Message] | None:
        """The next ``n`` messages of the line, or None: ask the disk."""
        lane, cursor = line[1], self._cursors.get(line)
        edge = self._edge(lane)
        if cursor is None or edge is None or cursor < edge:
            return None
        return [message for message in self.newest(lane) if message.sequence > cursor][:n]

    def _edge(self, lane: str) -> int | None:
        if lane in self._edges:
            return self._edges[lane]
        return None if self._last is None else self._last.get(lane, 0)
