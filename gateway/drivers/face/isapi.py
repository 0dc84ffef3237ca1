"""Hikvision: what a terminal pushes (ISAPI AccessControllerEvent) becomes entries. Bytes in, ``gateway.events.Entry`` out.

Pure: reads no clock, holds no state; the same body gives the same entries, so a resend has the same keys.
Privacy is kept *here*: of a body only the fields named below are ever read, the person's id leaves as a pseudonym, and
no name, card, picture, identity-card field or user name can reach an entry, an error or a log (facts/face 0.9, 5).

Theory. **Subject**: *known* means the terminal granted access to somebody it names; *blocklisted* is the terminal's own
verdict; *stranger* means it compared a face, finger or card with its whole list and found nobody (codes marked so in
``codes.py``) and named nobody; all else is *unknown*: a resident with an expired card, a mistyped number, a spoofed face.
A stranger has no pseudonym on purpose: two strangers cannot be told from one who came twice, they can only be counted.
**Live**: ``currentEvent: false`` is a replay from the terminal's log, recorded and never acted on. Where the field is missing,
an event is live only if its time is within 5 s ahead to 90 s behind a synchronised gateway clock (facts/face 0.3).
**Direction** is the site file's, and only for what a person does at the reader; the terminal does not say.
**A question** (``remoteCheck``) is recorded as ``access.verify_request``; the reply to it is the same empty 200 as to all.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo

from msgspec import Struct

from gateway.drivers.face import codes
from gateway.drivers.face.bodies import MAX_BODY, TOO_MANY, BodyFault, Scanner, Text
from gateway.drivers.face.documents import Document, decode_text, parse_documents
from gateway.drivers.face.persons import Seal, sealer
from gateway.events import Entry
from gateway.instant import SECOND

AHEAD_MS, BEHIND_MS = 5 * SECOND, 90 * SECOND
"""Facts/face 0.3: a terminal's clock may lead a little, its push may lag."""
CLOCK_OFF_MS = 60 * SECOND
"""Facts/face 4, last default: a live event dated further off than this tells of a wrong terminal clock."""

WRONG_DEVICE, NOT_PAIRED = "wrong_device", "not_paired"
"""Reasons of a ``BodyFault``, and of a door's bad health: another device than the one known; none is known yet."""

UNPROVEN = "freshness_unproven"
"""Anomaly of an event of which nobody can say whether it is live."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_ID = {"", "null", "none"}
_MAX_SERIAL = 2**53
_MAX_CODE = 0xFFFF
"""Codes and door numbers are 16-bit words in the vendor's SDK; a longer number there is something else, and may be personal."""
_PERSONAL = ("access.", "alarm.duress", "alarm.blocklist")
_MAC = re.compile(r"[0-9a-f]{12}")
_SERIALS = ("shortSerialNumber", "deviceSerialNo", "deviceSerialNumber")
_SHORTEST_SERIAL = 6
"""Ours: fewer characters identify no device, and would fit the end of many a serial."""
_LONGEST_SERIAL = 64
MAX_DOCUMENTS, MAX_EVENTS = 64, 256
"""Of one body. Terminals push one event, at most a history page of 30 (facts/face 1.1); the rest is room, and a bound on
how long one body may hold up everybody else's."""
_VOLATILE = {"currentEvent", "frontSerialNo", "picturesNumber", "pictureURL", "attendanceStatus", "statusValue"}
"""Fields that may differ between a push and its resend."""


class Terminal(Struct, frozen=True):
    """What the adapter must know of one terminal; from the site file."""

    id: str
    seal: Seal
    enrolment: str = "default"
    direction: str = "unknown"
    zone: tzinfo | None = None
    """For times without an offset; None: such times are not believed."""
    serial: str = ""
    """Device serial or MAC that a body must name, if it names one of the same sort; empty: any."""


class Decoded(Struct, frozen=True):
    """What one body held."""

    entries: tuple[Entry, ...]
    outcome: str
    """events | heartbeat | ignored | picture_only"""
    faults: tuple[str, ...] = ()
    """Reasons of the parts that could not be read beside others that could."""
    device: str = ""
    """What the body calls its device: a MAC (12 hex digits), else a serial number; empty: it names none."""

    @property
    def unmapped(self) -> int:
        """How many entries carry a code that is not in the table."""
        return sum("unmapped_code" in entry.anomalies for entry in self.entries)


