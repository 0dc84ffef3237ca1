"""What every kind of wire does when it goes, whatever becomes of what it tells the log of it, and when nobody had a turn for long."""

import asyncio
import contextlib
import os
import pty
import socket
import time
import tty
from types import SimpleNamespace

import pytest
from instruments.waiting import until

from gateway.drivers.modbus import dial_in, frames, owing, serial_wire, tcp_wire
from gateway.drivers.modbus.dial_in import DialInWire, Reception
from gateway.drivers.modbus.rtu import RtuLine
from gateway.drivers.modbus.serial_wire import SerialWire
from gateway.drivers.modbus.tcp_wire import TcpWire
from gateway.faults import DeviceFault
from gateway.site.profile import Space


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


@contextlib.asynccontextmanager
async def far_end_of_a_port():
    """A wire, how bytes come in on it, and what was sent out."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    wire, sent = SerialWire(os.ttyname(slave)), bytearray()
    os.close(slave)
    asyncio.get_running_loop().add_reader(master, lambda: sent.extend(os.read(master, 4096)))
    yield wire, lambda data: os.write(master, data), sent
    asyncio.get_running_loop().remove_reader(master)
    os.close(master)


@contextlib.asynccontextmanager
async def far_end_of_a_converter():
    sent, writers = bytearray(), []

    async def serve(reader, writer):
        writers.append(writer)
        while data := await reader.read(4096):
            sent.extend(data)

    def come(data):
        writers[0].write(data)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield TcpWire("127.0.0.1", server.sockets[0].getsockname()[1], 9600, 10 / 9600), come, sent


@contextlib.contextmanager
def black_hole(port=0):
    """A port that never answers: who calls beyond its queue is not even refused. Gives its number, at 127.0.0.2."""
    with contextlib.ExitStack() as held:
        hole = held.enter_context(socket.create_server(("127.0.0.2", port), backlog=0))
        port = hole.getsockname()[1]
        for _ in range(8):
            caller = held.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.2", port))
        yield port


def test_a_black_hole_is_no_answer():
    async def story(port):
        with pytest.raises(DeviceFault, match="no answer"):
            await TcpWire("127.0.0.2", port).open(print, print)

    with black_hole() as port:
        asyncio.run(story(port))


def test_an_address_that_leads_nowhere_keeps_no_other_of_that_name_from_being_tried(monkeypatch):
    async def story():
        async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            with black_hole(port):
                wire = TcpWire("converter.lan", port)
                monkeypatch.setattr(wire._lookup, "addresses", both)
                await wire.open(lambda _: None, print)
                assert wire.is_open
                wire.end()

    async def both():
        return ["127.0.0.2", "127.0.0.1"]

    asyncio.run(story())


def _value(value):
    body = bytes((1, 3, 2)) + value.to_bytes(2, "big")
    return body + frames.crc(body)


@pytest.mark.parametrize("kind", [far_end_of_a_port, far_end_of_a_converter])
@pytest.mark.parametrize("noise", [b"", b"\x55" * 1500])
def test_what_came_late_while_the_loop_was_held_up_is_not_the_next_value(monkeypatch, kind, noise):
    for name, seconds in {"SETTLE_S": 0.2, "MORE_S": 0.1, "FAR_S": 0.3}.items():
        monkeypatch.setattr(owing, name, seconds)

    async def story():
        async with kind() as (wire, come, sent):
            line = RtuLine(wire)
            await line.connect()
            with pytest.raises(DeviceFault, match="timeout"):
                await line.read(1, Space.HOLDING, 0, 1, 20)
            await until(lambda: len(sent) == 8)
            come(noise + _value(0xDEAD))
            time.sleep(0.5)  # noqa: ASYNC251 - so that nobody has a turn while that answer is believed in
            answering = asyncio.create_task(answer_the_second(come, sent))
            answer = await line.read(1, Space.HOLDING, 5, 1, 5_000)
            await answering
            await line.end()
            return answer

    async def answer_the_second(come, sent):
        await until(lambda: len(sent) == 16)
        come(_value(7))

    assert asyncio.run(story()) == [7]
