"""The library of products: each reads what its manual shows, and every trap of the field has a product that steps around it."""

import json
import re
from collections import Counter
from pathlib import Path

import jsonschema
import pytest
import yaml

from gateway.app.check import HAZARDS, TOLERATED
from gateway.app.products import check_file, find, library, played, shown
from gateway.app.profile_pages import lines, page, skeleton
from gateway.events import Quality
from gateway.nodes import Faults, Reader
from gateway.site.marks import parse
from gateway.site.profile import KINDS, Danger, Origin, PointClass, Space
from gateway.site.profile_points import PointType
from gateway.site.profile_schema import profile_schema
from gateway.site.profiles import read_profile
from gateway.site.reading import PACKAGED_PROFILES
from gateway.site.report import render
from gateway.words import say

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "profiles.md"
FILES = sorted(PACKAGED_PROFILES.glob("*.yaml"))
PRODUCTS = {product.profile.id: product for product in library((), Faults())}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_shipped_profile_reads_what_its_manual_shows(file):
    profile = check_file(file, faults := Faults())
    assert render_of(faults) == []
    assert profile.id == file.stem, "the site's reader finds it by the name of its file"
    doubts = {fault.key for fault in faults.warnings}
    assert doubts == ({"fault.profile_not_verified"} if profile.status == "unverified" else set())


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_point_somebodys_safety_waits_for_is_shown_by_an_example(name):
    profile = PRODUCTS[name].profile
    told = {point for example in profile.examples for point in (*example.gives, *example.qualities)}
    waited_for = {
        p.name
        for p in profile.points
        if p.point_class is PointClass.ALARM
        and (p.says_yes_or_no or p.name in {"gas", "co", "oxygen", "residual_current"})
        and not (p.quality_of or p.moves_within_ms)  # what speaks for others is seen in the others
    }
    assert waited_for <= told, "add an example"


def test_every_product_says_where_its_examples_are_from():
    origins = {name: [example.origin for example in product.profile.examples] for name, product in PRODUCTS.items()}
    assert all(found and None not in found for found in origins.values())
    memory = [name for name, found in origins.items() if Origin.ASSUMED in found]
    assert not memory, "memory is no manual: find one, or do not ship it"
    for product in PRODUCTS.values():
        printed = [example for example in product.profile.examples if example.origin is Origin.PRINTED]
        assert not printed or product.profile.status == "manual"


def test_an_alarm_is_shown_as_danger_and_as_none():
    """An alarm that only ever reads the one way in its examples may be stuck there."""
    for name, product in PRODUCTS.items():
        alarms = {p.name for p in product.profile.points if p.latched is not None or p.alarm_names}
        told = {point for example in product.profile.examples for point in (*example.gives, *example.qualities)}
        assert alarms <= told | {p.name for p in product.profile.points if p.quality_of}, name


def test_a_frame_with_a_wrong_byte_is_a_fault_at_its_line(tmp_path):
    frames = "request: 01 03 00 00 00 04 44 09\n    answer: 01 03 08 00 01 00 01 41 BC 00 00 6D 0F"
    text = OWN.replace("holding: {0: [1, 1], 2: [0x41BC, 0]}", frames)
    assert checked(tmp_path, text) == []
    (line,) = checked(tmp_path, text.replace("44 09", "44 90"))
    assert line.startswith("own.yaml:14: error: own: in the example “on page 4” the CRC of request should be 44 09")
    (line,) = checked(tmp_path, text.replace("6D 0F", "B9 41"))
    assert "the CRC of answer should be 6D 0F" in line


def test_what_is_backed_by_nothing_says_so():
    for product in PRODUCTS.values():
        source = product.profile.source
        if product.profile.status == "manual":
            assert re.search(r"https?://|\(facts\)|p\. ", source), product.profile.id
            assert "memory" not in source
        if "from memory" in source:
            assert product.profile.status == "unverified"


def test_there_are_products_of_every_kind_of_danger():
    kinds = [product.profile.kind for product in PRODUCTS.values()]
    assert len(kinds) >= 30
    assert set(HAZARDS) <= set(kinds)
    assert set(kinds) <= set(KINDS)


# An example that is wrong ------------------------------------------------------------------------------


