"""The code table: every row of the facts, and what is not in it."""

from __future__ import annotations

import pytest

from gateway.drivers.face.codes import CODES, meaning_of
from gateway.events import ENTRY_TYPES as TYPES

ROWS: dict[str, list[tuple[int, int]]] = {
    "access.granted": [
        *((5, m) for m in (1, 2, 38, 40, 43, 46, 54, 57, 60, 63, 66, 69, 72, 75, 77, 101, 105, 181, 229)),
    ],
    "access.denied": [
        *((5, m) for m in (*range(3, 16), 39, 49, 55, 58, 61, 64, 67, 70, 73, 76, 78, 80, 104, 112, 150, 151)),
    ],
    "access.verify_request": [(5, 33), (5, 50)],
    "access.unknown": [(5, 99), (5, 9999)],
    "alarm.blocklist": [(5, 113)],
    "alarm.duress": [(1, 1034)],
    "alarm.tamper": [(1, 1028), (1, 1030), (1, 1039)],
    "alarm.tamper_cleared": [(1, 1029), (1, 1031), (1, 1040)],
    "alarm.attempt_limit": [(1, 1036), (5, 148)],
    "alarm.fire": [(1, 1045), (1, 1046), (1, 1048), (5, 52)],
    "alarm.fire_cleared": [(1, 1047), (1, 1049), (5, 53)],
    "alarm.tailgating": [(5, 133), (5, 134), (5, 135), (5, 138)],
    "door.unlocked": [(5, 21), (5, 19)],
    "door.locked": [(5, 22), (5, 20), (3, 1025), (3, 1027)],
    "door.exit_button": [(5, 23)],
    "door.exit_button_released": [(5, 24)],
    "door.opened": [(5, 25)],
    "door.closed": [(5, 26)],
    "door.forced": [(5, 27)],
    "door.held_open": [(5, 28), (5, 216)],
    "door.unlock_fault": [(5, 92), (5, 93)],
    "door.bell": [(5, 37)],
    "door.remote_open": [(3, 1024), (3, 1026)],
    "device.power_on": [(2, 1024)],
    "device.network_lost": [(2, 39)],
    "device.network_back": [(2, 1031)],
    "device.log_nearly_full": [(1, 1035)],
    "device.clock_set": [(3, 1029)],
    "device.other": [(2, 1033), (2, 1034), (3, 112), (3, 113), (1, 1024), (9, 75), (0, 0)],
}

CREDENTIALS = {
    (5, 1): "card",
    (5, 38): "fingerprint",
    (5, 75): "face",
    (5, 77): "face",
    (5, 54): "multi",
    (5, 2): "multi",
}
CREDENTIALS |= {
    (5, 101): "pin",
    (5, 229): "pin",
    (5, 151): "pin",
    (5, 23): "button",
    (3, 1024): "remote",
    (5, 76): "face",
}


@pytest.mark.parametrize(("kind", "pair"), [(kind, pair) for kind, pairs in ROWS.items() for pair in pairs])
def test_every_row_of_the_facts(kind: str, pair: tuple[int, int]) -> None:
    assert meaning_of(*pair).type == kind


@pytest.mark.parametrize("pair", CREDENTIALS)
def test_the_credential_is_the_codes(pair: tuple[int, int]) -> None:
    assert meaning_of(*pair).credential == CREDENTIALS[pair]


def test_the_pair_is_the_key_not_the_minor() -> None:
    assert [meaning_of(major, 0x400).type for major in (1, 2, 3, 5)] == [
        "device.other",
        "device.power_on",
        "door.remote_open",
        "access.unknown",
    ]


def test_the_codes_other_projects_get_wrong() -> None:
    assert meaning_of(5, 27).type == "door.forced"
    assert meaning_of(5, 75).type == "access.granted"
    assert meaning_of(5, 82).type == "device.other"
    assert not meaning_of(5, 82).unmapped


def test_unknown_pairs_are_marked_and_never_dropped() -> None:
    for pair in ((5, 9999), (1, 1), (None, 75), (5, None), (None, None)):
        assert meaning_of(*pair).unmapped


def test_the_table_speaks_the_words_of_the_seam() -> None:
    credentials = {
        "face",
        "card",
        "pin",
        "fingerprint",
        "qr",
        "palm",
        "button",
        "remote",
        "bluetooth",
        "multi",
        "unknown",
    }
    assert {meaning.type for meaning in CODES.values()} <= TYPES
    assert {meaning.credential for meaning in CODES.values()} <= credentials
    assert all(meaning.reason for meaning in CODES.values() if meaning.type == "access.denied")
    assert not any(meaning.unmapped for meaning in CODES.values())
