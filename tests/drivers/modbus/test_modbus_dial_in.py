"""RTU over a TCP connection, and boxes that dial in: registration, heartbeat, strangers, a box that dials anew."""

import asyncio
import contextlib
import functools

import msgspec
import pytest
import structlog
from instruments.abreast import abreast
from instruments.unhurried import unhurried_run

from gateway.drivers.modbus.contest import CALM_S, Contest, Entries
from gateway.drivers.modbus.dial_in import DialInWire, Reception
from gateway.drivers.modbus.lines import line_of
from gateway.faults import DeviceFault
from gateway.sim.modbus import SimUnit, checksum
from gateway.site.model import Framing
from gateway.site.profile import Space


class Box:
    """A serial gateway with units behind it: RTU frames over a TCP connection."""

    def __init__(self, *units, say=b""):
        self.units, self.say = {unit.unit_id: unit for unit in units}, say
        self.writers = []

    async def serve(self, reader, writer):
        self.writers.append(writer)
        writer.write(self.say)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                frame = await reader.readexactly(8)
                assert checksum(frame[:-2]) == frame[-2:]
                unit = self.units.get(frame[0])
                if unit is not None and not unit.silent:
                    said = frame[:1] + unit.answer(frame[1:-2])
                    writer.write(unit.noise + said + checksum(said))
        writer.close()

    async def dial(self, port):
        self.running = asyncio.ensure_future(self.serve(*await asyncio.open_connection("127.0.0.1", port)))

    def hang_up(self):
        self.writers[-1].transport.abort()


@contextlib.asynccontextmanager
async def waiting(kit, *devices, receptions=None, **more):
    """A poller of a bus that waits for a box on a free port."""
    bus = kit.bus("", *devices, listen=1, address="127.0.0.1", framing=Framing.RTU, **more)
    line = line_of(bus, receptions)
    line.wire._reception.port = 0
    async with kit.polling(bus, line=line) as (_, ear):
        await kit.until(lambda: ("bus-a", "lost", "port_gone") in ear.health())
        yield line, ear, line.wire._reception.port


async def rtu_frames_over_a_tcp_connection(kit):
    box = Box(SimUnit(1, holding={1: 7}, noise=b"\x55"), SimUnit(2, holding={1: 8}))
    server = await asyncio.start_server(box.serve, "127.0.0.1", 0)
    gas = kit.profile(kit.alarm("gas", 1, period_ms=100))
    port = server.sockets[0].getsockname()[1]
    bus = kit.bus("", (1, gas), (2, gas), host="127.0.0.1", tcp_port=port, framing=Framing.RTU, baud=115200)
    async with kit.polling(bus) as (poller, ear):
        await kit.until(lambda: set(ear.values("gas")) == {7, 8})
        assert poller.line.tally.units[1].noise_bytes > 0
        assert poller.line.silence_s == 0.00175
        box.hang_up()
        await kit.until(lambda: poller.line.tally.line.opened == 2)
        box.units[1].holding[1] = 9
        await kit.until(lambda: ear.values("gas")[-1] == 9)
    server.close()


async def a_box_that_dials_in_is_polled_and_its_heartbeat_is_no_noise(kit):
    gas = kit.profile(kit.alarm("gas", 1, period_ms=100))
    box = Box(SimUnit(1, holding={1: 7}), say=b"box-0001")
    async with waiting(kit, (1, gas), registration=b"box-0001", heartbeat=b"\xfe\xfe") as (line, ear, port):
        await box.dial(port)
        await kit.until(lambda: 7 in ear.values("gas"), 5)
        noise = line.tally.line.noise_bytes
        box.writers[0].write(b"\xfe\xfe")
        await kit.until(lambda: line.wire.heartbeats == 1)
        assert line.tally.line.noise_bytes == noise
        box.hang_up()
        await kit.until(lambda: ear.health("bus-a")[-1] == ("bus-a", "lost", "port_gone"), 2)
        await box.dial(port)
        await kit.until(lambda: ear.health("bus-a")[-1][1] == "ok", 5)
    assert line.wire._reception._server is None, "the port was kept"


async def a_box_that_dials_anew_is_heard_on_its_new_connection(kit):
    gas = kit.profile(kit.alarm("gas", 1, period_ms=100))
    old, new = Box(SimUnit(1, holding={1: 7}), say=b"box"), Box(SimUnit(1, holding={1: 8}), say=b"box")
    async with waiting(kit, (1, gas), registration=b"box") as (_, ear, port):
        await old.dial(port)
        await kit.until(lambda: 7 in ear.values("gas"), 5)
        await new.dial(port)
        await kit.until(lambda: 8 in ear.values("gas"), 5)
        assert ear.values("gas")[-1] == 8


