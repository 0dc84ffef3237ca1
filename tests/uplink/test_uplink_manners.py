"""A broker that says what none says, or whoever speaks in its place: the session ends or goes on, and nothing of ours fills or turns."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path

import pytest
from instruments.packets import CONNECT, PUBACK, PUBLISH, SUBSCRIBE, packets, publish, published

PREFIX = "loudong/v1/fukang/gw-1/"
THEN = "2026-10-06T09:05:35Z"
THEN_MS = 1_791_277_535_000
ORDER = {"command_id": "c-1", "issued_at": THEN, "who": "grid-li", "alert": "0123456789abcdef", "reason": "on my way"}
MEGABYTE = 1 << 20


class Odd:
    """A broker that says ``words`` behind its second SUBACK, and serves well else."""

    def __init__(self, protocol, *words, suback=b"\x01"):
        self.five, self.words, self.suback = protocol == "5", words, suback
        self.sessions, self.acknowledged = 0, 0

    async def serve(self, reader, writer):
        self.sessions += 1
        subscribed = 0
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async for kind, content in packets(reader):
                if kind == CONNECT:
                    writer.write(b"\x20\x03\0\0\0" if self.five else b"\x20\x02\0\0")
                elif kind == SUBSCRIBE:
                    codes = b"\0" * self.five + self.suback
                    writer.write(bytes((0x90, 2 + len(codes))) + content[:2] + codes)
                    subscribed += 1
                    for word in self.words if subscribed == 2 else ():
                        writer.write(word)
                        await writer.drain()
                elif kind == PUBLISH:
                    writer.write(b"\x40\x02" + published(content)[1])
                elif kind == PUBACK:
                    self.acknowledged += 1


@contextlib.asynccontextmanager
async def met(house, broker):
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    gateway = house.Gateway(port, protocol="5" if broker.five else "3.1.1", wall_ms=lambda: THEN_MS)
    gateway.outbox.add("critical")
    async with house.running(gateway.mqtt):
        yield gateway
    server.close()


def order(five, topic="commands/duty/ack", **fields):
    return publish(PREFIX + topic, json.dumps(ORDER | fields).encode(), b"\0" * five)


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("topic", [b"", b"\xff\xfe", b"commands/+/#"])
def test_a_message_whose_topic_nobody_can_read_is_forgotten_and_the_next_one_heard(house, protocol, topic):
    if protocol == "3.1.1" and not topic:
        pytest.skip("a packet that the library refuses itself")
    five = protocol == "5"

    async def story():
        broker = Odd(
            protocol, publish("ab", b"{}", b"\0" * five).replace(b"\x02ab", bytes((len(topic),)) + topic), order(five)
        )
        broker.words = (_lengthened(broker.words[0], len(topic) - 2), broker.words[1])
        async with met(house, broker) as gateway:
            await house.until(lambda: gateway.core.commands and broker.acknowledged == 2)
            assert broker.sessions <= 2, "the second one sweeps"
            assert gateway.mqtt.counts["connected"] == 1

    asyncio.run(story())


def _lengthened(packet, by):
    return packet[:1] + bytes((packet[1] + by,)) + packet[2:]


def test_such_a_message_before_anything_was_accepted_costs_no_time(house):
    async def story():
        odd = publish("", b"{}", b"\0")

        async def serve(reader, writer):
            writer.write(odd)
            with contextlib.suppress(OSError):
                await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        gateway = house.Gateway(server.sockets[0].getsockname()[1], protocol="5", answer_s=1.0)
        async with house.running(gateway.mqtt):
            await house.until(lambda: gateway.core.health)
            began = time.process_time()
            await asyncio.sleep(1.0)
            assert time.process_time() - began < 0.5
            assert set(gateway.core.health) == {("lost", "protocol")}

    asyncio.run(story())


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_of_a_message_without_measure_no_more_is_held_than_an_order_may_have(house, protocol):
    """A hundred megabytes, of which MQTT 3.1.1 cannot say that we do not take them: refused, and the next order is heard."""
    five, most = protocol == "5", 100 * MEGABYTE

    async def story():
        head = publish(PREFIX + "commands/duty/ack", b"", b"\0" * five)[2:]
        length = len(head) + most
        said = bytes(length >> shift & 0x7F | (0x80 if shift < 21 else 0) for shift in (0, 7, 14, 21))
        broker = Odd(protocol, b"\x32" + said + head, *[b" " * MEGABYTE] * 100, order(five))
        before, peak = resident(), 0
        async with met(house, broker) as gateway:
            async with asyncio.timeout(60):
                while not gateway.core.commands:
                    peak = max(peak, resident() - before)
                    await asyncio.sleep(0.005)
            assert gateway.mqtt.counts["refused_too_large"] == 1
            assert gateway.mqtt.counts["connected"] == 1
            assert peak < 20 * MEGABYTE

    asyncio.run(story())


@pytest.mark.parametrize(
    "word",
    [b"\xc0\0", b"\x34\x05\0\x01a\0\x07", b"\x36\x05\0\x01a\0\x07", b"\x50\x02\0\x07", b"\x62\x02\0\x07", b"\x70\x02\0\x07",
     b"\xb0\x02\0\x07", b"\x20\x02\0\0", b"\xf0\0", b"\x10\0"],
    ids=["pingreq", "qos-2", "qos-3", "pubrec", "pubrel", "pubcomp", "unsuback", "connack", "auth", "connect"],
)  # fmt: skip
def test_who_says_what_answers_nothing_is_hung_up_on(house, word):
    async def story():
        async with met(house, Odd("3.1.1", word)) as gateway:
            await house.until(lambda: gateway.mqtt.counts["lost_protocol"])

    asyncio.run(story())


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_an_answer_without_a_word_is_no_leave_to_listen(house, protocol):
    async def story():
        async with met(house, Odd(protocol, suback=b"")) as gateway:
            await house.until(lambda: ("faulty", "subscribe_refused") in gateway.core.health)

    asyncio.run(story())