OWN = """
id: own
kind: smoke-detector
name: {zh: 试, en: own}
status: manual
source: own manual, p. 3
notation: modicon
max_read: 4
points:
  smoke: {vendor: "40001", true_when: [1], class: alarm}
  status: {vendor: "40002", enum: {0: warm, 1: ok}, quality_of: {warm: warm_up}, class: alarm}
  heat: {vendor: "40003", type: float32, unit: "°C"}
examples:
  - name: on page 4
    origin: described
    holding: {0: [1, 1], 2: [0x41BC, 0]}
    gives: {smoke: true, heat: 23.5}
"""


def checked(tmp_path, text=OWN):
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    faults = Faults()
    check_file(tmp_path / "own.yaml", faults)
    return [line.removeprefix(f"{tmp_path}/") for line in render_of(faults, warnings=True)]


def render_of(faults, *, warnings=False):
    return [line for line in render(faults, "en") if warnings or ": error: " in line]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("smoke: true", "smoke: false"), "smoke should be false, but reads true"),
        (("smoke: true", "smoke: 1"), "smoke should be 1, but reads true"),
        (("heat: 23.5", "heat: 23.6"), "heat should be 23.6, but reads 23.5"),
        (("holding: {0: [1, 1]", "holding: {0: [1, 0]"), "smoke should be true, but reads true (warm_up)"),
        (("2: [0x41BC, 0]", "2: [0x7FC0, 0]"), "heat should be 23.5, but reads — (invalid)"),
    ],
)
def test_an_example_that_does_not_come_true_is_a_fault_at_its_line(tmp_path, change, said):
    assert checked(tmp_path) == []
    found = checked(tmp_path, OWN.replace(*change))
    assert any(line.startswith("own.yaml:14: error: ") and line.endswith(f"{said}.") for line in found), found


@pytest.mark.parametrize(
    ("change", "point"),
    [(("holding: {0: [1, 1]", "holding: {0: 1"), "smoke"), (("2: [0x41BC, 0]", "2: [0x41BC]"), "heat")],
)
def test_a_point_that_an_example_does_not_read_says_what_is_missing(tmp_path, change, point):
    found = checked(tmp_path, OWN.replace(*change))
    wanted = f"own.yaml:14: error: profile own: the example “on page 4” does not read {point}: give all its registers"
    assert any(line.startswith(wanted) for line in found), found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("max_read: 4\n", ""), "own.yaml:2: warning: profile own: no max_read"),
        (('vendor: "40001"', "space: holding, address: 0"), None),
        (("    origin: described\n", ""), "own.yaml:13: warning: profile own: the example “on page 4” has no origin"),
        (("p. 3", "by somebody"), "own.yaml:6: warning: profile own: source names no page"),
        (("true_when: [1], class: alarm", "true_when: [1]"), "own.yaml:10: warning: own.smoke: an alarm point without class"),
        (("  smoke:", "  smokes:"), "own.yaml:3: warning: profile own: no built-in rule would hear this smoke-detector"),
        (("status: manual", "status: unverified"), "own.yaml:5: warning: profile own: its registers are backed by nothing"),
        (("kind: smoke-detector", "kind: gas-detector"), "own.yaml:3: warning: profile own: no built-in rule"),
        (("heat: {", "gas: {alarm_when: below, "), "own.yaml:12: error: own.gas: alarm_when: below, but the built-in rules take gas for dangerous above"),
        (('unit: "°C"', 'unit: "°C", class: alarm'), "own.yaml:12: warning: own.heat: no alarm_when"),
        (("max_read", "guard: 1500ms\nmax_read"), "own.yaml:8: error: own: is to be asked 120.0 times a minute (smoke, status, heat 500ms)"),
        (('unit: "°C"', "writable: true"), "own.yaml:12: error: own.heat: only a coil or one whole register"),
        (('type: float32, unit: "°C"', "writable: true"), "own.yaml:12: warning: own.heat: give an output class: feedback"),
    ],
)  # fmt: skip
def test_doubts_stand_at_their_lines(tmp_path, change, said):
    text = OWN.replace(*change)
    assert text != OWN
    text = text.replace("gives: {smoke: true, heat: 23.5}", "gives: {status: ok}")
    found = checked(tmp_path, text)
    assert found == [] if said is None else any(line.startswith(said) for line in found), found


