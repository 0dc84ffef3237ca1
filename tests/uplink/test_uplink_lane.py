"""Up to where a lane has arrived: its cursor never passes a message of which the broker may not know."""

from __future__ import annotations

from gateway.uplink.lane import Lane
from gateway.uplink.outbox import Message


def messages(*sequences: int) -> list[Message]:
    return [Message("high", n, f"a/{n}", "alerts", b"{}") for n in sequences]


def lane_of(*sequences: int, arrived: tuple[int, ...] = ()) -> Lane:
    lane = Lane()
    lane.put(messages(*sequences))
    for sequence in arrived:
        lane.land(sequence)
    return lane


def test_it_goes_only_to_where_all_that_was_read_has_arrived():
    lane = lane_of(1, 2, 3, arrived=(3, 1))
    assert lane.due() == [1]
    lane.land(2)
    assert lane.due() == [3]


def test_a_lower_number_that_was_seen_late_holds_it_back():
    lane = lane_of(2, arrived=(2,))
    assert lane.due() == [2]
    lane.put(messages(1, 2))
    assert [message.sequence for message in lane.ready] == [2, 1], "each of them once"
    assert lane.due() == []
    lane.land(1)
    assert lane.due() == [2]


def test_what_the_outbox_cannot_reach_now_is_told_by_itself():
    lane = lane_of(1, 2, arrived=(1, 2))
    lane.put(messages(2, 3))
    lane.land(3)
    assert lane.due() == [1, 3]
    for sequence in lane.due():
        lane.told(sequence)
    assert lane.due() == []


def test_what_was_told_and_is_given_once_more_must_arrive_once_more():
    lane = lane_of(1, arrived=(1,))
    lane.told(*lane.due())
    lane.put(messages(1))
    assert lane.due() == []


def test_it_asks_for_more_than_what_still_counts_as_waiting():
    lane = Lane()
    fewest = lane.ask()
    lane.put(messages(1, 2, 3))
    assert lane.ask() == fewest + 3
    lane.land(1)
    lane.told(*lane.due())
    assert lane.ask() == fewest + 2


def test_it_is_asked_for_until_the_outbox_has_nothing_new():
    lane = Lane()
    for taken, dry in ((messages(1), False), (messages(1), True), (messages(1, 2), False), ([], True)):
        lane.dry = True
        lane.put(taken)
        assert lane.dry is dry
