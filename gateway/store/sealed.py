"""Reads sealed rows: what fails its checksum is set aside, counted and told, and never ends the reading.

Works inside the connections and transactions of ``database.py``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import structlog

from gateway.store import seals
from gateway.store.rows import Damage

log = structlog.get_logger()

Pair = tuple[tuple[Any, ...], tuple[Any, ...]]
"""Key of a row, and its columns with the seal behind them."""


class Sealed:
    """The reader of one database; counts into ``damage``."""

    def __init__(self, damage: Damage) -> None:
        self._damage = damage
        self._seen: set[tuple[object, ...]] = set()

    def rows(self, connection: sqlite3.Connection, table: str, tail: str = "", *values: object) -> list[Pair]:
        """All sound rows that ``tail`` (WHERE, ORDER BY) chooses."""
        return self._page(connection, table, tail, values)[0]

    def first(self, connection: sqlite3.Connection, table: str, tail: str, n: int, *values: object) -> list[Pair]:
        """The first ``n`` sound rows; damaged ones do not count."""
        limit = n
        while True:
            good, length = self._page(connection, table, f"{tail} LIMIT ?", (*values, limit))
            if len(good) >= n or length < limit:
                return good[:n]
            limit += length - len(good)

    def meta(self, connection: sqlite3.Connection, key: str) -> bytes | None:
        """One of the database's own notes."""
        rows = self.rows(connection, "meta", "WHERE key = ?", key)
        return rows[0][1][1] if rows else None

    def _page(
        self, connection: sqlite3.Connection, table: str, tail: str, values: Sequence[object]
    ) -> tuple[list[Pair], int]:
        keys = len(seals.KEYS[table])
        columns = ", ".join(seals.KEYS[table] + seals.COLUMNS[table])
        rows = connection.execute(f"SELECT {columns} FROM {table} {tail}", values).fetchall()  # noqa: S608 (our own names)
        good: list[Pair] = []
        bad: list[Pair] = []
        for row in rows:
            (good if seals.sound(table, row[keys:]) else bad).append((row[:keys], row[keys:]))
        if bad:
            self._set_aside(connection, table, bad)
        return good, len(rows)

    def _set_aside(self, connection: sqlite3.Connection, table: str, bad: list[Pair]) -> None:
        """Move rows to ``damaged``. Where the disk refuses they stay, and are passed over again."""
        for key, _ in bad:
            if (table, *key) not in self._seen:
                self._seen.add((table, *key))
                self._damage.rows += 1
                log.error("row_damaged", table=table, key=[repr(part) for part in key])
        if connection.in_transaction:
            return  # a refusal here would undo somebody else's work; the next reading moves them
        try:
            connection.execute("BEGIN IMMEDIATE")
            for key, row in bad:
                _move(connection, table, key, row)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            log.warning("damaged_row_stays", table=table, error=str(error))
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _move(connection: sqlite3.Connection, table: str, key: tuple[Any, ...], row: tuple[Any, ...]) -> None:
    """A key may hold text that is no longer text, so it is compared as bytes."""
    tests = " AND ".join(
        f"{name} = CAST(? AS TEXT)" if isinstance(part, str) else f"{name} = ?"
        for name, part in zip(seals.KEYS[table], key, strict=True)
    )
    raw = [part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part for part in key]
    connection.execute(
        "INSERT INTO damaged (origin, reason, row) VALUES (?, 'checksum', ?)", (table, seals.describe(table, row))
    )
    connection.execute(f"DELETE FROM {table} WHERE {tests}", raw)  # noqa: S608 (our own names)


def sound_meta(connection: sqlite3.Connection, key: str) -> bytes | None:
    """One of the database's own notes, for somebody who only reads; None where it is missing or fails its checksum."""
    row = connection.execute("SELECT key, body, sum FROM meta WHERE key = ?", (key,)).fetchone()
    return row[1] if row is not None and seals.sound("meta", row) else None


def put_meta(connection: sqlite3.Connection, key: str, body: bytes) -> None:
    """Write one of the database's own notes."""
    connection.execute("INSERT OR REPLACE INTO meta (key, body, sum) VALUES (?, ?, ?)", seals.seal("meta", key, body))
