"""What is worse about an alert that stands: a number well beyond the worst one, or one more word, or one more detector. Pure.

Theory. What worsens alarms again, so noise must be nothing worse. A number counts in steps of its limit (``Threshold.step``), from
the worst one on this occasion, both by the limit that the rule has now: an edit makes nothing worse. A detector's own word counts once
on an occasion, however often it comes and goes. So does, in an alert about a place, that a detector measures more than its limit:
what one of them has found is elsewhere, too. A comeback is another occasion: it begins a
new worst, as it begins a new why; but not while those are being called who have not answered (``ladder.is_calling``): a value that
swings about its limit is one call.
"""

from __future__ import annotations

import msgspec

from gateway.alerts import Alert, Condition, Why
from gateway.rules.conditions import furthest, steps_beyond
from gateway.rules.question import ConditionNode, View

A_STEP = 1 - 1e-9
"""Further than the worst one alarmed, less what dividing by the step rounds off."""
REASONS_KEPT = 8
"""Of an alert whose detectors say it one after the other; as many as of its presses."""


def is_worse(alert: Alert, why: tuple[Why, ...], when: ConditionNode) -> bool:
    """Whether these reasons are worse than all that is known of it."""
    return says_more(alert, why, when) or _is_beyond(alert, why, when)


def says_more(alert: Alert, why: tuple[Why, ...], when: ConditionNode) -> bool:
    """A detector says *alarm* that had not when the alert last sounded: its own bit after a number, or a second one of the place."""
    return bool(_who_says(why, when) - _who_says(alert.why, when) - {*alert.also_said})


def goes_on(alert: Alert, subject: str, why: tuple[Why, ...], view: View) -> bool:
    """Whether these reasons are some that it told of, unchanged since: its rule waited for an event for a while, and it never went."""
    if alert.condition is not Condition.ACTIVE or not why:
        return False
    told = {_whose(one): one.at for one in alert.why}
    facts = [(_whose(one), view.fact(one.of or subject, one.fact)) for one in why]
    return all(fact is not None and whose in told and fact.since <= told[whose] for whose, fact in facts)


def all_said(alert: Alert, why: tuple[Why, ...]) -> tuple[Why, ...]:
    """What is said now, and what was said before on this occasion: a bit that comes and goes is no news a second time."""
    now = set(map(_whose, why))
    before = (reason for reason in alert.why if reason.value is True and _whose(reason) not in now)
    return (*why, *before)[: max(REASONS_KEPT, len(why))]


def with_reasons(alert: Alert, why: tuple[Why, ...], when: ConditionNode | None, *, anew: bool) -> Alert:
    """The alert for these reasons, which may be its worst. ``anew``: on another occasion. None: its rule is no more."""
    worst = None if when is None else furthest(when, (*(() if anew else _worst(alert)), *why))
    kept = worst[1] if worst is not None else None if anew else alert.worst_said
    said = set() if anew else {*alert.also_said, *_who_says(alert.why, when)}
    left_out = tuple(sorted(said - _who_says(why, when)))
    return msgspec.structs.replace(alert, why=why, worst_said=kept, also_said=left_out)


def _who_says(why: tuple[Why, ...], when: ConditionNode | None) -> set[str]:
    """Whose own word, or, of a place, whose number beyond its limit, is among these reasons."""
    said = (one for one in why if one.value is True or (one.of and _far((one,), when) is not None))
    return set(map(_whose, said))


def _whose(reason: Why) -> str:
    return f"{reason.of} {reason.fact}".strip()


def _is_beyond(alert: Alert, why: tuple[Why, ...], when: ConditionNode) -> bool:
    """A number well beyond the worst one alarmed, so that noise is none; or the first, where a detector had only said so."""
    far, worst = steps_beyond(when, why), steps_beyond(when, _worst(alert))
    return far is not None and (worst is None or (far > worst and far - A_STEP >= worst))


def _worst(alert: Alert) -> tuple[Why, ...]:
    """Among these is what it was at worst; of an alert that an earlier version kept, among its reasons."""
    return alert.why if alert.worst_said is None else (alert.worst_said,)


def _far(why: tuple[Why, ...], when: ConditionNode | None) -> float | None:
    return None if when is None else steps_beyond(when, why)
