"""A long bus on virtual time: what the dead cost the living, how fresh alarms stay, how long a write waits.

The line here is a model of a 9600-baud wire (facts/modbus 4): 23 ms for a short read, the timeout for a dead device.
"""

import asyncio
import itertools

import pytest
from instruments.virtual import virtual_run

from gateway.drivers.modbus.line import Tally
from gateway.drivers.modbus.owing import FAR_S
from gateway.faults import DeviceFault
from gateway.site.profile import PointClass, Space

READ_S = 0.023
SETTLE_S = 1.0


class ModelLine:
    """A ``Line`` that takes the time a wire would."""

    connected = dials = True
    outstanding = 1

    def __init__(self, dead=()):
        self.tally, self.dead, self.asked, self.busy, self.coils = Tally(), set(dead), [], 0.0, {}
        self._settle, self._owed = {}, {}

    async def connect(self):
        pass

    async def close(self):
        pass

    def free_at(self, unit, *, to_read=True, question=None):
        """A write waits for the settling of a write alone; a question, until no answer owed can be taken for its own."""
        free = max(self._settle.get((unit, reads), 0.0) for reads in {to_read, False})
        owed, until = self._owed.get(unit, (question, 0.0))
        alike = question is not None and owed != question and owed[::2] == question[::2]
        return max(free, until) if alike else free

    async def read(self, unit, space, address, count, timeout_ms=300, *, patient=False):
        await self._talk(unit, timeout_ms, (space, address, count))
        return [self.coils.get(unit, 0)] * count

    async def end(self):
        pass

    def pace(self, unit, gap_s):
        pass

    async def send(self, request, timeout_ms=300, *, patient=False):
        await self._talk(request.unit, timeout_ms)
        self.coils[request.unit] = int.from_bytes(request.frame[4:6], "big") & 1 or request.frame[4] & 1
        return b""

    async def _talk(self, unit, timeout_ms, question=None):
        """``question`` is None for a write."""
        loop, reads = asyncio.get_running_loop(), question is not None
        self.asked.append((loop.time(), unit))
        assert loop.time() >= self.free_at(unit, to_read=reads, question=question), "asked before it settled"
        if unit in self.dead:
            await asyncio.sleep(timeout_ms / 1000)
            self._settle[unit, reads] = loop.time() + SETTLE_S
            if reads:
                self._owed[unit] = (question, loop.time() + FAR_S)
            raise DeviceFault("timeout", f"unit {unit}")
        await asyncio.sleep(READ_S)

    def gaps(self, unit, since):
        times = [at for at, asked in self.asked if asked == unit and at >= since]
        return [b - a for a, b in itertools.pairwise(times)]


def live(kit, dead, seconds=120, act=None, alarms=10):
    """31 devices, the first ones gas detectors with an alarm point, the rest air sensors."""
    alarm = kit.profile(kit.alarm("gas", 0))
    slow = kit.profile(kit.point("t", 0, point_class=PointClass.NORMAL))
    relay = kit.profile(kit.point("relay1", 0, point_class=PointClass.FEEDBACK, writable=True))
    devices = [(n, alarm if n <= alarms else slow) for n in range(1, 31)] + [(31, relay)]
    line = ModelLine(dead)

    async def story():
        async with kit.polling(kit.bus("", *devices), line=line) as (poller, ear):
            await asyncio.sleep(seconds)
            if act is not None:
                await act(poller, line)
        return line, ear

    return virtual_run(story())


@pytest.mark.parametrize("dead", [(), (30,), (28, 29, 30), (1, 2, 28, 29, 30)])
def test_gas_points_stay_fresh_whoever_is_dead(kit, dead):
    line, ear = live(kit, dead)
    for unit in set(range(1, 11)) - set(dead):
        gaps = sorted(line.gaps(unit, since=30))
        assert gaps[int(len(gaps) * 0.99)] <= 1.0
        assert gaps[-1] <= 1.5
    lost = {device for device, health, _ in ear.health() if health == "lost"}
    assert lost == {f"dev{unit}" for unit in dead}


