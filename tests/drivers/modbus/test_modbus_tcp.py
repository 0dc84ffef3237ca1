"""Modbus TCP: late, wrong, malformed and missing answers, and a peer that comes and goes."""

import asyncio
import contextlib
import functools
import socket
import struct
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instruments.abreast import abreast
from instruments.unhurried import unhurried_run

from gateway.drivers.modbus import tcp_wire
from gateway.drivers.modbus.line import Refused
from gateway.drivers.modbus.lines import line_of
from gateway.drivers.modbus.mbap import MbapLine
from gateway.drivers.modbus.port import SerialLine
from gateway.drivers.modbus.tcp import TcpLine
from gateway.faults import DeviceFault
from gateway.sim.modbus import SimBus, SimTcp, SimUnit
from gateway.site.profile import Space

H = Space.HOLDING


@contextlib.asynccontextmanager
async def scripted(answer):
    """A server that sends ``answer(transaction, unit, pdu)`` whatever was asked."""

    async def attend(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                transaction, _, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
                pdu = await reader.readexactly(length - 1)
                said = answer(transaction, unit, pdu)
                if said is None:
                    break
                writer.write(said)
        writer.close()

    server = await asyncio.start_server(attend, "127.0.0.1", 0)
    line = TcpLine("127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        await line.connect()
        yield line
    finally:
        await line.close()
        server.close()


def packet(transaction, unit, pdu):
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def test_reads_and_writes_of_every_kind():
    async def story():
        unit = SimUnit(
            3, coils={0: 0, 1: 1}, discrete={n: n % 2 for n in range(12)}, holding={5: 0, 6: 8}, input={7: 9}
        )
        async with SimTcp([unit]) as server:
            line = TcpLine("127.0.0.1", server.tcp_port)
            await line.connect()
            assert await line.read(3, Space.DISCRETE, 0, 12) == [0, 1] * 6
            assert await line.read(3, Space.COIL, 0, 2) == [0, 1]
            assert await line.read(3, H, 5, 2) == [0, 8]
            assert await line.read(3, Space.INPUT, 7, 1) == [9]
            await line.write(3, Space.COIL, 0, 1)
            await line.write(3, H, 5, 513)
            assert (unit.coils[0], unit.holding[5]) == (1, 513)
            await line.write(3, Space.COIL, 0, [0, 0])
            await line.write(3, H, 5, [1, 2])
            assert (unit.coils, unit.holding) == ({0: 0, 1: 0}, {5: 1, 6: 2})
            with pytest.raises(Refused) as caught:
                await line.read(3, H, 90, 1)
            assert caught.value.code == 2
            await line.close()

    unhurried_run(story())


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("another function", lambda t, u, p: packet(t, u, b"\x04\x02\x00\x01")),
        ("more registers", lambda t, u, p: packet(t, u, b"\x03\x04\x00\x01\x00\x02")),
        ("none", lambda t, u, p: packet(t, u, b"\x03\x00")),
        ("an odd count", lambda t, u, p: packet(t, u, b"\x03\x01\x00")),
        ("a count that lies", lambda t, u, p: packet(t, u, b"\x03\x02\x00")),
        ("another unit", lambda t, u, p: packet(t, u + 1, b"\x03\x02\x00\x01")),
        ("no transaction", lambda t, u, p: packet(0, u, b"\x03\x02\x00\x01")),
        ("an echo", packet),
        ("an unknown function", lambda t, u, p: packet(t, u, b"\x46\x02\x00\x01")),
        ("another's exception", lambda t, u, p: packet(t, u, b"\x84\x02")),
        ("no Modbus at all", lambda t, u, p: b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    ],
)
def test_a_wrong_answer_is_called_wrong(name, answer):
    async def story():
        async with scripted(answer) as line:
            with pytest.raises(DeviceFault) as caught:
                await line.read(1, H, 0, 1, timeout_ms=400)
            assert caught.value.reason == "wrong_answer", name

    unhurried_run(story())


def test_a_value_no_register_holds_is_a_fault_and_is_not_sent():
    async def story():
        unit = SimUnit(1, holding={0: 5})
        async with SimTcp([unit]) as server:
            line = TcpLine("127.0.0.1", server.tcp_port)
            await line.connect()
            for value in (70_000, -1, [1, 70_000]):
                with pytest.raises(DeviceFault) as caught:
                    await line.write(1, Space.HOLDING, 0, value)
                assert caught.value.reason == "bad_request"
            with pytest.raises(DeviceFault):
                await line.read(1, Space.HOLDING, -1, 1)
            assert unit.requests == []
            assert await line.read(1, Space.HOLDING, 0, 1) == [5]
            await line.close()

    unhurried_run(story())


def test_a_late_answer_is_never_anothers_value():
    async def story():
        unit = SimUnit(1, holding={0: 1111, 10: 2222})
        async with SimTcp([unit]) as server:
            line = TcpLine("127.0.0.1", server.tcp_port)
            for n in range(10):
                if not line.connected:
                    await line.connect()
                address = 10 * (n % 2)
                unit.delay_s = 0.08 if n % 3 else 0.0
                try:
                    assert await line.read(1, H, address, 1, timeout_ms=50) == [1111 * (1 + n % 2)]
                except DeviceFault as fault:
                    assert fault.reason == "timeout"  # noqa: PT017 - both ways are right
            await line.close()

    unhurried_run(story())


def test_a_cancelled_request_does_not_poison_the_next():
    async def story():
        unit = SimUnit(1, holding={0: 1111, 10: 2222}, delay_s=0.05)
        async with SimTcp([unit]) as server:
            line = TcpLine("127.0.0.1", server.tcp_port)
            await line.connect()
            task = asyncio.ensure_future(line.read(1, H, 10, 1))
            await asyncio.sleep(0.02)
            task.cancel()
            await asyncio.wait((task,))
            await line.connect()
            assert await line.read(1, H, 0, 1) == [1111]
            await line.close()

    unhurried_run(story())


def test_a_server_that_takes_connections_and_never_answers():
    async def story():
        async with scripted(lambda t, u, p: b"") as line:
            for _ in range(3):
                with pytest.raises(DeviceFault) as caught:
                    await line.read(1, H, 0, 1, timeout_ms=50)
                assert caught.value.reason == "timeout"
            assert not line.connected

    unhurried_run(story())


def test_a_hang_up_is_told_at_once():
    async def story():
        async with scripted(lambda t, u, p: None) as line:
            start = asyncio.get_running_loop().time()
            with pytest.raises(DeviceFault) as caught:
                await line.read(1, H, 0, 1, timeout_ms=3000)
            assert caught.value.reason == "port_gone"
            assert asyncio.get_running_loop().time() - start < 0.5

    unhurried_run(story())


def test_a_gateway_that_speaks_for_a_dead_unit_is_a_timeout():
    async def story():
        async with scripted(lambda t, u, p: packet(t, u, bytes((p[0] | 0x80, 11)))) as line:
            with pytest.raises(DeviceFault) as caught:
                await line.read(1, H, 0, 1)
            assert caught.value.reason == "timeout"

    unhurried_run(story())


async def the_poller_finds_a_server_that_comes_late_and_comes_back(kit):
    server = SimTcp([SimUnit(1, holding={1: 7})])
    await server.start()
    await server.stop()
    bus = kit.bus("", (1, kit.profile(kit.alarm("gas", 1, period_ms=100))), host="127.0.0.1", tcp_port=server.tcp_port)
    async with kit.polling(bus) as (_, ear):
        await kit.until(lambda: ("bus-a", "lost", "port_gone") in ear.health())
        await server.start()
        await kit.until(lambda: 7 in ear.values("gas"), 3)
        await server.stop()
        await kit.until(lambda: ear.readings("gas")[-1].quality == "comms", 2)
        await server.start()
        await kit.until(lambda: ear.values("gas")[-1] == 7, 3)
        await server.stop()


@contextlib.contextmanager
def black_hole():
    """The port of an endpoint that answers no SYN: a listener whose backlog is full."""
    with contextlib.ExitStack() as held:
        deaf = held.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(4):
            caller = held.enter_context(socket.socket())
            caller.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                caller.connect(deaf.getsockname())
        yield deaf.getsockname()[1]


def test_who_wants_to_write_into_a_black_hole_does_not_wait_for_the_connection(kit, monkeypatch):
    monkeypatch.setattr(tcp_wire, "CONNECT_S", 60.0)

    async def story():
        profile = kit.profile(kit.point("relay", 0, Space.COIL, writable=True))
        with black_hole() as port:
            async with kit.polling(kit.bus("", (1, profile), host="127.0.0.1", tcp_port=port)) as (poller, _):
                with pytest.raises(DeviceFault) as caught:
                    await asyncio.wait_for(poller.write("dev1", "relay", True), 10)
        assert caught.value.reason == "port_gone"

    unhurried_run(story())


@pytest.mark.parametrize("host", ["plc..lan", "a" * 64 + ".lan"])
def test_a_name_that_nobody_can_be_asked_for_is_a_fault_of_the_world(host):
    async def story():
        with pytest.raises(DeviceFault, match="port_gone"):
            await TcpLine(host).connect()

    asyncio.run(story())


class DeadNames:
    """A name server that does not answer until it is back."""

    def __init__(self, monkeypatch):
        self.back, self.asked, self._real = threading.Event(), [], socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look)

    def _look(self, host, *rest, **more):
        if not str(host).endswith(".lan"):
            return self._real(host, *rest, **more)
        self.asked.append(host)
        self.back.wait(30)
        return self._real("127.0.0.1", *rest, **more)


