"""One file that holds what a gateway is: its alerts, counters, cursors, ids and keys, to make the same gateway of another box.

A tar archive, compressed: ``manifest.json`` first, then the files it names with their SHA-256. The database in it is a whole
one of a single moment (``VACUUM INTO``, sqlite.org/lang_vacuum.html), taken beside a gateway that may be running, without its
free pages: what was deleted is not carried away. The commit log is read before it; should it have been folded and begun anew
while it was read, what was read is of two moments, and both are taken again. Telemetry is left out, for it is droppable.

Nothing of an archive is believed before all of it was read: names are those of the table here, sums are compared, and the
database's pages are proved, all in a folder beside the place where they are to live.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from gateway.faults import LoudongError, StoreFault
from gateway.store import commit_log, database, files, registry, tables
from gateway.store import connection as dialling
from gateway.store.connection import Damaged
from gateway.store.migrations import shipped
from gateway.store.sealed import sound_meta

FORMAT = "loudong-backup"
VERSION = 1
MANIFEST = "manifest.json"
_MANIFEST_BYTES = 64 << 10
DATABASE = database.NAME
LOG = commit_log.NAME
BESIDE = ("pseudonym.key", "persons.keys", registry.NAME)
"""Files of the state folder that go with the database, where they are there."""
_STAGE = ".restoring"
_CHUNK = 1 << 20
_NO_ARCHIVE = (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, ValueError, KeyError, OverflowError)


class BackupFault(LoudongError):
    """The archive cannot be used, or must not be; ``reason`` is a word-catalogue key."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """``not_a_backup``, ``damaged``, ``newer``, ``occupied``; of a backup to be made, ``in_the_way``."""
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


class Manifest(Struct, frozen=True):
    """What an archive says of itself."""

    format: str
    version: int
    loudong: str
    schema: int
    made_ms: int
    """Wall clock of the box that made it; for people."""
    files: dict[str, str]
    """Name -> SHA-256 in hex."""


def make(folder: Path, out: Path, *, loudong: str, made_ms: int) -> Manifest:
    """Write a backup of a state folder to ``out``, readable for its owner alone. Raises BackupFault, OSError, StoreFault."""
    draft = out.with_name(out.name + ".new")
    with _blaming(out, folder):
        _spare(out)
    with _blaming(out, folder), tempfile.TemporaryDirectory(prefix=".loudong-", dir=out.parent) as shelf:  # 0700
        sources: dict[str, Path] = {}
        schema = _take_both(folder, shelf, sources)
        for name in BESIDE:  # after the database: a key that was destroyed meanwhile is not carried away
            _carry(name, folder, shelf, sources)
        sums = {name: _sum_of(path) for name, path in sources.items()}
        manifest = Manifest(FORMAT, VERSION, loudong, schema, made_ms, sums)
        try:
            _pack(draft, manifest, sources)
            draft.replace(out)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
    files.sync_folder(out.parent)
    return manifest


def _spare(out: Path) -> None:
    """Only an earlier backup, or an empty file, is written over: never a site file, nor what the gateway itself lives by."""
    if out.is_dir() or not out.exists() or (out.is_file() and not out.stat().st_size):
        return
    try:
        if out.is_file():
            with tarfile.open(out, mode="r:gz") as box:
                _manifest(box)
            return
    except BackupFault as fault:
        if fault.reason == "newer":
            return
    except _NO_ARCHIVE:
        pass
    raise BackupFault("in_the_way", str(out))


@contextlib.contextmanager
def _blaming(out: Path, folder: Path) -> Iterator[None]:
    """Errors name what was asked for: the backup, its folder where there is none, or a file of the gateway; not our drafts."""
    try:
        yield
    except OSError as error:
        ours = {str(folder), *(str(folder / name) for name in (DATABASE, LOG, *BESIDE))}
        if error.filename not in ours or error.filename2 is not None:  # two names: that of a copy's source comes first
            error.filename, error.filename2 = str(out if out.parent.is_dir() else out.parent), None
        raise


def _take_both(folder: Path, shelf: str, sources: dict[str, Path]) -> int:
    """Log and database of one moment; answers the database's version."""
    snapshot = sources[DATABASE] = Path(shelf) / DATABASE
    for _ in range(commit_log.READINGS):
        _carry(LOG, folder, shelf, sources)  # before the database: what is folded meanwhile is then found there
        snapshot.unlink(missing_ok=True)
        version = _snapshot(folder / DATABASE, snapshot)
        if not commit_log.read(Path(shelf) / LOG, *_noted(snapshot)).found.damaged:
            break
    return version


def _noted(snapshot: Path) -> tuple[int, int]:
    """What the tables say of their log: the last serial number in them, and how long it is."""
    try:
        with contextlib.closing(sqlite3.connect(snapshot)) as connection:
            serial, room = sound_meta(connection, "serial"), sound_meta(connection, database.ROOM)
            return tables.folded(connection, serial), int(room or 0)
    except sqlite3.Error as error:
        raise dialling.fault(error) from error


