"""One advertisement of one button, whatever family it is of: what it says, and what speaks against it.

Here live ``Frame``, the reasons to doubt one (``Note``), and what the decoders of all families share. A decoder turns bytes
into a ``Frame`` and raises nothing but ``AdvertFault``; whether a frame is a *new* press is the tracker's matter.
Pure: no clock, no I/O, no log.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

from msgspec import Struct

from gateway.events import PressKind
from gateway.faults import DeviceFault

KEY_BYTES = 16  # AES-128 (bthome.io/encryption; MiBeacon v4 and v5)
_MAC_BYTES = 6
_BASE_UUID = "0000{}-0000-1000-8000-00805f9b34fb"
"""Bluetooth Core, Vol 3 Part B, 2.5.1: a 16-bit UUID is short for this one."""


def full_uuid(short: str) -> str:
    """``fcd2`` as Bleak spells it."""
    return _BASE_UUID.format(short.lower())


class Note(StrEnum):
    """Named reason why a frame, or a part of it, means less than it might."""

    HEARTBEAT = "heartbeat"
    """Alive, and nobody pressed."""
    UNKNOWN_OBJECT = "unknown_object"
    """An object id without known length: what stands behind it, maybe a press, cannot be read."""
    UNKNOWN_EVENT = "unknown_event"
    """A button event no document names, or a frame that is neither the idle nor the pressed one; taken for a press."""
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
    UNSIGNED = "unsigned"
    """In clear from a button that has a key, and empty: no harm, and no proof of life either."""
    FOREIGN = "foreign"
    """No data of a button format we know, or of the one this button has."""
    NO_SIGN = "no_sign"
    """A beacon, of which nobody said how it looks when pressed."""


class AdvertFault(DeviceFault):
    """These bytes are no frame. ``reason``: truncated, unsupported_version, bad_address, bad_key, bad_hex, bad_line, bad_sign."""


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


def unreadable(note: Note, digest: str, *, encrypted: bool) -> Frame:
    """A frame that proves nothing. No counter of it is passed on: it must never move anybody's memory."""
    return Frame(None, None, encrypted=encrypted, battery_pct=None, presses=(), digest=digest, notes=(note,))


def fingerprint(payload: bytes) -> str:
    """16 hex digits that stand for these bytes."""
    return hashlib.blake2s(payload, digest_size=8).hexdigest()


def address_bytes(address: str) -> bytes:
    """``A4:C1:38:00:00:01`` as six bytes, in the order in which it is written. Raises ``AdvertFault("bad_address")``."""
    try:
        mac = bytes.fromhex(address.replace(":", ""))
    except ValueError as error:
        raise AdvertFault("bad_address", address) from error
    if len(mac) != _MAC_BYTES:
        raise AdvertFault("bad_address", address)
    return mac


def check_key(key: bytes | None) -> None:
    """Raises ``AdvertFault("bad_key")`` where a key has the wrong length."""
    if key is not None and len(key) != KEY_BYTES:
        raise AdvertFault("bad_key", f"{len(key)} bytes instead of {KEY_BYTES}")
