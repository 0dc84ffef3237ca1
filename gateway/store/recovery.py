"""What a start finds of the last life: the commit log's news, the words that were told from memory, and what is lost.

A loss is noted before anything is folded: whoever opens the store after a kill in between finds the tables whole, and would not
know of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

import structlog
from msgspec import Struct, structs

from gateway.faults import StoreFault
from gateway.store.access import Access
from gateway.store.commit_log import CommitLog, Entry
from gateway.store.lineage import Lineage
from gateway.store.outbox import Outbox
from gateway.store.rows import Message
from gateway.store.told import Told
from gateway.store.unkept import Unkept

log = structlog.get_logger()


class Recovery(Struct, frozen=True):
    """Of one database."""

    access: Access
    log: CommitLog
    told: Told
    unkept: Unkept
    outbox: Outbox
    lineage: Lineage

    def news(self, serial: int, room: int, *, hurt: bool, notes: list[str]) -> list[Entry]:
        """What the log holds behind commit ``serial``, in the words it was told in; ``notes`` are added to. ``hurt``: the tables
        lost something. Raises StoreFault where the log cannot be read.
        """
        found, told = self.log.find(serial, room), self.told.read()
        if found.damaged:
            blocks = f", {found.unreadable} blocks" if found.unreadable else ""
            notes.append(f"log_damaged: {found.missing}{blocks}")
            log.error("log_damaged", missing=found.missing, unreadable=found.unreadable)
        if found.damaged or hurt or self.unkept.is_set or self._is_lost(told, found.entries):
            waiting = (message for entry in found.entries for message in entry.batch.messages)
            self.leap(waiting, at_once=hurt)  # all else that shows it is still there until it is noted
        return [_as_told(entry, told) for entry in found.entries]

    def _is_lost(self, told: Mapping[str, Message], entries: Iterable[Entry]) -> bool:
        """Whether something was told whose commit never got as far as the disk."""
        lost = set(told) - {message.id for entry in entries for message in entry.batch.messages}
        if not lost:
            return False
        with self.access.reading() as connection:
            return any(not self.outbox.holds(connection, one) for one in lost)

    def retell(self) -> None:
        """What is in the tables in other words than it was told in gets the words it was told in; what is in none is leapt over.
        Raises StoreFault.
        """
        told = self.told.read()
        if told or self.owes_leap():
            with self.access.writing() as connection:
                for message in told.values():
                    self.outbox.reword(connection, message)
                self.lineage.note_leap(connection)

    @property
    def is_marked(self) -> bool:
        """Whether there is something to ``forget``."""
        return self.unkept.is_set or bool(self.told.read())

    def forget(self) -> None:
        """All that is on the disk now; the marks of it go. Not while somebody may be setting them anew."""
        self.told.clear()
        self.unkept.clear()

    def owes_leap(self) -> bool:
        """Whether a leap was found that the tables do not know of. Raises StoreFault."""
        with self.access.reading() as connection:
            return self.lineage.owes_leap(connection)

    def leap(self, waiting: Iterable[Message], *, at_once: bool = True) -> None:
        """Something is lost that had a name. ``waiting``: messages that the tables do not know of yet. Noted ``at_once``, or with the
        next transaction: that is syncs, for which no start should wait. Raises StoreFault where nothing can be read.
        """
        with self.access.reading() as connection:
            last = self.outbox.last_sequences(connection)
            for message in waiting:
                last[message.lane] = max(message.sequence, last.get(message.lane, 0))
            losses = self.lineage.find_leap(connection, last, self.unkept.losses)
        if at_once and not self.access.hurt:  # what it holds is read before it is mended, and then it leaps again
            with contextlib.suppress(StoreFault), self.access.writing() as connection:  # a full or a read-only disk
                self.lineage.note_leap(connection)
        if self.owes_leap():
            self.unkept.keep_losses(losses)
        if at_once:
            self.keep_leap()

    def keep_leap(self) -> None:
        """The tables refuse what they are owed: what stands in its stead until they take it is made durable."""
        if self.owes_leap():
            self.unkept.sync()


def _as_told(entry: Entry, told: Mapping[str, Message]) -> Entry:
    """The entry with those messages that were told in other words in the words they were told in."""
    if not any(message.id in told for message in entry.batch.messages):
        return entry
    messages = tuple(
        structs.replace(message, body=told.get(message.id, message).body) for message in entry.batch.messages
    )
    return structs.replace(entry, batch=structs.replace(entry.batch, messages=messages))
