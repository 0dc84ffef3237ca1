"""A core to play with: one house, a few devices, and rules written as an installer writes them."""

from __future__ import annotations

import datetime as dt

import pytest

from gateway.actions import Note, OutputState, Publish, Reply, Reread, Want
from gateway.alerts import Alert, Priority, Rung
from gateway.events import (
    Boot,
    ClockSynced,
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
from gateway.rules.compound import Care, Compound, FactSpec, GridPlan, OutputSpec, Subject
from gateway.rules.engine import Engine
from gateway.rules.language import compile_rules
from gateway.site.marks import parse

HEALTH = {"health": FactSpec(), "reason": FactSpec()}
LADDER = {
    Priority.CRITICAL: {Rung.BUILDING: 0, Rung.GRID: 0, Rung.COMMUNITY: 0, Rung.STREET: 0, Rung.DISTRICT: 3 * MINUTE},
    Priority.HIGH: {
        Rung.BUILDING: 0, Rung.GRID: 0, Rung.COMMUNITY: 5 * MINUTE, Rung.STREET: 15 * MINUTE, Rung.DISTRICT: 30 * MINUTE,
    },
    Priority.MEDIUM: {Rung.BUILDING: 0, Rung.GRID: 30 * MINUTE, Rung.COMMUNITY: 4 * HOUR, Rung.STREET: 24 * HOUR},
    Priority.LOW: {Rung.BUILDING: 0, Rung.GRID: 7 * DAY},
}  # fmt: skip
"""The contract's default ladder, written down a second time on purpose."""
PEOPLE = {
    Rung.BUILDING: {"b1": ("head",)},
    Rung.GRID: {"b1": ("grid-1",)},
    Rung.COMMUNITY: {"": ("community-1",)},
    Rung.STREET: {"": ("duty",)},
    Rung.DISTRICT: {"": ("leader",)},
}
SUBJECTS = (
    Subject(
        "gas", "gas-detector", "b1/s1/301", ("elder",),
        {"gas": FactSpec("%LEL", HOUR), "gas_high_alarm": FactSpec("", HOUR), "alarm": FactSpec()} | HEALTH, "bus-line",
    ),
    Subject("smoke", "smoke-detector", "b1/s1/301", (), {"smoke": FactSpec()} | HEALTH, "bus-line"),
    Subject("water", "water-detector", "b1/s1/302", (), {"water": FactSpec()} | HEALTH, "bus-line"),
    Subject("button", "button", "b1/s1/301", (), {"heard": FactSpec("dBm", 12 * HOUR), "battery": FactSpec("%")} | HEALTH),
    Subject("gate", "terminal", "gate", (), {"door": FactSpec(), "tamper": FactSpec(), "gap": FactSpec()} | HEALTH),
    Subject("elder", "person", "b1/s1/302", (), {}, care=Care(("welfare",), {"gate": "p1"})),
    Subject("bus-line", "bus", "b1", (), HEALTH),
    Subject("clock", "clock", "", (), {"synced": FactSpec()}),
)  # fmt: skip
OUTPUTS = (
    OutputSpec("valve", "valve", "b1/s1/301", ("b1/s1/301",)),
    OutputSpec("siren", "siren", "b1/s1", ("b1",)),
    OutputSpec("fan", "fan", "b1/s1/301", ("b1/s1/301",)),
)
RULES = """
- rule: gas-high
  subjects: { kind: gas-detector }
  when: { any: [ { point: gas_high_alarm, is: true }, { point: gas, above: 20 %LEL, deadband: 4 %LEL } ] }
  confirm: reread
  priority: critical
  grade: big
  latch: true
  life_safety: true
  explosive: true
  drives: { valve: shut, siren: "on", fan: "on" }
- rule: smoke
  subjects: { kind: smoke-detector }
  when: { point: smoke, is: true }
  priority: critical
  grade: big
  life_safety: true
  latch: true
  drives: { siren: "on", fan: "off" }
- rule: water
  subjects: { kind: water-detector }
  when: { point: water, is: true }
  priority: high
  grade: small
  drives: { siren: "on" }
- rule: sos
  subjects: { kind: button }
  when: { press: any }
  priority: critical
  grade: big
  life_safety: true
  drives: { siren: "on" }
- rule: sos-suspect
  subjects: { kind: button }
  when: { press: any, suspect: true }
  priority: high
  grade: small
  life_safety: true
- rule: missing
  subjects: { kind: button }
  when: { stale: heard }
  priority: medium
  grade: small
- rule: lost
  subjects: { kind: [gas-detector, smoke-detector] }
  when: { all: [ { any: [ { health: [lost, faulty] }, { stale: any } ] }, { not: { health: lost, of: bus } } ] }
  on_delay: 2s
  off_delay: 10s
  priority: medium
  grade: small
- rule: stranger
  subjects: { kind: terminal }
  when: { entry: access.denied, subject: stranger }
  priority: medium
  grade: small
- rule: door-open
  subjects: { kind: terminal }
  when: { door: opened, for: 120s }
  priority: medium
  grade: small
  regrade: [ { after: 15min, grade: big }, { after: 1h, grade: hard } ]
"""
_WALL = int(dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC).timestamp() * 1000)


