"""What the valve, the siren and the fan should be."""

import pytest

from gateway.actions import OutputState
from gateway.events import Actuated, Command, Quality, SiteLoaded, Stamped, Verb
from gateway.instant import DAY, HOUR, MINUTE, SECOND, Instant
from gateway.rules.compound import FactSpec, OutputSpec, Subject
from gateway.rules.engine import Engine
from gateway.rules.wants import GONE

LEAVE, OFF, ON, SHUT = OutputState.LEAVE, OutputState.OFF, OutputState.ON, OutputState.SHUT


def states(core):
    return {name: core.output(name) for name in core.compound.outputs}


def siren(place="b1/s1", **more):
    return (OutputSpec("siren", "siren", place, ("b1",), **more),)


def test_nothing_wrong_asks_for_nothing(core):
    assert states(core) == {"valve": LEAVE, "siren": OFF, "fan": OFF}


def test_gas_shuts_the_valve_at_once_and_no_fan_in_the_gas_starts(core):
    core.read("gas", "gas_high_alarm", True, SECOND)
    assert states(core) == {"valve": SHUT, "siren": ON, "fan": OFF}


@pytest.mark.parametrize(
    ("place", "ex_rated", "state"), [("b1/s1/301", False, OFF), ("b1/s1/301", True, ON), ("b1/s1/302", False, ON)]
)
def test_a_fan_starts_in_gas_only_if_built_for_it_or_outside(make, place, ex_rated, state):
    core = make(outputs=(OutputSpec("fan", "fan", place, ("b1",), ex_rated=ex_rated),))
    core.read("gas", "gas_high_alarm", True, SECOND)
    assert core.output("fan") == state


def test_no_other_alarm_starts_a_sounder_that_stands_in_gas(make):
    """A spark is a spark, whoever asks for it."""
    core = make(outputs=siren("b1/s1/301"))
    core.press(SECOND)
    assert core.output("siren") == ON
    core.read("gas", "gas_high_alarm", True, 2 * SECOND)
    assert core.output("siren") == OFF
    core.read("smoke", "smoke", True)
    core.ask("shelve", "gas-high", for_ms=MINUTE, reason="test")
    assert core.output("siren") == OFF, "shelving clears no gas"
    core.read("gas", "gas_high_alarm", False)
    core.read("gas", "gas", None, None, Quality.SENSOR_FAULT)
    assert core.output("siren") == OFF, "unknown is never safe"
    core.read("gas", "gas", 0.0)
    assert core.output("siren") == ON, "the gas has gone, whether anybody resets the alert or not"


def test_what_starts_for_gas_does_not_start_in_its_place_when_the_gas_has_just_gone(make):
    """For other alarms it may; for this one, of its own accord, nothing does that is not built for gas."""
    core = make(outputs=(*siren("b1/s1/301"), OutputSpec("fan", "fan", "b1/s1/301", ("b1",))))
    core.gas(40.0, SECOND)
    core.read("gas", "gas_high_alarm", False)
    core.read("gas", "gas", 15.0, MINUTE)
    assert (core.alert("gas-high").condition, states(core)) == ("normal", {"siren": OFF, "fan": OFF})


@pytest.mark.parametrize("back", [True, False])
def test_a_gas_test_that_nobody_reset_silences_no_siren_of_that_place(make, back):
    """Neither one that was finished nor one that was forgotten. Was: thirty days later a fire sounded nowhere there."""
    core = make(outputs=siren("b1/s1/301"))
    for value, at in ((False, SECOND), (True, MINUTE), (False, 5 * MINUTE)):
        core.read("gas", "gas_high_alarm", value, at, Quality.UNDER_TEST)
    if back:
        core.read("gas", "gas_high_alarm", False, 10 * MINUTE)
        core.read("gas", "gas", 0.0)
    core.wait(30 * DAY)
    core.read("smoke", "smoke", True)
    assert core.output("siren") == ON


def test_an_ex_rated_sounder_does_its_duty_in_gas(make):
    core = make(outputs=siren("b1/s1/301", ex_rated=True))
    core.read("gas", "gas_high_alarm", True, SECOND)
    assert core.output("siren") == ON


def test_smoke_holds_the_fan_off_against_every_other_wish(make):
    core = make(outputs=(OutputSpec("fan", "fan", "b1", ("b1",)),))
    core.read("gas", "gas_high_alarm", True, SECOND)
    assert core.output("fan") == ON
    core.read("smoke", "smoke", True)
    assert core.output("fan") == OFF
    core.ask("ack", "smoke")
    assert core.output("fan") == OFF


