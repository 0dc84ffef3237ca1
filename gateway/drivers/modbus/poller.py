"""The edge of one Modbus bus: one task that owns the line, polls what is due, and lets writes go first.

Each turn is one transaction: a job somebody waits for (write, then read), else the slot that is due. A device that misses
three times is quarantined and probed with growing pauses, so the dead cost the living next to nothing; its points are
reported as ``comms`` at once, for an old "no gas" is no "no gas". Faults of the world end nothing here; a bug does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from enum import IntEnum

import structlog
from msgspec import Struct

from gateway.drivers.modbus.frames import shown, switch_request
from gateway.drivers.modbus.line import Line, Refused
from gateway.drivers.modbus.lines import line_of
from gateway.drivers.modbus.plan import Block, plan, split
from gateway.drivers.modbus.reporting import Points
from gateway.drivers.modbus.schedule import Schedule, Slot
from gateway.drivers.modbus.watch import MISSES, STRIKES, BusWatch, DeviceWatch
from gateway.events import DeviceHealth, Health, Quality, Reading, Scalar
from gateway.faults import DeviceFault
from gateway.inbox import Report
from gateway.site.model import Bus, ModbusDevice
from gateway.site.profile import PointSpec

log = structlog.get_logger()

RECONNECT_S = 1.0  # promised: back within 3 s of its return
REOPEN_S = 10.0  # when everybody is silent the adapter itself may hang, or another one now bears the path
LISTEN_S = 3.0  # every device is asked at least this often, so that its silence shows within 10 s
RETRY_S = 0.5
_BACKOFF_S = (1.0, 30.0)  # facts/modbus 4: probe after 1, 2, 4 .. 30 s
_BACKOFF_SILENT_S = 2.0  # when all are silent the wire is free
_IDLE_S = 1.0
_VERIFY_S = 0.05  # a relay may show its coil a moment after it confirmed the write
_VERIFY_TRIES = 3
_CROWD = 2  # devices from which on one broadcast is worth its turnaround delay
_SPLIT_CODES = {2, 3}  # Application Protocol 7: illegal address, illegal value


class _Kind(IntEnum):
    """Who goes first."""

    WRITE = 0
    READ = 1


class _Job(Struct, eq=False):
    kind: _Kind
    member: _Member
    spec: PointSpec
    done: asyncio.Future[tuple[Scalar | None, Quality]] | None
    on: bool = False
    written: bool = False
    tries: int = 0
    not_before: float = 0.0


class _Member:
    """One device of the bus as the poller knows it."""

    def __init__(self, device: ModbusDevice) -> None:
        self.device, self.id, self.unit = device, device.id, device.unit_id
        self.profile = device.profile
        self.specs = {spec.name: spec for spec in device.profile.points}
        self.blocks = plan(device.profile)
        self.points = Points(device)
        self.watch = DeviceWatch(device.id)
        self.rest_until = 0.0
        self.backoff = 0.0
        """Pause before the next probe; 0 while it is not quarantined."""

    def slots(self, at: float) -> list[Slot]:
        """Every block due now, the quickest of them at least every ``LISTEN_S``."""
        quickest = min(self.blocks, key=lambda block: block.period_ms, default=None)
        limit = {id(quickest): LISTEN_S}
        return [
            Slot(self.id, block, min(self._period_s(block), limit.get(id(block), float("inf"))), at)
            for block in self.blocks
        ]

    def _period_s(self, block: Block) -> float:
        aged = self.device.max_age_ms / 3 if block.alarm else float("inf")
        return min(block.period_ms, aged) / 1000

    def probe(self, at: float) -> Slot:
        """The cheapest question that shows it is alive."""
        block = min(self.blocks, key=lambda block: (self.watch.mute(_key(block)), not block.alarm, block.count))
        return Slot(self.id, block, self.backoff, at + self.backoff)

    def block_of(self, spec: PointSpec) -> Block:
        """The block that reads a point."""
        return next(block for block in self.blocks if spec in block.points)


class BusPoller:
    """Polls one bus and carries out what is asked of its devices."""

    def __init__(
        self, bus: Bus, report: Report, *, beat: Callable[[], None] = lambda: None, line: Line | None = None
    ) -> None:
        """``beat`` is called after each completed turn, faults included; ``line`` replaces the one the bus describes."""
        self.line = line or line_of(bus)
        self._bus, self._report, self._beat = bus, report, beat
        self._members = {device.id: _Member(device) for device in bus.devices if device.profile.points}
        for member in self._members.values():
            self.line.pace(member.unit, member.profile.min_gap_ms / 1000)
        self._watch = BusWatch(bus.id, len(self._members), 0.0)
        self._schedule = Schedule()
        self._jobs: list[_Job] = []
        self._wake = asyncio.Event()
        self._connect_at = 0.0
        self._opened_at: float | None = None
        self._stopped = False

    async def run(self) -> None:
        """Polls until cancelled; whoever still waits then gets ``DeviceFault("stopped")``."""
        self._stopped, self._connect_at = False, 0.0
        try:
            while True:
                await self._turn()
                self._beat()
        finally:
            self._stopped = True
            self._fail_jobs(DeviceFault("stopped", self._bus.id))
            await self.line.end()

    async def write(self, device: str, point: str, on: bool) -> None:
        """Set an output at the next transaction boundary, read it back and compare.

        Raises ``DeviceFault``: ``readback`` where the device shows something else, ``not_writable`` or ``bad_request`` for
        a profile that cannot be obeyed, else as ``Line``. The caller repeats.
        """
        member = self._members[device]
        spec = member.specs[point]
        if not spec.writable:
            raise DeviceFault("not_writable", f"{device}.{point}")
        switch_request(member.unit, spec, on=on)  # raises where no frame can say it
        await self._wait_for(_Job(_Kind.WRITE, member, spec, None, on))

    async def read(self, device: str, point: str) -> tuple[Scalar | None, Quality]:
        """Read a point now, ahead of the polls; raises ``DeviceFault`` as ``Line``."""
        member = self._members[device]
        return await self._wait_for(_Job(_Kind.READ, member, member.specs[point], None))

    def reread(self, device: str, point: str) -> None:
        """Ask a point again at once; its ``Reading`` is reported even if nothing changed."""
        member = self._members[device]
        self._put(_Job(_Kind.READ, member, member.specs[point], None))

    async def _wait_for(self, job: _Job) -> tuple[Scalar | None, Quality]:
        job.done = asyncio.get_running_loop().create_future()
        if self._stopped:
            raise DeviceFault("stopped", self._bus.id)
        self._put(job)
        return await job.done

    def _put(self, job: _Job) -> None:
        self._jobs.append(job)
        self._wake.set()

    async def _turn(self) -> None:
        at = _now()
        if self._opened_at is None or not self.line.connected:
            await self._reconnect(at)
            return
        if self._watch.silent and self.line.dials and at - self._opened_at >= REOPEN_S:
            await self.line.close()
            await self._reconnect(at)
            return
        job = self._next_job(at)
        if job is not None:
            await self._serve(job)
            return
        chosen = self._schedule.next(at, lambda device: self._free_at(self._members[device]))
        if isinstance(chosen, Slot):
            await self._poll(chosen)
        else:
            free = min((self._free_for(job) for job in self._jobs), default=chosen)
            await self._sleep(min(chosen, free) - at)

    def _free_at(self, member: _Member) -> float:
        return max(member.rest_until, self.line.free_at(member.unit))

    def _free_for(self, job: _Job) -> float:
        return max(job.not_before, self._free_at(job.member))

    def _next_job(self, at: float) -> _Job | None:
        """The first job, writes before reads, whose device may be addressed now. Those nobody waits for are dropped."""
        self._jobs = [job for job in self._jobs if job.done is None or not job.done.done() or job.written]
        ready = (job for job in self._jobs if self._free_for(job) <= at)
        return min(ready, key=lambda job: job.kind, default=None)

    async def _sleep(self, wait: float) -> None:
        """Nothing is due: wait for it, or for somebody who wants something."""
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(_IDLE_S, max(0.001, wait))):
                await self._wake.wait()

    async def _reconnect(self, at: float) -> None:
        """Open the line, every second at most; meanwhile nobody is left waiting."""
        if at < self._connect_at:
            self._fail_jobs(DeviceFault("port_gone", self._bus.id))
            await self._sleep(self._connect_at - at)
            return
        self._connect_at = at + RECONNECT_S
        try:
            await self.line.connect()
        except DeviceFault as fault:
            self._lose_port(fault)
            return
        fresh = self._opened_at is None or (self._watch.down and not self._watch.silent)
        self._opened_at = _now()
        if fresh:
            # Not after a mere reopening of a silent line: that would forget who is being waited for.
            self._watch.opened(self._opened_at)
            for member in self._members.values():
                self._restart(member)

    def _lose_port(self, fault: DeviceFault) -> None:
        self._fail_jobs(fault)
        self._say(self._watch.gone(fault.detail))
        self._lose_points()

    def _lose_points(self) -> None:
        for member in self._members.values():
            self._say(*member.points.lose(_now()))

    def _restart(self, member: _Member) -> None:
        """Plan a device as if new; one that was lost must first answer a probe."""
        at = _now()
        if member.watch.health is Health.LOST:
            member.backoff = _BACKOFF_S[0]
            self._schedule.replace(member.id, [Slot(member.id, member.probe(at).block, member.backoff, at)])
        else:
            member.backoff = 0
            member.watch.afresh()
            self._schedule.replace(member.id, member.slots(at))

    async def _poll(self, slot: Slot) -> None:
        member = self._members[slot.device]
        retry = None
        try:
            await self._ask(member, slot.block)
        except Refused:
            pass
        except DeviceFault:
            retry = member.backoff or _retry_s(member, slot)
        self._schedule.done(slot, _now(), retry=retry)

    async def _ask(self, member: _Member, block: Block, asked: Sequence[str] = ()) -> None:
        """One read with all its consequences; raises what the line raises."""
        answer = await self._fetch(member, block)
        self._say(*member.points.accept(block, answer, _now(), asked), member.watch.sensed(member.points.trouble()))

    async def _fetch(self, member: _Member, block: Block) -> list[int]:
        try:
            answer = await self.line.read(
                member.unit, block.space, block.address, block.count, member.profile.timeout_ms
            )
        except DeviceFault as fault:
            self._failed(member, fault, block)
            raise
        finally:
            member.rest_until = _now() + member.profile.guard_ms / 1000
        self._revive(member)
        self._say(member.watch.answered(_key(block)))
        return answer

    def _revive(self, member: _Member) -> None:
        """Somebody answered: the bus lives, and this device leaves quarantine."""
        at = _now()
        was_down = self._watch.down
        self._say(self._watch.answered(at))
        if member.backoff:
            member.backoff = 0
            self._schedule.replace(member.id, member.slots(at))
            log.info("device_returned", bus=self._bus.id, device=member.id)
        if was_down:
            for other in self._members.values():
                if other.backoff:
                    self._restart(other)

    def _failed(self, member: _Member, fault: DeviceFault, block: Block | None = None) -> None:
        """``block`` is None for a write: a refused one says nothing of the device's readings."""
        at = _now()
        if fault.reason == "port_gone":
            self._lose_port(fault)
        elif fault.reason == "bad_request":
            pass  # nothing was sent: it is the profile's fault and says nothing of the device
        elif isinstance(fault, Refused) or fault.reason == "wrong_answer":
            self._revive(member)
            if block is not None:
                self._refused(member, block, fault)
        else:
            self._say(member.watch.missed(at, fault, block and _key(block)))
            if block is not None and member.watch.mute(_key(block)):
                self._say(*member.points.mute(block, at))
            self._judge(member, at)

    def _refused(self, member: _Member, block: Block, fault: DeviceFault) -> None:
        """It lives, but not with this question: ask smaller ones, or believe its points no more."""
        if isinstance(fault, Refused) and fault.code in _SPLIT_CODES and block in member.blocks:
            smaller = split(block, member.profile)
            if smaller:
                member.blocks = [b for b in member.blocks if b is not block] + smaller
                member.watch.forget(_key(block))
                self._schedule.replace(member.id, member.slots(_now()))
                log.info("block_split", bus=self._bus.id, device=member.id, blocks=len(smaller))
                return
        self._say(member.watch.refused(_key(block), fault))
        if member.watch.given_up(_key(block)):
            self._say(*member.points.refuse(block, _now()))

    def _judge(self, member: _Member, at: float) -> None:
        """After a miss: is it this device, or all of them?"""
        silent = self._watch.missed(member.id, at)
        if silent:
            self._say(silent)
            self._lose_points()
        if self._watch.silent:
            for other in self._members.values():
                if not other.backoff and other.blocks:
                    self._quarantine(other, at)
        elif member.watch.misses >= MISSES and not member.backoff and member.blocks and self._alone(member):
            self._say(member.watch.lose(), *member.points.lose(at))
            self._quarantine(member, at)
        if member.backoff:
            limit = _BACKOFF_SILENT_S if self._watch.silent else _BACKOFF_S[1]
            member.backoff = min(limit, 2 * member.backoff)

    def _alone(self, member: _Member) -> bool:
        """Whether the silence is this device's: others answered meanwhile, or there are none."""
        return len(self._members) == 1 or self._watch.last_answer >= member.watch.first_miss

    def _quarantine(self, member: _Member, at: float) -> None:
        member.backoff = _BACKOFF_S[0]
        self._schedule.replace(member.id, [member.probe(at)])
        log.info("device_quarantined", bus=self._bus.id, device=member.id, reason=member.watch.reason)

    async def _serve(self, job: _Job) -> None:
        try:
            outcome = await (self._write(job) if job.kind is _Kind.WRITE else self._read_now(job))
        except DeviceFault as fault:
            self._end(job)
            if job.done is not None and not job.done.done():
                job.done.set_exception(fault)
            return
        if outcome is not None:
            self._end(job)
            if job.done is not None and not job.done.done():
                job.done.set_result(outcome)

    def _end(self, job: _Job) -> None:
        if job in self._jobs:
            self._jobs.remove(job)

    async def _read_now(self, job: _Job) -> tuple[Scalar | None, Quality]:
        await self._ask(job.member, job.member.block_of(job.spec), (job.spec.name,) if job.done is None else ())
        now = job.member.points.current(job.spec.name)
        return now.value, now.quality

    async def _write(self, job: _Job) -> tuple[Scalar | None, Quality] | None:
        """First turn: write. Later turns: read back and compare; None while there is another to come."""
        member, spec = job.member, job.spec
        if not job.written:
            alike = self._alike(job)
            if alike:
                await self._broadcast(alike)
                return None
            await self._send(member, spec, on=job.on)
            job.written = True
            return (job.on, Quality.GOOD) if spec.write_only else None
        # The whole block: that its shape is answered is known.
        block = member.block_of(spec)
        answer = await self._fetch(member, block)
        self._say(*member.points.accept(block, answer, _now()))
        wanted, seen = shown(spec, on=job.on), block.words(spec, answer)[0]
        if wanted is None or seen == wanted:
            now = member.points.current(spec.name)
            return now.value, now.quality
        job.tries += 1
        if job.tries >= _VERIFY_TRIES:
            raise DeviceFault("readback", f"{member.id}.{spec.name}: wants {wanted}, reads {seen}")
        job.not_before = _now() + _VERIFY_S
        return None

    def _alike(self, job: _Job) -> list[_Job]:
        """Jobs that one write to unit 0 may do at once: only where nobody else is on the line whom it could move, too."""
        if len(self._members) < _CROWD or not all(m.profile.broadcast for m in self._members.values()):
            return []
        wants = {other.member.id: other for other in self._jobs if self._same(job, other)}
        return list(wants.values()) if wants.keys() == self._members.keys() else []

    def _same(self, job: _Job, other: _Job) -> bool:
        waits = other.kind is _Kind.WRITE and not other.written
        return waits and other.on == job.on and other.spec == job.spec

    async def _broadcast(self, jobs: Sequence[_Job]) -> None:
        """Unit 0: nobody answers, so each one is read back after it."""
        first = jobs[0]
        try:
            await self.line.broadcast(switch_request(0, first.spec, on=first.on))
        except DeviceFault as fault:
            self._failed(first.member, fault)
            raise
        for job in jobs:
            job.written = True

    async def _send(self, member: _Member, spec: PointSpec, *, on: bool) -> None:
        try:
            await self.line.send(switch_request(member.unit, spec, on=on), member.profile.timeout_ms)
        except DeviceFault as fault:
            self._failed(member, fault)
            raise
        finally:
            member.rest_until = _now() + member.profile.guard_ms / 1000
        self._revive(member)

    def _fail_jobs(self, fault: DeviceFault) -> None:
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            if job.done is not None and not job.done.done():
                job.done.set_exception(DeviceFault(fault.reason, fault.detail))

    def _say(self, *events: Reading | DeviceHealth | None) -> None:
        for event in events:
            if event is not None:
                self._report(event)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _key(block: Block) -> str:
    """What the installer is told of a block that is refused or not answered: ``holding 0-9``."""
    last = block.address + block.count - 1
    return f"{block.space} {block.address}" + (f"-{last}" if block.count > 1 else "")


def _retry_s(member: _Member, slot: Slot) -> float:
    """Soon, so that a silence shows in time; but a block known to be mute costs the others a timeout each time."""
    soon = min(RETRY_S, slot.period)
    if not member.watch.mute(_key(slot.block)):
        return soon
    return min(_BACKOFF_S[1], soon * 2.0 ** min(8, member.watch.unanswered(_key(slot.block)) - STRIKES))
