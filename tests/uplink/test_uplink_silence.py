"""A broker that swallows alerts, whatever it takes at once: a live critical one waits a second for it, and not for its answer."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from instruments.packets import CONNECT, PUBLISH, SUBSCRIBE, packets, published

from gateway.uplink import departures, lanes, retrial, silence, tolerance, wire
from gateway.uplink.departures import Departures
from gateway.uplink.payloads import status_body

LARGE = 10_000


class Broker:
    """Of MQTT 5, takes so many at ``once`` (Receive Maximum), and hangs up on who sends more; says nothing to large alerts."""

    def __init__(self, once):
        self.once, self.taken, self.swallowed, self.beyond = once, [], [], 0

    async def serve(self, reader, writer):
        owed = 0
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async for kind, content in packets(reader):
                if kind == CONNECT:
                    writer.write(b"\x20\x06\0\0\x03\x21" + self.once.to_bytes(2, "big"))
                elif kind == SUBSCRIBE:
                    writer.write(b"\x90\x04" + content[:2] + b"\0\x01")
                elif kind == PUBLISH:
                    topic, mid = published(content)
                    if owed >= self.once:
                        self.beyond += 1
                        break
                    if topic.endswith("/alerts"):
                        body = json.loads(content[content.index(b"{") :])
                        is_large = len(content) >= LARGE
                        (self.swallowed if is_large else self.taken).append((body["lane"], int(body["sequence"])))
                        owed += is_large
                        if is_large:
                            continue
                    writer.write(b"\x40\x03" + mid + b"\0")
        writer.transport.abort()

    async def listen(self):
        return await asyncio.start_server(self.serve, "127.0.0.1", 0)


@pytest.fixture
def brief(monkeypatch):
    monkeypatch.setattr(silence, "SILENCE_S", 0.3)


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("guilty", ["critical", "low"])
@pytest.mark.parametrize("once", [1, 2, 3, 4, 20])
def test_a_live_critical_alert_waits_for_no_answer_that_a_broker_owes(house, once, guilty):
    async def story():
        broker = Broker(once)
        async with await broker.listen() as server:
            gateway = house.Gateway(server.sockets[0].getsockname()[1], answer_s=600.0)
            gateway.outbox.add(guilty, 1, longer=LARGE)
            async with house.running(gateway.mqtt):
                await house.until(lambda: broker.swallowed)
                loop, took = asyncio.get_running_loop(), []
                for n in range(1 + (guilty == "critical"), 4):
                    gateway.outbox.add("critical")
                    began = loop.time()
                    await house.until(lambda n=n: ("critical", n) in broker.taken)
                    took.append(f"{loop.time() - began:.2f}")
                print(f"Receive Maximum {once}, behind a {guilty} one: after {', '.join(took)} s")
                assert gateway.mqtt.counts["connected"] == 1 or once == 1
        assert (broker.beyond, ("city", guilty) in gateway.outbox.cursors) == (0, False)

    asyncio.run(story())


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("once", [1, 2, 4, 20])
def test_several_that_a_broker_swallows_keep_it_waiting_no_longer_than_their_turns(house, once):
    async def story():
        broker = Broker(once)
        async with await broker.listen() as server:
            gateway = house.Gateway(server.sockets[0].getsockname()[1], answer_s=600.0)
            gateway.outbox.add("critical", 4, longer=LARGE)
            gateway.outbox.add("critical")
            async with house.running(gateway.mqtt):
                await house.until(lambda: broker.taken)
        assert (broker.taken[0], broker.beyond) == (("critical", 5), 0)
        assert gateway.outbox.cursors == {}

    asyncio.run(story())


@pytest.mark.usefixtures("brief")
def test_what_a_broker_of_one_message_swallows_is_set_aside_though_critical_ones_come_all_the_time(house):
    async def story():
        broker = Broker(1)
        async with await broker.listen() as server:
            gateway = house.Gateway(server.sockets[0].getsockname()[1], answer_s=600.0)
            gateway.outbox.add("critical", 1, longer=LARGE)
            gateway.outbox.add("low")
            async with house.running(gateway.mqtt):
                while not gateway.outbox.kept_aside:
                    gateway.outbox.add("critical")
                    last = ("critical", len(gateway.outbox.messages["critical"]))
                    await house.until(lambda last=last: last in broker.taken)
                await house.until(lambda: ("low", 1) in broker.taken)
        assert gateway.outbox.kept_aside == [("critical", 1)]
        first = list(dict.fromkeys(broker.taken))
        assert first == sorted(first), "each lane in order"

    asyncio.run(story())


class Slowly:
    """Departures on a clock of their own, before a broker that answers when the test says so."""

    def __init__(self, house, monkeypatch):
        self.now, self.outbox = 0.0, house.MemoryOutbox()
        for module in (departures, lanes, retrial, silence):
            monkeypatch.setattr(module, "_now", lambda: self.now)
        status = status_body("fukang", "gw-1", "run/1", wire.StatusData(state=wire.Presence.ONLINE), None)
        self.leaving = Departures("city", self.outbox, lambda: status, dict)
        self.leaving.restart()

    async def left(self, window=20):
        left = []
        while (parcel := await self.leaving.next(window)) is not None:
            left.append(parcel)
        return left


def test_a_line_that_is_only_slow_is_not_given_up(house, monkeypatch):
    async def story():
        world = Slowly(house, monkeypatch)
        (status,) = await world.left(1)
        world.outbox.add("critical", 2)
        world.leaving.look()
        world.now += 3 * silence.SILENCE_S
        assert await world.left(1) == []
        world.leaving.arrived(status)
        (first,) = await world.left(1)
        world.now += 3 * silence.SILENCE_S
        assert (await world.left(1), world.leaving.gives_up) == ([], False)
        world.leaving.arrived(first)
        assert [one.sequence for one in await world.left(1)] == [2]

    asyncio.run(story())


def test_a_line_is_given_up_once_for_each_alert_and_only_for_a_critical_one(house, monkeypatch):
    async def story():
        world = Slowly(house, monkeypatch)

        async def session():
            world.leaving.restart()
            world.leaving.arrived((await world.left(1))[0])  # the status
            (parcel,) = await world.left(1)
            world.now += silence.SILENCE_S
            assert await world.left(1) == []
            return parcel.sequence, world.leaving.gives_up

        world.outbox.add("critical", 3)
        world.outbox.add("high", 3)
        tried = []
        for _ in range(4):
            tried.append(await session())
            assert world.leaving.lost(), "no pause"
        assert tried == [(1, True), (2, True), (3, False), (1, False)]

    asyncio.run(story())


def test_a_broker_that_is_slow_with_all_alerts_is_left_to_answer_them(house, monkeypatch):
    """Was: given up at each new critical alert, for ever, and none was answered."""

    async def story():
        world, given_up = Slowly(house, monkeypatch), []
        for _ in range(20):
            world.outbox.add("critical", 2)
            world.leaving.restart()
            world.leaving.arrived((await world.left(1))[0])  # the status
            await world.left(1)
            world.now += silence.SILENCE_S
            await world.left(1)
            given_up.append(world.leaving.gives_up)
            world.leaving.lost(explained=not world.leaving.gives_up)
        assert given_up == [True] * silence.GIVE_UPS + [False] * (20 - silence.GIVE_UPS)

    asyncio.run(story())


def test_a_line_that_was_given_up_for_what_is_answered_after_all_is_slow_by_turns(house, monkeypatch):
    async def story():
        world = Slowly(house, monkeypatch)

        async def session():
            world.outbox.add("critical", 2)
            world.leaving.restart()
            world.leaving.arrived((await world.left(1))[0])  # the status
            (parcel,) = await world.left(1)
            world.now += silence.SILENCE_S
            await world.left(1)
            return parcel

        forsaken = await session()
        assert world.leaving.gives_up
        world.leaving.lost()
        world.leaving.restart()
        world.leaving.arrived(forsaken)
        await session()
        assert not world.leaving.gives_up
        world.leaving.lost(explained=True)
        world.now += silence.CALM_S
        await session()
        assert world.leaving.gives_up

    asyncio.run(story())


def test_what_arrived_far_behind_one_that_is_swallowed_is_no_news_in_the_next_session(house, monkeypatch):
    """A session begins with the first hundred: of those behind they say nothing."""

    async def story():
        world = Slowly(house, monkeypatch)
        world.outbox.add("critical", 130)
        world.leaving._lanes.had = {*range(2, 125)}
        world.leaving.restart()
        world.leaving.arrived((await world.left())[0])  # the status
        await world.leaving._lanes.news()
        assert world.leaving._lanes.had == {*range(2, 125)}

    asyncio.run(story())


def test_a_silence_that_ends_a_bit_early_is_not_asked_for_again_and_again(monkeypatch):
    async def story():
        now, loop, at = [3.1], asyncio.get_running_loop(), []
        monkeypatch.setattr(silence, "_now", lambda: now[0])
        monkeypatch.setattr(
            loop, "call_at", lambda when, call: at.append(when) or asyncio.TimerHandle(when, call, (), loop)
        )
        waiting = silence.Silence(lambda: None)
        waiting.restart()
        now[0] += silence.SILENCE_S
        assert not (now[0] - 3.1) // silence.SILENCE_S, "the last bit"
        assert waiting.lets_pass(1)
        assert at == [now[0] + silence.SILENCE_S]

    asyncio.run(story())


def test_one_that_was_on_its_way_when_a_line_broke_passes_too_and_alone(house, monkeypatch):
    """A broker that hangs up then does so on that one: the other has been silent for long."""

    async def story():
        world = Slowly(house, monkeypatch)
        world.outbox.add("critical", 3)

        async def session():
            world.leaving.restart()
            world.leaving.arrived((await world.left())[0])  # the status
            left = await world.left()
            for _ in range(2):
                world.now += silence.SILENCE_S
                left += await world.left()
            world.leaving.lost()
            return [one.sequence for one in left]

        await session()
        tried = [await session() for _ in range(2 * tolerance.STRIKES)]
        assert tried[:3] == [[1, 2, 3]] * 3
        assert tried[-1] != [1, 2, 3], "the last one hung up on is accused, and others go before it"

    asyncio.run(story())


def test_where_the_status_is_left_out_an_alert_that_ends_each_session_lets_others_go_first(house, monkeypatch):
    """Nothing shows that such a line is good, and yet one of them may be the reason: none is set aside for it, and none starves."""

    async def story():
        world = Slowly(house, monkeypatch)
        while await world.left():
            world.leaving.lost()
            world.leaving.restart()
        world.outbox.add("critical", 2)
        world.leaving.look()
        firsts = []
        for _ in range(3 * tolerance.STRIKES):
            (first,) = await world.left()
            firsts.append(first.sequence)
            if first.sequence == 2:
                break
            world.leaving.lost()
            world.leaving.restart()
        assert firsts == [1] * tolerance.STRIKES + [2]
        assert world.outbox.kept_aside == []

    asyncio.run(story())


def test_what_is_new_goes_before_what_arrived_and_is_sent_again(house, monkeypatch):
    """The cursor cannot pass the one that is swallowed, so each session sends all behind it once more."""

    async def story():
        world = Slowly(house, monkeypatch)
        world.outbox.add("critical")
        firsts = []
        for _ in range(3):
            world.leaving.arrived((await world.left(1))[0])  # the status
            (parcel,) = await world.left(1)
            firsts.append(parcel.sequence)
            while parcel.sequence != 1:
                world.leaving.arrived(parcel)
                (parcel,) = await world.left(1)
            world.outbox.add("critical")
            world.leaving.look()
            world.now += silence.SILENCE_S
            assert (await world.left(1), world.leaving.gives_up) == ([], True)
            world.leaving.lost()
            world.leaving.restart()
        assert firsts == [1, 2, 3]

    asyncio.run(story())


def test_a_line_on_which_many_are_not_answered_is_not_given_up_for_another(house, monkeypatch):
    """It is black-holed, and those that it lost come first, in order."""

    async def story():
        world = Slowly(house, monkeypatch)
        world.outbox.add("critical", 30)
        world.leaving.arrived((await world.left())[0])  # the status
        for _ in range(9):
            world.now += silence.SILENCE_S
            await world.left()
        assert not world.leaving.gives_up
        world.leaving.lost()
        world.leaving.restart()
        world.leaving.arrived((await world.left())[0])
        assert [one.sequence for one in await world.left()] == [1]

    asyncio.run(story())


def test_few_pass_at_once_and_as_many_more_for_each_second(house, monkeypatch):
    async def story():
        world = Slowly(house, monkeypatch)
        world.outbox.add("critical", 30)
        assert len(await world.left()) == 2, "the status, and one on trial"
        numbers = []
        for _ in range(3):
            world.now += silence.SILENCE_S
            numbers.append(len(await world.left()))
        assert numbers == [silence.FEW - 1, silence.FEW, silence.FEW], "the status was not answered either"

    asyncio.run(story())
