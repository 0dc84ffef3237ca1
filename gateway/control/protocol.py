"""What goes over the socket: one JSON object a line. No I/O here.

A request is ``{"verb": "alerts", "arguments": {…}}``. Its answer is any number of ``{"item": {…}}`` lines and one last line:
``{"end": true}``, or ``{"error": reason, "detail": …}``. Without a last line the answer was cut off. A connection may carry
several requests, one after another.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from gateway.faults import LoudongError
from gateway.named_once import named_once

LONGEST_REQUEST = 64 * 1024
"""Bytes of a request line: a reason is a sentence, not a book."""


class Caller(Struct, frozen=True, forbid_unknown_fields=True):
    """Who asked the porter, as the kernel told him."""

    pid: int
    uid: int
    gid: int


class Request(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What somebody on this machine asks for."""

    verb: str
    arguments: dict[str, Any] = {}
    caller: Caller | None = None
    """From the porter alone, who is the daemon's own user (or root): for whom he asks. From anybody else it is refused."""


NO_DAEMON = "no_daemon"
"""The porter's own word: nobody answers behind him."""
UNSEEN = "?"
"""No login name has this letter (useradd(8))."""


class PeerCredentials(Struct, frozen=True):
    """Who asks, as the kernel says (unix(7), SO_PEERCRED); nothing of it comes from the asker's own words."""

    pid: int
    uid: int
    gid: int
    login: str
    """Login name; ``uid:1234`` where the system knows none, ``UNSEEN`` where the kernel does not tell us who it is."""
    is_vouched_for: bool = False
    """The porter says so, or is it himself: believed of a person who answers alerts, and of nobody who commands the gateway."""


class Line(Struct, frozen=True, omit_defaults=True):
    """One line of an answer."""

    item: dict[str, Any] | None = None
    end: bool = False
    error: str = ""
    detail: str = ""


class Refusal(LoudongError):
    """The daemon does not do what was asked; ``reason`` is a word-catalogue key."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


_requests = msgspec.json.Decoder(Request)
_lines = msgspec.json.Decoder(Line)


def encode(line: Line | Request) -> bytes:
    """One line with its end. Values msgspec knows (enums, structs, tuples) may stand in an item."""
    return msgspec.json.encode(line) + b"\n"


def decode_request(line: bytes) -> Request:
    """Raises ``Refusal("malformed")`` saying what is wrong with it."""
    try:
        named_once(line)
        return _requests.decode(line)
    except (ValueError, RecursionError) as error:  # msgspec's own, and that of a text that is none
        raise Refusal("malformed", str(error)) from None


def decode_line(line: bytes) -> Line:
    """Raises ``Refusal("malformed")`` where this is no line of an answer."""
    try:
        return _lines.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal("malformed", str(error)) from None