def rules_of(text: str, faults: Faults | None = None, changes: str = "", subjects=SUBJECTS, file: str = "site.yaml"):
    """Rules compiled from YAML as in a site file, from its line 1."""
    found = faults if faults is not None else Faults()
    node = parse(text, file, found)
    change = parse(changes, "changes.yaml", found) if changes else None
    known = {s.id: s for s in subjects}
    rules = compile_rules(node.items if node else (), change.mapping if change else {}, known, found)
    if faults is None:
        assert not found.errors, found.errors
    return rules


def compound_with(
    text: str = RULES, *, people=None, subjects=SUBJECTS, outputs=OUTPUTS, ladder=None, zone=((0, 0),)
) -> Compound:
    roles = dict.fromkeys(("head", "grid-1", "community-1", "leader"), ("answer",))
    grid = GridPlan(PEOPLE if people is None else people, {"": LADDER if ladder is None else ladder},
                    {Priority.CRITICAL: 10 * MINUTE, Priority.HIGH: 30 * MINUTE})  # fmt: skip
    return Compound(
        "garden", "f", {s.id: s for s in subjects}, {o.id: o for o in outputs}, rules_of(text, subjects=subjects), grid,
        {**roles, "duty": ("answer", "shelve", "test"), "guest": ()}, zone,
    )  # fmt: skip


