"""What must hold of the language for any condition: no contradiction, no difference between one rule and many, no lost past."""

from __future__ import annotations

import json

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.actions import Publish
from gateway.alerts import Priority, Rung
from gateway.events import Boot, DeviceHealth, Entry, Health, Quality, Reading, SiteLoaded, Stamped
from gateway.instant import DAY, HOUR, MINUTE, SECOND, ClockQuality, Instant
from gateway.nodes import Faults
from gateway.rules.compound import Compound, FactSpec, GridPlan, Subject
from gateway.rules.engine import Engine
from gateway.rules.language import compile_rules
from gateway.rules.watches import Phase
from gateway.site.marks import parse

WALL = 1_795_000_000_000
PROFILE = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
FEW = settings(PROFILE, max_examples=25)
_FACTS = {
    "gas": FactSpec("%LEL", HOUR),
    "alarm": FactSpec("", HOUR),
    "door": FactSpec(),
    "health": FactSpec(),
    "reason": FactSpec(),
}


def house(flats: int) -> dict[str, Subject]:
    """A device in each flat that has everything the conditions below read; also a terminal, so that things happen to it."""
    return {
        f"d{n}": Subject(f"d{n}", "terminal", f"b1/s{n % 4}/{n}", (), _FACTS) for n in range(1, flats + 1)
    }  # fmt: skip


def compound_of(text: str, subjects: dict[str, Subject]) -> Compound:
    faults = Faults()
    rules = compile_rules(parse(text, "rules.yaml", faults).items, {}, subjects, faults)
    assert not faults.errors, [(fault.key, fault.fields) for fault in faults.errors]
    ladder = {"": {priority: {Rung.BUILDING: 0} for priority in Priority}}
    return Compound("garden", "f", subjects, {}, rules, GridPlan({}, ladder, {}), {}, ((0, 8 * HOUR),))


def written(name: str, when: object, subjects: str = "{ kind: terminal }", more: str = "") -> str:
    return (
        f"- rule: {name}\n  subjects: {subjects}\n  when: {json.dumps(when)}\n  priority: low\n  grade: small\n{more}"
    )


# Conditions, as they are written -------------------------------------------------------------------

lengths = st.sampled_from(["10s", "2min", "1h", "5h"])
limits = st.integers(6, 40)
states = st.one_of(
    st.builds(lambda limit, band: {"point": "gas", "above": f"{limit} %LEL", "deadband": f"{band} %LEL"}, limits, st.integers(0, 5)),
    st.builds(lambda limit, band: {"point": "gas", "below": f"{limit} %LEL", "deadband": f"{band} %LEL"}, limits, st.integers(0, 5)),
    st.builds(lambda value: {"point": "alarm", "is": value}, st.booleans()),
    st.builds(lambda value, length: {"point": "alarm", "is": value, "for": length}, st.booleans(), lengths),
    st.builds(lambda value: {"health": value}, st.sampled_from(["lost", "faulty", ["lost", "faulty"], "ok"])),
    st.builds(lambda length: {"door": "opened", "for": length}, lengths),
    st.just({"stale": "gas"}),
    st.just({"stale": "any"}),
)  # fmt: skip
happenings = st.sampled_from([{"entry": "access.granted"}, {"entry": "access.denied"}])
joined = st.recursive(
    states,
    lambda inner: st.one_of(
        st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
        st.builds(lambda part: {"unknown": part}, inner),
    ),
    max_leaves=4,
)
followed = happenings | joined
pasts = st.one_of(
    st.builds(
        lambda way, by, length: {"point": "gas", way: f"{by} %LEL", "within": length},
        st.sampled_from(["rises", "falls"]), st.integers(1, 20), lengths,
    ),
    st.builds(lambda part, n, length: {"count": part, "at_least": n, "within": length}, followed, st.integers(1, 3), lengths),
    st.builds(lambda parts, length: {"sequence": parts, "within": length}, st.lists(followed, min_size=2, max_size=3), lengths),
    st.builds(lambda part, length: {"absent": part, "for": length}, followed, lengths),
    st.builds(lambda part, length, after: {"absent": part, "for": length, "after": after}, followed, lengths, followed),
)  # fmt: skip
days = st.just({"between": ["22:00", "06:00"]})
conditions = st.recursive(
    pasts | states | days,
    lambda inner: st.one_of(
        st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
        st.builds(lambda part: {"unknown": part}, inner),
    ),
    max_leaves=5,
)

# What happens --------------------------------------------------------------------------------------

