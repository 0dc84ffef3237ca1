"""What comes and goes while people are called for it already: nobody is called for each swing, and nothing worse is unheard."""

import msgspec
import pytest

from gateway.alerts import Rung
from gateway.events import Quality
from gateway.instant import MINUTE, SECOND

STAIR = """
- rule: stair
  subjects: { kind: smoke-detector }
  by: stair
  when: { point: smoke, is: true }
  priority: critical
  grade: big
  latch: true
"""


@pytest.fixture
def leak(core):
    """Gas of which everybody was told within three minutes, and nobody has answered."""
    core.read("gas", "gas_high_alarm", False, 0)
    core.gas(22.0, SECOND)
    core.wait(10 * MINUTE)
    return core.forget()


def test_a_value_that_swings_about_its_limit_is_one_call(leak):
    """Was: 19 tellings in half an hour, and each 33 %LEL was worse than the 22 before it."""
    for minute in range(11, 41):
        leak.read("gas", "gas", (10.0, 22.0, 33.0)[minute % 3], minute * MINUTE)
    said = leak.said("gas-high")
    assert (said.count("re-alarmed"), said.count("told")) == (10, 6), (
        "once worse, nine times back; three climbs of two calls"
    )


def test_what_comes_back_unanswered_is_called_for_again_when_the_time_to_answer_is_over(leak):
    leak.read("gas", "gas", 10.0, 11 * MINUTE)
    leak.gas(22.0, 12 * MINUTE)
    assert leak.said("gas-high") == ["returned", "re-alarmed"]
    leak.die()
    leak.wait(14 * MINUTE)
    assert (leak.said("gas-high")[2:], leak.told("gas-high")[-1]) == (["told"], ("street", 13 * 60 + 1))


def test_what_comes_back_worse_or_late_is_called_for_at_once(leak):
    leak.read("gas", "gas", 10.0, 11 * MINUTE)
    leak.gas(45.0, 12 * MINUTE)
    assert leak.said("gas-high") == ["returned", "re-alarmed", "told"]
    leak.read("gas", "gas", 10.0, 20 * MINUTE)
    leak.forget().gas(22.0, 50 * MINUTE)
    assert leak.said("gas-high") == ["re-alarmed", "told"]
    leak.read("gas", "gas", 33.0)
    assert leak.said("gas-high") == ["re-alarmed", "told", "re-alarmed"], "that was another occasion"


def test_what_worsens_while_a_call_waits_does_not_wait(leak):
    leak.read("gas", "gas", 10.0, 11 * MINUTE)
    leak.gas(22.0, 12 * MINUTE)
    leak.forget().read("gas", "gas", 45.0, 12 * MINUTE + 30 * SECOND)
    assert (leak.said("gas-high"), leak.told("gas-high")[-1]) == (["re-alarmed", "told"], ("street", 750))


def test_after_an_answer_a_comeback_begins_a_new_worst(leak):
    leak.read("gas", "gas", 60.0, 11 * MINUTE)
    leak.ask("ack", "gas-high", on_site=True)
    leak.read("gas", "gas", 10.0, 12 * MINUTE)
    leak.forget().gas(22.0, 13 * MINUTE)
    leak.read("gas", "gas", 33.0, 14 * MINUTE)
    assert leak.said("gas-high") == ["re-alarmed", "told", "re-alarmed"]


def test_how_bad_it_was_in_a_test_is_no_measure_for_what_is_real(core):
    core.read("gas", "gas_high_alarm", False, 0)
    core.read("gas", "gas", 0.0, SECOND, Quality.UNDER_TEST)
    core.gas(60.0, MINUTE, Quality.UNDER_TEST)
    core.read("gas", "gas", 0.0, 2 * MINUTE)
    core.forget().gas(22.0, 3 * MINUTE)
    core.read("gas", "gas", 45.0, 4 * MINUTE)
    assert [change.change.reason for change in core.changes if change.change.reason][::2] == ["test_over", "worsened"]


@pytest.mark.parametrize("back", [False, True])
def test_of_a_place_with_many_detectors_each_is_news_once(make, subjects, back):
    """Was: of the ninth it was forgotten that it had said so, and then it was news again, in each round."""
    smoke = next(one for one in subjects if one.id == "smoke")
    stair = tuple(msgspec.structs.replace(smoke, id=f"s{n}") for n in range(12))
    core = make(STAIR, subjects=(*(one for one in subjects if one.id != "smoke"), *stair))
    for one in stair:
        core.read(one.id, "smoke", False, 0)
    core.read("s11", "smoke", True, MINUTE)
    for round_ in range(5):
        core.forget()
        if back:
            core.die()
        for n in range(10):
            at = MINUTE + (round_ * 10 + n + 1) * 20 * SECOND
            core.read(f"s{n}", "smoke", True, at)
            core.read(f"s{n}", "smoke", False, at + 10 * SECOND)
        assert core.said("stair").count("re-alarmed") == (0 if round_ else 10)


def test_a_shelf_that_ends_by_worsening_is_one_call(make):
    """Was: unshelved, told, re-alarmed and told in one instant, where the climb ends with the first rung."""
    core = make(people={Rung.BUILDING: {"b1": ("head",)}})
    core.read("gas", "gas_high_alarm", False, 0)
    core.gas(22.0, SECOND)
    core.ask("shelve", "gas-high", 11 * MINUTE, for_ms=20 * MINUTE, reason="repair")
    core.forget().read("gas", "gas", 45.0, 12 * MINUTE)
    assert core.said("gas-high") == ["unshelved", "re-alarmed", "told"]


def test_a_shelf_that_ends_by_a_comeback_is_one_call_and_one_at_once(make):
    core = make(people={Rung.BUILDING: {"b1": ("head",)}})
    core.read("smoke", "smoke", True, SECOND)
    core.ask("shelve", "smoke", MINUTE, for_ms=20 * MINUTE, reason="repair")
    core.read("smoke", "smoke", False, 2 * MINUTE)
    core.forget().read("smoke", "smoke", True, 3 * MINUTE)
    assert core.said("smoke") == ["unshelved", "re-alarmed", "told"]


def test_an_answer_before_the_second_climb_does_not_send_the_matter_back_to_the_foot_of_the_ladder(leak):
    leak.read("gas", "gas", 10.0, 11 * MINUTE)
    leak.gas(22.0, 12 * MINUTE)
    leak.ask("ack", "gas-high", at=12 * MINUTE + 30 * SECOND)
    leak.forget().wait(23 * MINUTE)
    assert leak.said("gas-high") == ["told"], "nobody came: those who can do most are called again"
    assert leak.told("gas-high")[-1] == ("district", 22 * 60 + 30)


def test_nor_does_one_that_is_given_from_a_shelf_while_the_second_climb_would_have_begun(leak):
    leak.read("gas", "gas", 10.0, 11 * MINUTE)
    leak.gas(22.0, 12 * MINUTE)
    leak.ask("shelve", "gas-high", at=12 * MINUTE + 30 * SECOND, for_ms=20 * MINUTE, reason="repair")
    leak.ask("ack", "gas-high", at=14 * MINUTE)
    leak.ask("unshelve", "gas-high", at=15 * MINUTE)
    leak.forget().wait(26 * MINUTE)
    assert leak.told("gas-high")[-1] == ("district", 25 * 60)
