"""What must hold where the site is loaded anew in the middle of any life: the same one says nothing, another one is followed whole."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties.test_properties_engine import (
    COMPOUND,
    PROFILE,
    WALL,
    Down,
    Life,
    drills,
    lives,
    orders,
    restarts,
    whole,
)

from gateway.actions import Publish
from gateway.alerts import CHAIN_TEST, Priority, Response, Suppression
from gateway.events import ClockSynced, Command, Entry, Press, PressKind, Quality, Reading, SiteLoaded, Stamped, Verb
from gateway.instant import HOUR, MINUTE, SECOND, Instant
from gateway.rules.engine import Engine
from gateway.rules.outputs import desired

_replace = msgspec.structs.replace


class Reloading(Life):
    """Loads its site anew between some of its events."""

    reload_at: frozenset[int] = frozenset()

    def step(self, gap, event):
        if self.steps + 1 in self.reload_at:
            half = Instant(self.at + gap // 2)
            self.keep(self.engine.wake(half))
            self.revive()
            self.keep(self.engine.handle(Stamped(half, f"reload.{self.steps}", SiteLoaded("f"))))
        super().step(gap, event)


@PROFILE
@given(lives, st.frozensets(st.integers(1, 40), max_size=3))
def test_the_same_site_loaded_at_any_moment_says_nothing(life, moments):
    lived, reloaded = Life().play(life), Reloading()
    reloaded.reload_at = moments
    assert _said(reloaded.play(life)) == _said(lived)


def _said(life):
    """What comes of a look is named by the event at which somebody looked, so ids may differ, and nothing else."""
    changes = [publish.change for publish in life.changes]
    return [
        (c.kind, c.at, c.reason, c.alert.rule, c.alert.subject, c.alert.revision, c.alert.condition, c.alert.response,
         c.alert.suppression, c.alert.drill, c.alert.told)
        for c in changes
    ]  # fmt: skip


def _elsewhere(compound):
    moved = {"gas-301", "sos-301", "smoke-301"}
    subjects = {name: _replace(s, place="b1/s2/999") if name in moved else s for name, s in compound.subjects.items()}
    return _replace(compound, subjects=subjects)


def _with_fewer_rules(compound):
    rules = {name: rule for name, rule in compound.rules.items() if name not in {"gas-low", "sos", "p-absent"}}
    return _replace(compound, rules=rules)


def _with_other_outputs(compound):
    *kept, _ = compound.outputs.values()
    sirens = {one.id: _replace(one, serves=("b9",)) if one.kind == "siren" else one for one in kept}
    return _replace(compound, outputs=sirens)


def _renamed(compound):
    """Its buttons, doors and smoke detectors are called otherwise."""
    names = {name: f"{name}-x" if name in {"sos-301", "gate-1", "smoke-301"} else name for name in compound.subjects}
    subjects = {names[name]: _replace(s, id=names[name]) for name, s in compound.subjects.items()}
    rules = {
        name: _replace(rule, subjects=tuple(names.get(one, one) for one in rule.subjects))
        for name, rule in compound.rules.items()
    }
    return _replace(compound, subjects=subjects, rules=rules)


SITES = {
    "as it was": COMPOUND,
    "elsewhere": _elsewhere(COMPOUND),
    "fewer rules": _with_fewer_rules(COMPOUND),
    "other outputs": _with_other_outputs(COMPOUND),
    "renamed": _renamed(COMPOUND),
}


class Resettling(Life):
    """Lives by one site file after the other."""

    def settle(self, compound):
        self.compound = compound
        rows = self.engine.snapshot()
        self.engine = Engine(compound)
        assert self.engine.restore(rows) == ()
        self.give(SiteLoaded("f"))

    def look(self):
        """That it follows the file it lives by."""
        engine, alerts = self.engine, self.engine.alerts()
        told = {want.output: want for want in engine.wants()}
        assert told == {one.id: desired(one, alerts, self.compound.rules) for one in self.compound.outputs.values()}
        crowds = {}
        for alert in alerts:
            crowds.setdefault((alert.rule, alert.place.split("/")[0]), set()).add(alert.id)
            rule, subject = self.compound.rules.get(alert.rule), self.compound.subjects.get(alert.subject)
            _is_in_somebodys_hands(alert, self.at)
            if alert.gone:  # no edit ends a call for help
                assert alert.momentary
                assert alert.priority is Priority.CRITICAL
                assert subject is None or alert.place == subject.place
                continue
            if alert.rule != CHAIN_TEST:
                assert rule is not None
                assert rule.knows(alert.subject)
                assert rule.members or alert.place == subject.place
        assert engine.register._crowds == crowds
        assert len({(alert.rule, alert.subject) for alert in alerts}) == len(alerts)
        assert self.rows == self.snapshot()
        engine._agreement.reach(Instant(self.at), "")
        assert engine.register.said == []
        assert self.rows == self.snapshot()


def _is_in_somebodys_hands(alert, at):
    """Somebody is called next, or all are; or is waited for, or stands there; or has put it out of sight until a moment to come."""
    if alert.suppression is not Suppression.NONE:
        assert alert.answer_due is None
        assert alert.drill or (alert.climb_due is None and alert.shelved_until >= at)
    elif alert.response is Response.UNANSWERED:
        assert alert.told
        assert alert.climb_due is not None or alert.next_rung is None
    elif not alert.on_site and alert.priority in {Priority.CRITICAL, Priority.HIGH}:
        assert alert.answer_due >= at


tested = st.builds(
    Reading, st.sampled_from(["gas-301", "smoke-301"]), st.sampled_from(["gas_high_alarm", "smoke"]), st.booleans(),
    st.sampled_from([Quality.UNDER_TEST, Quality.OUT_OF_SERVICE, Quality.GOOD]),
)  # fmt: skip
resettled = st.lists(
    st.tuples(
        st.sampled_from([0, 200, SECOND, MINUTE, 5 * MINUTE, 25 * MINUTE]),
        whole | tested | orders | drills | st.builds(Down, restarts) | st.sampled_from(sorted(SITES)),
    ),
    min_size=5,
    max_size=50,
)


@PROFILE
@given(resettled)
def test_another_site_loaded_at_any_moment_is_followed_whole(life):
    lived = Resettling()
    lived.give(Reading("gas-301", "gas_high_alarm", True))  # else hardly any has something to be moved
    for gap, event in life:
        if isinstance(event, str):
            lived.keep(lived.engine.wake(Instant(lived.at + gap)))
            lived.at += gap
            lived.settle(SITES[event])
        else:
            lived.step(gap, event)
        lived.look()
    last = {}
    for publish in (one for one in lived.actions if isinstance(one, Publish)):
        alert = publish.change.alert
        assert alert.revision == last.get(alert.id, 0) + 1
        last[alert.id] = alert.revision


def _happening(dice, testing):
    """What happens next to few devices, one of which is under test now and then, and to their alerts."""
    of = dice.choice
    device, point = of([("gas-301", "gas"), ("gas-301", "gas_high_alarm"), ("smoke-301", "smoke")])
    if dice.random() < 0.15:
        testing ^= {device}
    value = of([0.0, 12.0, 25.0, 40.0, 60.0, 95.0]) if point == "gas" else dice.random() < 0.6
    verb = of([Verb.ACK, Verb.ACK, Verb.SHELVE, Verb.SHELVE, Verb.UNSHELVE, Verb.CLOSE, Verb.RESET])
    length = of([MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE])
    return of([
        *[Reading(device, point, value, Quality.UNDER_TEST if device in testing else Quality.GOOD)] * 8,
        Press("sos-301", of([*PressKind]), of(["", "k1", "k2"])),
        Entry("gate-1", of(["access.denied", "door.opened", "door.closed", "alarm.duress"]), str(dice.random()), "5/76"),
        *[Command(str(dice.random()), "local", of(["head", "duty"]), verb, None, of(["", "x"]), length, dice.random() < 0.25)] * 6,
        of([ClockSynced(WALL), Down(None), Down(0), Down(20 * SECOND), Down(HOUR), of(sorted(SITES))]),
    ])  # fmt: skip


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_each_open_alert_is_in_somebodys_hands(seed):
    """By dice: of a life in which an alert is shelved, answered, tested and reloaded at once, a search finds few."""
    dice, testing, lived = random.Random(seed), set(), Resettling()
    for _ in range(60):
        event = _happening(dice, testing)
        gap = dice.choice([0, 200, 30 * SECOND, MINUTE, 5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 31 * MINUTE, HOUR])
        lived.keep(lived.engine.wake(Instant(lived.at + gap)))
        vital = [alert.id for alert in lived.engine.alerts() if alert.priority is Priority.CRITICAL]
        if isinstance(event, str):
            lived.at += gap
            lived.settle(SITES[event])
        else:
            lived.step(gap, _replace(event, alert=dice.choice([None, *vital])) if isinstance(event, Command) else event)
        lived.keep(lived.engine.wake(Instant(lived.at)))
        for alert in lived.engine.alerts():
            _is_in_somebodys_hands(alert, lived.at)
