"""Absence on a living core: nothing for so long, by whoever could have heard it; gaps, outages and leaves among them."""

from __future__ import annotations

import msgspec
import pytest
from rules.asking import HEALTH, rule

from gateway.events import Quality, SequenceGap, SiteLoaded
from gateway.instant import DAY, HOUR, MINUTE
from gateway.rules.compound import Care, Subject
from gateway.rules.engine import Engine

NOON = 1_767_268_800_000
"""2026-01-01T12:00:00Z"""


@pytest.fixture
def quiet_gate(make):
    return make(rule("{ absent: { entry: access.granted }, for: 12h }", "terminal"))


def test_nothing_for_so_long(quiet_gate):
    quiet_gate.entry("access.granted", "1", HOUR)
    quiet_gate.wait(13 * HOUR - 1)
    assert quiet_gate.said("r") == []
    quiet_gate.wait(13 * HOUR)
    assert quiet_gate.said("r")[0] == "raised"
    assert (quiet_gate.alert("r").why[0].value, quiet_gate.alert("r").why[0].limit) == (12.0, 12.0)
    quiet_gate.entry("access.granted", "2", 14 * HOUR)
    assert quiet_gate.said("r")[-1] == "returned"


def test_whoever_was_deaf_says_nothing(quiet_gate):
    quiet_gate.entry("access.granted", "1", 0)
    quiet_gate.health("gate", "lost", HOUR)
    quiet_gate.health("gate", "ok", 2 * HOUR)
    quiet_gate.wait(14 * HOUR - 1)
    assert quiet_gate.said("r") == []
    quiet_gate.wait(14 * HOUR)  # twelve hours in which it would have been heard
    assert quiet_gate.said("r")[0] == "raised"


def test_a_short_outage_is_forgiven(quiet_gate):
    quiet_gate.entry("access.granted", "1", 0)
    quiet_gate.health("gate", "lost", HOUR)
    quiet_gate.health("gate", "ok", HOUR + 10 * MINUTE)
    quiet_gate.wait(12 * HOUR)
    assert quiet_gate.said("r")[0] == "raised"


def test_an_outage_is_as_long_as_it_was_whatever_else_was_said_in_it(quiet_gate):
    quiet_gate.entry("access.granted", "1", 0)
    quiet_gate.health("gate", "lost", HOUR)
    quiet_gate.health("gate", "faulty", 2 * HOUR)
    quiet_gate.health("gate", "ok", 2 * HOUR + 5 * MINUTE)
    quiet_gate.wait(14 * HOUR)
    assert quiet_gate.said("r") == []
    quiet_gate.wait(14 * HOUR + 5 * MINUTE)
    assert quiet_gate.said("r")[0] == "raised"


@pytest.mark.parametrize(("reason", "heard"), [("recovered", True), ("absent", True), ("given_up", False)])
def test_a_gap_must_be_accounted_for(quiet_gate, reason, heard):
    quiet_gate.give(SequenceGap("gate", 5, 7), HOUR)
    quiet_gate.give(SequenceGap("gate", 5, 7, open=False, reason=reason), 3 * HOUR)
    quiet_gate.wait(12 * HOUR)
    assert quiet_gate.said("r")[:1] == (["raised"] if heard else [])
    quiet_gate.wait(15 * HOUR)
    assert quiet_gate.said("r")[0] == "raised"


def test_a_short_time_nobody_ran_is_forgiven(quiet_gate):
    """The terminal keeps what it could not hand over meanwhile: an update of the gateway puts off no call."""
    quiet_gate.entry("access.granted", "1", 0)
    quiet_gate.wait(HOUR)
    quiet_gate.restart(after=10 * MINUTE)
    quiet_gate.wait(12 * HOUR + 10 * MINUTE)
    assert quiet_gate.said("r")[0] == "raised"


