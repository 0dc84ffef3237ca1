"""Local times that people write, as moments of true time. Pure: the zone comes as data, so no clock or zone file is asked."""

from __future__ import annotations

import datetime as dt


def wall_ms(local: str, zone: tuple[tuple[int, int], ...]) -> int:
    """Milliseconds since 1970 UTC of a local time; of the hour that comes twice, the second."""
    shown = int(dt.datetime.fromisoformat(local).replace(tzinfo=dt.UTC).timestamp() * 1000)
    return next((shown - offset for since, offset in reversed(zone) if shown - offset >= since), shown - zone[0][1])
