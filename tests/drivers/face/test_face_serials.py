"""A terminal's serial numbers: what is missing is said once, what comes late closes it, a counter that began anew is no gap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.drivers.face import serials
from gateway.drivers.face.serials import Remembered, SerialTracker
from gateway.events import Entry, SequenceGap
from gateway.instant import MINUTE, SECOND, Instant


def entry(seq: int | None, *, live: bool = True, prev: int | None = None, time_ms: int | None = None) -> Entry:
    return Entry(
        "gate", "access.granted", f"k{seq}", "5/75", seq=seq, prev_seq=prev, live=live, terminal_time_ms=time_ms
    )


def heard(tracker: SerialTracker, *numbers: int, at: int = 0, **fields: object) -> list[SequenceGap]:
    return [gap for seq in numbers for gap in tracker.observe(entry(seq, **fields), Instant(at))]  # type: ignore[arg-type]


def missing(first: int, last: int) -> SequenceGap:
    return SequenceGap("gate", first, last)


def ended(first: int, last: int, reason: str) -> SequenceGap:
    return SequenceGap("gate", first, last, open=False, reason=reason)


class TestGaps:
    def test_the_first_number_ever_heard_has_nothing_before_it(self) -> None:
        assert heard(SerialTracker("gate"), 500, 501, 502) == []

    def test_a_jump_is_said_once(self) -> None:
        tracker = SerialTracker("gate")
        assert heard(tracker, 1, 5, 5, 6) == [missing(2, 4)]

    def test_the_terminals_own_word_for_the_number_before_goes_first(self) -> None:
        tracker = SerialTracker("gate")
        heard(tracker, 1)
        assert tracker.observe(entry(5, prev=1), Instant(0)) == [], "2 to 4 were never given out"
        assert tracker.observe(entry(9, prev=7), Instant(0)) == [missing(6, 7)]
        assert tracker.observe(entry(12, prev=99), Instant(0)) == [missing(10, 11)], "a word that cannot be is none"

    def test_what_comes_late_closes_it_however_cut_up(self) -> None:
        tracker = SerialTracker("gate")
        assert heard(tracker, 1, 6) == [missing(2, 5)]
        assert heard(tracker, 3, 2, 5, 5) == []
        assert heard(tracker, 4) == [ended(2, 5, "recovered")]
        assert heard(tracker, 4, 7) == []

    def test_two_gaps_are_closed_each_under_its_own_first(self) -> None:
        tracker = SerialTracker("gate")
        assert heard(tracker, 1, 3, 5) == [missing(2, 2), missing(4, 4)]
        assert heard(tracker, 4, 2) == [ended(4, 4, "recovered"), ended(2, 2, "recovered")]

    def test_events_without_a_number_say_nothing(self) -> None:
        tracker = SerialTracker("gate")
        heard(tracker, 1)
        assert tracker.observe(entry(None), Instant(0)) == []

    def test_a_terminal_that_skips_without_end_fills_no_memory(self) -> None:
        tracker = SerialTracker("gate")
        said = heard(tracker, *range(1, 2 * serials.MOST_HOLES + 21, 2))
        assert len(tracker.holes) == serials.MOST_HOLES
        given_up = [gap for gap in said if not gap.open]
        assert given_up[0] == ended(2, 2, "given_up")
        assert len([gap for gap in said if gap.open]) - len(given_up) == serials.MOST_HOLES

    def test_a_terminal_that_skips_and_fills_without_end_is_held_back_too(self) -> None:
        tracker = SerialTracker("gate")
        heard(tracker, 1)
        said = [gap for seq in range(1, 4000, 2) for gap in heard(tracker, seq + 2, seq + 1)]
        assert [gap.open for gap in said] == [True, False] * serials.GAP_RATE.burst
        assert tracker.holes == []

    def test_a_gap_that_had_to_wait_is_said_as_soon_as_one_may_be_and_its_end_with_it(self) -> None:
        tracker = SerialTracker("gate")
        heard(tracker, 1)
        for seq in range(1, 2 * serials.GAP_RATE.burst, 2):
            heard(tracker, seq + 2, seq + 1)
        last = tracker.last or 0
        assert heard(tracker, last + 3, last + 4) == []
        later = round(1000 * serials.GAP_RATE.every_s)
        assert heard(tracker, last + 5, at=later) == [missing(last + 1, last + 2)]
        assert heard(tracker, last + 6, at=2 * later) == []
        assert heard(tracker, last + 1, last + 2, at=2 * later) == [ended(last + 1, last + 2, "recovered")]

    def test_a_hole_filled_in_shreds_is_given_up(self) -> None:
        tracker = SerialTracker("gate")
        heard(tracker, 1, 10_000)
        assert heard(tracker, *range(3, 10_000, 2)) == [ended(2, 9_999, "given_up")]


class TestAnew:
    def test_a_reset_counter_is_no_gap_and_ends_the_old_ones(self) -> None:
        tracker = SerialTracker("gate")
        heard(tracker, 300, 305)
        assert heard(tracker, 2, at=2 * MINUTE) == [ended(301, 304, "given_up")]
        assert heard(tracker, 3, 5, at=2 * MINUTE) == [missing(4, 4)]

    def test_one_overtaken_on_its_way_is_no_reset(self) -> None:
        tracker = SerialTracker("gate")
        heard(tracker, 300)
        assert heard(tracker, 299, at=MINUTE // 2) == []
        assert heard(tracker, 301) == []

    def test_a_resend_long_after_is_no_reset(self) -> None:
        tracker = SerialTracker("gate")
        heard(tracker, 300, 301)
        assert tracker.observe(entry(300), Instant(5 * MINUTE), repeat=True) == []
        assert heard(tracker, 302, at=5 * MINUTE) == []

    def test_an_old_one_from_the_log_is_no_reset_unless_it_is_far_back(self) -> None:
        tracker = SerialTracker("gate")
        heard(tracker, 20_000)
        assert heard(tracker, 15_000, at=5 * MINUTE, live=False) == []
        assert tracker.last == 20_000
        heard(tracker, 7, at=5 * MINUTE, live=False)
        assert tracker.last == 7

    def test_a_counter_that_wraps_is_followed_at_once(self) -> None:
        tracker = SerialTracker("gate")
        heard(tracker, 2**32 - 3, 2**32 - 1)
        assert heard(tracker, 0, at=SECOND) == [ended(2**32 - 2, 2**32 - 2, "given_up")]
        assert heard(tracker, 2, at=2 * SECOND) == [missing(1, 1)]

    def test_one_that_names_the_last_heard_as_the_one_before_it_follows_it_whatever_its_number(self) -> None:
        tracker = SerialTracker("gate")
        heard(tracker, 5_000)
        assert heard(tracker, 1, prev=5_000, at=SECOND) == []
        assert heard(tracker, 3, at=2 * SECOND) == [missing(2, 2)]


class TestRestart:
    def test_goes_on_where_it_stood(self) -> None:
        tracker = SerialTracker("gate", Remembered(10, Instant(5), [(3, 4)]))
        assert heard(tracker, 13) == [missing(11, 12)]
        assert heard(tracker, 3, 4) == [ended(3, 4, "recovered")]

    def test_a_gap_kept_without_the_event_behind_it_is_not_said_again(self) -> None:
        tracker = SerialTracker("gate", Remembered(10, Instant(5), [(11, 12)]))
        assert heard(tracker, 13) == []

    def test_what_the_log_is_worth(self) -> None:
        tracker = SerialTracker("gate", Remembered(10, Instant(5), [(3, 4)]))
        assert [seq for seq in (None, 2, 3, 4, 5, 10, 11) if tracker.wants(seq)] == [3, 4, 11]
        assert not SerialTracker("gate").wants(5)


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans(), st.integers(0, 70_000)), max_size=80))
def test_every_gap_is_opened_once_and_closed_once(told: list[tuple[int, bool, int]]) -> None:
    tracker, open_now, at = SerialTracker("gate"), {}, 0
    for seq, live, pause in told:
        at += pause
        for gap in tracker.observe(entry(seq, live=live), Instant(at)):
            if gap.open:
                assert gap.first not in open_now
                assert gap.first <= gap.last < seq
                open_now[gap.first] = gap.last
            else:
                assert open_now.pop(gap.first) == gap.last
    assert {hole.first: hole.last for hole in tracker.holes} == open_now
    assert all(low <= high for hole in tracker.holes for low, high in hole.missing)


@given(st.permutations(range(2, 30)))
def test_whatever_the_order_nothing_stays_open_when_all_have_come(order: list[int]) -> None:
    tracker = SerialTracker("gate")
    heard(tracker, 1, *order)
    assert tracker.holes == []
    assert tracker.last == 29
