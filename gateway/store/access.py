"""The one way to the database file: opened, replaced where it is damaged, opened anew after a refusal, read and written.

Knows no table: which rows there are, and what of them is kept in memory, is the business of ``database.py``. A refusal is
remembered here, so that the next transaction begins with what it asks for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from gateway.faults import StoreFault
from gateway.store import connection as dialling
from gateway.store import files, salvage
from gateway.store.connection import Damaged
from gateway.store.migrations import is_current, is_intact, migrate, shipped
from gateway.store.rebuilding import Rebuilding

log = structlog.get_logger()

PROVED_BYTES = 16 << 20
"""A file of this size is looked through before it is believed: a second of a memory card. In a longer one damage shows to whoever
meets it, at last to the walk of ``inspection.py``: no poll may wait for that.
"""


class Access:
    """To one file, by one thread at a time; ``taken_over`` is called each time it was opened."""

    def __init__(self, path: Path, taken_over: Callable[[], None]) -> None:
        self._path, self._taken_over = path, taken_over
        self.connection: sqlite3.Connection | None = None
        self._must_redial = self._must_check = self._readonly = False
        self._condemned = self._doubt = ""
        self.created = False
        """Whether there was no file before."""
        self.puts_off = False
        """Whether so much was put off that somebody should ``bring_in`` it."""
        self._rebuilding = Rebuilding(path)
        self.notes: list[str] = []
        """What was found amiss."""

    @property
    def well(self) -> bool:
        """Whether it is open, and nothing was refused that asks for opening it anew."""
        return self.connection is not None and not self._readonly and not self._must_redial

    @property
    def rebuilt(self) -> int:
        """How often a damaged file was replaced since this object was made."""
        return self._rebuilding.done

    @property
    def hurt(self) -> bool:
        """Whether damage was met that the next transaction is to mend."""
        return self._must_check

    def condemn(self, reason: str) -> None:
        """What was read shows that the file is not sound, whatever SQLite finds: the next transaction begins with replacing it."""
        log.error("database_condemned", reason=reason)
        self._condemned = self._condemned or reason
        self._must_redial = self._must_check = True

    def hang_up(self) -> None:
        """Close the file."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def dial(self, *, check: bool, replacing: bool = True) -> None:
        """Open the file, ``replacing`` it where it is damaged. Raises StoreFault; then a connection there was stays, to read from."""
        if self._readonly:
            self.hang_up()  # SQLite shares a read-only index among all connections of a process
        try:
            fresh = self._opened(check=check) if replacing else self._as_it_lies()
        except OSError as error:
            raise StoreFault(str(error)) from error
        except sqlite3.Error as error:
            raise dialling.fault(error) from error
        self.hang_up()
        self.connection = fresh
        if replacing:
            self._must_redial = self._must_check = False
        self._readonly = False
        if self._doubt:
            self.condemn(self._doubt)
        self._doubt = ""
        self._taken_over()

    def _opened(self, *, check: bool) -> sqlite3.Connection:
        try:
            if self._condemned:
                raise Damaged(self._condemned)  # noqa: TRY301 (one more finding)
            return self._open_readable(check=check)
        except Damaged as finding:
            self._condemned = str(
                finding
            )  # nobody need look for it again, should there be no room for another file now
            self._must_redial = self._must_check = True
            return self._replace(self._condemned)

    def _as_it_lies(self) -> sqlite3.Connection:
        try:
            return self._open_readable(check=False)
        except Damaged as finding:
            self._must_redial = self._must_check = True
            raise StoreFault(str(finding)) from finding

    def _open_readable(self, *, check: bool) -> sqlite3.Connection:
        """The file, opened. Raises Damaged for whatever shows in that, sqlite3.Error, OSError."""
        try:
            return self._open_file(check=check)
        except UnicodeDecodeError as error:  # of the words in which SQLite says what it cannot read in the schema
            raise Damaged("schema") from error
        except sqlite3.DatabaseError as error:
            if not dialling.is_damage(error):
                raise
            raise Damaged(str(error)) from error

    def _open_file(self, *, check: bool) -> sqlite3.Connection:
        salvage.finish(self._path)
        if files.touch_private(self._path):
            files.sync_folder(self._path.parent)
            self.created = True
        try:
            connection = dialling.dial(self._path)
        except sqlite3.OperationalError as error:
            if dialling.code(error) == sqlite3.SQLITE_ERROR:  # no question was asked yet: of a format it does not know
                raise Damaged(str(error)) from error
            if not dialling.refuses_writes(error):
                raise
            connection = dialling.dial_readonly(self._path)
        try:
            if check:
                if not is_intact(connection):
                    raise Damaged("schema")  # noqa: TRY301 (one more finding)
                if self._must_check or files.size(self._path) <= PROVED_BYTES:
                    self._prove(connection)
            migrate(connection, shipped())
        except (sqlite3.Error, UnicodeDecodeError, Damaged):
            connection.close()
            raise
        return connection

    def _prove(self, connection: sqlite3.Connection) -> None:
        """At the first opening a file that can be read is opened whatever is found, and condemned: a start reads before it mends."""
        try:
            dialling.prove(connection, whole=self._must_check)
        except Damaged as finding:
            if self._must_check or not is_current(connection, shipped()):
                raise
            self._doubt = str(finding)

    def _replace(self, reason: str) -> sqlite3.Connection:
        saved, bad, aside = self._rebuilding.go(self.hang_up)
        self._condemned = ""
        self.notes.append(f"database_damaged: {reason}; {saved} rows saved, {bad} bad; {aside.name}")
        log.error("database_replaced", reason=reason, saved=saved, bad=bad, aside=aside.name)
        return self._open_file(check=False)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """To read from; opened first where it is not, and never replaced. What SQLite refuses becomes a StoreFault."""
        if self.connection is None:
            self.dial(check=False, replacing=False)
        assert self.connection is not None  # noqa: S101 (that is what dial is for)
        try:
            yield self.connection
        except sqlite3.Error as error:
            raise self._failed(error) from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: committed at the end of the block, or undone."""
        if self.connection is None or self._must_redial:
            self.dial(check=self._must_check)
        with self.reading() as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def putting_off(self) -> Iterator[None]:
        """Within, what is committed stays in SQLite's log until that is four times as long: somebody brings it into the file later."""
        if self.connection is not None:
            dialling.checkpoint_at(self.connection, 4)
        try:
            yield
        finally:
            if self.connection is not None:
                dialling.checkpoint_at(self.connection, 1)
            self.puts_off = dialling.is_log_long(self._path)

    def bring_in(self) -> None:
        """Bring into the file what was put off. Raises StoreFault."""
        self.puts_off = False  # whatever comes of it: whoever puts off more makes it due again
        with self.reading() as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def mend(self) -> None:
        """Open or replace the file now, where the next transaction would. Raises StoreFault."""
        with self.writing():
            pass

    def _failed(self, error: sqlite3.Error) -> StoreFault:
        """What a refusal asks of the next try. A full disk asks for nothing; after any other the file is opened anew."""
        fault = dialling.fault(error)
        self._must_check |= dialling.is_damage(error)
        self._readonly = dialling.code(error) == sqlite3.SQLITE_READONLY
        self._must_redial |= dialling.code(error) not in {
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_BUSY,
            sqlite3.SQLITE_LOCKED,
        }
        return fault