def test_the_dead_cost_the_living_no_tenth(kit):
    healthy = live(kit, ())[0].gaps(10, since=60)
    with_dead = live(kit, (28, 29, 30))[0].gaps(10, since=60)
    assert sum(with_dead) / len(with_dead) <= 1.1 * sum(healthy) / len(healthy)


def test_a_device_that_falls_silent_is_lost_within_ten_seconds(kit):
    for unit in (1, 20):

        async def act(poller, line, unit=unit):
            line.dead.add(unit)
            await asyncio.sleep(10)

        _, ear = live(kit, (29, 30), seconds=60, act=act)
        at = ear.at(
            lambda e, unit=unit: getattr(e, "device", "") == f"dev{unit}" and getattr(e, "health", "") == "lost"
        )
        assert at is not None
        assert at <= 70


def test_a_silent_bus_is_told_within_ten_seconds_and_once(kit):
    async def act(poller, line):
        line.dead |= set(range(1, 32))
        await asyncio.sleep(10)

    _, ear = live(kit, (), seconds=60, act=act)
    assert [h for h in ear.health() if h[1] == "lost"] == [("bus-a", "lost", "all_silent")]
    assert len([r for r in ear.readings() if r.quality == "comms"]) == 31


def test_a_write_waits_for_one_transaction_at_most(kit):
    async def act(poller, line):
        loop = asyncio.get_running_loop()
        for n in range(40):
            await asyncio.sleep(0.137)
            start = loop.time()
            await poller.write("dev31", "relay1", n % 2 == 0)
            # one transaction of another (at worst a dead one's timeout), the write itself, and its read-back
            assert loop.time() - start <= 0.3 + 2 * READ_S + 0.001

    live(kit, (28, 29, 30), seconds=20, act=act)


def test_quarantined_devices_are_probed_ever_more_rarely(kit):
    line, _ = live(kit, (30,), seconds=200)
    gaps = line.gaps(30, since=0)
    assert max(gaps) <= 32
    assert gaps[-1] > 29
    assert len(gaps) < 15


def test_all_probes_of_a_bus_together_take_no_fiftieth_of_it(kit):
    line, _ = live(kit, set(range(12, 32)), seconds=360)
    probed = [at for at, unit in line.asked if unit >= 12 and at >= 60]
    assert probed, "the dead are asked now and then"
    assert len(probed) * 0.3 <= 0.02 * 300 + 0.5  # what was saved up before may be spent in these minutes


def test_beyond_what_the_line_can_carry_alarms_are_read_by_their_time_all_the_same(kit):
    quick = kit.profile(kit.alarm("gas", 0))
    greedy = kit.profile(kit.point("t", 0, point_class=PointClass.NORMAL, period_ms=200))
    line = ModelLine()

    async def story():
        devices = [(n, quick if n <= 10 else greedy) for n in range(1, 31)]
        async with kit.polling(kit.bus("", *devices), line=line) as (poller, _):
            await asyncio.sleep(120)
            assert poller.schedule.turns.skipped > 1000, "the bus was not overbooked"
            assert not poller.schedule.turns.alarm_share

    virtual_run(story())
    for unit in range(1, 11):
        assert max(line.gaps(unit, since=10)) <= 2 * 0.5, "later than due and a period"


class Holding(ModelLine):
    """Its relay lets each output go unless it is written again; it shows 1 for all of them."""

    def __init__(self):
        super().__init__()
        self.written = []

    async def read(self, unit, space, address, count, timeout_ms=300, *, patient=False):
        await self._talk(unit, timeout_ms, (space, address, count))
        return [1] * count

    async def send(self, request, timeout_ms=300, *, patient=False):
        self.written.append((asyncio.get_running_loop().time(), request.frame[3], request.frame[4] == 0xFF))
        await super().send(request, timeout_ms)


def held(kit, tell, outputs=4):
    """A relay that holds outputs for four seconds each, a gas detector beside it."""
    relay = kit.profile(
        *(kit.point(f"r{n}", n, Space.COIL, point_class=PointClass.FEEDBACK, writable=True, repeat_ms=4000,
                    shown_on=1, shown_off=1) for n in range(outputs))
    )  # fmt: skip
    line = Holding()

    async def story():
        async with kit.polling(kit.bus("", (1, relay), (2, kit.profile(kit.alarm("gas", 0)))), line=line) as (
            poller,
            _,
        ):
            await asyncio.sleep(5)
            for n in range(outputs):
                await poller.write("dev1", f"r{n}", True)
            await tell(poller, line)

    virtual_run(story())


