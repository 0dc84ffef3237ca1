"""What one writes instead: a loop that polls workload S and publishes it, as a process of its own. Keeps and decides nothing.

``python -m bench.plain LIBRARY TCP_PORT MQTT_PORT PERIOD_MS CONNECTIONS`` reads each unit three times a turn (as the peers do)
by ``pymodbus`` or by ``asyncio`` streams, and publishes its eight points as one message with QoS 1 by aiomqtt; ``MQTT_PORT`` 0
publishes nothing, ``PERIOD_MS`` 0 is one turn after another. The units are shared among the connections, one endpoint each. It
prints a line when it stands, and stays until its standard input closes. Nothing of the gateway is imported.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench.workload import READS, UNITS

Asking = Callable[[int, int, int, int], Awaitable[list[Any]]]
"""(unit, function, address, count) -> registers or bits."""
Telling = Callable[[int, list[Any]], Awaitable[None]]


async def main() -> None:
    """Entry point."""
    library, *numbers = sys.argv[1:]
    tcp_port, mqtt_port, period_ms, connections = map(int, numbers)
    connect = {"pymodbus": _by_pymodbus, "asyncio": _by_streams}[library]
    async with contextlib.AsyncExitStack() as stack:
        tell = await _publisher(mqtt_port, stack)
        shares = []
        for first in range(1, UNITS + 1, UNITS // connections):
            ask = await connect(f"127.0.0.{first}", tcp_port)
            shares.append((range(first, first + UNITS // connections), ask))
        print("ready", flush=True)
        told = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        await asyncio.gather(*(_poll(*each, tell, period_ms / 1000, told) for each in shares))


async def _poll(units: range, ask: Asking, tell: Telling, period_s: float, told: asyncio.Task[str]) -> None:
    """Until we are told to end. (A cancellation may be lost: ``asyncio.wait_for`` of Python 3.11, within pymodbus.)"""
    due = time.monotonic()
    while not told.done():
        for unit in units:
            words, floats, bits = [await ask(unit, *read) for read in READS]
            await tell(unit, [*words, *struct.unpack(">ff", struct.pack(">HHHH", *floats)), *bits[:2]])
        due = max(due + period_s, time.monotonic())
        await asyncio.sleep(due - time.monotonic())


async def _publisher(port: int, stack: contextlib.AsyncExitStack) -> Telling:
    if not port:
        return _nobody
    import aiomqtt

    client = await stack.enter_async_context(aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5))
    client.pending_calls_threshold = 10 * UNITS

    async def tell(unit: int, values: list[Any]) -> None:
        samples = [{"point": n, "value": value, "at": time.time()} for n, value in enumerate(values)]
        await client.publish(f"loudong/v1/plain/telemetry/u{unit}", json.dumps({"data": {"samples": samples}}), qos=1)

    return tell


async def _nobody(_unit: int, _values: list[Any]) -> None:
    """Nothing is published."""


async def _by_pymodbus(host: str, port: int) -> Asking:
    from pymodbus.client import AsyncModbusTcpClient

    client = AsyncModbusTcpClient(host, port=port)
    await client.connect()

    async def ask(unit: int, function: int, address: int, count: int) -> list[Any]:
        if function == 2:
            return list((await client.read_discrete_inputs(address, count=count, device_id=unit)).bits)
        return list((await client.read_holding_registers(address, count=count, device_id=unit)).registers)

    return ask


async def _by_streams(host: str, port: int) -> Asking:
    reader, writer = await asyncio.open_connection(host, port)

    async def ask(unit: int, function: int, address: int, count: int) -> list[Any]:
        writer.write(struct.pack(">HHHBBHH", 1, 0, 6, unit, function, address, count))
        head = await reader.readexactly(6)
        said = await reader.readexactly(int.from_bytes(head[4:6], "big"))
        if function == 2:
            return [said[3] >> n & 1 == 1 for n in range(count)]
        return list(struct.unpack(f">{count}H", said[3:]))

    return ask


if __name__ == "__main__":
    asyncio.run(main())
