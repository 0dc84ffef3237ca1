"""What was set aside is tried again soon, critical first, whatever else flows; and where nobody is to blame nobody is."""

from __future__ import annotations

import asyncio

import pytest

from gateway.alerts import Priority
from gateway.faults import StoreFault
from gateway.uplink import departures, retrial
from gateway.uplink.departures import Departures
from gateway.uplink.latecomers import Latecomers
from gateway.uplink.parcel import Kind
from gateway.uplink.tolerance import FIRST_REST_S, LONGEST_OF_CRITICAL_S, LONGEST_REST_S, STRIKES

LARGE = 5000


class Line:
    """One uplink's departures on a clock of their own; the broker takes everything but what ``breaks``."""

    def __init__(self, outbox):
        self.outbox, self.now = outbox, 0.0
        self.leaving = Departures("city", outbox, lambda: b"", dict)
        self.breaks = set()
        self.got = []

    async def session(self, turns=60, most=None, broker="a"):
        """Until it breaks (True), or for so many turns of the loop."""
        self.leaving.restart(most, broker)
        for _ in range(turns):
            sent = []
            while (parcel := await self.leaving.next()) is not None:
                sent.append(parcel)
            for parcel in sent:
                if (parcel.lane, parcel.sequence) in self.breaks:
                    self.leaving.lost()
                    return True
                if parcel.kind is Kind.ALERT:
                    self.got.append((parcel.lane, parcel.sequence))
                self.leaving.arrived(parcel)
            await self.leaving.save()
            await asyncio.sleep(0)
        return False

    async def condemn(self, *places):
        """All of these break sessions until each is set aside, and was tried once more."""
        self.breaks = self.breaks | set(places)
        for _ in range(len(places) * (STRIKES + 3)):
            await self.session()
        assert set(self.outbox.kept_aside) >= set(places)


@pytest.fixture
def line(house, monkeypatch):
    line = Line(house.MemoryOutbox())
    for room in (departures, retrial):
        monkeypatch.setattr(room, "_now", lambda: line.now)
    return line


def test_a_critical_alert_that_a_bad_line_condemned_goes_before_the_backlog_below_it_without_a_rest(line):
    async def story():
        line.outbox.add("critical")
        line.outbox.add("low", 300)
        line.breaks = {("critical", 1)}
        for _ in range(STRIKES):
            assert await line.session()
        line.breaks.clear()
        await line.session()
        assert line.got.index(("critical", 1)) < departures.WINDOW
        assert line.outbox.kept_aside == []
        assert line.outbox.cursors == {("city", "critical"): 1, ("city", "low"): 300}

    asyncio.run(story())


def test_one_that_is_condemned_today_does_not_queue_behind_those_of_last_year(line):
    async def story():
        line.outbox.add("critical", 4)
        line.outbox.cursors["city", "critical"] = 4
        line.breaks = giants = {("critical", n) for n in range(1, 5)}
        for giant in giants:
            await line.outbox.set_aside("city", *giant)
        for _ in range(3 * len(giants)):  # each is tried again and again
            line.now += LONGEST_REST_S
            await line.session()
        innocent = "critical", 5
        line.outbox.add("critical")
        await line.condemn(innocent)
        line.breaks = giants
        line.now += FIRST_REST_S
        await line.session()
        assert innocent in line.got
        assert set(line.outbox.kept_aside) == giants

    asyncio.run(story())


def test_readings_without_end_do_not_keep_back_what_was_set_aside(line):
    async def story():
        line.outbox.add("low")
        await line.outbox.set_aside("city", "low", 1)
        line.outbox.cursors["city", "low"] = 1
        line.leaving.restart()
        under_way = []
        for _ in range(50):
            line.leaving.offer("gas-501", b"{}")
            while (parcel := await line.leaving.next()) is not None:
                under_way.append(parcel)
            if len(under_way) > 1 or line.leaving._retrial._found:
                line.leaving.arrived(under_way.pop(0))  # there is always another one on its way
            await line.leaving.save()
            await asyncio.sleep(0)
        assert line.outbox.kept_aside == []

    asyncio.run(story())


