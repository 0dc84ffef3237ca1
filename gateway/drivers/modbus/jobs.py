"""What somebody wants of a device now, ahead of the polls: outputs first, then whatever has waited longest of what it may.

An alarm that is to be confirmed may wait for nothing, so of those that remain it goes first. But none of them waits for ever: one that
has waited as long as its kind may goes before what is asked later, were that as urgent as can be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from enum import IntEnum

from msgspec import Struct

from gateway.drivers.modbus.line import Question
from gateway.drivers.modbus.member import Member
from gateway.drivers.modbus.plan import Block
from gateway.events import Quality, Scalar
from gateway.faults import DeviceFault
from gateway.site.profile import Deed, PointSpec

Outcome = tuple[Scalar | None, Quality]
"""What a job found: a value, if there is one, and how good it is."""


class Kind(IntEnum):
    """Who goes first, of those that want it equally soon."""

    WRITE = 0
    REREAD = 1
    """A second look at what seems an alarm; nobody waits for it but who is to be warned."""
    RENEW = 2
    """A write of the gateway's own, of an output that its device lets go else."""
    SETUP = 3
    READ = 4


_MAY_WAIT_S = {Kind.WRITE: float("-inf"), Kind.REREAD: 0.0, Kind.RENEW: 0.5, Kind.SETUP: 1.0, Kind.READ: 2.0}
"""A renewal comes with seconds to spare (``renewing.py``), and a valve has five in all to show itself."""


class Job(Struct, eq=False):
    """One thing wanted; ``done`` is None where nobody waits for it."""

    kind: Kind
    member: Member
    spec: PointSpec | None = None
    done: asyncio.Future[Outcome] | None = None
    on: bool = False
    deed: Deed | None = None
    written: bool = False
    on_written: Callable[[], None] = lambda: None
    tries: int = 0
    not_before: float = 0.0
    again: tuple[str, ...] = ()
    """Of a second look: points whose value is told even if it is the same."""
    wanted_by: float = float("-inf")
    """Loop time; who is wanted first goes first."""

    @property
    def reads(self) -> bool:
        """Whether its next step is to read."""
        return self.kind in {Kind.READ, Kind.REREAD} or self.written

    @property
    def can_wait(self) -> bool:
        """Whether an alarm of a device that rests after each question may go before it: no order waits for anything, and no
        second look.
        """
        return self.reads and self.member.rests and self.kind is not Kind.REREAD

    @property
    def question(self) -> Question | None:
        """What it reads, where that can be read."""
        if self.deed is not None:
            return self.deed.space, self.deed.address, 1
        block = self.member.block_with(self.spec)
        return block.question if block else None

    @property
    def writes(self) -> bool:
        """Whether it is about setting a point."""
        return self.kind in {Kind.WRITE, Kind.RENEW}

    @property
    def wanted(self) -> bool:
        """Whether anybody still cares; a write that was made is read back in any case, a dead device is renewed nothing."""
        if self.kind is Kind.RENEW:
            return not self.member.backoff
        return self.done is None or not self.done.done() or self.written

    def sent(self) -> None:
        """It is written; what is left is to read it back."""
        self.written = True
        self.on_written()

    def finish(self, outcome: Outcome) -> None:
        """Tell whoever waits."""
        if self.done is not None and not self.done.done():
            self.done.set_result(outcome)

    def fail(self, fault: DeviceFault) -> None:
        """Tell whoever waits that it could not be done."""
        if self.done is not None and not self.done.done():
            self.done.set_exception(fault)


class Jobs:
    """All of one bus. A job that is removed is out until it is put back."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)

    def put(self, job: Job, at: float) -> None:
        """One more."""
        job.wanted_by = at + _MAY_WAIT_S[job.kind]
        self._jobs.append(job)

    def put_back(self, job: Job) -> None:
        """One that has further steps to go."""
        self._jobs.append(job)

    def renews(self, member: Member, spec: PointSpec) -> bool:
        """Whether a renewal of this point waits."""
        return any(_renews(job, member, spec) and job.wanted for job in self._jobs)

    def reread_of(self, member: Member, block: Block | None) -> Job | None:
        """A second look at this block that waits already."""
        looks = (job for job in self._jobs if job.kind is Kind.REREAD and job.member is member)
        return next((job for job in looks if block is not None and job.member.block_with(job.spec) is block), None)

    def take_reread(self, member: Member, block: Block) -> Job | None:
        """The second look at this block that waits already, as ``remove``: the block is read now."""
        look = self.reread_of(member, block)
        if look is not None:
            self._jobs.remove(look)
        return look

    def drop_renewals(self, member: Member, spec: PointSpec) -> None:
        """What is wanted of this point is something else now."""
        self._jobs = [job for job in self._jobs if not _renews(job, member, spec)]

    def first(self, at: float, free_for: Callable[[Job], float]) -> Job | None:
        """The first that may be done now; those nobody waits for any more are dropped."""
        self._jobs = [job for job in self._jobs if job.wanted]
        return min((job for job in self._jobs if free_for(job) <= at), key=_urgency, default=None)

    def remove(self, job: Job) -> None:
        """It is being done."""
        self._jobs.remove(job)

    def fail_all(self, fault: DeviceFault) -> None:
        """Nothing can be done for anybody."""
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            job.fail(DeviceFault(fault.reason, fault.detail))


def _urgency(job: Job) -> tuple[float, Kind]:
    return job.wanted_by, job.kind


def _renews(job: Job, member: Member, spec: PointSpec) -> bool:
    return job.kind is Kind.RENEW and job.member is member and job.spec == spec
