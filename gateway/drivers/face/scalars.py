"""What a field of a terminal's body may hold: numbers, words, flags, times, each in the many ways terminals write them.

Pure. A value that cannot be what it should is none: it is never guessed at, and never shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo

from gateway.drivers.face.bodies import BodyFault
from gateway.instant import SECOND

AHEAD_MS, BEHIND_MS = 5 * SECOND, 90 * SECOND
"""Facts/face 0.3: a terminal's clock may lead a little, its push may lag."""
CLOCK_OFF_MS = 60 * SECOND
"""Facts/face 4, last default: a live event dated further off than this tells of a wrong terminal clock."""
_OLDEST_MS = 1_577_836_800_000  # 2020: a clock that lost its battery begins in 1970 or 2000, and no log is that long
UNPROVEN = "freshness_unproven"
"""Anomaly of an event of which nobody can say whether it is live."""
ASSUMED = "assumed_tz"
"""Time quality of a local time that named no offset."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_ID = frozenset({"", "null", "none"})
MAX_SERIAL = 2**53
MAX_CODE = 0xFFFF
"""Codes and door numbers are 16-bit words in the vendor's SDK; a longer number there is something else, and may be personal."""


def number(value: object, most: int = MAX_CODE) -> int | None:
    """A counter or code: a number, its decimal text, or hexadecimal text ("0x4b"); None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    if isinstance(value, str):
        written = value.strip().lower()
        if not re.fullmatch(r"0x[0-9a-f]{1,13}|[0-9]{1,15}", written, re.ASCII):
            return None
        value = int(written, 16 if written.startswith("0x") else 10)
    return value if 0 <= value <= most else None


def flag(value: object) -> bool | None:
    """Yes or no, in any of the ways seen."""
    if isinstance(value, bool):
        return value
    return {"true": True, "1": True, "false": False, "0": False, "2": False}.get(text(value).lower())


def text(value: object) -> str:
    """A scalar as text; nothing else has one."""
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def word(value: object) -> str:
    """A scalar as text in lower case."""
    return text(value).lower()


def plain(value: object) -> str:
    """An id of a device in the form in which it is compared: lower case, letters and digits only."""
    return "".join(letter for letter in word(value) if letter.isalnum())


def iso_time(raw: object, zone: tzinfo | None) -> tuple[int | None, str]:
    """Milliseconds since 1970 and how far to believe them: ``offset``, ``assumed_tz``, or ``received`` (none usable)."""
    try:
        when = datetime.fromisoformat(text(raw))
        quality = "offset"
        if when.tzinfo is None:
            if zone is None:
                return None, "received"
            when, quality = when.replace(tzinfo=zone), ASSUMED
        # The years 0 and 10000, as an offset may make them, are no times: nothing could show them.
        return (when.astimezone(UTC) - EPOCH) // timedelta(milliseconds=1), quality
    except (ValueError, OverflowError):
        return None, "received"


def last_of_two(time_ms: int | None, quality: str, zone: tzinfo | None, now_ms: int | None) -> int | None:
    """Of a time without offset, in the hour that comes twice as summer time ends, the last that has been.

    ``iso_time`` takes the first, always: what an entry is known by must not change with the moment it is read.
    """
    if time_ms is None or quality != ASSUMED or zone is None or now_ms is None:
        return time_ms
    try:
        again = (datetime.fromtimestamp(time_ms / 1000, zone).replace(fold=1) - EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError, OSError):  # at the ends of the calendar no hour comes twice
        return time_ms
    return again if time_ms < again <= now_ms + AHEAD_MS else time_ms


def iso_text(time_ms: int) -> str:
    """The same, back."""
    return (EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds")


def is_fresh(time_ms: int | None, now_ms: int | None) -> bool:
    """Whether a time is near enough for an event to be happening now."""
    return time_ms is not None and now_ms is not None and -AHEAD_MS <= now_ms - time_ms <= BEHIND_MS


def time_doubts(
    time_ms: int | None, now_ms: int | None, *, is_live: bool | None, clock_off: bool = False
) -> dict[str, bool]:
    """Anomalies by name; ``is_live`` is the terminal's own word, None where it gives none.

    A date ahead of us, or from before any such terminal, is no date: its clock is wrong, and what it sends now looks like a replay.
    So is one of the past, where it is known that its clock is off.
    """
    dated = time_ms is not None and now_ms is not None
    dates = is_fresh(time_ms, now_ms) or (
        dated and not clock_off and _OLDEST_MS <= (time_ms or 0) <= (now_ms or 0) + AHEAD_MS
    )
    return {
        "no_time": time_ms is None,
        UNPROVEN: is_live is None and not dates,
        "clock_off": is_live is True and dated and abs((now_ms or 0) - (time_ms or 0)) > CLOCK_OFF_MS,
    }


def fingerprint(event: Mapping[str, object], without: Collection[str] = ()) -> str:
    """Stands in for the serial number of an event that has none, so that two of one second stay two. Sealed, never shown.

    Raises BodyFault ``too_deep``: the stack that was just enough to read an event may not be to write it.
    """
    lasting = {name: value for name, value in event.items() if name not in without}
    with suppress(RecursionError):
        return json.dumps(lasting, sort_keys=True, default=str)
    raise BodyFault("too_deep")
