"""The words of a condition: one node with line marks in, one condition out, every fault at once.

``docs/rules.md`` has the table of these words. What holds of a whole rule is in ``language``, whom it watches in ``choosing``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec

from gateway.events import PressKind, Scalar
from gateway.instant import DAY
from gateway.nodes import Faults, Mark, Node, Reader, nearest, unit_spelt
from gateway.rules.compound import HEALTH
from gateway.rules.conditions import (
    All,
    Any,
    Between,
    Entered,
    Is,
    Pressed,
    Seen,
    Stale,
    Threshold,
    Unknown,
    happens,
    leaves,
    negated,
)
from gateway.rules.history import Absent, Counted, Moved, Sequence, historic
from gateway.rules.question import ConditionNode
from gateway.rules.signs import SIGNS

MOST_COUNTED = 1_000
"""Occurrences a count may ask for: as many are remembered for each subject."""
LONGEST_WINDOW = 30 * DAY
"""Over which a rule may look back: what happened longer ago than a month is forgotten (journal: 30 days)."""
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
CONDITION_WORDS = (
    "point", "health", "stale", "press", "entry", "door", "seen", "between", "count", "sequence", "absent", "unknown",
    "all", "any", "not",
)  # fmt: skip
_OF_A_POINT = ("above", "below", "is", "rises", "falls")
_AMOUNT = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*(.*?)\s*")
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def _meant(node: Node) -> str:
    """The word that a condition without one probably lacks: a limit without its point, else one misspelt."""
    if any(key in node.mapping for key in _OF_A_POINT):
        return "point"
    return nearest(next(iter(node.mapping), ""), CONDITION_WORDS)


class Grammar:
    """Reads the conditions of one rule."""

    def __init__(self, name: str, faults: Faults, *, by: str = "", guarded: bool = False) -> None:
        """``by``: the rule is about a building, stair or flat; ``guarded``: it is a life-safety rule."""
        self._name, self._faults, self._by, self._guarded = name, faults, by, guarded
        self.units: dict[str, str] = {}
        """Unit in which the rule speaks of each fact."""

    def condition(self, node: Node | None) -> ConditionNode | None:
        if node is None:
            return None
        reader = Reader(node, self._faults, self._name)
        forms = [key for key in CONDITION_WORDS if reader.has(key)]
        if len(forms) != 1:
            self._faults.add(
                node.mark,
                "fault.bad_condition",
                name=self._name,
                allowed=" | ".join(CONDITION_WORDS),
                near="" if forms else _meant(node),
            )
            return None
        readers: dict[str, Callable[[Reader], ConditionNode | None]] = {
            "point": self._point, "health": self._health, "stale": self._stale, "press": self._press, "entry": self._entry,
            "door": self._door, "seen": self._seen, "between": self._between, "count": self._count,
            "sequence": self._sequence, "absent": self._absent, "unknown": self._unknown_of,
            "all": self._all, "any": self._any, "not": self._not,
        }  # fmt: skip
        condition = readers[forms[0]](reader)
        reader.done()
        return condition

    def _point(self, reader: Reader) -> ConditionNode | None:
        fact = reader.take_text("point", required=True, pattern="[a-z0-9_]+")
        ways = [way for way in ("above", "below", "is", "rises", "falls") if reader.has(way)]
        if len(ways) > 1:
            self._faults.add(reader.mark(ways[1]), "fault.two_limits", name=self._name, given=", ".join(ways))
            for key in reader.node.mapping:
                reader.pass_over(key)
            return None
        if reader.has("is"):
            return Is(fact, self._values(reader, "is"), reader.take_duration("for"))
        for way in ("rises", "falls"):
            if reader.has(way):
                return self._moved(reader, fact, way)
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
        values = self._among(reader, "health", ("ok", "faulty", "lost", "out_of_service"))
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
        part = self.condition(node)
        if node is None or part is None:
            return None
        if happens(part):
            self._faults.add(node.mark, "fault.not_of_event", name=self._name)
        return negated(part)

    # With a past ------------------------------------------------------------------------------------

    def _moved(self, reader: Reader, fact: str, way: str) -> ConditionNode | None:
        by = self._amount(reader.take(way, required=True), fact)
        within = self._window(reader, "within")
        if by is not None and by <= 0:
            self._faults.add(
                reader.mark(way), "fault.out_of_bounds", name=self._name, field=way, given=f"{by:g}", low="0", high="∞"
            )
        return None if by is None else Moved(fact, by, within, rises=way == "rises")

    def _count(self, reader: Reader) -> ConditionNode | None:
        part = self._followed(reader, "count")
        least = reader.take_int("at_least", 2, low=1, high=MOST_COUNTED, required=True)
        of = reader.take_one_of("of", ("events", "subjects"), "events")
        within = self._window(reader, "within", required=self._by == "" or of == "events")
        if part is not None and of == "subjects" and not self._by:
            self._faults.add(reader.mark("of"), "fault.count_of_one", name=self._name)
        if part is not None and not within and happens(part):
            self._faults.add(reader.mark("count"), "fault.missing", name=self._name, field="within")
        return None if part is None else Counted(part, least, within, subjects=of == "subjects")

    def _sequence(self, reader: Reader) -> ConditionNode | None:
        node = reader.take("sequence")
        parts = [self._followed_node(item) for item in node.items] if node is not None else []
        within = self._window(reader, "within")
        if len(parts) < 2:
            self._faults.add(reader.mark("sequence"), "fault.short_sequence", name=self._name)
            return None
        known = tuple(part for part in parts if part is not None)
        return Sequence(known, within) if len(known) == len(parts) else None

    def _absent(self, reader: Reader) -> ConditionNode | None:
        part = self._followed(reader, "absent")
        after = self._followed(reader, "after") if reader.has("after") else None
        length = self._window(reader, "for")
        if isinstance(part, Seen) and part.by == (
            "press",
        ):  # who is well presses nothing, and a deaf radio is nobody's absence
            self._faults.add(reader.mark("absent"), "fault.absent_of_press", name=self._name)
        return None if part is None else Absent(part, length, after)

    def _unknown_of(self, reader: Reader) -> ConditionNode | None:
        node = reader.take("unknown")
        part = self.condition(node)
        if node is not None and part is not None and happens(part):
            self._faults.add(node.mark, "fault.not_of_event", name=self._name)
        return None if part is None else Unknown(part)

    def _seen(self, reader: Reader) -> ConditionNode:
        signs = self._among(reader, "seen", ("any", *SIGNS))
        return Seen(SIGNS if "any" in signs else tuple(str(sign) for sign in signs))

    def _followed(self, reader: Reader, key: str) -> ConditionNode | None:
        return self._followed_node(reader.take(key))

    def _followed_node(self, node: Node | None) -> ConditionNode | None:
        """A condition whose coming is waited for; one with a past of its own cannot be."""
        part = self.condition(node)
        if node is None or part is None:
            return None
        if historic(part):
            self._faults.add(node.mark, "fault.past_of_past", name=self._name)
            return None
        return part

    def _window(self, reader: Reader, key: str, *, required: bool = True) -> int:
        """A length of time, which may not be nothing."""
        if not reader.has(key) and required:
            reader.take(key, required=True)
        return reader.take_duration(key, low=1, high=LONGEST_WINDOW) if reader.has(key) else 0

    # Small parts ------------------------------------------------------------------------------------

    def _parts(self, reader: Reader, key: str) -> tuple[ConditionNode, ...] | None:
        node = reader.take(key)
        if node is None or not node.items:
            self._faults.add(reader.mark(key), "fault.empty_list", name=self._name, field=key)
            return None
        parts = [self.condition(item) for item in node.items]
        return None if None in parts else tuple(part for part in parts if part is not None)

    def _amount(self, node: Node | None, fact: str) -> float | None:
        """A number with its unit; the unit is kept for the check against the device's own."""
        if node is None:
            return None
        match = _AMOUNT.fullmatch(str(node.value)) if not isinstance(node.value, bool | dict | list) else None
        if match is None:
            self._faults.add(node.mark, "fault.not_amount", name=self._name, given=node.value)
            return None
        given = unit_spelt(match[2])
        unit = self.units.setdefault(fact, given)
        if unit != given:
            self._faults.add(
                node.mark,
                "fault.units_differ",
                name=self._name,
                point=fact,
                given=node.value,
                first=unit or "-",
            )
        return float(match[1])

    def _check_lel(self, mark: Mark, fact: str, limit: float) -> None:
        if self.units.get(fact) != "%LEL":
            return
        highest = HIGHEST_LOW_LEL if self._name == "gas-low" else HIGHEST_LEL
        if not LOWEST_LEL <= limit <= highest:
            self._faults.add(
                mark, "fault.set_point", name=self._name, given=f"{limit:g}", low=f"{LOWEST_LEL:g}", high=f"{highest:g}"
            )

    def tightened(self, when: ConditionNode, amount: Node, side: str) -> ConditionNode:
        """The same condition with another limit (``builtin: {gas-high: {above: 15 %LEL}}``) on one side.

        ``above`` changes a rule of falling values too, where it has no rising ones.
        """
        limits = [leaf for leaf in leaves(when) if isinstance(leaf, Threshold)]
        rises = side == "above" and (any(leaf.above for leaf in limits) or not limits)
        changed = [leaf for leaf in limits if leaf.above is rises]
        limit = self._amount(amount, changed[0].fact if changed else "")
        if not changed or limit is None:
            self._faults.add(amount.mark, "fault.no_threshold", name=self._name, side=side)
            return when
        self._check_lel(amount.mark, changed[0].fact, limit)
        if self._guarded and any(limit > leaf.limit if rises else limit < leaf.limit for leaf in changed):
            self._faults.warn(amount.mark, "fault.loosened", name=self._name, given=f"{limit:g}")
        return _with_limit(when, limit, rises=rises)

    def _values(self, reader: Reader, key: str) -> tuple[Scalar, ...]:
        node = reader.take(key, required=True)
        if node is None:
            return ()
        values = [plain(item) for item in node.items] if isinstance(node.value, list) else [plain(node)]
        found = tuple(value for value in values if value is not None)
        if not found or len(found) < len(values):
            self._faults.add(node.mark, "fault.empty_list", name=self._name, field=key)
        return found

    def _among(self, reader: Reader, key: str, allowed: tuple[str, ...]) -> tuple[Scalar, ...]:
        values = self._values(reader, key)
        for value in values:
            if value not in allowed:
                unknown(self._faults, reader.mark(key), "fault.unknown_word", self._name, str(value), allowed)
        return values


def plain(node: Node | None) -> Scalar | None:
    """The scalar under a node, or None."""
    value = node.value if node is not None else None
    return value if isinstance(value, bool | int | float | str) else None


def unknown(faults: Faults, mark: Mark, key: str, name: str, given: str, known: Iterable[str]) -> None:
    """Record that rule ``name`` speaks of something nobody knows, with what was probably meant."""
    words = sorted(known)
    faults.add(mark, key, name=name, given=given, near=nearest(given, words), allowed=" | ".join(words[:20]))


def _with_limit(node: ConditionNode, limit: float, *, rises: bool) -> ConditionNode:
    if isinstance(node, Threshold) and node.above is rises:
        # A band as wide as the new limit would never let the alert return.
        return msgspec.structs.replace(node, limit=limit, deadband=min(node.deadband, abs(limit) / 2))
    if isinstance(node, All | Any):
        return msgspec.structs.replace(node, parts=tuple(_with_limit(part, limit, rises=rises) for part in node.parts))
    return node
