"""A detector under test: who hears of it, what it does not silence, and when it is believed no longer."""

import pytest

from gateway.alerts import Why
from gateway.events import Quality
from gateway.instant import HOUR, MINUTE, SECOND, Instant
from gateway.rules.compound import FactSpec, OutputSpec, Subject
from gateway.rules.conditions import Any, Is, Threshold
from gateway.rules.engine import Engine
from gateway.rules.question import Fact
from gateway.rules.testing import still_said

TEST = Quality.UNDER_TEST
EARLY = """
- rule: early
  subjects: { kind: smoke-detector }
  when: { point: smoke_alert, is: true }
  implied_by: smoke
  priority: high
  grade: small
  life_safety: true
"""


@pytest.fixture
def aspirating(make, rules_text, subjects):
    """A smoke detector that also warns early, and has just been put under test."""
    warns = Subject("smoke", "smoke-detector", "b1/s1/301", (), {"smoke": FactSpec(), "smoke_alert": FactSpec()})
    core = make(rules_text + EARLY, subjects=tuple(warns if s.id == "smoke" else s for s in subjects))
    for quality in (Quality.GOOD, TEST):
        for point in ("smoke", "smoke_alert"):
            core.read("smoke", point, False, SECOND, quality)
    return core


def test_a_drill_implies_nothing(aspirating):
    """Was: one good bump test, and the early warning was mute for as long as the test was forgotten."""
    aspirating.read("smoke", "smoke", True, MINUTE, TEST)
    aspirating.read("smoke", "smoke", False, 2 * MINUTE, TEST)
    aspirating.forget().read("smoke", "smoke_alert", True, 48 * HOUR, TEST)
    assert aspirating.said("early") == ["raised", "told"]
    assert not aspirating.alert("early").drill, "the half-hour is long over"


def test_within_the_half_hour_an_early_warning_in_earnest_sounds_beside_the_drill(aspirating):
    aspirating.read("smoke", "smoke", True, MINUTE, TEST)
    aspirating.forget().read("smoke", "smoke_alert", True, 4 * MINUTE)
    assert (aspirating.said("early"), aspirating.alert("early").drill) == (["raised", "told"], False)


def test_what_a_detector_under_test_says_in_earnest_beside_it_is_no_test(core):
    """Its number is the tester's gas, its alarm bit is not."""
    core.gas(30.0, MINUTE, TEST)
    assert core.alert("gas-high").drill
    core.forget().read("gas", "gas_high_alarm", True, 2 * MINUTE)
    assert (core.said("gas-high")[-2:], core.alert("gas-high").drill) == (["re-alarmed", "told"], False)


@pytest.fixture
def tested(core):
    """A core whose smoke detector was put under test at one second, and alarmed at one minute."""
    core.read("smoke", "smoke", False, SECOND, TEST)
    core.read("smoke", "smoke", True, MINUTE, TEST)
    return core


def shelve(core, at, length=30 * MINUTE):
    assert core.ask("shelve", "smoke", at, for_ms=length, reason="calibration") == "done"
    core.forget()


def test_a_shelf_on_a_drill_ends_with_the_test(tested):
    """Was: smoke that stood after the test, in earnest, was silent until the shelf was over."""
    shelve(tested, 29 * MINUTE)
    tested.read("smoke", "smoke", True, 29 * MINUTE + 30 * SECOND)
    assert (tested.said("smoke"), tested.output("siren")) == (["re-alarmed", "told"], "on")
    assert tested.told("smoke")[-1][0] == "street"
    assert (tested.alert("smoke").suppression, tested.alert("smoke").shelved_by) == ("none", None)


@pytest.mark.parametrize("length", [5 * MINUTE, 29 * MINUTE])
def test_a_shelf_on_a_drill_is_over_with_the_half_hour_and_not_before(tested, length):
    """Neither sounds what can still be a test, nor is silent what can be one no more."""
    shelve(tested, 2 * MINUTE, length)
    tested.wait(30 * MINUTE)
    assert tested.said("smoke") == []
    tested.wait(30 * MINUTE + SECOND)
    assert tested.said("smoke") == ["re-alarmed", "told"]


