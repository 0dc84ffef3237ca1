"""Runs of quiet journal rows as one row: what moves all day and means nothing must not cost a page each time.

Pure: rows in, rows out. A packed row stands for ``count`` rows, the last of which has its number ``n``; so numbers stay those of
single rows, whichever way they are kept. Urgent rows are never packed: they can be found by their kind.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import msgspec

from gateway.store.rows import JournalRow

PACKED = "packed"
"""Kind of a packed row; no event has it."""
LEAST = 4
"""Fewer rows than this stay as they are."""
MOST = 2_000
"""Rows in one pack: some 100 kB before packing."""
_LEVEL = 6
_Rows = list[tuple[int, str, str, bytes]]


class BrokenPack(ValueError):
    """What should be a pack is none; its checksum held, so it was never one."""


def packed(rows: Iterable[JournalRow]) -> Iterator[tuple[JournalRow, int]]:
    """The rows in order, runs of quiet ones packed, each with the number of rows it stands for."""
    run: list[JournalRow] = []
    for row in rows:
        if row.quiet and len(run) < MOST:
            run.append(row)
            continue
        yield from _ended(run)
        run = [row] if row.quiet else []
        if not row.quiet:
            yield row, 1
    yield from _ended(run)


def _ended(run: list[JournalRow]) -> Iterator[tuple[JournalRow, int]]:
    if len(run) < LEAST:
        yield from ((row, 1) for row in run)
        return
    body = zlib.compress(msgspec.msgpack.encode([(row.at, row.id, row.kind, row.body) for row in run]), _LEVEL)
    yield JournalRow(run[-1].at, run[0].id, PACKED, body), len(run)


def unpacked(row: JournalRow) -> list[JournalRow]:
    """The rows that a row read back stands for, numbered up to its own number. Raises BrokenPack."""
    if row.kind != PACKED:
        return [row]
    try:
        rows = _decode(zlib.decompress(row.body))
    except (zlib.error, msgspec.DecodeError) as fault:
        raise BrokenPack(str(fault)) from fault
    first = row.n - len(rows) + 1
    return [JournalRow(*columns, n=first + place, quiet=True) for place, columns in enumerate(rows)]


_decode = msgspec.msgpack.Decoder(_Rows).decode