def decode(body: bytes, content_type: str, terminal: Terminal, now_ms: int | None) -> Decoded:
    """All of one body. ``now_ms`` is wall time since 1970, None while the gateway's clock is not synchronised.

    Raises BodyFault where nothing in it can be read, or ``wrong_device`` where it names another device.
    """
    scanner = Scanner(content_type)
    scanner.feed(body)
    return decode_texts(scanner.close(), terminal, now_ms)


def decode_texts(texts: list[Text], terminal: Terminal, now_ms: int | None) -> Decoded:
    """The text parts of one body, in their order.

    One broken part does not cost the others: the terminal would resend the same body for ever (facts/face 0.4). Only
    where no part at all can be read does the first fault rise. A body that holds ``too_many`` is refused whole.
    """
    documents: list[Document] = []
    faults: list[BodyFault] = []
    room = MAX_BODY  # parts may be packed, each for itself
    for text in texts:
        try:
            plain = decode_text(text)
            room -= len(plain)
            documents += parse_documents(plain, MAX_DOCUMENTS - len(documents)) if room >= 0 else []
        except BodyFault as fault:
            if fault.reason == TOO_MANY:
                raise
            faults.append(fault)
    if room < 0:
        raise BodyFault("too_large", f"text over {MAX_BODY} characters")
    if faults and not documents:
        raise faults[0]
    documents = [_unwrap(document) for document in documents]
    held = [_access_events(document) for document in documents]
    if sum(map(len, held)) > MAX_EVENTS:
        raise BodyFault(TOO_MANY, f"more than {MAX_EVENTS} events")
    found = [
        _decode_document(document, events, terminal, now_ms) for document, events in zip(documents, held, strict=True)
    ]
    entries = tuple(entry for entries, _ in found for entry in entries)
    outcomes = {outcome for _, outcome in found} or {"picture_only"}
    outcome = next(o for o in ("events", "heartbeat", "ignored", "picture_only") if o in outcomes)
    device = next(filter(None, map(_device_of, documents)), "")
    return Decoded(entries, outcome, tuple(fault.reason for fault in faults), device)


def _unwrap(document: Document) -> Document:
    """Some firmware wraps the envelope once more."""
    inner = document.get("EventNotificationAlert")
    return inner if isinstance(inner, dict) else document


def _decode_document(
    document: Document, events: list[Document], terminal: Terminal, now_ms: int | None
) -> tuple[list[Entry], str]:
    _check_device(document, terminal)
    if events:
        return [_decode_event(event, document, terminal, now_ms) for event in events], "events"
    kind, state = _word(document.get("eventType")), _word(document.get("eventState"))
    if kind == "heartbeat" or (kind == "videoloss" and state == "inactive"):
        return [], "heartbeat"
    return [], "ignored"


def _access_events(document: Document) -> list[Document]:
    """The events of a push (one or a list), or the rows of a history page (``AcsEvent`` › ``InfoList``)."""
    held = document.get("AccessControllerEvent")
    if isinstance(held, str) and held.lstrip().startswith("{"):
        held = parse_documents(held, MAX_EVENTS)
    page = document.get("AcsEvent")
    if isinstance(page, dict):
        held = page.get("InfoList")
    return [item for item in (held if isinstance(held, list) else [held]) if isinstance(item, dict)]


def _check_device(document: Document, terminal: Terminal) -> None:
    """Refuse a body that names its device, and names another than the site file.

    Like is compared with like: a MAC with a MAC, a serial with a serial, which may come shortened. ``deviceID`` is
    whatever somebody typed into the terminal: it can confirm, never refuse.
    """
    wanted = plain(terminal.serial)
    if not wanted or plain(document.get("deviceID")) == wanted:
        return
    if _MAC.fullmatch(wanted):
        mac = plain(document.get("macAddress"))
        wrong = _MAC.fullmatch(mac) is not None and mac != wanted
    else:
        named = [plain(document.get(name)) for name in _SERIALS]
        named = [name for name in named if len(name) >= _SHORTEST_SERIAL]
        wrong = bool(named) and not any(name.endswith(wanted) or wanted.endswith(name) for name in named)
    if wrong:
        raise BodyFault(WRONG_DEVICE)