def test_on_a_line_that_flaps_what_was_set_aside_does_not_wait_for_a_calm(line):
    async def story():
        line.outbox.add("critical")
        await line.condemn(("critical", 1))
        line.breaks.clear()
        for _ in range(10):  # a session of three seconds, and again
            line.now += 3.0
            await line.session()
            line.leaving.lost()
        assert line.got == [("critical", 1)]

    asyncio.run(story())


def test_what_one_broker_does_not_take_the_next_one_is_given_at_once(line):
    async def story():
        line.outbox.add("high", 1, longer=LARGE)
        line.outbox.add("low", 2)
        await line.condemn(("high", 1))
        line.outbox.add("high", 1, longer=LARGE)
        await line.session()
        assert line.outbox.kept_aside == [("high", 1), ("high", 2)], "its size is known"
        line.breaks.clear()
        line.outbox.add("high", 1, longer=LARGE)
        await line.session(broker="b")
        assert [place for place in line.got if place[0] == "high"] == [("high", 3), ("high", 1), ("high", 2)]
        assert line.outbox.kept_aside == []

    asyncio.run(story())


def test_a_critical_alert_that_seems_too_large_is_tried_before_that_is_believed(line):
    async def story():
        line.outbox.add("low", 1, longer=LARGE)
        line.outbox.add("low")
        await line.condemn(("low", 1))
        line.outbox.add("critical", 1, longer=2 * LARGE)
        await line.session()
        assert ("critical", 1) in line.got

    asyncio.run(story())


def test_a_disk_that_hangs_keeps_no_alert_for_the_sake_of_one_that_was_passed(line):
    async def story():
        line.outbox.add("low")
        await line.condemn(("low", 1))
        free = asyncio.Event()

        async def find(lane, sequence):
            await free.wait()
            raise StoreFault("it was long")

        line.outbox.find, line.now = find, LONGEST_REST_S
        await line.session(5)
        line.outbox.add("critical")
        async with asyncio.timeout(60):
            await line.session(5)
        assert line.got == [("critical", 1)]
        free.set()
        await line.session(5)
        assert line.outbox.kept_aside == [("low", 1)]

    asyncio.run(story())


def test_a_message_that_cannot_be_found_is_looked_for_once_in_a_life(line):
    async def story():
        line.outbox.add("low", 2)
        asked = []

        async def find(lane, sequence):
            asked.append(sequence)

        line.outbox.find = find
        line.outbox.cursors["city", "low"] = 2
        await line.outbox.set_aside("city", "low", 1)
        for _ in range(5):
            line.now += LONGEST_REST_S
            await line.session()
        assert (asked, line.leaving.left_out, line.leaving.counts["alert_gone"]) == ([1], False, 1)
        assert line.outbox.kept_aside == [("low", 1)], "whoever mends the file may find it"

    asyncio.run(story())


def test_one_of_a_life_before_that_the_broker_does_not_bear_lets_those_behind_it_pass(line):
    async def story():
        line.outbox.add("high", 1, longer=LARGE)
        line.outbox.add("high", 2)
        line.outbox.cursors["city", "high"] = 3
        for sequence in (1, 2, 3):
            await line.outbox.set_aside("city", "high", sequence)
        await line.session(most=LARGE)
        assert line.got == [("high", 2), ("high", 3)]
        await line.session()
        assert line.got == [("high", 2), ("high", 3), ("high", 1)], "this one bears it"

    asyncio.run(story())


def test_a_disk_that_refuses_is_asked_again_after_a_rest(line):
    async def story():
        line.outbox.add("low")
        line.outbox.cursors["city", "low"] = 1
        await line.outbox.set_aside("city", "low", 1)
        asked, find = [], line.outbox.find

        async def refuse(*place):
            asked.append(place)
            raise StoreFault("input/output error")

        line.outbox.find = refuse
        await line.session()
        assert asked == [("low", 1)]
        line.outbox.find = find
        line.now += FIRST_REST_S
        await line.session()
        assert line.got == [("low", 1)]

    asyncio.run(story())


