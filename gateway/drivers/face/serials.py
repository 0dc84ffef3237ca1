"""Which serial numbers of a terminal are missing: every event counts up, so a jump is something nobody has seen.

Pure. Theory. Sequence, not time, orders a terminal's events (facts/face 0.6), and ``frontSerialNo`` names the one before: what
lies between it and the last one heard never came. A number that comes late fills its gap; one far behind in time as well
belongs to a counter that began anew (another device, a factory reset): of the old one nothing more can be learnt.
A gap is reported once, is closed under the ``first`` it was opened with, and is remembered by the core, not here. One that skips
without end opens no gap for each: beyond ``GAP_RATE`` the last gap grows instead, unsaid, until one may be said again; where none
is open, one is kept unsaid, and nothing is said of its end either if that comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from gateway.events import Entry, SequenceGap
from gateway.instant import MINUTE, SECOND, Instant
from gateway.restraint import Allowance, Rate

RECOVERED, ABSENT, GIVEN_UP = "recovered", "absent", "given_up"
"""How a gap ends (``SequenceGap.reason``)."""
OVERTAKEN_MS = MINUTE
"""As the core has it: so long an event may be on its way behind a younger one."""
RESET_BY = 10_000
"""As the core has it: a serial number so far back, even in a log, is of a counter that began anew."""
MOST_HOLES = 64
"""Open at once for one terminal; one that skips more often does not count, and its oldest are given up, which is said."""
GAP_RATE = Rate(burst=256, every_s=10.0)
"""Of gaps opened by one terminal: each is an event at once on the disk, as is its end."""
_MOST_RUNS = 256
"""Into which what came late may cut one gap."""

Run = tuple[int, int]
"""First and last serial number, both inclusive."""


class Remembered(Struct, frozen=True):
    """What the core knows of a terminal's serial numbers from before a restart."""

    last: int | None = None
    at: Instant = Instant(0)
    """When ``last`` came."""
    gaps: Sequence[Run] = ()


class Hole(Struct):
    """One open gap and what of it is still missing."""

    first: int
    last: int
    missing: list[Run]
    after_ms: int | None = None
    """Terminal time of the event before it, and of the one behind it: where in its log to look."""
    before_ms: int | None = None
    said: bool = True
    """Not where so many were said that it has to wait."""

    def grow(self, last: int, before_ms: int | None) -> None:
        """More is missing behind it. What was heard in between counts as missing too: the log gives it back, and it is known."""
        first = self.missing[0][0]
        self.last, self.missing, self.before_ms = last, [(first, last)], before_ms

    def take(self, seq: int) -> bool:
        """Whether ``seq`` was missing here; then it no longer is."""
        for index, (low, high) in enumerate(self.missing):
            if low <= seq <= high:
                self.missing[index : index + 1] = [run for run in ((low, seq - 1), (seq + 1, high)) if run[0] <= run[1]]
                return True
        return False


class SerialTracker:
    """The serial numbers of one terminal."""

    def __init__(self, terminal: str, known: Remembered | None = None) -> None:
        known = known or Remembered()
        self._terminal, self._at = terminal, known.at
        self.time_ms: int | None = None
        """Terminal time of the event with ``last``, if it came in this run."""
        self.holes: list[Hole] = [Hole(first, last, [(first, last)]) for first, last in known.gaps]
        """Open gaps, oldest first."""
        heard = [hole.last for hole in self.holes] + ([] if known.last is None else [known.last])
        self.last: int | None = max(heard, default=None)
        """Highest serial number heard."""
        self._gaps = Allowance(GAP_RATE)

    def observe(self, entry: Entry, at: Instant, *, repeat: bool = False) -> list[SequenceGap]:
        """Gaps that this event opens or closes, and one that had to wait. ``repeat``: the core has seen this very event before."""
        return [*self._hear(entry, at, repeat), *self._say_late(at)]

    def _hear(self, entry: Entry, at: Instant, repeat: bool) -> list[SequenceGap]:
        if entry.seq is None:
            return []
        if self.last is None:
            self._step(entry, at)
            return []
        if entry.seq > self.last:
            opened = self._jump(entry, entry.seq, self.last, at)
            self._step(entry, at)
            return opened
        closed = self._fill(entry.seq)
        if closed is None and not repeat and self._began_anew(entry, entry.seq, self.last, at):
            ended = self.forget()
            self._step(entry, at)
            return ended
        return closed or []

    def wants(self, seq: int | None) -> bool:
        """Whether an event from the terminal's log is news: it fills a gap, or is younger than all heard so far."""
        if seq is None or self.last is None:
            return False
        return seq > self.last or any(low <= seq <= high for hole in self.holes for low, high in hole.missing)

    def close(self, holes: Iterable[Hole], reason: str) -> list[SequenceGap]:
        """End these gaps for a reason."""
        ended = [hole for hole in holes if hole in self.holes]
        self.holes = [hole for hole in self.holes if hole not in ended]
        return [
            SequenceGap(self._terminal, hole.first, hole.last, open=False, reason=reason) for hole in ended if hole.said
        ]

    def forget(self) -> list[SequenceGap]:
        """The counter began anew: what is missing of the old one will never be known."""
        self.last = self.time_ms = None
        return self.close(self.holes, GIVEN_UP)

    def _step(self, entry: Entry, at: Instant) -> None:
        self.last, self._at, self.time_ms = entry.seq, at, entry.terminal_time_ms

    def _jump(self, entry: Entry, seq: int, last: int, at: Instant) -> list[SequenceGap]:
        named = entry.prev_seq
        end = named if named is not None and last <= named < seq else seq - 1
        if end <= last:
            return []
        said = self._may_say(at)
        if not said and self.holes:
            self.holes[-1].grow(end, entry.terminal_time_ms)
            return []
        given_up = self.close(self.holes[: max(0, len(self.holes) + 1 - MOST_HOLES)], GIVEN_UP)
        first = last + 1
        self.holes.append(Hole(first, end, [(first, end)], self.time_ms, entry.terminal_time_ms, said))
        return [*given_up, SequenceGap(self._terminal, first, end)] if said else []

    def _may_say(self, at: Instant) -> bool:
        return self._gaps.take(self._terminal, at / SECOND)

    def _say_late(self, at: Instant) -> list[SequenceGap]:
        """The gap that is kept unsaid; there is one at most."""
        for hole in self.holes:
            if not hole.said and self._may_say(at):
                hole.said = True
                return [SequenceGap(self._terminal, hole.first, hole.last)]
        return []

    def _fill(self, seq: int) -> list[SequenceGap] | None:
        """None: it was missing nowhere."""
        hole = next((hole for hole in self.holes if hole.take(seq)), None)
        if hole is None:
            return None
        if len(hole.missing) > _MOST_RUNS:
            return self.close([hole], GIVEN_UP)
        return [] if hole.missing else self.close([hole], RECOVERED)

    def _began_anew(self, entry: Entry, seq: int, last: int, at: Instant) -> bool:
        """Late enough to be no straggler, or one that could not be: so far back, or next to the last one by the terminal's own word."""
        far, late = last - seq >= RESET_BY, at - self._at > OVERTAKEN_MS
        wraps = entry.live and seq < last and (far or entry.prev_seq == last)
        return wraps or (late and (entry.live or far))
