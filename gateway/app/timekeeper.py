"""Watches for the wall clock to become trustworthy, and tells the core what an instant is in true time; whoever waits for another
clock, that it is another.
"""

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
        self._moved: Callable[[], None] = lambda: None
        self._seen: tuple[int, bool] | None = None
        """Offset and trust, as somebody was last told of them."""

    def connect(self, moved: Callable[[], None]) -> None:
        """Who wants to know, at most once a look, that the wall clock was stepped, or is trusted, or no longer. The core need not be
        told of a step that nobody vouches for, nor that a clock is what it was before; a certificate is judged by either.
        """
        self._moved = moved

    async def run(self) -> None:
        while True:
            self.look()
            self._beat()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Compare once."""
        stamp = self._timeline.clock.stamp()
        offset, trusted = self._timeline.offset_ms(stamp), stamp.clock is ClockQuality.SYNCED
        anchor = self._anchor() if trusted else None
        if trusted and (anchor is None or abs(anchor.offset_ms - offset) > TOLERANCE_MS):
            self._report(ClockSynced(offset))
        before, was_trusted = self._seen = self._seen or (offset, trusted)
        if trusted is not was_trusted or abs(offset - before) > TOLERANCE_MS:
            self._seen = offset, trusted
            self._moved()

    def wall_ms(self) -> int | None:
        """Trusted wall time now, or None."""
        stamp = self._timeline.clock.stamp()
        return stamp.wall_ms if stamp.clock is ClockQuality.SYNCED else None
