"""Simulated Modbus devices that speak the real protocol: RTU over a pseudo-terminal, and TCP.

It has its own codec on purpose (nothing of ``gateway.drivers`` may be imported here): a mistake in one must not be answered
by the same mistake in the other. Devices are plain dictionaries that may be changed while they are being read, with knobs
for what real ones do wrong: fall silent, dawdle, refuse, chatter, answer under another's name.
"""

from __future__ import annotations

import asyncio
import os
import struct
import tty
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

from msgspec import Struct, field

from gateway.sim.ports import free_port

_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3
_FIXED_FUNCTIONS = {1, 2, 3, 4, 5, 6}  # eight bytes on the wire
_COUNTED_FUNCTIONS = {15, 16}
_SILENT_CHARS = 3.5  # Modbus over serial line V1.02, 2.5.1.1: between two frames


class Refusal(Exception):
    """A Modbus exception the simulated device answers with."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Link(Struct, frozen=True):
    """A thing behind a relay: coil ``coil`` moves input ``discrete`` after a while, as a valve's end switch does."""

    coil: int
    discrete: int
    delay_s: float = 0.0
    inverted: bool = False


class Flash(Struct, frozen=True):
    """Commands by which a device switches something on and times its end itself: the value is ``base`` and a number of steps."""

    place: int
    """The coil or register that shows it."""
    step_s: float
    base: int = 0
    most: int = 0x7FFF
    """Steps; none of them ends it."""
    shown: tuple[int, int] = (1, 0)
    """At ``place``: on, off."""
    alone: bool = False
    """While it runs no other command to ``place`` is obeyed, though each is confirmed."""

    def steps(self, value: int) -> int | None:
        """For how long this value says; None: it is no such command."""
        return value - self.base if 0 <= value - self.base <= self.most else None


