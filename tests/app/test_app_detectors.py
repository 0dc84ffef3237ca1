"""What shipped detectors say of danger and of themselves, and what the built-in rules make of both at once."""

from __future__ import annotations

import pytest
from app.detecting import SITE, Detector
from rules.conftest import Core

from gateway.actions import OutputState, Want
from gateway.app.check import check
from gateway.events import Entry
from gateway.instant import HOUR, MINUTE
from gateway.nodes import Faults
from gateway.site.report import render

FIRE, LOW_FLOW, ASPIRATOR, NORMAL = 0b1000, 0b10, 0b10000000, 3


@pytest.mark.parametrize(
    ("profile", "quiet", "danger", "rule"),
    [
        ("smoke-faast", {6: NORMAL}, {6: NORMAL, 12: FIRE, 3: LOW_FLOW}, ("smoke", "critical")),
        ("smoke-faast", {6: NORMAL}, {6: NORMAL, 12: FIRE, 3: ASPIRATOR}, ("smoke", "critical")),
        ("smoke-faast", {6: NORMAL}, {6: 99, 12: FIRE}, ("smoke", "critical")),
        ("gas-sierra-5100", {21: 1, 22: 2}, {21: 1, 22: 2 | 8, 12: 5, 13: 5, 0: 60}, ("gas-high", "critical")),
    ],
    ids=["no flow", "no fan", "a mode nobody knows", "trouble"],
)
def test_a_detector_that_reports_danger_and_a_fault_at_once_is_believed_in_both(tmp_path, profile, quiet, danger, rule):
    detector = Detector(tmp_path, profile)
    assert detector.poll(10, quiet) == []
    assert rule in detector.poll(30, danger)
    for again in (31, 32):  # a fault is believed when it is said three times
        detector.poll(again, danger)
    detector.core.wait(40_000)
    assert {rule, ("device-lost", "medium")} <= set(detector.alerts())


def test_a_leak_at_a_broken_cable_is_a_leak(tmp_path):
    detector = Detector(tmp_path, "water-aqualeak-10k")
    assert detector.poll(10, {}, "input") == []
    assert detector.poll(30, {0: 0b11}, "input")[0] == ("water-leak", "high")


def test_an_alarm_bit_that_its_own_status_calls_void_says_nothing(tmp_path):
    detector = Detector(tmp_path, "electric-vigirex-rhu")
    assert ("residual-current", "high") not in detector.poll(10, {200: 0, 201: 1, 207: 1})
    assert ("residual-current", "high") in detector.poll(20, {200: 1, 201: 1, 207: 1})


@pytest.mark.parametrize(
    ("profile", "rule", "right", "wrong"),
    [
        ("gas-detcon-600", ("gas-low", "high"), {0: 0x0B64, 5: 0x06E5}, {0: 0x0B64, 5: 0x06A5}),
        (
            "oxygen-rki-m2a", ("oxygen-low", "critical"),
            {0: 0x20D1, 1: 0x2010, 22: 0}, {0: 0x20D1, 1: 0x2010, 22: 1},
        ),
    ],
)  # fmt: skip
def test_an_alarm_that_is_set_to_the_wrong_side_is_no_alarm(tmp_path, profile, rule, right, wrong):
    """No gas (0 %LEL), and air (20.9 %VOL): where the alarm waits for the wrong side, it is on when all is well."""
    detector = Detector(tmp_path, profile)
    assert rule not in detector.poll(10, wrong)
    assert rule in detector.poll(20, right)


@pytest.mark.parametrize(("status", "rule"), [(5, "oxygen-low"), (6, "detector-alarm"), (8, "detector-alarm")])
def test_too_much_oxygen_is_an_alarm_and_no_lack_of_it(tmp_path, status, rule):
    detector = Detector(tmp_path, "oxygen-6in1")
    assert detector.poll(10, {0: 0x4400, 1: 240, 5: 1}) == []
    assert detector.poll(30, {0: 0x4400, 1: 240, 5: status}) == [(rule, "critical")]


