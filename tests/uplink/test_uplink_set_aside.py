"""A broker that does not take a message: others, critical ones first, do not suffer, and the message is kept and comes in the end."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import pairwise

import pytest
from instruments.packets import CONNECT, PUBLISH, SUBSCRIBE, packets, published

from gateway.sim.receiver import DutyOffice
from gateway.uplink import tolerance, wire
from gateway.uplink.departures import Departures
from gateway.uplink.mqtt import HASTE
from gateway.uplink.payloads import status_body

LIMIT = 4000
LARGE = 10_000
"""Blanks behind a body: as JSON it says the same."""


@pytest.fixture
def impatient(monkeypatch):
    """What was set aside is tried again soon."""
    monkeypatch.setattr(tolerance, "FIRST_REST_S", 0.3)
    monkeypatch.setattr(tolerance, "LONGEST_REST_S", 0.6)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_message_that_is_too_large_for_the_broker_holds_up_no_other(house, mosquitto, protocol):
    async def story():
        served = mosquitto(extra=f"max_packet_size {LIMIT}")
        gateway, duty = house.Gateway(served.port, protocol=protocol), DutyOffice(served.port, protocol=protocol)
        for lane in ("critical", "low"):
            gateway.outbox.add(lane, 3)
            gateway.outbox.add(lane, 2, longer=LARGE)
            gateway.outbox.add(lane, 30)
        async with house.running(duty):
            await duty.ready()
            async with house.running(gateway.mqtt):
                await duty.settle(66)
                await house.until(lambda: gateway.core.health[-1:] == [("faulty", "set_aside")])
                gateway.outbox.add("critical")
                await duty.settle(67)
                at = [("critical", 36), ("low", 35)]
                await house.until(lambda: [(lane, gateway.outbox.cursors["city", lane]) for lane, _ in at] == at)
        assert sorted(gateway.outbox.kept_aside) == [(lane, n) for lane in ("critical", "low") for n in (4, 5)]
        counts, tries = gateway.mqtt.counts, 1 if protocol == "5" else 4 * (2 + tolerance.STRIKES)
        assert (counts["alert_too_large"] + counts["alert_not_taken"]) == 4
        assert counts["connected"] <= tries
        assert (duty.tally["doubled"], duty.tally["disordered"]) == (0, 0)

    asyncio.run(story())


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_what_was_set_aside_comes_when_the_broker_takes_it(house, mosquitto, protocol):
    async def story():
        served = mosquitto(extra=f"max_packet_size {LIMIT}")
        gateway, duty = house.Gateway(served.port, protocol=protocol), DutyOffice(served.port, protocol=protocol)
        gateway.outbox.add("high", 4, longer=LARGE)
        gateway.outbox.add("high", 4)
        async with house.running(duty):
            await duty.ready()
            async with house.running(gateway.mqtt):
                await duty.settle(4)
                await house.until(lambda: len(gateway.outbox.kept_aside) == 4)
        later = house.Gateway(served.port, gateway.outbox, protocol=protocol)  # the next life finds it in the outbox
        async with house.running(duty, later.mqtt):
            await duty.ready()
            await house.until(lambda: later.core.health[-1:] == [("faulty", "set_aside")])
            served._extra = ""
            await asyncio.to_thread(served.stop)
            await asyncio.to_thread(served.start)
            await duty.settle(8)
            await house.until(lambda: later.up)
        assert later.outbox.kept_aside == []
        assert (duty.tally["doubled"], duty.missing) == (0, {})

    asyncio.run(story())


def test_a_message_that_ends_the_session_by_the_answer_to_it_is_set_aside(house, mosquitto):
    """Mosquitto's PUBACK for its ``message_size_limit`` has a code that MQTT 5 does not allow there."""

    async def story():
        served = mosquitto(extra=f"message_size_limit {LIMIT}")
        gateway, duty = house.Gateway(served.port, protocol="5"), DutyOffice(served.port)
        gateway.outbox.add("high", 2)
        gateway.outbox.add("high", 1, longer=LARGE)
        gateway.outbox.add("high", 2)
        async with house.running(duty):
            await duty.ready()
            async with house.running(gateway.mqtt):
                await duty.settle(4)
                await house.until(lambda: gateway.outbox.cursors["city", "high"] == 5)
                await house.until(lambda: gateway.outbox.kept_aside == [("high", 3)])
        assert gateway.mqtt.counts["connected"] <= 3 + tolerance.STRIKES
        assert gateway.mqtt.counts["alert_not_taken"] == 1

    asyncio.run(story())


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_status_that_is_too_large_is_told_in_short_and_readings_are_dropped(house, mosquitto, protocol):
    async def story():
        served = mosquitto(extra=f"max_packet_size {LIMIT}")
        gateway, duty = house.Gateway(served.port, protocol=protocol), DutyOffice(served.port, protocol=protocol)
        crowd = {f"device-{n}": "lost" for n in range(1000)}

        def status():
            gateway.statuses += 1
            long = wire.StatusData(state=wire.Presence.DEGRADED, deaf=crowd, counts=dict.fromkeys(crowd, 7))
            return status_body("fukang", "gw-1", f"run/{gateway.statuses}", long, None)

        gateway.mqtt._departures._status = status
        gateway.outbox.add("high", 2)
        async with house.running(duty):
            await duty.ready()
            async with house.running(gateway.mqtt):
                await duty.settle(2)
                await house.until(lambda: duty.statuses.get(house.source, {}).get("state") == "degraded")
                assert duty.statuses[house.source]["reason"] == "shortened"
                for n in (1, LARGE, 1):
                    gateway.mqtt.offer_telemetry("gas-501", b" " * n)
                await house.until(lambda: gateway.mqtt.counts["telemetry_dropped"])
                await house.until(lambda: gateway.up)

    asyncio.run(story())


