"""The shipped example, and the JSON Schema made from the reader's own tables."""

from __future__ import annotations

import contextlib
import copy
import re
from pathlib import Path
from string import Formatter

import jsonschema
import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.app.check import check
from gateway.app.rehearsing import rehearse_files
from gateway.nodes import Faults, Mark, Node
from gateway.site import shapes
from gateway.site.fields import Table
from gateway.site.ground import Ground
from gateway.site.reading import SECTIONS, _Reading
from gateway.site.report import render
from gateway.site.schema import site_schema
from gateway.words import CATALOGUE

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "one-stairwell" / "site.yaml"
GARDEN = ROOT / "examples" / "fukang-garden"

TABLES = {
    "PERSON": {"id", "mark"}, "PLACE_TABLE": {"path"}, "DEVICE": {"id", "mark"}, "BUS": {"id", "mark", "devices"}, "BUTTON": {"id", "mark"},
    "RADIO": set(), "LISTENER": set(), "RETENTION": set(), "DOOR": {"id", "mark"}, "OUTPUT": {"id", "mark", "momentary", "unread", "renewed", "opens"}, "UPLINK": {"id", "mark"}, "GRID": set(),
    "HEADING": {"mark", "fingerprint", "sources", "secret_lines", *SECTIONS},
}  # fmt: skip
"""Each table and what of its model does not come from it."""


@pytest.fixture(scope="module")
def validator():
    schema = site_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture
def example() -> dict:
    return yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))


def test_the_example_has_no_faults_and_only_the_warnings_it_speaks_of():
    faults = Faults()
    site, compound = check(EXAMPLE, faults)
    assert faults.errors == [], render(faults, "en")
    assert compound.rules["stranger-at-door"].subjects == ("door-s1",)
    assert compound.rules["activity-room-air"].subjects == ("air-room",)
    assert sorted({f.key for f in faults.warnings}) == ["fault.button_in_clear", "fault.valve_unproven"]
    kinds = {device.profile.kind for bus in site.buses.values() for device in bus.devices}
    assert kinds == {"gas-detector", "smoke-detector", "air-sensor", "relay"}
    assert {output.kind for output in site.outputs.values()} == {"siren", "valve", "fan"}
    assert all(site.grid.building[place.building] for place in site.places.values() if "/" in place.path)


def test_whatever_the_example_holds_in_remarks_may_be_taken_out_of_them(tmp_path):
    text, taken = re.subn(r"(?m)^( +)# ( *[a-z][a-z0-9_-]*:( |$))", r"\1\2", EXAMPLE.read_text(encoding="utf-8"))
    assert taken >= 9
    (tmp_path / "site.yaml").write_text(text, encoding="utf-8")
    faults = Faults()
    site, _ = check(tmp_path / "site.yaml", faults)
    assert faults.errors == [], render(faults, "en")
    assert {f.key for f in faults.warnings} <= {"fault.button_in_clear", "fault.slower_answer", "fault.slower_rung"}
    assert site.outputs["valve-s1"].feedback == "inputs-1.input1"


def test_the_garden_is_a_compound_of_real_size_in_several_files():
    faults = Faults()
    site, compound = check(GARDEN, faults)
    assert faults.errors == [], render(faults, "en")
    assert sorted({f.key for f in faults.warnings}) == ["fault.button_in_clear", "fault.valve_unproven"]
    assert len({Path(bus.mark.file).name for bus in site.buses.values()}) == 3
    buildings = {place.building for place in site.places.values() if "/" in place.path}
    devices = [device for bus in site.buses.values() for device in bus.devices]
    assert (len(buildings), len(site.buses), len(site.doors)) == (6, 4, 4)
    assert len(devices) >= 60
    assert len(site.buttons) >= 40
    cared_for = [person for person in site.people.values() if person.care]
    assert len(cared_for) == 30
    assert set(compound.rules["welfare-absence"].subjects) == {person.id for person in cared_for}
    assert all(any("\u4e00" <= letter <= "\u9fff" for letter in place.name) for place in site.places.values())
    for building in buildings:
        assert site.grid.building[building]
        kinds = {device.profile.kind for device in devices if device.place.startswith(building)}
        assert kinds >= {"gas-detector", "smoke-detector", "relay"}
        assert {o.kind for o in site.outputs.values() if building in o.serves} >= {"siren", "valve"}
    wrong = Faults()
    (rehearsed,) = rehearse_files([GARDEN], wrong)
    assert rehearsed.played >= 3
    assert wrong.errors == [], render(wrong, "en")


