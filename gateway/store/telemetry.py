"""Samples for pictures and for the upstream: droppable, counted, in a file of their own.

Nothing an alarm depends on may live here, and nothing here may delay one: samples are collected in memory and written every
ten seconds in one transaction by a thread of their own, with ``synchronous=NORMAL`` (a power cut may cost the last blocks).
What the disk refuses is dropped and counted; a damaged file is set aside and a new one begun.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from contextlib import suppress
from pathlib import Path

import structlog
from msgspec import Struct

from gateway.events import Scalar
from gateway.instant import DAY
from gateway.store import files
from gateway.store.connection import is_damage
from gateway.store.migrations import migrate, shipped
from gateway.store.thread import DiskThread

log = structlog.get_logger()

NAME = "telemetry.db"
BLOCK_S = 10.0
BUFFER = 20_000
"""Samples waiting for the disk; at 64 units of 8 points once a second, 40 s."""
ROWS = 1_000_000
"""~60 MB."""
AGE_MS = 30 * DAY
_LAST_S = 1.0  # how long an end waits for the last block; samples are droppable, a stop is not
_WHOLE = 1 << 63  # SQLite's integers end here; a counter beyond is kept as text


class Sample(Struct, frozen=True):
    """One point of one device at one moment of the site timeline."""

    device: str
    point: str
    at: int
    value: Scalar | None
    quality: str


class Counters(Struct):
    """For the status topic."""

    written: int = 0
    dropped: int = 0
    set_aside: int = 0


class Telemetry:
    """The sample store. ``run`` writes; ``add`` never waits and never fails."""

    def __init__(self, folder: Path, *, rows: int = ROWS, age_ms: int = AGE_MS, buffer: int = BUFFER) -> None:
        self._path, self._rows, self._age_ms = folder / NAME, rows, age_ms
        self._buffer: deque[Sample] = deque(maxlen=buffer)
        self._connection: sqlite3.Connection | None = None
        self._worker = DiskThread("telemetry")
        self._refused = False
        self.counters = Counters()

    def add(self, device: str, point: str, at: int, value: Scalar | None, quality: str) -> None:
        """Keep a sample with the next block; the oldest waiting one is dropped where too many wait."""
        if len(self._buffer) == self._buffer.maxlen:
            self.counters.dropped += 1
        self._buffer.append(Sample(device, point, at, value, quality))

    async def run(self) -> None:
        """Write a block every ten seconds until cancelled; then a last one. May be run again."""
        try:
            while True:
                await asyncio.sleep(BLOCK_S)
                await self.flush()
        finally:
            self._worker.submit(self._write, self._drain())
            closing = asyncio.wrap_future(self._worker.submit(self._close))
            await asyncio.wait({closing}, timeout=_LAST_S)

    async def flush(self) -> None:
        """Write now what waits."""
        if block := self._drain():
            await asyncio.get_running_loop().run_in_executor(self._worker, self._write, block)

    async def recent(self, device: str, point: str, since: int, n: int) -> list[Sample]:
        """The last ``n`` samples of a point since an instant, oldest first; empty where the file cannot be read."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, self._recent, device, point, since, n)

    def _drain(self) -> list[Sample]:
        block = list(self._buffer)
        self._buffer.clear()
        return block

    def _write(self, block: list[Sample]) -> None:
        if not block:
            return
        try:
            connection = self._opened()
            with connection:
                connection.executemany(
                    "INSERT INTO samples (at, device, point, value, quality) VALUES (?, ?, ?, ?, ?)",
                    [(one.at, one.device, one.point, _plain(one.value), one.quality) for one in block],
                )
                self._prune(connection, max(one.at for one in block))
        except (sqlite3.DatabaseError, OSError) as error:
            self._refuse(len(block), error)
            return
        self.counters.written += len(block)
        self._refused = False

    def _prune(self, connection: sqlite3.Connection, now: int) -> None:
        """Both bounds at once, from the old end; ``at`` never goes back, so the old end is the old time."""
        connection.execute("DELETE FROM samples WHERE n <= (SELECT MAX(n) FROM samples) - ?", (self._rows,))
        young = connection.execute("SELECT n FROM samples WHERE at >= ? ORDER BY n LIMIT 1", (now - self._age_ms,))
        if (first := young.fetchone()) is not None:
            connection.execute("DELETE FROM samples WHERE n < ?", first)

    def _recent(self, device: str, point: str, since: int, n: int) -> list[Sample]:
        query = (
            "SELECT device, point, at, value, quality FROM samples "
            "WHERE at >= ? AND device = ? AND point = ? ORDER BY n DESC LIMIT ?"
        )
        try:
            rows = self._opened().execute(query, (since, device, point, n)).fetchall()
        except (sqlite3.DatabaseError, OSError) as error:
            self._refuse(0, error)
            return []
        return [Sample(*row) for row in reversed(rows)]

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.touch_private(self._path)
            connection = sqlite3.connect(self._path, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                migrate(connection, shipped("telemetry"))
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _refuse(self, lost: int, error: sqlite3.DatabaseError | OSError) -> None:
        self.counters.dropped += lost
        if not self._refused:
            log.warning("telemetry_refused", fault=str(error), dropped=lost)
        self._refused = True
        self._close()
        if isinstance(error, sqlite3.Error) and is_damage(error):
            self.counters.set_aside += 1
            with suppress(OSError):  # then it is tried again with the next block
                log.warning("telemetry_set_aside", aside=files.set_aside(self._path).name)

    def _close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()


def _plain(value: Scalar | None) -> Scalar | None:
    """As SQLite can hold it."""
    if isinstance(value, int) and not -_WHOLE <= value < _WHOLE:
        return str(value)
    return value
