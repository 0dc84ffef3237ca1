"""What is remembered of those who are no more on the site: buttons, terminals, and principals.

Replay counters, entries seen and orders answered outlast their device: one that is taken out for repair and comes back must not
have its old frames taken for new ones. They outlast it by a year, and then go: a compound exchanges its buttons for decades. The
year begins when it was first missed, not with its last word: a panic button may be pressed once in years. A device that is on
the site keeps them for ever.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Any

from msgspec import Struct

from gateway.instant import DAY, Instant
from gateway.rules.ledger import Table

REMEMBERED_MS = 366 * DAY
"""Without a word, on the site timeline: longer than any repair, and than a winter's leave."""

Dated = Table[Any]
"""Rows with an ``at``; their keys begin with whom they are about."""


class Left(Struct, frozen=True):
    """When a site file was first loaded in which somebody was missing."""

    at: Instant


def long_gone(tables: Iterable[Dated], left: Table[Left], on_site: Container[str], at: Instant) -> frozenset[str]:
    """Who is not on the site, and was not when it was loaded so long ago, and of whom nothing was heard since.

    ``left`` holds who was missed since when, and is kept up to date.
    """
    last: dict[str, Instant] = {}
    for table in tables:
        for key, row in table.by_key.items():
            if key[0] not in on_site:
                last[key[0]] = max(row.at, last.get(key[0], row.at))
    for (name,) in left:
        if name not in last:
            left.drop(name)  # back, or forgotten
    for name in last:
        if left.get(name) is None:
            left.put(Left(at), name)
    since = {name: max(heard, row.at) for name, heard in last.items() if (row := left.get(name)) is not None}
    return frozenset(name for name, then in since.items() if at - then > REMEMBERED_MS)


def forget(tables: Sequence[Dated], gone: Container[str], *, place: int = 0) -> None:
    """Drop their rows; ``place`` is that of the name in the key."""
    for table in tables:
        for key in table:
            if key[place] in gone:
                table.drop(*key)
