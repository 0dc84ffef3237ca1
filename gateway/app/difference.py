"""What was raised, held beside what other rules would have raised. Pure.

Theory. The id of an alert says on which event it was opened, so another threshold gives the same matter another id. Alerts are
the same matter if their ids are equal, or if they are of the same rule and subject and were open at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from gateway.alerts import Alert, ChangeKind, Grade, Priority, Rung
from gateway.app.replay import Step
from gateway.instant import Instant

_FOREVER = Instant(2**62)


class Matter(Struct, frozen=True):
    """One alert's life as far as people heard of it."""

    raised: Step
    until: Instant
    """When it was closed; far away while it is open."""
    grade: Grade
    priority: Priority
    told: tuple[tuple[Rung, int], ...]
    """Rungs, each with how long after the raise, in ms."""
    alarms: int
    """Raised and re-alarmed."""

    @property
    def closed(self) -> bool:
        """Whether it was ended within the recording."""
        return self.until != _FOREVER

    @property
    def first(self) -> Alert:
        """As it was raised."""
        return self.raised.change.alert


class Pair(Struct, frozen=True):
    """The same matter on both sides; one side None: only the other has it."""

    recorded: Matter | None
    other: Matter | None

    @property
    def at(self) -> Instant:
        """When it first was a matter on either side."""
        return min(side.raised.change.at for side in (self.recorded, self.other) if side is not None)

    @property
    def wall_ms(self) -> int | None:
        """The true time of ``at``, where known."""
        sides = [side.raised for side in (self.recorded, self.other) if side is not None]
        return min(sides, key=lambda step: step.change.at).wall_ms

    def differences(self) -> tuple[str, ...]:
        """What is not the same, by name: ``raised`` (when), ``priority``, ``grade``, ``told``, ``alarms``, ``closed``."""
        one, two = self.recorded, self.other
        if one is None or two is None:
            return ("only",)
        unequal = {
            "raised": one.raised.change.at != two.raised.change.at,
            "priority": one.priority != two.priority,
            "grade": one.grade != two.grade,
            "told": one.told != two.told,
            "alarms": one.alarms != two.alarms,
            "closed": one.until != two.until,
        }
        return tuple(name for name, differs in unequal.items() if differs)


def compare(recorded: Iterable[Step], other: Iterable[Step]) -> list[Pair]:
    """Every matter of either side, in order of its first raise."""
    ours, theirs = _matters(recorded), _matters(other)
    pairs = [Pair(matter, theirs.pop(name)) for name, matter in list(ours.items()) if name in theirs]
    for pair in pairs:
        if pair.recorded is not None:
            ours.pop(pair.recorded.first.id)
    for matter in ours.values():
        twin = next((one for one in theirs.values() if _same(matter, one)), None)
        if twin is not None:
            theirs.pop(twin.first.id)
        pairs.append(Pair(matter, twin))
    pairs += (Pair(None, matter) for matter in theirs.values())
    return sorted(pairs, key=lambda pair: pair.at)


def _same(one: Matter, two: Matter) -> bool:
    """Of one rule and subject, and open at the same time."""
    mine, yours = one.first, two.first
    if (mine.rule, mine.subject) != (yours.rule, yours.subject):
        return False
    return one.raised.change.at <= two.until and two.raised.change.at <= one.until


def _matters(steps: Iterable[Step]) -> dict[str, Matter]:
    lives: dict[str, list[Step]] = {}
    for step in steps:
        lives.setdefault(step.change.alert.id, []).append(step)
    return {name: _matter(life) for name, life in lives.items()}


def _matter(life: list[Step]) -> Matter:
    raised = next((step for step in life if step.change.kind is ChangeKind.RAISED), life[0])
    last = life[-1].change
    began = raised.change.at
    return Matter(
        raised=raised,
        until=last.at if not last.alert.open else _FOREVER,
        grade=last.alert.grade,
        priority=last.alert.priority,
        told=tuple((step.rung, step.at - began) for step in last.alert.told),
        alarms=sum(step.change.kind in {ChangeKind.RAISED, ChangeKind.RE_ALARMED} for step in life),
    )
