"""A TCP connection as a wire: bytes to a converter or to a Modbus TCP device, whichever framing is spoken over it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

import structlog

from gateway.drivers.modbus.babble import BABBLES, TURN_BYTES, Babble
from gateway.drivers.modbus.wire import Hear, Lost
from gateway.faults import DeviceFault
from gateway.lookup import Lookup

log = structlog.get_logger()

CONNECT_S = 2.0  # the poller tries again every second; back within 3 s of its return
_KEEPALIVE_IDLE_S, _KEEPALIVE_EVERY_S, _KEEPALIVE_TIMES = 10, 5, 3
"""A peer that lost its power is found out within 25 s even while nothing is asked."""
_MOST_UNSENT = 8_192  # bytes the peer has not taken yet: beyond that it is stuck


class Connection(asyncio.BufferedProtocol):
    """One established connection, ours or the peer's doing. Its own small buffer bounds what one turn of the loop reads."""

    def __init__(self, hear: Hear, lost: Lost) -> None:
        self.hear, self.lost = hear, lost
        self.transport: asyncio.Transport | None = None
        self._incoming = memoryview(bytearray(TURN_BYTES))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio gives stream protocols nothing else
        self.transport = transport
        settle_socket(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._incoming

    def buffer_updated(self, nbytes: int) -> None:
        self.hear(bytes(self._incoming[:nbytes]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.lost(str(exc) if exc else "hung up")

    def send(self, data: bytes, name: str) -> None:
        """Write it whole; a peer that takes nothing any more is a timeout."""
        if self.transport is None or self.transport.is_closing():
            raise DeviceFault("port_gone", name)
        if self.transport.get_write_buffer_size() > _MOST_UNSENT:
            raise DeviceFault("timeout", f"{name} takes no bytes")
        self.transport.write(data)

    def drop(self) -> None:
        """Hang up and hear no more of it."""
        self.hear = self.lost = _nobody
        if self.transport is not None:
            self.transport.abort()
            self.transport = None


def settle_socket(transport: asyncio.Transport) -> None:
    """Small packets leave at once, and a peer that vanished is noticed."""
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_EVERY_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_TIMES)


class TcpWire:
    """A ``Wire`` over a TCP connection that we open."""

    dials = True

    def __init__(self, host: str, tcp_port: int, baud: int = 0, char_s: float = 0.0) -> None:
        """``baud`` and ``char_s`` of the RS-485 line behind a converter; 0 where there is none."""
        self.name, self.baud, self.char_s = f"{host}:{tcp_port}", baud, char_s
        self._tcp_port = tcp_port
        self._connection: Connection | None = None
        self._lookup = Lookup(host, tcp_port)
        self._babble = Babble(char_s)

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    async def open(self, hear: Hear, lost: Lost) -> None:
        def gone(why: str) -> None:
            self._connection = None
            lost(why)
            log.warning("port_lost", port=self.name, why=why)

        def heard(data: bytes) -> None:
            if self._babble.heard(len(data), loop.time()):
                hear(data)
            elif self._connection is not None:
                self._connection.drop()
                gone(BABBLES)

        loop = asyncio.get_running_loop()
        if self._babble.rests(loop.time()):
            raise DeviceFault(BABBLES, self.name)
        try:
            async with asyncio.timeout(CONNECT_S):
                connection = await self._dial(lambda: Connection(heard, gone))
        except (OSError, TimeoutError) as error:
            raise DeviceFault("port_gone", f"{self.name}: {str(error) or 'no answer'}") from error
        if connection.transport is None:
            raise DeviceFault("port_gone", f"{self.name}: hung up")
        self._connection = connection
        log.info("port_opened", port=self.name)

    async def _dial(self, make: Callable[[], Connection]) -> Connection:
        """Each address has its share of the time: one that leads nowhere must not keep the others from being tried."""
        refused = OSError("no address")
        addresses = await self._lookup.addresses()
        for address in addresses:
            try:
                async with asyncio.timeout(CONNECT_S / len(addresses)):
                    return (await asyncio.get_running_loop().create_connection(make, address, self._tcp_port))[1]
            except OSError as error:  # a TimeoutError is one
                refused = error
        raise refused

    def glance(self) -> None:
        """The event loop hands everything up by itself."""

    def send(self, data: bytes) -> None:
        if self._connection is None:
            raise DeviceFault("port_gone", self.name)
        self._babble.asked()
        self._connection.send(data, self.name)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.drop()
            self._connection = None
            log.info("port_closed", port=self.name)

    def end(self) -> None:
        self.close()


def _nobody(_: object) -> None:
    pass
