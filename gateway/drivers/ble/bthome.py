"""BTHome v2 (service data 0xFCD2), plain and encrypted: bytes to ``Frame``, nothing remembered, nothing judged. Pure.

Theory. A payload is one device-info byte and then objects, each an id and a value of known length. The standard tells a
receiver to stop at the first id it does not know, because its length is unknown too; whatever stands behind it is lost.
For a panic button that is a fault to be mended, so it leaves a named note and is never passed over in silence. The
reverse holds for event codes: an unknown code on a button object is still somebody pressing.

Sources: bthome.io/format and bthome.io/encryption (object table, nonce, example vectors); shelly-api-docs.shelly.cloud,
docs-ble (hold 0xFE before firmware 1.0.20, 0x80 since); Alterco's own names for 0x05 and 0x06.
"""

from __future__ import annotations

from gateway.ciphers import Forged, open_ccm
from gateway.drivers.ble.frame import (
    AdvertFault,
    Frame,
    Note,
    address_bytes,
    check_key,
    fingerprint,
    full_uuid,
    unreadable,
)
from gateway.events import PressKind

BTHOME = full_uuid("fcd2")
"""Service data UUID of BTHome v2 as Bleak spells it."""

_ENCRYPTED = 0x01  # device info, bit 0
_WITH_MAC = 0x02  # device info, bit 1: six address bytes follow, lowest first (published 2022, "reserved" since)
_VERSION_SHIFT, _VERSION = 5, 2  # device info, bits 5-7
_MAC_BYTES, _COUNTER_BYTES, _MIC_BYTES = 6, 4, 4
_UUID_BYTES = b"\xd2\xfc"

_PACKET_ID, _BATTERY, _TAMPER, _BUTTON = 0x00, 0x01, 0x2B, 0x3A
_SIZED = {0x53, 0x54}  # text, raw: the first value byte is the length


# Value length -> object ids. bthome.io/format; 0x60-0x64 from the table of the reference decoder, bthome-ble.
_OF_LENGTH = {
    1: "00 01 09 0f 10 11 15 16 17 18 19 1a 1b 1c 1d 1e 1f 20 21 22 23 24 25 26 27 28 29 2a 2b 2c 2d 2e 2f 3a 46 57 58 59 60 64",
    2: "02 03 06 07 08 0c 0d 0e 12 13 14 3c 3d 3f 40 41 43 44 45 47 48 49 4a 51 52 56 5a 5d 5e 5f 61 f0",
    3: "04 05 0a 0b 42 4b f2",
    4: "3e 4c 4d 4e 4f 50 55 5b 5c 62 63 f1",
}
_LENGTH = {object_id: length for length, ids in _OF_LENGTH.items() for object_id in bytes.fromhex(ids)}

_PRESSED: dict[int, PressKind] = {
    0x01: PressKind.SINGLE,
    0x02: PressKind.DOUBLE,
    0x03: PressKind.TRIPLE,
    0x04: PressKind.LONG,
    0x05: PressKind.LONG,  # Alterco "very long", BTHome "long double"
    0x06: PressKind.LONG,  # Alterco "very, very long", BTHome "long triple"
    0x80: PressKind.HOLD,
    0x81: PressKind.RELEASE,
    0xFE: PressKind.HOLD,
}
_NOT_PRESSED = 0x00


def decode_bthome(payload: bytes, address: str, key: bytes | None) -> Frame:
    """A BTHome v2 frame from service data, without the UUID.

    ``address`` is the advertiser's (``A4:C1:38:00:00:01``), ``key`` its 16-byte bind key or None. A frame that cannot be
    believed (wrong key, downgrade) comes back without presses and with a note. Raises ``AdvertFault`` on anything else.
    """
    if not payload:
        raise AdvertFault("truncated", "empty service data")
    info, digest = payload[0], fingerprint(payload)
    if info >> _VERSION_SHIFT != _VERSION:
        raise AdvertFault("unsupported_version", f"device info 0x{info:02x}")
    check_key(key)
    mac, body = address_bytes(address), payload[1:]
    if info & _WITH_MAC:
        if len(body) < _MAC_BYTES:
            raise AdvertFault("truncated", "no room for the address")
        mac, body = body[_MAC_BYTES - 1 :: -1], body[_MAC_BYTES:]
    if info & _ENCRYPTED:
        return _decode_encrypted(info, body, mac, key, digest)
    if key is not None:
        return unreadable(Note.DOWNGRADE, digest, encrypted=False)
    return _decode_objects(body, None, digest)


def _decode_encrypted(info: int, body: bytes, mac: bytes, key: bytes | None, digest: str) -> Frame:
    if len(body) < _COUNTER_BYTES + _MIC_BYTES:
        raise AdvertFault("truncated", "no room for counter and integrity check")
    cipher, tail = body[: -_COUNTER_BYTES - _MIC_BYTES], body[-_COUNTER_BYTES - _MIC_BYTES :]
    counter, mic = tail[:_COUNTER_BYTES], tail[_COUNTER_BYTES:]
    note = Note.NO_KEY
    if key is not None:
        nonce = mac + _UUID_BYTES + bytes([info]) + counter
        try:
            plain = open_ccm(key, nonce, cipher + mic, tag_bytes=_MIC_BYTES)
        except Forged:
            note = Note.WRONG_KEY
        else:
            return _decode_objects(plain, int.from_bytes(counter, "little"), digest)
    return unreadable(note, digest, encrypted=True)


def _decode_objects(body: bytes, counter: int | None, digest: str) -> Frame:
    values: dict[int, int] = {}
    events: list[int] = []
    notes: list[Note] = []
    at = 0
    while at < len(body):
        object_id, end = body[at], _end_of(body, at)
        if end is None:
            notes.append(Note.UNKNOWN_OBJECT)
            break
        if end > len(body):
            if not any(events):
                raise AdvertFault("truncated", f"object 0x{object_id:02x} at byte {at + 1}")
            notes.append(Note.TRUNCATED)
            break
        if object_id == _BUTTON:
            events.append(body[at + 1])
        elif object_id in {_PACKET_ID, _BATTERY, _TAMPER}:
            values[object_id] = body[at + 1]
        at = end
    presses = tuple((index, _kind(code)) for index, code in enumerate(events, 1))
    battery = values.get(_BATTERY)
    if battery is not None and battery > 100:
        battery = None
        notes.append(Note.BAD_BATTERY)
    if any(kind is PressKind.OTHER for _, kind in presses):
        notes.append(Note.UNKNOWN_EVENT)
    if not any(events) and Note.UNKNOWN_OBJECT not in notes:
        notes.append(Note.HEARTBEAT)
    tamper = values[_TAMPER] != 0 if _TAMPER in values else None
    return Frame(values.get(_PACKET_ID), counter, counter is not None, battery, presses, digest, tuple(notes), tamper)


def _end_of(body: bytes, at: int) -> int | None:
    """Where the object at ``at`` ends; None where its length is unknown. May lie beyond the body."""
    object_id = body[at]
    if object_id in _SIZED:
        return at + 2 + (body[at + 1] if at + 1 < len(body) else 0)
    length = _LENGTH.get(object_id)
    return None if length is None else at + 1 + length


def _kind(code: int) -> PressKind | None:
    return None if code == _NOT_PRESSED else _PRESSED.get(code, PressKind.OTHER)
