"""What a button's advertisement says: bytes to ``Frame``, nothing remembered, nothing judged.

Here lives BTHome v2 (service data 0xFCD2), plain and encrypted. Whether a frame is a *new* press is the tracker's matter.
Pure: no clock, no I/O, no log.

Theory. A payload is one device-info byte and then objects, each an id and a value of known length. The standard tells a
receiver to stop at the first id it does not know, because its length is unknown too; whatever stands behind it is lost.
For a panic button that is a fault to be mended, so it leaves a named note and is never passed over in silence. The
reverse holds for event codes: an unknown code on a button object is still somebody pressing.

Sources: bthome.io/format and bthome.io/encryption (object table, nonce, example vectors); shelly-api-docs.shelly.cloud,
docs-ble (hold 0xFE before firmware 1.0.20, 0x80 since); Alterco's own names for 0x05 and 0x06.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from msgspec import Struct

from gateway.events import PressKind
from gateway.faults import DeviceFault

BTHOME = "0000fcd2-0000-1000-8000-00805f9b34fb"
"""Service data UUID of BTHome v2 as Bleak spells it."""

_ENCRYPTED = 0x01  # device info, bit 0
_WITH_MAC = 0x02  # device info, bit 1: six address bytes follow, lowest first (published 2022, "reserved" since)
_VERSION_SHIFT, _VERSION = 5, 2  # device info, bits 5-7
_KEY_BYTES, _MAC_BYTES, _COUNTER_BYTES, _MIC_BYTES = 16, 6, 4, 4
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


class Note(StrEnum):
    """Named reason why a frame, or a part of it, means less than it might."""

    HEARTBEAT = "heartbeat"
    """Alive, and nobody pressed."""
    UNKNOWN_OBJECT = "unknown_object"
    """An object id without known length: what stands behind it, maybe a press, cannot be read."""
    UNKNOWN_EVENT = "unknown_event"
    """A button event no document names; taken for a press."""
    TRUNCATED = "truncated"
    """The last object is cut off; the press before it stands."""
    BAD_BATTERY = "bad_battery"
    """More than 100 %."""
    WRONG_KEY = "wrong_key"
    """The integrity check failed: another key, or a forgery."""
    NO_KEY = "no_key"
    """Encrypted, and the site file names no key."""
    DOWNGRADE = "downgrade"
    """In clear from a button that has a key: anybody could have sent it."""
    FOREIGN = "foreign"
    """No service data of a button format we know."""


class AdvertFault(DeviceFault):
    """These bytes are no frame. ``reason``: truncated, unsupported_version, bad_address, bad_key, bad_hex, bad_line."""


class Frame(Struct, frozen=True):
    """One advertisement of one button."""

    packet_id: int | None
    """0-255, rising with every change of content; None where the button sends none."""
    counter: int | None
    """Authenticated 32-bit counter of an encrypted frame."""
    encrypted: bool
    battery_pct: int | None
    presses: tuple[tuple[int, PressKind | None], ...]
    """For each button object, in order: index from 1, and what was pressed (None: not this one)."""
    digest: str
    """Fingerprint of the bytes, 16 hex digits."""
    notes: tuple[Note, ...] = ()
    tamper: bool | None = None
    """The button is opened or torn off its wall; None where the frame does not say."""

    @property
    def pressed(self) -> tuple[tuple[int, PressKind], ...]:
        """The buttons somebody pressed."""
        return tuple((index, kind) for index, kind in self.presses if kind is not None)


def decode_bthome(payload: bytes, address: str, key: bytes | None) -> Frame:
    """A BTHome v2 frame from service data, without the UUID.

    ``address`` is the advertiser's (``A4:C1:38:00:00:01``), ``key`` its 16-byte bind key or None. A frame that cannot be
    believed (wrong key, downgrade) comes back without presses and with a note. Raises ``AdvertFault`` on anything else.
    """
    if not payload:
        raise AdvertFault("truncated", "empty service data")
    info, digest = payload[0], hashlib.blake2s(payload, digest_size=8).hexdigest()
    if info >> _VERSION_SHIFT != _VERSION:
        raise AdvertFault("unsupported_version", f"device info 0x{info:02x}")
    if key is not None and len(key) != _KEY_BYTES:
        raise AdvertFault("bad_key", f"{len(key)} bytes instead of {_KEY_BYTES}")
    mac, body = _address_bytes(address), payload[1:]
    if info & _WITH_MAC:
        if len(body) < _MAC_BYTES:
            raise AdvertFault("truncated", "no room for the address")
        mac, body = body[_MAC_BYTES - 1 :: -1], body[_MAC_BYTES:]
    if info & _ENCRYPTED:
        return _decode_encrypted(info, body, mac, key, digest)
    if key is not None:
        return Frame(None, None, encrypted=False, battery_pct=None, presses=(), digest=digest, notes=(Note.DOWNGRADE,))
    return _decode_objects(body, None, digest)


def _address_bytes(address: str) -> bytes:
    try:
        mac = bytes.fromhex(address.replace(":", ""))
    except ValueError as error:
        raise AdvertFault("bad_address", address) from error
    if len(mac) != _MAC_BYTES:
        raise AdvertFault("bad_address", address)
    return mac


def _decode_encrypted(info: int, body: bytes, mac: bytes, key: bytes | None, digest: str) -> Frame:
    if len(body) < _COUNTER_BYTES + _MIC_BYTES:
        raise AdvertFault("truncated", "no room for counter and integrity check")
    cipher, tail = body[: -_COUNTER_BYTES - _MIC_BYTES], body[-_COUNTER_BYTES - _MIC_BYTES :]
    counter, mic = tail[:_COUNTER_BYTES], tail[_COUNTER_BYTES:]
    note = Note.NO_KEY
    if key is not None:
        nonce = mac + _UUID_BYTES + bytes([info]) + counter
        try:
            plain = AESCCM(key, tag_length=_MIC_BYTES).decrypt(nonce, cipher + mic, None)
        except InvalidTag:
            note = Note.WRONG_KEY
        else:
            return _decode_objects(plain, int.from_bytes(counter, "little"), digest)
    # The counter of a frame that proved nothing is not passed on: it must never move anybody's memory.
    return Frame(None, None, encrypted=True, battery_pct=None, presses=(), digest=digest, notes=(note,))


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


def decode_line(line: Mapping[str, object]) -> dict[str, object]:
    """``loudong decode`` for one ``kind: ble`` object (contract: commands): what it says, or ``error`` and ``detail``.

    Stateless: a repeat of a frame decodes as a press again. ``button`` is given where a frame speaks of several.
    """
    try:
        address, payload, key = _read_line(line)
        if payload is None:
            return {"events": [], "notes": [Note.FOREIGN.value]}
        frame = decode_bthome(payload, address, key)
    except AdvertFault as fault:
        return {"error": fault.reason, "detail": fault.detail}
    said: dict[str, object] = {"events": [_event(frame, index, kind) for index, kind in frame.pressed]}
    if frame.notes:
        said["notes"] = [note.value for note in frame.notes]
    return said


def _event(frame: Frame, index: int, kind: PressKind) -> dict[str, object]:
    which: dict[str, object] = {"button": index} if len(frame.presses) > 1 else {}
    return {
        "type": "press",
        "press": kind.value,
        **which,
        "battery_pct": frame.battery_pct,
        "counter": frame.counter,
        "packet_id": frame.packet_id,
        "encrypted": frame.encrypted,
    }


def _read_line(line: object) -> tuple[str, bytes | None, bytes | None]:
    """Address, BTHome payload (None: there is none) and key of a decode line."""
    if not isinstance(line, Mapping):
        raise AdvertFault("bad_line", "no object")
    address, services, key = line.get("address"), line.get("service_data", {}), line.get("key")
    if not isinstance(address, str):
        raise AdvertFault("bad_line", "address is no text")
    if not isinstance(services, Mapping):
        raise AdvertFault("bad_line", "service_data is no mapping")
    _address_bytes(address)
    named = {str(uuid).lower(): data for uuid, data in services.items()}
    payload = next((named[name] for name in ("fcd2", BTHOME) if name in named), None)
    return (
        address,
        None if payload is None else _hex_bytes(payload, "bad_hex"),
        None if key is None else _hex_bytes(key, "bad_key"),
    )


def _hex_bytes(text: object, reason: str) -> bytes:
    if not isinstance(text, str):
        raise AdvertFault(reason, "not text")
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise AdvertFault(reason, "not hexadecimal") from error