def test_what_has_gone_under_a_shelf_was_a_test(tested):
    shelve(tested, 2 * MINUTE)
    tested.read("smoke", "smoke", False, 3 * MINUTE, TEST)
    tested.wait(3 * HOUR)
    assert tested.said("smoke") == ["unshelved", "returned"]
    assert (tested.alert("smoke").suppression, tested.alert("smoke").drill) == ("by_design", True)


def test_who_takes_a_shelf_off_a_drill_calls_nobody_out(tested):
    shelve(tested, 2 * MINUTE)
    assert tested.ask("unshelve", "smoke", 3 * MINUTE) == "done"
    assert (tested.said("smoke"), tested.alert("smoke").suppression) == (["unshelved"], "by_design")
    tested.wait(31 * MINUTE)
    assert tested.said("smoke") == ["unshelved", "re-alarmed", "told"]


@pytest.mark.parametrize(("gone", "said"), [(False, ["re-alarmed", "told"]), (True, ["returned"])])
def test_the_end_of_the_half_hour_asks_for_all_that_was_said_in_it(make, rules_text, gone, said):
    """Was: for the first reason alone. What another bit said in the test was heard at its next reading only."""
    core = make(
        rules_text.replace(
            "{ point: gas_high_alarm, is: true },", "{ point: gas_high_alarm, is: true }, { point: alarm, is: true },"
        )
    )
    for point in ("gas_high_alarm", "alarm"):
        core.read("gas", point, False, SECOND, TEST)
    core.read("gas", "alarm", True, MINUTE, TEST)
    core.forget().read("gas", "gas_high_alarm", True, 29 * MINUTE, TEST)
    core.read("gas", "alarm", False, None, TEST)
    core.read("gas", "gas_high_alarm", not gone, None, TEST)
    core.wait(31 * MINUTE)
    assert core.said("gas-high") == said


def test_nobody_knows_how_long_a_test_has_lasted_over_a_time_of_unknown_length(tested):
    """The drill in hand sounds when it is said again, or after a minute."""
    tested.forget().restart(after=None)
    tested.read("smoke", "smoke", True, None, TEST)
    assert tested.said("smoke") == ["re-alarmed", "told"]


def test_what_alarms_after_a_time_of_unknown_length_in_a_test_from_before_it_sounds_in_full(core):
    """Was: each such start began a new half-hour."""
    core.read("smoke", "smoke", False, SECOND, TEST)
    core.restart(after=None)
    core.read("smoke", "smoke", False, 2 * SECOND, TEST)
    core.read("smoke", "smoke", True, MINUTE, TEST)
    assert not core.alert("smoke").drill
    core.read("smoke", "smoke", False, 2 * MINUTE)
    core.ask("ack", "smoke")
    core.ask("reset", "smoke")
    core.read("smoke", "smoke", False, 3 * MINUTE, TEST)
    core.read("smoke", "smoke", True, 4 * MINUTE, TEST)
    assert core.alert("smoke").drill, "a new test is one"


def test_a_test_that_an_earlier_version_has_not_noted_begins_with_this_one_and_not_with_its_alarm(core):
    core.read("smoke", "smoke", False, SECOND, TEST)
    rows = [row for row in core.engine.snapshot() if "tested" not in row.key]
    core.engine = Engine(core.compound)
    assert not core.engine.restore(rows)
    core.boot(HOUR, downtime=SECOND)
    for minute in range(61, 92):
        core.read("smoke", "smoke", False, minute * MINUTE, TEST)
    core.read("smoke", "smoke", True, None, TEST)
    assert not core.alert("smoke").drill


def test_a_channel_taken_out_of_its_test_begins_no_half_hour_for_another(aspirating):
    aspirating.read("smoke", "smoke", False, 10 * MINUTE)
    aspirating.die()
    aspirating.read("smoke", "smoke_alert", True, 30 * MINUTE, TEST)
    assert aspirating.alert("early").drill
    aspirating.read("smoke", "smoke_alert", True, 31 * MINUTE, TEST)
    assert not aspirating.alert("early").drill
    aspirating.read("smoke", "smoke_alert", False, 40 * MINUTE)
    assert aspirating.engine.fact("smoke", "tested").value == ""


