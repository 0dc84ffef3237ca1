"""Conditions with a past, on a living core: change, count, sequence, absence, groups; stale points and restarts among them."""

from __future__ import annotations

import pytest

from gateway.events import DeviceHealth, Health, Quality, SequenceGap
from gateway.instant import DAY, HOUR, MINUTE, SECOND
from gateway.rules.compound import Care, FactSpec, Subject
from gateway.rules.memory import Memories

NOON = 1_767_268_800_000
"""2026-01-01T12:00:00Z"""
TAIL = "  priority: medium\n  grade: small\n"
HEALTH = {"health": FactSpec(), "reason": FactSpec()}


def rule(when: str, kind: str = "gas-detector", **more: str) -> str:
    extra = "".join(f"  {key}: {value}\n" for key, value in more.items())
    return f"- rule: r\n  subjects: {{ kind: {kind} }}\n  when: {when}\n{extra}{TAIL}"


# Change ------------------------------------------------------------------------------------------


@pytest.fixture
def rising(make):
    return make(rule("{ point: gas, rises: 5 %LEL, within: 1min }"))


def test_a_rise_within_the_time_is_found_however_many_steps_it_takes(rising):
    for second, value in enumerate([1.0, 2.5, 4.0, 5.9]):
        rising.read("gas", "gas", value, second * 10 * SECOND)
    assert rising.said("r") == []
    rising.read("gas", "gas", 6.0, 40 * SECOND)
    assert rising.said("r")[0] == "raised"
    why = rising.alert("r").why
    assert [(w.fact, w.value, w.limit) for w in why] == [("gas", 6.0, None), ("moved", 5.0, 5.0)]


def test_the_same_rise_slower_is_none(rising):
    for minute in range(20):
        rising.read("gas", "gas", float(minute * 4), minute * MINUTE)
    assert rising.said("r") == []


def test_a_value_holds_until_the_next_is_heard(rising):
    rising.read("gas", "gas", 1.0, 0)
    rising.read("gas", "gas", 7.0, 30 * MINUTE)  # by exception: it was 1.0 until then
    assert rising.said("r")[0] == "raised"


def test_a_rise_returns_when_its_time_has_passed(rising):
    rising.read("gas", "gas", 1.0, 0)
    rising.read("gas", "gas", 7.0, 10 * SECOND)
    rising.wait(70 * SECOND - 1)
    assert "returned" not in rising.said("r")
    rising.wait(70 * SECOND)
    assert rising.said("r")[-1] == "returned"


def test_a_fall_is_no_rise(rising, make):
    rising.read("gas", "gas", 9.0, 0)
    rising.read("gas", "gas", 1.0, 1)
    assert rising.said("r") == []
    falling = make(rule("{ point: gas, falls: 5 %LEL, within: 1min }"))
    falling.read("gas", "gas", 9.0, 0)
    falling.read("gas", "gas", 1.0, 1)
    assert falling.said("r")[0] == "raised"


def test_nothing_is_compared_over_a_broken_value_a_stale_one_or_a_restart(rising):
    rising.read("gas", "gas", 1.0, 0)
    rising.read("gas", "gas", None, 1, Quality.COMMS)
    rising.read("gas", "gas", 9.0, 2)
    rising.read("gas", "gas", 19.0, 3 * HOUR)  # stale after an hour
    assert rising.said("r") == []
    rising.restart(after=5 * SECOND)
    rising.read("gas", "gas", 29.0)
    assert rising.said("r") == []
    rising.read("gas", "gas", 34.0)
    assert rising.said("r")[0] == "raised"


def test_a_stale_point_keeps_the_alert(rising):
    rising.read("gas", "gas", 1.0, 0)
    rising.read("gas", "gas", 7.0, 1)
    rising.read("gas", "gas", None, 2, Quality.SENSOR_FAULT)
    rising.wait(DAY)
    assert "returned" not in rising.said("r")


def test_a_trail_stays_short_however_fast_the_values_come(make):
    core = make(rule("{ point: gas, rises: 90 %LEL, within: 1h }"))
    for n in range(20_000):
        core.read("gas", "gas", n / 1000, n * SECOND)
    memory = core.engine._watches.memories.get("r", "gas")
    assert isinstance(memory, Memories)
    assert len(memory.slots[0].trail["gas"]) <= 124


# Count -------------------------------------------------------------------------------------------


@pytest.fixture
def refused(make):
    return make(rule("{ count: { entry: access.denied }, at_least: 3, within: 60s }", "terminal"))


def test_so_many_within_the_time_and_not_one_fewer(refused):
    refused.entry("access.denied", "1", 0)
    refused.entry("access.denied", "2", 30 * SECOND)
    assert refused.said("r") == []
    refused.entry("access.denied", "3", 60 * SECOND)  # a window takes in both its ends
    assert refused.said("r")[0] == "raised"
    assert refused.alert("r").why[0].value == 3
    refused.wait(60 * SECOND + 1)
    assert refused.said("r")[-1] == "returned"


