"""When a rule holds: a small tree of conditions over facts and pulses, in three-valued logic.

Theory. A condition is true, false, or unknown; unknown is what a stale or broken value gives, and unknown is never "safe":
it neither raises an alert nor lets one return. Kleene's tables join the three values. What needs the past is in ``history``.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import msgspec
from msgspec import Struct

from gateway.alerts import Why
from gateway.events import Entry, Press, Quality, Scalar
from gateway.instant import DAY, MINUTE, Instant
from gateway.rules.compound import ACTUAL, CONFIRMED, WANTED
from gateway.rules.question import Case, ConditionNode, Fact, Finding, why_of
from gateway.rules.signs import SIGNS, Sign

WORSE_ABOVE = 0.5
"""Of a rising limit: half of it more (or the deadband, if that is greater) is worse."""
WORSE_BELOW = 2
"""Deadbands of a falling limit: so much less is worse (of oxygen 1 %VOL). Half of such a limit is death."""
WORSE_BARE = 0.1
"""Of a falling limit without a deadband: a tenth of it less."""

_TOLD_BESIDE = {CONFIRMED: (WANTED, ACTUAL)}
"""Facts that say what another one is about, and are told with it."""


class Threshold(Struct, frozen=True):
    """A value beyond a limit, in the point's own unit.

    A sensor that warms up reads zero, or anything low: that is no proof of too little, as it is none of enough.
    """

    fact: str
    limit: float
    above: bool = True
    deadband: float = 0.0

    def find(self, case: Case) -> Finding:
        if not case.view.has(case.subject, self.fact):
            return Finding(False)
        fact, stale_at = case.view.fact(case.subject, self.fact), case.view.stale_at(case.subject, self.fact)
        stale = stale_at is not None and case.at >= stale_at
        if fact is None or stale or case.leaves_out(case.subject, self.fact, fact):
            return Finding(None)
        why = (why_of(case, self.fact, fact, self.limit),)
        return Finding(self._beyond(fact, standing=case.standing), why, stale_at, solid=False)

    def _beyond(self, fact: Fact, *, standing: bool) -> bool | None:
        if fact.quality is (Quality.OVER_RANGE if self.above else Quality.UNDER_RANGE):
            return True
        if isinstance(fact.value, bool | str) or fact.value is None:
            return None
        if fact.quality is Quality.WARM_UP and not self.above:
            return None
        back = self.deadband if standing else 0.0
        beyond = fact.value >= self.limit - back if self.above else fact.value <= self.limit + back
        return beyond if fact.believed(alarming=beyond) else None

    @property
    def step(self) -> float:
        """By how much a value must be further beyond the limit to be worse, in the point's unit: more than it wavers by."""
        size = abs(self.limit)
        step = (
            max(WORSE_ABOVE * size, self.deadband) if self.above else WORSE_BELOW * self.deadband or WORSE_BARE * size
        )
        return step or 1.0

    def steps_beyond(self, why: Why) -> float | None:
        """How far beyond the limit a reason of this threshold is, in steps; None where it is not."""
        if why.quality is (Quality.OVER_RANGE if self.above else Quality.UNDER_RANGE):
            return inf
        if isinstance(why.value, bool | str) or why.value is None:
            return None
        further = why.value - self.limit if self.above else self.limit - why.value
        return further / self.step if further >= 0 else None


class Is(Struct, frozen=True):
    """A fact with one of some values, optionally for a while."""

    fact: str
    among: tuple[Scalar, ...]
    for_ms: int = 0
    of_bus: bool = False
    """Look at the subject's bus instead."""

    def find(self, case: Case) -> Finding:
        owner = case.view.via(case.subject) if self.of_bus else case.subject
        if not case.view.has(owner, self.fact):
            return Finding(False)
        fact = case.view.fact(owner, self.fact)
        if fact is None:
            return Finding(False if self.of_bus else None)
        alarming = self._alarming(fact)
        stale_at = case.view.stale_at(owner, self.fact)
        stale = stale_at is not None and case.at >= stale_at
        if stale or case.leaves_out(owner, self.fact, fact) or not fact.believed(alarming=alarming, told=True):
            return Finding(None)
        if not alarming:
            return Finding(False, (), stale_at)
        ripe = Instant(fact.since + self.for_ms)
        why = (why_of(case, self.fact, fact, None), *self._beside(case, owner))
        return Finding(True, why, stale_at) if case.at >= ripe else Finding(False, why, ripe)

    def _beside(self, case: Case, owner: str) -> Iterator[Why]:
        for name in _TOLD_BESIDE.get(self.fact, ()):
            fact = case.view.fact(owner, name)
            if fact is not None:
                yield why_of(case, name, fact, None)

    def _alarming(self, fact: Fact) -> bool:
        return any(
            fact.value == value and isinstance(fact.value, bool) == isinstance(value, bool) for value in self.among
        )


