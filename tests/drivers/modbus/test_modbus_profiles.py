"""Profiles: the shipped ones are sound, and an installer's mistakes come out all at once, each with its line."""

from pathlib import Path

import pytest

from gateway.drivers.modbus.codec import decode, width
from gateway.drivers.modbus.plan import plan
from gateway.events import Quality
from gateway.site.profile import PointClass, Space

SHIPPED = sorted((Path(__file__).parents[3] / "gateway" / "drivers" / "profiles").glob("*.yaml"))


GOOD = """
id: acme-gas
kind: gas-detector
name: {zh: 气体, en: Gas}
status: manual
source: ACME manual p. 3
no_read: [[13, 14], 20]
guard: 40ms
bit_step: 8
points:
  gas:
    space: input
    address: "0x0010"
    type: float32
    order: CDAB
    class: alarm
    low: 0
    high: 100
    invalid: {"0x7FFFFFFF": sensor_fault, 65535: warm_up}
  fault:
    space: holding
    address: 3
    mask: "0x08"
    shift: 3
    true_when: 1
    quality_of: {"true": sensor_fault}
  level:
    space: holding
    address: 4
    type: bits
    bits: {0: low, 1: high}
"""


@pytest.mark.parametrize("name", [path.stem for path in SHIPPED])
def test_a_shipped_profile_can_be_asked_for(kit, name):
    """What it reads, and how its files are checked, is in tests/app/test_app_products.py."""
    profile, faults = kit.read_shipped(name)
    assert faults.found == []
    blocks = plan(profile)
    assert {p.name for b in blocks for p in b.points} >= {p.name for p in profile.points if not p.write_only}
    assert all(width(p) <= b.count for b in blocks for p in b.points)


def test_the_smoke_profile_reads_its_contacts(kit):
    profile = kit.shipped("smoke-ug3o")
    by_name = {p.name: p for p in profile.points}
    assert decode([1], by_name["smoke"]).value is True
    assert [decode([b], by_name["tamper"]).value for b in (0, 1)] == [True, False]
    assert by_name["smoke"].point_class is PointClass.ALARM


def test_the_relay_has_eight_writable_coils_in_one_request(kit):
    profile = kit.shipped("relay-waveshare-8ch")
    assert [(p.name, p.address, p.writable) for p in profile.points] == [(f"relay{n + 1}", n, True) for n in range(8)]
    (block,) = plan(profile)
    assert (block.space, block.address, block.count) == (Space.COIL, 0, 8)


