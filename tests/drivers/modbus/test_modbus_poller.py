"""The poller against simulated devices on a pseudo-terminal: real bytes, real time."""

import asyncio
import contextlib
import itertools

import pytest
import structlog
from instruments.virtual import virtual_run

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


def test_the_gas_profile_reads_warms_up_and_alarms(kit):
    async def story():
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

    asyncio.run(story())


def test_only_what_changes_is_reported(kit):
    async def story():
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

    asyncio.run(story())


def test_an_alarm_point_is_refreshed_within_a_third_of_its_age(kit):
    async def story():
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

    asyncio.run(story())


def test_a_write_is_read_back_and_goes_before_polls(kit):
    async def story():
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

    asyncio.run(story())


def test_a_relay_that_confirms_and_does_nothing_is_caught(kit):
    async def story():
        relay = SimUnit(1, coils=dict(RELAY), stuck=True)
        async with (
            SimBus([relay]) as wire,
            kit.polling(kit.bus(wire.path, (1, kit.shipped("relay-waveshare-8ch")))) as (poller, _),
        ):
            with pytest.raises(DeviceFault) as caught:
                await poller.write("dev1", "relay1", True)
            assert caught.value.reason == "readback"

    asyncio.run(story())


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

    asyncio.run(story())


def test_a_silent_device_is_lost_alone_and_returns(kit):
    async def story():
        dead, alive = gas_unit(1), SimUnit(2, discrete={2: 0})
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

    asyncio.run(story())


def test_a_silent_bus_is_one_fault_and_recovers_whole(kit):
    async def story():
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

    asyncio.run(story())


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
        asyncio.run(story())
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

    asyncio.run(story())


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

    asyncio.run(story())


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

    asyncio.run(story())


def test_a_device_goes_from_good_through_doubt_and_quarantine_and_recovery_to_good(kit):
    async def story():
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

    asyncio.run(story())


def test_a_port_absent_at_start_is_taken_when_it_comes(kit, tmp_path):
    async def story():
        wire = SimBus([SimUnit(1, holding={1: 7})], str(tmp_path / "tty"))
        async with kit.polling(kit.bus(wire.path, (1, kit.profile(kit.alarm("gas", 1))))) as (_, ear):
            await kit.until(lambda: ear.health("bus-a"))
            wire.plug()
            await kit.until(lambda: 7 in ear.values("gas"), 3)
            wire.unplug()

    asyncio.run(story())


def test_a_refused_hole_is_not_asked_again(kit):
    async def story():
        unit = SimUnit(1, holding={0: 1, 1: 2, 5: 3})
        async with (
            SimBus([unit]) as wire,
            kit.polling(kit.bus(wire.path, (1, kit.shipped("air-adtek")))) as (_, ear),
        ):
            await kit.until(lambda: ear.readings("co2") and len(unit.requests) == 3)
            assert unit.requests[0] == (3, 0, 6)
            assert sorted(unit.requests[1:]) == [(3, 0, 2), (3, 5, 1)]
            assert ear.health("dev1") == [("dev1", "ok", "")]

    asyncio.run(story())


def test_a_register_the_device_has_not_makes_it_faulty_and_the_rest_goes_on(kit):
    async def story():
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

    asyncio.run(story())


def test_a_device_that_reports_its_own_sensor_broken_is_faulty(kit):
    async def story():
        unit = gas_unit(status=3)
        async with (
            SimBus([unit]) as wire,
            kit.polling(kit.bus(wire.path, (1, kit.shipped("combustible-gas-6in1")))) as (_, ear),
        ):
            await kit.until(lambda: ("dev1", "faulty", "sensor_fault") in ear.health())
            assert ear.readings("gas")[-1].quality is Quality.SENSOR_FAULT
            unit.holding[5] = 1
            await kit.until(lambda: ear.health("dev1")[-1][1] == "ok")

    asyncio.run(story())


def test_reread_reports_even_what_did_not_change(kit):
    async def story():
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

    asyncio.run(story())


def test_a_foreign_unit_answering_is_never_believed(kit):
    async def story():
        liar = SimUnit(1, holding={1: 99}, answers_as=7)
        profile = kit.profile(kit.alarm("gas", 1), timeout_ms=50)
        async with (
            SimBus([liar, SimUnit(2, holding={1: 2})]) as wire,
            kit.polling(kit.bus(wire.path, (1, profile), (2, profile))) as (poller, ear),
        ):
            await kit.until(lambda: ("dev1", "lost", "timeout") in ear.health(), 9)
            assert 99 not in ear.values("gas")
            assert poller.line.tally.units[1].foreign_frames >= 3

    asyncio.run(story())


def test_every_turn_beats_and_stopping_leaves_nobody_waiting(kit):
    async def story():
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

    asyncio.run(story())


def test_a_poller_started_again_serves_again(kit):
    async def story():
        async with SimBus([SimUnit(1, coils=dict(RELAY))]) as wire:
            poller = BusPoller(kit.bus(wire.path, (1, kit.shipped("relay-waveshare-8ch"))), kit.Ear())
            for on in (True, False):
                running = asyncio.ensure_future(poller.run())
                await asyncio.sleep(0)
                await asyncio.wait_for(poller.write("dev1", "relay1", on), 3)
                assert wire.units[1].coils[0] == on
                running.cancel()
                await asyncio.wait((running,))
                with pytest.raises(DeviceFault) as caught:
                    await poller.write("dev1", "relay1", on)
                assert caught.value.reason == "stopped"

    asyncio.run(story())


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

    asyncio.run(story())


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


def test_classes_have_their_periods(kit):
    from gateway.drivers.modbus.plan import period_ms

    given = {c: period_ms(kit.point("p", 0, point_class=c)) for c in PointClass}
    assert given == {
        PointClass.ALARM: 500, PointClass.FEEDBACK: 1000, PointClass.NORMAL: 5000, PointClass.SLOW: 30000,
        PointClass.CONFIG: 3_600_000,
    }  # fmt: skip
    assert period_ms(kit.point("p", 0, period_ms=70)) == 70
