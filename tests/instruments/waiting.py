"""Waiting in a test for something that must come, with patience for a busy machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_LOOK_S = 0.01


async def until(condition: Callable[[], object], limit_s: float = 60.0) -> None:
    """Returns once the condition holds; raises TimeoutError where it does not within ``limit_s`` of the loop's time."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(_LOOK_S)
