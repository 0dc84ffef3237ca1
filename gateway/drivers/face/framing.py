"""A stream of events without end, cut into the text parts of its events. Pure.

Theory. A part ends where the next boundary stands, and that comes with the *next* event: waiting for it, an alarm would lie
there until the next heartbeat. So when the line falls quiet (``pause``) what has come so far is looked at: a document that is
whole is handed out, one that is not is carried on. Everything else (boundaries at will, pictures dropped while they arrive)
is ``bodies.Scanner``'s.
"""

from __future__ import annotations

from gateway.drivers.face.bodies import BodyFault, Scanner, Text
from gateway.drivers.face.documents import MAX_DOCUMENTS, decode_text, parse_documents

_PIECE = 4096
"""So much is looked at in one go: fewer parts with anything in them than a body may have, however many come at once (each new
connection brings the terminal's whole log)."""


class Framer:
    """Takes a stream as it arrives. ``feed`` and ``pause`` raise BodyFault; then the stream is lost and must begin anew."""

    def __init__(self, content_type: str = "") -> None:
        self._content_type = content_type
        self._scanner = Scanner(content_type)

    def feed(self, chunk: bytes) -> list[Text]:
        """The parts whose end has come."""
        texts: list[Text] = []
        for at in range(0, len(chunk), _PIECE):
            self._scanner.feed(chunk[at : at + _PIECE])
            texts += self._scanner.take()
        return texts

    def pause(self) -> list[Text]:
        """Nothing has come for a moment: the parts that are whole as they stand."""
        if not self._scanner.holds_text:
            return self._short()
        texts = _closed(self._scanner)
        self._scanner = Scanner(self._content_type)
        if texts and not _is_whole(texts[-1]):
            self._scanner.feed(texts.pop().data)
        return texts

    def _short(self) -> list[Text]:
        """A part so short that the scanner still waits for more before it tells what it is."""
        probe = Scanner(self._content_type)
        probe.feed(self._scanner.waiting)
        texts = _closed(probe)
        if not texts or not _is_whole(texts[-1]):
            return []  # or its beginning
        self._scanner = Scanner(self._content_type)
        return texts


def _closed(scanner: Scanner) -> list[Text]:
    try:
        return scanner.close()
    except BodyFault as fault:
        if fault.reason in {"empty", "no_text"}:
            return []
        raise


def _is_whole(text: Text) -> bool:
    """Whether nothing is missing at its end. What is broken otherwise is whole: nothing to come will mend it."""
    try:
        parse_documents(decode_text(text), MAX_DOCUMENTS)
    except BodyFault as fault:
        return fault.reason != "truncated"
    return True
