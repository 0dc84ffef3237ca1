"""What must hold of the core for any history: nothing vanishes, nothing is skipped, a replay is the life."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from instruments.rows import keep

from gateway.actions import Note, OutputState, Publish, Reply, Reread, Want
from gateway.alerts import CHAIN_TEST, ChangeKind, Priority, Rung
from gateway.app.compound import compound_of
from gateway.events import (
    Actuated,
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
    Receipt,
    SequenceGap,
    SiteLoaded,
    Stamped,
    Verb,
)
from gateway.instant import DAY, HOUR, MINUTE, SECOND, ClockQuality, Instant
from gateway.nodes import Faults
from gateway.rules.engine import Engine
from gateway.rules.ladder import rungs_of
from gateway.site.marks import parse
from gateway.site.reading import load_site

ROOT = Path(__file__).parents[2]
WALL = 1_795_000_000_000
PROFILE = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


PAST = """
- { rule: p-rises, subjects: { kind: gas-detector }, when: { point: gas, rises: 5 %LEL, within: 5min }, priority: low, grade: small }
- rule: p-count
  subjects: { kind: terminal }
  when: { count: { entry: access.denied }, at_least: 2, within: 5min }
  priority: low
  grade: small
- rule: p-count-states
  subjects: { kind: [gas-detector, smoke-detector, button] }
  by: flat
  when: { all: [ { count: { health: lost }, at_least: 2, of: subjects, within: 1h }, { not: { point: smoke, is: true } } ] }
  on_delay: 1min
  off_delay: 1min
  priority: low
  grade: small
- rule: p-sequence
  subjects: { kind: terminal }
  when: { sequence: [ { door: opened, for: 2min }, { entry: access.denied }, { health: lost } ], within: 1h }
  priority: low
  grade: small
- { rule: p-absent, subjects: { kind: terminal }, when: { absent: { entry: access.denied }, for: 4h }, priority: high, grade: small,
    regrade: { after: 4h, grade: big } }
- rule: p-unknown
  subjects: { kind: terminal }
  when: { unknown: { absent: { entry: access.denied }, for: 4h } }
  implied_by: p-absent
  on_delay: 10min
  priority: low
  grade: small
- rule: p-after
  subjects: { kind: terminal }
  when: { all: [ { absent: { door: closed }, for: 10min, after: { door: opened } }, { between: ["22:00", "06:00"] } ] }
  priority: low
  grade: small
- rule: p-event
  subjects: { kind: terminal }
  when: { all: [ { entry: access.denied }, { count: { door: opened }, at_least: 1, within: 1h } ] }
  priority: low
  grade: small
