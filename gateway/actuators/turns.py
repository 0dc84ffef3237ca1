"""Whose turn it is at a device: one transaction at a time, the urgent first.

Several outputs hang on one relay board. A siren that was just asked to sound must not queue behind the retries and
verifications of its neighbours: it waits for the one transaction under way and for nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class _Waiter:
    owner: object
    urgent: bool
    granted: asyncio.Future[None]


class Turns:
    """A lock with two queues; within each, first come first served."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: list[_Waiter] = []

    @asynccontextmanager
    async def take(self, owner: object, *, urgent: bool) -> AsyncIterator[Callable[[], None]]:
        """Hold the device inside this block, or until what it gives is called.

        ``owner`` is the name by which ``hurry`` finds the waiting one.
        """
        if self._taken:
            await self._wait(_Waiter(owner, urgent, asyncio.get_running_loop().create_future()))
        self._taken = held = True

        def end() -> None:
            nonlocal held
            if held:
                held = False
                self._pass_on()

        try:
            yield end
        finally:
            end()

    def hurry(self, owner: object) -> None:
        """Whoever waits under this name waits among the urgent from now on."""
        for waiter in self._waiting:
            if waiter.owner is owner:
                waiter.urgent = True

    async def _wait(self, waiter: _Waiter) -> None:
        self._waiting.append(waiter)
        try:
            await waiter.granted
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            else:
                self._pass_on()  # granted and cancelled in the same moment: the turn must not be lost
            raise

    def _pass_on(self) -> None:
        """Give the turn to the next one; the device stays taken meanwhile, so nobody slips in between."""
        waiting = [w for w in self._waiting if not w.granted.done()]  # a cancelled one has not left the queue yet
        self._taken = bool(waiting)
        if waiting:
            waiter = next((w for w in waiting if w.urgent), waiting[0])
            self._waiting.remove(waiter)
            waiter.granted.set_result(None)
