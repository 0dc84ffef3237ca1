"""Conditions with a past: a change within a time, so many within a time, one after the other, nothing for a time.

Each is a *state* like any other: true, false or unknown, and true only while its window lasts. Pure. What it needs of the
past is in its ``Memory``: ``remember`` brings that up to date when something happened, ``find`` judges by it and changes
nothing, so that a core restored from its rows judges as the living one.

Theory. What happens *to* a part is an occurrence: an event (a press, a pass) when it comes, a state when it begins to hold.
A window takes in both its ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

import msgspec
from msgspec import Struct

from gateway.alerts import Why
from gateway.events import Quality
from gateway.instant import HOUR, MINUTE, Instant
from gateway.rules.conditions import (
    All,
    Any,
    Between,
    Is,
    Not,
    Some,
    Stale,
    Threshold,
    Unknown,
    any_of,
    happens,
    leaves,
    negated,
)
from gateway.rules.memory import Memory, Occurrence, Trail
from gateway.rules.question import Case, ConditionNode, Fact, Finding, is_stale, soonest, why_of
from gateway.rules.signs import Leave, Sign
from gateway.rules.testing import believed_until

_SIXTIETHS = 60
_replace = msgspec.structs.replace


class Historic(Protocol):
    """A condition with a past."""

    @property
    def slot(self) -> int:
        """Its place among the memories of the watch."""
        ...

    @property
    def parts(self) -> tuple[ConditionNode, ...]:
        """The conditions whose occurrences it follows."""
        ...

    def remember(self, case: Case) -> Memory:
        """The memory after this moment."""
        ...

    def find(self, case: Case) -> Finding: ...


class Moved(Struct, frozen=True):
    """A value rose (or fell) by so much within a time.

    A value holds until the next one is heard. What was before a restart, or before the point was stale or broken, is not
    compared with: nobody knows how the value got from there to here. Nor is what is read in a test that is believed, for that is
    the tester's gas; in a forgotten one nobody stands at the detector, and its values are all there are.
    """

    fact: str
    by: float
    within_ms: int
    rises: bool = True
    slot: int = 0

    @property
    def parts(self) -> tuple[ConditionNode, ...]:
        return ()

    def remember(self, case: Case) -> Memory:
        memory = case.past[self.slot]
        trails = {each.subject: self._trail(each, memory.trail.get(each.subject, ())) for each in case.each()}
        known = {subject: trail for subject, trail in trails.items() if trail}
        return memory if known == memory.trail else _replace(memory, trail=known)

    def find(self, case: Case) -> Finding:
        trails = case.past[self.slot].trail
        found = [self._moved(each, trails.get(each.subject, ())) for each in case.each()]
        return any_of(found)

    def _trail(self, case: Case, trail: Trail) -> Trail:
        number = self._number(case)
        if number is None:
            return ()
        fact, value = number
        kept = [point for point in trail if point[0] >= case.view.awake_since()]
        if not kept or kept[-1][0] < fact.at or kept[-1][1] != value:
            while kept and (kept[-1][1] >= value if self.rises else kept[-1][1] <= value):
                kept.pop()  # the new value is further away, and later: only it matters from now on
            kept.append((fact.at, value))
        if len(kept) > 2 and self._sixtieth(kept[-3][0]) == self._sixtieth(kept[-1][0]):
            del kept[-2]
        while len(kept) > 1 and kept[1][0] <= case.at - self.within_ms:
            del kept[0]
        return tuple(kept)

    def _sixtieth(self, at: Instant) -> int:
        return at // max(1, self.within_ms // _SIXTIETHS)

    def _moved(self, case: Case, trail: Trail) -> Finding:
        if not case.view.has(case.subject, self.fact):
            return Finding(False)
        number, stale_at = self._number(case), case.view.stale_at(case.subject, self.fact)
        if number is None:
            return Finding(None, (), self._blind_until(case))
        fact, value = number
        lasting = [then for then in trail[1:] if then[0] > case.at - self.within_ms]
        window = trail[len(trail) - 1 - len(lasting) :]
        if not window:
            return Finding(False, (), stale_at)
        moved = value - window[0][1] if self.rises else window[0][1] - value
        until = Instant(window[1][0] + self.within_ms) if len(window) > 1 else None
        due, unit = soonest((until, stale_at)), case.view.unit(case.subject, self.fact)
        if moved < self.by:
            return Finding(False, (), due)
        by = Why("moved", moved, Quality.GOOD, fact.at, unit, self.by, case.whose)
        return Finding(True, (why_of(case, self.fact, fact, None), by), due, solid=False)

    def _number(self, case: Case) -> tuple[Fact, float] | None:
        """The last word, if it is a number, believed, fresh, and heard in this run."""
        fact = case.view.fact(case.subject, self.fact)
        if fact is None or is_stale(case, self.fact) or fact.at < case.view.awake_since():
            return None
        tested = fact.quality is Quality.UNDER_TEST
        if isinstance(fact.value, bool | str) or fact.value is None or not fact.believed(alarming=tested):
            return None
        if self._blind_until(case) is not None:
            return None
        return fact, float(fact.value)  # as the trail comes back from a row: a whole number must not tell a restart

    def _blind_until(self, case: Case) -> Instant | None:
        """Until when what is read may be the tester's gas; None: it is not read in a test that is believed."""
        fact = case.view.fact(case.subject, self.fact)
        tested = fact is not None and fact.quality is Quality.UNDER_TEST
        return believed_until(case.view, case.subject, self.fact, case.at) if tested else None


