"""The core's memory: tables of small rows, so that what changed can be written and what was written can be read back.

A row is bytes under (kind, key); the store keeps it without knowing what it means. Rows that changed during one event are
handed out once, after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T", bound=Struct)
Key = tuple[str, ...]
_SEPARATOR = "\x1f"
"""ASCII unit separator. No id of ours holds it, but a command's or an entry's key comes from outside."""
_ESCAPE = "\x1e"

_encode = msgspec.msgpack.Encoder().encode


class Row(Struct, frozen=True, gc=False):
    """One row as the store keeps it; ``body`` None deletes it."""

    kind: str
    key: str
    body: bytes | None


class Table(Generic[T]):
    """Rows of one kind, by key, remembering which of them changed."""

    def __init__(self, kind: str, row_type: type[T], *, written_only: bool = False) -> None:
        """``written_only``: rows are handed out once and not kept (what is over and done with)."""
        self.kind = kind
        self._written_only = written_only
        self._rows: dict[Key, T] = {}
        self._dirty: dict[Key, None] = {}
        self._names: dict[Key, str] = {}
        """How the store calls those that were handed out."""
        self._decoder = msgspec.msgpack.Decoder(row_type)
        self.place = 0
        """Among the tables of its ledger."""
        self.touched: set[int] = set()
        """Places of the tables that changed; shared by all tables of a ledger, which asks only those."""

    def get(self, *key: str) -> T | None:
        """The row, or None."""
        return self._rows.get(key)

    @property
    def by_key(self) -> Mapping[Key, T]:
        """The living rows, for whoever looks several times an event; the mapping stays the same one for ever."""
        return self._rows

    def put(self, row: T, *key: str) -> None:
        """Set a row."""
        self.set(key, row)

    def set(self, key: Key, row: T) -> None:
        """The same, for whoever has the whole key."""
        self._rows[key] = row
        self._dirty[key] = None
        self.touched.add(self.place)

    def drop(self, *key: str) -> None:
        """Delete a row if it is there."""
        if self._rows.pop(key, None) is not None:
            self._dirty[key] = None
            self.touched.add(self.place)

    @property
    def is_changed(self) -> bool:
        """Whether any row changed since they were last handed out."""
        return self.place in self.touched

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._rows))

    def values(self) -> list[T]:
        """All rows, in the order they were first put."""
        return list(self._rows.values())

    def changed(self) -> list[Row]:
        """The rows that changed since the last call."""
        changed: list[Row] = []
        self.hand_out(changed)
        return changed

    def hand_out(self, to: list[Row]) -> None:
        """Add the rows that changed since the last call."""
        kind, rows, names = self.kind, self._rows, self._names
        for key in self._dirty:
            row, name = rows.get(key), names.get(key)
            if name is None:
                name = names[key] = _joined(key)
            if row is None:
                del names[key]
            to.append(Row(kind, name, None if row is None else _encode(row)))
        self._dirty.clear()
        if self._written_only:
            rows.clear()
            names.clear()

    def everything(self) -> Iterator[Row]:
        """All rows."""
        return (self._row(key) for key in self._rows)

    def restore(self, key: str, body: bytes) -> None:
        """Take back a row as it was written."""
        if self._written_only:
            return
        self._rows[_parts(key)] = self._decoder.decode(body)

    def _row(self, key: Key) -> Row:
        row = self._rows.get(key)
        return Row(self.kind, _joined(key), None if row is None else _encode(row))


def _joined(key: Key) -> str:
    """One string for a key, whatever its parts hold."""
    plain = _SEPARATOR.join(key)
    if _ESCAPE not in plain and plain.count(_SEPARATOR) == len(key) - 1:
        return plain  # nearly every key
    return _SEPARATOR.join(part.replace(_ESCAPE, f"{_ESCAPE}0").replace(_SEPARATOR, f"{_ESCAPE}1") for part in key)


def _parts(joined: str) -> Key:
    parts = joined.split(_SEPARATOR)
    return tuple(part.replace(f"{_ESCAPE}1", _SEPARATOR).replace(f"{_ESCAPE}0", _ESCAPE) for part in parts)


class TableLike(Protocol):
    """A table of rows of any type."""

    kind: str
    place: int
    touched: set[int]

    def hand_out(self, to: list[Row]) -> None: ...

    def everything(self) -> Iterator[Row]: ...

    def restore(self, key: str, body: bytes) -> None: ...


class Ledger:
    """All tables of the core."""

    def __init__(self, *tables: TableLike) -> None:
        self._tables, self._kinds = tables, {table.kind: table for table in tables}
        self.touched: set[int] = set()
        """Places of the tables that changed since rows were handed out."""
        for place, table in enumerate(tables):
            if table.touched:
                self.touched.add(place)
            table.place, table.touched = place, self.touched

    def changed(self) -> tuple[Row, ...]:
        """Every row that changed since the last call, table by table."""
        rows: list[Row] = []
        for place in sorted(self.touched):
            self._tables[place].hand_out(rows)
        self.touched.clear()
        return tuple(rows)

    def everything(self) -> tuple[Row, ...]:
        """Every row."""
        return tuple(row for table in self._tables for row in table.everything())

    def restore(self, rows: Iterable[Row]) -> tuple[str, ...]:
        """Take back what ``everything`` or ``changed`` handed out; rows of other kinds are not ours and stay unread.

        Answers the kinds and keys of rows that do not read as what they should be: one bad row must not keep all others
        from coming back.
        """
        unreadable = []
        for row in rows:
            table = self._kinds.get(row.kind)
            if table is None or row.body is None:
                continue
            try:
                table.restore(row.key, row.body)
            except (ValueError, RecursionError):  # msgspec's own and that of a text that is none
                unreadable.append(f"{row.kind} {row.key}")
        return tuple(unreadable)
