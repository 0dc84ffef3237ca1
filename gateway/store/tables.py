"""Writes a batch into the tables, inside the transaction of whoever owns the database (``sealed.py`` reads them)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from gateway.store import packing, seals
from gateway.store.rows import Batch, JournalRow, StateRow
from gateway.store.sealed import put_meta

_INSTANT_BYTES = 8


def write(connection: sqlite3.Connection, batch: Batch, serial: int) -> None:
    """All of a batch but its messages, which are the outbox's. ``serial`` names this commit for whoever opens the file next."""
    if batch.journal:
        write_journal(connection, batch.journal)
    for row in batch.state:
        write_state(connection, row, serial)
    connection.executemany(
        "INSERT INTO history (n, alert, revision, kind, at, who, reason, body, sum) VALUES "
        "((SELECT COALESCE(MAX(n), 0) + 1 FROM history WHERE alert = ?), ?, ?, ?, ?, ?, ?, ?, ?)",
        [(row.alert, *seals.seal_history(row)) for row in batch.history],
    )
    if batch.stamp is not None:
        put_meta(connection, "stamp", pack_stamp(batch.stamp))
    put_meta(connection, "serial", str(serial).encode())


def folded(connection: sqlite3.Connection, serial: bytes | None) -> int:
    """The serial number of the last commit in these tables; ``serial`` is their note of it.

    Where that note is damaged, the newest row of state says as much as is known: without it the commit log's whole past would
    be news, and laid over the present.
    """
    if serial is not None:
        return int(serial)
    return int(connection.execute("SELECT COALESCE(MAX(n), 0) FROM state").fetchone()[0])


def write_state(connection: sqlite3.Connection, row: StateRow, serial: int) -> None:
    """One row of state as that commit left it."""
    if row.body is None:
        connection.execute("DELETE FROM state WHERE kind = ? AND key = ?", (row.kind, row.key))
    else:
        connection.execute(
            "INSERT OR REPLACE INTO state (kind, key, body, sum, n) VALUES (?, ?, ?, ?, ?)",
            (*seals.seal_state(row), serial),
        )


def write_journal(connection: sqlite3.Connection, rows: Iterable[JournalRow]) -> None:
    """Rows behind those that are there, runs of quiet ones packed; each run is written before the next is asked for."""
    n = connection.execute("SELECT COALESCE(MAX(n), 0) FROM journal").fetchone()[0]
    for row, count in packing.packed(rows):
        n += count
        values = (n, *seals.seal_journal(row))
        connection.execute("INSERT INTO journal (n, at, id, kind, body, sum) VALUES (?, ?, ?, ?, ?, ?)", values)


def pack_stamp(stamp: tuple[int, bytes]) -> bytes:
    """The site's instant, and what the clocks said then, as one note."""
    instant, clocks = stamp
    return instant.to_bytes(_INSTANT_BYTES, "big", signed=True) + clocks


def unpack_stamp(packed: bytes) -> tuple[int, bytes]:
    """The inverse of ``pack_stamp``."""
    return int.from_bytes(packed[:_INSTANT_BYTES], "big", signed=True), packed[_INSTANT_BYTES:]
