"""Local times that people write and read, and moments of true time. Pure: the zone comes as data, so no clock or zone file is asked."""

from __future__ import annotations

import datetime as dt
from typing import Any

from gateway.instant import Anchor, Instant


def wall_ms(local: str, zone: tuple[tuple[int, int], ...]) -> int:
    """Milliseconds since 1970 UTC of a local time; of the hour that comes twice, the second."""
    shown = int(dt.datetime.fromisoformat(local).replace(tzinfo=dt.UTC).timestamp() * 1000)
    return next((shown - offset for since, offset in reversed(zone) if shown - offset >= since), shown - zone[0][1])


def local_time(wall_ms: int, zone: tuple[tuple[int, int], ...], to: str = "minutes") -> str:
    """``2026-12-05T14:20``: what the clock on the wall shows then, ``to`` the minute or to the second (``"seconds"``);
    ``wall_ms`` in milliseconds since 1970 UTC.
    """
    offset = next((offset for since, offset in reversed(zone) if wall_ms >= since), zone[0][1])
    shown = dt.datetime.fromtimestamp((wall_ms + offset) / 1000, dt.UTC)
    return shown.replace(tzinfo=None).isoformat(timespec=to)


def dated(at: Instant, anchor: Anchor | None, zone: tuple[tuple[int, int], ...]) -> dict[str, Any]:
    """A moment for people and scripts: ``at``, its place on the site timeline, and what true time was then: ``wall_ms`` since
    1970 UTC, ``at_local`` by the site's clock on the wall. Both are None where no clock can tell.
    """
    wall = None if anchor is None else anchor.wall_ms(at)
    return {"at": at, "wall_ms": wall, "at_local": None if wall is None else local_time(wall, zone, "seconds")}
