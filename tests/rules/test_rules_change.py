"""Change on a living core: rises and falls within a time; stale points and restarts among them."""

from __future__ import annotations

import pytest
from rules.asking import rule

from gateway.events import Quality
from gateway.instant import DAY, HOUR, MINUTE, SECOND
from gateway.rules.memory import Memories


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


def test_two_values_within_one_millisecond_are_two(rising):
    for value in (3.0, 1.0, 6.0):
        rising.read("gas", "gas", value, SECOND)
    assert [why.value for why in rising.alert("r").why] == [6.0, 5.0]


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


def test_a_point_that_may_be_silent_for_ever_falls_and_rises_as_any_other(make):
    core = make(rule("{ point: battery, falls: 5 %, within: 1h }", "button"))
    core.read("button", "battery", 60.0, 0)
    core.read("button", "battery", 50.0, MINUTE)
    assert core.said("r")[0] == "raised"


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
