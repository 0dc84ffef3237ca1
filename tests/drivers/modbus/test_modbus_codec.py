"""The decoder: every type and order, and the traps of real devices (the product is named with each)."""

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.drivers.modbus import codec
from gateway.drivers.modbus.codec import Decoded, decode, decode_request
from gateway.events import Quality
from gateway.faults import DeviceFault
from gateway.site.profile import Factor, PointSpec, Scaling, Space
from gateway.site.profile_points import PointType as _Type

N = None


def spec(**more):
    space = more.pop("space", Space.HOLDING)
    return PointSpec("p", space, 0, **more)


def test_reader_and_decoder_know_the_same_types():
    assert [t.value for t in _Type] == list(codec.TYPES)


@pytest.mark.parametrize(
    ("kind", "registers", "value"),
    [
        ("uint8h", [0xFE01], 0xFE), ("uint8l", [0xFE01], 1), ("int8h", [0xFE01], -2), ("int8l", [0x01FE], -2),
        ("uint16", [0xFFFE], 65534), ("int16", [0xFFFE], -2),
        ("uint32", [1, 2], 65538), ("int32", [0xFFFF, 0xFFFE], -2),
        ("uint64", [0, 0, 1, 0], 65536), ("int64", [0xFFFF] * 4, -1),
        ("float32", [0x4248, 0], 50.0), ("float64", [0x4049, 0, 0, 0], 50.0),
        ("bits", [0x0005], 5),
    ],
)  # fmt: skip
def test_every_type(kind, registers, value):
    assert decode(registers, spec(type=kind)) == Decoded(value)


@pytest.mark.parametrize("kind", ["uint16", "uint32", "uint64", "float32", "float64"])
@pytest.mark.parametrize("order", codec.ORDERS)
def test_every_family_of_orders(kind, order):
    form = {"uint16": ">H", "uint32": ">I", "uint64": ">Q", "float32": ">f", "float64": ">d"}[kind]
    plain = struct.pack(form, 12345)
    words = [plain[n : n + 2] for n in range(0, len(plain), 2)]
    if order in {"CDAB", "DCBA"}:
        words.reverse()
    if order in {"BADC", "DCBA"}:
        words = [w[::-1] for w in words]
    registers = [int.from_bytes(w, "big") for w in words]
    assert decode(registers, spec(type=kind, order=order)).value == 12345


def test_orders_spelled_out():
    assert decode([0x3412], spec(order="BA")).value == 0x1234
    assert decode([0x5678, 0x1234], spec(type="uint32", order="CDAB")).value == 0x12345678
    assert decode([0x3412, 0x7856], spec(type="uint32", order="badc")).value == 0x12345678
    assert decode([7, 0, 0, 1], spec(type="uint64", order="GHEFCDAB")).value == (1 << 48) + 7
    with pytest.raises(DeviceFault, match="bad_order"):
        decode([1], spec(order="ABA"))