def test_every_field_arrives(kit):
    profile, faults = kit.read(GOOD)
    assert faults.found == []
    gas, fault, level = profile.points
    assert (gas.space, gas.address, gas.type, gas.order) == (Space.INPUT, 16, "float32", "CDAB")
    assert gas.invalid == ((0x7FFFFFFF, Quality.SENSOR_FAULT), (65535, Quality.WARM_UP))
    assert (gas.low, gas.high, gas.point_class) == (0, 100, PointClass.ALARM)
    assert (fault.mask, fault.shift, fault.true_when) == (8, 3, (1,))
    assert fault.quality_of == ((True, Quality.SENSOR_FAULT),)
    assert level.bits == ((0, "low"), (1, "high"))
    assert (profile.no_read, profile.guard_ms, profile.bit_step) == (((13, 14), (20, 20)), 40, 8)
    assert (profile.name_zh, profile.name_en) == ("气体", "Gas")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("kind: gas-detector", "kind: gas-detektor"), "fault.not_allowed"),
        (("source: ACME manual p. 3", ""), "fault.missing"),
        (("name: {zh: 气体, en: Gas}", "name: {zh: 气体}"), "fault.missing"),
        (("name: {zh: 气体, en: Gas}", "name: Gas"), "fault.not_a_mapping"),
        (("order: CDAB", "order: CDA"), "fault.not_allowed"),
        (("order: CDAB", "order: ABCE"), "fault.not_allowed"),
        (("type: float32", "type: float"), "fault.not_allowed"),
        (('address: "0x0010"', 'address: "0x1G"'), "fault.not_whole"),
        (('address: "0x0010"', "address: 70000"), "fault.out_of_bounds"),
        (('address: "0x0010"', "address: 1.5"), "fault.not_whole"),
        (('    address: "0x0010"\n', ""), "fault.missing"),
        (('address: "0x0010"', "address: 40001"), "fault.profile_counted_address"),
        (('address: "0x0010"', "address: 40000"), "fault.profile_counted_address"),
        (('address: "0x0010"', 'vendor: "40013"'), "fault.profile_vendor_unstated"),
        (("no_read: [[13, 14], 20]", "no_read: [[40013, 40014], 20]"), "fault.profile_counted_address"),
        (("bit_step: 8", "windows: [{space: input, first: 30001, last: 30020}]"), "fault.profile_counted_address"),
        (("65535: warm_up", "65535: warmup"), "fault.not_allowed"),
        (("65535: warm_up", "abc: warm_up"), "fault.not_number"),
        (('quality_of: {"true": sensor_fault}', "quality_of: {high: sensor_fault}"), "fault.not_allowed"),
        (("bits: {0: low, 1: high}", "bits: {x: low}"), "fault.not_whole"),
        (("bits: {0: low, 1: high}", "bits: low"), "fault.not_a_mapping"),
        (("bits: {0: low, 1: high}", "writible: true"), "fault.unknown_key"),
        (("order: CDAB", "mask: 1"), "fault.profile_mask_not_here"),
        (("order: CDAB", "writable: true"), "fault.profile_read_only_space"),
        (("order: CDAB", "scale: 0"), "fault.profile_zero_scale"),
        (("no_read: [[13, 14], 20]", "no_read: [[14, 13]]"), "fault.profile_bad_range"),
        (("no_read: [[13, 14], 20]", "no_read: [[3, 4]]"), "fault.profile_point_not_readable"),
        (("bit_step: 8", "max_read: 1"), "fault.profile_point_too_long"),
        (("guard: 40ms", "guard: 40"), "fault.not_duration"),
        (("  level:", "  Level-1:"), "fault.bad_form"),
        (("  level:", "  health:"), "fault.profile_point_ours"),
    ],
)
def test_each_mistake_is_named(kit, change, key):
    assert change[0] in GOOD
    profile, faults = kit.read(GOOD.replace(*change))
    assert key in [f.key for f in faults.found]
    assert len(profile.points) == 3, "reading goes on after a fault"


WRITABLE = "  out: {space: holding, address: 5, writable: true%s}\n"


@pytest.mark.parametrize(
    ("more", "key"),
    [
        (", write_on: 70000", "fault.out_of_bounds"),
        (", write_off: -1", "fault.out_of_bounds"),
        (", write_on: 1.5", "fault.not_whole"),
        (", write_on: 0", "fault.profile_same_write"),
        (", write_on: 7, write_off: 7", "fault.profile_same_write"),
        (", type: uint32", "fault.profile_not_one_register"),
        (", type: float32", "fault.profile_not_one_register"),
        (", type: uint8l", "fault.profile_not_one_register"),
        (", type: string", "fault.profile_not_one_register"),
        (", type: bits", "fault.profile_not_one_register"),
        (", mask: 1", "fault.profile_not_one_register"),
        (", shift: 1", "fault.profile_not_one_register"),
        (", bits: {0: a}", "fault.profile_not_one_register"),
        (", low: 5, high: 5", "fault.profile_low_not_below_high"),
        (", low: 6, high: 5", "fault.profile_low_not_below_high"),
    ],
)
def test_what_can_be_written_must_fit_one_register(kit, more, key):
    _, faults = kit.read(GOOD + WRITABLE % more)
    assert [f.key for f in faults.errors] == [key]
    _, faults = kit.read(GOOD + WRITABLE % ", type: int16, write_on: 65535, write_off: 0, low: 0, high: 5")
    assert faults.found == []


@pytest.mark.parametrize("more", ["write_on: 2", 'write_on: "0xFF00"', "write_off: 1, write_on: 256"])
def test_a_coil_knows_only_on_and_off(kit, more):
    _, faults = kit.read(GOOD + f"  out: {{space: coil, address: 5, writable: true, {more}}}\n")
    assert [f.key for f in faults.errors] == ["fault.out_of_bounds"]
    _, faults = kit.read(GOOD + "  out: {space: coil, address: 5, writable: true, write_on: 0, write_off: 1}\n")
    assert faults.found == []


