"""A detector that no rule could hear is found at the desk, not on the night it matters."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.app.check import BUILTIN, HAZARDS, SIDES, TOLERATED, check
from gateway.app.profile_pages import skeleton
from gateway.nodes import Faults, Mark
from gateway.rules.compound import FactSpec, Subject
from gateway.rules.language import compile_rules
from gateway.site.marks import parse
from gateway.site.profile import Danger
from gateway.site.report import render

UNITS = {"gas": "%LEL", "co": "ppm", "residual_current": "mA", "line_temperature": "°C"}


def profile(kind: str, points: str) -> str:
    return f"id: own\nkind: {kind}\nname: {{zh: 自备, en: own}}\nstatus: manual\nsource: test\npoints:\n{points}"


def site(more: str = "") -> str:
    return f"""\
site: garden
gateway: box-1
places: {{ b1: 1号楼, b1/s1: 1单元, b1/s1/101: 101室, b1/s2: 2单元 }}
people: {{ head: {{}} }}
grid: {{ building: {{ b1: [head] }}, grid: {{ b1: [head] }}, community: [head], street: [head], district: [head] }}
buses:
  line:
    port: /dev/serial/by-path/one
    devices:
      own-1: {{ profile: own, unit_id: 1, place: b1 }}
uplinks: {{ street: {{ host: mqtt.example, tls: true }} }}
{more}"""


@pytest.fixture
def checked(tmp_path: Path):
    def run(kind: str, points: str, more: str = "", place: str = "b1") -> list[str]:
        (tmp_path / "profiles").mkdir(exist_ok=True)
        (tmp_path / "profiles" / "own.yaml").write_text(profile(kind, points), encoding="utf-8")
        text = site(more).replace("unit_id: 1, place: b1 }", f"unit_id: 1, place: {place} }}")
        (tmp_path / "site.yaml").write_text(text, encoding="utf-8")
        faults = Faults()
        assert check(tmp_path / "site.yaml", faults) is not None
        return [line.removeprefix(f"{tmp_path}/") for line in render(faults, "en")]

    return run


COIL = "{ space: discrete, address: 1 }"


@pytest.mark.parametrize(
    ("kind", "points"),
    [
        ("gas-detector", '  concentration: { space: holding, address: 1, unit: "%LEL" }\n'),
        ("gas-detector", f"  tamper: {COIL}\n"),  # hears the lid, not the gas
        ("smoke-detector", f"  state: {COIL}\n"),
        ("smoke-detector", "  smoke: { space: holding, address: 1, enum: { 0: normal, 1: fire } }\n"),  # never true
        ("co-detector", f"  gas_high_alarm: {COIL}\n"),
        ("water-detector", f"  leak: {COIL}\n"),
        ("heat-detector", f"  heat: {COIL}\n"),
        ("electric-monitor", f"  alarm: {COIL}\n"),
    ],
)
def test_a_detector_that_no_rule_hears_is_an_error_at_its_line(checked, kind, points):
    (line,) = checked(kind, points)
    assert line.startswith("site.yaml:10: error: own-1: no critical, high or life-safety rule reads")
    assert line.endswith("Allowed: " + " | ".join(HAZARDS[kind]) + ".")


def test_of_an_id_that_two_things_bear_that_alone_is_said(checked):
    """Not that no rule hears the detector, which is no more than what comes of it."""
    twin = 'buttons: { own-1: { address: "A4:C1:38:00:00:01", place: b1, key_file: k, heartbeat: 1h } }\n'
    lines = checked("gas-detector", '  gas: { space: holding, address: 1, unit: "%LEL" }\n', twin)
    assert ["used twice" in line for line in lines if "acts for" not in line] == [True]


@pytest.mark.parametrize(
    ("kind", "points"),
    [
        ("gas-detector", '  gas: { space: holding, address: 1, unit: "%LEL" }\n'),
        ("smoke-detector", f"  alarm: {COIL}\n"),
        (
            "smoke-detector",
            "  smoke: { space: holding, address: 1, enum: { 0: normal, 1: fire }, true_when: [fire] }\n",
        ),
        ("air-sensor", f"  concentration: {COIL}\n"),  # no detector: nobody's life hangs on it
    ],
)
def test_a_detector_that_is_heard_needs_no_word(checked, kind, points):
    assert [line for line in checked(kind, points) if "acts for" not in line] == []


GAS = '  gas: { space: holding, address: 1, unit: "%LEL" }\n  shut: { space: coil, address: 0, writable: true }\n'
NOTHING_ACTS = "site.yaml:10: warning: own-1: no valve (or siren) acts for b1; gas there only tells people."


def acting(kind: str, more: str = "") -> str:
    return f"outputs: {{ acts: {{ kind: {kind}, device: own-1, point: shut, place: b1, ex_rated: true, {more} }} }}\n"


def test_a_gas_detector_that_nothing_acts_for_is_warned_of(checked):
    def said(more: str = "") -> list[str]:
        return [line for line in checked("gas-detector", GAS, more) if "no feedback" not in line]

    assert said() == [NOTHING_ACTS]
    assert said(acting("fan", "serves: [b1]")) == [NOTHING_ACTS]
    button = 'buttons: { press: { address: "A4:C1:38:00:00:01", place: b1, key_file: k, heartbeat: 1h } }\n'
    assert said(button + acting("siren", "serves: [b1], rules: [sos]")) == [NOTHING_ACTS]
    assert said(acting("siren", "serves: [b1], rules: [gas-high]")) == []
    assert said(acting("siren", "serves: [b1]")) == []
    assert said(acting("valve", "serves: [b1]")) == []


@pytest.mark.parametrize(("place", "lines"), [("b1/s1/101", []), ("b1/s2", [NOTHING_ACTS.replace("b1;", "b1/s2;")])])
def test_what_serves_a_stair_acts_for_its_flats_and_no_other(checked, place, lines):
    assert checked("gas-detector", GAS, acting("siren", "serves: [b1/s1]"), place) == lines


def test_of_a_detector_whose_place_is_in_doubt_that_alone_is_said(checked):
    for place, fault in (("b9", "there is no place “b9”"), ("", "place is")):
        lines = checked("gas-detector", GAS, place=place)
        assert len(lines) == 1
        assert fault in lines[0]


OWN = """\
rules:
  - rule: own-smoke
    subjects: {{ kind: smoke-detector }}
    when: {{ point: state, is: {value} }}
    priority: {priority}
    grade: big
