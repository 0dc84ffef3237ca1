"""The journal of one database, read in order: what the tables hold of it, and behind that what the commit log still does.

Here packed rows become the many they stand for, and what is said of a person is unsealed. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import structlog

from gateway.store import packing
from gateway.store.access import Access
from gateway.store.persons import PersonKeys
from gateway.store.rows import Damage, JournalRow
from gateway.store.sealed import Sealed
from gateway.store.unfolded import Unfolded

log = structlog.get_logger()

_BLOCK = 500  # rows read at a time


class Journal:
    """Of one database; ``unfolded`` gives what its log holds and its tables do not yet. Counts into ``damage``."""

    def __init__(
        self, access: Access, sealed: Sealed, damage: Damage, keys: PersonKeys, unfolded: Callable[[], Unfolded]
    ) -> None:
        self._access, self._sealed, self._damage, self._keys, self._unfolded = access, sealed, damage, keys, unfolded
        self._broken_packs: set[int] = set()
        """Numbers of packed rows that cannot be opened, so that each is counted once."""

    def rows(self, since: int = 0) -> Iterator[JournalRow]:
        """Journal rows behind number ``since``, in order, read in blocks while others may commit. Raises StoreFault."""
        while block := self.block(since, _BLOCK):
            yield from block
            since = block[-1].n

    def block(self, since: int, n: int) -> list[JournalRow]:
        """The first ``n`` journal rows behind number ``since``, or some more. Raises StoreFault."""
        with self._access.reading() as connection:
            rows = self._sealed.first(connection, "journal", "WHERE n > ? ORDER BY n", n, since)
            kept = [JournalRow(at, name, kind, body, key[0]) for key, (at, name, kind, body, _) in rows]
            found = list[JournalRow]()
            for one in kept:
                if len(found) < n:  # one may stand for thousands
                    found += (row for row in self._unpacked(one) if row.n > since)
            last = connection.execute("SELECT COALESCE(MAX(n), 0) FROM journal").fetchone()[0]
        if len(found) < n:
            found += [row for row in self._unfolded().journal(last) if row.n > since]
        opened = [self._keys.unseal(row) for row in found]
        self._damage.unread = len(self._broken_packs) + len(self._keys.broken)
        return opened

    def _unpacked(self, row: JournalRow) -> list[JournalRow]:
        """The rows it stands for; where it is broken, itself as it lies."""
        try:
            return packing.unpacked(row)
        except packing.BrokenPack as fault:
            self._note_unread(row.n, str(fault))
            return [row]

    def _note_unread(self, n: int, fault: str) -> None:
        if n not in self._broken_packs:
            self._broken_packs.add(n)
            log.error("row_unread", table="journal", key=n, fault=fault)