@pytest.mark.parametrize(
    ("kind", "bit", "fits"),
    [
        ("uint16", 15, True), ("uint16", 16, False), ("uint16", -1, False), ("uint8h", 7, True), ("uint8h", 8, False),
        ("uint32", 31, True), ("uint32", 32, False), ("bits, length: 2", 31, True), ("bits, length: 2", 32, False),
        ("bits, length: 4", 64, False),
    ],
)  # fmt: skip
def test_a_bit_beyond_the_width_is_a_fault(kit, kind, bit, fits):
    _, faults = kit.read(GOOD + f"  word: {{space: holding, address: 5, type: {kind}, bits: {{{bit}: name}}}}\n")
    assert [f.key for f in faults.errors] == ([] if fits else ["fault.profile_bit_beyond"])


def test_all_mistakes_come_out_at_once(kit):
    text = GOOD.replace("gas-detector", "x").replace("order: CDAB", "order: Q").replace("mask:", "msk:")
    _, faults = kit.read(text)
    assert [f.key for f in faults.errors] == ["fault.not_allowed", "fault.not_allowed", "fault.unknown_key"]
    assert [f.mark.line for f in faults.errors] == [3, 15, 23]


def test_a_profile_of_nothing_says_so(kit):
    _, faults = kit.read("[]")
    assert "fault.not_a_mapping" in [f.key for f in faults.found]
    _, faults = kit.read("id: a")
    assert "fault.profile_without_points" in [f.key for f in faults.found]


# What the bus reads of a profile ---------------------------------------------------------------------

WRITES = """
min_gap: 40ms
outstanding: 4
broadcast: true
unit_id: 255
notation: modicon
windows: [{space: holding, first: 0, last: 9, exact: true}, {space: input, first: 0, last: 20}, {space: coil, first: 0, last: 9}]
set_points: {low: 10, high: 25}
commissioning:
  watchdog: {vendor: "40956", value: 60, on_start: true}
  own_address: {space: holding, address: "0x2000", low: 1, high: 247, function: 16}
self_test: {space: coil, address: 7, value: 1, expect: level}
reset: {space: holding, address: 0, value: 234}
examples:
  - name: a leak
    input: {16: ["0x4248", 0]}
    holding: {3: [8, -1]}
    gives: {gas: 50, fault: true}
    quality: {gas: sensor_fault}
"""
POINTS = """
  siren:
    vendor: "00003"
    writable: true
    write_raw: true
    write_on: 30
    write_on_address: "0x0202"
    write_off_address: 2
    write_function: 5
    shown_on: 1
    shown_off: 0
    pulse: 3s
    repeat: 2s
    class: feedback
  mute: {space: coil, address: 9, writable: true, write_only: true}
  beat: {vendor: "400001", moves_within: 10s, latched: true, speaks_for: [gas]}
  dose: {space: holding, address: 5, scale_by: [{point: beat, factors: {0: 1, 2: 0.1, true: [0.5, -3]}}]}
"""


def test_every_field_about_writing_and_asking_arrives(kit):
    profile, faults = kit.read(GOOD.replace("points:", WRITES.strip() + "\npoints:") + POINTS.lstrip("\n"))
    assert [(f.key, f.fields) for f in faults.found] == []
    by_name = {p.name: p for p in profile.points}
    siren = by_name["siren"]
    assert (siren.space, siren.address, siren.vendor) == (Space.COIL, 2, "00003")
    assert (siren.write_on, siren.write_on_address, siren.write_off_address, siren.write_raw) == (30, 0x0202, 2, True)
    assert (siren.write_function, siren.shown_on, siren.shown_off) == (5, 1, 0)
    assert (siren.pulse_ms, siren.repeat_ms) == (3000, 2000)
    assert by_name["mute"].write_only
    beat, dose = by_name["beat"], by_name["dose"]
    assert (beat.space, beat.address, beat.moves_within_ms, beat.latched) == (Space.HOLDING, 0, 10_000, True)
    assert beat.speaks_for == ("gas",)
    assert [(f.when, f.factor, f.offset) for f in dose.scale_by[0].factors] == [(0, 1, 0), (2, 0.1, 0), (True, 0.5, -3)]
    assert (profile.min_gap_ms, profile.outstanding, profile.broadcast, profile.unit_id) == (40, 4, True, 255)
    assert next((w.space, w.first, w.last, w.exact) for w in profile.windows) == (Space.HOLDING, 0, 9, True)
    watchdog, own = profile.commissioning
    assert (watchdog.name, watchdog.address, watchdog.value, watchdog.on_start) == ("watchdog", 955, 60, True)
    assert (own.address, own.value, own.low, own.high, own.function) == (0x2000, None, 1, 247, 16)
    assert (profile.self_test.space, profile.self_test.expect, profile.reset.value) == (Space.COIL, "level", 234)
    (example,) = profile.examples
    assert example.words == {Space.INPUT: {16: 0x4248, 17: 0}, Space.HOLDING: {3: 8, 4: 0xFFFF}}
    assert example.gives == {"gas": 50, "fault": True}
    assert example.qualities == {"gas": Quality.SENSOR_FAULT}


