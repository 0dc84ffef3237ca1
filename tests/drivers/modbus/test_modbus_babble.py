"""Peers that speak without end, on every kind of line: they are hung up on by name, and the bus beside them is read in time."""

import asyncio
import contextlib
import itertools
import os
import pty
import threading
import time
import tty

import pytest

from gateway.drivers.modbus import frames
from gateway.drivers.modbus.babble import BABBLES, KEPT_S, REST_S, Babble
from gateway.drivers.modbus.dial_in import DialInWire, Reception
from gateway.drivers.modbus.heard import MOST, Heard
from gateway.drivers.modbus.lines import line_of
from gateway.drivers.modbus.roll import Roll
from gateway.drivers.modbus.rtu import RtuLine
from gateway.drivers.modbus.schedule import Schedule
from gateway.drivers.modbus.serial_wire import SerialWire
from gateway.drivers.modbus.watch import BusWatch
from gateway.events import DeviceHealth
from gateway.faults import DeviceFault
from gateway.sim.modbus import SimTcp, SimUnit, checksum
from gateway.site.model import Framing
from gateway.site.profile import Space

JUNK = {
    "halves of long frames": b"\x03\xfa" * 512,
    "heads of what is asked": b"\x01\x03\xfa" * 340,
    "one unit": b"\x01" * 1024,
    "noise": bytes(range(7, 256)) * 4,
    "answers to nobody's question": b"\xff\x00\0\0\0\x02\x01\x83" * 128,
}
LATE_S = 1.0  # of this thread's own work, which no neighbour makes more; unbounded it was three seconds and more


@contextlib.contextmanager
def babbling(write, junk):
    """A thread speaks as quickly as it is let."""
    enough = threading.Event()

    def speak():
        with contextlib.suppress(OSError):
            while not enough.is_set():
                write(junk)

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    try:
        yield
    finally:
        enough.set()


@contextlib.asynccontextmanager
async def tcp_babbler(junk):
    """A server that babbles at whoever calls."""

    async def speak(_, writer):
        with contextlib.suppress(OSError):
            while True:
                writer.write(junk)
                await writer.drain()
                await asyncio.sleep(0)

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def calm(kit):
    """A bus next to it: gives its ear once it is read, and judges at the end how long its alarm point went unread."""
    asked = []

    class Noting(SimUnit, eq=False):
        def answer(self, pdu):
            asked.append(time.thread_time())
            return super().answer(pdu)

    gas = kit.profile(kit.alarm("gas", 0, period_ms=100))
    async with SimTcp([Noting(3, holding={0: 7})]) as beside:
        bus = kit.bus("", (3, gas), host="127.0.0.1", tcp_port=beside.tcp_port)
        async with kit.polling(bus) as (_, ear):
            await kit.until(lambda: ear.values("gas") == [7], 60)
            yield ear
            asked.append(time.thread_time())
    gaps = [after - before for before, after in itertools.pairwise(asked)]
    assert max(gaps) < LATE_S, f"the alarm point beside it went unread for {max(gaps):.2f} s of work"


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("framing", [Framing.RTU, Framing.TCP])
def test_a_peer_that_babbles_over_tcp_is_hung_up_on_and_the_bus_beside_it_is_read(kit, framing, junk):
    async def story():
        gas = kit.profile(kit.alarm("gas", 0, period_ms=100))
        async with calm(kit), tcp_babbler(JUNK[junk]) as port:
            bus = kit.bus("", (1, gas), host="127.0.0.1", tcp_port=port, framing=framing)
            async with kit.polling(bus) as (poller, ear):
                if framing is Framing.RTU or junk.startswith("answers"):
                    await kit.until(lambda: ("bus-a", "lost", "babbles") in ear.health(), 60)
                    assert poller.line.tally.line.babbled == 1
                await asyncio.sleep(1)
                assert poller.line.tally.line.babbled <= 1, "it rests"

    asyncio.run(story())


def test_a_serial_adapter_that_babbles_is_hung_up_on(kit):
    async def story():
        master, slave = pty.openpty()
        tty.setraw(master)
        tty.setraw(slave)
        gas = kit.profile(kit.alarm("gas", 0, period_ms=100))
        async with calm(kit):
            with babbling(lambda junk: os.write(master, junk), JUNK["halves of long frames"]):
                async with kit.polling(kit.bus(os.ttyname(slave), (1, gas))) as (poller, ear):
                    await kit.until(lambda: ("bus-a", "lost", "babbles") in ear.health(), 60)
                    assert poller.line.tally.line.babbled == 1
        os.close(slave)

    asyncio.run(story())


