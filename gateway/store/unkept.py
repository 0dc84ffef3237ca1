"""A mark on the disk that something was told which the disk does not hold, for a start after a crash.

Theory. While the disk refuses, alerts go on from memory, and each step takes the next revision. A life that is killed then leaves
nothing of it, and the next one would tell other things under the same ids: a receiver drops them as doubles. So before anything
is told from memory a mark is set, in a file whose one block was written while the disk was well, so that a full disk takes it,
too; where the next start finds it, revisions and places in the lanes go on behind a leap (``lineage.py``). It is wiped when all that
was told is on the disk. What has its words in ``told.py`` needs no mark: it is found by them.

A disk that takes no leap either still takes the number of losses, in the same block: the next such life counts on from there.
"""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from gateway.store import files

NAME = "loudong.unkept"
_BLOCK = 512  # a sector: a power cut leaves all of it old or new
_SET = b"told from memory\n"
_CLEAR = bytes(len(_SET))
_LOSSES = slice(32, 64)
"""Where the number of losses stands, in digits. It stays when the mark is wiped: a number that the tables know, too, says nothing."""
log = structlog.get_logger()


class Unkept:
    """The mark, in the folder of a store. No method raises for what the disk refuses."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def prepare(self) -> None:
        """Lay out the file, where it is not, while the disk takes it. What is in it stays, for it may be set meanwhile."""
        try:
            if files.size(self._path) < _BLOCK:
                files.touch_private(self._path, synced=False)
                with self._path.open("r+b", buffering=0) as file:
                    os.posix_fallocate(file.fileno(), 0, _BLOCK)
                    os.fsync(file.fileno())
                files.sync_folder(self._path.parent)
        except OSError as error:
            log.warning("mark_unwritten", fault=str(error))

    @property
    def is_set(self) -> bool:
        """Whether something was told that the disk may not hold."""
        try:
            return any(self._path.read_bytes()[:1])
        except OSError:
            return False

    @property
    def losses(self) -> int:
        """What ``keep_losses`` kept; 0: nothing."""
        try:
            digits = self._path.read_bytes()[_LOSSES].rstrip(b"\0")
        except OSError:
            return 0
        return int(digits) if digits.isdigit() else 0

    def set(self) -> None:
        """Something is about to be told; not synced."""
        self._write(_SET, 0)

    def keep_losses(self, losses: int) -> None:
        """So many losses were counted, and the tables do not know the number yet; not synced."""
        self._write(b"%d" % losses, _LOSSES.start)

    def clear(self) -> None:
        """All that was told is on the disk, or a start knows that it is not."""
        if self.is_set:
            self._write(_CLEAR, 0)

    def sync(self) -> None:
        """Make durable what was written."""
        try:
            with self._path.open("rb") as file:
                os.fsync(file.fileno())
        except OSError as error:
            log.warning("mark_unwritten", fault=str(error))

    def _write(self, words: bytes, at: int) -> None:
        try:
            files.touch_private(self._path, synced=False)
            with self._path.open("r+b", buffering=0) as file:
                files.write_all(file.fileno(), words, at)
        except OSError as error:
            log.warning("mark_unwritten", fault=str(error))
