"""How a row becomes columns and back, sealed with a checksum.

Every row carries a checksum over all it says, taken when it is written and proved when it is read: cheap flash corrupts
single blocks without telling anybody, and SQLite itself checks the shape of its pages, not what they say.
Pure: bytes and tuples in, bytes and tuples out.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence

from gateway.store import deflate
from gateway.store.rows import HistoryRow, JournalRow, Message, StateRow

Column = int | str | bytes | None
_SHORT = 256
"""A body below this is kept as it is: it fits beside others in any page."""

COLUMNS: dict[str, tuple[str, ...]] = {
    "meta": ("key", "body", "sum"),
    "journal": ("at", "id", "kind", "body", "sum"),
    "state": ("kind", "key", "body", "sum"),
    "history": ("alert", "revision", "kind", "at", "who", "reason", "body", "sum"),
    "outbox": ("lane", "sequence", "id", "topic", "alert", "body", "sum"),
    "cursors": ("uplink", "lane", "sequence", "sum"),
    "audit": ("at", "who", "verb", "about", "sum"),
}
"""Columns each seal covers, the seal last. Numbers the database itself gives (``n``) stand outside."""

KEYS: dict[str, tuple[str, ...]] = {
    "meta": ("key",),
    "journal": ("n",),
    "state": ("kind", "key"),
    "history": ("alert", "n"),
    "outbox": ("lane", "sequence"),
    "cursors": ("uplink", "lane"),
    "audit": ("n",),
}


NUMBERED = frozenset({"journal", "history", "audit"})
"""Tables whose rows have a number ``n`` that stands outside the seal: the order of the pages is the truth of it."""
LEAP = 1 << 20
"""Numbers of such rows that follow each other lie closer together than this. Where they do not, one of them is wrong: so many rows in a
row do not fail their checksums. In a history any number may be missing behind the step that says how many were thinned out; there
the order alone counts.
"""


def read_text(raw: bytes) -> str:
    """For ``Connection.text_factory``: a flipped bit must reach the checksum, not end the reading."""
    return raw.decode("utf-8", "surrogateescape")


def checksum(table: str, columns: Sequence[Column]) -> int:
    """CRC-32 over a row: finds every single flipped bit and every burst of up to 32 bits."""
    total = zlib.crc32(table.encode())
    for column in columns:
        raw = column if isinstance(column, bytes) else str(column).encode("utf-8", "surrogateescape")
        total = zlib.crc32(raw, zlib.crc32(f"{type(column).__name__}{len(raw)}:".encode(), total))
    return total


def seal(table: str, *columns: Column) -> tuple[Column, ...]:
    """The columns of a row with their checksum behind them."""
    return (*columns, checksum(table, columns))


def sound(table: str, row: Sequence[Column]) -> bool:
    """Whether a row read back says what was written."""
    return row[-1] == checksum(table, row[:-1])


def seal_journal(row: JournalRow) -> tuple[Column, ...]:
    return seal("journal", row.at, row.id, row.kind, row.body)


def seal_state(row: StateRow) -> tuple[Column, ...]:
    return seal("state", row.kind, row.key, row.body)


def seal_history(row: HistoryRow) -> tuple[Column, ...]:
    return seal("history", row.alert, row.revision, row.kind, row.at, row.who, row.reason, deflated(row.body))


def seal_message(row: Message) -> tuple[Column, ...]:
    return seal("outbox", row.lane, row.sequence, row.id, row.topic, row.alert, deflated(row.body))


def deflated(body: bytes) -> bytes:
    """A long body as it is kept: a tenth of its size, so that many share a page and none needs one of its own.

    No JSON begins as a stream does; what does is deflated however short it is.
    """
    return deflate.deflated(body) if len(body) >= _SHORT or body.startswith(deflate.FIRST) else body


def inflated(body: bytes) -> bytes:
    """The body again; what was kept as it is comes as it is."""
    if not body.startswith(deflate.FIRST):
        return body
    try:
        return deflate.inflated(body)
    except zlib.error:  # written before long bodies were deflated
        return body


def describe(table: str, row: Sequence[Column]) -> bytes:
    """A bad row in a form a person can look at, whatever it holds."""
    columns = {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in zip(COLUMNS[table], row, strict=False)
    }
    return json.dumps(columns).encode()
