"""What the commit log holds that the tables do not: whoever reads the tables lays it over what he found there.

Order and numbers are those that folding will give. Touches no file. Entries are held as the records they are in the log, a tenth of
their size as objects (an hour of restless air would be 25 MB), and opened when somebody looks back; only their messages, which
uplinks ask for at any time, are held open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import Struct, structs

from gateway.store import commit_log
from gateway.store.commit_log import Entry
from gateway.store.rows import Batch, HistoryRow, JournalRow, Message, StateRow

_QUIET_ROW = 15
"""A quiet row takes 3 bytes of a record among its like, and as much of a fold's time, and of memory, as 15 more of other things."""


class _Held(Struct, frozen=True):
    serial: int
    record: bytes
    weight: int
    messages: tuple[Message, ...]
    steps: Mapping[str, int]
    """How many of which alert's history."""

    def entry(self) -> Entry:
        entry, _ = commit_log.decode(self.record, 0)
        if entry is None:
            raise RuntimeError(f"record {self.serial} changed in memory")
        return entry

    def of(self, alert: str) -> list[HistoryRow]:
        return [row for row in self.entry().batch.history if row.alert == alert]


class Taken:
    """The oldest entries, opened one by one as they are asked for: at least one, and once more at least as many as before."""

    def __init__(self, held: Iterable[_Held], enough: Callable[[], bool]) -> None:
        self._held, self._enough = held, enough
        self.last = 0
        """Serial number of the newest."""

    def __iter__(self) -> Iterator[Entry]:
        least = self.last
        for held in self._held:
            self.last = held.serial
            yield held.entry()
            if held.serial >= least and self._enough():
                return


class Unfolded:
    """Entries of the log, oldest first."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._held: list[_Held] = []
        self.ids: set[str] = set()
        """Of all messages."""
        self.weight = 0
        """Bytes of the log that would take as long to fold, and as much memory, as these entries."""
        for entry in entries:
            self.add(entry, commit_log.encode(entry))

    def __bool__(self) -> bool:
        return bool(self._held)

    def __iter__(self) -> Iterator[Entry]:
        return (held.entry() for held in self._held)

    def add(self, entry: Entry, record: bytes) -> None:
        """The newest, and its record."""
        weight = len(record) + _QUIET_ROW * sum(row.quiet for row in entry.batch.journal)
        steps = Counter(row.alert for row in entry.batch.history)
        self._hold([_Held(entry.serial, record, weight, entry.batch.messages, steps)])

    def until(self, enough: Callable[[], bool]) -> Taken:
        """The first ones; asked behind each whether that is enough."""
        return Taken(self._held, enough)

    def behind(self, serial: int) -> Unfolded:
        """What is left once the tables hold all up to this serial number."""
        left = Unfolded()
        left._hold([held for held in self._held if held.serial > serial])
        return left

    def _hold(self, more: list[_Held]) -> None:
        self._held += more
        self.ids.update(message.id for held in more for message in held.messages)
        self.weight += sum(held.weight for held in more)

    def state(self) -> Iterator[StateRow]:
        """Each change of a state row; the last one of a key holds, and one without body takes the row away."""
        return (row for batch in self._batches() for row in batch.state)

    def stamp(self) -> tuple[int, bytes] | None:
        """The last one; None where no entry has one."""
        stamps = (held.entry().batch.stamp for held in reversed(self._held))
        return next((stamp for stamp in stamps if stamp), None)

    def history(self) -> Iterator[HistoryRow]:
        """Steps of all alerts."""
        return (row for batch in self._batches() for row in batch.history)

    def steps(self, alert: str, last: int, since: int) -> Iterator[tuple[int, HistoryRow]]:
        """Of one alert, numbered on from ``last``, the number of its last step in the table: those behind ``since``. Opens no entry
        before it is needed.
        """
        for held in self._held:
            count = held.steps.get(alert, 0)
            if last + count > since:
                yield from ((n, row) for n, row in enumerate(held.of(alert), last + 1) if n > since)
            last += count

    def last_steps(self, alert: str, last: int) -> Iterator[tuple[int, HistoryRow]]:
        """The same, newest first."""
        n = last + sum(held.steps.get(alert, 0) for held in self._held)
        for held in reversed(self._held):
            if alert in held.steps:
                for row in reversed(held.of(alert)):
                    yield n, row
                    n -= 1

    def journal(self, last: int) -> Iterator[JournalRow]:
        """Rows, numbered on from ``last``, the number of the last row in the table."""
        rows = (row for batch in self._batches() for row in batch.journal)
        return (structs.replace(row, n=n) for n, row in enumerate(rows, last + 1))

    def messages(self) -> Iterator[Message]:
        """Messages of all lanes, each with the words it was told in."""
        return (message for held in self._held for message in held.messages)

    def _batches(self) -> Iterator[Batch]:
        return (entry.batch for entry in self)
