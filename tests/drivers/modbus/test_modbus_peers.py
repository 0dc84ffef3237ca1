"""Against slaves that share no code with us nor with each other: modbus_tk, pymodbus (Python), libmodbus (C), modbus-serial (JS)."""

import asyncio
import contextlib
import functools
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import serial
from instruments.node import serving
from instruments.trunk import trunk
from instruments.unhurried import unhurried_run
from modbus_tk import defines, modbus_rtu, modbus_tcp
from modbus_tk import hooks as modbus_hooks
from pymodbus import FramerType
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusSerialServer, ModbusTcpServer

from gateway.drivers.modbus.line import Refused
from gateway.drivers.modbus.mbap import MbapLine
from gateway.drivers.modbus.port import SerialLine
from gateway.drivers.modbus.rtu import RtuLine
from gateway.drivers.modbus.tcp import TcpLine
from gateway.drivers.modbus.tcp_wire import TcpWire
from gateway.events import Quality
from gateway.faults import DeviceFault
from gateway.sim.ports import free_port
from gateway.site.profile import PointClass, Space


def fill(server, unit=1):
    slave = server.add_slave(unit)
    for name, kind, first in (("h", defines.HOLDING_REGISTERS, 1000), ("i", defines.ANALOG_INPUTS, 2000)):
        slave.add_block(name, kind, 0, 64)
        slave.set_values(name, 0, [first + n for n in range(64)])
    slave.add_block("c", defines.COILS, 0, 64)
    slave.add_block("d", defines.DISCRETE_INPUTS, 0, 64)
    slave.set_values("d", 0, [n % 2 for n in range(64)])
    return slave


PATIENCE_MS = 10_000
"""What a peer is given on a machine that does much else; the values decide, not how soon they come."""


async def converse(line):
    """The same conversation with every peer."""

    async def read(space, address, count):
        return await line.read(1, space, address, count, PATIENCE_MS)

    async def write(space, address, value):
        await line.write(1, space, address, value, PATIENCE_MS)

    for _ in range(60):  # modbus_tk listens from a thread that may not have begun, and a first answer may be slow
        with contextlib.suppress(DeviceFault):
            await line.connect()
            await line.read(1, Space.HOLDING, 0, 1)
            break
        await asyncio.sleep(0.05)
    assert await read(Space.HOLDING, 5, 10) == [1005 + n for n in range(10)]
    assert await read(Space.INPUT, 0, 3) == [2000, 2001, 2002]
    assert await read(Space.DISCRETE, 1, 11) == [1, 0] * 5 + [1]
    await write(Space.COIL, 3, 1)
    await write(Space.COIL, 8, [1, 0, 1])
    assert await read(Space.COIL, 0, 12) == [0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0]
    await write(Space.HOLDING, 20, 77)
    await write(Space.HOLDING, 21, [78, 79])
    assert await read(Space.HOLDING, 20, 3) == [77, 78, 79]
    with pytest.raises(Refused) as caught:
        await read(Space.HOLDING, 60, 20)
    assert caught.value.code == 2
    assert await read(Space.HOLDING, 0, 1) == [1000]
    await line.close()


def test_modbus_tk_over_a_serial_line():
    with trunk() as (ours, theirs):
        port = serial.Serial(theirs, 9600, timeout=0)
        server = modbus_rtu.RtuServer(port)
        fill(server)
        server.start()
        try:

            async def story():
                await converse(line := SerialLine(ours))
                await line.connect()
                with pytest.raises(DeviceFault) as caught:
                    await line.read(9, Space.HOLDING, 0, 1, timeout_ms=100)
                assert caught.value.reason == "timeout"
                await line.close()

            asyncio.run(story())
        finally:
            server.stop()


def test_modbus_tk_over_tcp():
    server = modbus_tcp.TcpServer(port := free_port(), "127.0.0.1")
    fill(server)
    server.start()
    try:
        asyncio.run(converse(TcpLine("127.0.0.1", port)))
    finally:
        server.stop()


