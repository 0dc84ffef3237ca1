"""Outputs that their device lets go unless they are written again, and when each is due. Pure.

Theory. A renewal nobody waits for must never stand in the way of what somebody does. So a point has one that waits at most, none
while its device is quarantined (a dead relay would gather hundreds, and carry them out before the order that ended them), and
whoever writes the point ends what was wanted of it before.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.drivers.modbus.member import Member
from gateway.site.profile import PointSpec

_RENEW = 0.5
"""Part of the time after which a device lets go: one renewal may fail."""


class Renewals:
    """Of one bus."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], tuple[Member, PointSpec]] = {}
        self._due: dict[tuple[str, str], float] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def hold(self, member: Member, spec: PointSpec, at: float) -> None:
        """It was switched on."""
        if spec.repeat_ms:
            self._held[member.id, spec.name] = (member, spec)
            self._put_off(member.id, spec, at)

    def release(self, device: str, point: str) -> None:
        """Somebody wants something else of it."""
        self._held.pop((device, point), None)
        self._due.pop((device, point), None)

    def take(self, at: float, waits: Callable[[Member, PointSpec], bool]) -> list[tuple[Member, PointSpec]]:
        """Those due now; ``waits`` says whether the one before still does."""
        due = []
        for key, (member, spec) in self._held.items():
            if self._due[key] <= at and not member.backoff:
                self._put_off(member.id, spec, at)
                if not waits(member, spec):
                    due.append((member, spec))
        return due

    def next_at(self) -> float:
        """When the next is due of a device that lives."""
        living = (self._due[key] for key, (member, _) in self._held.items() if not member.backoff)
        return min(living, default=float("inf"))

    def _put_off(self, device: str, spec: PointSpec, at: float) -> None:
        self._due[device, spec.name] = at + _RENEW * spec.repeat_ms / 1000
