"""People and the four-level grid: who stands on which rung, and how long each is waited for.

Here stands the default ladder of the contract; what the site file says is laid over it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any

from gateway.alerts import Priority, Rung
from gateway.instant import DAY, HOUR, MINUTE
from gateway.nodes import Faults, Mark, Node, Reader, duration_text
from gateway.site.care import check_care
from gateway.site.fields import Known
from gateway.site.model import Grid, Person, Place
from gateway.site.shapes import GRID, PERSON

Ladder = dict[Priority, dict[Rung, int | None]]

_NEVER = None

DEFAULT_LADDER: Mapping[Priority, tuple[int | None, ...]] = {
    Priority.CRITICAL: (0, 0, 0, 0, 3 * MINUTE),
    Priority.HIGH: (0, 0, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE),
    Priority.MEDIUM: (0, 30 * MINUTE, 4 * HOUR, 24 * HOUR, _NEVER),
    Priority.LOW: (0, 7 * DAY, _NEVER, _NEVER, _NEVER),
}
"""Contract, "Priority and grade": delay of each rung, building first, from the raise."""

DEFAULT_ANSWER_BY = {Priority.CRITICAL: 10 * MINUTE, Priority.HIGH: 30 * MINUTE}
"""Contract, "Alert": second deadline after an acknowledgement."""

_UPPER = (Rung.COMMUNITY, Rung.STREET, Rung.DISTRICT)


def default_ladder() -> Ladder:
    """The contract's table, as the model has it."""
    return {priority: dict(zip(Rung, delays, strict=True)) for priority, delays in DEFAULT_LADDER.items()}


def read_person(name: str, node: Node, faults: Faults, known: Known) -> Person:
    """One person; whatever is faulty takes its default. Who is under care is given no role by default."""
    reader = Reader(node, faults, name)
    values = PERSON.read(reader, known)
    reader.done()
    check_care(reader)
    if reader.has("care") and not reader.has("roles"):
        values["roles"] = ()
    return Person(id=name, mark=node.mark, **values)


def check_logins(people: Mapping[str, Person], marks: Mapping[str, Mark], faults: Faults) -> None:
    """One login is one person, or nobody could say who acknowledged."""
    owners: dict[str, str] = {}
    for person in people.values():
        first = owners.setdefault(person.login, person.id)
        if person.login and first != person.id:
            faults.add(marks[person.id], "fault.login_twice", name=person.id, login=person.login, other=first)


def read_grid(node: Node, faults: Faults, known: Known) -> Grid:
    """The grid with complete ladders: the contract's, changed by the site's, changed by the building's."""
    reader = Reader(node, faults, "grid")
    values = GRID.read(reader, known)
    reader.done()
    answer_by = {Priority(name): length for name, length in values["answer_by"].items()}
    site_ladder = _laid_over(default_ladder(), values["ladder"])
    ladders = {name: _laid_over(site_ladder, changes) for name, changes in values["building_ladders"].items()}
    _check_ladder(site_ladder, node.mapping.get("ladder"), "grid", faults)
    for name, ladder in ladders.items():
        _check_ladder(ladder, node.mapping["building_ladders"].mapping[name], name, faults)
    for priority, length in answer_by.items():
        usual = DEFAULT_ANSWER_BY.get(priority)
        if usual is not None and length > usual:
            given, default = duration_text(length), duration_text(usual)
            faults.warn(reader.mark("answer_by"), "fault.answer_slower", field=priority, given=given, default=default)
    return Grid(
        **{rung: values[rung] for rung in Rung},
        ladder=site_ladder,
        building_ladders=ladders,
        answer_by={**DEFAULT_ANSWER_BY, **answer_by},
    )


def _laid_over(base: Ladder, changes: Mapping[str, Mapping[str, Any]]) -> Ladder:
    return {
        priority: {rung: changes.get(priority, {}).get(rung, delay) for rung, delay in rungs.items()}
        for priority, rungs in base.items()
    }


def _check_ladder(ladder: Ladder, changes: Node | None, name: str, faults: Faults) -> None:
    """What the site file changed, and only that: the contract's own table needs no check."""
    for priority, rungs in ladder.items():
        if changes is None or priority not in changes.mapping:
            continue
        mark = changes.keys[priority]
        told = [(rung, delay) for rung, delay in rungs.items() if delay is not None]
        for (lower, first), (upper, then) in pairwise(told):
            if then < first:
                faults.add(mark, "fault.ladder_order", name=name, priority=priority, rung=upper, lower=lower)
        if priority is Priority.CRITICAL and len(told) < len(rungs):
            silent = next(rung for rung, delay in rungs.items() if delay is None)
            faults.add(mark, "fault.ladder_critical", name=name, rung=silent)
        _warn_slower(priority, rungs, mark, name, faults)


def _warn_slower(priority: Priority, rungs: Mapping[Rung, int | None], mark: Mark, name: str, faults: Faults) -> None:
    """Less than the contract promises is legal, and said aloud; only for what is urgent."""
    if priority not in {Priority.CRITICAL, Priority.HIGH}:
        return
    for (rung, given), default in zip(rungs.items(), DEFAULT_LADDER[priority], strict=True):
        if default is not None and given is not None and given > default:
            shown = {"given": duration_text(given), "default": duration_text(default)}
            faults.warn(mark, "fault.ladder_slower", name=name, priority=priority, rung=rung, **shown)


def check_rungs(grid: Grid, places: Mapping[str, Place], mark: Mark, faults: Faults) -> None:
    """An unoccupied rung is passed at once; the installer should know before the night it matters."""
    tops = list(dict.fromkeys(place.building for place in places.values()))
    inhabited = {path.split("/")[0] for path in places if "/" in path}
    for top in tops:
        if top in inhabited and not grid.building.get(top):
            faults.warn(mark, "fault.nobody_for", rung=Rung.BUILDING, place=top)
        if not grid.grid.get(top):
            faults.warn(mark, "fault.nobody_for", rung=Rung.GRID, place=top)
    standing: Mapping[Rung, Collection[str]] = {
        Rung.COMMUNITY: grid.community,
        Rung.STREET: grid.street,
        Rung.DISTRICT: grid.district,
    }
    for rung in _UPPER:
        if not standing[rung]:
            faults.warn(mark, "fault.nobody", rung=rung)
