"""The climb: every priority and grade, empty rungs, the second deadline, regrades, comebacks."""

import msgspec
import pytest

from gateway.alerts import Priority, Rung, Told
from gateway.instant import DAY, HOUR, MINUTE, SECOND, Instant
from gateway.rules import ladder
from gateway.rules.ladder import MOST_TOLD, TOLD_FIRST

B, G, C, S, D = "building", "grid", "community", "street", "district"
RULE = """
- rule: r
  subjects: {{ kind: water-detector }}
  when: {{ point: water, is: true }}
  priority: {}
  grade: {}
"""
# Contract, "Default ladder", cut where the grade ends the climb. Seconds since the raise.
CLIMBS = {
    ("critical", "private"): [(B, 0), (G, 0), (C, 0), (S, 0), (D, 180)],
    ("critical", "small"): [(B, 0), (G, 0), (C, 0), (S, 0), (D, 180)],
    ("critical", "big"): [(B, 0), (G, 0), (C, 0), (S, 0), (D, 180)],
    ("critical", "hard"): [(B, 0), (G, 0), (C, 0), (S, 0), (D, 180)],
    ("high", "private"): [(B, 0)],
    ("high", "small"): [(B, 0), (G, 0), (C, 300)],
    ("high", "big"): [(B, 0), (G, 0), (C, 300), (S, 900)],
    ("high", "hard"): [(B, 0), (G, 0), (C, 300), (S, 900), (D, 1800)],
    ("medium", "private"): [(B, 0)],
    ("medium", "small"): [(B, 0), (G, 1800), (C, 14400)],
    ("medium", "big"): [(B, 0), (G, 1800), (C, 14400), (S, 86400)],
    ("medium", "hard"): [(B, 0), (G, 1800), (C, 14400), (S, 86400)],
    ("low", "private"): [(B, 0)],
    ("low", "small"): [(B, 0), (G, 604800)],
    ("low", "big"): [(B, 0), (G, 604800)],
    ("low", "hard"): [(B, 0), (G, 604800)],
}


@pytest.mark.parametrize(("priority", "grade"), CLIMBS)
def test_an_unanswered_alert_climbs_to_the_end_its_grade_sets(make, priority, grade):
    core = make(RULE.format(priority, grade))
    core.read("water", "water", True, 0)
    core.wait(30 * DAY)
    assert core.told("r") == CLIMBS[priority, grade]


@pytest.mark.parametrize("unheard", [True, False], ids=["one-late-wake", "woken-each-hour"])
def test_a_late_wake_up_tells_each_rung_at_its_own_time(make, unheard):
    core = make(RULE.format("medium", "big"))
    core.read("water", "water", True, 0)
    for hour in range(1, 48) if not unheard else (48,):
        core.wait(hour * HOUR)
    assert core.told("r") == CLIMBS["medium", "big"]


def test_empty_rungs_are_passed_at_once_and_recorded(make):
    people = {Rung.GRID: {"b1": ()}, Rung.COMMUNITY: {"": ("c",)}, Rung.STREET: {"": ("s",)}}
    core = make(RULE.format("medium", "big"), people=people)
    core.read("water", "water", True, 0)
    told = core.alert("r").told
    assert [(t.rung.value, t.people, t.because) for t in told] == [
        (B, (), "raised"), (G, (), "nobody_below"), (C, ("c",), "nobody_below"),
    ]  # fmt: skip
    core.wait(DAY)
    assert core.told("r")[-1] == (S, 86400)


def test_a_ladder_with_nobody_on_it_is_climbed_and_recorded_to_its_end(make):
    core = make(RULE.format("high", "hard"), people={})
    core.read("water", "water", True, 0)
    assert [rung for rung, _ in core.told("r")] == [B, G, C, S, D]
    core.wait(DAY)
    assert core.said("r") == ["raised", "told"]


def test_an_acknowledgement_on_any_rung_stops_the_climb(core):
    core.read("water", "water", True, 0)
    assert core.ask("ack", "water", MINUTE, who="leader", on_site=True) == "done"
    core.wait(DAY)
    assert core.told("water") == [(B, 0), (G, 0)]
    alert = core.alert("water")
    assert (alert.answered_by, alert.answered_at, alert.on_site) == ("leader", MINUTE, True)


