"""Histories of open alerts that come and go for months: steps that say the same again are thinned out, and counted.

Works inside the transaction of ``retention.py``. Messages and revisions are not touched: only the looking back is shortened.

Theory. An alert that nobody answers is open for ever, and each time its condition returns it gets a step or two, and its rungs are
told anew. What a person needs of that: how it began, whom it reached, what people did, how often it came and went, and how it
stands. So the first step of each kind stays (of rungs told: a whole climb with its repeats), the last ones stay, everything a
person did stays; of the rest, what is older than the journal becomes one step that says how many there were. What somebody was
refused changed nothing, and no replay looks for it: it need not grow old. The journal has each of those commands as it came.
"""

from __future__ import annotations

import sqlite3
from collections import Counter

from gateway.alerts import ChangeKind, NoteKind
from gateway.store import seals
from gateway.store.rows import HistoryRow
from gateway.store.sealed import Sealed

FIRST = {
    ChangeKind.TOLD.value: 20,  # five rungs, each told four times
    ChangeKind.RE_ALARMED.value: 1,
    ChangeKind.RETURNED.value: 1,
    NoteKind.REPEATED.value: 1,
    NoteKind.RECEIVED.value: 20,
}
"""Kinds of steps that come again and again without a person's doing, and how many of the first ones are kept."""
TRIED = 20
"""Refused attempts that are kept, of the first and again of the last."""
LAST = 50
"""So many of the last ones are kept, however old."""
_OF_ONE = "WHERE alert = ? ORDER BY n"
ROUND = 1_000
"""Steps that one round drops at most: some ten milliseconds on a memory card."""


def thin(connection: sqlite3.Connection, rows: Sealed, before: int) -> int:
    """Drop what came before this instant; answers how many steps. Raises sqlite3.Error."""
    query = (
        "SELECT alert FROM history WHERE alert IN (SELECT key FROM state WHERE kind = 'alert') "
        "GROUP BY alert HAVING COUNT(*) > ?"
    )
    dropped = 0
    for (alert,) in connection.execute(query, (LAST,)).fetchall():
        if dropped < ROUND:
            dropped += _thin_one(connection, rows, alert, before, ROUND - dropped)
    return dropped


def _thin_one(connection: sqlite3.Connection, rows: Sealed, alert: str, before: int, most: int) -> int:
    if not _has_any(connection, alert, before):
        return 0
    steps = [(key[1], HistoryRow(*row[:-1])) for key, row in rows.rows(connection, "history", _OF_ONE, alert)]
    seen: Counter[str] = Counter()
    again: list[tuple[int, int, int]] = []
    tried: list[tuple[int, int, int]] = []
    for n, step in steps:
        seen[step.kind] += 1
        if step.kind == NoteKind.REFUSED.value:
            tried.append((n, step.at, step.revision))
        elif seen[step.kind] > FIRST.get(step.kind, seen[step.kind]):
            again.append((n, step.at, step.revision))
    gone = sorted([*(step for step in again[:-LAST] if step[1] < before), *tried[TRIED:-TRIED]])[:most]
    if not gone:
        return 0
    told = [(n, step.reason) for n, step in steps if step.kind == NoteKind.THINNED.value]
    places = [(alert, n) for n, *_ in (*gone, *told)]
    connection.executemany("DELETE FROM history WHERE alert = ? AND n = ?", places)
    count = len(gone) + sum(int(reason) for _, reason in told if reason.isdecimal())
    last, at, revision = gone[-1]
    row = HistoryRow(alert, revision, NoteKind.THINNED.value, at, None, str(count), b"")
    connection.execute(
        "INSERT INTO history (n, alert, revision, kind, at, who, reason, body, sum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (last, *seals.seal_history(row)),
    )
    return len(gone)


def _has_any(connection: sqlite3.Connection, alert: str, before: int) -> bool:
    """A cheap look, for most have nothing to lose; what is dropped is proved."""
    query = "SELECT SUM(at < ?), SUM(kind = ?) FROM history WHERE alert = ?"
    old, tried = connection.execute(query, (before, NoteKind.REFUSED.value, alert)).fetchone()
    return bool(old > min(FIRST.values()) or tried > 2 * TRIED)
