"""Terminals without an adapter: a body read by the mapping of the site file (``gateway/site/mapping.py``). Bytes in, entries out.

Pure. Of a body only what the mapping names is read; all else is dropped unread. A person leaves as a pseudonym; a word that
stands in no table leaves as nothing at all: it may be a name that a wrong path has found. So a type nobody mapped is
``access.unknown``, recorded and counted and never *granted*, and no raw value is ever shown.
"""

from __future__ import annotations

from msgspec import Struct

from gateway.drivers.face.bodies import TOO_MANY, BodyFault, Text
from gateway.drivers.face.documents import Document, read_documents
from gateway.drivers.face.scalars import (
    MAX_SERIAL,
    NO_ID,
    fingerprint,
    is_fresh,
    iso_time,
    last_of_two,
    number,
    plain,
    time_doubts,
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
from gateway.instant import SECOND
from gateway.site.mapping import DoorMapping, Lookup, Path, as_text

HEARTBEAT = "device.heartbeat"
UNMAPPED = "access.unknown"
_LONGEST_ID = 128
_LATEST_MS = 253_402_300_799_000  # 9999-12-31: no later time can be written


class _Missing(Struct, frozen=True):
    """Nothing stands there."""


_MISSING = _Missing()


def decode_texts(texts: list[Text], terminal: Terminal, now_ms: int | None) -> Decoded:
    """The text parts of one body, in their order. Raises BodyFault as the other adapters do."""
    mapping = terminal.mapping
    if mapping is None:
        raise BodyFault("no_mapping")
    documents, faults = read_documents(texts)
    entries: list[Entry] = []
    outcomes: set[str] = set()
    devices: list[str] = []
    for document in documents:
        for event in _events(document, mapping):
            if len(entries) >= MAX_EVENTS:
                raise BodyFault(TOO_MANY, f"more than {MAX_EVENTS} events")
            devices.append(_device(event, document, mapping, terminal))
            entry = _decode_event(event, mapping, terminal, now_ms)
            outcomes.add("heartbeat" if entry.type == HEARTBEAT else "events")
            entries += [] if entry.type == HEARTBEAT else [entry]
    outcome = next((o for o in ("events", "heartbeat") if o in outcomes), "ignored" if documents else "picture_only")
    return Decoded(tuple(entries), outcome, tuple(fault.reason for fault in faults), next(filter(None, devices), ""))


def _events(document: Document, mapping: DoorMapping) -> list[Document]:
    held = _at(document, mapping.events)
    return [item for item in (held if isinstance(held, list) else [held]) if isinstance(item, dict)]


def _decode_event(event: Document, mapping: DoorMapping, terminal: Terminal, now_ms: int | None) -> Entry:
    code, type_ = _looked_up(event, mapping.type)
    type_ = type_ or UNMAPPED
    named = as_text(_at(event, mapping.person))
    nobody = named in mapping.nobody
    person = None if nobody or named.lower() in NO_ID or len(named) > _LONGEST_ID else named
    pseudonym = None if person is None else terminal.seal(f"{terminal.enrolment}:{person}")
    seq, door = number(_at(event, mapping.seq), MAX_SERIAL), number(_at(event, mapping.door))
    time_ms, quality = _time(_at(event, mapping.time), mapping.time_form, terminal)
    said_live = _is_live(event, mapping)
    natural = as_text(_at(event, mapping.id))[:_LONGEST_ID]
    occurrence = [
        terminal.id, code, str(seq), str(time_ms), str(door), pseudonym or "", natural,
        "" if seq is not None or natural else fingerprint(event),
    ]  # fmt: skip
    time_ms = last_of_two(time_ms, quality, terminal.zone, now_ms)
    doubts = {
        "unmapped_code": not code,
        "no_serial": seq is None,
        **time_doubts(time_ms, now_ms, is_live=said_live),
    }
    return Entry(
        terminal=terminal.id,
        type=type_,
        key=terminal.seal("entry\x1f" + "\x1f".join(occurrence)),
        code=code or "?",
        door=None if door is None else str(door),
        direction=_direction(event, mapping, terminal, type_),
        subject=_subject(type_, known=pseudonym is not None, nobody=nobody),
        person=pseudonym,
        credential=(_looked_up(event, mapping.credential)[1] or "unknown") if mapping.credential else "unknown",
        seq=seq,
        live=is_fresh(time_ms, now_ms) if said_live is None else said_live,
        terminal_time_ms=time_ms,
        time_quality=quality,
        anomalies=tuple(name for name, present in doubts.items() if present),
    )


def _subject(type_: str, *, known: bool, nobody: bool) -> str:
    if type_ == "alarm.blocklist":
        return "blocklisted"
    if type_ == "access.granted" and known:
        return "known"
    return "stranger" if type_ == "access.denied" and nobody else "unknown"


def _direction(event: Document, mapping: DoorMapping, terminal: Terminal, type_: str) -> str:
    """The terminal's own word where the mapping knows it, else the site file's, and only for what a person does."""
    if not type_.startswith(PERSONAL):
        return "unknown"
    told = _looked_up(event, mapping.direction)[1] if mapping.direction else ""
    return told or terminal.direction


def _device(event: Document, document: Document, mapping: DoorMapping, terminal: Terminal) -> str:
    """Which device speaks, where the mapping knows (in the event, or around it). Raises BodyFault for another than ours."""
    if mapping.device is None:
        return ""
    found = next(
        (plain(_at(place, mapping.device)) for place in (event, document) if plain(_at(place, mapping.device))), ""
    )
    if not SHORTEST_SERIAL <= len(found) <= LONGEST_SERIAL:
        return ""
    if terminal.serial and plain(terminal.serial) != found:
        raise BodyFault(WRONG_DEVICE)
    return found


def _is_live(event: Document, mapping: DoorMapping) -> bool | None:
    """The terminal's own word on whether this happens now; None: it gives none."""
    if mapping.replay is None:
        return None
    said = _at(event, mapping.replay.path)
    return None if said is _MISSING or not as_text(said) else as_text(said) not in mapping.replay.values


def _time(raw: object, form: str, terminal: Terminal) -> tuple[int | None, str]:
    if form == "iso":
        return iso_time(raw, terminal.zone)
    whole: object = raw
    if isinstance(raw, str):
        whole = raw.partition(".")[0]
    elif isinstance(raw, float) and abs(raw) < _LATEST_MS:  # false for NaN
        whole = int(raw)
    since = number(whole, _LATEST_MS)
    scaled = None if since is None else since * (SECOND if form == "epoch_s" else 1)
    return (scaled, "offset") if scaled is not None and scaled <= _LATEST_MS else (None, "received")


def _looked_up(event: Document, lookup: Lookup) -> tuple[str, str]:
    """The word that stands there, if the table has it, and ours for it; both empty otherwise."""
    said = as_text(_at(event, lookup.path))
    return (said, lookup.values[said]) if said in lookup.values else ("", "")


def _at(value: object, path: Path | None) -> object:
    """What stands at the end of a path; ``_MISSING`` where it leads nowhere."""
    if path is None:
        return _MISSING
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else _MISSING
        else:
            value = value[step] if isinstance(value, dict) and step in value else _MISSING
    return value