class Stale(Struct, frozen=True):
    """A supervised fact of the subject has not been heard for too long."""

    fact: str = ""
    """Empty: any supervised fact."""

    def find(self, case: Case) -> Finding:
        names = (self.fact,) if self.fact else case.view.supervised(case.subject)
        moments = [(moment, name) for name in names if (moment := case.view.stale_at(case.subject, name)) is not None]
        if not moments:
            return Finding(False)
        moment, name = min(moments)
        if case.at < moment:
            return Finding(False, (), moment)
        fact = case.view.fact(case.subject, name)
        last = fact.at if fact else case.at
        return Finding(
            True, (Why(name, None, Quality.COMMS, last, case.view.unit(case.subject, name), None, case.whose),)
        )


class Pressed(Struct, frozen=True):
    """A press of the subject's button."""

    kinds: tuple[str, ...] = ()
    """Empty: every kind."""
    suspect: bool = False

    def find(self, case: Case) -> Finding:
        press = case.pulse
        if not isinstance(press, Press) or not case.view.means_sos(case.subject, press):
            return Finding(False)
        if (press.suspect is not None) is not self.suspect or (self.kinds and press.kind.value not in self.kinds):
            return Finding(False)
        told = "late" if press.late else press.suspect or press.kind.value
        return Finding(True, (Why("press", told, Quality.GOOD, case.at, of=case.whose),))


class Entered(Struct, frozen=True):
    """Something a door terminal saw, live."""

    types: tuple[str, ...]
    subject: str = ""
    direction: str = ""
    credential: str = ""

    def find(self, case: Case) -> Finding:
        entry = case.pulse
        if not isinstance(entry, Entry) or not entry.live or entry.type not in self.types:
            return Finding(False)
        asked = ((self.subject, entry.subject), (self.direction, entry.direction), (self.credential, entry.credential))
        if any(want and want != got for want, got in asked):
            return Finding(False)
        return Finding(True, (Why(entry.type, entry.code, Quality.GOOD, case.at, of=case.whose),))


class Seen(Struct, frozen=True):
    """A person under care gave a sign of life."""

    by: tuple[str, ...] = SIGNS

    def find(self, case: Case) -> Finding:
        sign = case.pulse
        if not isinstance(sign, Sign) or sign.person != case.subject or sign.by not in self.by:
            return Finding(False)
        return Finding(True, (Why("seen", sign.by, Quality.GOOD, sign.at, of=case.whose),))


class Between(Struct, frozen=True):
    """Local time of day, from (inclusive) to (exclusive), in minutes; may run over midnight.

    An untrusted clock counts as inside: better an alarm by day than none by night.
    """

    start_min: int
    end_min: int

    def find(self, case: Case) -> Finding:
        wall = case.view.wall(case.at)
        if wall is None:
            return Finding(True)
        opens = (self.start_min * MINUTE - wall.earliest) % DAY
        closes = (self.end_min * MINUTE - wall.earliest) % DAY or DAY
        inside = opens <= wall.latest - wall.earliest or closes < opens
        waits = [(edge * MINUTE - wall.shown) % DAY or DAY for edge in (self.start_min, self.end_min)]
        if wall.turns_in_ms is not None:
            waits.append(wall.turns_in_ms)  # what lies behind it is asked then
        return Finding(inside, (), Instant(case.at + min(waits)))


class All(Struct, frozen=True):
    """Every part holds."""

    parts: tuple[ConditionNode, ...]

    def find(self, case: Case) -> Finding:
        found = [part.find(case) for part in self.parts]
        truths = [f.truth for f in found]
        truth = False if False in truths else None if None in truths else True
        return Finding(truth, _reasons(found), _soonest(found), all(f.solid for f in found))


class Any(Struct, frozen=True):
    """At least one part holds."""

    parts: tuple[ConditionNode, ...]

    def find(self, case: Case) -> Finding:
        return any_of([part.find(case) for part in self.parts])


class Some(Struct, frozen=True):
    """The part holds for at least one of the subjects of a place."""

    part: ConditionNode

    def find(self, case: Case) -> Finding:
        return any_of([self.part.find(each) for each in case.each()])


