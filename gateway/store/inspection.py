"""A walk through every sealed row: what no question ever asked for is looked at, too, some rows at a time.

What is found is set aside, or condemns the file; then the next transaction replaces it (``access.py``).

Theory. A row is proved when somebody asks for it. One whose key has a bit flipped is found by nobody who asks: in a table that is a
tree, a range ends before it, and those behind it are missed as well, without a word (SQLite's ``quick_check`` at the start
compares no keys; its ``integrity_check`` does, and would hold up the disk's thread for seconds). So all rows are read in the
order of the pages, and each must be sound, come behind the one before, and be found through the table's other index. Where the file
system bears no write-ahead log there is no walk: an open reading would keep commits out, and one step through all of it an alert.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.store import connection as dialling
from gateway.store import seals
from gateway.store.access import Access
from gateway.store.sealed import Pair, Sealed

STEP = 200
"""Rows looked at in one go: two milliseconds, on a memory card some ten."""
_ORDER = ("outbox", "state", "history", "cursors", "meta", "audit", "journal")
"""What alerts hang on first."""
_INDEXED = {
    "outbox": ("outbox_id", "id = :id AND lane = :lane AND sequence = :sequence"),
    "state": ("closed_age", "kind = 'closed' AND n = :n AND key = :key"),
}
"""The other index of a table, and how one of its rows is found there."""


class _Finding(Struct, frozen=True):
    """In one table. Without a ``bad`` row it is the table itself that is not in order."""

    table: str
    bad: Pair | None = None
    reason: str = ""


class Inspector:
    """Of one database."""

    def __init__(self, path: Path, access: Access, rows: Sealed) -> None:
        self._path, self._access, self._rows = path, access, rows
        self._walk: _Walk | None = None
        self._gaps: set[tuple[str, int, int]] = set()
        """Places of lanes between which there is nothing, and nothing is hidden."""

    def step(self) -> bool:
        """Look at some more rows; False where the walk ended. Raises StoreFault."""
        with self._access.reading() as connection:
            if self._walk is None:
                if self._access.hurt or not dialling.writable(connection) or not dialling.has_log(connection):
                    return False
                self._walk = _Walk(self._path)
            findings = self._walk.step()
            for finding in findings or ():
                if finding.bad is None:
                    self._access.condemn(f"{finding.table}: {finding.reason}")
                else:
                    self._rows.set_aside(connection, finding.table, [finding.bad])
        if findings is None or self._access.hurt:
            self.end()
        return self._walk is not None

    def end(self) -> None:
        """Leave off; the next step begins anew. A walk under way holds back the end of SQLite's log."""
        if self._walk is not None:
            self._walk.close()
            self._walk = None

    def is_gapless(self, lane: str, places: Sequence[int]) -> bool:
        """Whether nothing is hidden between these places of a lane, which follow each other unless something was lost that somebody
        was told of, or lanes leapt. False: the file is condemned. Raises StoreFault.
        """
        gaps = {(lane, one, other) for one, other in pairwise(places) if other > one + 1}
        if gaps <= self._gaps:
            return True
        with self._access.reading() as connection:
            found = dialling.verdict(connection, "integrity_check(outbox)")
        if found != "ok":
            self._access.condemn(f"outbox: {found}")
            return False
        self._gaps |= gaps
        return True

    def look_at_last(self, connection: sqlite3.Connection) -> None:
        """The number of the journal's last row is what others are counted on from, and what is too old is counted back from."""
        last = connection.execute("SELECT n FROM journal ORDER BY n DESC LIMIT 2").fetchall()
        if len(last) == 2 and last[0][0] - last[1][0] > seals.LEAP:
            self._access.condemn("journal: the last row's number leaps")


class _Walk:
    """Through a snapshot, by a connection of its own."""

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.Error, OSError."""
        self._connection = dialling.dial_reader(path)
        self._looks = (look for table in _ORDER for look in self._rows_of(table))

    def step(self) -> list[_Finding] | None:
        """What the next rows show; None: that was all. Raises sqlite3.Error."""
        looks = list(islice(self._looks, STEP))
        return [look for look in looks if look is not None] if looks else None

    def close(self) -> None:
        self._looks.close()  # with a question open SQLite would keep the snapshot until somebody collects this
        self._connection.close()

    def _rows_of(self, table: str) -> Iterator[_Finding | None]:
        """Something for each row."""
        keys, sealed = seals.KEYS[table], seals.COLUMNS[table]
        names = [*keys, *sealed, *(["n"] if table == "state" else [])]
        query = f"SELECT {', '.join(names)} FROM {table} NOT INDEXED ORDER BY {', '.join(keys)}"  # noqa: S608 (our own names)
        before: tuple[Any, ...] | None = None
        for row in self._connection.execute(query):
            key, columns = row[: len(keys)], row[len(keys) : len(keys) + len(sealed)]
            if not seals.sound(table, columns):
                yield _Finding(table, (key, columns))
            elif before is not None and (not _follows(key, before) or _leaps(table, key, before)):
                yield _Finding(table, reason="a row out of its place")
            elif not self._is_indexed(table, dict(zip(names, row, strict=True))):
                yield _Finding(table, reason="a row its index does not know")
            else:
                yield None
            before = key

    def _is_indexed(self, table: str, said: dict[str, Any]) -> bool:
        if table not in _INDEXED or (table == "state" and said["kind"] != "closed"):
            return True
        index, place = _INDEXED[table]
        query = f"SELECT 1 FROM {table} INDEXED BY {index} WHERE {place}"  # noqa: S608 (our own names)
        return self._connection.execute(query, said).fetchone() is not None


def _follows(key: tuple[Any, ...], before: tuple[Any, ...]) -> bool:
    """Behind it."""
    return _comparable(key) > _comparable(before)


def _leaps(table: str, key: tuple[Any, ...], before: tuple[Any, ...]) -> bool:
    """Further than numbers can be apart; those of lanes, and of a history that was thinned, may be."""
    if table not in seals.NUMBERED or key[:-1] != before[:-1]:
        return False
    n, last = key[-1], before[-1]
    return not isinstance(n, int) or (table != "history" and isinstance(last, int) and n - last > seals.LEAP)


def _comparable(key: tuple[Any, ...]) -> tuple[tuple[str, Any], ...]:
    """As SQLite compares texts: by their bytes. A damaged key may be of any type."""
    raw = (part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part for part in key)
    return tuple((type(part).__name__, part or 0) if not isinstance(part, bytes) else ("bytes", part) for part in raw)
