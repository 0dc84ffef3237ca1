"""Who is blamed for a session that broke, and when what was set aside is tried again."""

from __future__ import annotations

import pytest

from gateway.uplink.parcel import Kind, Parcel
from gateway.uplink.tolerance import (
    CALM_S,
    FIRST_REST_S,
    LONGEST_REST_S,
    MOST_STRIKES,
    SHOWN_S,
    SHOWN_SMALL_S,
    STRIKES,
    STRIKES_OF_OTHERS,
    Tolerance,
)

STATUS, READINGS = (Parcel(kind, kind.value, b"", size=900) for kind in (Kind.STATUS, Kind.TELEMETRY))


def alert(sequence, size=2000, *, aside=False):
    return Parcel(Kind.ALERT, "alerts", b"", False, "high", sequence, size, aside)


def accuse(tolerance, *parcels):
    for parcel in parcels:
        for _ in range(STRIKES):
            assert tolerance.lost([parcel], 0.0)
        assert (tolerance.is_accused(parcel), tolerance.is_guilty(parcel)) == (True, False)


def convict(tolerance, parcel, witness):
    accuse(tolerance, parcel)
    tolerance.taken(witness)
    assert not tolerance.is_accused(parcel), "it has its last chance"
    tolerance.lost([parcel], 0.0)
    assert tolerance.is_guilty(parcel)
    tolerance.set_aside(parcel, too_large=False)


def test_what_was_passed_over_and_taken_then_begins_anew():
    """Was: it counted for ever, as what was lost with a session and taken then does not."""
    tolerance, one = Tolerance(), alert(1)
    for parcel in (STATUS, one):
        assert not tolerance.passed_over(parcel, 0.0), "it is tried once more"
        tolerance.taken(parcel)
        assert not tolerance.is_tried_once_more(parcel)
        tolerance.lost([parcel], 2 * CALM_S)
        assert not tolerance.too_large(STATUS.kind, STATUS.size, 2 * CALM_S), "one loss says nothing of its size"
        assert not tolerance.is_guilty(parcel)
        tolerance.taken(parcel)


def test_what_was_on_its_way_with_others_is_blamed_for_nothing_and_travels_alone():
    tolerance, one, two = Tolerance(), alert(1), alert(2)
    for _ in range(9):
        assert not tolerance.lost([one, two], 0.0), "a bad line: there is need to wait"
    assert (tolerance.is_suspect(one), tolerance.is_guilty(one)) == (True, False)
    tolerance.taken(one)
    assert not tolerance.is_suspect(one)
    assert tolerance.is_suspect(two)


def test_one_that_was_taken_in_between_begins_anew():
    tolerance, one = Tolerance(), alert(1)
    for _ in range(STRIKES - 1):
        assert tolerance.lost([one], 0.0)
    tolerance.taken(one)
    tolerance.lost([one], 0.0)
    assert not tolerance.is_accused(one)


def test_a_line_that_broke_by_one_that_passed_in_the_end_must_break_more_often_by_the_next_one():
    tolerance, one = Tolerance(), alert(2)
    for _ in range(2):
        tolerance.lost([alert(1)], 0.0)
    tolerance.taken(alert(1))
    for _ in range(STRIKES + 2):
        assert not tolerance.is_accused(one)
        tolerance.lost([one], 0.0)
    assert tolerance.is_accused(one)


def test_a_line_that_was_calm_for_a_while_is_a_good_one_again():
    tolerance, one = Tolerance(), alert(2)
    for _ in range(STRIKES - 1):
        tolerance.lost([alert(1)], 0.0)
    tolerance.taken(alert(1))
    for _ in range(STRIKES):
        tolerance.lost([one], CALM_S)
    assert tolerance.is_accused(one)


def test_one_that_broke_very_many_sessions_is_accused_on_any_line():
    tolerance, one = Tolerance(), alert(2)
    for _ in range(9 * STRIKES):
        tolerance.lost([alert(1)], 0.0)
    tolerance.taken(alert(1))
    for _ in range(MOST_STRIKES):
        tolerance.lost([one], 0.0)
    assert tolerance.is_accused(one)


def test_one_that_passes_at_its_last_chance_is_acquitted():
    tolerance, one = Tolerance(), alert(1)
    accuse(tolerance, one)
    tolerance.taken(alert(2))
    tolerance.taken(one)
    tolerance.lost([one], 0.0)
    assert (tolerance.is_accused(one), tolerance.is_guilty(one)) == (False, False)


