"""One Modbus TCP endpoint, through pymodbus, with its traps kept here (facts/modbus 3).

pymodbus takes any well-formed answer of the unit: another function, another count, a transaction id of 0. It raises from
inside asyncio's callbacks at a malformed one, waits out its timeout when the peer hangs up, and does not try again when the
peer was absent at first. So every frame is looked at before pymodbus sees it, its retries and reconnects are off, and a
request that was given up takes its connection with it, so that nothing late can arrive.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import structlog
from msgspec import Struct
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from gateway.drivers.modbus.frames import (
    EXCEPTION_BIT,
    READ_FUNCTION,
    WRITE_MANY,
    WRITE_ONE,
    read_request,
    write_many_request,
    write_request,
)
from gateway.drivers.modbus.line import TIMEOUT_MS, Refused, Tally
from gateway.faults import DeviceFault
from gateway.site.profile import Space

log = structlog.get_logger()

_CONNECT_S = 2.0  # the poller tries again every two seconds at most
_MISSES_TO_RECONNECT = 3  # a peer that takes connections and never answers may have half-open ones
_HEADER = 7  # Modbus Messaging on TCP/IP 1.0b 3.1.3: transaction, protocol, length, unit
_MAX_LENGTH = 254  # the same: unit and PDU
_GATEWAY_EXCEPTIONS = {10, 11}  # Application Protocol 7: the gateway answers for a unit that does not
_BITS = {Space.COIL, Space.DISCRETE}


class _Asked(Struct):
    """The question that is out, for the look at what comes back."""

    unit: int
    function: int
    byte_count: int | None
    """None for a write."""
    failed: asyncio.Future[None]
    transaction: bytes = b""


class TcpLine:
    """A ``Line`` over Modbus TCP."""

    def __init__(self, host: str, tcp_port: int = 502) -> None:
        self.host, self.tcp_port = host, tcp_port
        self.tally = Tally()
        self._client: AsyncModbusTcpClient | None = None
        self._lock = asyncio.Lock()
        self._asked: _Asked | None = None
        self._misses = 0

    @property
    def connected(self) -> bool:
        return self._client is not None and self._client.connected

    async def connect(self) -> None:
        async with self._lock:
            if not self.connected:
                await self._connect()

    async def _connect(self) -> None:
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # its warnings are our counters
        self._drop("reconnecting")
        client = AsyncModbusTcpClient(
            self.host,
            port=self.tcp_port,
            timeout=_CONNECT_S,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._look,
            trace_connect=self._on_connection,
        )
        try:
            reached = await client.connect()
        except asyncio.CancelledError:
            client.close()
            raise
        except (OSError, ModbusException) as error:
            raise DeviceFault("port_gone", f"{self.host}:{self.tcp_port}: {error}") from error
        if not reached:
            client.close()
            raise DeviceFault("port_gone", f"{self.host}:{self.tcp_port}")
        # It counts silent requests and closes by itself after three; that is the poller's decision.
        client.set_max_no_responses(1_000_000)
        self._client, self._misses = client, 0
        self.tally.line.opened += 1
        log.info("port_opened", host=self.host, tcp_port=self.tcp_port)

    async def close(self) -> None:
        self._drop("closed")

    def free_at(self, unit: int) -> float:
        """At once: the transaction id tells late answers apart."""
        del unit
        return 0.0

    async def read(self, unit: int, space: Space, address: int, count: int, timeout_ms: int = TIMEOUT_MS) -> list[int]:
        size = -(-count // 8) if space in _BITS else 2 * count
        read_request(unit, space, address, count)  # raises where no frame can say it, as on a serial line

        def ask(client: AsyncModbusTcpClient) -> Awaitable[ModbusPDU]:
            read = {
                Space.COIL: client.read_coils,
                Space.DISCRETE: client.read_discrete_inputs,
                Space.HOLDING: client.read_holding_registers,
                Space.INPUT: client.read_input_registers,
            }[space]
            return read(address, count=count, device_id=unit)

        answer = await self._transact(unit, READ_FUNCTION[space], size, ask, timeout_ms)
        words = [int(bit) for bit in answer.bits[:count]] if space in _BITS else list(answer.registers)
        if len(words) != count:
            raise self._wrong(unit, f"{len(words)} of {count} words")
        return words

    async def write(
        self, unit: int, space: Space, address: int, value: int | Sequence[int], timeout_ms: int = TIMEOUT_MS
    ) -> None:
        one = isinstance(value, int)
        if isinstance(value, int):
            write_request(unit, space, address, value)
        else:
            write_many_request(unit, space, address, value)

        def ask(client: AsyncModbusTcpClient) -> Awaitable[ModbusPDU]:
            if isinstance(value, int):
                if space is Space.COIL:
                    return client.write_coil(address, bool(value), device_id=unit)
                return client.write_register(address, value, device_id=unit)
            if space is Space.COIL:
                return client.write_coils(address, [bool(bit) for bit in value], device_id=unit)
            return client.write_registers(address, list(value), device_id=unit)

        await self._transact(unit, (WRITE_ONE if one else WRITE_MANY)[space], None, ask, timeout_ms)

    async def _transact(
        self,
        unit: int,
        function: int,
        byte_count: int | None,
        ask: Callable[[AsyncModbusTcpClient], Awaitable[ModbusPDU]],
        timeout_ms: int,
    ) -> ModbusPDU:
        async with self._lock:
            if self._client is None or not self._client.connected:
                raise DeviceFault("port_gone", f"{self.host}:{self.tcp_port}")
            failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._asked = _Asked(unit, function, byte_count, failed)
            self.tally.add(unit, "requests")
            answering = asyncio.ensure_future(ask(self._client))
            try:
                await asyncio.wait((answering, failed), timeout=timeout_ms / 1000, return_when=asyncio.FIRST_COMPLETED)
                return self._judge(unit, function, answering, failed)
            except asyncio.CancelledError:
                self._drop("given up")
                raise
            finally:
                self._asked = None
                await _end(answering, failed)

    def _judge(
        self, unit: int, function: int, answering: asyncio.Future[ModbusPDU], failed: asyncio.Future[None]
    ) -> ModbusPDU:
        if failed.done():
            failed.result()
        if not answering.done():
            self.tally.add(unit, "timeouts")
            self._misses += 1
            if self._misses >= _MISSES_TO_RECONNECT:
                self._drop("silent")
            raise DeviceFault("timeout", f"unit {unit}")
        try:
            answer = answering.result()
        except (ModbusException, OSError) as error:
            raise DeviceFault("port_gone", str(error)) from error
        self._misses = 0
        if isinstance(answer, ExceptionResponse):
            self.tally.add(unit, "exceptions")
            if answer.exception_code in _GATEWAY_EXCEPTIONS:
                raise DeviceFault("timeout", f"unit {unit}: exception {answer.exception_code} of the gateway")
            raise Refused(answer.exception_code)
        if answer.function_code != function or answer.dev_id != unit:
            raise self._wrong(unit, f"function {answer.function_code} of unit {answer.dev_id}")
        self.tally.add(unit, "answers")
        return answer

    def _wrong(self, unit: int, detail: str) -> DeviceFault:
        self.tally.add(unit, "wrong")
        return DeviceFault("wrong_answer", detail)

    def _look(self, sending: bool, data: bytes) -> bytes:
        """Every packet before it is sent, and everything received before pymodbus parses it."""
        asked = self._asked
        if sending:
            if asked is not None:
                asked.transaction = data[:2]
            return data
        fault = _fault_in(data, asked)
        if fault and asked is not None and not asked.failed.done():
            asked.failed.set_exception(self._wrong(asked.unit, fault))
        return b"" if fault else data

    def _on_connection(self, connected: bool) -> None:
        if not connected:
            self.tally.line.lost += 1
            if self._asked is not None and not self._asked.failed.done():
                self._asked.failed.set_exception(DeviceFault("port_gone", f"{self.host}:{self.tcp_port} hung up"))

    def _drop(self, why: str) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()
            log.info("port_closed", host=self.host, tcp_port=self.tcp_port, why=why)
        if self._asked is not None and not self._asked.failed.done():
            self._asked.failed.set_exception(DeviceFault("port_gone", why))


def _fault_in(data: bytes, asked: _Asked | None) -> str:
    """Why the frames received so far cannot be passed on; empty where they can."""
    at = 0
    while len(data) - at >= _HEADER + 1:
        transaction, length = data[at : at + 2], int.from_bytes(data[at + 4 : at + 6], "big")
        if data[at + 2 : at + 4] != b"\0\0" or not 2 <= length <= _MAX_LENGTH:
            return "no Modbus TCP"
        frame = data[at + 6 : at + 6 + length]
        if len(frame) < length:
            return ""
        if asked is None or transaction == b"\0\0":
            return "an answer to no question"
        if transaction == asked.transaction and not _fits(frame, asked):
            return f"unit {frame[0]}, function {frame[1]}, {length} bytes"
        at += 6 + length
    return ""


def _fits(frame: bytes, asked: _Asked) -> bool:
    """Whether unit and PDU have the shape of an answer to the question (a write echoes four bytes)."""
    if frame[0] != asked.unit:
        return False
    if frame[1] == asked.function | EXCEPTION_BIT:
        return len(frame) == 3
    if frame[1] != asked.function:
        return False
    if asked.byte_count is None:
        return len(frame) == 6
    return len(frame) == 3 + asked.byte_count and frame[2] == asked.byte_count


async def _end(answering: asyncio.Future[ModbusPDU], failed: asyncio.Future[None]) -> None:
    """Leaves no request of pymodbus behind that could hold its lock, and no error that nobody looked at."""
    failed.cancel()
    if not answering.done():
        answering.cancel()
        await asyncio.wait((answering,))
    for future in (answering, failed):
        if not future.cancelled():
            future.exception()
