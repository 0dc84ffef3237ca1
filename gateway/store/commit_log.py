"""The commit log: one file of synced records that stand before the tables.

What nobody may lose is appended here with one fdatasync and is safe from then on; the tables are written later, many commits at
a time (``Database.fold``). Here live the form of the file and its reading; what a record means is the database's business.

Theory. A commit to the tables rewrites some dozen pages of 4 KiB, most of them the same ones every time; a record costs the one
or two blocks it fills. On a memory card that is the difference between 100 kB and 6 kB an alert. The file is used in place,
from the front again after each fold, so it stays small and old records lie behind the new ones. Three rules keep that safe:

* each record has the serial number of its commit, and the tables hold the number of the last one folded into them: a record
  that is not newer is no news, wherever it lies;
* a record counts only whole (its checksum), and reading goes on behind a bad one: what comes after it was acknowledged;
* a record of which the sync was refused is blanked if the disk lets us, and its place is not used again before the tables
  hold that serial number.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import msgspec
from msgspec import Struct

from gateway.faults import StoreFault
from gateway.store import deflate, files
from gateway.store.rows import Batch

NAME = "loudong.log"
_MAGIC = b"LDC1"
_HEAD = struct.Struct(">4sQII")
"""Magic, serial, length of the body, CRC-32 over serial and body."""
_LONGEST = 64 << 20  # longer than any batch memory mode may hold; a length beyond it is no length
READINGS = 3
"""How often somebody who reads beside the gateway does so until nothing is missing: a log that is begun anew meanwhile is read as
two halves of different moments. What is missing after that is missing.
"""
_BLOCK = 4_096  # what a card gives, or gives no more


class Entry(Struct, frozen=True):
    """One commit as the log keeps it."""

    serial: int
    batch: Batch
    cursors: tuple[tuple[str, str, int], ...] = ()
    """(uplink, lane, sequence): what was delivered up to here."""


class Found(Struct, frozen=True):
    """What a log holds that is newer than the tables."""

    entries: tuple[Entry, ...] = ()
    """By serial."""
    missing: int = 0
    """Commits between them that cannot be read any more."""
    unreadable: int = 0
    """Blocks the disk does not give any more, or that we never wrote; what lay there may have been news."""


class CommitLog:
    """One log, written by one thread. ``path`` need not exist before the first ``append``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = -1
        self._end = 0
        self.sick = False
        """A sync was refused: only ``restart`` makes it usable again."""
        self.doubtful = False
        """What was refused could not be blanked either: a later start may find it."""

    @property
    def size(self) -> int:
        """Bytes of records since the last ``restart``."""
        return self._end

    def append(self, entry: Entry) -> bytes:
        """Make a commit durable; answers its record. Raises StoreFault; then it may yet be found by a later start, see the rules above.

        Raises msgspec.ValidationError, and writes nothing, for what the tables could not hold: a bug must show before anybody is
        told that it is safe.
        """
        record = encode(entry)
        try:
            self._open()
            _write_all(self._handle, record, self._end)
            os.fdatasync(self._handle)
        except OSError as error:
            self.sick, self.doubtful = True, not self._blank()
            raise StoreFault(f"{self._path.name}: {error.strerror}") from error
        self._end += len(record)
        return record

    def restart(self) -> None:
        """Everything is in the tables: begin at the front again."""
        self._end, self.sick, self.doubtful = 0, False, False

    def wipe(self) -> None:
        """Leave nothing of what was ever written, for what is to be forgotten. After a fold. Raises StoreFault."""
        try:
            if self._path.exists():
                self._open()
                _write_all(self._handle, bytes(os.fstat(self._handle).st_size), 0)
                os.ftruncate(self._handle, 0)
                os.fsync(self._handle)
        except OSError as error:
            raise StoreFault(f"{self._path.name}: {error.strerror}") from error
        self.restart()

    def find(self, folded: int) -> Found:
        """What is newer than serial ``folded``; writing goes on behind it. Raises StoreFault where it cannot be read."""
        found = read(self._path, folded)
        self._end = found.end
        return found.found

    def close(self) -> None:
        """Let go of the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _open(self) -> None:
        if self._handle >= 0:
            return
        fresh = files.touch_private(self._path)
        self._handle = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        if fresh:
            files.sync_folder(self._path.parent)

    def _blank(self) -> bool:
        """Take back the record whose sync was refused; False where that is refused, too."""
        try:
            if self._handle >= 0:
                _write_all(self._handle, bytes(_HEAD.size), self._end)
                os.fdatasync(self._handle)
        except OSError:
            return False
        return True


class Reading(Struct, frozen=True):
    """What was read of a file, and behind which byte the newest record ends."""

    found: Found
    end: int


def read(path: Path, folded: int) -> Reading:
    """Read a log that another may be writing. A missing file holds nothing. Raises StoreFault."""
    content, unreadable = _content(path)
    if not _is_ours(content):
        unreadable += 1
    entries: dict[int, Entry] = {}
    ends: dict[int, int] = {}
    at = content.find(_MAGIC)
    while at >= 0:
        entry, end = decode(content, at)
        if entry is None or entry.serial <= folded:
            at = content.find(_MAGIC, end)
            continue
        entries[entry.serial] = entry
        ends[entry.serial] = end
        at = content.find(_MAGIC, end)
    if not entries:
        return Reading(Found(unreadable=unreadable), 0)
    newest = max(entries)
    found = Found(tuple(entries[n] for n in sorted(entries)), newest - folded - len(entries), unreadable)
    return Reading(found, ends[newest])


def _is_ours(content: bytes) -> bool:
    """Whether it begins as a log does, or as a cut or a refused sync leaves it: with a record, whole or torn, or with zeros."""
    head = content[: len(_MAGIC)]
    return head == _MAGIC[: len(head)] or not any(head)


def _content(path: Path) -> tuple[bytes, int]:
    """All that the disk gives of a file, zeros for the rest, and how many blocks that were. Raises StoreFault."""
    content, unreadable = bytearray(), 0
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b"", 0
    except OSError as error:
        raise StoreFault(f"{path.name}: {error.strerror}") from error
    try:
        size = os.fstat(handle).st_size
        while len(content) < size:
            try:
                block = os.pread(handle, _BLOCK, len(content))
            except OSError:  # a worn card: one block must not cost the rest, nor the tables
                block, unreadable = bytes(_BLOCK), unreadable + 1
            if not block:
                break  # somebody shortened it meanwhile
            content += block
    finally:
        os.close(handle)
    return bytes(content), unreadable


def encode(entry: Entry) -> bytes:
    """A record as it lies in the file. Raises msgspec.ValidationError where it could not be read back."""
    plain = msgspec.msgpack.encode((entry.batch, entry.cursors))
    _decode(plain)
    body = deflate.deflated(plain)
    return _HEAD.pack(_MAGIC, entry.serial, len(body), _check(entry.serial, body)) + body


def decode(content: bytes, at: int) -> tuple[Entry | None, int]:
    """The record at this place and where it ends; None and the next place to look where there is none."""
    behind = at + len(_MAGIC)
    if at + _HEAD.size > len(content):
        return None, behind
    magic, serial, length, check = _HEAD.unpack_from(content, at)
    end = at + _HEAD.size + length
    body = content[at + _HEAD.size : end]
    if magic != _MAGIC or length > _LONGEST or len(body) != length or check != _check(serial, body):
        return None, behind
    try:
        batch, cursors = _decode(deflate.inflated(body))
    except (zlib.error, msgspec.DecodeError):
        return None, behind
    return Entry(serial, batch, cursors), end


_decode = msgspec.msgpack.Decoder(tuple[Batch, tuple[tuple[str, str, int], ...]]).decode


def _check(serial: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(serial.to_bytes(8, "big")))


def _write_all(handle: int, data: bytes, at: int) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(handle, data[written:], at + written)
