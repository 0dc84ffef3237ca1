"""A broker in the loop itself, for rows on virtual time: it takes what is published, acknowledges it and hands it to a ``Register``.

A broker in a process of its own needs real time for each answer, and virtual time does not wait for it; on a loopback socket of
the same loop every answer is there before the clock moves. The uplink before it is the shipped one. As much of MQTT 3.1.1 as that
one asks for (3.1 to 3.14): no sessions, nothing retained, nothing passed on but what ``say`` is told to.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Self

from gateway.sim.ports import free_port

from .between import PUBLISH, packet_from
from .register import Register

_CONNECT, _SUBSCRIBE, _PING = 1, 8, 12
_CONNACK, _PONG = bytes((0x20, 2, 0, 0)), bytes((0xD0, 0))


class Taker:
    """Listens on ``port`` while the block runs."""

    def __init__(self, register: Register) -> None:
        self.port, self.register = free_port(), register
        self.connections = 0
        """So many came so far."""
        self._lines: set[asyncio.StreamWriter] = set()
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        server = await asyncio.start_server(self._attend, "127.0.0.1", self.port)
        self._stack.callback(server.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        for writer in self._lines:
            writer.transport.abort()
        await self._stack.aclose()

    @property
    def uplink(self) -> str:
        """Lines of a site file, for somebody who tells it."""
        return f'uplinks: {{ street: {{ host: 127.0.0.1, port: {self.port}, protocol: "3.1.1" }} }}\n'

    def say(self, topic: str, body: bytes) -> None:
        """Publish to whoever is connected, at most once (QoS 0)."""
        name = topic.encode()
        content = len(name).to_bytes(2, "big") + name + body
        for writer in self._lines:
            writer.write(bytes((PUBLISH << 4,)) + _length(len(content)) + content)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._lines.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                writer.write(self._answer(await packet_from(reader)))
                await writer.drain()
        self._lines.discard(writer)
        writer.transport.abort()

    def _answer(self, packet: bytes) -> bytes:
        body = memoryview(packet)[1 + next(n for n in itertools.count(1) if not packet[n] & 0x80) :]
        match packet[0] >> 4:
            case kind if kind == _CONNECT:
                return _CONNACK
            case kind if kind == _SUBSCRIBE:
                return bytes((0x90, 2 + _filters(body), *body[:2])) + bytes((1,) * _filters(body))
            case kind if kind == PUBLISH:
                return self._take(packet[0] >> 1 & 3, body)
            case kind if kind == _PING:
                return _PONG
        return b""

    def _take(self, quality: int, body: memoryview) -> bytes:
        length = int.from_bytes(body[:2], "big")
        topic, rest = bytes(body[2 : 2 + length]).decode(), body[2 + length :]
        if topic.endswith("/alerts"):
            self.register.take(bytes(rest[2 if quality else 0 :]))
        self.register.telemetry += "/telemetry/" in topic
        return bytes((0x40, 2, *rest[:2])) if quality else b""


def _filters(body: memoryview) -> int:
    """How many topic filters a SUBSCRIBE names."""
    count, at = 0, 2
    while at < len(body):
        count, at = count + 1, at + 3 + int.from_bytes(body[at : at + 2], "big")
    return count


def _length(n: int) -> bytes:
    """A remaining length (MQTT 3.1.1, 2.2.3)."""
    digits = bytearray()
    while True:
        n, digit = divmod(n, 128)
        digits.append(digit | (0x80 if n else 0))
        if not n:
            return bytes(digits)
