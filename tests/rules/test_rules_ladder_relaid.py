"""A ladder laid anew under an alert that climbs: the climb goes on by the new one, and is never cut short or taken back."""

from __future__ import annotations

import msgspec

from gateway.alerts import Alert, Grade, Priority, Response, Rung
from gateway.instant import Instant
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
