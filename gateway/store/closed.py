"""The alerts of one database that are over, newest first, a page at a time: from the tables, and before them from the commit log.

They are most of a large file, and a start does not load them. Each read is bounded, as in ``steps.py``.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.store.access import Access
from gateway.store.retention import CLOSED
from gateway.store.rows import StateRow
from gateway.store.sealed import Sealed
from gateway.store.unfolded import Unfolded

_PAGE = """WHERE (kind, key) IN (
    SELECT kind, key FROM state INDEXED BY closed_age WHERE kind = 'closed' ORDER BY n DESC, key LIMIT ? OFFSET ?
) ORDER BY n DESC, key"""  # left to itself, SQLite reads every closed alert there is for each page
_NAMED = "WHERE kind = 'closed' AND key >= ? AND key < ? ORDER BY key"
_BEHIND_ALL = "\U0010ffff"


class ClosedAlerts:
    """Of one database; ``unfolded`` gives what its log holds and its tables do not yet."""

    def __init__(self, access: Access, rows: Sealed, unfolded: Callable[[], Unfolded]) -> None:
        self._access, self._rows, self._unfolded = access, rows, unfolded

    def recent(self, n: int) -> list[StateRow]:
        """The last ``n`` closed alerts, newest first. Raises StoreFault."""
        return self.page(n, 0)[:n]

    def page(self, n: int, skip: int) -> list[StateRow]:
        """The last ``n`` closed alerts of the tables, newest first, but for the last ``skip``; before the first page those that
        are not in the tables yet. Raises StoreFault.
        """
        with self._access.reading() as connection:
            rows = self._rows.first(connection, "state", _PAGE, n, n, skip)
            kept = (StateRow(*row[:-1]) for _, row in reversed(rows))
            waiting = (row for row in self._unfolded().state() if row.kind == CLOSED and not skip)
            return list({row.key: row for row in (*kept, *waiting)}.values())[::-1]

    def named(self, beginning: str, n: int) -> list[StateRow]:
        """Up to ``n`` closed alerts whose id begins so, and all such that are not in the tables yet. Raises StoreFault."""
        with self._access.reading() as connection:
            rows = self._rows.first(connection, "state", _NAMED, n, beginning, beginning + _BEHIND_ALL)
            kept = (StateRow(*row[:-1]) for _, row in rows)
            waiting = (row for row in self._unfolded().state() if row.kind == CLOSED and row.key.startswith(beginning))
            return list({row.key: row for row in (*kept, *waiting)}.values())
