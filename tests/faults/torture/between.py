"""Something that stands between the gateway and its broker: it counts MQTT packets, and can be told to fail.

It looks at no more of MQTT than the fixed header (MQTT 5, 2.1): type and length.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Self

from gateway.sim.ports import free_port

PUBLISH, PUBACK = 3, 4
_CHUNK = 256


class Between:
    """A TCP line from a port of its own to the broker's; an async context manager.

    ``cut`` is asked of each packet (from the gateway?, type, bytes) and answers how many bytes of it still pass before the line is
    reset, or None to let it pass whole.
    """

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        self.port, self._target, self.tls = free_port(), target, tls
        self.swallowing = False
        self.bytes_per_s: float | None = None
        self.cut: Callable[[bool, int, bytes], int | None] = lambda *_: None
        self.resets = 0
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._attend, "127.0.0.1", self.port, ssl=self.tls)

    async def close(self) -> None:
        """Nobody listens here any more, and open lines are reset."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()

    def reset(self) -> None:
        """Every open line, with RST."""
        for writer in list(self._lines):
            self._reset(writer)

    def _reset(self, writer: asyncio.StreamWriter) -> None:
        raw = writer.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            self._reset(writer)
            return
        ends = {writer, their_writer}
        self._lines |= ends
        try:
            both = (self._pass(reader, their_writer, up=True), self._pass(their_reader, writer, up=False))
            pumps = [asyncio.ensure_future(pump) for pump in both]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            self._lines -= ends
            for end in ends:
                self._reset(end)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                packet = await packet_from(reader)
                while self.swallowing:
                    await asyncio.sleep(3600)
                passes = self.cut(up, packet[0] >> 4, packet)
                await self._send(writer, packet if passes is None else packet[:passes])
                if passes is not None:
                    self.resets += 1
                    return

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if self.bytes_per_s is None:
            writer.write(data)
        else:
            for at in range(0, len(data), _CHUNK):
                writer.write(data[at : at + _CHUNK])
                await asyncio.sleep(len(data[at : at + _CHUNK]) / self.bytes_per_s)
        await writer.drain()


async def packet_from(reader: asyncio.StreamReader) -> bytes:
    """The next whole MQTT packet. Raises ``asyncio.IncompleteReadError`` where the line ends."""
    head = await reader.readexactly(1)
    length, shift = 0, 0
    while True:
        more = await reader.readexactly(1)
        head += more
        length |= (more[0] & 0x7F) << shift
        shift += 7
        if not more[0] & 0x80:
            return head + await reader.readexactly(length)
