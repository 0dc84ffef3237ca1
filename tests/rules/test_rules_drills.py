"""A test of the chain that a person asks for: told as a drill, as far as was said, over by itself, and never in the way."""

import pytest

from gateway.actions import Publish, Reply, Want
from gateway.alerts import CHAIN_TEST, Rung
from gateway.events import Command, Quality, Verb
from gateway.instant import HOUR, MINUTE, SECOND


def ask(core, at=None, who="duty", command_id="", **more):
    """The verdict on a test."""
    return core.ask("test", "", at, who=who, command_id=command_id, alert=None, **more)


def test_it_is_raised_told_and_over_by_itself(core):
    assert ask(core, SECOND, target="b1", reason="weekly") == "done"
    test = core.alert(CHAIN_TEST)
    assert (test.drill, test.suppression.value, test.priority.value, test.place) == (
        True,
        "by_design",
        "critical",
        "b1",
    )
    assert core.told(CHAIN_TEST) == [("building", 1)], "no further than the lowest rung on which somebody stands"
    raised = core.changes[0].change
    assert (raised.kind.value, raised.who, raised.reason) == ("raised", "duty", "weekly")
    core.wait(10 * MINUTE + SECOND)
    over = core.changes[-1].change
    assert (over.kind.value, over.who, over.reason, over.at) == ("closed", None, "time_over", 10 * MINUTE + SECOND)
    assert (over.alert.closed_as, over.alert.answered_by) == ("resolved", None)
    assert core.engine.alerts() == []


def test_it_climbs_as_far_as_was_said_by_the_ladder_of_the_place(core):
    assert ask(core, 0, target="b1", priority="high", up_to="street", for_ms=HOUR) == "done"
    core.wait(HOUR - 1)
    assert core.told(CHAIN_TEST) == [("building", 0), ("grid", 0), ("community", 300), ("street", 900)]


def test_the_first_answer_stops_the_climb_and_the_result_is_kept(core):
    ask(core, 0, target="b1", priority="high", up_to="street", for_ms=HOUR)
    assert core.ask("ack", CHAIN_TEST, MINUTE, who="head") == "done"
    core.wait(HOUR)
    assert core.told(CHAIN_TEST) == [("building", 0), ("grid", 0)]
    assert (core.alert(CHAIN_TEST).answered_by, core.alert(CHAIN_TEST).closed_as) == ("head", "resolved")


def test_a_person_ends_it(core):
    ask(core, 0)
    assert core.ask("close", CHAIN_TEST, SECOND, who="head", reason="heard it") == "done"
    assert core.alert(CHAIN_TEST).closed_by == "head"
    core.forget().wait(HOUR)
    assert core.said() == []


@pytest.mark.parametrize(
    ("more", "verdict"),
    [
        ({"who": "head"}, "not_allowed"),
        ({"who": "nobody"}, "not_a_person"),
        ({"target": "b9"}, "no_such_target"),
        ({"target": "elder"}, "no_such_target"),
        ({"target": "b"}, "no_such_target"),
        ({"priority": "urgent"}, "no_such_priority"),
        ({"up_to": "roof"}, "out_of_reach"),
        ({"priority": "low", "up_to": "street"}, "out_of_reach"),
        ({"priority": "high", "up_to": "street"}, "out_of_reach"),
        ({"priority": "high", "up_to": "street", "for_ms": 15 * MINUTE + 1}, "done"),
        ({"for_ms": 0}, "needs_duration"),
        ({"for_ms": HOUR + 1}, "too_long"),
        ({"for_ms": HOUR}, "done"),
        ({"reason": "x" * 501}, "reason_too_long"),
        ({"target": "b1/s1"}, "done"),
        ({"target": "gas"}, "done"),
        ({"target": "garden"}, "done"),
        ({}, "done"),
    ],
)
def test_what_cannot_be_tested_is_refused_by_name(core, more, verdict):
    assert ask(core, SECOND, **more) == verdict
    assert len(core.engine.alerts()) == (verdict == "done")