class Counted(Struct, frozen=True):
    """So many occurrences, or so many different subjects, within a time; with no time, so many subjects at once."""

    part: ConditionNode
    least: int
    within_ms: int = 0
    subjects: bool = False
    slot: int = 0

    @property
    def parts(self) -> tuple[ConditionNode, ...]:
        return (self.part,)

    def remember(self, case: Case) -> Memory:
        memory = case.past[self.slot]
        if not self.within_ms:
            return memory
        held, fresh = _comings(((0, self.part),), case, memory.held)
        kept = [o for o in memory.past if not self.subjects or o.of not in {came.of for came in fresh}]
        past = (*kept, *fresh)[-self.least :]
        return memory if (held, past) == (memory.held, memory.past) else _replace(memory, held=held, past=past)

    def find(self, case: Case) -> Finding:
        found = {each.subject: self.part.find(each) for each in case.each()}
        due = soonest(f.due for f in found.values())
        holding = [subject for subject, f in found.items() if f.truth]
        unknown = sum(f.truth is None for f in found.values())
        recent = [o for o in case.past[self.slot].past if case.at - o.at <= self.within_ms] if self.within_ms else []
        counted = len({*holding, *(o.of for o in recent)}) if self._by_subject else len(recent)
        if counted < self.least:
            open_still = bool(unknown) and (case.standing or counted + unknown >= self.least)
            return Finding(None if open_still else False, (), due)
        reasons = tuple(why for subject in holding for why in found[subject].why)
        last = max((o.at for o in recent), default=case.at)
        why = (Why("count", counted, Quality.GOOD, last, "", self.least), *reasons)
        return Finding(True, why, soonest((due, *(Instant(o.at + self.within_ms + 1) for o in recent))))

    @property
    def _by_subject(self) -> bool:
        return self.subjects or not self.within_ms


class Sequence(Struct, frozen=True):
    """One after the other, from the first to the last within a time; it stands for as long after the last."""

    parts: tuple[ConditionNode, ...]
    within_ms: int
    slot: int = 0

    def remember(self, case: Case) -> Memory:
        memory = case.past[self.slot]
        held, fresh = _comings(tuple(enumerate(self.parts)), case, memory.held)
        reached = {o.step: o.at for o in memory.past}
        last = len(self.parts) - 1
        for step in sorted({came.step for came in fresh}, reverse=True):  # so that one occurrence is one step
            if step == 0:
                reached[0] = case.at
            elif step - 1 in reached and case.at - reached[step - 1] <= self.within_ms:
                reached[step] = case.at if step == last else reached[step - 1]
        past = tuple(Occurrence(at, step=step) for step, at in sorted(reached.items()))
        return memory if (held, past) == (memory.held, memory.past) else _replace(memory, held=held, past=past)

    def find(self, case: Case) -> Finding:
        found = [part.find(each) for part in self.parts for each in case.each()]
        due = soonest(f.due for f in found)
        done = next((o.at for o in case.past[self.slot].past if o.step == len(self.parts) - 1), None)
        if done is None or case.at - done > self.within_ms:
            return Finding(None if case.standing and any(f.truth is None for f in found) else False, (), due)
        why = (Why("sequence", len(self.parts), Quality.GOOD, done),)
        return Finding(True, why, soonest((due, Instant(done + self.within_ms + 1))))


