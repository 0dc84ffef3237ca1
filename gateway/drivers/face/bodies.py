"""What a terminal puts into one HTTP body: the text parts found and unpacked while it arrives, pictures thrown away.

Pure: bytes in, bytes out; what the text says is ``documents.py``'s business. Nothing that stood in a body may stand in an
error: a ``BodyFault`` names a reason and a place, never content.

Theory. Terminals do not write the multipart of RFC 7578: the boundary in the header differs from the one in the body, parts
are named at will, ``Content-Length`` is wrong, the last boundary is missing, lines end in LF, a part is gzipped, a "multipart"
body is bare JSON (facts/face 0.4: five framework parsers lost 4 to 7 of 17 real bodies). So nothing declared is trusted: a
line ``--x`` is a boundary when it is the one seen before or when part headers follow it, and a part is text when it *looks*
like JSON, XML or gzip, whatever it is called. A picture is dropped while it arrives and never held whole.
"""

from __future__ import annotations

import re
import zlib
from typing import Protocol

from msgspec import Struct

from gateway.faults import LoudongError

MAX_BODY = 4 * 1024 * 1024
"""Facts/face 2.2: a picture of 3 MiB must pass; also the bound on what a packed body may unpack to."""
MAX_TEXT = 1024 * 1024
"""An event is under 8 KiB of text; the rest is room for pictures some firmware writes inline as base64."""
MAX_PARTS = 64
"""Of any kind. A push has two or three; every boundary costs far more time than its few bytes are worth."""
TOO_MANY = "too_many"
"""``BodyFault.reason``: more parts, documents or events than one body may hold."""
_MAX_HEADERS = 16 * 1024
_LOOKAHEAD = 256
_MAX_LINE = 200
"""A boundary has at most 70 characters (RFC 2046, 5.1.1); its line and the start of the header behind it fit in here."""
_SNIFF = 64
_UNLIKELY = 6
"""A boundary of so many characters does not stand in a picture by chance, so it needs no line of its own."""

_TOKEN = re.compile(rb"[\x21-\x7e][\x20-\x7e]*")
_BEHIND = re.compile(rb"content-[a-z-]+[ \t]*:|\r?\n|\Z", re.IGNORECASE)
_BLANKS = rb"[ \t\r\x0b\x0c]{0,40}+"
_LINE_END = rb"(?:--)?" + _BLANKS + rb"(?:\n|\Z)"
_NEW = re.compile(
    rb"\n--(?!--" + _BLANKS + rb"(?:\n|\Z))[\x21-\x7e][\x20-\x7e]{0,196}+(?:[\t\r\x0b\x0c]" + _BLANKS + rb")?"
    rb"(?:\n(?:(?i:content-[a-z-]{1,40}+)[ \t]{0,40}+:|\r?\n|\Z)|\Z)"
)
"""Where a boundary not seen before may stand: a line of its own, and part headers behind it. Everything in it is bounded and
possessive, so that a search takes time in proportion to the bytes whatever they are."""
_NEWLINE = 0x0A
_HEADER = re.compile(rb"[A-Za-z][A-Za-z0-9-]*[ \t]*:")
_CHARSET = re.compile(rb"charset[ \t]*=[ \t]*\"?([A-Za-z0-9_-]+)", re.IGNORECASE)


class BodyFault(LoudongError):
    """A body cannot be read; the terminal is told so, and it is counted under its reason."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """``reason`` is a named reason (``truncated``, ``bad_json`` …); ``detail`` a place or a limit, never content."""
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


class Text(Struct, frozen=True):
    """A part that looks like JSON or XML, still in bytes."""

    data: bytes
    charset: str = ""
    """As declared in the part's headers, lower case; empty: not declared."""


class _Boundary(Struct, frozen=True):
    """A line that may part two parts."""

    start: int
    """Where its dashes (or the line break before them) stand."""
    end: int
    """Just past its line."""
    token: bytes
    closing: bool


