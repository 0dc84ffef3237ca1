"""What is at hand is what the disk would say, or the disk is asked."""

from __future__ import annotations

import asyncio
import random

import pytest
from instruments.waiting import until

from gateway.store.rows import Message, Part, PendingMessage, StateRow
from gateway.store.store import Store
from gateway.store.tail import KEPT, Tail
from gateway.store.uplinks import Uplinks

LINE = ("city", "high")


def message(n, lane="high"):
    return Message(lane, n, f"{lane}{n}/1", "alerts", b"b", f"{lane}{n}")


def numbers(tail, line=LINE, n=99):
    found = tail.after(line, n)
    return None if found is None else [one.sequence for one in found]


def test_an_uplink_whose_place_nobody_knows_asks_the_disk():
    tail = Tail()
    tail.begin({"high": 3})
    tail.add([message(4)])
    assert numbers(tail) is None
    tail.seen(LINE, 3)
    assert numbers(tail) == [4]
    tail.drop_uplinks()
    assert numbers(tail) is None


def test_one_that_is_behind_what_is_at_hand_asks_the_disk():
    tail = Tail()
    tail.begin({"high": 3})
    tail.seen(LINE, 2)
    assert numbers(tail) is None
    tail.moved(LINE, 3)
    assert numbers(tail) == []
    tail.add(message(n) for n in range(4, 5 + KEPT))
    assert numbers(tail) is None, "the oldest went"
    tail.moved(LINE, 4)
    assert numbers(tail, n=2) == [5, 6]


def test_nothing_is_at_hand_of_what_was_before_a_doubt():
    tail = Tail()
    tail.begin({})
    tail.seen(LINE, 0)
    tail.add([message(1), message(2)])
    tail.forget()
    assert numbers(tail) is None
    tail.add([message(3)])
    tail.seen(LINE, 1)
    assert numbers(tail) is None
    tail.seen(LINE, 2)
    assert numbers(tail) == [3]


def test_the_disk_says_once_where_each_lane_ends():
    tail = Tail()
    tail.add([message(4, "low")])
    tail.seen(LINE, 3)
    tail.seen(("city", "low"), 3)
    assert numbers(tail) is None
    tail.learn({"high": 3, "low": 9}, doubts=0)
    assert numbers(tail) == []
    assert numbers(tail, ("city", "low")) == [4], "of what was written to meanwhile it is known better"
    tail.forget()
    tail.learn({"high": 3}, doubts=0)
    assert numbers(tail) is None, "what was asked before a doubt says nothing after it"


def test_a_number_that_does_not_follow_begins_the_tail_anew():
    tail = Tail()
    tail.begin({})
    tail.seen(LINE, 0)
    tail.add([message(1), message(5)])
    assert numbers(tail) is None
    tail.moved(LINE, 4)
    assert numbers(tail) == [5]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_the_answer_is_the_disks(tmp_path, seed):
    chance = random.Random(seed)
    deeds = chance.choices(["raise", "arrive", "reopen", "newcomer"], [6, 4, 1, 1], k=24)

    async def life():
        folder = tmp_path
        store = Store(folder)
        await store.start()
        uplinks, sequence = ["city"], 0
        await store.keep_uplinks(uplinks)
        for deed in deeds:
            uplink = chance.choice(uplinks)
            if deed == "raise":
                sequence += 1
                alert, body = f"a{sequence}", b"%d" % sequence
                pending = PendingMessage("high", sequence, f"{alert}/1", "alerts", alert, lambda _, body=body: body)
                state = StateRow("alert", alert, chance.choice([None, b"open"]))
                await store.put(Part(state=(state,), messages=(pending,), urgent=True))
            elif deed == "arrive":
                taken = await store.take(uplink, "high", chance.randint(1, 3))
                if taken:
                    await store.advance(uplink, "high", taken[-1].sequence)
            elif deed == "newcomer":
                uplinks = [*uplinks, f"u{len(uplinks)}"]
                await store.keep_uplinks(uplinks)
            elif deed == "reopen":
                await store.stop()
                store = Store(folder)
                await store.start()
                await store.keep_uplinks(uplinks)
            at_hand = await store.take(uplink, "high", 9)
            store._departures._tail.drop_uplinks()
            assert await store.take(uplink, "high", 9) == at_hand
        await store.stop()

    asyncio.run(life())


def test_an_uplink_that_is_up_to_date_wakes_the_disk_for_nothing(tmp_path, monkeypatch):
    asked = []
    real = Uplinks.take
    monkeypatch.setattr(Uplinks, "take", lambda self, *line: (asked.append(line), real(self, *line))[1])

    async def life():
        store = Store(tmp_path)
        await store.start()
        await store.keep_uplinks(["city"])
        assert await store.take("city", "high", 9) == []
        for n in (1, 2, 3):
            pending = PendingMessage("high", n, f"a{n}/1", "alerts", f"a{n}", lambda _: b"x")
            await store.put(Part(messages=(pending,), urgent=True))
            assert [one.sequence for one in await store.take("city", "high", 9)] == [n]
            await store.advance("city", "high", n)
        await store.stop()
        again = Store(tmp_path)
        await again.start()
        assert await again.take("city", "high", 9) == [], "where it stood is on disk"
        await again.stop()

    asyncio.run(life())
    assert len(asked) == 2


def test_after_a_start_without_a_disk_it_is_asked_once_where_a_lane_ends(tmp_path, monkeypatch):
    """Was: a lane that nothing was written to since then was asked for at each look, and behind each question an alert waited."""
    asked = []
    real = Uplinks.take
    monkeypatch.setattr(Uplinks, "take", lambda self, *line: (asked.append(line), real(self, *line))[1])

    async def life():
        store = Store(tmp_path, open_s=0)
        await store.start()
        assert store.mode == "memory"
        await store.put(Part(urgent=True))
        await until(lambda: store.mode == "disk")
        await store.keep_uplinks(["city"])
        for _ in range(3):
            assert await store.take("city", "low", 9) == []
        await store.stop()

    asyncio.run(life())
    assert len(asked) == 1
