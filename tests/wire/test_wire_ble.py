"""Transcripts of button frames as ``loudong decode`` shows them (contract: commands)."""

from __future__ import annotations

import pytest

from gateway.drivers.ble.adverts import decode_line

KEY = "231d39c1d7cc1ab1aee224cd096db932"


def line(payload, key=None, uuid="fcd2", address="A4:C1:38:00:00:01"):
    return {"kind": "ble", "address": address, "service_data": {uuid: payload}, "manufacturer_data": {}, "key": key}


def press(kind, **rest):
    common = {"type": "press", "press": kind, "battery_pct": None, "counter": None, "packet_id": None}
    return {**common, "encrypted": False, **rest}


TRANSCRIPTS = {
    "the contract's example": (line("4400053a01"), {"events": [press("single", packet_id=5)]}),
    "Shelly BLU Button1, hold, old firmware": (
        line("44001701643afe"),
        {"events": [press("hold", packet_id=23, battery_pct=100)]},
    ),
    "Shelly BLU RC Button 4, third key": (
        line("44002a01613a003a003a013a00"),
        {"events": [press("single", packet_id=42, battery_pct=97, button=3)]},
    ),
    "heartbeat in beacon mode": (line("44001801643a00"), {"events": [], "notes": ["heartbeat"]}),
    "UUID in full, upper case": (
        line("4400053a01", uuid="0000FCD2-0000-1000-8000-00805F9B34FB"),
        {"events": [press("single", packet_id=5)]},
    ),
    "a code nobody knows": (
        line("4400053a42"),
        {"events": [press("other", packet_id=5)], "notes": ["unknown_event"]},
    ),
    "an object nobody knows": (line("4400057e3a01"), {"events": [], "notes": ["unknown_object"]}),
    "another key": (
        line("41e445f3c9962b332211006c7c4519", key="00" * 16, address="54:48:E6:8F:80:A5"),
        {"events": [], "notes": ["wrong_key"]},
    ),
    "encrypted, no key": (
        line("41e445f3c9962b332211006c7c4519", address="54:48:E6:8F:80:A5"),
        {"events": [], "notes": ["no_key"]},
    ),
    "the standard's encrypted example": (
        line("41e445f3c9962b332211006c7c4519", key=KEY, address="54:48:E6:8F:80:A5"),
        {"events": [], "notes": ["heartbeat"]},
    ),
    "in clear though it has a key": (line("4400053a01", key=KEY), {"events": [], "notes": ["downgrade"]}),
    "another family": (line("aabb", uuid="fe95"), {"events": [], "notes": ["foreign"]}),
}


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_transcript(name):
    sent, said = TRANSCRIPTS[name]
    assert decode_line(sent) == said


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (line("4400053a"), "truncated"),
        (line(""), "truncated"),
        (line("24053a01"), "unsupported_version"),
        (line("44zz"), "bad_hex"),
        (line("4400053a01", key="00"), "bad_key"),
        (line("4400053a01", key=7), "bad_key"),
        (line("4400053a01", address="A4:C1"), "bad_address"),
        ({"kind": "ble"}, "bad_line"),
        ({"kind": "ble", "address": "A4:C1:38:00:00:01", "service_data": []}, "bad_line"),
    ],
)
def test_refused(sent, error):
    said = decode_line(sent)
    assert said["error"] == error
    assert isinstance(said["detail"], str)
