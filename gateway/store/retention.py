"""How long what is kept, and the tidying that keeps it so: a bounded number of rows at a time, oldest first.

Works inside the transactions of ``database.py``. Age counts on the site timeline, so no step of a wall clock can make anything
old; time of which nobody knows how long it was makes nothing older.

Theory. The file is bounded by reuse: SQLite gives the pages of deleted rows to new ones, so a file whose *used* bytes stay
below a bound does not grow beyond it. Giving bytes back to the disk (VACUUM) would copy the whole file and hold up every
alert meanwhile. Where the bytes in use pass the bound, the journal gives way first and closed alerts next, whatever their age;
open alerts, and those of which an uplink still owes delivery, never. What of an open alert's history only says the same again is
thinned (``thinning.py``), once neither age nor the journal, which a replay holds it beside, speaks for it.
"""

from __future__ import annotations

import sqlite3

from msgspec import Struct

from gateway.store import thinning
from gateway.store.outbox import Outbox
from gateway.store.rows import Pruned

DAY_MS = 86_400_000
CLOSED = "closed"
"""State kind of closed alerts: kept for looking back, not loaded at start."""
JOURNAL_ROWS = 30_000_000
"""How much of the journal is kept at most: a month of restless air, packed ~200 MB; a quiet compound fills less in a year."""
JOURNAL_ROUND = 1_000
"""Rows of the journal that one round deletes at most: some ten milliseconds on a memory card."""
CLOSED_ROUND = 50
"""Closed alerts that one round deletes at most, each with a history of some ten steps."""
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


def tidy(connection: sqlite3.Connection, outbox: Outbox, keep: Keep, now: int) -> Pruned:
    """One round. Raises sqlite3.Error."""
    messages = outbox.prune(connection)
    crowded = used_bytes(connection) > keep.bytes
    journal = _tidy_journal(connection, keep, now, crowded=crowded)
    # The journal is what can be done without; only when it is gone must alerts give way to the bound.
    closed = _tidy_closed(connection, outbox, keep, now, crowded=crowded and not journal)
    first = connection.execute("SELECT at FROM journal ORDER BY n LIMIT 1").fetchone()
    steps = thinning.thin(connection, min(now - keep.journal_ms, first[0] if first else now))
    connection.execute("DELETE FROM audit WHERE at < ?", (now - keep.audit_ms,))
    connection.execute("DELETE FROM damaged WHERE n <= (SELECT MAX(n) FROM damaged) - ?", (_DAMAGED_ROWS,))
    more = journal >= JOURNAL_ROUND or closed >= CLOSED_ROUND or steps >= thinning.ROUND
    return Pruned(messages, journal, closed, steps=steps, more=more)


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the file that hold something (sqlite.org/pragma.html)."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _tidy_journal(connection: sqlite3.Connection, keep: Keep, now: int, *, crowded: bool) -> int:
    newest = connection.execute("SELECT MAX(n) FROM journal").fetchone()[0]
    if newest is None:
        return 0
    last = connection.execute("SELECT n FROM journal ORDER BY n LIMIT 1 OFFSET ?", (JOURNAL_ROUND - 1,)).fetchone()
    edge = newest if last is None else last[0]  # rows, not numbers: one row may stand for many
    if not crowded:
        aged = connection.execute("SELECT MAX(n) FROM journal WHERE n <= ? AND at < ?", (edge, now - keep.journal_ms))
        edge = min(edge, max(aged.fetchone()[0] or 0, newest - keep.journal_rows))
    return connection.execute("DELETE FROM journal WHERE n <= ?", (edge,)).rowcount


def _tidy_closed(connection: sqlite3.Connection, outbox: Outbox, keep: Keep, now: int, *, crowded: bool) -> int:
    """Closed alerts with their histories, from the one closed longest ago."""
    floors = outbox.floors(connection)
    if sum(max(0, last - floor) for floor, last in floors.values()) > _BACKLOG:
        return 0
    query = (
        "SELECT key, (SELECT MAX(at) FROM history WHERE alert = key) FROM state "
        "WHERE kind = 'closed' ORDER BY n LIMIT ?"
    )
    oldest = connection.execute(query, (CLOSED_ROUND,)).fetchall()
    old = oldest if crowded else _before(oldest, now - keep.closed_ms)
    owed = {
        alert
        for lane, (floor, _) in (floors.items() if old else ())
        for (alert,) in connection.execute("SELECT alert FROM outbox WHERE lane = ? AND sequence > ?", (lane, floor))
    }
    gone = [(key,) for key, _ in old if key not in owed]
    connection.executemany("DELETE FROM history WHERE alert = ?", gone)
    connection.executemany(f"DELETE FROM state WHERE kind = '{CLOSED}' AND key = ?", gone)  # noqa: S608 (our own name)
    return len(gone)


def _before(oldest: list[tuple[str, int | None]], edge: int) -> list[tuple[str, int | None]]:
    """All up to the last one known to be old. One without a history has no age: it goes with the next that has."""
    ages = [at is not None and at < edge for _, at in oldest]
    return oldest[: len(ages) - ages[::-1].index(True)] if any(ages) else []