COUNT = """
- rule: two
  subjects: { kind: [smoke-detector, water-detector] }
  by: stair
  when: { count: { any: [ { point: smoke, is: true }, { point: water, is: true } ] }, of: subjects, at_least: 2 }
  priority: critical
  grade: big
"""
AND = """
- rule: two
  subjects: { kind: smoke-detector }
  when: { all: [ { point: smoke, is: true }, { health: out_of_service } ] }
  priority: critical
  grade: big
"""
OFTEN = """
- rule: two
  subjects: { kind: [smoke-detector, water-detector] }
  by: stair
  when: { count: { any: [ { point: smoke, is: true }, { point: water, is: true } ] }, at_least: 2, within: 1h }
  priority: critical
  grade: big
"""


@pytest.mark.parametrize("rule", [COUNT, AND])
@pytest.mark.parametrize("gone", [True, False])
def test_what_holds_only_with_the_word_of_tested_detectors_is_a_drill(make, rule, gone):
    """Was: one reason that is plainly good (that it is tested, that there are two), and the street was called."""
    core = make(rule)
    core.health("smoke", "out_of_service", 0)
    for device in ("smoke", "water"):
        core.read(device, device, False, SECOND, TEST)
        core.read(device, device, True, MINUTE, TEST)
    assert (core.said("two"), core.alert("two").drill) == (["raised", "told"], True)
    for device in ("smoke", "water"):
        core.forget().read(device, device, not gone, 2 * MINUTE, TEST)
    core.wait(31 * MINUTE)
    assert core.said("two") == (["returned"] if gone else ["re-alarmed", "told"])


def test_what_holds_without_the_word_of_tested_detectors_is_none(make):
    core = make(COUNT.replace("at_least: 2", "at_least: 1"))
    core.read("smoke", "smoke", False, SECOND, TEST)
    core.read("smoke", "smoke", True, MINUTE, TEST)
    assert core.alert("two").drill
    core.forget().read("water", "water", True, 2 * MINUTE)
    assert (core.said("two"), core.alert("two").drill) == (["re-alarmed", "told"], False)


@pytest.mark.parametrize(("begun", "said"), [(SECOND, []), (-HOUR, ["raised", "told"])])
def test_what_is_done_in_a_test_is_not_counted_and_what_is_said_in_a_forgotten_one_is(make, begun, said):
    core = make(OFTEN)
    for device in ("smoke", "water"):
        core.read(device, device, False, HOUR + begun, TEST)
    for device in ("smoke", "water"):
        core.read(device, device, True, HOUR + MINUTE, TEST)
        core.read(device, device, False)
    assert core.said("two") == said


def test_testing_a_detector_whose_alert_is_answered_and_not_reset_calls_nobody_out(core):
    core.read("smoke", "smoke", True, SECOND)
    core.ask("ack", "smoke", on_site=True)
    core.read("smoke", "smoke", False, MINUTE)
    core.read("smoke", "smoke", False, 10 * MINUTE, TEST)
    core.forget().read("smoke", "smoke", True, 11 * MINUTE, TEST)
    assert (core.said("smoke"), core.told("smoke")[-1]) == (["re-alarmed", "told"], ("building", 11 * 60))
    assert (core.alert("smoke").suppression, core.alert("smoke").drill) == ("by_design", True)
    core.forget().read("smoke", "smoke", True, 12 * MINUTE)
    assert (core.said("smoke"), core.told("smoke")[-1][0], core.output("siren")) == (
        ["re-alarmed", "told"],
        "street",
        "on",
    )


def test_a_test_makes_no_drill_of_what_nobody_has_answered(core):
    core.read("smoke", "smoke", True, SECOND)
    core.read("smoke", "smoke", False, MINUTE)
    core.read("smoke", "smoke", False, 10 * MINUTE, TEST)
    core.forget().read("smoke", "smoke", True, 14 * MINUTE, TEST)
    assert (core.alert("smoke").drill, core.told("smoke")[-1][0]) == (False, "street")


