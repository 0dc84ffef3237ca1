"""A site file edited again and again under a house that lives: nothing that was promised falls between two files.

Each edit changes one thing as an installer would (a name, a place, two buttons, a rule, a ladder, who stands where, an output), comes
into force by a reload or by a start, is loaded twice, or is taken back; alarms, answers, shelves and restarts lie between.
"""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from instruments.rows import keep
from properties.test_properties_model import KINDS, LADDER, OUTPUTS, OWN, PLACES, POINTS, ROLES, SHIPPED, STANDING

from gateway.actions import Publish
from gateway.alerts import CHAIN_TEST, ChangeKind, Priority, Response, Rung, Suppression
from gateway.events import (
    Boot,
    Command,
    Entry,
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
from gateway.rules.compound import Compound, FactSpec, GridPlan, OutputSpec, Subject
from gateway.rules.engine import Engine
from gateway.rules.ladder import rungs_of
from gateway.rules.language import compile_rules
from gateway.rules.outputs import desired
from gateway.site.marks import parse

_replace = msgspec.structs.replace
BUILTIN = Path(__file__).parents[2] / "gateway/rules/builtin.yaml"
HEALTH = {"health": FactSpec(), "reason": FactSpec()}
NOBODY = {rung: {} for rung in Rung}

EDITS = {
    "named": ("gas", "smoke", "button", "water", "gate", ""),
    "moved": ("gas", "smoke", "button", "water", ""),
    "gone": ("gas", "smoke", "button", "air", "gate", "bus", ""),
    "swapped": ("gas-water", "button-gate", ""),
    "building": ("b1", "b7"),
    "without": ("gas-high", "tamper", "sos", "wet", "damp", ""),
    "changes": (
        "{}",
        "{ gas-high: { when: { any: [ { point: gas_high_alarm, is: true }, { point: gas, above: 35 %LEL, deadband: 4 %LEL } ] } } }",
        "{ gas-high: { latch: false }, smoke: { latch: false, priority: high } }",
        "{ tamper: { on_delay: 5min, off_delay: 1min } }",
        "{ gas-low: { grade: big, regrade: [ { after: 5min, grade: hard } ] } }",
        "{ gas-low: { regrade: [ { after: 90d, grade: hard } ] } }",
    ),
    "wet": (
        *("", "by: flat", "by: stair", "regrade: [ { after: 5min, grade: big } ]", "on_delay: 0s"),
        "regrade: [ { after: 90d, grade: hard } ]",
    ),
    "ladder": ("default", "slow", "short", "holes", "steep"),
    "standing": ("full", "thin", "nobody"),
    "outputs": ("all", "few", "elsewhere", "tied"),
}
"""Field -> what it may be. A site begins with the empty one, else with the first."""
SITE = {field: "" if "" in options else options[0] for field, options in EDITS.items()}
START = tuple(sorted(SITE.items()))
LADDERS = {
    "default": {},
    "slow": {"critical": (0, 0, 0, 5 * MINUTE, 20 * MINUTE), "high": (0, 10 * MINUTE, 20 * MINUTE, 40 * MINUTE, HOUR)},
    "short": {"critical": (0, 0, None, None, None), "high": (0, 0, None, None, None), "medium": (0, None, None, None, None)},
    "holes": {"critical": (0, 0, 0, 0, None), "high": (0, 0, None, 15 * MINUTE, 30 * MINUTE), "medium": (0, None, 4 * HOUR, DAY, None)},
    "steep": {"critical": (0, 0, 0, 0, 0), "high": (0, 0, 0, 0, MINUTE), "medium": (0, 0, MINUTE, HOUR, None)},
}  # fmt: skip


def _with(site, field, option):
    return tuple(sorted({**dict(site), field: option}.items()))


@functools.cache
def _nodes():
    faults = Faults()
    shipped = parse(BUILTIN.read_text(encoding="utf-8"), "builtin.yaml", faults).mapping["rules"].items
    kept = [node for node in shipped if node.mapping["rule"].value in SHIPPED]
    assert not faults.errors
    return kept


@functools.cache
def _own(wet):
    faults, text = Faults(), OWN
    if wet:
        before = wet.partition(":")[0]
        kept = [line for line in OWN.splitlines() if not (line.startswith(f"  {before}:") and "15min" in line)]
        text = "\n".join(kept).replace(
            "  when: { point: wet, is: true }", f"  when: {{ point: wet, is: true }}\n  {wet}"
        )
        text = text.replace("  on_delay: 2min\n", "") if before == "on_delay" else text
    items = parse(text, "own.yaml", faults).items
    assert not faults.errors, faults.errors
    return items


@functools.cache
def compound_of(site):
    """The compound of a site, which is told as (field, option) in order."""
    plan, faults = dict(site), Faults()
    one, _, other = plan["swapped"].partition("-")
    places = PLACES | ({one: PLACES[other], other: PLACES[one]} if one else {})
    places |= {plan["moved"]: "b2/s1/909"} if plan["moved"] else {}
    subjects = {}
    for name, kind in KINDS.items():
        if name == plan["gone"] or (plan["gone"] == "bus" and kind not in {"button", "terminal"}):
            continue
        shown = f"{name}-x" if name == plan["named"] else name
        facts = {point: FactSpec(unit, DAY if kind != "terminal" else None) for point, unit in POINTS[name].items()}
        place = places[name].replace("b1", plan["building"])
        via = "" if kind in {"button", "terminal"} else "bus"
        subjects[shown] = Subject(shown, kind, place, (), facts | HEALTH, via)
    if plan["gone"] != "bus":
        subjects["bus"] = Subject("bus", "bus", plan["building"], (), HEALTH)
    nodes = [node for node in (*_nodes(), *_own(plan["wet"])) if node.mapping["rule"].value != plan["without"]]
    changes = parse(plan["changes"], "changes.yaml", faults).mapping
    changes = {name: change for name, change in changes.items() if name != plan["without"]}
    rules = compile_rules(nodes, changes, subjects, faults)
    assert not faults.errors, faults.errors
    ladder = {
        Priority(priority): {Rung(rung): delay for rung, delay in zip(Rung, delays, strict=True)}
        for priority, delays in (LADDER | LADDERS[plan["ladder"]]).items()
    }
    people = NOBODY if plan["standing"] == "nobody" else STANDING[plan["standing"]]
    people = {
        rung: {of.replace("b1", plan["building"]): who for of, who in stand.items()} for rung, stand in people.items()
    }
    grid = GridPlan(people, {"": ladder}, {Priority.CRITICAL: 10 * MINUTE, Priority.HIGH: 30 * MINUTE})
    return Compound("garden", str(hash(site)), subjects, _outputs(plan), rules, grid, ROLES)


def _outputs(plan):
    outputs = {o[0]: OutputSpec(o[0], o[1], o[2], o[3], ex_rated=o[4]) for o in OUTPUTS}
    here = {
        name: _replace(
            o,
            place=o.place.replace("b1", plan["building"]),
            serves=tuple(p.replace("b1", plan["building"]) for p in o.serves),
        )
        for name, o in outputs.items()
    }
    if plan["outputs"] == "few":
        return {name: o for name, o in here.items() if name in {"valve", "gate-siren"}}
    if plan["outputs"] == "elsewhere":
        return {name: _replace(o, serves=("b2",)) for name, o in here.items()}
    if plan["outputs"] == "tied":
        return {name: _replace(o, rules=("gas-high",)) if o.kind == "siren" else o for name, o in here.items()}
    return here


class House:
    """A core that lives by one site after the other."""

    def __init__(self):
        self.site, self.at, self.count, self.run = START, 0, 0, 1
        self.compound = compound_of(START)
        self.engine, self.actions, self.rows = Engine(self.compound), [], {}
        self.boot(None)
        for device, point in (("gas", "gas_low_alarm"), ("smoke", "tamper"), ("water", "wet")):
            self.do("read", device, point, True, Quality.GOOD)  # else hardly any edit finds an alert
        self.do("press", "k0")

    def give(self, event):
        self.count += 1
        self.keep(self.engine.handle(Stamped(Instant(self.at), f"r{self.run}.{self.count}", event)))

    def keep(self, outcome):
        self.actions.extend(outcome.actions)
        keep(self.rows, outcome)

    def boot(self, downtime):
        self.give(Boot(f"r{self.run}", f"b{self.run}", ClockQuality.UNSYNCED, downtime, None, "test"))
        self.give(SiteLoaded("f"))

    def settle(self, site):
        self.site, self.compound = site, compound_of(site)
        rows = self.engine.snapshot()
        self.engine = Engine(self.compound)
        assert self.engine.restore(rows) == ()

    def reload(self, site):
        self.settle(site)
        self.give(SiteLoaded("f"))
        self.wait(0)  # what the new file wants by now

    def restart(self, site, downtime):
        self.settle(site)
        self.run += 1
        self.at += downtime or 0
        self.boot(downtime)
        self.wait(0)

    def wait(self, ms):
        self.at += ms
        self.keep(self.engine.wake(Instant(self.at)))

    def do(self, what, *more):
        """What happens; devices are called as they are now."""
        if what == "read":
            device, point, value, quality = more
            self.give(Reading(self.called(device), point, value, quality))
        elif what == "press":
            self.give(Press(self.called("button"), PressKind.SINGLE, more[0]))
        elif what == "entry":
            self.give(Entry(self.called("gate"), more[0], f"e{self.count}", "5/76"))
        elif what == "ask":
            verb, n, who, ms, flag = more
            alerts = sorted(self.engine.alerts(), key=lambda alert: (alert.opened_at, alert.rule, alert.subject))
            alert = alerts[n % len(alerts)].id if alerts else "none"
            self.give(Command(f"c{self.count}", "local", who, verb, alert, "x", ms, flag, flag))
        elif what == "drill":
            self.give(Command(f"t{self.count}", "local", "head", Verb.TEST, None, "x", MINUTE, target=more[0]))

    def called(self, device):
        return f"{device}-x" if dict(self.site)["named"] == device else device

    @property
    def changes(self):
        return [action.change for action in self.actions if isinstance(action, Publish)]

    def look(self):
        """That it follows the file it lives by."""
        engine, alerts, compound = self.engine, self.engine.alerts(), self.compound
        told = {want.output: want for want in engine.wants()}
        assert told == {one.id: desired(one, alerts, compound.rules) for one in compound.outputs.values()}
        for alert in alerts:
            rule, subject = compound.rules.get(alert.rule), compound.subjects.get(alert.subject)
            if alert.gone:  # no edit ends a call for help
                assert alert.momentary
                assert alert.priority is Priority.CRITICAL
                assert rule is None or not rule.knows(alert.subject)
                assert subject is None or alert.place == subject.place
                continue
            if alert.rule != CHAIN_TEST:
                assert rule is not None
                assert rule.knows(alert.subject)
                assert alert.place == (alert.subject if rule.members else subject.place)
        assert len({(alert.rule, alert.subject) for alert in alerts}) == len(alerts)
        assert self.rows == self.snapshot()
        due = engine.next_due()
        assert due is None or due >= self.at
        engine._agreement.reach(Instant(self.at), "")
        assert engine.register.said == []
        assert self.rows == self.snapshot()

    def snapshot(self):
        return {(row.kind, row.key): row.body for row in self.engine.snapshot()}

    def look_back(self):
        """That each alert was told of from its raise to its end, number by number."""
        lives, lanes = {}, {}
        for action in self.actions:
            if isinstance(action, Publish):
                lives.setdefault(action.change.alert.id, []).append(action.change)
                lanes.setdefault(action.lane, []).append(action.sequence)
        assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in lanes.values())
        standing = {alert.id for alert in self.engine.alerts()}
        for identity, changes in lives.items():
            assert [c.alert.revision for c in changes] == list(range(1, len(changes) + 1))
            kinds = [c.kind for c in changes]
            assert kinds.index(ChangeKind.RAISED) == 0
            assert kinds.count(ChangeKind.RAISED) == 1
            assert (identity in standing) is (ChangeKind.CLOSED not in kinds)
            assert ChangeKind.CLOSED not in kinds[:-1]

    def look_up(self):
        """That nobody who stands on the ladder of an alert that calls is left out."""
        self.wait(40 * DAY)
        for alert in self.engine.alerts():
            if (
                alert.response is not Response.UNANSWERED
                or alert.suppression is not Suppression.NONE
                or alert.climb_from is None
            ):
                continue
            told = {one.rung for one in alert.told if one.at >= alert.climb_from}
            wanted = {rung for rung, _ in rungs_of(alert, self.compound.grid)}
            assert wanted <= told, (alert.rule, alert.subject, wanted - told)


