"""Idle parts that wait for company, as one: so many come in the minute that they may wait that each by itself would be half a MiB.

Asks nothing of the disk. They are committed together, in the order they were put, so nobody need tell one from the next; of a row of
state only the last is held.
"""

from __future__ import annotations

import asyncio

from gateway.store.rows import JournalRow, Part, StateRow


def fits(part: Part) -> bool:
    """Whether it may wait so: nobody is to be told anything for it."""
    return part.idle and not (part.urgent or part.history or part.messages)


class Company:
    """Parts that follow each other."""

    def __init__(self, landed: asyncio.Future[bool]) -> None:
        """``landed``: the answer to all of them."""
        self.landed = landed
        self._journal: list[JournalRow] = []
        self._state: dict[tuple[str, str], StateRow] = {}
        self._stamp: tuple[int, bytes] | None = None

    def add(self, part: Part) -> None:
        """One more, which ``fits``."""
        self._journal += part.journal
        for row in part.state:
            self._state[row.kind, row.key] = row
        self._stamp = part.stamp or self._stamp

    def part(self) -> Part:
        """All of them."""
        return Part(tuple(self._journal), tuple(self._state.values()), stamp=self._stamp, idle=True)
