"""The words in which messages were told from memory while their commit was under way, for a start after a crash.

Such a commit may be found on the disk by the next start, though nobody here ever heard that it got there; its messages would go
out again in the words made for the commit, under ids that were told in others. So before they are told from memory, the words
go into a small file of their own, which the next start lays over what it finds. Words are told once and for ever, so one that
stays here too long does no harm; the file is emptied when the disk has them all.

The write is waited for, its sync is not: a killed process leaves what it wrote to the system, and a disk that holds up one sync
would hold up the other, too. So no write stands behind a sync either: each has a thread of its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import structlog

from gateway.faults import StoreFault
from gateway.store import commit_log, files
from gateway.store.commit_log import Entry
from gateway.store.rows import Batch, Message

NAME = "loudong.told"
log = structlog.get_logger()


class Told:
    """The file, in the folder of a store; ``sync`` may be called beside the others, by a second thread. No method raises for what
    the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def read(self) -> dict[str, Message]:
        """Id -> the message as it was told."""
        try:
            entries = commit_log.read(self._path, 0).found.entries
        except StoreFault as fault:
            log.warning("told_unreadable", fault=str(fault))
            return {}
        return {message.id: message for entry in entries for message in entry.batch.messages}

    def write(self, messages: Sequence[Message]) -> None:
        """Add messages; not synced."""
        try:
            files.touch_private(self._path, synced=False)
            with self._path.open("r+b", buffering=0) as file:
                end = os.fstat(file.fileno()).st_size
                entry = Entry(end + 1, Batch(messages=tuple(messages)))  # a serial that no other record of the file has
                files.write_all(file.fileno(), commit_log.encode(entry), end)
        except OSError as error:
            log.warning("told_unwritten", fault=str(error))

    def sync(self) -> None:
        """Make durable what was written."""
        try:
            with self._path.open("rb") as file:
                os.fsync(file.fileno())
            files.sync_folder(self._path.parent)
        except OSError as error:
            log.warning("told_unwritten", fault=str(error))

    def clear(self) -> None:
        """Every message is on the disk in the words it was told in."""
        try:
            if self._path.exists() and self._path.stat().st_size:
                os.truncate(self._path, 0)
        except OSError as error:
            log.warning("told_unwritten", fault=str(error))
