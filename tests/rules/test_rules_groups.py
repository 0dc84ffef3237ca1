"""Groups on a living core: one alert for several subjects of a place; and a rule that another one implies."""

from __future__ import annotations

import pytest
from rules.asking import HEALTH, rule

from gateway.events import DeviceHealth, Health, Press, PressKind, Quality
from gateway.instant import DAY, HOUR, MINUTE, SECOND
from gateway.rules.compound import FactSpec, Subject

HOUSE = (
    *(
        Subject(f"smoke-{flat}", "smoke-detector", f"b1/s{flat[0]}/{flat}", (), {"smoke": FactSpec("", HOUR)} | HEALTH)
        for flat in ("101", "102", "201")
    ),
    *(Subject(f"sos-{flat}", "button", f"b1/s{flat[0]}/{flat}", (), dict(HEALTH)) for flat in ("101", "102")),
)


def two(when: str, **more: str) -> str:
    return rule(when, "[smoke-detector, button]", **more)


def test_one_alert_for_each_stair(make):
    core = make(two("{ point: smoke, is: true }", by="stair"), subjects=HOUSE, outputs=())
    core.read("smoke-101", "smoke", True, 0)
    core.read("smoke-102", "smoke", True, 1)
    core.read("smoke-201", "smoke", True, 2)
    alerts = core.engine.alerts()
    assert [(a.subject, a.place) for a in alerts] == [("b1/s1", "b1/s1"), ("b1/s2", "b1/s2")]
    assert [w.of for w in alerts[0].why] == ["smoke-101", "smoke-102"]
    core.read("smoke-101", "smoke", False, 3)
    assert "returned" not in core.said("r")
    core.read("smoke-102", "smoke", False, 4)
    assert core.said("r")[-1] == "returned"


