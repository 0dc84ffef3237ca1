"""Whom a rule watches: its selector, who of the chosen has what it reads, who has agreed, and who stands together for a place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count

import msgspec

from gateway.formerly import FORMERLY
from gateway.nodes import Faults, Mark, Node, Reader, nearest
from gateway.rules.compound import Rule, Subject, within
from gateway.rules.conditions import Entered, Is, Pressed, Seen, Stale, Threshold
from gateway.rules.grammar import unknown
from gateway.rules.history import (
    FACTUAL,
    Moved,
    for_places,
    historic,
    numbered,
    renamed,
    shape_before,
    shape_of,
    sources,
)
from gateway.rules.question import ConditionNode

PLACES = {"building": 1, "stair": 2, "flat": 3}
"""What a rule may be about as a whole -> how many parts of a place path name it."""
PERSON = "person"
SUBJECT_KINDS = (
    "gas-detector", "smoke-detector", "co-detector", "heat-detector", "water-detector", "air-sensor", "electric-monitor",
    "meter", "ups", "heater", "relay", "inputs", "siren", "valve", "other",
    "button", "terminal", "output", "bus", "radio", "uplink", "clock", "store", "worker", PERSON,
)  # fmt: skip
"""Kinds that a rule may name even where the site has none of them; those of devices come from their profiles."""


class Choice:
    """The subjects of one rule, on their way from all of the site to those it watches."""

    def __init__(self, name: str, node: Node, subjects: Mapping[str, Subject], faults: Faults) -> None:
        self._name, self._node, self._subjects, self._faults = name, node, subjects, faults
        self._chosen: list[Subject] = []
        self._formerly: dict[str, str] = {}
        """Point by its name now -> as the rule calls it."""
        self._missed = False
        """What it watches or reads is unknown, and said: that it then matches no device follows from it."""

    def read(self, node: Node | None, agreed: str) -> None:
        """Take the selector; ``agreed`` is the rule to which people under care must have agreed."""
        if node is None:
            return
        reader = Reader(node, self._faults, self._name)
        wanted = {key: reader.take_texts(key) for key in ("kind", "tag", "place", "id")}
        reader.done()
        kinds = {s.kind for s in self._subjects.values()} | set(SUBJECT_KINDS) if wanted["kind"] else set()
        for kind in wanted["kind"]:
            if kind not in kinds:
                self._unknown(reader.mark("kind"), "fault.unknown_kind", kind, kinds)
        for name in wanted["id"]:
            if name not in self._subjects:
                self._unknown(reader.mark("id"), "fault.unknown_subject", name, self._subjects)
        self._warn_of_empty(reader, wanted)
        found = [s for s in self._asked(wanted["id"]) if _matches(s, wanted)]
        refusing = [s for s in found if s.care is not None and agreed not in s.care.consents]
        for subject in refusing:
            if subject.id in wanted["id"]:  # whoever is only of the kind or the place is left out in silence
                fields = {"name": self._name, "person": subject.id, "rule": agreed}
                self._faults.add(reader.mark("id"), "fault.no_consent", **fields)
                self._missed = True
        self._chosen = [s for s in found if s not in refusing]

    def _warn_of_empty(self, reader: Reader, wanted: Mapping[str, Sequence[str]]) -> None:
        """Places and tags that nobody has; one of several misspelt would leave its devices out in silence."""
        everybody = self._subjects.values()
        for given in wanted["place"]:
            if not any(within(s.place, given) for s in everybody):
                ways = {"/".join(s.place.split("/")[: n + 1]) for s in everybody for n in range(s.place.count("/") + 1)}
                self._warn_of(reader.mark("place"), "fault.nobody_there", given, sorted(ways))
        for given in wanted["tag"]:
            if not any(given in s.tags for s in everybody):
                self._warn_of(
                    reader.mark("tag"), "fault.nobody_tagged", given, sorted({tag for s in everybody for tag in s.tags})
                )

    def _warn_of(self, mark: Mark, key: str, given: str, known: Sequence[str]) -> None:
        self._missed = True
        self._faults.warn(mark, key, name=self._name, given=given, near=nearest(given, known))

    def _asked(self, ids: Sequence[str]) -> Iterable[Subject]:
        """Who may match, in the order of the site; of all subjects only one where one is named."""
        if len(ids) == 1:
            return (self._subjects[name] for name in ids if name in self._subjects)
        return self._subjects.values()

    def renewed(self, rule: Rule) -> Rule:
        """The rule that reads what its chosen have by the name it has now, where it still says the former one; where only some
        of them have the former, by either.
        """
        known = {fact for s in self._chosen for fact in s.facts}
        read = dict.fromkeys(leaf.fact for leaf in sources(rule.when) if isinstance(leaf, FACTUAL))
        names = {name: FORMERLY[name] for name in read if name in FORMERLY and self._have(FORMERLY[name], but=name)}
        names = {
            name: wanted
            for name, wanted in names.items()
            if name not in known or (wanted not in read and self._units_of(name) == self._units_of(wanted))
        }
        mark = self._node.keys.get("when", self._node.mark)
        for given, wanted in names.items():
            said = {"name": self._name, "given": given, "wanted": wanted}
            if given in known:
                devices = ", ".join(self._have(wanted, but=given))
                self._faults.warn(mark, "fault.point_renamed_for_some", **said, devices=devices)
            else:
                self._faults.warn(mark, "fault.point_renamed", **said)
        self._formerly = {wanted: given for given, wanted in names.items()}
        return msgspec.structs.replace(rule, when=renamed(rule.when, names, known)) if names else rule

    def _have(self, fact: str, but: str) -> list[str]:
        """The chosen that have one fact and not the other."""
        return [s.id for s in self._chosen if fact in s.facts and but not in s.facts]

    def _units_of(self, fact: str) -> set[str]:
        """An own profile may mean another thing by the former name."""
        return {s.facts[fact].unit for s in self._chosen if fact in s.facts}

    def fitting(self, when: ConditionNode, units: Mapping[str, str]) -> tuple[Subject, ...]:
        """The chosen subjects that have what the rule reads; a point that none of them has is a fault."""
        heard, chosen = sources(when), self._chosen
        wanted = [leaf for leaf in heard if _asks_of_subject(leaf)]
        for name in [leaf.fact for leaf in wanted if isinstance(leaf, FACTUAL)]:
            if chosen and not any(name in s.facts for s in chosen) and not self._is_built_in:
                known = {fact for s in chosen for fact in s.facts}
                self._unknown(self._node.mark, "fault.unknown_point", name, sorted(known))
        fitting = [s for s in chosen if not wanted or any(_gives(s, leaf) for leaf in wanted)]
        for leaf in heard:
            if isinstance(leaf, Threshold | Moved):
                self._check_units(leaf, fitting, units.get(self._formerly.get(leaf.fact, leaf.fact), ""))
        if not fitting and not self._missed and not self._is_built_in:
            self._faults.warn(self._node.mark, "fault.rule_without_subjects", name=self._name)
        return tuple(fitting)

    @property
    def _is_built_in(self) -> bool:
        return self._node.mark.file.endswith("builtin.yaml")

    def _check_units(self, leaf: Threshold | Moved, subjects: list[Subject], unit: str) -> None:
        """A wrong unit is one mistake, however many devices have the point: the first of each unit is named."""
        first: dict[str, str] = {}
        for subject in subjects:
            spec = subject.facts.get(leaf.fact)
            if spec is not None and spec.unit != unit:
                first.setdefault(spec.unit, subject.id)
        limit = leaf.limit if isinstance(leaf, Threshold) else leaf.by
        for theirs, device in first.items():
            about = {"name": self._name, "device": device, "point": leaf.fact}
            if self._is_built_in:
                self._faults.add(self._node.mark, "fault.unit_of_builtin", **about, given=theirs or "-", wanted=unit)
            elif unit and theirs:
                self._faults.add(self._node.mark, "fault.unit_mismatch", **about, given=unit, allowed=theirs)
            else:
                key = "fault.unit_superfluous" if unit else "fault.unit_missing"
                self._faults.add(self._node.mark, key, **about, wanted=f"{limit:g} {theirs}".strip())

    def settle(self, rule: Rule, by: str, watched: tuple[Subject, ...]) -> Rule:
        """The rule with those it watches, each for itself or together for their place."""
        when, members = rule.when, dict[str, tuple[str, ...]]()
        if by:
            when = for_places(when)
            for subject in watched:
                place = "/".join(subject.place.split("/")[: PLACES[by]])
                members[place] = (*members.get(place, ()), subject.id)
        when = numbered(when, count())
        return msgspec.structs.replace(
            rule,
            when=when,
            subjects=tuple(members) if by else tuple(subject.id for subject in watched),
            members=members,
            shape=shape_of(when),
            shape_before=shape_before(when),
            slots=len(historic(when)),
        )

    def _unknown(self, mark: Mark, key: str, given: str, known: Iterable[str]) -> None:
        self._missed = True
        unknown(self._faults, mark, key, self._name, given, known)


def _matches(subject: Subject, wanted: Mapping[str, tuple[str, ...]]) -> bool:
    fits = {
        "kind": subject.kind in wanted["kind"],
        "tag": any(tag in subject.tags for tag in wanted["tag"]),
        "place": any(within(subject.place, area) for area in wanted["place"]),
        "id": subject.id in wanted["id"],
    }
    return all(fits[key] for key, values in wanted.items() if values)


def _asks_of_subject(leaf: ConditionNode) -> bool:
    """Whether only some subjects can ever make it true; what is asked of the bus or of the clock, any subject may ask."""
    if isinstance(leaf, Is):
        return not leaf.of_bus
    return isinstance(leaf, Threshold | Moved | Pressed | Entered | Seen) or (
        isinstance(leaf, Stale) and bool(leaf.fact)
    )


def _gives(subject: Subject, leaf: ConditionNode) -> bool:
    """Whether this subject has the fact, or can be the one to whom the event happens."""
    if isinstance(leaf, FACTUAL):
        return leaf.fact in subject.facts
    if isinstance(leaf, Pressed):
        return subject.kind == "button"
    if isinstance(leaf, Entered):
        return subject.kind in {"terminal", PERSON}
    return subject.kind == PERSON
