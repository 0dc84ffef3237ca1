"""Watches and alerts that lost each other: by a damaged row, by a run without its disk, by a rule that became another's kind."""

import msgspec
import pytest

from gateway.events import Quality, SiteLoaded
from gateway.instant import DAY, HOUR, MINUTE, SECOND
from gateway.rules.bare import bare
from gateway.rules.compound import Subject
from gateway.rules.engine import Engine
from gateway.rules.ledger import Row
from gateway.rules.moved import MOVABLE

STATE = """
- rule: fire
  subjects: { kind: terminal }
  when: { door: opened }
  priority: critical
  grade: big
"""
EVENT = STATE.replace("{ door: opened }", "{ entry: access.denied }")


def restored(core, rows, *, compound=None):
    """The core begins anew from these rows, half a minute later."""
    core.compound = compound or core.compound
    core.engine = Engine(core.compound)
    core.engine.restore(rows)
    core.run += 1
    core.forget().boot(core.at + 30 * SECOND, downtime=30 * SECOND)
    return core


def damaged(core):
    """The same rows, of which those of the alerts cannot be read any more."""
    return [
        msgspec.structs.replace(row, body=b"\x01") if row.kind == "alert" else row for row in core.engine.snapshot()
    ]


def laid_over(make, core, happens):
    """What the disk holds, and over it what a run that never saw it kept."""
    late = make(boot=False)
    late.run = 50
    late.boot(SECOND, downtime=None)
    happens(late)
    rows = {(row.kind, row.key): row for row in core.engine.snapshot()}
    kept = {key: Row(*key, body) for key, body in late.rows.items() if key[0] in MOVABLE}
    return list((rows | kept).values()), late


def quiet(core, at=None):
    core.read("gas", "gas", 0.0, at)
    core.read("gas", "gas_high_alarm", False)


# An alert whose row is lost


def test_a_danger_whose_alert_is_lost_is_raised_anew(core):
    core.read("smoke", "smoke", True, SECOND)
    restored(core, damaged(core))
    assert core.said("smoke") == ["raised", "told"]
    assert core.output("siren") == "on"
    core.forget().read("smoke", "smoke", False, MINUTE)
    assert core.said("smoke") == ["returned"]


def test_a_number_was_confirmed_when_the_lost_alert_was_raised(core):
    core.gas(60.0, SECOND)
    lost = core.alert("gas-high").id
    restored(core, damaged(core))
    assert core.said("gas-high") == ["raised", "told"]
    assert core.alert("gas-high").id != lost, "nobody knows what was told under that"


def test_a_danger_of_which_nothing_is_heard_any_more_is_raised_anew_too(core):
    core.read("smoke", "smoke", True, SECOND)
    core.read("smoke", "smoke", None, MINUTE, Quality.COMMS)
    restored(core, damaged(core))
    assert core.said("smoke") == ["raised", "told"]
    core.forget().read("smoke", "smoke", False, MINUTE)
    assert core.said("smoke") == ["returned"]


def test_of_an_alert_that_is_lost_and_a_danger_that_is_gone_nothing_is_left(core):
    core.read("water", "water", True, SECOND)
    rows = damaged(core)
    core.read("water", "water", False, 2 * SECOND)
    rows = [row for row in rows if row.kind != "fact"] + [row for row in core.engine.snapshot() if row.kind == "fact"]
    restored(core, rows)
    assert core.said("water") == []
    core.read("water", "water", True, HOUR)
    assert core.said("water") == ["raised", "told"]


# An alert without a watch


def test_an_alert_of_a_run_without_its_disk_ends_when_the_danger_does(make):
    core = make()
    quiet(core)
    core.wait(10 * DAY)
    rows, _ = laid_over(make, core, lambda late: late.read("gas", "gas_high_alarm", True, 7 * SECOND))
    restored(core, rows)
    assert [a.condition for a in core.engine.alerts() if a.rule == "gas-high"] == ["active"], (
        "the disk's facts are older"
    )
    quiet(core, core.at + SECOND)
    assert core.said("gas-high")[-1] == "returned"
    assert core.ask("ack", "gas-high", on_site=True) == "done"
    assert core.ask("reset", "gas-high") == "done"
    assert not [a for a in core.engine.alerts() if a.rule == "gas-high"]


