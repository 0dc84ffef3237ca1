"""The roll of one bus: every device on it, how it stands, and what its answers and silences lead to.

Here is decided what is asked of whom from now on: the plan of a device that lives, a probe of one that is quarantined, smaller
questions for one that refuses a large one. *That* a silence is a device's own or everybody's is ``watch.py``'s to judge. It
waits for nothing and asks nobody; it reports and plans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import structlog

from gateway.drivers.modbus.line import LINE_GONE, Refused
from gateway.drivers.modbus.member import BACKOFF_S, Member, key
from gateway.drivers.modbus.plan import Block, split
from gateway.drivers.modbus.schedule import Phases, Schedule
from gateway.drivers.modbus.timing import timing_of
from gateway.drivers.modbus.watch import MISSES, BusWatch
from gateway.events import DeviceHealth, Health, Reading
from gateway.faults import DeviceFault
from gateway.inbox import Report
from gateway.site.model import Bus

log = structlog.get_logger()

_BACKOFF_SILENT_S = 2.0  # when all are silent the wire is free
_SPLIT_CODES = {2, 3}  # Application Protocol 7: illegal address, illegal value


class Roll:
    """All devices of one bus of which anything is read or written."""

    def __init__(self, bus: Bus, schedule: Schedule, report: Report, *, set_up: Callable[[Member], None]) -> None:
        """``set_up`` is called when a device must be told what it must be told at each start."""
        timing = timing_of(bus)
        phases = Phases(spread=timing.char_s > 0)
        self.members = {
            device.id: Member(device, timing.paying(device.profile), phases)
            for device in bus.devices
            if device.profile.points
        }
        self.watch = BusWatch(bus.id, len(self.members), 0.0)
        self._bus, self._schedule, self._report, self._set_up = bus.id, schedule, report, set_up

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members.values())

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, device: str) -> Member:
        return self.members[device]

    def say(self, *events: Reading | DeviceHealth | None) -> None:
        """Report what there is to report."""
        for event in events:
            if event is not None:
                self._report(event)

    # The line ----------------------------------------------------------------------------------------

    def opened(self, at: float, *, afresh: bool) -> None:
        """The line is there. Not ``afresh`` after a mere reopening of a silent one: that would forget who is waited for."""
        if afresh:
            self.watch.opened(at)
            for member in self:
                self._restart(member, at)

    def lose_line(self, fault: DeviceFault, at: float) -> None:
        """There is no line."""
        self.say(self.watch.gone(fault.detail, at, fault.reason))
        self._lose_points(at)

    def _lose_points(self, at: float) -> None:
        for member in self:
            self.say(*member.points.lose(at))

    # A device ----------------------------------------------------------------------------------------

    def accept(self, member: Member, block: Block, answer: Sequence[int], at: float, asked: Sequence[str] = ()) -> None:
        """What an answer says; the points of ``asked`` are reported even if nothing changed."""
        points = member.points
        readings = points.accept(block, answer, at, asked)
        health = member.watch.sensed(points.trouble(), spoken=points.has_spoken)
        if health is not None and health.health is Health.OK:
            self.say(health, *readings)  # in this order, for what the core says of a device for such a reading stands
        else:
            self.say(*readings, health)

    def answered(self, member: Member, block: Block, at: float) -> None:
        """It answered to this as it should."""
        self.revive(member, at)
        member.heard(block, at)
        self.say(member.watch.answered(key(block)))
        if member.whole_again(at):
            self._schedule.replace(member.id, member.slots(at))

    def revive(self, member: Member, at: float) -> None:
        """Somebody answered: the bus lives, and this device leaves quarantine."""
        was_down = self.watch.down
        self.say(self.watch.answered(at))
        if member.backoff:
            member.backoff = 0
            self._schedule.replace(member.id, member.slots(at))
            log.info("device_returned", bus=self._bus, device=member.id)
        if member.unset:
            member.unset = False
            self._set_up(member)
        if was_down:
            for other in self:
                if other.backoff:
                    self._restart(other, at)

    def failed(self, member: Member, fault: DeviceFault, at: float, block: Block | None = None) -> None:
        """``block`` is None for a write: a refused one says nothing of the device's readings."""
        if fault.reason in LINE_GONE:
            self.lose_line(fault, at)
        elif fault.reason == "bad_request":
            pass  # nothing was sent: it is the profile's fault and says nothing of the device
        elif isinstance(fault, Refused) or fault.reason == "wrong_answer":
            self.revive(member, at)
            if block is not None:
                self._refused(member, block, fault, at)
        else:
            self.say(member.watch.missed(at, fault, block and key(block)))
            if block is not None and member.watch.mute(key(block)):
                self.say(*member.points.mute(block, at))
            if block is not None and member.doubtful(block):
                self._split(member, block, at)
            self._judge(member, at)

    def _restart(self, member: Member, at: float) -> None:
        """Plan a device as if new; one that was lost must first answer a probe."""
        member.begin_anew()
        if member.watch.health is Health.LOST:
            member.backoff = BACKOFF_S[0]
            self._schedule.replace(member.id, member.probe(at, 0.0))
        else:
            member.backoff = 0
            member.watch.afresh()
            self._schedule.replace(member.id, member.slots(at))

    def _refused(self, member: Member, block: Block, fault: DeviceFault, at: float) -> None:
        """It lives, but not with this question: ask smaller ones, or believe its points no more."""
        splits = isinstance(fault, Refused) and fault.code in _SPLIT_CODES and block in member.blocks
        if splits and member.unwilling(block) and self._split(member, block, at):
            return
        self.say(member.watch.refused(key(block), fault))
        if member.watch.given_up(key(block)):
            self.say(*member.points.refuse(block, at))

    def _split(self, member: Member, block: Block, at: float) -> bool:
        """Ask smaller ones from now on; False where nothing smaller is left."""
        smaller = split(block, member.profile)
        if smaller:
            member.exchange(block, smaller, at)
            self._schedule.replace(member.id, member.slots(at))
            log.info("block_split", bus=self._bus, device=member.id, blocks=len(smaller))
        return bool(smaller)

    def _judge(self, member: Member, at: float) -> None:
        """After a miss: is it this device, or all of them?"""
        probed = member.backoff > 0
        down, silent = self.watch.silent, self.watch.missed(member.id, at)
        if self.watch.silent and not down:
            self.say(silent, member.watch.lose() if len(self) == 1 else None)
            self._lose_points(at)
        else:
            self.say(silent)  # what was held back while the bus was not to be called well
        if self.watch.silent:
            for other in self:
                if not other.backoff:
                    self._quarantine(other, at)
        elif member.watch.misses >= MISSES and not member.backoff and self._alone(member):
            self.say(member.watch.lose(), *member.points.lose(at))
            self._quarantine(member, at)
        if probed:
            limit = _BACKOFF_SILENT_S if self.watch.silent else BACKOFF_S[1]
            member.backoff = min(limit, 2 * member.backoff)

    def _alone(self, member: Member) -> bool:
        """Whether the silence is this device's: others answered meanwhile, or there are none."""
        return len(self) == 1 or self.watch.last_answer >= member.watch.first_miss

    def _quarantine(self, member: Member, at: float) -> None:
        member.backoff = BACKOFF_S[0]
        member.begin_anew()
        member.forget_splits()
        self._schedule.replace(member.id, member.probe(at, member.backoff))
        log.info("device_quarantined", bus=self._bus, device=member.id, reason=member.watch.reason)
