"""Receipts about nothing: steps of an alert that never was, or that went before they came.

Theory. Whoever may receipt can name any alert, and what no alert owns nobody would ever tidy away. Where there is any other kind of
step there was an alert, and what is missing is damage: that stays. All histories are walked through a few hundred at a time, for
they may be as long as the file.
"""

from __future__ import annotations

import sqlite3

from gateway.alerts import NoteKind
from gateway.store.sealed import Sealed

ROUND = 500
"""Histories that one round passes, and steps that it finds, at most."""
_RECEIVED = NoteKind.RECEIVED.value


class Strays:
    """A walk through all histories, one after the other; it is begun anew when it has ended."""

    def __init__(self, rows: Sealed) -> None:
        self._rows = rows
        self._since = b""
        """The first alert that the next round looks at, as its bytes: a bad one need be no text."""

    def look(self, connection: sqlite3.Connection) -> list[tuple[str, int]]:
        """One round: the alert and the number of each stray that it found. Not in a transaction: bad rows are set aside on the way.
        Raises sqlite3.Error.
        """
        found = list[tuple[str, int]]()
        for _ in range(ROUND):
            query = "SELECT alert FROM history WHERE alert >= CAST(? AS TEXT) ORDER BY alert LIMIT 1"
            row = connection.execute(query, (self._since,)).fetchone()
            if row is None:
                self._since = b""
                break
            alert = row[0].encode("utf-8", "surrogateescape")
            if _is_nobodys(connection, alert):
                tail = "WHERE alert = CAST(? AS TEXT) ORDER BY n"
                found += (key for key, _ in self._rows.first(connection, "history", tail, ROUND - len(found), alert))
            if len(found) >= ROUND:
                self._since = alert  # there may be more of it
                break
            self._since = alert + b"\0"  # the least text behind it
        return found


def _is_nobodys(connection: sqlite3.Connection, alert: bytes) -> bool:
    owner = "SELECT 1 FROM state WHERE kind IN ('alert', 'closed') AND key = CAST(? AS TEXT)"
    other = "SELECT 1 FROM history WHERE alert = CAST(? AS TEXT) AND kind != ? LIMIT 1"
    return (
        connection.execute(owner, (alert,)).fetchone() is None
        and connection.execute(other, (alert, _RECEIVED)).fetchone() is None
    )
