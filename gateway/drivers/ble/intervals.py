"""How often each button is usually heard, learnt from the air; and which one has become strangely quiet. Pure.

The site file's ``heartbeat`` is a promise, and the core supervises it; what is learnt here may never excuse a button that
breaks it. It only speaks earlier, and of the buttons of which nothing was promised.

Theory. A *silence* is the pause between two transmissions; the frames of one transmission come within a second or two. Of the
last silences the median is the usual one: a lost frame makes one of them twice as long and moves it not at all. The ninth
decile says how regular the button is. A silence counts only if we listened all the while. Ten usual silences are no
accident, unless the button is irregular; and nothing shorter than five minutes is worth a word, for people walk past radios.
A button without a heartbeat is heard when somebody presses it, and that may be nine times within an hour, by an installer; so
nothing is learnt before it was heard over a day, and one that within a week was silent for as long as we would wait is not waited for.

Frames come by the hundred a second, so a frame looks at its own button alone, and the others wait in a heap for when they are due. A
frame moves that moment later; the heap learns of it only when it comes to the top.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Mapping
from math import floor, log10

from msgspec import Struct

from gateway.instant import DAY, MINUTE, SECOND, Instant

SAMPLES = 32
"""An hour of a button that beats every two minutes: long enough to be robust, short enough to follow a new setting."""
ENOUGH = 8
_BURST_MS = 2 * SECOND  # frames of one transmission (facts/ble 7: about a second)
_CONTINUOUS_MS = 10 * SECOND  # a beacon that shouts all the time has no pauses; then its silence is that of a burst
_TIMES = 10
_TIMES_IRREGULAR = 3
_SHORTEST_MS, _LONGEST_MS = 5 * MINUTE, DAY
_HEARD_OVER_MS = DAY
_REMEMBERED_MS = 7 * DAY
"""How long the longest silence counts: many presses in a row would else push it out of the samples."""
_DIGITS = 2  # more would be a new meaning, and a write, every minute


class Usual(Struct, frozen=True):
    """What is usual of one button."""

    interval_ms: int
    """Median silence, two digits."""
    nine_in_ten_ms: int
    """Nine of ten silences are no longer."""
    longest_ms: int = 0
    """The longest of a week; 0 where it was not noted."""

    @property
    def limit_ms(self) -> int:
        """A silence of this length is strange."""
        return min(max(_TIMES * self.interval_ms, _TIMES_IRREGULAR * self.nine_in_ten_ms, _SHORTEST_MS), _LONGEST_MS)

    @property
    def beats(self) -> bool:
        """Whether it is heard though nobody presses it: one that is usually silent for as long as we would wait is not."""
        return max(self.nine_in_ten_ms, self.longest_ms) < _LONGEST_MS

    def means_another(self, before: Usual | None) -> bool:
        """Whether somebody would act on the difference: known at last, off by half and more, or waited for no more."""
        if before is None or before.beats != self.beats:
            return True
        return not before.interval_ms / 2 < self.interval_ms < before.interval_ms * 2


class _Ear:
    """What was heard of one button."""

    def __init__(self, usual: Usual | None) -> None:
        self.usual = usual
        self.began: Instant | None = None
        """First frame of the transmission going on; None: not heard since we listen."""
        self.last: Instant | None = None
        self.silences: deque[int] = deque(maxlen=SAMPLES)
        self.over_ms = 0
        """How long we listened between its frames, in all."""
        self.longest_ms, self.longest_at = 0, Instant(0)
        self.quiet: bool | None = None
        """As told last."""
        self.filed: Instant | None = None
        """Where it stands in the heap: not after the moment it is due; None: it does not."""


class IntervalLearner:
    """Learns from every sign of life, and knows when one is overdue."""

    def __init__(self, known: Mapping[str, Usual | None]) -> None:
        """``known``: every button, with what was learnt of it before."""
        self._ears = {button: _Ear(usual) for button, usual in known.items()}
        self._since: Instant | None = None
        """When we began to listen; None: deaf."""
        self._dues: list[tuple[Instant, str]] = []
        self._touched: dict[str, None] = {}
        """Buttons of which there may be news before they are due."""

    def listen(self, at: Instant) -> None:
        """A radio hears again, or for the first time. What was silent before tells nothing."""
        if self._since is None:
            self._since = at
            for ear in self._ears.values():
                ear.began = ear.last = None
            self._refile()

    def deafen(self) -> None:
        """No radio hears."""
        self._since = None
        self._refile()

    def hear(self, button: str, at: Instant) -> Usual | None:
        """A sign of life; what is usual now, if this taught something."""
        ear = self._ears[button]
        learnt = self._learn(ear, at)
        self._touched[button] = None
        self._file(button, ear)
        return learnt

    def _learn(self, ear: _Ear, at: Instant) -> Usual | None:
        if ear.last is None or ear.began is None:
            ear.began = ear.last = at
            return None
        silence, ear.last = at - ear.last, at
        ear.over_ms += silence
        if silence < _BURST_MS and at - ear.began < _CONTINUOUS_MS:
            return None
        ear.began = at
        ear.silences.append(max(silence, _BURST_MS))
        if silence >= ear.longest_ms or at - ear.longest_at > _REMEMBERED_MS:
            ear.longest_ms, ear.longest_at = max(ear.silences), at
        if len(ear.silences) < ENOUGH or ear.over_ms < _HEARD_OVER_MS:
            return None
        ranked = sorted(ear.silences)
        learnt = Usual(*map(_rounded, (ranked[len(ranked) // 2], ranked[len(ranked) * 9 // 10], ear.longest_ms)))
        if learnt == ear.usual:
            return None
        ear.usual = learnt
        return learnt

    def known(self, button: str) -> Usual | None:
        """What is usual of a button, as far as anybody knows."""
        return self._ears[button].usual

    def news(self, at: Instant) -> Iterator[tuple[str, bool]]:
        """Buttons that have become quiet, or are quiet no longer, since this was asked last."""
        asked, self._touched = self._touched, {}
        while self._dues and self._dues[0][0] <= at:
            filed, button = heapq.heappop(self._dues)
            if self._ears[button].filed == filed:
                self._ears[button].filed = None
                asked[button] = None
        for button in asked:
            ear = self._ears[button]
            due = self._due(ear)
            quiet = due is not None and at >= due
            heard = ear.last is not None
            if (quiet and ear.quiet is not True) or (heard and not quiet and ear.usual and ear.quiet is not False):
                ear.quiet = quiet
                yield button, quiet
            self._file(button, ear)

    def next_due(self) -> Instant | None:
        """When the next button becomes quiet if it is not heard before."""
        while self._dues:
            filed, button = self._dues[0]
            ear = self._ears[button]
            due = self._due(ear)
            if ear.filed == filed == due and ear.quiet is not True:
                return due
            heapq.heappop(self._dues)
            if ear.filed == filed:
                ear.filed = None
                self._file(button, ear)
        return None

    def _file(self, button: str, ear: _Ear) -> None:
        """Into the heap, unless it stands there for this moment or an earlier one."""
        due = self._due(ear)
        if due is not None and ear.quiet is not True and (ear.filed is None or due < ear.filed):
            ear.filed = due
            heapq.heappush(self._dues, (due, button))

    def _refile(self) -> None:
        """What is due of all has changed."""
        self._dues.clear()
        self._touched = dict.fromkeys(self._ears)
        for button, ear in self._ears.items():
            ear.filed = None
            self._file(button, ear)

    def _due(self, ear: _Ear) -> Instant | None:
        if self._since is None or ear.usual is None or not ear.usual.beats:
            return None
        return Instant(max(self._since, ear.last or self._since) + ear.usual.limit_ms)


def _rounded(ms: int) -> int:
    step: int = 10 ** max(floor(log10(ms)) - _DIGITS + 1, 0)
    return round(ms / step) * step
