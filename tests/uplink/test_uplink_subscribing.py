"""A broker that does not let us listen, and how it says so: no alert waits for its word, and none is blamed for it."""

from __future__ import annotations

import asyncio
import contextlib
from unittest import mock

import pytest
from instruments.packets import CONNECT, PUBLISH, SUBSCRIBE, packets, published

from gateway.uplink import subscribing
from gateway.uplink.departures import Departures

SILENT, HANGS_UP, ANSWERS = "silent", "hangs up", "answers"


class Broker:
    """Of MQTT 3.1.1; ``manner`` is what it does when it is asked for topics."""

    def __init__(self, manner):
        self.manner, self.taken, self.asked = manner, [], []

    async def serve(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async for kind, content in packets(reader):
                if kind == CONNECT:
                    writer.write(b"\x20\x02\0\0")
                elif kind == SUBSCRIBE:
                    self.asked.append(len(self.taken))
                    if self.manner == HANGS_UP:
                        break
                    if self.manner == ANSWERS:
                        writer.write(b"\x90\x03" + content[:2] + b"\x01")
                elif kind == PUBLISH:
                    topic, mid = published(content)
                    self.taken += [topic] if topic.endswith("/alerts") else []
                    writer.write(b"\x40\x02" + mid)
        writer.transport.abort()


@pytest.mark.parametrize("manner", [SILENT, HANGS_UP])
def test_alerts_leave_though_the_broker_does_not_let_us_listen(house, monkeypatch, manner):
    monkeypatch.setattr(subscribing, "PATIENCE_S", 0.1)
    monkeypatch.setattr(subscribing, "FIRST_REST_S", 600.0)

    async def story():
        broker = Broker(manner)
        async with await asyncio.start_server(broker.serve, "127.0.0.1", 0) as server:
            gateway = house.Gateway(server.sockets[0].getsockname()[1], protocol="3.1.1", answer_s=1.0)
            gateway.outbox.add("critical", 40)
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.outbox.cursors.get(("city", "critical")) == 40)
                await house.until(lambda: gateway.core.health[-1:] == [("faulty", "subscribe_refused")])
                stays = gateway.mqtt.counts["connected"]
                gateway.outbox.add("critical")
                await house.until(lambda: gateway.outbox.cursors.get(("city", "critical")) == 41)
        assert gateway.mqtt.counts["connected"] == stays
        assert (gateway.outbox.kept_aside, len(broker.taken)) == ([], 41)
        assert stays <= subscribing.STRIKES + 1

    asyncio.run(story())


def test_a_broker_that_hung_up_is_asked_again_and_heard_when_it_is_well(house, monkeypatch):
    monkeypatch.setattr(subscribing, "FIRST_REST_S", 0.2)

    async def story():
        broker = Broker(HANGS_UP)
        async with await asyncio.start_server(broker.serve, "127.0.0.1", 0) as server:
            gateway = house.Gateway(server.sockets[0].getsockname()[1], protocol="3.1.1")
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.core.health[-1:] == [("faulty", "subscribe_refused")])
                broker.manner = ANSWERS
                await house.until(lambda: gateway.up)

    asyncio.run(story())


def test_the_rests_double_and_begin_anew_when_the_broker_has_answered(house):
    async def story():
        asking = subscribing.Subscribing("city", "loudong/", lambda: None)
        loop = asyncio.get_running_loop()

        def broke():
            asking.begin()
            asking._is_asking = True
            asking.lost()
            return round(asking._rests_until - loop.time(), -1)

        rests = [broke() for _ in range(subscribing.STRIKES + 7)][subscribing.STRIKES - 1 :]
        assert rests == [10, 20, 40, 80, 160, 320, 600, 600]
        await asking._ask(mock.AsyncMock())
        assert [broke() for _ in range(subscribing.STRIKES)][-1] == 10

    asyncio.run(story())


def test_where_a_session_broke_by_what_was_asked_the_next_one_asks_behind_the_alerts(house):
    async def story():
        broker = Broker(HANGS_UP)
        async with await asyncio.start_server(broker.serve, "127.0.0.1", 0) as server:
            gateway = house.Gateway(server.sockets[0].getsockname()[1], protocol="3.1.1")
            gateway.outbox.add("critical")
            async with house.running(gateway.mqtt):
                await house.until(lambda: len(broker.asked) == 2)
        assert broker.asked == [0, 1]

    asyncio.run(story())


@pytest.mark.parametrize("shown", ["taken", "unheard"])
def test_one_alert_shows_that_the_broker_is_one_whatever_waits_behind_it(house, shown):
    """Else nobody's answer would be heard before a whole backlog has left."""

    async def story():
        outbox = house.MemoryOutbox()
        outbox.add("low", 300)
        leaving = Departures("city", outbox, lambda: b"", dict)
        leaving.restart()
        leaving.arrived(await leaving.next())  # the status
        first = await leaving.next()
        assert not leaving.proven
        leaving.arrived(first) if shown == "taken" else leaving.unheard(first)
        assert leaving.proven

    asyncio.run(story())
