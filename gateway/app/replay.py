"""The recorded life once more: events of a journal through a core of its own, and what came of them. Pure.

Theory. The core is deterministic, so the journal and the site file *are* the life: the same events give the same alerts, ids
and revisions. What a journal cannot give back is said by ``Witness``.
"""

from __future__ import annotations

from collections import Counter

import msgspec
from msgspec import Struct

from gateway.actions import Note, Publish
from gateway.alerts import Change
from gateway.events import Boot, Command, DeviceHealth, Entry, Press, Reading, SiteLoaded, Stamped
from gateway.instant import Instant
from gateway.rules.compound import Compound
from gateway.rules.engine import Engine, Outcome


class Step(Struct, frozen=True):
    """One change of one alert, with its true time where that could be told then."""

    change: Change
    wall_ms: int | None
    noted: bool = False
    """Only kept in the history; nobody was told."""


class Replay:
    """One core that lives through a recording."""

    def __init__(self, compound: Compound) -> None:
        self._compound, self.engine = compound, Engine(compound)
        self.steps: list[Step] = []
        self._born: dict[str, tuple[str, str]] = {}
        self._elsewhere: dict[str, tuple[str, str]] = {}

    def beside(self, other: Replay) -> None:
        """Answers are addressed by alert id. Where this core knows the alert under another id, or not yet, they count for its
        open alert of the same rule and subject as ``other``'s.
        """
        self._elsewhere = other._born

    def feed(self, stamped: Stamped) -> None:
        """One event. At a boot the core is handed over as the store hands it over, by its rows."""
        event = stamped.event
        if isinstance(event, Boot):
            rows, self.engine = self.engine.snapshot(), Engine(self._compound)
            self.engine.restore(rows)
        if isinstance(event, Command):
            stamped = msgspec.structs.replace(stamped, event=self._addressed(event))
        self._note(self.engine.handle(stamped))

    def finish(self, until: Instant) -> None:
        """Let the deadlines up to the end of the recording fire."""
        self._note(self.engine.wake(until))

    def _addressed(self, command: Command) -> Command:
        if not command.alert or command.alert in self._born:
            return command
        meant = self._elsewhere.get(command.alert)
        found = (alert.id for alert in self.engine.alerts() if (alert.rule, alert.subject) == meant)
        return msgspec.structs.replace(command, alert=next(found, command.alert))

    def _note(self, outcome: Outcome) -> None:
        for action in outcome.actions:
            if isinstance(action, Publish | Note):
                change = action.change
                anchor = self.engine.anchor_at(change.at)
                self._born.setdefault(change.alert.id, (change.alert.rule, change.alert.subject))
                wall = None if anchor is None else anchor.wall_ms(change.at)
                self.steps.append(Step(change, wall, noted=isinstance(action, Note)))


class Witness:
    """What a recording holds, and so what it cannot hold."""

    def __init__(self, compound: Compound) -> None:
        self._compound = compound
        self.events = self.runs = self.other_sites = self.unknown_downtimes = self.blind_ms = 0
        self.first_at: Instant | None = None
        self.last_at = Instant(0)
        self.begins_with_boot = False
        self._told_of_run = False
        """This run is counted in ``other_sites``: a reload is no second start."""
        self.heard: set[tuple[str, str]] = set()
        """Points of which there is a reading."""
        self.strangers: Counter[str] = Counter()
        """Devices the site file does not know, with their events."""

    def feed(self, stamped: Stamped) -> None:
        """Look at one event."""
        event, self.last_at = stamped.event, stamped.at
        if self.first_at is None:
            self.first_at, self.begins_with_boot = stamped.at, isinstance(event, Boot)
        self.events += 1
        if isinstance(event, Reading):
            self.heard.add((event.device, event.point))
        elif isinstance(event, Boot):
            self.runs += 1
            self._told_of_run = False
            if self.events > 1:
                self.unknown_downtimes += event.downtime_ms is None
                self.blind_ms += event.downtime_ms or 0
        elif isinstance(event, SiteLoaded) and event.fingerprint != self._compound.fingerprint:
            self.other_sites += not self._told_of_run
            self._told_of_run = True
        subject = _subject(stamped)
        if subject and subject not in self._compound.subjects:
            self.strangers[subject] += 1


def _subject(stamped: Stamped) -> str:
    event = stamped.event
    if isinstance(event, Reading | DeviceHealth):
        return event.device
    if isinstance(event, Press):
        return event.button
    return event.terminal if isinstance(event, Entry) else ""
