"""Beacons whose frame changes while they are pressed: iBeacon, Eddystone, a flag byte, or whatever was learnt on site.

Such a button has no counter and no packet id. It sends one frame when idle and another when pressed; the site file says how
they look (``Sign``), and this module reads a frame by that. Pure.

Theory. Two signs give two certainties. Where only the pressed one is known, everything else is idle. Where the idle one is
known, every frame *of its kind* that is not the idle one is somebody pressing, maybe in a way the vendor calls double or
long: it alarms, and says that nobody described it. A frame of quite another kind (telemetry, another slot) shows that the
button lives, and no more.

Sources: Apple, Proximity Beacon Specification R1 (0x004C, 0x0215); github google/eddystone, protocol-specification.md;
docs.blueupbeacons.com, Configuration GATT firmware v6 (0x8800); developer.kontakt.io/hardware/button (UUID + 1 for 10 s);
github kkmhogen/KBeaconProDemo_Android, README 4.3.4; Minew MiniBeaconPlus, page 6 (0xFFE1 info frame).
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gateway.drivers.ble.frame import AdvertFault, Frame, Note, fingerprint, full_uuid
from gateway.events import PressKind
from gateway.site.model import Sign

APPLE = 0x004C
IBEACON = b"\x02\x15"
IBEACON_BYTES = 23  # 0215, UUID 16, major 2, minor 2, power at 1 m
EDDYSTONE = full_uuid("feaa")
BLUEUP = full_uuid("8800")
_UID, _URL, _TLM = b"\x00", b"\x10", b"\x20"
_UID_BYTES, _TLM_BYTES = 18, 14  # two more bytes of a UID are reserved, and some send them
_TLM_PLAIN = b"\x20\x00"
_BATTERY, _MINEW = full_uuid("180f"), full_uuid("ffe1")
_MINEW_INFO = b"\xa1\x08"
_EMPTY_MV, _FULL_MV = 2_200, 3_100
"""A 3 V coin cell as the reference decoder xiaomi-ble maps it; telemetry gives millivolts, people want per cent."""
_SCHEMES = ("http://www.", "https://www.", "http://", "https://")
_ENDINGS = tuple(
    f".{domain}{slash}" for slash in ("/", "") for domain in ["com", "org", "edu", "net", "info", "biz", "gov"]
)

Services = Mapping[str, bytes]
Makers = Mapping[int, bytes]


class Pattern(Struct, frozen=True):
    """One frame, as far as it is described: where it stands and which of its bits are known."""

    data: bytes
    mask: bytes
    service: str = ""
    """Full UUID of its service data; empty: it is manufacturer data."""
    company: int = 0
    prefix: bytes = b""
    """What makes a payload one of this kind, whatever else it says."""
    length: int | None = None
    """Exact length of its kind; None: at least as long as ``data``."""
    url: str = ""
    """An Eddystone URL is compared as text, for one text may be packed in several ways."""

    def find(self, services: Services, makers: Makers) -> bytes | None:
        """The payload of this kind in an advertisement, if there is one."""
        payload = services.get(self.service) if self.service else makers.get(self.company)
        if payload is None or not payload.startswith(self.prefix):
            return None
        fits = len(payload) >= len(self.data) if self.length is None else len(payload) == self.length
        return payload if fits else None

    def fits(self, payload: bytes) -> bool:
        """Whether a payload of this kind is this frame."""
        if self.url:
            return url_text(payload) == self.url
        return all((said ^ known) & bits == 0 for said, known, bits in zip(payload, self.data, self.mask, strict=False))


class BeaconRule(Struct, frozen=True):
    """How one button's frames are read; at least one of the two is given."""

    pressed: Pattern | None
    idle: Pattern | None


def beacon_rule(form: str, pressed: Sign | None, idle: Sign | None) -> BeaconRule:
    """The rule of a button of this format (ibeacon, eddystone, flag, learned) from the signs in its site file."""
    if form == "flag" and pressed is None:
        pressed = BLUEUP_SIGN
    return BeaconRule(pattern(form, pressed) if pressed else None, pattern(form, idle) if idle else None)


BLUEUP_SIGN = Sign(service="8800", mask="80")
"""BlueUp's flags: bit 7 of the only byte is ALARM_ACTIVE."""


def pattern(form: str, sign: Sign) -> Pattern:
    """What a sign means. Raises ``AdvertFault("bad_sign")`` where it is none; ``check`` finds that before."""
    try:
        return _PATTERNS[form](sign)
    except (ValueError, KeyError) as error:
        raise AdvertFault("bad_sign", str(error)) from error


def _ibeacon(sign: Sign) -> Pattern:
    uuid = bytes.fromhex(sign.uuid.replace("-", ""))
    parts = [(uuid, 16)] + [(b"" if n is None else n.to_bytes(2, "big"), 2) for n in (sign.major, sign.minor)]
    data = IBEACON + b"".join(part or bytes(size) for part, size in parts)
    mask = b"\xff\xff" + b"".join(bytes([0xFF if part else 0]) * size for part, size in parts)
    return Pattern(data, mask, company=APPLE, prefix=IBEACON, length=IBEACON_BYTES)


