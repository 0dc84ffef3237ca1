"""A store read by somebody who does not own it: the journal as a recording, while its gateway may be running.

Nothing is written, moved or mended here; what fails its checksum is passed over and counted. The end is fixed when the
recording is opened: what the gateway commits afterwards is not part of it. The commit log is read first and the tables after
it: what is folded in between is then found in the tables, and nothing is missed.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from os.path import isdir
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.faults import StoreFault
from gateway.store import commit_log, packing, persons, seals, tables
from gateway.store import connection as dialling
from gateway.store.commit_log import Entry
from gateway.store.database import NAME
from gateway.store.persons import PersonKeys
from gateway.store.rows import JournalRow
from gateway.store.sealed import sound_meta
from gateway.store.tables import unpack_stamp
from gateway.store.unfolded import Unfolded

_BLOCK = 1_000
"""Rows read in one go: each block is a transaction of its own, so that the gateway's log can be folded back meanwhile."""

Step = tuple[str, int, str, int]
"""One row of an alert's history: alert, revision, kind, at."""


class Recording:
    """One journal, from its first row to the last there was when it was opened. A context manager."""

    def __init__(self, path: Path) -> None:
        """``path``: a database, or the state folder that holds it. Raises StoreFault where it cannot be read."""
        self._path = path / NAME if isdir(path) else path
        self.first = self.last = self.until = 0
        """Numbers of the first and last row (0: none), and the last instant the gateway is known to have lived through."""
        self.steps: frozenset[Step] = frozenset()
        """What the store knows of the alerts' histories."""
        self._in_tables = 0
        self._tail: tuple[JournalRow, ...] = ()
        self.damaged = self.holes = 0
        """Rows that failed their checksum or cannot be opened, and numbers that are missing between the first and the last."""
        try:
            self._connection = dialling.dial_reader(self._path)
            for _ in range(commit_log.READINGS):
                log = commit_log.read(self._path.with_name(commit_log.NAME), 0).found.entries
                if self._fix_ends(log):
                    break
        except OSError as error:
            raise StoreFault(f"{self._path}: {error.strerror}") from error
        except sqlite3.Error as error:
            raise StoreFault(f"{self._path}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def rows(self) -> Iterator[JournalRow]:
        """Every sound row in order, opened: for whoever was written down as having looked. Raises StoreFault."""
        try:
            keys = PersonKeys(self._path.parent)
        except OSError as error:
            raise StoreFault(f"{persons.NAME}: {error.strerror}") from error
        return map(keys.unseal, self.sealed_rows())

    def sealed_rows(self, kinds: Sequence[str] = ()) -> Iterator[JournalRow]:
        """The same, with what names a person still sealed: for everybody else. ``kinds``: only those, which must be kinds that are
        never quiet, so that no run of rows is unpacked for them; nothing is counted then.
        """
        self.damaged = self.holes = 0
        columns = ", ".join(("n", *seals.COLUMNS["journal"]))
        only = f" AND kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
        since = max(0, self.first - 1)
        while since < self._in_tables:
            query = f"SELECT {columns} FROM journal WHERE n > ? AND n <= ?{only} ORDER BY n LIMIT ?"  # noqa: S608 (our own names)
            try:
                block = self._connection.execute(query, (since, self._in_tables, *kinds, _BLOCK)).fetchall()
            except sqlite3.Error as error:
                raise StoreFault(f"{self._path}: {error}") from error
            for n, *columns_read in block:
                rows = self._sound(n, columns_read)
                self.holes += (rows[0].n if rows else n) - since - 1
                since = n
                yield from rows
            if not block:
                self.holes += self._in_tables - since
                break
        yield from (row for row in self._tail if not kinds or row.kind in kinds)

    def _sound(self, n: int, columns: list[Any]) -> list[JournalRow]:
        """The rows that one row of the table stands for; none where it fails its checksum."""
        if not seals.sound("journal", columns):
            self.damaged += 1
            return []
        try:
            return _opened(n, columns)
        except packing.BrokenPack:
            self.damaged += 1
            return []

    def _fix_ends(self, log: Sequence[Entry]) -> bool:
        """All of one moment: where the journal begins and ends, and what the histories say by then. False where the log, read
        before it, lacks a commit.
        """
        self._connection.execute("BEGIN")
        with contextlib.ExitStack() as stack:
            stack.callback(self._connection.execute, "COMMIT")
            first, last, at = self._connection.execute("SELECT MIN(n), MAX(n), MAX(at) FROM journal").fetchone()
            self._in_tables, self.until = last or 0, at or 0
            columns = ", ".join(seals.COLUMNS["history"])
            history = self._connection.execute(f"SELECT {columns} FROM history")  # noqa: S608 (our own names)
            steps = {row[:4] for row in history if seals.sound("history", row)}
            stamp = sound_meta(self._connection, "stamp")
            self.first = self._first_number(first) if first else 0
            folded = tables.folded(self._connection, sound_meta(self._connection, "serial"))
        if stamp is not None:
            self.until = max(self.until, unpack_stamp(stamp)[0])
        later = Unfolded(log).behind(folded)
        self._tail = tuple(later.journal(self._in_tables))
        self.last = self._in_tables + len(self._tail)
        self.first = self.first or min(1, len(self._tail))
        stamps = (entry.batch.stamp[0] for entry in later if entry.batch.stamp)
        self.until = max([self.until, *stamps, *(row.at for row in self._tail)])
        serials = [entry.serial for entry in later]
        self.steps = frozenset(steps | {(step.alert, step.revision, step.kind, step.at) for step in later.history()})
        return serials == list(range(folded + 1, folded + 1 + len(serials)))

    def _first_number(self, n: int) -> int:
        """Of the first row: one that stands for many is numbered by its last."""
        columns = ", ".join(seals.COLUMNS["journal"])
        row = self._connection.execute(f"SELECT {columns} FROM journal WHERE n = ?", (n,)).fetchone()  # noqa: S608 (as above)
        if not seals.sound("journal", row):
            return n
        try:
            return _opened(n, row)[0].n
        except packing.BrokenPack:  # it is counted when it is read
            return n


def _opened(n: int, columns: Sequence[Any]) -> list[JournalRow]:
    at, name, kind, body, _ = columns
    return packing.unpacked(JournalRow(at, name, kind, body, n))