def test_buses_of_one_port_that_begin_at_once_open_it_once():
    async def story():
        finder = Reception("127.0.0.1", 0)
        guest = DialInWire(finder)
        await finder.admit(guest)
        finder.leave(guest)
        reception = Reception("127.0.0.1", finder.port)
        wires = [DialInWire(reception, registration=name) for name in (b"one", b"two")]
        told = await asyncio.gather(*(wire.open(print, print) for wire in wires), return_exceptions=True)
        for wire in wires:
            wire.end()
        assert [fault.detail.partition(": ")[2] for fault in told] == ["nobody has dialled in"] * 2

    asyncio.run(story())


def test_a_stranger_is_let_in_nowhere(kit):
    async def story():
        gas = kit.profile(kit.alarm("gas", 1, period_ms=100))
        async with waiting(kit, (1, gas), registration=b"box-0001") as (line, ear, port):
            stranger = Box(SimUnit(1, holding={1: 66}), say=b"box-0002")
            await stranger.dial(port)
            await kit.until(lambda: line.wire._reception.strangers == 1)
            slow = Box(SimUnit(1, holding={1: 7}), say=b"box-")
            await slow.dial(port)
            await kit.until(lambda: slow.writers)
            slow.writers[0].write(b"0001")
            await kit.until(lambda: ear.values("gas")[-1] == 7, 5)
            assert 66 not in ear.values("gas")

    unhurried_run(story())


def test_strangers_who_say_little_and_slowly_keep_no_box_out_and_fill_no_log(kit):
    """More than there is room for from one address, and again as soon as they are thrown out."""

    async def knock(port):
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
                writer.write(b"bo")
                await reader.read()
                writer.close()
            await asyncio.sleep(0.01)

    async def story():
        gas = kit.profile(kit.alarm("gas", 1, period_ms=100))
        async with waiting(kit, (1, gas), registration=b"box-0001") as (line, ear, port):
            crowd = [asyncio.ensure_future(knock(port)) for _ in range(100)]
            reception = line.wire._reception
            await kit.until(lambda: reception.strangers > 100, 20)
            assert len(reception._callers) <= 16
            box = Box(SimUnit(1, holding={1: 7}), say=b"box-0001")
            await box.dial(port)
            await kit.until(lambda: ear.values("gas")[-1:] == [7], 20)
            for one in crowd:
                one.cancel()
            await asyncio.gather(*crowd, return_exceptions=True)

    with structlog.testing.capture_logs() as logs:
        unhurried_run(story())
    assert len([line for line in logs if line["event"] == "caller_refused"]) <= 2


async def _call(port, address):
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))


def test_strangers_of_many_addresses_are_bounded_together_and_who_says_nothing_for_longest_goes(kit):
    async def story():
        gas = kit.profile(kit.alarm("gas", 1, period_ms=100))
        async with waiting(kit, (1, gas), registration=b"box-0001") as (line, ear, port):
            reception = line.wire._reception
            held = [await _call(port, f"127.0.1.{1 + n // 12}") for n in range(96)]
            await kit.until(lambda: len(reception._callers) == 96)
            assert reception.strangers == 0
            held.append(await _call(port, "127.0.1.100"))
            assert await asyncio.wait_for(held[0][0].read(), 5) == b"", (
                "there for longest, and of the most crowded address"
            )
            assert (len(reception._callers), reception.strangers) == (96, 1)
            box = Box(SimUnit(1, holding={1: 7}), say=b"box-0001")
            await box.dial(port)
            await kit.until(lambda: ear.values("gas")[-1:] == [7], 5)
            for _, writer in held:
                writer.close()

    asyncio.run(story())


def test_who_is_refused_at_the_door_gets_no_line(kit):
    """A line without a registration takes whoever calls, but none who was hung up on as he came."""

    async def story():
        gas = kit.profile(kit.alarm("gas", 1, period_ms=100))
        async with waiting(kit, (1, gas)) as (line, _, port):
            reception = line.wire._reception
            for n in range(96):
                reception._callers.enter(n, f"s{n}")
                reception._callers.seated(n)
            _, writer = await _call(port, "127.0.1.1")
            await kit.until(lambda: reception.strangers == 1)
            assert line.wire._from == ""
            writer.close()
            for n in range(96):
                reception._callers.leave(n)

    asyncio.run(story())


