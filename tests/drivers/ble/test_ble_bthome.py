"""BTHome v2 bytes to frames, by table; and any bytes at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.drivers.ble.bthome import decode_bthome
from gateway.drivers.ble.frame import AdvertFault, Note
from gateway.drivers.ble.lines import decode_line
from gateway.events import PressKind
from gateway.sim.buttons import SimButton, seal

ADDRESS = "54:48:E6:8F:80:A5"
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")


def frame(payload, key=None):
    return decode_bthome(bytes.fromhex(payload), ADDRESS, key)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("00", None),
        ("01", PressKind.SINGLE),
        ("02", PressKind.DOUBLE),
        ("03", PressKind.TRIPLE),
        ("04", PressKind.LONG),
        ("05", PressKind.LONG),
        ("06", PressKind.LONG),
        ("80", PressKind.HOLD),
        ("81", PressKind.RELEASE),
        ("fe", PressKind.HOLD),
        ("ff", PressKind.OTHER),
        ("7b", PressKind.OTHER),
    ],
)
def test_every_event_code(code, kind):
    """Shelly BLU Button1 layout: packet id, battery, event."""
    said = frame(f"4400b001643a{code}")
    assert (said.packet_id, said.battery_pct, said.encrypted, said.counter) == (0xB0, 100, False, None)
    assert said.presses == ((1, kind),)
    expected = {None: (Note.HEARTBEAT,), PressKind.OTHER: (Note.UNKNOWN_EVENT,)}.get(kind, ())
    assert said.notes == expected


# One example of every object in the published table, each followed by a press that must be found.
EXAMPLES = """
518756 0161 12e204 56e803 0960 3d0960 3e2a2c0960 59ea 5aeaea 5bea0234ea 434e34 5d02ea 08ca06 400c00 414e00 424e3400
4d12138a14 0a138a14 4b138a14 4c41018a01 528756 03bf13 2e23 05138a14 065e1f 073e1d 14020c 2f23 0d120c 0e021c 0b021b00
5c02fbffff 04138a01 540c48656c6c6f20576f726c6421 3f020c 444e34 57ea 58ea 451101 02ca09 530c48656c6c6f20576f726c6421
505d396164 133301 0c020c 4a020c 4e87562a01 478756 48dc87 5587562a01 49dc87 4632 4f87562a01 5e9f8c 5fa00f 6001 616419
6200000000 6300000000 6401 1501 1601 1700 1801 1900 1a00 1b01 1c01 0f01 1d00 1e01 1f01 2001 2100 2201 2301 1100 2400 1001
2500 2601 2701 2800 2901 2a00 2b00 2c01 2d01 3c0103 f00100 f100010204 f2000106 0009
"""


@pytest.mark.parametrize("example", EXAMPLES.split())
def test_a_press_behind_any_published_object_is_found(example):
    assert frame(f"40{example}3a01").pressed == ((1, PressKind.SINGLE),)


def test_which_of_several_buttons():
    assert frame("4400093a003a013a003afe").presses == (
        (1, None),
        (2, PressKind.SINGLE),
        (3, None),
        (4, PressKind.HOLD),
    )


@pytest.mark.parametrize(("objects", "tamper"), [("2b01", True), ("2b00", False), ("2bff", True), ("2a01", None)])
def test_tamper_is_told(objects, tamper):
    assert frame(f"4000090164{objects}").tamper is tamper
    assert frame(f"4000090164{objects}3a01").pressed == ((1, PressKind.SINGLE),)
    assert decode_bthome(seal(ADDRESS, KEY, 9, bytes.fromhex(objects)), ADDRESS, KEY).tamper is tamper
    assert decode_bthome(seal(ADDRESS, bytes(16), 9, bytes.fromhex(objects)), ADDRESS, KEY).tamper is None


def test_encrypted_vector_of_the_standard():
    """bthome.io/encryption: temperature and humidity."""
    said = frame("41e445f3c9962b332211006c7c4519", KEY)
    assert (said.counter, said.encrypted, said.notes) == (1122867, True, (Note.HEARTBEAT,))


def test_encrypted_press_and_its_address_inside():
    sealed = seal(ADDRESS, KEY, 0x6493F0B8, bytes.fromhex("000501643a01"))
    assert decode_bthome(sealed, ADDRESS, KEY).pressed == ((1, PressKind.SINGLE),)
    inside = seal(ADDRESS, KEY, 7, bytes.fromhex("3a02"), info=0x47)
    with_mac = inside[:1] + bytes.fromhex("a5808fe64854") + inside[1:]
    assert decode_bthome(with_mac, "00:00:00:00:00:00", KEY).pressed == ((1, PressKind.DOUBLE),)


@pytest.mark.parametrize(
    ("payload", "key", "note"),
    [
        (seal(ADDRESS, bytes(16), 9, bytes.fromhex("3a01")).hex(), KEY, Note.WRONG_KEY),
        (seal("54:48:E6:8F:80:A6", KEY, 9, bytes.fromhex("3a01")).hex(), KEY, Note.WRONG_KEY),
        (seal(ADDRESS, KEY, 9, bytes.fromhex("3a01")).hex(), None, Note.NO_KEY),
        ("4400053a01", KEY, Note.DOWNGRADE),
    ],
)
def test_what_cannot_be_believed_gives_no_press_and_no_counter(payload, key, note):
    said = frame(payload, key)
    assert (said.presses, said.counter, said.packet_id, said.notes) == ((), None, None, (note,))


@pytest.mark.parametrize(
    ("payload", "presses", "notes"),
    [
        ("440005017e", (), (Note.BAD_BATTERY, Note.HEARTBEAT)),
        ("4400057e643a01", (), (Note.UNKNOWN_OBJECT,)),
        ("4400053a017e643a01", ((1, PressKind.SINGLE),), (Note.UNKNOWN_OBJECT,)),
        ("4400053a0102ca", ((1, PressKind.SINGLE),), (Note.TRUNCATED,)),
        ("44", (), (Note.HEARTBEAT,)),
    ],
)
def test_a_frame_only_partly_understood_says_so(payload, presses, notes):
    said = frame(payload)
    assert (said.pressed, said.notes) == (presses, notes)


@pytest.mark.parametrize(
    ("payload", "address", "key", "reason"),
    [
        ("", ADDRESS, None, "truncated"),
        ("4400053a", ADDRESS, None, "truncated"),
        ("44530c4865", ADDRESS, None, "truncated"),
        ("4453", ADDRESS, None, "truncated"),
        ("45010203", ADDRESS, KEY, "truncated"),
        ("4601", ADDRESS, None, "truncated"),
        ("2400053a01", ADDRESS, None, "unsupported_version"),
        ("4400053a01", "54:48", None, "bad_address"),
        ("4400053a01", "no address", None, "bad_address"),
        ("4500053a01", ADDRESS, b"short", "bad_key"),
    ],
)
def test_what_is_no_frame_is_a_named_fault(payload, address, key, reason):
    with pytest.raises(AdvertFault) as caught:
        decode_bthome(bytes.fromhex(payload), address, key)
    assert caught.value.reason == reason


@given(st.binary(max_size=40), st.sampled_from([None, KEY]))
def test_any_bytes_give_a_frame_or_its_own_fault(payload, key):
    try:
        said = decode_bthome(payload, ADDRESS, key)
    except AdvertFault:
        return
    assert said.battery_pct is None or 0 <= said.battery_pct <= 100
    assert len(said.digest) == 16


@given(st.binary(max_size=24), st.integers(0, 2**32 - 1))
def test_any_sealed_bytes_give_a_frame_or_its_own_fault(objects, counter):
    try:
        said = decode_bthome(seal(ADDRESS, KEY, counter, objects), ADDRESS, KEY)
    except AdvertFault:
        return
    assert said.counter == counter


@given(
    st.sampled_from(["single", "double", "triple", "long", "hold", "release"]),
    st.integers(1, 4),
    st.integers(0, 100),
    st.sampled_from([None, KEY]),
)
def test_what_the_simulator_encodes_is_what_we_decode(kind, index, battery_pct, key):
    button = SimButton(ADDRESS, key, battery_pct=battery_pct)
    said = decode_bthome(button.press(kind, index), ADDRESS, key)
    assert said.pressed == ((index, PressKind(kind)),)
    assert (said.packet_id, said.battery_pct, said.encrypted) == (1, battery_pct, key is not None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["4400053a01"]),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=4) | st.just("fcd2"), v),
)
LINE_FIELDS = ("kind", "address", "service_data", "manufacturer_data", "key", "format", "pressed", "idle")
odd = json_values | st.sampled_from(
    [
        "ble",
        ADDRESS,
        {"fcd2": "4400053a01"},
        {"fcd2": ["4400053a01"]},
        "learned",
        "ibeacon",
        {"mask": "80", "data": "8"},
    ]
)


@given(odd | st.fixed_dictionaries({}, optional=dict.fromkeys(LINE_FIELDS, odd)))
def test_any_decode_line_answers(line):
    said = decode_line(line)
    assert "events" in said or set(said) == {"error", "detail"}
