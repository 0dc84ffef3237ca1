"""Transcripts of button frames as ``loudong decode`` shows them (contract: commands)."""

from __future__ import annotations

import pytest

from gateway.drivers.ble.lines import decode_line

KEY = "231d39c1d7cc1ab1aee224cd096db932"


def line(payload, key=None, uuid="fcd2", address="A4:C1:38:00:00:01"):
    return {"kind": "ble", "address": address, "service_data": {uuid: payload}, "manufacturer_data": {}, "key": key}


XIAOMI = "c533a5ab361b0a24de4d21d1d9a3d8a1"
UUID = "CDCA0D93-8D39-454A-8816-E603A1484724"
KONTAKT = "0215cdca0d938d39454a8816e603a148472400010002c5"


def beacon(services, makers=None, **enrolled):
    return {
        "kind": "ble",
        "address": "A4:C1:38:00:00:01",
        "service_data": services,
        "manufacturer_data": makers or {},
    } | enrolled


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
    "Xiaomi XMWXKG01LM, long, sealed (ble_monitor's capture)": (
        line("58598723030d692a3cc218258824090000a360b8a1", XIAOMI, "fe95", "18:C2:3C:2A:69:0D"),
        {"events": [press("long", packet_id=3, counter=0x903, encrypted=True)]},
    ),
    "the same without its key": (
        line("58598723030d692a3cc218258824090000a360b8a1", None, "fe95", "18:C2:3C:2A:69:0D"),
        {"events": [], "notes": ["no_key"]},
    ),
    "Xiaomi, in clear, second key": (
        line("4050bb38070c4a0101", uuid="fe95"),
        {"events": [press("single", packet_id=7, button=2)]},
    ),
    "BlueUp, alarm": (
        beacon({"8800": "c0", "180f": "5d"}),
        {"events": [press("single", battery_pct=93)]},
    ),
    "BlueUp, no alarm": (beacon({"8800": "40"}), {"events": [], "notes": ["heartbeat"]}),
    "iBeacon, not yet enrolled": (
        beacon({}, {"004c": KONTAKT}),
        {
            "events": [],
            "notes": ["no_sign"],
            "beacon": {"format": "ibeacon", "uuid": UUID, "major": 1, "minor": 2},
        },
    ),
    "the same as Kontakt.io presses it; company as Bleak counts it": (
        beacon({}, {"76": KONTAKT}, format="ibeacon", pressed={"uuid": UUID, "major": 1}),
        {"events": [press("single")], "beacon": {"format": "ibeacon", "uuid": UUID, "major": 1, "minor": 2}},
    ),
    "Eddystone UID, idle": (
        beacon(
            {"feaa": "00c5edd1ebeac04e5defa0170bdb87539b670000"}, format="eddystone", idle={"instance": "0bdb87539b67"}
        ),
        {
            "events": [],
            "notes": ["heartbeat"],
            "beacon": {"format": "eddystone", "namespace": "edd1ebeac04e5defa017", "instance": "0bdb87539b67"},
        },
    ),
    "Eddystone telemetry": (
        beacon({"feaa": "20000bb815800000000100000002"}),
        {"events": [], "notes": ["no_sign"], "beacon": {"format": "eddystone", "battery_mv": 3000}},
    ),
    "learnt on site": (
        beacon(
            {}, {"0822": "a10109"}, format="learned", pressed={"company": "0822", "data": "a10100", "mask": "ffff00"}
        ),
        {"events": [press("single")]},
    ),
    "another family": (line("aabb", uuid="fdcd"), {"events": [], "notes": ["foreign"]}),
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
        (line("40", uuid="fe95"), "truncated"),
        (line("4010bb38070c4a00", uuid="fe95"), "unsupported_version"),
        (beacon({}, {"apple": ""}), "bad_line"),
        (beacon([]), "bad_line"),
        (beacon({}, {"004c": "0"}), "bad_hex"),
        (beacon({}, format="morse"), "bad_line"),
        (beacon({}, format="ibeacon"), "bad_sign"),
        (beacon({}, format="ibeacon", pressed=[]), "bad_sign"),
        (beacon({}, format="ibeacon", pressed={"uuid": "1234"}), "bad_sign"),
        (beacon({}, format="ibeacon", pressed={"major": 70_000}), "bad_sign"),
        (beacon({}, format="learned", pressed={"data": "00", "company": "wxyz"}), "bad_sign"),
        ({"kind": "ble", "address": "A4:C1:38:00:00:01", "service_data": []}, "bad_line"),
    ],
)
def test_refused(sent, error):
    said = decode_line(sent)
    assert said["error"] == error
    assert isinstance(said["detail"], str)