def test_one_lookup_of_a_name_at_a_time_and_its_answer_serves_whoever_asks_then(monkeypatch):
    names = DeadNames(monkeypatch)
    monkeypatch.setattr(tcp_wire, "CONNECT_S", 0.05)

    async def story():
        server = SimTcp([SimUnit(1, holding={1: 7})])
        await server.start()
        wire = tcp_wire.TcpWire("converter.lan", server.tcp_port)
        for _ in range(3):
            with pytest.raises(DeviceFault) as caught:
                await wire.open(lambda _: None, lambda _: None)
            assert caught.value.reason == "port_gone"
        assert names.asked == ["converter.lan"]
        names.back.set()
        monkeypatch.setattr(tcp_wire, "CONNECT_S", 5.0)
        await wire.open(lambda _: None, lambda _: None)
        assert wire.is_open
        assert names.asked == ["converter.lan"]
        wire.close()
        await server.stop()

    unhurried_run(story())


def test_dead_names_keep_nobody_else_shut(monkeypatch):
    names = DeadNames(monkeypatch)

    async def story():
        loop = asyncio.get_running_loop()
        lookups = [loop.getaddrinfo(f"c{n}.lan", 502) for n in range(40)]  # more than the loop has threads
        waiting = [asyncio.ensure_future(one) for one in lookups]
        async with SimBus([SimUnit(1, holding={0: 1111})]) as bus:
            line = SerialLine(bus.path)
            await asyncio.wait_for(line.connect(), 10)
            assert not names.back.is_set()
            assert await line.read(1, H, 0, 1) == [1111]
            await line.close()
        server = SimTcp([SimUnit(1, holding={1: 7})])
        await server.start()
        wire = tcp_wire.TcpWire("127.0.0.1", server.tcp_port)
        await asyncio.wait_for(wire.open(lambda _: None, lambda _: None), 10)
        assert not names.back.is_set()
        wire.close()
        await server.stop()
        names.back.set()
        await asyncio.gather(*waiting)

    unhurried_run(story())


