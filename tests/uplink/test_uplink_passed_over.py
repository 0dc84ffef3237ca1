"""A broker that never answers one alert and answers all others: these do not suffer, and it is set aside without a session lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter

import pytest
from instruments.packets import CONNECT, PUBLISH, SUBSCRIBE, packets, published

from gateway.uplink import departures, lanes, pace, retrial, silence, tolerance
from gateway.uplink.departures import WINDOW, Departures

ANSWER_S, DELAY_S, EVERY_S = 2.0, 0.15, 0.05
"""A tenth of what they are in the field, the first a fifth: an answer comes late, and before it there is another alert."""


class Swallower:
    """A broker that takes so many at ``once`` (None: of MQTT 3.1.1, which cannot say so), answers each after a while, and some never:
    those that it ``hates``, asked with lane (or topic), sequence and how often it has swallowed that one.
    """

    def __init__(self, once, hates):
        self.once, self.hates, self.beyond = once, hates, 0
        self.taken, self.swallowed = [], Counter()

    async def serve(self, reader, writer):
        owed, five = set(), self.once is not None

        def answer(mid):
            owed.discard(mid)
            writer.write(b"\x40\x03" + mid + b"\0" if five else b"\x40\x02" + mid)

        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async for kind, content in packets(reader):
                if kind == CONNECT:
                    writer.write(b"\x20\x06\0\0\x03\x21" + self.once.to_bytes(2, "big") if five else b"\x20\x02\0\0")
                elif kind == SUBSCRIBE:
                    writer.write(b"\x90\x04" + content[:2] + b"\0\x01" if five else b"\x90\x03" + content[:2] + b"\x01")
                elif kind == PUBLISH:
                    topic, mid = published(content)
                    self.beyond += five and len(owed) >= self.once
                    owed.add(mid)
                    place = self._place(topic, content)
                    if self.hates(*place, self.swallowed[place]):
                        self.swallowed[place] += 1
                        continue
                    self.taken.append(place)
                    asyncio.get_running_loop().call_later(DELAY_S, answer, mid)
        writer.transport.abort()

    def _place(self, topic, content):
        if not topic.endswith("/alerts"):
            return topic, 0
        body = json.loads(content[content.index(b'{"') :])
        return body["lane"], int(body["sequence"])

    def of(self, lane):
        return [sequence for name, sequence in self.taken if name == lane]

    def listen(self):
        return asyncio.start_server(self.serve, "127.0.0.1", 0)


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    monkeypatch.setattr(silence, "SILENCE_S", 0.1)


@contextlib.asynccontextmanager
async def traffic(house, broker, lane="critical", every_s=EVERY_S, **fields):
    """A gateway in whose lane there is always another alert on its way."""

    class Bell:
        async def run(self):
            while True:
                gateway.outbox.add(lane)
                await asyncio.sleep(every_s)

    async with await broker.listen() as server:
        protocol = "3.1.1" if broker.once is None else "5"
        port = server.sockets[0].getsockname()[1]
        gateway = house.Gateway(port, protocol=protocol, answer_s=ANSWER_S, **fields)
        async with house.running(gateway.mqtt, Bell()):
            yield gateway


def only(lane, sequence, times=float("inf")):
    return lambda name, n, before: (name, n) == (lane, sequence) and before < times


def lost(gateway):
    return [one for one in gateway.core.health if one[0] == "lost"]


@pytest.mark.parametrize("lane", ["critical", "low"])
@pytest.mark.parametrize("guilty", [1, 8])
@pytest.mark.parametrize("once", [20, None])
def test_one_that_is_never_answered_is_set_aside_and_costs_no_session(house, once, guilty, lane):
    """Was: at each timeout another one was on its way, too, so nobody was blamed: sessions without end, and a cursor that stood."""
    if (lane, guilty) == ("low", 1):
        pytest.skip("the first of a session travels alone, and none but critical ones pass it")

    async def story():
        broker = Swallower(once, only(lane, guilty))
        async with traffic(house, broker, lane) as gateway:
            await house.until(lambda: (lane, guilty) in gateway.outbox.kept_aside, 20 * ANSWER_S)
            await house.until(lambda: gateway.outbox.cursors["city", lane] > guilty)
            await house.until(lambda: gateway.core.health[-1:] == [("faulty", "set_aside")])
            assert lost(gateway) == []
            assert gateway.mqtt.counts["connected"] == 1
        assert (broker.beyond, broker.swallowed) == (0, {(lane, guilty): 2})
        assert guilty not in [one.sequence for one in gateway.mqtt._answers.values()]
        assert broker.of(lane) == sorted(set(broker.of(lane))), "in order and no repeats"

    asyncio.run(story())


def test_two_that_left_together_are_set_aside_together(house):
    async def story():
        broker = Swallower(20, lambda lane, sequence, before: sequence in {8, 9})
        async with traffic(house, broker) as gateway:
            gateway.outbox.add("critical", 10)
            await house.until(lambda: len(gateway.outbox.kept_aside) == 2, 20 * ANSWER_S)
            assert (lost(gateway), gateway.mqtt.counts["connected"]) == ([], 1)
        assert sorted(gateway.outbox.kept_aside) == [("critical", 8), ("critical", 9)]

    asyncio.run(story())


@pytest.mark.parametrize("once", [2, 3, 4])
def test_a_broker_that_takes_few_at_once_has_it_set_aside_as_well(house, once):
    async def story():
        broker = Swallower(once, only("critical", 8))
        async with traffic(house, broker, every_s=4 * EVERY_S) as gateway:
            await house.until(lambda: ("critical", 8) in gateway.outbox.kept_aside, 20 * ANSWER_S)
            await house.until(lambda: gateway.outbox.cursors["city", "critical"] > 8)
        assert broker.beyond == 0
        first = list(dict.fromkeys(broker.of("critical")))
        assert first == sorted(first)

    asyncio.run(story())


def test_one_that_was_not_answered_once_comes_in_the_same_session(house):
    async def story():
        broker = Swallower(20, only("critical", 8, times=1))
        async with traffic(house, broker) as gateway:
            await house.until(lambda: gateway.outbox.cursors.get(("city", "critical"), 0) > 8, 20 * ANSWER_S)
            assert gateway.up
            assert (lost(gateway), gateway.mqtt.counts["connected"]) == ([], 1)
        assert gateway.outbox.kept_aside == []
        assert gateway.mqtt.counts["alert_not_taken"] == 0
        assert Counter(broker.of("critical")).most_common(1)[0][1] == 1, "no repeats"

    asyncio.run(story())


def test_a_broker_that_answers_everything_but_alerts_is_lost_and_none_is_blamed(house):
    """Of those that left later none was taken: it is all of them."""

    async def story():
        broker = Swallower(20, lambda lane, sequence, before: sequence > 0)
        async with traffic(house, broker, every_s=10.0) as gateway:
            for _ in range(int(4 * ANSWER_S / EVERY_S)):
                gateway.mqtt.offer_telemetry("gas-501", b"{}")
                gateway.mqtt.status_changed()
                await asyncio.sleep(EVERY_S)
            assert gateway.core.health[-1:] == [("lost", "timeout")]
        assert gateway.outbox.kept_aside == []

    asyncio.run(story())


def test_what_was_set_aside_is_tried_again_without_an_end_to_the_session(house, monkeypatch):
    monkeypatch.setattr(tolerance, "FIRST_REST_S", 0.3)

    async def story():
        broker = Swallower(20, only("critical", 8, times=4))
        async with traffic(house, broker, every_s=4 * EVERY_S) as gateway:
            await house.until(lambda: gateway.outbox.kept_aside, 20 * ANSWER_S)
            await house.until(lambda: not gateway.outbox.kept_aside, 20 * ANSWER_S)
            await house.until(lambda: gateway.up)
            assert (lost(gateway), gateway.mqtt.counts["connected"]) == ([], 1)
        assert broker.of("critical").count(8) == 1

    asyncio.run(story())


def test_a_status_that_is_never_answered_is_left_out_and_no_alert_is_blamed(house):
    async def story():
        broker = Swallower(20, lambda topic, sequence, before: topic.endswith("gw-1/status"))
        async with traffic(house, broker) as gateway:
            await house.until(lambda: gateway.core.health[-1:] == [("faulty", "set_aside")], 20 * ANSWER_S)
            before = gateway.mqtt.counts["connected"]
            await asyncio.sleep(2 * ANSWER_S)
            assert gateway.mqtt.counts["connected"] == before <= 5
        assert gateway.outbox.kept_aside == []

    asyncio.run(story())


@pytest.mark.parametrize("once", [1, 2, 3, 4, 20, None])
def test_a_broker_that_is_slow_with_all_is_never_given_up(house, once):
    """Was: of several on their way each was answered soon after the one before, so the line looked quick, and then silent."""

    async def story():
        broker = Swallower(once, lambda *_: False)
        async with await broker.listen() as server:
            protocol = "3.1.1" if once is None else "5"
            gateway = house.Gateway(server.sockets[0].getsockname()[1], protocol=protocol, answer_s=10 * ANSWER_S)
            gateway.outbox.add("critical", 30)
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.outbox.cursors.get(("city", "critical")) == 30)
                assert (lost(gateway), gateway.mqtt.counts["connected"]) == ([], 1)
        assert broker.of("critical") == [*range(1, 31)]
        assert broker.beyond == 0

    asyncio.run(story())


class World:
    """Departures on a clock of their own, in a session in which the status and the first alert were taken; ten more are on their way."""

    def __init__(self, house, monkeypatch, window=20):
        self.now, self.window, self.outbox = 1000.0, window, house.MemoryOutbox()
        monkeypatch.setattr(
            pace, "FIRST", float(WINDOW)
        )  # of a line that is known to be quick, whatever one broker says late
        monkeypatch.setattr(pace, "SOON_S", 60.0)
        for module in (departures, lanes, retrial, silence):
            monkeypatch.setattr(module, "_now", lambda: self.now)
        self.leaving = Departures("city", self.outbox, lambda: b"", dict)

    async def begin(self, alerts=10, lane="critical"):
        self.leaving.restart()
        for _ in range(2):
            (parcel,) = await self.left()
            self.now += silence.SILENCE_S  # a slow line is not given up
            self.leaving.arrived(parcel)
            self.outbox.add(lane, alerts * (not self.outbox.messages[lane]))
            self.leaving.look()
        return await self.left()

    async def left(self):
        left = []
        while (parcel := await self.leaving.next(self.window)) is not None:
            left.append(parcel)
            self.now += 0.001
        return left

    def take(self, parcels):
        for parcel in parcels:
            self.leaving.arrived(parcel)

    def overdue(self, parcel):
        return self.leaving.overdue(parcel, self.window)


def test_it_leaves_once_more_before_what_waits_and_is_set_aside_then(house, monkeypatch):
    async def story():
        world, firsts = World(house, monkeypatch), []
        first, *others = await world.begin()
        for _ in range(2):
            world.now += 8
            world.take(others)
            world.now += 2
            assert world.overdue(first)
            world.outbox.add("critical", 3)
            world.leaving.look()
            left = await world.left()
            firsts.append(left[0].sequence)
            others = left[1:] if left[0] is first else left
        assert firsts == [2, 14], "the ten, three behind it, and then the next three"
        await world.leaving.save()
        assert world.outbox.kept_aside == [("critical", 2)]

    asyncio.run(story())


def test_only_what_left_later_shows_that_the_line_is_good(house, monkeypatch):
    async def story():
        world = World(house, monkeypatch)
        *others, last = await world.begin()
        world.now += 8
        world.take(others)
        world.now += 2
        assert not world.overdue(last)

    asyncio.run(story())


def test_only_what_was_taken_of_late_shows_that_the_line_is_good_still(house, monkeypatch):
    async def story():
        for taken_s, goes_on in ((4, False), (6, True)):
            world = World(house, monkeypatch)
            first, *others = await world.begin()
            world.now += taken_s
            world.take(others)
            world.now += 10 - taken_s
            assert world.overdue(first) == goes_on

    asyncio.run(story())


def test_nothing_that_a_session_before_showed_counts(house, monkeypatch):
    async def story():
        world = World(house, monkeypatch)
        _, *others = await world.begin()
        world.take(others)
        world.leaving.lost()
        world.leaving.restart()
        world.take(await world.left())
        (alone,) = await world.left()
        assert not world.overdue(alone)

    asyncio.run(story())


async def goes_on(world, first):
    """Whether it is no end to the session that this one is never answered, and another one each second is."""
    for _ in range(10):
        world.now += silence.SILENCE_S
        world.take([one for one in world.leaving._under_way if one is not first])
        world.outbox.add("critical")
        world.leaving.look()
        await world.left()
    assert len(world.leaving._under_way) > 1, "another one is on its way"
    return world.overdue(first)


@pytest.mark.parametrize(("window", "second_time"), [(3, False), (4, True)])
def test_a_place_is_spent_each_time_until_half_are(house, monkeypatch, window, second_time):
    async def story():
        world = World(house, monkeypatch, window)
        (first,) = await world.begin(2)
        assert await goes_on(world, first)
        assert await goes_on(world, first) == second_time

    asyncio.run(story())


def test_places_that_were_spent_are_there_again_in_the_next_session(house, monkeypatch):
    async def story():
        world = World(house, monkeypatch, window=3)
        (first,) = await world.begin(2)
        assert await goes_on(world, first)
        world.leaving.lost(explained=True)
        (first,) = await world.begin()
        assert await goes_on(world, first)

    asyncio.run(story())


def test_where_no_place_is_left_the_session_ends_and_only_it_is_blamed_for_that(house, monkeypatch):
    async def story():
        world = World(house, monkeypatch, window=3)
        (first,) = await world.begin(2)
        assert [await goes_on(world, first) for _ in range(2)] == [True, False]
        assert world.leaving.lost(), "no pause"
        assert not world.leaving._tolerance.suspects_any
        await world.begin()
        await world.leaving.save()
        assert world.outbox.kept_aside == [("critical", first.sequence)]

    asyncio.run(story())


async def passed_over(world):
    """The first of ten: the others were taken, and it is overdue."""
    first, *others = await world.begin()
    world.now += 8
    world.take(others)
    world.now += 2
    return first


def test_the_loop_of_sending_is_woken_for_what_leaves_again(house, monkeypatch):
    async def story():
        world = World(house, monkeypatch)
        first = await passed_over(world)
        world.leaving.wake.clear()
        assert world.overdue(first)
        assert world.leaving.wake.is_set()

    asyncio.run(story())


def test_it_does_not_leave_again_in_another_session_nor_behind_one_that_is_refused(house, monkeypatch):
    async def story():
        world = World(house, monkeypatch)
        first = await passed_over(world)
        assert world.overdue(first)
        world.leaving.lost()
        world.leaving.restart()
        assert (await world.left())[0].kind == "status"

        world = World(house, monkeypatch)
        first = await passed_over(world)
        world.outbox.add("critical", 2)
        world.leaving.look()
        (refused, _) = await world.left()
        assert world.overdue(first)
        world.leaving.doubt(refused)
        assert first not in await world.left()

    asyncio.run(story())


def test_what_is_taken_out_of_order_passes_all_that_left_before_it(house, monkeypatch):
    async def story():
        world = World(house, monkeypatch)
        _, second, third, *_, last = await world.begin()
        world.now += 8
        world.take([last, second])
        world.now += 2
        assert world.overdue(third)

    asyncio.run(story())


def test_it_travels_alone_no_longer(house, monkeypatch):
    async def story():
        world = World(house, monkeypatch)
        (first, *_) = await world.begin()
        world.leaving.lost()
        world.leaving.restart()
        world.take(await world.left())
        (again,) = await world.left()
        assert (again.sequence, world.leaving.on_trial) == (first.sequence, True)
        world.now += 8
        world.outbox.add("critical")
        world.leaving.look()
        world.take([one for one in await world.left() if one is not again])
        world.now += 1
        assert world.overdue(again)
        assert not world.leaving._tolerance.is_suspect(again)

    asyncio.run(story())


def test_a_reading_that_is_passed_over_ends_the_session_and_counts_as_dropped(house, monkeypatch):
    async def story():
        world = World(house, monkeypatch)
        world.take(await world.begin())
        world.leaving.offer("gas-501", b"{}")
        (reading,) = await world.left()
        world.outbox.add("critical", 2)
        world.leaving.look()
        one, other = await world.left()
        world.now += 8
        world.take([one])
        world.now += 2
        assert not world.overdue(reading)
        assert world.leaving.lost()
        assert world.leaving.counts["telemetry_dropped"] == 1
        assert not world.leaving._tolerance.is_suspect(other)
        world.leaving.restart()
        await world.left()
        world.leaving.lost()
        assert world.leaving._tolerance.suspects_any, "the next session is one like any other"

    asyncio.run(story())


def test_where_a_line_breaks_later_all_that_are_on_their_way_are_suspect(house, monkeypatch):
    async def story():
        world = World(house, monkeypatch)
        first = await passed_over(world)
        assert world.overdue(first)
        await world.left()
        world.leaving.lost()
        assert world.leaving._tolerance.is_suspect(first)

    asyncio.run(story())


@pytest.mark.parametrize("window", [20, 1])
def test_what_is_tried_again_rests_after_one_time_and_ends_a_session_only_where_no_place_is_left(
    house, monkeypatch, window
):
    async def story():
        world = World(house, monkeypatch)
        await world.outbox.set_aside("city", "critical", 1)
        world.outbox.add("critical")
        world.outbox.cursors["city", "critical"] = 1
        world.leaving.restart()
        world.take(await world.left())
        for _ in range(3):
            await asyncio.sleep(0)
            late = await world.left()
            if late:
                break
        (late,) = late
        assert late.aside
        world.outbox.add("critical")
        world.leaving.look()
        world.now += 8
        world.take(await world.left())
        await world.leaving.save()
        world.now += 2
        world.window = window
        assert world.overdue(late) == (window == 20)
        if window == 1:
            world.leaving.lost()
            world.leaving.restart()
            world.take(await world.left())
        assert await world.left() == [], "it rests"
        world.now += tolerance.FIRST_REST_S
        for _ in range(3):
            await asyncio.sleep(0)
            again = await world.left()
            if again:
                break
        assert [one.sequence for one in again] == [1]

    asyncio.run(story())


def test_where_more_than_a_few_are_passed_over_the_next_session_has_few_on_their_way(house, monkeypatch):
    """A broker that is slow and answers the newest first passes over half of each window. Was: the next session began with all of them at
    once, so that it ended in the same way, and what had been taken was sent again and set aside.
    """

    async def story():
        world = World(house, monkeypatch)
        left = await world.begin(40)
        world.now += 8
        world.take(left[-4:])
        world.now += 2
        passed_over = [world.overdue(one) for one in left[:11]]
        assert passed_over == [True] * 10 + [False]
        assert world.leaving.lost(), "no pause"
        world.leaving.restart()
        world.take(await world.left())  # the status, and the first
        assert len(await world.left()) == 1
        await world.leaving.save()
        assert world.outbox.kept_aside == []

    asyncio.run(story())