@pytest.mark.parametrize(("rule", "deadline", "rungs"), [("sos", 600, [D]), ("water", 1800, [C])])
def test_who_does_not_come_in_time_sends_it_to_the_next_rung(core, rule, deadline, rungs):
    core.press(0) if rule == "sos" else core.read("water", "water", True, 0)
    core.ask("ack", rule, SECOND)
    core.wait(deadline * SECOND)
    before = len(core.told(rule))
    core.wait(deadline * SECOND + SECOND)
    assert core.told(rule)[before:] == [(rung, deadline + 1) for rung in rungs]
    assert core.alert(rule).told[-1].because == "not_on_site"


def test_at_the_top_of_the_ladder_the_top_is_called_again_until_somebody_is_there(core):
    core.press(0)
    core.ask("ack", "sos", SECOND)
    core.wait(3 * DAY)
    again = core.alert("sos").told[-1]
    assert (again.rung.value, again.because) == (D, "top_again")
    assert core.said("sos").count("told") > 400
    assert len(core.alert("sos").told) < 20, "the list of rungs told must not grow for ever"
    assert core.told("sos")[:4] == CLIMBS["critical", "big"][:4], "nor lose who was told before"
    core.forget().ask("ack", "sos", on_site=True)
    core.wait(4 * DAY)
    assert core.said("sos") == ["acknowledged"]


