"""What to ask next. Pure; the one place that decides who waits when a bus is too slow for all its points.

Theory. Each block of each device is a slot that is due once in its period. Among what is due the earliest deadline goes first,
and what somebody's safety waits for before the rest; but while both wait, a quarter of the time is for the rest, so that no
relay goes unread for the sake of twenty detectors. Time and not turns, because a silent device takes as long as ten that answer.
From this follows what ``load.py`` proves before the gateway starts: an alarm slot waits for one transaction under way, for every
other alarm slot once, for a third of that time and one transaction of the rest.

A turn that was missed is skipped and counted, not made up for: on an overbooked bus the rest grows late and nothing piles up.
A device that may not be addressed yet is passed over without holding anybody up.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

from msgspec import Struct

from gateway.drivers.modbus.plan import Block

ALARM_TIME = 3.0
"""Time for alarms against time for the rest, while both wait."""
_HOARD_S = 0.25
"""No more than this is saved up for the rest: a long read, not a row of them."""
_ARREARS_S = 1.0
"""No longer than three times this does the rest wait for its next one."""


class Slot(Struct, eq=False):
    """One block of one device, and when it is wanted again (seconds on the caller's clock)."""

    device: str
    block: Block
    period: float
    due: float
    gone: bool = False
    """Replaced by another plan."""
    began: float = 0.0
    contested: bool = False
    """Whether others, alarms or not, waited when it had its turn."""

    @property
    def deadline(self) -> float:
        """When it should have been read."""
        return self.due + self.period


class Turns(Struct, frozen=True):
    """How many turns were taken, and how many left out because the bus was too slow."""

    taken: int = 0
    skipped: int = 0
    alarms_taken: int = 0
    alarms_skipped: int = 0

    def since(self, before: Turns) -> Turns:
        """Those after ``before``."""
        return Turns(
            self.taken - before.taken,
            self.skipped - before.skipped,
            self.alarms_taken - before.alarms_taken,
            self.alarms_skipped - before.alarms_skipped,
        )

    @property
    def share(self) -> float:
        """The part left out."""
        return self.skipped / max(1, self.taken + self.skipped)

    @property
    def alarm_share(self) -> float:
        """The part of the alarms' turns left out."""
        return self.alarms_skipped / max(1, self.alarms_taken + self.alarms_skipped)


class Schedule:
    """Every slot of one bus."""

    def __init__(self) -> None:
        self._of: dict[str, list[Slot]] = {}
        self._waiting: list[tuple[float, int, Slot]] = []
        self._alarms: list[tuple[float, int, Slot]] = []
        self._others: list[tuple[float, int, Slot]] = []
        self._owed_s = 0.0
        """Time the rest may take although alarms wait."""
        self._count = 0
        self._taken = self._skipped = self._alarms_taken = self._alarms_skipped = 0

    @property
    def turns(self) -> Turns:
        """All so far."""
        return Turns(self._taken, self._skipped, self._alarms_taken, self._alarms_skipped)

    def replace(self, device: str, slots: Iterable[Slot]) -> None:
        """Forget what was planned for a device and plan this instead."""
        for slot in self._of.get(device, ()):
            slot.gone = True
        self._of[device] = list(slots)
        for slot in self._of[device]:
            self._wait(slot, slot.due)

    def of(self, device: str) -> list[Slot]:
        """What is planned for a device."""
        return self._of.get(device, [])

    def next(self, at: float, free_at: Callable[[Slot], float]) -> Slot | float:
        """The slot to serve now, or the moment to ask again. ``free_at`` says from when its device may be asked for it.

        A slot given out stays out until ``done``.
        """
        self._wake(at)
        alarm, other = self._first(self._alarms, at, free_at), self._first(self._others, at, free_at)
        if alarm is None and other is None:
            return self._waiting[0][0] if self._waiting else float("inf")
        heap = self._others if alarm is None or (other is not None and self._owed_s > 0) else self._alarms
        slot = heapq.heappop(heap)[2]
        slot.began, slot.contested = at, alarm is not None and other is not None
        return slot

    def next_alarm(self, at: float, free_at: Callable[[Slot], float]) -> Slot | None:
        """The alarm slot to serve now, if one is due; as ``next``."""
        self._wake(at)
        slot = self._first(self._alarms, at, free_at)
        if slot is not None:
            heapq.heappop(self._alarms)
            slot.began, slot.contested = at, False
        return slot

    def done(self, slot: Slot, at: float, *, retry: float | None = None) -> None:
        """A slot was served, well or badly; ``retry`` wants it again after that many seconds instead of its period."""
        if slot.contested:
            took_s = at - slot.began
            owed_s = self._owed_s + (took_s / ALARM_TIME if slot.block.alarm else -took_s)
            self._owed_s = max(-_ARREARS_S, min(_HOARD_S, owed_s))
        self._count_turns(1, 0, alarm=slot.block.alarm)
        if slot.gone:
            return
        if retry is not None:
            slot.due = at + retry
        else:
            missed = max(0, int((at - slot.due) / slot.period))
            self._count_turns(0, missed, alarm=slot.block.alarm)
            slot.due += (missed + 1) * slot.period
        self._wait(slot, slot.due)

    def _count_turns(self, taken: int, skipped: int, *, alarm: bool) -> None:
        self._taken += taken
        self._skipped += skipped
        if alarm:
            self._alarms_taken += taken
            self._alarms_skipped += skipped

    def _wait(self, slot: Slot, until: float) -> None:
        self._count += 1
        heapq.heappush(self._waiting, (until, self._count, slot))

    def _wake(self, at: float) -> None:
        """What is due joins its queue, by deadline."""
        while self._waiting and (self._waiting[0][0] <= at or self._waiting[0][2].gone):
            _, order, slot = heapq.heappop(self._waiting)
            if not slot.gone:
                heapq.heappush(self._alarms if slot.block.alarm else self._others, (slot.deadline, order, slot))

    def _first(self, heap: list[tuple[float, int, Slot]], at: float, free_at: Callable[[Slot], float]) -> Slot | None:
        """The first of a queue whose device may be addressed; those that may not wait until then."""
        while heap:
            slot = heap[0][2]
            if slot.gone:
                heapq.heappop(heap)
            elif (free := free_at(slot)) > at:
                heapq.heappop(heap)
                self._wait(slot, free)
            else:
                return slot
        return None