@pytest.mark.parametrize("name", TABLES)
def test_every_field_of_the_model_can_be_written(name):
    table: Table = getattr(shapes, name)
    model = {field.name for field in msgspec.structs.fields(table.model)}
    assert {field.target for field in table.fields} == model - TABLES[name]


def test_the_schema_accepts_the_example(validator, example):
    assert [error.message for error in validator.iter_errors(example)] == []


MUTATIONS = [
    (("name",), 301), (("sitte",), "x"), (("language",), "fr"), (("places", "B1"), "x"), (("places", "b1"), {"nmae": "x"}),
    (("people", "head-b1", "roles"), ["king"]), (("grid", "community"), [1]), (("grid", "ladder"), {"critical": {"district": "soon"}}),
    (("buses", "line-s1", "host"), "10.0.0.1"), (("buses", "line-s1", "baud"), 9601), (("buses", "line-s1", "devices", "gas-101", "unit_id"), 0),
    (("buses", "line-s1", "devices", "gas-101", "profil"), "x"), (("buttons", "sos-101", "address"), "A4:C1"),
    (("buttons", "sos-101", "heartbeat"), "1 hour"), (("buttons", "sos-101", "key"), "k"), (("buttons", "sos-101", "meanings"), {"double": "door"}),
    (("buttons", "sos-101", "key_file"), "231d39c1d7cc1ab1aee224cd096db932"), (("doors", "door-s1", "vendor"), "acme"),
    (("doors", "door-s1", "address"), "gate.local"), (("outputs", "siren-b1", "kind"), "lamp"), (("outputs", "siren-b1", "feedback"), "relay-1"),
    (("uplinks", "street", "port"), 0), (("uplinks", "street", "protocol"), "4"), (("uplinks", "street", "password"), "hunter2"),
    (("uplinks", "street", "principals", "duty-office"), ["kill"]), (("rules",), {"a": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("where", "what"), MUTATIONS, ids=lambda v: ".".join(v) if isinstance(v, tuple) else None)
def test_schema_and_reader_refuse_the_same_mutations(validator, example, tmp_path, where, what):
    owner = example
    for key in where[:-1]:
        owner = owner[key]
    owner[where[-1]] = what
    assert list(validator.iter_errors(example))
    faults = Faults()
    _Reading(tree(example), Ground(faults, profiles())).site([], str)
    assert faults.errors


def _with_defaults(schema):
    if isinstance(schema, dict):
        if "default" in schema and not isinstance(schema["default"], dict):
            yield schema
        for inner in schema.values():
            yield from _with_defaults(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _with_defaults(inner)


def test_an_editor_is_offered_no_default_that_is_refused(validator):
    """``heartbeat: 0`` stands for one that was not given, and may not be written."""
    fields = list(_with_defaults(site_schema()["properties"]))
    assert len(fields) > 30
    assert [field for field in fields if not jsonschema.Draft202012Validator(field).is_valid(field["default"])] == []


def test_the_schema_is_stable_json(validator):
    assert msgspec.json.decode(msgspec.json.encode(site_schema())) == site_schema()


def profiles():
    from gateway.site.files import Folder
    from gateway.site.reading import PACKAGED_PROFILES, read_profiles

    faults = Faults()
    shipped = {file.stem: file for file in PACKAGED_PROFILES.glob("*.yaml")}
    found = read_profiles(shipped, set(shipped), PACKAGED_PROFILES / "none", Folder(PACKAGED_PROFILES, faults), faults)
    assert faults.errors == [], render(faults, "en")
    return found


def tree(value: object) -> Node:
    """Plain values as nodes."""
    mark = Mark("site.yaml", 1)
    if isinstance(value, dict):
        return Node({str(k): tree(v) for k, v in value.items()}, mark, dict.fromkeys(map(str, value), mark))
    return Node([tree(v) for v in value], mark) if isinstance(value, list | tuple) else Node(value, mark)


def paths(value: object, at: tuple = ()) -> list[tuple]:
    """Where every value of the example stands."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, child in inner for path in paths(child, (*at, key)))]


def put(owner: object, path: tuple, value: object) -> None:
    """Set one value, unless an earlier change took its place away."""
    *way, last = path
    with contextlib.suppress(KeyError, IndexError, TypeError):
        for key in way:
            owner = owner[key]
        owner[last] = value


_EXAMPLE = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
_PATHS = [path for path in paths(_EXAMPLE) if path]
_KNOWN = profiles()
_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**18), 10**18), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20),
    st.sampled_from(["b1", "b1/s1", "relay-1", "relay-1.relay1", "never", "0", "-", "9" * 400 + "d", "1h", "::1", "credential:x", "on", "local"]),
    st.lists(st.text(max_size=5), max_size=3), st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    st.just({"b1": {"critical": {"district": "never"}}}), st.just({"critical": "1h"}),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(_PATHS), _VALUES), min_size=1, max_size=4))
def test_whatever_stands_anywhere_in_the_site_the_reader_never_rises_and_renders(changes):
    site = copy.deepcopy(_EXAMPLE)
    for path, value in changes:
        put(site, path, copy.deepcopy(value))  # the same drawn value may be put into itself
    faults = Faults()
    _Reading(tree(site), Ground(faults, _KNOWN)).site([], str)
    assert len(render(faults, "zh-CN")) == len(render(faults, "en"))
    for fault in faults.found:
        wanted = {name for text in CATALOGUE[fault.key] for _, name, _, _ in Formatter().parse(text) if name}
        assert wanted <= {name for name, _ in fault.fields}, fault


_PULSE = """
id: pulse
kind: relay
name: {{zh: 脉冲, en: pulse}}
status: manual
source: test
points:
  relay1: {{address: 0, writable: true, {more}}}
  relay2: {{space: coil, address: 1, writable: true}}
  input1: {{space: discrete, address: 0}}
"""


@pytest.mark.parametrize(
    ("more", "momentary", "unread", "renewed"),
    [
        ("", False, False, False),
        ("pulse: 2s", True, False, False),
        ("pulse: 500ms", True, True, False),
        ("pulse: 10s, repeat: 4s", False, False, True),
        ("write_only: true", False, True, False),
        ("write_on_address: 8, space: holding", False, True, False),
        ("write_on_address: 8, space: holding, shown_on: 1", False, False, False),
    ],
)
def test_whether_a_valve_is_momentary_unread_or_renewed_is_its_profiles_to_say(
    load, good, more, momentary, unread, renewed
):
    more = more if "space" in more else f"space: coil, {more}"
    profiles = {"profiles/pulse.yaml": _PULSE.format(more=more)}
    loaded = load(good.replace("profile: relay,", "profile: pulse,"), profiles)
    assert not loaded.faults.errors, loaded.faults.errors
    valve = loaded.site.outputs["valve-1"]
    assert (valve.momentary, valve.unread, valve.renewed) == (momentary, unread, renewed)


@pytest.mark.parametrize("kind", ["siren", "fan"])
@pytest.mark.parametrize(("more", "refused"), [("pulse: 10s", True), ("pulse: 10s, repeat: 4s", False), ("", False)])
def test_what_must_go_on_is_not_given_a_pulse_that_ends(load, good, kind, more, refused):
    good = good.replace("profile: relay,", "profile: pulse,").replace("kind: valve, device", f"kind: {kind}, device")
    loaded = load(
        good.replace("feedback_means: shut", "feedback_means: 'on'"),
        {"profiles/pulse.yaml": _PULSE.format(more=f"space: coil, {more}")},
    )
    assert [f.key for f in loaded.faults.errors] == (["fault.pulse_ends"] if refused else [])
    assert [line for line in loaded.lines("zh-CN") if "repeat" in line] or not refused


def test_a_relay_that_shows_nothing_wants_a_feedback(load, good):
    good = good.replace("profile: relay,", "profile: pulse,").replace(
        "feedback: relay-1.input1, feedback_means: shut", ""
    )
    loaded = load(good, {"profiles/pulse.yaml": _PULSE.format(more="space: coil, write_only: true")})
    assert "fault.output_unproven" in [f.key for f in loaded.faults.warnings]