devices = st.sampled_from(["d1", "d2", "d3"])
events = st.one_of(
    st.builds(Reading, devices, st.just("gas"), st.integers(0, 45) | st.none(), st.sampled_from([Quality.GOOD] * 3 + [Quality.COMMS, Quality.OVER_RANGE])),
    st.builds(Reading, devices, st.just("alarm"), st.booleans()),
    st.builds(DeviceHealth, devices, st.sampled_from(Health)),
    st.builds(
        Entry, devices, st.sampled_from(["access.granted", "access.denied", "door.opened", "door.closed"]),
        st.sampled_from([str(n) for n in range(40)]), st.just("5/75"),
    ),
)  # fmt: skip
gaps = st.sampled_from([0, 1, SECOND, 10 * SECOND, MINUTE, 2 * MINUTE, 10 * MINUTE, HOUR, 5 * HOUR, DAY])
lives = st.lists(st.tuples(gaps, events), min_size=1, max_size=40)
quick_lives = st.lists(
    st.tuples(
        st.sampled_from([SECOND, SECOND, 5 * SECOND, MINUTE, 2 * MINUTE, HOUR]),
        events.map(lambda event: msgspec.structs.replace(event, **{event.__struct_fields__[0]: "d1"})),
    ),
    min_size=10,
    max_size=40,
)
"""Much happens to one device in a short time, so that there is something to remember."""


class Life:
    """A life by a clock that is right; ``moments`` are the steps before which the core is made anew from its rows."""

    def __init__(self, compound, moments=()):
        self.compound, self.engine, self.moments = compound, Engine(compound), set(moments)
        self.at, self.count, self.said = 0, 0, []
        self.give(Boot("r1", "b1", ClockQuality.SYNCED, None, WALL, "test"))
        self.give(SiteLoaded("f"))

    def play(self, life, look=lambda _engine: None):
        for step, (gap, event) in enumerate(life):
            if step in self.moments:
                rows, self.engine = self.engine.snapshot(), Engine(self.compound)
                assert self.engine.restore(rows) == ()
            while (due := self.engine.next_due()) is not None and due < self.at + gap:
                self.keep(self.engine.wake(due))
                look(self.engine)
            self.at += gap
            self.give(event)
            look(self.engine)
        return self

    def give(self, event):
        self.count += 1
        self.keep(self.engine.handle(Stamped(Instant(self.at), f"r1.{self.count}", event)))

    def keep(self, outcome):
        self.said += [action for action in outcome.actions if isinstance(action, Publish)]


@PROFILE
@given(conditions, lives)
def test_a_rule_and_its_negation_never_both_hold(when, life):
    made = compound_of(written("so", when) + written("not-so", {"not": when}), house(3))

    def look(engine):
        for subject in made.subjects:
            phases = [engine._watches._watch(made.rules[name], subject).phase for name in ("so", "not-so")]
            assert phases != [Phase.ACTIVE, Phase.ACTIVE], subject

    Life(made).play(life, look)


@PROFILE
@given(pasts | conditions, quick_lives)
def test_a_core_made_anew_before_every_event_remembers_what_its_rules_look_back_to(when, life):
    made = compound_of(written("r", when), house(1))
    lived, revived = Life(made).play(life), Life(made, range(len(life))).play(life)
    assert revived.said == lived.said
    assert revived.engine.snapshot() == lived.engine.snapshot()


@FEW
@given(conditions, lives)
def test_one_rule_for_200_flats_is_200_rules(when, life):
    flats = house(200)
    one = Life(compound_of(written("all", when), flats)).play(life)
    many = compound_of("".join(written(f"r-{name}", when, f"{{ id: {name} }}") for name in flats), flats)
    assert _told(Life(many).play(life)) == _told(one)


def _told(life):
    changes = [publish.change for publish in life.said]
    return sorted((c.at, c.alert.subject, c.kind.value, c.alert.revision, repr(c.alert.why)) for c in changes)


@FEW
@given(joined, lives, st.sampled_from(["building", "stair", "flat"]))
def test_a_rule_about_a_place_holds_where_it_holds_for_somebody_there(leaf, life, by):
    """Of a condition that is one leaf; of flats with one device each, the place says what the device says."""
    flats = house(3)
    made = compound_of(written("each", leaf) + written("place", leaf, more=f"  by: {by}\n"), flats)
    if by == "flat":
        played = Life(made).play(life)
        each, place = ([(c.at, c.alert.place, c.kind) for c in _of(played, name)] for name in ("each", "place"))
        assert sorted(each) == sorted(place)
    else:
        revived = Life(made, range(len(life))).play(life)
        assert revived.said == Life(made).play(life).said


def _of(life, rule):
    return [publish.change for publish in life.said if publish.change.alert.rule == rule]
