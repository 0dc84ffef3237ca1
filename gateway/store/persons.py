"""The keys of persons: what the journal says of somebody is sealed with a key of his own, and forgotten by destroying it.

Rows cannot be picked out of a database without a trace: pages are copied, logged and backed up. So no row that names a person
is ever written in clear. It is sealed (ChaCha20-Poly1305, RFC 8439) with HMAC-SHA256(key of the person, key of the day): to
destroy the first makes all that was ever written of him unreadable, wherever a copy lies; to destroy the second does so for
everybody's day that is older than the journal's limit. The sealed row shows a random number for the person, which nothing
ties to him once his line is gone.

The file is lines, each with its checksum. A new key is appended and made durable *before* the row that needs it is committed;
a torn last line therefore never carried a row. Keys are destroyed by writing the file anew and the old blocks over with zeros;
until that is done they keep a name (``OLD``), by which a later start finds them where this process did not come so far. (What the flash
of a card keeps under its own numbering no program can reach; who must exclude that encrypts the disk.)
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import zlib
from base64 import b64decode, b64encode
from io import BufferedRandom
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from gateway.ciphers import open_chacha, seal_chacha
from gateway.faults import StoreFault
from gateway.store import files
from gateway.store.rows import JournalRow

log = structlog.get_logger()

NAME = "persons.keys"
OLD = f"{NAME}.old"
"""The file as it was before keys were destroyed; there only while that is under way, or where it was broken off."""
DAY_MS = 86_400_000
SEALED = b'"sealed":"'
"""What every sealed body holds, and no other: a body in clear has no such field."""
MOST_PERSONS = 50_000
"""Of whom a key is kept. Of more no compound knows (from 100,000 on the law wants it told: facts/face 5); a terminal that lies names as
many as it likes, and each key is in memory. Of those beyond no key is kept: their rows are written, and nobody ever opens them."""
_KEY_BYTES = 32
_NONCE_BYTES = 12


class _Person(Struct, tag="person", frozen=True):
    """One person's key. The line with the latest ``used`` counts."""

    person: str
    number: str
    key: bytes
    used: int
    """Last day, on the site timeline, of which something is sealed with it."""


class _Day(Struct, tag="day", frozen=True):
    day: int
    key: bytes


class _Box(Struct, frozen=True):
    """A sealed body as the journal holds it."""

    event: str
    sealed: str
    day: int
    box: str


_TORN = re.compile(rb"[0-9a-f]{0,8}|[0-9a-f]{8} (?:\{[^}]*)?")
"""The beginning of a line: it was cut off while it was appended, and never carried a row."""
_lines = msgspec.json.Decoder(_Person | _Day)
_boxes = msgspec.json.Decoder(_Box)