class Absent(Struct, frozen=True):
    """Nothing of a kind for so long, while we would have heard it.

    Unknown where the time is over but somebody was deaf in it: a terminal was lost or has missing serial numbers, the
    gateway was off, nobody knows whether the person is away. Then neither "absent" nor "all well" can be said.
    """

    part: ConditionNode
    for_ms: int
    after: ConditionNode | None = None
    """Only after this has happened."""
    slot: int = 0

    @property
    def parts(self) -> tuple[ConditionNode, ...]:
        return (self.part,) if self.after is None else (self.part, self.after)

    def remember(self, case: Case) -> Memory:
        memory = case.past[self.slot]
        held, fresh = _comings(tuple(enumerate(self.parts)), case, memory.held)
        latest = {o.step: o for o in memory.past}
        for step in {came.step for came in fresh} | {
            int(key.split("/", 1)[0]) for key in memory.held if key not in held
        }:
            at = case.pulse.at if isinstance(case.pulse, Sign) else case.at
            if step not in latest or latest[step].at < at:
                latest[step] = Occurrence(at, step=step, heard=at - case.view.blind_ms())
        unsure = any(self.part.find(each).truth is None for each in case.each())
        sure_from = case.at if unsure is not memory.unsure else memory.sure_from
        past = tuple(latest[step] for step in sorted(latest))
        return _replace(memory, held=held, past=past, unsure=unsure, sure_from=sure_from)

    def find(self, case: Case) -> Finding:
        memory = case.past[self.slot]
        leave = _leave(case)
        due = soonest((*(part.find(each).due for part in self.parts for each in case.each()), leave.until))
        began = self._began(case, memory, leave.ended)
        there = not memory.unsure and any(key.startswith("0/") for key in memory.held)
        if leave.truth or began is None or there:
            return Finding(False, (), due)
        late = Instant(began.at + self.for_ms)
        if case.at < late:
            return Finding(False, (), soonest((due, late)))
        claim = self._claim(case, memory, began) if leave.truth is False else None
        if claim is None or case.at < claim:
            return Finding(None, (self._why(case, began), *self._doubts(case, began, leave)), soonest((due, claim)))
        return Finding(True, (self._why(case, began),), due)

    def _doubts(self, case: Case, began: Occurrence, leave: Leave) -> tuple[Why, ...]:
        """Why nobody can tell."""
        deaf = case.view.deaf_since(case.members or (case.subject,), began.at)
        reasons = [Why("deaf", source, Quality.COMMS, at) for source, at in deaf]
        if leave.truth is None:
            reasons.append(Why("away", None, Quality.COMMS, began.at))
        return tuple(reasons)

    def _claim(self, case: Case, memory: Memory, began: Occurrence) -> Instant | None:
        """From when on it may be said that nothing happened; None: as things stand, never."""
        covered = case.view.covered_since(case.members or (case.subject,))
        if covered is None or memory.unsure:
            return None
        known_from = max(covered, memory.sure_from)
        listened = Instant(began.heard + self.for_ms + case.view.blind_ms())
        if self.after is None:
            return max(listened, Instant(known_from + self.for_ms))
        return listened if known_from <= began.at else None

    def _began(self, case: Case, memory: Memory, ended: Instant | None) -> Occurrence | None:
        """From when the time counts; None while it does not."""
        latest = {o.step: o for o in memory.past}
        back = () if ended is None else (Occurrence(ended, heard=ended - case.view.blind_ms()),)
        if self.after is None:
            return _latest(memory.begun, *latest.values(), *back)
        came, gone = latest.get(0), latest.get(1)
        if gone is None or (came is not None and came.at > gone.at):
            return None
        return _latest(gone, *back)

    def _why(self, case: Case, began: Occurrence) -> Why:
        unit, length = ("h", HOUR) if self.for_ms >= HOUR else ("min", MINUTE)
        gone = round((case.at - began.at) / length, 1)
        return Why("absent", gone, Quality.GOOD, began.at, unit, round(self.for_ms / length, 1))


def _leave(case: Case) -> Leave:
    """Whether all who are meant are away. Who stays is waited for, and the time counts from whoever was back first."""
    if not case.members:
        return case.view.leave(case.subject, case.at)
    leaves_of_absence = [case.view.leave(member, case.at) for member in case.members]
    truths = [leave.truth for leave in leaves_of_absence]
    truth = False if False in truths else None if None in truths else True
    back = [leave.ended for leave in leaves_of_absence if leave.truth is False]
    known = [ended for ended in back if ended is not None]
    ended = min(known, default=None) if len(known) == len(back) else None
    return Leave(truth, soonest(leave.until for leave in leaves_of_absence), ended)


def _latest(first: Occurrence, *more: Occurrence) -> Occurrence:
    for occurrence in more:
        first = occurrence if occurrence.at > first.at else first
    return first