def test_a_size_is_believed_when_a_smaller_alert_passed_and_forgotten_when_as_large_a_one_does():
    tolerance = Tolerance()
    convict(tolerance, alert(1, 9000), witness=alert(2, 2000))
    assert [tolerance.too_large(Kind.ALERT, size, 0.0) for size in (8999, 9000, 9001)] == [False, True, True]
    tolerance.taken(alert(3, 9000, aside=True))
    assert not tolerance.too_large(Kind.ALERT, 9000, 0.0)


def test_what_is_no_larger_than_others_that_passed_was_not_refused_for_its_size():
    tolerance = Tolerance()
    tolerance.taken(alert(1, 3000))
    convict(tolerance, alert(2, 2000), witness=alert(3, 1000))
    assert not tolerance.too_large(Kind.ALERT, 2500, 0.0)


def test_who_broke_the_fewest_sessions_and_is_smaller_goes_before_who_stands_accused():
    tolerance, one, two = Tolerance(), alert(1), alert(2)
    accuse(tolerance, one)
    tolerance.lost([two], 0.0)
    others = [alert(3), one, alert(4, 1999), two]
    others.sort(key=tolerance.turn)
    assert [parcel.sequence for parcel in others] == [4, 3, 2, 1]


def test_of_a_broker_that_takes_no_alert_one_that_stood_alone_is_blamed_and_no_other_until_one_passes():
    tolerance, one, two = Tolerance(), alert(1, 2000), alert(2, 2000)
    accuse(tolerance, one)
    tolerance.stands_alone(one)
    assert tolerance.is_guilty(one)
    tolerance.set_aside(one, too_large=False)
    assert not tolerance.accuses_any
    accuse(tolerance, two)
    tolerance.stands_alone(two)
    assert not tolerance.is_guilty(two)
    assert not tolerance.too_large(Kind.ALERT, 2000, 0.0), "it may as well have been its content, or the line"
    tolerance.taken(alert(3, 1000))
    assert tolerance.too_large(Kind.ALERT, 2000, 0.0)
    tolerance.lost([two], 0.0)
    assert tolerance.is_guilty(two)


def test_the_announced_size_holds_for_everything_and_for_this_session():
    tolerance = Tolerance()
    tolerance.begin(1000)
    assert [tolerance.too_large(kind, 1001, 0.0) for kind in Kind] == [True] * len(Kind)
    assert not tolerance.too_large(Kind.ALERT, 1000, 0.0)
    tolerance.begin(None)
    assert not tolerance.too_large(Kind.ALERT, 1001, 0.0)


@pytest.mark.parametrize("parcel", [STATUS, READINGS], ids=lambda parcel: parcel.kind)
def test_what_is_no_alert_is_left_out_for_a_while_and_then_tried_once(parcel):
    tolerance = Tolerance()
    for _ in range(STRIKES_OF_OTHERS):
        assert not tolerance.lost([parcel], 0.0)
    assert tolerance.too_large(parcel.kind, parcel.size, SHOWN_S - 1)
    assert not tolerance.too_large(parcel.kind, parcel.size - 1, 0.0)
    assert not tolerance.too_large(Kind.ALERT, 9000, 0.0)
    assert not tolerance.too_large(parcel.kind, parcel.size, SHOWN_S)
    tolerance.lost([parcel], SHOWN_S)
    assert tolerance.too_large(parcel.kind, parcel.size, SHOWN_S + 1)


def test_what_breaks_sessions_though_it_is_smaller_is_left_out_for_a_minute_only():
    tolerance = Tolerance()
    for _ in range(STRIKES_OF_OTHERS):
        tolerance.lost([STATUS], 0.0)
    short = Parcel(Kind.STATUS, "status", b"", size=STATUS.size // 2)
    tolerance.lost([short], 0.0)
    assert tolerance.too_large(Kind.STATUS, short.size, SHOWN_SMALL_S - 1)
    assert not tolerance.too_large(Kind.STATUS, short.size, SHOWN_SMALL_S)


def test_rests_double_up_to_a_bound_and_end_when_one_passes_or_the_broker_says_another_size():
    tolerance, now, rests = Tolerance(), 0.0, []
    assert tolerance.is_rested("high", now)
    for _ in range(9):
        assert tolerance.lost([alert(1, aside=True)], now), "nobody waits for it"
        began = now
        while not tolerance.is_rested("high", now):
            now += 1.0
        rests.append(now - began)
    assert rests[:3] == [FIRST_REST_S, 2 * FIRST_REST_S, 4 * FIRST_REST_S]
    assert rests[-1] == LONGEST_REST_S
    tolerance.lost([alert(1, aside=True)], now)
    tolerance.begin(5000)
    assert tolerance.is_rested("high", now)
    tolerance.lost([alert(1, aside=True)], now)
    tolerance.taken(alert(2, aside=True))
    assert tolerance.is_rested("high", now)
