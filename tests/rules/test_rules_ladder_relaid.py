"""A ladder laid anew under an alert that climbs: the climb goes on by the new one, and is never cut short or taken back."""

from __future__ import annotations

import msgspec
import pytest

from gateway.alerts import Alert, Grade, Priority, Response, Rung
from gateway.events import SiteLoaded
from gateway.instant import MINUTE, SECOND, Instant
from gateway.rules import ladder
from gateway.rules.compound import GridPlan


def _climbing(rungs, *, due=True):
    """An alert that has told the building and waits for ``grid``."""
    laid = _laid(rungs)
    return ladder.start(_alert(), Instant(1_000), laid), laid


def _laid(rungs):
    people = {rung: {"": (rung.value,)} for rung in Rung}
    return GridPlan(people, {"": {Priority.CRITICAL: rungs}}, {})


def _alert():
    return Alert(
        id="a", revision=1, rule="sos", subject="b", place="b1", priority=Priority.CRITICAL, grade=Grade.BIG, why=(),
        occasion="o", opened_at=Instant(1_000), changed_at=Instant(1_000), momentary=True,
    )  # fmt: skip


OLD = {Rung.BUILDING: 0, Rung.GRID: 60_000, Rung.COMMUNITY: 120_000, Rung.STREET: 180_000}


def test_the_same_ladder_laid_again_changes_nothing():
    alert, laid = _climbing(OLD)
    assert ladder.relay(alert, laid) == alert


def test_a_climb_goes_on_at_the_new_time():
    alert, _ = _climbing(OLD)
    relaid = ladder.relay(alert, _laid({**OLD, Rung.GRID: 5_000}))
    assert (relaid.next_rung, relaid.climb_due, relaid.told) == (Rung.GRID, 6_000, alert.told)


def test_a_rung_that_is_gone_leads_to_the_one_above_it_and_never_ends_the_climb():
    alert, _ = _climbing(OLD)
    without = {rung: delay for rung, delay in OLD.items() if rung is not Rung.GRID}
    relaid = ladder.relay(alert, _laid(without))
    assert (relaid.next_rung, relaid.climb_due) == (Rung.COMMUNITY, 121_000)


def test_a_ladder_that_grew_takes_up_a_climb_that_had_ended():
    alert, _ = _climbing({Rung.BUILDING: 0})
    assert alert.next_rung is None
    relaid = ladder.relay(alert, _laid({Rung.BUILDING: 0, Rung.STREET: 9_000}))
    assert (relaid.next_rung, relaid.climb_due) == (Rung.STREET, 10_000)


def test_an_answered_alert_is_not_made_to_climb():
    alert, _ = _climbing(OLD)
    answered = msgspec.structs.replace(alert, climb_due=None, response=Response.ACKNOWLEDGED)
    assert ladder.relay(answered, _laid({**OLD, Rung.GRID: 5_000})).climb_due is None


def test_a_rung_that_a_file_left_out_is_called_where_the_next_one_has_it_again():
    """Was: a file loaded by mistake and taken back left the rung out that was next, and nobody there ever heard."""
    alert, laid = _climbing(OLD)
    without = {rung: delay for rung, delay in OLD.items() if rung is not Rung.GRID}
    assert ladder.relay(ladder.relay(alert, _laid(without)), laid) == alert
    only_told = _laid({Rung.BUILDING: 0})
    assert ladder.relay(ladder.relay(alert, only_told), laid) == alert
    told = ladder.climb(alert, Instant(61_000), laid, ladder.Because.DUE)
    again = ladder.relay(ladder.relay(told, _laid(without)), laid)
    assert (again.next_rung, again.climb_due, again.told) == (Rung.COMMUNITY, 121_000, told.told)


def test_a_second_climb_goes_as_far_as_the_first_though_a_file_between_was_shorter():
    alert, laid = _climbing(OLD)
    for at in (61_000, 121_000, 181_000):
        alert = ladder.climb(alert, Instant(at), laid, ladder.Because.DUE)
    assert alert.next_rung is None
    second = ladder.start(alert, Instant(900_000), laid)
    relaid = ladder.relay(ladder.relay(second, _laid({Rung.BUILDING: 0})), laid)
    assert (relaid.next_rung, relaid.climb_due) == (Rung.GRID, 960_000)


