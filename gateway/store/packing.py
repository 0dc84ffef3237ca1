"""Runs of quiet journal rows as one: what moves all day and means nothing must not cost a page each time.

Pure: rows in, rows out. A packed row stands for several rows, the last of which has its number ``n``; so numbers stay those of
single rows, whichever way they are kept. Urgent rows are never packed: they can be found by their kind.

The commit log packs the same runs (``commit_log.py``); a fold makes longer ones of those of many commits.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import msgspec

from gateway.store import columns, deflate
from gateway.store.rows import JournalRow

PACKED = "packed"
"""Kind of a packed row; no event has it."""
LEAST = 4
"""Fewer rows than this stay as they are."""
_COLUMNS = b"\x02"
"""Begins a body of deflated columns; one of an earlier version is a deflated list of rows, and begins as streams do."""
_BROKEN = (zlib.error, msgspec.DecodeError, UnicodeDecodeError, columns.BrokenColumns)
_Rows = list[tuple[int, str, str, bytes]]


class BrokenPack(ValueError):
    """What should be a pack is none; its checksum held, so it was never one."""


def runs(rows: Iterable[JournalRow]) -> Iterator[JournalRow | list[JournalRow]]:
    """The rows in order, those of them together that may become one."""
    run: list[JournalRow] = []
    for row in rows:
        # Columns hold neither number nor person; and an instant that no table takes must not spoil others.
        goes_along = row.quiet and not row.n and not row.person and -(2**63) <= row.at < 2**63
        if not goes_along or len(run) == columns.MOST:
            yield from _ended(run)
            run = []
        if goes_along:
            run.append(row)
        else:
            yield row
    yield from _ended(run)


def packed(rows: Iterable[JournalRow]) -> Iterator[tuple[JournalRow, int]]:
    """The rows in order, runs of quiet ones packed, each with the number of rows it stands for."""
    for piece in runs(rows):
        if isinstance(piece, JournalRow):
            yield piece, 1
        else:
            body = _COLUMNS + deflate.deflated(columns.encode(piece))
            yield JournalRow(piece[-1].at, piece[0].id, PACKED, body), len(piece)


def unpacked(row: JournalRow) -> list[JournalRow]:
    """The rows that a row read back stands for, numbered up to its own number. Raises BrokenPack."""
    if row.kind != PACKED:
        return [row]
    try:
        rows = _opened(row.body)
    except _BROKEN as fault:
        raise BrokenPack(str(fault)) from fault
    first = row.n - len(rows) + 1
    return [
        JournalRow(one.at, one.id, one.kind, one.body, n=first + place, quiet=True) for place, one in enumerate(rows)
    ]


def count(kind: str, body: bytes) -> int:
    """How many rows a row stands for. Raises BrokenPack."""
    if kind != PACKED:
        return 1
    try:
        return columns.count(_plain(body)) if body.startswith(_COLUMNS) else len(_opened(body))
    except _BROKEN as fault:
        raise BrokenPack(str(fault)) from fault


def _ended(run: list[JournalRow]) -> Iterator[JournalRow | list[JournalRow]]:
    if len(run) < LEAST:
        yield from run
    else:
        yield run


def _opened(body: bytes) -> list[JournalRow]:
    if body.startswith(_COLUMNS):
        return columns.decode(_plain(body))
    return [JournalRow(*said) for said in _decode_earlier(deflate.inflated(body))]


def _plain(body: bytes) -> bytes:
    return deflate.inflated(body[len(_COLUMNS) :])


_decode_earlier = msgspec.msgpack.Decoder(_Rows).decode
