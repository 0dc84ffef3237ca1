"""Plays the examples that rules carry, and holds what came out beside what their authors expected. Pure.

Theory. An example is written for one rule. So what counts is what that rule's alerts do (raised, re-alarmed, regraded, returned,
closed), all of it and in time; what other rules, ladders and outputs do meanwhile counts once the example speaks of it.
``docs/rules.md`` says the same in an author's words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from gateway.actions import Action, Note, OutputState, Publish, Want
from gateway.alerts import ChangeKind, NoteKind
from gateway.app.player import Player, Said
from gateway.app.resolution import every_condition
from gateway.app.telling import change_line
from gateway.events import Actuated, Command, DeviceHealth, Entry, Press, Reading, SequenceGap
from gateway.nodes import Faults, Mark, Node, duration_ms, duration_text, nearest
from gateway.rules.compound import Compound, FactSpec, Rule
from gateway.rules.conditions import Stale
from gateway.timetable import Happening, NotATimetable, parse

ALWAYS = frozenset(
    {ChangeKind.RAISED, ChangeKind.RE_ALARMED, ChangeKind.REGRADED, ChangeKind.RETURNED, ChangeKind.CLOSED}
)
"""Changes of the rule's own alerts that an example must speak of, or they are one too many."""
_KINDS = tuple(kind.value for kind in (*ChangeKind, *NoteKind))
_OUTPUT = "output"


class Came(Struct, frozen=True):
    """One thing that came out: ``kind rule subject``, or ``output NAME STATE``, and the whole sentence."""

    at_ms: int
    kind: str
    rule: str
    subject: str
    text: str


class Expected(Struct, frozen=True):
    """One line of ``expect``; ``rest`` are further words that must stand in the sentence."""

    at_ms: int
    kind: str
    rule: str
    subject: str
    rest: str
    text: str
    mark: Mark

    def fits(self, came: Came) -> bool:
        """The same thing at the same instant."""
        return self.like(came) and self.at_ms == came.at_ms and self.rest in came.text

    def like(self, came: Came) -> bool:
        """The same thing, whenever."""
        return (self.kind, self.rule, self.subject) == (came.kind, came.rule, came.subject)


def rehearse(compound: Compound, quiet: Iterable[Reading], faults: Faults, file: str | None = None) -> int:
    """Play every example (of one file, or of all), and answer how many; what is wrong goes to ``faults``, with the line."""
    evening = list(quiet)
    examples = [
        (rule, node) for rule in compound.rules.values() for node in rule.examples if file in {None, node.mark.file}
    ]
    for rule, node in examples:
        _play(_fresh(compound, rule), rule, node, evening, faults)
    return len(examples)


def _fresh(compound: Compound, rule: Rule) -> Compound:
    """The compound as examples see it: what a device said holds until it says something else, unless the rule is about that."""
    if any(isinstance(condition, Stale) for condition in every_condition(rule.when)):
        return compound
    subjects = {
        name: msgspec.structs.replace(
            subject, facts={fact: FactSpec(spec.unit) for fact, spec in subject.facts.items()}
        )
        for name, subject in compound.subjects.items()
    }
    return msgspec.structs.replace(compound, subjects=subjects)


def _play(compound: Compound, rule: Rule, node: Node, quiet: list[Reading], faults: Faults) -> None:
    given, expect = node.mapping["given"], node.mapping["expect"]
    happenings = _given(compound, rule, given, faults)
    lines = expect.items if isinstance(expect.value, list) else [expect]
    wanted = [found for line in lines if (found := _expected(compound, rule, line, faults)) is not None]
    if happenings is None or len(wanted) < len(lines):
        return
    player = Player(compound, quiet)
    said = [one for happening in happenings for one in player.happen(happening)]
    _compare(rule, node.mark, wanted, list(_in_scope(rule, wanted, said)), faults)


def _given(compound: Compound, rule: Rule, given: Node, faults: Faults) -> list[Happening] | None:
    """The timetable, or None where a line is none or speaks of somebody unknown."""
    text = str(given.value)
    first = given.mark.line + (1 if "\n" in text else 0)  # a block of lines begins below its sign

    def at(line: int) -> Mark:
        return Mark(given.mark.file, first + line - 1)

    try:
        happenings = list(parse(text))
    except NotATimetable as slip:
        faults.add(at(slip.line), f"fault.example_{slip.reason}", name=rule.id, given=slip.given)
        return None
    before = len(faults.errors)
    for happening in happenings:
        for subject, fact in _addressed(happening):
            known = compound.subjects.get(subject)
            if known is None:
                near = nearest(subject, compound.subjects)
                faults.add(at(happening.line), "fault.example_no_subject", name=rule.id, given=subject, near=near)
            elif fact and fact not in known.facts:
                near, allowed = nearest(fact, known.facts), " | ".join(known.facts)
                faults.add(
                    at(happening.line), "fault.example_no_point", name=rule.id, device=subject, given=fact, near=near,
                    allowed=allowed,
                )  # fmt: skip
    return happenings if len(faults.errors) == before else None