def pymodbus_unit():
    def block(values):
        return ModbusSequentialDataBlock(1, values)  # it counts from 1

    holding, inputs = [1000 + n for n in range(64)], [2000 + n for n in range(64)]
    bits = [n % 2 for n in range(64)]
    unit = ModbusDeviceContext(hr=block(holding), ir=block(inputs), co=block([0] * 64), di=block(bits))
    return ModbusServerContext(devices={1: unit}, single=False)


@pytest.mark.parametrize("framer", [FramerType.SOCKET, FramerType.RTU])
def test_pymodbus_over_tcp_in_both_framings(framer):
    async def story():
        server = ModbusTcpServer(pymodbus_unit(), framer=framer, address=("127.0.0.1", port := free_port()))
        serving = asyncio.ensure_future(server.serve_forever())
        wire = TcpWire("127.0.0.1", port)
        try:
            await converse(RtuLine(wire) if framer is FramerType.RTU else MbapLine(wire))
        finally:
            await server.shutdown()
            await asyncio.wait((serving,))

    asyncio.run(story())


def test_pymodbus_over_a_serial_line():
    with trunk() as (ours, theirs):

        async def story():
            server = ModbusSerialServer(pymodbus_unit(), framer=FramerType.RTU, port=theirs, baudrate=9600)
            serving = asyncio.ensure_future(server.serve_forever())
            await asyncio.sleep(0.2)
            try:
                await converse(SerialLine(ours))
            finally:
                await server.shutdown()
                await asyncio.wait((serving,))

        asyncio.run(story())


@pytest.fixture(scope="module")
def slave(tmp_path_factory):
    if shutil.which("cc") is None or not Path("/usr/include/modbus/modbus.h").exists():
        pytest.skip("needs a C compiler and libmodbus-dev: apt-get install gcc libmodbus-dev")
    binary = tmp_path_factory.mktemp("lm") / "lm_slave"
    source = Path(__file__).with_name("lm_slave.c")
    subprocess.run(["cc", "-I/usr/include/modbus", str(source), "-lmodbus", "-o", str(binary)], check=True)
    return str(binary)


@contextlib.contextmanager
def running(*command):
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            yield
        finally:
            process.kill()


def test_libmodbus_over_a_serial_line(slave):
    with trunk() as (ours, theirs), running(slave, "rtu", theirs, "1", "0"):
        asyncio.run(converse(SerialLine(ours)))


def test_libmodbus_over_tcp(slave):
    with running(slave, "tcp", str(port := free_port())):
        asyncio.run(converse(TcpLine("127.0.0.1", port)))


def test_a_slow_libmodbus_slave_never_gives_a_wrong_value(slave):
    async def story(path):
        line = SerialLine(path, 115200)
        await line.connect()
        good = missed = 0
        while good < 18:
            address = (7 * (good + missed)) % 3 * 10
            try:
                assert await line.read(1, Space.HOLDING, address, 1, timeout_ms=50) == [1000 + address]
                good += 1
            except DeviceFault as fault:
                assert fault.reason == "timeout"  # noqa: PT017 - both ways are right
                missed += 1  # the first, and whatever a busy machine makes later than those before
            assert missed < 100, "it does not learn to wait"
        await line.close()
        assert missed >= 1

    with trunk() as (ours, theirs), running(slave, "rtu", theirs, "1", "60"):
        asyncio.run(story(ours))


def modbus_serial(*arguments):
    return serving("modbus_slave.mjs", *arguments)


@contextlib.contextmanager
def units_of_modbus_tk(ends):
    """One server for both: in one process with us it has not the time to sort what other units say from its questions."""
    with serial.Serial(ends[0], 9600, timeout=0) as port:
        server = modbus_rtu.RtuServer(port)

        @contextlib.contextmanager
        def start(unit, delay_ms):
            slave = fill(server, unit)

            def dawdle(asked):
                time.sleep(delay_ms / 1000 if asked[0] is slave else 0)

            modbus_hooks.install_hook("modbus.Slave.handle_request", dawdle)
            yield
            server.remove_slave(unit)
            modbus_hooks.uninstall_hook("modbus.Slave.handle_request", dawdle)

        server.start()
        try:
            yield start
        finally:
            server.stop()