async def two_silent_units_behind_one_endpoint_are_one_fault(kit):
    units = [SimUnit(n, holding={1: n}) for n in (1, 2)]
    async with SimTcp(units) as server:
        profile = kit.profile(kit.alarm("gas", 1), timeout_ms=100)
        bus = kit.bus("", (1, profile), (2, profile), host="127.0.0.1", tcp_port=server.tcp_port)
        async with kit.polling(bus) as (_, ear):
            await kit.until(lambda: len(ear.values("gas")) == 2)
            for unit in units:
                unit.silent = True
            await kit.until(lambda: ("bus-a", "lost", "all_silent") in ear.health(), 10)
            assert [h for h in ear.health() if h[1] == "lost"] == [("bus-a", "lost", "all_silent")]
            assert server.connections > 1, "a silent endpoint is dialled anew"


async def one_dead_unit_behind_an_endpoint_is_lost_alone(kit):
    units = [SimUnit(1, holding={1: 1}), SimUnit(2, holding={1: 2}, silent=True)]
    async with SimTcp(units) as server:
        profile = kit.profile(kit.alarm("gas", 1), timeout_ms=100)
        bus = kit.bus("", (1, profile), (2, profile), host="127.0.0.1", tcp_port=server.tcp_port)
        async with kit.polling(bus) as (_, ear):
            await kit.until(lambda: ("dev2", "lost", "timeout") in ear.health(), 9)
            assert ear.health("bus-a") == [("bus-a", "ok", "")]
            assert server.connections == 1


def test_a_few_dead_units_in_a_row_do_not_cost_the_others_the_line():
    async def story():
        alive, dead = SimUnit(1, holding={0: 7}), [SimUnit(n, silent=True) for n in (2, 3, 4, 5)]
        async with SimTcp([alive, *dead]) as server:
            line = TcpLine("127.0.0.1", server.tcp_port)
            await line.connect()
            assert await line.read(1, H, 0, 1) == [7]
            for unit in dead:
                with pytest.raises(DeviceFault):
                    await line.read(unit.unit_id, H, 0, 1, timeout_ms=50)
            assert await line.read(1, H, 0, 1) == [7]
            assert server.connections == 1
            await line.close()

    unhurried_run(story())


