"""A broker that refuses an alert by a code (MQTT 5, 3.4.2.1), or swallows it: what it may be told next, and who is to blame."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from instruments.packets import CONNECT, PUBLISH, SUBSCRIBE, packets, published

from gateway.faults import StoreFault
from gateway.uplink import departures, lanes, retrial, silence
from gateway.uplink.departures import Departures
from gateway.uplink.parcel import Kind
from gateway.uplink.tolerance import STRIKES

NOT_AUTHORIZED, QUOTA_EXCEEDED = 0x87, 0x97
LARGE = 10_000


class Refuses:
    def __init__(self, code, least=LARGE):
        self.code, self.least = code, least


def refusing(code, heard, least=LARGE, *, stays=True):
    """A broker of MQTT 5 that refuses by this code all alerts of so many bytes (None: says nothing); what it hears of alerts goes to
    ``heard``. Unless it ``stays`` it hangs up behind its refusal.
    """
    refuses = code if isinstance(code, Refuses) else Refuses(code, least)

    async def serve(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async for kind, content in packets(reader):
                if kind == CONNECT:
                    writer.write(b"\x20\x03\0\0\0")
                elif kind == SUBSCRIBE:
                    writer.write(b"\x90\x04" + content[:2] + b"\0\x01")
                elif kind == PUBLISH:
                    topic, mid = published(content)
                    said = 0
                    if topic.endswith("/alerts"):
                        body = json.loads(content[content.index(b"{") :])
                        said = refuses.code if len(content) >= refuses.least else 0
                        heard.append(((body["lane"], int(body["sequence"])), said))
                    if said is not None:
                        writer.write(b"\x40\x03" + mid + bytes((said,)))
                    if said and not stays:
                        break
        with contextlib.suppress(OSError):
            await writer.drain()
            writer.close()

    return serve


@pytest.mark.parametrize("code", [0x80, 0x83, NOT_AUTHORIZED, 0x90, QUOTA_EXCEEDED])
def test_one_alert_that_is_refused_is_passed_by_all_others_in_the_same_session(house, code):
    async def story():
        heard = []
        broker = await asyncio.start_server(refusing(code, heard), "127.0.0.1", 0)
        async with broker:
            gateway = house.Gateway(broker.sockets[0].getsockname()[1])
            gateway.outbox.add("critical", 1, longer=LARGE)
            gateway.outbox.add("critical", 3)
            gateway.outbox.add("low", 3)
            async with house.running(gateway.mqtt):
                at = {("city", "critical"): 4, ("city", "low"): 3}
                await house.until(lambda: gateway.outbox.cursors == at)
                await house.until(lambda: gateway.core.health[-1:] == [("faulty", "set_aside")])
        assert (gateway.outbox.kept_aside, gateway.mqtt.counts["connected"]) == ([("critical", 1)], 1)
        taken = dict.fromkeys(place for place, said in heard if not said)
        assert list(taken) == [("critical", n) for n in (2, 3, 4)] + [("low", n) for n in (1, 2, 3)]

    asyncio.run(story())


def test_what_was_set_aside_and_is_refused_for_whatever_reason_ends_no_session_and_holds_up_no_other(house):
    async def story():
        heard = []
        broker = await asyncio.start_server(refusing(NOT_AUTHORIZED, heard), "127.0.0.1", 0)
        async with broker:
            gateway = house.Gateway(broker.sockets[0].getsockname()[1])
            gateway.outbox.add("critical", 1, longer=LARGE)
            gateway.outbox.cursors["city", "critical"] = 1
            await gateway.outbox.set_aside("city", "critical", 1)
            async with house.running(gateway.mqtt):
                await house.until(lambda: (("critical", 1), NOT_AUTHORIZED) in heard)
                gateway.outbox.add("low", 3)
                await house.until(lambda: gateway.outbox.cursors.get(("city", "low")) == 3)
        assert gateway.outbox.kept_aside == [("critical", 1)]
        assert (gateway.mqtt.counts["connected"], len(heard)) == (1, 4)

    asyncio.run(story())


@pytest.mark.parametrize("code", [0x80, NOT_AUTHORIZED, QUOTA_EXCEEDED])
def test_where_all_are_refused_nobody_is_blamed_and_they_come_in_order_when_all_are_taken(house, code):
    async def story():
        heard, refuses = [], Refuses(code, least=0)
        broker = await asyncio.start_server(refusing(refuses, heard), "127.0.0.1", 0)
        async with broker:
            gateway = house.Gateway(broker.sockets[0].getsockname()[1])
            gateway.outbox.add("critical", 4)
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.mqtt.counts["lost_publish_refused"] >= 9)
                assert gateway.core.health == [("lost", "publish_refused")]
                refuses.code = 0
                await house.until(lambda: gateway.outbox.cursors == {("city", "critical"): 4})
        assert gateway.outbox.kept_aside == []
        assert [place for place, said in heard if not said] == [("critical", n) for n in (1, 2, 3, 4)]

    asyncio.run(story())


def test_several_that_are_refused_for_themselves_are_passed_whatever_comes_between(house):
    async def story():
        heard = []
        broker = await asyncio.start_server(refusing(QUOTA_EXCEEDED, heard), "127.0.0.1", 0)
        async with broker:
            gateway = house.Gateway(broker.sockets[0].getsockname()[1])
            gateway.outbox.add("critical", 3, longer=LARGE)
            gateway.outbox.add("critical", 5)
            gateway.outbox.add("critical", 2, longer=LARGE)
            gateway.outbox.add("critical", 1)
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.outbox.cursors == {("city", "critical"): 11})
        assert sorted(gateway.outbox.kept_aside) == [("critical", n) for n in (1, 2, 3, 9, 10)]

    asyncio.run(story())


def test_a_new_critical_alert_passes_one_that_is_refused_alone(house):
    async def story():
        heard = []
        broker = await asyncio.start_server(refusing(QUOTA_EXCEEDED, heard), "127.0.0.1", 0)
        async with broker:
            gateway = house.Gateway(broker.sockets[0].getsockname()[1])
            gateway.mqtt._backoff_max_s, gateway.mqtt._chance = 600.0, lambda: 1.0
            gateway.outbox.add("critical", 1, longer=LARGE)
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.mqtt.counts["lost_publish_refused"] >= 2)
                assert gateway.core.health == [("lost", "publish_refused")]
                gateway.outbox.add("critical")
                await house.until(lambda: (("critical", 2), 0) in heard)
                await house.until(lambda: gateway.outbox.kept_aside == [("critical", 1)])

    asyncio.run(story())


def test_one_that_is_refused_without_a_reason_and_waits_all_alone_keeps_devices_from_nothing(house):
    async def story():
        broker = await asyncio.start_server(refusing(0x80, []), "127.0.0.1", 0)
        async with broker:
            gateway = house.Gateway(broker.sockets[0].getsockname()[1])
            gateway.outbox.add("critical", 1, longer=LARGE)
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.outbox.kept_aside == [("critical", 1)])
                await house.until(lambda: gateway.mqtt.counts["device_sent"] >= 2)

    asyncio.run(story())


@pytest.mark.parametrize("code", [NOT_AUTHORIZED, QUOTA_EXCEEDED])
def test_two_that_are_refused_keep_devices_and_readings_from_nothing(house, code):
    async def story():
        broker = await asyncio.start_server(refusing(code, []), "127.0.0.1", 0)
        async with broker:
            gateway = house.Gateway(broker.sockets[0].getsockname()[1])
            gateway.outbox.add("low", 2, longer=LARGE)
            gateway.mqtt.offer_telemetry("gas-501", b"{}")
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.mqtt.counts["device_sent"] >= 2)
                await house.until(lambda: gateway.mqtt.counts["telemetry_sent"])
        assert gateway.outbox.kept_aside == []

    asyncio.run(story())


def test_nothing_that_is_no_alert_goes_before_one_that_was_seldom_refused(house):
    async def story():
        outbox = house.MemoryOutbox()
        leaving = Departures("city", outbox, lambda: b"", lambda: {"gas-501": b"{}"})
        outbox.add("low", 2)

        async def session():
            leaving.restart()
            leaving.arrived(await leaving.next())  # the status
            left = []
            while (parcel := await leaving.next()) is not None:
                left.append(parcel.kind)
                leaving.arrived(parcel) if parcel.kind is Kind.DEVICE else leaving.doubt(parcel)
            assert leaving.denied
            leaving.recall()
            leaving.lost()
            return left

        for _ in range(STRIKES):
            assert await session() == [Kind.ALERT] * 2
        assert await session() == [Kind.DEVICE, Kind.ALERT, Kind.ALERT]
        outbox.add("low", 1)
        assert (await session())[0] is Kind.ALERT, "a new one"

    asyncio.run(story())


def test_each_doubt_needs_a_witness_of_its_own(house):
    async def story():
        outbox = house.MemoryOutbox()
        leaving = Departures("city", outbox, lambda: b"", dict)
        outbox.add("critical", 4)
        leaving.restart()
        leaving.arrived(await leaving.next())  # the status
        for sequence in (1, 3):
            leaving.doubt(doubted := await leaving.next())
            assert doubted.sequence == sequence
            leaving.arrived(witness := await leaving.next())
            assert witness.sequence == sequence + 1
            leaving.arrived(again := await leaving.next())
            assert again is doubted, "a quota lasts for a while"
        await leaving.save()
        assert (outbox.kept_aside, outbox.cursors) == ([], {("city", "critical"): 4})

    asyncio.run(story())


def test_a_broker_that_refuses_and_hangs_up_is_called_one_that_refuses(house):
    async def story():
        heard = []
        broker = await asyncio.start_server(refusing(NOT_AUTHORIZED, heard, least=0, stays=False), "127.0.0.1", 0)
        async with broker:
            gateway = house.Gateway(broker.sockets[0].getsockname()[1])
            gateway.outbox.add("critical", 3)
            async with house.running(gateway.mqtt):
                await house.until(lambda: len(heard) >= 9)
        assert gateway.core.health == [("lost", "publish_refused")]
        assert gateway.outbox.kept_aside == []

    asyncio.run(story())


def test_nobody_is_blamed_for_a_session_that_ended_because_alerts_are_forbidden(house):
    async def story():
        outbox = house.MemoryOutbox()
        leaving = Departures("city", outbox, lambda: b"", lambda: {"gas-501": b"{}"})
        for n in range(1, 4):
            outbox.add("high", 2)
            leaving.restart()
            leaving.arrived(await leaving.next())  # the status
            leaving.arrived(await leaving.next())
            outbox.cursors["city", "high"] = 2 * n - 1
            second, device = await leaving.next(), await leaving.next()
            assert (second.sequence, device.kind) == (2 * n, Kind.DEVICE)
            leaving.recall()
            assert not leaving.lost()
            outbox.cursors["city", "high"] = 2 * n

    asyncio.run(story())


def test_nor_for_the_answers_to_several_that_it_swallows(house, monkeypatch):
    monkeypatch.setattr(silence, "SILENCE_S", 0.2)

    async def story():
        heard = []
        broker = await asyncio.start_server(refusing(None, heard), "127.0.0.1", 0)
        async with broker:
            gateway = house.Gateway(broker.sockets[0].getsockname()[1], answer_s=2.0)
            gateway.outbox.add("critical", 3, longer=LARGE)
            async with house.running(gateway.mqtt):
                await house.until(lambda: heard)
                gateway.outbox.add("critical")
                await house.until(lambda: (("critical", 4), 0) in heard)
                assert gateway.mqtt.counts["connected"] == 1
                await house.until(lambda: gateway.mqtt.counts["connected"] == 2)
                await house.until(lambda: gateway.mqtt.counts["alert_sent"] == 5)
                gateway.outbox.add("critical")
                await house.until(lambda: (("critical", 5), 0) in heard)
                assert gateway.mqtt.counts["connected"] == 2

    asyncio.run(story())


def test_the_wait_for_a_silent_broker_ends_by_itself(house, monkeypatch):
    monkeypatch.setattr(silence, "SILENCE_S", 0.2)

    async def story():
        heard = []
        broker = await asyncio.start_server(refusing(None, heard), "127.0.0.1", 0)
        async with broker:
            gateway = house.Gateway(broker.sockets[0].getsockname()[1], answer_s=30.0)
            gateway.mqtt._look_again_s = 600.0
            gateway.outbox.add("critical", 1, longer=LARGE)
            gateway.outbox.add("critical")
            async with house.running(gateway.mqtt):
                await house.until(lambda: (("critical", 2), 0) in heard, 15)

    asyncio.run(story())


def test_a_suspect_critical_alert_does_not_wait_for_the_answer_to_one_that_is_tried_again(house, monkeypatch):
    """It can come behind one only where the disk could not be read before."""
    now = [0.0]
    for module in (departures, lanes, retrial, silence):
        monkeypatch.setattr(module, "_now", lambda: now[0])

    async def story():
        outbox = house.MemoryOutbox()
        outbox.add("low", 1)
        outbox.cursors["city", "low"] = 1
        await outbox.set_aside("city", "low", 1)
        leaving = Departures("city", outbox, lambda: b"", dict)
        outbox.add("critical")
        leaving.restart()
        leaving.arrived(await leaving.next())  # the status
        assert (await leaving.next()).lane == "critical"
        leaving.lost()
        take, outbox.take = outbox.take, unreadable
        leaving.restart()
        leaving.arrived(await leaving.next())
        while (late := await leaving.next()) is None:
            await asyncio.sleep(0)
        assert late.aside
        outbox.take = take
        leaving.look()
        assert await leaving.next() is None, "whose fault would it be, if the session broke at once"
        now[0] += silence.SILENCE_S
        assert (await leaving.next()).lane == "critical"

    asyncio.run(story())


async def unreadable(uplink, lane, n):
    raise StoreFault("disk")


def test_a_critical_alert_does_not_wait_for_the_answer_to_one_that_the_broker_swallows(house, monkeypatch):
    monkeypatch.setattr(silence, "SILENCE_S", 0.2)

    async def story():
        heard = []
        broker = await asyncio.start_server(refusing(None, heard), "127.0.0.1", 0)
        async with broker:
            gateway = house.Gateway(broker.sockets[0].getsockname()[1], answer_s=30.0)
            gateway.outbox.add("critical", 1, longer=LARGE)
            async with house.running(gateway.mqtt):
                await house.until(lambda: heard)
                gateway.outbox.add("low")
                gateway.outbox.add("critical", 2)
                await house.until(lambda: (("critical", 3), 0) in heard, 15)
        assert gateway.mqtt.counts["connected"] == 1
        assert [place for place, _ in heard][:3] == [("critical", n) for n in (1, 2, 3)]

    asyncio.run(story())
