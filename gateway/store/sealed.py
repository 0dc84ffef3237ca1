"""Reads sealed rows: what fails its checksum is set aside, counted and told, and never ends the reading.

Works inside the connections and transactions of ``database.py``.

Theory. A table is a tree ordered by its key. A bit flipped in a key leaves a row where no search for that key comes by, and others
are led astray by it: whoever asks for a range gets a part of it. So a bad row that cannot be found under its own key condemns
the file, and all of it is read in the order of the pages (``salvage.py``), which no key leads astray.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from gateway.store import seals
from gateway.store.rows import Damage

log = structlog.get_logger()

Pair = tuple[tuple[Any, ...], tuple[Any, ...]]
"""Key of a row, and its columns with the seal behind them."""


class Sealed:
    """The reader of one database; counts into ``damage``, and says what condemns the file."""

    def __init__(self, damage: Damage, condemn: Callable[[str], None]) -> None:
        self._damage, self._condemn = damage, condemn
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

    def around(
        self, connection: sqlite3.Connection, table: str, within: Callable[[tuple[Any, ...]], bool]
    ) -> list[Pair]:
        """The sound rows before and behind those ``within``, which lie together and are not read.

        From both ends in the order of the pages: the end of a range would be looked for, and a bad key be taken for it.
        """
        front = self._up_to(connection, table, "", within)
        if front and within(front[-1][1]):
            return [*front[:-1], *self._up_to(connection, table, " DESC", within)[-2::-1]]
        return front

    def _up_to(
        self, connection: sqlite3.Connection, table: str, direction: str, within: Callable[[tuple[Any, ...]], bool]
    ) -> list[Pair]:
        """The sound rows from one end up to the first ``within``."""
        keys = seals.KEYS[table]
        columns = ", ".join(keys + seals.COLUMNS[table])
        order = ", ".join(key + direction for key in keys)
        good: list[Pair] = []
        bad: list[Pair] = []
        for row in connection.execute(f"SELECT {columns} FROM {table} NOT INDEXED ORDER BY {order}"):  # noqa: S608 (our own names)
            key, said = row[: len(keys)], row[len(keys) :]
            sound = seals.sound(table, said)
            (good if sound else bad).append((key, said))
            if sound and within(said):
                break
        if bad:
            self.set_aside(connection, table, bad)
        return good

    def all_sound(self, connection: sqlite3.Connection, table: str, tail: str, *values: object) -> list[Pair] | None:
        """The same as ``rows``; None where a row is bad: it may have been chosen, or others for its sake, by what it does not say."""
        good, length = self._page(connection, table, tail, values)
        return good if len(good) == length else None

    def one(self, connection: sqlite3.Connection, table: str, tail: str, *values: object) -> tuple[Pair | None, bool]:
        """The one row that ``tail`` chooses, if it is sound. Inside a transaction of the caller's, in which a bad one makes room:
        the answer's other half says so.
        """
        good, bad = self._read(connection, table, tail, values)
        self._count(table, bad)
        for key, row in bad:
            move(connection, table, key, row)
        return (good[0] if good else None), bool(bad)

    def meta(self, connection: sqlite3.Connection, key: str) -> bytes | None:
        """One of the database's own notes. All few of them are read, for none is to be missed on the way to another."""
        notes = {name: body for _, (name, body, _) in self.rows(connection, "meta")}
        return notes.get(key)

    def _page(
        self, connection: sqlite3.Connection, table: str, tail: str, values: Sequence[object]
    ) -> tuple[list[Pair], int]:
        good, bad = self._read(connection, table, tail, values)
        if bad:
            self.set_aside(connection, table, bad)
        return good, len(good) + len(bad)

    def _read(
        self, connection: sqlite3.Connection, table: str, tail: str, values: Sequence[object]
    ) -> tuple[list[Pair], list[Pair]]:
        keys = len(seals.KEYS[table])
        columns = ", ".join(seals.KEYS[table] + seals.COLUMNS[table])
        rows = connection.execute(f"SELECT {columns} FROM {table} {tail}", values).fetchall()  # noqa: S608 (our own names)
        good: list[Pair] = []
        bad: list[Pair] = []
        for row in rows:
            (good if seals.sound(table, row[keys:]) else bad).append((row[:keys], row[keys:]))
        return good, bad

    def set_aside(self, connection: sqlite3.Connection, table: str, bad: Sequence[Pair]) -> None:
        """Move rows to ``damaged``. Where the disk refuses they stay, and are passed over again."""
        self._count(table, bad)
        if connection.in_transaction:
            return  # a refusal here would undo somebody else's work; the next reading moves them
        try:
            connection.execute("BEGIN IMMEDIATE")
            for key, row in bad:
                if not move(connection, table, key, row) and _lies_elsewhere(connection, table, key, row):
                    self._condemn(f"{table}: a row out of its place")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            log.warning("damaged_row_stays", table=table, error=str(error))
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _count(self, table: str, bad: Sequence[Pair]) -> None:
        for key, row in bad:
            if (table, *key, row[-1]) not in self._seen:
                self._seen.add((table, *key, row[-1]))
                self._damage.rows += 1
                log.error("row_damaged", table=table, key=[repr(part) for part in key])


def move(connection: sqlite3.Connection, table: str, key: tuple[Any, ...], row: tuple[Any, ...]) -> bool:
    """Into ``damaged``, inside a transaction of the caller's. False where no such row is found under its key."""
    tests, values = _tests(table, key, row)
    if not connection.execute(f"DELETE FROM {table} WHERE {tests}", values).rowcount:  # noqa: S608 (our own names)
        return False
    connection.execute(
        "INSERT INTO damaged (origin, reason, row) VALUES (?, 'checksum', ?)", (table, seals.describe(table, row))
    )
    return True


def _lies_elsewhere(connection: sqlite3.Connection, table: str, key: tuple[Any, ...], row: tuple[Any, ...]) -> bool:
    tests, values = _tests(table, key, row, "+")  # a term with a sign is searched for nowhere: all rows are read
    return connection.execute(f"SELECT 1 FROM {table} NOT INDEXED WHERE {tests}", values).fetchone() is not None  # noqa: S608 (as above)


def _tests(table: str, key: tuple[Any, ...], row: tuple[Any, ...], sign: str = "") -> tuple[str, list[object]]:
    """The condition that is true of this row alone: a sound one may have the key that a bad one got.

    A key may hold text that is no longer text, so it is compared as bytes.
    """
    names, parts = (*seals.KEYS[table], "sum"), (*key, row[-1])
    tests = " AND ".join(
        f"{sign}{name} = CAST(? AS TEXT)" if isinstance(part, str) else f"{sign}{name} = ?"
        for name, part in zip(names, parts, strict=True)
    )
    return tests, [part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part for part in parts]


def sound_meta(connection: sqlite3.Connection, key: str) -> bytes | None:
    """One of the database's own notes, for somebody who only reads; None where it is missing or fails its checksum."""
    row = connection.execute("SELECT key, body, sum FROM meta WHERE key = ?", (key,)).fetchone()
    return row[1] if row is not None and seals.sound("meta", row) else None


def put_meta(connection: sqlite3.Connection, key: str, body: bytes) -> None:
    """Write one of the database's own notes."""
    connection.execute("INSERT OR REPLACE INTO meta (key, body, sum) VALUES (?, ?, ?)", seals.seal("meta", key, body))