bits = st.sampled_from([True, True, False])
quality = st.sampled_from([Quality.GOOD, Quality.GOOD, Quality.GOOD, Quality.COMMS, Quality.UNDER_TEST])
deeds = st.one_of(
    st.tuples(st.just("read"), st.just("gas"), st.just("gas"), st.sampled_from([0.0, 12.0, 25.0, 40.0]), quality),
    st.tuples(st.just("read"), st.just("gas"), st.just("gas_high_alarm"), bits, quality),
    st.tuples(st.just("read"), st.just("smoke"), st.sampled_from(["smoke", "smoke_alert", "tamper"]), bits, quality),
    st.tuples(st.just("read"), st.just("water"), st.just("wet"), bits, quality),
    st.tuples(st.just("read"), st.just("air"), st.just("humidity"), st.sampled_from([20.0, 85.0]), quality),
    st.tuples(st.just("press"), st.sampled_from(["", "k1", "k2"])),
    st.tuples(st.just("entry"), st.sampled_from(["alarm.duress", "alarm.fire", "door.forced", "door.closed", "alarm.tamper"])),
    st.tuples(
        st.just("ask"), st.sampled_from([Verb.ACK, Verb.ACK, Verb.CLOSE, Verb.RESET, Verb.SILENCE, Verb.SHELVE, Verb.UNSHELVE]),
        st.integers(0, 5), st.just("head"), st.sampled_from([MINUTE, 20 * MINUTE]), st.booleans(),
    ),
    st.tuples(st.just("drill"), st.sampled_from(["", "b1", "gate"])),
)  # fmt: skip
edits = st.sampled_from([(field, option) for field, options in EDITS.items() for option in options])
how = st.sampled_from(["reload", "reload", "reload", "twice", "back", "restart"])
steps = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([0, 200, SECOND, 2 * SECOND, MINUTE, 5 * MINUTE, 25 * MINUTE, HOUR])),
    deeds,
    deeds,
    st.tuples(st.just("edit"), edits, how),
    st.tuples(st.just("restart"), st.sampled_from([None, 0, 20 * SECOND, HOUR])),
)
lives = st.lists(steps, min_size=15, max_size=60)
PROFILE = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def live(house, life):
    for what, *more in life:
        if what == "edit":
            edit(house, *more)
        elif what == "wait":
            house.wait(more[0])
        elif what == "restart":
            house.restart(house.site, more[0])
        else:
            house.do(what, *more)
        house.look()


