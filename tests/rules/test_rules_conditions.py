"""Three-valued logic, thresholds, states, staleness, times of day."""

import datetime as dt
from itertools import product

import pytest

from gateway.app.compound import zone_offsets
from gateway.events import Entry, Press, PressKind, Quality
from gateway.instant import DAY, MINUTE, Instant
from gateway.rules.conditions import (
    All,
    Any,
    Between,
    Case,
    Entered,
    Fact,
    Finding,
    Is,
    Not,
    Pressed,
    Stale,
    Threshold,
    mixes,
    negated,
)
from gateway.rules.wall import shown


class Board:
    """A view with just what a test puts there."""

    def __init__(self, *, wall_ms=0, zone=((0, 0),), bus="", **facts):
        self.facts, self._wall_ms, self._zone, self.bus, self.stale = facts, wall_ms, zone, bus, {}

    def fact(self, subject, name):
        return self.facts.get(name)

    def has(self, subject, name):
        return name in self.facts or name in self.stale

    def stale_at(self, subject, name):
        return self.stale.get(name)

    def supervised(self, subject):
        return tuple(self.stale)

    def unit(self, subject, name):
        return "%LEL"

    def via(self, subject):
        return self.bus

    def means_sos(self, subject, press):
        return press.kind is not PressKind.DOUBLE

    def wall(self, at):
        return None if self._wall_ms is None else shown(self._zone, at + self._wall_ms)


def fact(value, quality=Quality.GOOD, since=0):
    return Fact(value, quality, Instant(0), Instant(since), 0)


def ask(condition, board=None, at=0, *, standing=False, pulse=None):
    return condition.find(Case(board or Board(), "s", Instant(at), standing, pulse))


class Fixed(Stale):
    """A leaf with a fixed answer."""

    def find(self, case):
        return TRUTHS[self.fact]


TRUTHS = {"T": Finding(True), "F": Finding(False), "U": Finding(None)}
AND = {"TT": "T", "TF": "F", "TU": "U", "FT": "F", "FF": "F", "FU": "F", "UT": "U", "UF": "F", "UU": "U"}
OR = {"TT": "T", "TF": "T", "TU": "T", "FT": "T", "FF": "F", "FU": "U", "UT": "T", "UF": "U", "UU": "U"}


@pytest.mark.parametrize("pair", AND)
def test_kleene_tables(pair):
    parts = tuple(Fixed(letter) for letter in pair)
    assert ask(All(parts)).truth is TRUTHS[AND[pair]].truth
    assert ask(Any(parts)).truth is TRUTHS[OR[pair]].truth
    assert ask(negated(All(parts))).truth is ask(Not(All(parts))).truth
    assert ask(negated(Any(parts))).truth is ask(Not(Any(parts))).truth


def test_not_keeps_unknown_unknown():
    assert [ask(Not(Fixed(x))).truth for x in "TFU"] == [False, True, None]
    assert ask(negated(Not(Fixed("U")))).truth is None


ABOVE, BELOW = Threshold("p", 20.0, deadband=4.0), Threshold("p", 20.0, above=False, deadband=4.0)


@pytest.mark.parametrize(
    ("condition", "value", "standing", "truth"),
    [
        (ABOVE, 19.999, False, False), (ABOVE, 20.0, False, True), (ABOVE, 20, False, True), (ABOVE, 16.0, True, True),
        (ABOVE, 15.999, True, False), (ABOVE, 16.0, False, False), (ABOVE, 10**400, False, True), (ABOVE, -(10**400), False, False),
        (BELOW, 20.001, False, False), (BELOW, 20.0, False, True), (BELOW, 24.0, True, True), (BELOW, 24.001, True, False),
        (Not(ABOVE), 16.0, False, False), (Not(ABOVE), 15.9, False, True), (Not(ABOVE), 19.9, True, True), (Not(ABOVE), 20, True, False),
        (ABOVE, True, False, None), (ABOVE, "26", False, None), (ABOVE, None, False, None),
    ],
)  # fmt: skip
def test_a_threshold_and_its_return_limit(condition, value, standing, truth):
    assert ask(condition, Board(p=fact(value)), standing=standing).truth is truth


@pytest.mark.parametrize(
    ("quality", "alarming", "quiet"),
    [
        (Quality.GOOD, True, False), (Quality.WARM_UP, True, None), (Quality.OVER_RANGE, True, True),
        (Quality.UNDER_RANGE, None, None), (Quality.SENSOR_FAULT, None, None), (Quality.INVALID, None, None),
        (Quality.OUT_OF_SERVICE, None, None), (Quality.COMMS, True, None),
    ],
)  # fmt: skip
def test_how_far_a_quality_may_be_believed(quality, alarming, quiet):
    assert ask(ABOVE, Board(p=fact(30.0, quality))).truth is alarming
    assert ask(ABOVE, Board(p=fact(1.0, quality))).truth is quiet


