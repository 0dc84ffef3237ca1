"""A site file that says another place of a device whose alert is open: people must not go to the wrong door."""

from __future__ import annotations

import msgspec
import pytest

from gateway.alerts import Rung
from gateway.events import Quality, SiteLoaded
from gateway.instant import MINUTE, SECOND
from gateway.rules.compound import OutputSpec

OUTPUTS = (
    OutputSpec("valve-301", "valve", "b1/s1/301", ("b1/s1/301",)),
    OutputSpec("valve-9", "valve", "b2/s1/9", ("b2/s1/9",)),
)


@pytest.fixture
def leak(make, people):
    """Gas in flat 301 of building 1, on a site that knows a head of building 2, too."""
    known = people | {Rung.BUILDING: {"b1": ("head",), "b2": ("head-2",)}}
    core = make(people=known, outputs=OUTPUTS)
    core.read("gas", "gas_high_alarm", False, 0)
    core.gas(30.0, SECOND)
    return core.forget()


def correct(core, place, *, how="reload", device="gas"):
    """The site file says another place of it."""
    subjects = {
        name: msgspec.structs.replace(s, place=place) if name == device else s
        for name, s in core.compound.subjects.items()
    }
    compound = msgspec.structs.replace(core.compound, subjects=subjects)
    if how == "reload":
        core.die(compound)
        core.give(SiteLoaded("f"))
    else:
        core.restart(after=SECOND, compound=compound)
    return core


@pytest.mark.parametrize("how", ["reload", "restart"])
@pytest.mark.parametrize("answered", [False, True])
def test_an_open_alert_goes_with_its_device_and_calls_whom_it_concerns_there(leak, how, answered):
    """Was: it kept the flat that was corrected, and its valve stayed open."""
    if answered:
        leak.ask("ack", "gas-high", 2 * MINUTE, on_site=True)
        leak.forget()
    before = leak.alert("gas-high")
    correct(leak, "b2/s1/9", how=how)
    alert = leak.alert("gas-high")
    assert leak.said("gas-high") == ["re-alarmed", "told"]
    assert leak.changes[0].change.reason == "moved"
    assert (alert.id, alert.place, alert.response) == (before.id, "b2/s1/9", "unanswered")
    assert ("building", ("head-2",)) in [(t.rung, t.people) for t in alert.told]
    assert leak.output("valve-9") == "shut"
    assert correct(leak.forget(), "b2/s1/9", how=how).said() == []


@pytest.mark.parametrize("place", ["b1/s1", "b1/s1/301/kitchen"])
def test_who_is_near_enough_is_told_and_called_out_no_second_time(leak, place):
    leak.ask("ack", "gas-high", 2 * MINUTE, on_site=True)
    correct(leak.forget(), place)
    assert (leak.said("gas-high"), leak.changes[0].change.reason) == (["regraded"], "moved")
    assert (leak.alert("gas-high").place, leak.alert("gas-high").response) == (place, "acknowledged")


@pytest.mark.parametrize(("place", "said"), [("b1/s2/9", ["regraded"]), ("b2/s1/9", ["re-alarmed", "told"])])
def test_who_need_not_run_is_called_for_a_correction_only_where_others_stand(leak, place, said):
    """Was: whoever put a stair's flats right rang up its head once for each battery there that was low."""
    leak.health("smoke", "faulty", MINUTE)
    leak.wait(2 * MINUTE)
    leak.ask("ack", "lost", 3 * MINUTE, who="head")
    correct(leak.forget(), place, device="smoke")
    assert (leak.said("lost"), leak.changes[0].change.reason) == (said, "moved")
    alert = leak.alert("lost")
    assert (alert.place, alert.response) == (place, "acknowledged" if said == ["regraded"] else "unanswered")


def test_what_has_gone_or_is_shelved_moves_without_a_call(leak):
    leak.read("gas", "gas", 0.0, MINUTE)
    assert leak.said("gas-high") == ["returned"]
    assert correct(leak.forget(), "b2/s1/9").said("gas-high") == ["regraded"]
    leak.gas(30.0, 2 * MINUTE)
    leak.ask("shelve", "gas-high", for_ms=MINUTE, reason="x")
    assert correct(leak.forget(), "b1/s1/301").said("gas-high") == ["regraded"]
    leak.wait(4 * MINUTE)
    assert leak.said("gas-high") == ["regraded", "unshelved", "told"]
    assert ("building", ("head",)) in [(t.rung, t.people) for t in leak.alert("gas-high").told if t.at >= 3 * MINUTE]


@pytest.mark.parametrize("on_site", [True, False])
def test_who_answered_at_the_old_place_is_not_waited_for_at_the_new_one_when_a_shelf_ends(leak, on_site):
    """Was: the shelf hid that it moved, and nobody was ever called to the building in which the gas was."""
    leak.ask("ack", "gas-high", MINUTE, who="head", on_site=on_site)
    leak.ask("shelve", "gas-high", 2 * MINUTE, for_ms=20 * MINUTE, reason="x")
    correct(leak.forget(), "b2/s1/9").wait(30 * MINUTE)
    assert leak.said("gas-high") == ["regraded", "unshelved", "re-alarmed", "told", "told"]
    assert leak.changes[2].change.reason == "moved"
    assert ("building", ("head-2",)) in [(t.rung, t.people) for t in leak.alert("gas-high").told]


def test_nor_is_anybody_called_again_who_was_there_when_it_came_back_to_its_place_on_the_shelf(leak):
    leak.ask("ack", "gas-high", MINUTE, who="head", on_site=True)
    leak.ask("shelve", "gas-high", 2 * MINUTE, for_ms=20 * MINUTE, reason="x")
    correct(correct(leak.forget(), "b2/s1/9"), "b1/s1/301").wait(30 * MINUTE)
    assert leak.said("gas-high") == ["regraded", "regraded", "unshelved"]