def test_one_that_is_refused_again_takes_no_turn_from_others_in_the_same_session(line):
    async def story():
        line.outbox.add("high", 2)
        line.outbox.cursors["city", "high"] = 2
        for sequence in (1, 2):
            await line.outbox.set_aside("city", "high", sequence)
        line.leaving.restart()
        line.leaving.arrived(await line.leaving.next())  # the status
        turns = []
        for expected in ([1], [1, 2]):
            for _ in range(60):
                if (parcel := await line.leaving.next()) is not None:
                    turns.append(parcel.sequence)
                    line.leaving.refused(parcel)
                await asyncio.sleep(0)
            assert turns == expected
            line.now += FIRST_REST_S

    asyncio.run(story())


def test_a_session_that_ended_for_a_reason_that_is_known_condemns_nobody(line):
    async def story():
        line.outbox.add("critical")
        for _ in range(2 * STRIKES):
            line.leaving.restart()
            line.leaving.arrived(await line.leaving.next())
            assert (await line.leaving.next()).lane == Priority.CRITICAL
            assert not line.leaving.lost(explained=True)
        assert line.outbox.kept_aside == []
        await line.session()
        assert line.got == [("critical", 1)]

    asyncio.run(story())


def test_on_a_line_that_passes_the_status_and_no_alert_for_hours_a_critical_one_comes_within_a_minute_of_its_mending(
    line,
):
    async def story():
        line.outbox.add("low", 2)
        await line.condemn(("low", 1))
        line.outbox.add("critical")
        await line.condemn(("critical", 1))
        for _ in range(3600):
            line.now += 1.0
            await line.session(3)
        while not await line.session(3):
            line.now += 1.0
        line.breaks.clear()
        line.now += LONGEST_OF_CRITICAL_S
        await line.session()
        assert ("critical", 1) in line.got
        line.now += LONGEST_REST_S
        await line.session()
        assert line.outbox.kept_aside == []

    asyncio.run(story())


# Whose turn it is ------------------------------------------------------------------------------------


def whose_turn(late, lane, limit=10_000):
    late.look_again()
    return _sequence(late.first(lane, lambda size: size <= limit))


def _sequence(one):
    return None if one is None else one.sequence


def test_in_each_lane_whoever_was_tried_least_often_is_first_then_the_older():
    late = Latecomers()
    for lane, sequence in (("high", 5), ("high", 3), ("low", 1)):
        late.add(lane, sequence)
    turns = [_sequence(late.first(lane, lambda _: True)) for lane in ("critical", "high", "low")]
    assert turns == [None, 3, 1]
    for tried, then in ((3, 5), (5, 3), (3, 5)):
        late.tried("high", tried)
        assert _sequence(late.first("high", lambda _: True)) == then
    late.add("high", 5, tries=9)
    assert _sequence(late.first("high", lambda _: True)) == 5, "known already, it stays as it is known"
    late.drop("high", 5)
    assert _sequence(late.first("high", lambda _: True)) == 3
    late.add("high", 2)
    assert _sequence(late.first("high", lambda _: True)) == 2
    assert len(late) == 3


def test_what_the_broker_does_not_bear_lets_those_behind_it_pass():
    late = Latecomers()
    late.add("high", 1, size=900)
    late.add("high", 2)
    assert (whose_turn(late, "high"), whose_turn(late, "high", 500)) == (1, 2), "of an unknown size it is tried"
    late.measured(late.first("high", lambda size: size <= 500), 700)
    assert late.first("high", lambda size: size <= 500) is None
    assert whose_turn(late, "high", 800) == 2


def test_what_another_broker_has_is_no_longer_held_against_it(line):
    async def story():
        line.outbox.add("high", 10)
        line.leaving.restart(None, "a")
        for _ in range(2):  # the status and the first alert
            line.leaving.arrived(await line.leaving.next())
        while await line.leaving.next() is not None:
            pass
        line.leaving.lost()
        at_a = line.leaving._tolerances["a"]
        assert at_a.suspects_any
        await line.session(broker="b")
        assert line.outbox.cursors == {("city", "high"): 10}
        assert not at_a.suspects_any

    asyncio.run(story())
