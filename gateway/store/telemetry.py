"""Samples for pictures and for the upstream: droppable, counted, in a file of their own.

Nothing an alarm depends on may live here, and nothing here may delay one: samples are collected in memory and written every
five minutes, or when many wait, as one packed row by a thread of their own, with ``synchronous=NORMAL`` (a crash costs the
samples that wait, a power cut the last blocks, too). What the disk refuses is dropped and counted; a damaged file is set aside
and a new one begun.
"""

from __future__ import annotations

import asyncio
import sqlite3
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from gateway.events import Scalar
from gateway.instant import DAY
from gateway.store import files
from gateway.store.connection import is_damage
from gateway.store.migrations import migrate, shipped
from gateway.store.retention import used_bytes
from gateway.store.samples import Sample, Waiting
from gateway.store.thread import DiskThread

log = structlog.get_logger()

NAME = "telemetry.db"
BLOCK_S = 300.0
BLOCK = 8_000
"""Samples that are enough for a block of their own: some 40 kB."""
BUFFER = 20_000
"""Samples waiting for the disk; at 64 units of 8 points once a second, 40 s."""
TURN_S = 1.0
AGE_MS = 90 * DAY
BYTES = 200_000_000
ROUND = 5
"""Old blocks that a new one replaces at most: a bound that was made tighter is reached step by step."""
_LEVEL = 6
_LAST_S = 1.0  # how long an end waits for the last block; samples are droppable, a stop is not


class Counters(Struct):
    """For the status topic."""

    written: int = 0
    dropped: int = 0
    set_aside: int = 0
    pruned: int = 0


class Telemetry:
    """The sample store. ``run`` writes; ``add`` never waits and never fails."""

    def __init__(self, folder: Path, *, age_ms: int = AGE_MS, most_bytes: int = BYTES, buffer: int = BUFFER) -> None:
        self._path = folder / NAME
        self.age_ms, self.most_bytes = age_ms, most_bytes
        """How long and how much is kept; may be changed at any time."""
        self._waiting = Waiting(buffer)
        self._connection: sqlite3.Connection | None = None
        self._worker = DiskThread("telemetry")
        self._refused = False
        self.counters = Counters()

    def add(self, device: str, point: str, at: int, value: Scalar | None, quality: str) -> None:
        """Keep a sample with the next block; the oldest waiting one is dropped where too many wait."""
        self.counters.dropped += not self._waiting.add(device, point, at, value, quality)

    async def run(self) -> None:
        """Write a block every five minutes, or when many samples wait, until cancelled; then a last one. May be run again."""
        loop = asyncio.get_running_loop()
        due = loop.time() + BLOCK_S
        try:
            while True:
                await asyncio.sleep(min(TURN_S, BLOCK_S))
                if loop.time() >= due or len(self._waiting) >= BLOCK:
                    due = loop.time() + BLOCK_S
                    await self.flush()
        finally:
            self._worker.submit(self._write, self._waiting.take())
            closing = loop.run_in_executor(self._worker, self._close)
            await asyncio.wait({closing}, timeout=_LAST_S)

    async def flush(self) -> None:
        """Write now what waits."""
        if self._waiting:
            await asyncio.get_running_loop().run_in_executor(self._worker, self._write, self._waiting.take())

    async def recent(self, device: str, point: str, since: int, n: int) -> list[Sample]:
        """The last ``n`` samples of a point since an instant, oldest first; empty where the file cannot be read."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, self._recent, device, point, since, n)

    def _write(self, block: Waiting) -> None:
        if not block:
            return
        try:
            connection = self._opened()
            with connection:
                since, until, body = encode(block)
                connection.execute(
                    "INSERT INTO blocks (since, until, samples, body) VALUES (?, ?, ?, ?)",
                    (since, until, len(block), body),
                )
                self.counters.pruned += self._prune(connection, until)
        except (sqlite3.DatabaseError, OSError) as error:
            self._refuse(len(block), error)
            return
        self.counters.written += len(block)
        self._refused = False

    def _prune(self, connection: sqlite3.Connection, now: int) -> int:
        """Both bounds at once, from the old end; ``at`` never goes back, so the old end is the old time.

        Pages of deleted rows are used again: the file grows no further than the bound.
        """
        crowded = used_bytes(connection) > self.most_bytes
        edge = 1 << 62 if crowded else now - self.age_ms
        newest = "(SELECT MAX(n) FROM blocks)"
        old = connection.execute(
            f"SELECT n, samples FROM blocks WHERE until < ? AND n < {newest} ORDER BY n LIMIT ?",  # noqa: S608 (our own words)
            (edge, ROUND),
        ).fetchall()
        connection.executemany("DELETE FROM blocks WHERE n = ?", [(n,) for n, _ in old])
        return sum(samples for _, samples in old)

    def _recent(self, device: str, point: str, since: int, n: int) -> list[Sample]:
        found: deque[Sample] = deque()
        try:
            blocks = self._opened().execute("SELECT body FROM blocks WHERE until >= ? ORDER BY n DESC", (since,))
            for (body,) in blocks:
                wanted = [one for one in decode(body, device, point) if one.at >= since]
                found.extendleft(reversed(wanted))
                if len(found) >= n:
                    break
        except (sqlite3.DatabaseError, OSError) as error:
            self._refuse(0, error)
            return []
        return list(found)[-n:]

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.touch_private(self._path)
            connection = sqlite3.connect(self._path, check_same_thread=False)
            try:
                # Nobody reads beside us: then the index of SQLite's log is held in memory, and not in a file of which each block written
                # makes five pages dirty, as much as itself (sqlite.org/wal.html, "Use of WAL Without Shared-Memory").
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
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


_Series = tuple[str, str, list[int], list[Scalar | None], dict[int, str]]
"""Device, point, time since the sample before, value, and the quality from a place in the series on."""


class _Growing(Struct, gc=False):
    """One series of the block that is being packed."""

    steps: list[int]
    values: list[Scalar | None]
    qualities: dict[int, str]
    at: int
    quality: str


def encode(block: Iterable[Sample]) -> tuple[int, int, bytes]:
    """A block as it is kept: by series, with differences of time, compressed; and its first and last instant."""
    every: dict[tuple[str, str], _Growing] = {}
    steady: dict[str, dict[int, str]] = {}
    """Of the many series that have one quality all along: by it."""
    first, last = 1 << 63, -1 << 63
    for one in block:
        key, at, quality = (one.device, one.point), one.at, one.quality
        series = every.get(key)
        if series is None:
            series = every[key] = _Growing([], [], steady.setdefault(quality, {0: quality}), 0, quality)
        elif quality != series.quality:
            series.qualities = {**series.qualities, len(series.steps): quality}
        series.steps.append(at - series.at)
        series.values.append(one.value)
        series.at, series.quality = at, quality
        first, last = min(first, at), max(last, at)
    said = [(*key, series.steps, series.values, series.qualities) for key, series in every.items()]
    return first, last, zlib.compress(msgspec.msgpack.encode(said), _LEVEL)


def decode(body: bytes, device: str, point: str) -> Iterator[Sample]:
    """The samples of one series in a block; none where it cannot be read."""
    try:
        every = _decoder.decode(zlib.decompress(body))
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        log.warning("telemetry_block_unreadable")
        return
    for its_device, its_point, steps, values, qualities in every:
        if (its_device, its_point) != (device, point):
            continue
        at, quality = 0, ""
        for place, (step, value) in enumerate(zip(steps, values, strict=False)):
            at, quality = at + step, qualities.get(place, quality)
            yield Sample(device, point, at, value, quality)


_decoder = msgspec.msgpack.Decoder(list[_Series])
