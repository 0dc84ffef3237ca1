"""Whose turn it is."""

from __future__ import annotations

import asyncio

import pytest
from instruments.virtual import virtual_run

from gateway.actuators.turns import Turns


async def hold(turns, name, seen, *, urgent=False):
    async with turns.take(name, urgent=urgent):
        seen.append(name)
        await asyncio.sleep(0.01)


def test_the_urgent_go_first_and_otherwise_first_come_first_served():
    async def main():
        turns, seen = Turns(), []
        async with asyncio.TaskGroup() as group:
            for name, urgent in [("now", False), ("a", False), ("b", False), ("c", True), ("d", True)]:
                group.create_task(hold(turns, name, seen, urgent=urgent))
                await asyncio.sleep(0)
        return seen

    assert virtual_run(main()) == ["now", "c", "d", "a", "b"]


def test_a_turn_may_end_before_its_block_and_ends_once():
    async def main():
        turns, seen = Turns(), []
        async with asyncio.TaskGroup() as group:
            async with turns.take("first", urgent=False) as end:
                for name in ("a", "b"):
                    group.create_task(hold(turns, name, seen))
                await asyncio.sleep(0)
                end()
                end()
                await asyncio.sleep(0.005)
                assert seen == ["a"]
            await asyncio.sleep(0)
            assert seen == ["a"], "the end of the block ended the turn of another"
        return seen

    assert virtual_run(main()) == ["a", "b"]


def test_one_who_waits_can_be_hurried():
    async def main():
        turns, seen = Turns(), []
        async with asyncio.TaskGroup() as group:
            owners = [object() for _ in range(4)]
            for owner in owners:
                group.create_task(hold(turns, owner, seen))
            await asyncio.sleep(0)
            turns.hurry(owners[3])
            turns.hurry("nobody")
        return [owners.index(owner) for owner in seen]

    assert virtual_run(main()) == [0, 3, 1, 2]


def test_a_turn_is_never_lost_to_a_cancelled_one():
    """Cancelled while waiting, cancelled in the moment of the grant, and failed while holding."""

    async def main():
        turns, seen = Turns(), []
        async with turns.take("first", urgent=False):
            waiting = asyncio.create_task(hold(turns, "waiting", seen))
            granted = asyncio.create_task(hold(turns, "granted", seen))
            last = asyncio.create_task(hold(turns, "last", seen))
            await asyncio.sleep(0)
            waiting.cancel()
        granted.cancel()  # by now it has been given the turn, and has not run yet
        await asyncio.gather(waiting, granted, last, return_exceptions=True)
        with pytest.raises(ZeroDivisionError):
            async with turns.take("broken", urgent=False):
                raise ZeroDivisionError
        await asyncio.wait_for(hold(turns, "after", seen), 60)
        return seen

    assert virtual_run(main()) == ["last", "after"]


def test_never_two_at_once():
    async def main():
        turns, inside, most = Turns(), 0, 0

        async def visit(n):
            nonlocal inside, most
            for _ in range(5):
                async with turns.take(n, urgent=n % 3 == 0):
                    inside += 1
                    most = max(most, inside)
                    await asyncio.sleep(0)
                    inside -= 1

        await asyncio.gather(*(visit(n) for n in range(10)))
        return most

    assert virtual_run(main()) == 1
