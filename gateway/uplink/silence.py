"""How long a broker has been silent, for those who cannot wait for it. Which message waits, and which may pass, is not known here.

Theory. A broker answers within a round trip, and one that hangs up on a message does so as soon. What is not answered in ``SILENCE_S``
is therefore not about to be; but a line that is only slow looks the same, and bytes behind others come later still. So where alerts took
longer of late, it is no silence before that time is over; few may pass at once, and as many more each time it is over again. Where the
broker takes no more at once, a line is given up for nothing but a silence that is unlike it: one on which an answer came sooner before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SILENCE_S = 1.0
"""A broker that hangs up on a message has done so by then, and one that swallows it would keep all others waiting for the whole time of an
answer, in each session. A critical alert has two seconds in all."""
GIVE_UPS = 4
"""So often a line may be given up until an alert is answered sooner than ``SILENCE_S``: a broker that is slow with all of them would
never be left to answer one.
"""
CALM_S = 180.0
"""And for so long not, once an alert for which it was given up is answered after all: it is slow by turns, and swallows none."""
FEW = 4
"""Of 1.5 kB each they are answered within ten seconds by a line of 1 kB/s."""
_EARLY = 1e-6  # a timer's instant and the one it was reckoned from differ by the last bit: it would be set for now, again and again


class Silence:
    """Of one broker."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """``wake`` is called when it has lasted for one ``SILENCE_S`` more, if somebody asked meanwhile."""
        self._wake = wake
        self._since = self._heard_at = 0.0
        """When what is waited for left, or all of that was answered; and when anything was."""
        self._is_quick = False
        self._usual_s = 0.0
        """How long alerts were on their way of late, in whatever session."""
        self._lengthens: asyncio.TimerHandle | None = None
        self._left, self._calm_until = GIVE_UPS, 0.0

    def begin(self) -> None:
        """A new session, of which nothing is known."""
        self._is_quick = False

    def restart(self, in_s: float = 0.0) -> None:
        """What is waited for leaves now, or then."""
        self._since = _now() + in_s

    def answered(self, left_at: float, *, still_waiting: bool, alert: bool) -> None:
        """The broker said something of what left then; ``still_waiting``: not what is waited for; ``alert``: it has one."""
        self._heard_at = _now()
        in_time = self._heard_at < left_at + SILENCE_S
        self._is_quick = in_time or (still_waiting and self._is_quick)
        self._left = GIVE_UPS if in_time and alert else self._left
        if alert:
            self._usual_s = max(self._heard_at - left_at, self._usual_s / 2)
        if not still_waiting:
            self.restart()

    def lets_pass(self, under_way: int) -> bool:
        """Whether one more may leave behind so many."""
        return under_way <= FEW * self._lasted(self._since)

    @property
    def is_odd(self) -> bool:
        """Whether nothing at all is heard, and that is unlike this line, so that it may be given up."""
        if not self._left or _now() < self._calm_until:
            return False
        return self._is_quick and self._lasted(max(self._since, self._heard_at)) > 0

    def gave_up(self) -> None:
        """The session ends for it."""
        self._left -= 1

    def was_slow(self) -> None:
        """What it was given up for is answered."""
        self._calm_until = _now() + CALM_S

    def _lasted(self, since: float) -> int:
        if self._lengthens is not None:
            self._lengthens.cancel()
        once = max(SILENCE_S, self._usual_s)
        times = max(0, int((_now() - since) / once + _EARLY))
        self._lengthens = asyncio.get_running_loop().call_at(since + (times + 1) * once, self._wake)
        return times


def _now() -> float:
    return asyncio.get_running_loop().time()