def test_a_shelf_silences_people_and_lets_go_of_no_fan_held_off_in_smoke(make):
    core = make(outputs=(OutputSpec("fan", "fan", "b1", ("b1",), ex_rated=True), *siren()))
    core.read("smoke", "smoke", True, SECOND)
    core.gas(40.0, 2 * SECOND)
    assert core.ask("ack", "gas-high") == "done"
    assert core.ask("shelve", "smoke", for_ms=20 * MINUTE, reason="noise") == "done"
    assert (core.output("fan"), core.output("siren")) == (OFF, OFF)
    assert core.ask("shelve", "gas-high", for_ms=20 * MINUTE, reason="noise") == "done"
    assert core.output("fan") == OFF


def test_a_fan_that_makes_air_to_breathe_goes_on_over_a_shelf_until_the_danger_has_gone(make):
    core = make(outputs=(OutputSpec("fan", "fan", "b1", ("b1",)), *siren()))
    core.gas(40.0, SECOND)
    core.ask("shelve", "gas-high", for_ms=20 * MINUTE, reason="noise")
    assert (core.output("fan"), core.output("siren")) == (ON, OFF)
    core.read("gas", "gas_high_alarm", False)
    core.read("gas", "gas", 0.0, MINUTE)
    assert core.output("fan") == OFF, "it latches, but is shelved: only the danger itself holds the fan then"


def test_a_fan_for_comfort_stops_with_the_shelf(make, rules_text):
    fan = OutputSpec("fan", "fan", "b1", ("b1",), rules=("water",))
    core = make(rules_text.replace('drives: { siren: "on" }', 'drives: { siren: "on", fan: "on" }', 1), outputs=(fan,))
    core.read("water", "water", True, SECOND)
    assert core.output("fan") == ON
    core.ask("shelve", "water", for_ms=20 * MINUTE, reason="noise")
    assert core.output("fan") == OFF


def test_a_shelf_starts_no_fan_in_the_gas(make):
    core = make()
    core.gas(40.0, SECOND)
    core.ask("shelve", "gas-high", for_ms=20 * MINUTE, reason="noise")
    assert core.output("fan") == OFF


def test_the_valve_stays_shut_while_the_alert_is_open_and_is_never_opened(core):
    core.read("gas", "gas_high_alarm", True, SECOND)
    core.ask("shelve", "gas-high", for_ms=MINUTE, reason="test")
    core.ask("ack", "gas-high")
    core.read("gas", "gas", 0.0)
    core.read("gas", "gas_high_alarm", False)
    assert core.output("valve") == SHUT
    core.ask("reset", "gas-high")
    assert core.output("valve") == LEAVE


@pytest.mark.parametrize("quiet", ["ack", "silence", "shelve"])
def test_what_quiets_the_siren(core, quiet):
    core.press(SECOND)
    core.ask(quiet, "sos", for_ms=MINUTE, reason="x")
    assert core.output("siren") == OFF
    core.press(2 * SECOND)
    assert core.output("siren") == (OFF if quiet == "silence" else ON), "a silenced siren is not re-sounded by a repeat"


def test_an_output_serves_its_places_and_its_rules(make):
    core = make(outputs=(OutputSpec("siren", "siren", "b2", ("b2",)),))
    core.press(SECOND)
    assert core.output("siren") == OFF
    core = make(outputs=siren(rules=("smoke",)))
    core.press(SECOND)
    assert core.output("siren") == OFF
    core.read("smoke", "smoke", True)
    assert core.output("siren") == ON


def test_a_silent_alert_moves_nothing(make, rules_text):
    core = make(rules_text.replace("when: { press: any }", "when: { press: any }\n  silent: true"))
    core.press(SECOND)
    assert core.output("siren") == OFF


def test_each_want_names_its_causes(core):
    core.press(SECOND)
    core.read("smoke", "smoke", True)
    want = [a for a in core.actions if getattr(a, "output", "") == "siren"][-1]
    assert set(want.causes) == {core.alert("sos").id, core.alert("smoke").id}


def test_an_output_put_on_by_us_is_ours_until_it_is_seen_off(core):
    """Asked on, the process dies, somebody answers before the next life: that life must know it may switch it off."""
    core.read("gas", "gas_high_alarm", True, SECOND)
    revived = Engine(core.compound)
    revived.restore(core.engine.snapshot())
    assert revived.driven() == {"siren"}
    revived.handle(Stamped(Instant(2 * SECOND), "r2.1", Actuated("siren", "on", "on", confirmed=True)))
    assert revived.driven() == {"siren"}
    revived.handle(Stamped(Instant(3 * SECOND), "r2.2", Actuated("siren", "on", "off", confirmed=False)))
    assert revived.driven() == {"siren"}, "its feedback was slow; the retry puts it on"
    alert = revived.alerts()[0].id
    revived.handle(Stamped(Instant(4 * SECOND), "r2.3", Command("c1", "local", "head", Verb.ACK, alert)))
    revived.handle(Stamped(Instant(5 * SECOND), "r2.4", Actuated("siren", "off", "off", confirmed=True)))
    assert revived.driven() == frozenset()


