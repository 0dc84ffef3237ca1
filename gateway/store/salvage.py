"""Makes a working database out of a damaged one: a corrupt store never prevents a start.

Order of steps, so that a power cut between any two leaves a whole store: the new database is built beside the old one under
``….new`` and made durable; the old one is renamed aside, never deleted; the new one takes its name. ``finish`` completes
an exchange that was cut short.

Rows are read in the order of the pages and believed by their checksums: one whose key is wrong would lie in the new database
where nobody looks for it, so it goes to ``damaged``. Numbers that stand outside the checksums follow the order of the pages.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from gateway.store import files, packing, seals
from gateway.store.migrations import migrate, shipped

_ORDERS = {
    "meta": "key",
    "journal": "n",
    "state": "kind, key",
    "history": "alert, n",
    "outbox": "lane, sequence",
    "cursors": "uplink, lane",
    "audit": "n",
    "damaged": "n",
}
_UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError)
"""SQLite's own words may hold what is no text, where they are about a damaged schema."""
_Row = tuple[Any, ...]
_T = TypeVar("_T")
_LINEAGE = "lineage"  # a new file is a new lineage, see Database


def finish(path: Path) -> None:
    """Bring an exchange of databases that a power cut interrupted to its end. Raises OSError."""
    fresh = _fresh(path)
    if path.exists():
        # The new one was not complete: the old one is renamed only after it is. It may stay where the disk refuses.
        with contextlib.suppress(OSError):
            files.remove(fresh)
        return
    if files.companions(path):
        files.set_aside(path)
    if fresh.exists():
        fresh.rename(path)
        files.sync_folder(path.parent)


def rebuild(path: Path, leave: Callable[[], None]) -> tuple[int, int, Path]:
    """Put a new database in the place of a damaged one, with every row that can still be read.

    Answers how many rows were saved and how many were read but fail their checksum, and where the damaged file lies now.
    Raises OSError, sqlite3.Error when the disk refuses: the damaged one can be read until the new one stands; only then is whoever
    does so made to ``leave`` it.
    """
    fresh = _fresh(path)
    files.remove(fresh)
    files.touch_private(fresh)
    target = sqlite3.connect(fresh, isolation_level=None)
    try:
        target.execute("PRAGMA synchronous = FULL")
        migrate(target, shipped())
        target.execute("BEGIN IMMEDIATE")
        saved, bad = _copy(path, target)
        target.execute("COMMIT")
    finally:
        target.close()
    files.sync_folder(path.parent)
    leave()
    aside = files.set_aside(path)
    fresh.rename(path)
    files.sync_folder(path.parent)
    return saved, bad, aside


def discard(path: Path) -> bool:
    """Delete a new database that was not completed; whether anything had been written of it."""
    fresh = _fresh(path)
    written = files.length(fresh) > 0
    if path.exists():  # else the exchange is under way, and ``finish`` completes it
        with contextlib.suppress(OSError):
            files.remove(fresh)
    return written


