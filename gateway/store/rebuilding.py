"""When a damaged file is replaced, and when that is left alone for a while: a copy that does not fit must not wear the card out.

A copy costs as many bytes as the file has. So it is not begun where they are not free, which a question to the file system tells at
once, and one that failed on the way is not begun anew before long.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from gateway.store import files, salvage

log = structlog.get_logger()

AGAIN_S = (600.0, 1_800.0, 7_200.0, 21_600.0)
"""Pauses behind copies that failed on the way; the last one repeats: four copies a day."""
MARGIN = 128 << 10
"""Bytes that are to be free beyond those of the file and a sixteenth of them: indexes may come out longer, and the log goes on."""


class Rebuilding:
    """Of the file at one path."""

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._path, self._now = path, now
        self._failed = 0
        self._not_before = -float("inf")
        self.done = 0
        """How often the file was replaced."""

    def go(self, leave: Callable[[], None]) -> tuple[int, int, Path]:
        """``salvage.rebuild``, where it can be done. Raises OSError, sqlite3.Error; then the file lies where it lay, and unless
        the last step of all was refused nobody had to ``leave`` it.
        """
        if self._now() < self._not_before:
            raise OSError(errno.EAGAIN, f"a copy of {self._path.name} failed, and is made again later")
        self._look_for_room()
        try:
            found = salvage.rebuild(self._path, leave)
        except (OSError, sqlite3.Error) as error:
            if salvage.discard(self._path):  # else it cost nothing, and may be tried at any time
                pause = AGAIN_S[min(self._failed, len(AGAIN_S) - 1)]
                self._failed, self._not_before = self._failed + 1, self._now() + pause
                log.warning("rebuild_failed", error=str(error), retry_s=pause)
            raise
        self._failed, self.done = 0, self.done + 1
        return found

    def _look_for_room(self) -> None:
        length = files.length(self._path)
        needed = length + length // 16 + MARGIN
        disk = os.statvfs(self._path.parent)
        free = disk.f_bavail * disk.f_frsize
        if free < needed:
            raise OSError(errno.ENOSPC, f"a copy of {self._path.name} needs {needed} bytes, {free} are free")
