"""Outputs that want a pulse, and the boards that give it."""

from __future__ import annotations

import pytest

BOARD = """\
id: flash
kind: relay
name: {zh: 脉冲, en: flash}
status: manual
source: test
points:
  relay1: {space: coil, address: 0, writable: true, flash: {step: 100ms, address: 0x0200, most: 600}}
  relay2: {space: holding, address: 1, writable: true, write_on: 0x0100, write_off: 0x0200, shown_on: 1, shown_off: 0, flash: {step: 1s, base: 0x0600, most: 255}}
  relay3: {space: coil, address: 2, writable: true}
  relay4: {space: holding, address: 3, writable: true, write_on: 7, flash: {step: 1s, address: 99}}
  input1: {space: discrete, address: 0}
"""
PROFILES = {"profiles/flash.yaml": BOARD}


def wanting(good, output, kind="valve", point="relay1"):
    good = good.replace("profile: relay,", "profile: flash,").replace(
        "      relay-1:", "      relay-2: {profile: flash, unit_id: 9, place: b1/s1}\n      relay-1:"
    )
    means = "shut" if kind == "valve" else "'on'"
    output += ", latching: true" if kind == "valve" and "latching" not in output else ""
    return good.replace(
        "kind: valve, device: relay-1, point: relay1", f"kind: {kind}, ex_rated: true, device: relay-1, point: {point}"
    ).replace("feedback_means: shut", f"feedback_means: {means}, {output}")


def points_of(loaded, device):
    (found,) = [one for one in loaded.site.buses["gas"].devices if one.id == device]
    return {point.name: point for point in found.profile.points}


@pytest.mark.parametrize(
    ("point", "pulse", "writes"),
    [
        ("relay1", "2s", (20, 0x200, True, 5, 1, 0, 2000)),
        ("relay1", "250ms", (2, 0x200, True, 5, 1, 0, 200)),
        ("relay2", "30s", (0x0600 + 30, None, False, 0, 1, 0, 30_000)),
        ("relay4", "2s", (2, 99, False, 0, 7, 0, 2000)),
    ],
)
def test_a_valve_is_given_its_boards_own_pulse(load, good, point, pulse, writes):
    loaded = load(wanting(good, f"pulse: {pulse}", point=point), PROFILES)
    assert not loaded.errors()
    spec = points_of(loaded, "relay-1")[point]
    found = (
        spec.write_on,
        spec.write_on_address,
        spec.write_raw,
        spec.write_function,
        spec.shown_on,
        spec.shown_off,
        spec.pulse_ms,
    )
    assert found == writes
    assert spec.repeat_ms == 0
    assert loaded.site.outputs["valve-1"].momentary
    assert loaded.site.outputs["valve-1"].unread == (pulse == "250ms")


def test_the_pulse_is_that_outputs_and_nobody_elses(load, good):
    loaded = load(wanting(good, "pulse: 2s"), PROFILES)
    assert points_of(loaded, "relay-1")["relay1"].pulse_ms
    assert not points_of(loaded, "relay-1")["relay2"].pulse_ms
    assert not points_of(loaded, "relay-2")["relay1"].pulse_ms, "another device of the same product"


@pytest.mark.parametrize("kind", ["siren", "fan"])
def test_what_must_go_on_is_renewed_before_its_pulse_ends(load, good, kind):
    loaded = load(wanting(good, "pulse: 10s", kind), PROFILES)
    assert not loaded.errors()
    spec = points_of(loaded, "relay-1")["relay1"]
    assert (spec.write_on, spec.pulse_ms, spec.repeat_ms) == (100, 10_000, 4_000)
    assert not loaded.site.outputs["valve-1"].momentary


@pytest.mark.parametrize(
    ("kind", "point", "pulse", "said"),
    [
        ("valve", "relay3", "2s", "relay-1.relay3 cannot end a pulse by itself, so it would stay on where the gateway dies; take a point that can (relay1 | relay2 | relay4)"),
        ("valve", "relay1", "61s", "pulse is 61s; it must lie between 100ms and 1min"),
        ("valve", "relay2", "300ms", "pulse is 300ms; it must lie between 1s and 255s"),
        ("siren", "relay1", "2s", "pulse is 2s; it must lie between 5s and 1min"),
        ("valve", "relay9", "2s", "relay9"),
    ],
)  # fmt: skip
def test_a_pulse_nobody_can_give_is_a_fault(load, good, kind, point, pulse, said):
    (fault,) = load(wanting(good, f"pulse: {pulse}", kind, point), PROFILES).errors()
    assert said in fault