def test_an_alert_of_a_run_without_its_disk_goes_on_while_the_danger_lasts(make):
    core = make()
    quiet(core)
    core.wait(10 * DAY)
    rows, late = laid_over(make, core, lambda late: late.read("gas", "gas_high_alarm", True, 7 * SECOND))
    restored(core, rows)
    core.read("gas", "gas_high_alarm", True, core.at + SECOND)
    assert {"raised", "returned", "re-alarmed"}.isdisjoint(core.said("gas-high"))
    assert core.alert("gas-high").id == late.alert("gas-high").id
    core.read("gas", "gas", 60.0, core.at + SECOND)
    assert 60.0 in [reason.value for reason in core.alert("gas-high").why], "and its watch follows it"


# Two alerts for one rule and subject


def test_of_two_alerts_the_disks_own_stays_and_the_other_is_withdrawn(make):
    core = make()
    core.read("gas", "gas_high_alarm", True, 10 * DAY)
    own = core.alert("gas-high").id
    rows, late = laid_over(make, core, lambda late: late.read("gas", "gas_high_alarm", True, 7 * SECOND))
    restored(core, rows)
    closed = [p.change for p in core.changes if p.change.kind == "closed"]
    assert [(c.alert.id, c.alert.closed_as, c.reason) for c in closed] == [
        (late.alert("gas-high").id, "withdrawn", "one_stands")
    ]
    assert [(a.id, a.occurrences) for a in core.engine.alerts() if a.rule == "gas-high"] == [(own, 2)]
    assert "re-alarmed" not in core.said("gas-high"), "it was active all the time"
    assert core.notes() == ["repeated"]
    quiet(core, core.at + MINUTE)
    core.ask("ack", "gas-high", on_site=True)
    assert core.ask("reset", "gas-high") == "done"
    assert not [a for a in core.engine.alerts() if a.rule == "gas-high"]


def test_what_had_returned_alarms_again_by_what_came_without_the_disk(make):
    core = make()
    core.read("gas", "gas_high_alarm", True, 10 * DAY)
    quiet(core, 10 * DAY + MINUTE)
    core.ask("ack", "gas-high", on_site=True)
    rows, _ = laid_over(make, core, lambda late: late.read("gas", "gas_high_alarm", True, 7 * SECOND))
    restored(core, rows)
    assert core.said("gas-high")[:3] == ["closed", "re-alarmed", "told"]
    assert [a.condition for a in core.engine.alerts() if a.rule == "gas-high"] == ["active"]
    quiet(core, core.at + MINUTE)
    assert core.said("gas-high")[-1] == "returned"


@pytest.mark.parametrize(("answered", "said"), [(True, ["closed", "re-alarmed", "told"]), (False, ["closed"])])
def test_a_press_without_the_disk_is_a_press_on_the_open_alert(make, answered, said):
    core = make()
    core.press(10 * DAY, key="k1")
    own = core.alert("sos").id
    core.wait(10 * DAY + 5 * MINUTE)
    if answered:
        core.ask("ack", "sos", on_site=True)
    rows, _ = laid_over(make, core, lambda late: late.press(7 * SECOND, key="k2"))
    restored(core, rows)
    assert core.said("sos")[: len(said)] == said
    assert ("re-alarmed" in core.said("sos")) is answered
    assert [(a.id, a.response) for a in core.engine.alerts() if a.rule == "sos"] == [(own, "unanswered")]


