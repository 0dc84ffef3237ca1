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

import re

from gateway.drivers.face import codes
from gateway.drivers.face.bodies import TOO_MANY, BodyFault, Scanner, Text
from gateway.drivers.face.documents import Document, parse_documents, read_documents
from gateway.drivers.face.scalars import (
    MAX_SERIAL,
    NO_ID,
    fingerprint,
    flag,
    is_fresh,
    iso_time,
    last_of_two,
    number,
    plain,
    text,
    time_doubts,
    word,
)
from gateway.drivers.face.terminal import (
    LONGEST_SERIAL,
    MAX_EVENTS,
    PERSONAL,
    SHORTEST_SERIAL,
    WRONG_DEVICE,
    Decoded,
    Terminal,
)
from gateway.events import Entry

_MAC = re.compile(r"[0-9a-f]{12}")
_SERIALS = ("shortSerialNumber", "deviceSerialNo", "deviceSerialNumber")
_VOLATILE = {"currentEvent", "frontSerialNo", "picturesNumber", "pictureURL", "attendanceStatus", "statusValue"}
"""Fields that may differ between a push and its resend."""


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
    documents, faults = read_documents(texts)
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
    beats = (one for one, (_, outcome) in zip(documents, found, strict=True) if outcome == "heartbeat")
    clock_off = next((_clock_off(beat, terminal, now_ms) for beat in beats), None)
    return Decoded(entries, outcome, tuple(fault.reason for fault in faults), device, clock_off)


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
    kind, state = word(document.get("eventType")), word(document.get("eventState"))
    if kind == "heartbeat" or (kind == "videoloss" and state == "inactive"):
        return [], "heartbeat"
    return [], "ignored"


def _clock_off(beat: Document, terminal: Terminal, now_ms: int | None) -> bool | None:
    """Whether a heartbeat, which is always of now, is dated otherwise; None where nobody can say."""
    time_ms, quality = iso_time(beat.get("dateTime"), terminal.zone)
    time_ms = last_of_two(time_ms, quality, terminal.zone, now_ms)
    return None if time_ms is None or now_ms is None else not is_fresh(time_ms, now_ms)


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
        named = [name for name in named if len(name) >= SHORTEST_SERIAL]
        wrong = bool(named) and not any(name.endswith(wanted) or wanted.endswith(name) for name in named)
    if wrong:
        raise BodyFault(WRONG_DEVICE)


def _device_of(document: Document) -> str:
    """What a terminal is known by, in the form in which it is compared."""
    mac = plain(document.get("macAddress"))
    if _MAC.fullmatch(mac):
        return mac
    named = (plain(document.get(name)) for name in _SERIALS)
    return next((name for name in named if SHORTEST_SERIAL <= len(name) <= LONGEST_SERIAL), "")


def _decode_event(event: Document, envelope: Document, terminal: Terminal, now_ms: int | None) -> Entry:
    major = number(event.get("majorEventType", event.get("major")))
    minor = number(event.get("subEventType", event.get("minor")))
    meaning = codes.meaning_of(major, minor)
    asks = flag(event.get("remoteCheck")) is True
    raw_time = envelope.get("dateTime", event.get("dateTime", event.get("time")))
    time_ms, time_quality = iso_time(raw_time, terminal.zone)
    granted = meaning.type == "access.granted" and not asks
    person = _person(event, terminal, granted=granted)
    seq = number(event.get("serialNo"), MAX_SERIAL)
    door = number(event.get("doorNo"))
    replay = flag(event.get("currentEvent"))
    known_by_ms, time_ms = time_ms, last_of_two(time_ms, time_quality, terminal.zone, now_ms)
    live = is_fresh(time_ms, now_ms) if replay is None else replay
    occurrence = [
        terminal.id,
        str(major),
        str(minor),
        str(seq),
        text(raw_time) if known_by_ms is None else str(known_by_ms),
        str(door),
        person or "",
        "asks" if asks else "",
        fingerprint(event, _VOLATILE) if seq is None else "",
    ]
    return Entry(
        terminal=terminal.id,
        type="access.verify_request" if asks else meaning.type,
        key=terminal.seal("entry\x1f" + "\x1f".join(occurrence)),
        code=f"{'?' if major is None else major}/{'?' if minor is None else minor}",
        door=None if door is None else str(door),
        direction=terminal.direction if meaning.type.startswith(PERSONAL) else "unknown",
        subject=_subject(meaning, person, word(event.get("userType")), granted=granted),
        person=person,
        credential=meaning.credential,
        seq=seq,
        prev_seq=number(event.get("frontSerialNo"), MAX_SERIAL),
        live=live,
        terminal_time_ms=time_ms,
        time_quality=time_quality,
        reason="remote_check" if asks else meaning.reason,
        liveness="fail" if meaning.not_live else "unknown",
        mask=word(event.get("mask")) if word(event.get("mask")) in {"yes", "no"} else "unknown",
        anomalies=_anomalies(meaning, seq, time_doubts(time_ms, now_ms, is_live=replay, clock_off=terminal.clock_off)),
    )


def _person(event: Document, terminal: Terminal, *, granted: bool) -> str | None:
    """The pseudonym of whom the terminal names.

    A card without a person has one of its own (``card:`` before its number), but only where it opened: an unknown card is
    a stranger's.
    """
    for name in ("employeeNoString", "employeeNo"):
        raw = text(event.get(name))
        # A number 0 is the vendor's "none" (dwEmployeeNo); as a string it would be an id somebody gave.
        if raw.lower() not in NO_ID and not (raw == "0" and name == "employeeNo"):
            return terminal.seal(f"{terminal.enrolment}:{raw}")
    card = text(event.get("cardNo"))
    if granted and card.lower() not in NO_ID and card.strip("0"):
        return terminal.seal(f"{terminal.enrolment}:card:{card}")
    return None


def _subject(meaning: codes.Meaning, person: str | None, user_type: str, *, granted: bool) -> str:
    if meaning.type == "alarm.blocklist" or user_type in {"blacklist", "blocklist"}:
        return "blocklisted"
    if granted and person is not None:
        return "known"
    return "stranger" if meaning.nobody_known and person is None else "unknown"


def _anomalies(meaning: codes.Meaning, seq: int | None, doubts: dict[str, bool]) -> tuple[str, ...]:
    found = {"unmapped_code": meaning.unmapped, "no_serial": seq is None, **doubts}
    return tuple(name for name, present in found.items() if present)
