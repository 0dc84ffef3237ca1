"""Looking back: what was put into the store, found again on the disk and, while that refuses, in memory.

Reads, and writes down who looked; decides nothing about commits.

Nobody's looking back holds up an alarm: what may be long is read in pages, between which others have their turn at the disk, and
answered in part.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from gateway.store.database import Database
from gateway.store.holding import Held
from gateway.store.retention import CLOSED
from gateway.store.rows import AuditRow, HistoryRow, JournalRow, StateRow
from gateway.store.steps import LEAST, NumberedStep
from gateway.store.worker import Worker

ENDS = 500
"""Of a longer history so many of the first steps are answered, and of the last: with what its tidying leaves (``thinning.py``), a
thousand are a whole one, unless people did much. A step takes a few kB until it is answered.
"""
LEFT_OUT = "left-out"
"""Kind of the step that stands between them; its reason says for how many."""
_PAGE = 100  # steps, or closed alerts, read in one go: some milliseconds
_ALIKE = 8  # closed alerts of one beginning of an id: two are ambiguous, some more help to choose
_COUNTED = 2_000  # steps counted in one go, which opens none of them: the same
_ENDLESS = (1 << 63) - 1  # no step has a number as high
_SEARCHED = 5_000  # rows of the journal looked through in one go: some milliseconds


_Pages = Callable[[int], Callable[[Database], list[NumberedStep]]]
"""Number -> the job that reads a page from there on."""


class Past:
    """Of one store."""

    def __init__(self, worker: Worker, in_memory: Callable[[], tuple[Held, Held]]) -> None:
        """``in_memory`` gives what is on its way to the disk, and what waits for it."""
        self._worker, self._in_memory = worker, in_memory
        self._turn = asyncio.Lock()
        """One long answer is read at a time, so that a commit never waits for more than one page."""

    async def history(self, alert: str) -> list[HistoryRow]:
        """The steps of one alert, oldest first, those in memory included: all, or the first and last ``ENDS`` and between them one that
        says how many are left out. Raises StoreFault.
        """
        async with self._turn:
            flight, held_now = self._in_memory()
            held = flight.history(alert) + held_now.history(alert)
            first = await self._steps(lambda since: lambda database: database.steps.first(alert, since, _PAGE), LEAST)
            last, hidden = list[NumberedStep](), 0
            if len(first) == ENDS:
                edge = first[-1][0]
                last = await self._steps(
                    lambda until: lambda database: database.steps.last(alert, edge, until, _PAGE), _ENDLESS
                )
            if len(last) == ENDS:
                hidden = await self._count(alert, first[-1][0], last[-1][0])
        kept = [row for _, row in (*first, *reversed(last))]
        landed = set(kept)
        return _with_gap([*kept, *(row for row in held if row not in landed)], hidden)

    async def _steps(self, page: _Pages, edge: int) -> list[NumberedStep]:
        """From this number on, page by page, ``ENDS`` at most."""
        found = list[NumberedStep]()
        while len(found) < ENDS:
            edge = found[-1][0] if found else edge
            more = await self._worker.ask(page(edge))
            found += more
            if len(more) < _PAGE:
                break
        return found

    async def _count(self, alert: str, since: int, until: int) -> int:
        total = 0
        while since < until - 1:
            count, since = await self._worker.ask(partial(_count, alert=alert, since=since, until=until))
            total += count
        return total

    async def recent_closed(self, n: int) -> list[StateRow]:
        """The last ``n`` closed alerts, newest first. Raises StoreFault."""
        kept = list[StateRow]()
        async with self._turn:
            flight, held_now = self._in_memory()
            held = held_now.state(CLOSED) + flight.state(CLOSED)
            for skip in range(0, n, _PAGE):
                # What is closed meanwhile moves them on: some come twice, none is passed over.
                page = await self._worker.ask(partial(_closed, n=min(_PAGE, n - skip), skip=skip))
                kept += page
                if not page:
                    break
        return list({row.key: row for row in reversed((*held, *kept))}.values())[::-1][:n]

    async def closed_named(self, beginning: str) -> list[StateRow]:
        """The closed alerts whose id begins so, of many only some. Raises StoreFault."""
        flight, held_now = self._in_memory()
        held = [row for row in (*held_now.state(CLOSED), *flight.state(CLOSED)) if row.key.startswith(beginning)]
        kept = await self._worker.ask(lambda database: database.closed.named(beginning, _ALIKE))
        return [row for row in {row.key: row for row in (*kept, *held)}.values() if row.body is not None]

    async def journal(self, since: int, n: int) -> list[JournalRow]:
        """Up to ``n`` journal rows behind number ``since``, as far as they are on disk. Raises StoreFault."""
        return await self._worker.ask(lambda database: database.journal.block(since, n))

    async def note(self, row: AuditRow) -> None:
        """Write down what somebody did before it is done. Raises StoreFault."""
        await self._worker.ask(lambda database: database.disclosure.note(row))

    async def audit(self, n: int) -> list[AuditRow]:
        """The last ``n`` notes of who did what, newest first. Raises StoreFault."""
        return await self._worker.ask(lambda database: database.disclosure.audit(n))

    async def person_number(self, person: str) -> str | None:
        """Under which number the journal speaks of a person; None where it says nothing of him. Raises StoreFault."""
        return await self._worker.ask(lambda database: database.disclosure.number(person))

    async def person_rows(self, person: str) -> list[JournalRow]:
        """All that the journal says of a person, oldest first, looked for in blocks between which others go. Raises StoreFault."""
        await self._worker.fold()
        since, last = await self._worker.ask(lambda database: database.disclosure.ends())
        since, found = since - 1, list[JournalRow]()
        while since < last:
            found += await self._worker.ask(partial(_rows_of, person=person, since=since))
            since += _SEARCHED
        return found


def _with_gap(steps: list[HistoryRow], hidden: int) -> list[HistoryRow]:
    """``hidden`` more lie in the middle."""
    if not hidden and len(steps) <= 2 * ENDS:
        return steps
    first, last = steps[:ENDS], steps[-ENDS:]
    count = hidden + len(steps) - len(first) - len(last)
    gap = HistoryRow(first[-1].alert, first[-1].revision, LEFT_OUT, first[-1].at, None, str(count), b"")
    return [*first, gap, *last]


def _closed(database: Database, *, n: int, skip: int) -> list[StateRow]:
    return database.closed.page(n, skip)


def _count(database: Database, *, alert: str, since: int, until: int) -> tuple[int, int]:
    return database.steps.count(alert, since, until, _COUNTED)


def _rows_of(database: Database, *, person: str, since: int) -> list[JournalRow]:
    return database.disclosure.rows(person, since, _SEARCHED)
