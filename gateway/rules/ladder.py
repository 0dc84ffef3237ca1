"""The climb: who is told next, and when.

Theory. A ladder is a row of rungs, each with a delay from the raise. Telling a rung arms the deadline of the next; an
unoccupied rung is passed at once, and recorded, so none is ever skipped. The first acknowledgement stops the climb and starts
the second deadline (on site, or closed); missing that, the climb goes on from the next rung, and where nobody stands there or
above, the highest that somebody stands on is told again. Where the climb ends is the grade's business: the building's own
matter does not reach the district, but a critical alert always may.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Any

import msgspec

from gateway.alerts import Alert, Grade, Priority, Response, Rung, Suppression, Told
from gateway.instant import MINUTE, Instant
from gateway.rules.compound import GridPlan, building_of

RUNGS = tuple(Rung)

END_OF_CLIMB: dict[Grade, Rung] = {
    Grade.PRIVATE: Rung.BUILDING,
    Grade.SMALL: Rung.COMMUNITY,
    Grade.BIG: Rung.STREET,
    Grade.HARD: Rung.DISTRICT,
}
"""Contract, "Priority and grade": the grade sets the owner and where the climb ends."""


TOLD_FIRST, MOST_TOLD = 20, 45
"""So many of the rungs told an alert carries along, whole climbs with their repeats: one that is shelved and taken back, or comes
and goes, for months would grow without end, and with it each of its messages."""


ANSWERS_WITHIN_MS = 10 * MINUTE
"""As long as who answered a critical alert has to come (contract): before that nobody is called a second time for the same."""


class Because(StrEnum):
    """Why a rung was told."""

    RAISED = "raised"
    DUE = "due"
    NOBODY_BELOW = "nobody_below"
    NOT_ON_SITE = "not_on_site"
    TOP_AGAIN = "top_again"


def rungs_of(alert: Alert, grid: GridPlan) -> list[tuple[Rung, int]]:
    """The rungs this alert may climb, lowest first, each with its delay in ms from the start of the climb."""
    delays = delays_of(alert.place, alert.priority, grid)
    top = alert.climb_to or (Rung.DISTRICT if alert.priority is Priority.CRITICAL else END_OF_CLIMB[alert.grade])
    reach = RUNGS[: RUNGS.index(top) + 1]
    return [(rung, delay) for rung in reach if (delay := delays.get(rung)) is not None]


def delays_of(place: str, priority: Priority, grid: GridPlan) -> dict[Rung, int | None]:
    """The ladder of this place: rung -> delay in ms; None: never."""
    return grid.ladders.get(building_of(place), grid.ladders[""])[priority]


def people_on(rung: Rung, place: str, grid: GridPlan) -> tuple[str, ...]:
    """Who stands on a rung for a place."""
    by_building = grid.people.get(rung, {})
    return by_building.get(building_of(place), by_building.get("", ()))


def start(alert: Alert, at: Instant, grid: GridPlan) -> Alert:
    """Begin the climb at the foot of the ladder and tell every rung that is due at once."""
    foot = msgspec.structs.replace(
        alert, climb_from=at, next_rung=_first(rungs_of(alert, grid)), climb_due=at, answer_due=None
    )
    return climb(foot, at, grid, Because.RAISED)


def climb(alert: Alert, at: Instant, grid: GridPlan, because: Because) -> Alert:
    """Tell the next rung, and every further one that is due by now or stands above an empty one."""
    if alert.next_rung is None or alert.climb_from is None:
        return msgspec.structs.replace(alert, climb_due=None)
    rungs = rungs_of(alert, grid)
    names = [rung for rung, _ in rungs]
    index = names.index(alert.next_rung) if alert.next_rung in names else len(rungs)
    told, waiting = list(alert.told), False
    testing = alert.suppression is Suppression.BY_DESIGN and alert.climb_to is None
    while index < len(rungs) and not waiting:
        rung = rungs[index][0]
        people = people_on(rung, alert.place, grid)
        told.append(Told(rung, at, people, because.value))
        index += 1
        due_now = index < len(rungs) and alert.climb_from + rungs[index][1] <= at and not testing
        waiting = bool(people) and not due_now
        because = because if people else Because.NOBODY_BELOW
    if testing:
        return _tell(alert, told, next_rung=None, climb_due=None)  # it does not climb
    return _tell(
        alert,
        told,
        next_rung=rungs[index][0] if index < len(rungs) else None,
        climb_due=Instant(alert.climb_from + rungs[index][1]) if index < len(rungs) else None,
    )


def go_on(alert: Alert, at: Instant, grid: GridPlan) -> Alert:
    """Nobody came in time after the acknowledgement: tell the next rung now; where nobody stands on it or above, the top again."""
    delays = dict(rungs_of(alert, grid))
    if alert.next_rung not in delays:
        return _call_again(alert, at, grid)
    resumed = msgspec.structs.replace(alert, climb_from=Instant(at - delays[alert.next_rung]))
    climbed = climb(resumed, at, grid, Because.NOT_ON_SITE)
    return climbed if has_told(climbed, at) else _call_again(climbed, at, grid)


def _call_again(alert: Alert, at: Instant, grid: GridPlan) -> Alert:
    """The highest rung with somebody on it; an empty one comes no further by being called."""
    rungs = [rung for rung, _ in rungs_of(alert, grid)] or [Rung.BUILDING]
    top = next((rung for rung in reversed(rungs) if people_on(rung, alert.place, grid)), rungs[-1])
    told = Told(top, at, people_on(top, alert.place, grid), Because.TOP_AGAIN.value)
    last = alert.told[-1] if alert.told else None
    again = last is not None and (last.rung, last.because) == (told.rung, told.because)
    # Called every ten minutes until somebody comes: the last call stands for those before, which have their own revisions.
    return _tell(alert, [*(alert.told[:-1] if again else alert.told), told])


def has_told(alert: Alert, at: Instant) -> bool:
    """Whether somebody was told at this moment: a rung that nobody stands on hears nothing."""
    return any(told.at == at and told.people for told in alert.told)


def is_climbing(alert: Alert, at: Instant) -> bool:
    """Whether somebody is called next, of a climb that has begun."""
    begun = alert.climb_from is not None and alert.climb_from <= at
    return begun and alert.climb_due is not None and alert.response is Response.UNANSWERED


def is_calling(alert: Alert, at: Instant) -> bool:
    """Whether people are being called who have not answered: somebody is called next, or whom it called last have time to answer
    yet. What a shelf has cut short calls nobody, nor does a drill.
    """
    if alert.response is not Response.UNANSWERED or alert.suppression is not Suppression.NONE:
        return False
    over = _time_over(alert) if alert.next_rung is None and alert.shelved_ms == 0 else None
    return alert.climb_due is not None or (over is not None and at < over)


def start_later(alert: Alert, grid: GridPlan) -> Alert:
    """Begin the climb when those who were called have had their time to answer, if it does not wait for that already."""
    over = _time_over(alert)
    if alert.climb_due is not None or over is None:
        return alert
    return msgspec.structs.replace(alert, climb_from=over, next_rung=_first(rungs_of(alert, grid)), climb_due=over)


def _time_over(alert: Alert) -> Instant | None:
    """When those who were called last have had their time to answer; None: nobody was."""
    called = [told.at for told in alert.told if told.people]
    return Instant(called[-1] + ANSWERS_WITHIN_MS) if called else None


def after_unknown_downtime(alert: Alert, at: Instant, grid: GridPlan) -> Alert:
    """Nobody can say how long we were away: the climb moves one rung at once, and waits anew for the one after."""
    if alert.climb_due is None or alert.next_rung is None:
        return alert
    delay = dict(rungs_of(alert, grid)).get(alert.next_rung, 0)
    return msgspec.structs.replace(alert, climb_from=Instant(at - delay), climb_due=at)


def relay(alert: Alert, grid: GridPlan) -> Alert:
    """The ladder was laid anew: the next rung is the first that is left above those told in this climb, at its new time, or at the old one
    if that is sooner: nobody who waits is called later for an edit.

    A climb is never taken back, and what the new ladder wanted told by now is told at once. One that ended goes on where the
    ladder has become longer.
    """
    if alert.next_rung is None or alert.climb_from is None:
        return extend(alert, grid)
    floor = RUNGS.index(alert.next_rung)
    if alert.told and alert.told[-1].at >= alert.climb_from:  # a file before this one may have left some out
        floor = min(floor, RUNGS.index(alert.told[-1].rung) + 1)
    left = [(rung, delay) for rung, delay in rungs_of(alert, grid) if RUNGS.index(rung) >= floor]
    if not left:
        return msgspec.structs.replace(alert, next_rung=None, climb_due=None)
    rung, delay = left[0]
    due = None if alert.climb_due is None else Instant(alert.climb_from + delay)
    if due is not None and alert.climb_due is not None and rung is alert.next_rung:
        due = min(due, alert.climb_due)
    return msgspec.structs.replace(alert, next_rung=rung, climb_due=due)


def has_told_nobody(alert: Alert, grid: GridPlan) -> bool:
    """Whether its climb is over, it found nobody on any rung, ever, and would find somebody now."""
    calls = alert.response is Response.UNANSWERED and alert.suppression is Suppression.NONE
    if not calls or alert.climb_from is None or alert.climb_due is not None:
        return False
    # In any climb: after a time of unknown length this one may seem to begin above them.
    heard = any(told.people for told in alert.told)
    return not heard and any(people_on(rung, alert.place, grid) for rung, _ in rungs_of(alert, grid))


def hasten(alert: Alert, at: Instant, grid: GridPlan) -> Alert:
    """Who has answered is waited for no longer than the site file says now, from now on."""
    within = grid.answer_by.get(alert.priority)
    if alert.answer_due is None or within is None:
        return alert
    return msgspec.structs.replace(alert, answer_due=min(alert.answer_due, Instant(at + within)))


def extend(alert: Alert, grid: GridPlan) -> Alert:
    """After a regrade the ladder may be longer: the first rung above those told in this climb is the next; it waits if nobody climbs now.

    A rung that was laid below them comes too late: from there the climb would tell all of them once more.
    """
    if alert.next_rung is not None or alert.climb_from is None:
        return alert
    floor = max(map(RUNGS.index, _told_last(alert)), default=-1)
    further = [(rung, delay) for rung, delay in rungs_of(alert, grid) if RUNGS.index(rung) > floor]
    if not further:
        return alert
    rung, delay = further[0]
    climbing = alert.response is Response.UNANSWERED and alert.suppression is Suppression.NONE
    due = Instant(alert.climb_from + delay) if climbing else None
    return msgspec.structs.replace(alert, next_rung=rung, climb_due=due)


def _told_last(alert: Alert) -> set[Rung]:
    """The rungs told in the last climb: a climb goes up, so what is no higher than the one before it began another."""
    climbed: list[Rung] = []
    for told in alert.told:
        if told.because == Because.TOP_AGAIN:
            continue
        if climbed and RUNGS.index(told.rung) <= RUNGS.index(climbed[-1]):
            climbed.clear()
        climbed.append(told.rung)
    return set(climbed)


def _tell(alert: Alert, told: list[Told], **changes: Any) -> Alert:
    """These were told. Beyond the first and the last ones goes the oldest whose rung stands elsewhere, too: ``extend`` asks
    which rungs were told at all.
    """
    left_out = alert.told_left_out
    while len(told) > MOST_TOLD:
        rungs = Counter(one.rung for one in told)
        del told[next(n for n, one in enumerate(told) if n >= TOLD_FIRST and rungs[one.rung] > 1)]
        left_out += 1
    return msgspec.structs.replace(alert, told=tuple(told), told_left_out=left_out, **changes)


def _first(rungs: list[tuple[Rung, int]]) -> Rung | None:
    return rungs[0][0] if rungs else None
