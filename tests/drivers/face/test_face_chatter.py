"""What of a door's entries is told: never refused, alarms always, of what repeats too fast the last word and the number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.drivers.face.chatter import ENTRY_RATE, LEFT_OUT, Chatter
from gateway.events import Entry
from gateway.restraint import Allowance, Rate

TYPES = ("door.opened", "door.closed", "door.forced", "alarm.tamper", "alarm.tamper_cleared", "alarm.duress", "access.granted",
         "access.denied", "door.bell")  # fmt: skip


def entry(type_: str, n: int = 1, *, person: str | None = None, live: bool = True) -> Entry:
    return Entry("gate", type_, f"k{n}", type_, person=person, seq=n, live=live)


def left_out(told: list[Entry]) -> int:
    return sum(int(a.removeprefix(LEFT_OUT)) for one in told for a in one.anomalies)


@pytest.fixture
def tired() -> Chatter:
    """Of every kind that names nobody no more than two are told."""
    chatter = Chatter()
    chatter._usual = Allowance(Rate(2, 1e9))
    return chatter


def test_a_person_is_never_left_out(tired: Chatter) -> None:
    for type_, live in (("access.granted", True), ("access.denied", True), ("alarm.duress", False)):
        told = [one for n in range(50) for one in tired.hear("gate", entry(type_, n, person="p", live=live), 0.0)]
        assert len(told) == 50


def test_a_body_of_thousands_is_charged_by_kind_and_keeps_no_alarm_out() -> None:
    chatter = Chatter()
    for n in range(2 * ENTRY_RATE.burst):
        chatter.hear("gate", entry("access.denied", n, live=False), 0.0)
    for type_ in ("alarm.duress", "alarm.fire", "alarm.tamper", "door.forced", "device.log_nearly_full", "door.opened"):
        assert chatter.hear("gate", entry(type_), 0.0)[-1].type == type_


def test_of_the_very_same_alarm_one_a_second_is_told_and_another_persons_is_not_the_same() -> None:
    chatter = Chatter()
    told = [len(chatter.hear("gate", entry("alarm.duress", n, person="p"), n / 5)) for n in range(11)]
    assert told == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    assert chatter.hear("gate", entry("alarm.duress", 12, person="q"), 2.0)
    assert chatter.hear("other", entry("alarm.duress", 13, person="p"), 2.0)


def test_a_switch_that_chatters_ends_as_it_stands() -> None:
    chatter = Chatter()
    told = []
    for n, type_ in enumerate(["alarm.tamper", "alarm.tamper_cleared"] * 4 + ["alarm.tamper"]):
        told += chatter.hear("gate", entry(type_, n), n / 100)
    told += chatter.rest("gate")
    assert [one.type for one in told] == ["alarm.tamper", "alarm.tamper_cleared", "alarm.tamper"]
    assert (told[-1].seq, left_out(told)) == (8, 6)


@given(
    st.lists(
        st.tuples(st.sampled_from(TYPES), st.booleans(), st.sampled_from([None, "p"]), st.floats(0, 2)), max_size=60
    )
)
def test_each_is_told_or_counted_in_order_and_the_last_of_each_kind_is_told(
    heard: list[tuple[str, bool, str | None, float]],
) -> None:
    chatter, now_s, told = Chatter(), 0.0, list[Entry]()
    chatter._usual = Allowance(Rate(2, 3.0))
    for n, (type_, live, person, later_s) in enumerate(heard):
        now_s += later_s
        told += chatter.hear("gate", entry(type_, n, person=person, live=live), now_s)
    told += chatter.rest("gate")
    assert len(told) + left_out(told) == len(heard)
    assert [one.seq for one in told] == sorted({one.seq for one in told if one.seq is not None})
    if heard:
        assert told[-1].seq == len(heard) - 1
