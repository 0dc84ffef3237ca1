"""A mark on the disk that something was told which the disk does not hold, for a start after a crash.

Theory. While the disk refuses, alerts go on from memory, and each step takes the next revision. A life that is killed then leaves
nothing of it, and the next one would tell other things under the same ids: a receiver drops them as doubles. So before anything
is told from memory a mark is set, in a file whose one block was written while the disk was well, so that a full disk takes it,
too; where the next start finds it, revisions and places in the lanes go on behind a leap (``lineage.py``). It is wiped when all that
was told is on the disk. What has its words in ``told.py`` needs no mark: it is found by them.
"""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from gateway.store import files

NAME = "loudong.unkept"
_BLOCK = 512
_CLEAR, _SET = bytes(_BLOCK), b"told from memory\n".ljust(_BLOCK, b"\0")
log = structlog.get_logger()


class Unkept:
    """The mark, in the folder of a store. No method raises for what the disk refuses."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def prepare(self) -> None:
        """Make the file, if there is none, while the disk takes it."""
        try:
            if files.touch_private(self._path, synced=False):
                self._write(_CLEAR)
                self.sync()
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

    def set(self) -> None:
        """Something is about to be told; not synced."""
        try:
            files.touch_private(self._path, synced=False)
            self._write(_SET)
        except OSError as error:
            log.warning("mark_unwritten", fault=str(error))

    def clear(self) -> None:
        """All that was told is on the disk, or a start knows that it is not."""
        if self.is_set:
            try:
                self._write(_CLEAR)
            except OSError as error:
                log.warning("mark_unwritten", fault=str(error))

    def sync(self) -> None:
        """Make durable what was written."""
        try:
            with self._path.open("rb") as file:
                os.fsync(file.fileno())
        except OSError as error:
            log.warning("mark_unwritten", fault=str(error))

    def _write(self, block: bytes) -> None:
        with self._path.open("r+b", buffering=0) as file:
            files.write_all(file.fileno(), block, 0)