def _fresh(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def _copy(path: Path, target: sqlite3.Connection) -> tuple[int, int]:
    if not path.stat().st_size:
        return 0, 0  # SQLite would delete the log beside an empty file, and that log is evidence
    source = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
    # Text that is no longer UTF-8 is carried over readable; its checksum tells on it.
    source.text_factory = lambda raw: raw.decode("utf-8", "replace")
    # Lets SQLite read a file shorter than its header says (lockBtree in btree.c; so does its own .recover command).
    with contextlib.suppress(sqlite3.Error):
        source.execute("PRAGMA writable_schema = ON")
    saved = lost = 0
    with contextlib.closing(source):
        for table, order in _ORDERS.items():
            names = [name for _, name, *_ in target.execute(f"PRAGMA table_info({table})")]
            insert, bad = _insertion(table, names), set[bytes]()
            for row in _readable(source, table, names, order):
                if table == "meta" and row[0] == _LINEAGE:
                    continue
                if told := _told_on(table, names, row):
                    bad.add(told)
                    continue
                with contextlib.suppress(sqlite3.IntegrityError):  # a column that lost its type or became NULL
                    saved += target.execute(insert, row).rowcount
            for told in bad:
                target.execute("INSERT INTO damaged (origin, reason, row) VALUES (?, 'checksum', ?)", (table, told))
            lost += len(bad)
    return saved, lost


def _insertion(table: str, names: list[str]) -> str:
    into = f"INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    if table == "state":  # searches led astray may have left an earlier row beside a later one
        changes = ", ".join(f"{name} = excluded.{name}" for name in names)
        return f"INSERT {into} ON CONFLICT DO UPDATE SET {changes} WHERE excluded.n > state.n"
    return f"INSERT OR IGNORE {into}"


def _told_on(table: str, names: list[str], row: tuple[Any, ...]) -> bytes:
    """The row for a person to look at, where its checksum fails; empty where it is sound."""
    if table not in seals.COLUMNS:
        return b""
    columns = dict(zip(names, row, strict=True))
    sealed = [columns[name] for name in seals.COLUMNS[table]]
    return b"" if seals.sound(table, sealed) else seals.describe(table, sealed)


def _readable(source: sqlite3.Connection, table: str, names: list[str], order: str) -> Iterator[tuple[Any, ...]]:
    """Rows from the front up to the first unreadable page, then from the back down to the last one."""
    keys = [names.index(key) for key in order.split(", ")]
    order = ", ".join(str(key + 1) for key in keys)
    columns = ", ".join(names)
    # By place, for a column may be called otherwise there, where the schema is damaged.
    query = f"WITH found({columns}) AS (SELECT * FROM {table}) SELECT {columns} FROM found ORDER BY "  # noqa: S608 (names from our own schema)
    try:
        source.execute(f"{query} 1 LIMIT 0")
    except _UNREADABLE:
        query = f"SELECT {columns} FROM {table} ORDER BY "  # noqa: S608 (as above)
    try:
        rows = _to_the_last(source, query + order)
        yield from numbered(rows, keys, _stands_for(table, names)) if table in seals.NUMBERED else rows
    except _UNREADABLE:
        backwards = ", ".join(f"{column} DESC" for column in order.split(", "))
        with contextlib.suppress(*_UNREADABLE):
            yield from _to_the_last(source, query + backwards)


def _to_the_last(source: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """Every row before the one that cannot be read: Python's cursor steps ahead, and keeps back the last one when that fails."""
    seen = 0
    try:
        for row in source.execute(query):
            seen += 1
            yield row
    except _UNREADABLE:
        yield from source.execute(f"{query} LIMIT 1 OFFSET {seen}")
        raise


def _stands_for(table: str, names: list[str]) -> Callable[[_Row], int]:
    """Of how many numbers a row has the last."""
    if table != "journal":
        return lambda _row: 1
    kind, body = names.index("kind"), names.index("body")

    def many(row: _Row) -> int:
        try:
            return packing.count(row[kind], row[body])
        except (packing.BrokenPack, TypeError, AttributeError):  # its checksum will tell
            return 1

    return many


def numbered(rows: Iterator[_Row], keys: list[int], stands_for: Callable[[_Row], int]) -> Iterator[_Row]:
    """The rows with numbers that grow, as they did before a bit of one was flipped; all others stay what they are."""
    *group, place = keys
    line: list[object] = []
    last: int | None = None
    for (row, many), behind in _with_next((row, stands_for(row)) for row in rows):
        mine = [row[key] for key in group]
        if mine != line:
            line, last = mine, None
        before = None
        if behind is not None and [behind[0][key] for key in group] == mine:
            before = _first(behind[0][place], behind[1], last)
        last = _number(row[place], many, last, before)
        yield (*row[:place], last, *row[place + 1 :])


def _with_next(rows: Iterator[_T]) -> Iterator[tuple[_T, _T | None]]:
    held = None
    try:
        for row in rows:
            if held is not None:
                yield held, row
            held = row
    except _UNREADABLE:
        if held is not None:
            yield held, None
        raise
    if held is not None:
        yield held, None


def _first(n: object, many: int, last: int | None) -> int | None:
    """The first number of a row that may well be what it says."""
    if last is None or not isinstance(n, int) or not last < n <= last + seals.LEAP:
        return None
    return n - many + 1


def _number(n: object, many: int, last: int | None, before: int | None) -> int:
    """The last number of a row that stands for ``many``, behind ``last`` and below the first of the next row: nobody may find two rows
    under one. Where what it says cannot be, the first that can.
    """
    if last is None:
        return n if isinstance(n, int) else many
    if isinstance(n, int) and last + many <= n <= last + seals.LEAP and (before is None or n < before):
        return n
    return last + many