def edit(house, change, by):
    before, site = house.site, _with(house.site, *change)
    if by == "restart":
        house.restart(site, 5 * SECOND)
        return
    house.reload(site)
    house.look()
    if by == "twice":
        said = len(house.actions)
        house.reload(site)
        assert house.actions[said:] == []
    elif by == "back":
        house.reload(before)


@PROFILE
@given(lives)
def test_edits_lose_no_alert_and_double_none(life):
    house = House()
    live(house, life)
    house.look_back()


@PROFILE
@given(lives)
def test_whoever_stands_on_the_ladder_of_the_last_file_is_called(life):
    house = House()
    live(house, life)
    house.look_up()


@PROFILE
@given(lives, edits, st.sampled_from([0, 20 * SECOND, HOUR]))
def test_a_reload_before_a_restart_is_a_restart_with_the_new_file(life, change, downtime):
    one, other = House(), House()
    for house in (one, other):
        live(house, life)
    site = _with(one.site, *change)
    one.reload(site)
    for house in (one, other):
        house.restart(site, downtime)
        house.wait(2 * DAY)
    assert _standing(one) == _standing(other)


def _standing(house):
    return {
        (a.rule, a.subject): (a.place, a.condition, a.response, a.suppression, a.grade) for a in house.engine.alerts()
    }