@pytest.mark.parametrize(
    ("empty", "rule", "highest", "first", "every"),
    [
        ([Rung.DISTRICT], "sos", "duty", 11, 10),
        ([Rung.STREET, Rung.DISTRICT], "sos", "community-1", 11, 10),
        ([Rung.COMMUNITY], "water", "grid-1", 31, 30),
    ],
)
def test_where_nobody_stands_above_the_highest_that_is_there_is_called_until_somebody_comes(
    make, people, empty, rule, highest, first, every
):
    core = make(people={rung: there for rung, there in people.items() if rung not in empty})
    core.press(0) if rule == "sos" else core.read("water", "water", True, 0)
    core.ask("ack", rule, MINUTE, who="head")
    core.forget().wait((first + 2 * every) * MINUTE)
    told = [(p.change.at, p.change.alert.told) for p in core.changes if p.change.alert.rule == rule]
    calls = [(at // MINUTE, one.people) for at, rungs in told for one in rungs if one.at == at and one.people]
    assert calls[-3:] == [(minute, (highest,)) for minute in (first, first + every, first + 2 * every)]
    assert core.alert(rule).told[-1].because == "top_again"


def test_where_the_ladder_has_no_rung_in_reach_the_building_is_called_when_nobody_comes(make):
    """A site may leave every rung out that a small matter can climb to; whoever answered and does not come is not forgotten."""
    core = make(RULE.format("high", "small"), ladder={Priority.HIGH: {Rung.STREET: 0}})
    core.read("water", "water", True, 0)
    assert core.said("r") == ["raised"]
    core.ask("ack", "r", MINUTE)
    core.forget().wait(32 * MINUTE)
    assert [(told.rung, told.people, told.because) for told in core.alert("r").told] == [(B, ("head",), "top_again")]


def test_an_empty_top_that_was_passed_stands_in_the_record(make, people):
    core = make(people={rung: there for rung, there in people.items() if rung is not Rung.DISTRICT})
    core.press(0)
    core.ask("ack", "sos", MINUTE, who="head")
    core.wait(12 * MINUTE)
    assert [(t.rung.value, t.because) for t in core.alert("sos").told[-2:]] == [(D, "not_on_site"), (S, "top_again")]


def test_answering_again_and_again_from_afar_postpones_nothing(core):
    core.press(0)
    for minute in range(1, 180, 9):
        assert core.ask("ack", "sos", minute * MINUTE, who="head") == "done"
    calls = [p.change.at // MINUTE for p in core.changes if p.change.kind == "told" and p.change.at >= 5 * MINUTE]
    assert calls[:3] == [11, 21, 31]
    assert core.alert("sos").told[-1].rung == D


def test_who_stands_there_goes_on_standing_there_whoever_else_answers(core):
    core.press(0)
    core.ask("ack", "sos", SECOND, who="head", on_site=True)
    core.forget().ask("ack", "sos", MINUTE, who="duty")
    assert core.said("sos") == ["acknowledged"], "it is written down"
    core.wait(3 * HOUR)
    assert core.said("sos") == ["acknowledged"]
    assert (core.alert("sos").on_site, core.alert("sos").answered_by) == (True, "head")


def test_a_second_who_stands_there_ends_the_wait_for_the_first(core):
    core.press(0)
    core.ask("ack", "sos", SECOND, who="duty")
    core.ask("ack", "sos", 5 * MINUTE, who="head", on_site=True)
    core.forget().wait(3 * HOUR)
    assert core.said("sos") == []
    core.ask("ack", "sos", 4 * HOUR, who="duty")
    alert = core.alert("sos")
    assert (alert.answered_by, alert.answered_at, alert.on_site) == ("head", 5 * MINUTE, True), (
        "and goes on standing there"
    )


@pytest.mark.parametrize("on_site", [True, False])
def test_who_answers_once_the_ladder_has_gone_on_stops_it_again(make, on_site):
    core = make(RULE.format("high", "hard"))
    core.read("water", "water", True, 0)
    core.ask("ack", "r", SECOND)
    core.wait(31 * MINUTE)
    assert core.told("r")[2:] == [(C, 1801)], "nobody came within half an hour"
    core.ask("ack", "r", 32 * MINUTE, who="community-1", on_site=on_site)
    core.wait(55 * MINUTE)
    assert core.told("r")[2:] == [(C, 1801)], "the street would be next, ten minutes later"


def test_who_promised_and_did_not_come_stops_the_ladder_no_second_time(make):
    """Was: the head answers, does not come, and answers again whenever the next rung is about to be told."""
    core = make(RULE.format("high", "hard"))
    core.read("water", "water", True, 0)
    core.ask("ack", "r", SECOND, who="head")
    core.wait(31 * MINUTE)
    core.forget().ask("ack", "r", 32 * MINUTE, who="head")
    assert core.said("r") == ["acknowledged"], "it is written down"
    core.wait(41 * MINUTE)
    assert core.told("r")[2:] == [(C, 1801), (S, 2401)]
    core.ask("ack", "r", 42 * MINUTE, who="community-1")
    core.ask("ack", "r", 61 * MINUTE, who="head")
    core.wait(62 * MINUTE)
    assert core.told("r")[4:] == [(D, 3601)], "who is new to it stopped it until the second deadline"


@pytest.mark.parametrize("again", ["head", "grid-1"])
def test_whose_answer_is_spent_stays_spent_until_it_alarms_again(make, again):
    """Also where another one has answered since, and over a restart."""
    core = make(RULE.format("high", "hard") + "  latch: true\n")
    core.read("water", "water", True, 0)
    core.ask("ack", "r", SECOND, who="head")
    core.ask("ack", "r", 2 * SECOND, who="grid-1")
    core.wait(31 * MINUTE)
    core.restart(after=0)
    core.ask("ack", "r", 32 * MINUTE, who=again)
    core.wait(42 * MINUTE)
    assert core.told("r")[2:] == [(C, 1801), (S, 2401)]
    core.read("water", "water", False, 43 * MINUTE)
    core.read("water", "water", True, HOUR)
    core.ask("ack", "r", 61 * MINUTE, who=again)
    core.wait(90 * MINUTE)
    assert core.told("r")[-2:] == [(B, 3600), (G, 3600)]


@pytest.fixture
def gone_on(make):
    """Somebody promised and did not come: the community was told after half an hour, and is followed by the street and the district as
    far apart as two second deadlines are.
    """
    apart = {Rung.BUILDING: 0, Rung.COMMUNITY: 5 * MINUTE, Rung.STREET: 35 * MINUTE, Rung.DISTRICT: 65 * MINUTE}
    core = make(RULE.format("high", "hard"), ladder=dict.fromkeys(Priority, apart))
    core.read("water", "water", True, 0)
    core.ask("ack", "r", 0, who="head")
    core.wait(31 * MINUTE)
    assert core.told("r") == [(B, 0), (C, 1800)]
    return core


def test_where_the_second_deadline_and_the_next_rung_are_due_at_once_one_rung_is_told(gone_on):
    """The second deadline fires first, and moves the rung that was due away: the order of their names (``Deadlines``) must see to it,
    for the climb's own would tell one and leave another to the deadline.
    """
    gone_on.wait(HOUR)
    assert gone_on.told("r")[2:] == [(S, 3600)]
    gone_on.wait(90 * MINUTE)
    assert gone_on.told("r")[3:] == [(D, 5400)]


def test_a_time_of_unknown_length_makes_both_due_and_tells_one_rung(gone_on):
    gone_on.restart(after=None)
    gone_on.wait(gone_on.at)
    assert gone_on.told("r")[2:] == [(S, 1860)]


def test_medium_and_low_have_no_second_deadline(core):
    core.entry("access.denied", "1", 0, subject="stranger")
    core.ask("ack", "stranger", SECOND)
    core.forget().wait(30 * DAY)
    assert core.said("stranger") == []


def test_a_press_after_the_answer_climbs_from_the_start(core):
    core.press(0)
    core.ask("ack", "sos", MINUTE, on_site=True)
    core.forget().press(2 * MINUTE)
    core.wait(6 * MINUTE)
    assert core.said("sos") == ["re-alarmed", "told", "told"]
    assert core.told("sos")[-5:] == [(B, 120), (G, 120), (C, 120), (S, 120), (D, 300)]


def test_a_condition_that_flaps_unanswered_cannot_keep_the_ladder_down(core):
    """Wet, dry, wet … every two minutes, and nobody answers: the community hears of it after five minutes all the same."""
    for minute in range(0, 20, 2):
        core.read("water", "water", True, minute * MINUTE)
        core.read("water", "water", False, (minute + 1) * MINUTE)
    assert (C, 300) in core.told("water")


def test_a_comeback_after_the_climb_was_over_is_told_again(core):
    core.read("water", "water", True, 0)
    core.wait(10 * MINUTE)
    core.read("water", "water", False, HOUR)
    core.forget().read("water", "water", True, 2 * HOUR)
    assert core.said("water") == ["re-alarmed", "told"]
    assert core.told("water")[-2:] == [(B, 7200), (G, 7200)]


def test_a_regrade_lengthens_the_ladder_of_an_open_alert(core):
    core.entry("door.opened", "1", 0)
    core.wait(2 * DAY)
    assert core.said("door-open") == ["raised", "told", "regraded", "regraded", "told"]
    assert [p.change.alert.grade.value for p in core.changes if p.change.kind == "regraded"] == ["big", "hard"]
    assert core.told("door-open") == [(B, 120), (G, 120), (C, 120), (S, 86520)]
    assert len({p.change.alert.id for p in core.changes if p.change.alert.rule == "door-open"}) == 1


def test_what_has_returned_becomes_no_greater_matter(core):
    core.entry("door.opened", "1", 0)
    core.entry("door.closed", "2", 4 * MINUTE)
    core.wait(2 * DAY)
    assert "regraded" not in core.said("door-open")
    core.restart(after=SECOND)
    core.wait(4 * DAY)
    assert "regraded" not in core.said("door-open")


def test_after_a_comeback_the_time_to_the_next_grade_begins_anew(core):
    core.entry("door.opened", "1", 0)
    core.entry("door.closed", "2", 4 * MINUTE)
    core.entry("door.opened", "3", 10 * HOUR)
    core.wait(20 * HOUR)
    regraded = [(p.change.at - 10 * HOUR, p.change.alert.grade) for p in core.changes if p.change.kind == "regraded"]
    assert regraded == [(17 * MINUTE, "big"), (62 * MINUTE, "hard")], "it is held open after two minutes"


def test_a_grade_that_was_reached_is_not_taken_back_by_a_return(core):
    core.entry("door.opened", "1", 0)
    core.wait(20 * MINUTE)
    core.entry("door.closed", "2", 21 * MINUTE)
    core.entry("door.opened", "3", HOUR)
    core.wait(20 * HOUR)
    regraded = [(p.change.at, p.change.alert.grade) for p in core.changes if p.change.kind == "regraded"]
    assert regraded == [(17 * MINUTE, "big"), (122 * MINUTE, "hard")]


def test_a_regrade_of_an_answered_alert_waits_for_the_second_deadline_and_skips_no_rung(make):
    core = make(RULE.format("high", "small") + "  regrade: [ { after: 20min, grade: hard } ]\n")
    core.read("water", "water", True, 0)
    core.ask("ack", "r", 6 * MINUTE)
    core.wait(35 * MINUTE)
    assert core.told("r") == [(B, 0), (G, 0), (C, 300)]
    core.wait(36 * MINUTE)
    assert core.told("r")[3:] == [(S, 2160)], "the next rung, not the new top"
    core.wait(52 * MINUTE)
    assert core.told("r")[4:] == [(D, 3060)]


def test_a_shelved_alert_is_regraded_but_told_to_nobody(make):
    core = make(RULE.format("high", "small") + "  regrade: [ { after: 20min, grade: hard } ]\n")
    core.read("water", "water", True, 0)
    core.wait(10 * MINUTE)
    core.ask("shelve", "r", for_ms=DAY, reason="plumber")
    core.forget().wait(DAY)
    assert core.said("r") == ["regraded"]
    core.wait(2 * DAY)
    assert core.said("r") == ["regraded", "unshelved", "told", "told", "told", "told"]
    assert [rung for rung, _ in core.told("r")][-5:] == [B, G, C, S, D]


def test_what_is_told_again_and_again_is_carried_along_bounded_and_counted(make):
    """Shelved and taken back without end: the first and the newest stay, and of every rung one at least."""
    core = make(RULE.format("high", "hard"))
    core.read("water", "water", True, 0)
    core.wait(HOUR)
    whole = list(core.alert("r").told)
    for round_ in range(60):
        at = 2 * HOUR + round_ * HOUR
        core.ask("shelve", "r", at, for_ms=MINUTE, reason="x")
        core.ask("unshelve", "r", at)
        before = core.alert("r").told[-1]
        core.wait(at + 50 * MINUTE)
        whole += [told for told in core.alert("r").told if told.at > before.at or told.at == at]
    alert = core.alert("r")
    whole = list(dict.fromkeys(whole))
    assert len(whole) > 250
    assert len(alert.told) == MOST_TOLD
    assert alert.told_left_out == len(whole) - MOST_TOLD
    assert list(alert.told) == [*whole[:TOLD_FIRST], *whole[TOLD_FIRST - MOST_TOLD :]]
    assert core.said("r").count("told") > 200, "each of them had its message"


def test_of_the_rungs_left_out_one_of_each_stays(core):
    core.read("water", "water", True, 0)
    alert = msgspec.structs.replace(core.alert("water"), told=())
    rungs = [Rung.BUILDING] * 30 + [Rung.DISTRICT] + [Rung.GRID] * 60
    for n, rung in enumerate(rungs):
        alert = ladder._tell(alert, [*alert.told, Told(rung, Instant(n), (), "due")])
    assert [told.at for told in alert.told if told.rung is Rung.DISTRICT] == [30]
    assert (len(alert.told), alert.told_left_out) == (MOST_TOLD, len(rungs) - MOST_TOLD)
    assert [told.at for told in alert.told] == sorted(told.at for told in alert.told)


def test_what_is_told_within_one_millisecond_is_said_all_the_same(core):
    core.read("water", "water", True, 0)
    for _ in range(60):
        core.ask("shelve", "water", MINUTE, for_ms=MINUTE, reason="x")
        core.ask("unshelve", "water", MINUTE)
    assert core.said("water").count("told") == 61