"""


def test_a_rule_of_ones_own_is_heard_by_if_it_is_urgent(checked):
    points = "  state: { space: holding, address: 1, enum: { 0: normal, 1: fire } }\n"
    assert checked("smoke-detector", points, OWN.format(value="fire", priority="high")) == []
    assert len(checked("smoke-detector", points, OWN.format(value="fire", priority="low"))) == 1
    assert len(checked("smoke-detector", points, OWN.format(value="true", priority="high"))) == 1


def test_a_rule_that_says_a_points_former_name_hears_it_and_may_have_an_output_tied_to_it(checked):
    """An upgrade must take nobody's rule, nor the outputs that hang on it."""
    points = "  gas_high_alarm: { space: discrete, address: 0 }\n  shut: { space: coil, address: 0, writable: true }\n"
    valve = "outputs: { v: { kind: valve, device: own-1, point: shut, place: b1, serves: [b1], rules: [gas-high] } }\n"
    rule = OWN.format(value="true", priority="critical").replace("smoke-detector", "gas-detector")
    rule = rule.replace("state", "saturated").replace("own-smoke", "gas-high") + "    drives: { valve: shut }\n"
    lines = checked("gas-detector", points, valve + rule)
    assert [line for line in lines if "error" in line or "no rule" in line] == []
    assert any("rule gas-high: the point saturated is called gas_high_alarm now" in line for line in lines)


