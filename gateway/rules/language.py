"""The rule language: nodes with line marks in, compiled rules out, every fault at once.

One rule is one mapping; ``docs/rules.md`` is its reference. Pure: the nodes come from ``gateway/site``, and the built-in rules
are written in the same language (``builtin.yaml``), so there is no second way of saying anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from gateway.actions import OutputState
from gateway.alerts import CHAIN_TEST, Grade, Priority
from gateway.instant import DAY
from gateway.nodes import Faults, Mark, Node, Reader, nearest
from gateway.rules.choosing import PLACES, SUBJECT_KINDS, Choice
from gateway.rules.compound import Regrade, Rule, Subject
from gateway.rules.conditions import Any, happens, mixes
from gateway.rules.grammar import Grammar, plain, unknown
from gateway.rules.question import ConditionNode

_HARMLESS = ("above", "below", "enabled", "text", "examples")
"""Keys of a change to a life-safety rule that warn of themselves, or need no warning."""
NAMELESS = "?"
"""Stands for the name of a rule that has none; its fault is recorded."""


def compile_rules(
    nodes: Iterable[Node], changes: Mapping[str, Node], subjects: Mapping[str, Subject], faults: Faults
) -> dict[str, Rule]:
    """Compile rule nodes in order; ``changes`` are the site's changes to built-in rules, by name.

    A later rule of the same name replaces an earlier one (a site replaces a built-in that way). Faults go to ``faults``;
    what could not be read is left out.
    """
    rules: dict[str, Rule] = {}
    named = list(nodes)
    known = [name for node in named if isinstance(name := plain(node.mapping.get("rule")), str)]
    for name, change in changes.items():
        if name not in known:
            faults.add(change.mark, "fault.no_such_rule", name=name, near=nearest(name, known))
    said_at: dict[str, Mark] = {}
    for node in named:
        compiler = _Compiler(node, changes, subjects, faults, known)
        rule = compiler.rule()
        if rule is not None and rule.id in rules and rule.id != NAMELESS:
            faults.warn(rule.mark, "fault.rule_replaced", name=rule.id)
        if rule is not None:
            rules[rule.id] = rule
            said_at[rule.id] = compiler.mark("implied_by")
    _check_implied(rules, said_at, faults)
    # Of one whose last subject is gone open alerts may stay, and it says what they ask of outputs.
    return {name: rule for name, rule in rules.items() if rule.subjects or rule.calls_for_help}


def _check_implied(rules: Mapping[str, Rule], said_at: Mapping[str, Mark], faults: Faults) -> None:
    """What would be written for nothing: an event has no end at which the lesser alert could come, and no alert is about
    two subjects.
    """
    for rule in rules.values():
        greater = rules.get(rule.implied_by)
        if greater is None:
            continue
        if rule.momentary or greater.momentary:
            faults.add(said_at[rule.id], "fault.implied_event", name=rule.id, given=greater.id)
        elif rule.subjects and greater.subjects and not set(rule.subjects) & set(greater.subjects):
            faults.warn(said_at[rule.id], "fault.implied_apart", name=rule.id, given=greater.id)


class _Compiler:
    """Compiles one rule."""

    def __init__(
        self,
        node: Node,
        changes: Mapping[str, Node],
        subjects: Mapping[str, Subject],
        faults: Faults,
        rules: Collection[str],
    ) -> None:
        self._faults, self._subjects, self._rules = faults, subjects, rules
        name = plain(node.mapping.get("rule"))
        self._name = name if isinstance(name, str) else NAMELESS
        self._change = changes.get(self._name)
        self._guarded = plain(node.mapping.get("life_safety")) is True
        self._node = _merged(node, self._change)

    @property
    def _kinds(self) -> set[str]:
        return {subject.kind for subject in self._subjects.values()} | set(SUBJECT_KINDS)

    def mark(self, key: str) -> Mark:
        """Where the rule says ``key``."""
        return self._node.keys.get(key, self._node.mark)

    def rule(self) -> Rule | None:
        reader = Reader(self._node, self._faults, self._name)
        name = reader.take_text("rule", required=True, pattern="[a-z0-9-]+") or self._name
        if name == CHAIN_TEST:
            self._faults.add(reader.mark("rule"), "fault.rule_name_taken", name=name)
        enabled = reader.take_flag("enabled", default=True)
        if not enabled:
            self._faults.warn(reader.mark("enabled"), "fault.rule_off", name=name)
        limits = [(side, reader.take(side)) for side in ("above", "below")]
        agreed = reader.take_text("consent", pattern="[a-z0-9-]+") or name
        choice = Choice(self._name, self._node, self._subjects, self._faults)
        choice.read(reader.take("subjects", required=True), agreed)
        by = reader.take_one_of("by", tuple(PLACES))
        grammar = Grammar(self._name, self._faults, by=by, guarded=self._guarded)
        when = grammar.condition(reader.take("when", required=True))
        for side, limit in limits:
            if limit is not None and when is not None:
                when = grammar.tightened(when, limit, side)
        rule = self._read(reader, name, when)
        reader.done()
        self._warn_of_changes(reader)
        if rule is None or not enabled:
            return None
        rule = choice.renewed(rule)
        watched = choice.fitting(rule.when, grammar.units)
        self._warn_of_idle_drives({subject.kind for subject in watched})
        return choice.settle(rule, by, watched)

    def _read(self, reader: Reader, name: str, when: ConditionNode | None) -> Rule | None:
        texts = reader.take("text")
        text = Reader(texts, self._faults, f"{name}.text") if texts is not None else None
        rule = Rule(
            id=name,
            mark=self._node.mark,
            when=when or Any(()),
            subjects=(),
            priority=reader.take_choice("priority", Priority, Priority.MEDIUM, required=True),
            grade=reader.take_choice("grade", Grade, Grade.SMALL, required=True),
            momentary=happens(when) if when else False,
            implied_by=self._implying(reader),
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

    def _implying(self, reader: Reader) -> str:
        greater = reader.take_text("implied_by")
        if greater and greater not in self._rules:
            unknown(
                self._faults, reader.mark("implied_by"), "fault.implied_by_nobody", self._name, greater, self._rules
            )
        return greater

    def _warn_of_changes(self, reader: Reader) -> None:
        """Tightening is the site's right; anything else done to a life-safety rule is said aloud."""
        changed = self._change.mapping if self._change is not None and self._guarded else {}
        for key in changed:
            if key not in _HARMLESS:
                self._faults.warn(reader.mark(key), "fault.life_safety_changed", name=self._name, field=key)

    def _warn_of_idle_drives(self, watched: Collection[str]) -> None:
        """Of kinds for which an output shall move, of which the rule watches none; those of a shipped rule are for any site."""
        drives = self._node.mapping.get("drives")
        if drives is None or drives.mark.file.endswith("builtin.yaml") or not watched:
            return
        for output, some in drives.mapping.items():
            for kind in [kind for kind in some.mapping if kind in self._kinds and kind not in watched]:
                fields = {"name": self._name, "given": kind, "output": output}
                self._faults.warn(some.keys.get(kind, some.mark), "fault.drives_for_nobody", **fields)

    def _check(self, reader: Reader, rule: Rule) -> None:
        delayed = "off_delay" if rule.off_delay_ms else "on_delay"
        if rule.life_safety and (rule.off_delay_ms or rule.on_delay_ms):
            self._faults.add(reader.mark(delayed), "fault.delay_on_life_safety", name=rule.id)
        elif rule.momentary and (rule.on_delay_ms or rule.off_delay_ms):
            self._faults.add(reader.mark("when"), "fault.delay_on_event", name=rule.id)

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

    def _drives(self, node: Node | None) -> dict[str, OutputState | dict[str, OutputState]]:
        if node is None:
            return {}
        reader = Reader(node, self._faults, self._name)
        kinds = [kind for kind in ("siren", "fan", "valve") if reader.has(kind)]
        drives = {kind: self._drive(reader, kind) for kind in kinds}
        reader.done()
        return drives

    def _drive(self, reader: Reader, output: str) -> OutputState | dict[str, OutputState]:
        """A state, or one for each kind of subject that has one: given to all subjects of that kind."""
        node = reader.node.mapping[output]
        if not isinstance(node.value, dict):
            return self._state(reader, output, output)
        reader.take(output)
        if not node.value:
            self._faults.add(node.mark, "fault.empty", name=self._name, field=output)
        some = Reader(node, self._faults, self._name)
        states = {kind: self._state(some, kind, output) for kind in node.mapping}
        for kind in [kind for kind in states if kind not in self._kinds]:
            unknown(self._faults, some.mark(kind), "fault.unknown_kind", self._name, kind, self._kinds)
        return {name: states[subject.kind] for name, subject in self._subjects.items() if subject.kind in states}

    def _state(self, reader: Reader, key: str, output: str) -> OutputState:
        if output != "valve":
            return OutputState(reader.take_one_of(key, ("on", "off"), "off"))
        node = reader.take(key)
        if node is not None and plain(node) != OutputState.SHUT:
            self._faults.add(reader.mark(key), "fault.valve_opens", name=self._name)
        return OutputState.SHUT


def _merged(node: Node, change: Node | None) -> Node:
    """A built-in rule with the site's keys laid over its own."""
    if change is None or not isinstance(change.value, dict) or not isinstance(node.value, dict):
        return node
    return Node({**node.mapping, **change.mapping}, node.mark, {**node.keys, **change.keys})
