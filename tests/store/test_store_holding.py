"""What is held in memory while the disk refuses: nothing told goes first, nothing goes uncounted, and two holds make one."""

from __future__ import annotations

import pytest

from gateway.store.holding import GAP, Held
from gateway.store.rows import HistoryRow, JournalRow, Message, Part, StateRow

ROW = 200
"""What a row is reckoned at besides its body."""


def journal(*ids, at=7, size=800):
    return tuple(JournalRow(at, name, "reading", b"x" * size) for name in ids)


def step(alert, size=800):
    return HistoryRow(alert, 1, "raised", 5, None, "", b"x" * size)


def told(lane, sequence, size=800):
    return Message(lane, sequence, f"{lane}/{sequence}", "alerts", b"x" * size, "a")


def names(held):
    return [row.id or row.kind for row in held.batch().journal]


@pytest.mark.parametrize(
    "part",
    [
        Part(journal=journal("a")),
        Part(state=(StateRow("alert", "a", None),)),
        Part(history=(step("a"),)),
        Part(stamp=(1, b"s")),
    ],
    ids=["journal", "state", "history", "stamp"],
)
def test_whatever_is_held_is_something(part):
    held = Held()
    assert not held
    held.add(part, [])
    assert held


def test_a_message_alone_is_something_whether_new_or_told_in_other_words():
    new, again = Held(), Held()
    new.add(Part(), [told("low", 1)])
    again.retell([told("low", 1)])
    assert new
    assert again


def test_quiet_rows_go_first_down_to_half_and_leave_their_number():
    held = Held(quiet_bytes=4_000, held_bytes=1_000_000)
    held.add(Part(journal=journal("alarm"), urgent=True), [])
    for n in range(5):
        held.add(Part(journal=journal(f"q{n}")), [])
    assert names(held) == [GAP, "alarm", "q3", "q4"]
    assert (held.batch().journal[0].body, held.batch().journal[0].at, held.dropped_journal) == (b"3", 7, 3)


def test_then_all_journal_rows_then_history_and_messages_last_and_the_least_urgent_lane_first():
    held = Held(held_bytes=3 * (800 + ROW))
    held.add(Part(journal=journal("alarm"), history=(step("a"),), urgent=True), [told("critical", 1)])
    assert held.dropped_journal == 0
    held.add(Part(history=(step("b"),), urgent=True), [])
    assert (names(held), held.dropped_journal, held.dropped_history) == ([GAP], 1, 0)
    held.add(Part(urgent=True), [told("low", 1)])
    assert (held.history("a"), held.history("b"), held.dropped_history) == ([], [step("b")], 1)
    held.add(Part(urgent=True), [told("low", 2), told("critical", 2)])
    assert [(one.lane, one.sequence) for one in held.told()] == [("critical", 1), ("critical", 2), ("low", 2)]
    assert (held.dropped_history, held.dropped_messages) == (2, 1)


@pytest.mark.parametrize(
    ("parts", "at"),
    [
        ([Part(journal=journal("q0", "q1"))], 0),
        ([Part(journal=journal("q0", "q1"), stamp=(9, b"s"))], 9),
        ([Part(journal=journal("q0", "q1"), stamp=(9, b"s")), Part(journal=journal("a", at=11), urgent=True)], 11),
    ],
    ids=["nothing is dated", "by the stamp", "before the first row that is left"],
)
def test_a_gap_stands_before_what_is_left(parts, at):
    held = Held(quiet_bytes=0)
    for part in parts:
        held.add(part, [])
    assert held, "a gap is something, too"
    assert (held.batch().journal[0].kind, held.batch().journal[0].at) == (GAP, at)


def test_two_holds_make_one_that_is_as_bounded_and_counts_what_both_dropped():
    first, second = Held(quiet_bytes=1_000, held_bytes=5_000), Held(quiet_bytes=1_000, held_bytes=5_000)
    for held, name in ((first, "a"), (second, "b")):
        held.add(Part(journal=journal(f"{name}0", f"{name}1")), [])
        held.add(Part(history=(step(name),), urgent=True), [told("high", 1 if name == "a" else 2)])
        held.retell([told("low", 1 if name == "a" else 2)])
    assert (first.dropped_journal, second.dropped_journal) == (2, 2)
    first.merge(second)
    assert first.dropped_journal == 4
    assert first.batch().journal[0].body == b"4"
    assert first.dropped_history == 1, "six of 1,000 bytes are more than 5,000"
    assert [(one.lane, one.sequence) for one in first.told()] == [("low", 1), ("low", 2), ("high", 1), ("high", 2)]
    assert [one.alert for one in first.batch().history] == ["b"]


def test_of_one_lane_and_of_one_kind_of_state_just_these_are_told():
    held = Held()
    held.add(
        Part(state=(StateRow("alert", "a", b"1"), StateRow("lane", "low", b"2"), StateRow("alert", "b", b"3"))), []
    )
    held.add(Part(state=(StateRow("alert", "a", b"4"),)), [told("low", 1), told("high", 2)])
    held.retell([told("low", 0)])
    assert sorted(held.messages("low")) == [0, 1]
    assert [(row.key, row.body) for row in held.state("alert")] == [("a", b"4"), ("b", b"3")], "the latest first"
