"""MiBeacon bytes to frames: frames of real buttons published by decoders of others, and any bytes at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.drivers.ble.frame import AdvertFault, Note
from gateway.drivers.ble.mibeacon import decode_mibeacon
from gateway.events import PressKind
from gateway.sim.beacons import MIBEACON, SimMiBeacon

SWITCH, SWITCH_KEY = "18:C2:3C:2A:69:0D", bytes.fromhex("c533a5ab361b0a24de4d21d1d9a3d8a1")
PTX, PTX_KEY = "A4:C1:38:A5:B9:AD", bytes.fromhex("a74510b40386d35ae6227a7451efc76e")


@pytest.mark.parametrize(
    ("payload", "address", "key", "kind", "counter"),
    [
        # captured frames in custom-components/ble_monitor, ble_monitor/test/test_xiaomi_parser.py
        ("58598723ff0d692a3cc21876d7a70800006024e757", SWITCH, SWITCH_KEY, PressKind.SINGLE, 0x8FF),
        ("58598723010d692a3cc218f397dd09000079826b9d", SWITCH, SWITCH_KEY, PressKind.DOUBLE, 0x901),
        ("58598723030d692a3cc218258824090000a360b8a1", SWITCH, SWITCH_KEY, PressKind.LONG, 0x903),
        ("5859bb3804adb9a538c1a4dc10b50400002c122fb6", PTX, PTX_KEY, PressKind.SINGLE, 0x404),
    ],
)
def test_frames_of_real_buttons(payload, address, key, kind, counter):
    """The extension goes up where the 8-bit counter comes round, so both together only rise."""
    said = decode_mibeacon(bytes.fromhex(payload), address, key)
    assert (said.pressed, said.counter, said.encrypted, said.notes) == (((1, kind),), counter, True, ())


@pytest.mark.parametrize(
    ("objects", "presses"),
    [
        ("011003000000", ((1, PressKind.SINGLE),)),  # key, value, kind
        ("011003010001", ((2, PressKind.DOUBLE),)),
        ("011003000002", ((1, PressKind.LONG),)),
        ("011003000006", ((1, PressKind.OTHER),)),
        ("0110020000", ((1, PressKind.OTHER),)),
        ("0c4a00", ((1, PressKind.SINGLE),)),
        ("0d4a0101", ((2, PressKind.DOUBLE),)),  # XMWS01XS: 0 left, 1 right
        ("0e560104", ((4, PressKind.LONG),)),  # KS1: 1 to 4
        ("0c4e0102", ((2, PressKind.SINGLE),)),
        ("134a0101", ((1, PressKind.SINGLE),)),  # MS1BB
        ("0a100150", ()),
        ("03480150", ()),
        ("ffff020102" + "0c4a00", ((1, PressKind.SINGLE),)),  # an unknown object has a length, and hides nothing
    ],
)
def test_every_object_with_a_press(objects, presses):
    said = decode_mibeacon(bytes.fromhex("4050bb3807") + bytes.fromhex(objects), PTX, None)
    assert said.pressed == presses
    assert (said.packet_id, said.counter, said.encrypted) == (7, None, False)
    assert said.battery_pct == (80 if not presses else None)


def test_capabilities_are_skipped():
    """Capability bit 5 announces a byte of its own."""
    for head in ("6050bb380708", "6050bb38072001"):
        assert decode_mibeacon(bytes.fromhex(head + "0c4a00"), PTX, None).pressed == ((1, PressKind.SINGLE),)


def test_what_cannot_be_believed():
    sealed = bytes.fromhex("5859bb3804adb9a538c1a4dc10b50400002c122fb6")
    clear, empty = bytes.fromhex("4050bb38070c4a00"), bytes.fromhex("3058bb380aadb9a538c1a408")
    for payload, key, note in (
        (sealed, None, Note.NO_KEY),
        (sealed, bytes(16), Note.WRONG_KEY),
        (sealed[:-1] + b"\x00", PTX_KEY, Note.WRONG_KEY),
        (clear, PTX_KEY, Note.DOWNGRADE),
        (empty, PTX_KEY, Note.UNSIGNED),
    ):
        said = decode_mibeacon(payload, PTX, key)
        assert (said.notes, said.pressed, said.counter) == ((note,), (), None)
    assert decode_mibeacon(empty, PTX, None).notes == (Note.HEARTBEAT,)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("40", "truncated"),
        ("5050bb3807adb9a5", "truncated"),
        ("4050bb38070c4a", "truncated"),
        ("4050bb38070c4a05", "truncated"),
        ("5859bb3804adb9a538c1a40400002c12", "truncated"),
        ("c050bb38070c4a00", "unsupported_version"),  # mesh
        ("4010bb38070c4a00", "unsupported_version"),
        ("5839bb3804adb9a538c1a4dc10b50400002c122fb6", "unsupported_version"),  # sealed as before v4: proves nothing
        ("5050bb380701020304050600", "bad_address"),
    ],
)
def test_refused(payload, reason):
    with pytest.raises(AdvertFault) as caught:
        decode_mibeacon(bytes.fromhex(payload), PTX, PTX_KEY if payload.startswith("58") else None)
    assert caught.value.reason == reason


@given(st.binary(max_size=40), st.sampled_from([None, PTX_KEY]))
def test_any_bytes_raise_nothing_but_its_own_fault(payload, key):
    try:
        decode_mibeacon(payload, PTX, key)
    except AdvertFault:
        return


@given(st.sampled_from(["single", "double", "long"]), st.integers(0, 2**31), st.sampled_from([None, PTX_KEY]))
def test_the_simulated_button_is_understood(kind, counter, key):
    button = SimMiBeacon(PTX, key, counter=counter)
    said = decode_mibeacon(button.press(kind).service_data[MIBEACON], PTX, key)
    assert said.pressed == ((1, PressKind(kind)),)
    assert said.counter == (counter + 1 if key else None)
    assert said.packet_id == (counter + 1) % 256