@pytest.mark.parametrize(
    ("notation", "point", "place"),
    [
        ("modicon", 'vendor: "40001"', (Space.HOLDING, 0)),
        ("modicon", "vendor: 40001", (Space.HOLDING, 0)),
        ("modicon", 'vendor: "30017"', (Space.INPUT, 16)),
        ("modicon", 'vendor: "300017"', (Space.INPUT, 16)),
        ("modicon", 'vendor: "10001"', (Space.DISCRETE, 0)),
        ("modicon", 'vendor: "00005"', (Space.COIL, 4)),
        ("modicon-0", 'vendor: "40000"', (Space.HOLDING, 0)),
        ("counted", 'space: input, vendor: "5"', (Space.INPUT, 4)),
        ("wire", 'space: input, vendor: "101"', (Space.INPUT, 101)),
        ("wire", 'space: input, vendor: "0FA0H"', (Space.INPUT, 0xFA0)),
        ("wire", 'space: holding, vendor: "0x10", address: 16', (Space.HOLDING, 16)),
    ],
)
def test_a_register_may_stand_as_the_manual_prints_it(kit, notation, point, place):
    profile, faults = kit.read(GOOD.replace("guard: 40ms", f"notation: {notation}") + f"  more: {{{point}}}\n")
    assert [(f.key, f.fields) for f in faults.found] == []
    assert (profile.points[-1].space, profile.points[-1].address) == place