HARMLESS = [
    ("ladder", "slow"), ("ladder", "short"), ("ladder", "holes"), ("outputs", "few"), ("outputs", "elsewhere"), ("outputs", "tied"),
    ("changes", EDITS["changes"][2]), ("changes", EDITS["changes"][3]), ("changes", EDITS["changes"][5]),
    ("wet", EDITS["wet"][5]),
]  # fmt: skip
"""What takes no alert away, moves none and tells nobody sooner."""


@PROFILE
@given(lives, st.lists(st.tuples(st.integers(0, 59), st.sampled_from(HARMLESS)), min_size=1, max_size=4))
def test_what_is_taken_back_at_once_was_never_there(life, taken_back):
    one, other = House(), House()
    moments = {n % len(life): change for n, change in taken_back}
    for n, step in enumerate(life):
        live(one, [step])
        if n in moments and dict(other.site)[moments[n][0]] == SITE[moments[n][0]]:
            before = other.site
            other.reload(_with(before, *moments[n]))
            other.look()
            other.reload(before)
        live(other, [step])
    for house in (one, other):
        house.wait(40 * DAY)
    assert _said(other) == _said(one)


def _said(house):
    """Of one instant in any order, for that is by ids, and those are by the events that came before."""
    said = [
        (c.at, c.alert.rule, c.alert.subject, c.alert.opened_at, c.alert.revision, c.kind, c.reason, c.alert.told)
        for c in house.changes
    ]
    return sorted(said, key=lambda one: one[:5])