def _device_of(document: Document) -> str:
    """What a terminal is known by, in the form in which it is compared."""
    mac = plain(document.get("macAddress"))
    if _MAC.fullmatch(mac):
        return mac
    named = (plain(document.get(name)) for name in _SERIALS)
    return next((name for name in named if _SHORTEST_SERIAL <= len(name) <= _LONGEST_SERIAL), "")


def _decode_event(event: Document, envelope: Document, terminal: Terminal, now_ms: int | None) -> Entry:
    major = _number(event.get("majorEventType", event.get("major")))
    minor = _number(event.get("subEventType", event.get("minor")))
    meaning = codes.meaning_of(major, minor)
    asks = _flag(event.get("remoteCheck")) is True
    raw_time = envelope.get("dateTime", event.get("dateTime", event.get("time")))
    time_ms, time_quality = _terminal_time(raw_time, terminal.zone)
    granted = meaning.type == "access.granted" and not asks
    person = _person(event, terminal, granted=granted)
    seq = _number(event.get("serialNo"), _MAX_SERIAL)
    door = _number(event.get("doorNo"))
    replay = _flag(event.get("currentEvent"))
    live = _is_fresh(time_ms, now_ms) if replay is None else replay
    occurrence = [
        terminal.id,
        str(major),
        str(minor),
        str(seq),
        _text(raw_time) if time_ms is None else str(time_ms),
        str(door),
        person or "",
        "asks" if asks else "",
        _fingerprint(event) if seq is None else "",
    ]
    return Entry(
        terminal=terminal.id,
        type="access.verify_request" if asks else meaning.type,
        key=terminal.seal("entry\x1f" + "\x1f".join(occurrence)),
        code=f"{'?' if major is None else major}/{'?' if minor is None else minor}",
        door=None if door is None else str(door),
        direction=terminal.direction if meaning.type.startswith(_PERSONAL) else "unknown",
        subject=_subject(meaning, person, _word(event.get("userType")), granted=granted),
        person=person,
        credential=meaning.credential,
        seq=seq,
        prev_seq=_number(event.get("frontSerialNo"), _MAX_SERIAL),
        live=live,
        terminal_time_ms=time_ms,
        time_quality=time_quality,
        reason="remote_check" if asks else meaning.reason,
        liveness="fail" if meaning.not_live else "unknown",
        mask=_word(event.get("mask")) if _word(event.get("mask")) in {"yes", "no"} else "unknown",
        anomalies=_anomalies(meaning, seq, time_ms, now_ms, replay),
    )


def _person(event: Document, terminal: Terminal, *, granted: bool) -> str | None:
    """The pseudonym of whom the terminal names.

    A card without a person has one of its own (``card:`` before its number), but only where it opened: an unknown card is
    a stranger's.
    """
    for name in ("employeeNoString", "employeeNo"):
        raw = _text(event.get(name))
        # A number 0 is the vendor's "none" (dwEmployeeNo); as a string it would be an id somebody gave.
        if raw.lower() not in _NO_ID and not (raw == "0" and name == "employeeNo"):
            return terminal.seal(f"{terminal.enrolment}:{raw}")
    card = _text(event.get("cardNo"))
    if granted and card.lower() not in _NO_ID and card.strip("0"):
        return terminal.seal(f"{terminal.enrolment}:card:{card}")
    return None


def _subject(meaning: codes.Meaning, person: str | None, user_type: str, *, granted: bool) -> str:
    if meaning.type == "alarm.blocklist" or user_type in {"blacklist", "blocklist"}:
        return "blocklisted"
    if granted and person is not None:
        return "known"
    return "stranger" if meaning.nobody_known and person is None else "unknown"


def _is_fresh(time_ms: int | None, now_ms: int | None) -> bool:
    return time_ms is not None and now_ms is not None and -AHEAD_MS <= now_ms - time_ms <= BEHIND_MS


def _anomalies(
    meaning: codes.Meaning, seq: int | None, time_ms: int | None, now_ms: int | None, replay: bool | None
) -> tuple[str, ...]:
    dated = time_ms is not None and now_ms is not None
    found = {
        "unmapped_code": meaning.unmapped,
        "no_serial": seq is None,
        "no_time": time_ms is None,
        UNPROVEN: replay is None and not dated,
        "clock_off": replay is True and dated and abs((now_ms or 0) - (time_ms or 0)) > CLOCK_OFF_MS,
    }
    return tuple(name for name, present in found.items() if present)


