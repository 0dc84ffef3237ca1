"""Histories of alerts that came and went for months: steps that say the same again are thinned out, and counted.

Works inside the transaction of ``retention.py``. Messages and revisions are not touched: only the looking back is shortened.

Theory. An alert that nobody answers is open for ever, and each time its condition returns it gets a step or two, and its rungs are
told anew. What a person needs of that: how it began, whom it reached, what people did, how often it came and went, and how it
stands. So the first step of each kind stays (of rungs told: a whole climb with its repeats), the last ones stay, everything a
person did stays; of the rest, what is older than the journal, or pushed out by too many younger ones, becomes one step that says how
many there were. A replay, which holds the journal beside the histories, does not ask for what such a step stands for. What somebody
was refused changed nothing, and need not grow old: the journal has each of those commands as it came.

A history may be long before anybody thins it (one that came from an older gateway, or an hour of a bad contact). So the walk through
it is cut into rounds and knows of what it passed only what it must: how many there were of each kind, and the last ones. Open alerts
are walked through again and again; those that are closed, many thousands, once a day, for no step is added to them any more.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, deque
from collections.abc import Sequence

from msgspec import Struct, field

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
YOUNG = 500
"""So many of the last ones are kept at most, however young: eight hours of a detector that comes and goes every two minutes. With what
people did among them, a history stays one that is shown whole (``past.py``)."""
ROUND = 500
"""Steps that one round reads, and open alerts that it passes, at most: some 20 ms on a desktop where all of them go, 5 where none does."""


class _Step(Struct, frozen=True):
    """One that may go, and for how many it stands."""

    n: int
    at: int
    revision: int
    count: int = 1


class _Passed(Struct):
    """What the walk knows of the alert it is in."""

    alert: str
    n: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    again: deque[_Step] = field(default_factory=deque)
    tried: deque[_Step] = field(default_factory=deque)
    thinned: list[_Step] = field(default_factory=list)

    def take(self, n: int, row: HistoryRow, before: int) -> list[_Step]:
        """Pass one step; answers those that go now."""
        self.n = n
        self.seen[row.kind] += 1
        step = _Step(n, row.at, row.revision)
        if row.kind == NoteKind.THINNED.value:
            count = int(row.reason) if row.reason.isdecimal() else 0
            self.thinned.append(_Step(n, row.at, row.revision, count))
        elif row.kind == NoteKind.REFUSED.value and self.seen[row.kind] > TRIED:
            self.tried.append(step)
        elif self.seen[row.kind] > FIRST.get(row.kind, self.seen[row.kind]):
            self.again.append(step)
        return [*self._pushed_out(before), *([self.tried.popleft()] if len(self.tried) > TRIED else [])]

    def _pushed_out(self, before: int) -> list[_Step]:
        gone = list[_Step]()
        while len(self.again) > LAST and (self.again[0].at < before or len(self.again) > YOUNG):
            gone.append(self.again.popleft())
        return gone


class Thinner:
    """A walk through the histories of all alerts of one kind of state, one after the other; it is begun anew when it has ended."""

    def __init__(self, rows: Sealed, kind: str, *, every_ms: int = 0) -> None:
        """``every_ms``: so much older than at the last walk what is old must be before the next one begins."""
        self._rows, self._kind, self._every_ms = rows, kind, every_ms
        self._passed = _Passed("")
        self._settled = True
        self._due: int | None = None

    def begin_anew(self) -> None:
        """Another file was opened: its numbers may be others."""
        self._settled = False

    def settle(self) -> None:
        """What the last round dropped is dropped for good."""
        self._settled = True

    def thin(self, connection: sqlite3.Connection, before: int) -> tuple[int, bool]:
        """One round, in which what came before this instant is old. Answers how many steps it dropped, and whether there is more to
        look at. A round that is not settled afterwards dropped nothing. Raises sqlite3.Error.
        """
        if not self._settled:
            self._passed = _Passed("")
        self._settled = False
        if not self._passed.alert:
            if self._due is not None and before < self._due:
                return 0, False
            self._due = before + self._every_ms
        dropped, left = 0, ROUND
        while left > 0:
            alert = self._next(connection)
            if alert is None:
                self._passed = _Passed("")
                return dropped, False
            if alert != self._passed.alert:
                self._passed = _Passed(alert)
            tail = "WHERE alert = ? AND n > ? ORDER BY n"
            page = self._rows.first(connection, "history", tail, left, alert, self._passed.n)
            gone = [step for key, row in page for step in self._passed.take(key[1], HistoryRow(*row[:-1]), before)]
            dropped += len(gone)
            self._drop(connection, gone)
            if len(page) < left:
                self._passed = _Passed(f"{alert}\0")  # the least text behind it
            left -= max(1, len(page))
        return dropped, True

    def _next(self, connection: sqlite3.Connection) -> str | None:
        """The alert the walk is in, or the first one behind it."""
        query = "SELECT key FROM state WHERE kind = ? AND key >= ? ORDER BY key LIMIT 1"
        found = connection.execute(query, (self._kind, self._passed.alert)).fetchone()
        return None if found is None else str(found[0])

    def _drop(self, connection: sqlite3.Connection, gone: Sequence[_Step]) -> None:
        """And let one step stand for them, and for what earlier ones stood for, in the place of the last."""
        alert, merged = self._passed.alert, [*self._passed.thinned, *gone]
        if not gone and len(merged) < 2:
            return
        places = [(alert, step.n) for step in merged]
        connection.executemany("DELETE FROM history WHERE alert = ? AND n = ?", places)
        last, count = max(merged, key=lambda step: step.n), sum(step.count for step in merged)
        row = HistoryRow(alert, last.revision, NoteKind.THINNED.value, last.at, None, str(count), b"")
        connection.execute(
            "INSERT INTO history (n, alert, revision, kind, at, who, reason, body, sum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (last.n, *seals.seal_history(row)),
        )
        self._passed.thinned = [_Step(last.n, row.at, row.revision, count)]