@pytest.mark.parametrize("minutes", [1, 5], ids=["climbing", "at the top"])
def test_what_comes_back_elsewhere_while_people_are_called_calls_those_who_are_there(leak, minutes):
    """Was: the climb of the old place went on, and the head of the new building was told by nobody."""
    leak.gas(0.0, 10 * SECOND)
    correct(leak.forget(), "b2/s1/9").wait(minutes * MINUTE)
    leak.forget().gas(30.0)
    assert leak.said("gas-high") == ["re-alarmed", "told"]
    assert ("building", ("head-2",)) in [(t.rung, t.people) for t in leak.alert("gas-high").told]


def test_two_edits_of_which_each_moves_it_a_little_call_people_to_where_it_is(leak):
    """Was: the first named the stair, the second another flat there, each was near enough, and who ran stood at the first door."""
    correct(correct(leak, "b1/s1"), "b1/s1/999")
    assert leak.said("gas-high") == ["regraded", "re-alarmed", "told"]
    assert leak.alert("gas-high").place == "b1/s1/999"


def test_a_drill_stays_one_elsewhere(core):
    core.read("smoke", "smoke", False, SECOND, Quality.UNDER_TEST)
    core.read("smoke", "smoke", True, MINUTE, Quality.UNDER_TEST)
    correct(core.forget(), "b2/s1/9", device="smoke")
    assert (core.said("smoke"), core.alert("smoke").drill) == (["regraded"], True)


def test_a_crowd_is_counted_where_its_alerts_are(leak):
    correct(leak, "b2/s1/9")
    assert [p.change.alike for p in leak.changes] == [1, 1]
    assert {key[1]: len(ids) for key, ids in leak.engine.register._crowds.items()} == {"b2": 1}


def test_an_alert_about_a_place_and_a_test_of_the_chain_stay_where_they_are(make, rules_text):
    core = make(
        rules_text.replace("subjects: { kind: water-detector }", "subjects: { kind: water-detector }\n  by: stair")
    )
    core.read("water", "water", True, SECOND)
    core.ask("test", "-", 2 * SECOND, alert=None, target="gas")
    for device in ("gas", "water"):
        correct(core, "b1/s1/309", device=device)
    assert {(a.rule, a.place) for a in core.engine.alerts()} == {("water", "b1/s1"), ("chain-test", "b1/s1/301")}


@pytest.mark.parametrize("downtime", [10 * MINUTE, None])
def test_a_climb_that_fell_due_while_nobody_ran_calls_nobody_to_the_old_place(leak, downtime):
    """Was: the old building's ladder was climbed first, and then the new one's."""
    subjects = {
        name: msgspec.structs.replace(s, place="b2/s1/9") if name == "gas" else s
        for name, s in leak.compound.subjects.items()
    }
    leak.forget().restart(after=downtime, compound=msgspec.structs.replace(leak.compound, subjects=subjects))
    assert leak.said("gas-high") == ["re-alarmed", "told"]
    assert {p.change.alert.place for p in leak.changes} == {"b2/s1/9"}
    leak.wait(leak.at + 3 * MINUTE)
    assert leak.said("gas-high") == ["re-alarmed", "told", "told"], "the district, three minutes after"


@pytest.mark.parametrize("downtime", [10 * MINUTE, None])
@pytest.mark.parametrize("hidden", ["shelved", "gone"])
def test_nor_does_what_was_out_of_sight_when_it_moved(leak, hidden, downtime):
    """Was: a shelf that ended while nobody ran called people to the old place, and the site file then to the new one."""
    if hidden == "shelved":
        leak.ask("shelve", "gas-high", for_ms=5 * MINUTE, reason="x")
    else:
        leak.gas(0.0, 10 * SECOND)
    place = {
        name: msgspec.structs.replace(s, place="b2/s1/9") if name == "gas" else s
        for name, s in leak.compound.subjects.items()
    }
    leak.forget().restart(after=downtime, compound=msgspec.structs.replace(leak.compound, subjects=place))
    leak.wait(leak.at + 10 * MINUTE)
    assert {p.change.alert.place for p in leak.changes} == {"b2/s1/9"}
    assert leak.said("gas-high")[0] == "regraded"
    told = [p.change.at for p in leak.changes]
    assert told == sorted(told), "its history has one order"


def test_nor_does_one_of_an_alert_that_is_withdrawn_call_anybody(leak, house):
    """Was: the next rung was told of a detector that the site file had no more, and in the same moment that it was nothing."""
    other = (msgspec.structs.replace(s, id="gas-2") if s.id == "gas" else s for s in leak.compound.subjects.values())
    leak.forget().restart(after=10 * MINUTE, compound=house(subjects=tuple(other)))
    assert leak.said("gas-high") == ["closed"]


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_nobody_is_called_to_the_new_place_for_an_alert_whose_rule_is_gone(leak, how):
    """Was: it was told anew there, and was withdrawn only when a site file was loaded the next time."""
    rules = {name: rule for name, rule in leak.compound.rules.items() if name != "gas-high"}
    subjects = {
        name: msgspec.structs.replace(s, place="b2/s1/9") if name == "gas" else s
        for name, s in leak.compound.subjects.items()
    }
    compound = msgspec.structs.replace(leak.compound, subjects=subjects, rules=rules)
    leak.forget()
    if how == "reload":
        leak.die(compound)
        leak.give(SiteLoaded("f"))
    else:
        leak.restart(after=SECOND, compound=compound)
    assert leak.said("gas-high") == ["closed"]