def test_a_babbler_found_out_by_who_is_about_to_ask_is_called_one():
    async def story():
        master, slave = pty.openpty()
        tty.setraw(slave)
        line = RtuLine(SerialWire(os.ttyname(slave)))
        await line.connect()
        line.wire._babble._left = -1e9
        os.write(master, b"\x55" * 900)
        with pytest.raises(DeviceFault) as told:
            await line.read(1, Space.HOLDING, 0, 1)
        for end in (master, slave):
            os.close(end)
        assert told.value.reason == BABBLES

    asyncio.run(story())


def test_a_box_that_dials_in_and_babbles_is_hung_up_on_and_let_in_again_when_it_has_rested(kit):
    async def story():
        gas = kit.profile(kit.alarm("gas", 0, period_ms=100))
        bus = kit.bus("", (1, gas), listen=1, address="127.0.0.1", framing=Framing.RTU, registration=b"box-0001")
        line = line_of(bus)
        line.wire._reception.port = 0
        async with calm(kit), kit.polling(bus, line=line) as (_, ear):
            await kit.until(lambda: ("bus-a", "lost", "port_gone") in ear.health(), 60)
            port, calls = line.wire._reception.port, []

            async def babble():
                while True:
                    with contextlib.suppress(OSError):
                        calls.append(asyncio.get_running_loop().time())
                        reader, writer = await asyncio.open_connection("127.0.0.1", port)
                        writer.write(b"box-0001")
                        while not reader.at_eof():
                            writer.write(b"\x03\xfa" * 512)
                            await writer.drain()
                            await asyncio.sleep(0)
                        writer.close()
                    await asyncio.sleep(0.05)

            talking = asyncio.ensure_future(babble())
            await kit.until(lambda: ("bus-a", "lost", "babbles") in ear.health(), 60)
            counted = line.tally.line
            assert counted.babbled == 1
            refused = line.wire._reception.strangers
            await kit.until(lambda: line.wire._reception.strangers > refused, 60)
            assert counted.babbled == 1, "it rests"
            await kit.until(lambda: line.wire._babble.rests(asyncio.get_running_loop().time()) is False, REST_S + 20)
            talking.cancel()

    asyncio.run(story())


@pytest.mark.parametrize("baud", [1200, 9600, 19_200, 115_200])
@pytest.mark.parametrize("pause_s", [0.0, 2.0], ids=["read in time", "the loop was late"])
def test_a_real_line_that_is_all_noise_is_never_cut(baud, pause_s):
    """Two minutes of its utmost, a clock 2 % fast included; what gathered while the loop was late comes at once."""
    char_s, at = 10 / (baud * 1.02), 0.0
    babble, unread = Babble(char_s), 0.0
    while at < 120:
        step = pause_s if pause_s and int(at) % 10 == 0 else 0.01
        at, unread = at + step, unread + step / char_s
        assert babble.heard(int(unread), at)
        unread -= int(unread)