NOT_CONFIRMED = """
- rule: output-not-confirmed
  subjects: { kind: output }
  when: { point: confirmed, is: false }
  priority: critical
  grade: big
"""


@pytest.mark.parametrize(("actual", "told"), [("open", "open"), (None, "unknown")])
def test_an_output_that_is_not_confirmed_says_what_was_wanted_and_what_it_is(make, actual, told):
    valve = Subject("valve", "output", "b1/s1/301", (), {"confirmed": FactSpec()})
    core = make(NOT_CONFIRMED, subjects=(valve,), outputs=())
    core.give(Actuated("valve", "leave", None, confirmed=True))
    core.give(Actuated("valve", "shut", actual, confirmed=False, reason="not_confirmed"), SECOND)
    why = core.alert("output-not-confirmed").why
    assert [(one.fact, one.value, one.at) for one in why] == [
        ("confirmed", False, SECOND),
        ("wanted", "shut", SECOND),
        ("actual", told, SECOND),
    ]


def test_a_test_shuts_the_valve_and_sounds_nothing(core):
    core.read("gas", "gas_high_alarm", True, SECOND, Quality.UNDER_TEST)
    assert states(core) == {"valve": SHUT, "siren": OFF, "fan": OFF}
    core.read("gas", "gas_high_alarm", True, 2 * SECOND)
    assert (core.output("siren"), core.alert("gas-high").drill) == (ON, False)


def test_what_has_gone_before_the_test_was_over_sounds_never_and_the_next_alarm_does(core):
    core.read("smoke", "smoke", True, SECOND, Quality.UNDER_TEST)
    core.read("smoke", "smoke", False, MINUTE)
    core.forget().wait(60 * MINUTE)
    assert core.said("smoke") == []
    core.read("smoke", "smoke", True, 61 * MINUTE)
    assert (core.said("smoke"), core.output("siren"), core.alert("smoke").drill) == (
        ["re-alarmed", "told"], ON, False,
    )  # fmt: skip


OWN_WORD = """
- rule: own-word
  subjects: { kind: [smoke-detector, water-detector] }
  when: { any: [ { point: smoke, is: true }, { point: water, is: true } ] }
  priority: critical
  grade: big
  drives: { siren: "on", fan: { smoke-detector: "off", water-detector: "on" } }
"""
FAN = (OutputSpec("fan", "fan", "b1", ("b1",), rules=("own-word",)),)


@pytest.mark.parametrize(
    "states", [{"smoke": OFF}, {"water": ON}, {"water": ON, "smoke": OFF}, {"smoke": OFF, "water": OFF}]
)
def test_a_rule_drives_a_fan_as_it_says_for_the_kind_of_each_subject(make, states):
    core = make(OWN_WORD, outputs=FAN)
    for device, state in states.items():
        core.read(device, device, True, SECOND)
        (want,) = core.engine.wants()
        assert (want.state, len(want.causes)) == (state, 1)


def test_a_rule_about_a_place_drives_as_for_anyone_it_watches_there(make):
    core = make(OWN_WORD.replace("  when", "  by: building\n  when"), outputs=FAN)
    core.read("water", "water", True, SECOND)
    (want,) = core.engine.wants()
    assert (want.state, len(want.causes), core.alert("own-word").subject) == (OFF, 1, "b1"), (
        "a smoke detector is watched there"
    )
    flats = make(OWN_WORD.replace("  when", "  by: flat\n  when"), outputs=FAN)
    flats.read("water", "water", True, SECOND)
    assert (flats.output("fan"), flats.alert("own-word").subject) == (ON, "b1/s1/302")


def _siren(name, place, **known):
    return OutputSpec(
        name, "siren", "b1", ("b1",), **{"relay": f"board.{place}", "stands": f"wire 9 coil {place}"} | known
    )


@pytest.mark.parametrize(
    ("now", "driven"),
    [
        ((_siren("a", 1), _siren("b", 2)), {"a", "b"}),
        ((_siren("a", 2), _siren("b", 1)), {"a", "b"}),
        ((_siren("b", 1),), {"b", "b@wire 9 coil 2"}),
        ((_siren("a", 3), _siren("c", 2)), {"a", "c", "a@wire 9 coil 1"}),
        ((), {"a@wire 9 coil 1", "b@wire 9 coil 2"}),
    ],
    ids=["as they were", "exchanged", "moved into the place of one that is gone", "one moved, one renamed", "gone"],
)
def test_every_relay_that_was_left_on_has_somebody_who_puts_it_off(make, house, rules_text, now, driven):
    core = make(rules_text, outputs=(_siren("a", 1), _siren("b", 2)))
    core.read("smoke", "smoke", True, SECOND)
    for _ in range(2):  # a second start changes nothing
        core.die(house(rules_text, outputs=now))
        assert core.engine.driven() == driven


