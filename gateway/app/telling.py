"""What the core said, as one line each. Pure.

``sentence`` and ``change_line`` are for timetables and the examples of rules, which are compared with what came out: their words
are those of the domain itself (rule names, change kinds, reason keys), the same in every language. ``told_line`` is for
people (`loudong replay`), in the words of the catalogue; rules, subjects and persons keep the names of the site file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from gateway.actions import Action, OpenPairing, Publish, Reenrol, Reply, Reread, Want
from gateway.alerts import Change, ChangeKind, Told, Why
from gateway.events import Scalar
from gateway.instant import SECOND, Instant
from gateway.words import CATALOGUE, say, wide


def sentence(action: Action) -> str:
    """One action as a line; empty where there is nothing to tell (a command that was obeyed)."""
    if isinstance(action, Want):
        asks = f"for {len(action.causes)} alert(s)" if action.causes else "nothing asks for it"
        return f"{action.output} is to be {action.state.value}, {asks}"
    if isinstance(action, Reread):
        return f"ask {action.device} for {action.point} again"
    if isinstance(action, Reply):
        return "" if action.accepted else f"refused: {action.reason}"
    if isinstance(action, Reenrol):
        return f"{action.button} is enrolled anew"
    if isinstance(action, OpenPairing):
        return f"{action.door} may learn its terminal"
    if isinstance(action, Publish):
        return change_line(action.change)
    change = action.change
    return f"noted     {change.alert.rule} {change.alert.subject}: {change.kind.value}"


def change_line(change: Change) -> str:
    """``raised    gas-high gas-301 (critical, big): gas 27.0 %LEL (limit 20)``"""
    alert = change.alert
    head = f"{change.kind.value:<9} {alert.rule} {alert.subject}"
    if change.kind in {ChangeKind.RAISED, ChangeKind.RE_ALARMED}:
        why = ", ".join(_reason(reason) for reason in alert.why)
        who = f" by {change.who}" if change.who else ""
        because = f" [{change.reason}]" if change.reason else ""
        return f"{head} ({alert.priority.value}, {alert.grade.value}){': ' if why else ''}{why}{who}{because}"
    if change.kind is ChangeKind.TOLD:
        told = (f"{step.rung.value} {'+'.join(step.people) or 'NOBODY'}" for step in _fresh(change))
        return head + ": " + ", ".join(told)
    tails = {ChangeKind.CLOSED: alert.closed_as or "", ChangeKind.REGRADED: alert.grade.value}
    tail = tails.get(change.kind, "") if isinstance(change.kind, ChangeKind) else ""
    return " ".join(part for part in (head, tail, f"by {change.who}" if change.who else "", change.reason) if part)


def _reason(why: Why) -> str:
    value = why.quality.value if why.value is None else f"{why.value} {why.unit}".strip()
    return (
        (f"{why.of}." if why.of else "")
        + f"{why.fact} {value}"
        + (f" (limit {why.limit:g})" if isinstance(why.limit, int | float) else "")
    )


def _fresh(change: Change) -> list[Told]:
    """Whom this very change told."""
    told = change.alert.told
    return [step for step in told if step.at == told[-1].at]


def told_line(change: Change, language: str) -> str:
    """The same in the reader's language: ``发生     gas-high gas-301（紧急，大事）：可燃气体 27.0 %LEL（限值 20）``"""
    alert = change.alert
    step = wide(say(f"step.{change.kind.value}", language), 13)
    head = {"step": step, "rule": alert.rule, "subject": alert.subject}
    if change.kind in {ChangeKind.RAISED, ChangeKind.RE_ALARMED}:
        axes = {
            "priority": say(f"priority.{alert.priority.value}", language),
            "grade": say(f"grade.{alert.grade.value}", language),
        }
        why = _joined((reason_told(reason, language) for reason in alert.why), language)
        because = f" [{_worded('because', change.reason, language)}]" if change.reason else ""
        by = say("replay.by", language, who=change.who) if change.who else ""
        return say("replay.raised", language, **head, **axes, why=why or by) + because
    if change.kind is ChangeKind.TOLD:
        nobody = say("replay.nobody", language)
        told = (f"{say(f'rung.{one.rung.value}', language)} {'+'.join(one.people) or nobody}" for one in _fresh(change))
        return say("replay.told", language, **head, told=_joined(told, language))
    tails = {
        ChangeKind.CLOSED: _worded("closed", alert.closed_as or "", language),
        ChangeKind.REGRADED: say(f"grade.{alert.grade.value}", language),
    }
    tail = tails.get(change.kind, "") if isinstance(change.kind, ChangeKind) else ""
    who = say("replay.by", language, who=change.who) if change.who else ""
    reason = _worded("because", change.reason, language)
    return " ".join(part for part in (step, alert.rule, alert.subject, tail, who, reason) if part)


def _joined(parts: Iterable[str], language: str) -> str:
    return say("alert.comma", language).join(parts)


def reason_told(why: Why, language: str) -> str:
    """``可燃气体 27.0 %LEL（限值 20）``: what was seen, with what it was held against."""
    fields = {
        "fact": (f"{why.of}." if why.of else "") + _worded("point", why.fact, language),
        "value": _value(why.value, language),
        "unit": f" {why.unit}" if why.unit else "",
        "quality": say(f"quality.{why.quality.value}", language),
    }
    if why.value is None:
        return say("replay.why_quality", language, **fields)
    if isinstance(why.limit, bool) or not isinstance(why.limit, int | float):
        return say("replay.why", language, **fields)
    return say("replay.why_limit", language, **fields, limit=f"{why.limit:g}")


def _value(value: Scalar | None, language: str) -> str:
    return _worded("value", str(value).lower() if isinstance(value, bool) else str(value), language)


def _worded(family: str, name: str, language: str) -> str:
    """In the catalogue's words where it has them, else as it is: names may be the site's own."""
    key = f"{family}.{name}"
    return say(key, language) if key in CATALOGUE else name


def clock_face(at: Instant) -> str:
    """``1:02:03`` since the start, with a tenth of a second where there is one."""
    seconds = at / SECOND
    if at % SECOND:
        return f"{int(seconds // 3600)}:{int(seconds % 3600 // 60):02}:{seconds % 60:04.1f}"
    return str(dt.timedelta(milliseconds=at))
