"""One RS-485 line behind a serial port: the only owner of its file descriptor, and one transaction at a time.

Theory. Two rules keep a wrong value away that no frame check can see, because an RTU answer does not say which question it
answers (facts/modbus 0.1: the usual libraries return another register's value, silently, for ever):

* *Silence.* A request leaves only after 3.5 characters of quiet, so devices can tell where a frame begins.
* *Settle.* After a timeout that unit is not addressed again until its late frame was seen or ``SETTLE_S`` passed. A late
  frame teaches the unit's latency (``patience.py``). Other units are served meanwhile.

Only loop time is used, so tests may run on a virtual clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
from collections import defaultdict
from collections.abc import Sequence

import serial
import structlog
from msgspec import Struct

from gateway.drivers.modbus import frames
from gateway.drivers.modbus.frames import Answer, Request
from gateway.drivers.modbus.line import TIMEOUT_MS, Refused, Tally
from gateway.drivers.modbus.patience import Patience
from gateway.faults import DeviceFault
from gateway.site.profile import Space

log = structlog.get_logger()

SETTLE_S = 1.0
"""The slowest answer anybody may believe in (facts/modbus 3: must be at least that; 1 s recommended)."""
SILENCE_FLOOR_S = 0.00175  # Serial Line 2.5.1.1: fixed above 19200 baud
_CHATTER_S = 0.1  # a line that never falls silent is asked all the same: noise may not stop the polling
_PARITY = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}
_READ_BYTES = 4096


class _Owed(Struct):
    """An answer still under way after its timeout."""

    request: Request
    asked_at: float
    until: float


class SerialLine:
    """A ``Line`` over a serial port. ``path`` should be one of /dev/serial/by-path, which survives replugging."""

    def __init__(self, path: str, baud: int = 9600, parity: str = "none", stop_bits: int = 1) -> None:
        self.path, self.baud, self.parity, self.stop_bits = path, baud, parity, stop_bits
        self.char_s = (9 + stop_bits + (parity != "none")) / baud
        self.silence_s = SILENCE_FLOOR_S if baud > 19200 else 3.5 * self.char_s
        self.tally = Tally()
        self._device: serial.Serial | None = None
        self._fd = -1
        self._lock = asyncio.Lock()
        self._buffer = bytearray()
        self._request: Request | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._quiet_from = 0.0
        self._owed: dict[int, _Owed] = {}
        self._patience: defaultdict[int, Patience] = defaultdict(Patience)

    @property
    def connected(self) -> bool:
        return self._device is not None

    async def connect(self) -> None:
        async with self._lock:
            if self._device is None:
                await self._open()

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        opening = loop.run_in_executor(None, self._open_blocking)
        try:
            device = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_opened)
            raise
        except (OSError, ValueError, termios.error) as error:
            raise DeviceFault("port_gone", f"{self.path}: {error}") from error
        self._device, self._fd = device, device.fileno()
        self._buffer.clear()
        self._quiet_from = loop.time() + self.silence_s
        loop.add_reader(self._fd, self._on_bytes)
        self.tally.line.opened += 1
        log.info("port_opened", port=self.path, baud=self.baud)

    def _open_blocking(self) -> serial.Serial:
        device = serial.Serial(
            self.path,
            self.baud,
            parity=_PARITY[self.parity],
            stopbits=self.stop_bits,
            timeout=0,
            exclusive=True,
        )
        os.set_blocking(device.fileno(), False)
        with contextlib.suppress(ValueError, OSError):
            device.set_low_latency_mode(True)  # an FTDI adapter holds short answers back 16 ms else (facts/modbus 4)
        # pyserial sets VMIN 0, where a read of a quiet line looks like one of a pulled line; termios(3).
        attributes = termios.tcgetattr(device.fileno())
        attributes[6][termios.VMIN] = 1
        termios.tcsetattr(device.fileno(), termios.TCSANOW, attributes)
        return device

    async def close(self) -> None:
        if self._device is not None:
            self._let_go("closed")
            log.info("port_closed", port=self.path)

    def free_at(self, unit: int) -> float:
        owed = self._owed.get(unit)
        return owed.until if owed else 0.0

    def timeout_s(self, unit: int, timeout_ms: int) -> float:
        """How long this unit is waited for: what its profile says, or longer where it was seen to need it."""
        return self._patience[unit].timeout_s(timeout_ms / 1000)

    async def read(self, unit: int, space: Space, address: int, count: int, timeout_ms: int = TIMEOUT_MS) -> list[int]:
        body = await self.transact(frames.read_request(unit, space, address, count), timeout_ms)
        if space in {Space.COIL, Space.DISCRETE}:
            return frames.unpack_bits(body, count)
        return [int.from_bytes(body[at : at + 2], "big") for at in range(0, len(body), 2)]

    async def write(
        self, unit: int, space: Space, address: int, value: int | Sequence[int], timeout_ms: int = TIMEOUT_MS
    ) -> None:
        if isinstance(value, int):
            request = frames.write_request(unit, space, address, value)
        else:
            request = frames.write_many_request(unit, space, address, value)
        await self.transact(request, timeout_ms)

    async def transact(self, request: Request, timeout_ms: int = TIMEOUT_MS) -> bytes:
        """Send a request and give back the body of its answer; see ``Line`` for the faults."""
        loop = asyncio.get_running_loop()
        while True:
            # Outside the lock, so that other units are served while this one settles.
            await asyncio.sleep(max(0.0, self.free_at(request.unit) - loop.time()))
            async with self._lock:
                if self.free_at(request.unit) > loop.time():
                    continue
                return await self._exchange(request, timeout_ms)

    async def _exchange(self, request: Request, timeout_ms: int) -> bytes:
        self._owed.pop(request.unit, None)
        await self._silence()
        self._send(request)
        self.tally.add(request.unit, "requests")
        wait = self.timeout_s(request.unit, timeout_ms) + (len(request.frame) + request.size) * self.char_s
        return await self._await_answer(request, asyncio.get_running_loop().time(), wait)

    async def _silence(self) -> None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + _CHATTER_S
        while (wait := min(self._quiet_from, give_up) - loop.time()) > 0:  # noqa: ASYNC110 - time itself is waited for
            await asyncio.sleep(wait)

    def _send(self, request: Request) -> None:
        """Clear what lies about, then hand the frame to the driver whole."""
        if self._device is not None:
            self._on_bytes()
        if self._device is None:
            raise DeviceFault("port_gone", self.path)
        self._discard(len(self._buffer), request.unit)
        try:
            sent = os.write(self._fd, request.frame)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(str(error))
            raise DeviceFault("port_gone", f"{self.path}: {error}") from error
        if sent < len(request.frame):
            with contextlib.suppress(termios.error):
                termios.tcflush(self._fd, termios.TCOFLUSH)
            raise DeviceFault("timeout", f"{self.path} takes no bytes")
        self._quiet_from = asyncio.get_running_loop().time() + sent * self.char_s + self.silence_s
        self._request, self._answer = request, asyncio.get_running_loop().create_future()

    async def _await_answer(self, request: Request, asked_at: float, wait: float) -> bytes:
        answer = self._answer
        if answer is None:  # pragma: no cover - _send made it
            raise DeviceFault("port_gone", self.path)
        try:
            await asyncio.wait((answer,), timeout=wait)
            found = answer.result() if answer.done() else self._last_look(request)
        except asyncio.CancelledError:
            self._owe(request, asked_at)
            raise
        finally:
            self._request = self._answer = None
        if found is None:
            raise self._missed(request, asked_at)
        self._patience[request.unit].answered(asyncio.get_running_loop().time() - asked_at)
        if found.exception is not None:
            self.tally.add(request.unit, "exceptions")
            raise Refused(found.exception)
        self.tally.add(request.unit, "answers")
        return found.body

    def _last_look(self, request: Request) -> Answer | None:
        found = frames.search(bytes(self._buffer), request, final=True)
        if found:
            self._take(found, request)
        return found

    def _missed(self, request: Request, asked_at: float) -> DeviceFault:
        """No answer in time. Where it came damaged nothing is under way any more, and the unit may be asked again."""
        damaged = self._discard(len(self._buffer), request.unit, request)
        self.tally.add(request.unit, "timeouts")
        if damaged:
            return DeviceFault("bad_crc", f"unit {request.unit}")
        self._patience[request.unit].missed()
        self._owe(request, asked_at)
        return DeviceFault("timeout", f"unit {request.unit}")

    def _owe(self, request: Request, asked_at: float) -> None:
        self._owed[request.unit] = _Owed(request, asked_at, asyncio.get_running_loop().time() + SETTLE_S)

    def _on_bytes(self) -> None:
        """The line has bytes, or has gone."""
        try:
            chunk = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(str(error))
            return
        if not chunk:
            # With VMIN 1 a quiet port raises instead: readable but empty means pulled.
            self._lose("hung up")
            return
        self._quiet_from = max(self._quiet_from, asyncio.get_running_loop().time() + self.silence_s)
        self._buffer += chunk
        self._settle()
        if self._request is not None and self._answer is not None and not self._answer.done():
            found = frames.search(bytes(self._buffer), self._request)
            if found:
                self._take(found, self._request)
                self._answer.set_result(found)
        elif len(self._buffer) > frames.MAX_FRAME:
            self._discard(len(self._buffer) - frames.MAX_FRAME)

    def _take(self, found: Answer, request: Request) -> None:
        """Cut the answer out of the buffer, counting what lay before it."""
        self._discard(found.start, request.unit)
        del self._buffer[: found.end - found.start]

    def _settle(self) -> None:
        """Late answers among what came: they free their unit and teach its latency, and are nobody's value."""
        now = asyncio.get_running_loop().time()
        for unit, owed in list(self._owed.items()):
            found = frames.search(bytes(self._buffer), owed.request)
            if found is None or (self._request is not None and self._request.unit == unit):
                continue
            del self._buffer[found.start : found.end]
            del self._owed[unit]
            self.tally.add(unit, "late")
            self._patience[unit].late(now - owed.asked_at)
            log.info("answer_came_late", port=self.path, unit_id=unit, after_ms=round((now - owed.asked_at) * 1000))

    def _discard(self, size: int, unit: int | None = None, request: Request | None = None) -> bool:
        """Drop the first bytes of the buffer, counted; True where our own answer lay there, damaged."""
        junk = frames.weigh(bytes(self._buffer[:size]), request)
        del self._buffer[:size]
        for name in ("noise_bytes", "foreign_frames", "crc_errors"):
            count = getattr(junk, name)
            if count and unit is not None:
                self.tally.add(unit, name, count)
            elif count:
                setattr(self.tally.line, name, getattr(self.tally.line, name) + count)
        return junk.crc_errors > 0

    def _lose(self, why: str) -> None:
        """The port has gone by itself."""
        if self._device is None:
            return
        self.tally.line.lost += 1
        log.warning("port_lost", port=self.path, why=why)
        self._let_go(why)

    def _let_go(self, why: str) -> None:
        """Give the port back; whoever waits is told at once."""
        asyncio.get_running_loop().remove_reader(self._fd)
        device, self._device, self._fd = self._device, None, -1
        if device is not None:
            with contextlib.suppress(OSError, termios.error):
                device.close()
        self._buffer.clear()
        if self._request is not None:
            # A quick return of the port must not let its answer in as another's.
            self._owe(self._request, asyncio.get_running_loop().time())
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(DeviceFault("port_gone", f"{self.path}: {why}"))


def _close_opened(opening: asyncio.Future[serial.Serial]) -> None:
    """Nobody waits for the port any more: let it go."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