class PersonKeys:
    """All keys of one state folder. Not for two threads at a time."""

    def __init__(self, folder: Path) -> None:
        """Reads the file if it is there. Raises OSError, also where others could read it; bad lines are passed over and counted."""
        self._path = folder / NAME
        self._people: dict[str, _Person] = {}
        self._by_number: dict[str, _Person] = {}
        self._days: dict[int, bytes] = {}
        self._full_on: set[int] = set()
        """The last day on which there were too many, of which the log was told."""
        self.unreadable = self.damaged = 0
        """Bad lines, and those of them that no cut tore: such a key was in use, and what was sealed with it nobody opens any more."""
        self._is_doubtful = False
        """The file may hold other keys than we know: it was perhaps written anew, and could not be read since."""
        self.broken: set[int] = set()
        """Numbers of journal rows that do not open, though their keys are there."""
        self._take_lines(files.read_key(self._path))

    def seal(self, row: JournalRow) -> JournalRow:
        """The row as it may be written. Raises StoreFault where a new key cannot be made durable, or nobody knows whether an old one is."""
        if not row.person:
            return row
        self._make_sure()
        day = row.at // DAY_MS
        person = self._person(row.person, day)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        closed = nonce + seal_chacha(self._joint(person, day), nonce, row.body, row.id.encode())
        box = _Box(row.kind, person.number, day, b64encode(closed).decode())
        return JournalRow(row.at, row.id, row.kind, msgspec.json.encode(box), row.n)

    def unseal(self, row: JournalRow) -> JournalRow:
        """The row as it was, or as it lies there where its key is no more, or it is no sealed text (``broken``)."""
        if SEALED not in row.body:
            return row
        try:
            box = _boxes.decode(row.body)
            closed = b64decode(box.box, validate=True)
        except ValueError:  # msgspec's, too
            return self._left(row)
        person = self._by_number.get(box.sealed)
        if person is None or box.day not in self._days:
            return row
        try:
            key = self._joint(person, box.day)
            opened = open_chacha(key, closed[:_NONCE_BYTES], closed[_NONCE_BYTES:], row.id.encode())
        except ValueError:  # forged, or too short to be anything
            return self._left(row)
        return JournalRow(row.at, row.id, row.kind, opened, row.n, person.person)

    def _left(self, row: JournalRow) -> JournalRow:
        if row.n not in self.broken:
            self.broken.add(row.n)
            log.error("row_unread", table="journal", key=row.n, fault="sealed")
        return row

    def number(self, person: str) -> str | None:
        """Under which number rows about a person are sealed; None where nothing is known of him."""
        known = self._people.get(person)
        return None if known is None else known.number

    def forget(self, person: str) -> bool:
        """Destroy a person's key. False where there was none. Raises StoreFault; then it is still there."""
        self._make_sure()
        if person not in self._people:
            return False
        left = {name: known for name, known in self._people.items() if name != person}
        self._rewrite(left, self._days)
        return True

    def expire(self, before: int) -> int:
        """Destroy the keys of all days that ended before an instant, and of persons not seen since; answers how many."""
        self._make_sure()
        edge = before // DAY_MS
        days = {day: key for day, key in self._days.items() if day >= edge}
        people = {name: known for name, known in self._people.items() if known.used >= edge}
        gone = len(self._days) - len(days) + len(self._people) - len(people)
        if gone:
            self._rewrite(people, days)
        return gone

    def mend(self) -> None:
        """Write the file without its damaged lines, so that they are told of once, and over what an earlier process left to be written
        over. No copy is kept: it would outlive who is forgotten. Only for whoever writes here. Raises StoreFault.
        """
        try:
            self._wipe()
        except OSError as error:
            raise StoreFault(f"{OLD}: {error.strerror}") from error
        if self.damaged:
            self._rewrite(self._people, self._days)

    def _person(self, person: str, day: int) -> _Person:
        """The person's key, and the day's, made where they are missing."""
        known = self._people.get(person)
        if known is None:
            known = _Person(person, secrets.token_hex(8), secrets.token_bytes(_KEY_BYTES), day)
        elif known.used < day:
            known = msgspec.structs.replace(known, used=day)
        kept = person in self._people or len(self._people) < MOST_PERSONS
        if not kept and day not in self._full_on:
            self._full_on = {day}
            log.error("persons_full", kept=len(self._people))
        fresh: list[_Person | _Day] = [known] if kept and self._people.get(person) != known else []
        if day not in self._days:
            fresh.append(_Day(day, secrets.token_bytes(_KEY_BYTES)))
        if fresh:
            self._append(fresh)
            self._take(fresh)
        return known

    def _joint(self, person: _Person, day: int) -> bytes:
        return hmac.digest(person.key, self._days[day], hashlib.sha256)

    def _take(self, lines: list[_Person | _Day]) -> None:
        for line in lines:
            if isinstance(line, _Day):
                self._days[line.day] = line.key
            else:
                self._people[line.person] = self._by_number[line.number] = line

    # The file -----------------------------------------------------------------------------------------------------

    def _take_lines(self, content: bytes | None) -> None:
        for line in (content or b"").splitlines():
            total, _, body = line.partition(b" ")
            try:
                if total != _checksum(body):
                    raise ValueError  # noqa: TRY301 (one way out for every kind of bad line)
                self._take([_lines.decode(body)])
            except (msgspec.DecodeError, ValueError):
                self.unreadable += 1
                self.damaged += _TORN.fullmatch(line) is None

    def _append(self, lines: list[_Person | _Day]) -> None:
        try:
            made = files.touch_private(self._path)
            with self._path.open("ab") as file:
                file.write(b"\n" + _text(lines))  # a torn line before it must not swallow this one
                file.flush()
                os.fsync(file.fileno())
            if made:
                files.sync_folder(self._path.parent)
        except OSError as error:
            raise StoreFault(f"{NAME}: {error.strerror}") from error

    def _rewrite(self, people: dict[str, _Person], days: dict[int, bytes]) -> None:
        lines: list[_Person | _Day] = [*people.values(), *(_Day(day, key) for day, key in days.items())]
        try:
            self._wipe()
            with self._path.open("r+b") as old:
                self._name_old()
                files.write_whole(self._path, _text(lines))
                _overwrite(old)
            self._unname_old()
            self._forget()
            self._take(lines)
        except OSError as error:
            with contextlib.suppress(OSError):
                if self._path.with_name(OLD).samefile(self._path):
                    self._unname_old()
            self._read_again()
            raise StoreFault(f"{NAME}: {error.strerror}") from error

    def _name_old(self) -> None:
        """A second name for what is about to lose its first. On a file system that knows none a kill before the end leaves the blocks."""
        with contextlib.suppress(OSError):
            os.link(self._path, self._path.with_name(OLD))
            files.sync_folder(self._path.parent)

    def _unname_old(self) -> None:
        self._path.with_name(OLD).unlink(missing_ok=True)

    def _wipe(self) -> None:
        """Write over what a process left that did not come so far; where it had not begun, the two names are one file. Raises OSError."""
        left = self._path.with_name(OLD)
        if not left.exists():
            return
        if not left.samefile(self._path):
            # That it lost its first name must be durable, or a cut gives it back, empty.
            files.sync_folder(self._path.parent)
            with left.open("r+b") as old:
                _overwrite(old)
        self._unname_old()

    def _read_again(self) -> None:
        """What the file holds by now: who tried to write it does not know. Cannot it be read, what we knew stands, to open rows by."""
        try:
            content = files.read_key(self._path)
        except OSError as error:
            self._is_doubtful = True
            log.warning("persons_unread", error=error.strerror)
            return
        self._is_doubtful = False
        self._forget()
        self._take_lines(content)

    def _make_sure(self) -> None:
        """Nothing is sealed with a key that is perhaps on no disk: after the next start nobody could open it. Raises StoreFault."""
        if self._is_doubtful:
            self._read_again()
        if self._is_doubtful:
            raise StoreFault(f"{NAME}: written, perhaps, and not readable since")

    def _forget(self) -> None:
        self._people.clear()
        self._by_number.clear()
        self._days.clear()


def _text(lines: list[_Person | _Day]) -> bytes:
    bodies = map(msgspec.json.encode, lines)
    return b"".join(_checksum(body) + b" " + body + b"\n" for body in bodies)


def _checksum(body: bytes) -> bytes:
    return b"%08x" % zlib.crc32(body)


def _overwrite(old: BufferedRandom) -> None:
    """The blocks that the file had until now; it has no name any more."""
    length = old.seek(0, os.SEEK_END)
    old.seek(0)
    old.write(bytes(length))
    old.flush()
    os.fsync(old.fileno())