def test_too_slow_is_too_few_and_a_resend_is_no_second(refused):
    refused.entry("access.denied", "1", 0)
    refused.entry("access.denied", "1", 1)
    refused.entry("access.denied", "2", 2)
    refused.entry("access.granted", "3", 3)
    refused.entry("access.denied", "4", 61 * SECOND)
    assert refused.said("r") == []


def test_a_count_outlives_a_restart_but_not_a_time_nobody_can_measure(refused):
    for key in "12":
        refused.entry("access.denied", key, 0)
    refused.restart(after=20 * SECOND)
    refused.entry("access.denied", "3")
    assert refused.said("r")[0] == "raised"
    refused.forget()
    refused.ask("ack", "r", 2 * MINUTE)
    for key in "45":
        refused.entry("access.denied", key)
    refused.restart(after=None)
    refused.entry("access.denied", "6")
    assert "raised" not in refused.said("r")


def test_a_state_counts_when_it_begins_to_hold(make):
    core = make(rule("{ count: { door: opened }, at_least: 2, within: 10min }", "terminal"))
    core.entry("door.opened", "1", 0)
    core.health("gate", "faulty", 1)
    core.health("gate", "ok", 2)
    core.wait(MINUTE)
    assert core.said("r") == []
    core.entry("door.closed", "2", MINUTE)
    core.entry("door.opened", "3", 2 * MINUTE)
    assert core.said("r")[0] == "raised"


def test_an_event_and_a_count_make_one_momentary_alert(make):
    core = make(
        rule(
            "{ all: [ { entry: access.denied }, { count: { entry: access.denied }, at_least: 2, within: 60s } ] }",
            "terminal",
        )
    )
    core.entry("access.denied", "1", 0)
    assert core.said("r") == []
    core.entry("access.denied", "2", 1)
    assert core.said("r")[0] == "raised"
    assert core.alert("r").momentary


# Sequence ----------------------------------------------------------------------------------------


@pytest.fixture
def forced_then_denied(make):
    return make(rule("{ sequence: [ { door: forced }, { entry: access.denied } ], within: 5min }", "terminal"))


def test_one_after_the_other_within_the_time(forced_then_denied):
    core = forced_then_denied
    core.entry("access.denied", "0", 0)
    core.entry("door.forced", "1", 1)
    assert core.said("r") == []
    core.entry("access.denied", "2", 5 * MINUTE + 1)
    assert core.said("r")[0] == "raised"
    core.wait(10 * MINUTE + 2)
    assert core.said("r")[-1] == "returned"


def test_too_late_or_the_wrong_way_round_is_no_sequence(forced_then_denied):
    core = forced_then_denied
    core.entry("door.forced", "1", 0)
    core.entry("access.denied", "2", 5 * MINUTE + 1)
    assert core.said("r") == []


def test_one_occurrence_is_one_step(make):
    core = make(rule("{ sequence: [ { entry: access.denied }, { entry: access.denied } ], within: 1min }", "terminal"))
    core.entry("access.denied", "1", 0)
    assert core.said("r") == []
    core.entry("access.denied", "2", 1)
    assert core.said("r")[0] == "raised"


def test_three_steps_by_the_latest_beginning(make):
    steps = "{ press: single }, { press: double }, { press: long }"
    core = make(rule(f"{{ sequence: [ {steps} ], within: 1min }}", "button"))

    def press(kind, at):
        from gateway.events import Press, PressKind

        core.give(Press("button", PressKind(kind)), at)

    press("single", 0)
    press("double", 10 * SECOND)
    press("single", 50 * SECOND)
    press("double", 55 * SECOND)
    press("long", 100 * SECOND)  # 50 s after the second beginning
    assert core.said("r")[0] == "raised"


# Absence -----------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("reason", "heard"), [("recovered", True), ("absent", True), ("given_up", False)])
def test_a_gap_must_be_accounted_for(quiet_gate, reason, heard):
    quiet_gate.give(SequenceGap("gate", 5, 7), HOUR)
    quiet_gate.give(SequenceGap("gate", 5, 7, open=False, reason=reason), 3 * HOUR)
    quiet_gate.wait(12 * HOUR)
    assert quiet_gate.said("r")[:1] == (["raised"] if heard else [])
    quiet_gate.wait(15 * HOUR)
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
    core.entry("door.closed", "2", DAY)
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


# Groups ------------------------------------------------------------------------------------------

HOUSE = (
    *(
        Subject(f"smoke-{flat}", "smoke-detector", f"b1/s{flat[0]}/{flat}", (), {"smoke": FactSpec("", HOUR)} | HEALTH)
        for flat in ("101", "102", "201")
    ),
    *(Subject(f"sos-{flat}", "button", f"b1/s{flat[0]}/{flat}", (), dict(HEALTH)) for flat in ("101", "102")),
)


def two(when: str, **more: str) -> str:
    return rule(when, "[smoke-detector, button]", **more)


