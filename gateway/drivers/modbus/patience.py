"""How long one unit is waited for. Pure.

Theory. A timeout is paid by everybody else on the line, so it should be as short as the unit allows: half as long again as its
slowest answer of late, never below ``FLOOR_S``, and at first, while nothing is known, a tenth of a second. That is safe only
because a late answer harms nobody (``rtu.py``, settle) and teaches: it shows how slow the unit can be, beyond its profile if
need be, and waiting half as long again catches the next one (facts/modbus 3). What was learnt so fades while answers come
quicker, and is dropped for a unit that says nothing any more: a probe of the dead is paid by the living.
"""

from __future__ import annotations

SILENT_AFTER = 3  # misses without a late answer; as many as make a device lost (watch.py)
MAX_S = 1.6
"""Three misses, the times between them (``owing.py``) and the longest pause before the first (3 s) stay below the promised 10 s."""
FLOOR_S = 0.1
"""Below this lies the jitter of adapters (16 ms) and of a busy gateway, not of the device (facts/modbus 4)."""
_LEARN = 1.5  # facts/modbus 3, the rule measured with 0 wrong of 240
_FADE = 0.9
_WINDOW = 20
"""Answers after which it fades once: a device read each second is trusted again after some minutes."""


class Patience:
    """What is known of one unit's slowness; all times in seconds."""

    def __init__(self) -> None:
        self._learnt = 0.0
        """From late answers: at least this."""
        self._slowest = self._slowest_before = 0.0
        """Of the answers in this window and in the one before."""
        self._answers = 0
        self._misses = 0

    def timeout_s(self, profile_s: float, *, patient: bool = False) -> float:
        """How long to wait now.

        ``patient``: for a write and for the read that proves it. They are rare, and one called unanswered is an alarm: they get all
        that the profile allows, if the unit says anything at all. Outputs wanted of the dead would else take the line from every
        detector on it.
        """
        allows = patient and self._misses < SILENT_AFTER
        return max(profile_s if allows else self._usual_s(profile_s), self._learnt)

    def _usual_s(self, profile_s: float) -> float:
        if not self._answers or self._misses >= SILENT_AFTER:
            return min(profile_s, FLOOR_S)
        if self._answers < _WINDOW:
            return profile_s
        return min(profile_s, max(FLOOR_S, _LEARN * max(self._slowest, self._slowest_before)))

    def late(self, after_s: float) -> None:
        """An answer came that long after its question, too late to be taken."""
        self._misses = 0
        self._learnt = max(self._learnt, min(MAX_S, _LEARN * after_s))

    def answered(self, after_s: float) -> None:
        """An answer came in time."""
        self._misses = 0
        self._answers += 1
        self._slowest = max(self._slowest, after_s)
        if self._answers % _WINDOW == 0:
            self._learnt = min(self._learnt, max(_FADE * self._learnt, _LEARN * self._slowest))
            self._slowest_before, self._slowest = self._slowest, 0.0

    def missed(self) -> None:
        """No answer came."""
        self._misses += 1
        if self._misses >= SILENT_AFTER:
            self._learnt = 0.0
