"""Stories that mostly wait, lived through side by side in one loop, and each judged by itself.

Whatever a story touches must be its own: a line, a port, a folder. None may take the loop for long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest
from instruments.unhurried import unhurried_run

Story = Callable[[], Coroutine[Any, Any, None]]


def abreast(
    subtests: pytest.Subtests,
    stories: Mapping[str, Story],
    at_once: int = 0,
    run: Callable[[Coroutine[Any, Any, Any]], Any] = unhurried_run,
) -> None:
    """Live through all of them, so many at once (0: all); each is a subtest under its name. Begin with those that take longest."""
    for name, came in zip(stories, run(_together(list(stories.values()), at_once)), strict=True):
        with subtests.test(name):
            if came is not None:
                raise came


async def _together(stories: list[Story], at_once: int) -> list[BaseException | None]:
    room = asyncio.Semaphore(at_once or len(stories))

    async def one(story: Story) -> None:
        async with room:
            await story()

    return await asyncio.gather(*map(one, stories), return_exceptions=True)
