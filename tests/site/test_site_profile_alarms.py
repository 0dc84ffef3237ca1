"""Where a danger lies: what a profile says of it is read, and nothing it says of one alarm may contradict the other."""

from __future__ import annotations

import pytest

from gateway.nodes import Faults
from gateway.site.marks import parse
from gateway.site.profile import Danger
from gateway.site.profiles import read_profile
from gateway.site.report import render

OXYGEN = """\
id: own
kind: other
name: { zh: 氧气, en: oxygen }
status: manual
source: own manual, p. 3
set_points: { low: 19.5, high: 18 }
points:
  oxygen: { space: holding, address: 0, scale: 0.1, unit: "%VOL", low: 0, high: 25, class: alarm, alarm_when: below }
  status:
    space: holding
    address: 1
    class: alarm
    enum: { 0: warm_up, 1: ok, 5: low_alarm, 6: high_alarm, 8: over_range }
    quality_of: { warm_up: warm_up, over_range: over_range }
    alarm_when: [low_alarm, high_alarm]
  oxygen_alarm: { space: holding, address: 1, class: alarm, true_when: [5, 6, 8] }
"""


def read(text):
    profile = read_profile(parse(text, "own.yaml", faults := Faults(), hexadecimal=True), faults)
    return profile, list(render(faults, "en"))


def test_sides_and_alarm_codes_arrive():
    profile, said = read(OXYGEN)
    assert said == []
    oxygen, status, alarm = profile.points
    assert (oxygen.alarm_when, oxygen.alarm_names) == (Danger.BELOW, ())
    assert (status.alarm_when, status.alarm_names) == (None, ("low_alarm", "high_alarm"))
    assert (alarm.alarm_when, alarm.latched) == (None, None)
    assert profile.measured is oxygen


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("alarm_when: below", "alarm_when: belw"), "own.yaml:8: error: own.oxygen: alarm_when cannot be “belw”"),
        (("true_when: [5, 6, 8]", "true_when: [5, 6, 8], alarm_when: above"), "own.yaml:16: error: own.oxygen_alarm: alarm_when: above is for a measured number"),
        (("alarm_when: [low_alarm, high_alarm]", "alarm_when: below"), "own.yaml:15: error: own.status: alarm_when: below is for a measured number"),
        (("alarm_when: [low_alarm, high_alarm]", "alarm_when: [low_alrm]"), "own.yaml:15: error: own.status: alarm_when cannot be “low_alrm”"),
        (("true_when: [5, 6, 8]", "true_when: [5]"), "own.yaml:15: error: own.status: no alarm point turns true at the alarm code high_alarm"),
        (("true_when: [5, 6, 8]", "true_when: [1, 5, 6]"), "own.yaml:16: error: own.oxygen_alarm: true_when has ok, which alarm_when of status does not name"),
        (("true_when: [5, 6, 8]", "true_when: [5, 6, 7]"), "own.yaml:16: error: own.oxygen_alarm: true_when has 7, which"),
        (("low: 19.5, high: 18", "low: 18, high: 19.5"), "own.yaml:6: error: own.set_points: it alarms below its set points, so the second stage high (19.5) must be below the first, low (18)"),
        (("low: 19.5, high: 18", "low: 19.5, high: 26"), "own.yaml:6: error: own.set_points: "),
        (("alarm_when: below", "alarm_when: above"), "own.yaml:6: error: own.set_points: low (19.5) must be below high (18)"),
    ],
)  # fmt: skip
def test_what_contradicts_is_a_fault_at_its_line(change, said):
    assert change[0] in OXYGEN
    found = read(OXYGEN.replace(*change))[1]
    assert any(line.startswith(said) for line in found), found


@pytest.mark.parametrize(
    "change",
    [
        ("low: 19.5, high: 18", "low: 19.5"),
        ("alarm_when: below", "alarm_when: outside"),
        ("true_when: [5, 6, 8]", "true_when: [5, 6]"),  # beyond its range it may alarm, and need not
        ("address: 1, class: alarm, true_when: [5, 6, 8]", "address: 2, class: alarm, true_when: [5]"),  # another register
        ("alarm_when: [low_alarm, high_alarm]", "class: alarm"),
    ],
)  # fmt: skip
def test_what_does_not_contradict_is_none(change):
    text = OXYGEN.replace(*change)
    assert text != OXYGEN
    if "outside" in text:
        text = text.replace("low: 19.5, high: 18", "low: 19.5, high: 23.5")
    if change[1] == "class: alarm":
        text = text.replace("    class: alarm\n    enum", "    enum")
    assert read(text)[1] == []


