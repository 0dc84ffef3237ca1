"""A start polls before its store can be read; what is heard waits for the core, in order, and is judged by what was known."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
from app.living import SIREN, Living
from faults.torture.register import Diary
from faults.torture.taker import Taker
from instruments.waiting import until

from gateway.app.anteroom import TURN, Anteroom
from gateway.events import DeviceHealth, Health, Quality, Reading
from gateway.store import worker as worker_module
from gateway.store.database import Database
from gateway.store.past import Past
from gateway.store.uplinks import Uplinks

GAS = "gas-high", "gas-301"


class Core:
    """Whoever is behind the anteroom."""

    def __init__(self):
        self.heard = []

    def report(self, event):
        self.heard.append(event)
        return "ticket"


def reading(value, point="gas"):
    return Reading("gas-301", point, value)


def test_what_waits_goes_in_first_in_the_order_in_which_it_was_heard():
    anteroom, core = Anteroom(), Core()
    events = [reading(0), DeviceHealth("gas-301", Health.FAULTY, "timeout"), reading(26), reading(0)]
    for event in events:
        assert anteroom.report(event).actions == ()
    assert core.heard == []
    asyncio.run(anteroom.open(core.report))
    assert core.heard == events, "a value that came and went is a value"
    assert anteroom.report(reading(5)) == "ticket"
    assert core.heard == [*events, reading(5)]
    asyncio.run(anteroom.open(core.report))
    assert len(core.heard) == 5


def test_a_crowd_is_bounded_and_ends_with_the_last_word_of_each():
    anteroom, core = Anteroom(held=4), Core()
    for value in range(100):
        anteroom.report(reading(value, "lel"))
        anteroom.report(reading(-value, "co"))
    anteroom.report(reading(7, "fault"))
    asyncio.run(anteroom.open(core.report))
    assert len(core.heard) <= 4 + 3 * 3
    assert core.heard[-3:] == [reading(99, "lel"), reading(-99, "co"), reading(7, "fault")]


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ([True, False], [True, False]),
        ([False, True, True, False, False], [False, True, False]),
        ([0, 26, 40, 26, 0], [0, 40, 0]),
        ([20.9, 17.0, 19.5, 20.9], [20.9, 17.0, 20.9]),
        (["normal", "fire", "normal"], ["fire", "normal"]),
        ([None, None], [None]),
    ],
)
def test_a_danger_that_came_and_went_in_a_crowd_is_heard(said, heard):
    anteroom, core = Anteroom(held=0), Core()
    for value in said:
        anteroom.report(reading(value))
    asyncio.run(anteroom.open(core.report))
    assert [one.value for one in core.heard] == heard


def test_no_value_in_doubt_takes_the_place_of_a_good_one_in_a_crowd():
    anteroom, core = Anteroom(held=0), Core()
    doubtful = Reading("gas-301", "gas", value=True, quality=Quality.SENSOR_FAULT)
    for event in (reading(0), reading(26), doubtful, reading(0)):
        anteroom.report(event)
    asyncio.run(anteroom.open(core.report))
    assert core.heard == [reading(0), reading(26), doubtful, reading(0)]


def test_others_have_their_turn_while_a_crowd_goes_in_and_nobody_overtakes_it():
    anteroom, core, crowd = Anteroom(), Core(), [reading(n) for n in range(3 * TURN)]

    async def story():
        for event in crowd:
            anteroom.report(event)
        opening = asyncio.create_task(anteroom.open(core.report))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert 0 < len(core.heard) < len(crowd)
        anteroom.report(reading(-1))
        await opening

    asyncio.run(story())
    assert core.heard == [*crowd, reading(-1)]


def test_a_ticket_of_what_waits_says_that_it_is_not_on_the_disk():
    async def ask():
        return await Anteroom().report(reading(1)).durable()

    assert asyncio.run(ask()) is False


def test_what_breaks_the_core_is_not_shown_to_it_twice():
    anteroom, core = Anteroom(), Core()
    for value in (1, 2, 3):
        anteroom.report(reading(value))

    def broken(event):
        core.report(event)
        if event == reading(1):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        asyncio.run(anteroom.open(broken))
    asyncio.run(anteroom.open(core.report))
    assert core.heard == [reading(1), reading(2), reading(3)]


@pytest.fixture
def gate(monkeypatch):
    """Shut, the disk's thread waits at what is named to ``at``, and the start for that."""
    monkeypatch.setattr(worker_module, "OPEN_S", 60.0)

    class Gate:
        free = threading.Event()

        def at(self, part, name):
            real = getattr(part, name)

            def wait(owner, *arguments):
                assert self.free.wait(60)
                return real(owner, *arguments)

            monkeypatch.setattr(part, name, wait)
            self.free.clear()

    shut = Gate()
    shut.free.set()
    yield shut
    shut.free.set()


