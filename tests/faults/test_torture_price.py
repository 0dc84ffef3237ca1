"""What of a killed, ill life is called lost, and what is the price."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from .torture import price
from .torture.rows import Row


class _Next:
    """The life after it, as far as it is asked for its journal."""

    def __init__(self, entries, gaps):
        self._journal = {
            "entry": [{"body": {"seq": number}} for number in entries],
            "sequence_gap": [{"body": {"first": first, "last": last}} for first, last in gaps],
        }

    async def loudong(self, *arguments):
        return SimpleNamespace(items=self._journal[arguments[-1]])


@pytest.mark.parametrize(
    ("kept", "ill_s", "entries", "gaps", "lost", "wrong"),
    [
        ({1, 2, 3, 4}, 8.0, {1, 2, 3, 4}, [], 0, 0),
        ({3, 4}, 8.0, {3, 4}, [(1, 2)], 2, 1),
        ({3, 4}, 14.0, {3, 4}, [(1, 2)], 0, 0),
        ({3, 4}, 14.0, {3, 4}, [], 0, 1),
        ({3, 4}, 14.0, {4}, [(1, 3)], 1, 1),
    ],
    ids=["all kept", "taken too soon", "the price", "and nobody misses it", "put off in vain"],
)
def test_what_a_terminal_was_put_off_with_is_there_and_what_is_gone_is_missed(kept, ill_s, entries, gaps, lost, wrong):
    life = price._Life({1, 2, 3, 4}, kept, ill_s)
    asyncio.run(price._judge_entries(_Next(entries, gaps), life, row := Row()))
    assert (row.lost, len(row.wrong)) == (lost, wrong)