@pytest.mark.parametrize("baud", [1200, 9600, 57_600, 115_200])
def test_a_full_line_that_catches_up_after_a_pause_is_not_cut(baud):
    """A converter keeps back what others on the line say while the network is away, as long as a connection outlives that."""
    babble, at = Babble(10 / baud), 0.0
    for _ in range(600):
        at += 0.1
        assert babble.heard(baud // 100, at)
    at, unread = at + 25, int(baud / 10 * 25)
    while unread > 0:
        at, unread = at + 1e-4, unread - 1024
        assert babble.heard(1024, at)


def offence(babble, at, rate=20_000.0):
    """It says so much a second from then on; gives when that was too much."""
    while babble.heard(int(rate / 10), at):
        at += 0.1
    return at


@pytest.mark.parametrize("char_s", [0.0, 10 / 115_200], ids=["no line", "a quick line"])
def test_who_babbles_again_rests_longer_each_time_until_he_kept_within_his_budget(char_s):
    babble, at, rests = Babble(char_s), 0.0, []
    for _ in range(6):
        began, at = at, offence(babble, at)
        assert not rests or at - began < KEPT_S, "else the bus were called well in between"
        rests.append(next(rest for rest in range(1, 99) if not babble.rests(at + rest)))
        at += rests[-1]
    assert rests == [5, 10, 20, 40, 60, 60]
    for _ in range(620):
        at += 0.1
        assert babble.heard(500, at)
    at = offence(babble, at)
    assert not babble.rests(at + 5), "it had come to its senses"


def test_a_bus_that_babbled_is_called_well_once_it_kept_within_its_budget():
    watch = BusWatch("a", 3, 0.0)
    assert watch.answered(0.0).health == "ok"
    assert watch.gone("x", 10.0, BABBLES).reason == "babbles"
    assert watch.gone("x", 14.0, BABBLES) is None
    watch.opened(15.0)
    assert watch.answered(15.1) is None
    assert not watch.down, "it is asked and answers as ever"
    assert watch.gone("x", 30.0, BABBLES) is None, "still the same trouble"
    watch.opened(40.0)
    assert watch.answered(85.0) is None
    assert watch.answered(91.0).health == "ok"
    assert watch.answered(92.0) is None


@pytest.mark.parametrize("devices", [1, 3])
def test_a_bus_that_babbled_and_fell_silent_is_no_better_for_it(devices):
    watch = BusWatch("a", devices, 0.0)
    watch.gone("x", 10.0, BABBLES)
    watch.opened(15.0)
    events = [watch.missed(device, 25.0) for device in "xyz"]
    assert all(event is None or event.health == "lost" for event in events)
    assert watch.silent
    assert watch.answered(30.0) is None
    assert watch.answered(71.0).health == "ok"


def test_a_peer_that_answers_rightly_and_babbles_beside_is_one_fault(kit):
    """What it answers counts, and it can be written to, whenever it does not rest."""

    async def speak(reader, writer):
        async def noise():
            while True:
                writer.write(b"\x55\xaa" * 1000)
                await asyncio.sleep(0.05)

        talking = asyncio.ensure_future(noise())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                asked = await reader.readexactly(8)
                said = bytes([asked[0], 3, 2, 0, 7])
                writer.write(said + checksum(said))
        talking.cancel()

    async def story():
        gas = kit.profile(kit.alarm("gas", 0, period_ms=100))
        async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            bus = kit.bus("", (1, gas), host="127.0.0.1", tcp_port=port, framing=Framing.RTU)
            async with kit.polling(bus) as (poller, ear):
                await kit.until(lambda: poller.line.tally.line.babbled == 1, 60)
                before = len(ear.values("gas"))
                await kit.until(lambda: len(ear.values("gas")) > before and ear.values("gas")[-1] == 7, 60)
                said = [health[1] for health in ear.health() if health[0] == "bus-a"]
                assert said == ["ok", "lost"]

    asyncio.run(story())


def test_a_quick_device_that_answers_what_it_is_asked_is_never_cut():
    babble = Babble()
    for n in range(100_000):
        babble.asked()
        assert babble.heard(260, n * 1e-4), "10,000 questions a second"


def test_what_babbles_in_single_bytes_is_looked_at_once():
    """The work for a byte does not grow with what came before it."""
    request, heard, looked = frames.read_request(1, Space.HOLDING, 0, 125), Heard(), 0
    for _ in range(20_000):
        heard += b"\x01"
        before = heard._looked.get(request.frame, 0)
        looked += len(heard) - before
        assert heard.answer_to(request) is None
        if heard.surplus:
            heard.cut(0, heard.surplus)
        assert len(heard) <= MOST
    assert looked < 10 * 20_000


@pytest.mark.parametrize("cuts", [(1,), (3, 4), (200, 201, 202), tuple(range(1, 40))])
def test_an_answer_in_pieces_behind_noise_is_found(cuts):
    values = range(125)
    request = frames.read_request(1, Space.HOLDING, 0, 125)
    body = b"\x01\x03\xfa" + b"".join(value.to_bytes(2, "big") for value in values)
    said = b"\x01\x01\x03\x55" + body + checksum(body)
    heard, begin = Heard(), 0
    for end in (*cuts, len(said)):
        assert heard.answer_to(request) is None
        heard += said[begin:end]
        begin = end
    assert heard.answer_to(request) == frames.search(said, request) is not None


def test_a_reception_that_hears_a_babbler_lets_another_box_of_that_name_in():
    async def story():
        wire = DialInWire(Reception("127.0.0.1", 0), registration=b"x")
        line = RtuLine(wire)
        with contextlib.suppress(DeviceFault):
            await line.connect()
        wire._hear, wire._from = line._on_bytes, "192.0.2.1"
        wire._heard(bytes(40_000))
        assert not wire.welcomes("192.0.2.1")
        assert wire.welcomes("192.0.2.2")
        await line.end()

    asyncio.run(story())


def test_the_only_device_of_a_bus_that_babbled_and_is_lost_is_well_again_when_it_answers(kit):
    """Its own loss is told instead of the bus's: then the bus must be called well, as soon as it may be."""
    device = kit.bus("", (1, kit.profile(kit.alarm("gas", 1))), host="127.0.0.1", tcp_port=1)
    told: list[object] = []
    roll = Roll(device, Schedule(), told.append, set_up=lambda _: None)
    (member,) = roll
    roll.lose_line(DeviceFault(BABBLES, "x"), 10.0)
    roll.opened(15.0, afresh=True)
    for at in range(20, 80, 5):
        roll.failed(member, DeviceFault("timeout", "x"), float(at))
    health = [event.health for event in told if isinstance(event, DeviceHealth) and event.device == roll.watch.device]
    assert health == ["lost", "ok"]
