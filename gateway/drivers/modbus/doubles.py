"""Units that say everything twice, and how their second word is kept from being taken for the answer to the next question. Pure.

Theory. Some converters and radio repeaters send each answer again. An RTU frame does not say which question it answers, so a
double that comes after the unit's next question of the same shape would be its value: an old one, or another register's. Silence
of 3.5 characters keeps away only one that follows at once, and the settle rule (``rtu.py``) only one after a timeout. So:

* A unit is listened to after its first answer, and after the first that follows a timeout, ``LISTEN_S`` long, before it is read
  again; and whatever comes at any time and is a frame it said lately, while it is asked nothing that this could answer, is a
  double. Nobody else waits for that.
* A unit that did so once is read again only when the double of its last answer has come, and twice the longest time its doubles
  took has passed; one that did not come is waited for ``KEPT_S``. Who left out ``LEFT_OUT`` in a row is waited for as at first.

A write need not wait, for no answer to a read looks like its own. It only does not believe the first frame equal to an echo whose
double may still come: that is the double, or the true echo, which comes again.

What stays: a unit that does not double its first answer but does so later, at a time when the double falls between its next
question and the answer, gives an old value before it is known. Of an alarm block that is its own value of a turn ago, for no other
block of its device looks like it (``plan.py``, and so in every shipped product); of others it may be another register's. On a line where
every twelfth to fifth frame came again at random, none of 36,000 readings of alarm points was another register's, and 4 of 24,000 others
were; how many were of a turn ago was not counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from msgspec import Struct, field

from gateway.drivers.modbus import frames
from gateway.drivers.modbus.frames import Request
from gateway.drivers.modbus.heard import Heard

LISTEN_S = 0.3
"""Converters repeat at once, radio repeaters within some tenths of a second; a poll comes every half second at most."""
KEPT_S = 1.0  # as the settle time: the slowest frame anybody may believe in
LEFT_OUT = 8
_SHORTEST_S = 0.05  # a double that came at once may come after a pause of the adapter (16 ms) another time
_FACTOR = 2.0
_MOST_WORDS = 8  # of one unit; more than one comes only of writes, which do not wait


class _Word(Struct):
    """What a unit said."""

    frame: bytes
    at: float
    to_read: bool
    owed: bool
    """It doubles, and this one's double has not come."""


class _Unit(Struct):
    """What is known of one."""

    words: list[_Word] = field(default_factory=list)
    """Of the last ``KEPT_S``, oldest first."""
    listened: bool = False
    longest_s: float | None = None
    """What its doubles took at most; None: it says everything once."""
    left_out: int = 0
    """Doubles that did not come, in a row."""
    read_at: float = float("-inf")
    """When it last answered to a read."""
    pause_s: float = 0.0
    """From then on it is not read again for so long."""

    @property
    def doubles(self) -> bool:
        return self.longest_s is not None and self.left_out < LEFT_OUT

    def usual_s(self) -> float:
        """How long its doubles may take, judged by those that came."""
        return min(KEPT_S, max(_SHORTEST_S, _FACTOR * (self.longest_s or 0.0)))

    def forget_old(self, at: float) -> None:
        """Nobody waits any more for the double of what was said ``KEPT_S`` ago."""
        while self.words and at - self.words[0].at > KEPT_S:
            self.left_out += self.words.pop(0).owed


class Doubles:
    """Of one line."""

    def __init__(self) -> None:
        self._units: defaultdict[int, _Unit] = defaultdict(_Unit)

    def begin(self) -> None:
        """The line was opened: who hangs on it now must be heard first, and what was said before may still come again."""
        for unit in self._units.values():
            unit.listened = False
            if not unit.doubles:
                unit.longest_s = None

    def free_at(self, unit: int) -> float:
        """From when this unit may be read again."""
        known = self._units.get(unit)
        return known.read_at + known.pause_s if known else 0.0

    def may_repeat(self, unit: int) -> bool:
        """Whether a frame of it may come once more: it doubled, or it is not known yet."""
        known = self._units.get(unit)
        return known is None or not known.listened or known.longest_s is not None

    def said(self, unit: int, frame: bytes, at: float, *, to_read: bool = True) -> None:
        """An answer of this unit was taken, or found to be late."""
        known = self._units[unit]
        known.forget_old(at)
        known.words = [*known.words[1 - _MOST_WORDS :], _Word(frame, at, to_read, known.doubles)]
        if not to_read:
            return
        known.read_at, known.pause_s = at, 0.0
        if known.doubles:
            known.pause_s = KEPT_S
        elif known.longest_s is not None:
            known.pause_s = max(LISTEN_S, known.usual_s())
        elif not known.listened:
            known.pause_s = LISTEN_S
        known.listened = True

    def said_since(self, unit: int, frame: bytes, at: float) -> bool:
        """Whether it said this since then, so that one like it may be its double."""
        return unit in self._units and any(word.frame == frame and word.at >= at for word in self._units[unit].words)

    def missed(self, unit: int) -> None:
        """It did not answer in time: who answers next may be another, or come by another way."""
        if unit in self._units:
            self._units[unit].listened = False

    def strip(self, buffer: Heard, at: float, asked: Collection[Request]) -> list[tuple[int, bool]]:
        """Cuts doubles out of what came; gives their units, and of each whether it is news that it doubles.

        ``asked``: every question of which the answer may still come.
        """
        found = []
        for unit, known in self._units.items():
            if unit not in buffer:
                continue
            known.forget_old(at)
            for frame in {word.frame for word in known.words}:
                start = buffer.find(frame)
                if start >= 0 and (news := _recognise(known, frame, at, asked)) is not None:
                    buffer.cut(start, start + len(frame))
                    found.append((unit, news))
        return found


def _recognise(unit: _Unit, frame: bytes, at: float, asked: Collection[Request]) -> bool | None:
    """Whether a frame equal to one of its words makes it known for a unit that doubles; None: it may be an answer."""
    alike = [word for word in unit.words if word.frame == frame]
    word = next((word for word in reversed(alike) if word.owed), alike[-1])
    fits = any(frames.search(frame, request) for request in asked)
    if fits and (word.to_read or not word.owed):
        return None  # a read is asked only when no double is waited for any more
    news, word.owed = unit.longest_s is None, False
    if fits:
        return news  # the double or the answer: its time teaches nothing
    unit.longest_s, unit.left_out = max(unit.longest_s or 0.0, at - word.at), 0
    if word.at == unit.read_at:
        unit.pause_s = unit.usual_s()
    elif news:
        unit.pause_s = KEPT_S
    return news
