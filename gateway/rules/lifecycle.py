"""What may become of an alert: pure steps from one alert to the next (ISA-18.2, clause 5.2, kept to our three axes).

Each step returns the alert after it and leaves the revision to the engine. No step looks at a rule's condition; the
engine says when a condition came, went or worsened.
"""

from __future__ import annotations

import msgspec

from gateway.alerts import Alert, Condition, Response, Rung, Suppression
from gateway.instant import Instant

_replace = msgspec.structs.replace


def acknowledge(alert: Alert, at: Instant, who: str, answer_by_ms: int | None, *, on_site: bool) -> Alert:
    """A named person took it: the climb stops, the second deadline starts unless the person stands there.

    Said again, by whomever, it postpones nothing: the first deadline stands, and who stands there goes on standing there. A climb
    that went on because nobody came is stopped by whoever answers for the first time, and by nobody twice (docs/decisions/0027).
    """
    if alert.response is Response.ACKNOWLEDGED:
        return _acknowledge_again(alert, at, who, on_site=on_site)
    waits = not on_site and answer_by_ms is not None and alert.suppression is Suppression.NONE
    due = Instant(at + (answer_by_ms or 0)) if waits else None
    return _replace(
        alert,
        response=Response.ACKNOWLEDGED,
        answered_by=who,
        answered_at=at,
        on_site=on_site,
        next_rung=_rung_of_what_began(alert, at),
        climb_due=None,
        answer_due=due,
    )


def _rung_of_what_began(alert: Alert, at: Instant) -> Rung | None:
    """Where its climb goes on. One that is still to begin comes after another, all of which is over: the top is next."""
    return None if alert.climb_from is not None and alert.climb_from > at else alert.next_rung


def _acknowledge_again(alert: Alert, at: Instant, who: str, *, on_site: bool) -> Alert:
    if alert.on_site:
        return alert
    before = tuple(dict.fromkeys((*alert.answered_before, alert.answered_by or "")))
    return _replace(
        alert,
        answered_by=who,
        answered_at=at,
        answered_before=before,
        on_site=on_site,
        climb_due=alert.climb_due if who in before and not on_site else None,
        answer_due=None if on_site else alert.answer_due,
    )


def return_to_normal(alert: Alert) -> Alert:
    """The condition is gone. What a person owes (answer, reset) stays owed."""
    return _replace(alert, condition=Condition.NORMAL)


def re_alarm(alert: Alert) -> Alert:
    """The condition came back or worsened, or the button was pressed again, after somebody had answered."""
    return _replace(
        alert,
        condition=Condition.ACTIVE,
        response=Response.UNANSWERED,
        answered_by=None,
        answered_at=None,
        answered_before=(),
        on_site=False,
        answer_due=None,
        silenced=False,
        reset_by=None,
    )


def shelve(alert: Alert, at: Instant, who: str, until: Instant, reason: str) -> Alert:
    """Out of people's sight for a while, by a named person and with a reason; a drill for no longer than its test lasts."""
    tested_until = alert.shelved_until if _is_in_test(alert) else None
    return _replace(
        alert,
        suppression=Suppression.SHELVED,
        shelved_by=who,
        shelved_at=at,
        shelved_ms=shelved_ms(alert, at),
        shelved_until=until if tested_until is None else tested_until,
        reason=reason,
        next_rung=_rung_of_what_began(alert, at),
        climb_due=None,
        answer_due=None,
    )


def drill(alert: Alert, until: Instant) -> Alert:
    """What alarms again does so in a test: out of sight until that is over, as it is already where somebody shelved it."""
    shelved = alert.suppression is Suppression.SHELVED
    sight = Suppression.SHELVED if shelved else Suppression.BY_DESIGN
    return _replace(alert, suppression=sight, drill=True, shelved_until=until)


def _is_in_test(alert: Alert) -> bool:
    """Whether ``shelved_until`` is the end of its test. One whose alarm has gone is shelved as any other alert is."""
    return alert.drill and alert.condition is Condition.ACTIVE


def shelved_ms(alert: Alert, at: Instant) -> int:
    """How long it was out of sight since it was last told to anybody."""
    return alert.shelved_ms + (0 if alert.shelved_at is None else at - alert.shelved_at)


def unshelve(alert: Alert, at: Instant, answer_by_ms: int | None) -> Alert:
    """Back in sight. Who took it and is not there yet is waited for from now. A drill is one until its test is over."""
    drill = alert.drill
    waits = alert.response is Response.ACKNOWLEDGED and not alert.on_site and answer_by_ms is not None and not drill
    return _replace(
        alert,
        suppression=Suppression.BY_DESIGN if drill else Suppression.NONE,
        shelved_by=None,
        shelved_at=None,
        shelved_ms=shelved_ms(alert, at),
        shelved_until=alert.shelved_until if _is_in_test(alert) else None,
        answer_due=Instant(at + (answer_by_ms or 0)) if waits else None,
    )


def close(alert: Alert, at: Instant, who: str | None, outcome: str, reason: str) -> Alert:
    """The end. ``outcome`` is resolved, mistaken or withdrawn; nothing is deleted."""
    return _replace(
        alert,
        response=Response.CLOSED,
        closed_by=who,
        closed_as=outcome,
        reason=reason or alert.reason,
        answered_by=alert.answered_by or who,
        answered_at=alert.answered_at if alert.answered_at is not None else at,
        reset_by=alert.reset_by or (who if alert.latch else None),
        climb_due=None,
        answer_due=None,
        regrade_due=None,
        next_rung=None,
    )


def may_end(alert: Alert) -> bool:
    """Whether nothing is owed any more: acknowledged, returned and, if latched, reset (contract, *Latch*).

    What has no return is ended by a person: closed, or, if latched, reset.
    """
    if alert.response is not Response.ACKNOWLEDGED:
        return False
    reset = alert.latch and alert.reset_by is not None
    if alert.momentary:
        return reset
    return alert.condition is Condition.NORMAL and (reset or not alert.latch)
