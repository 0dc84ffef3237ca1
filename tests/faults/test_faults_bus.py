"""A sick RS-485 line under a real poller: whatever happens on the wire, no value is ever another's, and the well are served.

Each register holds a number that says whose and which it is, and changes all the time, so a value that slipped is seen.
"""

import asyncio
import contextlib
import functools
import random

import pytest
from instruments.abreast import abreast
from instruments.unhurried import unhurried_run

from gateway.drivers.modbus.poller import BusPoller
from gateway.drivers.modbus.port import SerialLine
from gateway.events import DeviceHealth, Reading
from gateway.faults import DeviceFault
from gateway.nodes import Mark
from gateway.sim.modbus import SimBus, SimTcp, SimUnit, checksum
from gateway.site.model import Bus, ModbusDevice
from gateway.site.profile import PointClass, PointSpec, Profile, Space

HERE = Mark("test.yaml", 1)
ROUNDS = 5
ADDRESSES = (0, 40, 80)  # three requests a device: a late answer to one fits the others


def profile(timeout_ms=60):
    points = [
        PointSpec(f"p{address}", Space.HOLDING, address, point_class=PointClass.ALARM, period_ms=60)
        for address in ADDRESSES
    ]
    return Profile("t", "other", "试", "t", "manual", "t", tuple(points), max_hole=0, timeout_ms=timeout_ms)


def unit(number):
    return SimUnit(number, holding={address: 1000 * number + address for address in ADDRESSES})


class SickBus(SimBus):
    """A line whose answers are handed to ``ill(name, frame)``, which says what really goes over the wire, and when."""

    def __init__(self, units, ill):
        super().__init__(units)
        self.ill = ill
        self.said = dict.fromkeys(self.units, 0)

    def _serve(self, frame):
        loop = asyncio.get_running_loop()
        self.log.append((loop.time(), frame))
        asked = self.units.get(frame[0])
        if asked is None:
            return
        said = bytes((frame[0],)) + asked.answer(frame[1:-2])
        self.said[frame[0]] += 1
        for delay, data in self.ill(frame, said + checksum(said)):
            loop.call_later(delay, self.speak, data)


DICE = random.Random(20)


def noise(asked, said):
    return [(0, DICE.randbytes(DICE.randint(1, 6)) + said + DICE.randbytes(DICE.randint(0, 3)))]


def damaged(asked, said):
    """One answer in twelve has a bit turned over; the unit is asked again a second later, so there are three such lines."""
    place = DICE.randrange(len(said))
    bad = said[:place] + bytes((said[place] ^ 1 << DICE.randrange(8),)) + said[place + 1 :]
    return [(0, bad if DICE.random() < 1 / 12 else said)]


def late(asked, said):
    """Unit 2 answers after its timeout, now a little, now three times as long."""
    return [(DICE.choice((0.0, 0.08, 0.15, 0.25)) if asked[0] == 2 else 0, said)]


def echo(asked, said):
    """The adapter hears itself."""
    return [(0, asked), (0.001, said)]


def foreign(asked, said):
    """Unit 2 answers in the name of unit 3, correctly framed."""
    if asked[0] != 2:
        return [(0, said)]
    body = bytes((3,)) + said[1:-2]
    return [(0, body + checksum(body))]


def babble(asked, said):
    """Unit 2 puts good frames of its own on the wire whenever another is asked."""
    chatter = bytes((2, 3, 2, 0x13, 0x37))
    return [(0, chatter + checksum(chatter)), (0.001, said)] if asked[0] != 2 else []


def in_pieces(asked, said):
    return [(0.001 * n, said[n : n + 1]) for n in range(len(said))]


SICK = {  # illness -> units that must go on being read, what is counted of the line: one of these at least
    noise: ({1, 2, 3}, ("noise_bytes",)),
    damaged: ({1, 2, 3}, ("crc_errors",)),
    late: ({1, 3}, ("late",)),
    echo: ({1, 2, 3}, ("foreign_frames",)),
    foreign: ({1, 3}, ("foreign_frames",)),
    babble: ({1, 3}, ("foreign_frames", "doubled")),  # what fits the unit's last request counts as said twice
    in_pieces: ({1, 2, 3}, ("answers",)),
}


@contextlib.asynccontextmanager
async def polled(bus):
    heard = []
    poller = BusPoller(bus, heard.append)
    running = asyncio.ensure_future(poller.run())
    try:
        yield poller, heard
    finally:
        assert not running.done(), running
        running.cancel()
        await asyncio.wait((running,))


def bus_of(path="", **more):
    devices = tuple(ModbusDevice(f"dev{n}", profile(), n, "b1", HERE) for n in (1, 2, 3))
    return Bus("a", HERE, devices, port=path, **more)


async def until(condition, seconds=20.0):
    end = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < end, "waited in vain"
        await asyncio.sleep(0.02)


