"""Time as the core knows it: numbers handed in, never read.

Here live the site timeline (``Instant``) and the mark that ties it to clocks (``Stamp``, ``Anchor``).
Nothing in this file may read a clock.

Theory. A Raspberry Pi may have no clock of its own, so wall time can jump by decades. Rules, deadlines and order
therefore run on the *site timeline*: milliseconds that only grow, over restarts and reboots, whatever the wall says.
Wall time is an offset to that line, known or not known, added when a person or the upstream reads it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NewType

from msgspec import Struct

Instant = NewType("Instant", int)
"""A point on the site timeline, in milliseconds. Only differences and order mean anything."""

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class ClockQuality(StrEnum):
    """Whether the wall clock could be trusted when something was stamped."""

    SYNCED = "synced"
    UNSYNCED = "unsynced"


class Stamp(Struct, frozen=True):
    """What the clocks showed at one moment of one boot: enough to date it later (facts: clock state)."""

    boot_id: str
    """Kernel boot id, ``/proc/sys/kernel/random/boot_id``."""
    boottime_ms: int
    """CLOCK_BOOTTIME: since this boot, counting suspend."""
    wall_ms: int
    """CLOCK_REALTIME since 1970, right only when ``clock`` is synced."""
    clock: ClockQuality


class Anchor(Struct, frozen=True):
    """The tie between the site timeline and true time: ``wall_ms = instant + offset_ms``."""

    offset_ms: int

    def wall_ms(self, at: Instant) -> int:
        """Milliseconds since 1970 UTC of a moment on the site timeline."""
        return at + self.offset_ms


def after(at: Instant, duration_ms: int) -> Instant:
    """The moment ``duration_ms`` later."""
    return Instant(at + duration_ms)
