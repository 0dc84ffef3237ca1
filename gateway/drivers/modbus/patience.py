"""How long one unit is waited for beyond what its profile says. Pure.

Theory. A late answer shows how slow a unit can be, and waiting half as long again catches the next one (facts/modbus 3). But
one slow moment must not cost the bus for ever, so what was learnt fades while answers come quicker, and is dropped for a
unit that says nothing any more: a probe of the dead is paid by the living.
"""

from __future__ import annotations

SILENT_AFTER = 3  # misses without a late answer; as many as make a device lost (watch.py)
MAX_S = 1.6
"""Three misses, two settle times between them and the longest pause before the first (3 s) stay below the promised 10 s."""
_LEARN = 1.5  # facts/modbus 3, the rule measured with 0 wrong of 240
_FADE = 0.9
_WINDOW = 20
"""Answers after which it fades once: a device read each second is trusted again after some minutes."""


class Patience:
    """What is known of one unit's slowness; all times in seconds."""

    def __init__(self) -> None:
        self._learnt = 0.0
        self._slowest = 0.0
        self._answers = 0
        self._misses = 0

    def timeout_s(self, profile_s: float) -> float:
        """How long to wait now."""
        return max(profile_s, self._learnt)

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
            self._slowest = 0.0

    def missed(self) -> None:
        """No answer came."""
        self._misses += 1
        if self._misses >= SILENT_AFTER:
            self._learnt = 0.0
