"""A pytest plugin: whatever a loop hands to a thread begins late, by up to 150 ms, mostly by little.

A test that counts turns of the loop where it ought to wait for what it wants passes on a quiet machine for months. Under this it
fails at once: ``PYTHONPATH=tests make test ARGS="-p instruments.late_threads"``. No part of CI.
"""

from __future__ import annotations

import random
import time
from asyncio import base_events
from collections.abc import Callable
from typing import Any

LATEST_S = 0.15

_in_time = base_events.BaseEventLoop.run_in_executor


def _late(self: base_events.BaseEventLoop, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
    def begin(*args: Any) -> Any:
        time.sleep(random.random() ** 4 * LATEST_S)  # in the thread, where it holds up nobody but its own job
        return func(*args)

    return _in_time(self, executor, begin, *args)


def pytest_configure() -> None:
    # For every loop there is or will be; the stubs give the method a type variable of its own, which no other function has.
    base_events.BaseEventLoop.run_in_executor = _late  # type: ignore[method-assign,assignment]
