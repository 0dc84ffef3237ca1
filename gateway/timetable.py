"""The timetable language: what happens when, in lines that a non-programmer reads.

Scenario tests, the examples of rules and the prompt of `loudong simulate` all speak it. Here a line becomes an event; who plays
it (``gateway/app/player.py``), or makes it happen at simulated devices (``gateway/sim``), is not our business. Pure.

A line is a time and what happens. Times count from the start: ``0``, ``5s``, ``3min``, ``4h``. Lines that begin with ``#`` are
remarks, those that begin with ``=>`` are answers, and both are passed over.

    5s    gas-301.gas = 26 [warm_up]        a reading, with its quality if it is not good; also: = none, = "words"
    5s    lost gas-301 timeout              also: faulty, ok
    5s    press sos-301 single              also: late, suspect, key c7; the kind may be left out
    5s    entry gate-1 access.denied stranger key 17      also: old (a replay), seq 7, unproven
    5s    stranger gate-1                   short for: entry gate-1 access.denied stranger
    5s    pass gate-1 elder-301 out         somebody under care is let through; also: in, seq 7, old (from the terminal's log),
                                            old at 3h (and when, by the terminal's clock)
    5s    gap gate-1 5-7                    serial numbers are missing; gap gate-1 5-7 recovered (absent, given_up): no more
    5s    head says elder-301 away 3d       also: back
    5s    output valve-301 confirmed        also: failed, held; wanted shut, is open (what was asked of it, what it reads)
    5s    head acks gas-high                also: acks … on site, silences, resets, closes, closes … mistaken: REASON,
                                            shelves … 20min: REASON, unshelves
    5s    restart after 20s                 also: restart, nobody knows how long (nor what time it is)
    5s    clock right at 2026-11-22T20:00
    5s    nothing                           only time passes
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence

import msgspec
from msgspec import Struct

from gateway.events import (
    Actuated,
    Command,
    DeviceHealth,
    Entry,
    Event,
    Health,
    Press,
    PressKind,
    Quality,
    Reading,
    Scalar,
    SequenceGap,
    Verb,
)
from gateway.nodes import duration_ms

_VERBS = {"acks": Verb.ACK, "silences": Verb.SILENCE, "resets": Verb.RESET, "closes": Verb.CLOSE, "shelves": Verb.SHELVE,
          "unshelves": Verb.UNSHELVE}  # fmt: skip


TIMETABLE = "timetable"
"""``time_quality`` of a pass whose ``terminal_time_ms`` counts from the start of the timetable, as all its times do."""


class NotATimetable(ValueError):
    """A line that cannot be read: ``line`` counts from 1, ``reason`` is a key of the word catalogue after ``timetable.``."""

    def __init__(self, line: int, reason: str, given: str) -> None:
        super().__init__(f"line {line}: {reason}: {given}")
        self.line, self.reason, self.given = line, reason, given


class Restart(Struct, frozen=True):
    """The process dies; the next one takes over from what was kept."""

    downtime_ms: int | None
    """None: nobody knows how long, nor what time it is."""


class RightClock(Struct, frozen=True):
    """The wall clock becomes trustworthy, and shows this local time."""

    local: str


class Nothing(Struct, frozen=True):
    """Only time passes."""


class Happening(Struct, frozen=True):
    """One line of a timetable. A command's ``alert`` holds a rule's name, an entry's ``person`` that of the site file: only
    who plays knows the alerts and the pseudonyms.
    """

    at_ms: int
    """Since the start."""
    what: Event | Restart | RightClock | Nothing
    line: int


def parse(text: str) -> Iterator[Happening]:
    """The happenings of a timetable, in order. Raises NotATimetable at the first line that is none."""
    soonest = 0
    for number, line in enumerate(text.splitlines(), 1):
        happening = parse_line(line, number)
        if happening is None:
            continue
        if happening.at_ms < soonest:
            raise NotATimetable(number, "runs_back", line.split()[0])
        soonest = happening.at_ms
        yield happening


def parse_line(line: str, number: int) -> Happening | None:
    """One line; None where nothing happens in it. Raises NotATimetable. ``number`` makes natural keys that repeat no other."""
    if not line.strip() or line.startswith(("#", "=>")):
        return None
    time, _, deed = line.strip().partition(" ")
    at_ms = 0 if time == "0" else duration_ms(time)
    if at_ms is None:
        raise NotATimetable(number, "not_a_time", time)
    return Happening(at_ms, parse_deed(deed.strip(), number), number)


def parse_deed(deed: str, number: int) -> Event | Restart | RightClock | Nothing:
    """What happens, without its time. Raises NotATimetable."""
    words = deed.split()
    try:
        return _deed(words, deed, number)
    except (IndexError, ValueError, msgspec.DecodeError):
        raise NotATimetable(number, "not_a_deed", deed) from None


def _deed(words: list[str], deed: str, number: int) -> Event | Restart | RightClock | Nothing:
    point, equals, _ = deed.partition("=")
    if equals and len(point.split()) == 1:
        return _reading(point.strip(), deed)
    known = _DEEDS.get(words[0].rstrip(","))
    return _command(words, deed, number) if known is None else known(words, number)


def _reading(point: str, deed: str) -> Reading:
    """``gas-301.gas = 26 [warm_up]``"""
    device, name = point.split(".")
    said = deed.split("=", 1)[1].strip()
    quality = Quality.GOOD
    if said.endswith("]"):
        said, _, named = said[:-1].rpartition("[")
        quality = Quality(named)
    return Reading(device, name, _value(said.strip()), quality)


def _value(said: str) -> Scalar | None:
    return None if said == "none" else msgspec.convert(msgspec.json.decode(said), bool | int | float | str)


def _health(words: list[str], _number: int) -> DeviceHealth:
    return DeviceHealth(words[1], Health(words[0]), words[2] if len(words) > 2 else "")


def _press(words: list[str], _number: int) -> Press:
    marks = _Marks(words[2:])
    key, late, suspect = marks.after("key"), marks.has("late"), marks.has("suspect")
    kind = PressKind(marks.one_of(tuple(PressKind)) or PressKind.SINGLE)
    marks.done()
    return Press(words[1], kind, key or "", late=late, suspect="old_counter" if suspect else None)


def _entry(words: list[str], number: int) -> Entry:
    marks = _Marks(words[3:])
    seq = marks.after("seq")
    entry = Entry(
        words[1],
        words[2],
        marks.after("key") or str(number),
        "5/76",  # Hikvision's code of a refused face; no rule reads it
        subject=marks.one_of(("known", "stranger", "blocklisted", "unknown")) or "unknown",
        seq=None if seq is None else int(seq),
        live=not marks.has("old"),
        anomalies=("freshness_unproven",) if marks.has("unproven") else (),
    )
    marks.done()
    return entry


def _stranger(words: list[str], number: int) -> Entry:
    return _entry(["entry", words[1], "access.denied", "stranger", *words[2:]], number)


def _pass(words: list[str], number: int) -> Entry:
    """``pass gate-1 elder-301 out old at 3h``"""
    marks = _Marks(words[3:])
    seq, shown = marks.after("seq"), marks.after("at")
    at_ms = None if shown is None else duration_ms(shown)
    if shown is not None and at_ms is None:
        raise ValueError(shown)
    entry = Entry(
        words[1],
        "access.granted",
        marks.after("key") or str(number),
        "5/75",  # Hikvision's code of a face let through
        direction=marks.one_of(("in", "out")) or "unknown",
        subject="known",
        person=words[2],
        seq=None if seq is None else int(seq),
        live=not marks.has("old"),
        terminal_time_ms=at_ms,
        time_quality="received" if at_ms is None else TIMETABLE,
    )
    marks.done()
    return entry


def _gap(words: list[str], _number: int) -> SequenceGap:
    first, _, last = words[2].partition("-")
    marks = _Marks(words[3:])
    ended = marks.one_of(("recovered", "absent", "given_up"))
    marks.done()
    return SequenceGap(words[1], int(first), int(last or first), open=ended is None, reason=ended or "")


_BECAME = {"confirmed": "", "failed": "not_confirmed", "held": "held_without_cause"}
"""What becomes of an output, and the reason that is reported."""


def _output(words: list[str], _number: int) -> Actuated:
    marks = _Marks(words[2:])
    wanted, actual = marks.after("wanted") or "", marks.after("is")
    became = marks.one_of(tuple(_BECAME))
    marks.done()
    reason = _BECAME.get(became or "", "")
    return Actuated(words[1], wanted, actual, confirmed=became != "failed", reason=reason)


def _restart(words: list[str], _number: int) -> Restart:
    if "nobody" in words:
        return Restart(None)
    downtime = duration_ms(words[-1])
    if downtime is None:
        raise ValueError(words[-1])
    return Restart(downtime)


def _clock(words: list[str], _number: int) -> RightClock:
    dt.datetime.fromisoformat(words[3])  # raises ValueError where it is no time
    return RightClock(words[3])


def _nothing(_words: list[str], _number: int) -> Nothing:
    return Nothing()


def _command(words: list[str], deed: str, number: int) -> Command:
    """``head shelves sos 20min: drill``"""
    if words[1] == "says":
        return _said_of(words, deed, number)
    if words[1] == "tests":
        return _chain_test(words, deed, number)
    if words[1] not in _VERBS:
        raise ValueError(words[1])
    asked, _, reason = deed.partition(": ")
    lengths = (duration_ms(word.rstrip(":")) for word in asked.split()[3:])
    return Command(
        f"c{number}",
        "local",
        words[0],
        _VERBS[words[1]],
        words[2].rstrip(":,"),
        reason,
        next((length for length in lengths if length), None),
        on_site="on site" in asked,
        mistaken="mistaken" in asked.split(),
    )


def _chain_test(words: list[str], deed: str, number: int) -> Command:
    """``duty tests b1 high 20min to street: weekly``; who names no target tests the whole compound."""
    asked, _, reason = deed.partition(": ")
    named = asked.split()[2:]
    marks = _Marks(named)
    up_to, priority = marks.after("to") or "", marks.one_of(("critical", "high", "medium", "low")) or ""
    length = marks.one_of([word for word in named if duration_ms(word)])
    target = marks.one_of(named) or ""
    marks.done()
    return Command(
        f"c{number}",
        "local",
        words[0],
        Verb.TEST,
        None,
        reason,
        None if length is None else duration_ms(length),
        target=target,
        priority=priority,
        up_to=up_to,
    )


def _said_of(words: list[str], deed: str, number: int) -> Command:
    """``head says elder-301 away 3d``, ``head says elder-301 back``"""
    length = duration_ms(words[4].rstrip(":")) if words[3] == "away" else 0
    if words[3] not in {"away", "back"} or length is None:
        raise ValueError(words[3])
    reason, back = deed.partition(": ")[2], words[3] == "back"
    return Command(
        f"c{number}", "local", words[0], Verb.AWAY, None, reason, length or None, resident=words[2], back=back
    )


class _Marks:
    """The words behind a deed, in any order, each taken once; one that nobody took is a slip of the pen."""

    def __init__(self, words: list[str]) -> None:
        self._words = list(words)

    def has(self, mark: str) -> bool:
        found = mark in self._words
        if found:
            self._words.remove(mark)
        return found

    def after(self, mark: str) -> str | None:
        """The word that follows ``mark``."""
        if mark not in self._words:
            return None
        place = self._words.index(mark)
        value = self._words[place + 1]
        del self._words[place : place + 2]
        return value

    def one_of(self, known: Sequence[str]) -> str | None:
        found = next((word for word in self._words if word in known), None)
        if found is not None:
            self._words.remove(found)
        return found

    def done(self) -> None:
        if self._words:
            raise ValueError(self._words[0])


_DEEDS: dict[str, Callable[[list[str], int], Event | Restart | RightClock | Nothing]] = {
    "lost": _health,
    "faulty": _health,
    "out_of_service": _health,
    "ok": _health,
    "press": _press,
    "entry": _entry,
    "stranger": _stranger,
    "pass": _pass,
    "gap": _gap,
    "output": _output,
    "restart": _restart,
    "clock": _clock,
    "nothing": _nothing,
}
"""First word -> reader. What begins with no such word, and is no reading, is a person who does something."""
