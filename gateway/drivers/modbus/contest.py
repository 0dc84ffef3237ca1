"""Two boxes that fight for one line: both say the same name, and each dials in anew as soon as the other has it. Pure.

Theory. The newest connection of a box is the good one, for a box that lost its line dials again before we know it. Two boxes of one
registration would then take the line from each other for ever, and neither be read. But a connection that was lost says nothing
any more, and one that is polled says something every few seconds; one that has just come was not asked yet. So what gives way
*while it still speaks or is new*, three times in a minute, was no lost one: from then on the line stays with who has it as long as
he speaks, at first for ``ALIVE_S`` in any case, and newcomers are turned away.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct

TAKEOVERS, WITHIN_S = 3, 60.0
ALIVE_S = 5.0
"""Whoever said nothing for so long is gone: every device is asked at least every three seconds."""
CALM_S = 600.0
"""A fight is over when nobody was turned away for so long."""
_ENTRIES = 6
"""Comings and goings in ``WITHIN_S`` that are written down one by one."""


class Entries(Struct):
    """How often somebody may write down that the line came or went: who dials without end must not fill the journal."""

    since: float = float("-inf")
    written: int = 0
    left_out: int = 0

    def another(self, at: float) -> int | None:
        """How many were left out before this one; None: leave this one out, too."""
        if at - self.since > WITHIN_S:
            self.since, self.written = at, 0
        if self.written >= _ENTRIES:
            self.left_out += 1
            return None
        self.written += 1
        left_out, self.left_out = self.left_out, 0
        return left_out


class Contest:
    """About one line."""

    def __init__(self) -> None:
        self.turned_away = 0
        """In all."""
        self.begun = False
        """Whether the last one turned away was the first of a fight."""
        self._takeovers: deque[float] = deque(maxlen=TAKEOVERS)
        self._fought_at = float("-inf")

    def stays(self, at: float, heard_at: float) -> bool:
        """Whether who has the line keeps it although another dials in for it; ``heard_at``: when he came or last spoke."""
        if at - heard_at > ALIVE_S:
            return False
        self.begun = at - self._fought_at > CALM_S
        if self.begun:
            self._takeovers.append(at)
            if len(self._takeovers) < TAKEOVERS or at - self._takeovers[0] > WITHIN_S:
                return False
            self._takeovers.clear()
        self._fought_at = at
        self.turned_away += 1
        return True
