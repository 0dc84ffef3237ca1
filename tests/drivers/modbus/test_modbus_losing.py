"""Devices and lines that fall silent, are pulled and come back, as the poller meets them: real bytes, real time."""

import asyncio
import contextlib
import functools

import pytest
import structlog
from instruments.abreast import abreast
from instruments.unhurried import unhurried_run
from instruments.virtual import virtual_run

from gateway.events import Quality
from gateway.faults import DeviceFault
from gateway.sim.modbus import SimBus, SimUnit
from gateway.site.profile import PointClass, Space


def test_a_write_to_a_missing_port_fails_at_once(kit, tmp_path):
    async def story():
        bus = kit.bus(str(tmp_path / "none"), (1, kit.shipped("relay-waveshare-8ch")))
        async with kit.polling(bus) as (poller, ear):
            await kit.until(lambda: ear.health("bus-a"))
            start = asyncio.get_running_loop().time()
            with pytest.raises(DeviceFault) as caught:
                await poller.write("dev1", "relay1", True)
            assert caught.value.reason == "port_gone"
            assert asyncio.get_running_loop().time() - start < 0.5
            assert ear.health() == [("bus-a", "lost", "port_gone")]
            assert ear.readings("relay1")[-1].quality is Quality.COMMS

    unhurried_run(story())


async def a_silent_device_is_lost_alone_and_returns(kit):
    dead, alive = SimUnit(1, holding={1: 3}), SimUnit(2, discrete={2: 0})
    gas = kit.profile(kit.alarm("gas", 1), timeout_ms=50)
    smoke = kit.profile(kit.alarm("smoke", 2, Space.DISCRETE, period_ms=100))
    async with (
        SimBus([dead, alive]) as wire,
        kit.polling(kit.bus(wire.path, (1, gas), (2, smoke))) as (_, ear),
    ):
        await kit.until(lambda: ear.readings("gas") and ear.readings("smoke"))
        dead.silent = True
        await kit.until(lambda: ("dev1", "lost", "timeout") in ear.health(), 9)
        assert ear.readings("gas")[-1].quality is Quality.COMMS
        asked, served = len(dead.requests), len(alive.requests)
        alive.discrete[2] = 1
        await kit.until(lambda: ear.values("smoke")[-1] is True, 1)
        await asyncio.sleep(1.0)
        assert len(wire.log) - asked - served < 20
        assert len(alive.requests) - served >= 8, "the living pay for the dead"
        dead.silent = False
        await kit.until(lambda: ear.health("dev1")[-1][1] == "ok", 5)
        assert ear.readings("gas")[-1].quality is Quality.GOOD
        assert ear.health("bus-a") == [("bus-a", "ok", "")]


async def a_silent_bus_is_one_fault_and_recovers_whole(kit):
    units = [SimUnit(n, holding={1: n}) for n in range(1, 6)]
    profile = kit.profile(kit.alarm("gas", 1), timeout_ms=50)
    async with (
        SimBus(units) as wire,
        kit.polling(kit.bus(wire.path, *((n, profile) for n in range(1, 6)))) as (_, ear),
    ):
        await kit.until(lambda: len(ear.values("gas")) == 5)
        for unit in units:
            unit.silent = True
        await kit.until(lambda: ("bus-a", "lost", "all_silent") in ear.health(), 10)
        lost = [h for h in ear.health() if h[1] == "lost"]
        assert lost == [("bus-a", "lost", "all_silent")]
        assert {r.quality for r in ear.readings("gas")[-5:]} == {Quality.COMMS}
        for unit in units:
            unit.silent = False
        await kit.until(lambda: len([r for r in ear.readings("gas") if r.quality is Quality.GOOD]) == 10, 5)
        assert ear.health("bus-a")[-1][1] == "ok"


def test_a_port_that_cannot_be_opened_is_named_in_the_log_once(kit, tmp_path):
    """Whoever wrote a wrong path has only the log to learn which."""

    async def story():
        path = tmp_path / "none"
        async with kit.polling(kit.bus(str(path), (1, kit.shipped("relay-waveshare-8ch")))) as (poller, ear):
            tried = []
            connect = poller.line.connect

            async def counted():
                tried.append(1)
                await connect()

            poller.line.connect = counted
            await kit.until(lambda: len(tried) >= 2, 30)
            assert ear.health() == [("bus-a", "lost", "port_gone")]

    with structlog.testing.capture_logs() as lines:
        unhurried_run(story())
    (refused,) = [line for line in lines if line["event"] == "port_refused"]
    assert refused["bus"] == "a"
    assert str(tmp_path / "none") in refused["why"]


def test_a_pulled_port_shows_at_once_and_comes_back(kit, tmp_path):
    async def story():
        units = [SimUnit(n, holding={1: n}, delay_s=0.05) for n in (1, 2)]
        profile = kit.profile(kit.alarm("gas", 1))
        async with (
            SimBus(units, str(tmp_path / "tty")) as wire,
            kit.polling(kit.bus(wire.path, (1, profile), (2, profile))) as (_, ear),
        ):
            await kit.until(lambda: len(ear.values("gas")) == 2)
            wire.unplug()
            await kit.until(lambda: ("bus-a", "lost", "port_gone") in ear.health(), 1.5)
            assert {r.quality for r in ear.readings("gas")[-2:]} == {Quality.COMMS}
            await asyncio.sleep(0.3)
            wire.plug()
            await kit.until(lambda: len([r for r in ear.readings("gas") if r.quality is Quality.GOOD]) == 4, 3)
            assert ear.health("bus-a") == [
                ("bus-a", "ok", ""), ("bus-a", "lost", "port_gone"), ("bus-a", "ok", "")
            ]  # fmt: skip

    unhurried_run(story())