@pytest.mark.parametrize("health", ["ok", "lost"])
def test_who_is_lost_already_when_it_is_asked_for_says_nothing(core, house, health):
    core.health("gate", health, HOUR)
    core.restart(after=0, compound=house(rule("{ absent: { entry: access.granted }, for: 12h }", "terminal")))
    core.wait(DAY)
    assert core.said("r")[:1] == (["raised"] if health == "ok" else [])
    core.health("gate", "ok", DAY)
    core.wait(DAY + 12 * HOUR)
    assert core.said("r")[0] == "raised"


def test_a_terminal_that_comes_back_to_the_site_was_not_heard_meanwhile(make, house, subjects):
    """Who is under care may have passed at it: nobody heard of that for lack of a place in the site file."""
    asked = rule("{ absent: { seen: any }, for: 12h }", "person", consent="welfare")
    east = Subject("east", "terminal", "east", facts=dict(HEALTH))
    without, whole = (
        Subject("elder", "person", "b1/s1/302", care=Care(("welfare",), dict.fromkeys(doors, "p1")))
        for doors in (("gate",), ("gate", "east"))
    )
    others = tuple(subject for subject in subjects if subject.id != "elder")
    core = make(asked, subjects=(*others, whole, east))
    core.restart(after=0, compound=house(asked, subjects=(*others, without)))
    core.wait(11 * HOUR)
    core.restart(after=0, compound=house(asked, subjects=(*others, whole, east)))
    core.wait(23 * HOUR - 1)
    assert core.said("r") == []
    core.wait(23 * HOUR)
    assert core.said("r")[0] == "raised"


def test_a_gap_given_up_counts_whatever_is_found_of_another(quiet_gate):
    """Two were open. Of the first nobody will ever know; the entries of the second came afterwards and say nothing of the first."""
    quiet_gate.give(SequenceGap("gate", 5, 7), HOUR)
    quiet_gate.give(SequenceGap("gate", 20, 21), 2 * HOUR)
    quiet_gate.give(SequenceGap("gate", 5, 7, open=False, reason="given_up"), 3 * HOUR)
    quiet_gate.give(SequenceGap("gate", 20, 21, open=False, reason="recovered"), 4 * HOUR)
    quiet_gate.wait(15 * HOUR - 1)
    assert quiet_gate.said("r") == []
    quiet_gate.wait(15 * HOUR)  # twelve hours since the first was given up: the second hides nothing
    assert quiet_gate.said("r")[0] == "raised"


def test_nobody_can_tell_is_an_answer_of_its_own(make):
    absent = "{ absent: { entry: access.granted }, for: 12h }"
    core = make(rule(absent, "terminal") + rule(f"{{ unknown: {absent} }}", "terminal").replace("rule: r", "rule: u"))
    core.give(SequenceGap("gate", 5, 7), HOUR)
    core.wait(12 * HOUR)
    assert (core.said("r"), core.said("u")[0]) == ([], "raised")
    core.give(SequenceGap("gate", 5, 7, open=False, reason="recovered"), 13 * HOUR)
    assert (core.said("r")[0], core.said("u")[-1]) == ("raised", "returned")


@pytest.mark.parametrize("downtime", [20 * HOUR, None])
def test_a_time_nobody_ran_proves_nothing(quiet_gate, downtime):
    quiet_gate.entry("access.granted", "1", 0)
    quiet_gate.wait(HOUR)
    quiet_gate.restart(after=downtime)
    boot = quiet_gate.at
    quiet_gate.wait(boot + 12 * HOUR - 1)
    assert quiet_gate.said("r") == []
    quiet_gate.wait(boot + 12 * HOUR)
    assert quiet_gate.said("r")[0] == "raised"


def test_absent_after_something(make):
    core = make(rule("{ absent: { door: closed }, for: 10min, after: { entry: access.granted } }", "terminal"))
    core.wait(DAY)
    assert core.said("r") == []
    core.entry("access.granted", "1", DAY)
    core.entry("door.closed", "2", DAY + 5 * MINUTE)
    core.wait(2 * DAY)
    assert core.said("r") == []
    core.entry("door.opened", "3", 2 * DAY)
    core.entry("access.granted", "4", 2 * DAY)
    core.wait(2 * DAY + 10 * MINUTE)
    assert core.said("r")[0] == "raised"