def test_which_button_was_pressed_without_the_disk_is_known_of_the_alert_that_stays(make, subjects):
    """Was: dropped with the other alert, and nobody was called to where it hangs by the names of today."""
    others = tuple(s for s in subjects if s.kind != "button")

    def hung(first, second):
        places = {"button": ("b1/s1/301", first), "button-2": ("b1/s2/302", second)}
        return (*others, *(Subject(n, "button", p, (), subjects[3].facts, address=a) for n, (p, a) in places.items()))

    core = make(subjects=hung("A", "B"))
    core.press(10 * DAY, key="k1")
    rows, _ = laid_over(
        lambda **more: make(subjects=hung("B", "A"), **more), core, lambda late: late.press(7 * SECOND, key="k2")
    )
    restored(core, rows)
    assert {alert.subject for alert in core.engine.alerts() if alert.rule == "sos"} == {"button", "button-2"}


def test_of_three_alerts_each_message_says_one_thing(make):
    """Two runs in a row had no disk. What the first brings back is no older than what is recorded of the second."""
    core = make()
    core.press(10 * DAY, key="k1")
    core.ask("ack", "sos", on_site=True)
    first, _ = laid_over(make, core, lambda late: late.press(7 * SECOND, key="k2"))
    second, _ = laid_over(make, core, lambda late: late.press(8 * SECOND, key="k3"))
    rows = {(row.kind, row.key): row for row in (*first, *second)}
    restored(core, list(rows.values()))
    (own,) = [alert for alert in core.engine.alerts() if alert.rule == "sos"]
    assert own.response == "unanswered"
    sent = [(p.change.alert.id, p.change.alert.revision) for p in core.changes]
    assert len(sent) == len(set(sent))


def test_a_press_that_was_answered_without_the_disk_calls_nobody_anew(make):
    def answered(late):
        late.press(7 * SECOND, key="k2")
        assert late.ask("ack", "sos", on_site=True) == "done"

    core = make()
    core.press(10 * DAY, key="k1")
    core.ask("ack", "sos", on_site=True)
    rows, _ = laid_over(make, core, answered)
    restored(core, rows)
    assert "re-alarmed" not in core.said("sos")


def test_what_came_and_went_without_the_disk_calls_nobody_anew(make):
    def came_and_went(late):
        late.read("gas", "gas_high_alarm", True, 7 * SECOND)
        quiet(late, MINUTE)

    core = make()
    settled(core)
    rows, _ = laid_over(make, core, came_and_went)
    restored(core, rows)
    assert "re-alarmed" not in core.said("gas-high")


@pytest.mark.parametrize(
    ("rule", "point", "shelf"), [("gas-high", "gas_high_alarm", "none"), ("water", "water", "shelved")]
)
def test_what_comes_back_without_the_disk_ends_a_shelf_where_a_life_is_at_stake(make, rule, point, shelf):
    device = rule.partition("-")[0]
    core = make()
    core.read(device, point, True, 10 * DAY)
    assert core.ask("shelve", rule, for_ms=20 * MINUTE, reason="under repair") == "done"
    core.read(device, point, False, core.at + SECOND)
    quiet(core)
    rows, _ = laid_over(make, core, lambda late: late.read(device, point, True, 7 * SECOND))
    restored(core, rows)
    (alert,) = [alert for alert in core.engine.alerts() if alert.rule == rule]
    assert (alert.condition.value, alert.suppression.value) == ("active", shelf)


# A rule that became one of an event


def test_an_alert_whose_rule_is_no_state_any_more_is_ended_by_a_person(make, house):
    core = make(STATE)
    core.entry("door.opened", "k1", SECOND, seq=1)
    core.restart(after=SECOND, compound=house(EVENT))
    core.entry("door.closed", "k2", MINUTE, seq=2)
    core.ask("ack", "fire", on_site=True)
    assert not [row for row in core.engine.snapshot() if row.kind == "watch"]
    core.entry("access.denied", "k3", HOUR, seq=3)
    assert core.said("fire")[-2:] == ["re-alarmed", "told"]
    core.ask("ack", "fire", on_site=True)
    assert core.ask("close", "fire") == "done"
    assert core.engine.alerts() == []


def test_an_alert_whose_rule_was_of_an_event_is_ended_by_a_person_too(make, house):
    core = make(EVENT)
    core.entry("access.denied", "k1", SECOND, seq=1)
    core.restart(after=SECOND, compound=house(STATE))
    core.entry("door.closed", "k2", MINUTE, seq=2)
    core.ask("ack", "fire", on_site=True)
    assert core.ask("close", "fire") == "done"
    assert core.engine.alerts() == []


