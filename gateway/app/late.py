"""A run that began without what its disk holds, for the disk answered too late: what of it may be laid over that.

Theory. Nobody could tell such a run where the site timeline stood, so its own began at nothing. What it hands over is moved to
where that timeline had come by then: an alert of an hour ago must read as one of an hour ago, and not as one of the gateway's first
minute. The core on the disk knows nothing of all this. So the stamp says up to where that core has *heard*, and the boot of the
next run tells it what it missed. The clocks of a downtime of unknown length stay unknown to it over such a run.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import structlog
from msgspec import Struct

from gateway.alerts import Alert, NoteKind
from gateway.clock import resume
from gateway.instant import ClockQuality, Instant, Stamp
from gateway.rules.ledger import Row
from gateway.rules.moved import MOVABLE, moved, moved_row
from gateway.store.rows import Batch, HistoryRow, StateRow

log = structlog.get_logger()

_NO_ALERTS = frozenset({NoteKind.RECEIVED.value, NoteKind.REFUSED.value})
"""Steps of a history whose body is an event, not the alert."""
_replace = msgspec.structs.replace


class Clocks(Stamp, frozen=True):
    """What the clocks showed at the last instant that was kept."""

    heard_until: int | None = None
    """The core on the disk has heard all up to this instant, and nothing behind it; None: it has heard all."""
    counted: bool = True
    """Trusted clocks have counted how long it was since then."""


class Passed(Struct, frozen=True):
    """What passed since the core on the disk heard something."""

    origin: Instant
    """Where the timeline goes on."""
    downtime_ms: int | None
    """None: no trusted clock can tell."""
    missed_ms: int = 0
    """How much of the timeline it is."""


def passed(last: tuple[Instant, Clocks] | None, now: Stamp) -> Passed:
    """Where a run begins whose last stamp was that."""
    origin, downtime = resume(last, now)
    if last is None or last[1].heard_until is None:
        return Passed(origin, downtime, downtime or 0)
    missed = origin - last[1].heard_until
    return Passed(origin, missed if downtime is not None and last[1].counted else None, missed)


def remembered(stamp: tuple[int, bytes] | None) -> tuple[tuple[Instant, Clocks] | None, tuple[str, ...]]:
    """Where the timeline of the last run stood and what the clocks said, and what is to be noted of that.

    What cannot be read of the clocks (a later version may have written it) is no more than a boot of which nothing is known: the
    instant stands, for every deadline of an open alert is told in it.
    """
    return (None, ()) if stamp is None else _read(stamp)


def _read(stamp: tuple[int, bytes]) -> tuple[tuple[Instant, Clocks], tuple[str, ...]]:
    instant, clocks = stamp
    try:
        return (Instant(instant), msgspec.json.decode(clocks, type=Clocks)), ()
    except (ValueError, RecursionError) as error:
        log.warning("stamp_unreadable", error=str(error))
        return (Instant(instant), Clocks("", 0, 0, ClockQuality.UNSYNCED)), ("stamp_unreadable",)


class LateRun:
    """Lays the rows of a run over a database that it never loaded. Works in the disk's thread, and nowhere else."""

    def __init__(self) -> None:
        self._place: Place | None = None

    def lay_over(self, batch: Batch, last_stamp: Callable[[], tuple[int, bytes] | None]) -> Batch:
        """The same batch as that database may have it. Of state only what is ``MOVABLE``: its own clock and facts stand.

        ``last_stamp``: what it holds; asked the first time, for then it holds ours.
        """
        if self._place is None and batch.stamp is not None:
            self._place = _place(last_stamp(), batch.stamp)
        place = self._place or Place()
        return _replace(
            batch,
            journal=tuple(_replace(row, at=row.at + place.by_ms) for row in batch.journal),
            state=tuple(_laid(row, place.by_ms) for row in batch.state if row.kind in MOVABLE),
            history=tuple(_step(row, place.by_ms) for row in batch.history),
            stamp=None if batch.stamp is None else _stamp(batch.stamp, place),
        )


class Place(Struct, frozen=True):
    """Where a run lies on the timeline of a database that it did not know."""

    by_ms: int = 0
    """How much later than on its own."""
    heard_until: int | None = None
    counted: bool = True


def _place(found: tuple[int, bytes] | None, stamp: tuple[int, bytes]) -> Place:
    last, _ = remembered(found)
    (at, clocks), _ = _read(stamp)
    if last is None:
        return Place()  # nothing was there: our timeline is the site's
    origin, downtime = resume(last, clocks)
    # Of unknown length: behind the last that was heard there, as our own begins at nothing.
    by_ms = last[0] + 1 if downtime is None else origin - at
    heard = last[0] if last[1].heard_until is None else last[1].heard_until
    return Place(by_ms, heard, last[1].counted and downtime is not None)


def _stamp(stamp: tuple[int, bytes], place: Place) -> tuple[int, bytes]:
    (at, clocks), _ = _read(stamp)
    told = _replace(clocks, heard_until=place.heard_until, counted=place.counted)
    return at + place.by_ms, msgspec.json.encode(told)


def _laid(row: StateRow, by_ms: int) -> StateRow:
    laid = moved_row(Row(row.kind, row.key, row.body), by_ms)
    return StateRow(laid.kind, laid.key, laid.body)


def _step(row: HistoryRow, by_ms: int) -> HistoryRow:
    if row.kind in _NO_ALERTS:
        return _replace(row, at=row.at + by_ms)
    alert = moved(msgspec.json.decode(row.body, type=Alert), by_ms)
    return _replace(row, at=row.at + by_ms, body=msgspec.json.encode(alert))
