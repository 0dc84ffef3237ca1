"""The core with the built-in life-safety rules alone, and the way back to the whole of it."""

from __future__ import annotations

from gateway.actions import OutputState
from gateway.events import Quality
from gateway.instant import HOUR, MINUTE, SECOND
from gateway.rules.bare import bare
from gateway.rules.compound import OutputSpec

RULES = """
- rule: welfare
  subjects: { kind: person }
  when: { absent: { seen: any }, for: 24h }
  priority: high
  grade: small
- rule: counted
  subjects: { kind: terminal }
  when: { count: { entry: access.denied }, at_least: 3, within: 1h }
  priority: low
  grade: small
"""


def test_whoever_was_not_asked_for_a_while_is_asked_again_afterwards(make):
    core = make(RULES)
    whole = core.compound
    core.entry("access.granted", "a", HOUR, person="p1", live=True)
    core.restart(after=MINUTE, compound=bare(whole, {}))
    core.entry("access.denied", "b", 2 * HOUR)
    core.restart(after=MINUTE, compound=whole)
    core.wait(25 * HOUR - 1)
    assert core.said() == [], "nobody looked after anybody meanwhile, so nobody is said to be absent"


def test_what_was_remembered_before_is_still_known_afterwards(make):
    core = make(RULES)
    whole = core.compound
    core.entry("access.denied", "a", HOUR)
    core.entry("access.denied", "b", HOUR + 1)
    core.restart(after=MINUTE, compound=bare(whole, {}))
    core.restart(after=MINUTE, compound=whole)
    core.entry("access.denied", "c")
    assert core.said("counted")[0] == "raised"


BY_STAIR = (
    RULES
    + """
- rule: smoke
  subjects: { kind: smoke-detector }
  by: stair
  when: { count: { point: smoke, is: true }, of: subjects, at_least: 1, within: 1h }
  priority: critical
  grade: big
  latch: true
  life_safety: true
"""
)
SHIPPED = BY_STAIR.replace("  by: stair\n", "").replace(
    "{ count: { point: smoke, is: true }, of: subjects, at_least: 1, within: 1h }", "{ point: smoke, is: true }"
)


def test_an_open_alert_stands_whose_rule_the_site_had_made_about_a_place(make):
    core = make(BY_STAIR)
    whole, shipped = core.compound, make(SHIPPED).compound.rules
    core.read("smoke", "smoke", True, SECOND)
    (opened,) = core.engine.alerts()
    core.restart(after=SECOND, compound=bare(whole, {"smoke": shipped["smoke"]}))
    assert {(alert.rule, alert.subject) for alert in core.engine.alerts()} == {("smoke", "b1/s1"), ("smoke", "smoke")}
    core.wait(core.at + 4 * MINUTE)
    rungs = [told.rung.value for told in core.engine.register.alerts.get(opened.id).told]
    assert rungs[-1] == "district", "its climb went on"
    core.restart(after=SECOND, compound=whole)
    (kept,) = [alert for alert in core.engine.alerts() if alert.subject == "b1/s1"]
    assert (kept.id, kept.condition.value) == (opened.id, "active")
    core.read("smoke", "smoke", False, core.at + 2 * HOUR)
    (kept,) = [alert for alert in core.engine.alerts() if alert.id == opened.id]
    assert kept.condition.value == "normal"


def test_a_fan_held_off_for_smoke_is_held_on_for_an_alert_of_the_sites_own_rule_about_a_place(make):
    """The shipped rule holds it off for smoke detectors alone; the stair of the kept alert has one."""
    shipped = SHIPPED + '  drives: { fan: { smoke-detector: "off" } }\n'
    fan = (OutputSpec("fan", "fan", "b1", ("b1",)),)
    core = make(BY_STAIR + '  drives: { fan: "off" }\n', outputs=fan)
    core.read("smoke", "smoke", True, SECOND)
    core.restart(after=SECOND, compound=bare(core.compound, {"smoke": make(shipped).compound.rules["smoke"]}))
    (want,) = core.engine.wants()
    assert (want.state, len(want.causes)) == (OutputState.OFF, 2)


def test_the_end_of_a_test_is_no_proof_that_what_is_only_kept_has_gone(make):
    core = make(BY_STAIR)
    whole, shipped = core.compound, make(SHIPPED).compound.rules
    core.read("smoke", "smoke", True, MINUTE, Quality.UNDER_TEST)
    (drill,) = core.engine.alerts()
    assert drill.drill
    core.restart(after=SECOND, compound=bare(whole, {"smoke": shipped["smoke"]}))
    core.wait(core.at + HOUR)
    kept = core.engine.register.alerts.get(drill.id)
    assert (kept.condition.value, kept.drill) == ("active", False)