class Scanner:
    """Takes one body as it arrives and keeps its text parts.

    ``feed`` any number of chunks, then ``close`` once. Both raise BodyFault. ``ended`` tells whether the closing boundary
    was seen; a body without one ends with the connection.
    """

    def __init__(self, content_type: str = "", content_encoding: str = "") -> None:
        """Both are taken as hints only."""
        self.ended = False
        self.pictures = 0
        self._charset = _charset(content_type.encode("latin-1", "replace"))
        self._unpacker = _Unpacker(content_encoding)
        self._buffer = bytearray()
        self._texts: list[Text] = []
        self._token = b""
        self._known: re.Pattern[bytes] | None = None
        self._parts = 0
        self._state = "start"
        self._part_charset = ""
        self._part_headers = 0
        self._kept: bool | None = None
        """Whether the payload under way is text; None while too little of it is known."""
        self._scanned = 0

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the body."""
        for piece in self._unpacker.unpack(chunk):
            self._buffer += piece
            self._advance(final=False)

    def take(self) -> list[Text]:
        """The text parts whose end has come, for a stream without end; what bounds one body bounds what lies between two calls."""
        texts, self._texts = self._texts, []
        if texts or self._parts:
            self._parts = self._unpacker.passed = 0
        return texts

    @property
    def holds_text(self) -> bool:
        """Whether a text part is under way, its headers behind it."""
        return self._state == "payload" and self._kept is not False and bool(self._buffer.strip())

    @property
    def waiting(self) -> bytes:
        """What has come and is not yet told apart: too little for that, or the end of something dropped."""
        return b"" if self._state == "headers" else bytes(self._buffer)

    def close(self) -> list[Text]:
        """No more bytes come: the text parts in their order. Raises BodyFault ``empty`` for a body of nothing."""
        for piece in self._unpacker.finish():
            self._buffer += piece
        self._advance(final=True)
        if self._unpacker.cut_short and not self._texts:
            raise BodyFault("truncated", "packed body ends early")
        if not self._texts and not self.pictures:
            raise BodyFault("empty" if self._state == "start" else "no_text")
        return self._texts

    def _advance(self, *, final: bool) -> None:
        steps = {"start": self._start, "headers": self._read_header, "payload": self._read_payload}
        while self._state != "done" and steps[self._state](final=final):
            pass

    def _start(self, *, final: bool) -> bool:
        """Whether the body opens with a boundary, with part headers, or is one bare document."""
        del self._buffer[: len(self._buffer) - len(self._buffer.lstrip())]
        if not self._buffer or (len(self._buffer) < _LOOKAHEAD and not final):
            return False
        opening = _boundary_line(self._buffer, 0)
        if opening:
            self._open_part(opening)
        else:
            self._begin("headers" if self._buffer[:8].lower() == b"content-" else "payload")
        return True

    def _open_part(self, boundary: _Boundary) -> None:
        """Past a boundary: the next part's headers, or what follows the end."""
        del self._buffer[: boundary.end]
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise BodyFault(TOO_MANY, f"more than {MAX_PARTS} parts")
        if boundary.closing:
            self._begin("payload")
            self._kept = False
            self.ended = True
        else:
            self._begin("headers")
            self._learn(boundary.token)
            self.ended = False

    def _learn(self, token: bytes) -> None:
        if token != self._token:
            before = b"" if len(token) >= _UNLIKELY else b"\n"
            self._known = re.compile(before + b"--" + re.escape(token) + _LINE_END)
            self._token = token

    def _begin(self, state: str) -> None:
        if state == "headers":
            self._part_charset, self._part_headers = "", 0
        self._kept, self._scanned = None, 0
        self._state = state

    def _read_header(self, *, final: bool) -> bool:
        """One line of a part's headers; anything that is none starts the payload."""
        end = self._buffer.find(b"\n")
        if end < 0 and not final and len(self._buffer) < _MAX_HEADERS:
            return False
        line = bytes(self._buffer[: end + 1]) if end >= 0 else bytes(self._buffer)
        self._part_headers += len(line)
        if self._part_headers > _MAX_HEADERS and _HEADER.match(line):
            raise BodyFault("bad_part", "headers too long")
        if line.startswith(b"--") and (boundary := _boundary_line(self._buffer, 0)):
            self._open_part(boundary)
        elif not line.strip():
            del self._buffer[: len(line)]
            self._begin("payload")
        elif _HEADER.match(line) or line[:1] in b" \t":
            self._part_charset = self._part_charset or _charset(line)
            del self._buffer[: len(line)]
        else:
            self._begin("payload")
        return bool(self._buffer) or not final

    def _read_payload(self, *, final: bool) -> bool:
        if self._kept is None and not self._sniff(final=final):
            return False
        # A boundary is only looked for where all that may follow it is already here.
        limit = len(self._buffer) if final else len(self._buffer) - _LOOKAHEAD
        boundary = self._find_boundary(limit) if limit > 0 else None
        if boundary is not None:
            self._keep(bytes(self._buffer[: boundary.start]))
            self._open_part(boundary)
            return True
        if self._kept and len(self._buffer) > MAX_TEXT + _LOOKAHEAD:
            raise BodyFault("too_large", f"text part over {MAX_TEXT} bytes")
        if final:
            self._keep(bytes(self._buffer))
            self._state = "done"
        elif not self._kept and limit > 0:
            del self._buffer[:limit]
            self._scanned = 0
        else:
            self._scanned = max(self._scanned, limit)
        return False

    def _sniff(self, *, final: bool) -> bool:
        """Decide whether the payload is text by its first bytes; False while there are too few of them."""
        head = bytes(self._buffer[:1024]).lstrip()
        if len(head) < _SNIFF and not final and len(self._buffer) < 1024:
            return False
        self._kept = _looks_like_text(head)
        if head.startswith((b"\xff\xd8\xff", b"\x89PNG")):
            self.pictures += 1
        return True

    def _keep(self, payload: bytes) -> None:
        if not self._kept:
            return
        if len(self._texts) == MAX_PARTS:
            raise BodyFault(TOO_MANY, f"more than {MAX_PARTS} parts")
        if len(payload) > MAX_TEXT:
            raise BodyFault("too_large", f"text part over {MAX_TEXT} bytes")
        self._texts.append(Text(payload, self._part_charset or self._charset))

    def _find_boundary(self, limit: int) -> _Boundary | None:
        """The first boundary that begins before ``limit``."""
        if self._scanned == 0 and (boundary := self._boundary_at(0)):
            return boundary
        known = self._first(self._known, limit) if self._known else None
        new = self._first(_NEW, known.start if known else limit)
        return new or known

    def _first(self, pattern: re.Pattern[bytes], limit: int) -> _Boundary | None:
        """The first boundary of this pattern; it says nearly all that makes one, so few places are looked at twice."""
        at = self._scanned
        while (hit := pattern.search(self._buffer, at, limit + _LOOKAHEAD)) and hit.start() < limit:
            start = hit.start()
            on_own_line = start > self._scanned and self._buffer[start] != _NEWLINE == self._buffer[start - 1]
            if boundary := self._boundary_at(start - 1 if on_own_line else start):
                return boundary
            at = start + 1
        return None

    def _boundary_at(self, start: int) -> _Boundary | None:
        """The boundary at ``start`` (its line break or its dashes), if it is one."""
        boundary = _boundary_line(self._buffer, start)
        if boundary is None or boundary.token == self._token:
            return boundary
        behind = _BEHIND.match(self._buffer, boundary.end, boundary.end + _LOOKAHEAD)
        return boundary if behind and (behind[0] or boundary.closing) else None


