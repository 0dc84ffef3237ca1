"""The question a condition is asked, what it may look at, and its answer. Pure; the words of all conditions, and none of them.

Theory. A *fact* is a state somebody reported (a value, a health, a door); a *pulse* is an event that only happens (a press, a
pass, a sign of life). An answer is true, false, or unknown; time enters as ``due``: the moment at which the answer may change
by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from msgspec import Struct

from gateway.alerts import Why
from gateway.events import Event, Press, Quality, Scalar
from gateway.instant import Instant
from gateway.rules.memory import Memory
from gateway.rules.signs import Leave, Sign
from gateway.rules.wall import Wall

_IN_DOUBT = (Quality.WARM_UP, Quality.COMMS, Quality.UNDER_TEST)
"""A number was read, but the device heats up, or its own word on its health did not come, or it is tested: beyond a limit it counts
all the same; while it heats up only beyond an upper one (``Threshold``), while it is tested as a drill (``testing``)."""


class Fact(Struct, frozen=True, gc=False):
    """The last word on one fact of one subject."""

    value: Scalar | None
    quality: Quality
    at: Instant
    since: Instant
    """Since when the value has been this one."""
    heard: int
    """Time spent listening, in ms, when it was last heard: blind time does not age it."""

    def believed(self, *, alarming: bool, told: bool = False) -> bool:
        """Whether the value counts as what it says.

        ``told``: the device says it itself (a contact, an alarm bit, a named state); a device that is also at fault, in a mode
        nobody knows or switched off says so besides, and takes nothing back (facts/modbus 5: its own bits are OR-ed, never AND-ed).
        A measured number that is in doubt alarms only where the doubt is not about the number; a quiet value in doubt proves
        nothing.
        """
        if self.value is None:
            return False
        return self.quality is Quality.GOOD or (alarming and (told or self.quality in _IN_DOUBT))


class View(Protocol):
    """What a condition may look at."""

    def fact(self, subject: str, name: str) -> Fact | None:
        """The last word, or None if never heard."""
        ...

    def has(self, subject: str, name: str) -> bool:
        """Whether the subject has such a fact at all."""
        ...

    def stale_at(self, subject: str, name: str) -> Instant | None:
        """When the fact goes (or went) stale if nothing more is heard; None: never."""
        ...

    def supervised(self, subject: str) -> tuple[str, ...]:
        """The subject's facts that can go stale."""
        ...

    def unit(self, subject: str, name: str) -> str:
        """The fact's unit."""
        ...

    def via(self, subject: str) -> str:
        """The subject's bus, or empty."""
        ...

    def means_sos(self, subject: str, press: Press) -> bool:
        """Whether the site leaves this press its meaning."""
        ...

    def wall(self, at: Instant) -> Wall | None:
        """What the clock on the wall shows; None while it is not trusted."""
        ...

    def awake_since(self) -> Instant:
        """When this run began to listen."""
        ...

    def blind_ms(self) -> int:
        """How long nobody ran, of the timeline so far."""
        ...

    def unread_until(self, subject: str, name: str) -> Instant | None:
        """Until when what was said of a fact in a test before this run is none of this run's; None: it was read since, or not tested."""
        ...

    def is_counted_from(self, at: Instant) -> bool:
        """Whether no time of unknown length has passed since that moment."""
        ...

    def covered_since(self, subjects: tuple[str, ...]) -> Instant | None:
        """Since when everything through which these subjects are heard of works without a break; None: not now."""
        ...

    def deaf_since(self, subjects: tuple[str, ...], at: Instant) -> tuple[tuple[str, Instant], ...]:
        """Through what these subjects could not be heard at some time since then, and since when (or until when)."""
        ...

    def leave(self, subject: str, at: Instant) -> Leave:
        """Whether the subject is away."""
        ...


class ConditionNode(Protocol):
    """A node of the tree."""

    def find(self, case: Case) -> Finding: ...


class Finding(Struct, frozen=True):
    """What a condition found."""

    truth: bool | None
    why: tuple[Why, ...] = ()
    due: Instant | None = None
    """When to look again even if nothing happens."""
    solid: bool = True
    """False where the truth rests on an analogue value alone, which one bad transmission can fake."""


class Case(Struct, frozen=True):
    """One question: does the condition hold for this subject, at this moment, given this pulse?"""

    view: View
    subject: str
    at: Instant
    standing: bool
    """The alert stands already: thresholds use their return limit (limit less deadband)."""
    pulse: Event | Sign | None = None
    members: tuple[str, ...] = ()
    """Where the subject is a place: the subjects there that the rule watches."""
    origin: str = ""
    """The member that the pulse is of."""
    past: tuple[Memory, ...] = ()
    """What the watch remembers, one for each condition with a past."""
    place: str = ""
    """Where the subject is one of several that are asked for their place: that place."""
    aside: frozenset[tuple[str, str]] = frozenset()
    """Facts, each with its device, of which a word under test is left out: whether the rest is enough."""

    @property
    def whose(self) -> str:
        """Named in the reasons, where the alert's own subject does not say it."""
        return self.subject if self.place else ""

    def leaves_out(self, owner: str, name: str, fact: Fact) -> bool:
        """Whether it is said in a test, and asked what is so without it."""
        return fact.quality is Quality.UNDER_TEST and (owner, name) in self.aside

    def each(self) -> tuple[Case, ...]:
        """The same question for each member, or for the subject itself."""
        if not self.members:
            return (self,)
        return tuple(
            Case(
                self.view,
                member,
                self.at,
                self.standing,
                self.pulse if member == self.origin else None,
                place=self.subject,
                aside=self.aside,
            )
            for member in self.members
        )


def is_stale(case: Case, name: str) -> bool:
    """Whether the fact has not been heard for its maximum age."""
    moment = case.view.stale_at(case.subject, name)
    return moment is not None and case.at >= moment


def why_of(case: Case, name: str, fact: Fact, limit: Scalar | None) -> Why:
    """A fact as a reason for an alert."""
    return Why(name, fact.value, fact.quality, fact.at, case.view.unit(case.subject, name), limit, case.whose)


def soonest(moments: Iterable[Instant | None]) -> Instant | None:
    """The first of some moments, of which any may be none."""
    return min((moment for moment in moments if moment is not None), default=None)
