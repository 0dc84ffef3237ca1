"""Becoming a greater matter: which grade an open alert reaches next, and when. Pure.

Theory. The grade is whose matter it is, and where its climb ends. It grows while the condition stands, by the steps that the site file
says now, counted from when the condition began to stand; the grade of the rule itself is the first of them. So a file that is edited
and taken back leaves no trace, whatever is over by the new one is said at once, one step after the other, and a grade that was reached
is never taken back. The priority stays what it was: it is the lane, too, and what is said of one alert stands in one.
"""

from __future__ import annotations

import msgspec

from gateway.alerts import Alert, Condition, Grade
from gateway.instant import Instant
from gateway.rules.compound import Regrade, Rule

_GRADES = tuple(Grade)
_replace = msgspec.structs.replace


def stand(alert: Alert, rule: Rule | None, at: Instant) -> Alert:
    """Its condition begins to stand: from here its time counts."""
    return wait(_replace(alert, stood_from=at), rule, at)


def wait(alert: Alert, rule: Rule | None, at: Instant) -> Alert:
    """Wait for the next grade that the rule says now. What has returned waits for none; one that an earlier version kept does not say since
    when it stands, and goes on waiting. ``at``: since when the rule says so; nothing falls due before that.
    """
    if alert.condition is Condition.NORMAL or alert.stood_from is None:
        return alert
    step = _next(alert, rule)
    due = None if step is None else Instant(alert.stood_from + step.after_ms)
    if due == alert.regrade_due:
        return alert
    return _replace(alert, regrade_due=None if due is None else max(due, at))


def regrade(alert: Alert, rule: Rule | None, at: Instant) -> Alert:
    """It has stood for so long. The same alert, waiting for nothing, where it has returned or the rule has no greater grade."""
    step = None if alert.condition is Condition.NORMAL else _next(alert, rule)
    if step is None:
        return _replace(alert, regrade_due=None)
    began = alert.stood_from if alert.stood_from is not None else Instant((alert.regrade_due or at) - step.after_ms)
    return wait(_replace(alert, grade=step.grade, stood_from=began), rule, at)


def _next(alert: Alert, rule: Rule | None) -> Regrade | None:
    steps = () if rule is None else (Regrade(0, rule.grade), *rule.regrades)
    return next((step for step in steps if _GRADES.index(step.grade) > _GRADES.index(alert.grade)), None)