def test_a_profile_with_more_to_read_than_its_pause_allows_is_doubted_or_refused(tmp_path):
    pausing = OWN.replace("max_read: 4", "max_read: 2\nguard: 300ms")
    """Smoke and status in one read, heat in another."""
    assert checked(tmp_path, pausing.replace("float32,", "float32, period: 10s,")) == []
    slow = pausing.replace("class: alarm", "class: alarm, period: 2s").replace("float32,", "float32, period: 400ms,")
    (warned,) = checked(tmp_path, slow)
    assert warned.startswith("own.yaml:9: warning: own: is to be asked 180.0 times a minute (")
    assert "with its pause of 300ms after each answer (guard)" in warned


@pytest.mark.parametrize(
    ("there", "beyond"),
    [
        ("space: holding, address: 65534, type: float32", False),
        ("space: holding, address: 65535, type: float32", True),
        ("space: holding, address: 65535, type: uint16", False),
        ("space: input, address: 65533, type: float64", True),
        ("space: discrete, address: 65535", False),
    ],
)
def test_no_point_ends_behind_the_last_register(tmp_path, there, beyond):
    found = checked(
        tmp_path, OWN.replace("max_read: 4\n", "max_read: 8\n").replace('vendor: "40003", type: float32', there)
    )
    said = [line for line in found if line.startswith("own.yaml:12: error: own.heat: ") and "65535 is the last" in line]
    assert bool(said) is beyond, found


def test_a_start_tolerates_a_point_that_no_device_can_have():
    assert "fault.profile_point_past_end" in TOLERATED, "its other points were read before, and are"


@pytest.mark.parametrize(
    ("there", "doubted"),
    [("vendor: 2", True), ('vendor: "2"', True), ("vendor: 2, address: 2", False), ('vendor: "0x2"', False)],
)
def test_a_small_number_of_a_manual_may_count_from_one(tmp_path, there, doubted):
    text = OWN.replace("notation: modicon\n", "").replace('vendor: "40003"', there)
    text = text.replace('vendor: "40001"', "address: 0, space: holding").replace(
        'vendor: "40002"', "address: 1, space: holding"
    )
    at = "own.yaml:11: warning: own.heat: no notation, so vendor 2 is taken as on the wire"
    assert any(line.startswith(at) for line in checked(tmp_path, text)) is doubted


def test_all_examples_gone_is_a_doubt(tmp_path):
    found = checked(tmp_path, OWN[: OWN.index("examples:")])
    assert [line.split(": ")[1:4] for line in found] == [
        ["warning", "profile own", "no examples; write down some registers and what they must read as."]
    ]


