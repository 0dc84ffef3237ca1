"""When the store is tidied: a round soon after the start, one an hour, and more where one was not enough.

What goes and what stays is said in ``retention.py``.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import structlog

from gateway.faults import StoreFault
from gateway.store.retention import Keep
from gateway.store.rows import Pruned
from gateway.store.worker import Worker

log = structlog.get_logger()

TIDY_S = 3_600.0
TIDY_FIRST_S = 60.0
"""After a start, so that one that begins anew every half hour is tidied, too."""
TIDY_AGAIN_S = 0.5
"""Pause between two rounds where one was not enough: alerts go first, and a card has time for them."""


class Tidying:
    """Of one store. Times of the loop are in seconds, those things grow old by in milliseconds of the site's timeline."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._due = 0.0
        self._at = 0
        """The last instant put, in whose time things grow old."""
        self.keep = Keep()
        """How long what is kept; may be changed at any time."""
        self.pruned = Counter(messages=0, journal=0, closed=0, keys=0, steps=0)
        """What went so far."""

    def begin(self, now: float, stamp: tuple[int, bytes] | None) -> None:
        """The store was opened, and this is its last stamp."""
        self._due = now + TIDY_FIRST_S
        self.note_time(stamp)

    def note_time(self, stamp: tuple[int, bytes] | None) -> None:
        """A part with this stamp was put."""
        self._at = self._at if stamp is None else stamp[0]

    async def go(self, may: Callable[[], bool]) -> None:
        """Round after round, until cancelled; none while ``may`` says no."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(max(TIDY_AGAIN_S, self._due - loop.time()))
            if may():
                pruned = await self._tidy()
                self._due = loop.time() + (TIDY_AGAIN_S if pruned.more else TIDY_S)

    async def _tidy(self) -> Pruned:
        """One round, in several jobs: an alert that comes meanwhile waits for one of them."""
        keep, at = self.keep, self._at
        try:
            await self._worker.fold()
            pruned = await self._worker.ask(lambda database: database.prune(keep, at))
        except StoreFault as fault:
            log.warning("store_job_failed", job="prune", fault=str(fault))
            pruned = Pruned()
        self.pruned.update({name: getattr(pruned, name) for name in self.pruned})
        return pruned
