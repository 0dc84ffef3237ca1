"""What each uplink has had of one database, and what it gets next: from the tables, and behind them from the commit log.

Every change of who is told begins here, in a transaction of its own; nothing is handed out across a gap that was not proved. The
rows themselves, and the rules of what is owed, are those of ``outbox.py``.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Collection, Mapping

from msgspec import structs

from gateway.store.access import Access
from gateway.store.inspection import Inspector
from gateway.store.outbox import Outbox, unsealed
from gateway.store.rows import Damage, Message
from gateway.store.sealed import Sealed
from gateway.store.unfolded import Unfolded


class Uplinks:
    """Of one database; ``unfolded`` gives what its log holds and its tables do not yet, ``fold`` brings it into them."""

    def __init__(
        self,
        access: Access,
        rows: Sealed,
        damage: Damage,
        outbox: Outbox,
        inspector: Inspector,
        unfolded: Callable[[], Unfolded],
        fold: Callable[[], object],
    ) -> None:
        self._access, self._rows, self._damage, self._outbox = access, rows, damage, outbox
        self._inspector, self._unfolded, self._fold = inspector, unfolded, fold
        self.past: dict[str, int] | None = None
        """Lane -> the last number that was there before; None since the uplinks were named."""
        self.told: Mapping[str, Message] = {}
        """Id -> a message as it was told from memory, where the tables may hold other words of it yet."""

    def restore(self, connection: sqlite3.Connection) -> None:
        """Where each uplink stands, as the file just opened has it; what is further on in memory stays."""
        for _, (uplink, lane, sequence, _) in self._rows.rows(connection, "cursors"):
            self._outbox.restore(uplink, lane, sequence)
        self._outbox.restored(connection)

    def add(self, uplink: str) -> bool:
        """Make an uplink known, durably; it holds back pruning from now on. False if known already. Raises StoreFault.

        Of what was there before this object opened the file (or since the uplinks were named first: before now) a new one is
        told only the last word on each open alert. In a file that was damaged it starts at the oldest message kept: perhaps
        it was not new.
        """
        if self._outbox.knows(uplink):
            return False
        self._fold()  # what a new one is owed is looked for in the tables
        with self._access.writing() as connection:
            self._outbox.add_uplink(connection, uplink, self._past_now(connection))
            moved = self._outbox.write_cursors(connection)
        self._outbox.settle(moved)
        return True

    def _past_now(self, connection: sqlite3.Connection) -> dict[str, int]:
        if self._access.rebuilt or self._damage.rows:
            return {}
        return self._outbox.last_sequences(connection) if self.past is None else self.past

    def forget(self, uplink: str) -> None:
        """Take an uplink out of the reckoning. Raises StoreFault."""
        self._fold()
        with self._access.writing() as connection:
            self._outbox.forget_uplink(connection, uplink)

    def keep(self, uplinks: Collection[str]) -> None:
        """Make these known and forget every other one. Raises StoreFault where the others cannot be forgotten."""
        for uplink in uplinks:
            self.add(uplink)
        self.past = None
        for gone in self.names() - set(uplinks):
            self.forget(gone)

    def names(self) -> set[str]:
        """All that are known."""
        return self._outbox.uplinks()

    def take(self, uplink: str, lane: str, n: int) -> list[Message]:
        """The next ``n`` messages of a lane behind the uplink's cursor, in order. Raises StoreFault."""
        taken = self._take(uplink, lane, n)
        since = max(self._outbox.cursor(uplink, lane), self._outbox.beginning(uplink, lane))
        if self._inspector.is_gapless(lane, [since, *(one.sequence for one in taken if one.sequence > since)]):
            return taken
        self._access.mend()
        return self._take(uplink, lane, n)

    def _take(self, uplink: str, lane: str, n: int) -> list[Message]:
        with self._access.reading() as connection:
            due, values = self._outbox.waiting(uplink, lane)
            tail = f"WHERE {due} ORDER BY sequence"
            rows = self._rows.first(connection, "outbox", tail, n, *values)
            kept = [self._as_told(unsealed(row)) for _, row in rows]
        if len(kept) >= n:
            return kept  # what is not folded has higher numbers, or it would not have been taken for ordinary
        cursor = self._outbox.cursor(uplink, lane)  # most of what is not folded has left long ago
        later = (m for m in self._unfolded().messages() if m.lane == lane and m.sequence > cursor)
        news = (m for m in later if self._outbox.is_due(uplink, lane, m.sequence))
        return [*kept, *itertools.islice(news, n - len(kept))]

    def _as_told(self, message: Message) -> Message:
        return structs.replace(message, body=self.told.get(message.id, message).body)

    def aside(self, uplink: str) -> list[tuple[str, int]]:
        """Lane and place of what was set aside for this uplink, and which it has not had since."""
        return self._outbox.aside(uplink)

    def find(self, lane: str, sequence: int) -> Message | None:
        """The message at a place; None where there is none that is sound. Raises StoreFault."""
        with self._access.reading() as connection:
            tail = "WHERE lane = ? AND sequence = ?"
            for _, row in self._rows.rows(connection, "outbox", tail, lane, sequence):
                return self._as_told(unsealed(row))
        there = (m for m in self._unfolded().messages() if (m.lane, m.sequence) == (lane, sequence))
        return next(there, None)

    def advance(self, uplink: str, lane: str, sequence: int) -> None:
        """The uplink has all of the lane up to ``sequence``. On disk with the next commit: a crash before only repeats."""
        self._outbox.advance(uplink, lane, sequence)

    def cursor(self, uplink: str, lane: str) -> int:
        """Up to which sequence the uplink has the lane."""
        return self._outbox.cursor(uplink, lane)

    def past_beginning(self, uplink: str, lane: str) -> bool:
        """Whether the uplink has had what it was owed of the time before it came."""
        return self._outbox.past_beginning(uplink, lane)

    @property
    def moved(self) -> bool:
        """Whether a commit, if only an empty one, would save deliveries from being repeated."""
        return self._outbox.moved
