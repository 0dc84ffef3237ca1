"""What terminals tell, whichever way it came (push, stream, their own log), on its way to the core.

One place for what all ways share: which device may speak for a door, which serial numbers are missing, who is there, and
what was counted. Sockets are for ``listener.py``, ``stream.py`` and ``historian.py``; what bytes mean for the adapters.

Theory of pairing. The secret path says which door is meant, not which device speaks: a stolen path, or a terminal swapped
by nobody knows whom, would be believed. A device is known by the serial number or MAC that its bodies name: the site file's,
else the one learnt while a person had opened a *window* for that door (``loudong pair``). The window closes with the first
device it has learnt; what is learnt decides acceptance, so it is kept by the core, with the event that says so.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import structlog

from gateway.drivers.face.adapters import ADAPTERS
from gateway.drivers.face.bodies import BodyFault, Text
from gateway.drivers.face.chatter import Chatter
from gateway.drivers.face.persons import sealer
from gateway.drivers.face.presence import Presence
from gateway.drivers.face.scalars import plain
from gateway.drivers.face.serials import GIVEN_UP, Hole, Remembered, SerialTracker
from gateway.drivers.face.terminal import NOT_PAIRED, Decoded, Terminal
from gateway.events import Entry, Health, Paired, SequenceGap
from gateway.inbox import Report, Ticket
from gateway.instant import Instant
from gateway.restraint import Reminders
from gateway.site import model

log = structlog.get_logger()

TOO_MANY_PERSONS = "too_many_persons"
"""Reason of a door that names more persons than can pass one (``chatter.py``)."""


class Memory(Protocol):
    """What the core knows of the terminals; it outlives us."""

    def serials(self, door: str) -> Remembered:
        """Where its serial numbers stood at the last restart, and which are missing."""
        ...

    def has_seen(self, door: str, key: str) -> bool:
        """Whether this entry was handled before."""
        ...

    def paired(self, door: str) -> str:
        """The device learnt for this door; empty: none."""
        ...

    def stands_at(self, door: str) -> str:
        """The device that was learnt, or named by the site file, and heard last; empty: none."""
        ...

    def awaits(self, entry: Entry) -> bool:
        """Whether it names somebody under care, for whose signs of life a rule waits at this door."""
        ...


class NoMemory:
    """A gateway that begins."""

    def serials(self, _door: str) -> Remembered:
        return Remembered()

    def has_seen(self, _door: str, _key: str) -> bool:
        return False

    def paired(self, _door: str) -> str:
        return ""

    def stands_at(self, _door: str) -> str:
        return ""

    def awaits(self, _entry: Entry) -> bool:
        return False


class Intake:
    """All terminals of the site.

    ``wall_ms`` is wall time since 1970, None while the clock is not synchronised; ``key`` the site's pseudonym key; ``now``
    the site timeline; ``timezone`` (IANA name) that of doors that name none; ``windows`` those that are open already. ``counters`` counts
    what came of everything.
    """

    def __init__(
        self,
        doors: Mapping[str, model.Door],
        key: bytes,
        wall_ms: Callable[[], int | None],
        report: Report,
        now: Callable[[], Instant],
        memory: Memory | None = None,
        *,
        timezone: str = "",
        windows: Mapping[str, Instant] | None = None,
    ) -> None:
        self._memory = memory or NoMemory()
        self.doors, self.wall_ms, self._report, self._now = dict(doors), wall_ms, report, now
        self.counters: Counter[str] = Counter()
        self.news = {door: asyncio.Event() for door in self.doors}
        """Set when a door's own log should be asked: it is back, or a gap has opened."""
        self.presence = Presence(self.doors, self._report, lambda door: self.news[door].set())
        self.serials = {door: SerialTracker(door, self._memory.serials(door)) for door in self.doors}
        seal = sealer(key)
        self.terminals = {
            door.id: Terminal(
                id=door.id,
                seal=seal,
                enrolment=door.enrolment,
                direction=door.direction,
                zone=_zone(door.timezone or timezone, door.id),
                serial=door.serial or self._memory.paired(door.id),
                mapping=door.mapping,
            )
            for door in self.doors.values()
        }
        self._chatter, self._floods = Chatter(), Reminders()
        self._latest: dict[str, Ticket] = {}
        """Door -> its last entry told: the disk takes one after the other, so what came before is durable when this is."""
        self.windows = {name: until for name, until in (windows or {}).items() if self._learns(name)}
        """Until when a door learns its device."""
        self._met: set[str] = set()
        """Doors whose device, as the site file names it, was heard."""

    # What comes in ----------------------------------------------------------------------------------

    def receive(
        self, door: model.Door, texts: list[Text], *, from_memory: bool = False
    ) -> tuple[Decoded, list[Ticket]]:
        """Take the text parts of one body that a terminal sent of itself. Raises BodyFault; never because there is much of it.

        ``from_memory``: it begins by telling all it remembers; of what is not live only news is taken.
        """
        tickets: list[Ticket] = []
        decoded = self._decode(door, texts, tickets)
        self.counters[decoded.outcome] += 1
        self.counters["unmapped"] += decoded.unmapped
        for reason in decoded.faults:
            self.counters[f"part_{reason}"] += 1
        if decoded.clock_off is not None:
            self.terminals[door.id] = msgspec.structs.replace(self.terminals[door.id], clock_off=decoded.clock_off)
        is_ours = bool(decoded.device) and decoded.device == plain(self.terminals[door.id].serial)
        overran = self._chatter.overran(door.id, self._now() / 1000)
        health, reason = (Health.FAULTY, TOO_MANY_PERSONS) if overran else (Health.OK, "")
        self.presence.heard(door, health, reason, named=is_ours or bool(decoded.entries))
        if door.serial and decoded.device and door.id not in self._met:
            self._met.add(door.id)
            tickets += self._meet(door, decoded.device)
        for entry in decoded.entries:
            if from_memory and not entry.live and not self.serials[door.id].wants(entry.seq):
                self.counters["known_replays"] += 1
            else:
                tickets += self.take(door.id, entry)
        return decoded, tickets

    def take(self, door: str, entry: Entry) -> list[Ticket]:
        """Report one entry, and of what repeats too fast only the last word; before it the gap it opens, so that no rule counts on
        a silence, behind it what it closes.
        """
        now_s = self._now() / 1000
        told = self._chatter.hear(door, entry, now_s, awaited=self._memory.awaits(entry))
        if told:
            return self._take(door, entry, told)
        self.counters["entries_held_back"] += 1
        if times := self._floods.due((door, entry.type), now_s):
            log.warning("pushes_too_often", door=door, entry=entry.type, times=times)
        gaps = self._take(door, entry, [])
        # Sent again before what it repeats was durable: not answered sooner than that.
        return [*gaps, self._latest[door]] if door in self._latest else gaps

    def tell_rest(self) -> None:
        """Report what was held back of doors that have said nothing since."""
        for door in self.doors:
            for entry in self._chatter.rest(door):
                self._latest[door] = self._report(entry)

    def _take(self, door: str, entry: Entry, told: list[Entry]) -> list[Ticket]:
        self.counters["entries"] += 1
        repeat = self._memory.has_seen(door, entry.key)
        gaps = self.serials[door].observe(entry, self._now(), repeat=repeat)
        opened = [self._tell(gap) for gap in gaps if gap.open]
        reported = [self._report(each) for each in told]
        if reported:
            self._latest[door] = reported[-1]
        return [*opened, *reported, *(self._tell(gap) for gap in gaps if not gap.open)]

    def close(self, door: str, holes: Iterable[Hole], reason: str) -> list[Ticket]:
        """End gaps of a door for a named reason."""
        return [self._tell(gap) for gap in self.serials[door].close(holes, reason)]

    def _tell(self, gap: SequenceGap) -> Ticket:
        self.counters["gap_opened" if gap.open else f"gap_{gap.reason}"] += 1
        about = {"door": gap.terminal, "first": gap.first, "last": gap.last}
        if gap.open:
            log.warning("gap_opened", **about)
            self.news[gap.terminal].set()
        elif gap.reason == GIVEN_UP:
            log.error("gap_given_up", **about)
        else:
            log.info("gap_closed", reason=gap.reason, **about)
        return self._report(gap)

    # Which device -----------------------------------------------------------------------------------

    def open_window(self, door: str, length_ms: int) -> None:
        """For so long the next device that pushes to this door, and names itself, is taken for its terminal."""
        if self._learns(door):
            self.windows[door] = Instant(self._now() + length_ms)
            log.warning("pairing_opened", door=door, for_s=length_ms // 1000)

    def _learns(self, door: str) -> bool:
        """What the site file says needs no learning."""
        return door in self.doors and not self.doors[door].serial

    def _decode(self, door: model.Door, texts: list[Text], tickets: list[Ticket]) -> Decoded:
        terminal, adapter = self.terminals[door.id], ADAPTERS[door.vendor]
        until = self.windows.get(door.id)
        if until is not None and self._now() <= until:
            decoded = adapter(texts, msgspec.structs.replace(terminal, serial=""), self.wall_ms())
            if decoded.device:
                tickets += self._learn(door.id, decoded.device)
                return decoded
        if door.pairing and not terminal.serial:
            self.counters[NOT_PAIRED] += 1
            raise BodyFault(NOT_PAIRED)
        return adapter(texts, terminal, self.wall_ms())

    def _learn(self, door: str, device: str) -> list[Ticket]:
        """From here on this is the door's device, and the window is shut."""
        del self.windows[door]
        before = self.terminals[door].serial
        self.terminals[door] = msgspec.structs.replace(self.terminals[door], serial=device)
        self.counters["paired"] += 1
        log.warning("terminal_paired", door=door, device=device, before=before)
        return self._exchange(Paired(door, device), before)

    def _meet(self, door: model.Door, device: str) -> list[Ticket]:
        """The device that the site file names is there. Another one than before has lids and serial numbers of its own."""
        named, before = plain(door.serial), self._memory.stands_at(door.id)
        if before in {named, device}:  # learnt by its MAC, say, and named by its serial
            return []
        log.info("terminal_named", door=door.id, device=named, before=before)
        return self._exchange(Paired(door.id, named, named=True), before)

    def _exchange(self, paired: Paired, before: str) -> list[Ticket]:
        ended = self.serials[paired.terminal].forget() if before not in {"", paired.device} else []
        return [*map(self._tell, ended), self._report(paired)]


def _zone(name: str, door: str) -> tzinfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):
        log.warning("timezone_unknown", door=door, timezone=name)
        return None