@pytest.mark.parametrize(
    ("notation", "point", "key"),
    [
        ("modicon", 'vendor: "40001", address: 1', "fault.profile_vendor_differs"),
        ("modicon", 'vendor: "40001", space: input', "fault.profile_vendor_table"),
        ("modicon", 'vendor: "20001"', "fault.profile_vendor_form"),
        ("modicon", 'vendor: "40000"', "fault.profile_vendor_form"),
        ("modicon", 'vendor: "499999"', "fault.profile_vendor_form"),
        ("modicon", 'vendor: "465536"', None),
        ("modicon", 'vendor: "465537"', "fault.profile_vendor_form"),
        ("counted", 'space: holding, vendor: "65537"', "fault.profile_vendor_form"),
        ("wire", 'space: holding, vendor: "10000H"', "fault.profile_vendor_form"),
        ("counted", 'space: holding, vendor: "0"', "fault.profile_vendor_form"),
        ("wire", 'space: holding, vendor: "zz"', "fault.profile_vendor_form"),
        ("wire", "space: holding, vendor: true", "fault.not_text"),
        ("wire", 'vendor: "5"', None),
    ],
)
def test_a_number_that_cannot_be_is_a_fault(kit, notation, point, key):
    _, faults = kit.read(GOOD.replace("guard: 40ms", f"notation: {notation}") + f"  more: {{{point}}}\n")
    assert key in [f.key for f in faults.errors] or (key is None and not faults.errors)


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ("windows: [{space: input, first: 0, last: 9}]\n", "fault.profile_point_outside"),
        ("windows: [{space: input, first: 9, last: 0}]\n", "fault.profile_bad_range"),
        ("windows: {space: input}\n", "fault.not_a_list"),
        ("windows: [{space: input, first: 10, last: 134, exact: true}]\n", None),
        ("windows: [{space: input, first: 10, last: 135, exact: true}]\n", "fault.profile_point_too_long"),
        ("max_read: 125\n", None),
        ("max_read: 126\n", "fault.out_of_bounds"),
        ("unit_id: 255\n", None),
        ("unit_id: 256\n", "fault.out_of_bounds"),
        ("set_points: {low: 4}\n", None),
        ("set_points: {low: x}\n", "fault.not_number"),
        ("self_test: {space: coil, address: 1}\n", "fault.missing"),
        ("self_test: {space: coil, address: 1, value: 1, expect: nobody}\n", "fault.not_allowed"),
        ("self_test: {space: coil, address: 1, value: 2}\n", "fault.out_of_bounds"),
        ("reset: {space: input, address: 1, value: 2}\n", "fault.profile_read_only_space"),
        ("commissioning: {unit: {space: holding, address: 1, low: 5, high: 5}}\n", "fault.profile_low_not_below_high"),
        ("commissioning: {unit: {space: holding, address: 1, function: 5}}\n", "fault.not_allowed"),
        ("examples: [{name: a, holding: {0: 70000}, gives: {gas: 1}}]\n", "fault.not_whole"),
        ("examples: [{name: a, holding: {0: 7}}]\n", "fault.missing"),
        ("examples: [{name: a, holding: {0: 7}, gives: {gaz: 1}}]\n", "fault.not_allowed"),
        ("examples: {name: a}\n", "fault.not_a_list"),
    ],
)
def test_each_mistake_about_the_device_is_named(kit, more, key):
    _, faults = kit.read(GOOD.replace("points:", more + "points:"))
    assert key in [f.key for f in faults.errors] or (key is None and not faults.errors)


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ("writable: true, write_raw: true", "fault.profile_raw_not_here"),
        ("write_only: true", "fault.needs"),
        ("writable: true, pulse: 3s, repeat: 4s", "fault.profile_repeat_too_late"),
        ("writable: true, pulse: 3s, repeat: 3s", None),
        ("writable: true, write_function: 5", "fault.not_allowed"),
        ("writable: true, write_on: 0, write_on_address: 7", None),
        ("writable: true, write_on_address: 70000", "fault.out_of_bounds"),
        ("scale_by: [{point: nobody, factors: {0: 1}}]", "fault.not_allowed"),
        ("scale_by: [{point: gas, factors: {0: 0}}]", "fault.not_number"),
        ("scale_by: [{point: gas, factors: 3}]", "fault.not_a_mapping"),
        ("scale_by: {point: gas}", "fault.not_a_list"),
        ("speaks_for: [nobody]", "fault.not_allowed"),
        ("bits: {0: a}, quality_of: {b: invalid}", "fault.not_allowed"),
        ('bits: {0: a}, quality_of: {"": invalid}', None),
        ("bits: {0: a}, true_when: [b]", "fault.not_allowed"),
    ],
)
def test_each_mistake_about_a_point_is_named(kit, more, key):
    _, faults = kit.read(GOOD + f"  more: {{space: holding, address: 5, {more}}}\n")
    assert key in [f.key for f in faults.errors] or (key is None and not faults.errors)


def test_a_status_may_speak_for_a_scaled_value(kit):
    more = (
        "  status: {space: holding, address: 5, speaks_for: [scaled]}\n"
        "  scaled: {space: holding, address: 6, scale_by: [{point: level, factors: {0: 1}}]}\n"
    )
    assert not kit.read(GOOD + more)[1].errors


@pytest.mark.parametrize(
    ("points", "fits"),
    [("{low: 5, high: 50}", True), ("{low: 4.9}", False), ("{low: 26}", False), ("{high: 51}", False), ("{low: 20, high: 20}", False)],
)  # fmt: skip
def test_gas_alarms_within_the_bounds_of_the_standards(kit, points, fits):
    text = GOOD.replace("points:", f"set_points: {points}\npoints:").replace(
        "type: float32", 'type: float32\n    unit: "%LEL"'
    )
    _, faults = kit.read(text)
    assert bool(faults.errors) is not fits


def test_a_code_beyond_what_may_be_written_is_refused(kit):
    text = (kit.SHIPPED / "siren-sentera-alrm1.yaml").read_text()
    assert dict(kit.shipped("siren-sentera-alrm1").commissioning[1].codes)[1] == "9600"
    _, faults = kit.read(text.replace('6: "230400"', '7: "230400"'))
    assert [fault.key for fault in faults.errors] == ["fault.out_of_bounds"]
