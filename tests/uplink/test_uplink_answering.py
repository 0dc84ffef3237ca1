"""A broker that hangs up on an answer: no alert is blamed for it, and the gateway does not answer for ever."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter

from instruments.packets import CONNECT, PUBACK, PUBLISH, SUBSCRIBE, packets, publish, published

from gateway.uplink.answering import Answering
from gateway.uplink.session import packed_bytes, packet_bytes
from gateway.uplink.tolerance import STRIKES

PREFIX = "loudong/v1/fukang/gw-1/"
ACK = f"{PREFIX}commands/duty/ack"
ORDER = json.dumps({"command_id": "c-1", "issued_at": "2999-01-01T00:00:00Z", "who": "grid-li"}).encode()


class Grudge:
    """A broker of MQTT 3.1.1 that keeps one order until it is acknowledged, gives it to each session that has an alert on its way, and
    hangs up on the answer. No alert is taken before the order is.
    """

    def __init__(self):
        self._order = publish(ACK, ORDER)
        self.forgotten, self.answers, self.alerts = False, 0, 0

    async def serve(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async for kind, content in packets(reader):
                if kind == CONNECT:
                    writer.write(b"\x20\x02\0\0")
                elif kind == SUBSCRIBE:
                    writer.write(b"\x90\x03" + content[:2] + b"\x01")
                elif kind == PUBACK:
                    self.forgotten = True
                elif kind == PUBLISH:
                    topic, mid = published(content)
                    if "/replies/" in topic:
                        self.answers += 1
                        break
                    if topic.endswith("/alerts") and not self.forgotten:
                        writer.write(self._order)
                        continue
                    self.alerts += topic.endswith("/alerts")
                    writer.write(b"\x40\x02" + mid)
        writer.transport.abort()


def test_an_answer_that_ends_every_session_is_left_out_and_no_alert_is_blamed_for_it(house):
    async def story():
        grudge = Grudge()
        async with await asyncio.start_server(grudge.serve, "127.0.0.1", 0) as broker:
            gateway = house.Gateway(broker.sockets[0].getsockname()[1], protocol="3.1.1", answer_s=1.0)
            gateway.outbox.add("critical")
            async with house.running(gateway.mqtt):
                await house.until(lambda: grudge.forgotten)
                await house.until(lambda: gateway.outbox.cursors.get(("city", "critical")) == 1)
                await house.until(lambda: gateway.up)
        assert (grudge.answers, gateway.mqtt.counts["replies_not_taken"]) == (STRIKES, 1)
        assert gateway.mqtt.counts["alert_not_taken"] == 0
        assert grudge.alerts == 1

    asyncio.run(story())


class Line:
    """A session that takes answers and says nothing."""

    most = None

    def send(self, *_, **__):
        return asyncio.get_running_loop().create_future()


def test_where_one_answer_was_left_out_the_next_one_ends_one_session_until_one_passes(house):
    async def story():
        counts = Counter()
        answering = Answering(house.Gateway(1).uplink, "fukang", "gw-1", PREFIX, counts)

        async def sessions(command, passes=False):
            """How many end by the answer to this command."""
            for ended in range(9):
                answering.begin()
                line = Line()
                answer = line.send()
                line.send = lambda *_, answer=answer, **__: answer
                telling = asyncio.create_task(answering._deliver(line, ("replies/duty", command), b"", None))
                await asyncio.sleep(0)
                if passes:
                    answer.set_result(0)
                    await telling
                    assert not answering.lost(), "what ends a session behind it is another's fault"
                if telling.done():
                    return ended
                telling.cancel()
                assert answering.lost()
            return None

        assert [await sessions("c-1"), await sessions("c-2"), await sessions("c-3")] == [STRIKES, 1, 1]
        assert counts["replies_not_taken"] == 3
        assert await sessions("c-4", passes=True) == 0
        assert await sessions("c-5") == STRIKES

    asyncio.run(story())


def test_an_answer_larger_than_the_broker_takes_is_left_out_and_the_session_goes_on(house):
    async def story():
        counts, line, topic = Counter(), Line(), "replies/duty"
        answering = Answering(house.Gateway(1).uplink, "fukang", "gw-1", PREFIX, counts)
        size = packet_bytes(PREFIX + topic, b"{}", packed_bytes(None))
        for line.most, waits in ((size - 1, False), (size, True)):
            telling = asyncio.create_task(answering._deliver(line, (topic, "c-1"), b"{}", None))
            await asyncio.sleep(0)
            assert telling.done() is not waits
            telling.cancel()
        assert counts == {"replies_too_large": 1}

    asyncio.run(story())


def test_an_answer_waits_for_its_place_at_a_broker_that_takes_one_message_at_a_time(house):
    """Receive Maximum 1 (MQTT 5, 3.3.4): whoever sends a second one before the PUBACK of the first is hung up on."""

    async def story():
        seen = []

        async def serve(reader, writer):
            unanswered = []

            def answer():
                writer.write(b"\x40\x02" + unanswered.pop(0))

            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                async for kind, content in packets(reader):
                    if kind == CONNECT:
                        writer.write(b"\x20\x06\0\0\x03\x21\0\x01")
                    elif kind == SUBSCRIBE:
                        writer.write(b"\x90\x04" + content[:2] + b"\0\x01")
                    elif kind == PUBLISH:
                        topic, mid = published(content)
                        unanswered.append(mid)
                        seen.append((topic.removeprefix(PREFIX), len(unanswered)))
                        slow = topic.endswith("/alerts")
                        if slow:
                            writer.write(publish(ACK, ORDER, b"\0"))
                        asyncio.get_running_loop().call_later(0.3 * slow, answer)
            writer.transport.abort()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as broker:
            gateway = house.Gateway(broker.sockets[0].getsockname()[1], protocol="5")
            gateway.outbox.add("critical")
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.mqtt.counts["replies"])
        assert seen[:3] == [("status", 1), ("alerts", 1), ("replies/duty", 1)]

    asyncio.run(story())
