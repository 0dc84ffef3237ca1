"""What the outputs should be: a pure function of the open alerts.

Theory. Outputs are desired state, not commands, so nothing here can be lost, doubled or reordered. A valve once shut
is never opened by us: without a cause it is left alone. Between two alerts that disagree about a fan, holding it off wins
(smoke spreads by air).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.actions import OutputState, Want
from gateway.alerts import Alert, Condition, Response, Suppression
from gateway.rules.compound import OutputSpec, Rule, within

IDLE: dict[str, OutputState] = {"siren": OutputState.OFF, "fan": OutputState.OFF, "valve": OutputState.LEAVE}
_STRENGTH = (OutputState.ON, OutputState.OFF, OutputState.SHUT)
"""The later wins where alerts disagree."""


def desired(output: OutputSpec, alerts: Iterable[Alert], rules: Mapping[str, Rule]) -> Want:
    """The state this output should have now, and the alerts that ask for it."""
    standing = list(alerts)
    asks = [
        (state, alert.id) for alert in standing if (state := _asked(output, alert, rules.get(alert.rule))) is not None
    ]
    if any(_gassed(output, alert, rules.get(alert.rule)) for alert in standing):
        asks = [ask for ask in asks if ask[0] is not OutputState.ON]
    if not asks:
        return Want(output.id, IDLE[output.kind], ())
    state = max((state for state, _ in asks), key=_STRENGTH.index)
    return Want(output.id, state, tuple(sorted(cause for asked, cause in asks if asked is state)))


def drive(rule: Rule, kind: str, about: str) -> OutputState | None:
    """What a rule asks of outputs of a kind for its alert about a subject; about a place: for whomever it watches there."""
    return strongest(rule.drives.get(kind), rule.watched(about))


def moves(rule: Rule, kind: str) -> bool:
    """Whether any alert of this rule ever asks for outputs of this kind."""
    return any(drive(rule, kind, about) is not None for about in rule.subjects)


def strongest(drives: OutputState | dict[str, OutputState] | None, subjects: Iterable[str]) -> OutputState | None:
    """What is asked for these subjects together."""
    if not isinstance(drives, dict):
        return drives
    return max((drives[name] for name in subjects if name in drives), key=_STRENGTH.index, default=None)


def concerns(kind: str, rule: Rule | None) -> bool:
    """Whether alerts of this rule can bear on outputs of this kind at all: a flood of presses is no matter for 200 valves."""
    return rule is not None and (kind in rule.drives or rule.explosive)


def _asked(output: OutputSpec, alert: Alert, rule: Rule | None) -> OutputState | None:
    """What one alert asks of one output."""
    if rule is None or not alert.open or alert.silent:
        return None
    state = drive(rule, output.kind, alert.subject)
    if state is None or not any(within(alert.place, area) for area in output.serves):
        return None
    if output.rules and rule.id not in output.rules:
        return None
    if state is OutputState.ON and _may_spark(output, alert, rule):
        return None
    return state if _in_force(output.kind, state, alert, rule) else None


def _may_spark(output: OutputSpec, alert: Alert, rule: Rule | None) -> bool:
    """Whether it stands, not built for it, where this alert has found gas: that alert itself never starts it."""
    explosive = rule is not None and rule.explosive and alert.open
    return explosive and not output.ex_rated and within(output.place, alert.place)


def _gassed(output: OutputSpec, alert: Alert, rule: Rule | None) -> bool:
    """A spark in gas: whoever asks for it, as long as the gas is there. Not until somebody resets the alert: of one that waits
    for that no siren of that place may be mute; nor of a test, whose gas is a bottle's: a real alarm is worth more.
    """
    tested = alert.drill and (output.kind == "siren" or alert.shelved_until is None)  # None: kept by an earlier version
    return _may_spark(output, alert, rule) and alert.condition is Condition.ACTIVE and not tested


def _in_force(kind: str, state: OutputState, alert: Alert, rule: Rule) -> bool:
    """How long an open alert goes on asking. Who shelves it silences people and sounders, and lets go of nothing that is safe."""
    if kind == "valve":
        return True
    active = alert.condition is Condition.ACTIVE
    holds = active or alert.latch
    if kind == "siren":
        holds = holds and alert.response is Response.UNANSWERED and not alert.silenced
    breathed = active and rule.life_safety and alert.suppression is Suppression.SHELVED and not alert.drill
    safe = kind == "fan" and (state is OutputState.OFF or breathed)
    return holds and (safe or alert.suppression is Suppression.NONE)
