"""Whether a bus gets done what is wanted of it, looked at minute by minute. Pure.

Theory. ``load.py`` reckons before the start with devices as they should be. On the day some answer slowly, dead ones are probed, a
line is slower than it is said to be. Then turns are left out (``schedule.py``), of alarms last. A few in a minute are nothing; one in
ten is an overloaded bus, and it is one until hardly any are left out, so that a bus on the brink is told of once.
"""

from __future__ import annotations

from gateway.drivers.modbus.schedule import Turns

WINDOW_S = 60.0
BEGINS, ENDS = 0.1, 0.02
"""Parts of the turns of a window that were left out."""


class OverloadWatch:
    """One bus."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self.overloaded: bool | None = None
        """None before the first window is over."""
        self.last = Turns()
        """Those of the last whole window."""
        self._window_s, self._began, self._before = window_s, 0.0, Turns()

    def begin(self, at: float, turns: Turns) -> None:
        """A window begins: when the bus is there, and again at the end of each."""
        self._began, self._before = at, turns

    def is_over(self, at: float) -> bool:
        """Whether the window is over, so that a look is due. Asked at each turn, which all turns are too much to be told at."""
        return at - self._began >= self._window_s

    def look(self, at: float, turns: Turns) -> None:
        """One window is over and the next begins; ``turns`` are all so far."""
        self.last = turns.since(self._before)
        self.begin(at, turns)

    def news(self) -> bool | None:
        """Whether the bus is overloaded by its last window, if that is another answer than before."""
        share = max(self.last.share, self.last.alarm_share)
        now = share >= BEGINS or (bool(self.overloaded) and share > ENDS)
        if now is self.overloaded:
            return None
        self.overloaded = now
        return now