def test_a_port_that_comes_back_under_another_name_keeps_the_promised_times(kit, tmp_path):
    async def story():
        units = [SimUnit(n, holding={1: n}) for n in (1, 2)]
        profile = kit.profile(kit.alarm("gas", 1))
        # The other terminal is there from the beginning: the number of a closed one goes to whoever opens the next.
        first, second = SimBus(units, str(tmp_path / "usb-A_port0")), SimBus(units, str(tmp_path / "elsewhere"))
        bus = kit.bus(str(tmp_path / "usb-*_port0"), (1, profile), (2, profile))
        async with first, second, kit.polling(bus) as (_, ear):
            await kit.until(lambda: len(ear.values("gas")) == 2)
            first.unplug()
            await kit.until(lambda: ("bus-a", "lost", "port_gone") in ear.health(), 10)
            await asyncio.sleep(1.3)
            (tmp_path / "elsewhere").rename(tmp_path / "usb-B_port0")
            await kit.until(lambda: len([r for r in ear.readings("gas") if r.quality is Quality.GOOD]) == 4, 3)
            assert ear.health("bus-a")[-1] == ("bus-a", "ok", "")

    unhurried_run(story())


async def a_device_goes_from_good_through_doubt_and_quarantine_and_recovery_to_good(kit):
    unit = SimUnit(1, holding={0: 1})
    bus = [unit, SimUnit(2, holding={0: 2})]
    profile = kit.profile(kit.alarm("gas", 0), timeout_ms=50)
    async with SimBus(bus) as wire:
        walk = ["unknown"]

        def step():
            if poller.roll["dev1"].standing != walk[-1]:
                walk.append(str(poller.roll["dev1"].standing))

        described = kit.bus(wire.path, (1, profile), (2, profile))
        async with kit.polling(described, beat=step) as (poller, _):
            await kit.until(lambda: walk[-1] == "ok")
            unit.silent = True
            await kit.until(lambda: walk[-1] == "quarantined", 10)
            unit.silent = False
            await kit.until(lambda: walk[-1] == "ok", 10)
            assert walk == ["unknown", "ok", "suspect", "quarantined", "recovering", "ok"]


def test_a_port_absent_at_start_is_taken_when_it_comes(kit, tmp_path):
    async def story():
        wire = SimBus([SimUnit(1, holding={1: 7})], str(tmp_path / "tty"))
        async with kit.polling(kit.bus(wire.path, (1, kit.profile(kit.alarm("gas", 1))))) as (_, ear):
            await kit.until(lambda: ear.health("bus-a"))
            wire.plug()
            await kit.until(lambda: 7 in ear.values("gas"), 3)
            wire.unplug()

    unhurried_run(story())


async def a_foreign_unit_answering_is_never_believed(kit):
    liar = SimUnit(1, holding={1: 99}, answers_as=7)
    profile = kit.profile(kit.alarm("gas", 1), timeout_ms=50)
    async with (
        SimBus([liar, SimUnit(2, holding={1: 2})]) as wire,
        kit.polling(kit.bus(wire.path, (1, profile), (2, profile))) as (poller, ear),
    ):
        await kit.until(lambda: ("dev1", "lost", "timeout") in ear.health(), 9)
        await kit.until(lambda: poller.line.tally.units[1].foreign_frames >= 3, 60)  # what came late is counted as late
        assert 99 not in ear.values("gas")


def test_one_answer_that_dawdled_breaks_no_promise_an_hour_later(kit):
    """One answer of 1.9 s; when the detector dies later it is lost within ten seconds, and a write waits for one probe."""

    async def story():
        loop = asyncio.get_running_loop()
        gas, relay = SimUnit(1, holding={0: 3}), SimUnit(2, coils={0: 0})
        profile = kit.profile(kit.alarm("gas", 0, period_ms=1000), guard_ms=500, timeout_ms=1000)
        switch = kit.profile(
            kit.point("relay1", 0, Space.COIL, point_class=PointClass.FEEDBACK, period_ms=1000, writable=True)
        )
        async with (
            SimBus([gas, relay]) as wire,
            kit.polling(kit.bus(wire.path, (1, profile), (2, switch))) as (poller, ear),
        ):
            await asyncio.sleep(3)
            gas.delay_s = 1.9
            async with asyncio.timeout(60):  # a busy machine may have taught the line more patience than that
                while not poller.line.tally.units[1].timeouts:
                    await asyncio.sleep(0.2)
            gas.delay_s = 0.0
            await asyncio.sleep(3)
            assert poller.line.tally.units[1].late >= 1
            gas.silent = True
            await asyncio.sleep(10)
            assert ("dev1", "lost", "timeout") in ear.health()
            waits = []
            for _ in range(20):
                start = loop.time()
                # On a busy machine virtual time may pass a pty's answer by; the settle time after that is not meant here.
                with contextlib.suppress(DeviceFault):
                    await poller.write("dev2", "relay1", False)
                    waits.append(loop.time() - start)
                await asyncio.sleep(0.3)
            assert len(waits) > 10
            assert max(waits) < 1.4, "a probe was waited for longer than the profile says"

    virtual_run(story(), patience_s=0.05)


STORIES = (
    a_silent_device_is_lost_alone_and_returns,
    a_silent_bus_is_one_fault_and_recovers_whole,
    a_device_goes_from_good_through_doubt_and_quarantine_and_recovery_to_good,
    a_foreign_unit_answering_is_never_believed,
)


def test_who_falls_silent_is_lost_and_comes_back(kit, subtests):
    """Each on a line of its own, all at once: most of it is waiting."""
    abreast(subtests, {story.__name__: functools.partial(story, kit) for story in STORIES})