async def no_value_is_ever_anothers_and_the_well_are_served(ill):
    well, counted = SICK[ill]
    units = [unit(n) for n in (1, 2, 3)]
    async with SickBus(units, ill) as wire, polled(bus_of(wire.path, baud=115200)) as (poller, heard):
        for round_ in range(1, 1 + ROUNDS):
            for one in units:
                for address in ADDRESSES:
                    one.holding[address] = 1000 * one.unit_id + address + round_
            before = dict(wire.said)
            await until(lambda before=before: all(wire.said[n] - before[n] >= 6 for n in well))
        tally = poller.line.tally.line
    values = [event for event in heard if isinstance(event, Reading) and event.value is not None]
    for event in values:
        low = 1000 * int(event.device[3:]) + int(event.point[1:])
        assert low <= event.value <= low + ROUNDS, f"{event.device}.{event.point} was given {event.value}"
    for number in well:
        for address in ADDRESSES:
            told = {e.value % 10 for e in values if (e.device, e.point) == (f"dev{number}", f"p{address}")}
            assert len(told) >= 3, f"unit {number} was not heard"
    assert sum(getattr(tally, name) for name in counted) > 0, tally


def relay():
    point = PointSpec("out", Space.COIL, 0, point_class=PointClass.FEEDBACK, writable=True, write_only=True)
    return Profile("r", "relay", "试", "t", "manual", "t", (point, PointSpec("address", Space.HOLDING, 9)))


class HearsItself(SimBus):
    """An adapter that hands back what it sends; units that are silent are dead."""

    def _serve(self, frame):
        self.speak(frame)
        super()._serve(frame)


@pytest.mark.parametrize("first", [False, True], ids=["later", "before-anything-was-read"])
def test_what_an_adapter_hears_of_itself_confirms_no_write(first):
    """The confirmation of a coil or a register is the request once more: a dead siren would seem to obey."""

    async def story():
        dead, alive = SimUnit(1, coils={0: 0}, silent=True), SimUnit(2, coils={0: 0}, holding={9: 2})
        devices = tuple(ModbusDevice(f"dev{n}", relay(), n, "b1", HERE) for n in (1, 2))
        async with (
            HearsItself([dead, alive]) as wire,
            polled(Bus("a", HERE, devices, port=wire.path)) as (poller, heard),
        ):
            if not first:
                await until(lambda: any(isinstance(e, Reading) and e.device == "dev2" for e in heard))
            with pytest.raises(DeviceFault) as caught:
                await poller.write("dev1", "out", True)
            assert caught.value.reason == "timeout"
            await poller.write("dev2", "out", True)
            assert (dead.coils[0], alive.coils[0]) == (0, 1)
            for on in (False, True) * 6:
                await poller.write("dev2", "out", on)
                assert alive.coils[0] == on
            assert poller.line.tally.line.doubled == 0, "an echo is no second word"

    unhurried_run(story())


def test_an_adapter_that_hears_itself_no_more_is_believed_again():
    async def story():
        alive = SimUnit(2, coils={0: 0}, holding={9: 2})
        async with HearsItself([alive]) as wire:
            line = SerialLine(wire.path)
            await line.connect()
            await line.read(2, Space.HOLDING, 9, 1)
            await line.write(2, Space.COIL, 0, 1)
            wire._serve = lambda frame: SimBus._serve(wire, frame)
            for _ in range(9):
                await line.read(2, Space.HOLDING, 9, 1)
            await line.write(2, Space.COIL, 0, 0)
            assert alive.coils[0] == 0
            await line.close()

    unhurried_run(story())


async def all_dead_is_one_fault_of_the_line_and_all_come_back():
    units = [unit(n) for n in (1, 2, 3)]
    async with SimBus(units) as wire, polled(bus_of(wire.path)) as (_, heard):

        def health(device):
            return [e.health.value for e in heard if isinstance(e, DeviceHealth) and e.device == device]

        await until(lambda: all(health(f"dev{n}") == ["ok"] for n in (1, 2, 3)))
        for one in units:
            one.silent = True
        await until(lambda: health("bus-a")[-1:] == ["lost"])
        assert [health(f"dev{n}") for n in (1, 2, 3)] == [["ok"]] * 3, "one fault, not four"
        for one in units:
            one.silent = False
        await until(lambda: health("bus-a")[-1:] == ["ok"])
        count = len(heard)
        await until(lambda: {e.device for e in heard[count:] if isinstance(e, Reading)} == {"dev1", "dev2", "dev3"})


