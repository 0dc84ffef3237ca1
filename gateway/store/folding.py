"""Folding: entries of the commit log become rows of the tables, inside the transaction of whoever owns the database.

Theory. What the log holds was acknowledged, so it must not be lost, and it must not prevent a start either: a row that no table
takes (a bug of ours, a value nobody thought of) would be met again at every start, and the process would never come up. The
fast way writes whole entries. Does it meet such a row, all is undone and written once more row by row, each one undone by
itself: what cannot be written is set aside in ``damaged`` for a person to look at, and everything else stands.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator

import msgspec
import structlog
from msgspec import Struct, structs

from gateway.store import connection as dialling
from gateway.store import tables
from gateway.store.commit_log import Entry
from gateway.store.outbox import Outbox
from gateway.store.rows import Batch, Damage, JournalRow, StateRow

log = structlog.get_logger()


class Folder(Struct, frozen=True):
    """Writes entries through one connection; ``found`` counts what was odd about them."""

    connection: sqlite3.Connection
    outbox: Outbox
    found: Damage

    def write(self, entries: Iterable[Entry]) -> None:
        """Whole entries. Raises whatever a row raises.

        Their journal is written together, for a run of the readings of many commits is half as long as a run of each; and of each
        row of state only the last, for a restless point has one in every commit.
        """
        tables.write_journal(self.connection, self._write_rest(entries))

    def _write_rest(self, entries: Iterable[Entry]) -> Iterator[JournalRow]:
        """All but the journal rows, which are left to whoever asks for them."""
        last: dict[tuple[str, str], tuple[StateRow, int]] = {}
        for entry in entries:
            self._write(structs.replace(entry, batch=structs.replace(entry.batch, journal=(), state=())))
            last |= {(row.kind, row.key): (row, entry.serial) for row in entry.batch.state}
            yield from entry.batch.journal
        for row, serial in last.values():
            tables.write_state(self.connection, row, serial)

    def write_carefully(self, entries: Iterable[Entry]) -> None:
        """Row by row, those set aside that cannot be written. Raises sqlite3.Error where the disk refuses."""
        for entry in entries:
            for piece in _pieces(entry):
                self._try(piece)
            tables.write(self.connection, Batch(), entry.serial)

    def _write(self, entry: Entry) -> None:
        tables.write(self.connection, entry.batch, entry.serial)
        for message in entry.batch.messages:
            self.outbox.insert(self.connection, message, self.found)
        self.outbox.write_saved(self.connection, entry.cursors)

    def _try(self, piece: Entry) -> None:
        try:
            with _undone_alone(self.connection):
                self._write(piece)
        except Exception as error:  # a bug of ours in one row: put aside and said, or no start would ever get past it
            if is_of_the_disk(error):
                raise
            self.found.unfolded += 1
            log.critical("row_unfoldable", serial=piece.serial, error=type(error).__name__)
            self.connection.execute(
                "INSERT INTO damaged (origin, reason, row) VALUES ('log', 'unfoldable', ?)",
                (msgspec.json.encode((type(error).__name__, piece.batch, piece.cursors)),),
            )


def is_of_the_disk(error: BaseException) -> bool:
    """Whether it is the disk, or the machine, that refused, and not the row: it will be tried again as it is."""
    return isinstance(error, OSError | MemoryError) or (isinstance(error, sqlite3.Error) and dialling.is_refusal(error))


def _pieces(entry: Entry) -> Iterator[Entry]:
    """Every row as an entry of its own."""
    batch = entry.batch
    single = [
        *(Batch(journal=(row,)) for row in batch.journal),
        *(Batch(state=(row,)) for row in batch.state),
        *(Batch(history=(row,)) for row in batch.history),
        *(Batch(messages=(row,)) for row in batch.messages),
        Batch(stamp=batch.stamp),
    ]
    yield from (Entry(entry.serial, piece) for piece in single)
    yield from (Entry(entry.serial, Batch(), (cursor,)) for cursor in entry.cursors)


@contextlib.contextmanager
def _undone_alone(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("SAVEPOINT piece")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # a full disk may have ended it (sqlite.org/lang_transaction.html)
            connection.execute("ROLLBACK TO piece")
        raise
    finally:
        if connection.in_transaction:
            connection.execute("RELEASE piece")
