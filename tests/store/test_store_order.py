"""What left first has the lower number, however slow the disk is: per alert and per lane (contract, *in order*)."""

from __future__ import annotations

import asyncio
import random

import pytest
from instruments.waiting import until

from gateway.store import memory
from gateway.store.store import Store

LINE = "city", "critical"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(memory, "RETRY_S", (0.02, 0.05))


async def told(store, n=9):
    return [message.sequence for message in await store.take(*LINE, n)]


async def begin(folder, uplinks=("city",)):
    store = Store(folder)
    await store.start()
    await store.keep_uplinks(uplinks)
    return store


async def stall(store, slow, part):
    """A commit that does not return in time: what it holds is told from memory."""
    slow.shut()
    assert not await asyncio.wait_for(store.put(part), 60)
    assert store.mode == "memory"


async def heal(store, slow):
    slow.open()
    await until(lambda: store.mode == "disk")


def test_what_only_the_disk_holds_does_not_come_behind_what_memory_holds(tmp_path, make_part, slow):
    async def life():
        store = await begin(tmp_path)
        assert await told(store) == []
        await stall(store, slow, make_part(1))
        assert await told(store) == [1]
        await store.advance(*LINE, 1)
        await heal(store, slow)
        assert await store.put(make_part(2))  # on the disk, and nobody took it yet
        await stall(store, slow, make_part(3))
        assert await told(store) == [2, 3]
        await store.advance(*LINE, 3)
        await heal(store, slow)
        assert await told(store) == []
        assert await store.stop()

    asyncio.run(life())


def test_what_landed_from_memory_is_still_at_hand_when_the_disk_stands_still_again(tmp_path, make_part, slow):
    async def life():
        store = await begin(tmp_path)
        assert await told(store) == []
        await stall(store, slow, make_part(1))
        await store.put(make_part(2))
        await heal(store, slow)  # with nobody who took any of it
        await stall(store, slow, make_part(3))
        assert [(m.sequence, m.body) for m in await store.take(*LINE, 9)] == [
            (n, b"told from memory") for n in (1, 2, 3)
        ]
        await heal(store, slow)
        assert await store.stop()

    asyncio.run(life())


def test_an_uplink_that_never_asked_the_disk_is_told_what_was_committed_first(tmp_path, make_part, slow):
    async def life():
        store = await begin(tmp_path)
        assert await store.put(make_part(1))
        await stall(store, slow, make_part(2))
        assert await told(store) == [1, 2]
        await heal(store, slow)
        assert await store.stop()

    asyncio.run(life())


def test_an_alarm_does_not_wait_for_a_backlog_that_cannot_be_read(tmp_path, make_part, slow):
    async def life():
        store = await begin(tmp_path)
        assert await store.put(make_part(1))
        assert await store.stop()
        store = await begin(tmp_path)
        await stall(store, slow, make_part(2))
        assert await told(store) == [2]
        await store.advance(*LINE, 2)
        await heal(store, slow)
        assert await told(store) == [1], "nobody counts as delivered what nobody could read"
        await store.advance(*LINE, 1)
        assert await told(store) == []
        assert await store.stop()

    asyncio.run(life())


@pytest.mark.parametrize("seed", range(6))
def test_an_uplink_that_is_up_to_date_hears_every_number_in_order(tmp_path, make_part, slow, seed):
    chance = random.Random(seed)
    deeds = chance.choices(["put", "stall", "heal", "take", "arrive"], [4, 2, 3, 4, 3], k=40)

    async def life():
        store = await begin(tmp_path)
        heard, last, taken = await told(store), 0, []
        for deed in (*deeds, "heal", "take"):
            if deed == "put" and slow.is_set():
                last += 1
                assert await store.put(make_part(last))
            elif deed == "put":
                last += 1
                store.put(make_part(last))
            elif deed == "stall" and slow.is_set():
                last += 1
                await stall(store, slow, make_part(last))
            elif deed == "heal":
                await heal(store, slow)
            elif deed == "take":
                taken = await told(store, 99)
                heard += [n for n in taken if n not in heard]
            elif deed == "arrive" and taken:
                await store.advance(*LINE, taken[-1])
                taken = []
        assert heard == list(range(1, last + 1))
        assert await store.stop()

    asyncio.run(life())
