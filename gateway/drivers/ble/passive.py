"""What a radio must be told to listen for when it scans passively: BlueZ wants at least one pattern and passes on nothing else.

A pattern is (offset, AD type, bytes). The flags of connectable and of plain beacons let nearly everything through; the data of
the enrolled formats comes on top, for some buttons send no flags at all. Pure.
Sources: org.bluez.AdvertisementMonitor(5), Patterns; Bluetooth Assigned Numbers 2.3 (AD types); Core Supplement, Part A 1.3
(flags); habluetooth, scanner_bleak.py (which values of the flags occur); facts/ble 2.1.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.drivers.ble.beacons import APPLE, FORMS, beacon_rule
from gateway.drivers.ble.bthome import BTHOME
from gateway.drivers.ble.mibeacon import MIBEACON
from gateway.site.model import Button

OrPattern = tuple[int, int, bytes]

_FLAGS, _SERVICE_16, _SERVICE_128, _MAKER = 0x01, 0x16, 0x21, 0xFF
_FLAG_VALUES = (b"\x02", b"\x05", b"\x06", b"\x1a")
_BASE = "-0000-1000-8000-00805f9b34fb"
_OWN = {"bthome": BTHOME, "mibeacon": MIBEACON}


def or_patterns(buttons: Iterable[Button]) -> tuple[OrPattern, ...]:
    """Patterns that let the frames of these buttons through, and what else keeps a radio from being thought deaf."""
    found: dict[OrPattern, None] = dict.fromkeys((0, _FLAGS, value) for value in _FLAG_VALUES)
    found[_of_company(APPLE)] = None  # the commonest neighbour there is
    for button in buttons:
        found.update(dict.fromkeys(_of_button(button)))
    return tuple(found)


def _of_button(button: Button) -> Iterable[OrPattern]:
    if button.format in _OWN:
        yield _of_service(_OWN[button.format])
    elif button.format in FORMS:
        rule = beacon_rule(button.format, button.pressed, button.idle)
        for sign in (rule.pressed, rule.idle):
            if sign is not None:
                yield _of_service(sign.service) if sign.service else _of_company(sign.company)


def _of_service(uuid: str) -> OrPattern:
    if uuid.startswith("0000") and uuid.endswith(_BASE):
        return 0, _SERVICE_16, bytes.fromhex(uuid[4:8])[::-1]
    return 0, _SERVICE_128, bytes.fromhex(uuid.replace("-", ""))[::-1]


def _of_company(company: int) -> OrPattern:
    return 0, _MAKER, company.to_bytes(2, "little")
