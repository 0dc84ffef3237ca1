"""Rows of the core on another stretch of the site timeline: every instant in them later or earlier by as much.

Which of a row's numbers are instants is written in its type, so nothing here needs to be told when one is added.
"""

from __future__ import annotations

import functools
import typing
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from gateway.alerts import Alert
from gateway.instant import Instant
from gateway.rules.ledger import Row
from gateway.rules.presses import LastPress

T = TypeVar("T", bound=Struct)

MOVABLE: dict[str, type[Struct]] = {"alert": Alert, "closed": Alert, "press": LastPress}
"""What one core may leave to another that knows nothing of it: alerts early rather than never, and presses that were answered."""


def moved_row(row: Row, by_ms: int) -> Row:
    """The same row, of a kind that is ``MOVABLE``. Raises ``msgspec.MsgspecError`` for a body that is none of its kind."""
    if row.body is None:
        return row
    body = msgspec.msgpack.decode(row.body, type=MOVABLE[row.kind])
    return Row(row.kind, row.key, msgspec.msgpack.encode(moved(body, by_ms)))


def moved(value: T, by_ms: int) -> T:
    """The same struct with each ``Instant``, of the structs in it too, ``by_ms`` later."""
    return msgspec.structs.replace(value, **{name: _moved(getattr(value, name), by_ms) for name in _timed(type(value))})


def _moved(value: Any, by_ms: int) -> Any:
    if isinstance(value, tuple):
        return tuple(_moved(one, by_ms) for one in value)
    if isinstance(value, Struct):
        return moved(value, by_ms)
    return None if value is None else value + by_ms


@functools.cache
def _timed(kind: type[Struct]) -> tuple[str, ...]:
    """Fields that are instants, or hold some."""
    return tuple(name for name, hint in typing.get_type_hints(kind).items() if _holds_instants(hint))


def _holds_instants(hint: Any) -> bool:
    if hint is Instant:
        return True
    if isinstance(hint, type) and issubclass(hint, Struct):
        return bool(_timed(hint))
    return any(_holds_instants(part) for part in typing.get_args(hint))