@pytest.mark.parametrize("minutes", [5, 60])
def test_outputs_held_on_a_dead_relay_gather_nothing_and_the_order_to_end_them_goes_first(kit, minutes):
    async def tell(poller, line):
        loop = asyncio.get_running_loop()
        line.dead.add(1)
        await asyncio.sleep(60 * minutes)
        line.dead.discard(1)
        back = loop.time()
        await poller.write("dev1", "r0", False)
        assert loop.time() - back <= SETTLE_S + 2 * 0.3 + 2 * READ_S
        await asyncio.sleep(1)
        since = [(point, on) for at, point, on in line.written if at >= back]
        assert since[0] == (0, False), "somebody waited for what nobody waits for"
        assert sorted(since[1:]) == [(n, True) for n in (1, 2, 3)], "each that is still held is renewed once"
        await asyncio.sleep(10)
        assert (0, True) not in [(point, on) for at, point, on in line.written if at >= back]
        assert max(line.gaps(2, back - 30)) <= 1.5

    held(kit, tell)


def test_while_a_relay_is_quarantined_nothing_is_renewed(kit):
    async def tell(poller, line):
        line.dead.add(1)
        await asyncio.sleep(20)
        count = len(line.written)
        await asyncio.sleep(300)
        assert len(line.written) == count

    held(kit, tell)


def test_an_order_that_ends_an_output_ends_its_renewal_that_waits(kit):
    async def tell(poller, line):
        loop = asyncio.get_running_loop()
        for n in range(30):
            await asyncio.sleep(1.9 + 0.007 * n)  # a renewal waits, is under way, is being read back
            await poller.write("dev1", "r0", False)
            off = loop.time()
            await asyncio.sleep(4.5)
            assert not [at for at, point, on in line.written if point == 0 and on and at >= off]
            await poller.write("dev1", "r0", True)

    held(kit, tell, outputs=1)


def test_on_and_off_wanted_at_once_leave_nothing_to_renew(kit):
    async def tell(poller, line):
        await asyncio.gather(poller.write("dev1", "r0", True), poller.write("dev1", "r0", False))
        count = len(line.written)
        await asyncio.sleep(10)
        assert len(line.written) == count

    held(kit, tell, outputs=1)


def test_reads_that_others_wait_for_leave_every_second_turn_to_an_alarm(kit):
    """Twenty valves run at once, each looked at four times a second until it has come home."""

    async def act(poller, line):
        async def look():
            while True:
                await poller.read("dev31", "relay1")
                await asyncio.sleep(0.25)

        looking = [asyncio.ensure_future(look()) for _ in range(20)]
        await asyncio.sleep(60)
        for one in looking:
            one.cancel()

    line, _ = live(kit, (), seconds=10, act=act)
    for unit in range(1, 11):
        assert max(line.gaps(unit, since=11)) <= 1.0, "a detector waited for who looks at a valve"
    assert len(line.gaps(31, since=11)) > 1000


def watched(kit, valves, tell=lambda line: None, seconds=60, air_ms=0):
    """Detectors, valves each looked at four times a second as while it runs, air sensors from unit 41 on; then ``tell``."""
    gas = kit.profile(kit.alarm("gas", 0))
    air = kit.profile(kit.point("t", 0, point_class=PointClass.NORMAL, period_ms=air_ms))
    valve = kit.profile(kit.point("closed", 0, point_class=PointClass.FEEDBACK))
    kinds = [(range(1, 6), gas), (range(6, 6 + valves), valve), (range(41, 47), air)]
    line, looks = ModelLine(), []

    async def look(poller, unit):
        while True:
            await poller.read(f"dev{unit}", "closed")
            looks.append((asyncio.get_running_loop().time(), unit))
            await asyncio.sleep(0.25)

    async def story():
        devices = [(unit, profile) for units, profile in kinds for unit in units]
        async with kit.polling(kit.bus("", *devices), line=line) as (poller, ear):
            await asyncio.sleep(10)
            looking = [asyncio.ensure_future(look(poller, unit)) for unit in range(6, 6 + valves)]
            await asyncio.sleep(5)
            tell(line)
            await asyncio.sleep(seconds)
            for one in looking:
                one.cancel()
        return line, ear, poller, looks

    return virtual_run(story())


