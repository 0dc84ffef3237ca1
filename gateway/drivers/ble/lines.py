"""``loudong decode`` for one ``kind: ble`` object (contract: Commands): what one advertisement says. Pure, and stateless.

A repeat of a frame decodes as a press again. The format is found from the data unless the line names one in ``format``, with
``pressed`` and ``idle`` as in the site file; a beacon of which nobody says how it looks pressed gives ``no_sign`` and what
it calls itself, in the words of the site file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from gateway.drivers.ble.adverts import Decoder
from gateway.drivers.ble.beacons import BLUEUP, FORMS, beacon_rule, describe
from gateway.drivers.ble.bthome import BTHOME
from gateway.drivers.ble.frame import AdvertFault, Frame, Note, address_bytes, fingerprint, full_uuid, unreadable
from gateway.drivers.ble.mibeacon import MIBEACON
from gateway.events import PressKind
from gateway.site.model import Sign

K = TypeVar("K")

_BY_SERVICE = {BTHOME: "bthome", MIBEACON: "mibeacon", BLUEUP: "flag"}
"""Formats that a frame names by itself, those with presses of their own first."""
_SHORT = re.compile(r"(0x)?[0-9a-f]{4}")
_SIGN_HEX = {"uuid": 32, "namespace": 20, "instance": 12, "data": 0, "mask": 0}
"""Fields of a sign in hexadecimal, and their digits where these are fixed."""


def decode_line(line: Mapping[str, object]) -> dict[str, object]:
    """What one line says: ``events`` and ``notes``, or ``error`` and ``detail``."""
    try:
        said = _decode(line)
    except AdvertFault as fault:
        return {"error": fault.reason, "detail": fault.detail}
    return said


def _decode(line: object) -> dict[str, object]:
    if not isinstance(line, Mapping):
        raise AdvertFault("bad_line", "no object")
    address = line.get("address")
    if not isinstance(address, str):
        raise AdvertFault("bad_line", "address is no text")
    address_bytes(address)
    services = _payloads(line, "service_data", _uuid)
    makers = _payloads(line, "manufacturer_data", _company)
    key = None if line.get("key") is None else _hex_bytes(line["key"], "bad_key")
    form = line.get("format") or next((name for uuid, name in _BY_SERVICE.items() if uuid in services), "")
    frame = _decoder(form, address, key, line).decode(services, makers) if form else None
    beacon = describe(services, makers)
    if frame is None:
        note = Note.NO_SIGN if beacon and not form else Note.FOREIGN
        frame = unreadable(note, fingerprint(b""), encrypted=False)
    said: dict[str, object] = {"events": [_event(frame, index, kind) for index, kind in frame.pressed]}
    if frame.notes:
        said["notes"] = [note.value for note in frame.notes]
    return said | ({"beacon": beacon} if beacon else {})


def _decoder(form: object, address: str, key: bytes | None, line: Mapping[object, object]) -> Decoder:
    if not isinstance(form, str) or form not in {"bthome", "mibeacon", *FORMS}:
        raise AdvertFault("bad_line", f"format {form!r}")
    if form not in FORMS:
        return Decoder(form, address, key)
    pressed, idle = _sign(line.get("pressed")), _sign(line.get("idle"))
    if pressed is None and idle is None and form != "flag":
        raise AdvertFault("bad_sign", "pressed or idle is needed")
    return Decoder(form, address, None, beacon_rule(form, pressed, idle))


def _sign(given: object) -> Sign | None:
    if given is None:
        return None
    try:
        sign = msgspec.convert(given, Sign)
    except msgspec.ValidationError as error:
        raise AdvertFault("bad_sign", str(error)) from error
    for name, digits in _SIGN_HEX.items():
        text = getattr(sign, name).replace("-", "")
        if text and (not re.fullmatch(r"([0-9A-Fa-f]{2})+", text) or digits not in {0, len(text)}):
            raise AdvertFault("bad_sign", name)
    if (
        not all(number is None or 0 <= number <= 0xFFFF for number in (sign.major, sign.minor))
        or not 0 <= sign.at <= 30
    ):
        raise AdvertFault("bad_sign", "a number is out of bounds")
    return sign


def _event(frame: Frame, index: int, kind: PressKind) -> dict[str, object]:
    which: dict[str, object] = {"button": index} if len(frame.presses) > 1 or index > 1 else {}
    return {
        "type": "press",
        "press": kind.value,
        **which,
        "battery_pct": frame.battery_pct,
        "counter": frame.counter,
        "packet_id": frame.packet_id,
        "encrypted": frame.encrypted,
    }


def _payloads(line: Mapping[object, object], name: str, named: Callable[[str], K]) -> dict[K, bytes]:
    given = line.get(name, {})
    if not isinstance(given, Mapping):
        raise AdvertFault("bad_line", f"{name} is no mapping")
    return {named(str(key).strip().lower()): _hex_bytes(data, "bad_hex") for key, data in given.items()}


def _uuid(text: str) -> str:
    """``fcd2``, ``0xfcd2`` or the whole UUID, as Bleak spells it."""
    return full_uuid(text[-4:]) if _SHORT.fullmatch(text) else text


def _company(text: str) -> int:
    """``004c`` or ``0x004c`` is hexadecimal as service UUIDs are; any other number is decimal, as Bleak gives it."""
    try:
        return int(text, 16) if _SHORT.fullmatch(text) or text.startswith("0x") else int(text)
    except ValueError as error:
        raise AdvertFault("bad_line", f"company {text}") from error


def _hex_bytes(text: object, reason: str) -> bytes:
    if not isinstance(text, str):
        raise AdvertFault(reason, "not text")
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise AdvertFault(reason, "not hexadecimal") from error
