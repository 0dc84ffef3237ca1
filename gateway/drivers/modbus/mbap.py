"""Modbus TCP framing over whatever wire leads to the device: MBAP headers, and several questions under way where it takes them.

Theory. The transaction id tells which question an answer belongs to. But cheap gateways to an RS-485 line stamp whatever comes from it with
the id of the newest request, so a late answer would be the value of the next question. So the settle rule of a cable holds here, too
(``owing.py``), also where a profile says that several questions may be under way: who says so has not seen what stands before the device on
site. And of questions whose answers look alike one is under way at a time. An honest device is owed nothing any more once its late answer
has come under its own id. What comes under another question's id, and is the answer that somebody else is owed, leaves that question open.
A gateway that gave up a unit and says so (exception 11) takes what that unit says later for the answer to what it asks by then, under that
one's id, however honest it is: the unit owes its answer still. So no id, and no shape that several blocks share, proves that what is owed
can come no more, and those are waited for as long as on a cable.

The frames themselves are believed no more than on a cable: unit, function and length must be those asked for (facts/modbus 0.2).
A stream that lost its framing is hung up on, for nothing behind the damage can be trusted.

Own code and not pymodbus for its cost, and because that takes no connection that a device opens (docs/decisions/0010).
Source: Modbus Messaging on TCP/IP Implementation Guide 1.0b.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque

import structlog
from msgspec import Struct

from gateway.drivers.modbus.babble import BABBLES
from gateway.drivers.modbus.frames import EXCEPTION_BIT, Request, read_request
from gateway.drivers.modbus.line import TIMEOUT_MS, Asking, Question, Refused, Tally, line_gone
from gateway.drivers.modbus.owing import Owing
from gateway.drivers.modbus.rtu import Behind
from gateway.drivers.modbus.wire import Wire
from gateway.faults import DeviceFault

log = structlog.get_logger()

_HEADER = struct.Struct(">HHH")  # 3.1.3: transaction, protocol, length; the unit follows
_MAX_LENGTH = 254  # the same: unit and PDU
_GATEWAY_EXCEPTIONS = {10, 11}  # Application Protocol 7: the gateway answers for a unit that does not
_MISSES_TO_RECONNECT = 3  # a peer that takes connections and never answers may have half-open ones
_SILENT_S = 3.0  # one that did answer is given that long: a few dead units in a row must not cost the others the line
_LATE_KEPT = 64  # questions given up whose answers are still counted as late
_TURNAROUND_S = 0.2  # Serial Line 2.4.1, for the line behind a gateway
_INSTANT_S = 1e-6  # a timer of the loop fires up to its clock's resolution early


class _Asked(Struct, eq=False):
    request: Request
    asked_at: float
    credible_s: float
    """The slowest answer that its profile allows."""
    until: float
    """So long it is waited for."""
    answer: asyncio.Future[bytes | None]
    """None: its time is over."""


class MbapLine(Asking):
    """A ``Line`` in Modbus TCP framing."""

    def __init__(
        self,
        wire: Wire,
        *,
        outstanding: int = 1,
        latency_s: float = 0.0,
        turnaround_s: float = _TURNAROUND_S,
        behind: Behind | None = None,
    ) -> None:
        """``outstanding``: questions that may be under way at once. ``behind``: what a line before this one knew of the same units."""
        behind = behind or Behind()
        self.wire, self.tally, self.dials = wire, Tally(), wire.dials
        self.outstanding = outstanding
        self._latency_s, self._turnaround_s = latency_s, turnaround_s
        self._room = asyncio.Semaphore(outstanding)
        self._connecting = asyncio.Lock()
        self._buffer = bytearray()
        self._transaction = 0
        self._asked: dict[int, _Asked] = {}
        self._given_up: deque[tuple[int, _Asked]] = deque(maxlen=_LATE_KEPT)
        """By transaction."""
        self._owing, self._patience = behind.owing, behind.patience
        self._misses = 0
        self._heard_at = float("-inf")
        """When this connection last brought anything."""
        self._bell: asyncio.TimerHandle | None = None
        """Rings when the first of those that are waited for may have waited long enough, or before."""

    @property
    def connected(self) -> bool:
        return self.wire.is_open

    async def connect(self) -> None:
        async with self._connecting:
            if not self.wire.is_open:
                self._forget()
                await self.wire.open(self._on_bytes, self._on_lost)
                self._misses, self._heard_at = 0, float("-inf")
                self.tally.line.opened += 1

    async def close(self) -> None:
        self._drop("closed")

    async def end(self) -> None:
        self._drop("closed")
        self.wire.end()

    def pace(self, unit: int, gap_s: float) -> None:
        """There is no line to be quiet; what a device needs is its ``guard``."""

    def free_at(self, unit: int, *, to_read: bool = True, question: Question | None = None) -> float:
        owing = self._owing.get(unit)
        if not owing:
            return 0.0
        request = None if question is None else read_request(unit, *question)
        return owing.free_at(request, to_read=to_read)

    async def send(self, request: Request, timeout_ms: int = TIMEOUT_MS, *, patient: bool = False) -> bytes:
        while True:
            # Outside the room, so that other units are served while this one settles.
            if (wait := self._settled_in(request)) > 0:
                await asyncio.sleep(wait)
            if (alike := self._alike(request)) is not None:
                await asyncio.wait({alike.answer})
            async with self._room:
                if self._settled_in(request) <= _INSTANT_S and self._alike(request) is None:
                    return await self._exchange(request, timeout_ms, patient=patient or not request.reads)

    def _settled_in(self, request: Request) -> float:
        owing = self._owing.get(request.unit)
        return owing.free_at(request, to_read=request.reads) - asyncio.get_running_loop().time() if owing else 0.0

    def _alike(self, request: Request) -> _Asked | None:
        """Another question under way whose answer would be taken for the answer to this."""
        under_way = (asked for asked in self._asked.values() if not asked.answer.done() or asked.answer.cancelled())
        return next((asked for asked in under_way if asked.request.resembles(request)), None)

    async def _exchange(self, request: Request, timeout_ms: int, *, patient: bool) -> bytes:
        patience = self._patience[request.unit]
        wait_s = patience.timeout_s(timeout_ms / 1000, patient=patient) + self._latency_s
        asked = self._put(request, timeout_ms / 1000, wait_s)
        self._ring_by(asked.until)
        try:
            frame = await asked.answer
        except asyncio.CancelledError:
            self._give_up(asked)
            raise
        if frame is not None:
            return self._judged(asked, frame)
        patience.missed()
        self._misses += 1
        self.tally.add(request.unit, "timeouts")
        silent = asyncio.get_running_loop().time() - self._heard_at >= _SILENT_S
        if silent and self._misses >= _MISSES_TO_RECONNECT * self.outstanding and self.dials:
            self._drop("silent")
        raise DeviceFault("timeout", f"unit {request.unit}")

    def _ring_by(self, until: float) -> None:
        """One timer for all questions: one for each, made and cancelled, cost a tenth of what a poller does for it."""
        if self._bell is None or self._bell.when() > until:
            if self._bell is not None:
                self._bell.cancel()
            self._bell = asyncio.get_running_loop().call_at(until, self._ring)

    def _ring(self) -> None:
        """Give up on whoever was waited for long enough, and ring again for the next."""
        self._bell, now = None, asyncio.get_running_loop().time()
        waiting = [asked for asked in self._asked.values() if not asked.answer.done()]
        for asked in waiting:
            if asked.until <= now + _INSTANT_S:
                self._give_up(asked)  # at once, lest somebody asks its like before the one who waited is told
                asked.answer.set_result(None)
        later = [asked.until for asked in waiting if not asked.answer.done()]
        if later:
            self._ring_by(min(later))

    async def broadcast(self, request: Request) -> None:
        async with self._room:
            asked = self._put(request, 0.0, 0.0)
            asked.answer.cancel()
            self.tally.line.broadcasts += 1
            await asyncio.sleep(self._turnaround_s)
            self._withdraw(asked)

    def _put(self, request: Request, credible_s: float, wait_s: float) -> _Asked:
        """Send it under the next transaction id (never 0: some devices answer that to everything)."""
        self._transaction = self._transaction % 0xFFFF + 1
        loop = asyncio.get_running_loop()
        now = loop.time()
        asked = _Asked(request, now, credible_s, now + wait_s, loop.create_future())
        if owing := self._owing.get(request.unit):
            owing.forget(asked.asked_at)
        # The frame without its CRC is unit and PDU.
        self.wire.send(_HEADER.pack(self._transaction, 0, len(request.frame) - 2) + request.frame[:-2])
        self._asked[self._transaction] = asked
        self.tally.asked(request.unit)
        return asked

    def _withdraw(self, asked: _Asked) -> None:
        for transaction, other in self._asked.items():
            if other is asked:
                del self._asked[transaction]
                self._given_up.append((transaction, asked))
                return

    def _give_up(self, asked: _Asked) -> None:
        """Nobody waits for it any more, and its answer may still come."""
        self._withdraw(asked)
        self._owe(asked)

    def _owe(self, asked: _Asked) -> None:
        now, owing = asyncio.get_running_loop().time(), self._owing[asked.request.unit]
        owing.missed(asked.request, asked.asked_at, now, asked.credible_s, self._latency_s)

    def _judged(self, asked: _Asked, frame: bytes) -> bytes:
        """The body of an answer whose unit, function and length are right."""
        request, self._misses = asked.request, 0
        took_s = self._took(asked.asked_at)
        if not _gives_up(frame) and (owing := self._owing.get(request.unit)):
            owing.answered(request, asked.asked_at, self._latency_s)
        self._patience[request.unit].answered(took_s)  # of a gateway, too: it asks nobody else meanwhile
        self.tally.latencies[request.unit].add(took_s)
        if frame[1] == request.function:
            self.tally.answered(request.unit)
            return frame[len(request.head) :]
        self.tally.add(request.unit, "exceptions")
        if _gives_up(frame):
            raise DeviceFault("timeout", f"unit {request.unit}: exception {frame[2]} of the gateway")
        raise Refused(frame[2])

    def _took(self, asked_at: float) -> float:
        return max(0.0, asyncio.get_running_loop().time() - asked_at - self._latency_s)

    def _on_bytes(self, chunk: bytes) -> None:
        buffer, self._heard_at = self._buffer, asyncio.get_running_loop().time()
        buffer += chunk
        at, size = 0, len(buffer)
        while size - at >= _HEADER.size:
            transaction, protocol, length = _HEADER.unpack_from(buffer, at)
            if protocol or not 2 <= length <= _MAX_LENGTH:
                self._derailed()
                return
            end = at + _HEADER.size + length
            if end > size:
                break
            self._hand_over(transaction, bytes(buffer[at + _HEADER.size : end]))
            at = end
        del buffer[:at]

    def _hand_over(self, transaction: int, frame: bytes) -> None:
        asked = self._asked.get(transaction)
        if asked is None:
            self._unasked(transaction, frame)
        elif asked.answer.done():
            self._take_owed(frame)  # else a broadcast that somebody answers
        elif _fits(frame, asked.request):
            del self._asked[transaction]
            if _gives_up(frame):
                self._owe(asked)
            asked.answer.set_result(frame)
        elif not self._take_owed(frame):
            if frame[:2] != asked.request.head[:2]:
                self._owe(asked)  # that was no answer to it, and the true one may still come
            del self._asked[transaction]
            self._refuse(asked, f"unit {frame[0]}, function {frame[1]}, {len(frame)} bytes")

    def _unasked(self, transaction: int, frame: bytes) -> None:
        """Late, or nobody's. A device that answers under no transaction at all can never be heard: it is told so."""
        for given_up, asked in self._given_up:
            if given_up == transaction and _fits(frame, asked.request):
                self._came_late(asked.request, asked.asked_at, pays=not _gives_up(frame))
                return
        if self._take_owed(frame):
            return
        self.tally.line.foreign_frames += 1
        if transaction == 0:
            self._fail("an answer to no question")

    def _take_owed(self, frame: bytes) -> bool:
        """Whether it is an answer that is owed, under another question's id. A refusal says not of what, so it pays nothing."""
        for debt in self._owing.get(frame[0], ()):
            if len(frame) == debt.request.size - 2 and frame.startswith(debt.request.head):
                self._came_late(debt.request, debt.asked[0])
                return True
        return False

    def _came_late(self, request: Request, asked_at: float, *, pays: bool = True) -> None:
        self.tally.add(request.unit, "late")
        self._patience[request.unit].late(self._took(asked_at))
        owing = self._owing.get(request.unit, Owing())
        for debt in owing if pays else ():
            if debt.request.frame == request.frame:
                owing.paid(debt)

    def _derailed(self) -> None:
        """What comes is no Modbus TCP."""
        self._fail("no Modbus TCP")
        self._drop("no Modbus TCP")

    def _fail(self, detail: str) -> None:
        for asked in tuple(self._asked.values()):
            self._refuse(asked, detail)

    def _refuse(self, asked: _Asked, detail: str) -> None:
        if not asked.answer.done():
            self.tally.add(asked.request.unit, "wrong")
            asked.answer.set_exception(DeviceFault("wrong_answer", detail))

    def _on_lost(self, why: str) -> None:
        self.tally.line.lost += 1
        self.tally.line.babbled += why == BABBLES
        self._give_back(why)

    def _drop(self, why: str) -> None:
        self.wire.close()
        self._give_back(why)

    def _give_back(self, why: str) -> None:
        """Whoever waits is told at once."""
        for asked in self._asked.values():
            if not asked.answer.done():
                self._owe(asked)
                asked.answer.set_exception(line_gone(self.wire.name, why))
        self._forget()

    def _forget(self) -> None:
        self._buffer.clear()
        self._asked.clear()
        self._given_up.clear()


def _gives_up(frame: bytes) -> bool:
    """Whether it is a gateway's word that a unit has not answered in the gateway's own time."""
    return bool(frame[1] & EXCEPTION_BIT) and frame[2] in _GATEWAY_EXCEPTIONS


def _fits(frame: bytes, request: Request) -> bool:
    """Whether unit and PDU have the shape of an answer to the question."""
    if len(frame) == request.size - 2 and frame.startswith(request.head):
        return True
    return len(frame) == 3 and frame[0] == request.unit and frame[1] == request.function | EXCEPTION_BIT
