"""A terminal's own log (ISAPI ``AcsEvent``): what to ask it, and what a page of its answer holds.

Pure. Rows go through the very adapter that reads pushes, so an event has the same key whichever way it came; from a log it is
never live. Theory of dialects (facts/face 1.1, 1.4): some firmware selects by serial number, some refuses the fields, some
overlooks them; ``major: 0`` means *all* to some, and nothing to others, which want each major in turn. So the dialects are
tried in order, what came is sifted by serial number here, and only a log that was read to its end says *absent*.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

import msgspec
from msgspec import Struct

from gateway.drivers.face.bodies import BodyFault, Text
from gateway.drivers.face.documents import decode_text, parse_documents
from gateway.drivers.face.isapi import decode_texts
from gateway.drivers.face.scalars import UNPROVEN
from gateway.drivers.face.serials import Run
from gateway.drivers.face.terminal import Terminal
from gateway.events import Entry
from gateway.instant import DAY

PATH = "/ISAPI/AccessControl/AcsEvent?format=json"
PAGE_ROWS = 30
"""``maxResults`` above it is refused (facts/face 1.1)."""
LAST_POSITION = 1_000
"""Some firmware knows no higher ``searchResultPosition``; beyond it the search begins anew, later in time."""
MOST_PAGES = 200
"""Of one search: 6 000 events, more than most logs are asked for after a week."""
LOOKBACK_MS = 7 * DAY
"""Where nothing tells when the missing events were."""

_LATEST_MS = 253_402_128_000_000
"""9999-12-30: a day is left, for whichever offset."""


class Dialect(Struct, frozen=True):
    """One way in which a log can be asked."""

    serials: bool
    """By serial number as well as by time."""
    majors: tuple[int, ...]
    """Kinds of event, one search each; 0: all at once."""


DIALECTS = (Dialect(True, (0,)), Dialect(False, (0,)), Dialect(False, (1, 2, 3, 5)))


class Span(Struct, frozen=True):
    """What to look for: serial numbers (the last one may be open) between two times of the terminal's own clock."""

    first: int
    last: int | None
    start_ms: int
    end_ms: int


class Page(Struct, frozen=True):
    """One answer."""

    entries: tuple[Entry, ...]
    """In their order, none of them live."""
    rows: int
    more: bool
    """There are further rows behind these."""


def question(
    span: Span, dialect: Dialect, major: int, search: str, position: int, zone: tzinfo | None
) -> dict[str, object]:
    """The body of one request. ``search``: the same for all pages of a search, and for no other search."""
    asked: dict[str, object] = {
        "searchID": search,
        "searchResultPosition": position,
        "maxResults": PAGE_ROWS,
        "major": major,
        "minor": 0,
        "startTime": _iso(span.start_ms, zone),
        "endTime": _iso(span.end_ms, zone),
        "picEnable": False,
    }
    if dialect.serials:
        asked["beginSerialNo"] = span.first
        asked |= {} if span.last is None else {"endSerialNo": span.last}
    return {"AcsEventCond": asked}


def read_page(body: bytes, terminal: Terminal) -> Page:
    """One page. Raises BodyFault, ``no_page`` where it is something else, such as an error of the terminal."""
    if len(body) == 0:
        raise BodyFault("empty")
    documents = parse_documents(decode_text(Text(body)), 1)
    page = documents[0].get("AcsEvent") if documents else None
    if not isinstance(page, dict) or not isinstance(page.get("responseStatusStrg"), str):
        raise BodyFault("no_page")
    rows = page.get("InfoList")
    decoded = decode_texts([Text(body)], terminal, None)
    more = page["responseStatusStrg"].strip().upper() == "MORE"
    return Page(tuple(map(_from_log, decoded.entries)), len(rows) if isinstance(rows, list) else 0, more)


def in_order(entries: Sequence[Entry], wanted: Run | None = None) -> list[Entry]:
    """Those with a serial number (of ``wanted`` only), each once, oldest first."""
    known = {entry.seq: entry for entry in entries if entry.seq is not None}
    low, high = wanted or (min(known, default=0), max(known, default=0))
    return [known[seq] for seq in sorted(known) if low <= seq <= high]


def _from_log(entry: Entry) -> Entry:
    """Nobody need prove the freshness of what is history."""
    doubts = tuple(doubt for doubt in entry.anomalies if doubt != UNPROVEN)
    return msgspec.structs.replace(entry, live=False, anomalies=doubts)


def _iso(at_ms: int, zone: tzinfo | None) -> str:
    """A time with its offset, to the second: what the terminal takes. What its calendar does not reach is asked for to its end."""
    within_ms = min(max(at_ms, 0), _LATEST_MS)
    return datetime.fromtimestamp(within_ms / 1000, zone or UTC).isoformat(timespec="seconds")