def test_of_a_device_it_is_told_to_the_people_of_its_place(core):
    ask(core, SECOND, target="button")
    test = core.alert(CHAIN_TEST)
    assert (test.subject, test.place, test.told[0].people) == ("button", "b1/s1/301", ("head",))


@pytest.mark.parametrize(
    ("there", "more", "verdict"),
    [
        ([], {}, "out_of_reach"),
        ([Rung.COMMUNITY], {}, "done"),
        ([Rung.COMMUNITY], {"up_to": "community"}, "done"),
        ([Rung.COMMUNITY], {"up_to": "building"}, "out_of_reach"),
        ([Rung.COMMUNITY], {"up_to": "street"}, "out_of_reach"),
        ([Rung.DISTRICT], {}, "done"),
        ([Rung.DISTRICT], {"up_to": "district", "for_ms": 3 * MINUTE}, "out_of_reach"),
        ([Rung.DISTRICT], {"priority": "low"}, "out_of_reach"),
    ],
)
def test_what_tells_nobody_is_refused(make, people, there, more, verdict):
    core = make(people={rung: people[rung] for rung in there})
    assert ask(core, SECOND, **more) == verdict
    assert [bool(p.change.alert.told[-1].people) for p in core.changes if p.change.alert.told] == [True] * (
        verdict == "done"
    )


@pytest.mark.parametrize("named", ["", "garden"])
def test_the_whole_compound_is_named_by_nothing_or_as_its_alert_names_it(core, named):
    ask(core, SECOND, target=named)
    assert (core.alert(CHAIN_TEST).subject, core.alert(CHAIN_TEST).place) == ("garden", "")


def test_of_the_whole_compound_it_is_told_to_whoever_stands_for_all(core):
    ask(core, SECOND)
    test = core.alert(CHAIN_TEST)
    assert (test.subject, test.place) == ("garden", "")
    assert [(t.rung.value, t.people) for t in test.told] == [
        ("building", ()), ("grid", ()), ("community", ("community-1",)),
    ]  # fmt: skip


@pytest.mark.parametrize("answer", [[], ["ack"], ["shelve"]])
def test_while_a_real_critical_alert_is_open_nobody_tests(core, answer):
    core.press(SECOND)
    for verb in answer:
        core.ask(verb, "sos", for_ms=MINUTE, reason="x")
    assert ask(core, 2 * SECOND) == "real_alarm"
    core.ask("ack", "sos", 5 * MINUTE, on_site=True)
    core.ask("close", "sos")
    assert ask(core) == "done"


def test_what_is_not_critical_or_a_drill_keeps_nobody_from_testing(core):
    core.read("water", "water", True, SECOND)
    core.read("smoke", "smoke", True, 2 * SECOND, Quality.UNDER_TEST)
    assert core.alert("smoke").drill
    assert ask(core, 3 * SECOND) == "done"


def test_a_real_critical_alert_ends_it(core):
    ask(core, 0, target="b1", up_to="district", for_ms=HOUR)
    core.forget().press(SECOND)
    assert [(p.change.alert.rule, p.change.kind.value) for p in core.changes] == [
        ("sos", "raised"), (CHAIN_TEST, "closed"), ("sos", "told"),
    ]  # fmt: skip
    assert core.changes[1].change.reason == "real_alarm"


def test_the_date_of_a_real_one_that_is_over_does_not_end_it(make):
    core = make(offset=None)
    core.press(SECOND)
    core.ask("close", "sos", mistaken=True, reason="spoken to")
    assert ask(core, MINUTE, target="b1") == "done"
    core.synced(2 * MINUTE)
    assert "dated" in core.said("sos")
    assert "closed" not in core.said(CHAIN_TEST)


