"""Many alerts of one kind in one building: each is raised and told, and each message says how many stand together."""

from __future__ import annotations

from gateway.actions import Publish
from gateway.rules.compound import FactSpec, Subject


def crowd(building: str, count: int) -> tuple[Subject, ...]:
    return tuple(
        Subject(f"{building}-{n}", "water-detector", f"{building}/s1/{n}", (), {"water": FactSpec()})
        for n in range(count)
    )


def told(core) -> list[tuple[str, str, int]]:
    changes = [action.change for action in core.actions if isinstance(action, Publish)]
    return [(change.alert.subject, change.kind, change.alike) for change in changes if change.kind != "told"]


def test_each_alert_of_a_flood_comes_and_says_how_many_are_open_in_its_building(make):
    core = make(subjects=(*crowd("b1", 3), *crowd("b2", 1)))
    for name in ("b1-0", "b1-1", "b2-0", "b1-2"):
        core.read(name, "water", True)
    assert told(core) == [("b1-0", "raised", 1), ("b1-1", "raised", 2), ("b2-0", "raised", 1), ("b1-2", "raised", 3)]


def test_one_that_ends_is_counted_no_more_also_by_the_next_life(make):
    core = make(subjects=crowd("b1", 3))
    for n in range(3):
        core.read(f"b1-{n}", "water", True)
    core.restart(after=1000)
    core.actions.clear()
    core.ask("ack", "water", alert=core.engine.register.standing("water", "b1-0").id)
    core.read("b1-0", "water", False)
    assert told(core) == [("b1-0", "acknowledged", 3), ("b1-0", "returned", 3), ("b1-0", "closed", 2)]