def test_a_sensor_that_warms_up_proves_no_lack_and_one_whose_word_is_missing_does():
    assert ask(BELOW, Board(p=fact(0.0, Quality.WARM_UP))).truth is None
    assert ask(BELOW, Board(p=fact(0.0, Quality.WARM_UP)), standing=True).truth is None
    assert ask(BELOW, Board(p=fact(0.0, Quality.COMMS))).truth is True


@pytest.mark.parametrize("quality", Quality)
def test_what_a_device_says_itself_is_believed_when_it_alarms_whatever_is_wrong_with_it(quality):
    quiet = False if quality is Quality.GOOD else None
    assert ask(Is("p", (True,)), Board(p=fact(True, quality))).truth is True
    assert ask(Is("p", (True,)), Board(p=fact(False, quality))).truth is quiet
    assert ask(Is("p", ("alarm",)), Board(p=fact("alarm", quality))).truth is True
    assert ask(Is("p", (True,)), Board(p=fact(None, quality))).truth is None


def test_the_range_counts_on_the_side_of_the_limit():
    assert ask(ABOVE, Board(p=fact(None, Quality.OVER_RANGE))).truth is True
    assert ask(ABOVE, Board(p=fact(None, Quality.UNDER_RANGE))).truth is None
    assert ask(BELOW, Board(p=fact(None, Quality.UNDER_RANGE))).truth is True
    assert ask(BELOW, Board(p=fact(None, Quality.OVER_RANGE))).truth is None


def test_an_old_value_is_unknown_and_says_when_it_will_be():
    board = Board(p=fact(30.0))
    board.stale["p"] = Instant(100)
    young = ask(ABOVE, board, 99)
    assert (young.truth, young.due) == (True, 100)
    assert ask(ABOVE, board, 100).truth is None
    assert ask(Is("p", (30.0,)), board, 100).truth is None


def test_a_point_the_subject_has_not_is_no_and_one_never_heard_is_unknown():
    assert ask(ABOVE).truth is False
    assert ask(Is("p", (True,))).truth is False
    board = Board()
    board.stale["p"] = Instant(100)
    assert ask(ABOVE, board).truth is None
    assert ask(Is("p", (True,)), board).truth is None


@pytest.mark.parametrize(
    ("value", "among", "truth"),
    [(True, (True,), True), (1, (True,), False), (True, (1,), False), ("lost", ("lost", "faulty"), True), (1.0, (1,), True),
     (float("nan"), (1,), False), (None, (None,), None)],
)  # fmt: skip
def test_a_state_is_one_of_some_values_and_true_is_not_one(value, among, truth):
    assert ask(Is("p", among), Board(p=fact(value))).truth is truth


def test_for_counts_from_the_last_change_of_value():
    board = Board(door=fact("opened", since=1000))
    waiting = ask(Is("door", ("opened",), 5000), board, 5999)
    assert (waiting.truth, waiting.due) == (False, 6000)
    assert ask(Is("door", ("opened",), 5000), board, 6000).truth is True


def test_staleness_is_of_the_named_fact_or_of_any():
    board = Board(a=fact(1), b=fact(2))
    board.stale |= {"a": Instant(50), "b": Instant(80)}
    assert ask(Stale("b"), board, 79) == Finding(False, (), Instant(80))
    assert ask(Stale(""), board, 49) == Finding(False, (), Instant(50))
    found = ask(Stale(""), board, 60)
    assert (found.truth, found.why[0].fact, found.why[0].quality) == (True, "a", Quality.COMMS)


def minute(hour, at=0):
    return hour * 60 + at


@pytest.mark.parametrize(
    ("start", "end", "clock", "inside", "next_edge"),
    [
        ((8, 0), (18, 0), (7, 59), False, 1), ((8, 0), (18, 0), (8, 0), True, 600), ((8, 0), (18, 0), (17, 59), True, 1),
        ((8, 0), (18, 0), (18, 0), False, 840), ((22, 0), (5, 30), (21, 59), False, 1), ((22, 0), (5, 30), (22, 0), True, 450),
        ((22, 0), (5, 30), (0, 0), True, 330), ((22, 0), (5, 30), (5, 30), False, 990), ((0, 0), (6, 0), (0, 0), True, 360),
    ],
)  # fmt: skip
def test_times_of_day_also_over_midnight(start, end, clock, inside, next_edge):
    found = ask(Between(minute(*start), minute(*end)), Board(wall_ms=minute(*clock) * MINUTE))
    assert (found.truth, found.due) == (inside, next_edge * MINUTE)


def test_while_the_clock_is_not_trusted_every_time_counts_as_inside_also_its_opposite():
    night = Between(minute(22), minute(6))
    assert ask(night, Board(wall_ms=None)).truth is True
    assert ask(negated(night), Board(wall_ms=None)).truth is True, "better an alarm by day than none by night"
    assert ask(negated(All((night, Fixed("T")))), Board(wall_ms=None)).truth is True


