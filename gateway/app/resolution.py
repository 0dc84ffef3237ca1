"""Where a replay's resolution ends: everything a journal does not hold, each as a key of the word catalogue. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from gateway.app.replay import Witness
from gateway.instant import SECOND
from gateway.nodes import duration_text
from gateway.rules.compound import CONFIRMED, DOOR, GAP, HEALTH, HELD, SYNCED, Compound
from gateway.rules.conditions import Threshold
from gateway.rules.history import Moved
from gateway.rules.question import ConditionNode
from gateway.site.model import Site
from gateway.site.profile import PointClass

_NOT_POINTS = frozenset(
    {HEALTH, "reason", DOOR, GAP, SYNCED, CONFIRMED, HELD, "freshness_unproven", "tamper", "fire", ""}
)
"""Facts that come by other events than readings."""
_SHOWN = 12


class Limit(Struct, frozen=True):
    """One thing the replay cannot know."""

    key: str
    fields: dict[str, object] = {}


def limits(seen: Witness, site: Site, compound: Compound, *, first: int, compared: bool) -> Iterator[Limit]:
    """For the rules of ``compound``; ``first`` is the number of the journal's first row, ``compared`` whether they are others
    than those that ran.
    """
    yield _beginning(seen, first)
    yield Limit("end", {"runs": seen.runs})
    if seen.blind_ms or seen.unknown_downtimes:
        blind = duration_text(seen.blind_ms // SECOND * SECOND) if seen.blind_ms >= SECOND else "0"
        yield Limit("downtime", {"blind": blind, "unknown": seen.unknown_downtimes})
    if seen.other_sites and not compared:
        yield Limit("other_site", {"times": seen.other_sites, "runs": max(seen.runs, seen.other_sites)})
    if seen.strangers:
        yield Limit("strangers", {"events": seen.strangers.total(), "devices": _some(sorted(seen.strangers))})
    if coarse := sorted(set(_coarse(site, compound))):
        yield Limit("by_exception", {"points": _some(coarse)})
    if never := sorted(set(_never_heard(seen, compound))):
        yield Limit("never_heard", {"points": _some(never)})
    if compared:
        yield Limit("answers")
        if compound.outputs:
            yield Limit("outputs")
        if any(rule.reread for rule in compound.rules.values()):
            yield Limit("reread")


def _beginning(seen: Witness, first: int) -> Limit:
    """The first event ever, or the edge of what retention left."""
    if first <= 1 and seen.begins_with_boot:
        return Limit("from_start")
    return Limit("from_boot" if seen.begins_with_boot else "from_middle", {"first": first})


def every_condition(node: ConditionNode) -> Iterator[ConditionNode]:
    """The condition and all within it, also what one with a past follows."""
    yield node
    inner = [*getattr(node, "parts", ()), getattr(node, "part", None), getattr(node, "after", None)]
    for part in (part for part in inner if part is not None):
        yield from every_condition(part)


def _coarse(site: Site, compound: Compound) -> Iterator[str]:
    """Points that rules hold against a limit and that are reported only when they move by their resolution."""
    read = {
        (subject, leaf.fact)
        for rule in compound.rules.values()
        for leaf in every_condition(rule.when)
        if isinstance(leaf, Threshold | Moved)
        for subject in rule.subjects
    }
    for device in (device for bus in site.buses.values() for device in bus.devices):
        for point in device.profile.points:
            if (device.id, point.name) in read and point.resolution and point.point_class is not PointClass.ALARM:
                yield f"{device.id}.{point.name} ({point.resolution:g} {point.unit})".replace(" )", ")")


def _never_heard(seen: Witness, compound: Compound) -> Iterator[str]:
    for rule in compound.rules.values():
        for fact in {getattr(leaf, "fact", "") for leaf in every_condition(rule.when)} - _NOT_POINTS:
            for subject in rule.subjects:
                if fact in compound.subjects[subject].facts and (subject, fact) not in seen.heard:
                    yield f"{subject}.{fact}"


def _some(names: Iterable[str]) -> str:
    known = list(names)
    more = len(known) - _SHOWN
    return ", ".join(known[:_SHOWN]) + (f" … (+{more})" if more > 0 else "")