@pytest.mark.parametrize("dials_from", ["", "127.0.0.1"])
def test_a_crowd_of_many_addresses_that_comes_again_at_once_keeps_no_box_out(kit, dials_from):
    """Nine addresses of one machine, each with the beginning of a name, and again as soon as they are sent away."""

    async def crowd(port, address):
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await _call(port, address)
                writer.write(b"bo")
                await reader.read()
                writer.close()
            await asyncio.sleep(0.05)

    async def story():
        gas = kit.profile(kit.alarm("gas", 1, period_ms=100))
        async with waiting(kit, (1, gas), registration=b"box-0001", dials_from=dials_from) as (line, ear, port):
            strangers = [asyncio.ensure_future(crowd(port, f"127.0.1.{1 + n // 16}")) for n in range(9 * 16)]
            await kit.until(lambda: line.wire._reception.strangers > 50, 20)
            for value in (7, 8, 9):
                box = Box(SimUnit(1, holding={1: value}), say=b"box-0001")
                await box.dial(port)
                await kit.until(lambda value=value: ear.values("gas")[-1:] == [value], 20)
            for one in strangers:
                one.cancel()
            await asyncio.gather(*strangers, return_exceptions=True)

    asyncio.run(story())


async def two_boxes_dial_one_port_and_each_finds_its_bus(kit):
    gas = kit.profile(kit.alarm("gas", 1, period_ms=100))
    receptions = {}
    async with waiting(kit, (1, gas), registration=b"one", receptions=receptions) as (line, first, _):
        reception = line.wire._reception
        bus = kit.bus("", (2, gas), listen=1, address="127.0.0.1", framing=Framing.RTU, registration=b"two")
        other = line_of(bus, receptions)
        assert other.wire._reception is reception
        async with kit.polling(bus, line=other) as (_, second):
            await kit.until(lambda: second.health("bus-a"))
            boxes = [Box(SimUnit(n, holding={1: 11 * n}), say=say) for n, say in ((1, b"one"), (2, b"two"))]
            for box in reversed(boxes):
                await box.dial(reception.port)
            await kit.until(lambda: 11 in first.values("gas") and 22 in second.values("gas"), 5)


async def modbus_tcp_may_be_dialled_in_too(kit):
    from gateway.sim.modbus import SimTcp

    gas = kit.profile(kit.alarm("gas", 1, period_ms=100))
    bus = kit.bus("", (1, gas), listen=1, address="127.0.0.1")
    line = line_of(bus)
    line.wire._reception.port = 0
    async with kit.polling(bus, line=line) as (_, ear):
        await kit.until(lambda: ear.health("bus-a"))
        sim = SimTcp([SimUnit(1, holding={1: 7})])
        reader, writer = await asyncio.open_connection("127.0.0.1", line.wire._reception.port)
        serving = asyncio.ensure_future(sim._attend(reader, writer))
        await kit.until(lambda: 7 in ear.values("gas"), 5)
        serving.cancel()
        await asyncio.wait((serving,))


def test_a_question_asked_before_the_line_is_taken_up_is_nobodys(kit):
    """It left for whoever had just dialled in, was forgotten as the line was opened, and its asker waited for ever."""

    async def story():
        line = line_of(kit.bus("", listen=1, address="127.0.0.1"))
        line.wire._reception.port = 0
        with pytest.raises(DeviceFault):
            await line.connect()
        _, writer = await asyncio.open_connection("127.0.0.1", line.wire._reception.port)
        await kit.until(lambda: line.wire._connection is not None)
        asking = asyncio.ensure_future(line.read(1, Space.HOLDING, 0, 1, timeout_ms=50))
        await asyncio.sleep(0)
        await line.connect()
        with pytest.raises(DeviceFault, match="port_gone"):
            await asyncio.wait_for(asking, 2)
        writer.close()
        await line.end()

    asyncio.run(story())


def test_a_bus_knows_its_framing(kit):
    assert kit.bus("/dev/x").speaks is Framing.RTU
    assert kit.bus("", host="h").speaks is Framing.TCP
    assert msgspec.structs.replace(kit.bus("", host="h"), framing=Framing.RTU).serial