def test_absent_of_a_state_that_holds_is_never_true(make):
    core = make(rule("{ absent: { door: opened }, for: 1h }", "terminal"))
    core.entry("door.opened", "1", 0)
    core.wait(DAY)
    assert core.said("r") == []
    core.entry("door.closed", "2", DAY + 30 * MINUTE)
    core.wait(DAY + 90 * MINUTE - 1)
    assert core.said("r") == [], "the time counts from its end"
    core.wait(DAY + 90 * MINUTE)
    assert core.said("r")[0] == "raised"


def test_while_nobody_knows_whether_a_state_holds_it_is_not_called_absent(make):
    """Smoke is never heard of for lack of smoke: of a broken detector that would be said, too."""
    core = make(rule("{ absent: { point: smoke, is: true }, for: 1h }", "smoke-detector"))
    core.read("smoke", "smoke", False, 0)
    core.read("smoke", "smoke", None, 30 * MINUTE, Quality.SENSOR_FAULT)
    core.wait(DAY)
    assert core.said("r") == []
    core.read("smoke", "smoke", False, DAY)
    core.wait(DAY + HOUR - 1)
    assert core.said("r") == [], "what was before, nobody saw"
    core.wait(DAY + HOUR)
    assert core.said("r")[0] == "raised"


def test_a_changed_question_begins_anew(make, house):
    core = make(rule("{ absent: { entry: access.granted }, for: 12h }", "terminal"))
    core.wait(10 * HOUR)
    core.restart(after=0, compound=house(rule("{ absent: { entry: access.denied }, for: 12h }", "terminal")))
    core.wait(21 * HOUR)
    assert core.said("r") == []
    core.wait(22 * HOUR)
    assert core.said("r")[0] == "raised"


def edited(core, house, question):
    """From now on the site file asks this."""
    core.forget().die(house(rule(question, "terminal")))
    core.give(SiteLoaded("f"))
    core.wait(core.at)
    return core


@pytest.mark.parametrize("reload", [True, False], ids=["reload", "restart"])
def test_another_time_counts_from_when_it_was_last_heard(quiet_gate, house, reload):
    """Was: the absence was counted from the edit, however small that was: who had been missed soon was missed a whole time later."""
    quiet_gate.entry("access.granted", "1", HOUR)
    quiet_gate.wait(10 * HOUR)
    sooner = "{ absent: { entry: access.granted }, for: 11h }"
    if reload:
        edited(quiet_gate, house, sooner)
    else:
        quiet_gate.restart(after=0, compound=house(rule(sooner, "terminal")))
    quiet_gate.wait(12 * HOUR - 1)
    assert quiet_gate.said("r") == []
    quiet_gate.wait(12 * HOUR)
    assert quiet_gate.said("r")[0] == "raised"


def test_who_is_absent_is_so_by_a_shorter_time_and_is_over_by_it_at_once(quiet_gate, house):
    """Was: the alert returned, and, answered, was closed, though nobody had passed; a time later it came anew."""
    quiet_gate.entry("access.granted", "1", HOUR)
    quiet_gate.wait(10 * HOUR)
    assert edited(quiet_gate, house, "{ absent: { entry: access.granted }, for: 8h }").said("r")[0] == "raised"
    assert quiet_gate.ask("ack", "r", on_site=True) == "done"
    assert edited(quiet_gate, house, "{ absent: { entry: access.granted }, for: 2h }").said("r") == []
    quiet_gate.entry("access.granted", "2", 11 * HOUR)
    assert quiet_gate.said("r") == ["returned", "closed"]


