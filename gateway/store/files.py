"""Files that survive a power cut: private creation, durable names, setting bad files aside; and keys that stay ours alone.

A name is durable only once its *directory* was fsynced (fsync(2); measured: facts, durability 4a, strict model).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from pathlib import Path

import structlog

log = structlog.get_logger()

PRIVATE = 0o600
DAMAGED = "damaged"
ASIDE_KEPT = 3
"""So many damaged files of one name are kept, the newest: whoever looks into them compares two or three."""
ASIDE_BYTES = 256 << 20
"""And so many bytes of them, but for the newest, which is kept however long it is: a card that spoils files is not to fill up by it."""
_COMPANIONS = ("", "-wal", "-shm", "-journal")  # what SQLite keeps beside a database, sqlite.org/tempfiles.html


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def touch_private(path: Path, *, synced: bool = True) -> bool:
    """Make an empty file only its owner may read; True if it was not there. Raises OSError."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE)
    except FileExistsError:
        return False
    try:
        os.fchmod(handle, PRIVATE)  # the umask may have taken bits, never given any
        if synced:
            os.fsync(handle)
    finally:
        os.close(handle)
    return True


def open_to_others(path: Path) -> str:
    """Why a key is not ours alone, by its mode or owner; "" where it is, or where there is none. Raises OSError.

    Ours is what belongs to us, to root, or to whoever has the folder (root restores and reads for the daemon's user).
    """
    try:
        state = path.stat()
    except FileNotFoundError:
        return ""
    if state.st_uid not in {0, os.geteuid(), path.parent.stat().st_uid}:
        return f"owner {state.st_uid}"
    return f"mode {stat.S_IMODE(state.st_mode):04o}" if state.st_mode & (stat.S_IRWXG | stat.S_IRWXO) else ""


def read_key(path: Path) -> bytes | None:
    """The content of a key that is ours alone; None where there is none. Raises OSError, PermissionError where it is not ours alone."""
    if why := open_to_others(path):
        raise PermissionError(errno.EACCES, f"open to others ({why})", str(path))
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def close_to_others(path: Path) -> str:
    """Make a key ours alone; why it was not, "" where it was. Raises OSError where that cannot be done."""
    why = open_to_others(path)
    if why:
        handle = os.open(path, os.O_RDONLY)
        try:
            if why.startswith("owner"):
                os.fchown(handle, path.parent.stat().st_uid, -1)
            os.fchmod(handle, PRIVATE)
        finally:
            os.close(handle)
        if still := open_to_others(path):  # a file system without rights of its own takes the order and does nothing
            raise PermissionError(errno.EPERM, f"still open to others ({still})", str(path))
    return why


def size(path: Path) -> int:
    """Bytes of a file; 0 where there is none, or where nobody can tell."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file so that at any power cut it is either the old or the new one. Raises OSError, then the old one stands."""
    draft = path.with_name(path.name + ".new")
    handle = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, PRIVATE)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_all(handle: int, data: bytes, at: int) -> None:
    """Write all of it at a place; a disk that fills up on the way takes a part, and refuses the rest. Raises OSError."""
    written = 0
    while written < len(data):
        written += os.pwrite(handle, data[written:], at + written)


def set_aside(path: Path, because: str = DAMAGED) -> Path:
    """Rename a file, and SQLite's companions with it, to the next ``….damaged-N``. Raises OSError.

    Also for companions whose main file is gone: a log left behind would be replayed into the next database. Of damaged ones the
    oldest are deleted, so that they do not fill the disk; what a person replaced is his to delete.
    """
    aside = path.with_name(f"{path.name}.{because}-{last_aside(path, because) + 1}")
    for source, target in zip(_family(path), _family(aside), strict=True):
        if source.exists():
            source.rename(target)
    sync_folder(path.parent)
    if because == DAMAGED:
        with contextlib.suppress(OSError):  # they are kept a while longer
            _bound_asides(path)
    return aside


def last_aside(path: Path, because: str = DAMAGED) -> int:
    """The number of the last file of this name that was set aside; 0: none ever was, or all were deleted by a person."""
    return max(_asides(path, because), default=0)


def _bound_asides(path: Path) -> None:
    asides = [
        path.with_name(f"{path.name}.{DAMAGED}-{number}") for number in sorted(_asides(path, DAMAGED), reverse=True)
    ]
    kept = 0
    for place, aside in enumerate(asides):
        bytes_ = length(aside)
        if place and (place >= ASIDE_KEPT or kept + bytes_ > ASIDE_BYTES):
            remove(aside)
            log.error("damaged_file_deleted", name=aside.name, bytes=bytes_)
        else:
            kept += bytes_


def _asides(path: Path, because: str) -> set[int]:
    pattern = re.compile(rf"{re.escape(path.name)}\.{because}-(\d+)(?:{'|'.join(map(re.escape, _COMPANIONS[1:]))})?")
    found = (pattern.fullmatch(other.name) for other in path.parent.glob(f"{path.name}.{because}-*"))
    return {int(match[1]) for match in found if match}


def remove(path: Path) -> None:
    """Delete a database that never came into use, with its companions. Raises OSError."""
    for name in _family(path):
        name.unlink(missing_ok=True)


def length(path: Path) -> int:
    """Bytes of a database with its companions."""
    return sum(map(size, _family(path)))


def companions(path: Path) -> bool:
    """Whether a log lies beside this place."""
    return any(name.exists() for name in _family(path)[1:])


def _family(path: Path) -> list[Path]:
    return [path.with_name(path.name + companion) for companion in _COMPANIONS]