def test_a_number_under_test_is_a_drill_for_half_an_hour_and_no_longer(core):
    """Was: unknown, so that a detector without an alarm bit was mute for as long as its test was forgotten."""
    core.read("gas", "gas", 0.0, SECOND, TEST)
    core.gas(60.0, MINUTE, TEST)
    assert (core.said("gas-high"), core.alert("gas-high").drill) == (["raised", "told"], True)
    assert (core.output("valve"), core.output("siren")) == ("shut", "off")
    core.forget().wait(31 * MINUTE)
    assert core.said("gas-high") == ["re-alarmed", "told"]


def test_a_number_that_has_gone_was_a_test_and_that_of_a_forgotten_one_is_none(core):
    core.read("gas", "gas", 0.0, SECOND, TEST)
    core.gas(60.0, MINUTE, TEST)
    core.forget().read("gas", "gas", 1.0, 2 * MINUTE, TEST)
    core.wait(24 * HOUR)
    assert core.said("gas-high") == ["returned"]
    core.read("gas", "gas_high_alarm", False)
    core.read("gas", "gas", 0.0)
    core.ask("close", "gas-high", mistaken=True, reason="calibrated")
    core.read("gas", "gas", 0.0, 25 * HOUR, TEST)
    core.gas(60.0, 26 * HOUR, TEST)
    assert not core.alert("gas-high").drill


def test_calibration_gas_at_a_detector_whose_alarm_somebody_took_calls_nobody_out(core):
    core.gas(22.0, SECOND)
    core.ask("ack", "gas-high", on_site=True)
    core.read("gas", "gas", 0.0, MINUTE, TEST)
    core.forget().read("gas", "gas", 60.0, 2 * MINUTE, TEST)
    assert core.said("gas-high") == []
    core.read("gas", "gas", 60.0, 31 * MINUTE, TEST)
    assert core.said("gas-high") == ["re-alarmed", "told"]


def test_a_shelf_on_a_forgotten_drill_stops_no_siren_that_sounds_for_real_smoke(make):
    """Was: a person's shelf filled the field of the end of the test, so the test was believed anew."""
    core = make(outputs=(OutputSpec("siren", "siren", "b1/s1/301", ("b1",)),))
    bump(core)
    core.wait(31 * MINUTE)
    core.read("smoke", "smoke", True, 32 * MINUTE)
    assert core.ask("shelve", "gas-high", 33 * MINUTE, for_ms=30 * MINUTE, reason="forgotten") == "done"
    assert core.output("siren") == "on"
    core.forget().wait(64 * MINUTE)
    assert core.said("gas-high") == ["unshelved"]


@pytest.mark.parametrize("ring", ["smoke", "sos"])
def test_no_drill_silences_what_is_real(make, ring):
    """Was: up to 28 minutes of smoke without a sound, where somebody had tested the gas detector."""
    core = make(outputs=(OutputSpec("siren", "siren", "b1/s1/301", ("b1",)),))
    bump(core)
    if ring == "smoke":
        core.read("smoke", "smoke", True, 3 * MINUTE)
    else:
        core.press(3 * MINUTE)
    assert core.output("siren") == "on"


def bump(core):
    """A test of the gas detector: it alarms for a minute, and is left in its test state."""
    for value, at in ((False, SECOND), (True, MINUTE), (False, 2 * MINUTE)):
        core.read("gas", "gas_high_alarm", value, at, TEST)


def test_a_shelf_on_a_drill_whose_alarm_has_gone_is_as_long_as_its_person_says(core):
    bump(core)
    core.read("gas", "gas", 0.0)
    core.read("gas", "gas_high_alarm", False, 3 * MINUTE)
    for at in (40, 41):
        core.forget().ask("shelve", "gas-high", at * MINUTE, for_ms=10 * MINUTE, reason="forgotten")
    core.wait(2 * HOUR)
    assert core.said("gas-high") == ["shelved", "unshelved"]
    assert [p.change.at for p in core.changes if p.change.alert.rule == "gas-high"][-1] == 51 * MINUTE