# What stands of a subject that the site file has taken away meanwhile

NOT_QUIET = """
- rule: shut
  subjects: { kind: water-detector }
  when: { not: { point: water, is: false } }
  priority: high
  grade: small
"""


@pytest.mark.parametrize("alone", [False, True])
def test_a_start_outlives_a_lost_alert_whose_device_is_gone_too(make, house, subjects, alone):
    core = make(NOT_QUIET)
    core.read("water", "water", False, 0)
    core.read("water", "water", True, SECOND)
    assert core.said("shut") == ["raised", "told"]
    other = [msgspec.structs.replace(s, id="water-2") if s.id == "water" else s for s in subjects]
    gone = house(NOT_QUIET, subjects=other)
    restored(core, damaged(core), compound=bare(gone, {}) if alone else gone)
    assert core.engine.alerts() == []
    assert not [row for row in core.engine.snapshot() if row.kind == "watch"], "the site file disposes"


BY_STAIR = """
- rule: smoke
  subjects: { kind: smoke-detector }
  by: stair
  when: { point: smoke, is: true }
  priority: critical
  grade: big
  life_safety: true
"""


def test_a_lost_alert_of_what_is_kept_is_raised_by_the_whole_core(make, house):
    core = make(BY_STAIR)
    whole, shipped = core.compound, house(BY_STAIR.replace("  by: stair\n", "")).rules
    core.read("smoke", "smoke", True, SECOND)
    core.read("smoke", "smoke", None, MINUTE, Quality.COMMS)
    restored(core, damaged(core), compound=bare(whole, shipped))
    core.wait(core.at + MINUTE)
    core.forget().restart(after=SECOND, compound=whole)
    core.wait(core.at + MINUTE)
    assert ("smoke", "b1/s1", "active") in [(a.rule, a.subject, a.condition.value) for a in core.engine.alerts()]


# Where one of the two was said in a test


def settled(core):
    """A real alert, answered and gone, that waits for its reset."""
    quiet(core, 0)
    core.read("gas", "gas_high_alarm", True, SECOND)
    core.ask("ack", "gas-high", on_site=True)
    quiet(core, MINUTE)


def in_a_test(late):
    late.read("gas", "gas_high_alarm", True, SECOND, Quality.UNDER_TEST)
    assert late.alert("gas-high").drill


def test_a_drill_of_a_run_without_its_disk_calls_nobody_to_what_was_answered_and_has_gone(make):
    core = make()
    settled(core)
    rows, _ = laid_over(make, core, in_a_test)
    restored(core, rows)
    assert core.said("gas-high") == ["closed", "dated"]
    (own,) = core.engine.alerts()
    assert (own.drill, own.response.value, own.condition.value) == (False, "acknowledged", "normal")
    assert core.output("siren") == "off"
    core.read("gas", "gas_high_alarm", True, core.at + SECOND)
    assert core.said("gas-high")[2:4] == ["re-alarmed", "told"], "unless it goes on outside of any test"


# An alert of a run without its disk, about what cannot be asked again


def door_open(late):
    late.read("gate", "door", "opened", SECOND)
    late.wait(5 * MINUTE)
    assert late.said("door-open")[0] == "raised"


@pytest.fixture
def ajar(make):
    """The door stands open; the disk, older, says shut, and the terminal says nothing new."""
    core = make()
    core.read("gate", "door", "closed", 0)
    rows, _ = laid_over(make, core, door_open)
    restored(core, rows)
    return core


def test_it_does_not_return_by_what_the_disk_knew_before_it(ajar):
    ajar.wait(ajar.at + HOUR)
    ajar.restart(after=MINUTE)
    ajar.wait(ajar.at + HOUR)
    assert {"returned", "closed"}.isdisjoint(ajar.said("door-open"))
    (stands,) = [alert for alert in ajar.engine.alerts() if alert.rule == "door-open"]
    assert stands.condition.value == "active"


