"""``loudong decode`` for one ``kind: face`` object (contract: Commands): what one body, history page or stream says. Stateless."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.drivers.face.adapters import ADAPTERS, GENERIC
from gateway.drivers.face.bodies import BodyFault, Scanner
from gateway.drivers.face.persons import sealer
from gateway.drivers.face.scalars import iso_text, text
from gateway.drivers.face.terminal import Terminal
from gateway.events import Entry
from gateway.nodes import Faults
from gateway.site.mapping import DoorMapping, mapping_of
from gateway.site.report import sentence


def decode_line(line: Mapping[str, object], *, key: bytes = b"", now_ms: int | None = None) -> dict[str, object]:
    """One line: ``{"kind": "face", "vendor": "hikvision", …}`` to events or error.

    Optional beside the contract's fields: ``enrolment``, ``direction``, ``timezone``, ``serial``, ``content_encoding``;
    ``mapping`` with vendor ``generic``, as in the site file. ``key`` is the site's pseudonym key; without it pseudonyms are
    well-formed but can be undone by trial, so only the daemon's own are worth keeping.
    """
    vendor = line.get("vendor") if isinstance(line, Mapping) else None
    if not isinstance(vendor, str) or vendor not in ADAPTERS or line.get("kind") != "face":
        return {"error": "unknown_vendor", "detail": " | ".join(ADAPTERS)}
    try:
        terminal = Terminal(
            id=text(line.get("terminal")),
            seal=sealer(key),
            enrolment=text(line.get("enrolment")) or "default",
            direction=text(line.get("direction")) or "unknown",
            zone=_zone(text(line.get("timezone"))),
            serial=text(line.get("serial")),
            mapping=_mapping(line) if vendor == GENERIC else None,
        )
        scanner = Scanner(text(line.get("content_type")), text(line.get("content_encoding")))
        scanner.feed(_unbase64(line.get("body_base64")))
        decoded = ADAPTERS[vendor](scanner.close(), terminal, now_ms)
    except BodyFault as fault:
        return {"error": fault.reason, "detail": fault.detail}
    answer: dict[str, object] = {"events": [_shown(entry) for entry in decoded.entries], "reply": {"status": 200}}
    if decoded.outcome != "events":
        answer["outcome"] = decoded.outcome
    if decoded.faults:
        answer["faults"] = list(decoded.faults)
    return answer


def _mapping(line: Mapping[str, object]) -> DoorMapping:
    """The mapping given with the line. Raises BodyFault ``bad_mapping`` that says all its faults."""
    faults = Faults()
    mapping = mapping_of(line.get("mapping"), faults, "mapping")
    if mapping is None or faults.errors:
        raise BodyFault("bad_mapping", " ".join(sentence(fault, "en") for fault in faults.errors))
    return mapping


def _zone(name: str) -> ZoneInfo | None:
    """The zone of times without offset; none where none (or none that is known) is given."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BodyFault("unknown_zone") from None


def _unbase64(value: object) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "?", validate=True)
    except (binascii.Error, ValueError):
        pass
    raise BodyFault("bad_base64", "body_base64")


def _shown(entry: Entry) -> dict[str, object]:
    shown: dict[str, object] = {name: getattr(entry, name) for name in Entry.__struct_fields__}
    time_ms = shown.pop("terminal_time_ms")
    shown["terminal_time"] = None if not isinstance(time_ms, int) else iso_text(time_ms)
    shown["anomalies"] = list(entry.anomalies)
    return shown