def _eddystone(sign: Sign) -> Pattern:
    if sign.url:
        return Pattern(b"", b"", EDDYSTONE, prefix=_URL, url=sign.url)
    parts = [(bytes.fromhex(sign.namespace), 10), (bytes.fromhex(sign.instance), 6)]
    data = _UID + b"\x00" + b"".join(part or bytes(size) for part, size in parts)
    mask = b"\xff\x00" + b"".join(bytes([0xFF if part else 0]) * size for part, size in parts)
    return Pattern(data, mask, EDDYSTONE, prefix=_UID)


def _flag(sign: Sign) -> Pattern:
    mask = bytes.fromhex(sign.mask)
    data = bytes.fromhex(sign.data) or mask
    return _placed(sign, bytes(sign.at) + data, bytes(sign.at) + mask, None)


def _learned(sign: Sign) -> Pattern:
    data = bytes.fromhex(sign.data)
    return _placed(sign, data, bytes.fromhex(sign.mask) or b"\xff" * len(data), len(data))


def _placed(sign: Sign, data: bytes, mask: bytes, length: int | None) -> Pattern:
    if sign.service:
        service = full_uuid(sign.service) if len(sign.service) == 4 else sign.service.lower()
        return Pattern(data, mask, service, length=length)
    return Pattern(data, mask, company=int(sign.company, 16), length=length)


_PATTERNS = {"ibeacon": _ibeacon, "eddystone": _eddystone, "flag": _flag, "learned": _learned}
FORMS = tuple(_PATTERNS)


def decode_beacon(rule: BeaconRule, services: Services, makers: Makers) -> Frame:
    """One advertisement of a button whose frames are read by ``rule``.

    ``services``: service data by full UUID; ``makers``: manufacturer data by company. A frame that says nothing of the button
    has neither press nor idle key, and only shows that it lives.
    """
    kind, payload, notes = _judge(rule, services, makers)
    battery = _battery(services)
    if battery is not None and battery > 100:
        battery, notes = None, (*notes, Note.BAD_BATTERY)
    presses = ((1, kind),) if payload is not None else ()
    if kind is None:
        notes = (*notes, Note.HEARTBEAT)
    return Frame(
        None,
        None,
        encrypted=False,
        battery_pct=battery,
        presses=presses,
        digest=fingerprint(payload or b""),
        notes=notes,
    )


def _judge(
    rule: BeaconRule, services: Services, makers: Makers
) -> tuple[PressKind | None, bytes | None, tuple[Note, ...]]:
    """Press (None: none), the payload that says so (None: nothing does), and doubts."""
    shown = rule.pressed.find(services, makers) if rule.pressed else None
    quiet = rule.idle.find(services, makers) if rule.idle else None
    if rule.pressed and shown is not None and rule.pressed.fits(shown):
        return PressKind.SINGLE, shown, ()
    if rule.idle and quiet is not None:
        if rule.idle.fits(quiet):
            return None, quiet, ()
        return (PressKind.OTHER, quiet, (Note.UNKNOWN_EVENT,)) if rule.pressed else (PressKind.SINGLE, quiet, ())
    if shown is not None and rule.idle is None:
        return None, shown, ()
    return None, None, ()


def _battery(services: Services) -> int | None:
    """Per cent, from whichever of the known frames says it."""
    if level := services.get(_BATTERY):
        return level[0]
    info = services.get(_MINEW, b"")
    if info.startswith(_MINEW_INFO) and len(info) > 2:
        return info[2]
    millivolts = tlm_millivolts(services.get(EDDYSTONE, b""))
    if millivolts is None:
        return None
    return round(100 * (min(max(millivolts, _EMPTY_MV), _FULL_MV) - _EMPTY_MV) / (_FULL_MV - _EMPTY_MV))


def tlm_millivolts(payload: bytes) -> int | None:
    """Battery voltage of a plain Eddystone TLM frame; None where this is none, or it does not know (0)."""
    if len(payload) != _TLM_BYTES or not payload.startswith(_TLM_PLAIN):
        return None
    return int.from_bytes(payload[2:4], "big") or None


def url_text(payload: bytes) -> str:
    """The text of an Eddystone URL frame; empty where this is none, or it uses a code the specification reserves."""
    if len(payload) < 3 or payload[:1] != _URL or payload[2] >= len(_SCHEMES):
        return ""
    text = _SCHEMES[payload[2]]
    for byte in payload[3:]:
        if byte < len(_ENDINGS):
            text += _ENDINGS[byte]
        elif 0x20 < byte < 0x7F:
            text += chr(byte)
        else:
            return ""
    return text


def describe(services: Services, makers: Makers) -> dict[str, object]:
    """What a beacon calls itself, for people who want to enrol it: the words are those of the site file."""
    maker, eddystone = makers.get(APPLE, b""), services.get(EDDYSTONE, b"")
    if maker.startswith(IBEACON) and len(maker) == IBEACON_BYTES:
        major, minor = (int.from_bytes(maker[at : at + 2], "big") for at in (18, 20))
        return {"format": "ibeacon", "uuid": _dashed(maker[2:18].hex()), "major": major, "minor": minor}
    if eddystone.startswith(_UID) and len(eddystone) >= _UID_BYTES:
        return {"format": "eddystone", "namespace": eddystone[2:12].hex(), "instance": eddystone[12:18].hex()}
    if url := url_text(eddystone):
        return {"format": "eddystone", "url": url}
    if (millivolts := tlm_millivolts(eddystone)) is not None:
        return {"format": "eddystone", "battery_mv": millivolts}
    return {}


def _dashed(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])).upper()
