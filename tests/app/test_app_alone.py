"""The built-in life-safety rules alone, as a core that kept crashing runs them: what they hear, and what they move."""

from __future__ import annotations

import msgspec
import pytest

from gateway.actions import OutputState, Want
from gateway.app.compound import life_safety_alone
from gateway.events import Actuated, Boot, DeviceHealth, Health, Reading, SiteLoaded, Stamped
from gateway.instant import HOUR, ClockQuality, Instant
from gateway.rules.engine import Engine

LOST, FAULTY = Health.LOST, Health.FAULTY


@pytest.fixture
def live(site, compound):
    """What the core alone raises, and does with outputs, within an hour of these events."""

    def run(*events, whole=compound):
        engine, actions = Engine(life_safety_alone(site, whole)), []
        first = (Boot("r", "b", ClockQuality.UNSYNCED, None, None, "t"), SiteLoaded("f"))
        for n, event in enumerate((*first, *events)):
            actions += engine.handle(Stamped(Instant(n * 1000), f"r.{n}", event)).actions
        actions += engine.wake(Instant(HOUR)).actions
        wants = {one.output: one.state for one in actions if isinstance(one, Want)}
        return {(alert.rule, alert.subject) for alert in engine.alerts()}, wants

    return run


@pytest.mark.parametrize(
    ("events", "raised"),
    [
        ([DeviceHealth("bus-line", LOST), DeviceHealth("gas-301", LOST)], ("line-lost", "bus-line")),
        ([DeviceHealth("radio-hci0", LOST)], ("line-lost", "radio-hci0")),
        ([DeviceHealth("store", FAULTY)], ("disk-failing", "store")),
        ([DeviceHealth("uplink-street", FAULTY)], ("uplink-lost", "uplink-street")),
        ([DeviceHealth("worker-doors", FAULTY)], ("part-failing", "worker-doors")),
        ([Actuated("valve-301", "shut", "open", False, "not_confirmed")], ("output-not-confirmed", "valve-301")),
    ],
)
def test_it_says_that_it_is_deaf_or_that_an_output_did_not_obey(live, events, raised):
    assert raised in live(*events)[0]


def test_it_shuts_the_valve_that_the_site_tied_to_a_rule_of_its_own(live, compound):
    """That rule is not asked now, and the gas is there all the same."""
    tied = msgspec.structs.replace(compound.outputs["valve-301"], rules=("my-gas",))
    whole = msgspec.structs.replace(compound, outputs=compound.outputs | {"valve-301": tied})
    raised, wants = live(Reading("gas-301", "gas_high_alarm", True), whole=whole)
    assert ("gas-high", "gas-301") in raised
    assert wants["valve-301"] is OutputState.SHUT


def test_an_output_tied_to_a_rule_that_is_asked_answers_to_no_other(live, compound):
    tied = msgspec.structs.replace(compound.outputs["siren-1"], rules=("smoke",))
    whole = msgspec.structs.replace(compound, outputs=compound.outputs | {"siren-1": tied})
    assert live(Reading("gas-301", "gas_high_alarm", True), whole=whole)[1]["siren-1"] is OutputState.OFF
