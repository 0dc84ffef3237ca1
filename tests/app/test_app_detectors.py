"""What shipped detectors say of danger and of themselves, and what the built-in rules make of both at once."""

from __future__ import annotations

import pytest
from app.detecting import Detector

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


def test_full_scale_of_a_broken_sensor_alone_is_no_gas(tmp_path):
    detector = Detector(tmp_path, "gas-sierra-5100")
    detector.poll(10, {21: 1, 22: 2})
    for at in (30, 31, 32):
        detector.poll(at, {21: 1, 22: 2 | 8, 0: 100})
    detector.core.wait(40_000)
    assert detector.alerts() == [("device-lost", "medium")]
