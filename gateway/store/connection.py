"""Opens SQLite the way an alarm store needs it, and says what its errors mean.

WAL with ``synchronous=FULL``: a commit that returned is on the disk (facts, durability 4a: 0 lost of 1,730 crash states, where
NORMAL lost acknowledged records). sqlite.org: wal.html, pragma.html, rescode.html.
"""

from __future__ import annotations

import bisect
import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path
from shutil import copyfile
from urllib.parse import quote

from gateway.faults import StoreFault
from gateway.store import seals

_BUSY_MS = 5_000  # a person's sqlite3 shell may hold the file for a moment
_CHECKPOINT_PAGES = 1_000  # 4 MB: ~150 alerts share one write of the pages they all touch
_LOG_LIMIT = 8 << 20  # bytes the log may keep after a burst
_LOG_HEAD, _FRAME_HEAD = 32, 24  # bytes (sqlite.org/fileformat2.html, 4.1)
_SALTS = slice(16, 24)  # of the log's head; each frame has them behind its first 8 bytes

_DISK = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOLFS,
    }
)
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Damaged(Exception):
    """The file is no sound database: a finding that ends in a repair, not an error to anybody outside the store."""


def code(error: sqlite3.Error) -> int:
    """Primary result code; 0 where the error did not come from SQLite."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is bad, and trying again will not help."""
    return code(error) in _DAMAGE


def is_refusal(error: sqlite3.Error) -> bool:
    """Whether the disk or the file is to blame, and not what was asked."""
    return code(error) in _DISK | _DAMAGE


def fault(error: sqlite3.Error) -> StoreFault:
    """The disk's refusal as a ``StoreFault``; any other error is a bug and is raised as it is."""
    if not is_refusal(error):
        raise error
    return StoreFault(f"{getattr(error, 'sqlite_errorname', 'SQLITE')}: {error}")


def refuses_writes(error: sqlite3.Error) -> bool:
    """Whether nothing can be laid beside the file, which may be readable where it lies: a read-only disk, or one that is full."""
    return code(error) in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY} or (
        getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHMSIZE
    )


def dial(path: Path) -> sqlite3.Connection:
    """A connection that commits durably. Raises sqlite3.Error, Damaged."""
    if path.stat().st_size == 0 and (log := path.with_name(path.name + "-wal")).exists() and log.stat().st_size:
        raise Damaged("empty beside a log")  # SQLite would delete the log without a word
    connection = _connect(path)
    try:
        # Where the file system cannot hold a log SQLite stays with its rollback journal: slower, as durable.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        checkpoint_at(connection, 1)
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_LIMIT}")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA secure_delete = FAST")  # deleted rows become zeros where that costs no further write
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def checkpoint_at(connection: sqlite3.Connection, times: int) -> None:
    """At so many times the usual length a commit also brings SQLite's log into the file: two syncs more, and most of the writing."""
    connection.execute(f"PRAGMA wal_autocheckpoint = {times * _CHECKPOINT_PAGES}")


def is_log_long(path: Path) -> bool:
    """Whether a commit of the usual kind would bring SQLite's log into the file. Never raises: where nobody can tell it is not.

    What was written since the log was begun anew has the salts of its head, and lies before all that has not.
    """
    try:
        with path.with_name(path.name + "-wal").open("rb", buffering=0) as log:
            head = os.pread(log.fileno(), _LOG_HEAD, 0)
            frame = _FRAME_HEAD + int.from_bytes(head[8:12], "big")
            frames = range(_LOG_HEAD, os.fstat(log.fileno()).st_size - frame + 1, frame)
            behind = bisect.bisect_left(frames, True, key=lambda at: os.pread(log.fileno(), 8, at + 8) != head[_SALTS])
    except OSError:
        return False
    return behind >= _CHECKPOINT_PAGES


def dial_readonly(path: Path) -> sqlite3.Connection:
    """A connection to what a read-only disk holds; every write will be refused. Raises sqlite3.Error, OSError.

    SQLite reads a write-ahead log only where it may write beside it, so the files are read from a copy; without a log the
    file can be read where it lies.
    """
    log = path.with_name(path.name + "-wal")
    if not log.exists() or not log.stat().st_size:
        return _connect(path, "mode=ro&immutable=1")
    with tempfile.TemporaryDirectory(prefix="loudong-") as folder:
        copy = Path(folder) / path.name
        copyfile(path, copy)
        copyfile(log, copy.with_name(log.name))
        source = _connect(copy)
        with contextlib.closing(source):
            target = _connect(Path(":memory:"))
            source.backup(target)
    target.execute("PRAGMA query_only = ON")
    return target


def dial_reader(path: Path) -> sqlite3.Connection:
    """A connection for somebody who only reads, beside a gateway that may be running. Raises sqlite3.Error, OSError.

    A running gateway has an index beside its log (``-shm``), which a reader joins and takes part in its locks
    (sqlite.org/wal.html, "Read-Only Databases"); without that index nobody is writing, and the file is read where it lies.
    """
    path.stat()  # SQLite says "unable to open" of whatever is wrong
    if path.with_name(path.name + "-shm").exists():
        try:
            connection = _connect(path, "mode=ro")
            connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1")
        except sqlite3.OperationalError as error:
            if code(error) not in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}:
                raise
        else:
            return connection
    return dial_readonly(path)


def prove(connection: sqlite3.Connection, *, whole: bool) -> None:
    """Raises Damaged where the pages do not hang together (sqlite.org/pragma.html#pragma_quick_check).

    ``whole``: or a row does not lie where its key or an index says. That takes several times as long; it is for a file in which
    something was met already.
    """
    found = verdict(connection, "integrity_check(1)" if whole else "quick_check(1)")
    if found != "ok":
        raise Damaged(found)


def verdict(connection: sqlite3.Connection, check: str) -> str:
    """``ok``, or the first thing that a check of SQLite's finds (sqlite.org/pragma.html#pragma_integrity_check)."""
    found: str = connection.execute(f"PRAGMA {check}").fetchone()[0]
    return found.replace("\n", " ")


def writable(connection: sqlite3.Connection) -> bool:
    """Whether the disk takes writes now. Raises sqlite3.Error for anything but a read-only one."""
    if connection.execute("PRAGMA query_only").fetchone()[0]:
        return False
    try:
        # Begins a write and writes nothing; BEGIN IMMEDIATE alone succeeds on a read-only file.
        connection.execute("DELETE FROM meta WHERE FALSE")
    except sqlite3.OperationalError as error:
        if code(error) == sqlite3.SQLITE_READONLY:
            return False
        raise
    return True


def has_log(connection: sqlite3.Connection) -> bool:
    """Whether somebody may read while somebody writes."""
    return bool(connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal")


def _connect(path: Path, query: str = "") -> sqlite3.Connection:
    # check_same_thread: opened in one thread and used in another, but never by two at a time (the Store's worker).
    name = f"file:{quote(str(path))}?{query}" if query else str(path)
    connection = sqlite3.connect(
        name, uri=bool(query), isolation_level=None, timeout=_BUSY_MS / 1_000, check_same_thread=False
    )
    connection.text_factory = seals.read_text
    return connection