def test_a_message_whose_content_the_broker_refuses_by_name_is_passed_at_once(house):
    async def story():
        outbox = house.MemoryOutbox()
        outbox.add("high", 3)
        leaving = Departures("city", outbox, lambda: b"", dict)
        leaving.restart()
        leaving.arrived(await leaving.next())  # the status
        leaving.refused(await leaving.next())
        for sequence in (2, 3):
            parcel = await leaving.next()
            assert parcel.sequence == sequence
            leaving.arrived(parcel)
        await leaving.save()
        assert (outbox.kept_aside, outbox.cursors) == ([("high", 1)], {("city", "high"): 3})

    asyncio.run(story())


def test_what_a_broker_refused_by_name_before_it_hung_up_is_not_sent_again(house):
    async def story():
        outbox = house.MemoryOutbox()
        outbox.add("high", 2)
        leaving = Departures("city", outbox, lambda: b"", dict)
        leaving.restart()
        leaving.arrived(await leaving.next())  # the status
        leaving.refused(await leaving.next())
        leaving.lost()  # before anybody could note that it is set aside
        leaving.restart()
        leaving.arrived(await leaving.next())
        parcel = await leaving.next()
        assert parcel.sequence == 2
        leaving.arrived(parcel)
        await leaving.save()
        assert (outbox.kept_aside, outbox.cursors) == ([("high", 1)], {("city", "high"): 2})
        assert leaving.counts["alert_not_taken"] == 1

    asyncio.run(story())


def test_what_is_set_aside_is_not_sent_again_where_a_session_broke_before_the_cursor_had_passed_it(house):
    async def story():
        outbox = house.MemoryOutbox()
        outbox.add("high", 2)
        leaving = Departures("city", outbox, lambda: b"", dict)
        for _ in range(2):
            leaving.restart()
            leaving.arrived(await leaving.next())  # the status
            leaving.refused(parcel := await leaving.next())
            leaving.lost()
        assert parcel.sequence == 2, "the first was set aside in the second session, which broke before that was saved"
        leaving.restart()
        leaving.arrived(await leaving.next())
        assert await leaving.next() is None
        await leaving.save()
        assert (sorted(outbox.kept_aside), outbox.cursors) == ([("high", 1), ("high", 2)], {("city", "high"): 2})

    asyncio.run(story())