@pytest.mark.parametrize(
    ("registers", "more", "value", "quality"),
    [
        # row 14, XY-MD02: signed tenths; a frosty day
        ([0xFFCE], {"type": "int16", "scale": 0.1}, -5.0, "good"),
        # row 4, IGD TOC-635: raw 0 is -10 %LEL, 1200 is 110 %LEL
        ([600], {"scale": 0.1, "offset": -10}, 50.0, "good"),
        ([0], {"scale": 0.1, "offset": -10, "low": 0}, -10.0, "under_range"),
        ([1200], {"scale": 0.1, "offset": -10, "high": 100}, 110.0, "over_range"),
        # row 1: T = (raw - 500) / 10; gas type in the high byte; status in the low byte
        ([754], {"scale": 0.1, "offset": -50}, 25.4, "good"),
        ([0x0B07], {"type": "uint8h", "enum": ((11, "ch4"), (5, "co"))}, "ch4", "good"),
        ([0x0D07], {"type": "uint8h", "enum": ((11, "ch4"), (5, "co"))}, None, "invalid"),
        # row 6, Sierra 5100: no bit set is trouble too
        ([0], {"enum": ((2, "run"), (4, "warming"), (8, "trouble"))}, None, "invalid"),
        # row 21, Aqualeak: "float inverse", and bits
        ([0x0000, 0x4248], {"type": "float32", "order": "CDAB"}, 50.0, "good"),
        ([0b1010], {"mask": 0b10, "shift": 1, "true_when": (1,)}, True, "good"),
        ([0b1000], {"mask": 0b10, "shift": 1, "true_when": (1,)}, False, "good"),
        # row 5, Honeywell Midas: state in bits 0-3, fault in 4-5
        ([0x0821], {"mask": 0x0030, "shift": 4}, 2, "good"),
        # row 26, Belimo: 65535 is n/a; row 29, WB-MSW: 0x7FFF signed
        ([65535], {"scale": 0.01, "invalid": ((65535, Quality.INVALID),)}, None, "invalid"),
        ([0x7FFF], {"type": "int16", "invalid": ((0x7FFF, Quality.SENSOR_FAULT),)}, None, "sensor_fault"),
        ([0xFFFF], {"type": "int16", "invalid": ((-1, Quality.WARM_UP),)}, None, "warm_up"),
        ([0xFFFF], {"mask": 0xFF, "invalid": ((0xFFFF, Quality.INVALID),)}, None, "invalid"),
        # row 28, PZEM-016: two words swapped, thousandths
        ([0x0001, 0x0000], {"type": "uint32", "order": "CDAB", "scale": 0.001}, 0.001, "good"),
        # no number is no value
        ([0x7FC0, 0], {"type": "float32"}, None, "invalid"),
        ([0x7F80, 0], {"type": "float32"}, None, "invalid"),
        ([0xFF80, 0], {"type": "float32"}, None, "invalid"),
        ([0xC61C, 0x3C00], {"type": "float32", "invalid": ((-9999, Quality.INVALID),)}, None, "invalid"),
        ([0b101], {"type": "bits", "bits": ((0, "al1"), (2, "al3"))}, "al1,al3", "good"),
        ([0x4348, 0x3400], {"type": "string", "length": 2}, "CH4", "good"),
        ([0x4843, 0x0034], {"type": "string", "length": 2, "order": "BA"}, "CH4", "good"),
        ([0xFF41], {"type": "string", "length": 1}, "?A", "good"),
    ],
)
def test_traps_of_real_devices(registers, more, value, quality):
    assert decode(registers, spec(**more)) == Decoded(value, Quality(quality))


def test_contacts():
    smoke = spec(space=Space.DISCRETE)
    assert [decode([b], smoke).value for b in (0, 1)] == [False, True]
    # row 22, Novabo SQR: a closed loop is well
    closed_loop = spec(space=Space.DISCRETE, true_when=(False,))
    assert [decode([b], closed_loop).value for b in (0, 1)] == [True, False]


