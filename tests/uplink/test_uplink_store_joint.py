"""The real store and the real order of departure together: what a sick disk hides for a while is sent all the same."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.app.rooms import Outbox
from gateway.store import memory
from gateway.store import store as store_module
from gateway.store import worker as worker_module
from gateway.store.database import Database
from gateway.store.delivery import Delivery
from gateway.store.rows import JournalRow, Message, Part, PendingMessage
from gateway.store.store import Store
from gateway.uplink.departures import Departures, Kind
from gateway.uplink.lane import Lane


@pytest.fixture
def disk(monkeypatch):
    """A disk that stalls at a chosen alert; the store's patience is short from then until it is free, and else without end."""

    def wait_at_most(seconds: float) -> None:
        for module in (store_module, worker_module):
            monkeypatch.setattr(module, "STALL_S", seconds)

    wait_at_most(60.0)
    monkeypatch.setattr(memory, "RETRY_S", (0.05,))

    class Disk:
        stalls_at = 0
        begun, free = threading.Event(), threading.Event()
        before = staticmethod(lambda numbers: None)

        @classmethod
        def stall_at(cls, number: int) -> None:
            cls.stalls_at = number
            wait_at_most(0.15)

        @classmethod
        def go_on(cls) -> None:
            wait_at_most(60.0)
            cls.free.set()

    real = Database.commit

    def commit(self, batch):
        numbers = [message.sequence for message in batch.messages]
        Disk.before(numbers)
        if Disk.stalls_at in numbers:
            Disk.begun.set()
            assert Disk.free.wait(60)
        real(self, batch)

    monkeypatch.setattr(Database, "commit", commit)
    return Disk


def _part(n: int) -> Part:
    message = PendingMessage("critical", n, f"a{n}/1", "alerts", f"a{n}", lambda durable: b"%d" % n)
    return Part((JournalRow(n, f"r.{n}", "press", b""),), messages=(message,), urgent=True)


class _House:
    """A store, an uplink, and a broker that takes everything at once while it is there."""

    def __init__(self, store: Store) -> None:
        self.store = store
        tail = store._departures._tail  # an uplink that is further behind than what is at hand
        tail.after, tail.newest = lambda *_: None, lambda _lane: ()
        self.departures = Departures("city", Outbox(store), lambda: b"", dict)
        self.got: list[int] = []
        self.refuses: set[int] = set()

    def connect(self) -> None:
        self.departures.restart()
        self.look_on()
        self._sending = asyncio.create_task(self._send())

    def look_on(self) -> None:
        self.look_away = self.store.follow(self.departures.look)
        self.departures.look()

    async def disconnect(self) -> None:
        self.look_away()
        self._sending.cancel()
        await asyncio.gather(self._sending, return_exceptions=True)

    async def _send(self) -> None:
        while True:
            self.departures.wake.clear()
            while (parcel := await self.departures.next()) is not None:
                if parcel.sequence in self.refuses:
                    self.departures.refused(parcel)
                    continue
                if parcel.kind is Kind.ALERT:
                    self.got.append(parcel.sequence)
                asyncio.get_running_loop().call_soon(self.departures.arrived, parcel)
                await asyncio.sleep(0)
            await self.departures.save()
            await self.departures.wake.wait()

    async def has(self, numbers: set[int]) -> None:
        async with asyncio.timeout(60):
            while set(self.got) != numbers:
                await asyncio.sleep(0.01)

    async def arrived(self, number: int) -> None:
        """Until the cursor is there: a broker that has a message has not yet said so, nor is its word written down at once."""
        async with asyncio.timeout(60):
            while await self._cursor() != number:
                await asyncio.sleep(0.01)

    async def _cursor(self) -> int:
        """As the next commit will write it."""
        await self.store.take("city", "critical", 0)
        return await self.store._worker.ask(lambda database: database.uplinks.cursor("city", "critical"))


