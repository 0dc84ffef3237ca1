"""Regrades of the site file edited under an open alert: it goes by the file in force, from when its condition began to stand."""

import msgspec
import pytest

from gateway.alerts import Alert
from gateway.events import SiteLoaded
from gateway.instant import HOUR, MINUTE, SECOND
from gateway.rules.engine import Engine

LEAK = """
- rule: leak
  subjects: { kind: water-detector }
  when: { point: water, is: true }
  priority: high
  grade: small
"""
BIG_THEN_HARD = "regrade: [ { after: 20min, grade: big }, { after: 1h, grade: hard } ]"


def text(regrade="", grade="small"):
    return LEAK.replace("grade: small", f"grade: {grade}") + (f"  {regrade}\n" if regrade else "")


@pytest.fixture(params=["reload", "restart"])
def edit(request, house):
    """``edit(core, regrade, grade, minute)``: from that minute on the site file says this of the leak."""

    def edit(core, minute, regrade="", grade="small"):
        core.wait(minute * MINUTE)
        compound = house(text(regrade, grade))
        if request.param == "restart":
            core.restart(after=SECOND, compound=compound)
        else:
            core.die(compound)
            core.give(SiteLoaded("f"))
        core.wait(core.at)

    return edit


def leaking(make, regrade=""):
    core = make(text(regrade))
    core.read("water", "water", True, 0)
    return core.forget()


def regraded(core):
    """Minute and grade of each step, a second's downtime left out."""
    return [
        (p.change.at // MINUTE, p.change.alert.grade.value) for p in core.changes if p.change.kind.value == "regraded"
    ]


@pytest.mark.parametrize(("minute", "when"), [(5, 20), (30, 30)])
def test_what_was_added_counts_from_when_it_began_and_at_once_where_that_is_over(make, edit, minute, when):
    """Was: of what was open nothing ever became a greater matter by it."""
    core = leaking(make)
    edit(core, minute, BIG_THEN_HARD)
    core.wait(2 * HOUR)
    assert regraded(core) == [(when, "big"), (60, "hard")]
    assert core.told("leak")[-1][0] == "district"


def test_each_of_several_steps_that_are_over_is_said(make, edit):
    core = leaking(make)
    edit(core, 90, BIG_THEN_HARD)
    assert regraded(core) == [(90, "big"), (90, "hard")]


def test_what_was_taken_away_makes_it_no_greater_matter_and_put_back_it_was_never_gone(make, edit):
    core = leaking(make, BIG_THEN_HARD)
    edit(core, 10)
    edit(core, 15, BIG_THEN_HARD)
    core.wait(30 * MINUTE)
    assert regraded(core) == [(20, "big")]
    edit(core, 40)
    core.wait(3 * HOUR)
    assert regraded(core) == [(20, "big")]


@pytest.mark.parametrize(("after", "when"), [("5min", 10), ("15min", 15), ("40min", 40)])
def test_another_time_is_the_time_and_the_steps_behind_it_keep_theirs(make, edit, after, when):
    """Was: it became big at the old time, and hard as much sooner or later as the two differed."""
    core = leaking(make, BIG_THEN_HARD)
    edit(core, 10, BIG_THEN_HARD.replace("20min", after))
    core.wait(2 * HOUR)
    assert regraded(core) == [(when, "big"), (60, "hard")]


def test_a_grade_that_was_reached_is_neither_taken_back_nor_said_twice(make, edit):
    core = leaking(make, BIG_THEN_HARD)
    core.wait(25 * MINUTE)
    edit(core, 26, "regrade: [ { after: 30min, grade: big } ]")
    core.wait(40 * MINUTE)
    assert regraded(core) == [(20, "big")]
    edit(core, 41, "regrade: [ { after: 5min, grade: hard } ]")
    assert regraded(core) == [(20, "big"), (41, "hard")]


def test_a_rule_about_a_greater_matter_makes_what_is_open_one_and_a_lesser_one_no_lesser(make, edit):
    """Was: its climb ended at the community, whatever the site had learnt of such alerts since."""
    core = leaking(make)
    edit(core, 30, grade="big")
    edit(core, 31, grade="private")
    core.wait(HOUR)
    assert (regraded(core), core.alert("leak").grade) == ([(30, "big")], "big")
    assert [rung for rung, _ in core.told("leak")] == ["building", "grid", "community", "street"]


def test_the_priority_of_what_is_open_stays(make, house):
    """It is its lane, too, and what is said of one alert stands in one."""
    core = leaking(make)
    core.die(house(text().replace("high", "critical")))
    core.give(SiteLoaded("f"))
    core.wait(HOUR)
    assert {p.lane.value for p in core.changes} == {"high"}


def test_after_a_comeback_an_edit_counts_from_that(make, edit):
    core = leaking(make, BIG_THEN_HARD)
    core.read("water", "water", False, 4 * MINUTE)
    edit(core, 5, BIG_THEN_HARD.replace("20min", "10min"))
    core.read("water", "water", True, 30 * MINUTE)
    edit(core, 35, BIG_THEN_HARD)
    core.wait(3 * HOUR)
    assert regraded(core) == [(50, "big"), (90, "hard")]


def test_an_alert_that_an_earlier_version_kept_has_the_due_time_it_had(make, house):
    """It does not say since when its condition stands."""
    core = leaking(make, BIG_THEN_HARD)
    core.wait(10 * MINUTE)
    rows = [
        msgspec.structs.replace(row, body=_older(row.body)) if row.kind == "alert" else row
        for row in core.engine.snapshot()
    ]
    core.compound = house(text(BIG_THEN_HARD.replace("20min", "30min")))
    core.engine = Engine(core.compound)
    assert not core.engine.restore(rows)
    core.give(SiteLoaded("f"))
    core.wait(2 * HOUR)
    assert regraded(core)[0] == (20, "big")


def _older(body):
    kept = msgspec.msgpack.decode(body)
    del kept["stood_from"]
    return msgspec.msgpack.encode(msgspec.convert(kept, Alert))
