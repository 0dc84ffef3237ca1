"""A terminal that was taken over has its path, its address and its login, and lies: it must not fill the disk, wear out those who
are told, or hide what is real.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from instruments.virtual import virtual_run
from wire.face_bodies import as_json, envelope

from gateway.drivers.face.bodies import BodyFault, Text
from gateway.drivers.face.chatter import OVERRUN_S, PERSONS_ALARM_RATE, Chatter
from gateway.drivers.face.intake import TOO_MANY_PERSONS, Intake
from gateway.drivers.face.persons import pseudonym
from gateway.drivers.face.presence import CHANGE_RATE
from gateway.drivers.face.serials import GAP_RATE
from gateway.events import DeviceHealth, Entry, Health, SequenceGap
from gateway.instant import Instant
from gateway.restraint import Allowance, Rate

KEY = b"k" * 32
NOW_MS = 1_791_277_540_000
OURS, OTHER = "88:de:39:00:00:01", "88:de:39:00:00:02"
PERSONS = Rate(50, 1.0)
GRANDMA = "00017"
Make = Callable[..., Any]


class Told:
    """What the disk would have to take, with the time at which it came."""

    def __init__(self) -> None:
        self.events: list[tuple[float, Any]] = []

    def report(self, event: Any) -> Any:
        self.events.append((asyncio.get_running_loop().time(), event))

    def of(self, kind: type) -> list[Any]:
        return [event for _, event in self.events if isinstance(event, kind)]

    def serials(self, _door: str) -> Any:
        from gateway.drivers.face.serials import Remembered

        return Remembered()

    def has_seen(self, _door: str, _key: str) -> bool:
        return False

    def paired(self, _door: str) -> str:
        return ""

    def stands_at(self, _door: str) -> str:
        return ""

    def awaits(self, entry: Entry) -> bool:
        return entry.person == pseudonym(KEY, "compound", GRANDMA)


@pytest.fixture
def gate(make_door: Make) -> Any:
    return make_door(serial=OURS)


def lying(gate: Any, bodies: Iterator[bytes], times: int, every_s: float = 0.01) -> tuple[Told, Intake]:
    """What comes of so many bodies, pushed one after the other, and a turn of the listener behind them."""
    told = Told()

    async def scene() -> Intake:
        loop = asyncio.get_running_loop()
        intake = Intake(
            {"gate": gate}, KEY, lambda: NOW_MS, told.report, lambda: Instant(round(loop.time() * 1000)), told
        )
        intake._chatter._persons = Allowance(PERSONS)
        for _, body in zip(range(times), bodies, strict=False):
            push(intake, gate, body)
            await asyncio.sleep(every_s)
        intake.tell_rest()
        return intake

    return told, virtual_run(scene())


def push(intake: Intake, gate: Any, body: bytes) -> None:
    try:
        intake.receive(gate, [Text(body)])
    except BodyFault as fault:  # as the listener does
        intake.presence.heard(gate, Health.FAULTY, fault.reason)


def body(serial: int, employee: str, sub: int = 75, mac: str = OURS, major: int = 5) -> bytes:
    event = {"serialNo": serial, "frontSerialNo": serial - 1, "majorEventType": major, "subEventType": sub}
    whole = envelope(**event, employeeNoString=employee, cardNo="", IDCardNo="", name="")
    return as_json({**whole, "macAddress": mac})


def test_persons_who_never_were_are_bounded_and_the_door_is_said_to_lie(gate: Any) -> None:
    told, intake = lying(gate, (body(n, f"nobody-{n}") for n in count(1)), 3_000)
    entries = told.of(Entry)
    assert len(entries) <= PERSONS.most_within(30) + 1
    left_out = sum(int(a.removeprefix("left_out:")) for entry in entries for a in entry.anomalies)
    assert len(entries) + left_out == 3_000, "each is told or counted"
    assert entries[-1].seq == 3_000
    assert [(e.health, e.reason) for e in told.of(DeviceHealth)] == [
        (Health.OK, ""),
        (Health.FAULTY, TOO_MANY_PERSONS),
    ]
    assert not told.of(SequenceGap)
    assert intake.counters["entries_held_back"] == 3_000 - len(entries) + 1


def test_the_doubt_ends_when_the_lies_have_ended(gate: Any) -> None:
    def bodies() -> Iterator[bytes]:
        for n in range(200):
            yield body(n, f"nobody-{n}")
        while True:
            yield as_json({**envelope("heartBeat"), "macAddress": OURS})

    told, _ = lying(gate, bodies(), 1_700, every_s=OVERRUN_S / 1_400)
    assert [e.health for e in told.of(DeviceHealth)] == [Health.OK, Health.FAULTY, Health.OK]


def test_somebody_under_care_is_heard_through_the_lies(gate: Any) -> None:
    def bodies() -> Iterator[bytes]:
        for n in count(1):
            yield body(n, GRANDMA if n % 100 == 0 else f"nobody-{n}")

    told, _ = lying(gate, bodies(), 3_000)
    grandma = pseudonym(KEY, "compound", GRANDMA)
    assert [entry.seq for entry in told.of(Entry) if entry.person == grandma] == list(range(100, 3_001, 100))


def test_people_under_duress_who_never_were_are_bounded_and_a_real_alarm_of_another_kind_comes_at_once(
    gate: Any,
) -> None:
    def bodies() -> Iterator[bytes]:
        for n in range(1, 2_000):
            yield body(n, f"nobody-{n}", 1034, major=1)
        yield body(2_000, "", 27)

    told, _ = lying(gate, bodies(), 2_000)
    entries = told.of(Entry)
    assert len(entries) <= PERSONS_ALARM_RATE.most_within(20) + 2
    forced = next(at for at, event in told.events if isinstance(event, Entry) and event.type == "door.forced")
    assert forced == pytest.approx(1_999 * 0.01)


def test_serial_numbers_that_skip_for_ever_open_no_gap_for_each(gate: Any) -> None:
    told, intake = lying(gate, (body_that_skips(2 * n) for n in count(1)), 5_000)
    gaps = told.of(SequenceGap)
    opened = [gap for gap in gaps if gap.open]
    assert len(opened) <= GAP_RATE.most_within(50)
    assert len(gaps) <= 2 * len(opened)
    hole = intake.serials["gate"].holes[-1]
    assert hole.last == 9_999, "what is missing is known to be missing"


def body_that_skips(serial: int) -> bytes:
    whole = envelope(serialNo=serial, majorEventType=5, subEventType=21)
    del whole["AccessControllerEvent"]["frontSerialNo"]  # type: ignore[attr-defined]  # it is a dict
    return as_json({**whole, "macAddress": OURS})


def test_a_device_that_is_another_in_every_second_body_is_not_told_of_each_time(gate: Any) -> None:
    told, _ = lying(gate, (body(n, GRANDMA, mac=(OURS, OTHER)[n % 2]) for n in count(1)), 5_000)
    assert len(told.of(DeviceHealth)) <= CHANGE_RATE.most_within(50)


def test_what_is_remembered_of_lies_is_bounded(gate: Any) -> None:
    chatter = Chatter()
    for n in range(200_000):  # ten thousand a second
        entry = Entry("gate", "alarm.duress", f"k{n}", "1/1034", person=f"nobody-{n}", seq=n)
        chatter.hear("gate", entry, n / 10_000)
    assert len(chatter._alarms._full_at) <= 2 * 10_000 + 1
    assert len(chatter._held["gate"]) + len(chatter._left_out) <= 4
