"""The pauses between sessions are earned by what failed, and places of the window are kept: a critical alert waits for neither."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from instruments.packets import CONNECT, PUBLISH, SUBSCRIBE, packets, published

from gateway.sim.broker import Tls
from gateway.sim.ports import free_port
from gateway.uplink import lanes
from gateway.uplink.departures import WINDOW, Departures
from gateway.uplink.lanes import URGENT_S
from gateway.uplink.mqtt import BACKOFF_FIRST_S
from gateway.uplink.parcel import Kind, Parcel
from gateway.uplink.tolerance import STRIKES

LARGE = 10_000


def hanging_up(taken):
    """A broker of MQTT 3.1.1 that hangs up on alerts of so many bytes."""

    async def serve(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async for kind, content in packets(reader):
                if kind == CONNECT:
                    writer.write(b"\x20\x02\0\0")
                elif kind == SUBSCRIBE:
                    writer.write(b"\x90\x03" + content[:2] + b"\x01")
                elif kind == PUBLISH:
                    topic, mid = published(content)
                    if len(content) >= LARGE:
                        break
                    if topic.endswith("/alerts"):
                        body = json.loads(content[content.index(b"{") :])
                        taken.append((body["lane"], int(body["sequence"])))
                    writer.write(b"\x40\x02" + mid)
        writer.transport.abort()

    return serve


class Pauses:
    """Long ones never end by themselves."""

    def __init__(self):
        self.long = 0

    async def __call__(self, seconds):
        if seconds > BACKOFF_FIRST_S:
            self.long += 1
            await asyncio.Event().wait()


@pytest.mark.parametrize("guilty", ["critical", "low"])
def test_a_new_critical_alert_waits_for_no_pause_that_others_earned(house, monkeypatch, guilty):
    monkeypatch.setattr(lanes, "URGENT_S", 0.0)

    async def story():
        taken, pauses = [], Pauses()
        async with await asyncio.start_server(hanging_up(taken), "127.0.0.1", 0) as server:
            gateway = house.Gateway(server.sockets[0].getsockname()[1], protocol="3.1.1")
            gateway.mqtt._sleep, gateway.mqtt._backoff_max_s = pauses, 10.0
            gateway.mqtt._chance = lambda: 1.0
            gateway.outbox.add(guilty, 2, longer=LARGE)
            async with house.running(gateway.mqtt):
                await house.until(lambda: pauses.long)
                gateway.outbox.add("critical")
                await house.until(lambda: taken)
        assert taken[0] == ("critical", 3 if guilty == "critical" else 1)

    asyncio.run(story())


def test_it_is_news_for_as_long_as_an_alarm_may_take_and_not_where_a_session_had_it_before(house, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(lanes, "_now", lambda: now[0])

    async def story():
        outbox = house.MemoryOutbox()
        leaving = Departures("city", outbox, lambda: b"", dict)
        outbox.add("critical", 2)
        leaving.restart()
        leaving.arrived(await leaving.next())  # the status
        assert (await leaving.next()).sequence == 1
        leaving.lost()
        await leaving.urgent()
        now[0] += URGENT_S
        waiting = asyncio.create_task(leaving.urgent())
        for lane, is_news in (("low", False), ("critical", True)):
            await asyncio.sleep(0)
            outbox.add(lane)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert waiting.done() == is_news
        await leaving.urgent()
        now[0] += URGENT_S
        again = asyncio.create_task(leaving.urgent())
        for _ in range(9):
            await asyncio.sleep(0)
        assert not again.done(), "a broker that is away is not dialled for ever without a pause"
        again.cancel()

    asyncio.run(story())


def test_devices_and_readings_wait_for_no_alerts_that_end_every_session(house):
    async def story():
        taken = []
        async with await asyncio.start_server(hanging_up(taken), "127.0.0.1", 0) as server:
            gateway = house.Gateway(server.sockets[0].getsockname()[1], protocol="3.1.1")
            gateway.outbox.add("critical", 2, longer=LARGE)
            async with house.running(gateway.mqtt):
                for _ in range(3):
                    gateway.mqtt.offer_telemetry("gas-501", b"{}")
                await house.until(lambda: gateway.mqtt.counts["telemetry_sent"] == 3)
                await house.until(lambda: gateway.mqtt.counts["device_sent"] >= 2)
                gateway.outbox.add("low")
                await house.until(lambda: taken == [("low", 1)])
        assert gateway.mqtt.counts["telemetry_dropped"] == 0

    asyncio.run(story())


def test_what_no_alert_is_goes_before_accused_ones_a_window_of_it_in_each_session(house):
    async def story():
        outbox = house.MemoryOutbox()
        leaving = Departures("city", outbox, lambda: b"", lambda: {"gas-501": b"{}"})
        outbox.add("critical", 2)
        for _ in range(3 * WINDOW):
            leaving.offer("gas-501", b"{}")
        sent = []
        for _ in range(2 * STRIKES + 1):
            leaving.restart()
            leaving.arrived(await leaving.next())  # the status
            sent = []
            while (parcel := await leaving.next()).kind is not Kind.ALERT:
                sent.append(parcel)
                leaving.arrived(parcel)
            leaving.lost()
        assert [parcel.kind for parcel in sent] == [Kind.DEVICE] + [Kind.TELEMETRY] * WINDOW

    asyncio.run(story())


def test_what_was_set_aside_waits_for_no_accused_ones_of_a_lower_lane(house):
    async def story():
        outbox = house.MemoryOutbox()
        leaving = Departures("city", outbox, lambda: b"", dict)
        outbox.add("low", 2)

        async def session():
            leaving.restart()
            leaving.arrived(await leaving.next())  # the status
            return await leaving.next()

        for _ in range(2 * STRIKES):
            await session()
            leaving.lost()
        outbox.add("critical")
        leaving.refused(await session())  # by name
        await leaving.save()
        assert outbox.kept_aside == [("critical", 1)]
        left = []
        for _ in range(2 * STRIKES):
            leaving.lost()
            left.append((await session()).aside)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert left.count(True) == 1, "and then it rests"

    asyncio.run(story())


async def filled(house):
    """Departures with a whole window of a backlog on its way, and what is there."""
    outbox = house.MemoryOutbox()
    outbox.add("low", 500)
    leaving = Departures("city", outbox, lambda: b"", dict)
    leaving.restart()
    for _ in range(200):  # the status, the alert on trial, and what shows that the line is quick
        leaving.arrived(await leaving.next())
    under_way = []
    while (parcel := await leaving.next()) is not None:
        under_way.append(parcel)
    outbox.add("critical")
    leaving.look()
    return leaving, under_way


def test_a_new_critical_alert_waits_for_no_place_behind_a_backlog(house):
    async def story():
        leaving, under_way = await filled(house)
        assert len(under_way) > 10
        assert (await leaving.next()).lane == "critical"

    asyncio.run(story())


def test_who_moves_to_another_broker_lets_nothing_more_leave_here(house):
    async def story():
        leaving, under_way = await filled(house)
        settled = asyncio.create_task(leaving.settle())
        await asyncio.sleep(0)
        for parcel in under_way:
            assert not settled.done()
            leaving.arrived(parcel)
            assert await leaving.next() is None
        await settled

    asyncio.run(story())


@pytest.mark.parametrize(
    "news",
    [
        lambda leaving: leaving.status_changed(),
        lambda leaving: leaving.device_changed("gas-501"),
        lambda leaving: leaving.offer("gas-501", b"{}"),
        lambda leaving: leaving.look(),
        lambda leaving: leaving.unheard(Parcel(Kind.ALERT, "alerts", b"")),
    ],
    ids=["status", "device", "reading", "outbox", "unheard"],
)
def test_whatever_is_news_wakes_who_sends(house, news):
    async def story():
        leaving = Departures("city", house.MemoryOutbox(), lambda: b"", dict)
        leaving.restart()
        leaving.wake.clear()
        news(leaving)
        assert leaving.wake.is_set()

    asyncio.run(story())


@pytest.fixture
def expired(house, mosquitto, tmp_path):
    ours = house.Authority(tmp_path, "our-ca")
    served = mosquitto(tls=Tls(ours.ca_file, *ours.issue("broker", days=(-20, -10))))
    return served.port, {"tls": True, "ca_file": ours.ca_file}


def waiting(house, port, trusted=False, **fields):
    """A gateway whose pauses are long and never end by themselves."""
    gateway, pauses = house.Gateway(port, wall_ms=None if trusted else lambda: None, **fields), Pauses()
    gateway.mqtt._sleep, gateway.mqtt._backoff_max_s = pauses, 10.0
    gateway.mqtt._chance = lambda: 1.0
    return gateway, pauses


@pytest.mark.parametrize("trusted", [False, True])
def test_a_certificate_is_judged_anew_as_soon_as_the_clock_is_another(house, expired, trusted):
    """Whichever clock it was: one that nobody trusts, or one that was called right and was put right."""

    async def story():
        port, fields = expired
        gateway, pauses = waiting(house, port, trusted, **fields)
        async with house.running(gateway.mqtt):
            for n in range(1, 4):
                await house.until(lambda n=n: pauses.long == n)
                tried = gateway.mqtt.counts["connects_tried"]
                await asyncio.sleep(0.2)
                assert gateway.mqtt.counts["connects_tried"] == tried
                gateway.mqtt.clock_moved()
                await house.until(lambda tried=tried: gateway.mqtt.counts["connects_tried"] > tried)
            assert gateway.mqtt.counts["connects_tried"] == tried + 1, "once for each word of the clock"

    asyncio.run(story())


def test_the_clock_may_move_while_a_certificate_is_judged(house, expired):
    async def story():
        port, fields = expired
        gateway, pauses = waiting(house, port, **fields)
        async with house.running(gateway.mqtt):
            await house.until(lambda: pauses.long == 1)
            tried = gateway.mqtt.counts["connects_tried"]
            gateway.mqtt.clock_moved()
            await house.until(lambda: gateway.mqtt.counts["connects_tried"] > tried)
            gateway.mqtt.clock_moved()
            await house.until(lambda: pauses.long == 3)
            await asyncio.sleep(0.1)
            assert pauses.long == 3

    asyncio.run(story())


def test_no_other_pause_ends_by_a_clock(house):
    async def story():
        gateway, pauses = waiting(house, free_port())
        async with house.running(gateway.mqtt):
            await house.until(lambda: pauses.long)
            gateway.mqtt.clock_moved()
            await asyncio.sleep(0.1)
            assert pauses.long == 1

    asyncio.run(story())