class SimUnit(Struct, eq=False):
    """One device. An address absent from a table is refused with exception 2, as a hole of the real one is."""

    unit_id: int
    coils: dict[int, int] = field(default_factory=dict)
    discrete: dict[int, int] = field(default_factory=dict)
    holding: dict[int, int] = field(default_factory=dict)
    input: dict[int, int] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    silent: bool = False
    delay_s: float = 0.0
    exception: int = 0
    """Refuses everything with this code; 0: does not."""
    noise: bytes = b""
    """Goes out in front of each answer."""
    answers_as: int | None = None
    """Puts another unit id into its answers."""
    stuck: bool = False
    """Confirms writes and does nothing."""
    max_read: int = 125
    flashes: dict[tuple[int, int], Flash] = field(default_factory=dict)
    """By function (5 for a coil, 6 for a register, whether written alone or among others) and address."""
    requests: list[tuple[int, int, int]] = field(default_factory=list)
    """(function, address, count or value) of every request, in order."""
    on_write: Callable[[int, int], None] | None = None
    """Called with address and value of each coil or register written; of a flash with what it shows, where it was written at its
    begin and where it shows at its end."""
    _ends: dict[tuple[bool, int], asyncio.TimerHandle] = field(default_factory=dict)
    """By coil (else register) and its place: when it goes off by itself."""

    def answer(self, pdu: bytes) -> bytes:
        """What the device says to a request, exceptions included."""
        if self.exception:
            return bytes((pdu[0] | 0x80, self.exception))
        try:
            return self._obey(pdu)
        except Refusal as refusal:
            return bytes((pdu[0] | 0x80, refusal.code))

    def _obey(self, pdu: bytes) -> bytes:
        function = pdu[0]
        if function not in _FIXED_FUNCTIONS | _COUNTED_FUNCTIONS or len(pdu) < 5:
            raise Refusal(_ILLEGAL_FUNCTION)
        address, count = struct.unpack_from(">HH", pdu, 1)
        self.requests.append((function, address, count))
        if function in {1, 2}:
            bits = self._fetch(self.coils if function == 1 else self.discrete, address, count, self.max_read * 16)
            return bytes((function, (count + 7) // 8)) + _packed(bits)
        if function in {3, 4}:
            words = self._fetch(self.holding if function == 3 else self.input, address, count, self.max_read)
            return bytes((function, 2 * count)) + b"".join((word & 0xFFFF).to_bytes(2, "big") for word in words)
        self._write(function, address, pdu)
        return pdu[:5]

    @staticmethod
    def _fetch(table: dict[int, int], address: int, count: int, limit: int) -> list[int]:
        if not 1 <= count <= limit:
            raise Refusal(_ILLEGAL_VALUE)
        try:
            return [table[address + n] for n in range(count)]
        except KeyError:
            raise Refusal(_ILLEGAL_ADDRESS) from None

    def _write(self, function: int, address: int, pdu: bytes) -> None:
        coil = function in {5, 15}
        one = 5 if coil else 6
        raw = function == 5 and (one, address) in self.flashes
        values = [int.from_bytes(pdu[3:5], "big")] if raw else _written(function, pdu)
        for place, value in enumerate(values, address):
            flash = None if function == 15 else self.flashes.get((one, place))
            steps = None if flash is None else flash.steps(value)
            if flash is not None and steps is not None:
                self._flash(flash, steps, place, coil=coil)
            elif place not in (self.coils if coil else self.holding):
                raise Refusal(_ILLEGAL_ADDRESS)
            elif not self._ignores(place, coil=coil):
                self._set(place, value, coil=coil)

    def _ignores(self, place: int, *, coil: bool) -> bool:
        runs = (coil, place) in self._ends
        return self.stuck or (runs and any(flash.alone for flash in self.flashes.values() if flash.place == place))

    def _flash(self, flash: Flash, steps: int, asked_at: int, *, coil: bool) -> None:
        on, off = flash.shown
        if self.stuck:
            return
        if not steps:
            self._set(flash.place, off, coil=coil)
            return
        self._set(flash.place, on, coil=coil, asked_at=asked_at)
        self._ends[coil, flash.place] = asyncio.get_running_loop().call_later(
            steps * flash.step_s, lambda: self._set(flash.place, off, coil=coil)
        )

    def _set(self, place: int, value: int, *, coil: bool, asked_at: int | None = None) -> None:
        (self.coils if coil else self.holding)[place] = value
        if ends := self._ends.pop((coil, place), None):
            ends.cancel()
        if self.on_write is not None:
            self.on_write(place if asked_at is None else asked_at, value)
        for link in self.links:
            if coil and link.coil == place:
                state = int(bool(value) is not link.inverted)
                asyncio.get_running_loop().call_later(link.delay_s, self.discrete.__setitem__, link.discrete, state)


def _written(function: int, pdu: bytes) -> list[int]:
    (value,) = struct.unpack_from(">H", pdu, 3)
    if function == 5:
        if value not in {0, 0xFF00}:
            raise Refusal(_ILLEGAL_VALUE)
        return [int(value == 0xFF00)]
    if function == 6:
        return [value]
    body = pdu[6:]
    if function == 15 and len(body) == (value + 7) // 8:
        return [body[n // 8] >> (n % 8) & 1 for n in range(value)]
    if function == 16 and len(body) == 2 * value:
        return [int.from_bytes(body[2 * n : 2 * n + 2], "big") for n in range(value)]
    raise Refusal(_ILLEGAL_VALUE)


def _packed(bits: Iterable[int]) -> bytes:
    """The first bit is the lowest of the first byte."""
    text = "".join("1" if bit else "0" for bit in bits)
    chunks = [text[n : n + 8] for n in range(0, len(text), 8)]
    return bytes(int(chunk[::-1], 2) for chunk in chunks)


def checksum(data: bytes) -> bytes:
    """CRC-16/MODBUS, bit by bit."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0xA001 * (value & 1))
    return struct.pack("<H", value)


class SimBus:
    """An RS-485 line with devices on it, behind a pseudo-terminal. ``path`` is what the gateway opens."""

    def __init__(self, units: Iterable[SimUnit], path: str = "") -> None:
        """``path`` becomes a symbolic link to the terminal, and stays the same over ``unplug`` and ``plug``."""
        self.units = {unit.unit_id: unit for unit in units}
        self.path = path
        self.log: list[tuple[float, bytes]] = []
        """Every good request seen on the wire, with the loop time of its last byte."""
        self.char_s = 0.0
        """How long a character takes on the wire: 10 / baud for 8N1; 0, and nothing takes any time."""
        self._link = Path(path) if path else None
        self._master = self._slave = -1
        self._heard = b""

    async def __aenter__(self) -> Self:
        self.plug()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.unplug()

    def plug(self) -> None:
        """Put the adapter in."""
        self._master, self._slave = os.openpty()
        tty.setraw(self._master)
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        terminal = os.ttyname(self._slave)
        if self._link is None:
            self.path = terminal
        else:
            self._link.unlink(missing_ok=True)
            self._link.symlink_to(terminal)
        asyncio.get_running_loop().add_reader(self._master, self._hear)

    def unplug(self) -> None:
        """Pull the adapter out: the path is gone and whoever has it open gets an error."""
        if self._master < 0:
            return
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1
        self._heard = b""
        if self._link is not None:
            self._link.unlink(missing_ok=True)

    def speak(self, data: bytes) -> None:
        """Put bytes on the wire, whoever asked or not."""
        if self._master >= 0:
            os.write(self._master, data)

    def _hear(self) -> None:
        try:
            self._heard += os.read(self._master, 4096)
        except OSError:
            return
        while len(self._heard) >= 8:
            size = 9 + self._heard[6] if self._heard[1] in _COUNTED_FUNCTIONS else 8
            if len(self._heard) < size:
                return
            frame = self._heard[:size]
            if checksum(frame[:-2]) != frame[-2:]:
                self._heard = self._heard[1:]
                continue
            self._heard = self._heard[size:]
            if self.char_s:
                asyncio.get_running_loop().call_later(self.char_s * size, self._serve, frame)
            else:
                self._serve(frame)

    def _serve(self, frame: bytes) -> None:
        self.log.append((asyncio.get_running_loop().time(), frame))
        if frame[0] == 0:  # to all: each obeys, nobody answers
            for each in self.units.values():
                if not each.silent:
                    each.answer(frame[1:-2])
            return
        unit = self.units.get(frame[0])
        if unit is None or unit.silent:
            return
        name = unit.unit_id if unit.answers_as is None else unit.answers_as
        said = bytes((name,)) + unit.answer(frame[1:-2])
        packet = unit.noise + said + checksum(said)
        wait = unit.delay_s + self.char_s * (_SILENT_CHARS + len(packet))
        asyncio.get_running_loop().call_later(wait, self.speak, packet)


class SimTcp:
    """A Modbus TCP endpoint, or a gateway with several units behind it, on 127.0.0.1."""

    def __init__(self, units: Iterable[SimUnit], tcp_port: int = 0) -> None:
        """``tcp_port`` 0 takes a free one, kept over ``stop`` and ``start``."""
        self.units = {unit.unit_id: unit for unit in units}
        self.tcp_port = tcp_port or free_port()
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._attend, "127.0.0.1", self.tcp_port)

    async def stop(self) -> None:
        """Hang up on everybody and listen no more."""
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._writers):
                writer.transport.abort()
            self._server = None
            await asyncio.sleep(0)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while True:
                transaction, _, length, name = struct.unpack(">HHHB", await reader.readexactly(7))
                self._serve(writer, transaction, name, await reader.readexactly(length - 1))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def _serve(self, writer: asyncio.StreamWriter, transaction: int, name: int, pdu: bytes) -> None:
        unit = self.units.get(name)
        if unit is None or unit.silent:
            return
        said = unit.answer(pdu)
        name = name if unit.answers_as is None else unit.answers_as
        packet = struct.pack(">HHHB", transaction, 0, len(said) + 1, name) + said
        asyncio.get_running_loop().call_later(unit.delay_s, self._say, writer, unit.noise + packet)

    @staticmethod
    def _say(writer: asyncio.StreamWriter, packet: bytes) -> None:
        if not writer.is_closing():
            writer.write(packet)
