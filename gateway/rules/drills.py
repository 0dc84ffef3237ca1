"""A test of the chain that a person asks for: an alert without a cause, to show that the way works. Pure.

Theory. It is raised, told, sent upstream, answered and closed as every alert is, for nothing else shows that the way works. It is
no alert of a rule, so no output ever hears of it, and it is a drill from its first word to its last: it ends by itself, and never
turns into an alarm as a detector's test does (``testing``). It climbs as far as was said. It gives way to any real critical
alert: none is begun beside one, and one that stands is over as soon as one sounds (docs/decisions/0024).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from gateway.alerts import CHAIN_TEST, Alert, Grade, Priority, Rung, Suppression
from gateway.events import Command
from gateway.instant import HOUR, MINUTE, Instant
from gateway.rules.compound import Compound, within
from gateway.rules.ladder import people_on, rungs_of

USUAL_MS = 10 * MINUTE
"""Where nobody says how long: the second deadline of a critical alert is as long, and who has not answered by then will not."""
LONGEST_MS = 1 * HOUR
"""Long enough for the district's rung of the default ladder (30 min); a drill that nobody ended must not fill the day."""


class Drill(Struct, frozen=True):
    """What is to be tested, as it was asked for."""

    subject: str
    place: str
    priority: Priority
    up_to: Rung | None
    for_ms: int


def target(named: str, compound: Compound) -> tuple[str, str] | None:
    """Subject and place of what is named; None where nothing is called so, or it is a person: nobody is tested. Nothing, or the
    site's own id, is the whole compound.
    """
    subject = compound.subjects.get(named)
    if subject is not None:
        return (named, subject.place) if subject.care is None else None
    if named and any(within(subject.place, named) for subject in compound.subjects.values() if subject.care is None):
        return named, named
    return (compound.site, "") if named in {"", compound.site} else None


def drill_of(command: Command, subject: str, place: str) -> Drill:
    """The drill that is asked for, about this subject. Raises ValueError where its priority or rung is none."""
    return Drill(
        subject,
        place,
        Priority(command.priority or Priority.CRITICAL),
        Rung(command.up_to) if command.up_to else None,
        USUAL_MS if command.for_ms is None else command.for_ms,
    )


def is_in_reach(drill: Drill, compound: Compound) -> bool:
    """Whether somebody is told of it: on the rung that was asked for, and before it is over; where none was, on any."""
    rungs = dict(rungs_of(alert_of(drill, "", 0, "", Instant(0), "", ""), compound.grid))
    manned = {rung: delay for rung, delay in rungs.items() if people_on(rung, drill.place, compound.grid)}
    if drill.up_to is None:
        return bool(manned)
    return drill.up_to in manned and manned[drill.up_to] < drill.for_ms


def alert_of(drill: Drill, identity: str, revision: int, occasion: str, at: Instant, who: str, reason: str) -> Alert:
    """The alert of a drill, before anybody is told of it."""
    return Alert(
        id=identity,
        revision=revision,
        rule=CHAIN_TEST,
        subject=drill.subject,
        place=drill.place,
        priority=drill.priority,
        grade=Grade.SMALL,
        occasion=occasion,
        opened_at=at,
        changed_at=at,
        why=(),
        momentary=True,
        suppression=Suppression.BY_DESIGN,
        drill=True,
        climb_to=drill.up_to,
        shelved_until=Instant(at + drill.for_ms),
        shelved_by=who,
        reason=reason,
    )


def is_test(alert: Alert) -> bool:
    """Whether it is one that a person asked for."""
    return alert.rule == CHAIN_TEST


def is_real_alarm(alert: Alert) -> bool:
    """Whether it is one beside which nobody may be busy with a drill: answered or not, shelved or not."""
    return alert.priority is Priority.CRITICAL and not alert.drill


def tests_among(alerts: Iterable[Alert]) -> list[Alert]:
    """Those that a person asked for."""
    return [alert for alert in alerts if is_test(alert)]