"""
"""One rule of each form that looks back."""


def _compound():
    faults = Faults()
    site = load_site(ROOT / "tests/scenarios/site.yaml", faults, ROOT / "gateway/rules/builtin.yaml")
    past = parse(PAST, "past.yaml", faults)
    made = compound_of(msgspec.structs.replace(site, rules=(*site.rules, *past.items)), faults)
    assert not faults.errors, faults.errors
    return made


COMPOUND = _compound()
RULES = sorted([*COMPOUND.rules, CHAIN_TEST])

# A life is a list of (ms since the last, what happened); commands name a rule, and are aimed at its open alert when played.
devices = st.sampled_from(
    ["gas-301", "smoke-301", "air-301", "bus-line", "sos-301", "gate-1", "store", "clock", "valve-301"]
)
whole = st.one_of(
    st.builds(
        Reading, st.just("gas-301"), st.just("gas"), st.floats(0, 100) | st.none(),
        st.sampled_from([Quality.GOOD, Quality.GOOD, Quality.WARM_UP, Quality.OVER_RANGE, Quality.COMMS]),
    ),
    st.builds(Reading, st.just("gas-301"), st.sampled_from(["gas_high_alarm", "gas_low_alarm"]), st.booleans()),
    st.builds(Reading, st.just("smoke-301"), st.sampled_from(["smoke", "tamper"]), st.booleans()),
    st.builds(Reading, st.just("air-301"), st.just("co2"), st.integers(400, 3000)),
    st.builds(Reading, st.just("gas-302"), st.just("alarm"), st.booleans()),
    st.builds(Reading, st.just("co-302"), st.just("co"), st.integers(0, 300)),
    st.builds(Reading, st.just("co-302"), st.just("co_alarm"), st.booleans()),
    st.builds(Reading, st.just("water-302"), st.just("water"), st.booleans()),
    st.builds(Reading, st.just("sos-301"), st.sampled_from(["battery", "heard"]), st.integers(0, 100)),
    st.builds(
        Press, st.just("sos-301"), st.sampled_from(PressKind), st.sampled_from(["", "k1", "k2"]),
        suspect=st.none() | st.just("old_counter"),
    ),
    st.builds(
        Entry, st.just("gate-1"),
        st.sampled_from(["access.denied", "door.opened", "door.closed", "door.forced", "alarm.duress", "alarm.tamper"]),
        st.sampled_from([str(n) for n in range(30)]), st.just("5/76"), subject=st.sampled_from(["known", "stranger"]),
        live=st.booleans(),
    ),
    st.builds(DeviceHealth, devices, st.sampled_from(Health)),
    st.builds(Actuated, st.sampled_from(["valve-301", "siren-1"]), st.just("on"), st.none(), st.booleans()),
    st.builds(
        SequenceGap, st.just("gate-1"), st.integers(1, 3), st.just(3), open=st.booleans(),
        reason=st.sampled_from(["recovered", "given_up"]),
    ),
)  # fmt: skip
orders = st.builds(
    Command, st.sampled_from([f"c{n}" for n in range(40)]), st.just("local"), st.sampled_from(["head", "duty", "nobody"]),
    st.sampled_from(Verb), st.sampled_from(RULES), st.sampled_from(["", "why not"]),
    st.sampled_from([None, MINUTE, 20 * MINUTE, HOUR, DAY]), st.booleans(), st.booleans(),
)  # fmt: skip
drills = st.builds(
    Command, st.sampled_from([f"t{n}" for n in range(40)]), st.just("local"), st.just("duty"), st.just(Verb.TEST), st.none(),
    for_ms=st.sampled_from([None, MINUTE, 20 * MINUTE, HOUR]), target=st.sampled_from(["", "b1", "sos-301", "gas-301", "b9"]),
    priority=st.sampled_from(["", *Priority]), up_to=st.sampled_from(["", *Rung]),
)  # fmt: skip
clocks = st.builds(ClockSynced, st.sampled_from([WALL, WALL + HOUR, WALL - 7 * DAY]))
restarts = st.sampled_from([None, 0, 20 * SECOND, HOUR, 2 * DAY])  # a downtime, as `Down` below
gaps = st.sampled_from([0, 1, 200, SECOND, 2 * SECOND, MINUTE, 5 * MINUTE, 10 * MINUTE, HOUR, 5 * HOUR, DAY, 3 * DAY])


class Down:
    """The process ends and begins anew."""

    def __init__(self, downtime):
        self.downtime = downtime

    def __repr__(self):
        return f"Down({self.downtime})"


lives = st.lists(
    st.tuples(gaps, whole | whole | orders | drills | clocks | st.builds(Down, restarts)), min_size=1, max_size=60
)


class Life:
    """Plays a life on a core, and keeps everything it said and every row it wrote."""

    compound = COMPOUND

    def __init__(self, *, splits=(), restore_at=()):
        self.engine, self.actions, self.rows = Engine(self.compound), [], {}
        self.at, self.count, self.run = 0, 0, 1
        self.splits, self.restore_at = splits, set(restore_at)
        self.steps = 0
        self.boot(None)

    def play(self, life):
        for gap, event in life:
            self.step(gap, event)
        return self

    def step(self, gap, event):
        self.steps += 1
        if self.steps in self.restore_at:
            self.revive()
        for part in sorted(int(gap * share) for share in self.splits):
            self.keep(self.engine.wake(Instant(self.at + part)))
        self.at += gap
        if isinstance(event, Down):
            self.revive()
            self.run += 1
            self.at += event.downtime or 0
            self.boot(event.downtime)
        elif isinstance(event, Command):
            self.keep(self.engine.wake(Instant(self.at)))  # whoever commands has seen what is due
            standing = next((a.id for a in self.engine.alerts() if a.rule == event.alert), event.alert)
            self.give(msgspec.structs.replace(event, alert=standing))
        else:
            self.give(event)

    def boot(self, downtime):
        self.give(Boot(f"r{self.run}", f"b{self.run}", ClockQuality.UNSYNCED, downtime, None, "test"))
        self.give(SiteLoaded("f"))

    def give(self, event):
        self.count += 1
        self.keep(self.engine.handle(Stamped(Instant(self.at), f"r{self.run}.{self.count}", event)))

    def keep(self, outcome):
        self.actions.extend(outcome.actions)
        keep(self.rows, outcome)

    def revive(self):
        """A new core from what the rows say."""
        rows = self.engine.snapshot()
        self.engine = Engine(self.compound)
        assert self.engine.restore(rows) == ()

    @property
    def changes(self):
        return [a for a in self.actions if isinstance(a, Publish)]

    def snapshot(self):
        return {(row.kind, row.key): row.body for row in self.engine.snapshot()}

    def spoken(self):
        """Everything said but the outputs, which are a state and not a message."""
        return [a for a in self.actions if isinstance(a, Publish | Note | Reread | Reply)]


@PROFILE
@given(lives, st.sets(st.integers(1, 40), max_size=4))
def test_a_core_restored_at_any_moment_goes_on_as_the_one_that_lived(life, moments):
    lived, revived = Life().play(life), Life(restore_at=moments).play(life)
    assert revived.actions == lived.actions
    assert revived.snapshot() == lived.snapshot()
    assert revived.engine.next_due() == lived.engine.next_due()


def _impatient(compound):
    """Every fact that may not fall silent may do so for three minutes."""
    return msgspec.structs.replace(
        compound,
        subjects={
            name: msgspec.structs.replace(
                subject,
                facts={
                    fact: spec if spec.max_age_ms is None else msgspec.structs.replace(spec, max_age_ms=3 * MINUTE)
                    for fact, spec in subject.facts.items()
                },
            )
            for name, subject in compound.subjects.items()
        },
    )


class Impatient(Life):
    """With short ages, so that much goes stale, or nearly."""

    compound = _impatient(COMPOUND)

    def deadlines(self):
        """All there are, taken."""
        return list(iter(lambda: self.engine._deadlines.pop(self.at + 400 * DAY), None))


class Sleepless(Impatient):
    """Lets every watch look at everything that is heard, whether it is news or not."""

    def keep(self, outcome):
        super().keep(outcome)
        self.engine._watches._at_rest.clear()


said_again = st.sampled_from(
    [
        *(Reading("gas-301", point, value) for point in ("gas_high_alarm", "gas_low_alarm") for value in (False, False, True)),
        Reading("gas-301", "gas", 1.0),
        Reading("gas-302", "alarm", False),
        Reading("gas-302", "alarm", None, Quality.COMMS),
        Reading("smoke-301", "smoke", False),
        Reading("smoke-301", "smoke", False, Quality.WARM_UP),
        Reading("air-301", "co2", 600),
        Reading("air-301", "co2", 2000),
        Reading("co-302", "co", 5),
        Reading("co-302", "co_alarm", False),
        Reading("sos-301", "heard", -60),
        *(DeviceHealth(device, health) for device in ("gas-301", "gas-302", "bus-line") for health in (Health.OK, Health.OK, Health.LOST)),
    ]
)  # fmt: skip
rounds = st.tuples(
    st.lists(st.tuples(st.sampled_from([0, 200, MINUTE, MINUTE, 20 * MINUTE]), said_again), min_size=1, max_size=5),
    st.integers(1, 6),
    st.lists(st.tuples(gaps, whole | orders | clocks | st.builds(Down, restarts)), max_size=2),
)
repeats = st.lists(rounds, min_size=1, max_size=5).map(
    lambda lived: [each for said, times, between in lived for each in (*(times * said), *between)]
)
"""Lives in which the same is said over and over, as pollers do."""


@PROFILE
@given(repeats)
def test_who_looks_at_nothing_that_only_repeats_itself_misses_nothing(life):
    lived, sleepless = Impatient(), Sleepless()
    for gap, event in life:
        lived.step(gap, event)
        sleepless.step(gap, event)
        assert lived.rows == sleepless.rows
    assert lived.actions == sleepless.actions
    assert lived.deadlines() == sleepless.deadlines()


@PROFILE
@given(lives, st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_waking_at_any_time_between_events_changes_nothing(life, shares):
    slept, woken = Life().play(life), Life(splits=shares).play(life)
    assert woken.spoken() == slept.spoken()
    assert _but_driven(woken) == _but_driven(slept)


def _but_driven(life):
    """Who slept through a short ask never put the output on, so only this row may differ."""
    return {key: body for key, body in life.snapshot().items() if key[0] != "driven"}


@PROFILE
@given(lives)
def test_what_the_rows_say_one_by_one_is_what_the_core_knows(life):
    lived = Life()
    for gap, event in life:
        lived.step(gap, event)
        assert lived.rows == lived.snapshot()


@PROFILE
@given(lives)
def test_of_a_life_watches_and_alerts_agree_at_every_moment(life):
    lived = Life()
    for gap, event in life:
        lived.step(gap, event)
        before = lived.snapshot()
        lived.engine._agreement.reach(Instant(lived.at), "")
        assert lived.engine.register.said == []
        assert lived.snapshot() == before


@PROFILE
@given(lives)
def test_no_alert_vanishes_and_every_number_follows_the_last(life):
    lived = Life().play(life)
    lived.keep(lived.engine.wake(Instant(lived.at + 30 * DAY)))
    alerts, lanes = {}, {}
    for publish in lived.changes:
        alerts.setdefault(publish.change.alert.id, []).append(publish.change)
        lanes.setdefault(publish.lane, []).append(publish.sequence)
    for numbers in lanes.values():
        assert numbers == list(range(1, len(numbers) + 1))
    standing = {a.id for a in lived.engine.alerts()}
    for identity, changes in alerts.items():
        assert [c.alert.revision for c in changes] == list(range(1, len(changes) + 1))
        kinds = [c.kind for c in changes]
        assert kinds[0] is ChangeKind.RAISED
        assert kinds.count(ChangeKind.RAISED) == 1
        assert kinds.count(ChangeKind.DATED) <= 1
        closed = kinds.index(ChangeKind.CLOSED) if ChangeKind.CLOSED in kinds else len(kinds)
        assert set(kinds[closed + 1 :]) <= {ChangeKind.DATED}
        assert (identity in standing) is (ChangeKind.CLOSED not in kinds)


@PROFILE
@given(lives)
def test_no_rung_is_skipped_in_a_climb(life):
    lived = Life().play(life)
    lived.keep(lived.engine.wake(Instant(lived.at + 30 * DAY)))
    for change in (p.change for p in lived.changes if p.change.kind is ChangeKind.TOLD):
        order = [rung for rung, _ in rungs_of(change.alert, COMPOUND.grid)]
        for before, after in pairwise(t.rung for t in change.alert.told):
            if before in order and after in order:
                step = order.index(after) - order.index(before)
                assert step == 1 or order.index(after) == 0 or after == before == order[-1], (before, after)


@PROFILE
@given(drills, lives)
def test_a_test_is_a_drill_to_its_end_no_longer_and_no_further_than_asked_and_never_beside_a_real_alarm(drill, life):
    lived = Life()
    for gap, event in [(SECOND, drill), *life]:
        lived.step(gap, event)
        tests = [alert for alert in lived.engine.alerts() if alert.rule == CHAIN_TEST]
        open_ = lived.engine.alerts()
        real = [a for a in open_ if a.priority is Priority.CRITICAL and not a.drill and not a.silent]
        assert len(tests) <= (not real)
        assert all(alert.drill and alert.opened_at + HOUR >= lived.at for alert in tests)
    for alert in (p.change.alert for p in lived.changes if p.change.alert.rule == CHAIN_TEST):
        assert (alert.drill, alert.suppression.value) == (True, "by_design")
        last = [*Rung].index(alert.climb_to or Rung.DISTRICT)
        assert all([*Rung].index(told.rung) <= last for told in alert.told)
        assert alert.climb_to or sum(bool(told.people) for told in alert.told) <= 1
    tested = {p.change.alert.id for p in lived.changes if p.change.alert.rule == CHAIN_TEST}
    assert not [a for a in lived.actions if isinstance(a, Want) and tested & set(a.causes)]


@PROFILE
@given(lives)
def test_an_unanswered_alert_is_told_to_the_end_of_its_ladder(life):
    lived = Life().play(life)
    lived.keep(lived.engine.wake(Instant(lived.at + 40 * DAY)))
    for alert in lived.engine.alerts():
        if alert.answered_by is None and alert.shelved_until is None:
            assert rungs_of(alert, COMPOUND.grid)[-1][0] == alert.told[-1].rung


@PROFILE
@given(lives)
def test_outputs_are_never_opened_and_rest_when_nothing_is_open(life):
    lived = Life().play(life)
    wants = [a for a in lived.actions if isinstance(a, Want)]
    assert all(w.state in {OutputState.SHUT, OutputState.LEAVE} for w in wants if w.output.startswith("valve"))
    assert all(bool(w.causes) is (w.state is not OutputState.LEAVE) for w in wants if w.output.startswith("valve"))
    for alert in lived.engine.alerts():
        lived.give(Command(f"x{alert.id}", "local", "head", Verb.ACK, alert.id))
    for device, point in (
        ("gas-301", "gas"),
        ("gas-301", "gas_high_alarm"),
        ("gas-301", "gas_low_alarm"),
        ("smoke-301", "smoke"),
        ("gas-302", "alarm"),
        ("co-302", "co_alarm"),
        ("co-302", "co"),
    ):
        lived.give(Reading(device, point, 0.0 if point in {"gas", "co"} else False))
    for alert in lived.engine.alerts():
        for verb in (Verb.ACK, Verb.RESET, Verb.CLOSE):
            lived.give(Command(f"{verb}{alert.id}", "local", "head", verb, alert.id))
    driving = [a for a in lived.engine.alerts() if COMPOUND.rules[a.rule].drives]
    last = {w.output: w.state for w in (a for a in lived.actions if isinstance(a, Want))}
    assert not driving
    rest = {"valve": OutputState.LEAVE, "siren": OutputState.OFF, "fan": OutputState.OFF}
    assert last == {output.id: rest[output.kind] for output in COMPOUND.outputs.values()}


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**40), 10**40),
    st.floats(allow_nan=True),
    st.text(max_size=8),
)
names = st.one_of(st.text(max_size=6), devices, st.sampled_from(["nobody", "", "\x1f", "worker-store", "radio-hci0"]))
points = st.one_of(
    st.text(max_size=6), st.sampled_from(["gas", "smoke", "health", "door", "synced", "confirmed", "battery", "reason"])
)
wild = st.one_of(
    st.builds(Reading, names, points, anything, st.sampled_from(Quality)),
    st.builds(Press, names, st.sampled_from(PressKind), st.text(max_size=5), suspect=st.none() | st.text(max_size=5), late=st.booleans()),
    st.builds(
        Entry, names, st.text(max_size=8) | st.sampled_from(["door.opened", "alarm.tamper", "access.denied"]), st.text(max_size=5),
        st.text(max_size=5), subject=st.text(max_size=5), live=st.booleans(),
    ),
    st.builds(DeviceHealth, names, st.sampled_from(Health), st.text(max_size=5)),
    st.builds(Actuated, names, st.text(max_size=5), st.none() | st.text(max_size=5), st.booleans(), st.text(max_size=5)),
    st.builds(
        Command, st.text(max_size=4), st.text(max_size=4), st.text(max_size=4) | st.just("duty"), st.sampled_from(Verb),
        st.none() | st.text(max_size=4), st.text(max_size=600), st.none() | st.integers(), st.booleans(), st.booleans(),
    ),
    st.builds(Receipt, st.text(max_size=4), st.text(max_size=4), st.text(max_size=4)),
    st.just(SiteLoaded("other")),
)  # fmt: skip


@PROFILE
@given(st.lists(st.tuples(gaps, wild), max_size=30))
def test_no_event_whatever_breaks_the_core(life):
    lived = Life()
    for gap, event in life:
        lived.step(gap, event)
    assert lived.rows == lived.snapshot()
    lived.revive()
