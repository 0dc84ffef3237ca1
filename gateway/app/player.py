"""Plays a timetable on a core of its own, on virtual time, and hands out what the core said. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from gateway.actions import Action
from gateway.app.local_time import wall_ms
from gateway.events import Boot, ClockSynced, Command, Entry, Event, Reading, SiteLoaded, Stamped
from gateway.instant import ClockQuality, Instant
from gateway.rules.compound import Compound
from gateway.rules.engine import Engine, Outcome
from gateway.timetable import TIMETABLE, Happening, Nothing, Restart, RightClock

STARTS = "2026-11-22T20:00"
"""Local time when every timetable begins, by a clock that is right: a Sunday evening."""


class Said(Struct, frozen=True):
    """One thing the core said, and when."""

    at: Instant
    action: Action


class Player:
    """One life of one compound. A quiet evening (``quiet``, said before the start) is where it begins."""

    def __init__(self, world: Compound, quiet: Iterable[Reading] = ()) -> None:
        self.world, self.engine = world, Engine(world)
        self.at = Instant(0)
        self._count, self._run = 0, 1
        self._starts_ms = wall_ms(STARTS, world.zone)
        self._said: list[Said] = []
        self._start(None, self._starts_ms)
        for reading in quiet:
            self._give(reading)
        self._said.clear()

    def happen(self, happening: Happening) -> list[Said]:
        """Let one line take effect; deadlines before it fire each at its own time."""
        due = Instant(happening.at_ms)
        while (soonest := self.engine.next_due()) is not None and soonest < due:
            self.at = max(soonest, self.at)
            self._say(self.engine.wake(soonest))
        self.at = max(due, self.at)  # a restart takes time of which the file's next line may know nothing
        what = happening.what
        if isinstance(what, Restart):
            self._restart(what.downtime_ms)
        elif isinstance(what, Nothing):
            self._say(self.engine.wake(self.at))
        elif isinstance(what, RightClock):
            self._give(ClockSynced(wall_ms(what.local, self.world.zone) - self.at))
        else:
            self._give(self._addressed(what))
        said, self._said = self._said, []
        return said

    def _addressed(self, what: Event) -> Event:
        """With the alert's id where the timetable names its rule, and the pseudonym where it names a person."""
        if isinstance(what, Command):
            found = (alert.id for alert in self.engine.alerts() if alert.rule == what.alert)
            return msgspec.structs.replace(what, alert=next(found, what.alert))
        if not isinstance(what, Entry) or what.person is None:
            return what
        known = self.world.subjects.get(what.person)
        pseudonyms = known.care.pseudonyms if known is not None and known.care is not None else {}
        entry = msgspec.structs.replace(what, person=pseudonyms.get(what.terminal, what.person))
        if entry.time_quality != TIMETABLE or entry.terminal_time_ms is None:
            return entry
        shown_ms = self._starts_ms + entry.terminal_time_ms
        return msgspec.structs.replace(entry, terminal_time_ms=shown_ms, time_quality="offset")

    def _give(self, event: Event) -> None:
        self._count += 1
        self._say(self.engine.handle(Stamped(self.at, f"r{self._run}.{self._count}", event)))

    def _start(self, downtime: int | None, wall: int | None) -> None:
        quality = ClockQuality.UNSYNCED if wall is None else ClockQuality.SYNCED
        offset = None if wall is None else wall - self.at
        self._give(Boot(f"r{self._run}", f"boot{self._run}", quality, downtime, offset, "timetable"))
        self._give(SiteLoaded(self.world.fingerprint))

    def _restart(self, downtime: int | None) -> None:
        """The process dies and a new one takes over from the rows that were kept."""
        rows = self.engine.snapshot()
        self.engine = Engine(self.world)
        self.engine.restore(rows)
        self._run += 1
        self.at = Instant(self.at + (downtime or 0))
        self._start(downtime, None if downtime is None else self._starts_ms + self.at)

    def _say(self, outcome: Outcome) -> None:
        self._said += (Said(self.at, action) for action in outcome.actions)