def _carry(name: str, folder: Path, shelf: str, sources: dict[str, Path]) -> None:
    """Copy a file that may be missing."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(folder / name, Path(shelf) / name)
        sources[name] = Path(shelf) / name


@contextlib.contextmanager
def unpacked(archive: Path, folder: Path) -> Iterator[tuple[Manifest, Path]]:
    """The archive's files, proved, in a folder beside their place; gone at the end. Raises BackupFault, OSError."""
    stage = folder / _STAGE
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(mode=0o700)
    try:
        yield _unpack(archive, stage), stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def move_in(stage: Path, folder: Path, *, force: bool) -> list[Path]:
    """Let proved files take their places, the database last; answers what was set aside. Raises BackupFault, OSError.

    What is there already is refused, or with ``force`` renamed, never deleted.
    """
    places = [folder / name for name in (*BESIDE, LOG, DATABASE)]
    there = [place for place in places if place.exists() or files.companions(place)]
    if there and not force:
        raise BackupFault("occupied", ", ".join(place.name for place in there))
    aside = [files.set_aside(place, "replaced") for place in there]
    for place in places:
        if (fresh := stage / place.name).exists():
            fresh.chmod(files.PRIVATE)
            fresh.rename(place)
    files.sync_folder(folder)
    return aside


def _snapshot(source: Path, target: Path) -> int:
    """The database of this moment, whole, and its schema's version."""
    try:
        with contextlib.closing(dialling.dial_reader(source)) as reader:
            reader.execute("PRAGMA query_only = OFF")  # of a copy in memory, that of a folder without its gateway
            reader.execute("VACUUM INTO ?", (str(target),))
            version: int = reader.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise dialling.fault(error) from error
    return version


def _pack(draft: Path, manifest: Manifest, sources: dict[str, Path]) -> None:
    draft.unlink(missing_ok=True)
    files.touch_private(draft)
    with draft.open("wb") as file:
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            with tempfile.NamedTemporaryFile(dir=draft.parent) as head:
                head.write(msgspec.json.encode(manifest))
                head.flush()
                archive.add(head.name, MANIFEST)
            for name, path in sources.items():
                archive.add(path, name)
        file.flush()
        os.fsync(file.fileno())


def _unpack(archive: Path, stage: Path) -> Manifest:
    try:
        with tarfile.open(archive, mode="r:gz") as box:
            manifest = _manifest(box)
            for name in manifest.files:
                _take_out(box, name, stage)
    except BackupFault:
        raise
    except tarfile.ReadError as error:
        raise BackupFault(_kind_of(archive), str(error)) from error
    except _NO_ARCHIVE as error:
        raise BackupFault("damaged", str(error)) from error
    _prove(manifest, stage)
    return manifest


def _kind_of(archive: Path) -> str:
    """A compressed file that breaks off was one of ours, perhaps; anything else never was."""
    with archive.open("rb") as file:
        return "damaged" if file.read(2) == b"\x1f\x8b" else "not_a_backup"


def _manifest(box: tarfile.TarFile) -> Manifest:
    first = box.next()
    if first is None or first.name != MANIFEST or first.size > _MANIFEST_BYTES:
        raise BackupFault("not_a_backup", "" if first is None else first.name)
    raw = _opened(box, first).read()
    try:
        said = json.loads(raw)
        if said["format"] != FORMAT:
            raise BackupFault("not_a_backup", str(said["format"]))
        version, schema = int(said["version"]), int(said["schema"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise BackupFault("not_a_backup", str(error)) from error
    if version > VERSION or schema > max(shipped()):
        raise BackupFault("newer", f"{said.get('loudong')}")
    try:
        manifest = msgspec.convert(said, Manifest)
    except msgspec.ValidationError as error:
        raise BackupFault("damaged", str(error)) from error
    if DATABASE not in manifest.files or not set(manifest.files) <= {DATABASE, LOG, *BESIDE}:
        raise BackupFault("damaged", ", ".join(manifest.files))
    return manifest


def _take_out(box: tarfile.TarFile, name: str, stage: Path) -> None:
    with open(stage / name, "xb", opener=_privately) as file:
        shutil.copyfileobj(_opened(box, box.getmember(name)), file, _CHUNK)
        file.flush()
        os.fsync(file.fileno())


def _privately(path: str, flags: int) -> int:
    """Keys are among them, and are read before they are moved in: whatever the umask."""
    return os.open(path, flags, files.PRIVATE)


def _opened(box: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    opened = box.extractfile(member)
    if opened is None or not member.isreg():
        raise BackupFault("damaged", member.name)
    return opened


def _prove(manifest: Manifest, stage: Path) -> None:
    for name, expected in manifest.files.items():
        if _sum_of(stage / name) != expected:
            raise BackupFault("damaged", name)
    try:
        with contextlib.closing(sqlite3.connect(stage / DATABASE)) as connection:
            dialling.prove(connection, whole=False)
    except (sqlite3.Error, Damaged) as error:
        raise BackupFault("damaged", f"{DATABASE}: {error}") from error


def _sum_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


__all__ = ["BackupFault", "Manifest", "StoreFault", "make", "move_in", "unpacked"]
