"""Documents about what can be learnt again: heartbeat intervals, battery trends, when an output last moved.

Nothing an alarm depends on may live here. TinyDB holds one table per kind, on a storage of our own, for the shipped one
overwrites its file in place and truncates it *after* its fsync: a power cut, or a full disk, makes the whole file unreadable
(facts, durability 4a and 4d). Here a file is written beside the old one, made durable and put in its place.

To spare the card it is written at most every ten minutes, and at once only when a meaning changed. A file that cannot be read
is set aside and learning begins anew; nothing here ever prevents a start.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from msgspec import Struct
from tinydb import TinyDB
from tinydb.storages import Storage
from tinydb.table import Document

from gateway.store import files
from gateway.store.thread import DiskThread

log = structlog.get_logger()

NAME = "registry.json"
WRITE_MS = 10 * 60_000
"""The least time between two writes for mere learning: 100 kB each makes 14 MB a day at worst."""
RETRY_MS = 60_000
KEPT = {"button": 1_000, "output": 1_000}
"""How many of a kind are kept, the ones not heard of for longest forgotten first: a site names fewer, and devices that left it go
by and by. Any other kind is of a former version and is forgotten with the next write: it held the names of passers-by's telephones.
"""
LAST_S = 1.0
"""How long an end waits for the last write; what was learnt can be learnt again, a stop cannot wait."""
_TURN_S = 5.0  # how often the writer looks whether it is time

Fields = dict[str, Any]
Tables = dict[str, dict[str, Any]]


class WholeFileStorage(Storage):
    """TinyDB storage that writes to memory; ``save`` replaces the file so that any power cut leaves the old or the new one."""

    def __init__(self, path: Path, tables: Tables | None = None) -> None:
        self._path, self._tables = path, tables

    def read(self) -> Tables | None:
        return self._tables

    def write(self, data: Tables) -> None:
        self._tables = data

    def save(self) -> None:
        """Raises OSError; then the old file stands."""
        files.write_whole(self._path, _encode(self._tables))


class Learnt(Struct):
    """Counters for the status topic."""

    writes: int = 0
    refused: int = 0
    set_aside: int = 0


class Registry:
    """What was learnt, by kind and key. ``now`` answers milliseconds that never go back."""

    def __init__(self, folder: Path, now: Callable[[], int]) -> None:
        self._path, self._now = folder / NAME, now
        self.counters = Learnt()
        self._known: dict[str, dict[str, Fields]] = {}
        self._numbers: dict[str, dict[str, int]] = {}
        """The document of each key that was written, by kind."""
        self._changed: set[tuple[str, str]] = set()
        self._due: int | None = None
        self._meaning = asyncio.Event()
        self._writing = threading.Lock()
        self._stopping = False
        self._storage, self._database = self._open()

    def note(self, kind: str, key: str, fields: Fields, *, meaning: bool = False) -> None:
        """Keep what was learnt about a thing: these fields change, others stay. ``fields`` must be JSON.

        ``meaning``: somebody would act on the difference, so it is written at once and not with the next ten minutes.
        """
        known = self._known.setdefault(kind, {})
        before = known.get(key, {})
        after = before | fields
        if after != before:
            json.dumps(fields, allow_nan=False)  # raises here, in the caller's face, not ten minutes later
            self._changed.add((kind, key))
            self._set_due(0 if meaning else WRITE_MS)
        if after:
            known.pop(key, None)
            known[key] = after  # the order is that of hearing
        self._bound(kind)

    def get(self, kind: str, key: str) -> Fields:
        """What is known about a thing; empty if nothing is."""
        return dict(self._known.get(kind, {}).get(key, {}))

    def all(self, kind: str) -> dict[str, Fields]:
        """Everything of a kind, by key."""
        return {key: dict(fields) for key, fields in self._known.get(kind, {}).items()}

    def forget(self, kind: str, key: str) -> None:
        """Drop what is known about a thing."""
        if self._known.get(kind, {}).pop(key, None) is not None:
            self._changed.add((kind, key))
            self._set_due(0)

    async def run(self) -> None:
        """Write when it is time, until ``stop`` or cancellation; then a last time."""
        loop, thread = asyncio.get_running_loop(), DiskThread("registry")
        try:
            while not self._stopping:
                self._meaning.clear()
                if self._due is not None and self._now() >= self._due:
                    await loop.run_in_executor(thread, self.flush)
                    continue
                try:
                    await asyncio.wait_for(self._meaning.wait(), _TURN_S)
                except TimeoutError:
                    continue
        finally:
            last = loop.run_in_executor(thread, self.flush)  # behind one that is under way
            thread.shutdown(wait=False)
            await asyncio.wait({last}, timeout=LAST_S)

    def stop(self) -> None:
        self._stopping = True
        self._meaning.set()

    def flush(self) -> bool:
        """Write now what changed; False where the disk refuses, then it is tried again in a minute. From any thread."""
        if not self._writing.acquire(timeout=LAST_S):
            return False  # the disk hangs under another
        try:
            return self._flush()
        finally:
            self._writing.release()

    def _flush(self) -> bool:
        changed, self._changed, self._due = self._changed, set(), None
        if not changed:
            return True
        try:
            self._write(changed)
        except OSError as error:
            self.counters.refused += 1
            self._changed |= changed
            self._due = self._now() + RETRY_MS
            log.warning("registry_refused", fault=str(error))
            return False
        self.counters.writes += 1
        return True

    def _bound(self, kind: str) -> None:
        known = self._known[kind]
        while len(known) > KEPT.get(kind, len(known)):
            oldest = next(iter(known))
            del known[oldest]
            self._changed.add((kind, oldest))
            self._set_due(WRITE_MS)

    def _write(self, changed: set[tuple[str, str]]) -> None:
        for kind in sorted({kind for kind, _ in changed}):
            self._write_kind(kind, [key for one, key in changed if one == kind])
        self._storage.save()

    def _write_kind(self, kind: str, keys: list[str]) -> None:
        """Two steps for all keys together, for TinyDB copies the table at each."""
        table, numbers = self._database.table(kind), self._numbers.setdefault(kind, {})
        free = max(numbers.values(), default=0) + 1
        if replaced := [numbers.pop(key) for key in keys if key in numbers]:
            table.remove(doc_ids=replaced)
        documents = []
        for key in keys:
            if (fields := self._known.get(kind, {}).get(key)) is not None:
                numbers[key], free = free, free + 1
                documents.append(Document({"key": key, "fields": fields}, numbers[key]))
        if documents:
            table.insert_multiple(documents)
        table.clear_cache()

    def _set_due(self, pause: int) -> None:
        due = self._now() + pause
        if self._due is None or due < self._due:
            self._due = due
            if pause == 0:
                self._meaning.set()

    def _open(self) -> tuple[WholeFileStorage, TinyDB]:
        """Read the file; where it is no registry, set it aside and begin with nothing."""
        try:
            storage = WholeFileStorage(self._path, _decode(self._path))
            database = TinyDB(storage=lambda: storage)
            for kind in sorted(database.tables()):
                if kind not in KEPT:
                    database.drop_table(kind)
                    self._changed.add((kind, ""))
                    self._set_due(0)
                    continue
                documents = list(database.table(kind))
                self._known[kind] = {found["key"]: found["fields"] | {} for found in documents}
                self._numbers[kind] = {found["key"]: found.doc_id for found in documents}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            self._known.clear()
            self._numbers.clear()
            self.counters.set_aside += 1
            log.warning("registry_set_aside", fault=str(error), aside=self._set_aside())
            storage = WholeFileStorage(self._path)
            database = TinyDB(storage=lambda: storage)
        return storage, database

    def _set_aside(self) -> str:
        try:
            return files.set_aside(self._path).name
        except OSError as error:
            return str(error)


def _decode(path: Path) -> Tables | None:
    """Raises OSError or ValueError where the file cannot be read as documents."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    tables = json.loads(raw)
    if not isinstance(tables, dict):
        raise ValueError("not a table of tables")  # noqa: TRY004 (a bad file, not a bad argument)
    _encode(tables)  # half a character, or what is no number: read, it would keep all that is learnt from being written
    return tables


def _encode(tables: Tables | None) -> bytes:
    return json.dumps(tables, ensure_ascii=False, allow_nan=False).encode()
