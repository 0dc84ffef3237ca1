"""What of a door's entries is told: never refused, alarms always, of what repeats too fast the last word and the number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.drivers.face.chatter import (
    _STATES,
    ENTRY_RATE,
    LEFT_OUT,
    OVERRUN_S,
    PERSONS_ALARM_RATE,
    PERSONS_RATE,
    Chatter,
    Kind,
    _kind,
)
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


def test_no_person_is_left_out_who_can_have_passed() -> None:
    """The whole log of a terminal twice over, and from then on one a second."""
    chatter = Chatter()
    burst = PERSONS_RATE.burst
    told = sum(
        len(chatter.hear("gate", entry("access.granted", n, person=f"p{n}", live=n % 2 == 0), 0.0))
        for n in range(burst)
    )
    told += sum(len(chatter.hear("gate", entry("access.denied", n, person="p"), 1.0 + n)) for n in range(500))
    assert told == burst + 500
    assert not chatter.overran("gate", 500.0)


@pytest.fixture
def overrun() -> Chatter:
    """Its gate has named more persons than can pass a door."""
    chatter = Chatter()
    chatter._persons = Allowance(Rate(3, 1e9))
    for n in range(1_000):
        chatter.hear("gate", entry("access.granted", n, person=f"nobody-{n}"), 0.0)
    return chatter


def test_what_a_door_that_lies_says_of_persons_is_bounded_counted_and_its_last_word_told(overrun: Chatter) -> None:
    assert overrun.overran("gate", 1.0)
    assert not overrun.overran("other", 1.0)
    assert not overrun.overran("gate", OVERRUN_S)
    (last,) = overrun.rest("gate")
    assert (last.seq, left_out([last])) == (999, 1_000 - 3 - 1)
    assert not overrun.rest("gate")
    assert overrun.hear("other", entry("access.granted", person="p"), 0.0), "another door is another matter"


def test_invented_persons_use_up_nothing_of_those_under_care_nor_of_what_names_nobody(overrun: Chatter) -> None:
    for n in range(3):
        assert overrun.hear("gate", entry("access.granted", n, person="grandma"), 0.0, awaited=True)
    for type_ in ("door.opened", "alarm.tamper", "access.denied", "alarm.duress"):
        assert overrun.hear("gate", entry(type_), 0.0)
    assert overrun.hear("gate", entry("alarm.duress", person="p"), 0.0), "an alarm has a measure of its own"


def test_people_under_duress_who_are_invented_are_one_a_second_and_the_rest_is_counted() -> None:
    chatter = Chatter()
    told = list[Entry]()
    for n in range(20_000):  # two thousand a second
        told += chatter.hear("gate", entry("alarm.duress", n, person=f"nobody-{n}"), n / 2_000)
    burst = PERSONS_ALARM_RATE.burst
    assert [one.seq for one in told[:burst]] == list(range(burst)), "the first are told at once"
    assert len(told) <= PERSONS_ALARM_RATE.most_within(10.0)
    told += chatter.rest("gate")
    assert len(told) + left_out(told) == 20_000
    assert chatter.hear("gate", entry("alarm.duress", person="grandma"), 10.0, awaited=True)


def test_kinds_that_chatter_side_by_side_do_not_flush_each_other(tired: Chatter) -> None:
    """What was held back of one kind is no free ride on the next word of another."""
    types = ("door.bell", "door.unlocked", "door.locked", "door.exit_button", "device.other", "access.denied")
    told = [one for n in range(600) for one in tired.hear("gate", entry(types[n % 6], n), 0.0)]
    assert len(told) == 2 * len(types)


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
        st.tuples(
            st.sampled_from(TYPES), st.booleans(), st.sampled_from([None, "p", "q"]), st.floats(0, 2), st.booleans()
        ),
        max_size=60,
    )
)
def test_each_is_told_or_counted_the_last_of_each_kind_is_told_and_how_the_door_stands_in_order(
    heard: list[tuple[str, bool, str | None, float, bool]],
) -> None:
    chatter, now_s, told, last = Chatter(), 0.0, list[Entry](), dict[Kind, int]()
    chatter._usual, chatter._persons = Allowance(Rate(2, 3.0)), Allowance(Rate(3, 2.0))
    for n, (type_, live, person, later_s, awaited) in enumerate(heard):
        now_s += later_s
        one = entry(type_, n, person=person, live=live)
        last[_kind(one, awaited=awaited)] = n
        told += chatter.hear("gate", one, now_s, awaited=awaited)
    told += chatter.rest("gate")
    assert len(told) + left_out(told) == len(heard)
    seqs = [one.seq or 0 for one in told]
    assert set(last.values()) <= set(seqs)
    for at, one in enumerate(told):
        if _kind(one, awaited=False)[0] in _STATES:
            younger = [later.seq for later in told[:at] if (later.seq or 0) > (one.seq or 0)]
            assert not younger, "it would move no door"
