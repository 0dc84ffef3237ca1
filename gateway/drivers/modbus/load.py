"""What a site asks of each bus, and how old an alarm point can get at worst. Pure; reckoned before anything is polled.

Theory. A bus is booked by what its blocks cost, each over its period. An alarm block that falls due waits at most for the
transaction under way, for each other alarm block once (by deadline, ``schedule.py``), for a third of that time and one
transaction of the rest, and, with k devices dead, for one timeout of each before they are quarantined, the k most patient ones. A device that wants a pause
between questions makes its own blocks wait for each other. Its age is then its period and that wait. The bound leaves out output
writes: two transactions each, when somebody needs them.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from gateway.drivers.modbus.patience import FLOOR_S
from gateway.drivers.modbus.plan import Block, plan
from gateway.drivers.modbus.schedule import ALARM_TIME
from gateway.drivers.modbus.timing import Timing, timing_of
from gateway.site.model import Bus, ModbusDevice

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

    @property
    def overbooked(self) -> bool:
        """Whether it cannot be promised what the site asks."""
        return self.share > FULLEST or self.alarm_share > FULLEST_ALARMS

    def told(self) -> dict[str, object]:
        """As one JSON object."""
        ages = [
            {
                "device": a.device,
                "points": list(a.points),
                "worst_s": dict(zip(map(str, DEAD), a.worst_s, strict=False)),
            }
            for a in self.alarms
        ]
        shares = {"load": round(self.share, 3), "alarm_load": round(self.alarm_share, 3)}
        times = {"cycle_s": round(self.cycle_s, 3), "reply_ms": round(1000 * self.reply_s, 1)}
        return {"bus": self.bus, **shares, **times, "ages": ages}


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
    turns = [turn for device in bus.devices for turn in _turns(device, timing)]
    alarms = [turn for turn in turns if turn.block.alarm]
    return BusLoad(
        bus.id,
        sum(turn.cost_s / turn.period_s for turn in turns),
        sum(turn.cost_s / turn.period_s for turn in alarms),
        sum(turn.cost_s for turn in turns),
        timing.reply_s,
        tuple(_age(turn, turns, alarms, timing) for turn in alarms),
    )


def _turns(device: ModbusDevice, timing: Timing) -> list[Turn]:
    blocks = plan(device.profile, timing.paying(device.profile))
    return [
        Turn(device, block, period, timing.read_s(block, device.profile))
        for block, period in zip(blocks, periods(device, blocks), strict=True)
    ]


def _age(turn: Turn, turns: Sequence[Turn], alarms: Sequence[Turn], timing: Timing) -> AlarmAge:
    rest = max((other.cost_s for other in turns if not other.block.alarm), default=0.0)
    under_way = max((other.cost_s for other in turns if other is not turn), default=0.0)
    all_alarms = sum(other.cost_s for other in alarms)
    wait = under_way + all_alarms + (all_alarms / ALARM_TIME + rest if rest else 0.0)
    own = [other for other in turns if other.device is turn.device]
    wait += turn.device.profile.guard_ms / 1000 * len(own) + sum(t.cost_s for t in own if not t.block.alarm)
    others = {other.device.id: other.device for other in turns if other.device is not turn.device}
    misses = sorted((_miss_s(device, timing) for device in others.values()), reverse=True)
    worst = tuple(round(turn.period_s + wait + sum(misses[:dead]), 3) for dead in DEAD if dead <= len(misses))
    return AlarmAge(turn.device.id, tuple(point.name for point in turn.block.points), worst)


def _miss_s(device: ModbusDevice, timing: Timing) -> float:
    return timing.miss_s(device.profile, max(FLOOR_S, device.profile.timeout_ms / 1000))
