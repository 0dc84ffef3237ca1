"""Whether the terminals of the site are there: heard within three of their heartbeats, and the device that is meant.

Owns the last health reported of each door and when it falls silent; who is heard, and how, is for others to say.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping

import structlog

from gateway.drivers.face.terminal import NOT_PAIRED, WRONG_DEVICE
from gateway.events import DeviceHealth, Health, Reading
from gateway.inbox import Report
from gateway.restraint import Allowance, Rate
from gateway.site import model

log = structlog.get_logger()

MISSED_HEARTBEATS = 3
CHANGE_RATE = Rate(burst=20, every_s=30.0)
"""Of what is said of one door by what it sends: it could be another device in every second body, and each change is an event at
once on the disk."""
_DOUBTED = ((Health.FAULTY, WRONG_DEVICE), (Health.FAULTY, NOT_PAIRED))


class Presence:
    """The health of every door. Silence counts from ``begin`` on; while nobody listens nobody is heard. That of a slow door the core
    counts, too, for it outlasts us: each of its heartbeats is told.
    """

    def __init__(
        self, doors: Mapping[str, model.Door], report: Report, on_back: Callable[[str], None] = lambda _door: None
    ) -> None:
        """``on_back`` hears of a door that was not well and now is."""
        self._doors, self._report, self._on_back = doors, report, on_back
        self._health: dict[str, tuple[Health, str]] = {}
        self._silent_at: dict[str, float] = {}
        self._heard_at: dict[str, float] = {}
        self._told_at: dict[str, float] = {}
        self._changes = Allowance(CHANGE_RATE)

    def begin(self) -> None:
        """From the first call on silence counts."""
        now = _now()
        for door in self._doors.values():
            self._silent_at.setdefault(door.id, now + patience_s(door))
        self.look()

    def look(self) -> None:
        """Report the doors that have fallen silent."""
        now = _now()
        for door, silent_at in self._silent_at.items():
            if silent_at <= now:
                self.set(door, Health.LOST, "silent")

    def next_s(self) -> float | None:
        """How long until the next door may fall silent; None: none is awaited."""
        now = _now()
        return min((at - now for at in self._silent_at.values() if at > now), default=None)

    def heard(self, door: model.Door, health: Health = Health.OK, reason: str = "", *, named: bool = False) -> None:
        """The terminal spoke. ``named``: and said which device it is."""
        now = _now()
        self._heard_at[door.id] = now
        self._silent_at[door.id] = now + patience_s(door)
        if door.is_slow and now - self._told_at.get(door.id, -math.inf) >= door.heartbeat_ms / 2000:
            self._told_at[door.id] = now
            self._report(Reading(door.id, model.BEAT, value=True))
        if health is Health.OK and not named and self._health.get(door.id) in _DOUBTED:
            return  # a heartbeat that names no device does not clear the doubt
        if self._health.get(door.id) != (health, reason) and self._changes.take(door.id, now):
            self.set(door.id, health, reason)

    def set(self, door: str, health: Health, reason: str) -> None:
        """Report a change, once."""
        before = self._health.get(door)
        if before == (health, reason):
            return
        self._health[door] = health, reason
        log.info("terminal_health_changed", door=door, health=health.value, reason=reason)
        self._report(DeviceHealth(door, health, reason))
        if health is Health.OK and before is not None:
            self._on_back(door)

    def is_lost(self, door: str) -> bool:
        """Whether nobody speaks there."""
        return self._health.get(door, (Health.OK, ""))[0] is Health.LOST

    def heard_s(self, door: str) -> float | None:
        """Seconds since the terminal last spoke in this run; None: it has not."""
        at = self._heard_at.get(door)
        return None if at is None else _now() - at


def patience_s(door: model.Door) -> float:
    """How long a door may be silent."""
    return MISSED_HEARTBEATS * door.heartbeat_ms / 1000


def _now() -> float:
    return asyncio.get_running_loop().time()
