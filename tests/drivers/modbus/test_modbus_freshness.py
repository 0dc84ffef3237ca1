"""How old an alarm point gets on a full 9600-baud line: the real line and poller on virtual time, with units that are dead.

Ten of 31 units have an alarm point, read twice a second (22.9 ms each), and all have ten slow registers (41.7 ms), so that nine
tenths of the wire are booked. What an age adds to the period is the wait for a read under way, or for a probe: a timeout.
"""

import asyncio
import itertools
import struct

import pytest
from instruments.virtual import virtual_run
from instruments.wires import BareWire

from gateway.drivers.modbus import frames
from gateway.drivers.modbus.rtu import RtuLine
from gateway.drivers.modbus.timing import silence_of

PERIOD_S, FULL_READ_S, PROBE_S = 0.5, 0.0417, 0.125
SETTLED_S = 40.0  # by then the dead are found out, and the first probes that follow each other are over


class PacedWire(BareWire):
    """Its living units answer after 3.5 characters."""

    def __init__(self, dead):
        super().__init__(9600)
        self.dead, self.read_at, self.probed_at = dead, {}, []

    def send(self, frame):
        loop, (address, count) = asyncio.get_running_loop(), struct.unpack(">HH", frame[2:6])
        if frame[0] in self.dead:
            self.probed_at.append(loop.time())
            return
        answer = frame[:2] + bytes((2 * count,)) + bytes(2 * count)
        answer += frames.crc(answer)
        wait = silence_of(9600, self.char_s) + (len(frame) + len(answer)) * self.char_s

        def say():
            self.read_at.setdefault((frame[0], address), []).append(loop.time())
            self.heard(answer)

        loop.call_later(wait, say)


def polled(kit, dead, seconds, rest_ms=3000):
    rest = [kit.point(f"p{n}", 20 + n, period_ms=rest_ms) for n in range(10)]
    other = kit.profile(*rest)
    detector = kit.profile(kit.alarm("gas", 0), *rest, max_hole=0)
    wire = PacedWire(dead)

    async def story():
        devices = [(unit, detector if unit <= 10 else other) for unit in range(1, 32)]
        async with kit.polling(kit.bus("/dev/x", *devices), line=RtuLine(wire)):
            await asyncio.sleep(seconds)

    virtual_run(story())
    return wire


def ages(wire, address=0, since=SETTLED_S):
    found = [times for (_, where), times in wire.read_at.items() if where == address]
    return sorted(b - a for times in found for a, b in itertools.pairwise(times) if a >= since)


@pytest.mark.parametrize("dead", [(), (8,), (8, 18, 19), (5, 8, 12, 18, 19), (1, 2, 3, 4, 5)])
def test_an_alarm_waits_for_one_read_or_one_probe_whoever_is_dead(kit, dead):
    old = ages(polled(kit, set(dead), 160))
    assert old[int(0.99 * len(old))] <= 0.6
    assert old[-1] <= PERIOD_S + (PROBE_S if dead else FULL_READ_S) + 0.025, "waited for more than one"


def test_alarms_of_one_period_do_not_wait_for_each_other(kit):
    wire = polled(kit, set(), 100)
    last = [max(at for at in times if at <= 99) % PERIOD_S for (_, where), times in wire.read_at.items() if not where]
    apart = [(b - a) % PERIOD_S for a, b in itertools.pairwise([*sorted(last), min(last)])]
    assert max(apart) <= 3 * PERIOD_S / len(apart), "they stand together"


def test_the_first_round_waits_for_no_moment_of_its_own(kit):
    first = {where: times[0] for where, times in polled(kit, set(), 10).read_at.items()}
    assert max(at for (_, address), at in first.items() if not address) <= PERIOD_S
    assert max(first.values()) <= 3.0, "nobody waits for more than its period, though all are new"


def test_the_dead_are_probed_though_alarms_never_rest(kit):
    """The rest of the line asks for three times what there is."""
    wire = polled(kit, {8, 20}, 300, rest_ms=400)
    late = [at for at in wire.probed_at if at > 100]
    assert max(b - a for a, b in itertools.pairwise([100.0, *late, 300.0])) <= 35
    assert ages(wire)[-1] <= PERIOD_S + PROBE_S + 2 * FULL_READ_S
