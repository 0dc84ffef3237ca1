"""The poller against simulated devices on a pseudo-terminal: real bytes, real time."""

import asyncio
import functools
import itertools

import pytest
from instruments.abreast import abreast
from instruments.unhurried import unhurried_run

from gateway.drivers.modbus.poller import BusPoller
from gateway.events import Quality
from gateway.faults import DeviceFault
from gateway.sim.modbus import Link, SimBus, SimUnit
from gateway.site.profile import PointClass, Space

RELAY = dict.fromkeys(range(8), 0)


def gas_unit(unit_id=1, gas=3, status=1):
    return SimUnit(
        unit_id, holding={0: 0x2000, 1: gas, 2: 10, 3: 20, 4: 100, 5: status, 6: 0, 7: 750, 8: 0x0B00, 9: 431}
    )


async def the_gas_profile_reads_warms_up_and_alarms(kit):
    unit = gas_unit(status=0)
    async with (
        SimBus([unit]) as wire,
        kit.polling(kit.bus(wire.path, (1, kit.shipped("combustible-gas-6in1")))) as (
            _,
            ear,
        ),
    ):
        await kit.until(lambda: ear.readings("temperature"))
        assert ear.readings("gas")[0].quality is Quality.WARM_UP
        assert ear.values("temperature") == [25.0]
        assert ear.values("humidity") == [43.1]
        unit.holding[5] = 1
        await kit.until(lambda: ear.readings("gas")[-1].quality is Quality.GOOD)
        unit.holding |= {1: 22, 5: 6}
        await kit.until(lambda: ear.values("gas_high_alarm")[-1] is True)
        assert ear.values("gas")[-1] == 22
        assert ear.values("status")[-1] == "high_alarm"
        unit.holding[0] = 0x0000  # somebody set it to ppm
        await kit.until(lambda: ear.readings("gas")[-1].quality is Quality.INVALID)
        assert all(function == 3 and count == 10 for function, _, count in unit.requests)
        gaps = [b[0] - a[0] for a, b in zip(wire.log, wire.log[1:], strict=False)]
        assert min(gaps) >= 0.5


async def only_what_changes_is_reported(kit):
    unit = SimUnit(1, holding={0: 200, 1: 5})
    profile = kit.profile(
        kit.point("temperature", 0, scale=0.1, resolution=0.3, period_ms=50),
        kit.point("co2", 1, period_ms=50, resolution=2),
    )
    async with SimBus([unit]) as wire, kit.polling(kit.bus(wire.path, (1, profile))) as (_, ear):
        await kit.until(lambda: len(wire.log) > 4)
        unit.holding[0] = 202
        await kit.until(lambda: len(wire.log) > 8)
        unit.holding[0] = 203
        await kit.until(lambda: len(wire.log) > 12)
        assert ear.values("temperature") == [20.0, 20.3]
        assert ear.values("co2") == [5]


async def an_alarm_point_is_refreshed_within_a_third_of_its_age(kit):
    unit = SimUnit(1, discrete={2: 0})
    bus = kit.bus("", (1, kit.profile(kit.alarm("smoke", 2, Space.DISCRETE, period_ms=100))))
    async with SimBus([unit]) as wire:
        bus = kit.bus(wire.path, (1, bus.devices[0].profile))
        import msgspec

        device = msgspec.structs.replace(bus.devices[0], max_age_ms=900)
        bus = msgspec.structs.replace(bus, devices=(device,))
        async with kit.polling(bus) as (_, ear):
            await asyncio.sleep(1.6)
            times = [at for at, _ in ear.events if _.__class__.__name__ == "Reading"]
            assert len(times) >= 4
            assert max(b - a for a, b in itertools.pairwise(times)) < 0.9


async def a_write_is_read_back_and_goes_before_polls(kit):
    slow = SimUnit(2, holding={n: n for n in range(40)}, delay_s=0.03)
    relay = SimUnit(1, coils=dict(RELAY), discrete={0: 0}, links=(Link(3, 0, 0.05),))
    busy = kit.profile(*(kit.point(f"p{n}", n * 2, period_ms=50) for n in range(20)), max_hole=0)
    async with SimBus([relay, slow]) as wire:
        bus = kit.bus(wire.path, (1, kit.shipped("relay-waveshare-8ch")), (2, busy))
        async with kit.polling(bus) as (poller, ear):
            await kit.until(lambda: ear.readings("relay4") and len(slow.requests) > 25)
            before = len(wire.log)
            await poller.write("dev1", "relay4", True)
            after = wire.log[before:]
            assert [frame[1] for _, frame in after].index(5) <= 1, "the write waited behind polls"
            assert relay.coils[3] == 1
            assert ear.values("relay4") == [False, True]
            await kit.until(lambda: relay.discrete[0] == 1)
            await poller.write("dev1", "relay4", False)
            assert relay.coils[3] == 0


async def a_relay_that_confirms_and_does_nothing_is_caught(kit):
    relay = SimUnit(1, coils=dict(RELAY), stuck=True)
    async with (
        SimBus([relay]) as wire,
        kit.polling(kit.bus(wire.path, (1, kit.shipped("relay-waveshare-8ch")))) as (poller, _),
    ):
        with pytest.raises(DeviceFault) as caught:
            await poller.write("dev1", "relay1", True)
        assert caught.value.reason == "readback"