def test_of_a_board_none_of_whose_points_can_that_is_said(load, good):
    loaded = load(good.replace("feedback_means: shut", "feedback_means: shut, latching: true, pulse: 2s"))
    (fault,) = loaded.errors()
    assert fault.endswith(
        "no point of relay-1 can end a pulse by itself, so it would stay on where the gateway dies; leave pulse out."
    )
    assert "relay-1 没有一个点位" in loaded.lines("zh-CN")[0]


@pytest.mark.parametrize(
    ("flash", "key"),
    [
        ("{address: 0x200}", "fault.missing"),
        ("{step: 100ms, most: 0x7fff, base: 0x9000}", "fault.out_of_bounds"),
        ("{step: 100ms, much: 7}", "fault.unknown_key"),
        ("{step: 100ms, address: 70000}", "fault.out_of_bounds"),
    ],
)
def test_a_flash_that_cannot_be_is_a_fault_of_the_profile(load, good, flash, key):
    board = BOARD.replace("flash: {step: 100ms, address: 0x0200, most: 600}", f"flash: {flash}")
    loaded = load(wanting(good, "confirm: 3s"), {"profiles/flash.yaml": board})
    assert [fault.key for fault in loaded.faults.errors] == [key]
    assert all("profiles/flash.yaml" in line for line in loaded.errors())


@pytest.mark.parametrize("kind", ["valve", "siren"])
def test_a_valve_that_would_open_again_when_the_pulse_ends_is_refused(load, good, kind):
    loaded = load(wanting(good, "pulse: 10s, latching: false", kind), PROFILES)
    assert [fault.key for fault in loaded.faults.errors] == (["fault.valve_reopens"] if kind == "valve" else [])


def test_a_point_whose_profile_says_that_it_is_momentary_needs_no_such_word(load, good):
    board = BOARD.replace("most: 600}}", "most: 600}, pulse: 1s}", 1)
    loaded = load(wanting(good, "pulse: 2s, latching: false"), {"profiles/flash.yaml": board})
    assert not loaded.errors()


def test_what_would_open_again_is_read_as_a_lasting_output(load, good):
    """A start tolerates the fault, and no start may open a valve when the pulse is over."""
    loaded = load(wanting(good, "pulse: 10s, latching: false"), PROFILES)
    (valve,) = [one for one in loaded.site.outputs.values() if one.kind == "valve"]
    spec = points_of(loaded, "relay-1")["relay1"]
    assert (valve.momentary, spec.pulse_ms, spec.write_on_address) == (False, 0, None)


@pytest.mark.parametrize(
    ("kind", "point", "more", "advised"),
    [
        ("siren", "relay1", "confirm: 3s", True),
        ("fan", "relay2", "confirm: 3s", True),
        ("siren", "relay1", "pulse: 10s", False),
        ("siren", "relay1", "pulse: 0", False),  # he knows, and wants it so
        ("siren", "relay3", "confirm: 3s", False),
        ("valve", "relay1", "confirm: 3s", False),  # held by its coil it may be one that opens again without
    ],
)
def test_a_siren_that_its_board_could_end_by_itself_is_worth_a_word(load, good, kind, point, more, advised):
    loaded = load(wanting(good, more, kind, point), PROFILES)
    assert not loaded.errors()
    found = [fault for fault in loaded.faults.warnings if fault.key == "fault.pulse_better"]
    assert bool(found) is advised
    assert all(dict(fault.fields)["given"] == f"relay-1.{point}" for fault in found)
    spec = points_of(loaded, "relay-1")[point]
    assert bool(spec.repeat_ms) is ("10s" in more), "an advice changes nothing"


def test_a_point_that_is_renewed_as_it_is_needs_no_such_word(load, good):
    board = BOARD.replace("most: 600}}", "most: 600}, pulse: 10s, repeat: 4s}", 1)
    loaded = load(wanting(good, "confirm: 3s", "siren"), {"profiles/flash.yaml": board})
    assert not [fault for fault in loaded.faults.warnings if fault.key == "fault.pulse_better"]