def _terminal_time(raw: object, zone: tzinfo | None) -> tuple[int | None, str]:
    """Milliseconds since 1970 and how far to believe them: ``offset``, ``assumed_tz``, or ``received`` (none usable)."""
    try:
        when = datetime.fromisoformat(_text(raw))
        quality = "offset"
        if when.tzinfo is None:
            if zone is None:
                return None, "received"
            when, quality = when.replace(tzinfo=zone), "assumed_tz"
        return (when - EPOCH) // timedelta(milliseconds=1), quality
    except (ValueError, OverflowError):
        return None, "received"


def _fingerprint(event: Document) -> str:
    """Stands in for the serial number of an event that has none, so that two of one second stay two. Sealed, never shown."""
    lasting = {name: value for name, value in event.items() if name not in _VOLATILE}
    return json.dumps(lasting, sort_keys=True, default=str)


def _number(value: object, most: int = _MAX_CODE) -> int | None:
    """A counter or code: a number, its decimal text, or hexadecimal text ("0x4b"); None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    if isinstance(value, str):
        text = value.strip().lower()
        if not re.fullmatch(r"0x[0-9a-f]{1,13}|[0-9]{1,15}", text, re.ASCII):
            return None
        value = int(text, 16 if text.startswith("0x") else 10)
    return value if 0 <= value <= most else None


def _flag(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "1": True, "false": False, "0": False, "2": False}.get(_text(value).lower())


def _text(value: object) -> str:
    """A scalar as text; nothing else has one."""
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _word(value: object) -> str:
    return _text(value).lower()


def plain(value: object) -> str:
    """An id of a device in the form in which it is compared: lower case, letters and digits only."""
    return "".join(letter for letter in _word(value) if letter.isalnum())


def decode_line(line: Mapping[str, object], *, key: bytes = b"", now_ms: int | None = None) -> dict[str, object]:
    """One line of ``loudong decode`` (contract: Commands): ``{"kind": "face", "vendor": "hikvision", …}`` to events or error.

    Optional beside the contract's fields: ``enrolment``, ``direction``. ``key`` is the site's pseudonym key; without it
    pseudonyms are well-formed but can be undone by trial, so only the daemon's own are worth keeping.
    """
    vendor = line.get("vendor") if isinstance(line, Mapping) else None
    if not isinstance(vendor, str) or vendor not in VENDORS or line.get("kind") != "face":
        return {"error": "unknown_vendor", "detail": " | ".join(VENDORS)}
    try:
        terminal = Terminal(
            id=_text(line.get("terminal")),
            seal=sealer(key),
            enrolment=_text(line.get("enrolment")) or "default",
            direction=_text(line.get("direction")) or "unknown",
        )
        decoded = decode(_unbase64(line.get("body_base64")), _text(line.get("content_type")), terminal, now_ms)
    except BodyFault as fault:
        return {"error": fault.reason, "detail": fault.detail}
    answer: dict[str, object] = {"events": [_shown(entry) for entry in decoded.entries], "reply": {"status": 200}}
    if decoded.outcome != "events":
        answer["outcome"] = decoded.outcome
    if decoded.faults:
        answer["faults"] = list(decoded.faults)
    return answer


def _unbase64(value: object) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "?", validate=True)
    except (binascii.Error, ValueError):
        pass
    raise BodyFault("bad_base64", "body_base64")


def _shown(entry: Entry) -> dict[str, object]:
    shown: dict[str, object] = {name: getattr(entry, name) for name in Entry.__struct_fields__}
    time_ms = shown.pop("terminal_time_ms")
    shown["terminal_time"] = None if not isinstance(time_ms, int) else _iso(time_ms)
    shown["anomalies"] = list(entry.anomalies)
    return shown


def _iso(time_ms: int) -> str:
    return (EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds")


VENDORS: dict[str, Callable[[list[Text], Terminal, int | None], Decoded]] = {"hikvision": decode_texts}
"""Adapters by vendor, as the site file names them."""