class Not(Struct, frozen=True):
    """The part does not hold; unknown stays unknown. Times of day never stand here: ``negated`` turns them round.

    While the alert does not stand, the part does: it is asked with its return limit, so that a deadband works both ways.
    """

    part: ConditionNode

    def find(self, case: Case) -> Finding:
        found = self.part.find(msgspec.structs.replace(case, standing=not case.standing))
        return Finding(None if found.truth is None else not found.truth, (), found.due)


class Unknown(Struct, frozen=True):
    """Nobody can say whether the part holds."""

    part: ConditionNode

    def find(self, case: Case) -> Finding:
        found = self.part.find(case)
        return Finding(found.truth is None, found.why, found.due)


EVENTS = (Pressed, Entered, Seen)
"""What only happens, and so has no return."""


def negated(node: ConditionNode) -> ConditionNode:
    """The opposite, with every ``Not`` pushed down to the leaves (De Morgan).

    A time of day becomes the rest of the day: were it inside ``Not``, a clock that is not trusted would mean *never*.
    """
    if isinstance(node, All):
        return Any(tuple(negated(part) for part in node.parts))
    if isinstance(node, Any):
        return All(tuple(negated(part) for part in node.parts))
    if isinstance(node, Not):
        return node.part
    return Between(node.end_min, node.start_min) if isinstance(node, Between) else Not(node)


def leaves(node: ConditionNode) -> tuple[ConditionNode, ...]:
    """Every leaf of a tree, left to right. A condition with a past is one leaf: what it follows is its own affair."""
    if isinstance(node, All | Any):
        return tuple(leaf for part in node.parts for leaf in leaves(part))
    return leaves(node.part) if isinstance(node, Not | Some | Unknown) else (node,)


def steps_beyond(node: ConditionNode, why: tuple[Why, ...]) -> float | None:
    """How far the worst of some reasons is beyond its limit, in steps of that limit (see ``Threshold.step``).

    Steps, so that limits on either side, and those of different points, can be compared. Infinite: beyond the measuring range.
    None: no number is beyond a limit; at most a detector says so itself.
    """
    worst = furthest(node, why)
    return None if worst is None else worst[0]


def furthest(node: ConditionNode, why: tuple[Why, ...]) -> tuple[float, Why] | None:
    """The worst of some reasons, and how far it is beyond its limit (``steps_beyond``).

    What was said of a limit that is another by now (the site file was edited) is held against the one that the rule has.
    """
    thresholds = [leaf for leaf in leaves(node) if isinstance(leaf, Threshold)]
    found = [(far, reason) for reason in why if (far := _steps(thresholds, reason)) is not None]
    return max(found, key=_how_far, default=None)


def _how_far(found: tuple[float, Why]) -> float:
    return found[0]


def _steps(thresholds: list[Threshold], reason: Why) -> float | None:
    of_it = [leaf for leaf in thresholds if leaf.fact == reason.fact and reason.limit is not None]
    same = [leaf for leaf in of_it if leaf.limit == reason.limit]
    steps = [leaf.steps_beyond(reason) for leaf in same[-1:] or of_it]
    return max((far for far in steps if far is not None), default=None)


def happens(node: ConditionNode) -> bool:
    """Whether it is an event, or an event under conditions."""
    return any(isinstance(leaf, EVENTS) for leaf in leaves(node))


def mixes(node: ConditionNode) -> bool:
    """Whether an ``any`` joins an event and a state: the state alone would never be looked at, for it makes no event."""
    if not isinstance(node, All | Any):
        return False
    eventful = [happens(part) for part in node.parts]
    mixed = isinstance(node, Any) and any(eventful) and not all(eventful)
    return mixed or any(mixes(part) for part in node.parts)


def any_of(found: list[Finding]) -> Finding:
    """One finding of several: whether at least one holds."""
    truth: bool | None = False
    for f in found:
        if f.truth:
            truth = True
            break
        truth = None if f.truth is None else truth
    holding = [f for f in found if f.truth] if truth else found
    return Finding(truth, _reasons(holding), _soonest(found), bool(truth) and any(f.solid for f in holding))


def _reasons(found: list[Finding]) -> tuple[Why, ...]:
    said = [f.why for f in found if f.why]
    return said[0] if len(said) == 1 else tuple(why for reasons in said for why in reasons)


def _soonest(found: list[Finding]) -> Instant | None:
    due = [f.due for f in found if f.due is not None]
    return min(due) if due else None
