"""What several wait for is done once, and again where it failed."""

from __future__ import annotations

import asyncio

import pytest

from gateway.app.errand import Errand


def test_all_wait_for_the_one_and_whoever_comes_later_too():
    async def main():
        begun, free = [], asyncio.Event()

        async def run():
            begun.append("once")
            await free.wait()

        errand = Errand(run)
        waiting = [asyncio.create_task(errand.done()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        assert not waiting[1].done()
        free.set()
        await waiting[1]
        await errand.done()
        assert begun == ["once"]

    asyncio.run(main())


def test_one_that_failed_is_begun_again_by_the_next_who_waits():
    """A worker that waits for it is restarted, and must not have the error of the first time for ever."""

    async def main():
        begun = []

        async def run():
            begun.append("again")
            if len(begun) < 3:
                raise ValueError("one bad row")

        errand = Errand(run)
        for _ in range(2):
            with pytest.raises(ValueError, match="one bad row"):
                await errand.done()
        await errand.done()
        await errand.done()
        assert len(begun) == 3

    asyncio.run(main())
