"""What it means: one alert is one rule's finding about one subject on one occasion.

The words are those of the contract and of ISA-18.2 (IEC 62682): three axes kept apart, latch as an attribute, priority
(how fast) and grade (whose matter) as two things. Data only; the transitions are in ``gateway/rules``.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

from msgspec import Struct

from gateway.events import Quality, Scalar
from gateway.instant import Instant


class Priority(StrEnum):
    """How fast: sets deadlines, lanes and sounds."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Grade(StrEnum):
    """Whose matter, in the compound's own words: 私事 小事 大事 难事."""

    PRIVATE = "private"
    SMALL = "small"
    BIG = "big"
    HARD = "hard"


class Rung(StrEnum):
    """The four-level grid, and above it the district leader on call."""

    BUILDING = "building"
    GRID = "grid"
    COMMUNITY = "community"
    STREET = "street"
    DISTRICT = "district"


class Condition(StrEnum):
    ACTIVE = "active"
    NORMAL = "normal"


class Response(StrEnum):
    UNANSWERED = "unanswered"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


class Suppression(StrEnum):
    NONE = "none"
    SHELVED = "shelved"
    BY_DESIGN = "by_design"
    OUT_OF_SERVICE = "out_of_service"


class ChangeKind(StrEnum):
    """What the upstream is told of; one message per change (contract: MQTT, change kinds)."""

    RAISED = "raised"
    TOLD = "told"
    ACKNOWLEDGED = "acknowledged"
    RE_ALARMED = "re-alarmed"
    REGRADED = "regraded"
    RETURNED = "returned"
    SHELVED = "shelved"
    UNSHELVED = "unshelved"
    DATED = "dated"
    CLOSED = "closed"


class NoteKind(StrEnum):
    """What is kept in an alert's history without a message of its own."""

    REPEATED = "repeated"
    SILENCED = "silenced"
    RESET = "reset"
    RECEIVED = "received"
    REFUSED = "refused"
    THINNED = "thinned"
    """Stands for steps that were alike, so many as its reason says (``store/thinning.py``)."""


class Why(Struct, frozen=True):
    """One reason for an alert, with what is needed to check it by hand."""

    fact: str
    value: Scalar | None
    quality: Quality
    at: Instant
    unit: str = ""
    limit: Scalar | None = None
    of: str = ""
    """Whose fact it is, where the alert is about a place with several."""


class Told(Struct, frozen=True):
    """A rung of the ladder that was told, or passed because nobody stands on it."""

    rung: Rung
    at: Instant
    people: tuple[str, ...]
    """Empty: unoccupied, passed at once and recorded."""
    because: str
    """A ``gateway.rules.ladder.Because``."""


class Origin(Struct, frozen=True):
    """A button or door at which somebody did what an alert tells of, and what was done there last."""

    device: str
    """As it was called then."""
    occasion: str
    address: str = ""
    """Of a button: which one it is, whatever it is called by now."""
    kind: str = ""
    """Of a press; empty: it was none."""
    called: tuple[str, ...] = ()
    """The subjects about which people were called for it: that of its alert, and what the button was called since."""


class Alert(Struct, frozen=True):
    """One alert at one revision."""

    id: str
    revision: int
    rule: str
    subject: str
    place: str
    priority: Priority
    grade: Grade
    occasion: str
    opened_at: Instant
    changed_at: Instant
    why: tuple[Why, ...]
    condition: Condition = Condition.ACTIVE
    response: Response = Response.UNANSWERED
    suppression: Suppression = Suppression.NONE
    latch: bool = False
    momentary: bool = False
    """An event without return (SOS): a person ends it."""
    silent: bool = False
    """Duress: no sound, no light, no local message."""
    drill: bool = False
    occurrences: int = 1
    told: tuple[Told, ...] = ()
    """The first and the last of the rungs told."""
    told_left_out: int = 0
    """How many between them stand only in the history."""
    next_rung: Rung | None = None
    climb_from: Instant | None = None
    """Ladder delays count from here."""
    climb_due: Instant | None = None
    answer_due: Instant | None = None
    """Second deadline: on site or closed by then, or the climb goes on."""
    answered_by: str | None = None
    answered_at: Instant | None = None
    answered_before: tuple[str, ...] = ()
    """Who answered earlier since it last alarmed: a second answer of theirs stops no climb."""
    on_site: bool = False
    stood_from: Instant | None = None
    """Since when its condition stands. None: an earlier version kept it."""
    regrade_due: Instant | None = None
    silenced: bool = False
    worst_said: Why | None = None
    """The number furthest beyond its limit; one step further the condition *worsens* and re-alarms. None: no number was."""
    also_said: tuple[str, ...] = ()
    """Whose own word, or number of a place, ``why`` has no room for, each as ``device fact``: it was said on this occasion, and is no
    news a second time.
    """
    shelved_until: Instant | None = None
    shelved_by: str | None = None
    shelved_at: Instant | None = None
    shelved_ms: int = 0
    """How long it was shelved, by shelves that are over, since it was last told to anybody."""
    reset_by: str | None = None
    closed_by: str | None = None
    closed_as: str | None = None
    """resolved | mistaken | withdrawn"""
    reason: str = ""
    climb_to: Rung | None = None
    """Of a drill: it climbs as far as this. None: it does not climb."""
    undated: bool = False
    """Sent while the clock could not be trusted: one ``dated`` revision is owed."""
    origins: tuple[Origin, ...] = ()
    """Of an event: where somebody did it."""
    called_to: str = ""
    """Where people were called to, if it has moved from there without a call: whoever is called next is called from the foot."""
    gone: bool = False
    """A call for help whose button, door or rule the site file has no more: only a person ends it."""

    @property
    def open(self) -> bool:
        """Not closed."""
        return self.response is not Response.CLOSED


class Change(Struct, frozen=True):
    """One step in an alert's life, with the alert as it is after it."""

    kind: ChangeKind | NoteKind
    at: Instant
    alert: Alert
    who: str | None = None
    reason: str = ""
    alike: int = 0
    """How many alerts of its rule are open in its building after it, this one counted; only messages count."""


CHAIN_TEST = "chain-test"
"""In the place of a rule: the alert of a test that a person asked for. No rule of a site has this name."""
FLOOD = 10
"""More alerts of one kind than this are shown together (ISA-18.2, 16.5: a flood is more than ten in ten minutes for one person)."""


def building_of(place: str) -> str:
    """``b1`` of ``b1/s1/301``."""
    return place.partition("/")[0]


def alert_id(site: str, rule: str, subject: str, occasion: str) -> str:
    """The identity of an alert: 16 hex digits, without any wall time, so that replay, restart and re-dating keep it."""
    return hashlib.sha256(f"{site}\x1f{rule}\x1f{subject}\x1f{occasion}".encode()).hexdigest()[:16]