def _boundary_line(buffer: bytearray, start: int) -> _Boundary | None:
    at = start + 1 if buffer[start : start + 1] == b"\n" else start
    newline = buffer.find(b"\n", at, at + _MAX_LINE)
    end = newline + 1 if newline >= 0 else len(buffer)
    if end - at > _MAX_LINE or buffer[at : at + 2] != b"--":
        return None
    token = bytes(buffer[at + 2 : end]).rstrip()
    closing = token.endswith(b"--")
    token = token[:-2] if closing else token
    return _Boundary(start, end, token, closing) if _TOKEN.fullmatch(token) else None


class _Packed(Protocol):
    """zlib's decompressor, which has no public name."""

    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Unpacker:
    """Undoes a Content-Encoding by what the bytes are, not by what the header says; never beyond MAX_BODY."""

    def __init__(self, declared: str) -> None:
        self._declared = declared.strip().lower()
        self._head = b""
        self._decided = False
        self._inflate: _Packed | None = None
        self.passed = 0

    @property
    def cut_short(self) -> bool:
        """A packed stream whose end never came."""
        return self._inflate is not None and not self._inflate.eof

    def unpack(self, chunk: bytes) -> list[bytes]:
        if self._decided:
            return self._pass(chunk)
        self._head += chunk
        if len(self._head) < 2:
            return []
        return self.finish()

    def finish(self) -> list[bytes]:
        """Decide with what there is; later chunks follow the decision."""
        if self._decided:
            return []
        self._decided = True
        self._inflate = self._opener()
        return self._pass(self._head)

    def _opener(self) -> _Packed | None:
        first, second = (*self._head[:2], 0, 0)[:2]
        if self._head[:2] == b"\x1f\x8b":
            return zlib.decompressobj(31)
        if first == 0x78 and (first << 8 | second) % 31 == 0:  # RFC 1950, 2.2: FCHECK
            return zlib.decompressobj(15)
        plain = self._head[:1] in b"-{[< \t\r\n\xef\xfe\xff" or self._declared != "deflate"
        return None if plain else zlib.decompressobj(-15)

    def _pass(self, data: bytes) -> list[bytes]:
        pieces = [data] if self._inflate is None else inflate(self._inflate, data, MAX_BODY - self.passed)
        self.passed += sum(map(len, pieces))
        if self.passed > MAX_BODY:
            raise BodyFault("too_large", f"body over {MAX_BODY} bytes")
        return pieces


def inflate(packed: _Packed, data: bytes, room: int) -> list[bytes]:
    """Unpack ``data``; stops just past ``room`` bytes, so that a bomb costs no more than that."""
    fault: BodyFault | None = None
    try:
        return [packed.decompress(data, room + 1)]
    except zlib.error:
        fault = BodyFault("bad_gzip")
    raise fault


def _looks_like_text(head: bytes) -> bool:
    if head.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        head = head[3:].lstrip() if head.startswith(b"\xef\xbb\xbf") else b"{"
    return head.startswith((b"{", b"[", b"<", b"\x1f\x8b"))


def _charset(header: bytes) -> str:
    found = _CHARSET.search(header)
    return found[1].decode("ascii").lower() if found else ""