def test_too_few_and_too_many_words():
    for words, reason in (([], "truncated"), ([1, 2], "surplus"), ([70000], "bad_word"), ([-1], "bad_word")):
        with pytest.raises(DeviceFault) as caught:
            decode(words, spec())
        assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (
            {"kind": "modbus", "registers": [16968, 0], "type": "float32", "order": "ABCD", "scale": 1, "offset": 0,
             "invalid": []},
            {"value": 50.0, "quality": "good"},
        ),
        ({"registers": [65535], "invalid": [65535]}, {"value": N, "quality": "invalid"}),
        ({"registers": [65535], "invalid": {"0xFFFF": "warm_up"}}, {"value": N, "quality": "warm_up"}),
        ({"registers": [65535], "invalid": [[65535, "sensor_fault"]]}, {"value": N, "quality": "sensor_fault"}),
        ({"registers": [6], "enum": {"6": "high"}}, {"value": "high", "quality": "good"}),
        ({"registers": [7], "enum": {"6": "high"}}, {"value": N, "quality": "invalid"}),
        ({"registers": [5], "type": "bits", "bits": {"0": "leak", "1": "break", "2": "dirt"}},
         {"value": ["leak", "dirt"], "quality": "good"}),
        ({"registers": [0], "type": "bits", "bits": {"0": "leak"}}, {"value": [], "quality": "good"}),
        ({"registers": [0xAB12], "mask": 0xFF00, "shift": 8}, {"value": 0xAB, "quality": "good"}),
        ({"registers": [234], "type": "int16", "scale": 0.1}, {"value": 23.4, "quality": "good"}),
        ({"registers": [0x4869], "type": "string"}, {"value": "Hi", "quality": "good"}),
    ],
)  # fmt: skip
def test_the_decode_command(request_, answer):
    assert decode_request(request_) == answer


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"registers": [1], "type": "float32"}, "truncated"),
        ({"registers": [], "type": "string"}, "truncated"),
        ({"registers": [1, 2], "type": "uint16"}, "surplus"),
        ({"registers": [65536]}, "bad_word"),
        ({"registers": [True]}, "bad_request"),
        ({"registers": "12"}, "bad_request"),
        ({}, "bad_request"),
        ({"registers": [1], "type": "word"}, "bad_type"),
        ({"registers": [1], "type": ["uint16"]}, "bad_type"),
        ({"registers": [1], "order": "XY"}, "bad_order"),
        ({"registers": [1], "order": 4}, "bad_order"),
        ({"registers": [1], "scale": "x"}, "bad_request"),
        ({"registers": [1], "shift": -1}, "bad_request"),
        ({"registers": [1], "invalid": [[1, ["x"]]]}, "bad_request"),
        ({"registers": [1], "invalid": [[1, "tired"]]}, "bad_request"),
        ({"registers": [1], "invalid": 7}, "bad_request"),
        ({"registers": [1], "enum": {"x": "y"}}, "bad_request"),
        ({"registers": [1], "bits": {"99": "y"}}, "bad_request"),
        ({"registers": [1, 1], "type": "float32", "mask": 3}, "bad_request"),
    ],
)
def test_the_decode_command_names_what_is_wrong(request_, error):
    assert decode_request(request_)["error"] == error


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("kind", "registers", "type", "order", "scale", "offset", "invalid", "mask", "shift", "enum", "bits")


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: JSON
            | st.lists(st.integers(-1, 70000), max_size=5)
            | st.sampled_from([*codec.TYPES, *codec.ORDERS, 0, 1, 16])
            for name in FIELDS
        },
    )
)
@settings(max_examples=300, deadline=None)
def test_no_request_breaks_it(request_):
    answer = decode_request(request_)
    assert set(answer) in ({"value", "quality"}, {"error", "detail"})
    json.dumps(answer, allow_nan=False)


@given(
    st.lists(st.integers(0, 65535), min_size=4, max_size=4), st.sampled_from(codec.TYPES), st.sampled_from(codec.ORDERS)
)
@settings(max_examples=200, deadline=None)
def test_what_is_no_number_never_becomes_a_value(words, kind, order):
    point = spec(type=kind, scale=1e300, length=2)
    try:
        decoded = decode(words[: codec.width(point)], point)
    except DeviceFault as fault:
        assert fault.reason == "bad_order"  # noqa: PT017 - both ways are right
        return
    assert decoded.value is None or decoded.value == decoded.value
    assert decoded.value is None or abs(decoded.value if not isinstance(decoded.value, str) else 0) != float("inf")


# What other points say, and the rarer ways to write a number --------------------------------------------


@pytest.mark.parametrize(
    ("kind", "registers", "value", "quality"),
    [
        ("bcd16", [0x1234], 1234, "good"),
        ("bcd16", [0x123A], N, "invalid"),
        ("bcd16", [0xFFFF], N, "invalid"),
        ("bcd32", [0x0012, 0x3456], 123456, "good"),
        ("bcd32", [0x9999, 0x9999], 99999999, "good"),
        ("sign16", [0x0005], 5, "good"),
        ("sign16", [0x8005], -5, "good"),
        ("sign16", [0x8000], 0, "good"),
        ("sign32", [0x8000, 0x0102], -258, "good"),
    ],
)
def test_decimal_digits_and_signs(kind, registers, value, quality):
    assert decode(registers, spec(type=kind)) == Decoded(value, Quality(quality))
    answer = {"value": value, "quality": quality}
    assert decode_request({"registers": registers, "type": kind}) == answer


