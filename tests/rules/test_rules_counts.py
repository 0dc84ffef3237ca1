"""Counts and sequences on a living core: so many within a time, one after the other; resends and restarts among them."""

from __future__ import annotations

import pytest
from rules.asking import rule

from gateway.instant import MINUTE, SECOND


@pytest.fixture
def refused(make):
    return make(rule("{ count: { entry: access.denied }, at_least: 3, within: 60s }", "terminal"))


def test_so_many_within_the_time_and_not_one_fewer(refused):
    refused.entry("access.denied", "1", 0)
    refused.entry("access.denied", "2", 30 * SECOND)
    assert refused.said("r") == []
    refused.entry("access.denied", "3", 60 * SECOND)  # a window takes in both its ends
    assert refused.said("r")[0] == "raised"
    why = refused.alert("r").why[0]
    assert (why.value, why.limit, why.at) == (3, 3, 60 * SECOND), "so many, and when the last one was"
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


@pytest.mark.parametrize(("other", "raised"), [("{ X }", "5"), ("{ not: { X } }", "4")])
def test_each_condition_of_a_rule_remembers_its_own(make, other, raised):
    opened = "count: { door: opened }, at_least: 2, within: 10min"
    refused = "{ count: { entry: access.denied }, at_least: 2, within: 10min }"
    core = make(rule(f"{{ all: [ {refused}, {other.replace('X', opened)} ] }}", "terminal"))
    for key in "12345":
        assert core.said("r") == []
        core.entry(
            {"1": "access.denied", "3": "door.closed", "4": "access.denied"}.get(key, "door.opened"), key, int(key)
        )
        if key == raised:
            break
    assert core.said("r")[0] == "raised"


# Sequence ------------------------------------------------------------------------------------------


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