@pytest.mark.parametrize("code", [2, 3])
def test_a_refused_block_is_asked_for_in_smaller_ones(kit, code):
    """Illegal address where a hole is read along, illegal value where it is longer than the product takes."""

    async def story():
        unit = SimUnit(
            1, holding={0: 1, 1: 2, 5: 3} if code == 2 else {0: 1, 1: 2, 2: 3}, max_read=125 if code == 2 else 2
        )
        profile = kit.profile(*(kit.alarm(f"p{n}", address) for n, address in enumerate(unit.holding)))
        said = []
        async with SimBus([unit]) as wire:
            speak = wire.speak
            wire.speak = lambda data: (said.append(data), speak(data))
            async with kit.polling(kit.bus(wire.path, (1, profile))) as (_, ear):
                await kit.until(lambda: [ear.values(f"p{n}") for n in range(3)] == [[1], [2], [3]])
                await kit.until(lambda: len(unit.requests) > 12)
                assert ear.health("dev1") == [("dev1", "ok", "")]
        assert [data[2] for data in said if data[1] & 0x80] == [code], "it was asked again"
        whole = (3, 0, 6) if code == 2 else (3, 0, 3)
        assert unit.requests[0] == whole
        assert whole not in unit.requests[1:]

    unhurried_run(story())


def test_a_block_that_was_answered_is_not_asked_in_pieces_for_one_refusal(kit):
    """A device that starts says so to anything for a moment; read point by point it would take the line three times as long for good."""

    async def story():
        unit = SimUnit(1, holding=dict.fromkeys(range(6), 7))
        profile = kit.profile(*(kit.alarm(f"p{address}", address, period_ms=100) for address in (0, 1, 5)))
        async with SimBus([unit]) as wire, kit.polling(kit.bus(wire.path, (1, profile))) as (_, ear):
            await kit.until(lambda: ear.values("p5") == [7])
            asked, unit.exception = len(wire.log), 2
            await kit.until(lambda: len(wire.log) > asked)
            unit.exception = 0
            await kit.until(lambda: len(unit.requests) > 12)
            assert set(unit.requests) == {(3, 0, 6)}
            assert ear.health("dev1") == [("dev1", "ok", "")]
            unit.holding.pop(3)
            await kit.until(lambda: unit.requests[-3:] == [(3, 0, 2), (3, 5, 1), (3, 0, 2)])
            assert ear.health("dev1") == [("dev1", "ok", "")]

    unhurried_run(story())


@pytest.mark.parametrize("why", ["away", "busy"])
def test_who_was_away_or_busy_at_the_start_is_asked_whole_when_it_is_there(kit, why):
    """Neither says anything of the question; in pieces it would take the line longer for good."""

    async def story():
        unit, other = SimUnit(1, holding=dict.fromkeys(range(6), 7)), SimUnit(2, holding={0: 1})
        unit.silent, unit.exception = why == "away", 6 if why == "busy" else 0
        profiles = [kit.profile(*(kit.alarm(f"p{n}", n, period_ms=100) for n in where)) for where in ((0, 5), (0,))]
        async with SimBus([unit, other]) as wire, kit.polling(kit.bus(wire.path, *enumerate(profiles, 1))) as (_, ear):
            wrong = ("dev1", "lost", "timeout") if why == "away" else ("dev1", "faulty", "exception")
            await kit.until(lambda: wrong in ear.health(), 9)
            unit.silent, unit.exception = False, 0
            await kit.until(lambda: ear.values("p5")[-1:] == [7], 9)
            assert unit.requests[-1] == (3, 0, 6)

    unhurried_run(story())


async def a_refused_hole_is_not_asked_again(kit):
    unit = SimUnit(1, holding={0: 1, 1: 2, 5: 3})
    async with (
        SimBus([unit]) as wire,
        kit.polling(kit.bus(wire.path, (1, kit.shipped("air-adtek")))) as (_, ear),
    ):
        await kit.until(lambda: ear.readings("co2") and len(unit.requests) == 3)
        assert unit.requests[0] == (3, 0, 6)
        assert sorted(unit.requests[1:]) == [(3, 0, 2), (3, 5, 1)]
        assert ear.health("dev1") == [("dev1", "ok", "")]


async def a_register_the_device_has_not_makes_it_faulty_and_the_rest_goes_on(kit):
    unit = SimUnit(1, holding={0: 1})
    profile = kit.profile(kit.alarm("gas", 0, period_ms=50), kit.alarm("fault", 1, period_ms=50))
    async with (
        SimBus([unit]) as wire,
        kit.polling(kit.bus(wire.path, (1, profile))) as (_, ear),
    ):
        await kit.until(lambda: ("dev1", "faulty", "exception") in ear.health())
        assert ear.values("gas") == [1]
        assert ear.readings("fault")[-1].quality is Quality.INVALID
        unit.holding[1] = 0
        await kit.until(lambda: ear.health("dev1")[-1][1] == "ok")
        assert ear.values("fault")[-1] == 0


