"""The board of facts: the last word on every point, door, device and output, and how old it is.

Theory of age. A fact ages only while we listen. *Listening time* is the timeline less the time nobody ran; a downtime of
an hour neither makes a button "missing" nor hides that it has been silent for a day.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from gateway.events import Health, Press, Quality, Scalar
from gateway.instant import Anchor, Instant
from gateway.rules.away import AwayBook
from gateway.rules.compound import ACTUAL, BY_HAND, HEALTH, WANTED, Compound, Subject
from gateway.rules.coverage import Coverage
from gateway.rules.ledger import Table
from gateway.rules.question import Fact
from gateway.rules.signs import PRESENT, Leave
from gateway.rules.testing import GRACE_MS, TESTED, Grace, test_ends
from gateway.rules.wall import Wall, shown

FactKey = tuple[str, str]
"""Subject and name of a fact."""
OURS = frozenset({HEALTH, "reason", BY_HAND, TESTED})
"""Facts that the gateway says of a device: no point of its own may take their place."""
_TOLD_BESIDE = OURS | {WANTED, ACTUAL}
"""Facts that no rule reads, and that are told of a subject all the same."""
_GREATEST = 2**63
"""A row holds 64 bits."""


class Segment(Struct, frozen=True):
    """A stretch of the timeline whose instants share one tie to the wall clock."""

    start: Instant
    offset_ms: int | None


class ClockRow(Struct, frozen=True):
    """What the core knows of time."""

    at: Instant = Instant(0)
    run: str = ""
    boot_id: str = ""
    blind_ms: int = 0
    """How long nobody ran, of the timeline so far."""
    heard_from: int = 0
    """Listening time when this run began: facts never heard age from here."""
    segments: tuple[Segment, ...] = ()


class Waits(Struct, frozen=True):
    """After what silence each supervised fact is missing, as the last site file said."""

    ms: dict[str, dict[str, int]] = {}
    """Subject -> fact -> maximum age."""
    not_before: dict[str, dict[str, int]] = {}
    """Subject -> fact -> listening time: what waits for less than it did is missed no sooner than that."""


_NO_CLOCK = ClockRow()
_CLOCK_KEY, _SAID_KEY = ("clock",), ("said",)
_NUMBER = (float, int)
_replace = msgspec.structs.replace


class FactBoard:
    """Facts by (subject, name); the ``View`` that conditions look at."""

    def __init__(self, compound: Compound) -> None:
        self.compound = compound
        self.rows: Table[Fact] = Table("fact", Fact)
        self.clock_row: Table[ClockRow] = Table("clock", ClockRow)
        self.waits: Table[Waits] = Table("waits", Waits)
        self.graces: Table[Grace] = Table("grace", Grace)
        """By device (testing.py)."""
        self._facts, self._clocks, self._waits = self.rows.by_key, self.clock_row.by_key, self.waits.by_key
        self.coverage = Coverage()
        self.away = AwayBook(self)
        self._ages = {
            (subject.id, name): spec.max_age_ms
            for subject in compound.subjects.values()
            for name, spec in subject.facts.items()
            if spec.max_age_ms is not None
        }
        """Maximum ages by (subject, fact): asked several times an event, and most facts have none."""

    @property
    def clock(self) -> ClockRow:
        """What is known of time."""
        return self._clocks.get(_CLOCK_KEY) or _NO_CLOCK

    @clock.setter
    def clock(self, row: ClockRow) -> None:
        self.clock_row.set(_CLOCK_KEY, row)

    def pass_time(self, at: Instant) -> None:
        """The core has come to this moment."""
        clock = self.clock
        if clock.at != at:
            self.clock_row.set(_CLOCK_KEY, _replace(clock, at=at))

    def hear(self, key: FactKey, value: Scalar | None, quality: Quality, at: Instant) -> bool:
        """Set a fact; ``since`` moves only when the value does. A number that none can be compared with is no value.

        Answers whether it is news: more of it than its age is another than before, or it had gone stale.
        """
        before, clock = self._facts.get(key), self._clocks.get(_CLOCK_KEY) or _NO_CLOCK
        heard = at - clock.blind_ms
        same = before is not None and before.value == value and type(before.value) is type(value)
        if not same and isinstance(value, _NUMBER) and not -_GREATEST < value < _GREATEST:
            # Finite, and within what a row can hold. Codecs see to it; a broken one must not break the core.
            return self.hear(key, None, Quality.INVALID, at)
        since = before.since if before is not None and same else at
        self.rows.set(key, Fact(value, quality, at, since, heard))
        if key[1] == HEALTH:
            self.coverage.health(key[0], at, well=value == Health.OK.value)
        if before is None or not same or before.quality is not quality:
            return True
        max_age = self._ages.get(key)
        return max_age is not None and heard >= self._missed_from(key, before.heard, max_age)

    def begin_graces(self, asleep: Instant, at: Instant) -> None:
        """A run begins, after one that ended when it was ``asleep``: of tests that were believed then nobody knows whether they go on."""
        for (device,), grace in list(self.graces.by_key.items()):
            if grace.until <= asleep:
                self.graces.drop(device)
            else:
                self.graces.put(_replace(grace, until=Instant(grace.until + at - asleep)), device)
        for device in [key[0] for key in self.rows if key[1] == TESTED]:
            known = self.compound.subjects.get(device)
            if known is not None and test_ends(self, device, asleep) is not None:
                self.graces.put(Grace(Instant(at + GRACE_MS), tuple(known.facts)), device)

    def unread_until(self, subject: str, name: str) -> Instant | None:
        grace = self.graces.get(subject)
        return grace.until if grace is not None and name in grace.points else None

    def _end_grace(self, key: FactKey) -> None:
        """It was read anew; what did not answer was not."""
        grace, fact = self.graces.get(key[0]), self._facts[key]
        if grace is not None and key[1] in grace.points and fact.value is not None:
            self.graces.put(_replace(grace, points=tuple(one for one in grace.points if one != key[1])), key[0])

    def note_test(self, key: FactKey, quality: Quality, at: Instant) -> None:
        """Since when a device says that it is tested: no restart, no lost line and no other channel begins that anew (testing.py)."""
        self._end_grace(key)
        about = key[0], TESTED
        known = self._facts.get(about)
        if quality is Quality.UNDER_TEST and (known is None or not known.value):
            self.hear(about, key[1], Quality.GOOD, at)
        elif quality is Quality.GOOD and known is not None and known.value and self._may_end(known.value, key):
            self.rows.set(about, _replace(known, value=self._under_test(key[0])))

    def _may_end(self, begun_by: Scalar, key: FactKey) -> bool:
        """By the point that began the test; by any, where that is called otherwise now."""
        return begun_by == key[1] or begun_by not in self.compound.subjects[key[0]].facts

    def _under_test(self, device: str) -> str:
        """A point of the device that is under test still: one of its channels may be, when another is so no more."""
        facts = ((name, self._facts.get((device, name))) for name in self.compound.subjects[device].facts)
        return next((name for name, fact in facts if fact is not None and fact.quality is Quality.UNDER_TEST), "")

    def doubt(self, device: str) -> None:
        """What a device on a bus said is older than its alarm: until it is read anew, which each start does, it proves no quiet."""
        known = self.compound.subjects.get(device)
        for name in known.facts if known is not None and known.via else ():
            fact = self.rows.get(device, name)
            if fact is not None and fact.quality is Quality.GOOD and name not in {HEALTH, "reason"}:
                self.rows.put(_replace(fact, quality=Quality.COMMS), device, name)

    def begin_waits(self, at: Instant) -> None:
        """Wait for supervised facts that the site names and nobody has reported, and anew for those it waited for longer until now, or
        not at all: for those no later than it did. Restarts begin no wait anew, and nor does an edit for what is missing already.
        """
        before = self._waits.get(_SAID_KEY)  # None: by the first site file, or by an earlier version, that kept none
        said, now = Waits({}, {}), at - self.clock.blind_ms
        for key, wait in self._ages.items():
            subject, name = key
            said.ms.setdefault(subject, {})[name] = wait
            fact, waited = self._facts.get(key), before.ms.get(subject, {}).get(name) if before else None
            if fact is None:
                self.hear(key, None, Quality.COMMS, at)
            elif waited is not None:
                # Kept beside, for the file may be taken back: what it said meanwhile must leave nobody waiting for longer than either.
                until = min(now + wait, self._missed_from(key, fact.heard, waited))
                if until > fact.heard + wait:
                    said.not_before.setdefault(subject, {})[name] = until
            elif before is not None:
                self.rows.set(key, _replace(fact, heard=now))
        if before != said:
            self.waits.set(_SAID_KEY, said)

    def _missed_from(self, key: FactKey, heard: int, wait: int) -> int:
        """When what was heard then is missing, in listening time."""
        said = self._waits.get(_SAID_KEY)
        if said is None or not said.not_before:
            return heard + wait
        return max(heard + wait, said.not_before.get(key[0], {}).get(key[1], 0))

    def forget_strangers(self) -> None:
        """Drop what is known of subjects that are no more, and of points they have no more: should one come back, it is new, and neither
        silent since then nor what it was.
        """
        for key in self.rows:
            known = self.compound.subjects.get(key[0])
            if known is None or (key[1] not in known.facts and key[1] not in _TOLD_BESIDE):
                self.rows.drop(*key)

    def awake_since(self) -> Instant:
        return Instant(self.clock.heard_from + self.clock.blind_ms)

    def blind_ms(self) -> int:
        return self.clock.blind_ms

    def covered_since(self, subjects: tuple[str, ...]) -> Instant | None:
        return self.coverage.since(self._sources(subjects))

    def deaf_since(self, subjects: tuple[str, ...], at: Instant) -> tuple[tuple[str, Instant], ...]:
        return self.coverage.deaf(self._sources(subjects), at)

    def _sources(self, subjects: tuple[str, ...]) -> tuple[str, ...]:
        known = self.compound.subjects
        return tuple(dict.fromkeys(source for name in subjects if name in known for source in known[name].sources))

    def leave(self, subject: str, at: Instant) -> Leave:
        known = self.compound.subjects.get(subject)
        return PRESENT if known is None or known.care is None else self.away.find(subject, known.care.away, at)

    def lost(self) -> list[str]:
        """Every subject that is lost or faulty."""
        return [key[0] for key in self.rows if key[1] == HEALTH and self._is_lost(key[0])]

    def _is_lost(self, subject: str) -> bool:
        fact = self.rows.get(subject, HEALTH)
        return fact is not None and fact.value != Health.OK.value

    def subject(self, subject: str) -> Subject | None:
        """What the site says about a subject."""
        return self.compound.subjects.get(subject)

    def fact(self, subject: str, name: str) -> Fact | None:
        return self._facts.get((subject, name))

    def has(self, subject: str, name: str) -> bool:
        known = self.compound.subjects.get(subject)
        return known is not None and name in known.facts

    def stale_at(self, subject: str, name: str) -> Instant | None:
        max_age = self._ages.get((subject, name))
        if max_age is None:
            return None
        fact, clock = self._facts.get((subject, name)), self.clock
        heard = fact.heard if fact is not None else clock.heard_from
        return Instant(self._missed_from((subject, name), heard, max_age) + clock.blind_ms)

    def is_supervised(self, key: FactKey) -> bool:
        """Whether the fact may not fall silent."""
        return key in self._ages

    def supervised(self, subject: str) -> tuple[str, ...]:
        known = self.compound.subjects.get(subject)
        return tuple(name for name, spec in known.facts.items() if spec.max_age_ms is not None) if known else ()

    def unit(self, subject: str, name: str) -> str:
        known = self.compound.subjects.get(subject)
        spec = known.facts.get(name) if known else None
        return spec.unit if spec else ""

    def via(self, subject: str) -> str:
        known = self.compound.subjects.get(subject)
        return known.via if known else ""

    def means_sos(self, subject: str, press: Press) -> bool:
        known = self.compound.subjects.get(subject)
        return known is not None and press.kind.value not in known.meanings

    def wall(self, at: Instant) -> Wall | None:
        anchor = self.anchor_at(at)
        return None if anchor is None else shown(self.compound.zone, anchor.wall_ms(at))

    def anchor_at(self, at: Instant) -> Anchor | None:
        """The tie to true time for this moment, if it is known."""
        segment = next((s for s in reversed(self.clock.segments) if at >= s.start), None)
        return None if segment is None or segment.offset_ms is None else Anchor(segment.offset_ms)

    def is_counted_from(self, at: Instant) -> bool:
        segments = self.clock.segments
        return not segments or at >= segments[-1].start

    def least_offset_ms(self) -> int | None:
        """True time less the timeline, at least: what was known last. It only grows, with each time of unknown length."""
        return next((s.offset_ms for s in reversed(self.clock.segments) if s.offset_ms is not None), None)
