"""What every kind of wire does when it goes, whatever becomes of what it tells the log of it."""

import asyncio
import contextlib
import os
import pty
from types import SimpleNamespace

import pytest
from instruments.waiting import until

from gateway.drivers.modbus import dial_in, serial_wire, tcp_wire
from gateway.drivers.modbus.dial_in import DialInWire, Reception
from gateway.drivers.modbus.serial_wire import SerialWire
from gateway.drivers.modbus.tcp_wire import TcpWire


@contextlib.asynccontextmanager
async def serial_adapter():
    master, slave = pty.openpty()
    wire = SerialWire(os.ttyname(slave))
    os.close(slave)
    yield wire, lambda: os.close(master)


@contextlib.asynccontextmanager
async def converter():
    writers = []
    async with await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0) as server:

        def hang_up():
            for writer in writers:
                writer.close()

        yield TcpWire("127.0.0.1", server.sockets[0].getsockname()[1]), hang_up


@contextlib.asynccontextmanager
async def box():
    reception = Reception("127.0.0.1", 0)
    wire = DialInWire(reception)
    await reception.admit(wire)
    _, writer = await asyncio.open_connection("127.0.0.1", reception.port)
    await until(lambda: wire._connection is not None)
    yield wire, writer.close


@pytest.mark.parametrize("kind", [serial_adapter, converter, box])
def test_a_wire_that_goes_says_so_even_where_the_log_cannot_be_written(monkeypatch, kind):
    def full(*_, **__):
        raise OSError("no reader")

    async def story():
        lost = []
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        async with kind() as (wire, hang_up):
            await wire.open(lambda _: None, lost.append)
            await asyncio.sleep(0.05)
            for room in (serial_wire, tcp_wire, dial_in):
                monkeypatch.setattr(room, "log", SimpleNamespace(warning=full, info=lambda *_, **__: None))
            hang_up()
            await until(lambda: len(lost) == 1)
            assert not wire.is_open
            wire.end()

    asyncio.run(story())
