"""Time that a busy machine does not steal: an event loop whose clock counts what it waited for and not what it was kept from.

Theory. A test on a real line asks whether the right thing comes of an answer, of a silence, of a broken wire. Beside other
work a process gets its turn late, and an answer that lay there in time is then taken for none. Here a timer fires once *nothing
came* for its whole real time; a turn that had something to do, or waited for a thread, counts for ``TURN_S`` at most, however
long the machine took for it. Waiting takes real time, so who answers from outside needs no patience, unlike on a jumping clock.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from instruments.virtual import VirtualLoop

T = TypeVar("T")

TURN_S = 0.002


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop, self._last = loop, time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(timeout)
        now = time.monotonic()
        in_vain = timeout if timeout and not found and not self._loop.work_outside else 0.0
        self._loop.jump(in_vain or min(now - self._last, TURN_S))
        self._last = now
        return found


def unhurried_run(main: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run`` on time that a busy machine does not steal."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(selector=_Selector)) as runner:
        return runner.run(main)
