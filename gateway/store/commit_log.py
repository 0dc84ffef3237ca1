"""The commit log: one file of synced records that stand before the tables.

What nobody may lose is appended here with one fdatasync and is safe from then on; the tables are written later, many commits at
a time (``Database.fold``). Here live the form of the file and its reading; what a record means is the database's business.

Theory. A commit to the tables rewrites some dozen pages of 4 KiB, most of them the same ones every time; a record costs the one
or two blocks it fills. On a memory card that is the difference between 100 kB and 6 kB an alert. The file is used in place,
from the front again after each fold, so it stays small and old records lie behind the new ones. Four rules keep that safe:

* each record has the serial number of its commit, and the tables hold the number of the last one folded into them: a record
  that is not newer is no news, wherever it lies;
* a record counts only whole (its checksum), and reading goes on behind a bad one: what comes after it was acknowledged;
* a record of which the sync was refused is blanked if the disk lets us, and its place is not used again before the tables
  hold that serial number;
* the file is laid out before it is used: a first sector that is never written again, then letters, never zeros, and its size is
  noted in the tables (``room``). A power cut may tear the one record that was being written, and leaves the rest as it was.

So this is damage, and told as such (``Found.missing``, ``Found.unreadable``): a file that is gone, emptied or shorter than noted;
a first sector that is another; a sector of one byte repeated, as a lost block reads; a bad record before a good one, or before
one whose head can still be read, for each was begun only when the one before it was safe. What cannot be told from a torn record,
and is not told: the last record alone gone bad; several last ones of which no head but the first can be read, and nothing reads as
lost; a whole log exchanged for an older copy of itself; and any of these before the size was noted, with the first commit.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from gateway.faults import StoreFault
from gateway.store import columns, deflate, files, packing, shuffle
from gateway.store.rows import Batch, JournalRow, StateRow

NAME = "loudong.log"
_MAGIC = b"LDC1"
_HEAD = struct.Struct(">4sQII")
"""Magic, serial, length of the body, CRC-32 over serial and body."""
_COLUMNS = b"\x02"
"""Begins the body of a record in which runs of quiet journal rows are columns (``columns.py``), and rows of state are shuffled
(``shuffle.py``). Any other body is a stream of rows, and begins as streams do (``deflate.FIRST``).
"""
_MANY = 12
"""Rows from which on that pays: an alert that comes alone has fewer, and its record stays what it was."""
_LONGEST = 64 << 20  # longer than any batch memory mode may hold; a length beyond it is no length
READINGS = 3
"""How often somebody who reads beside the gateway does so until nothing is missing: a log that is begun anew meanwhile is read as
two halves of different moments. What is missing after that is missing.
"""
_BLOCK = 4_096
"""What a card gives, or gives no more. And what is laid out at a time: the kernel keeps a file in pieces as large as they were
written or read ahead, and since Linux 6.16 (large folios of ext4) a record makes such a piece dirty as a whole, by the kernel's
own count (proc(5), write_bytes): 105 kB instead of 8.
"""
_SECTOR = 512  # what a disk writes whole or not at all
_LETTERS = b"loudong\n"
_FIRST = (b"LDH1" + _LETTERS * (_SECTOR // len(_LETTERS)))[:_SECTOR]
_ROOM = 8 << 10
"""Of a new file; doubled whenever that is too little. On a full disk, what is laid out still takes commits."""
_SPARE = 128 << 10
"""What is left of it when more is laid out at last: what forty alerts write, while one sync is waited for."""


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
    """Blocks the disk does not give any more, or does not give as we wrote them; what lay there may have been news."""

    @property
    def damaged(self) -> bool:
        """Whether something is, or may be, lost."""
        return self.missing > 0 or self.unreadable > 0


class CommitLog:
    """One log, written by one thread. ``path`` need not exist before the first ``append``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = -1
        self._end = self._skipped = 0
        self._laid_out = self._damaged = self._cramped = False
        self.room = 0
        """Bytes that are laid out, durably; to be noted where this file is not, and given to ``find``."""
        self.sick = False
        """A sync was refused: only ``restart`` makes it usable again."""
        self.doubtful = False
        """What was refused could not be blanked either: a later start may find it."""
        self.before_sync: Callable[[], None] = lambda: None
        """Called when a record is written and only its sync is left."""

    @property
    def size(self) -> int:
        """Bytes of records since the last ``restart``; in a log that was found, with what lies between them."""
        return max(0, self._end - _SECTOR - self._skipped)

    def append(self, entry: Entry) -> bytes:
        """Make a commit durable; answers its record. Raises StoreFault; then it may yet be found by a later start, see the rules above.

        Raises msgspec.ValidationError, and writes nothing, for what the tables could not hold: a bug must show before anybody is
        told that it is safe.
        """
        record, begun = encode(entry), False
        try:
            self._open()
            self._skip_to_a_block(len(record))
            self._make_room(len(record))
            begun = True
            files.write_all(self._handle, record, self._end)
            self.before_sync()
            os.fdatasync(self._handle)
        except OSError as error:
            self.sick, self.doubtful = True, begun and not self._blank()
            raise StoreFault(f"{self._path.name}: {error.strerror}") from error
        self._end += len(record)
        return record

    @property
    def is_short(self) -> bool:
        """Whether ``lay_out`` should come before the next commits do: one that has to wait for it waits for a sync more."""
        if not self._laid_out or self.sick or self._cramped:
            return False
        return self.room - self._end < min(self.room // 2, _SPARE)

    def lay_out(self) -> None:
        """Double the room, durably. Raises StoreFault; then it is what it was, and is enough for ``is_short`` until ``restart``."""
        try:
            self._open()
            self._make_room(self.room + 1 - self._end)
        except OSError as error:
            self._cramped = True
            raise StoreFault(f"{self._path.name}: {error.strerror}") from error

    def restart(self) -> None:
        """Everything is in the tables: begin at the front again."""
        self._end, self._skipped = _SECTOR if self._laid_out else 0, 0
        self.sick = self.doubtful = self._cramped = False
        if not self._laid_out:
            self.close()

    def wipe(self) -> None:
        """Leave nothing of what was ever written, for what is to be forgotten. After a fold. Raises StoreFault."""
        try:
            for path in self._path.parent.glob(f"{self._path.name}*"):  # and what was set aside
                with path.open("r+b") as file:
                    file.write(_lay(_FIRST, os.fstat(file.fileno()).st_size))
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise StoreFault(f"{self._path.name}: {error.strerror}") from error
        self.restart()

    def find(self, folded: int, room: int = 0) -> Found:
        """What is newer than serial ``folded``; writing goes on behind it. ``room`` as noted last, 0 where it was not.

        Raises StoreFault where it cannot be read.
        """
        reading = read(self._path, folded, room)
        self._damaged = reading.found.damaged
        self._laid_out = reading.laid_out and not self._damaged
        self._end, self._skipped = max(reading.end, _SECTOR if self._laid_out else 0), 0
        self.room = max(room, self._end) if self._laid_out else room
        return reading.found

    def close(self) -> None:
        """Let go of the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _open(self) -> None:
        if self._handle >= 0:
            return
        if not self._laid_out and not self._end:  # nothing in it is news
            self._begin_file()
        self._handle = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)

    def _begin_file(self) -> None:
        """A new file in the place of none, of one of an earlier version, or of a damaged one, which is evidence."""
        if self._damaged and self._path.exists():
            files.set_aside(self._path)
        room = max(self.room, _ROOM)
        files.write_whole(self._path, _lay(_FIRST, room))
        self.room, self._end, self._laid_out, self._damaged = room, _SECTOR, True, False

    def _skip_to_a_block(self, length: int) -> None:
        """Begin the next record with a block where it fills one less so. What is passed over is no news: it was laid out, or is of
        a former round.
        """
        into = self._end % _BLOCK
        if self._laid_out and -(-(into + length) // _BLOCK) > -(-length // _BLOCK):
            self._end += _BLOCK - into
            self._skipped += _BLOCK - into

    def _make_room(self, length: int) -> None:
        """Lay out more of the file, durably, where the next record would not fit; a full disk gets back what it gave of that."""
        need = self._end + length
        if not self._laid_out or need <= self.room:
            return
        room = max(self.room, _ROOM)
        while room < need:
            room *= 2
        try:
            for at in range(self.room, room, _BLOCK):  # block by block: see _BLOCK
                files.write_all(self._handle, _lay(b"", _BLOCK), at)
            os.fdatasync(self._handle)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, self.room)
            raise
        self.room, self._cramped = room, False

    def _blank(self) -> bool:
        """Take back the record whose sync was refused; False where that is refused, too."""
        try:
            files.write_all(self._handle, bytes(_HEAD.size), self._end)
            os.fdatasync(self._handle)
        except OSError:
            return False
        return True


class Reading(Struct, frozen=True):
    """What was read of a file, behind which byte the newest record ends, and whether the file was laid out."""

    found: Found
    end: int
    laid_out: bool


def read(path: Path, folded: int, room: int = 0) -> Reading:
    """Read a log that another may be writing; ``room`` as noted last, 0 where it was not. A missing file holds nothing.

    Raises StoreFault.
    """
    content, unreadable = _content(path)
    laid_out = content[:_SECTOR] == _FIRST
    unreadable += _lost_blocks(content, room) if room else not (laid_out or _is_earlier(content))
    entries: dict[int, Entry] = {}
    ends: dict[int, int] = {}
    begun: set[int] = set()
    at = content.find(_MAGIC)
    while at >= 0:
        entry, end = decode(content, at)
        if entry is None:
            was_safe = end > at + len(_MAGIC)
            begun.add(_HEAD.unpack_from(content, at)[1] + 1 if was_safe else _begun(content, at))
        elif entry.serial > folded:
            entries[entry.serial] = entry
            ends[entry.serial] = end
        at = content.find(_MAGIC, end)
    newest = max(entries, default=folded)
    # A record is begun when the one before it is safe. Further on than this file has place for is no serial number.
    last = max((n - 1 for n in begun if newest < n <= newest + len(content) // _HEAD.size), default=newest)
    found = Found(tuple(entries[n] for n in sorted(entries)), last - folded - len(entries), unreadable)
    return Reading(found, ends.get(newest, 0), laid_out)


def _begun(content: bytes, at: int) -> int:
    """The serial number in the head of a record that is not whole; 0 where the head may be torn, too."""
    if at + _HEAD.size > len(content) or at // _SECTOR != (at + _HEAD.size - 1) // _SECTOR:
        return 0
    serial: int = _HEAD.unpack_from(content, at)[1]
    return serial


def _lost_blocks(content: bytes, room: int) -> int:
    """Blocks of a file laid out up to ``room`` that no write of ours, whole or torn, could have made what they are."""
    lost = {0} if content[:_SECTOR] != _FIRST else set()
    lost |= set(range(min(len(content), room) // _BLOCK, room // _BLOCK))
    for at in range(0, min(len(content), room), _SECTOR):
        sector = content[at : at + _SECTOR]
        if sector.count(sector[0]) == len(sector):
            lost.add(at // _BLOCK)
    return len(lost)


def _is_earlier(content: bytes) -> bool:
    """Whether it begins as a log of an earlier version, or as a cut leaves that: with a record, whole or torn, or with zeros."""
    head = content[: len(_MAGIC)]
    return head == _MAGIC[: len(head)] or not any(head)


def _lay(first: bytes, size: int) -> bytes:
    """So many bytes of a file as it is laid out: no sector of it reads like a lost one, and none like a record."""
    return (first + _LETTERS * (size // len(_LETTERS) + 1))[:size]


def _content(path: Path) -> tuple[bytes, int]:
    """All that the disk gives of a file, letters for the rest, and how many blocks that were. Raises StoreFault."""
    content, unreadable = bytearray(), 0
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b"", 0
    except OSError as error:
        raise StoreFault(f"{path.name}: {error.strerror}") from error
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)  # read nothing ahead: see _BLOCK
        size = os.fstat(handle).st_size
        while len(content) < size:
            try:
                block = os.pread(handle, _BLOCK, len(content))
            except OSError:  # a worn card: one block must not cost the rest, nor the tables
                block, unreadable = _lay(b"", _BLOCK), unreadable + 1
            if not block:
                break  # somebody shortened it meanwhile
            content += block
    finally:
        os.close(handle)
    return bytes(content), unreadable


def encode(entry: Entry) -> bytes:
    """A record as it lies in the file. Raises msgspec.ValidationError where it could not be read back."""
    batch = entry.batch
    if len(batch.journal) + len(batch.state) < _MANY:
        body = deflate.deflated(_proven(msgspec.msgpack.encode((batch, entry.cursors)), _decode))
    else:
        journal = [
            each if isinstance(each, JournalRow) else columns.encode(each) for each in packing.runs(batch.journal)
        ]
        rest = structs.replace(batch, journal=(), state=())
        state = (shuffle.encode(batch.state) if len(batch.state) >= _MANY else None) or batch.state
        plain = _proven(msgspec.msgpack.encode((rest, entry.cursors, journal, state)), _decode_columns)
        body = _COLUMNS + deflate.deflated(plain)
    return _HEAD.pack(_MAGIC, entry.serial, len(body), _check(entry.serial, body)) + body


def decode(content: bytes, at: int) -> tuple[Entry | None, int]:
    """The record at this place and where it ends; None and the next place to look where there is none.

    None and where it ends, too, where it is whole and yet nothing we can read: a later version may have written it, or a bug.
    """
    behind = at + len(_MAGIC)
    if at + _HEAD.size > len(content):
        return None, behind
    magic, serial, length, check = _HEAD.unpack_from(content, at)
    end = at + _HEAD.size + length
    body = content[at + _HEAD.size : end]
    if magic != _MAGIC or length > _LONGEST or len(body) != length or check != _check(serial, body):
        return None, behind
    try:
        batch, cursors = _opened(body)
    except (
        zlib.error,
        msgspec.DecodeError,
        UnicodeDecodeError,
        columns.BrokenColumns,
        shuffle.BrokenShuffle,
        RecursionError,
        MemoryError,
    ):
        return None, end  # whatever it holds, it prevents no start
    return Entry(serial, batch, cursors), end


def _proven(plain: bytes, decoder: Callable[[bytes], object]) -> bytes:
    decoder(plain)
    return plain


def _opened(body: bytes) -> tuple[Batch, _Cursors]:
    if not body.startswith(_COLUMNS):
        return _decode(deflate.inflated(body))
    rest, cursors, pieces, state = _decode_columns(deflate.inflated(body[len(_COLUMNS) :]))
    journal: list[JournalRow] = []
    for piece in pieces:
        journal += [piece] if isinstance(piece, JournalRow) else columns.decode(piece)
    rows = state if isinstance(state, tuple) else shuffle.decode(state)
    return structs.replace(rest, journal=tuple(journal), state=tuple(rows)), cursors


_Cursors = tuple[tuple[str, str, int], ...]
_decode = msgspec.msgpack.Decoder(tuple[Batch, _Cursors]).decode
_decode_columns = msgspec.msgpack.Decoder(
    tuple[Batch, _Cursors, list[JournalRow | bytes], tuple[StateRow, ...] | bytes]
).decode


def _check(serial: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(serial.to_bytes(8, "big")))