def test_what_was_set_aside_waits_for_its_receiver_as_any_alert_does(house, mosquitto):
    """A broker that comes back without its memory takes everything, and says that nobody has it."""

    async def story():
        port = mosquitto().port
        gateway, duty = house.Gateway(port, nobody_s=60.0), DutyOffice(port)
        gateway.outbox.add("critical")
        gateway.outbox.cursors["city", "critical"] = 1
        await gateway.outbox.set_aside("city", "critical", 1)
        async with house.running(gateway.mqtt):
            await house.until(lambda: gateway.mqtt.counts["alert_unheard"] >= 2 or not gateway.outbox.kept_aside)
            assert gateway.outbox.kept_aside == [("critical", 1)], "nobody has it"
            async with house.running(duty):
                await duty.settle(1)
                await house.until(lambda: not gateway.outbox.kept_aside)

    asyncio.run(story())


def test_a_session_that_was_never_had_blames_nobody_again(house):
    async def story():
        outbox = house.MemoryOutbox()
        outbox.add("high", 1)
        leaving = Departures("city", outbox, lambda: b"", dict)
        for _ in range(tolerance.STRIKES - 1):
            leaving.restart()
            leaving.arrived(await leaving.next())  # the status
            assert (await leaving.next()).sequence == 1
            assert await leaving.next() is None, "it travels alone"
            assert [leaving.lost() for _ in range(5)] == [True, False, False, False, False]
        leaving.restart()
        leaving.arrived(await leaving.next())
        leaving.arrived(await leaving.next())
        assert outbox.kept_aside == []

    asyncio.run(story())


def test_a_broker_that_hangs_up_on_every_alert_is_lost_and_dialled_as_seldom_as_any_and_no_message_is_blamed(house):
    async def story():
        dialled, pauses = [], []
        broker = await asyncio.start_server(hang_up_on("/alerts", dialled=dialled), "127.0.0.1", 0)
        async with broker:
            gateway = house.Gateway(broker.sockets[0].getsockname()[1], protocol="3.1.1")
            gateway.outbox.add("critical", 40)

            async def pause(seconds):
                pauses.append((seconds, len(dialled)))

            gateway.mqtt._sleep = pause
            async with house.running(gateway.mqtt):
                await house.until(lambda: len(pauses) >= 30, 30)
                assert gateway.core.health[-1:] == [("lost", "network")]
        assert pauses[0][1] <= 1 + HASTE, "no burst"
        assert all(then - before <= 1 for (_, before), (_, then) in pairwise(pauses))
        assert gateway.outbox.kept_aside == []

    asyncio.run(story())


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_line_that_passes_the_status_and_no_alert_has_no_innocent_set_aside(house, mosquitto, protocol):
    async def story():
        served = mosquitto()
        duty = DutyOffice(served.port, protocol=protocol)
        async with house.Relay(served.port) as line, house.running(duty):
            await duty.ready()
            line.cuts_at = b"gw-1/alerts"
            gateway = house.Gateway(line.port, protocol=protocol)
            gateway.outbox.add("critical", 3)
            gateway.outbox.add("low", 50)
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.mqtt.counts["connected"] > 5 * tolerance.STRIKES)
                line.cuts_at = None
                await duty.settle(53)
                await house.until(lambda: gateway.outbox.cursors.get(("city", "low")) == 50)
                await house.until(lambda: gateway.up)
        assert gateway.outbox.cursors == {("city", "critical"): 3, ("city", "low"): 50}
        assert (gateway.mqtt.counts["alert_not_taken"], gateway.mqtt.counts["alert_too_large"]) == (0, 0)
        assert (duty.tally["doubled"], duty.missing) == (0, {})

    asyncio.run(story())


def test_one_that_waits_all_alone_is_set_aside_on_such_a_line_and_no_second_one(house, mosquitto):
    async def story():
        served = mosquitto()
        duty = DutyOffice(served.port)
        async with house.Relay(served.port) as line, house.running(duty):
            await duty.ready()
            line.cuts_at = b"gw-1/alerts"
            gateway = house.Gateway(line.port)
            gateway.outbox.add("critical")
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.outbox.kept_aside == [("critical", 1)])
                await house.until(lambda: gateway.mqtt.counts["device_sent"] >= 2)
                before = gateway.mqtt.counts["connected"]
                gateway.outbox.add("critical", 1, longer=100)
                await house.until(lambda: gateway.mqtt.counts["connected"] > before + 3 * tolerance.STRIKES)
                assert gateway.outbox.kept_aside == [("critical", 1)]
                line.cuts_at = None
                await duty.settle(2)
                await house.until(lambda: gateway.up)
        assert gateway.outbox.kept_aside == []

    asyncio.run(story())