def test_a_rung_laid_below_those_that_were_told_takes_no_climb_back_however_often_the_file_is_loaded():
    """Was: the second time the same file was loaded it was called, and all above it once more; the third time so was everybody."""
    told, laid = _climbing(OLD | {Rung.GRID: None})
    for at in (121_000, 181_000):
        told = ladder.climb(told, Instant(at), laid, ladder.Because.DUE)
    grown = _laid(OLD)
    assert ladder.relay(ladder.relay(told, grown), grown) == told


LEAK = """
- rule: water
  subjects: { kind: water-detector }
  when: { point: water, is: true }
  priority: high
  grade: hard
"""


@pytest.mark.parametrize("downtime", [None, 3 * MINUTE])
@pytest.mark.parametrize(
    ("before", "after", "waited"),
    [
        ({}, {Rung.COMMUNITY: None}, 2 * MINUTE),
        ({Rung.COMMUNITY: None}, {Rung.DISTRICT: None}, 29 * MINUTE),
    ],
    ids=["left out", "lower and shorter"],
)
def test_a_start_with_another_ladder_is_a_reload_of_it_and_a_start(make, house, high, before, after, waited, downtime):
    """Was: the rung that was next ended the climb if it was left out: what nobody knows how long it waited waited anew in full; or a
    lower one was found untold, and all above it were told once more.
    """
    told = []
    for reload in (True, False):
        core = make(LEAK, ladder=high(before))
        core.read("water", "water", True, SECOND)
        core.wait(waited)
        if reload:
            core.die(house(LEAK, ladder=high(after)))
            core.give(SiteLoaded("f"))
        core.restart(after=downtime, compound=house(LEAK, ladder=high(after)))
        for _ in range(40):
            core.wait(core.at + MINUTE)
        told.append(core.told("water"))
    assert told[0] == told[1]


def test_who_is_next_on_the_new_ladder_is_told_at_once_after_a_downtime_of_unknown_length(make, house, high):
    core = make(LEAK)
    core.read("water", "water", True, SECOND)
    core.restart(after=None, compound=house(LEAK, ladder=high({Rung.COMMUNITY: None})))
    core.wait(core.at)
    assert core.told("water")[-1] == ("street", 1)


def test_whoever_is_called_next_is_called_no_later_for_an_edit():
    """Was: a ladder that waits longer was laid, and whoever was to be called in a minute was called in ten."""
    alert, laid = _climbing(OLD)
    slow = _laid({**OLD, Rung.GRID: 600_000, Rung.COMMUNITY: 900_000})
    relaid = ladder.relay(alert, slow)
    assert (relaid.next_rung, relaid.climb_due) == (Rung.GRID, 61_000)
    told = ladder.climb(relaid, Instant(61_000), slow, ladder.Because.DUE)
    assert (told.next_rung, told.climb_due) == (Rung.COMMUNITY, 901_000), "who comes after goes by the new one"
    assert ladder.relay(relaid, laid) == alert


@pytest.fixture(params=["reload", "restart"])
def loaded(request):
    """``loaded(core, compound)``: from now on the site file says this; answers what was said of the call for that."""

    def load(core, compound):
        core.forget()
        if request.param == "restart":
            core.restart(after=SECOND, compound=compound)
        else:
            core.die(compound)
            core.give(SiteLoaded("f"))
        core.wait(core.at)
        return core.said("sos")

    return load


NOBODY = {rung: {} for rung in Rung}


def test_what_nobody_was_there_to_be_told_of_calls_whoever_is_there_now(make, house, people, loaded):
    """Was: a press on a site whose grid was still empty called nobody when people were put in, for all rungs had been passed."""
    core = make(people=NOBODY)
    core.press(SECOND, "k1")
    core.wait(10 * MINUTE)
    assert loaded(core, house(people=NOBODY)) == []
    duty = NOBODY | {Rung.STREET: people[Rung.STREET]}
    assert loaded(core, house(people=duty)) == ["told"]
    assert loaded(core, house(people=duty)) == []
    assert loaded(core, house()) == [], "somebody was told, and the others' rungs were passed"
    assert {person for one in core.alert("sos").told for person in one.people} == {"duty"}


@pytest.mark.parametrize("hidden", ["answered", "shelved"])
def test_nor_is_anybody_called_for_what_somebody_has_taken(make, house, loaded, hidden):
    core = make(people=NOBODY)
    core.press(SECOND, "k1")
    assert core.ask("ack" if hidden == "answered" else "shelve", "sos", for_ms=20 * MINUTE, reason="x") == "done"
    assert loaded(core, house()) == []
