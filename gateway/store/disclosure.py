"""What the store says of a person, what of him it forgets, and who asked.

Works on the database of one ``Database``, by its thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from gateway.faults import StoreFault
from gateway.store import connection as dialling
from gateway.store import persons, seals
from gateway.store.access import Access
from gateway.store.commit_log import CommitLog
from gateway.store.inspection import Inspector
from gateway.store.persons import PersonKeys
from gateway.store.rows import AuditRow, JournalRow
from gateway.store.sealed import Sealed


class Disclosure:
    """Of one database; ``fold`` brings what its log holds into its tables, and what that shows to be lost."""

    def __init__(
        self,
        access: Access,
        rows: Sealed,
        keys: PersonKeys,
        log: CommitLog,
        inspector: Inspector,
        fold: Callable[[], None],
    ) -> None:
        self._access, self._rows, self._keys, self._log, self._fold = access, rows, keys, log, fold
        self._inspector = inspector

    def note(self, row: AuditRow) -> None:
        """Write down, durably and at once, what somebody did. Raises StoreFault."""
        with self._access.writing() as connection:
            _write(connection, row)

    def audit(self, n: int) -> list[AuditRow]:
        """The last ``n`` notes, newest first. Raises StoreFault."""
        with self._access.reading() as connection:
            rows = self._rows.first(connection, "audit", "WHERE TRUE ORDER BY n DESC", n)
            return [AuditRow(*row[:-1]) for _, row in rows]

    def number(self, person: str) -> str | None:
        """Under which number the journal speaks of a person; None where it says nothing of him."""
        return self._keys.number(person)

    def rows(self, person: str, since: int, n: int) -> list[JournalRow]:
        """What the journal says of a person among the ``n`` rows behind number ``since``. Raises StoreFault."""
        number = self._keys.number(person)
        if number is None:
            return []
        self._fold()
        tail, mark = "WHERE n > ? AND n <= ? AND instr(body, ?) > 0 ORDER BY n", persons.SEALED + number.encode()
        with self._access.reading() as connection:
            rows = self._rows.rows(connection, "journal", tail, since, since + n, mark)
            found = [JournalRow(at, name, kind, body, key[0]) for key, (at, name, kind, body, _) in rows]
        return [self._keys.unseal(row) for row in found]

    def ends(self) -> tuple[int, int]:
        """Numbers of the first and the last row of the journal; (0, 0) where it is empty. Raises StoreFault."""
        self._fold()
        with self._access.reading() as connection:
            first, last = connection.execute("SELECT MIN(n), MAX(n) FROM journal").fetchone()
            return first or 0, last or 0

    def forget(self, person: str) -> bool:
        """Destroy a person's key, and leave nothing in the logs. False where nothing was known of him. Raises StoreFault."""
        forgotten = self._keys.forget(person)
        self._fold()
        self._log.wipe()
        self._inspector.end()
        with self._access.reading() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return forgotten


def note_beside(path: Path, row: AuditRow) -> None:
    """The same in a database whose gateway does not run; the caller holds its folder. Raises StoreFault.

    Nothing else is done to the file: what the next start would find amiss in it, it still finds.
    """
    try:
        connection = dialling.dial(path)
    except (OSError, sqlite3.Error, dialling.Damaged) as error:
        raise StoreFault(f"{path}: {error}") from error
    try:
        connection.execute("BEGIN IMMEDIATE")
        _write(connection, row)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise dialling.fault(error) from error
    finally:
        connection.close()


def _write(connection: sqlite3.Connection, row: AuditRow) -> None:
    connection.execute(
        "INSERT INTO audit (at, who, verb, about, sum) VALUES (?, ?, ?, ?, ?)",
        seals.seal("audit", row.at, row.who, row.verb, row.about),
    )
