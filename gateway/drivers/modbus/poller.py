"""The edge of one Modbus bus: one task that owns the line, polls what is due, and lets writes go first.

Each turn is one transaction: a job (``jobs.py``: a write, a second look at an alarm, what else somebody waits for), else the slot that
is due. Jobs may be many, so after one that is no write, or that nobody answered, what is due has a turn, and an alarm if one is due,
before the next that is no write; and after one that nobody answered an alarm goes even before a write. A device that misses three times
is quarantined and probed with growing pauses and within a budget, so the dead cost the living next to nothing; its points are reported
as ``comms`` at once, for an old "no gas" is no "no gas". Faults of the world end nothing here; a bug does. Where a TCP device takes
several questions at once, as many hands take turns; what looks like a question of the same device that is under way waits for its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import structlog

from gateway.drivers.modbus.frames import Request, switch_request
from gateway.drivers.modbus.jobs import Job, Jobs, Kind, Outcome
from gateway.drivers.modbus.line import LINE_GONE, Counters, Line, Question, Refused
from gateway.drivers.modbus.lines import line_of
from gateway.drivers.modbus.member import Member
from gateway.drivers.modbus.plan import Block
from gateway.drivers.modbus.probing import ProbeBudget
from gateway.drivers.modbus.renewing import Renewals
from gateway.drivers.modbus.review import OVERLOADED, Review
from gateway.drivers.modbus.roll import Roll
from gateway.drivers.modbus.schedule import Schedule, Slot
from gateway.drivers.modbus.telling import Telling
from gateway.drivers.modbus.writing import Writing
from gateway.events import Quality, Reading
from gateway.faults import DeviceFault
from gateway.inbox import Report
from gateway.site.model import Bus

log = structlog.get_logger()

RECONNECT_S = 1.0  # promised: back within 3 s of its return
PENDING_S = 0.1  # promised: so long at most somebody waits for a line that is gone
REOPEN_S = 10.0  # when everybody is silent the adapter itself may hang, or another one now bears the path
_IDLE_S = 1.0


class BusPoller:
    """Polls one bus and carries out what is asked of its devices."""

    def __init__(
        self, bus: Bus, report: Report, *, beat: Callable[[], None] = lambda: None, line: Line | None = None
    ) -> None:
        """``beat`` is called after each completed turn, faults included; ``line`` replaces the one the bus describes."""
        self.line = line or line_of(bus)
        self._bus, self._beat = bus, beat
        self.schedule = Schedule()
        self.roll = Roll(bus, self.schedule, report, set_up=self._set_up)
        for member in self.roll:
            self.line.pace(member.unit, member.profile.min_gap_ms / 1000)
        self.review = Review(bus, self.schedule, self.line.tally)
        self.budget = ProbeBudget(0.0)
        self._jobs = Jobs()
        self._renewals = Renewals()
        self._writing = Writing(
            self.line, self.roll, self._jobs, talk=self._talk, fetch=functools.partial(self._fetch, patient=True)
        )
        self._telling = Telling(bus.id, self.line, self._talk)
        self._alarm_first = False
        """Nobody answered the last job: an alarm that is due goes before the next one, whatever it is."""
        self._polls_first = False
        """The last job was no write, or nobody answered it: what is due, and an alarm of it, goes before the next that is no write."""
        self._wake = asyncio.Event()
        self._connect_at = 0.0
        self._refused_by = ""
        self._opened_at: float | None = None
        self._stopped = False

    async def run(self) -> None:
        """Polls until cancelled; whoever still waits then gets ``DeviceFault("stopped")``."""
        self._stopped, self._connect_at, self._opened_at = False, 0.0, None
        hands = [asyncio.ensure_future(self._work()) for _ in range(self.line.outstanding)]
        try:
            done, _ = await asyncio.wait(hands, return_when=asyncio.FIRST_COMPLETED)
            for hand in done:
                hand.result()
        finally:
            self._stopped = True
            for hand in hands:
                hand.cancel()
            await asyncio.wait(hands)
            self._jobs.fail_all(DeviceFault("stopped", self._bus.id))
            await self.line.end()

    async def _work(self) -> None:
        while True:
            await self._turn()
            self._beat()

    # What is asked of it -----------------------------------------------------------------------------

    async def write(self, device: str, point: str, on: bool, written: Callable[[], None] = lambda: None) -> None:
        """Set an output at the next transaction boundary, read it back and compare; ``written`` is called in between.

        Raises ``DeviceFault``: ``readback`` where the device shows something else, ``not_writable`` or ``bad_request`` for
        a profile that cannot be obeyed, else as ``Line``. The caller repeats.
        """
        member = self.roll[device]
        spec = member.specs[point]
        if not spec.writable:
            raise DeviceFault("not_writable", f"{device}.{point}")
        switch_request(member.unit, spec, on=on)  # raises where no frame can say it
        self._renewals.release(device, point)
        self._jobs.drop_renewals(member, spec)
        try:
            await self._wait_for(Job(Kind.WRITE, member, spec, on=on, on_written=written))
            if on:
                self._renewals.hold(member, spec, _now())
        finally:
            if not on:
                self._renewals.release(device, point)  # an "on" from before may have been confirmed meanwhile

    async def read(self, device: str, point: str) -> Outcome:
        """Read a point now, ahead of the polls; raises ``DeviceFault`` as ``Line``."""
        member = self.roll[device]
        return await self._wait_for(Job(Kind.READ, member, member.specs[point]))

    def reread(self, device: str, point: str) -> None:
        """Ask a point that seems to alarm again. Beside outputs' writes and other such looks one turn of the plan at most goes before it,
        and an alarm's where that was of a lower class.

        Its ``Reading`` is reported even if nothing changed. One read, be it the plan's own, does for all of its block.
        """
        member = self.roll[device]
        spec = member.specs[point]
        waits = self._jobs.reread_of(member, member.block_with(spec))
        if waits is None:
            self._put(Job(Kind.REREAD, member, spec, again=(point,)))
        else:
            waits.again = (*waits.again, point)

    def overview(self) -> list[dict[str, Any]]:
        """How each device fares, for whoever looks for the bad cable: standing, age of its last answer, counters, latencies."""
        at, tally = _now(), self.line.tally
        return [
            {
                "bus": self._bus.id,
                "device": member.id,
                "unit_id": member.unit,
                "standing": member.standing.value,
                "heard_s": None if member.heard_at is None else round(at - member.heard_at, 1),
                **msgspec.to_builtins(tally.units.get(member.unit, Counters())),
                "p50_ms": tally.latencies[member.unit].at_ms(0.5),
                "p99_ms": tally.latencies[member.unit].at_ms(0.99),
            }
            for member in self.roll
        ]

    async def _wait_for(self, job: Job) -> Outcome:
        job.done = asyncio.get_running_loop().create_future()
        if self._stopped:
            raise DeviceFault("stopped", self._bus.id)
        self._put(job)
        return await job.done

    def _put(self, job: Job) -> None:
        self._jobs.put(job, _now())
        self._wake.set()

    # Turns -------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        at = _now()
        if self._opened_at is None or not self.line.connected:
            await self._reconnect(at)
            return
        if self.roll.watch.silent and self.line.dials and at - self._opened_at >= REOPEN_S:
            await self.line.close()
            await self._reconnect(at)
            return
        for member, spec in self._renewals.take(at, self._jobs.renews) if self._renewals else ():
            self._jobs.put(Job(Kind.RENEW, member, spec, on=True), at)
        job = self._jobs.first(at, self._free_for) if self._jobs else None
        chosen = self._goes_before(job, at) if job is not None else self.schedule.next(at, self._free_at)
        if isinstance(chosen, Slot):
            await self._poll(chosen)
        elif job is not None:
            self._jobs.remove(job)
            await self._serve(job)
        else:
            until = min((self._free_for(job) for job in self._jobs), default=chosen)
            await self._sleep(min(chosen, until, self._renewals.next_at()) - at)
        self._look_back(at)

    def _goes_before(self, job: Job, at: float) -> Slot | float:
        """The slot to which a job leaves this turn, if one is due; else a moment."""
        slot: Slot | float | None = None
        if self._polls_first and job.kind is not Kind.WRITE:
            slot = self.schedule.next(at, self._free_at)
        elif self._alarm_first:
            slot = self.schedule.next_alarm(at, self._free_at)
        if not isinstance(slot, Slot) and job.can_wait:
            slot = self.schedule.alarm_before(job.member.id, at, self._free_at)
        return at if slot is None else slot

    def _free_at(self, slot: Slot) -> float:
        member = self.roll[slot.device]
        free = max(self._readable_at(member, slot.block.question), member.quiet.get(slot.block.form, 0.0))
        if member.backoff and not self.roll.watch.silent:
            free = max(free, self.budget.free_at(_now()))
        return free

    def _readable_at(self, member: Member, question: Question | None) -> float:
        if member.under_way and question is not None and member.waits_for_its_like(question):
            return float("inf")
        return max(member.rest_until, self.line.free_at(member.unit, question=question))

    def _free_for(self, job: Job) -> float:
        if job.reads:
            return max(job.not_before, self._readable_at(job.member, job.question))
        return max(job.not_before, job.member.rest_until, self.line.free_at(job.member.unit, to_read=False))

    async def _sleep(self, wait: float) -> None:
        """Nothing is due: wait for it, or for somebody who wants something."""
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(_IDLE_S, max(0.001, wait))):
                await self._wake.wait()

    def _look_back(self, at: float) -> None:
        overloaded = self.review.look_back(at)
        if overloaded is not None:
            self.roll.say(Reading(self.roll.watch.device, OVERLOADED, overloaded))

    async def _reconnect(self, at: float) -> None:
        """Open the line, every second at most; meanwhile nobody is left waiting."""
        if at < self._connect_at:
            self._jobs.fail_all(DeviceFault("port_gone", self._bus.id))
            await self._sleep(self._connect_at - at)
            return
        self._connect_at = at + RECONNECT_S
        try:
            await self._connect()
        except DeviceFault as fault:
            self._tell_refused(fault.detail)
            self._jobs.fail_all(fault)
            self.roll.lose_line(fault, _now())
            return
        self._refused_by = ""
        afresh = self._opened_at is None or (self.roll.watch.down and not self.roll.watch.silent)
        self._opened_at = _now()
        self.roll.opened(self._opened_at, afresh=afresh)
        self.review.begin(self._opened_at)
        self._wake.set()

    async def _connect(self) -> None:
        """Raises DeviceFault. Whoever waits meanwhile is told that the line is gone: a black hole takes its two seconds."""
        connecting = asyncio.ensure_future(self.line.connect())
        try:
            while not (await asyncio.wait({connecting}, timeout=PENDING_S))[0]:
                self._jobs.fail_all(DeviceFault("port_gone", self._bus.id))
            connecting.result()
        finally:
            connecting.cancel()

    def _tell_refused(self, why: str) -> None:
        """The line cannot be opened: say so once, and again when the reason is another."""
        if why != self._refused_by:
            log.warning("port_refused", bus=self._bus.id, why=why)
            self._refused_by = why

    async def _poll(self, slot: Slot) -> None:
        member, began = self.roll[slot.device], _now()
        self._polls_first &= slot.overtakes
        self._alarm_first &= slot.overtakes
        probing = member.backoff > 0
        look = self._jobs.take_reread(member, slot.block)  # one answer does for both
        retry = None
        try:
            await self._ask(member, slot.block, look.again if look else ())
        except Refused:
            pass
        except DeviceFault:
            retry = member.backoff or member.retry_s(slot)
            if look is not None:
                self._jobs.put_back(look)
        if probing and retry is not None:
            self.budget.spend(_now(), _now() - began)
        self.schedule.done(slot, _now(), retry=retry)

    async def _ask(self, member: Member, block: Block, asked: Sequence[str] = ()) -> None:
        """One read with all its consequences; raises what the line raises."""
        answer = await self._fetch(member, block)
        self.roll.accept(member, block, answer, _now(), asked)

    async def _fetch(self, member: Member, block: Block, *, patient: bool = False) -> list[int]:
        member.under_way.append(block.question)
        try:
            answer = await self.line.read(
                member.unit, block.space, block.address, block.count, member.profile.timeout_ms, patient=patient
            )
        except DeviceFault as fault:
            self._failed(member, fault, block)
            raise
        else:
            self.roll.answered(member, block, _now())
            return answer
        finally:
            member.rest_until = _now() + member.profile.guard_ms / 1000
            self._let_pay(member, block)
            member.under_way.remove(block.question)
            self.schedule.freed(member.id)
            if self._jobs:
                self._wake.set()  # for this hand may go on with a poll

    def _let_pay(self, member: Member, block: Block) -> None:
        """Where an answer is still owed for this block, those that look like it must have their turn, too."""
        if not self.line.free_at(member.unit):  # it owes nothing at all
            member.quiet.pop(block.form, None)
        elif member.owes(block):
            waits = (self.line.free_at(member.unit, question=rival.question) for rival in member.rivals(block))
            member.quiet[block.form] = max(waits, default=0.0)

    def _failed(self, member: Member, fault: DeviceFault, block: Block | None = None) -> None:
        if fault.reason in LINE_GONE:
            self._jobs.fail_all(fault)
        self.roll.failed(member, fault, _now(), block)

    def _set_up(self, member: Member) -> None:
        for deed in member.setup:
            self._put(Job(Kind.SETUP, member, deed=deed))

    # Jobs --------------------------------------------------------------------------------------------

    async def _serve(self, job: Job) -> None:
        """One step of a job: it is over, or put back for the next."""
        self._alarm_first = False
        self._polls_first |= job.kind is not Kind.WRITE
        began = _now()
        try:
            outcome = await self._step(job)
        except asyncio.CancelledError:
            job.fail(DeviceFault("stopped", self._bus.id))
            raise
        except DeviceFault as fault:
            if fault.reason == "timeout":
                self._alarm_first = self._polls_first = True
            job.fail(fault)
            return
        finally:
            self.schedule.asked(job.member.id, _now() - began, alarm=job.kind is Kind.REREAD)
        if outcome is None:
            self._jobs.put_back(job)
        else:
            job.finish(outcome)

    async def _step(self, job: Job) -> Outcome | None:
        if job.deed is not None:
            return await self._telling.step(job, job.deed)
        if job.spec is None:  # pragma: no cover - a job is about a point or a deed
            return None, Quality.INVALID
        if job.writes:
            return await self._writing.step(job, job.spec)
        block = job.member.block_of(job.spec)
        await self._ask(job.member, block, job.again)
        self.schedule.answered(job.member.id, block, _now())
        now = job.member.points.current(job.spec.name)
        return now.value, now.quality

    async def _talk(self, member: Member, request: Request) -> None:
        """A write with all its consequences for what is known of the device."""
        try:
            await self.line.send(request, member.profile.timeout_ms)
        except DeviceFault as fault:
            self._failed(member, fault)
            raise
        finally:
            member.rest_until = _now() + member.profile.guard_ms / 1000
        self.roll.revive(member, _now())


def _now() -> float:
    return asyncio.get_running_loop().time()