def test_full_scale_of_a_broken_sensor_alone_is_no_gas(tmp_path):
    detector = Detector(tmp_path, "gas-sierra-5100")
    detector.poll(10, {21: 1, 22: 2})
    for at in (30, 31, 32):
        detector.poll(at, {21: 1, 22: 2 | 8, 0: 100})
    detector.core.wait(40_000)
    assert detector.alerts() == [("device-lost", "medium")]


@pytest.mark.parametrize(
    ("profile", "space", "quiet", "alarm", "rule"),
    [
        ("ups-apc-nmc2", "holding", {3: 0b1000, 5: 100}, {3: 0b1001000, 5: 90}, ("battery-low", "low")),
        ("gas-bacharach-mgs400", "discrete", {}, {3005: 1}, ("gas-high", "critical")),
        ("electric-circutor-rgu100a", "discrete", {}, {2: 1}, ("residual-current", "high")),
        ("electric-circutor-rgu100a", "discrete", {}, {1: 1}, ("residual-prealarm", "medium")),
        ("smoke-faast", "holding", {6: NORMAL}, {6: NORMAL, 12: 1}, ("smoke-early", "high")),
    ],
    ids=["a battery that calls itself low", "a sensor beyond its range", "tripped", "before it trips", "first smoke"],
)
def test_no_alarm_of_a_shipped_profile_goes_unheard(tmp_path, profile, space, quiet, alarm, rule):
    detector = Detector(tmp_path, profile)
    detector.poll(10, quiet, space)
    assert rule not in detector.alerts()
    detector.poll(30, alarm, space)
    assert rule in detector.alerts()


def test_smoke_is_not_said_twice(tmp_path):
    detector = Detector(tmp_path, "smoke-faast")
    detector.poll(10, {6: NORMAL})
    assert detector.poll(30, {6: NORMAL, 12: FIRE}) == [("smoke", "critical")]


def test_a_fire_call_at_a_door_is_as_urgent_as_a_press_and_holds_the_fans_off(compound):
    core, door = Core(compound), next(s.id for s in compound.subjects.values() if s.kind == "terminal")
    core.give(Entry(door, "alarm.fire", "1", "1/1048"), MINUTE)
    alert = core.alert("fire-call")
    assert (alert.priority, alert.grade, alert.subject, alert.momentary) == ("critical", "big", door, True)
    core.ask("ack", "fire-call", who=next(iter(compound.roles)), on_site=True)
    core.give(Entry(door, "alarm.fire", "2", "5/52", live=False), 2 * MINUTE)
    assert "re-alarmed" not in core.said("fire-call"), "the log of a terminal alarms nobody"
    core.give(Entry(door, "alarm.fire", "3", "5/52"), 3 * MINUTE)
    assert "re-alarmed" in core.said("fire-call")
    assert not any(isinstance(a, Want) and a.state is OutputState.ON and "fan" in a.output for a in core.actions)


@pytest.mark.parametrize(
    ("profile", "warned"), [("ups-pulsar-en54c", True), ("ups-apc-nmc2", False), ("smoke-faast", False)]
)
def test_check_names_a_point_of_class_alarm_that_no_rule_reads(tmp_path, profile, warned):
    path, faults = tmp_path / "site.yaml", Faults()
    path.write_text(SITE % profile)
    assert check(path, faults) is not None
    assert any("d: no rule reads faults, points of class alarm" in line for line in render(faults, "en")) is warned


@pytest.mark.parametrize(("latched", "warned"), [("true", False), ("setting", True), ("false", True)])
def test_a_latch_that_may_be_switched_off_is_an_alarm_some_rule_must_hear(tmp_path, latched, warned):
    """One that always holds repeats what another point has said; one that may be set to follow may be the only word."""
    path, faults, profiles = tmp_path / "site.yaml", Faults(), tmp_path / "profiles"
    profiles.mkdir()
    (profiles / "own.yaml").write_text(f"{OWN}  kept: {{space: coil, address: 1, class: alarm, latched: {latched}}}\n")
    path.write_text(SITE % "own")
    assert check(path, faults) is not None, list(render(faults, "en"))
    assert any("no rule reads kept, points of class alarm" in line for line in render(faults, "en")) is warned


