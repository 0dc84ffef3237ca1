"""The simulated devices, checked by a master that is neither theirs nor ours: modbus_tk."""

import ast
import asyncio
from pathlib import Path

import pytest
import serial
from instruments.virtual import virtual_run
from instruments.waiting import until
from modbus_tk import defines, modbus_rtu, modbus_tcp
from modbus_tk.modbus import ModbusError

import gateway.sim.modbus as sim
from gateway.sim.modbus import Flash, Link, SimBus, SimTcp, SimUnit


def test_it_shares_no_code_with_the_drivers():
    tree = ast.parse(Path(sim.__file__).read_text())
    imported = [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    assert [m for m in imported if m and m.startswith("gateway")] == ["gateway.sim.ports"]


def unit():
    return SimUnit(
        5, coils=dict.fromkeys(range(8), 0), discrete={0: 0, 1: 1}, holding={n: 100 + n for n in range(6)}, input={2: -1},
        links=(Link(2, 0, 0.05),),
    )  # fmt: skip


def ask(master):
    got = [
        master.execute(5, defines.READ_HOLDING_REGISTERS, 0, 6),
        master.execute(5, defines.READ_INPUT_REGISTERS, 2, 1),
        master.execute(5, defines.READ_DISCRETE_INPUTS, 0, 2),
        master.execute(5, defines.WRITE_SINGLE_COIL, 2, output_value=1),
        master.execute(5, defines.WRITE_MULTIPLE_COILS, 5, output_value=[1, 0, 1]),
        master.execute(5, defines.READ_COILS, 0, 8),
        master.execute(5, defines.WRITE_SINGLE_REGISTER, 0, output_value=7),
        master.execute(5, defines.WRITE_MULTIPLE_REGISTERS, 1, output_value=[8, 9]),
    ]
    with pytest.raises(ModbusError) as caught:
        master.execute(5, defines.READ_HOLDING_REGISTERS, 4, 9)
    return got, caught.value.get_exception_code()


def check(device, got, code):
    assert got[0] == (100, 101, 102, 103, 104, 105)
    assert got[1] == (0xFFFF,)
    assert got[2] == (0, 1)
    assert got[5] == (0, 0, 1, 0, 0, 1, 0, 1)
    assert code == 2
    assert [device.holding[n] for n in range(3)] == [7, 8, 9]


def test_a_serial_master_gets_what_the_tables_hold():
    async def story():
        device = unit()
        async with SimBus([device]) as wire:

            def master():
                line = modbus_rtu.RtuMaster(serial.Serial(wire.path, 9600))
                line.set_timeout(2.0)
                try:
                    return ask(line)
                finally:
                    line.close()

            check(device, *await asyncio.to_thread(master))
            await until(lambda: device.discrete[0] == 1)  # the valve's end switch follows

    asyncio.run(story())


def test_a_tcp_master_gets_what_the_tables_hold():
    async def story():
        device = unit()
        async with SimTcp([device]) as server:
            line = modbus_tcp.TcpMaster("127.0.0.1", server.tcp_port, timeout_in_sec=2.0)
            check(device, *await asyncio.to_thread(ask, line))
            await asyncio.to_thread(line.close)

    asyncio.run(story())


def test_knobs():
    read = b"\x03\x00\x00\x00\x01"
    device = unit()
    assert device.answer(read) == b"\x03\x02\x00\x64"
    device.exception = 4
    assert device.answer(read) == b"\x83\x04"
    device.exception, device.max_read = 0, 2
    assert device.answer(b"\x03\x00\x00\x00\x03") == b"\x83\x03"
    assert device.answer(b"\x46\x00\x00\x00\x03") == b"\xc6\x01"
    assert device.answer(b"\x05\x00\x01\x12\x34") == b"\x85\x03"
    device.stuck = True
    device.answer(b"\x05\x00\x01\xff\x00")
    assert device.coils[1] == 0
    assert device.requests[0] == (3, 0, 1)


def test_a_relay_that_flashes_goes_off_by_itself_and_at_an_order():
    async def story():
        board, told = SimUnit(5, coils={0: 0}, flashes={(5, 0x200): Flash(0, 0.1)}), []
        board.on_write = lambda address, value: told.append((address, value))
        for_a_second, off = b"\x05\x02\x00\x00\x0a", b"\x05\x00\x00\x00\x00"
        assert board.answer(for_a_second) == for_a_second
        await asyncio.sleep(0.6)
        board.answer(for_a_second)  # renewed
        await asyncio.sleep(0.6)
        assert board.coils[0] == 1
        await asyncio.sleep(0.6)
        assert board.coils[0] == 0
        board.answer(for_a_second)
        board.answer(off)
        assert board.coils[0] == 0
        await asyncio.sleep(2)
        assert told == [(0x200, 1), (0x200, 1), (0, 0), (0x200, 1), (0, 0)]

    virtual_run(story())