async def a_device_alone_that_falls_silent_is_one_fault_and_its_own():
    one = unit(1)
    devices = (ModbusDevice("dev1", profile(), 1, "b1", HERE),)
    async with SimBus([one]) as wire, polled(Bus("a", HERE, devices, port=wire.path)) as (poller, heard):

        def told():
            return [(e.device, e.health.value) for e in heard if isinstance(e, DeviceHealth)]

        await until(lambda: ("dev1", "ok") in told())
        one.silent = True
        await until(lambda: poller.roll.watch.silent)
        assert told() == [("bus-a", "ok"), ("dev1", "ok"), ("dev1", "lost")]
        one.silent = False
        await until(lambda: told()[-1] == ("dev1", "ok"))
        assert len(told()) == 4


async def a_bus_on_which_somebody_babbles_without_end_is_read_all_the_same():
    units = [unit(n) for n in (1, 2, 3)]
    async with SimBus(units) as wire, polled(bus_of(wire.path, baud=115200)) as (poller, heard):
        await until(lambda: poller.line.tally.line.answers > 20)

        async def babble_on():
            while True:
                wire.speak(b"T=23.5C,RH=43.1%\r\n")
                await asyncio.sleep(0.02)

        noise = asyncio.ensure_future(babble_on())
        for round_ in range(1, 4):
            for one in units:
                one.holding = {address: 1000 * one.unit_id + address + round_ for address in ADDRESSES}
            wanted = {(f"dev{n}", f"p{a}", 1000 * n + a + round_) for n in (1, 2, 3) for a in ADDRESSES}
            await until(
                lambda wanted=wanted: wanted <= {(e.device, e.point, e.value) for e in heard if isinstance(e, Reading)}
            )
        assert not [e for e in heard if isinstance(e, DeviceHealth) and e.health.value == "lost"]
        assert poller.line.tally.line.noise_bytes > 0
        noise.cancel()


async def a_gateway_that_takes_the_connection_and_never_answers():
    units = [unit(n) for n in (1, 2, 3)]
    for one in units:
        one.silent = True
    async with SimTcp(units) as server, polled(bus_of(host="127.0.0.1", tcp_port=server.tcp_port)) as (_, heard):
        await until(lambda: any(isinstance(e, DeviceHealth) and e.reason == "all_silent" for e in heard))
        assert server.connections > 1, "a half-open connection may be why"
        for one in units:
            one.silent = False
        await until(lambda: {e.device for e in heard if isinstance(e, Reading) and e.value} == {"dev1", "dev2", "dev3"})


def test_an_adapter_that_comes_back_under_another_name_is_found(tmp_path):
    async def story():
        one = unit(1)
        # The other terminal is there from the beginning: the number of a closed one goes to whoever opens the next.
        first, second = SimBus([one], str(tmp_path / "usb-A_port0")), SimBus([one], str(tmp_path / "elsewhere"))
        async with first, second, polled(bus_of(str(tmp_path / "usb-*_port0"))) as (poller, heard):
            await until(lambda: any(isinstance(e, Reading) and e.value for e in heard))
            first.unplug()
            await until(lambda: not poller.line.connected)
            one.holding = dict.fromkeys(ADDRESSES, 77)
            (tmp_path / "elsewhere").rename(tmp_path / "usb-B_port0")
            await until(lambda: any(isinstance(e, Reading) and e.value == 77 for e in heard))

    unhurried_run(story())


async def each_device_is_told_of_with_its_counters_and_latencies():
    units = [unit(1), unit(2)]
    units[1].delay_s = 0.03
    async with SimBus(units) as wire, polled(bus_of(wire.path, baud=115200)) as (poller, _):
        await until(lambda: poller.line.tally.line.answers > 40)
        await until(lambda: poller.overview()[2]["standing"] == "quarantined")
        quick, slow, dead = poller.overview()
        assert (quick["device"], quick["unit_id"], quick["standing"]) == ("dev1", 1, "ok")
        assert quick["answers"] > 5
        assert slow["p50_ms"] >= 25
        assert 0 <= quick["p50_ms"] <= quick["p99_ms"]
        assert (dead["answers"], dead["heard_s"], dead["p99_ms"]) == (0, None, None)
        assert dead["timeouts"] >= 3


STORIES = (
    a_device_alone_that_falls_silent_is_one_fault_and_its_own,
    all_dead_is_one_fault_of_the_line_and_all_come_back,
    a_gateway_that_takes_the_connection_and_never_answers,
    each_device_is_told_of_with_its_counters_and_latencies,
    a_bus_on_which_somebody_babbles_without_end_is_read_all_the_same,
)


def test_the_well_are_served_whatever_happens_on_a_line(subtests):
    """Each line is another; the sick ones mostly wait for an answer that is damaged, or late."""
    sick = {
        f"{ill.__name__} {n}": functools.partial(no_value_is_ever_anothers_and_the_well_are_served, ill)
        for ill in SICK
        for n in range(3 if ill is damaged else 1)
    }
    abreast(subtests, sick | {story.__name__: story for story in STORIES})
