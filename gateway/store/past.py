"""Looking back: what was put into the store, found again on the disk and, while that refuses, in memory.

Reads, and writes down who looked; decides nothing about commits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gateway.store.database import Database
from gateway.store.holding import Held
from gateway.store.retention import CLOSED
from gateway.store.rows import AuditRow, HistoryRow, JournalRow, StateRow
from gateway.store.worker import Worker

_SEARCHED = 5_000  # rows of the journal looked through in one go: some milliseconds


class Past:
    """Of one store."""

    def __init__(self, worker: Worker, in_memory: Callable[[], tuple[Held, Held]]) -> None:
        """``in_memory`` gives what is on its way to the disk, and what waits for it."""
        self._worker, self._in_memory = worker, in_memory

    async def history(self, alert: str) -> list[HistoryRow]:
        """Every step of one alert, oldest first, those in memory included. Raises StoreFault."""
        flight, held_now = self._in_memory()
        held = flight.history(alert) + held_now.history(alert)
        kept = await self._worker.ask(lambda database: database.history(alert))
        return kept + [row for row in held if row not in kept]

    async def recent_closed(self, n: int) -> list[StateRow]:
        """The last ``n`` closed alerts, newest first. Raises StoreFault."""
        flight, held_now = self._in_memory()
        held = held_now.state(CLOSED) + flight.state(CLOSED)
        kept = await self._worker.ask(lambda database: database.recent_closed(n))
        return list({row.key: row for row in reversed((*held, *kept))}.values())[::-1][:n]

    async def journal(self, since: int, n: int) -> list[JournalRow]:
        """Up to ``n`` journal rows behind number ``since``, as far as they are on disk. Raises StoreFault."""
        return await self._worker.ask(lambda database: database.journal_block(since, n))

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
        since, last = await self._worker.ask(lambda database: database.disclosure.ends())
        since, found = since - 1, list[JournalRow]()
        while since < last:
            found += await self._worker.ask(partial(_rows_of, person=person, since=since))
            since += _SEARCHED
        return found


def _rows_of(database: Database, *, person: str, since: int) -> list[JournalRow]:
    return database.disclosure.rows(person, since, _SEARCHED)
