"""What the upstream asks, read and checked: bytes from a hostile network to a ``Command`` or a named refusal. Pure.

Only form, freshness and right of way are judged here: is it a command, is it new, may this principal use this verb. Whether
the *person* may, and whether the alert allows it, is the core's to say.

Theory. A command can shut a siren up, so four things must hold before the core sees it: it was not retained (a broker would
repeat it to every new session), it is fresh (a broker may have kept it for days), it names a person by id, and its
principal, which the broker ties to its credentials through the topic, is listed in the site file for that verb. A command
delivered twice is harmless: the core answers a known ``command_id`` as before, and refuses what somebody recorded and sends
again (``rules/answered.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from gateway.events import COMMAND_AHEAD_MS, COMMAND_FRESH_MS, Command, Receipt, Verb
from gateway.instant import SECOND
from gateway.named_once import named_once

MAX_BYTES = 16 * 1024
"""A command is a few hundred bytes; nothing larger is even parsed."""
MAX_AGE_MS = COMMAND_FRESH_MS
MAX_AHEAD_MS = COMMAND_AHEAD_MS
MAX_SHELVE_S = 400 * 86_400
"""Longest duration the site file can name; the core allows far less for life-safety alerts."""
REASON_CHARS = 500

_VERBS = frozenset(verb.value for verb in Verb)
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_TOPIC = re.compile(r"commands/([^/]+)/([^/]+)")
_REPLY_LEAF = re.compile(r"[A-Za-z0-9._:/-]{1,200}")
# C0 and C1 controls, the separators that end a line, the marks that turn its direction (Unicode TR9), what has no width, and tags:
# what a person writes must neither forge a line of a log, nor steer a terminal, nor hold what nobody sees. Joiners may stay: scripts
# need them.
_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\U000e0000-\U000e007f]+"
)


class Refusal(StrEnum):
    """Why something from upstream never reached the core."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNKNOWN_VERB = "unknown_verb"
    RETAINED = "retained"
    STALE = "stale"
    """Older than ``MAX_AGE_MS``, or from the future."""
    WRONG_PRINCIPAL = "wrong_principal"
    """The site file does not give this principal this verb."""
    MISSING_WHO = "missing_who"
    """No person named, or not by id."""
    BAD_REPLY_TO = "bad_reply_to"
    """Answers go only below the principal's own topic."""
    TOO_MANY = "too_many"
    """Beyond what this principal may order of this verb (``restraint.py``); an earlier copy of it may have been carried out."""


class Parsed(Struct, frozen=True):
    """What became of one message: exactly one of ``command`` and ``refusal`` is set."""

    principal: str = ""
    """Empty where the topic names none: then there is nobody to answer."""
    command_id: str = ""
    command: Command | None = None
    refusal: Refusal | None = None
    reply_to: str = ""
    """Topic below the gateway's prefix, ``replies/{principal}`` or deeper."""
    verb: str = ""
    who: str = ""
    """As given, where they have the form of a verb and of a person's id; for the record of a refusal."""

    def refused(self, refusal: Refusal) -> Parsed:
        """A command that is none, after all."""
        verb, who = ("", "") if self.command is None else (self.command.verb.value, self.command.who)
        return msgspec.structs.replace(self, command=None, refusal=refusal, verb=verb, who=who)


class _Envelope(Struct):
    specversion: str = ""
    data: Raw = Raw()


# These patterns end in \Z: a $ would let a line feed through.
_CommandId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,64}\Z")]


class CommandBody(Struct):
    """What an upstream writes to ``commands/{principal}/{verb}``."""

    command_id: _CommandId
    issued_at: Annotated[str, Meta(max_length=40)]
    who: str = ""
    alert: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,64}\Z")] | None = None
    reason: str = ""
    for_s: Annotated[float, Meta(gt=0, le=MAX_SHELVE_S)] | None = None
    on_site: bool = False
    mistaken: bool = False
    button: Annotated[str, Meta(pattern=r"^[a-z0-9-]{0,64}\Z")] = ""
    resident: Annotated[str, Meta(pattern=r"^[a-z0-9-]{0,64}\Z")] = ""
    back: bool = False
    target: Annotated[str, Meta(pattern=r"^[a-z0-9/-]{0,200}\Z")] = ""
    priority: Annotated[str, Meta(pattern=r"^[a-z]{0,16}\Z")] = ""
    up_to: Annotated[str, Meta(pattern=r"^[a-z]{0,16}\Z")] = ""
    reply_to: str = ""


class _CommandName(Struct):
    command_id: _CommandId


class ReceiptBody(Struct):
    """What an upstream writes to ``receipts``."""

    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}/[0-9]{1,9}\Z")]
    """The form of an alert message's ``id``: nothing else of ours is receipted."""
    system: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,64}\Z")]
    received_at: Annotated[str, Meta(max_length=40)] = ""


_Body = TypeVar("_Body", CommandBody, _CommandName, ReceiptBody)


