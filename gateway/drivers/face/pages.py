"""What a terminal says of itself: its clock, its identity, where it pushes to. Pure: pages of bytes in, facts out.

Pages are XML or JSON by the firmware's mood; fields are looked for by name, wherever they stand. Anything unreadable is
*not told*, never an error: these pages decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo

from msgspec import Struct

from gateway.drivers.face.bodies import BodyFault, Text
from gateway.drivers.face.documents import decode_text, parse_documents
from gateway.drivers.face.scalars import iso_time, last_of_two, plain
from gateway.instant import MINUTE

TIME, DEVICE, HOSTS = "/ISAPI/System/time", "/ISAPI/System/deviceInfo", "/ISAPI/Event/notification/httpHosts"
_HALF_MS = 30 * MINUTE
"""Half of the hour between two times that read alike: a terminal's clock may be ahead of ours."""


class PushHost(Struct, frozen=True):
    """One place to which a terminal pushes."""

    path: str
    address: str
    port: int | None
    digest: bool
    https: bool


def clock_ms(page: bytes, zone: tzinfo | None, now_ms: int | None = None) -> int | None:
    """The terminal's clock in ms since 1970; a time without offset is of ``zone``.

    One that comes twice, as summer time ends, is the one nearer to ``now_ms``, our own clock; the first, where we have none.
    """
    for name, value in _fields(page):
        if name == "localTime":
            told, quality = iso_time(value, zone)
            return last_of_two(told, quality, zone, None if now_ms is None else now_ms + _HALF_MS)
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