def test_a_broker_that_hangs_up_on_the_status_is_given_the_alerts(house):
    async def story():
        taken = []
        broker = await asyncio.start_server(hang_up_on("/status", taken), "127.0.0.1", 0)
        async with broker:
            gateway = house.Gateway(broker.sockets[0].getsockname()[1], protocol="3.1.1")
            gateway.outbox.add("critical", 40)
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.outbox.cursors.get(("city", "critical")) == 40, 60)
                await house.until(lambda: gateway.core.health[-1:] == [("faulty", "set_aside")], 60)
        assert gateway.outbox.kept_aside == []
        assert sum(leaf.endswith("/alerts") for leaf in taken) == 40

    asyncio.run(story())


def test_where_nothing_at_all_is_taken_no_alert_is_blamed(house):
    async def story():
        broker = await asyncio.start_server(hang_up_on(""), "127.0.0.1", 0)
        async with broker:
            gateway = house.Gateway(broker.sockets[0].getsockname()[1], protocol="3.1.1")
            gateway.outbox.add("critical", 3)
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.mqtt.counts["connected"] > 4 * tolerance.STRIKES, 60)
        assert gateway.outbox.kept_aside == []

    asyncio.run(story())


def test_where_nothing_fits_all_is_kept_and_the_uplink_says_so_without_a_session_lost(house):
    async def story():
        broker = await asyncio.start_server(hang_up_on("nothing", most=200), "127.0.0.1", 0)
        async with broker:
            gateway = house.Gateway(broker.sockets[0].getsockname()[1], protocol="5")
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.core.health[-1:] == [("faulty", "set_aside")], 60)
                gateway.outbox.add("critical", 3)
                await house.until(lambda: gateway.outbox.cursors.get(("city", "critical")) == 3, 60)
        assert sorted(gateway.outbox.kept_aside) == [("critical", n) for n in (1, 2, 3)]
        assert gateway.mqtt.counts["connects_tried"] - gateway.mqtt.counts["devices_cleared"] <= 2

    asyncio.run(story())


def hang_up_on(leaf, taken=None, most=None, dialled=None):
    """A broker that takes everything but messages whose topic ends so; of MQTT 5 where it announces the ``most`` bytes it takes."""
    nothing = b"" if most is None else b"\0"
    dialled = [] if dialled is None else dialled

    async def serve(reader, writer):
        dialled.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async for kind, content in packets(reader):
                if kind == CONNECT:
                    says = b"" if most is None else b"\x05\x27" + most.to_bytes(4, "big")
                    writer.write(bytes((0x20, 2 + len(says), 0, 0)) + says)
                elif kind == SUBSCRIBE:
                    writer.write(bytes((0x90, 3 + len(nothing))) + content[:2] + nothing + b"\x01")
                elif kind == PUBLISH:
                    topic, mid = published(content)
                    if topic.endswith(leaf):
                        break
                    if taken is not None:
                        taken.append(topic)
                    writer.write(b"\x40\x02" + mid)
        writer.transport.abort()

    return serve


def test_a_bad_line_sets_nothing_aside(house, mosquitto):
    async def story():
        served = mosquitto()
        duty = DutyOffice(served.port)
        async with house.Relay(served.port) as line, house.running(duty):
            await duty.ready()
            gateway = house.Gateway(line.port)
            gateway.outbox.add("high", 200)
            async with house.running(gateway.mqtt):
                for n in range(6):
                    await house.until(lambda n=n: len(duty.arrivals) > 10 * n)
                    line.cut()
                await duty.settle(200)
                await house.until(lambda: gateway.outbox.cursors["city", "high"] == 200)
        assert gateway.outbox.kept_aside == []
        assert (duty.tally["doubled"], duty.tally["disordered"], duty.missing) == (0, 0, {})

    asyncio.run(story())
