"""Units that say everything twice, and how their second word is kept from being taken for the answer to the next question. Pure.

Theory. Some converters and radio repeaters send each answer again. An RTU frame does not say which question it answers, so a
double that comes after the unit's next question of the same shape would be its value: an old one, or another register's. Silence
of 3.5 characters keeps away only one that follows at once, and the settle rule (``rtu.py``) only one after a timeout. So:

* A unit is listened to after its first answer, ``LISTEN_S`` long, before it is read again; and whatever comes at any time and
  is the very frame it said last, while it is asked nothing that this could answer, is a double. Nobody else waits for that.
* A unit that did so once is read again only after twice the longest time its doubles took. Should the double of its last answer
  not have come by then, the first frame equal to it is not believed: it is the double, or the true answer, which comes again.

What stays: a unit that does not double its first answer but does so later, at a time when the double falls between its next
question and the answer, gives an old value before it is known. A write need not wait, for no answer to a read looks like its own.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from gateway.drivers.modbus import frames
from gateway.drivers.modbus.frames import Request

LISTEN_S = 0.3
"""Converters repeat at once, radio repeaters within some tenths of a second; a poll comes every half second at most."""
KEPT_S = 1.0  # as the settle time: the slowest frame anybody may believe in
_SHORTEST_S = 0.05  # a double that came at once may come after a pause of the adapter (16 ms) another time
_FACTOR = 2.0


class _Word(Struct):
    """What a unit said last."""

    frame: bytes
    at: float
    until: float
    """Before that it is not read again."""
    owed: bool
    """It doubles, and this one's double has not come."""
    doubted: bool = False
    """A frame equal to it was not believed while the unit was asked."""


class Doubles:
    """Of one line."""

    def __init__(self) -> None:
        self._words: dict[int, _Word] = {}
        self._heard: set[int] = set()
        """Units that were listened to."""
        self._longest: dict[int, float] = {}
        """Units that double -> the longest time it took."""

    def begin(self) -> None:
        """The line was opened: who hangs on it now must be heard first."""
        self._words.clear()
        self._heard.clear()

    def free_at(self, unit: int) -> float:
        """From when this unit may be read again."""
        word = self._words.get(unit)
        return word.until if word else 0.0

    def said(self, unit: int, frame: bytes, at: float, *, to_read: bool = True) -> None:
        """An answer of this unit was taken, or found to be late."""
        pause = 0.0
        if unit in self._longest:
            pause = min(KEPT_S, max(_SHORTEST_S, _FACTOR * self._longest[unit]))
        elif to_read and unit not in self._heard:
            self._heard.add(unit)
            pause = LISTEN_S
        self._words[unit] = _Word(frame, at, at + pause, unit in self._longest)

    def missed(self, unit: int) -> None:
        """It did not answer in time. Had it said what was not believed, then it doubles no more."""
        word = self._words.get(unit)
        if word and word.doubted:
            word.owed = word.doubted = False
            self._longest.pop(unit, None)

    def strip(self, buffer: bytearray, at: float, asked: Collection[Request]) -> list[tuple[int, bool]]:
        """Cuts doubles out of what came; gives their units, and of each whether it is news that it doubles.

        ``asked``: every question of which the answer may still come.
        """
        found = []
        for unit, word in self._words.items():
            start = buffer.find(word.frame) if word.owed or at - word.at <= KEPT_S else -1
            if start < 0:
                continue
            fits = any(frames.search(word.frame, request) for request in asked)
            if fits and not word.owed:
                continue  # it may be the answer
            del buffer[start : start + len(word.frame)]
            found.append((unit, unit not in self._longest))
            word.owed, word.doubted = False, word.doubted or fits
            if not fits:
                self._longest[unit] = max(self._longest.get(unit, 0.0), at - word.at)
        return found