def test_a_forgotten_drill_that_is_quiet_can_be_closed_and_the_next_alarm_is_one(core):
    """Was: ``still_active`` for as long as the detector was left in its test state."""
    bump(core)
    assert [core.ask("ack", "gas-high", 29 * MINUTE, on_site=True), core.ask("close", "gas-high")] == [
        "done",
        "still_active",
    ]
    core.wait(31 * MINUTE)
    assert core.ask("close", "gas-high", 32 * MINUTE) == "done"
    core.forget().read("gas", "gas_high_alarm", True, 33 * MINUTE, TEST)
    assert (core.said("gas-high"), core.alert("gas-high").drill) == (["raised", "told"], False)


def test_the_end_of_the_half_hour_asks_the_rule_and_not_what_was_said_at_first(core):
    """Was: a number that grew in the test was no reason of the drill, so it was gone with the bit that was."""
    core.read("gas", "gas", 0.0, SECOND, TEST)
    bump(core)
    core.forget().read("gas", "gas", 60.0, 28 * MINUTE, TEST)
    core.wait(31 * MINUTE)
    assert (core.said("gas-high"), core.alert("gas-high").why[0].value) == (["re-alarmed", "told"], 60.0)


STAIR = """
- rule: stair
  subjects: { kind: smoke-detector }
  by: stair
  when: { point: smoke, is: true }
  priority: critical
  grade: big
  latch: true
"""


@pytest.fixture
def stair(make, subjects):
    """Two smoke detectors of a stair under one rule: the first is forgotten in its test, the second has just been put under test."""
    second = Subject("smoke2", "smoke-detector", "b1/s1/302", (), {"smoke": FactSpec()})
    core = make(STAIR, subjects=(*subjects, second))
    for device in ("smoke", "smoke2"):
        core.read(device, "smoke", False, 0)
    for value, at in ((False, SECOND), (True, MINUTE), (False, 5 * MINUTE)):
        core.read("smoke", "smoke", value, at, TEST)
    core.read("smoke2", "smoke", False, 28 * MINUTE, TEST)
    return core.forget()


@pytest.mark.parametrize("left", [True, False])
def test_each_detector_of_a_stair_has_its_own_half_hour(stair, left):
    """Was: the half-hour of the first was over, so what the second said in its test called the street."""
    stair.read("smoke2", "smoke", True, 29 * MINUTE, TEST)
    stair.wait(57 * MINUTE)
    assert stair.said("stair") == []
    if left:
        stair.wait(58 * MINUTE)
        assert (stair.said("stair"), stair.told("stair")[-1]) == (["re-alarmed", "told"], ("street", 58 * 60))
    else:
        stair.read("smoke2", "smoke", False, None, TEST)
        stair.wait(59 * MINUTE)
        assert stair.said("stair") == ["returned"]


def test_what_the_first_of_a_stair_said_sounds_when_its_own_half_hour_is_over(stair):
    """Lost while it alarmed: its silence proves nothing, whatever another one's test is good for."""
    stair.read("smoke", "smoke", True, 29 * MINUTE, TEST)
    stair.read("smoke2", "smoke", True, None, TEST)
    stair.read("smoke", "smoke", None, None, Quality.COMMS)
    stair.read("smoke2", "smoke", False, None, TEST)
    stair.forget().wait(31 * MINUTE)
    assert stair.said("stair") == ["re-alarmed", "told"]


@pytest.fixture
def answered(make, subjects):
    """Smoke in a stair, to which somebody came; a detector of its other flat has just been put under test."""
    second = Subject("smoke2", "smoke-detector", "b1/s1/302", (), {"smoke": FactSpec()})
    core = make(STAIR, subjects=(*subjects, second))
    for device in ("smoke", "smoke2"):
        core.read(device, "smoke", False, 0)
    core.read("smoke", "smoke", True, SECOND)
    core.ask("ack", "stair", 10 * SECOND, on_site=True)
    core.read("smoke2", "smoke", False, MINUTE, TEST)
    return core.forget()


@pytest.mark.parametrize("after", ["test", "half an hour"])
def test_a_bump_test_beside_a_real_alarm_calls_nobody_whom_the_answer_had_let_go(answered, after):
    """Was: for it was real without the test, too, everything said in the test made it worse."""
    answered.read("smoke2", "smoke", True, 2 * MINUTE, TEST)
    assert answered.said("stair") == []
    answered.read("smoke2", "smoke", True, *((3 * MINUTE,) if after == "test" else (31 * MINUTE, TEST)))
    assert answered.said("stair") == ["re-alarmed", "told"], "and when it is none, everybody"


