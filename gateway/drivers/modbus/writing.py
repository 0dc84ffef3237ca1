"""Carrying out the write of an output: to its device, or to all of a line at once; then read back and compared.

An output that is not confirmed is an alarm, so who is busy, and who does not show its new state yet, is asked again before anybody
is told. A broadcast goes only where it can move nobody else, and proves nothing: each device is read back after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.drivers.modbus.frames import Request, shown, switch_request
from gateway.drivers.modbus.jobs import Job, Jobs, Outcome
from gateway.drivers.modbus.line import ACKNOWLEDGE, BUSY, Line, Refused
from gateway.drivers.modbus.member import Member
from gateway.drivers.modbus.plan import Block
from gateway.drivers.modbus.roll import Roll
from gateway.events import Quality
from gateway.faults import DeviceFault
from gateway.site.profile import PointSpec

_VERIFY_S, _VERIFY_TRIES = 0.05, 3  # a relay may show its coil a moment after it confirmed the write
_BUSY_S, _BUSY_TRIES = 0.1, 3
_CROWD = 2  # devices from which on one broadcast is worth its turnaround delay


class Writing:
    """To the outputs of one bus."""

    def __init__(
        self,
        line: Line,
        roll: Roll,
        jobs: Jobs,
        *,
        talk: Callable[[Member, Request], Awaitable[None]],
        fetch: Callable[[Member, Block], Awaitable[list[int]]],
    ) -> None:
        """``talk`` is a write and ``fetch`` a read that is waited for as long, each with all its consequences for what is known of the
        device.
        """
        self._line, self._roll, self._jobs, self._talk, self._fetch = line, roll, jobs, talk, fetch

    async def step(self, job: Job, spec: PointSpec) -> Outcome | None:
        """Write, or read back; None where there is more to do. Raises ``DeviceFault``: ``readback``, else as ``Line``."""
        return await self._verify(job, spec) if job.written else await self._write(job, spec)

    async def _write(self, job: Job, spec: PointSpec) -> Outcome | None:
        alike = self._alike(job, spec)
        if alike:
            await self._line.broadcast(switch_request(0, spec, on=job.on))
            for each in alike:
                each.sent()
            return None
        try:
            await self._talk(job.member, switch_request(job.member.unit, spec, on=job.on))
        except Refused as refused:
            if refused.code == BUSY and job.tries < _BUSY_TRIES:
                job.tries, job.not_before = job.tries + 1, _now() + _BUSY_S
                return None
            if refused.code != ACKNOWLEDGE:
                raise
        job.tries = 0
        job.sent()
        return (job.on, Quality.GOOD) if spec.write_only else None

    async def _verify(self, job: Job, spec: PointSpec) -> Outcome | None:
        """The whole block is read: that its shape is answered is known."""
        member, block = job.member, job.member.block_of(spec)
        answer = await self._fetch(member, block)
        self._roll.say(*member.points.accept(block, answer, _now()))
        wanted, seen = shown(spec, on=job.on), block.words(spec, answer)[0]
        if wanted is None or seen == wanted:
            now = member.points.current(spec.name)
            return now.value, now.quality
        job.tries += 1
        if job.tries >= _VERIFY_TRIES:
            raise DeviceFault("readback", f"{member.id}.{spec.name}: wants {wanted}, reads {seen}")
        job.not_before = _now() + _VERIFY_S
        return None

    def _alike(self, job: Job, spec: PointSpec) -> list[Job]:
        """Jobs that one write to unit 0 does at once: only where nobody else is on the line whom it could move, too.

        Nobody answers to unit 0, so what is not read back is written to each alone.
        """
        if spec.unread or len(self._roll) < _CROWD or not all(member.profile.broadcast for member in self._roll):
            return []
        same = [other for other in self._jobs if _same(job, other)]
        wants = {other.member.id: other for other in (*same, job)}
        return list(wants.values()) if wants.keys() == self._roll.members.keys() else []


def _same(job: Job, other: Job) -> bool:
    waits = other.writes and not other.written
    return waits and other.on == job.on and other.spec == job.spec


def _now() -> float:
    return asyncio.get_running_loop().time()