@pytest.mark.parametrize(
    ("before", "now", "driven"),
    [
        (_siren("a", 1), _siren("a", 1, relay="stair.left"), {"a"}),
        (_siren("a", 1), _siren("b", 1, relay="stair.left"), {"b"}),
        (_siren("a", 1, stands=""), _siren("b", 1), {"b"}),
        (_siren("a", 1, stands=""), _siren("b", 2), {"a@board.1"}),
    ],
    ids=["only the wire is renamed", "all is renamed", "kept by an earlier version", "and elsewhere"],
)
def test_a_relay_is_known_by_its_place_and_where_that_was_not_kept_by_its_names(
    make, house, rules_text, before, now, driven
):
    core = make(rules_text, outputs=(before,))
    core.read("smoke", "smoke", True, SECOND)
    core.die(house(rules_text, outputs=(now,)))
    assert core.engine.driven() == driven


def test_a_relay_that_was_left_on_is_that_of_whoever_stands_there_later(make, house, rules_text):
    core = make(rules_text, outputs=(_siren("a", 1),))
    core.read("smoke", "smoke", True, SECOND)
    for now, driven in (((), {"a@wire 9 coil 1"}), ((_siren("c", 1),), {"c"})):
        core.die(house(rules_text, outputs=now))
        assert core.engine.driven() == driven


def test_an_output_that_a_new_site_file_takes_away_is_wanted_no_more(core, house):
    assert {want.output for want in core.engine.wants()} == {"valve", "siren", "fan"}
    core.die(house(outputs=[core.compound.outputs["siren"]]))
    core.give(SiteLoaded("g"))
    assert [want.output for want in core.engine.wants()] == ["siren"]


def test_a_relay_out_of_reach_is_kept_until_somebody_has_had_a_minute_to_be_told(make, house, rules_text):
    core = make(rules_text, outputs=(_siren("a", 1),))
    core.read("smoke", "smoke", True, SECOND)
    core.die(house(rules_text, outputs=()))
    core.boot(2 * SECOND, downtime=0)
    gone, name = Actuated("a@wire 9 coil 1", "off", None, confirmed=False, reason=GONE), "a@wire 9 coil 1"
    core.give(gone)
    core.restart(after=HOUR)
    core.give(gone)
    assert core.engine.driven() == {name}, "nobody was told anything while the gateway was off"
    core.give(gone, core.at + MINUTE - 1)
    assert core.engine.driven() == {name}
    core.give(gone, core.at + 1)
    assert core.engine.driven() == set()
    core.give(gone, core.at + MINUTE)
    assert core.engine.driven() == set(), "said once more, of one that is known no more"


@pytest.mark.parametrize(
    ("name", "confirmed", "driven"),
    [("a@wire 9 coil 1", True, set()), ("a@wire 9 coil 1", False, {"a@wire 9 coil 1"}), ("a", True, {"a"})],
    ids=["left behind", "not taken", "of the site"],
)
def test_a_relay_that_is_never_read_is_let_go_once_it_took_its_off_where_it_was_left_behind(
    make, house, rules_text, name, confirmed, driven
):
    """Was: kept in the books for ever, and written off by each start, whatever an installer had put there since."""
    core = make(rules_text, outputs=(_siren("a", 1),))
    core.read("smoke", "smoke", True, SECOND)
    core.ask("ack", "smoke")
    core.die(house(rules_text, outputs=() if "@" in name else (_siren("a", 1),)))
    core.give(Actuated(name, "off", None, confirmed=confirmed, reason="unproven"))
    assert core.engine.driven() == driven


@pytest.mark.parametrize(
    ("before", "after"),
    [({"serves": ("b2",)}, {"serves": ("b1",)}), ({"serves": ("b1",), "rules": ("water",)}, {"serves": ("b1",)})],
    ids=["serves another place", "answers to another rule"],
)
def test_another_site_file_moves_what_it_says_at_once(make, house, rules_text, before, after):
    """Was: with the next change of any alert. The siren that a corrected file gave to this stair was silent until then."""
    core = make(rules_text, outputs=(OutputSpec("siren", "siren", "b1/s1", **before),))
    core.read("smoke", "smoke", True, SECOND)
    assert core.output("siren") is OFF
    for serving, state in ((after, ON), (before, OFF)):
        core.die(house(rules_text, outputs=(OutputSpec("siren", "siren", "b1/s1", **serving),)))
        core.forget().give(SiteLoaded("f"))
        assert core.output("siren") is state
    core.die()
    core.forget().give(SiteLoaded("f"))
    assert core.actions == [], "who knows it is not told again"
