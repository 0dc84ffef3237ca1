"""What a broker of MQTT 5 may say of itself, and what follows for what we send."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from instruments.packets import CONNECT, PUBLISH, SUBSCRIBE, packets, published

from gateway.sim.receiver import DutyOffice
from gateway.uplink import tolerance

SERVER_BUSY, SHUTTING_DOWN, USE_ANOTHER, SERVER_MOVED = 0x89, 0x8B, 0x9C, 0x9D
RATE_EXCEEDED, MOST_TIME = 0x9F, 0xA0


class Broker:
    """Ends each session by ``code`` when an alert of so many bytes comes (0: takes it)."""

    def __init__(self, code=0, least=0):
        self.code, self.least, self.sessions = code, least, 0

    async def serve(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async for kind, content in packets(reader):
                if kind == CONNECT:
                    self.sessions += 1
                    writer.write(b"\x20\x03\0\0\0")
                elif kind == SUBSCRIBE:
                    writer.write(b"\x90\x04" + content[:2] + b"\0\x01")
                elif kind == PUBLISH:
                    topic, mid = published(content)
                    if topic.endswith("/alerts") and self.code and len(content) >= self.least:
                        writer.write(b"\xe0\x02" + bytes((self.code, 0)))
                        break
                    writer.write(b"\x40\x03" + mid + b"\0")
            await writer.drain()
            writer.close()

    async def listen(self):
        return await asyncio.start_server(self.serve, "127.0.0.1", 0)


@pytest.mark.parametrize("code", [SERVER_BUSY, SHUTTING_DOWN, USE_ANOTHER, SERVER_MOVED, RATE_EXCEEDED, MOST_TIME])
def test_no_alert_is_blamed_where_the_broker_says_that_it_goes_for_a_reason_of_its_own(house, code):
    async def story():
        broker = Broker(code)
        async with await broker.listen() as server:
            gateway = house.Gateway(server.sockets[0].getsockname()[1])
            gateway.outbox.add("critical")
            async with house.running(gateway.mqtt):
                await house.until(lambda: broker.sessions > 2 * tolerance.STRIKES)
                broker.code = 0
                await house.until(lambda: gateway.outbox.cursors == {("city", "critical"): 1})
        assert gateway.mqtt.counts["alert_not_taken"] == 0

    asyncio.run(story())


def test_others_pass_one_by_which_alone_a_broker_goes_whatever_it_says(house):
    async def story():
        broker = Broker(SHUTTING_DOWN, least=9000)
        async with await broker.listen() as server:
            gateway = house.Gateway(server.sockets[0].getsockname()[1])
            gateway.outbox.add("critical", 1, longer=9000)
            gateway.outbox.add("critical", 2)
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.outbox.cursors == {("city", "critical"): 3})
                await house.until(lambda: gateway.outbox.kept_aside == [("critical", 1)])

    asyncio.run(story())


def test_a_broker_without_retained_messages_gets_everything_unretained(house, mosquitto):
    async def story():
        served = mosquitto(extra="retain_available false")
        gateway, duty = house.Gateway(served.port), DutyOffice(served.port)
        gateway.outbox.add("critical", 3)
        async with house.running(duty):
            await duty.ready()
            async with house.running(gateway.mqtt):
                await duty.settle(3)
                await house.until(lambda: gateway.up)
                await house.until(lambda: gateway.mqtt.counts["device_sent"] >= 2)
                sessions = gateway.mqtt.counts["connected"] - gateway.mqtt.counts["devices_cleared"]
                assert duty.statuses[house.source]["state"] == "online"
        assert (gateway.outbox.kept_aside, sessions) == ([], 1)

    asyncio.run(story())


def test_where_retained_messages_are_allowed_again_they_are_retained_again(house, mosquitto):
    async def story():
        served = mosquitto(extra="retain_available false")
        gateway = house.Gateway(served.port)
        async with house.running(gateway.mqtt):
            await house.until(lambda: gateway.up)
            served._extra = ""
            await asyncio.to_thread(served.stop)
            await asyncio.to_thread(served.start)
            await house.until(lambda: gateway.mqtt.counts["connected"] >= 2 and gateway.up)
            late = DutyOffice(served.port)
            async with house.running(late):
                await house.until(lambda: late.statuses.get(house.source, {}).get("state") == "online")

    asyncio.run(story())