def test_a_rule_about_a_place_hears_the_detectors_there_and_acts_for_them(checked):
    rule = OWN.format(value="true", priority="critical").replace("smoke-detector }", "gas-detector }\n    by: stair")
    rule = rule.replace("state", "gas_high_alarm").replace("own-smoke", "gas-high") + "    drives: { valve: shut }\n"
    valve = "outputs: { v: { kind: valve, device: own-1, point: shut, place: b1/s1, serves: [b1/s1] } }\n"
    points = "  gas_high_alarm: { space: discrete, address: 0 }\n  shut: { space: coil, address: 0, writable: true }\n"
    lines = checked("gas-detector", points, valve + rule, place="b1/s1/101")
    assert [line.partition("warning: ")[2] for line in lines] == [
        "v: no feedback: nothing proves that the valve is shut.",
        "rule gas-high replaces the one of the same name before it.",
    ]


TIED = "outputs: {{ o: {{ kind: {kind}, device: own-1, point: coil, place: b1, serves: [b1], rules: [{rule}] }} }}\n"
BIT = "  {point}: {{ space: discrete, address: 0 }}\n  coil: {{ space: coil, address: 0, writable: true }}\n"


@pytest.mark.parametrize(
    "kind", ["smoke-detector", "heat-detector", "co-detector", "water-detector", "air-sensor", "other"]
)
def test_an_output_is_tied_to_the_own_alarm_of_detectors_that_it_answers(checked, kind):
    """A siren to that of any; a fan to that of smoke and heat, for by no other is it ever moved."""
    tied = {output: TIED.format(kind=output, rule="detector-alarm") for output in ("siren", "fan")}
    said = {output: checked(kind, BIT.format(point="alarm"), more) for output, more in tied.items()}
    errors = {output: [line for line in lines if "error" in line] for output, lines in said.items()}
    assert errors["siren"] == []
    assert ["no rule detector-alarm drives" in line for line in errors["fan"]] == (
        [] if kind in {"smoke-detector", "heat-detector"} else [True]
    )


@pytest.mark.parametrize(("sounded", "warned"), [("smoke-detector", True), ("gas-detector", False)])
def test_a_siren_that_a_rule_sounds_for_other_detectors_does_not_act_for_gas(checked, sounded, warned):
    rule = OWN.format(value="true", priority="critical").replace("smoke-detector", "[gas-detector, smoke-detector]")
    drives = f'    drives: {{ siren: {{ {sounded}: "on" }} }}\n'
    more = TIED.format(kind="siren", rule="own-smoke").replace(", rules: [own-smoke]", "")
    lines = checked("gas-detector", BIT.format(point="state"), more + rule + drives)
    assert any("no valve (or siren) acts for b1" in line for line in lines) is warned, lines


def test_a_second_zone_that_no_rule_hears_is_warned_of(checked):
    points = f"  water: {COIL}\n  water2: {COIL}\n  zone3_alarm: {COIL}\n  co2: {COIL}\n"
    (line,) = checked("water-detector", points)
    assert line.startswith("site.yaml:10: warning: own-1: the built-in rules know only the first zone")
    assert "reads water2, zone3_alarm of profile own" in line
    rule = (
        "rules:\n  - { rule: cellar, subjects: { kind: water-detector },\n"
        "      when: { any: [{ point: water2, is: true }, { point: zone3_alarm, is: true }] },\n"
        "      priority: high, grade: small }\n"
    )
    assert checked("water-detector", points, rule) == []


def test_whoever_switches_the_built_in_rule_off_is_only_warned(checked):
    lines = checked("smoke-detector", f"  smoke: {COIL}\n", "builtin: { smoke: { enabled: false } }\n")
    assert any(line.startswith("site.yaml:10: warning: own-1: no critical") for line in lines)
    assert not any(": error: " in line for line in lines)


def test_a_rule_that_cannot_be_read_is_not_missed_as_well(checked):
    lines = checked("smoke-detector", f"  state: {COIL}\n", OWN.format(value="true", priority="urgent"))
    assert [line for line in lines if "own-1" in line] == []
    assert any("priority cannot be “urgent”" in line for line in lines)


