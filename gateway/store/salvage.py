"""Makes a working database out of a damaged one: a corrupt store never prevents a start.

Order of steps, so that a power cut between any two leaves a whole store: the new database is built beside the old one under
``….new`` and made durable; the old one is renamed aside, never deleted; the new one takes its name. ``finish`` completes
an exchange that was cut short.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from gateway.store import files
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


def rebuild(path: Path) -> tuple[int, Path]:
    """Put a new database in the place of a damaged one, with every row that can still be read.

    Answers how many rows were saved and where the damaged file lies now. Raises OSError, sqlite3.Error when the disk refuses.
    """
    fresh = _fresh(path)
    files.remove(fresh)
    files.touch_private(fresh)
    target = sqlite3.connect(fresh, isolation_level=None)
    try:
        target.execute("PRAGMA synchronous = FULL")
        migrate(target, shipped())
        target.execute("BEGIN IMMEDIATE")
        saved = _copy(path, target)
        target.execute("COMMIT")
    finally:
        target.close()
    files.sync_folder(path.parent)
    aside = files.set_aside(path)
    fresh.rename(path)
    files.sync_folder(path.parent)
    return saved, aside


def _fresh(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def _copy(path: Path, target: sqlite3.Connection) -> int:
    if not path.stat().st_size:
        return 0  # SQLite would delete the log beside an empty file, and that log is evidence
    source = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
    # Text that is no longer UTF-8 is carried over readable; its checksum tells on it later.
    source.text_factory = lambda raw: raw.decode("utf-8", "replace")
    # Lets SQLite read a file shorter than its header says (lockBtree in btree.c; so does its own .recover command).
    with contextlib.suppress(sqlite3.Error):
        source.execute("PRAGMA writable_schema = ON")
    saved = 0
    with contextlib.closing(source):
        for table, order in _ORDERS.items():
            names = [name for _, name, *_ in target.execute(f"PRAGMA table_info({table})")]
            insert = f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 (names from our own schema)
            for row in _readable(source, table, names, order):
                if table == "meta" and row[0] == _LINEAGE:
                    continue
                with contextlib.suppress(sqlite3.IntegrityError):  # a column that lost its type or became NULL
                    saved += target.execute(insert, row).rowcount
    return saved


def _readable(source: sqlite3.Connection, table: str, names: list[str], order: str) -> Iterator[tuple[object, ...]]:
    """Rows from the front up to the first unreadable page, then from the back down to the last one."""
    backwards = ", ".join(f"{column} DESC" for column in order.split(", "))
    for direction in (order, backwards):
        query = f"SELECT {', '.join(names)} FROM {table} ORDER BY {direction}"  # noqa: S608 (as above)
        try:
            yield from source.execute(query)
        except sqlite3.DatabaseError:
            continue
        return
