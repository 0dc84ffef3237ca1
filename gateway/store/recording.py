"""A store read by somebody who does not own it: the journal as a recording, while its gateway may be running.

Nothing is written, moved or mended here; what fails its checksum is passed over and counted. The end is fixed when the
recording is opened: what the gateway commits afterwards is not part of it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.faults import StoreFault
from gateway.store import connection as dialling
from gateway.store import seals
from gateway.store.database import NAME
from gateway.store.persons import PersonKeys
from gateway.store.rows import JournalRow

_BLOCK = 1_000
"""Rows read in one go: each block is a transaction of its own, so that the gateway's log can be folded back meanwhile."""
_INSTANT_BYTES = 8

Step = tuple[str, int, str, int]
"""One row of an alert's history: alert, revision, kind, at."""


class Recording:
    """One journal, from its first row to the last there was when it was opened. A context manager."""

    def __init__(self, path: Path) -> None:
        """``path``: a database, or the state folder that holds it. Raises StoreFault where it cannot be read."""
        self._path = path / NAME if path.is_dir() else path
        self.first = self.last = self.until = 0
        """Numbers of the first and last row (0: none), and the last instant the gateway is known to have lived through."""
        self.steps: frozenset[Step] = frozenset()
        """What the store knows of the alerts' histories."""
        self.damaged = self.holes = 0
        """Rows that failed their checksum, and numbers that are missing between the first and the last."""
        try:
            self._persons = PersonKeys(self._path.parent)
            self._connection = dialling.dial_reader(self._path)
            self._fix_ends()
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
        """Every sound row in order. Raises StoreFault."""
        self.damaged = self.holes = 0
        columns = ", ".join(("n", *seals.COLUMNS["journal"]))
        since = self.first - 1
        while since < self.last:
            query = f"SELECT {columns} FROM journal WHERE n > ? AND n <= ? ORDER BY n LIMIT ?"  # noqa: S608 (our own names)
            try:
                block = self._connection.execute(query, (since, self.last, _BLOCK)).fetchall()
            except sqlite3.Error as error:
                raise StoreFault(f"{self._path}: {error}") from error
            for n, *columns_read in block:
                self.holes += n - since - 1
                since = n
                if not seals.sound("journal", columns_read):
                    self.damaged += 1
                    continue
                at, name, kind, body, _ = columns_read
                yield self._persons.unseal(JournalRow(at, name, kind, body, n))
            if not block:
                self.holes += self.last - since
                return

    def _fix_ends(self) -> None:
        """All of one moment: where the journal begins and ends, and what the histories say by then."""
        self._connection.execute("BEGIN")
        with contextlib.ExitStack() as stack:
            stack.callback(self._connection.execute, "COMMIT")
            first, last, at = self._connection.execute("SELECT MIN(n), MAX(n), MAX(at) FROM journal").fetchone()
            self.first, self.last, self.until = first or 0, last or 0, at or 0
            self.steps = frozenset(self._connection.execute("SELECT alert, revision, kind, at FROM history"))
            stamp = self._connection.execute("SELECT body FROM meta WHERE key = 'stamp'").fetchone()
            if stamp is not None:
                self.until = max(self.until, int.from_bytes(stamp[0][:_INSTANT_BYTES], "big", signed=True))