OWN = """
id: own
kind: smoke-detector
name: {zh: 试, en: own}
status: manual
source: own manual, p. 3
notation: wire
max_read: 4
points:
  smoke: {space: coil, address: 0, class: alarm}
"""


DETCON, CALIBRATING, HIGH = {0: 0x0B00, 5: 0x440}, 0x840 | 0x400, 0x80


def test_a_detector_left_disabled_is_reported_after_half_an_hour_and_believed_when_it_says_fire(tmp_path):
    detector = Detector(tmp_path, "smoke-faast")
    for second in range(3):
        detector.poll(10 + second, {6: 4})
    assert (detector.watch.health, detector.core.engine.fact("d", "reason").value) == (
        "out_of_service",
        "out_of_service",
    )
    for minute in range(1, 30):
        assert detector.poll(minute * 60, {6: 4}) == []
    detector.poll(30 * 60, {6: 4})
    detector.core.wait(31 * MINUTE)
    assert detector.alerts() == [("device-out-of-service", "medium")]
    assert detector.poll(31 * 60 + 1, {6: 4, 12: FIRE}) == [("device-out-of-service", "medium"), ("smoke", "critical")]
    alert = detector.core.alert("smoke")
    assert (alert.suppression, alert.drill, len(alert.told)) == ("none", False, 4)
    for second in range(3):
        detector.poll(31 * 60 + 2 + second, {6: NORMAL})
    detector.core.wait(32 * MINUTE)
    assert "returned" in detector.core.said("device-out-of-service")


def test_a_detector_left_disabled_that_comes_and_goes_is_reported_and_a_loss_is_no_return(tmp_path):
    """Was: each loss, every 20 min for a day, began its half-hour anew, so nobody was ever told that it is disabled."""
    detector = Detector(tmp_path, "smoke-faast")
    for minute in range(0, 2 * 60, 20):
        for second in range(3):
            detector.poll(60 * minute + 10 + second, {6: 4})
        detector.lose(60 * minute + 15 * 60)
    assert ("device-out-of-service", "medium") in detector.alerts()
    assert "returned" not in detector.core.said("device-out-of-service")
    assert detector.core.said("device-out-of-service").count("raised") == 1
    for second in range(4):
        detector.poll(3 * 3600 + second, {6: NORMAL})
    detector.core.wait(4 * HOUR)
    assert "returned" in detector.core.said("device-out-of-service")


@pytest.mark.parametrize("every", [20, 45])
def test_a_gateway_that_starts_again_and_again_says_that_a_detector_is_left_disabled(tmp_path, every):
    """Was: each start called it well before it had spoken of itself, and the half-hour began anew; or its alert had returned."""
    detector = Detector(tmp_path, "smoke-faast")
    for minute in range(0, 120, every):
        if minute:
            detector.restart(minute * 60)
        for second in (1, 8, 15, 22):
            detector.poll(60 * minute + second, {6: 4})
        detector.core.wait((minute + every - 1) * MINUTE)
    assert detector.core.said("device-out-of-service")[0] == "raised"
    assert "returned" not in detector.core.said("device-out-of-service")
    detector.restart(130 * 60)
    detector.poll(130 * 60 + 1, {6: NORMAL})
    detector.core.wait(131 * MINUTE)
    assert "returned" in detector.core.said("device-out-of-service")


