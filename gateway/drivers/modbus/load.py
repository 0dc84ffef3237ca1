"""What a site asks of each bus, and how old an alarm point can get at worst. Pure; reckoned before anything is polled.

Theory. A bus is booked by what its blocks cost, each over its period. An alarm block that falls due waits at most for the
transaction under way, for each other alarm block once, for a quicker one as often as that falls due meanwhile with an earlier
deadline (``schedule.py``), for a third of that time and one transaction of the rest, and before each of these turns and its own for one
read that somebody waits for (``poller.py``). With k devices dead it waits for their timeouts until they are quarantined, those k that
cost most: one for each turn of theirs that goes before it, as they settle between (``owing.py``). What falls due meanwhile hangs
on the wait itself, so it is reckoned until it grows no more.
Where an endpoint takes n questions at once it is done with what stands before it n times as soon, and booked by an n-th; but of one unit's
questions whose answers look alike one is under way at a time (``mbap.py``), so these wait for each other in full. A device that wants a
pause between questions makes its own blocks wait: for a pause after each of its alarm blocks that go before, after what else it is asked
once before each of these and its own (``schedule.py``), and after its own last one where the pause is longer than its period. Its age is
then its period and that wait.
Such a device is booked, too, as if it were a bus of its own: by what each of its blocks costs and its pause, over the block's period. Its
alarms are booked by their own and by one of its other turns between each two (``schedule.py``), as far as it is asked for so many.
The bound leaves out output writes: two transactions each, when somebody needs them; and what is wanted of outputs that are dead.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from msgspec import Struct

from gateway.drivers.modbus.owing import SETTLE_S
from gateway.drivers.modbus.patience import FLOOR_S
from gateway.drivers.modbus.plan import Block, plan, refresh_s
from gateway.drivers.modbus.schedule import ALARM_TIME
from gateway.drivers.modbus.timing import Timing, outstanding_of, timing_of
from gateway.drivers.modbus.watch import MISSES
from gateway.site.model import Bus, ModbusDevice
from gateway.site.profile import PointClass, Space

LISTEN_S = 3.0
"""Every device is asked at least this often, so that its silence shows within 10 s."""
LISTEN_PAUSES = 1.5
"""But one that wants long pauses no more often than this many of them: that alone would be more than it takes."""
FULLEST = 0.85
"""Of a bus, and of a device that wants pauses: the rest is for probes (2 %), repeats, output writes and devices slower than ``REPLY_S``
(facts/modbus 4)."""
FULLEST_ALARMS = 0.8
"""Of it by alarms: beyond that a round of them may not end within their period, and no age can be promised."""
DEAD = (0, 1, 3, 5)
"""For so many dead devices the ages are reckoned."""


class Turn(Struct, frozen=True):
    """One block of one device, and what it takes of the wire."""

    device: ModbusDevice
    block: Block
    period_s: float
    cost_s: float


class AlarmAge(Struct, frozen=True):
    """How old the alarm points of one block get at worst."""

    device: str
    points: tuple[str, ...]
    worst_s: tuple[float, ...]
    """With as many dead as ``DEAD`` says, as far as there are others to die."""
    most_s: float
    """The age at which the site counts them as lost."""
    untold_s: float
    """How long a value that stays the same is not told again."""

    @property
    def lost(self) -> bool:
        """Whether they may count as lost although nothing is wrong with them."""
        return self.worst_s[0] + self.untold_s > self.most_s


class Pauses(Struct, frozen=True):
    """What is asked of one device that wants a pause after each question."""

    device: str
    turns: tuple[Turn, ...]

    @property
    def share(self) -> float:
        """Of its time that is asked for, its pauses among it."""
        return sum(self._each(turn) / turn.period_s for turn in self.turns)

    @property
    def alarm_share(self) -> float:
        """Of it for alarms, and for what may go between them."""
        alarms = [turn for turn in self.turns if turn.block.alarm]
        rest = [turn for turn in self.turns if not turn.block.alarm]
        between = max(map(self._each, rest), default=0.0) * sum(1 / turn.period_s for turn in alarms)
        asked = sum(self._each(turn) / turn.period_s for turn in rest)
        return self.share - asked + min(asked, between)

    @property
    def overasked(self) -> bool:
        """Whether some of its points are read less often than is wanted."""
        return self.share > FULLEST

    @property
    def alarms_late(self) -> bool:
        """Whether its alarm points are, too."""
        return self.alarm_share > FULLEST

    @property
    def times_a_minute(self) -> float:
        """How often it is asked."""
        return sum(60 / turn.period_s for turn in self.turns)

    @property
    def most_a_minute(self) -> float:
        """How often it may be."""
        return FULLEST * self.times_a_minute / self.share

    @staticmethod
    def _each(turn: Turn) -> float:
        return turn.cost_s + turn.device.profile.guard_ms / 1000


class BusLoad(Struct, frozen=True):
    """One bus."""

    bus: str
    share: float
    """Of its time that is asked for; 1 is all of it."""
    alarm_share: float
    cycle_s: float
    """All blocks once."""
    reply_s: float
    """What a device was reckoned to take before it answers."""
    alarms: tuple[AlarmAge, ...]
    outstanding: int = 1
    """Questions under way at once, by which ``share`` is divided."""
    pauses: tuple[Pauses, ...] = ()
    """Of each device that wants them."""

    @property
    def overbooked(self) -> bool:
        """Whether it cannot be promised what the site asks."""
        return self.share > FULLEST or self.alarm_share > FULLEST_ALARMS

    def told(self) -> dict[str, object]:
        """As one JSON object."""
        ages = [
            {
                "device": age.device,
                "point": point,
                "max_age_s": age.most_s,
                "worst_s": dict(zip(map(str, DEAD), age.worst_s, strict=False)),
            }
            for age in self.alarms
            for point in age.points
        ]
        shares = {"load": round(self.share, 3), "alarm_load": round(self.alarm_share, 3)}
        times = {"cycle_s": round(self.cycle_s, 3), "reply_ms": round(1000 * self.reply_s, 3)}
        pauses = [
            {"device": one.device, "load": round(one.share, 3), "alarm_load": round(one.alarm_share, 3)}
            for one in self.pauses
        ]
        several = {"outstanding": self.outstanding, "pauses": pauses}
        return {"bus": self.bus, **shares, **times, **several, "ages": ages}


_Known = dict[tuple[int, int, tuple[str, ...]], tuple[float, ...]]
"""What was reckoned on this bus for a block of one profile: a hundred detectors of a kind wait alike."""


def periods(device: ModbusDevice, blocks: Sequence[Block]) -> list[float]:
    """How often each block of a device is read, in seconds: the quickest often enough to notice its silence.

    An alarm point is read thrice within the age at which it counts as lost.
    """
    found = [min(b.period_ms, device.max_age_ms / 3 if b.alarm else b.period_ms) / 1000 for b in blocks]
    quickest = found.index(min(found)) if found else -1
    listen_s = max(LISTEN_S, LISTEN_PAUSES * device.profile.guard_ms / 1000)
    return [min(p, listen_s) if n == quickest else p for n, p in enumerate(found)]


def load_of(bus: Bus) -> BusLoad:
    """What the site asks of a bus."""
    timing, hands, known = timing_of(bus), outstanding_of(bus), _Known()
    by_device = {device.id: _turns(device, timing) for device in bus.devices}
    turns = [turn for theirs in by_device.values() for turn in theirs]
    alarms = [turn for turn in turns if turn.block.alarm]
    return BusLoad(
        bus.id,
        _taken(turns, hands, lambda turn: turn.cost_s / turn.period_s),
        _taken(alarms, hands, lambda turn: turn.cost_s / turn.period_s),
        _taken(turns, hands, lambda turn: turn.cost_s),
        timing.reply_s,
        tuple(_age(turn, known, lambda turn: _worst_s(turn, turns, alarms, timing, hands)) for turn in alarms),
        hands,
        tuple(
            Pauses(device, theirs)
            for device, theirs in by_device.items()
            if theirs and theirs[0].device.profile.guard_ms
        ),
    )


def _taken(turns: Sequence[Turn], hands: int, of: Callable[[Turn], float]) -> float:
    """What these take of an endpoint: the ``hands``-th part of their sum, or all of those that go one at a time."""
    alike: defaultdict[tuple[str, tuple[Space, int]], float] = defaultdict(float)
    for turn in turns:
        alike[turn.device.id, turn.block.form] += of(turn)
    return max(sum(map(of, turns)) / hands, max(alike.values(), default=0.0))


def _turns(device: ModbusDevice, timing: Timing) -> tuple[Turn, ...]:
    blocks = plan(device.profile, timing.paying(device.profile))
    return tuple(
        Turn(device, block, period, timing.read_s(block, device.profile))
        for block, period in zip(blocks, periods(device, blocks), strict=True)
    )


def _age(turn: Turn, known: _Known, reckon: Callable[[Turn], tuple[float, ...]]) -> AlarmAge:
    points = [point for point in turn.block.points if point.point_class is PointClass.ALARM]
    most_ms = turn.device.max_age_ms
    untold_s = max(refresh_s(point, most_ms) for point in points)
    names = tuple(point.name for point in points)
    like = id(turn.device.profile), most_ms, names
    if like not in known:
        known[like] = reckon(turn)
    return AlarmAge(turn.device.id, names, known[like], most_ms / 1000, untold_s)


def _worst_s(
    turn: Turn, turns: Sequence[Turn], alarms: Sequence[Turn], timing: Timing, hands: int
) -> tuple[float, ...]:
    others = len({other.device.id for other in turns if other.device is not turn.device})
    queue = _Queue(turn, turns, alarms, timing, hands)
    return tuple(round(turn.period_s + queue.wait_s(dead), 4) for dead in DEAD if dead <= others)


class _Queue:
    """What stands before one alarm block when it falls due."""

    def __init__(self, turn: Turn, turns: Sequence[Turn], alarms: Sequence[Turn], timing: Timing, hands: int) -> None:
        self._turn, self._alarms, self._hands = turn, [other for other in alarms if other is not turn], hands
        self._rest_s = max((other.cost_s for other in turns if not other.block.alarm), default=0.0)
        self._read_s = max(other.cost_s for other in turns)
        own = [other for other in turns if other.device is turn.device]
        self._guard_s = turn.device.profile.guard_ms / 1000
        self._own_s = turn.cost_s + sum(t.cost_s for t in own if not t.block.alarm)
        self._own_s += self._guard_s * (1 + (self._guard_s > turn.period_s))
        under_way = max((other.cost_s for other in turns if other is not turn), default=0.0)
        self._own_s += under_way
        by_device: dict[str, list[Turn]] = {}
        for other in turns:
            if other.device is not turn.device:
                by_device.setdefault(other.device.id, []).append(other)
        self._mortal = [(_miss_s(theirs[0].device, timing), theirs) for theirs in by_device.values()]

    def wait_s(self, dead: int) -> float:
        """How long it waits at most, with so many of the others dead."""
        wait, more = 0.0, self._after(0.0, dead)
        while more > wait:
            wait, more = more, self._after(more, dead)
        return wait

    def _after(self, wait_s: float, dead: int) -> float:
        times = [self._times(other, wait_s) for other in self._alarms]
        alarms_s = self._turn.cost_s + sum(n * other.cost_s for n, other in zip(times, self._alarms, strict=True))
        own = sum(n for n, other in zip(times, self._alarms, strict=True) if other.device is self._turn.device)
        before = alarms_s - self._turn.cost_s + (alarms_s / ALARM_TIME + self._rest_s if self._rest_s else 0.0)
        before += self._read_s * (1 + sum(times))
        before += (self._hands - 1) * sum(
            n * other.cost_s for n, other in zip(times, self._alarms, strict=True) if self._alike(other)
        )
        missed = sorted((self._misses(theirs, wait_s) * miss_s for miss_s, theirs in self._mortal), reverse=True)
        return self._own_s + 2 * own * self._guard_s + (before + sum(missed[:dead])) / self._hands

    def _alike(self, other: Turn) -> bool:
        return other.device is self._turn.device and other.block.form == self._turn.block.form

    def _times(self, other: Turn, wait_s: float) -> int:
        """How often another alarm block goes before it within that time."""
        return 1 + math.ceil(max(0.0, min(wait_s, self._turn.period_s - other.period_s)) / other.period_s)

    def _misses(self, theirs: Sequence[Turn], wait_s: float) -> int:
        """How many timeouts of a device that has died."""
        turns = sum(self._times(t, wait_s) for t in theirs if t.block.alarm) + any(not t.block.alarm for t in theirs)
        return min(MISSES, turns, 1 + int(wait_s / SETTLE_S))


def _miss_s(device: ModbusDevice, timing: Timing) -> float:
    return timing.miss_s(device.profile, max(FLOOR_S, device.profile.timeout_ms / 1000))
