"""Watches for the wall clock to become trustworthy, and tells the core what an instant is in true time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.clock import Timeline
from gateway.events import ClockSynced
from gateway.inbox import Report
from gateway.instant import Anchor, ClockQuality

LOOK_S = 2.0
TOLERANCE_MS = 500
"""A disciplined clock wanders by milliseconds; half a second is a correction worth a new anchor."""


class Timekeeper:
    """Reports ``ClockSynced`` when the clock is first trusted, and when a trusted clock was put right."""

    def __init__(
        self,
        timeline: Timeline,
        anchor: Callable[[], Anchor | None],
        report: Report,
        beat: Callable[[], None],
    ) -> None:
        self._timeline, self._anchor = timeline, anchor
        self._report, self._beat = report, beat

    async def run(self) -> None:
        while True:
            self.look()
            self._beat()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Compare once."""
        stamp = self._timeline.clock.stamp()
        if stamp.clock is not ClockQuality.SYNCED:
            return
        offset, anchor = self._timeline.offset_ms(stamp), self._anchor()
        if anchor is None or abs(anchor.offset_ms - offset) > TOLERANCE_MS:
            self._report(ClockSynced(offset))

    def wall_ms(self) -> int | None:
        """Trusted wall time now, or None."""
        stamp = self._timeline.clock.stamp()
        return stamp.wall_ms if stamp.clock is ClockQuality.SYNCED else None