@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
@settings(max_examples=200, deadline=None)
def test_whatever_comes_is_an_answer_or_a_fault(chunks, framed):
    class Bytes:
        name, baud, char_s, dials, is_open = "test", 0, 0.0, True, False

        async def open(self, hear, lost):
            self.hear, self.is_open = hear, True

        def send(self, data):
            for chunk in chunks:
                if self.is_open:
                    self.hear(data[:2] + b"\0\0" + len(chunk).to_bytes(2, "big") + chunk if framed else chunk)

        def close(self):
            self.is_open = False

    async def story():
        line = MbapLine(Bytes())
        await line.connect()
        with pytest.raises(DeviceFault):
            await line.read(9, H, 0, 1, timeout_ms=1)

    unhurried_run(story())


@pytest.mark.parametrize("outstanding", [1, 4])
def test_as_many_questions_are_under_way_as_the_device_takes(outstanding):
    async def story():
        unit = SimUnit(1, holding={n: n for n in range(8)})
        async with SimTcp([unit]) as server:
            line = TcpLine("127.0.0.1", server.tcp_port, outstanding=outstanding)
            await line.connect()
            assert await line.read(1, H, 0, 1) == [0]
            unit.delay_s = 0.3
            unit.requests.clear()
            unlike = [asyncio.ensure_future(line.read(1, H, 0, n, timeout_ms=3000)) for n in range(1, 9)]
            await asyncio.sleep(0.1)
            assert len(unit.requests) == outstanding
            assert await asyncio.gather(*unlike) == [list(range(n)) for n in range(1, 9)]
            await line.close()

    unhurried_run(story())


def test_answers_in_another_order_find_their_questions():
    async def story():
        held = []

        def answer(transaction, unit, pdu):
            held.append(packet(transaction, unit, b"\x03\x02\x00" + pdu[2:3]))
            return b"".join(reversed(held)) if len(held) == 4 else b""

        async with scripted(answer) as line:
            line._room = asyncio.Semaphore(4)
            found = await asyncio.gather(*(line.read(n + 1, H, n, 1, timeout_ms=60_000) for n in range(4)))
            assert found == [[n] for n in range(4)]

    unhurried_run(story())


@pytest.mark.parametrize(
    ("taken", "guard_ms", "outstanding"), [((4, 4), 0, 4), ((4, 2), 0, 2), ((4, 1), 0, 1), ((4, 4), 50, 1)]
)
def test_a_bus_has_as_many_questions_under_way_as_the_least_of_its_devices_takes(kit, taken, guard_ms, outstanding):
    async def story():
        four = {a: n for n, a in enumerate(range(0, 80, 20))}
        units = [SimUnit(n, holding=dict.fromkeys(four, n), input=dict.fromkeys(four, n), delay_s=0.05) for n in (1, 2)]
        alarms = [kit.alarm(f"p{a}", a, (H, Space.INPUT)[n % 2], period_ms=100) for a, n in four.items()]
        profiles = [kit.profile(*alarms, max_hole=0, outstanding=most, guard_ms=guard_ms) for most in taken]
        under_way = {"now": 0, "most": 0}
        async with SimTcp(units) as server:
            serve, say = server._serve, server._say

            def seen(*asked):
                under_way["now"] += 1
                under_way["most"] = max(under_way.values())
                serve(*asked)

            def said(*answer):
                under_way["now"] -= 1
                say(*answer)

            server._serve, server._say = seen, said
            bus = kit.bus("", (1, profiles[0]), (2, profiles[1]), host="127.0.0.1", tcp_port=server.tcp_port)
            assert line_of(bus).outstanding == outstanding
            async with kit.polling(bus) as (_, ear):
                await kit.until(lambda: len({(r.device, r.point) for r in ear.readings() if r.value}) == 8)
                assert {(r.device, r.value) for r in ear.readings() if r.value} == {("dev1", 1), ("dev2", 2)}
        assert under_way["most"] == outstanding

    unhurried_run(story())


STORIES = (
    the_poller_finds_a_server_that_comes_late_and_comes_back,
    two_silent_units_behind_one_endpoint_are_one_fault,
    one_dead_unit_behind_an_endpoint_is_lost_alone,
)


def test_what_happens_over_tcp(kit, subtests):
    """Each at an endpoint of its own, all at once: most of it is waiting."""
    abreast(subtests, {story.__name__: functools.partial(story, kit) for story in STORIES})
