"""What the core said, as one line each: for timetables, `loudong replay` and `loudong rules test`. Pure.

The words are those of the domain itself (rule names, change kinds, reason keys), the same in every language.
"""

from __future__ import annotations

import datetime as dt

from gateway.actions import Action, OpenPairing, Publish, Reenrol, Reply, Reread, Want
from gateway.alerts import Change, ChangeKind, Why
from gateway.instant import SECOND, Instant


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
        because = f" [{change.reason}]" if change.reason else ""
        return f"{head} ({alert.priority.value}, {alert.grade.value}): {why}{because}"
    if change.kind is ChangeKind.TOLD:
        fresh = [step for step in alert.told if step.at == alert.told[-1].at]
        return head + ": " + ", ".join(f"{step.rung.value} {'+'.join(step.people) or 'NOBODY'}" for step in fresh)
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


def clock_face(at: Instant) -> str:
    """``1:02:03`` since the start, with a tenth of a second where there is one."""
    seconds = at / SECOND
    if at % SECOND:
        return f"{int(seconds // 3600)}:{int(seconds % 3600 // 60):02}:{seconds % 60:04.1f}"
    return str(dt.timedelta(milliseconds=at))
