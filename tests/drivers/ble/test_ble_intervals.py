"""What is usual of a button, learnt robustly; and when its silence is strange."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.drivers.ble.intervals import ENOUGH, IntervalLearner, Usual
from gateway.instant import DAY, MINUTE, Instant

S = 1_000


def learner(usual=None):
    made = IntervalLearner({"b": usual})
    made.listen(Instant(0))
    return made


def teach(made, *silences_s, at=0):
    for silence in silences_s:
        at += silence
        made.hear("b", Instant(round(at * S)))
    return at


class TestLearning:
    def test_the_median_of_the_silences(self):
        made = learner()
        teach(made, *[65] * 1_400)
        assert made.known("b") == Usual(65_000, 65_000, 65_000)

    def test_not_before_there_are_enough(self):
        made = learner()
        teach(made, *[20_000] * ENOUGH)  # the first is no silence between two
        assert made.known("b") is None
        teach(made, 20_000, at=20_000 * ENOUGH)
        assert made.known("b") is not None

    def test_nine_presses_of_an_installer_are_no_heartbeat(self):
        """A button that only speaks when it is pressed: nine times within an hour, and then, for good, once in a few days."""
        made = learner()
        at = teach(made, *[60] * 9)
        assert made.known("b") is None
        assert ("b", True) not in list(made.news(Instant(3 * DAY)))
        at = teach(made, *[3 * 86_400] * 2, *[60] * 40, at=at)
        assert not made.known("b").beats, "nor are forty, however soon one is forgotten"
        assert made.next_due() is None
        assert ("b", True) not in list(made.news(Instant(at * S + 4 * DAY)))

    def test_a_button_that_was_away_for_a_day_is_waited_for_again_a_week_later(self):
        made = learner()
        at = teach(made, *[60] * 1_500)
        assert made.known("b").beats
        at = teach(made, 90_000, 60, at=at)
        assert not made.known("b").beats
        teach(made, *[60] * 7 * 1_440, 60, 60, at=at)
        assert made.known("b") == Usual(60_000, 60_000, 60_000)

    def test_repeats_of_one_transmission_are_no_silence(self):
        made = learner()
        teach(made, *[60, 0.2, 0.2, 0.2, 0.2] * 1_500)
        assert made.known("b").interval_ms == 60_000

    def test_a_beacon_that_never_pauses_is_heard_every_two_seconds_at_least(self):
        made = learner()
        teach(made, *[0.5] * 180_000)
        assert made.known("b").interval_ms == 2_000
        assert made.known("b").nine_in_ten_ms == 2_000

    def test_lost_frames_and_one_long_walk_do_not_move_it(self):
        made = learner()
        teach(made, *[60, 60, 120, 60, 60, 60, 7_200, 60, 180, 60] * 12)
        assert made.known("b").interval_ms == 60_000

    def test_it_follows_a_new_setting(self):
        made = learner(Usual(60_000, 60_000))
        teach(made, *[600] * 150)
        assert made.known("b").interval_ms == 600_000

    def test_a_silence_over_which_we_were_deaf_is_none(self):
        made = learner()
        at = teach(made, *[60] * 1_500)
        made.deafen()
        made.listen(Instant((at + 7_000) * S))
        teach(made, 7_001, *[60] * 4, at=at)
        assert made.known("b") == Usual(60_000, 60_000, 60_000)

    def test_what_means_another(self):
        assert Usual(60_000, 60_000).means_another(None)
        assert not Usual(65_000, 65_000).means_another(Usual(60_000, 60_000))
        assert Usual(120_000, 120_000).means_another(Usual(60_000, 60_000))
        assert Usual(30_000, 30_000).means_another(Usual(60_000, 60_000))
        assert Usual(60_000, 60_000, DAY).means_another(Usual(60_000, 60_000))


class TestQuiet:
    MINUTELY = Usual(60_000, 60_000)

    def test_ten_usual_silences_are_strange_and_one_frame_ends_it(self):
        made = learner(self.MINUTELY)
        made.hear("b", Instant(0))
        assert list(made.news(Instant(0))) == [("b", False)]
        assert made.next_due() == 600_000
        assert list(made.news(Instant(599_999))) == []
        assert list(made.news(Instant(600_000))) == [("b", True)]
        assert list(made.news(Instant(700_000))) == []
        assert made.next_due() is None
        made.hear("b", Instant(800_000))
        assert list(made.news(Instant(800_000))) == [("b", False)]

    def test_one_never_heard_in_this_run_is_missed_too(self):
        made = learner(self.MINUTELY)
        assert list(made.news(Instant(600_000))) == [("b", True)]

    def test_nobody_is_quiet_while_we_are_deaf_and_the_wait_begins_anew(self):
        made = learner(self.MINUTELY)
        made.hear("b", Instant(0))
        made.deafen()
        assert made.next_due() is None
        assert list(made.news(Instant(DAY))) == [("b", False)]
        made.listen(Instant(DAY))
        assert made.next_due() == DAY + 600_000

    def test_of_a_button_nobody_knows_nothing_is_said(self):
        made = learner()
        made.hear("b", Instant(0))
        assert list(made.news(Instant(DAY))) == []

    def test_one_that_is_usually_silent_for_days_only_speaks_when_it_is_pressed(self):
        made = learner()
        at = teach(made, *[5 * 86_400] * 10) * S
        assert made.known("b") is not None
        assert made.next_due() is None
        assert ("b", True) not in list(made.news(Instant(at + 4 * DAY)))

    def test_an_irregular_button_is_waited_for_longer_and_none_less_than_five_minutes_or_more_than_a_day(self):
        assert Usual(60_000, 60 * MINUTE).limit_ms == 180 * MINUTE
        assert Usual(2_000, 2_000).limit_ms == 5 * MINUTE
        assert Usual(DAY, DAY).limit_ms == DAY


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=80))
def test_whatever_it_hears_its_limits_are_sane(silences):
    made, at = learner(), 0
    for silence in silences:
        at += silence
        usual = made.hear("b", Instant(at))
        if usual is not None:
            assert 1_900 <= usual.interval_ms <= usual.nine_in_ten_ms <= usual.longest_ms
            assert 5 * MINUTE <= usual.limit_ms <= DAY
        due = made.next_due()
        assert due is None or due >= 5 * MINUTE
        list(made.news(Instant(at)))


class Scanning(IntervalLearner):
    """Looks at every button each time: slow, and plainly right."""

    def news(self, at):
        for button, ear in self._ears.items():
            due = self._due(ear)
            quiet, heard = due is not None and at >= due, ear.last is not None
            if (quiet and ear.quiet is not True) or (heard and not quiet and ear.usual and ear.quiet is not False):
                ear.quiet = quiet
                yield button, quiet

    def next_due(self):
        dues = [self._due(ear) for ear in self._ears.values() if ear.quiet is not True]
        return min((due for due in dues if due is not None), default=None)


KNOWN = {"a": Usual(30_000, 40_000), "b": Usual(600_000, 700_000), "c": None}


@given(st.lists(st.tuples(st.sampled_from([*KNOWN, "tick", "deaf", "listen"]), st.integers(0, 4_000)), max_size=80))
def test_looking_only_at_who_was_heard_or_is_due_misses_nobody(deeds):
    at, learners = 0, [IntervalLearner(KNOWN), Scanning(KNOWN)]
    for learner_ in learners:
        learner_.listen(Instant(0))
    for deed, later_s in deeds:
        at += later_s * S
        for one in learners:
            if deed == "deaf":
                one.deafen()
            elif deed == "listen":
                one.listen(Instant(at))
            elif deed in KNOWN:
                one.hear(deed, Instant(at))
        quick, slow = (sorted(one.news(Instant(at))) for one in learners)
        assert quick == slow
        assert learners[0].next_due() == learners[1].next_due()