@pytest.mark.parametrize("valves", [6, 12, 20, 31])
def test_valves_that_run_at_once_take_no_device_from_sight(kit, valves):
    """Each look is answered before the polls; so many of them left the rest of the bus no turn at all, and nobody was told."""
    line, ear, _, looks = watched(kit, valves, lambda line: line.dead.add(43))
    lost_at = ear.at(lambda e: getattr(e, "device", "") == "dev43" and getattr(e, "health", "") == "lost")
    assert lost_at is not None
    assert lost_at <= 15 + 10
    for unit in (41, 42, 44, 45, 46):
        assert max(line.gaps(unit, since=10)) <= 6.0, "twice what is promised of a bus that keeps up"
    for unit in range(1, 6):
        assert max(line.gaps(unit, since=10)) <= 1.0, "a detector waited for who looks at a valve"
    for unit in range(6, 6 + valves):
        seen = [at for at, looked in looks if looked == unit]
        assert max(b - a for a, b in itertools.pairwise(seen)) <= 2.5, (
            "a valve may have five seconds in all to show itself"
        )


def test_a_bus_that_leaves_out_polls_for_those_who_wait_is_called_overloaded(kit):
    _, ear, poller, _ = watched(kit, 20, seconds=120, air_ms=300)
    assert poller.schedule.turns.skipped > 100
    assert not poller.schedule.turns.alarm_share > 0.02
    assert [r.value for r in ear.readings("overloaded")][-1] is True


def test_an_order_that_comes_while_valves_are_looked_at_waits_for_one_transaction(kit):
    """Not for an alarm or anything else that would go before the next look."""

    async def act(poller, line):
        loop = asyncio.get_running_loop()

        async def look():
            while True:
                await poller.read("dev31", "relay1")
                await asyncio.sleep(0.01)

        looking = [asyncio.ensure_future(look()) for _ in range(20)]
        for n in range(100):
            await asyncio.sleep(0.137 + 0.0017 * n)  # at any moment of what is under way
            start, sent = loop.time(), []
            await poller.write("dev31", "relay1", n % 2 == 0, lambda sent=sent: sent.append(loop.time()))
            took.append(sent[0] - start)
        for one in looking:
            one.cancel()

    took = []
    live(kit, (), seconds=20, act=act)
    assert max(took) <= 2 * READ_S + 0.002, "the one under way, and its own"


def test_a_board_whose_every_channel_alarms_at_once_is_looked_at_again_once(kit):
    board = kit.profile(*(kit.alarm(f"gas{n}", n) for n in range(32)))
    line = ModelLine()

    async def story():
        async with kit.polling(kit.bus("", (1, board)), line=line) as (poller, ear):
            await asyncio.sleep(10)
            asked, heard = len(line.asked), len(ear.readings())
            for n in range(32):
                poller.reread("dev1", f"gas{n}")
            await asyncio.sleep(0.2)
            assert len(line.asked) - asked <= 2, "the same block was read for each point"
            assert {reading.point for reading in ear.readings()[heard:]} == {f"gas{n}" for n in range(32)}

    virtual_run(story())


class Doubting(list):
    """Stands for the core: a gas point that crosses is asked again at once. Holds how long each second look took."""

    def __init__(self, kit):
        super().__init__()
        self.ear, self.poller, self._asked_at = kit.Ear(), None, {}

    def __call__(self, event):
        self.ear(event)
        if getattr(event, "point", "") != "gas" or not event.value:
            return
        now = asyncio.get_running_loop().time()
        asked_at = self._asked_at.pop(event.device, None)
        if asked_at is not None:
            self.append(now - asked_at)
            return
        self._asked_at[event.device] = now
        asyncio.get_running_loop().call_soon(self.poller.reread, event.device, "gas")