def test_one_alert_for_each_stair(make):
    core = make(two("{ point: smoke, is: true }", by="stair"), subjects=HOUSE, outputs=())
    core.read("smoke-101", "smoke", True, 0)
    core.read("smoke-102", "smoke", True, 1)
    core.read("smoke-201", "smoke", True, 2)
    alerts = core.engine.alerts()
    assert [(a.subject, a.place) for a in alerts] == [("b1/s1", "b1/s1"), ("b1/s2", "b1/s2")]
    assert [w.of for w in alerts[0].why] == ["smoke-101"]
    core.read("smoke-101", "smoke", False, 3)
    assert "returned" not in core.said("r")
    core.read("smoke-102", "smoke", False, 4)
    assert core.said("r")[-1] == "returned"


def test_two_detectors_of_a_stair_at_once(make):
    core = make(
        rule("{ count: { point: smoke, is: true }, at_least: 2, of: subjects }", "smoke-detector", by="stair"),
        subjects=HOUSE,
        outputs=(),
    )
    core.read("smoke-101", "smoke", True, 0)
    core.read("smoke-201", "smoke", True, 0)
    assert core.said("r") == []
    core.read("smoke-102", "smoke", True, DAY // 48)
    assert core.said("r")[0] == "raised"
    assert {w.of for w in core.alert("r").why} == {"", "smoke-101", "smoke-102"}


def test_two_flats_of_a_building_within_a_time(make):
    core = make(
        rule("{ count: { press: any }, at_least: 2, of: subjects, within: 5min }", "button", by="building"),
        subjects=HOUSE,
        outputs=(),
    )
    from gateway.events import Press, PressKind

    for at in (0, 1, 2):
        core.give(Press("sos-101", PressKind.SINGLE), at)
    assert core.said("r") == []
    core.give(Press("sos-102", PressKind.SINGLE), 5 * MINUTE)
    assert core.said("r")[0] == "raised"


def test_different_devices_of_one_flat_say_it_together(make):
    core = make(
        two("{ sequence: [ { press: any }, { point: smoke, is: true } ], within: 1min }", by="flat"),
        subjects=HOUSE,
        outputs=(),
    )
    from gateway.events import Press, PressKind

    core.give(Press("sos-101", PressKind.SINGLE), 0)
    core.read("smoke-102", "smoke", True, 1)
    assert core.said("r") == []
    core.read("smoke-101", "smoke", True, 2)
    assert core.said("r")[0] == "raised"
    assert core.alert("r").subject == "b1/s1/101"


def test_a_stale_member_keeps_the_alert_of_its_place(make):
    core = make(two("{ point: smoke, is: true }", by="stair"), subjects=HOUSE, outputs=())
    core.read("smoke-101", "smoke", True, 0)
    core.read("smoke-102", "smoke", False, 0)
    core.read("smoke-101", "smoke", None, 1, Quality.COMMS)
    assert "returned" not in core.said("r")
    core.read("smoke-101", "smoke", False, 2)
    assert core.said("r")[-1] == "returned"


# What another rule says already --------------------------------------------------------------------

LEVELS = """
- rule: high
  subjects: { kind: gas-detector }
  when: { point: gas, above: 20 %LEL, deadband: 4 %LEL }
  priority: critical
  grade: big
- rule: low
  subjects: { kind: gas-detector }
  when: { point: gas, above: 10 %LEL, deadband: 3 %LEL }
  implied_by: high
  priority: high
  grade: small
"""


def test_the_lesser_alert_is_not_raised_beside_the_greater(make):
    core = make(LEVELS)
    core.read("gas", "gas", 25.0, 0)
    assert (core.said("high")[0], core.said("low")) == ("raised", [])
    core.read("gas", "gas", 12.0, 1)
    assert (core.said("high")[-1], core.said("low")[0]) == ("returned", "raised")


def test_the_lesser_alert_that_stands_stays(make):
    core = make(LEVELS)
    core.read("gas", "gas", 12.0, 0)
    core.read("gas", "gas", 25.0, 1)
    assert core.said("low")[0] == "raised"
    assert "returned" not in core.said("low")
    core.give(DeviceHealth("gas", Health.LOST), 2)


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


def test_whoever_stays_at_home_is_waited_for_as_before(couple):
    couple.ask("away", "", HOUR, alert=None, resident="elder", for_ms=3 * DAY)
    couple.entry("access.granted", "1", 2 * HOUR, person="spouse", live=True)
    couple.wait(26 * HOUR)
    assert couple.said("welfare")[0] == "raised"


# Away, without a clock --------------------------------------------------------------------------------


def test_a_leave_that_is_longer_over_than_it_was_long_is_over_whatever_the_clock_says(make):
    core = make(TOGETHER.replace("  by: flat\n", ""), offset=None)
    core.ask("away", "", HOUR, alert=None, resident="elder", for_ms=DAY)
    core.restart(after=None)  # the timeline stood still, and was never ahead of the wall
    core.wait(2 * DAY)
    assert core.said() == [], "between, nobody can tell"
    core.wait(2 * DAY + 2 * HOUR)
    assert core.said("welfare")[0] == "raised"


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
