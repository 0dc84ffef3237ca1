"""MiBeacon (service data 0xFE95), plain and encrypted v4/v5, as Xiaomi's buttons send it: bytes to ``Frame``. Pure.

Theory. A frame control word says what follows: the address, capabilities, an object; the object may be encrypted under the
button's bind key. Encrypted frames carry an 8-bit frame counter and a 24-bit extension of it, both under the integrity
check: together one counter that only rises, which is what the tracker wants. Plain frames have the 8-bit counter alone.
The encryption before v4 has no integrity check worth the name; it proves nothing and is refused by name.

Sources: tables and vectors of the reference decoders xiaomi-ble 1.21 and ble_monitor (no vendor document is public);
facts/ble 1.1. Which object a product sends is not documented, so every press object counts for every product.
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

MIBEACON = full_uuid("fe95")
"""Service data UUID of MiBeacon as Bleak spells it."""

_ENCRYPTED, _WITH_MAC, _WITH_CAPABILITY, _WITH_OBJECT, _MESH = 0x08, 0x10, 0x20, 0x40, 0x80  # frame control, low byte
_VERSION_SHIFT = 12  # frame control, top four bits
_OLDEST, _OLDEST_SEALED = 2, 4
_COUNTER_AT, _HEAD_BYTES = 4, 5
_MAC_BYTES, _EXTENSION_BYTES, _MIC_BYTES = 6, 3, 4
_CAPABILITY_IO = 0x20  # this capability is followed by a byte of its own
_ASSOCIATED = b"\x11"

_BUTTON = 0x1001  # key, value, kind of press
_BATTERIES = {0x100A, 0x4803}  # per cent
_KINDS = {0: PressKind.SINGLE, 1: PressKind.DOUBLE, 2: PressKind.LONG}  # some wall switches: 1 long, 2 double
_PRESSES: dict[int, PressKind] = {
    **dict.fromkeys((0x4A0C, 0x4E0C, 0x560C, 0x4A13), PressKind.SINGLE),
    **dict.fromkeys((0x4A0D, 0x4E0D, 0x560D), PressKind.DOUBLE),
    **dict.fromkeys((0x4A0E, 0x4E0E, 0x560E), PressKind.LONG),
}
_COUNTED_FROM_ZERO = {0x4A0C, 0x4A0D, 0x4A0E}  # XMWS01XS numbers its two keys 0 and 1, KS1 its four 1 to 4


def decode_mibeacon(payload: bytes, address: str, key: bytes | None) -> Frame:
    """A MiBeacon frame from service data, without the UUID.

    ``address`` is the advertiser's, ``key`` its 16-byte bind key or None. A frame that cannot be believed comes back without
    presses and with a note. Raises ``AdvertFault``: truncated, unsupported_version, bad_address, bad_key.
    """
    if len(payload) < _HEAD_BYTES:
        raise AdvertFault("truncated", f"{len(payload)} bytes")
    check_key(key)
    control, digest = payload[0], fingerprint(payload)
    version = payload[1] >> (_VERSION_SHIFT - 8)
    sealed = bool(control & _ENCRYPTED)
    if control & _MESH or version < (_OLDEST_SEALED if sealed and control & _WITH_OBJECT else _OLDEST):
        raise AdvertFault("unsupported_version", f"frame control 0x{payload[1]:02x}{control:02x}")
    mac, at = _address(payload, control, address)
    if not control & _WITH_OBJECT:
        return _empty(payload[_COUNTER_AT], key, digest)
    body = payload[at:]
    if sealed:
        return _decode_sealed(payload, body, mac, key, digest)
    if key is not None:
        return unreadable(Note.DOWNGRADE, digest, encrypted=False)
    return _decode_objects(body, payload[_COUNTER_AT], None, digest)


def _empty(packet_id: int, key: bytes | None, digest: str) -> Frame:
    """A frame without object is never sealed: of a button with a key it is nothing anybody could rely on."""
    if key is not None:
        return unreadable(Note.UNSIGNED, digest, encrypted=False)
    return Frame(packet_id, None, encrypted=False, battery_pct=None, presses=(), digest=digest, notes=(Note.HEARTBEAT,))


def _address(payload: bytes, control: int, address: str) -> tuple[bytes, int]:
    """The button's address as written, and where the object begins."""
    mac, at = address_bytes(address), _HEAD_BYTES
    if control & _WITH_MAC:
        at += _MAC_BYTES
        said = payload[_HEAD_BYTES:at][::-1]
        if len(said) == _MAC_BYTES and said != mac:
            raise AdvertFault("bad_address", said.hex(":"))
    if control & _WITH_CAPABILITY:
        at += 1
        if len(payload) >= at and payload[at - 1] & _CAPABILITY_IO:
            at += 1
    if len(payload) < at:
        raise AdvertFault("truncated", "the head is cut off")
    return mac, at


def _decode_sealed(payload: bytes, body: bytes, mac: bytes, key: bytes | None, digest: str) -> Frame:
    if len(body) < _EXTENSION_BYTES + _MIC_BYTES:
        raise AdvertFault("truncated", "no room for counter and integrity check")
    cipher, tail = body[: -_EXTENSION_BYTES - _MIC_BYTES], body[-_EXTENSION_BYTES - _MIC_BYTES :]
    extension, mic = tail[:_EXTENSION_BYTES], tail[_EXTENSION_BYTES:]
    if key is None:
        return unreadable(Note.NO_KEY, digest, encrypted=True)
    nonce = mac[::-1] + payload[2:_HEAD_BYTES] + extension
    try:
        plain = open_ccm(key, nonce, cipher + mic, _ASSOCIATED, tag_bytes=_MIC_BYTES)
    except Forged:
        return unreadable(Note.WRONG_KEY, digest, encrypted=True)
    counter = int.from_bytes(extension, "little") << 8 | payload[_COUNTER_AT]
    return _decode_objects(plain, payload[_COUNTER_AT], counter, digest)


def _decode_objects(body: bytes, packet_id: int, counter: int | None, digest: str) -> Frame:
    battery: int | None = None
    presses: list[tuple[int, PressKind | None]] = []
    notes: list[Note] = []
    at = 0
    while at < len(body):
        end = at + 3 + body[at + 2] if at + 2 < len(body) else len(body) + 1
        if end > len(body):
            if not presses:
                raise AdvertFault("truncated", f"object at byte {at} of {len(body)}")
            notes.append(Note.TRUNCATED)
            break
        code, value = int.from_bytes(body[at : at + 2], "little"), body[at + 3 : end]
        if code in _BATTERIES and value:
            battery = value[0]
        elif (press := _press(code, value)) is not None:
            presses.append(press)
        at = end
    if battery is not None and battery > 100:
        battery = None
        notes.append(Note.BAD_BATTERY)
    if any(kind is PressKind.OTHER for _, kind in presses):
        notes.append(Note.UNKNOWN_EVENT)
    if not presses:
        notes.append(Note.HEARTBEAT)
    return Frame(packet_id, counter, counter is not None, battery, tuple(presses), digest, tuple(notes))


def _press(code: int, value: bytes) -> tuple[int, PressKind] | None:
    """The key, from 1, and how it was pressed; None for an object that is no button's."""
    if code == _BUTTON:
        if len(value) != 3:
            return 1, PressKind.OTHER
        return value[0] + 1, _KINDS.get(value[2], PressKind.OTHER)
    if code not in _PRESSES:
        return None
    key = value[0] + (code in _COUNTED_FROM_ZERO) if value else 1
    return max(key, 1), _PRESSES[code]