async def a_device_that_reports_its_own_sensor_broken_is_faulty(kit):
    unit = gas_unit(status=3)
    async with (
        SimBus([unit]) as wire,
        kit.polling(kit.bus(wire.path, (1, kit.shipped("combustible-gas-6in1")))) as (_, ear),
    ):
        await kit.until(lambda: ("dev1", "faulty", "sensor_fault") in ear.health())
        assert ear.readings("gas")[-1].quality is Quality.SENSOR_FAULT
        unit.holding[5] = 1
        await kit.until(lambda: ear.health("dev1")[-1][1] == "ok")


async def reread_reports_even_what_did_not_change(kit):
    unit = SimUnit(1, holding={1: 9})
    profile = kit.profile(kit.alarm("gas", 1, period_ms=3000))
    async with (
        SimBus([unit]) as wire,
        kit.polling(kit.bus(wire.path, (1, profile))) as (poller, ear),
    ):
        await kit.until(lambda: ear.readings("gas"))
        poller.reread("dev1", "gas")
        await kit.until(lambda: ear.values("gas") == [9, 9], 0.5)
        unit.holding[1] = 10
        assert await poller.read("dev1", "gas") == (10, Quality.GOOD)
        assert ear.values("gas") == [9, 9, 10]


async def every_turn_beats_and_stopping_leaves_nobody_waiting(kit):
    beats = []
    async with SimBus([SimUnit(1, coils=dict(RELAY), silent=True)]) as wire:
        bus = kit.bus(wire.path, (1, kit.shipped("relay-waveshare-8ch")))
        async with kit.polling(bus, beat=lambda: beats.append(1)) as (poller, _):
            await kit.until(lambda: len(beats) > 2)
            waiting = asyncio.ensure_future(poller.write("dev1", "relay1", True))
            await asyncio.sleep(0.01)
        with pytest.raises(DeviceFault):
            await waiting
        with pytest.raises(DeviceFault):
            await poller.write("dev1", "relay1", True)


async def a_poller_started_again_serves_again(kit):
    async with SimBus([SimUnit(1, coils=dict(RELAY))]) as wire:
        poller = BusPoller(kit.bus(wire.path, (1, kit.shipped("relay-waveshare-8ch"))), kit.Ear())
        for on in (True, False):
            running = asyncio.ensure_future(poller.run())
            await kit.until(lambda: poller.line.connected)  # whoever asks sooner is told within 0.1 s that it is not
            await asyncio.wait_for(poller.write("dev1", "relay1", on), 3)
            assert wire.units[1].coils[0] == on
            running.cancel()
            await asyncio.wait((running,))
            with pytest.raises(DeviceFault) as caught:
                await poller.write("dev1", "relay1", on)
            assert caught.value.reason == "stopped"


@pytest.mark.parametrize("value", [70_000, -1])
def test_a_value_no_register_holds_is_a_fault_and_no_end(kit, value):
    async def story():
        unit = SimUnit(1, holding={0: 5})
        profile = kit.profile(kit.point("valve", 0, writable=True, write_on=value, period_ms=100))
        async with SimBus([unit]) as wire, kit.polling(kit.bus(wire.path, (1, profile))) as (poller, ear):
            await kit.until(lambda: ear.readings("valve"))
            for _ in range(4):
                with pytest.raises(DeviceFault) as caught:
                    await poller.write("dev1", "valve", True)
                assert caught.value.reason == "bad_request"
            await poller.write("dev1", "valve", False)
            assert unit.holding[0] == 0
            assert ear.health("dev1") == [("dev1", "ok", "")], "the profile's fault is not the device's"

    unhurried_run(story())


def test_classes_have_their_periods(kit):
    from gateway.drivers.modbus.plan import period_ms

    given = {c: period_ms(kit.point("p", 0, point_class=c)) for c in PointClass}
    assert given == {
        PointClass.ALARM: 500, PointClass.FEEDBACK: 1000, PointClass.NORMAL: 5000, PointClass.SLOW: 30000,
        PointClass.CONFIG: 3_600_000,
    }  # fmt: skip
    assert period_ms(kit.point("p", 0, period_ms=70)) == 70


STORIES = (
    the_gas_profile_reads_warms_up_and_alarms,
    only_what_changes_is_reported,
    an_alarm_point_is_refreshed_within_a_third_of_its_age,
    a_write_is_read_back_and_goes_before_polls,
    a_relay_that_confirms_and_does_nothing_is_caught,
    a_refused_hole_is_not_asked_again,
    a_register_the_device_has_not_makes_it_faulty_and_the_rest_goes_on,
    a_device_that_reports_its_own_sensor_broken_is_faulty,
    reread_reports_even_what_did_not_change,
    every_turn_beats_and_stopping_leaves_nobody_waiting,
    a_poller_started_again_serves_again,
)


def test_what_a_poller_reads_and_reports(kit, subtests):
    """Each on a line of its own, all at once: most of it is waiting."""
    abreast(subtests, {story.__name__: functools.partial(story, kit) for story in STORIES})