def open_spells(start, end, zone, day):
    """The spells in which a window is open in the day from 18:00 UTC before ``day``, in UTC; woken only when it asks to be."""
    begins = dt.datetime(*day, tzinfo=dt.UTC) - dt.timedelta(hours=6)
    board = Board(zone=zone_offsets(zone), wall_ms=int(begins.timestamp() * 1000))
    at, spells, window = 0, [], Between(start, end)
    while at < DAY:
        found = ask(window, board, at)
        assert found.due > at
        if found.truth and spells and spells[-1][1] == at:
            spells[-1][1] = found.due
        elif found.truth:
            spells.append([at, found.due])
        at = found.due
    return [tuple(f"{begins + dt.timedelta(milliseconds=moment):%H:%M}" for moment in spell) for spell in spells]


SPRING, AUTUMN = (2026, 3, 29), (2026, 10, 25)
"""Berlin: put forward at 01:00 UTC from 02:00 to 03:00, put back at 01:00 UTC from 03:00 to 02:00."""


@pytest.mark.parametrize(
    ("day", "start", "end", "spells"),
    [
        (SPRING, (8, 0), (14, 0), [("06:00", "12:00")]),
        (SPRING, (22, 0), (5, 30), [("21:00", "03:30")]),
        (SPRING, (2, 15), (4, 0), [("01:00", "02:00")]),
        (SPRING, (1, 30), (2, 15), [("00:30", "01:00")]),
        (SPRING, (2, 15), (2, 45), []),
        (AUTUMN, (8, 0), (14, 0), [("07:00", "13:00")]),
        (AUTUMN, (22, 0), (5, 30), [("20:00", "04:30")]),
        (AUTUMN, (22, 0), (2, 30), [("20:00", "01:30")]),
        (AUTUMN, (2, 30), (6, 0), [("00:30", "05:00")]),
        (AUTUMN, (2, 15), (2, 45), [("00:15", "01:45")]),
        (AUTUMN, (1, 0), (3, 0), [("23:00", "02:00")]),
        (AUTUMN, (3, 0), (4, 0), [("02:00", "03:00")]),
    ],
)
def test_a_window_opens_once_on_the_day_summer_time_changes(day, start, end, spells):
    """Not twice in the hour that comes twice, and not late where its edge lies in the hour that is left out."""
    assert open_spells(minute(*start), minute(*end), "Europe/Berlin", day) == spells


@pytest.mark.parametrize("day", [SPRING, AUTUMN])
def test_a_zone_without_summer_time_knows_no_such_day(day):
    assert open_spells(minute(2, 15), minute(2, 45), "Asia/Shanghai", day) == [("18:15", "18:45")]


def test_a_press_has_a_kind_a_doubt_and_a_meaning():
    single, double = Press("s", PressKind.SINGLE), Press("s", PressKind.DOUBLE)
    doubted = Press("s", PressKind.SINGLE, suspect="old_counter")
    assert ask(Pressed(), pulse=single).truth is True
    assert ask(Pressed(), pulse=double).truth is False, "the site gave double another meaning"
    assert ask(Pressed(("long",)), pulse=single).truth is False
    assert [ask(Pressed(suspect=s), pulse=doubted).truth for s in (True, False)] == [True, False]
    assert ask(Pressed()).truth is False


def test_an_entry_is_matched_in_all_that_is_asked():
    entry = Entry("s", "access.denied", "1", "5/76", direction="in", subject="stranger", credential="face")
    for subject, direction, credential in product(("", "stranger"), ("", "in"), ("", "face")):
        assert ask(Entered(("access.denied",), subject, direction, credential), pulse=entry).truth is True
    assert ask(Entered(("access.denied",), "known"), pulse=entry).truth is False
    assert ask(Entered(("access.granted",)), pulse=entry).truth is False


def test_a_truth_is_solid_unless_it_rests_on_an_analogue_value_alone():
    board = Board(p=fact(30.0), bit=fact(True))
    assert not ask(ABOVE, board).solid
    assert ask(Any((ABOVE, Is("bit", (True,)))), board).solid
    assert not ask(All((ABOVE, Is("bit", (True,)))), board).solid
    board.facts["bit"] = fact(False)
    assert not ask(Any((ABOVE, Is("bit", (True,)))), board).solid


def test_only_an_any_of_event_and_state_mixes_them():
    assert mixes(Any((Pressed(), ABOVE)))
    assert mixes(All((ABOVE, Any((Entered(("x",)), ABOVE)))))
    assert not mixes(All((Pressed(), ABOVE)))
    assert not mixes(Any((Pressed(), All((Pressed(), ABOVE)))))
