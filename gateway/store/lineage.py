"""What one gateway never uses twice, whatever its disk lost: names of its runs, places of its lanes, revisions of its alerts.

Works inside the transactions of ``database.py``, in notes of the database's own.

Theory. A run's name is a *lineage*, drawn when the database was made, and a count. Where something is lost that had a name and was
perhaps told, a new lineage begins, and lanes and revisions go on behind a leap. How often that happened is counted here, and by
the files that were set aside: of a database that is lost as a whole nothing but those is left to tell of a loss before.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from gateway.store import commit_log, files
from gateway.store.sealed import Sealed, put_meta

LEAP = 100_000
"""Places of a lane that may have been used by what was lost: more than a log of ``FOLD_LIMIT`` can hold."""
COPIES = 1_000
"""A copy counts on behind so many losses at most, drawn: the other copies of the same database do not know of it."""
_RUNS, _LINEAGE, _FLOOR, _LOSSES = "runs", "lineage", "floor", "losses"


class Lineage:
    """Of the database at one path. No method commits."""

    def __init__(self, path: Path, rows: Sealed) -> None:
        self._path, self._rows = path, rows
        self._leapt = (0, 0)
        """Floor and losses of a leap that the disk refused to note: they hold all the same."""

    def next_run(self, connection: sqlite3.Connection) -> str:
        """Count a run of the process, and name it."""
        runs, lineage = self.runs(connection) + 1, self._rows.meta(connection, _LINEAGE)
        if runs == 1 or lineage is None:
            runs, lineage = max(runs, 1), self._begin(connection)
        put_meta(connection, _RUNS, str(runs).encode())
        return f"{lineage.decode()}-{runs}"

    def runs(self, connection: sqlite3.Connection) -> int:
        """Runs that were counted so far."""
        return int(self._rows.meta(connection, _RUNS) or 0)

    def floor(self, connection: sqlite3.Connection) -> int:
        """No lane uses a place up to this one any more."""
        return max(int(self._rows.meta(connection, _FLOOR) or 0), self._leapt[0])

    def losses(self, connection: sqlite3.Connection) -> int:
        """Grows with each leap, and with each copy that goes its own way."""
        return max(int(self._rows.meta(connection, _LOSSES) or 0), self._leapt[1])

    def part(self, connection: sqlite3.Connection) -> None:
        """From now on nothing is named as any other copy of this database names it; but for the places in the lanes."""
        self._begin(connection)
        losses = self.losses(connection) + 1 + secrets.randbelow(COPIES)
        put_meta(connection, _LOSSES, str(losses).encode())

    def find_leap(self, connection: sqlite3.Connection, last: Mapping[str, int], unnoted: int) -> int:
        """Something is lost: from here on the floor and the losses are others; answers the losses. ``last``: the highest known
        place of each lane; ``unnoted``: losses that former lives counted and could not note here, each of them with a leap.
        """
        before = self.losses(connection)
        losses = max(before + 1, unnoted + 1, self._set_aside())
        floor = max([self.floor(connection), *last.values()]) + (losses - before) * LEAP
        self._leapt = max(floor, losses * LEAP), losses
        return losses

    def owes_leap(self, connection: sqlite3.Connection) -> bool:
        """Whether a leap was found that is not noted."""
        losses = self._leapt[1]
        return losses > 0 and losses > int(self._rows.meta(connection, _LOSSES) or 0)

    def note_leap(self, connection: sqlite3.Connection) -> None:
        """Note what ``find_leap`` found, if that is not done."""
        if not self.owes_leap(connection):
            return
        self._begin(connection)
        floor, losses = self._leapt
        put_meta(connection, _FLOOR, str(floor).encode())
        put_meta(connection, _LOSSES, str(losses).encode())

    def _begin(self, connection: sqlite3.Connection) -> bytes:
        lineage = secrets.token_hex(4).encode()
        put_meta(connection, _LINEAGE, lineage)
        return lineage

    def _set_aside(self) -> int:
        """The number of the last file that was set aside as damaged."""
        return max(files.last_aside(self._path.with_name(name)) for name in (self._path.name, commit_log.NAME))
