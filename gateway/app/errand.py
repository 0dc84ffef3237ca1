"""Something that is to be done once, and for which others wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine


class Errand:
    """Begun at once; where it failed, each who waits has the error, and the next who comes to wait begins it again."""

    def __init__(self, run: Callable[[], Coroutine[None, None, None]]) -> None:
        self._run = run
        self._running = asyncio.create_task(run())

    async def done(self) -> None:
        """Return when it is done; whoever stops waiting does not end it. Raises what it raised."""
        task = self._running
        if task.done() and (task.cancelled() or task.exception() is not None):
            self._running = asyncio.create_task(self._run())
        await asyncio.shield(self._running)

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._running.cancel()
