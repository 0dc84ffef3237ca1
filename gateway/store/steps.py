"""The history of one alert, step by step: what the tables hold of it, and behind that what the commit log still does.

Each read is bounded, so that whoever looks back never holds the disk's thread for long (``past.py`` turns the pages).
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from typing import Any

from msgspec import structs

from gateway.alerts import NoteKind
from gateway.store import seals
from gateway.store.access import Access
from gateway.store.rows import HistoryRow
from gateway.store.sealed import Sealed
from gateway.store.unfolded import Unfolded

NumberedStep = tuple[int, HistoryRow]
"""One step, and its number in the alert's history."""
LEAST = -(1 << 63)
"""Behind this number lie all steps: a damaged one may be below 1, and order is all that is asked of them."""
_BLOCK = 500  # read at a time, where all are wanted


class Steps:
    """Of the alerts of one database; ``unfolded`` gives what its log holds and its tables do not yet."""

    def __init__(self, access: Access, rows: Sealed, unfolded: Callable[[], Unfolded]) -> None:
        self._access, self._rows, self._unfolded = access, rows, unfolded

    def all(self, alert: str) -> list[HistoryRow]:
        """Every step of one alert, oldest first, for whoever has the time and the memory. Raises StoreFault."""
        found = list[NumberedStep]()
        while block := self.first(alert, found[-1][0] if found else LEAST, _BLOCK):
            found += block
        return [row for _, row in found]

    def first(self, alert: str, since: int, n: int) -> list[NumberedStep]:
        """The first ``n`` steps of one alert behind number ``since``, oldest first. Raises StoreFault."""
        with self._access.reading() as connection:
            tail = "WHERE alert = ? AND n > ? ORDER BY n"
            found = [_step(*pair) for pair in self._rows.first(connection, "history", tail, n, alert, since)]
            last = _last_step(connection, alert)
        return [*found, *itertools.islice(self._unfolded().steps(alert, last, since), n - len(found))]

    def last(self, alert: str, since: int, until: int, n: int) -> list[NumberedStep]:
        """The last ``n`` between these two numbers, newest first. Raises StoreFault."""
        with self._access.reading() as connection:
            waiting = self._unfolded().last_steps(alert, _last_step(connection, alert))
            between = itertools.takewhile(lambda step: step[0] > since, (step for step in waiting if step[0] < until))
            found = list(itertools.islice(between, n))
            tail = "WHERE alert = ? AND n > ? AND n < ? ORDER BY n DESC"
            rows = self._rows.first(connection, "history", tail, n - len(found), alert, since, until)
            return [*found, *(_step(*pair) for pair in rows)]

    def count(self, alert: str, since: int, until: int, most: int) -> tuple[int, int]:
        """How many there are between these two numbers, up to ``most`` of them counted, and the number of the last one counted. One
        that stands for others counts for all of them. Raises StoreFault.
        """
        query = (
            "SELECT TOTAL(CASE kind WHEN ? THEN CAST(reason AS INTEGER) ELSE 1 END), COUNT(*), MAX(n) FROM "
            "(SELECT n, kind, reason FROM history WHERE alert = ? AND n > ? AND n < ? ORDER BY n LIMIT ?)"
        )
        with self._access.reading() as connection:
            values = (NoteKind.THINNED.value, alert, since, until, most)
            count, rows, last = connection.execute(query, values).fetchone()
            if rows == most:
                return int(count), last
            waiting = until - 1 - max(since, _last_step(connection, alert))  # what is not folded has every number
            return int(count) + max(0, waiting), until - 1


def _step(key: tuple[str, int], row: tuple[Any, ...]) -> NumberedStep:
    return key[1], structs.replace(HistoryRow(*row[:-1]), body=seals.inflated(row[-2]))


def _last_step(connection: sqlite3.Connection, alert: str) -> int:
    """The number of the last one in the table; 0 where there is none."""
    return int(connection.execute("SELECT COALESCE(MAX(n), 0) FROM history WHERE alert = ?", (alert,)).fetchone()[0])
