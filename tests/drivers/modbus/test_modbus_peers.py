"""Against slaves that share no code with us nor with each other: modbus_tk, pymodbus (Python), libmodbus (C), modbus-serial (JS)."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import threading
import tty
from pathlib import Path

import pytest
import serial
from instruments.node import serving
from modbus_tk import defines, modbus_rtu, modbus_tcp
from pymodbus import FramerType
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusSerialServer, ModbusTcpServer

from gateway.drivers.modbus.line import Refused
from gateway.drivers.modbus.mbap import MbapLine
from gateway.drivers.modbus.port import SerialLine
from gateway.drivers.modbus.rtu import RtuLine
from gateway.drivers.modbus.tcp import TcpLine
from gateway.drivers.modbus.tcp_wire import TcpWire
from gateway.faults import DeviceFault
from gateway.sim.ports import free_port
from gateway.site.profile import Space


@contextlib.contextmanager
def wire():
    """Two pseudo-terminals joined by a thread: the slave's end and ours are both real serial devices."""
    ends = [os.openpty() for _ in range(2)]
    for fd in (fd for pair in ends for fd in pair):
        tty.setraw(fd)
    stop_r, stop_w = os.pipe()

    def pump():
        import select

        masters = {ends[0][0]: ends[1][0], ends[1][0]: ends[0][0]}
        while True:
            ready, _, _ = select.select([*masters, stop_r], [], [])
            if stop_r in ready:
                return
            for fd in ready:
                with contextlib.suppress(OSError):
                    os.write(masters[fd], os.read(fd, 4096))

    thread = threading.Thread(target=pump)
    thread.start()
    try:
        yield os.ttyname(ends[0][1]), os.ttyname(ends[1][1])
    finally:
        os.write(stop_w, b".")
        thread.join()
        for fd in (*ends[0], *ends[1], stop_r, stop_w):
            os.close(fd)


def fill(server):
    slave = server.add_slave(1)
    for name, kind, first in (("h", defines.HOLDING_REGISTERS, 1000), ("i", defines.ANALOG_INPUTS, 2000)):
        slave.add_block(name, kind, 0, 64)
        slave.set_values(name, 0, [first + n for n in range(64)])
    slave.add_block("c", defines.COILS, 0, 64)
    slave.add_block("d", defines.DISCRETE_INPUTS, 0, 64)
    slave.set_values("d", 0, [n % 2 for n in range(64)])


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
    with wire() as (ours, theirs):
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
    with wire() as (ours, theirs):

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
    with wire() as (ours, theirs), running(slave, "rtu", theirs, "1", "0"):
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

    with wire() as (ours, theirs), running(slave, "rtu", theirs, "1", "60"):
        asyncio.run(story(ours))


def modbus_serial(*arguments):
    return serving("modbus_slave.mjs", *arguments)


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
    with wire() as (ours, theirs), modbus_serial("rtu", theirs, "1"):
        asyncio.run(converse(SerialLine(ours)))
        asyncio.run(refuse_by_name(SerialLine(ours)))


def test_modbus_serial_over_tcp():
    with modbus_serial("tcp", str(port := free_port()), "1"):
        asyncio.run(converse(TcpLine("127.0.0.1", port)))
        asyncio.run(refuse_by_name(TcpLine("127.0.0.1", port)))
