"""How long what is kept, and the tidying that keeps it so: a bounded number of rows at a time, oldest first.

Works inside the transactions of ``database.py``. Age counts on the site timeline, so no step of a wall clock can make anything
old; time of which nobody knows how long it was makes nothing older.

Theory. The file is bounded by reuse: SQLite gives the pages of deleted rows to new ones, so a file whose *used* bytes stay
below a bound does not grow beyond it. Giving bytes back to the disk (VACUUM) would copy the whole file and hold up every
alert meanwhile. Where the bytes in use pass the bound, the journal gives way first and closed alerts next, whatever their age;
open alerts, and those of which an uplink still owes delivery, never. What of a history only says the same again is thinned
(``thinning.py``), once neither age nor the journal speaks for it or too much came behind it; refused attempts at once.

What is to go is looked for before the transaction that deletes it, in rows whose checksums hold: a flipped bit makes nothing old.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import Any

from msgspec import Struct

from gateway.alerts import ChangeKind
from gateway.store.outbox import Outbox
from gateway.store.rows import Pruned
from gateway.store.sealed import Pair, Sealed
from gateway.store.strays import Strays
from gateway.store.thinning import Thinner

DAY_MS = 86_400_000
OPEN = "alert"
"""State kind of open alerts."""
CLOSED = "closed"
"""State kind of closed alerts: kept for looking back, not loaded at start."""
JOURNAL_ROWS = 30_000_000
"""How much of the journal is kept at most: a month of restless air, packed ~70 MB; a quiet compound fills less in a year."""
JOURNAL_ROUND = 1_000
"""Rows of the journal that one round deletes at most: some ten milliseconds on a memory card."""
CLOSED_ROUND = 50
"""Closed alerts that one round deletes at most, each with a history of some ten steps."""
_CLOSING = ChangeKind.CLOSED.value
_AUDIT_ROUND = 1_000
_FEW = 20  # rows read to see whether there is anything old
_BACKLOG = 5_000  # messages not delivered yet: with more, closed alerts wait, for each would be looked for among them
_DAMAGED_ROWS = 1_000  # bad rows kept for a person to look at


class Keep(Struct, frozen=True):
    """What is kept."""

    journal_ms: int = 30 * DAY_MS
    closed_ms: int = 730 * DAY_MS
    audit_ms: int = 730 * DAY_MS
    bytes: int = 500_000_000
    """Of the database in use; beyond them age does not protect."""
    journal_rows: int = JOURNAL_ROWS


DEFAULT = Keep()


class Old(Struct, frozen=True):
    """What is to go in one round."""

    messages: list[tuple[str, int]]
    """Lane and place."""
    journal: int
    """Up to this number; 0: nothing."""
    audit: int
    closed: list[str]
    steps: int
    """Steps before this instant."""
    strays: list[tuple[str, int]]
    """Receipts about no alert: its id and number."""


def look(connection: sqlite3.Connection, rows: Sealed, outbox: Outbox, walk: Strays, keep: Keep, now: int) -> Old:
    """Not in a transaction: bad rows are set aside on the way. Raises sqlite3.Error."""
    crowded = used_bytes(connection) > keep.bytes
    first, journal = _old_journal(connection, rows, keep, now, crowded=crowded)
    # The journal is what can be done without; only when it is gone must alerts give way to the bound.
    closed = _old_closed(connection, rows, outbox, keep, now, crowded=crowded and not journal)
    audit = _old(connection, rows, "audit", _AUDIT_ROUND, lambda _, row: row[0] < now - keep.audit_ms)
    steps = min(now - keep.journal_ms, now if first is None else first)
    stray = walk.look(connection)
    return Old(outbox.passed(connection), journal, audit[-1][0][0] if audit else 0, closed, steps, stray)


def tidy(connection: sqlite3.Connection, thinners: Iterable[Thinner], outbox: Outbox, old: Old) -> Pruned:
    """One round. Raises sqlite3.Error."""
    messages = outbox.prune(connection, old.messages)
    journal = connection.execute("DELETE FROM journal WHERE n <= ?", (old.journal,)).rowcount
    gone = [(key,) for key in old.closed]
    connection.executemany("DELETE FROM history WHERE alert = ?", gone)
    connection.executemany(f"DELETE FROM state WHERE kind = '{CLOSED}' AND key = ?", gone)  # noqa: S608 (our own name)
    connection.executemany("DELETE FROM history WHERE alert = ? AND n = ?", old.strays)
    steps, unseen = len(old.strays), False
    for thinner in thinners:
        if not unseen:  # the next walk begins where one has ended: a round is no longer for it
            dropped, unseen = thinner.thin(connection, old.steps)
            steps += dropped
    connection.execute("DELETE FROM audit WHERE n <= ?", (old.audit,))
    connection.execute(
        "DELETE FROM damaged WHERE n <= (SELECT n FROM damaged ORDER BY n DESC LIMIT 1 OFFSET ?)", (_DAMAGED_ROWS,)
    )
    more = journal >= JOURNAL_ROUND or len(gone) >= CLOSED_ROUND or unseen or bool(old.strays)
    return Pruned(messages, journal, len(gone), steps=steps, more=more)


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the file that hold something (sqlite.org/pragma.html)."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _old_journal(
    connection: sqlite3.Connection, rows: Sealed, keep: Keep, now: int, *, crowded: bool
) -> tuple[int | None, int]:
    """The instant of the first row that stays, as far as it was read, and the number of the last one that goes."""
    newest = connection.execute("SELECT COALESCE(MAX(n), 0) FROM journal").fetchone()[0]
    beyond = newest - keep.journal_rows

    def is_old(key: tuple[Any, ...], row: tuple[Any, ...]) -> bool:
        return crowded or key[0] <= beyond or row[0] < now - keep.journal_ms

    old = _old(connection, rows, "journal", JOURNAL_ROUND, is_old)
    edge = old[-1][0][0] if old else 0
    first = rows.first(connection, "journal", "WHERE n > ? ORDER BY n", 1, edge)
    return (first[0][1][0] if first else None), edge


def _old(
    connection: sqlite3.Connection,
    rows: Sealed,
    table: str,
    most: int,
    is_old: Callable[[tuple[Any, ...], tuple[Any, ...]], bool],
) -> list[Pair]:
    """The first rows of a table, up to the first that is not old; few are read where few are."""
    limit = _FEW
    while True:
        found = rows.first(connection, table, "WHERE TRUE ORDER BY n", limit)
        old = list(takewhile(lambda pair: is_old(*pair), found))
        if len(old) < limit or limit == most:
            return old
        limit = most


def _old_closed(
    connection: sqlite3.Connection, rows: Sealed, outbox: Outbox, keep: Keep, now: int, *, crowded: bool
) -> list[str]:
    """Closed alerts, from the one closed longest ago."""
    floors = outbox.floors(connection)
    if sum(max(0, last - floor) for floor, last in floors.values()) > _BACKLOG:
        return []
    first = rows.first(connection, "state", f"WHERE kind = '{CLOSED}' ORDER BY n", CLOSED_ROUND)
    oldest = [(key[1], _last_step(connection, rows, key[1])) for key, _ in first]
    old = oldest if crowded else _before(oldest, now - keep.closed_ms)
    waiting = "WHERE lane = ? AND sequence > ?"
    owed = {
        row[4]
        for lane, (floor, _) in (floors.items() if old else ())
        for _, row in rows.rows(connection, "outbox", waiting, lane, floor)
    }
    return [key for key, _ in old if key not in owed]


def _last_step(connection: sqlite3.Connection, rows: Sealed, alert: str) -> int | None:
    """When a closed alert had its last step; None where that is not known: the step that closed it may have been found bad."""
    steps = [row for _, row in rows.rows(connection, "history", "WHERE alert = ?", alert)]
    return max(at for _, _, _, at, *_ in steps) if any(kind == _CLOSING for _, _, kind, *_ in steps) else None


def _before(oldest: list[tuple[str, int | None]], edge: int) -> list[tuple[str, int | None]]:
    """All up to the last one known to be old. One without a history has no age: it goes with the next that has."""
    ages = [at is not None and at < edge for _, at in oldest]
    return oldest[: len(ages) - ages[::-1].index(True)] if any(ages) else []