def test_a_memory_that_an_earlier_version_wrote_answers_the_same_question(quiet_gate, house):
    """It knew none but that of the very same time."""
    quiet_gate.entry("access.granted", "1", HOUR)
    rows, known = quiet_gate.engine.snapshot(), quiet_gate.compound.rules["r"]
    older = [
        msgspec.structs.replace(row, body=row.body.replace(known.shape.encode(), known.shape_before.encode()))
        for row in rows
    ]
    assert older != list(rows)
    quiet_gate.engine = Engine(quiet_gate.compound)
    quiet_gate.engine.restore(older)
    quiet_gate.give(SiteLoaded("f"))
    quiet_gate.wait(13 * HOUR)
    assert quiet_gate.said("r")[0] == "raised"


# Away, together ------------------------------------------------------------------------------------

COUPLE = tuple(
    Subject(name, "person", "b1/s1/302", care=Care(("welfare",), {"gate": name})) for name in ("elder", "spouse")
)
TOGETHER = """
- rule: welfare
  by: flat
  subjects: { kind: person }
  when: { absent: { seen: any }, for: 24h }
  priority: high
  grade: small
"""


@pytest.fixture
def couple(make, subjects):
    others = tuple(subject for subject in subjects if subject.id != "elder")
    return make(TOGETHER, subjects=(*others, *COUPLE))


def test_a_flat_whose_people_are_all_away_is_not_silent(couple):
    for person in ("elder", "spouse"):
        assert couple.ask("away", "", HOUR, alert=None, resident=person, for_ms=3 * DAY) == "done"
    couple.wait(3 * DAY + HOUR)
    assert couple.said() == []
    couple.wait(4 * DAY + HOUR)  # a day after they should be back
    assert couple.said("welfare")[0] == "raised"


def test_who_is_back_before_the_day_is_waited_for_from_then_on(make):
    core = make(TOGETHER.replace("  by: flat\n", ""))
    core.ask("away", "", HOUR, alert=None, resident="elder", for_ms=3 * DAY)
    assert core.ask("away", "", 5 * HOUR, alert=None, resident="elder", back=True) == "done"
    core.wait(29 * HOUR - 1)
    assert core.said() == []
    core.wait(29 * HOUR)
    assert core.said("welfare")[0] == "raised"


def test_whoever_stays_at_home_is_waited_for_as_before(couple):
    couple.ask("away", "", HOUR, alert=None, resident="elder", for_ms=3 * DAY)
    couple.entry("access.granted", "1", 2 * HOUR, person="spouse", live=True)
    couple.wait(26 * HOUR)
    assert couple.said("welfare")[0] == "raised"


# Away, without a clock -----------------------------------------------------------------------------


def test_a_leave_that_is_longer_over_than_it_was_long_is_over_whatever_the_clock_says(make):
    core = make(TOGETHER.replace("  by: flat\n", ""), offset=None)
    core.ask("away", "", HOUR, alert=None, resident="elder", for_ms=DAY)
    core.restart(after=None)  # the timeline stood still, and was never ahead of the wall
    core.wait(2 * DAY)
    assert core.said() == [], "between, nobody can tell"
    core.wait(2 * DAY + 2 * HOUR)
    assert core.said("welfare")[0] == "raised"


def test_a_leave_ends_by_the_timeline_while_the_clock_is_not_trusted(make):
    asked = TOGETHER.replace("  by: flat\n", "")
    unknown = rule("{ unknown: { absent: { seen: any }, for: 24h } }", "person", consent="welfare")
    core = make(asked + unknown, offset=None)
    core.ask("away", "", HOUR, alert=None, resident="elder", for_ms=3 * DAY)
    core.wait(4 * DAY + HOUR - 1)
    assert core.said() == [], "nor does anybody say that nobody knows"
    core.wait(4 * DAY + HOUR)  # a day after the end of the leave
    assert core.said()[0] == "raised"


def test_a_leave_keeps_its_date_when_the_clock_is_put_right(make):
    core = make(TOGETHER.replace("  by: flat\n", ""), offset=NOON)
    core.ask("away", "", HOUR, alert=None, resident="elder", for_ms=3 * DAY)
    core.synced(2 * HOUR, offset=NOON + 6 * HOUR)
    core.wait(4 * DAY - 5 * HOUR - 1)
    assert core.said() == []
    core.wait(4 * DAY - 5 * HOUR)
    assert core.said("welfare")[0] == "raised"