@pytest.fixture(params=["libmodbus", "modbus_tk", "modbus-serial"])
def foreign(request):
    """Foreign units at the far ends of a line: gives ``start(unit, delay_ms)``, which kills the unit where its block ends."""
    if request.param == "modbus_tk":
        return units_of_modbus_tk
    if request.param == "modbus-serial":
        run = functools.partial(modbus_serial, "rtu")
    else:
        run = functools.partial(running, request.getfixturevalue("slave"), "rtu")
    return lambda ends: contextlib.nullcontext(lambda unit, delay_ms: run(ends[unit - 1], str(unit), str(delay_ms)))


PLACES = (0, 10, 20)  # three questions: a late answer to one has the form of the others


def test_a_poller_on_foreign_units_of_which_one_dies_and_returns_and_one_is_late(kit, foreign):
    registers = (kit.alarm(f"h{place}", place) for place in PLACES)
    relay = kit.point("relay", 3, Space.COIL, point_class=PointClass.FEEDBACK, writable=True)
    profile = kit.profile(*registers, relay, max_hole=0, timeout_ms=1000)

    async def story(ours, start):
        async with kit.polling(kit.bus(ours, (1, profile), (2, profile))) as (poller, ear):
            answers = poller.line.tally.units
            with contextlib.ExitStack() as life:
                life.enter_context(start(1, 0))
                await kit.until(lambda: all(ear.values(f"h{p}", f"dev{n}") for p in PLACES for n in (1, 2)))
                await poller.write("dev1", "relay", True)
            await kit.until(lambda: ear.health("dev1")[-1] == ("dev1", "lost", "timeout"), 10)
            assert {ear.readings(f"h{place}", "dev1")[-1].quality for place in PLACES} == {Quality.COMMS}
            served = answers[2].answers
            await kit.until(lambda: answers[2].answers > served + 3)
            with start(1, 0):
                await kit.until(lambda: ear.health("dev1")[-1] == ("dev1", "ok", ""))
                await kit.until(lambda: ear.readings("h20", "dev1")[-1].quality is Quality.GOOD)
                await kit.until(lambda: ear.values("relay", "dev1")[-1] is False)
                await poller.write("dev2", "relay", True)
            assert answers[2].late, "it was never late"
            assert ear.health("dev2")[-1] == ("dev2", "ok", "")
            assert ear.health("bus-a")[-1][1] == "ok"
        for place in PLACES:
            good = {r.value for r in ear.readings(f"h{place}") if r.quality is Quality.GOOD}
            assert good == {1000 + place}, "another register's value"

    with trunk(3) as (ours, *ends), foreign(ends) as start, start(2, 400):
        unhurried_run(story(ours, start))


async def refuse_by_name(line):
    """Exceptions of its writes, too, and what becomes of a question to another unit."""
    await line.connect()
    for ask, *beyond in (
        (line.write, Space.HOLDING, 64, 1),
        (line.write, Space.HOLDING, 63, [1, 2]),
        (line.write, Space.COIL, 64, 1),
        (line.write, Space.COIL, 63, [1, 1]),
        (line.read, Space.COIL, 60, 8),
        (line.read, Space.DISCRETE, 60, 8),
        (line.read, Space.INPUT, 63, 2),
    ):
        with pytest.raises(Refused) as refused:
            await ask(1, *beyond, PATIENCE_MS)
        assert refused.value.code == 2, beyond
    with pytest.raises(DeviceFault) as caught:
        await line.read(9, Space.HOLDING, 0, 1, timeout_ms=100)
    assert caught.value.reason == "timeout"
    assert await line.read(1, Space.HOLDING, 1, 1, PATIENCE_MS) == [1001]
    await line.close()


def test_modbus_serial_over_a_serial_line():
    with trunk() as (ours, theirs), modbus_serial("rtu", theirs, "1"):
        asyncio.run(converse(SerialLine(ours)))
        asyncio.run(refuse_by_name(SerialLine(ours)))


def test_modbus_serial_over_tcp():
    with modbus_serial("tcp", str(port := free_port()), "1"):
        asyncio.run(converse(TcpLine("127.0.0.1", port)))
        asyncio.run(refuse_by_name(TcpLine("127.0.0.1", port)))