def test_an_alert_that_a_stalled_disk_hides_is_sent_when_the_disk_is_back(tmp_path, disk):
    """Alert 4 is on disk, but the uplink was busy: its reading waits behind the commit of 5, which stalls."""

    async def life():
        house = _House(Store(tmp_path))
        await house.store.start()
        await house.store.add_uplink("city")
        house.connect()
        for n in (1, 2, 3):
            await house.store.put(_part(n))
        await house.has({1, 2, 3})
        four_begun, four_may_end = threading.Event(), threading.Event()

        def slow(numbers):
            if 4 in numbers:
                four_begun.set()
                assert four_may_end.wait(60)

        disk.before = slow
        house.look_away()
        four = house.store.put(_part(4))
        await asyncio.to_thread(four_begun.wait, 60)
        five = house.store.put(_part(5))
        disk.stall_at(5)  # 4 is waited for as long as it takes
        four_may_end.set()
        assert await four
        await asyncio.to_thread(disk.begun.wait, 60)
        house.look_on()
        assert not await five
        await house.has({1, 2, 3, 5})
        assert house.store.mode == "memory"
        disk.go_on()
        await house.has({1, 2, 3, 4, 5})
        await house.store.put(_part(6))
        await house.has({1, 2, 3, 4, 5, 6})
        await house.arrived(6)
        assert sorted(house.got) == [1, 2, 3, 4, 5, 6]
        await house.disconnect()
        assert await house.store.stop()

    asyncio.run(life())


def test_a_backlog_that_a_stalled_disk_hides_is_sent_when_the_disk_is_back(tmp_path, disk):
    async def life():
        house = _House(Store(tmp_path))
        await house.store.start()
        await house.store.add_uplink("city")
        for n in (1, 2, 3, 4):
            await house.store.put(_part(n))
        disk.stall_at(5)
        assert not await house.store.put(_part(5))
        house.connect()
        await house.has({5})
        disk.go_on()
        await house.has({1, 2, 3, 4, 5})
        await house.store.put(_part(6))
        await house.has({1, 2, 3, 4, 5, 6})
        await house.arrived(6)
        await house.disconnect()
        house.got.clear()
        house.connect()  # whatever is still to be taken comes again now
        await house.store.put(_part(7))
        await house.has({7})
        await house.disconnect()
        assert await house.store.stop()

    asyncio.run(life())


def test_a_message_that_was_set_aside_outlives_the_process_and_comes_in_the_end(tmp_path):
    async def life(refused):
        house = _House(Store(tmp_path))
        await house.store.start()
        await house.store.add_uplink("city")
        house.refuses = refused
        house.connect()
        return house

    async def lives():
        first = await life({2})
        for n in (1, 2, 3):
            await first.store.put(_part(n))
        await first.arrived(3)
        assert await first.store.aside("city") == [("critical", 2)]
        await first.disconnect()
        assert await first.store.stop()
        second = await life(set())
        await second.has({2})
        async with asyncio.timeout(60):
            while await second.store.aside("city"):
                await asyncio.sleep(0.01)
        await second.disconnect()
        assert await second.store.stop()
        third = await life(set())
        assert await third.store.aside("city") == []
        await third.disconnect()
        assert await third.store.stop()

    asyncio.run(lives())


def _message(n: int) -> Message:
    return Message("critical", n, f"a{n}", "alerts", b"", f"a{n}")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["put", "hold", "see", "blind", "ack", "ack late", "commit", "break"]), max_size=60))
def test_whatever_the_disk_does_the_cursor_never_passes_what_did_not_arrive(steps):
    """A model of the disk and of one session: messages on disk or in memory, a cursor, a broker."""
    line, delivery = ("city", "critical"), Delivery()
    disk, memory, arrived, cursor, last = {}, {}, set(), 0, 0
    session = Lane()

    def depart(messages):
        session.put(messages)
        session.under_way |= {message.sequence for message in session.ready}
        session.ready.clear()

    def see():
        nonlocal cursor
        waiting = [disk[n] for n in sorted(disk) if n > cursor]
        taken, cursor = delivery.merge(line, 99, waiting, cursor, before=dict(memory), now=dict(memory))
        depart(taken)

    def ack(number):
        nonlocal cursor
        arrived.add(number)
        session.land(number)
        for due in session.due():
            if delivery.advance(line, due, dict(memory)):
                cursor = max(cursor, due)
            session.told(due)

    for step in [*steps, "commit", "break", "see"]:
        if step in {"put", "hold"}:
            last += 1
            (memory if step == "hold" or memory else disk)[last] = _message(last)
        elif step == "commit":
            disk |= memory
            memory.clear()
        elif step == "see":
            see()
        elif step == "blind":
            depart(delivery.blind(line, 99, dict(memory)))
        elif step == "ack" and session.under_way:
            ack(min(session.under_way))
        elif step == "ack late" and session.under_way:
            ack(max(session.under_way))
        elif step == "break":
            session = Lane()
        assert set(range(1, cursor + 1)) <= arrived
    while session.under_way:
        ack(min(session.under_way))
        see()
    assert arrived == set(range(1, last + 1))
    see()
    assert cursor == last