@pytest.mark.parametrize(
    ("set_points", "said"),
    [
        ("low: 0, high: 25", ""),
        ("low: 18, high: 26", "high is 26; it must lie between 0 and 25."),
        ("low: -1, high: 25", "low is -1; it must lie between 0 and 25."),
    ],
)
def test_a_set_point_that_the_detector_never_shows_is_a_fault(set_points, said):
    """Beyond its range a value is none, and the alarm would never come."""
    text = OXYGEN.replace("alarm_when: below", "alarm_when: outside").replace("low: 19.5, high: 18", set_points)
    assert [line.removeprefix("own.yaml:6: error: own.set_points: ") for line in read(text)[1]] == [said] * bool(said)


BITS = """\
id: own
kind: gas-detector
name: { zh: 气, en: gas }
status: manual
source: own manual, p. 3
points:
  status: { space: input, address: 0, type: bits, bits: { 0: al1, 1: al2, 3: fault }, alarm_when: [al1, al2] }
  gas_low_alarm: { space: input, address: 0, type: bits, bits: { 0: low, 1: high }, true_when: [low, high], class: alarm }
"""


def test_bits_are_compared_by_their_numbers_and_not_by_their_names():
    assert read(BITS)[1] == []
    (line,) = read(BITS.replace("true_when: [low, high]", "true_when: [low]"))[1]
    assert line.startswith("own.yaml:7: error: own.status: no alarm point turns true at the alarm code al2")
    (line,) = read(BITS.replace("{ 0: low, 1: high }", "{ 0: low, 1: high, 3: bad }").replace("[low, high]", "[low, high, bad]"))[1]  # fmt: skip
    assert line.startswith("own.yaml:8: error: own.gas_low_alarm: true_when has fault, which alarm_when of status does")


# What the manual says it has not ---------------------------------------------------------------------

PLAIN = """\
id: own
kind: other
name: { zh: 试, en: own }
status: manual
source: own manual, p. 3
points:
  alarm: { space: coil, address: 0 }
"""


def test_none_is_not_the_same_as_silence():
    silent, said = read(PLAIN)
    assert (silent.without, silent.ex_rated, silent.warm_up_ms, silent.self_test, said) == ((), "", 0, None, [])
    none, said = read(PLAIN + "ex_rated: none\nwarm_up: none\nself_test: none\nreset: false\n")
    assert none.without == ("ex_rated", "warm_up", "self_test", "reset")
    assert (none.ex_rated, none.warm_up_ms, none.self_test, none.reset, said) == ("", 0, None, None, [])


@pytest.mark.parametrize(
    ("given", "marking", "without"),
    [
        ("Ex d IIC T6", "Ex d IIC T6", ()),
        ("true", "yes", ()),
        ("false", "", ("ex_rated",)),
        ("none", "", ("ex_rated",)),
    ],
)
def test_a_marking_is_kept_as_it_stands(given, marking, without):
    profile, said = read(PLAIN + f"ex_rated: {given}\n")
    assert (profile.ex_rated, profile.without, said) == (marking, without, [])


@pytest.mark.parametrize(
    ("given", "read_as"),
    [("", None), (", latched: true", True), (", latched: false", False), (", latched: setting", "setting")],
)
def test_whether_an_alarm_is_latched_may_be_unknown_or_a_setting(given, read_as):
    profile, said = read(PLAIN.replace("address: 0", f"address: 0{given}"))
    assert (profile.points[0].latched, said) == (read_as, [])


def test_no_other_word_says_whether_an_alarm_is_latched():
    profile, said = read(PLAIN.replace("address: 0", "address: 0, latched: sometimes"))
    assert profile.points[0].latched is None
    assert said == ["own.yaml:7: error: own.alarm: latched cannot be “sometimes”. Allowed: true | false | setting."]