def test_two_detectors_of_a_stair_at_once(make):
    core = make(
        rule("{ count: { point: smoke, is: true }, at_least: 2, of: subjects }", "smoke-detector", by="stair"),
        subjects=HOUSE,
        outputs=(),
    )
    core.read("smoke-101", "smoke", True, 0)
    core.read("smoke-201", "smoke", True, 0)
    assert core.said("r") == []
    core.read("smoke-102", "smoke", True, DAY // 48)
    assert core.said("r")[0] == "raised"
    assert {w.of for w in core.alert("r").why} == {"", "smoke-101", "smoke-102"}


def test_two_flats_of_a_building_within_a_time(make):
    core = make(
        rule("{ count: { press: any }, at_least: 2, of: subjects, within: 5min }", "button", by="building"),
        subjects=HOUSE,
        outputs=(),
    )
    for at in (0, 1, 2):
        core.give(Press("sos-101", PressKind.SINGLE), at)
    assert core.said("r") == []
    core.give(Press("sos-102", PressKind.SINGLE), 5 * MINUTE)
    assert core.said("r")[0] == "raised"


def test_a_press_is_of_the_button_that_was_pressed_and_of_no_neighbour(make):
    core = make(rule("{ press: any }", "button", by="stair"), subjects=HOUSE, outputs=())
    core.give(Press("sos-102", PressKind.SINGLE), 0)
    assert (core.alert("r").subject, [why.of for why in core.alert("r").why]) == ("b1/s1", ["sos-102"])


def test_different_devices_of_one_flat_say_it_together(make):
    core = make(
        two("{ sequence: [ { press: any }, { point: smoke, is: true } ], within: 1min }", by="flat"),
        subjects=HOUSE,
        outputs=(),
    )
    core.give(Press("sos-101", PressKind.SINGLE), 0)
    core.read("smoke-102", "smoke", True, 1)
    assert core.said("r") == []
    core.read("smoke-101", "smoke", True, 2)
    assert core.said("r")[0] == "raised"
    assert core.alert("r").subject == "b1/s1/101"


def test_a_stale_member_keeps_the_alert_of_its_place(make):
    core = make(two("{ point: smoke, is: true }", by="stair"), subjects=HOUSE, outputs=())
    core.read("smoke-101", "smoke", True, 0)
    core.read("smoke-102", "smoke", False, 0)
    core.read("smoke-101", "smoke", None, 1, Quality.COMMS)
    assert "returned" not in core.said("r")
    core.read("smoke-101", "smoke", False, 2)
    assert core.said("r")[-1] == "returned"


# What another rule says already --------------------------------------------------------------------

LEVELS = """
- rule: high
  subjects: { kind: gas-detector }
  when: { point: gas, above: 20 %LEL, deadband: 4 %LEL }
  priority: critical
  grade: big
- rule: low
  subjects: { kind: gas-detector }
  when: { point: gas, above: 10 %LEL, deadband: 3 %LEL }
  implied_by: high
  priority: high
  grade: small
"""


def test_the_lesser_alert_is_not_raised_beside_the_greater(make):
    core = make(LEVELS)
    core.read("gas", "gas", 25.0, 0)
    assert (core.said("high")[0], core.said("low")) == ("raised", [])
    core.read("gas", "gas", 12.0, 1)
    assert (core.said("high")[-1], core.said("low")[0]) == ("returned", "raised")


def test_the_lesser_alert_that_stands_stays(make):
    core = make(LEVELS)
    core.read("gas", "gas", 12.0, 0)
    core.read("gas", "gas", 25.0, 1)
    assert core.said("low")[0] == "raised"
    assert "returned" not in core.said("low")
    core.give(DeviceHealth("gas", Health.LOST), 2)


STAIR_GAS = """
- rule: stair-gas
  subjects: { kind: gas-detector }
  by: stair
  when: { any: [ { point: gas_high_alarm, is: true }, { point: gas, above: 20 %LEL, deadband: 4 %LEL } ] }
  confirm: reread
  priority: critical
  grade: big
"""


@pytest.fixture
def stair(make, subjects):
    """A stair with two gas detectors, both quiet."""
    facts = {"gas": FactSpec("%LEL"), "gas_high_alarm": FactSpec()} | HEALTH
    second = Subject("gas2", "gas-detector", "b1/s1/302", (), facts, "bus-line")
    core = make(STAIR_GAS, subjects=(*subjects, second))
    for device in ("gas", "gas2"):
        core.read(device, "gas", 0.0)
        core.read(device, "gas_high_alarm", False)
    return core


def test_a_quiet_neighbour_refutes_no_detector_that_fell_silent(stair):
    stair.read("gas", "gas", 60.0, SECOND)
    assert [(asked.device, asked.point) for asked in stair.rereads()] == [("gas", "gas")]
    stair.read("gas", "gas", None, SECOND + 100, Quality.COMMS)
    stair.read("gas2", "gas", 0.5, SECOND + 200)
    stair.wait(3 * SECOND)
    assert stair.said("stair-gas") == ["raised", "told"]


def test_a_neighbour_bears_out_no_spike(stair):
    stair.read("gas", "gas", 60.0, SECOND)
    stair.read("gas2", "gas", 0.5, SECOND + 100)
    stair.read("gas", "gas", 0.0, SECOND + 200)
    stair.wait(HOUR)
    assert stair.said("stair-gas") == []


def test_a_spike_refuted_is_none_of_the_neighbours_number(stair):
    stair.read("gas", "gas", 60.0, SECOND)
    stair.read("gas2", "gas", 60.0, SECOND + 100)
    stair.read("gas", "gas", 0.0, SECOND + 200)
    assert stair.said("stair-gas") == [], "one number of the neighbour, that nothing has borne out yet"
    stair.wait(3 * SECOND)
    assert stair.said("stair-gas") == ["raised", "told"]


def test_a_detector_of_a_place_bears_out_its_own_number(stair):
    stair.read("gas", "gas", 60.0, SECOND)
    stair.read("gas", "gas", 61.0, SECOND + 100)
    assert stair.said("stair-gas") == ["raised", "told"]


def test_a_detector_of_a_place_refutes_its_own_number_whatever_its_neighbour_does(stair):
    stair.read("gas2", "gas", None, SECOND, Quality.COMMS)
    stair.read("gas", "gas", 60.0, SECOND)
    stair.read("gas", "gas", 0.0, SECOND + 100)
    stair.wait(HOUR)
    assert stair.said("stair-gas") == []


@pytest.fixture
def found(stair):
    """Gas at one detector of the stair, of which somebody takes care."""
    stair.read("gas", "gas", 25.0, SECOND)
    stair.read("gas", "gas", 25.0)
    stair.ask("ack", "stair-gas", MINUTE, on_site=True)
    return stair.forget()


def test_gas_at_a_second_detector_of_the_place_is_news_whoever_has_more(found):
    """Was: only one beyond the worst by a step. Whoever came for the one flat never learnt of the other."""
    found.read("gas2", "gas", 21.0, 2 * MINUTE)
    assert found.said("stair-gas") == ["re-alarmed", "told"]
    assert {reason.of for reason in found.alert("stair-gas").why} == {"gas", "gas2"}


def test_it_is_news_once_however_it_swings_and_only_beyond_its_own_limit(found):
    found.read("gas2", "gas", 17.0, 2 * MINUTE)
    assert found.said("stair-gas") == [], "beyond the limit of return alone"
    for minute, value in enumerate((21.0, 17.0, 21.0, 5.0, 22.0, 17.0, 23.0), 3):
        found.read("gas2", "gas", value, minute * MINUTE)
        found.die()
    assert found.said("stair-gas").count("re-alarmed") == 1
    found.ask("ack", "stair-gas", 20 * MINUTE, on_site=True)
    found.forget().read("gas2", "gas", 24.0)
    assert found.said("stair-gas") == []
    found.read("gas2", "gas_high_alarm", True)
    assert found.said("stair-gas") == ["re-alarmed", "told"]


def test_in_a_test_it_is_none(found):
    found.read("gas2", "gas", 0.0, 2 * MINUTE, Quality.UNDER_TEST)
    found.read("gas2", "gas", 60.0, 3 * MINUTE, Quality.UNDER_TEST)
    assert found.said("stair-gas") == []
    found.read("gas2", "gas", 60.0, 4 * MINUTE)
    assert found.said("stair-gas") == ["re-alarmed", "told"]