@pytest.mark.parametrize("restarted", [False, True])
def test_what_is_said_beside_a_real_alarm_in_a_forgotten_test_needs_nothing_more_to_be_heard(answered, restarted):
    """Was: it sounded when something else was heard next, and a detector that has said it may have nothing more to say."""
    answered.read("smoke2", "smoke", True, 2 * MINUTE, TEST)
    if restarted:
        answered.restart(after=SECOND)
    answered.forget().wait(31 * MINUTE - 1)
    assert answered.said() == []
    answered.wait(31 * MINUTE)
    assert (answered.said(), answered.alert("stair").drill) == (["re-alarmed", "told"], False)
    answered.read("smoke2", "smoke", True, HOUR, TEST)
    answered.wait(12 * HOUR)
    assert answered.said().count("re-alarmed") == 1


def test_what_was_taken_back_in_the_test_sounds_at_no_end_of_it(answered):
    answered.read("smoke2", "smoke", True, 2 * MINUTE, TEST)
    answered.read("smoke2", "smoke", False, 3 * MINUTE, TEST)
    answered.wait(12 * HOUR)
    assert answered.said() == []


def test_a_number_read_in_a_test_makes_no_answered_alarm_of_another_point_worse(make, rules_text):
    core = make(rules_text.replace("gas_high_alarm, is: true }", "alarm, is: true }"))
    core.read("gas", "gas", 0.0, 0)
    core.read("gas", "alarm", True, SECOND)
    core.ask("ack", "gas-high", 10 * SECOND, on_site=True)
    core.forget().gas(60.0, MINUTE, TEST)
    assert core.said("gas-high") == []
    core.gas(60.0, 2 * MINUTE)
    assert core.said("gas-high") == ["re-alarmed", "told"]


RISES = """
- rule: rising
  subjects: { kind: gas-detector }
  when: { point: gas, rises: 5 %LEL, within: 1min }
  priority: high
  grade: small
"""


def test_a_rate_is_blind_in_a_test_and_sees_again_in_a_forgotten_one(make):
    """Was: unknown for as long as the test was forgotten."""
    core = make(RISES)
    core.read("gas", "gas", 0.0, SECOND, TEST)
    core.read("gas", "gas", 50.0, MINUTE, TEST)
    core.read("gas", "gas", 0.0, 2 * MINUTE, TEST)
    core.read("gas", "gas", 3.0, 30 * MINUTE, TEST)
    assert core.said("rising") == []
    core.read("gas", "gas", 3.0, 31 * MINUTE, TEST)
    core.read("gas", "gas", 9.0, 31 * MINUTE + 30 * SECOND, TEST)
    assert (core.said("rising"), core.alert("rising").drill) == (["raised", "told"], False)
    core.read("gas", "gas", 9.0, 33 * MINUTE, TEST)
    assert core.said("rising")[-1] == "returned"


def test_a_test_lets_no_alert_about_a_rate_return(make):
    core = make(RISES)
    core.read("gas", "gas", 0.0, SECOND)
    core.read("gas", "gas", 9.0, 10 * SECOND)
    core.forget().read("gas", "gas", 9.0, 20 * SECOND, TEST)
    core.wait(10 * MINUTE)
    assert "returned" not in core.said("rising")
    core.read("gas", "gas", 9.0, 11 * MINUTE)
    assert core.said("rising")[-1] == "returned"


@pytest.mark.parametrize("anew", [False, True])
def test_a_rate_sees_again_when_the_half_hour_is_over_and_not_with_the_next_reading(make, anew):
    """Was: a core that was restored knew another deadline than the one that lived."""
    core = make(RISES)
    core.read("gas", "gas", 0.0, SECOND)
    core.read("gas", "gas", 9.0, 10 * SECOND)
    core.forget().read("gas", "gas", 9.0, 20 * SECOND, TEST)
    core.read("water", "water", False, 10 * MINUTE)
    if anew:
        core.die()
    core.wait(30 * MINUTE + 20 * SECOND - 1)
    assert "returned" not in core.said("rising")
    core.wait(30 * MINUTE + 20 * SECOND)
    assert core.said("rising")[-1] == "returned"
    core.read("water", "water", True, 31 * MINUTE)
    due = core.engine.next_due()
    core.die()
    assert core.engine.next_due() == due