@pytest.mark.parametrize("language", ["zh-CN", "en"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_profile_can_be_read_as_it_stands(tmp_path, kind, language):
    (tmp_path / "new.yaml").write_text(skeleton("new", kind, language), encoding="utf-8")
    profile = check_file(tmp_path / "new.yaml", faults := Faults())
    assert render_of(faults) == []
    doubts = Counter(fault.key for fault in faults.warnings)
    assert doubts == {"fault.profile_not_verified": 1, "fault.profile_placeholder": 3}
    assert profile.kind == kind
    assert profile.examples
    assert any(spec.writable for spec in profile.points) is (kind in {"relay", "siren", "valve"})


def test_an_own_profile_is_listed_and_replaces_a_shipped_one(tmp_path):
    (tmp_path / "mine.yaml").write_text(OWN.replace("id: own", "id: smoke-ug3o"), encoding="utf-8")
    found = {product.profile.id: product for product in library([tmp_path], Faults())}
    assert found["smoke-ug3o"].own
    assert len(found) == len(PRODUCTS)
    assert any(line.startswith("* smoke-ug3o ") for line in lines(found.values(), "en"))
    assert find("smoke-ug3o", [tmp_path], Faults()).profile.name_en == "own"
    assert find(str(tmp_path / "mine.yaml"), [], Faults()).own
    assert find("nobody", [], Faults()) is None


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_every_product_can_be_shown(language):
    for product in PRODUCTS.values():
        text = "\n".join(page(product, language))
        assert product.profile.source in text
        assert all(spec.name in text for spec in product.profile.points)
        assert "{" not in text
        json.dumps(shown(product), allow_nan=False)
    assert "234" in "\n".join(page(PRODUCTS["smoke-ug3o"], language))


def test_what_a_profile_does_not_state_of_its_speech_is_not_known(tmp_path):
    """Was: `Ships with 9600 8N1, address 1; answers within 300ms, pause 0`, of products that speak Modbus TCP alone."""
    (tmp_path / "own.yaml").write_text(OWN, encoding="utf-8")
    own = find(str(tmp_path / "own.yaml"), [], Faults())
    told = "\n".join(page(own, "en"))
    assert "As it ships: serial format not known, unit id not known." in told
    assert "Slowest answer not known (reckoned with 300ms); pause between questions not known (reckoned with 0)" in told
    assert "出厂：串口格式 不详，地址 不详。" in "\n".join(page(own, "zh-CN"))
    as_data = shown(own)
    unknown = ("baud", "parity", "stop_bits", "unit_id", "guard_ms", "timeout_ms")
    assert [as_data[key] for key in unknown] == [None] * 6
    assert (own.profile.timeout_ms, own.profile.guard_ms) == (300, 0), "what is reckoned with"


def test_what_a_profile_states_of_its_speech_is_shown(tmp_path):
    stated = "baud: 9600\nparity: none\nstop_bits: 1\nunit_id: 1\nguard: 0\ntimeout: 300ms\npoints:"
    (tmp_path / "own.yaml").write_text(OWN.replace("points:", stated, 1), encoding="utf-8")
    own = find(str(tmp_path / "own.yaml"), [], Faults())
    told = "\n".join(page(own, "en"))
    assert "As it ships: serial format 9600 8N1, unit id 1.\nSlowest answer 300ms; pause between questions 0" in told
    as_data = {key: shown(own)[key] for key in ("baud", "parity", "stop_bits", "unit_id", "guard_ms", "timeout_ms")}
    assert as_data == {
        "baud": 9600, "parity": "none", "stop_bits": 1, "unit_id": 1, "guard_ms": 0, "timeout_ms": 300,
    }  # fmt: skip
    (tmp_path / "own.yaml").write_text(OWN.replace("points:", "baud: 19200\nunit_id: 0\npoints:", 1), encoding="utf-8")
    own = find(str(tmp_path / "own.yaml"), [], Faults())
    assert "As it ships: serial format baud 19200, unit id set by switches." in "\n".join(page(own, "en"))


# The schema --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def validator():
    jsonschema.Draft202012Validator.check_schema(profile_schema())
    return jsonschema.Draft202012Validator(profile_schema())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_profile_fits_the_schema(validator, file):
    raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    as_json = json.loads(json.dumps(raw))  # names of points, codes and addresses become text, as in JSON
    assert [error.message for error in validator.iter_errors(as_json)] == []


@pytest.mark.parametrize("key", ["kind", "status", "points"])
def test_the_schema_refuses(validator, key):
    good = json.loads(json.dumps(yaml.safe_load(OWN)))
    assert not list(validator.iter_errors(good))
    assert list(validator.iter_errors({k: v for k, v in good.items() if k != key}))
    assert list(validator.iter_errors(good | {key: "x"}))
    assert list(validator.iter_errors(good | {"colour": "red"}))


def test_the_schema_and_the_reader_know_the_same_keys(monkeypatch):
    asked: dict[str, set[str]] = {}  # the two names stand in a mapping of their own, read under the same name
    done = Reader.done
    monkeypatch.setattr(
        Reader, "done", lambda self: (asked.setdefault(self.name, set()).update(self._asked), done(self))[1]
    )
    more = "windows: [{space: holding, first: 0, last: 9}]\nset_points: {low: 5}\nreset: {space: coil, address: 0, value: 1}\n"
    scaled = "scale_by: [{point: smoke, factors: {0: 1}}]"
    text = OWN.replace("points:", f"{more}points:").replace('unit: "°C"', scaled)
    read_profile(parse(text, "p.yaml", faults := Faults(), hexadecimal=True), faults)
    assert not faults.found
    keys = profile_schema()["properties"]
    points, reset = keys["points"]["additionalProperties"]["properties"], keys["reset"]["anyOf"][0]["properties"]
    assert asked["own"] == {*keys, "zh", "en"}
    assert asked["own.smoke"] == set(points)
    assert asked["own.reset"] == set(reset)
    assert asked["own.windows"] == set(keys["windows"]["items"]["properties"])
    assert asked["own.set_points"] == set(keys["set_points"]["properties"])
    assert asked["own.examples"] == set(keys["examples"]["items"]["properties"])
    assert asked["own.heat.scale_by"] == set(points["scale_by"]["items"]["properties"])
    assert points["type"]["enum"] == [kind.value for kind in PointType]


def test_the_published_schema_is_this_one():
    published = (ROOT / "docs" / "profile.schema.json").read_text(encoding="utf-8")
    assert published == json.dumps(profile_schema(), ensure_ascii=False, indent=2) + "\n", (
        "loudong profiles schema > docs/profile.schema.json"
    )


# Traps -------------------------------------------------------------------------------------------------


def any_point(says):
    return lambda profile: any(says(spec) for spec in profile.points)


def qualities(spec):
    return {quality for _, quality in (*spec.quality_of, *spec.invalid)}


def latched_and_immediate(profile):
    alarms = [p for p in profile.points if p.point_class is PointClass.ALARM and p.says_yes_or_no]
    return {True, False} <= {p.latched for p in alarms}


def spaces_differ(profile):
    by_space = [{p.address for p in profile.points if p.space is space} for space in (Space.HOLDING, Space.INPUT)]
    return bool(by_space[0]) and bool(by_space[1])


TRAPS = {
    "4xxxx numbers": lambda p: p.notation.value == "modicon",
    "numbers from 1": lambda p: p.notation.value == "counted",
    "40000 is address 0": lambda p: p.notation.value == "modicon-0",
    "40201 really on the wire": lambda p: p.notation.value == "wire" and any(s.address > 40_000 for s in p.points),
    "6-digit numbers": any_point(lambda s: re.fullmatch("[34][0-9]{5}", s.vendor) is not None),
    "function 04, not 03": any_point(lambda s: s.space is Space.INPUT),
    "both tables with different content": spaces_differ,
    "word order CDAB": any_point(lambda s: s.order == "CDAB"),
    "word order BADC": any_point(lambda s: s.order == "BADC"),
    "word order DCBA": any_point(lambda s: s.order == "DCBA"),
    "word order ABCD stated": any_point(lambda s: s.order == "ABCD"),
    "offset in the scale": any_point(lambda s: s.offset != 0),
    "unit or decimals in a register": any_point(lambda s: bool(s.scale_by)),
    "x1 beside x10": lambda p: len({s.scale for s in p.points if s.name in {"temperature", "humidity"}}) == 2,
    "signed, below zero": lambda p: any(
        isinstance(v, float | int) and not isinstance(v, bool) and v < 0 for e in p.examples for v in e.gives.values()
    ),
    "sentinel": any_point(lambda s: bool(s.invalid)),
    "sentinel 0x7FFFFFFF": any_point(lambda s: s.type == "int32" and 0x7FFFFFFF in dict(s.invalid)),
    "codes in place of a value": any_point(lambda s: s.measures and len(s.invalid) > 2),
    "warm-up in a status": any_point(lambda s: Quality.WARM_UP in qualities(s)),
    "warm-up after it was away": lambda p: p.warm_up_ms > 0,
    "stuck heartbeat": any_point(lambda s: s.moves_within_ms > 0),
    "status bits": any_point(lambda s: s.type == "bits" and bool(s.quality_of)),
    "status codes": any_point(lambda s: bool(s.enum) and bool(s.quality_of)),
    "0 is the alarm": any_point(
        lambda s: s.true_when is not None and False in s.true_when and s.space is Space.DISCRETE
    ),
    "no bit set is the alarm": any_point(lambda s: s.true_when == ("",)),
    "no bit set is trouble": any_point(lambda s: any(value == "" for value, _ in s.quality_of)),
    "direction in the same register": any_point(lambda s: s.true_when == (1, 4)),
    "danger at the low end": any_point(lambda s: s.alarm_when is Danger.BELOW),
    "direction is a setting it shows": any_point(lambda s: s.name in {"falls", "side"} and bool(s.quality_of)),
    "latched beside immediate": latched_and_immediate,
    "reset by magic value": lambda p: p.reset is not None and p.reset.value not in {None, 0, 1},
    "pattern over several registers": lambda p: p.reset is not None and bool(p.reset.also),
    "self-test": lambda p: p.self_test is not None,
    "register not to be read": lambda p: bool(p.no_read),
    "at most 4 registers": lambda p: p.max_read == 4,
    "at most 8 registers": lambda p: p.max_read == 8,
    "at most 10 registers": lambda p: p.max_read == 10,
    "at most 12 registers": lambda p: p.max_read == 12,
    "at most 20 registers": lambda p: p.max_read == 20,
    "at most 60 registers": lambda p: p.max_read == 60,
    "as many registers as a frame holds": lambda p: p.max_read == 125,
    "hole refused": lambda p: p.max_hole == 0,
    "count must be 8": lambda p: p.bit_step == 8,
    "only these addresses": lambda p: bool(p.windows),
    "500 ms between questions": lambda p: p.guard_ms >= 500,
    "silence before the question": lambda p: p.min_gap_ms > 0,
    "50 ms of it": lambda p: p.min_gap_ms == 50,
    "FC05 with a value of its own": any_point(lambda s: s.write_raw),
    "command-style FC06": any_point(lambda s: s.writable and s.space is Space.HOLDING and s.write_on > 1),
    "reads back otherwise than written": any_point(lambda s: s.shown_on is not None),
    "hardware pulse": any_point(lambda s: s.pulse_ms > 0 or s.flash is not None),
    "must be repeated": any_point(lambda s: s.repeat_ms > 0),
    "broadcast": lambda p: p.broadcast,
    "setup write at every start": lambda p: any(deed.on_start for deed in p.commissioning),
    "4800 baud": lambda p: p.baud == 4800,
    "8E1": lambda p: p.parity == "even",
    "8O1": lambda p: p.parity == "odd",
    "8N2": lambda p: p.stop_bits == 2,
    "unit 254, 255 or 240": lambda p: p.unit_id in {254, 255, 240},
    "unit 100, 120 or 247": lambda p: p.unit_id in {100, 120, 247},
    "bus watchdog in the device": any_point(lambda s: "bus_watchdog" in {name for _, name in s.bits}),
    "sensor end of life": any_point(lambda s: s.name == "due"),
    "temperature in °C or °F by setting": lambda p: any(deed.name == "celsius" for deed in p.commissioning),
}
"""Trap of the field (facts/modbus 1) -> what a profile that steps around it looks like."""


def rows():
    section = PAGE.read_text(encoding="utf-8").split("## Traps", 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"^\| ([^|]+) \| (`[^|]+) \|$", section, re.MULTILINE)
    return {trap.strip(): re.findall("`([^`]+)`", products) for trap, products in found}


def test_the_page_lists_every_trap():
    assert list(rows()) == list(TRAPS)


@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_has_a_product_that_uses_it(trap):
    products = rows()[trap]
    assert products
    for name in products:
        assert TRAPS[trap](PRODUCTS[name].profile), name


def test_the_page_lists_every_product():
    section = PAGE.read_text(encoding="utf-8").split("## Shipped", 1)[1].split("\n## ", 1)[0]
    wanted = [
        f"| `{p.profile.id}` | {p.profile.kind} | {p.profile.status} | {p.profile.name_en} |" for p in PRODUCTS.values()
    ]
    assert [line for line in section.splitlines() if line.startswith("| `")] == wanted


def test_the_chinese_page_lists_every_product_as_profiles_list_does():
    section = (PAGE.parent / "zh" / PAGE.name).read_text(encoding="utf-8").split("## 自带的型号", 1)[1]
    wanted = []
    for p in (product.profile for product in PRODUCTS.values()):
        kind, status = say(f"profiles.kind.{p.kind}", "zh-CN"), say(f"profiles.status.{p.status}", "zh-CN")
        wanted.append(f"| `{p.id}` | {kind} | {status} | {p.name_zh} |")
    assert [line for line in section.splitlines() if line.startswith("| `")] == wanted


def test_each_row_of_the_chinese_table_of_traps_names_the_same_products():
    section = (PAGE.parent / "zh" / PAGE.name).read_text(encoding="utf-8").split("## 陷阱", 1)[1].split("\n## ", 1)[0]
    assert [re.findall("`([^`]+)`", row) for row in section.splitlines() if "| `" in row] == list(rows().values())


def test_an_example_knows_the_difference_between_unread_and_wrong():
    profile = PRODUCTS["combustible-gas-6in1"].profile
    assert list(played(profile, profile.examples[0])) == []
