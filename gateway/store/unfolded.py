"""What the commit log holds that the tables do not: whoever reads the tables lays it over what he found there.

Order and numbers are those that folding will give. Touches no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import structs

from gateway.store.commit_log import Entry
from gateway.store.rows import Batch, HistoryRow, JournalRow, Message, StateRow


class Unfolded:
    """Entries of the log, oldest first."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries = list(entries)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def add(self, entry: Entry) -> None:
        """The newest."""
        self._entries.append(entry)

    def behind(self, serial: int) -> Unfolded:
        """What is left once the tables hold all up to this serial number."""
        return Unfolded(entry for entry in self._entries if entry.serial > serial)

    def state(self) -> Iterator[StateRow]:
        """Each change of a state row; the last one of a key holds, and one without body takes the row away."""
        return (row for batch in self._batches() for row in batch.state)

    def stamp(self) -> tuple[int, bytes] | None:
        """The last one; None where no entry has one."""
        return next((batch.stamp for batch in reversed([*self._batches()]) if batch.stamp), None)

    def history(self) -> Iterator[HistoryRow]:
        """Steps of all alerts."""
        return (row for batch in self._batches() for row in batch.history)

    def journal(self, last: int) -> Iterator[JournalRow]:
        """Rows, numbered on from ``last``, the number of the last row in the table."""
        rows = (row for batch in self._batches() for row in batch.journal)
        return (structs.replace(row, n=n) for n, row in enumerate(rows, last + 1))

    def messages(self) -> Iterator[Message]:
        """Messages of all lanes, each with the words it was told in."""
        return (message for batch in self._batches() for message in batch.messages)

    def _batches(self) -> Iterator[Batch]:
        return (entry.batch for entry in self._entries)