def _comings(
    parts: tuple[tuple[int, ConditionNode], ...], case: Case, before: tuple[str, ...]
) -> tuple[tuple[str, ...], list[Occurrence]]:
    """What holds now (``step/subject``), and what has come since: an event in hand, or a state that did not hold."""
    held, fresh = [], []
    for step, part in parts:
        for each in case.each():
            found, key = part.find(each), f"{step}/{each.subject}"
            if not found.truth:
                if found.truth is None and key in before:
                    held.append(key)  # unknown is no end: when it is known again, it has not come anew
                continue
            if not happens(part):
                held.append(key)
            if happens(part) or key not in before:
                fresh.append(Occurrence(case.at, each.subject, step))
    return tuple(held), fresh


FACTUAL = Threshold | Is | Stale | Moved
"""Leaves that read a fact by its name."""


def historic(node: ConditionNode) -> tuple[Historic, ...]:
    """The conditions with a past in a tree, in the order of their slots."""
    return tuple(leaf for leaf in leaves(node) if isinstance(leaf, Moved | Counted | Sequence | Absent))


def anew(node: Historic, memory: Memory) -> Memory:
    """After a stretch of unknown length: what lies before it may be of any age, and is counted no more.

    An absence goes on: its time is time spent listening, and who was deaf meanwhile is known elsewhere.
    """
    return _replace(memory, past=()) if isinstance(node, Counted | Sequence) else memory


def sources(node: ConditionNode) -> tuple[ConditionNode, ...]:
    """Every leaf of a tree, those within conditions with a past too: what a rule reads and what it waits for."""
    found: list[ConditionNode] = []
    for leaf in leaves(node):
        found.append(leaf)
        if isinstance(leaf, Counted | Sequence | Absent):
            found.extend(inner for part in leaf.parts for inner in leaves(part))
    return tuple(found)


def numbered(node: ConditionNode, numbers: Iterator[int]) -> ConditionNode:
    """The same tree, each of its conditions with a past numbered."""
    if isinstance(node, All | Any):
        return _replace(node, parts=tuple(numbered(part, numbers) for part in node.parts))
    if isinstance(node, Not | Some | Unknown):
        return _replace(node, part=numbered(node.part, numbers))
    return _replace(node, slot=next(numbers)) if isinstance(node, Moved | Counted | Sequence | Absent) else node


def for_places(node: ConditionNode) -> ConditionNode:
    """The same tree asked of a place: each leaf holds there if it holds for some subject of it."""
    if isinstance(node, All | Any):
        return _replace(node, parts=tuple(for_places(part) for part in node.parts))
    if isinstance(node, Not | Unknown):
        return _replace(node, part=for_places(node.part))
    return node if isinstance(node, Moved | Counted | Sequence | Absent | Between) else Some(node)


def renamed(node: ConditionNode, names: Mapping[str, str], either: Collection[str] = ()) -> ConditionNode:
    """The same tree that reads each fact by the name that ``names`` has for it; those in ``either`` by their own as well."""
    if isinstance(node, All | Any | Sequence):
        return _replace(node, parts=tuple(renamed(part, names, either) for part in node.parts))
    if isinstance(node, Not):
        return negated(renamed(node.part, names, either))
    if isinstance(node, Some | Unknown | Counted):
        return _replace(node, part=renamed(node.part, names, either))
    if isinstance(node, Absent):
        after = None if node.after is None else renamed(node.after, names, either)
        return _replace(node, part=renamed(node.part, names, either), after=after)
    if not isinstance(node, FACTUAL) or node.fact not in names:
        return node
    now = _replace(node, fact=names[node.fact])
    return Any((node, now)) if node.fact in either else now


def shape_of(node: ConditionNode) -> str:
    """A fingerprint of the conditions with a past: memories of others are no use to them. For how long they look back is no part of it:
    what they remember is the same.
    """
    return _fingerprint(tuple(_of_any_length(one) for one in historic(node)))


def shape_before(node: ConditionNode) -> str:
    """The same as an earlier version wrote it: of these lengths alone."""
    return _fingerprint(historic(node))


def _of_any_length(node: Historic) -> Historic:
    if isinstance(node, Absent):
        return _replace(node, for_ms=1)
    # A count within no time follows nothing.
    return _replace(node, within_ms=min(1, node.within_ms)) if isinstance(node, Moved | Counted | Sequence) else node


def _fingerprint(nodes: tuple[Historic, ...]) -> str:
    return hashlib.sha256(repr(nodes).encode()).hexdigest()[:8] if nodes else ""