def test_of_a_silent_alert_no_test_tells(make, rules_text):
    """Was: `real_alarm` to whoever asked or watched the drill, at the door where somebody is under duress perhaps."""
    core = make(rules_text.replace("  when: { press: any }\n", "  when: { press: any }\n  silent: true\n"))
    ask(core, 0, for_ms=HOUR)
    core.press(SECOND)
    assert core.alert("sos").silent
    closed = next(p.change for p in core.changes if p.change.kind.value == "closed")
    assert (closed.alert.rule, closed.reason) == (CHAIN_TEST, "time_over")
    assert ask(core, 2 * SECOND) == "done"
    core.read("smoke", "smoke", True, 3 * SECOND)
    assert ask(core, 4 * SECOND) == "real_alarm"


def test_a_detectors_test_that_turns_real_ends_it(core):
    core.read("smoke", "smoke", True, 0, Quality.UNDER_TEST)
    ask(core, SECOND)
    core.read("smoke", "smoke", True, MINUTE)
    assert not core.alert("smoke").drill
    assert core.alert(CHAIN_TEST).closed_as == "resolved"


def test_one_at_a_time(core):
    assert ask(core, SECOND, target="b1") == "done"
    assert ask(core, 2 * SECOND) == "already_testing"


def test_it_is_not_shelved_for_from_a_shelf_it_would_come_back_as_an_alarm(core):
    ask(core, SECOND)
    assert core.ask("shelve", CHAIN_TEST, for_ms=MINUTE, reason="x") == "is_a_test"
    assert core.ask("silence", CHAIN_TEST) == "done"
    assert core.alert(CHAIN_TEST).drill


@pytest.mark.parametrize("target", ["", "b1", "b1/s1/301", "gas", "smoke", "button"])
def test_no_output_ever_hears_of_it(core, target):
    core.forget()
    ask(core, SECOND, target=target, up_to="district", for_ms=HOUR)
    core.ask("ack", CHAIN_TEST, MINUTE)
    core.wait(2 * HOUR)
    assert [a for a in core.actions if isinstance(a, Want)] == []


def test_the_same_order_again_gets_the_same_answer_and_no_second_test(core):
    order = Command("t1", "city", "duty", Verb.TEST, target="b1")
    first = core.give(order, SECOND)
    again = core.give(order, 2 * SECOND)
    (reply,) = [a for a in first.actions if isinstance(a, Reply)]
    assert again.actions == (reply,)
    assert reply.alert == core.alert(CHAIN_TEST).id
    core.ask("close", CHAIN_TEST, MINUTE)
    assert core.give(order).actions == (reply,), "nor after it was over"


def test_each_has_an_id_of_its_own(core):
    ids = set()
    for n in range(3):
        ask(core, n * MINUTE)
        ids.add(core.alert(CHAIN_TEST).id)
        core.ask("close", CHAIN_TEST)
    assert len(ids) == 3


def test_a_restart_neither_ends_nor_prolongs_it_nor_stops_its_climb(core):
    ask(core, 0, target="b1", priority="high", up_to="street", for_ms=20 * MINUTE)
    core.restart(after=6 * MINUTE, offset=0)
    assert core.told(CHAIN_TEST)[-1] == ("community", 300)
    assert core.alert(CHAIN_TEST).drill
    core.wait(20 * MINUTE)
    assert core.changes[-1].change.reason == "time_over"
    assert core.told(CHAIN_TEST)[-1] == ("street", 900)


def test_after_a_downtime_of_which_nobody_can_say_how_long_it_was_it_is_over(core):
    ask(core, 0, target="b1", up_to="district", for_ms=HOUR)
    core.restart(after=None)
    assert core.engine.alerts() == []
    assert [t.rung.value for t in core.alert(CHAIN_TEST).told] == ["building", "grid", "community", "street"]


def test_it_takes_no_number_of_another_lane(core):
    ask(core, SECOND, target="b1", priority="low")
    assert {p.lane.value for p in core.changes} == {"low"}
    assert [p.sequence for p in core.changes] == list(range(1, len(core.changes) + 1))
    assert isinstance(core.changes[0], Publish)