def _addressed(happening: Happening) -> Iterator[tuple[str, str]]:
    """Subject and fact (or "") of which a line speaks."""
    what = happening.what
    if isinstance(what, Reading):
        yield what.device, what.point
    elif isinstance(what, DeviceHealth):
        yield what.device, ""
    elif isinstance(what, Press):
        yield what.button, ""
    elif isinstance(what, SequenceGap):
        yield what.terminal, ""
    elif isinstance(what, Entry):
        yield what.terminal, ""
        if what.person is not None:
            yield what.person, ""
    elif isinstance(what, Command) and what.resident:
        yield what.resident, ""
    elif isinstance(what, Actuated):
        yield what.output, ""


def _expected(compound: Compound, rule: Rule, line: Node, faults: Faults) -> Expected | None:
    """``5s raised gas-high gas-301``, or ``5s valve-301 is to be shut``; None, and a fault, where it names nothing."""
    text = str(line.value)
    time, *words = text.split() or [""]
    at_ms = 0 if time == "0" else duration_ms(time)
    if at_ms is None:
        faults.add(line.mark, "fault.example_not_a_time", name=rule.id, given=time)
        return None
    if words[1:4] == ["is", "to", "be"]:
        return _expected_output(compound, rule, at_ms, line, faults)
    kind, name, subject = (word.rstrip(":") for word in (*words, "", "", "")[:3])
    watched = compound.rules[name].subjects if name in compound.rules else ()
    for given, known in ((kind, _KINDS), (name, tuple(compound.rules)), (subject, watched)):
        if given not in known:
            _names_nothing(rule, line, given, known, faults)
            return None
    return Expected(at_ms, kind, name, subject, " ".join(words[3:]), text, line.mark)


def _expected_output(compound: Compound, rule: Rule, at_ms: int, line: Node, faults: Faults) -> Expected | None:
    text = str(line.value)
    output, _, _, _, *state = text.split()[1:]
    for given, known in ((output, tuple(compound.outputs)), (" ".join(state), tuple(s.value for s in OutputState))):
        if given not in known:
            _names_nothing(rule, line, given, known, faults)
            return None
    return Expected(at_ms, _OUTPUT, output, state[0], "", text, line.mark)


def _names_nothing(rule: Rule, line: Node, given: str, known: tuple[str, ...], faults: Faults) -> None:
    """With the nearest name there is, else with a few that there are."""
    near = nearest(given, known)
    allowed = "" if near else " | ".join(known[:12])
    faults.add(line.mark, "fault.example_names_nothing", name=rule.id, given=given, near=near, allowed=allowed)


def _in_scope(rule: Rule, wanted: list[Expected], said: list[Said]) -> Iterator[Came]:
    """What counts: the rule's own alerts; other rules, other kinds of change and outputs as far as the example names them."""
    rules = {rule.id} | {one.rule for one in wanted if one.kind != _OUTPUT}
    kinds = set(ALWAYS) | {one.kind for one in wanted}
    states: dict[str, str] = dict.fromkeys((one.rule for one in wanted if one.kind == _OUTPUT), "")
    for came in (came for one in said if (came := _came(one.at, one.action)) is not None):
        if came.kind != _OUTPUT:
            if came.rule in rules and came.kind in kinds:
                yield came
        elif states.get(came.rule, came.subject) != came.subject:  # one more alert that asks for the same is no news
            states[came.rule] = came.subject
            yield came


def _came(at_ms: int, action: Action) -> Came | None:
    if isinstance(action, Publish | Note):
        change = action.change
        text = " ".join(change_line(change).split())
        return Came(at_ms, change.kind.value, change.alert.rule, change.alert.subject, text)
    if isinstance(action, Want):
        text = f"{action.output} is to be {action.state.value}"
        return Came(at_ms, _OUTPUT, action.output, action.state.value, text)
    return None


def _compare(rule: Rule, example: Mark, wanted: list[Expected], came: list[Came], faults: Faults) -> None:
    """Each expected line takes one thing that came; what is left over on either side is wrong."""
    left, missed = list(came), []
    for one in wanted:
        fitting = next((thing for thing in left if one.fits(thing)), None)
        if fitting is None:
            missed.append(one)
        else:
            left.remove(fitting)
    for one in missed:
        near = next((thing for thing in left if one.like(thing)), None)
        if near is None:
            faults.add(one.mark, "fault.example_missing", name=rule.id, expected=one.text)
        else:
            left.remove(near)
            faults.add(one.mark, "fault.example_differs", name=rule.id, expected=one.text, given=_shown(near))
    for thing in left:
        faults.add(example, "fault.example_unexpected", name=rule.id, given=_shown(thing))


def _shown(came: Came) -> str:
    return f"{duration_text(came.at_ms)} {came.text}"