def test_gas_let_at_a_detector_under_test_is_a_drill_until_the_test_is_over(tmp_path):
    detector = Detector(tmp_path, "gas-detcon-600")
    detector.poll(10, DETCON)
    detector.poll(20, DETCON | {5: CALIBRATING})
    detector.core.forget()
    detector.poll(30, DETCON | {2: 60, 5: CALIBRATING | HIGH})
    alert = detector.core.alert("gas-high")
    assert (alert.suppression, alert.drill, [t.rung for t in alert.told]) == ("by_design", True, ["building"])
    detector.poll(40, DETCON | {2: 60, 5: 0x440 | HIGH})
    alert = detector.core.alert("gas-high")
    assert detector.core.said("gas-high") == ["raised", "told", "re-alarmed", "told"]
    assert (alert.suppression, alert.drill, alert.shelved_until, alert.told[-1].rung) == ("none", False, None, "street")


def test_a_test_is_believed_for_half_an_hour_from_its_beginning(tmp_path):
    detector = Detector(tmp_path, "gas-detcon-600")
    for second in range(3):
        detector.poll(10 + second, DETCON | {5: CALIBRATING})
    detector.poll(25 * 60, DETCON | {2: 60, 5: CALIBRATING | HIGH})
    assert detector.core.alert("gas-high").drill
    detector.core.die()
    detector.core.wait(31 * MINUTE)
    assert detector.core.said("gas-high")[-2:] == ["re-alarmed", "told"]
    assert not detector.core.alert("gas-high").drill


@pytest.mark.parametrize(
    ("seconds", "found", "said"),
    [
        (60, {2: 60, 5: CALIBRATING | HIGH}, []),
        (3600, {}, ["returned"]),
        (3600, {2: 60, 5: 0x440 | HIGH}, ["re-alarmed", "told"]),
        (3600, {2: 60, 5: CALIBRATING | HIGH}, ["re-alarmed", "told"]),
    ],
    ids=["still tested", "gone", "stands", "left in its test state"],
)
def test_after_a_downtime_the_first_poll_says_whether_a_test_was_one(tmp_path, seconds, found, said):
    """Was: what had been read an hour before called everybody, a second before the poll."""
    detector = Detector(tmp_path, "gas-detcon-600")
    detector.poll(10, DETCON | {5: CALIBRATING})
    detector.poll(30, DETCON | {2: 60, 5: CALIBRATING | HIGH})
    detector.core.forget()
    detector.restart(30 + seconds)
    detector.core.wait(detector.core.at)
    assert detector.core.said("gas-high") == []
    detector.poll(31 + seconds, DETCON | found)
    assert detector.core.said("gas-high") == said


def test_who_left_it_in_its_test_state_is_not_believed_to_test_it_a_day_later(tmp_path):
    detector = Detector(tmp_path, "gas-detcon-600")
    for second in range(3):
        detector.poll(10 + second, DETCON | {5: CALIBRATING})
    detector.poll(86_400, DETCON | {2: 60, 5: CALIBRATING | HIGH})
    assert detector.core.alert("gas-high").suppression == "none"


MIDAS_BEYOND = {4: 2_000, 6: 0x0801}


def midas(folder, mode):
    """A gas detector that measures more than it can, and what it says of itself meanwhile, for four seconds."""
    detector = Detector(folder, "gas-honeywell-midas")
    for second in range(4):
        detector.poll(10 + second, {0: mode | (0x0800 if second % 2 else 0)} | MIDAS_BEYOND)
    return detector


def test_a_number_beyond_the_range_of_a_detector_that_is_disabled_is_no_gas(tmp_path):
    assert midas(tmp_path, 0x0004).core.said("gas-high") == []


def test_a_number_beyond_the_range_of_a_detector_under_test_is_a_drill_and_gas_when_the_test_is_forgotten(tmp_path):
    """Was: unknown for as long as the test was forgotten, where one within the range was heard."""
    core = midas(tmp_path, 0x0008).core
    assert (core.said("gas-high"), core.alert("gas-high").drill) == (["raised", "told"], True)
    core.forget().wait(31 * MINUTE)
    assert core.said("gas-high")[:2] == ["re-alarmed", "told"]
    assert not core.alert("gas-high").drill
