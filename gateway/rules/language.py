"""The rule language: nodes with line marks in, compiled rules out, every fault at once.

One rule is one mapping; ``docs/rules.md`` is its reference. Pure: the nodes come from ``gateway/site``, and the built-in rules
are written in the same language (``builtin.yaml``), so there is no second way of saying anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import msgspec

from gateway.actions import OutputState
from gateway.alerts import Grade, Priority
from gateway.events import PressKind, Scalar
from gateway.instant import DAY
from gateway.nodes import Faults, Mark, Node, Reader, nearest
from gateway.rules.compound import HEALTH, Regrade, Rule, Subject, within
from gateway.rules.conditions import (
    All,
    Any,
    Between,
    ConditionNode,
    Entered,
    Is,
    Pressed,
    Stale,
    Threshold,
    leaves,
    mixes,
    negated,
)

HIGHEST_LEL = 50.0
HIGHEST_LOW_LEL = 25.0
LOWEST_LEL = 5.0
"""%LEL set points a checker accepts (contract; facts/modbus 5: low 5-25, high at most 50)."""

ENTRY_TYPES = (
    "access.granted", "access.denied", "access.verify_request", "access.unknown",
    "door.unlocked", "door.locked", "door.exit_button", "door.remote_open", "door.unlock_fault", "door.bell",
    "alarm.tamper", "alarm.duress", "alarm.attempt_limit", "alarm.blocklist", "alarm.tailgating", "alarm.fire", "device.log_nearly_full",
)  # fmt: skip
DOOR_STATES = ("opened", "closed", "forced", "held_open")
_LEAF_KEYS = ("point", "health", "stale", "press", "entry", "door", "between", "all", "any", "not")
_HARMLESS = ("above", "enabled", "text", "examples")
"""Keys of a change to a life-safety rule that warn of themselves, or need no warning."""
NAMELESS = "?"
"""Stands for the name of a rule that has none; its fault is recorded."""
_OF_WHOM = frozenset({"fault.unknown_kind", "fault.unknown_subject", "fault.unknown_point"})
_AMOUNT = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*(.*?)\s*")
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def compile_rules(
    nodes: Iterable[Node], changes: Mapping[str, Node], subjects: Mapping[str, Subject], faults: Faults
) -> dict[str, Rule]:
    """Compile rule nodes in order; ``changes`` are the site's changes to built-in rules, by name.

    A later rule of the same name replaces an earlier one (a site replaces a built-in that way). Faults go to ``faults``;
    what could not be read is left out.
    """
    rules: dict[str, Rule] = {}
    named = list(nodes)
    known = [name for node in named if isinstance(name := _plain(node.mapping.get("rule")), str)]
    for name, change in changes.items():
        if name not in known:
            faults.add(change.mark, "fault.no_such_rule", name=name, near=nearest(name, known))
    for node in named:
        rule = _Compiler(node, changes, subjects, faults).rule()
        if rule is not None and rule.id in rules and rule.id != NAMELESS:
            faults.warn(rule.mark, "fault.rule_replaced", name=rule.id)
        if rule is not None:
            rules[rule.id] = rule
    return {name: rule for name, rule in rules.items() if rule.subjects}


class _Compiler:
    """Compiles one rule."""

    def __init__(
        self, node: Node, changes: Mapping[str, Node], subjects: Mapping[str, Subject], faults: Faults
    ) -> None:
        self._faults, self._subjects = faults, subjects
        self._units: dict[str, str] = {}
        name = _plain(node.mapping.get("rule"))
        self._name = name if isinstance(name, str) else NAMELESS
        self._missed = False
        """What it watches or reads is unknown, and said: that it then matches no device follows from it."""
        self._change = changes.get(self._name)
        self._guarded = _plain(node.mapping.get("life_safety")) is True
        self._node = _merged(node, self._change)

    def rule(self) -> Rule | None:
        reader = Reader(self._node, self._faults, self._name)
        name = reader.take_text("rule", required=True, pattern="[a-z0-9-]+") or self._name
        enabled = reader.take_flag("enabled", default=True)
        if not enabled:
            self._faults.warn(reader.mark("enabled"), "fault.rule_off", name=name)
        above = reader.take("above")
        chosen = self._chosen(reader.take("subjects", required=True))
        when = self._condition(reader.take("when", required=True))
        if above is not None and when is not None:
            when = self._tightened(when, above)
        rule = self._read(reader, name, when)
        reader.done()
        self._warn_of_changes(reader)
        if rule is None or not enabled:
            return None
        return msgspec.structs.replace(rule, subjects=self._fitting(rule, chosen))

    def _read(self, reader: Reader, name: str, when: ConditionNode | None) -> Rule | None:
        texts = reader.take("text")
        text = Reader(texts, self._faults, name) if texts is not None else None
        rule = Rule(
            id=name,
            mark=self._node.mark,
            when=when or Any(()),
            subjects=(),
            priority=reader.take_choice("priority", Priority, Priority.MEDIUM, required=True),
            grade=reader.take_choice("grade", Grade, Grade.SMALL, required=True),
            momentary=any(isinstance(leaf, Pressed | Entered) for leaf in leaves(when)) if when else False,
            latch=reader.take_flag("latch"),
            silent=reader.take_flag("silent"),
            life_safety=reader.take_flag("life_safety"),
            reread=reader.take_text("confirm", pattern="reread") == "reread",
            explosive=reader.take_flag("explosive"),
            on_delay_ms=reader.take_duration("on_delay", high=30 * DAY),
            off_delay_ms=reader.take_duration("off_delay", high=30 * DAY),
            regrades=self._regrades(reader.take("regrade")),
            drives=self._drives(reader.take("drives")),
            text_zh=text.take_text("zh", required=True) if text else "",
            text_en=text.take_text("en", required=True) if text else "",
            examples=self._examples(reader.take("examples")),
        )
        if text:
            text.done()
        if when is None:
            return None
        self._check(reader, rule)
        if mixes(when):
            self._faults.add(reader.mark("when"), "fault.event_or_state", name=rule.id)
        return rule

    def _warn_of_changes(self, reader: Reader) -> None:
        """Tightening is the site's right; anything else done to a life-safety rule is said aloud."""
        changed = self._change.mapping if self._change is not None and self._guarded else {}
        for key in changed:
            if key not in _HARMLESS:
                self._faults.warn(reader.mark(key), "fault.life_safety_changed", name=self._name, field=key)

    def _check(self, reader: Reader, rule: Rule) -> None:
        delayed = "off_delay" if rule.off_delay_ms else "on_delay"
        if rule.life_safety and (rule.off_delay_ms or rule.on_delay_ms):
            self._faults.add(reader.mark(delayed), "fault.delay_on_life_safety", name=rule.id)
        elif rule.momentary and (rule.on_delay_ms or rule.off_delay_ms):
            self._faults.add(reader.mark("when"), "fault.delay_on_event", name=rule.id)

    # Who it watches -------------------------------------------------------------------------------

    def _chosen(self, node: Node | None) -> list[Subject]:
        if node is None:
            return []
        reader = Reader(node, self._faults, self._name)
        wanted = {key: reader.take_texts(key) for key in ("kind", "tag", "place", "id")}
        reader.done()
        kinds = {s.kind for s in self._subjects.values()} | set(SUBJECT_KINDS)
        for kind in wanted["kind"]:
            if kind not in kinds:
                self._unknown(reader.mark("kind"), "fault.unknown_kind", kind, kinds)
        for name in wanted["id"]:
            if name not in self._subjects:
                self._unknown(reader.mark("id"), "fault.unknown_subject", name, self._subjects)
        return [s for s in self._subjects.values() if _matches(s, wanted)]

    def _fitting(self, rule: Rule, chosen: list[Subject]) -> tuple[str, ...]:
        """The chosen subjects that have what the rule reads; a point that none of them has is a fault."""
        read = [leaf for leaf in leaves(rule.when) if isinstance(leaf, Threshold | Is | Stale) and not _of_bus(leaf)]
        names = [leaf.fact for leaf in read if leaf.fact]
        for name in names:
            if chosen and not any(name in s.facts for s in chosen) and not self._is_built_in:
                known = sorted({fact for s in chosen for fact in s.facts})
                self._unknown(self._node.mark, "fault.unknown_point", name, known)
        fitting = [s for s in chosen if not names or any(name in s.facts for name in names)]
        for leaf in leaves(rule.when):
            if isinstance(leaf, Threshold):
                self._check_units(leaf, fitting)
        if not fitting and not self._missed and not self._is_built_in:
            self._faults.warn(self._node.mark, "fault.rule_without_subjects", name=rule.id)
        return tuple(s.id for s in fitting)

    @property
    def _is_built_in(self) -> bool:
        return self._node.mark.file.endswith("builtin.yaml")

    def _check_units(self, leaf: Threshold, subjects: list[Subject]) -> None:
        unit = self._units.get(leaf.fact, "")
        for subject in subjects:
            spec = subject.facts.get(leaf.fact)
            if spec is not None and spec.unit != unit:
                self._faults.add(
                    self._node.mark, "fault.unit_mismatch", name=self._name, device=subject.id, point=leaf.fact,
                    given=unit or "-", allowed=spec.unit or "-",
                )  # fmt: skip

    # When it holds --------------------------------------------------------------------------------

    def _condition(self, node: Node | None) -> ConditionNode | None:
        if node is None:
            return None
        reader = Reader(node, self._faults, self._name)
        forms = [key for key in _LEAF_KEYS if reader.has(key)]
        if len(forms) != 1:
            given = next(iter(node.mapping), "")
            self._faults.add(
                node.mark,
                "fault.bad_condition",
                name=self._name,
                allowed=" | ".join(_LEAF_KEYS),
                near=nearest(given, _LEAF_KEYS),
            )
            return None
        readers: dict[str, Callable[[Reader], ConditionNode | None]] = {
            "point": self._point, "health": self._health, "stale": self._stale, "press": self._press, "entry": self._entry,
            "door": self._door, "between": self._between, "all": self._all, "any": self._any, "not": self._not,
        }  # fmt: skip
        condition = readers[forms[0]](reader)
        reader.done()
        return condition

    def _point(self, reader: Reader) -> ConditionNode | None:
        fact = reader.take_text("point", required=True, pattern="[a-z0-9_]+")
        if reader.has("is"):
            return Is(fact, self._values(reader, "is"), reader.take_duration("for"))
        side = "below" if reader.has("below") else "above"
        limit = self._amount(reader.take(side, required=True), fact)
        deadband = self._amount(reader.take("deadband"), fact) or 0.0
        if limit is None:
            return None
        self._check_lel(reader.mark(side), fact, limit)
        if deadband < 0 or (side == "above" and 0 < limit <= deadband):  # as wide as that, it would never return
            bounds = {"low": "0", "high": f"{abs(limit):g}"}
            self._faults.add(
                reader.mark("deadband"),
                "fault.out_of_bounds",
                name=self._name,
                field="deadband",
                given=f"{deadband:g}",
                **bounds,
            )
        return Threshold(fact, limit, side == "above", deadband)

    def _health(self, reader: Reader) -> ConditionNode:
        values = self._among(reader, "health", ("ok", "faulty", "lost"))
        of = reader.take_text("of", pattern="bus")
        return Is(HEALTH, values, reader.take_duration("for"), of_bus=of == "bus")

    def _stale(self, reader: Reader) -> ConditionNode:
        fact = reader.take_text("stale", required=True, pattern="[a-z0-9_]+")
        return Stale("" if fact == "any" else fact)

    def _press(self, reader: Reader) -> ConditionNode:
        kinds = self._among(reader, "press", ("any", *(kind.value for kind in PressKind)))
        return Pressed(() if "any" in kinds else tuple(str(k) for k in kinds), reader.take_flag("suspect"))

    def _entry(self, reader: Reader) -> ConditionNode:
        types = self._among(reader, "entry", ENTRY_TYPES)
        return Entered(
            tuple(str(t) for t in types),
            reader.take_text("subject", pattern="known|stranger|blocklisted|unknown"),
            reader.take_text("direction", pattern="in|out|unknown"),
            reader.take_text("credential", pattern="[a-z]+"),
        )

    def _door(self, reader: Reader) -> ConditionNode:
        return Is("door", self._among(reader, "door", DOOR_STATES), reader.take_duration("for"))

    def _between(self, reader: Reader) -> ConditionNode | None:
        times = reader.take_texts("between")
        matches = [_TIME.fullmatch(time) for time in times]
        if len(matches) != 2 or matches[0] is None or matches[1] is None or times[0] == times[1]:
            self._faults.add(reader.mark("between"), "fault.bad_times", name=self._name)
            return None
        start, end = (int(m[1]) * 60 + int(m[2]) for m in matches if m)
        return Between(start, end)

    def _all(self, reader: Reader) -> ConditionNode | None:
        parts = self._parts(reader, "all")
        return None if parts is None else All(parts)

    def _any(self, reader: Reader) -> ConditionNode | None:
        parts = self._parts(reader, "any")
        return None if parts is None else Any(parts)

    def _not(self, reader: Reader) -> ConditionNode | None:
        node = reader.take("not")
        part = self._condition(node)
        if node is None or part is None:
            return None
        if any(isinstance(leaf, Pressed | Entered) for leaf in leaves(part)):
            self._faults.add(node.mark, "fault.not_of_event", name=self._name)
        return negated(part)

    def _parts(self, reader: Reader, key: str) -> tuple[ConditionNode, ...] | None:
        node = reader.take(key)
        if node is None or not node.items:
            self._faults.add(reader.mark(key), "fault.empty_list", name=self._name, field=key)
            return None
        parts = [self._condition(item) for item in node.items]
        return None if None in parts else tuple(part for part in parts if part is not None)

    # Small parts ----------------------------------------------------------------------------------

    def _amount(self, node: Node | None, fact: str) -> float | None:
        """A number with its unit; the unit is kept for the check against the device's own."""
        if node is None:
            return None
        match = _AMOUNT.fullmatch(str(node.value)) if not isinstance(node.value, bool | dict | list) else None
        if match is None:
            self._faults.add(node.mark, "fault.not_amount", name=self._name, given=node.value)
            return None
        unit = self._units.setdefault(fact, match[2])
        if unit != match[2]:
            self._faults.add(
                node.mark,
                "fault.unit_mismatch",
                name=self._name,
                device="-",
                point=fact,
                given=match[2] or "-",
                allowed=unit or "-",
            )
        return float(match[1])

    def _check_lel(self, mark: Mark, fact: str, limit: float) -> None:
        if self._units.get(fact) != "%LEL":
            return
        highest = HIGHEST_LOW_LEL if self._name == "gas-low" else HIGHEST_LEL
        if not LOWEST_LEL <= limit <= highest:
            self._faults.add(mark, "fault.set_point", name=self._name, given=limit, low=LOWEST_LEL, high=highest)

    def _tightened(self, when: ConditionNode, above: Node) -> ConditionNode:
        """The same condition with another limit (``builtin: {gas-high: {above: 15 %LEL}}``)."""
        fact = next((leaf.fact for leaf in leaves(when) if isinstance(leaf, Threshold)), "")
        limit = self._amount(above, fact)
        if not fact or limit is None:
            self._faults.add(above.mark, "fault.no_threshold", name=self._name)
            return when
        self._check_lel(above.mark, fact, limit)
        if self._guarded and any(isinstance(leaf, Threshold) and limit > leaf.limit for leaf in leaves(when)):
            self._faults.warn(above.mark, "fault.loosened", name=self._name, given=f"{limit:g}")
        return _with_limit(when, limit)

    def _values(self, reader: Reader, key: str) -> tuple[Scalar, ...]:
        node = reader.take(key, required=True)
        if node is None:
            return ()
        values = [_plain(item) for item in node.items] if isinstance(node.value, list) else [_plain(node)]
        found = tuple(value for value in values if value is not None)
        if not found or len(found) < len(values):
            self._faults.add(node.mark, "fault.empty_list", name=self._name, field=key)
        return found

    def _among(self, reader: Reader, key: str, allowed: tuple[str, ...]) -> tuple[Scalar, ...]:
        values = self._values(reader, key)
        for value in values:
            if value not in allowed:
                self._unknown(reader.mark(key), "fault.unknown_word", str(value), allowed)
        return values

    def _regrades(self, node: Node | None) -> tuple[Regrade, ...]:
        steps = []
        # one step may stand alone, without its dash
        for item in () if node is None else node.items if isinstance(node.value, list) else (node,):
            reader = Reader(item, self._faults, self._name)
            reader.take("after", required=True)
            after = reader.take_duration("after", low=1)
            steps.append(Regrade(after, reader.take_choice("grade", Grade, Grade.BIG, required=True)))
            reader.done()
        return tuple(sorted(steps, key=lambda step: step.after_ms))

    def _examples(self, node: Node | None) -> tuple[Node, ...]:
        """The examples as they stand, well formed; whoever plays them reads the lines."""
        for item in () if node is None else node.items:
            reader = Reader(item, self._faults, self._name)
            reader.take_text("given", required=True)
            reader.take("expect", required=True)
            reader.take_texts("expect")
            reader.done()
        if node is not None and not isinstance(node.value, list):
            self._faults.add(node.mark, "fault.not_a_list", name=self._name, field="examples")
        return tuple(node.items) if node is not None else ()

    def _drives(self, node: Node | None) -> dict[str, OutputState]:
        if node is None:
            return {}
        reader = Reader(node, self._faults, self._name)
        drives = {
            kind: OutputState(reader.take_one_of(kind, ("on", "off"), "off"))
            for kind in ("siren", "fan")
            if reader.has(kind)
        }
        if reader.has("valve"):
            drives["valve"] = OutputState.SHUT
            if _plain(reader.take("valve")) != OutputState.SHUT:
                self._faults.add(reader.mark("valve"), "fault.valve_opens", name=self._name)
        reader.done()
        return drives

    def _unknown(self, mark: Mark, key: str, given: str, known: Iterable[str]) -> None:
        words = sorted(known)
        self._missed = self._missed or key in _OF_WHOM
        self._faults.add(
            mark, key, name=self._name, given=given, near=nearest(given, words), allowed=" | ".join(words[:20])
        )


