"""Whatever a start finds on its disk, it lives: rows damaged, lost or older than others, and subjects that are no more.

A life, then damage drawn at random, then a start with the whole house or with the life-safety rules alone, a second start with the
whole of it, and some life after. Nothing may raise; and what every detector says is burning is an open alert at the end.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from gateway.alerts import Condition
from gateway.app.compound import compound_of
from gateway.events import (  # fmt: skip
    Boot,
    Command,
    DeviceHealth,
    Entry,
    Health,
    Press,
    PressKind,
    Quality,
    Reading,
    SiteLoaded,
    Stamped,
    Verb,
)
from gateway.instant import DAY, HOUR, MINUTE, SECOND, ClockQuality, Instant
from gateway.nodes import Faults
from gateway.rules.bare import bare
from gateway.rules.engine import Engine
from gateway.rules.moved import MOVABLE
from gateway.site.marks import parse
from gateway.site.reading import load_site

ROOT = Path(__file__).parents[2]
PROFILE = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
OWN = """
- { rule: r-not, subjects: { kind: water-detector }, when: { not: { point: water, is: false } }, priority: high, grade: small }
- { rule: r-not-gas, subjects: { kind: gas-detector }, when: { not: { point: gas_high_alarm, is: false } }, priority: high, grade: small }
- { rule: r-door, subjects: { kind: terminal }, when: { door: opened, for: 1min }, priority: high, grade: small, off_delay: 1min,
    regrade: { after: 1h, grade: big } }
- { rule: r-rises, subjects: { kind: gas-detector }, when: { point: gas, rises: 5 %LEL, within: 5min }, priority: low, grade: small }
- { rule: r-absent, subjects: { kind: terminal }, when: { absent: { entry: access.denied }, for: 4h }, priority: high, grade: small }
- { rule: r-event, subjects: { kind: terminal }, when: { entry: access.denied }, priority: low, grade: small }
- rule: r-flat
  subjects: { kind: [gas-detector, smoke-detector] }
  by: flat
  when: { count: { health: lost }, at_least: 1, of: subjects, within: 1h }
  priority: low
  grade: small
- rule: smoke
  subjects: { kind: smoke-detector }
  by: stair
  when: { point: smoke, is: true }
  priority: critical
  grade: big
  latch: true
  life_safety: true
