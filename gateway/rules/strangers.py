"""What is remembered of those who are no more on the site: buttons, terminals, and principals that have fallen silent.

Replay counters, entries seen and orders answered outlast their device: one that is taken out for repair and comes back must not
have its old frames taken for new ones. They outlast it by a year, and then go: a compound exchanges its buttons for decades. A
device that is on the site keeps them for ever.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Any

from gateway.instant import DAY, Instant
from gateway.rules.ledger import Table

REMEMBERED_MS = 366 * DAY
"""Since the last that was heard, on the site timeline: longer than any repair, and than a winter's leave."""

Dated = Table[Any]
"""Rows with an ``at``; their keys begin with whom they are about."""


def long_gone(tables: Iterable[Dated], on_site: Container[str], at: Instant) -> frozenset[str]:
    """Of whom nothing was heard for so long, in none of the tables, and who is not on the site."""
    last: dict[str, Instant] = {}
    for table in tables:
        for key, row in table.by_key.items():
            if key[0] not in on_site:
                last[key[0]] = max(row.at, last.get(key[0], row.at))
    return frozenset(name for name, heard in last.items() if at - heard > REMEMBERED_MS)


def forget(tables: Sequence[Dated], gone: Container[str], *, place: int = 0) -> None:
    """Drop their rows; ``place`` is that of the name in the key."""
    for table in tables:
        for key in table:
            if key[place] in gone:
                table.drop(*key)
