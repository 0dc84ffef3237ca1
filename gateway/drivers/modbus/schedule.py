"""What to ask next. Pure; the one place that decides who waits when a bus is too slow for all its points.

Theory. Among what is due the one whose period ends first goes first (earliest deadline), alarms before others on a tie. On
an overbooked bus every point then grows late by the same time and none starves; weighing lateness in periods instead would
let twenty fast points keep a relay from being read for fifteen seconds. A turn that was missed is skipped, not made up for.
Whoever proves deadlines at configuration time replaces this file: its whole surface is ``replace``, ``next`` and ``done``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from gateway.drivers.modbus.plan import Block


class Slot(Struct, eq=False):
    """One block of one device, and when it is wanted again (seconds on the caller's clock)."""

    device: str
    block: Block
    period: float
    due: float


class Schedule:
    """Every slot of one bus."""

    def __init__(self) -> None:
        self._slots: list[Slot] = []

    def replace(self, device: str, slots: Iterable[Slot]) -> None:
        """Forget what was planned for a device and plan this instead."""
        self._slots = [slot for slot in self._slots if slot.device != device] + list(slots)

    def of(self, device: str) -> list[Slot]:
        """What is planned for a device."""
        return [slot for slot in self._slots if slot.device == device]

    def next(self, at: float, free_at: Callable[[str], float]) -> Slot | float:
        """The slot to serve now, or the moment to ask again. ``free_at`` says from when a device may be addressed."""
        starts = [(max(slot.due, free_at(slot.device)), slot) for slot in self._slots]
        ready = [slot for start, slot in starts if start <= at]
        if ready:
            return min(ready, key=lambda slot: (slot.due + slot.period, not slot.block.alarm))
        return min((start for start, _ in starts), default=float("inf"))

    def done(self, slot: Slot, at: float, *, retry: float | None = None) -> None:
        """A slot was served, well or badly; ``retry`` wants it again after that many seconds instead of its period."""
        if retry is not None:
            slot.due = at + retry
        else:
            slot.due = slot.due + slot.period if slot.due + slot.period > at else at + slot.period