"""
"""One that holds of what is unknown, each kind with a past, one about a place, one in the place of a shipped one."""


def _houses():
    faults = Faults()
    site = load_site(ROOT / "tests/scenarios/site.yaml", faults, ROOT / "gateway/rules/builtin.yaml")
    shipped = compound_of(site, faults).rules
    own = parse(OWN, "own.yaml", faults)
    whole = compound_of(msgspec.structs.replace(site, rules=(*(r for r in site.rules), *own.items)), faults)
    assert not faults.errors, faults.errors
    return whole, shipped


WHOLE, SHIPPED = _houses()
DEVICES = ("gas-301", "smoke-301", "water-302", "gate-1", "sos-301", "co-302")
RULES = sorted(WHOLE.rules)
qualities = st.sampled_from([Quality.GOOD, Quality.GOOD, Quality.UNDER_TEST, Quality.COMMS, Quality.WARM_UP])
happenings = st.one_of(
    st.builds(Reading, st.just("gas-301"), st.just("gas"), st.floats(0, 100), qualities),
    st.builds(Reading, st.just("gas-301"), st.just("gas_high_alarm"), st.booleans(), qualities),
    st.builds(Reading, st.just("smoke-301"), st.just("smoke"), st.booleans(), qualities),
    st.builds(Reading, st.just("water-302"), st.just("water"), st.booleans(), qualities),
    st.builds(Press, st.just("sos-301"), st.sampled_from(PressKind), st.sampled_from(["", "k1", "k2"])),
    st.builds(Entry, st.just("gate-1"), st.sampled_from(["access.denied", "door.opened", "door.closed", "alarm.tamper"]),
              st.sampled_from([str(n) for n in range(30)]), st.just("5/76"), live=st.booleans()),
    st.builds(DeviceHealth, st.sampled_from(DEVICES), st.sampled_from(Health)),
    st.builds(Command, st.sampled_from([f"c{n}" for n in range(40)]), st.just("local"), st.sampled_from(["head", "duty"]),
              st.sampled_from([Verb.ACK, Verb.CLOSE, Verb.RESET, Verb.SHELVE, Verb.TEST]), st.sampled_from(RULES), st.just("why"),
              st.sampled_from([None, MINUTE, 20 * MINUTE]), st.booleans(), st.booleans()),
)  # fmt: skip
lives = st.lists(st.tuples(st.sampled_from([0, SECOND, MINUTE, HOUR]), happenings), max_size=15)
downtimes = st.sampled_from([None, 0, SECOND, HOUR, DAY])
ILL = ["lost", "unreadable", "older"]
of_kinds = st.dictionaries(
    st.sampled_from(["alert", "watch", "fact", "memory", "clock"]), st.sampled_from(ILL), max_size=2
)
"""What all rows of a kind suffer; so that what goes with them is whole more often than chance would have it."""
of_rows = st.sampled_from(["whole"] * 9 + ILL)
DANGERS = (
    Reading("gas-301", "gas_high_alarm", True), Reading("smoke-301", "smoke", True), Reading("water-302", "water", True),
    Entry("gate-1", "door.opened", "99", "5/76", live=True), Press("sos-301", PressKind.SINGLE),
)  # fmt: skip
dangers = st.lists(st.tuples(st.sampled_from([0, MINUTE]), st.sampled_from(DANGERS)), max_size=4)


class Life:
    """A core that lives on from rows."""

    def __init__(self, compound, rows, run, at, downtime):
        self.engine, self.compound, self.at, self.run, self.count = Engine(compound), compound, at, run, 0
        self.engine.restore(rows)
        self.give(Boot(f"r{run}", f"boot{run}", ClockQuality.UNSYNCED, downtime, None, "test"))
        self.give(SiteLoaded("f"))

    def give(self, happening):
        self.count += 1
        if isinstance(happening, Command):
            aimed = next((a.id for a in self.engine.alerts() if a.rule == happening.alert), happening.alert)
            happening = msgspec.structs.replace(happening, alert=aimed)
        self.engine.handle(Stamped(Instant(self.at), f"r{self.run}.{self.count}", happening))

    def live(self, life):
        for after, happening in life:
            self.at += after
            self.give(happening)
        return self


def without(compound, gone):
    """The house whose site file names these no more."""
    rules = {
        name: msgspec.structs.replace(
            rule,
            subjects=tuple(s for s in rule.subjects if s not in gone),
            members={place: tuple(m for m in all_ if m not in gone) for place, all_ in rule.members.items()},
        )
        for name, rule in compound.rules.items()
        if name not in gone
    }
    rules = {
        name: msgspec.structs.replace(
            rule, subjects=tuple(s for s in rule.subjects if not rule.members or rule.members[s])
        )
        for name, rule in rules.items()
    }
    return msgspec.structs.replace(
        compound,
        subjects={name: one for name, one in compound.subjects.items() if name not in gone},
        rules=rules,
    )


def hurt(rows, older, kinds, draw):
    """The rows as a damaged disk gives them back."""
    before = {(row.kind, row.key): row for row in older}
    for row in rows:
        damage = kinds.get(row.kind) or draw(of_rows)
        if damage == "unreadable":
            yield msgspec.structs.replace(row, body=b"\x01")
        elif damage == "older":
            yield before.get((row.kind, row.key), row)
        elif damage == "whole":
            yield row


@PROFILE
@given(
    lives, dangers, lives, st.none() | dangers, lives, of_kinds, st.sets(st.sampled_from([*DEVICES, "r-not", "smoke"]), max_size=2),
    st.booleans(), st.tuples(downtimes, downtimes), st.data(),
)  # fmt: skip
def test_a_start_outlives_whatever_it_finds(first, burning, second, late, after, kinds, gone, alone, downtimes, data):
    life = Life(WHOLE, (), 1, 0, None).live(first)
    older = life.engine.snapshot()
    rows = list(hurt(life.live(burning).live(second).engine.snapshot(), older, kinds, data.draw))
    if late is not None:
        unseen = Life(WHOLE, (), 2, life.at, None).live(late)
        kept = {(row.kind, row.key): row for row in unseen.engine.snapshot() if row.kind in MOVABLE}
        rows = list(({(row.kind, row.key): row for row in rows} | kept).values())
        life.at = unseen.at
    house = without(WHOLE, gone)
    shipped = without(msgspec.structs.replace(WHOLE, rules=SHIPPED), gone).rules
    at = life.at + (downtimes[0] or 0)
    anew = Life(bare(house, shipped) if alone else house, rows, 3, at, downtimes[0]).live(after)
    event(f"alone: {alone}, open: {bool(anew.engine.alerts())}")
    at = anew.at + (downtimes[1] or 0)
    last = Life(house, anew.engine.snapshot(), 4, at, downtimes[1]).live(after)
    agree(last)
    burns(last, house)


def agree(life):
    """One alert of a rule and a subject, and a watch that stands has an active one."""
    met = [(alert.rule, alert.subject) for alert in life.engine.alerts()]
    assert len(met) == len(set(met))
    active = {(a.rule, a.subject) for a in life.engine.alerts() if a.condition is Condition.ACTIVE}
    watches = [tuple(row.key.split("\x1f")) for row in life.engine.snapshot() if row.kind == "watch"]
    standing = {key for key in watches if life.engine._watches.stands(life.compound.rules[key[0]], key[1])}
    assert standing <= active, "a watch without its alert is mute"
    of_states = {
        (a.rule, a.subject) for a in life.engine.alerts() if a.condition is Condition.ACTIVE and not a.momentary
    }
    assert of_states <= standing, "an alert without its watch has no end"


def burns(life, house):
    """What is said to burn has an alert, whatever was lost."""
    for device, point, rule in (("water-302", "water", "water-leak"), ("gas-301", "gas_high_alarm", "gas-high")):
        if device in house.subjects and rule in house.rules:
            life.give(Reading(device, point, True))
            life.give(Reading(device, point, True))
            assert (rule, device) in {(a.rule, a.subject) for a in life.engine.alerts()}