def crossing(kit, gases, valves=12, times=60, act=lambda poller: (), gas=None):
    """Valves that run and are looked at without end, while gas comes and goes at so many detectors."""
    gas, line, core = gas or kit.profile(kit.alarm("gas", 0)), ModelLine(), Doubting(kit)
    valve = kit.profile(kit.point("closed", 0, point_class=PointClass.FEEDBACK))
    devices = [(unit, gas) for unit in range(1, 6)] + [(unit, valve) for unit in range(6, 6 + valves)]
    looked = []

    async def look(poller, unit):
        while True:
            await poller.read(f"dev{unit}", "closed")
            looked.append(asyncio.get_running_loop().time())

    async def story():
        async with kit.polling(kit.bus("", *devices), ear=core, line=line) as (poller, _):
            core.poller = poller
            await asyncio.sleep(5)
            busy = [asyncio.ensure_future(look(poller, unit)) for unit in range(6, 6 + valves)]
            busy += [asyncio.ensure_future(one) for one in act(poller)]
            for n in range(times):
                await asyncio.sleep(2.137 + 0.007 * n)
                for unit in range(1, 1 + gases):
                    line.coils[unit] = 1 - line.coils.get(unit, 0)
            for one in busy:
                one.cancel()
        return line, core, looked

    return virtual_run(story())


def test_gas_that_is_to_be_confirmed_waits_for_no_look_at_a_valve(kit):
    """A dozen valves run at once, and each look at one stood before the second look at the gas: half a second and more."""
    _, core, _ = crossing(kit, gases=1)
    assert len(core) > 20
    assert max(core) <= 3 * READ_S + 0.001, "the one under way, a turn of the plan, and its own"


def test_gas_that_comes_and_goes_everywhere_starves_nobody(kit):
    line, core, looked = crossing(kit, gases=5)
    assert len(core) > 100
    assert max(core) <= 2 * 5 * READ_S + 0.001, "each in turns with the plan"
    assert max(b - a for a, b in itertools.pairwise(looked)) <= 0.5
    for unit in range(1, 6):
        assert max(line.gaps(unit, since=6)) <= 1.0


def test_gas_of_a_detector_that_rests_is_confirmed_by_its_next_read_whose_turn_ever_it_is(kit):
    """Its other blocks took each moment in which it may be asked, and what the plan read of the gas meanwhile was told to nobody."""
    beside = [
        kit.point("t", 200),
        kit.point("fan", 400, Space.INPUT, point_class=PointClass.FEEDBACK, period_ms=2000),
    ]
    gas = kit.profile(kit.alarm("gas", 0, period_ms=1000), *beside, guard_ms=500)
    _, core, _ = crossing(kit, gases=1, gas=gas)
    assert len(core) > 20
    assert max(core) <= 2 * 0.5 + 3 * READ_S, "of two moments in which it may be asked one is the gas's"


class Flapping(ModelLine):
    """Every detector shows gas and no gas in turns, as one with water in its cable might."""

    async def read(self, unit, space, address, count, timeout_ms=300, *, patient=False):
        self.coils[unit] = 1 - self.coils.get(unit, 0)
        return await super().read(unit, space, address, count, timeout_ms)


def test_detectors_that_flap_at_every_look_take_no_valve_from_sight(kit):
    """Each look at one leads to another, so as many turns as there are could be theirs."""
    gas, valve = kit.profile(kit.alarm("gas", 0)), kit.profile(kit.point("closed", 0, point_class=PointClass.FEEDBACK))
    waited, again = [], []

    async def story():
        def doubt(event):
            if getattr(event, "point", "") == "gas":
                again.append(event)
                asyncio.get_running_loop().call_soon(poller.reread, event.device, "gas")

        devices = [(unit, gas) for unit in range(1, 11)] + [(31, valve)]
        async with kit.polling(kit.bus("", *devices), ear=doubt, line=Flapping()) as (poller, _):
            loop = asyncio.get_running_loop()
            await asyncio.sleep(5)
            for _ in range(30):
                began = loop.time()
                await poller.read("dev31", "closed")
                waited.append(loop.time() - began)
                await asyncio.sleep(0.3)

    virtual_run(story())
    assert len(again) > 1000
    assert max(waited) <= 2.0 + 2 * 11 * READ_S, (
        "what it may wait, and what was as urgent by then, in turns with the plan"
    )
