"""What is told beside alerts: the order of devices, and what becomes of readings that are too many."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.uplink.parcel import Parcel
from gateway.uplink.reports import Reports


@pytest.fixture
def reports():
    made = Reports(lambda: {"gas-1": b"ok", "gas-2": b"ok"}, 2, Parcel, Counter())
    made.begin()
    return made


def no(_parcel):
    return False


def test_a_device_that_must_wait_lets_the_others_go_first(reports):
    def first(parcel):
        return parcel.topic == "devices/gas-1"

    assert reports.device(first, no) is None
    assert reports.device(first, no).topic == "devices/gas-2"
    assert reports.device(no, no).topic == "devices/gas-1"
    assert reports.device(no, no) is None


def test_a_device_that_is_no_more_is_taken_back_only_where_it_was_told_of(reports):
    assert [reports.device(no, no).topic for _ in range(2)] == ["devices/gas-1", "devices/gas-2"]
    reports.changed("gas-9")
    assert reports.device(no, no) is None, "of this one the broker has heard nothing"


def test_the_oldest_readings_end_where_there_are_too_many_and_those_that_wait_end_with_the_uplink(reports):
    for n in range(3):
        reports.offer("gas-1", b"%d" % n)
    assert reports.reading(no, no).body == b"1"
    reports.end()
    assert reports.reading(no, no) is None
    assert reports._counts == {"telemetry_dropped": 2}
