"""What a terminal says of itself: its clock, its identity, where it pushes to. Pure: pages of bytes in, facts out.

Pages are XML or JSON by the firmware's mood; fields are looked for by name, wherever they stand. Anything unreadable is
*not told*, never an error: these pages decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo

from msgspec import Struct

from gateway.drivers.face.bodies import BodyFault, Text
from gateway.drivers.face.documents import decode_text, parse_documents
from gateway.drivers.face.scalars import EPOCH, plain

TIME, DEVICE, HOSTS = "/ISAPI/System/time", "/ISAPI/System/deviceInfo", "/ISAPI/Event/notification/httpHosts"


class PushHost(Struct, frozen=True):
    """One place to which a terminal pushes."""

    path: str
    address: str
    port: int | None
    digest: bool
    https: bool


def clock_ms(page: bytes, zone: tzinfo | None) -> int | None:
    """The terminal's clock in ms since 1970; a time without offset is of ``zone``."""
    for name, value in _fields(page):
        if name == "localTime":
            try:
                when = datetime.fromisoformat(value)
                if when.tzinfo is None and zone is None:
                    return None
                return (when.replace(tzinfo=when.tzinfo or zone) - EPOCH) // timedelta(milliseconds=1)
            except (ValueError, OverflowError):
                return None
    return None


def identities(page: bytes) -> frozenset[str]:
    """MAC and serial numbers, in the form in which they are compared."""
    return frozenset(plain(value) for name, value in _fields(page) if name in {"macAddress", "serialNumber"} and value)


def push_hosts(page: bytes) -> list[PushHost]:
    """Where it pushes to; slots that are not filled in are left out."""
    found: list[PushHost] = []
    slot: dict[str, str] = {}
    for name, value in [*_fields(page), ("id", "")]:
        if name == "id" and slot:
            if slot.get("ipAddress", "0.0.0.0") != "0.0.0.0" or slot.get("hostName"):
                found.append(_host(slot))
            slot = {}
        slot.setdefault(name, value)
    return found


def _host(slot: dict[str, str]) -> PushHost:
    port = slot.get("portNo", "")
    return PushHost(
        path=slot.get("url", ""),
        address=slot.get("ipAddress") or slot.get("hostName", ""),
        port=int(port) if port.isascii() and port.isdecimal() and len(port) < 6 else None,
        digest=slot.get("httpAuthenticationMethod", "").lower().startswith(("md5digest", "digest")),
        https=slot.get("protocolType", "").upper() == "HTTPS",
    )


def _fields(page: bytes) -> list[tuple[str, str]]:
    """Every named scalar of a page, in its order."""
    try:
        documents = parse_documents(decode_text(Text(page)), 8)
    except BodyFault:
        return []
    return [pair for document in documents for pair in _scalars(document, 0)]


def _scalars(value: object, depth: int, name: str = "") -> Iterator[tuple[str, str]]:
    if depth > 16:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _scalars(inner, depth + 1, str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _scalars(inner, depth + 1, name)
    elif isinstance(value, str | int):
        yield name, str(value).strip()