def test_the_points_told_of_are_those_the_built_in_rules_read():
    nodes = parse(BUILTIN.read_text(encoding="utf-8"), str(BUILTIN), Faults()).mapping["rules"].items
    names = {name.split(" ")[0] for points in HAZARDS.values() for name in points} | {"tamper", "due", "battery"}
    for kind, points in HAZARDS.items():
        urgent = set()
        for name in names | {"heat", "pressure"}:
            subject = Subject("x", kind, "b1", facts={name: FactSpec(UNITS.get(name, ""))})
            rules = compile_rules(nodes, {}, {"x": subject}, Faults())
            read = [rule for rule in rules.values() if rule.subjects and rule.id != "tamper"]
            if any(rule.priority in {"critical", "high"} for rule in read):
                urgent.add(name)
        assert urgent == {point.split(" ")[0] for point in points}, kind


def test_the_faults_of_another_file_bear_its_own_name(tmp_path):
    (tmp_path / "bad.yaml").write_text("site: [1]\n", encoding="utf-8")
    faults = Faults()
    check(tmp_path / "bad.yaml", faults)
    assert any(": bad.yaml: site must be text" in line for line in render(faults, "en"))
    assert not any("site.yaml" in line for line in render(faults, "en"))


def test_what_follows_from_a_fault_is_not_said_again(checked):
    rule = "rules:\n  - {{ rule: mine, subjects: {{ {who} }}, when: {{ point: {point}, is: true }}, priority: low, grade: small }}\n"
    for who, point in (("kind: gass-detector", "smoke"), ("id: own-9", "smoke"), ("id: own-1", "smokes")):
        lines = checked("smoke-detector", f"  smoke: {COIL}\n", rule.format(who=who, point=point))
        assert len(lines) == 1, lines
    (line,) = checked("smoke-detector", f"  smoke: {COIL}\n", rule.format(who="kind: button", point="smoke"))
    assert "rule mine matches no device" in line


def test_a_rule_with_a_faulty_name_is_still_called_something(checked):
    rules = """\
rules:
  - { rule: 7, subjects: { kind: button }, when: { press: any }, on_delay: 5s, priority: low, grade: small }
  - { rule: 8, subjects: { kind: button }, when: { press: any }, on_delay: 5s, priority: low, grade: small }
"""
    lines = checked("smoke-detector", f"  smoke: {COIL}\n", rules)
    assert any("rule ? is about an event" in line for line in lines)
    assert not any("rule  " in line or "replaces" in line for line in lines)


def test_marks_are_kept_for_devices_on_included_files(tmp_path):
    """The fault points into the file in which the device stands."""
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "own.yaml").write_text(profile("smoke-detector", f"  state: {COIL}\n"), encoding="utf-8")
    whole = site()
    head, devices = whole.split("buses:\n")
    devices, tail = devices.split("uplinks:")
    (tmp_path / "b1.yaml").write_text("buses:\n" + devices, encoding="utf-8")
    (tmp_path / "site.yaml").write_text(head + "uplinks:" + tail + "include: b1.yaml\n", encoding="utf-8")
    faults = Faults()
    check(tmp_path / "site.yaml", faults)
    assert [fault.mark for fault in faults.errors] == [Mark(str(tmp_path / "b1.yaml"), 5)]


# On which side --------------------------------------------------------------------------------------


def test_the_sides_are_those_of_the_built_in_rules():
    heard = {}

    def walk(node):
        if "point" in node.mapping and {"above", "below"} & set(node.mapping):
            side = Danger.BELOW if "below" in node.mapping else Danger.ABOVE
            heard.setdefault(node.mapping["point"].value, set()).add(side)
        for child in (*node.mapping.values(), *node.items):
            walk(child)

    walk(parse(BUILTIN.read_text(encoding="utf-8"), str(BUILTIN), Faults()))
    assert heard == {point: {side} for point, side in SIDES.items()}


FALLS = '  {name}: {{ space: holding, address: 1, unit: "{unit}", class: alarm, alarm_when: below }}\n'


