"""A line so slow that what lies behind a windowful would not be answered in time: nothing leaves too early, so all come once and in order."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest

from gateway.uplink import departures, lanes, retrial, silence, wire
from gateway.uplink.departures import WINDOW, Departures
from gateway.uplink.pace import FEWEST, FIRST, SOON_S, Pace
from gateway.uplink.parcel import Kind
from gateway.uplink.payloads import status_body
from gateway.uplink.session import ANSWER_S

ALERTS, ALERT_S, OTHER_S = 40, 1.4, 0.6
"""So long a line of 1 kB/s has an alert, and a status, on its way."""


class Line:
    """Departures before a line that carries one message after another, on a clock of its own."""

    def __init__(self, house, monkeypatch, alert_s=ALERT_S):
        self.alert_s, self.now, self.outbox, self.line, self.longest = alert_s, 0.0, house.MemoryOutbox(), deque(), 0.0
        for module in (departures, lanes, retrial, silence):
            monkeypatch.setattr(module, "_now", lambda: self.now)
        status = status_body("fukang", "gw-1", "run/1", wire.StatusData(state=wire.Presence.ONLINE), None)
        self.leaving = Departures("city", self.outbox, lambda: status, dict)
        self.leaving.restart()
        self.came = []

    async def fill(self):
        while (parcel := await self.leaving.next()) is not None:
            began = max(self.now, self.line[-1][0] if self.line else 0.0)
            self.line.append((began + (self.alert_s if parcel.kind is Kind.ALERT else OTHER_S), self.now, parcel))

    def answer(self):
        self.now, left_at, parcel = self.line.popleft()
        self.longest = max(self.longest, self.now - left_at)
        self.leaving.arrived(parcel)
        if parcel.kind is Kind.ALERT:
            self.came.append(parcel.sequence)


@pytest.mark.parametrize("come", ["before", "meanwhile"])
def test_a_backlog_on_a_slow_line_comes_in_order_and_each_is_answered_in_time(house, monkeypatch, come):
    async def story():
        slow = Line(house, monkeypatch)
        slow.outbox.add("critical", ALERTS if come == "before" else ALERTS // 2)
        for _ in range(20 * ALERTS):
            slow.leaving.look()
            await slow.fill()
            if not slow.line:
                break
            slow.answer()
            if len(slow.outbox.messages["critical"]) < ALERTS:
                slow.outbox.add("critical")
        assert slow.came == list(range(1, ALERTS + 1))
        assert slow.longest < ANSWER_S

    asyncio.run(story())


def test_a_new_alert_passes_no_older_one_on_a_slow_line_after_its_session_broke(house, monkeypatch):
    async def story():
        slow = Line(house, monkeypatch)
        slow.outbox.add("critical", 6)
        await slow.fill()
        while len(slow.came) < 3:
            slow.answer()
            await slow.fill()
        assert slow.line
        slow.line.clear()
        slow.leaving.lost()
        slow.leaving.restart()
        for _ in range(20 * ALERTS):
            slow.outbox.add("critical", len(slow.outbox.messages["critical"]) < ALERTS)
            slow.leaving.look()
            await slow.fill()
            slow.now += 1.2  # the next answer is not due yet
            await slow.fill()
            if not slow.line:
                break
            slow.answer()
        first = list(dict.fromkeys(slow.came))
        assert first == list(range(1, ALERTS + 1))

    asyncio.run(story())


def test_what_is_never_answered_takes_no_place_once_others_passed_it(house, monkeypatch):
    async def on_their_way(*, swallows):
        slow = Line(house, monkeypatch, alert_s=0.1)
        slow.outbox.add("low", ALERTS)
        await slow.fill()
        while not slow.leaving.served:
            slow.answer()
        await slow.fill()
        if swallows:
            slow.line.popleft()
        seen = []
        for _ in range(2 * int(FIRST)):
            slow.answer()
            await slow.fill()
            seen.append(len(slow.line))
        return seen

    async def story():
        assert (await on_their_way(swallows=True))[-1] == (await on_their_way(swallows=False))[-1]

    asyncio.run(story())


def test_a_critical_alert_finds_two_places_more_behind_others(house, monkeypatch):
    async def story():
        slow = Line(house, monkeypatch)
        slow.outbox.add("low", ALERTS)
        await slow.fill()
        while not slow.leaving.served:
            slow.answer()
        await slow.fill()
        slow.outbox.add("critical", 3)
        slow.leaving.look()
        await slow.fill()
        behind = [parcel.lane for *_, parcel in slow.line]
        assert behind == ["low"] * int(FIRST) + ["critical"] * 2

    asyncio.run(story())


def test_an_answer_to_what_was_recalled_says_nothing_of_how_slow_the_line_is(house, monkeypatch):
    """When it left is forgotten: it was taken for an answer after the whole uptime, and no silence for hours was one any more."""

    async def story():
        slow = Line(house, monkeypatch, alert_s=0.1)
        slow.now = 100_000.0
        slow.outbox.add("critical", 3)
        await slow.fill()
        while not slow.leaving.served:
            slow.answer()
        await slow.fill()
        slow.leaving.recall()
        slow.answer()
        slow.line.clear()
        slow.leaving.lost(explained=True)
        slow.leaving.restart()
        await slow.fill()
        on_trial = len(slow.line)
        slow.now += 1.1
        slow.outbox.add("critical")
        slow.leaving.look()
        await slow.fill()
        assert len(slow.line) > on_trial, "a second of silence is one"

    asyncio.run(story())


def test_how_long_nobody_listened_says_nothing_of_how_slow_the_line_is(house, monkeypatch):
    """The broker answered each time at once. It counted as one answer after all that time: a silence was none before it had lasted as long."""

    async def story():
        slow = Line(house, monkeypatch, alert_s=0.1)
        slow.outbox.add("low", ALERTS)
        await slow.fill()
        while (alone := slow.line[0][-1]).kind is not Kind.ALERT:
            slow.answer()
            await slow.fill()
        for _ in range(8):
            slow.leaving.unheard(alone, 1.0)
            slow.now += 1.1
        slow.leaving.arrived(alone)
        slow.line.clear()
        await slow.fill()
        assert len(slow.line) == FIRST
        slow.outbox.add("critical", 4)
        slow.leaving.look()
        await slow.fill()
        slow.now += 2.1
        await slow.fill()
        assert sum(parcel.lane == "critical" for *_, parcel in slow.line) == 4, "two seconds of silence are two"

    asyncio.run(story())


def test_a_quick_line_is_soon_given_all_it_takes():
    line, answers = Pace(), 0
    while line.places < WINDOW:
        line.answered(0.001)
        answers += 1
    assert FIRST < answers < 200


def test_a_line_that_answers_late_is_given_half_and_never_less_than_two():
    line = Pace()
    for _ in range(400):
        line.answered(SOON_S)
    before = line.places
    line.answered(SOON_S + 0.1)
    assert line.places == before // 2
    for _ in range(9):
        line.answered(SOON_S + 0.1)
    assert line.places == FEWEST
