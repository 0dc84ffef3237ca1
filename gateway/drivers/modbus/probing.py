"""How much of the wire may be spent on asking the dead. Pure.

Theory. A device that is lost must be asked now and then, or it is never found again, and each such question costs a timeout
that the living wait for. So all probes of a bus together may use one fiftieth of its time (issue: <= 2 %), saved up for a few
probes at most. While everybody is silent the wire is free and the budget means nothing.
"""

from __future__ import annotations

PART = 0.02
_SAVED_S = 0.5


class ProbeBudget:
    """What may be spent on probes of one bus; times in seconds."""

    def __init__(self, at: float) -> None:
        self._saved, self._at = _SAVED_S, at
        self.spent_s = 0.0
        """Since the start."""

    def free_at(self, at: float) -> float:
        """When the next probe may be sent: as soon as nothing is owed; 0 where that is so already."""
        self._gather(at)
        return 0.0 if self._saved >= 0 else at - self._saved / PART

    def spend(self, at: float, cost_s: float) -> None:
        """A probe took that long."""
        self._gather(at)
        self._saved -= cost_s
        self.spent_s += cost_s

    def _gather(self, at: float) -> None:
        self._saved = min(_SAVED_S, self._saved + PART * (at - self._at))
        self._at = max(self._at, at)
