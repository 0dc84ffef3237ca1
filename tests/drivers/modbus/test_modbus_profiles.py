"""Profiles: the shipped ones are sound, and an installer's mistakes come out all at once, each with its line."""

import pytest

from gateway.drivers.modbus.codec import decode, width
from gateway.drivers.modbus.plan import plan
from gateway.events import Quality
from gateway.site.profile import PointClass, Space

NAMES = {
    "gas", "gas_low_alarm", "gas_high_alarm", "smoke", "co", "temperature", "humidity", "co2", "pm25", "tvoc", "water",
    "tamper", "fault", "status", "due", "service", "unit",
}  # fmt: skip
SHIPPED = ("combustible-gas-6in1", "smoke-ug3o", "air-adtek", "relay-waveshare-8ch")


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


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_is_sound(kit, name):
    profile, faults = kit.read_shipped(name)
    assert faults.found == []
    assert profile.id == name
    assert profile.source
    assert {p.name for p in profile.points} <= NAMES | {f"relay{n}" for n in range(1, 9)}
    assert all(width(p) <= b.count for b in plan(profile) for p in b.points)


def test_every_shipped_file_is_tested(kit):
    assert sorted(SHIPPED) == sorted(path.stem for path in kit.SHIPPED.glob("*.yaml"))


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
