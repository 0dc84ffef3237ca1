"""What a site asks of each bus, and how old an alarm point can get at worst. Pure; reckoned before anything is polled.

Theory. A bus is booked by what its blocks cost, each over its period. An alarm block that falls due waits at most for the
transaction under way, for each other alarm block once (by deadline, ``schedule.py``), for a third of that time and one
transaction of the rest, and, with k devices dead, for one timeout of each before they are quarantined, the k most patient ones.
Where an endpoint takes n questions at once it is done with what stands before it n times as soon, and booked by an n-th. A
device that wants a pause between questions makes its own blocks wait for each other. Its age is then its period and that wait.
The bound leaves out output writes: two transactions each, when somebody needs them.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from gateway.drivers.modbus.patience import FLOOR_S
from gateway.drivers.modbus.plan import Block, plan, refresh_s
from gateway.drivers.modbus.schedule import ALARM_TIME
from gateway.drivers.modbus.timing import Timing, outstanding_of, timing_of
from gateway.site.model import Bus, ModbusDevice
from gateway.site.profile import PointClass

LISTEN_S = 3.0
"""Every device is asked at least this often, so that its silence shows within 10 s."""
FULLEST = 0.85
"""Of a bus: the rest is for probes (2 %), repeats, output writes and devices slower than ``REPLY_S`` (facts/modbus 4)."""
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
        several = {"outstanding": self.outstanding}
        return {"bus": self.bus, **shares, **times, **several, "ages": ages}


def periods(device: ModbusDevice, blocks: Sequence[Block]) -> list[float]:
    """How often each block of a device is read, in seconds: the quickest often enough to notice its silence.

    An alarm point is read thrice within the age at which it counts as lost.
    """
    found = [min(b.period_ms, device.max_age_ms / 3 if b.alarm else b.period_ms) / 1000 for b in blocks]
    quickest = found.index(min(found)) if found else -1
    return [min(p, LISTEN_S) if n == quickest else p for n, p in enumerate(found)]


def load_of(bus: Bus) -> BusLoad:
    """What the site asks of a bus."""
    timing = timing_of(bus)
    hands = 1 if timing.char_s else outstanding_of(bus)  # behind a gateway with a line there is one after the other
    turns = [turn for device in bus.devices for turn in _turns(device, timing)]
    alarms = [turn for turn in turns if turn.block.alarm]
    return BusLoad(
        bus.id,
        sum(turn.cost_s / turn.period_s for turn in turns) / hands,
        sum(turn.cost_s / turn.period_s for turn in alarms) / hands,
        sum(turn.cost_s for turn in turns) / hands,
        timing.reply_s,
        tuple(_age(turn, turns, alarms, timing, hands) for turn in alarms),
        hands,
    )


def _turns(device: ModbusDevice, timing: Timing) -> list[Turn]:
    blocks = plan(device.profile, timing.paying(device.profile))
    return [
        Turn(device, block, period, timing.read_s(block, device.profile))
        for block, period in zip(blocks, periods(device, blocks), strict=True)
    ]


def _age(turn: Turn, turns: Sequence[Turn], alarms: Sequence[Turn], timing: Timing, hands: int) -> AlarmAge:
    rest = max((other.cost_s for other in turns if not other.block.alarm), default=0.0)
    under_way = max((other.cost_s for other in turns if other is not turn), default=0.0)
    all_alarms = sum(other.cost_s for other in alarms)
    before = all_alarms - turn.cost_s + (all_alarms / ALARM_TIME + rest if rest else 0.0)
    own = [other for other in turns if other.device is turn.device]
    wait = under_way + turn.cost_s + turn.device.profile.guard_ms / 1000 * len(own)
    wait += sum(t.cost_s for t in own if not t.block.alarm)
    others = {other.device.id: other.device for other in turns if other.device is not turn.device}
    misses = sorted((_miss_s(device, timing) for device in others.values()), reverse=True)
    worst = (turn.period_s + wait + (before + sum(misses[:dead])) / hands for dead in DEAD if dead <= len(misses))
    points = [point for point in turn.block.points if point.point_class is PointClass.ALARM]
    most_ms = turn.device.max_age_ms
    untold_s = max(refresh_s(point, most_ms) for point in points)
    names = tuple(point.name for point in points)
    return AlarmAge(turn.device.id, names, tuple(round(age, 4) for age in worst), most_ms / 1000, untold_s)


def _miss_s(device: ModbusDevice, timing: Timing) -> float:
    return timing.miss_s(device.profile, max(FLOOR_S, device.profile.timeout_ms / 1000))
