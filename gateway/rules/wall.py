"""What the clock on the wall shows, also on the two days of the year on which it is put forward or back. Pure.

Theory. People mean a window of the day once a night. Where the clock is put back an hour comes twice: a window whose start lies
in it begins at the first, and one whose end lies in it ends at the second. So in the first of the two hours all that it has shown
already counts as shown, in the second all that it has still to show. Where it is put forward an hour is left out: what would
begin or end in it does so at the jump, and a window that lies wholly in it does not come on that day.
"""

from __future__ import annotations

from bisect import bisect_right

from msgspec import Struct

Zone = tuple[tuple[int, int], ...]
"""UTC offsets as (from in ms since 1970 UTC, offset in ms), in order of time."""


class Wall(Struct, frozen=True):
    """A moment, in ms since 1970 of local time."""

    shown: int
    earliest: int
    latest: int
    """From and to what counts as shown: the moment alone, but in an hour that comes twice."""
    turns_in_ms: int | None
    """Until the clock is next put forward or back; None: never, as far as is known."""


def shown(zone: Zone, utc_ms: int) -> Wall:
    """The wall at a moment of true time; before the first offset the wall shows UTC."""
    following = bisect_right(zone, utc_ms, key=_since)
    offset = zone[following - 1][1] if following else 0
    now, turns_in = utc_ms + offset, None
    earliest = latest = now
    if following < len(zone):
        turn, then = zone[following]
        turns_in, earliest = turn - utc_ms, min(now, turn + then)
    if following > 1:
        latest = max(now, zone[following - 1][0] + zone[following - 2][1] - 1)
    return Wall(now, earliest, latest, turns_in)


def _since(row: tuple[int, int]) -> int:
    return row[0]
