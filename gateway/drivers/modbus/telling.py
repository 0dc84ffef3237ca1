"""Telling a device what it must be told at each start: written, then read back.

What it did not hear is told again at its next answer, but no more than twice: a register that is taken and never answers when
it is read would else be written for ever, and the memory behind it bears some hundred thousand writes. One that is still storing
what it was told before, and says that it is busy, has not heard either. What it will not hold is told to people.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from gateway.drivers.modbus.frames import Request, deed_request
from gateway.drivers.modbus.jobs import Job, Outcome
from gateway.drivers.modbus.line import BUSY, Line, Refused
from gateway.drivers.modbus.member import Member
from gateway.events import Quality
from gateway.faults import DeviceFault
from gateway.site.profile import Deed, Space

log = structlog.get_logger()

_RETELLS = 2  # in one life of a device: three lost in a row are no chance
_STORED_S = 0.3  # devices store what they are told at each start in a memory that takes its time


class Telling:
    """Of the devices of one bus."""

    def __init__(self, bus: str, line: Line, talk: Callable[[Member, Request], Awaitable[None]]) -> None:
        """``talk``: a write with all its consequences."""
        self._bus, self._line, self._talk = bus, line, talk

    async def step(self, job: Job, deed: Deed) -> Outcome | None:
        """Write, or read back; None where there is more to do."""
        member = job.member
        if deed.value is None:  # pragma: no cover - the profile's reader refuses it
            return None, Quality.INVALID
        try:
            if job.written:
                await self._prove(member, deed, deed.value)
            else:
                await self._talk(member, deed_request(member.unit, deed, deed.value))
        except DeviceFault as fault:
            self._failed(member, deed, fault)
            raise
        if job.written or not deed.read_back or deed.raw:
            return deed.value, Quality.GOOD
        job.written, job.not_before = True, asyncio.get_running_loop().time() + _STORED_S
        return None

    def _failed(self, member: Member, deed: Deed, fault: DeviceFault) -> None:
        """Tell it again where it may not have heard, and people once."""
        heard = fault.reason == "readback" or (isinstance(fault, Refused) and fault.code != BUSY)
        member.unheard[deed.name] += not heard
        again = not heard and member.unheard[deed.name] <= _RETELLS
        member.unset = member.unset or again
        if heard or member.unheard[deed.name] == 1:
            log.warning("setup_failed", bus=self._bus, device=member.id, write=deed.name, reason=fault.reason)

    async def _prove(self, member: Member, deed: Deed, value: int) -> None:
        """Whether a register holds what was written; one that cannot be read proves nothing."""
        try:
            (seen,) = await self._line.read(member.unit, deed.space, deed.address, 1, member.profile.timeout_ms)
        except Refused:
            return
        finally:
            member.rest_until = asyncio.get_running_loop().time() + member.profile.guard_ms / 1000
        if seen != (int(bool(value)) if deed.space is Space.COIL else value):
            raise DeviceFault("readback", f"{member.id}.{deed.name}: wants {value}, reads {seen}")