@contextlib.asynccontextmanager
async def starting(living):
    begun = asyncio.create_task(living.start())
    yield begun
    await begun


def live(folder, story):
    async def main():
        async with Living(folder) as living:
            await asyncio.wait_for(story(living), 120)

    asyncio.run(main())


def polls(living):
    return len(living.gas[1].requests)


def test_the_buses_are_polled_while_the_store_is_read_and_an_open_alert_is_not_raised_anew(tmp_path, gate):
    async def story(living):
        living.gas[1].holding[1] = 26
        await until(lambda: GAS in living.open())
        before = living.open()[GAS]
        await living.stop()
        gate.at(Database, "load")
        polled = polls(living)
        async with starting(living) as begun:
            await until(lambda: polls(living) > polled + 1)
            assert not begun.done()
            living.relay.coils[SIREN] = 0
            gate.free.set()
            await begun
            assert living.open()[GAS].id == before.id
            await until(lambda: living.relay.coils[SIREN])
            await until(lambda: living.house.engine.fact("gas-301", "health") is not None)
        history = [row.kind for row in await living.house.store.past.history(before.id)]
        assert history.count("raised") == 1
        assert "re-alarmed" not in history

    live(tmp_path, story)


def test_a_new_danger_that_was_heard_before_the_store_was_read_is_raised_once(tmp_path, gate):
    async def story(living):
        await living.stop()
        living.gas[1].holding[1] = 26
        gate.at(Database, "load")
        polled = polls(living)
        async with starting(living) as begun:
            await until(lambda: polls(living) > polled + 1)
            assert not begun.done()
            gate.free.set()
        await until(lambda: living.relay.coils[SIREN])
        history = [row.kind for row in await living.house.store.past.history(living.open()[GAS].id)]
        assert history.count("raised") == 1

    live(tmp_path, story)


def test_no_output_waits_until_the_store_knows_the_uplinks(tmp_path, gate, monkeypatch):
    monkeypatch.setattr(worker_module, "STALL_S", 60.0)  # or it goes on without the disk

    async def story(living):
        await living.stop()
        gate.at(Uplinks, "keep")
        living.gas[1].holding[1] = 26
        await living.start()
        await until(lambda: living.relay.coils[SIREN])
        assert not gate.free.is_set()

    live(tmp_path, story)


def test_no_uplink_waits_until_the_closed_alerts_are_known(tmp_path, monkeypatch):
    diary, real = Diary(), Past.recent_closed
    diary.caused.update([GAS, ("gas-low", "gas-301")])

    async def story():
        known = asyncio.Event()

        async def slow(past, n):
            await known.wait()
            return await real(past, n)

        monkeypatch.setattr(Past, "recent_closed", slow)
        async with Taker(diary) as taker:

            def tell_upstream(living):
                living.edit("outputs:\n", f"{taker.uplink}outputs:\n")

            async with Living(tmp_path, before=tell_upstream) as living:
                living.gas[1].holding[1] = 26
                await until(lambda: not diary.missing())
                known.set()

    asyncio.run(asyncio.wait_for(story(), 120))