class Core:
    """An engine with a clock in its hand; every time is in ms from the start."""

    def __init__(self, compound: Compound | None = None, *, boot: bool = True, offset: int | None = _WALL) -> None:
        self.compound = compound or compound_with()
        self.engine = Engine(self.compound)
        self.at, self.count, self.run = 0, 0, 1
        self.actions: list[object] = []
        self.rows: dict[tuple[str, str], bytes] = {}
        if boot:
            self.boot(offset=offset, downtime=None)

    # What happens

    def give(self, event, at: int | None = None):
        self.at = self.at if at is None else at
        self.count += 1
        return self._keep(self.engine.handle(Stamped(Instant(self.at), f"r{self.run}.{self.count}", event)))

    def wait(self, until: int):
        self.at = until
        return self._keep(self.engine.wake(Instant(until)))

    def read(self, device: str, point: str, value, at: int | None = None, quality=Quality.GOOD):
        return self.give(Reading(device, point, value, quality), at)

    def gas(self, value, at: int | None = None, quality=Quality.GOOD):
        """A reading and the second one that bears it out."""
        self.read("gas", "gas", value, at, quality)
        return self.read("gas", "gas", value, None, quality)

    def press(self, at: int | None = None, key: str = "", **more):
        return self.give(Press("button", PressKind.SINGLE, key, **more), at)

    def entry(self, type_: str, key: str, at: int | None = None, **more):
        return self.give(Entry("gate", type_, key, "5/76", **more), at)

    def health(self, device: str, health: str, at: int | None = None):
        return self.give(DeviceHealth(device, Health(health)), at)

    def ask(self, verb: str, rule: str, at: int | None = None, who: str = "duty", command_id: str = "", **more) -> str:
        """A command about the open alert of a rule; answers the verdict."""
        found = next((a.id for a in self.engine.alerts() if a.rule == rule), rule)
        command = Command(command_id or f"c{self.count}", "local", who, Verb(verb), more.pop("alert", found), **more)
        outcome = self.give(command, at)
        return next(a.reason for a in outcome.actions if isinstance(a, Reply))

    def boot(self, at: int | None = None, *, downtime: int | None, offset: int | None = None, quality=None):
        clock = quality or (ClockQuality.UNSYNCED if offset is None else ClockQuality.SYNCED)
        self.give(Boot(f"r{self.run}", f"boot{self.run}", clock, downtime, offset, "test"), at)
        return self.give(SiteLoaded("f"))

    def die(self, compound: Compound | None = None) -> None:
        """The process ends; another takes over from the rows that were written one by one."""
        rows = self.engine.snapshot()
        self.engine = Engine(compound or self.compound)
        self.compound = compound or self.compound
        assert not self.engine.restore(rows)
        self.run += 1

    def restart(self, *, after: int | None, compound: Compound | None = None, offset: int | None = None):
        """Dies, and boots ``after`` ms later (None: nobody knows, the timeline stands still)."""
        self.die(compound)
        return self.boot(self.at + (after or 0), downtime=after, offset=offset)

    def synced(self, at: int | None = None, offset: int = _WALL):
        return self.give(ClockSynced(offset), at)

    # What came out

    def _keep(self, outcome):
        self.actions.extend(outcome.actions)
        for row in outcome.rows:
            if row.body is None:
                self.rows.pop((row.kind, row.key), None)
            else:
                self.rows[row.kind, row.key] = row.body
        return outcome

    def forget(self) -> Core:
        self.actions.clear()
        return self

    @property
    def changes(self) -> list[Publish]:
        return [a for a in self.actions if isinstance(a, Publish)]

    def said(self, rule: str = "") -> list[str]:
        """The kinds of the changes, of one rule or of all."""
        return [p.change.kind.value for p in self.changes if rule in {"", p.change.alert.rule}]

    def notes(self) -> list[str]:
        return [a.change.kind.value for a in self.actions if isinstance(a, Note)]

    def rereads(self) -> list[Reread]:
        return [a for a in self.actions if isinstance(a, Reread)]

    def told(self, rule: str) -> list[tuple[str, int]]:
        """The rungs an alert told, with the seconds since the start."""
        return [(t.rung.value, t.at // SECOND) for t in self.alert(rule).told]

    def alert(self, rule: str) -> Alert:
        """The last state of a rule's last alert."""
        return (
            next(p.change.alert for p in reversed(self.changes) if p.change.alert.rule == rule)
            if not (standing := [a for a in self.engine.alerts() if a.rule == rule])
            else standing[-1]
        )

    def output(self, name: str) -> OutputState:
        """What an output was last told to be."""
        return next(a.state for a in reversed(self.actions) if isinstance(a, Want) and a.output == name)


@pytest.fixture
def core() -> Core:
    """A core in a quiet house."""
    return Core()


@pytest.fixture
def make():
    """``make(rules=…, people=…, …)``: a core in another house."""
    return lambda rules=RULES, *, boot=True, offset=_WALL, **house: Core(
        compound_with(rules, **house), boot=boot, offset=offset
    )


@pytest.fixture
def compiled():
    """``compiled(yaml, faults, changes)``: the rules of a text."""
    return rules_of


@pytest.fixture
def house():
    """``house(rules=…)``: a compound without a core."""
    return compound_with


@pytest.fixture
def people() -> dict[Rung, dict[str, tuple[str, ...]]]:
    """Who stands where in the house, to be changed and handed to ``house`` or ``make``."""
    return PEOPLE


@pytest.fixture
def high():
    """``high({rung: delay, …})``: the ladder of the house, with these rungs of high alerts laid otherwise."""
    return lambda rungs: LADDER | {Priority.HIGH: LADDER[Priority.HIGH] | rungs}


@pytest.fixture
def rules_text() -> str:
    """The rules of the house, to be changed and handed to ``house`` or ``make``."""
    return RULES


@pytest.fixture
def subjects() -> tuple[Subject, ...]:
    """Everything a rule of the house can be about."""
    return SUBJECTS