def test_the_gas_of_a_test_is_no_rise_when_the_test_is_over(make):
    core = make(RISES)
    core.read("gas", "gas", 0.0, SECOND)
    core.read("gas", "gas", 0.0, MINUTE, TEST)
    core.read("gas", "gas", 9.0, MINUTE + 10 * SECOND, TEST)
    core.read("gas", "gas", 9.0, MINUTE + 20 * SECOND)
    assert core.said("rising") == []


def test_a_point_that_its_profile_calls_otherwise_now_does_not_hold_the_test_that_it_began(
    make, house, subjects, rules_text
):
    """Was: that test was never over, and each later calibration called out the street."""
    core = make()
    core.read("smoke", "smoke", False, SECOND, TEST)
    renamed = [
        Subject("smoke", "smoke-detector", "b1/s1/301", (), {"fire": FactSpec()}) if s.id == "smoke" else s
        for s in subjects
    ]
    core.restart(after=SECOND, compound=house(rules_text.replace("point: smoke", "point: fire"), subjects=renamed))
    core.read("smoke", "fire", False, MINUTE)
    core.read("smoke", "fire", False, HOUR, TEST)
    core.read("smoke", "fire", True, HOUR + MINUTE, TEST)
    assert core.alert("smoke").drill


@pytest.fixture
def on_a_shelf(core):
    """A core with real gas that nobody has answered and somebody has shelved; its detector was put under test after that."""
    core.gas(22.0, SECOND)
    assert core.ask("shelve", "gas-high", MINUTE, for_ms=30 * MINUTE, reason="the plumber is in") == "done"
    core.read("gas", "gas", 22.0, 2 * MINUTE, TEST)
    return core.forget()


@pytest.mark.parametrize(("point", "value"), [("gas", 60.0), ("gas_high_alarm", True)])
def test_a_test_takes_no_shelf_off_a_real_alert_and_hides_no_worsening(on_a_shelf, point, value):
    """Was: each bump test ended the shelf of whatever real alert that detector had."""
    on_a_shelf.read("gas", point, value, 3 * MINUTE, TEST)
    assert (on_a_shelf.said(), on_a_shelf.alert("gas-high").suppression) == ([], "shelved")
    on_a_shelf.read("gas", point, value, 4 * MINUTE)
    assert on_a_shelf.said("gas-high") == ["unshelved", "re-alarmed", "told"]


def test_a_shelf_over_a_test_ends_at_its_own_time(on_a_shelf):
    on_a_shelf.read("gas", "gas", 60.0, 3 * MINUTE, TEST)
    on_a_shelf.wait(31 * MINUTE)
    assert on_a_shelf.said("gas-high") == ["unshelved", "told"]


@pytest.mark.parametrize("beside", [False, True], ids=["all in the test", "the rest in earnest"])
def test_what_worsened_on_a_shelf_in_a_forgotten_test_sounds_at_its_end(core, beside):
    """And not before: whatever else is heard of the detector, a test takes nothing off its shelf."""
    core.gas(22.0, SECOND)
    core.read("gas", "gas", 22.0, 2 * MINUTE, TEST)
    assert core.ask("shelve", "gas-high", 10 * MINUTE, for_ms=30 * MINUTE, reason="the plumber is in") == "done"
    core.forget()
    if beside:
        core.read("gas", "gas_high_alarm", True, 11 * MINUTE, TEST)
        core.read("gas", "gas", 22.0, 12 * MINUTE)
    else:
        core.gas(60.0, 11 * MINUTE, TEST)
    core.wait(32 * MINUTE - 1)
    assert core.said() == []
    core.wait(32 * MINUTE)
    assert core.said("gas-high") == ["unshelved", "re-alarmed", "told"]