def scaled(**more):
    decimals = Scaling("decimals", (Factor(0, 1), Factor(4, 0.1), Factor(8, 0.01)))
    unit = Scaling("unit", (Factor("lel", 1), Factor("vol", 20), Factor("fahrenheit", 5 / 9, -160 / 9)))
    return spec(scale_by=(decimals, unit), low=0, high=100, **more)


@pytest.mark.parametrize(
    ("decimals", "unit", "value", "quality"),
    [
        (Decoded(0), Decoded("lel"), 50.0, "good"),
        (Decoded(4), Decoded("lel"), 5.0, "good"),
        (Decoded(8), Decoded("vol"), 10.0, "good"),  # row 1: 0.5 %VOL of methane is 10 %LEL
        (Decoded(0), Decoded("vol"), 1000.0, "over_range"),
        (Decoded(0), Decoded("fahrenheit"), 10.0, "good"),  # row 8: °F by setting
        (Decoded(0), Decoded("ppm"), N, "invalid"),  # a unit nobody listed is refused
        (Decoded(12), Decoded("lel"), N, "invalid"),
        (Decoded(None, Quality.COMMS), Decoded("lel"), N, "comms"),
        (Decoded(0), Decoded(None, Quality.INVALID), N, "invalid"),
        (None, Decoded("lel"), N, "invalid"),
    ],
)
def test_scale_and_unit_may_stand_in_other_registers(decimals, unit, value, quality):
    beside = {"unit": unit} | ({"decimals": decimals} if decimals else {})
    assert decode([50], scaled(), beside) == Decoded(value, Quality(quality))


def test_a_sentinel_needs_no_unit():
    assert decode([0xFFFF], scaled(invalid=((0xFFFF, Quality.WARM_UP),))) == Decoded(None, Quality.WARM_UP)


@pytest.mark.parametrize(("word", "alarm"), [(0, False), (1, True), (2, False), (3, True), (6, True), (4, True)])
def test_any_of_the_named_bits_is_an_alarm(word, alarm):
    bits = spec(type="bits", bits=((0, "al1"), (1, "muted"), (2, "al3")), true_when=("al1", "al3"))
    assert decode([word], bits) == Decoded(alarm)
    none_set = spec(type="bits", bits=((0, "run"), (1, "warming")), true_when=("",))
    assert [decode([w], none_set).value for w in (0, 1, 3, 4)] == [True, False, False, True]


FACTORS = st.builds(
    Factor, st.integers(0, 3) | st.sampled_from(["a", "", True]), st.floats(-1e300, 1e300), st.floats(-9, 9)
)
BESIDE = st.dictionaries(
    st.sampled_from(["a", "b"]),
    st.builds(Decoded, st.none() | st.integers(0, 3) | st.sampled_from(["a", "", True]), st.sampled_from(Quality)),
)


@given(
    st.lists(st.integers(-1, 70000), max_size=5), st.sampled_from([*codec.TYPES, "word"]),
    st.sampled_from([*codec.ORDERS, "BA", "AB", "XY"]), st.none() | st.integers(0, 0xFFFF), st.integers(0, 63),
    st.lists(st.builds(Scaling, st.sampled_from(["a", "b"]), st.lists(FACTORS, max_size=3).map(tuple)), max_size=2),
    BESIDE, st.sampled_from([None, ("",), ("x", 1), (True,)]), st.booleans(), st.sampled_from(Space),
)  # fmt: skip
@settings(max_examples=500, deadline=None)
def test_no_words_break_it(words, kind, order, mask, shift, scale_by, beside, true_when, bits, space):
    point = spec(
        space=space, type=kind, order=order, mask=mask, shift=shift, scale_by=tuple(scale_by), true_when=true_when,
        bits=((0, "x"), (3, "y")) if bits else (), length=max(1, len(words)),
    )  # fmt: skip
    try:
        decoded = decode(words, point, beside)
    except DeviceFault:
        return
    value = decoded.value
    assert value is None or isinstance(value, str) or abs(value) < float("inf")
