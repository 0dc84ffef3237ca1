"""What the disk's thread is given to do for a commit. Runs there: touches nothing but the database and its arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.store.database import Database
from gateway.store.delivery import Line
from gateway.store.rows import Batch, Part


def gather(waiting: Iterable[Part]) -> Batch:
    """The parts as one batch: journal, history and messages in order, of each state row only the last."""
    parts = list(waiting)
    return Batch(
        journal=tuple(row for part in parts for row in part.journal),
        state=tuple({(row.kind, row.key): row for part in parts for row in part.state}.values()),
        history=tuple(row for part in parts for row in part.history),
        messages=tuple(message.message(durable=True) for part in parts for message in part.messages),
        stamp=next((part.stamp for part in reversed(parts) if part.stamp is not None), None),
    )


def commit(database: Database, batch: Batch, cursors: Mapping[Line, int]) -> None:
    """Write what was put, and where each uplink stands; mend what is hurt. Raises StoreFault."""
    tell_cursors(database, cursors)
    if batch != Batch() or database.uplinks.moved or database.hurt:
        database.commit(batch)


def commit_held(database: Database, batch: Batch, uplinks: Iterable[str], cursors: Mapping[Line, int]) -> None:
    """Write what was held while the disk refused. Raises StoreFault."""
    for uplink in tuple(uplinks):
        database.uplinks.add(uplink)  # the database may have been opened only now
    tell_cursors(database, cursors)
    database.commit(batch)


def tell_cursors(database: Database, cursors: Mapping[Line, int]) -> None:
    """Where each uplink stands; on the disk with the next commit."""
    for (uplink, lane), sequence in cursors.items():
        database.uplinks.advance(uplink, lane, sequence)