@pytest.fixture
def came_back(core):
    """A core with real smoke that nobody has answered: it has gone, was shelved, and came back in a test begun after ten minutes."""
    core.read("smoke", "smoke", True, SECOND)
    core.read("smoke", "smoke", False, MINUTE)
    core.read("smoke", "smoke", False, 10 * MINUTE, TEST)
    assert core.ask("shelve", "smoke", 15 * MINUTE, for_ms=20 * MINUTE, reason="tested today") == "done"
    assert core.ask("shelve", "smoke", 20 * MINUTE, for_ms=25 * MINUTE, reason="it takes longer") == "done"
    core.forget().read("smoke", "smoke", True, 21 * MINUTE, TEST)
    core.die()
    return core


def test_what_comes_back_in_a_test_is_told_nobody_and_stays_shelved(came_back):
    assert (came_back.said("smoke"), came_back.alert("smoke").drill) == (["re-alarmed"], False)
    assert (came_back.alert("smoke").condition, came_back.alert("smoke").suppression) == ("active", "shelved")
    assert came_back.alert("smoke").shelved_until == 45 * MINUTE
    came_back.read("smoke", "smoke", False, 22 * MINUTE, TEST)
    came_back.read("smoke", "smoke", False, 41 * MINUTE)
    assert came_back.said("smoke") == ["re-alarmed", "returned"]


@pytest.mark.parametrize("waits", [False, True], ids=["said in earnest", "test forgotten"])
def test_what_came_back_in_a_test_and_stands_when_that_is_over_sounds(came_back, waits):
    came_back.forget()
    if waits:
        came_back.wait(40 * MINUTE - 1)
        assert came_back.said() == []
        came_back.wait(40 * MINUTE)
    else:
        came_back.read("smoke", "smoke", True, 22 * MINUTE)
    assert came_back.said("smoke") == ["unshelved", "re-alarmed", "told"]
    came_back.read("smoke", "smoke", True, 41 * MINUTE)
    assert came_back.said("smoke").count("re-alarmed") == 1


def test_who_takes_the_shelf_off_in_such_a_test_is_the_last_to_be_called(came_back):
    came_back.forget()
    assert came_back.ask("unshelve", "smoke", 22 * MINUTE) == "done"
    came_back.read("smoke", "smoke", True, 23 * MINUTE)
    assert came_back.said("smoke") == ["unshelved", "told"]


def test_a_test_gives_no_shelf_its_time_back(came_back):
    """What was shelved for half an hour may not be shelved for another, for nobody was told of it since."""
    assert came_back.ask("shelve", "smoke", 22 * MINUTE, for_ms=25 * MINUTE, reason="more") == "shelf_used_up"


LIMIT = Any((Is("smoke", (True,)), Threshold("smoke", 20.0, deadband=4.0)))


@pytest.mark.parametrize(
    ("said", "now", "quality", "stands"),
    [
        (True, True, TEST, True),
        (True, False, TEST, False),
        (True, False, Quality.GOOD, False),
        (True, False, Quality.COMMS, True),
        (True, False, Quality.SENSOR_FAULT, True),
        (True, None, Quality.GOOD, True),
        (True, "off", Quality.GOOD, True),
        (True, 0.0, Quality.GOOD, True),
        (30.0, 25.0, TEST, True),
        (30.0, 20.0, Quality.GOOD, True),
        (30.0, 19.9, TEST, False),
        (30.0, 0.0, Quality.GOOD, False),
        (30.0, 0.0, Quality.COMMS, True),
        (30.0, None, Quality.GOOD, True),
    ],
)
def test_what_was_said_in_a_test_stands_until_a_word_in_good_quality_takes_it_back(said, now, quality, stands):
    class View:
        def fact(self, subject, name):
            return Fact(now, quality, Instant(2), Instant(2), 2) if (subject, name) == ("lobby", "smoke") else None

    reasons = [Why("smoke", said, one, Instant(1), "", 20.0, "lobby") for one in (TEST, Quality.GOOD)]
    assert still_said(View(), "b1", tuple(reasons), LIMIT) == ((reasons[0],) if stands else ()), (
        "and nothing else was said in it"
    )


def test_what_was_said_in_a_test_by_one_who_was_never_heard_of_again_stands():
    class View:
        def fact(self, subject, name):
            return None

    said = (Why("smoke", True, TEST, Instant(1)),)
    assert still_said(View(), "smoke", said, LIMIT) == said