@pytest.mark.parametrize("still_known", [True, False])
def test_of_somebody_no_more_under_care_it_is_not_kept_who_is_away(couple, house, still_known):
    for person in ("elder", "spouse"):
        couple.ask("away", "", HOUR, alert=None, resident=person, for_ms=3 * DAY)
    elder = [msgspec.structs.replace(COUPLE[0], care=None)] if still_known else []
    couple.restart(after=MINUTE, compound=house(subjects=(*elder, COUPLE[1])))
    assert [key for kind, key in couple.rows if kind == "away"] == ["spouse"]


def test_a_planned_leave_that_was_over_before_the_clock_was_lost_hides_nobody(make, subjects):
    spring = (NOON - 10 * DAY, NOON - 2 * DAY)
    elder = Subject("elder", "person", "b1/s1/302", care=Care(("welfare",), {"gate": "p1"}, away=(spring,)))
    others = tuple(subject for subject in subjects if subject.id != "elder")
    core = make(TOGETHER.replace("  by: flat\n", ""), subjects=(*others, elder), offset=NOON)
    core.restart(after=None)
    core.wait(DAY + HOUR)
    assert core.said("welfare")[0] == "raised"


def test_a_planned_leave_that_may_have_begun_since_leaves_it_open(make, subjects):
    soon = (NOON + 2 * DAY, NOON + 20 * DAY)
    elder = Subject("elder", "person", "b1/s1/302", care=Care(("welfare",), {"gate": "p1"}, away=(soon,)))
    others = tuple(subject for subject in subjects if subject.id != "elder")
    core = make(TOGETHER.replace("  by: flat\n", ""), subjects=(*others, elder), offset=NOON)
    core.restart(after=None)
    core.wait(3 * DAY)
    assert core.said() == []


def test_a_leave_ends_when_it_does_whatever_others_were_before_or_are_to_come(make, subjects):
    planned = ((NOON - 10 * DAY, NOON - 2 * DAY), (NOON + 20 * DAY, NOON + 30 * DAY))
    elder = Subject("elder", "person", "b1/s1/302", care=Care(("welfare",), {"gate": "p1"}, away=planned))
    others = tuple(subject for subject in subjects if subject.id != "elder")
    core = make(TOGETHER.replace("  by: flat\n", ""), subjects=(*others, elder), offset=NOON)
    core.ask("away", "", HOUR, alert=None, resident="elder", for_ms=3 * DAY)
    core.wait(4 * DAY + HOUR - 1)
    assert core.said() == []
    core.wait(4 * DAY + HOUR)
    assert core.said("welfare")[0] == "raised"


def test_a_planned_leave_leaves_it_open_while_no_clock_was_ever_trusted(make, subjects):
    spring = (NOON - 10 * DAY, NOON - 2 * DAY)
    elder = Subject("elder", "person", "b1/s1/302", care=Care(("welfare",), {"gate": "p1"}, away=(spring,)))
    others = tuple(subject for subject in subjects if subject.id != "elder")
    core = make(TOGETHER.replace("  by: flat\n", ""), subjects=(*others, elder), offset=None)
    core.wait(3 * DAY)
    assert core.said() == []


def test_a_button_is_not_silent_while_the_radio_is_deaf(make, subjects):
    radio = Subject("radio-hci0", "radio", "b1", facts=dict(HEALTH))
    button = Subject("sos", "button", "b1/s1/301", facts=dict(HEALTH), ears=("radio-hci0",))
    core = make(rule("{ absent: { press: any }, for: 12h }", "button"), subjects=(radio, button, *subjects[-2:]))
    core.health("radio-hci0", "lost", HOUR)
    core.wait(DAY)
    assert core.said("r") == []
    core.health("radio-hci0", "ok", DAY)
    core.wait(DAY + 12 * HOUR)
    assert core.said("r")[0] == "raised"