def test_a_gas_that_alarms_below_is_not_heard_by_a_rule_that_waits_for_it_to_rise(checked):
    found = checked("gas-detector", FALLS.format(name="gas", unit="%LEL"))
    assert [line.split(": ", 2)[1] for line in found] == ["error", "warning", "warning"]
    assert "no critical, high or life-safety rule reads" in found[0]
    assert found[1].startswith("site.yaml:10: warning: own-1: rule gas-high waits for gas to be above its limit")
    assert found[2].startswith("site.yaml:10: warning: own-1: rule gas-low waits for gas to be above its limit")


@pytest.mark.parametrize(("side", "warned"), [("above", True), ("below", False)])
def test_a_rule_of_ones_own_that_waits_for_the_other_side_is_warned_of(checked, side, warned):
    more = f"""\
rules:
  - rule: own-oxygen
    subjects: {{ id: own-1 }}
    when: {{ point: oxygen, {side}: 19 %VOL }}
    priority: high
    grade: big
"""
    found = checked("other", FALLS.format(name="oxygen", unit="%VOL"), more)
    wanted = "site.yaml:10: warning: own-1: rule own-oxygen waits for oxygen to be above its limit, but this product is"
    assert [line.startswith(wanted) for line in found] == [True] * warned


def test_a_rule_about_a_place_is_looked_at_too(checked):
    more = """\
rules:
  - rule: own-oxygen
    subjects: { kind: other }
    by: building
    when: { point: oxygen, above: 23.5 %VOL }
    priority: high
    grade: big
"""
    (line,) = checked("other", FALLS.format(name="oxygen", unit="%VOL"), more)
    assert "rule own-oxygen waits for oxygen to be above" in line


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_a_profile_of_which_something_is_still_as_in_the_template_is_an_error_where_a_device_names_it(
    tmp_path, language
):
    """Its registers are invented; a template that no device names yet is somebody's work in hand."""
    (tmp_path / "profiles").mkdir()
    for name in ("own", "next"):
        new = skeleton(name, "smoke-detector", language)
        (tmp_path / "profiles" / f"{name}.yaml").write_text(new, encoding="utf-8")
    (tmp_path / "site.yaml").write_text(site(), encoding="utf-8")
    checked = check(tmp_path / "site.yaml", faults := Faults())
    assert checked is not None
    errors = [(fault.mark.line, fault.key, dict(fault.fields)["field"]) for fault in faults.errors]
    assert errors == [(10, "fault.profile_placeholder", field) for field in ("name", "name", "source")]
    assert all(dict(fault.fields)["name"] == "own" for fault in faults.errors)
    assert "fault.profile_placeholder" in TOLERATED, "one whose name alone was forgotten runs today"


METER = """\
id: meter
kind: electric-monitor
name: { zh: 表, en: meter }
status: manual
source: page 1
points:
  line_temperature: { space: holding, address: 1, type: int16, unit: "%s" }
"""
METERS = """\
site: s
gateway: g
places: { b1: 1号楼 }
buses:
  line:
    port: /dev/serial/by-path/a
    devices:
      m-1: { profile: meter, unit_id: 1, place: b1 }
      m-2: { profile: meter, unit_id: 2, place: b1 }
"""


@pytest.mark.parametrize(("unit", "told"), [("°C", False), ("℃", False), ("°F", True), ("", True)])
def test_a_point_in_another_unit_than_a_built_in_rule_reads_is_told_of_once_and_of_its_profile(tmp_path, unit, told):
    """``℃`` is one key of a Chinese keyboard. It was refused, at a line of our own builtin.yaml, and again for each device."""
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/meter.yaml").write_text(METER % unit, encoding="utf-8")
    (tmp_path / "site.yaml").write_text(METERS, encoding="utf-8")
    check(tmp_path / "site.yaml", faults := Faults())
    assert [fault.key for fault in faults.errors] == ["fault.unit_of_builtin"] * told
    assert all(dict(fault.fields)["device"] == "m-1" for fault in faults.errors)
