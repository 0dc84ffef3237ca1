"""The compound as the core sees it: subjects with facts, outputs, people, rules. Data, handed in once.

``app`` makes it from the site file; nothing here knows YAML, Modbus or Bluetooth.
"""

from __future__ import annotations

from msgspec import Struct

from gateway.actions import OutputState
from gateway.alerts import Grade, Priority, Rung
from gateway.nodes import Mark, Node
from gateway.rules.question import ConditionNode

HEALTH = "health"
"""Fact of every device, bus, radio, terminal, uplink and of the store: ``ok | faulty | lost``."""
BY_HAND = "by_hand"
"""Fact of a device: what a person has done with it, ``out_of_service | under_test``, until it says that it is well; empty: nothing."""
CONFIRMED = "confirmed"
"""Fact of an output: whether the device did what was wanted."""
WANTED, ACTUAL = "wanted", "actual"
"""What that was, and the state read back (``UNREAD``: none was). Told beside it, and read by no rule: a state is wanted before it is had."""
UNREAD = "unknown"
HELD = "held"
"""Fact of an output: found energised without a cause."""
DOOR = "door"
"""Fact of a terminal's door: ``opened | closed | forced | held_open``."""
GAP = "gap"
"""Fact of a terminal: whether serial numbers of it are missing whose entries nobody has seen."""
SYNCED = "synced"
"""Fact of the clock."""
CLOCK = "clock"
STORE = "store"
HEARD = "heard"
"""Fact of a button: how strong its last sign of life was."""


class FactSpec(Struct, frozen=True):
    """What is known beforehand about one fact of a subject."""

    unit: str = ""
    max_age_ms: int | None = None
    """Not heard for this long while we listened: stale. None: never stale."""


class Care(Struct, frozen=True):
    """What a person under care agreed to, and by what their signs of life reach us."""

    consents: tuple[str, ...] = ()
    """Rules that may be about this person; each consent has its purpose and date in the site file."""
    pseudonyms: dict[str, str] = {}
    """Terminal -> pseudonym there."""
    buttons: tuple[str, ...] = ()
    readings: tuple[tuple[str, str], ...] = ()
    """(device, point): a change of its value is a sign of life."""
    away: tuple[tuple[int, int], ...] = ()
    """Planned leaves: from (inclusive), until (exclusive), in ms since 1970 UTC."""


class Subject(Struct, frozen=True):
    """Something a rule can be about: a device, button, terminal, output, bus, radio, person, the clock, the store."""

    id: str
    kind: str
    place: str
    tags: tuple[str, ...] = ()
    facts: dict[str, FactSpec] = {}
    via: str = ""
    """The bus through which it is reached: when that is lost, the device is not to blame."""
    meanings: dict[str, str] = {}
    """For a button: press kinds that do not mean SOS here."""
    care: Care | None = None
    ears: tuple[str, ...] = ()
    """The radios that hear it: one that is deaf may have been the only one near enough."""
    address: str = ""
    """Of a button: which one it is. Its counter is its own, whatever it is called and wherever it hangs."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Through what it is heard of: if one of these fails, silence proves nothing."""
        if self.care is not None:
            return (*self.care.pseudonyms, *dict.fromkeys(device for device, _ in self.care.readings))
        return (self.id, *((self.via,) if self.via else ()), *self.ears)


class OutputSpec(Struct, frozen=True):
    """A siren, valve or fan."""

    id: str
    kind: str
    place: str
    serves: tuple[str, ...]
    rules: tuple[str, ...] = ()
    """Only these rules drive it; empty: all that drive its kind."""
    relay: str = ""
    """Where it is switched, by names: one that is moved while it is on leaves that on behind it."""
    ex_rated: bool = False
    stands: str = ""
    """The same by its place on the wire, which no new name changes."""


class Regrade(Struct, frozen=True):
    """A step by which an open alert becomes a greater matter."""

    after_ms: int
    grade: Grade


class Rule(Struct, frozen=True):
    """One compiled rule with the subjects it watches."""

    id: str
    mark: Mark
    when: ConditionNode
    subjects: tuple[str, ...]
    priority: Priority
    grade: Grade
    momentary: bool
    """Its condition is an event (a press, an entry), which has no return."""
    latch: bool = False
    silent: bool = False
    life_safety: bool = False
    """No cooldown, no off-delay; shelved only by a role, with a reason, at most 30 min."""
    reread: bool = False
    """A threshold crossing is confirmed by one immediate re-read; the device's own alarm bit is not."""
    explosive: bool = False
    """Its place holds gas: nothing that sparks may start there."""
    members: dict[str, tuple[str, ...]] = {}
    """For a rule about places: place -> the subjects there that it watches. Its ``subjects`` are then these places."""
    kept: tuple[str, ...] = ()
    """Subjects that it does not watch now, but whose alerts and memories stand until it does again (``bare``)."""
    shape: str = ""
    """Fingerprint of its conditions with a past; empty where it has none."""
    shape_before: str = ""
    """The same in the words of an earlier version, whose memories are as good."""
    slots: int = 0
    """How many of them it has."""
    implied_by: str = ""
    """Not raised while that rule's alert about the same subject is active."""
    on_delay_ms: int = 0
    off_delay_ms: int = 0
    regrades: tuple[Regrade, ...] = ()
    drives: dict[str, OutputState | dict[str, OutputState]] = {}
    """Output kind -> state while the alert asks for it; or subject -> that state, of a rule that asks for some only."""
    text_zh: str = ""
    text_en: str = ""
    examples: tuple[Node, ...] = ()
    """What its author says it does, ``{given: a timetable, expect: [lines]}`` each; the core never reads them."""

    def watched(self, about: str) -> tuple[str, ...]:
        """The subjects that one of its ``subjects`` stands for."""
        return self.members.get(about, (about,))

    @property
    def calls_for_help(self) -> bool:
        """Whether its open alerts outlive its subjects in the site file (docs/decisions/0028): somebody may wait, and says no more."""
        return self.momentary and self.priority is Priority.CRITICAL

    def knows(self, about: str) -> bool:
        """Whether alerts of it about this subject stand."""
        return about in self.subjects or about in self.kept


class GridPlan(Struct, frozen=True):
    """Who stands where, and how long each is waited for."""

    people: dict[Rung, dict[str, tuple[str, ...]]]
    """Rung -> building (or "" for the whole compound) -> person ids."""
    ladders: dict[str, dict[Priority, dict[Rung, int | None]]]
    """Building (or "" for all others) -> priority -> rung -> delay in ms, None: never."""
    answer_by: dict[Priority, int]


class Compound(Struct, frozen=True):
    """Everything the core is told before the first event."""

    site: str
    fingerprint: str
    subjects: dict[str, Subject]
    outputs: dict[str, OutputSpec]
    rules: dict[str, Rule]
    grid: GridPlan
    roles: dict[str, tuple[str, ...]]
    """Person id -> roles."""
    zone: tuple[tuple[int, int], ...] = ((0, 0),)
    """The site's UTC offsets: (from, in ms since 1970 UTC; offset in ms), ascending."""
    principals: frozenset[str] = frozenset()
    """Who may give orders from afar."""


def building_of(place: str) -> str:
    """First part of a place path."""
    return place.split("/", 1)[0]


def within(place: str, area: str) -> bool:
    """Whether a place is the area or lies in it; the empty area is the whole compound."""
    return not area or place == area or place.startswith(area + "/")