def parse_command(
    leaf: str,
    payload: bytes,
    *,
    retained: bool,
    wall_ms: int | None,
    principals: Mapping[str, tuple[str, ...]],
    response_topic: str = "",
    prefix: str = "",
) -> Parsed:
    """Read one message from ``commands/{principal}/{verb}``; never raises.

    ``leaf`` is the topic below the gateway's own ``prefix`` (which ends in a slash). ``wall_ms`` is None while the clock is
    not trusted: then freshness is not judged here, and the caller must see to it that nothing arrives which the broker kept
    (``Session`` does: it begins clean). ``response_topic`` is the one of MQTT 5, and goes before ``reply_to`` in the body.
    """
    match = _TOPIC.fullmatch(leaf)
    if match is None or not _ID.fullmatch(match[1]):
        return Parsed(refusal=Refusal.MALFORMED)
    principal, verb = match[1], match[2]
    default = f"replies/{principal}"
    if len(payload) > MAX_BYTES:
        return Parsed(principal, refusal=Refusal.TOO_LARGE, reply_to=default)
    body = _decode(payload, CommandBody)
    if body is None:
        named = _decode(payload, _CommandName)
        return Parsed(principal, named.command_id if named else "", None, Refusal.MALFORMED, default)
    wanted = _below(response_topic or body.reply_to, prefix) or default
    answerable = wanted == default or (wanted.startswith(f"{default}/") and bool(_REPLY_LEAF.fullmatch(wanted)))
    refusal = _judge(body, verb, principals.get(principal, ()), retained=retained, wall_ms=wall_ms)
    if not answerable:
        wanted, refusal = default, refusal or Refusal.BAD_REPLY_TO
    if refusal is not None:
        known, who = verb if verb in _VERBS else "", body.who if _ID.fullmatch(body.who) else ""
        return Parsed(principal, body.command_id, None, refusal, wanted, known, who)
    return Parsed(principal, body.command_id, _command(body, principal, Verb(verb)), None, wanted)


def _judge(
    body: CommandBody, verb: str, allowed: tuple[str, ...], *, retained: bool, wall_ms: int | None
) -> Refusal | None:
    issued_ms = _issued_ms(body.issued_at)
    if issued_ms is None:
        return Refusal.MALFORMED
    if retained:
        return Refusal.RETAINED
    if verb not in _VERBS:
        return Refusal.UNKNOWN_VERB
    if verb not in allowed:
        return Refusal.WRONG_PRINCIPAL
    if wall_ms is not None and not -MAX_AHEAD_MS <= wall_ms - issued_ms <= MAX_AGE_MS:
        return Refusal.STALE
    return None if _ID.fullmatch(body.who) else Refusal.MISSING_WHO


def _command(body: CommandBody, principal: str, verb: Verb) -> Command:
    return Command(
        command_id=body.command_id,
        principal=principal,
        who=body.who,
        verb=verb,
        alert=body.alert,
        reason=printable(body.reason)[:REASON_CHARS].rstrip(),
        for_ms=None if body.for_s is None else round(body.for_s * SECOND),
        on_site=body.on_site,
        mistaken=body.mistaken,
        button=body.button,
        issued_at_ms=_issued_ms(body.issued_at),
        resident=body.resident,
        back=body.back,
        target=body.target,
        priority=body.priority,
        up_to=body.up_to,
    )


def parse_receipt(uplink: str, payload: bytes) -> Receipt | Refusal:
    """Read one message from ``receipts``: ``{id, received_at, system}``; never raises.

    Whether such a message was ever sent is not known here, only that its id has the form of one.
    """
    if len(payload) > MAX_BYTES:
        return Refusal.TOO_LARGE
    body = _decode(payload, ReceiptBody)
    if body is None:
        return Refusal.MALFORMED
    return Receipt(uplink=uplink, message_id=body.id, system=body.system, received_at=printable(body.received_at))


def printable(text: str) -> str:
    """What a person wrote, on one line and without characters that steer a terminal: each run of them is one blank."""
    return _CONTROL.sub(" ", text).strip()


def _decode(payload: bytes, body: type[_Body]) -> _Body | None:
    """The body, bare or as the ``data`` of a CloudEvent; None for anything else.

    A name that stands twice in one object is refused (``named_once``).

    ValueError is msgspec's DecodeError and Python's UnicodeDecodeError; RecursionError comes of 16 KiB of brackets.
    """
    try:
        named_once(payload)
        envelope = msgspec.json.decode(payload, type=_Envelope)
        inner = envelope.data if envelope.specversion and bytes(envelope.data) else payload
        return msgspec.json.decode(inner, type=body)
    except (ValueError, RecursionError):
        return None


def _issued_ms(text: str) -> int | None:
    """RFC 3339 with its offset, in milliseconds since 1970; a time without offset means nothing to us."""
    try:
        moment = datetime.fromisoformat(text)
        return None if moment.tzinfo is None else round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _below(full_topic: str, prefix: str) -> str:
    """The part of an asked-for reply topic below our prefix; a topic elsewhere comes back whole, and is refused."""
    return full_topic.removeprefix(prefix) if full_topic else ""
