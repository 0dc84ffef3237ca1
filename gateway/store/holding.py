"""What the store holds in memory while the disk refuses: bounded, in order, and nothing told is forgotten first.

Pure bookkeeping, no I/O. What is dropped when memory runs short, in this order: quiet journal rows (readings nobody was
alarmed by), then all journal rows, then history, and messages only at the very end, of the least urgent lane first. State
is one row per thing and is never dropped. Dropped journal rows leave one row of kind ``store_gap`` with their number, so that a replay knows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain

from gateway.alerts import Priority
from gateway.store.rows import Batch, HistoryRow, JournalRow, Message, Part, StateRow

GAP = "store_gap"
QUIET_BYTES = 4 << 20
"""Quiet journal rows held: at 200 bytes and 5 a second, more than an hour of a sick disk."""
HELD_BYTES = 64 << 20
"""All that is held; a quarter of the memory a small box can spare for the whole gateway."""
_ROW_BYTES = 200  # what a row costs besides its body, roughly


class Held:
    """Rows that wait for a disk. Not safe for two threads."""

    def __init__(self, quiet_bytes: int = QUIET_BYTES, held_bytes: int = HELD_BYTES) -> None:
        self._quiet_bytes, self._held_bytes = quiet_bytes, held_bytes
        self._journal: deque[tuple[bool, JournalRow]] = deque()
        self._state: dict[tuple[str, str], StateRow] = {}
        self._history: deque[HistoryRow] = deque()
        self._messages: dict[str, deque[Message]] = {lane: deque() for lane in Priority}
        self._retold: deque[Message] = deque()
        self._stamp: tuple[int, bytes] | None = None
        self._gap = 0
        self._quiet = self._size = 0
        self.dropped_journal = self.dropped_history = self.dropped_messages = 0

    def __bool__(self) -> bool:
        return bool(
            self._journal
            or self._state
            or self._history
            or any(self._messages.values())
            or self._retold
            or self._stamp
            or self._gap
        )

    def add(self, part: Part, messages: Iterable[Message]) -> None:
        """Take in a part, with its messages as they are told."""
        self._add_journal((part.urgent, row) for row in part.journal)
        self._add_rest(part.state, part.history, messages, part.stamp)
        self._shrink()

    def merge(self, later: Held) -> None:
        """Take in what was held after this."""
        self._gap += later._gap
        self._add_journal(later._journal)
        self._add_rest(later._state.values(), later._history, later._new(), later._stamp)
        self.retell(later._retold)
        self.keep_counts(later)
        self._shrink()

    def keep_counts(self, other: Held) -> None:
        """What another one dropped stays counted when it is gone."""
        self.dropped_journal += other.dropped_journal
        self.dropped_history += other.dropped_history
        self.dropped_messages += other.dropped_messages

    def retell(self, messages: Iterable[Message]) -> None:
        """These are on the disk in other words than they were told; the next commit puts that right."""
        for message in messages:
            self._retold.append(message)
            self._size += _weigh(message.body)

    def batch(self) -> Batch:
        """All of it, for one transaction."""
        rows = tuple(row for _, row in self._journal)
        if self._gap:
            at = rows[0].at if rows else self._stamp[0] if self._stamp else 0
            rows = (JournalRow(at, "", GAP, str(self._gap).encode()), *rows)
        return Batch(
            rows,
            tuple(self._state.values()),
            tuple(self._history),
            tuple(self._new()),
            self._stamp,
            tuple(self._retold),
        )

    def messages(self, lane: str) -> dict[int, Message]:
        """What of a lane is told from memory, by sequence."""
        return {message.sequence: message for message in self.told() if message.lane == lane}

    def told(self) -> tuple[Message, ...]:
        """Every message that is told from here."""
        return (*self._retold, *self._new())

    def _new(self) -> Iterator[Message]:
        return chain.from_iterable(self._messages.values())

    def history(self, alert: str) -> list[HistoryRow]:
        return [row for row in self._history if row.alert == alert]

    def state(self, kind: str) -> list[StateRow]:
        """Latest first."""
        return [row for row in reversed(self._state.values()) if row.kind == kind]

    def _add_journal(self, rows: Iterable[tuple[bool, JournalRow]]) -> None:
        for urgent, row in rows:
            self._journal.append((urgent, row))
            self._size += _weigh(row.body)
            self._quiet += 0 if urgent else _weigh(row.body)

    def _add_rest(
        self,
        state: Iterable[StateRow],
        history: Iterable[HistoryRow],
        messages: Iterable[Message],
        stamp: tuple[int, bytes] | None,
    ) -> None:
        for row in state:
            self._state.pop((row.kind, row.key), None)  # so that the order is that of the last change
            self._state[row.kind, row.key] = row
        for step in history:
            self._history.append(step)
            self._size += _weigh(step.body)
        for message in messages:
            self._messages[message.lane].append(message)
            self._size += _weigh(message.body)
        self._stamp = stamp or self._stamp

    def _shrink(self) -> None:
        if self._quiet > self._quiet_bytes:
            self._drop_quiet()
        while self._size > self._held_bytes and self._journal:
            self._forget(*self._journal.popleft())
        while self._size > self._held_bytes and self._history:
            self._size -= _weigh(self._history.popleft().body)
            self.dropped_history += 1
        for lane in reversed(Priority):
            self._drop_messages(self._messages[lane])

    def _drop_messages(self, lane: deque[Message]) -> None:
        """Oldest first; the newest of a lane stays."""
        while self._size > self._held_bytes and len(lane) > 1:
            self._size -= _weigh(lane.popleft().body)
            self.dropped_messages += 1

    def _drop_quiet(self) -> None:
        """Oldest first, down to half the bound, so that this is not done again at every row."""
        kept: deque[tuple[bool, JournalRow]] = deque()
        for urgent, row in self._journal:
            if urgent or self._quiet <= self._quiet_bytes // 2:
                kept.append((urgent, row))
            else:
                self._forget(urgent, row)
        self._journal = kept

    def _forget(self, urgent: bool, row: JournalRow) -> None:
        self._size -= _weigh(row.body)
        self._quiet -= 0 if urgent else _weigh(row.body)
        self._gap += 1
        self.dropped_journal += 1


def _weigh(body: bytes) -> int:
    return len(body) + _ROW_BYTES