def test_a_heartbeat_glued_to_an_answer_is_cut_off_where_it_cannot_be_mistaken():
    async def story():
        for heartbeat, data, passed, beats in (
            (b"BEAT", b"BEATBEAT\x01\x03", b"\x01\x03", 2),
            (b"BEAT", b"BEAT", b"", 1),
            (b"\xfe", b"\xfe", b"", 1),
            (b"\xfe", b"\xfe\x03\x02", b"\xfe\x03\x02", 0),  # unit 0xFE answers
        ):
            heard = bytearray()
            wire = DialInWire(Reception("127.0.0.1", 0), heartbeat=heartbeat)
            wire._hear = heard.extend
            wire._heard(data)
            assert (bytes(heard), wire.heartbeats) == (passed, beats)

    unhurried_run(story())


async def two_boxes_of_one_name_do_not_kick_each_other_out_for_ever(kit):
    gas = kit.profile(kit.alarm("gas", 1, period_ms=50))
    boxes = [Box(SimUnit(1, holding={1: n}), say=b"box") for n in (7, 8)]
    with structlog.testing.capture_logs() as lines:
        async with waiting(kit, (1, gas), registration=b"box") as (line, _, port):
            ending = asyncio.get_running_loop().time() + 30
            while not line.wire.contest.turned_away and asyncio.get_running_loop().time() < ending:
                for box in boxes:  # each dials as soon as it finds its connection gone
                    before = line.tally.line.answers
                    await box.dial(port)
                    await kit.until(lambda n=before, box=box: line.tally.line.answers > n + 1 or box.running.done())
            kept = line.tally.line.opened
            for _ in range(5):
                await boxes[0].dial(port)
                await boxes[1].dial(port)
                before = line.tally.line.answers
                await kit.until(lambda n=before: line.tally.line.answers > n + 2, 10)
            assert line.tally.line.opened == kept, "the line changed hands"
            assert line.wire.contest.turned_away >= 9
    told = [line for line in lines if line["event"] == "registration_contested"]
    assert len(told) == 1


@pytest.mark.parametrize("pause_s", [0.0, 0.02])
def test_two_boxes_that_dial_anew_before_they_were_asked_are_read_all_the_same(kit, pause_s):
    async def insist(box, port):
        while True:
            with contextlib.suppress(OSError):
                await box.dial(port)
                await asyncio.wait((box.running,))
            await asyncio.sleep(pause_s)

    async def story():
        gas = kit.profile(kit.alarm("gas", 1, period_ms=100))
        boxes = [Box(SimUnit(1, holding={1: n}), say=b"box") for n in (7, 8)]
        async with waiting(kit, (1, gas), registration=b"box") as (line, _, port):
            fight = [asyncio.ensure_future(insist(box, port)) for box in boxes]
            await kit.until(lambda: line.tally.line.answers >= 20, 60)
            for one in fight:
                one.cancel()
            await asyncio.wait(fight)

    with structlog.testing.capture_logs() as logs:
        unhurried_run(story())
    said = [line["event"] for line in logs]
    assert said.count("device_dialled_in") + said.count("port_lost") <= 12
    assert said.count("registration_contested") == 1


def test_who_comes_and_goes_without_end_is_written_down_now_and_then():
    entries = Entries()
    assert [entries.another(at) for at in range(8)] == [0] * 6 + [None] * 2
    assert entries.another(100.0) == 2


def test_one_that_says_nothing_any_more_keeps_no_line():
    contest = Contest()
    assert [contest.stays(at, heard_at=at) for at in (1.0, 2.0, 3.0)] == [False, False, True]
    assert contest.stays(20.0, heard_at=19.0)
    assert not contest.begun
    assert not contest.stays(40.0, heard_at=30.0), "it is silent: the newcomer may be the box itself"
    assert not contest.stays(20.0 + CALM_S + 1, heard_at=20.0 + CALM_S), "the fight is over"


def test_a_box_on_a_bad_line_that_dials_anew_now_and_then_is_no_fight():
    contest = Contest()
    assert not any(contest.stays(at, heard_at=at - 1) for at in (0.0, 40.0, 80.0, 120.0, 160.0))


STORIES = (
    rtu_frames_over_a_tcp_connection,
    a_box_that_dials_in_is_polled_and_its_heartbeat_is_no_noise,
    a_box_that_dials_anew_is_heard_on_its_new_connection,
    two_boxes_dial_one_port_and_each_finds_its_bus,
    modbus_tcp_may_be_dialled_in_too,
    two_boxes_of_one_name_do_not_kick_each_other_out_for_ever,
)


def test_boxes_that_dial_in_are_heard(kit, subtests):
    """Each at a port of its own, all at once: most of it is waiting."""
    abreast(subtests, {story.__name__: functools.partial(story, kit) for story in STORIES})
