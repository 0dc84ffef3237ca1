"""One device of a bus as its poller knows it: what is asked of it, how it stands, what it was told to hold. Pure of waiting."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

from gateway.drivers.modbus.frames import read_request
from gateway.drivers.modbus.line import Question
from gateway.drivers.modbus.load import periods
from gateway.drivers.modbus.plan import Block, Paying, alone, plan
from gateway.drivers.modbus.reporting import Points
from gateway.drivers.modbus.schedule import Phases, Slot
from gateway.drivers.modbus.watch import STRIKES, DeviceWatch
from gateway.events import Health
from gateway.faults import DeviceFault
from gateway.site.model import ModbusDevice
from gateway.site.profile import PointClass, PointSpec, Space

RETRY_S = 0.5
_DOUBT = 2  # misses; the third makes a device lost
_WHOLE_AGAIN_S = 600.0
"""A block that was answered before and then refused is tried whole after so long: a device warms up, or is looked into, for minutes."""
BACKOFF_S = (1.0, 30.0)  # facts/modbus 4: probe after 1, 2, 4 .. 30 s


class Standing(StrEnum):
    """How far a device is to be counted on."""

    UNKNOWN = "unknown"
    OK = "ok"
    SUSPECT = "suspect"
    QUARANTINED = "quarantined"
    RECOVERING = "recovering"


class Member:
    """One device."""

    def __init__(self, device: ModbusDevice, paying: Paying, phases: Phases) -> None:
        self._phases = phases
        self.device, self.id, self.unit = device, device.id, device.unit_id
        self.profile = device.profile
        self.specs = {spec.name: spec for spec in device.profile.points}
        self._planned = plan(device.profile, paying)
        self.blocks = self._planned
        self._proven: set[str] = set()
        """Blocks that were answered once: their holes are no reason for a silence."""
        self._whole_at = float("inf")
        self.points = Points(device)
        self.watch = DeviceWatch(device.id, speaks=self.points.speaks)
        self.rest_until = 0.0
        self.quiet: dict[tuple[Space, int], float] = {}
        """By form: before then no block of this form is polled, so that the answer owed to one of them may come, or can no longer,
        and the others have their turn."""
        self.under_way: list[Question] = []
        """What it is asked right now."""
        self.heard_at: float | None = None
        """When it last answered."""
        self.backoff = 0.0
        """Pause before the next probe; 0 while it is not quarantined."""
        self.setup = tuple(deed for deed in device.profile.commissioning if deed.on_start)
        self.unset = bool(self.setup)
        """Whether it still has to be told what it must be told at each start."""
        self.unheard: Counter[str] = Counter()
        """What of that it left unanswered, and how often, since it came (back)."""

    def begin_anew(self) -> None:
        """It may have been without power: it must be told everything again."""
        self.unset = bool(self.setup)
        self.unheard.clear()

    @property
    def standing(self) -> Standing:
        """How it stands now."""
        if self.backoff:
            return Standing.QUARANTINED
        if self.watch.health is Health.LOST:
            return Standing.RECOVERING
        if self.watch.misses:
            return Standing.SUSPECT
        return Standing.UNKNOWN if self.watch.health is None else Standing.OK

    def slots(self, at: float) -> list[Slot]:
        """Every block, due now, and from then on each at its own time within the period."""
        asked = zip(self.blocks, periods(self.device, self.blocks), strict=True)
        return [
            Slot(self.id, block, period, self._phases.last_due(self.id, block, period, at), rests=self.rests)
            for block, period in asked
        ]

    @property
    def rests(self) -> bool:
        """Whether it wants a pause after each question."""
        return self.profile.guard_ms > 0

    def probe(self, at: float, after_s: float) -> list[Slot]:
        """The cheapest question that shows it is alive, none for a device of which nothing is read.

        One point alone, an alarm if there is one, and of a block that was not mute when others were heard.
        """
        points = [(self.watch.mute(key(block)), spec) for block in self.blocks for spec in block.points]
        asked = sorted(points, key=lambda found: (found[0], found[1].point_class is not PointClass.ALARM))
        return [
            Slot(self.id, alone(spec, self.profile), self.backoff, at + after_s, probe=True) for _, spec in asked[:1]
        ]

    def block_with(self, spec: PointSpec | None) -> Block | None:
        """The block that reads a point; None for one that is never read."""
        return next((block for block in self.blocks if spec in block.points), None)

    def block_of(self, spec: PointSpec) -> Block:
        """The same; raises ``DeviceFault("bad_request")`` for one that is never read."""
        block = self.block_with(spec)
        if block is not None:
            return block
        raise DeviceFault("bad_request", f"{self.id}.{spec.name} cannot be read")

    def rivals(self, block: Block) -> list[Block]:
        """Others whose answer looks like that of this one."""
        return [b for b in self.blocks if b.form == block.form and b.question != block.question]

    def waits_for_its_like(self, question: Question) -> bool:
        """Whether it is asked something right now whose answer would be taken for the answer to this."""
        this = read_request(self.unit, *question)
        return any(read_request(self.unit, *other).resembles(this) for other in self.under_way)

    def owes(self, block: Block) -> bool:
        """Whether others of its blocks should have their turn before this one."""
        return not self.watch.misses or self.watch.unanswered(key(block)) >= _DOUBT

    def exchange(self, block: Block, smaller: Sequence[Block], at: float) -> None:
        """Ask these from now on instead of a block it refused."""
        if key(block) in self._proven:
            self._whole_at = at + _WHOLE_AGAIN_S
        self.blocks = [b for b in self.blocks if b is not block] + list(smaller)
        self.watch.forget(key(block))

    def whole_again(self, at: float) -> bool:
        """Whether it is time to ask what was answered whole before in one piece again; it is planned so then."""
        if at < self._whole_at:
            return False
        self._whole_at, asked = float("inf"), self.blocks
        self.blocks = []
        for planned in self._planned:
            whole = key(planned) in self._proven or planned in asked
            self.blocks += [planned] if whole else [b for b in asked if set(b.points) <= set(planned.points)]
        return True

    def heard(self, block: Block, at: float) -> None:
        """It answered to this."""
        self.heard_at = at
        self._proven.add(key(block))

    def doubtful(self, block: Block) -> bool:
        """Whether its silence may be for the holes of a block that was never answered: some refuse them so."""
        silent = max(self.watch.misses, self.watch.unanswered(key(block))) >= _DOUBT
        return block.holed and silent and key(block) not in self._proven and block in self.blocks

    def unwilling(self, block: Block) -> bool:
        """Whether one more refusal of this is for good: the first of one that was answered before may be for a moment."""
        return key(block) not in self._proven or self.watch.refusals(key(block)) > 0

    def forget_splits(self) -> None:
        """It was away: what it refused by silence then is tried whole once more."""
        if not self._proven:
            self.blocks = self._planned

    def retry_s(self, slot: Slot) -> float:
        """Soon, so that a silence shows in time; but a block known to be mute costs the others a timeout each time."""
        soon, name = min(RETRY_S, slot.period), key(slot.block)
        if not self.watch.mute(name):
            return soon
        return min(BACKOFF_S[1], soon * 2.0 ** min(8, self.watch.unanswered(name) - STRIKES))


def key(block: Block) -> str:
    """What the installer is told of a block that is refused or not answered: ``holding 0-9``."""
    return _told(*block.question)


@functools.lru_cache(maxsize=1024)  # asked thrice for each answer
def _told(space: Space, address: int, count: int) -> str:
    last = address + count - 1
    return f"{space} {address}" + (f"-{last}" if count > 1 else "")