SUBJECT_KINDS = (
    "gas-detector", "smoke-detector", "co-detector", "air-sensor", "water-detector", "relay", "other",
    "button", "terminal", "output", "bus", "radio", "uplink", "clock", "store", "worker",
)  # fmt: skip
"""Kinds that a rule may name even where the site has none of them."""


def _plain(node: Node | None) -> Scalar | None:
    value = node.value if node is not None else None
    return value if isinstance(value, bool | int | float | str) else None


def _merged(node: Node, change: Node | None) -> Node:
    """A built-in rule with the site's keys laid over its own."""
    if change is None or not isinstance(change.value, dict) or not isinstance(node.value, dict):
        return node
    return Node({**node.mapping, **change.mapping}, node.mark, {**node.keys, **change.keys})


def _matches(subject: Subject, wanted: Mapping[str, tuple[str, ...]]) -> bool:
    fits = {
        "kind": subject.kind in wanted["kind"],
        "tag": any(tag in subject.tags for tag in wanted["tag"]),
        "place": any(within(subject.place, area) for area in wanted["place"]),
        "id": subject.id in wanted["id"],
    }
    return all(fits[key] for key, values in wanted.items() if values)


def _of_bus(leaf: ConditionNode) -> bool:
    return isinstance(leaf, Is) and leaf.of_bus


def _with_limit(node: ConditionNode, limit: float) -> ConditionNode:
    if isinstance(node, Threshold):
        # A band as wide as the new limit would never let the alert return.
        return msgspec.structs.replace(node, limit=limit, deadband=min(node.deadband, abs(limit) / 2))
    if isinstance(node, All | Any):
        return msgspec.structs.replace(node, parts=tuple(_with_limit(part, limit) for part in node.parts))
    return node
