"""What a lane promises, held against the lane in memory and against real Modbus, over a pseudo-terminal and over TCP."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace

import pytest
from instruments.unhurried import unhurried_run

from gateway.actuators.outputs import Pace
from gateway.drivers.modbus.poller import BusPoller
from gateway.events import Quality
from gateway.faults import DeviceFault
from gateway.nodes import Mark
from gateway.sim.modbus import Link, SimBus, SimTcp, SimUnit
from gateway.site.model import Bus, ModbusDevice
from gateway.site.profile import PointSpec, Profile, Space

MARK = Mark("site.yaml", 1)
BOARD = Profile(
    id="relay-test",
    kind="relay",
    name_zh="继电器",
    name_en="relay",
    status="manual",
    source="test",
    points=(
        PointSpec("relay-x", Space.COIL, 0, writable=True),
        PointSpec("limit", Space.DISCRETE, 0),
    ),
    timeout_ms=80,
)


@contextlib.asynccontextmanager
async def in_memory(fake_lane):
    lane = fake_lane(transaction_s=0.001, timeout_s=0.01)
    lane.follow["board", "relay-x"] = (("board", "limit"), 0.05)
    yield SimpleNamespace(
        lane=lane,
        silence=lambda: lane.dead.add("board"),
        wake=lane.dead.clear,
        stick=lambda: setattr(lane, "lost_writes", 99),
        coil=lambda: bool(lane.state.get(("board", "relay-x"))),
    )


@contextlib.asynccontextmanager
async def over_modbus(world, unit, **where):
    async with world:
        address = (
            {"port": world.path} if isinstance(world, SimBus) else {"host": "127.0.0.1", "tcp_port": world.tcp_port}
        )
        bus = Bus("bus", MARK, (ModbusDevice("board", BOARD, 1, "3", MARK),), **address)
        poller = BusPoller(bus, lambda event: SimpleNamespace(actions=()))
        polling = asyncio.create_task(poller.run())
        for _ in range(200):
            if poller.line.connected:
                break
            await asyncio.sleep(0.01)
        yield SimpleNamespace(
            lane=poller,
            silence=lambda: setattr(unit, "silent", True),
            wake=lambda: setattr(unit, "silent", False),
            stick=lambda: setattr(unit, "stuck", True),
            coil=lambda: bool(unit.coils[0]),
        )
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)


@pytest.fixture(params=["memory", "serial", "tcp"])
def cabinet(request, fake_lane):
    """Opens a relay board with one relay and a limit switch that follows it."""

    def opened():
        if request.param == "memory":
            return in_memory(fake_lane)
        unit = SimUnit(1, coils={0: 0}, discrete={0: 0}, links=(Link(coil=0, discrete=0, delay_s=0.05),))
        return over_modbus(SimBus([unit]) if request.param == "serial" else SimTcp([unit]), unit)

    return opened


def within(cabinet, script, seconds=10):
    async def main():
        async with asyncio.timeout(seconds), cabinet() as c:
            await script(c)

    unhurried_run(main())


def test_a_relay_is_switched_and_read(cabinet):
    async def script(c):
        for on in (True, False):
            await c.lane.write("board", "relay-x", on)
            assert c.coil() is on
            value, quality = await c.lane.read("board", "relay-x")
            assert (bool(value), quality) == (on, Quality.GOOD)
            assert isinstance(value, bool | int)

    within(cabinet, script)


def test_a_device_that_says_nothing_is_a_fault(cabinet):
    async def script(c):
        c.silence()
        with pytest.raises(DeviceFault) as fault:
            await c.lane.write("board", "relay-x", True)
        assert fault.value.reason == "timeout"
        try:
            value, quality = await c.lane.read("board", "relay-x")
        except DeviceFault:
            return
        assert value is None or quality is not Quality.GOOD

    within(cabinet, script)


def test_a_relay_that_does_not_follow_is_a_fault(cabinet):
    async def script(c):
        c.stick()
        with pytest.raises(DeviceFault) as fault:
            await c.lane.write("board", "relay-x", True)
        assert fault.value.reason == "readback"

    within(cabinet, script)


def test_a_valve_is_shut_proven_and_after_a_silence_proven_again(cabinet, bench, an_output):
    async def script(c):
        valve = an_output("x", "valve", feedback="board.limit", feedback_means="shut", confirm_ms=2000)
        b = bench([valve], {"board": c.lane}, Pace(poll_s=0.02, retry_first_s=0.05, retry_cap_s=0.1, verify_s=0.1))
        running = asyncio.create_task(b.reconciler.run())
        await until(b.said)
        b.want("x", "shut", "gas")
        await until(lambda: b.said()[-1] == ("shut", "shut", True, ""))
        c.silence()
        await until(lambda: b.said()[-1] == ("shut", None, False, "no_answer"))
        c.wake()
        await until(lambda: b.said()[-1] == ("shut", "shut", True, ""))
        assert c.coil() is True
        assert b.beats
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    within(cabinet, script, 20)


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)
