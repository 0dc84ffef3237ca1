"""Workload S: a Modbus TCP endpoint with 64 units of 8 points, as a process of its own.

``python -m bench.workload PORT`` serves; 6 holding registers in two groups (0-3 uint16, 100-103 two float32) and 2 discrete
inputs for each of 64 unit ids. Lines on standard input: ``set UNIT VALUE`` changes register 0 and the process prints
``UNIT VALUE T`` with the clock_gettime(CLOCK_MONOTONIC) seconds at which the first answer that carried it left; ``moving 6``
lets every number change at each read of it, ``moving 8`` the two inputs as well, ``moving 0`` ends that; ``count`` prints the
requests and points served so far; ``bells`` prints as JSON when input register 0, the alarm point of whoever has one, was
answered for, by unit.
Its own frames: nothing of the gateway is imported.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time

UNITS = 64
READS = ((3, 0, 4), (3, 100, 4), (2, 0, 2))
"""(function, address, count): what everything of a unit takes."""


class World:
    """All registers, and who waits for what."""

    def __init__(self) -> None:
        self.registers = {
            unit: {**dict.fromkeys(range(4), 0), **dict(enumerate(_floats(unit), 100))} for unit in range(1, UNITS + 1)
        }
        self.waiting: dict[int, int] = {}
        self.moving = 0
        self.bells: dict[int, list[float]] = {}
        self.inputs = dict.fromkeys(self.registers, 0)
        self.requests = self.points = 0

    def answer(self, unit: int, function: int, address: int, count: int) -> bytes:
        self.requests += 1
        registers = self.registers.get(unit)
        if registers is None:
            return bytes((function | 0x80, 11))
        if function == 2:
            self.points += 2 if address == 0 else 0
            self.inputs[unit] ^= 3 if self.moving == 8 else 0  # both of them
            return bytes((2, 1, self.inputs[unit]))
        if function == 4:
            self.bells.setdefault(unit, []).append(time.monotonic())
            return bytes((4, 2 * count)) + bytes(2 * count)
        if function != 3 or count > 125:
            return bytes((function | 0x80, 1))
        self.points += _worth(address, count)
        if self.moving:
            for n in (0, 1, 2, 3, 101, 103):  # the low words of the floats
                registers[n] = (registers[n] + 1) % 100
        if address == 0:
            self._first(unit, registers)
        return bytes((3, 2 * count)) + b"".join(struct.pack(">H", registers.get(address + n, 0)) for n in range(count))

    def _first(self, unit: int, registers: dict[int, int]) -> None:
        if unit in self.waiting and registers[0] == self.waiting[unit]:
            del self.waiting[unit]
            print(unit, registers[0], time.monotonic(), flush=True)


def _worth(address: int, count: int) -> int:
    """Points in one read of holding registers: four single ones from 0, two double ones from 100."""
    single = sum(address <= n < address + count for n in range(4))
    double = sum(address <= n and n + 2 <= address + count for n in (100, 102))
    return single + double


def _floats(unit: int) -> list[int]:
    return [word for value in (unit * 1.5, unit / 3) for word in struct.unpack(">HH", struct.pack(">f", value))]


class Session(asyncio.Protocol):
    """One connection; requests are answered in order, as many as came."""

    def __init__(self, world: World) -> None:
        self._world, self._buffer = world, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        said = []
        while len(self._buffer) >= 12:
            transaction, _, length, unit, function, address, count = struct.unpack(">HHHBBHH", self._buffer[:12])
            self._buffer = self._buffer[6 + length :]
            body = self._world.answer(unit, function, address, count)
            said.append(struct.pack(">HHHB", transaction, 0, len(body) + 1, unit) + body)
        if said:
            self._transport.write(b"".join(said))  # type: ignore[attr-defined]


async def serve(port: int) -> None:
    """Until standard input ends."""
    world, loop = World(), asyncio.get_running_loop()
    hosts = [f"127.0.0.{n}" for n in range(1, UNITS + 1)]  # one each for whoever wants several endpoints
    server = await loop.create_server(lambda: Session(world), hosts, port)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("ready", flush=True)
    async for line in reader:
        word, *said = line.decode().split()
        numbers = list(map(int, said))
        if word == "set":
            unit, value = numbers
            world.registers[unit][0] = world.waiting[unit] = value
        elif word == "moving":
            world.moving = numbers[0]
        elif word == "bells":
            print(json.dumps(world.bells), flush=True)
        else:
            print(world.requests, world.points, flush=True)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