def test_a_person_ends_it(ajar):
    assert ajar.ask("close", "door-open", reason="looked") == "done"
    assert not [alert for alert in ajar.engine.alerts() if alert.rule == "door-open"]
    ajar.forget().read("gate", "door", "opened", ajar.at + MINUTE)
    ajar.wait(ajar.at + 5 * MINUTE)
    assert ajar.said("door-open")[:2] == ["raised", "told"]


def test_it_goes_on_by_what_is_said_of_it_anew_and_returns_by_that(ajar):
    ajar.forget().read("gate", "door", "opened", ajar.at + MINUTE)
    ajar.wait(ajar.at + 5 * MINUTE)
    assert "raised" not in ajar.said("door-open"), "it is the same alert"
    ajar.forget().read("gate", "door", "closed", ajar.at + MINUTE)
    assert ajar.said("door-open") == ["returned"]


def test_who_closes_what_goes_on_does_not_make_it_mute(ajar):
    ajar.read("gate", "door", "opened", ajar.at + MINUTE)
    ajar.wait(ajar.at + 5 * MINUTE)
    ajar.forget().ask("close", "door-open")
    ajar.wait(ajar.at + 5 * MINUTE)
    assert ajar.said("door-open")[:3] == ["closed", "raised", "told"]


def test_a_silence_of_a_button_that_the_disk_heard_later_waits_for_a_person_too(make):
    core = make()
    core.read("button", "heard", -60, 0)

    def falls_silent(late):
        late.wait(13 * HOUR)
        assert late.said("missing")[0] == "raised"

    rows, _ = laid_over(make, core, falls_silent)
    restored(core, rows)
    core.wait(core.at + HOUR)
    assert {"returned", "closed"}.isdisjoint(core.said("missing"))
    assert core.ask("close", "missing", reason="looked") == "done"


# A rule of a state that was one of an event for a while


@pytest.fixture
def edited(house):
    """``edited(core, rules)``: the site file says this from now on."""

    def edit(core, rules):
        core.forget().die(house(rules))
        core.give(SiteLoaded("f"))
        core.wait(core.at)
        return core

    return edit


@pytest.fixture(params=[False, True], ids=["unanswered", "answered"])
def open_door(request, make):
    core = make(STATE)
    core.entry("door.opened", "k1", SECOND, seq=1)
    if request.param:
        core.ask("ack", "fire", on_site=True)
    core.wait(MINUTE)
    return core


@pytest.mark.parametrize("delay", ["", "  on_delay: 1min\n"])
def test_what_stood_all_the_time_its_rule_waited_for_an_event_calls_nobody_anew(open_door, edited, delay):
    """Was: it *came back* when the rule was one of a state again, and called everybody who had answered or was called already."""
    edited(open_door, EVENT)
    open_door.wait(5 * MINUTE)
    edited(open_door, STATE + delay)
    open_door.wait(10 * MINUTE)
    assert "re-alarmed" not in open_door.said("fire")
    open_door.forget().entry("door.closed", "k2", 11 * MINUTE, seq=2)
    assert open_door.said("fire") == ["returned"]
    open_door.forget().entry("door.opened", "k3", 30 * MINUTE, seq=3)
    open_door.wait(32 * MINUTE)
    assert open_door.said("fire")[:2] == ["re-alarmed", "told"], "and its watch follows it"


def test_what_went_and_came_back_meanwhile_alarms_again(open_door, edited):
    edited(open_door, EVENT)
    open_door.entry("door.closed", "k2", 2 * MINUTE, seq=2)
    open_door.entry("door.opened", "k3", 3 * MINUTE, seq=3)
    assert edited(open_door, STATE).said("fire")[0] == "re-alarmed"


def test_a_state_that_an_event_has_told_nobody_of_alarms(make, edited):
    core = make(EVENT)
    core.entry("door.opened", "k1", SECOND, seq=1)
    core.entry("access.denied", "k2", MINUTE, seq=2)
    core.ask("ack", "fire", on_site=True)
    assert edited(core, STATE).said("fire") == ["re-alarmed", "told"]
