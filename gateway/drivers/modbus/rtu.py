"""One RS-485 line in RTU framing, over whatever wire leads to it: one transaction at a time, and never a wrong value.

Theory. Two rules keep a wrong value away that no frame check can see, because an RTU answer does not say which question it
answers (facts/modbus 0.1: the usual libraries return another register's value, silently, for ever):

* *Silence.* A request leaves only after 3.5 characters of quiet, so devices can tell where a frame begins.
* *Settle.* After a timeout that unit is not read again until its late frame was seen or can no longer come (``owing.py``). A
  late frame teaches the unit's latency (``patience.py``). Other units are served meanwhile, and writes wait for no late value.
  (And a unit that says everything twice is waited for as long as its second word may take: ``doubles.py``.)

Some adapters hear themselves. What was sent then comes back first, and the confirmation of a write looks just like it, so that a
dead unit would seem to obey. Reads that come back show it (before the first write a read is sent where none was); from then on
what was sent is taken out once before anything is believed.

A broadcast (unit 0) is answered by nobody; the line rests for the turnaround delay then, while the devices do it (Serial
Line 2.4.1). Only loop time is used, so tests may run on a virtual clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict

import structlog

from gateway.drivers.modbus import frames
from gateway.drivers.modbus.babble import BABBLES
from gateway.drivers.modbus.doubles import Doubles
from gateway.drivers.modbus.frames import Answer, Request
from gateway.drivers.modbus.heard import Heard
from gateway.drivers.modbus.line import TIMEOUT_MS, Asking, Question, Refused, Tally, line_gone
from gateway.drivers.modbus.owing import Debt, Owing
from gateway.drivers.modbus.patience import Patience
from gateway.drivers.modbus.timing import silence_of
from gateway.drivers.modbus.wire import Wire
from gateway.faults import DeviceFault
from gateway.site.profile import Space

log = structlog.get_logger()

TURNAROUND_S = 0.2  # Serial Line 2.4.1: typically 100 to 200 ms at 9600 baud
_GRAIN_S = 0.001
"""The event loop rounds up to whole milliseconds (epoll_wait(2)); at 9600 baud that is 2 % of each transaction."""
_INSTANT_S = 1e-6  # a timer of the loop fires up to its clock's resolution early, and would be set again for nothing
_READS = frozenset(frames.READ_FUNCTION.values())
_ECHOED = frozenset(frames.WRITE_ONE.values())  # their confirmation is the request itself
_LISTEN_MS = 100
_NO_ECHO = 8  # reads in a row that did not come back: one that was damaged proves nothing
_CHATTER_S = 0.1  # a line that never falls silent is asked all the same: noise may not stop the polling


class Behind:
    """What is known of the units behind a line. It outlives the line: what its last question is owed may come to the next one."""

    def __init__(self) -> None:
        self.owing: defaultdict[int, Owing] = defaultdict(Owing)
        self.patience: defaultdict[int, Patience] = defaultdict(Patience)
        self.doubles = Doubles()


class RtuLine(Asking):
    """A ``Line`` in RTU framing."""

    outstanding = 1

    def __init__(
        self, wire: Wire, *, latency_s: float = 0.0, turnaround_s: float = TURNAROUND_S, behind: Behind | None = None
    ) -> None:
        """``latency_s``: what the network before the line may add to each answer (a DTU on a mobile network).

        ``behind``: what a line before this one knew of the same units.
        """
        behind = behind or Behind()
        self.wire, self.tally = wire, Tally()
        self.char_s, self.dials = wire.char_s, wire.dials
        self.silence_s = silence_of(wire.baud, wire.char_s)
        self._latency_s, self._turnaround_s = latency_s, turnaround_s
        self._lock = asyncio.Lock()
        self._buffer = Heard()
        self._request: Request | None = None
        self._answer: asyncio.Future[Answer | None] | None = None
        self._heard_at = self._quiet_from = 0.0
        self._gaps: dict[int, float] = {}
        self._owing, self._patience, self._doubles = behind.owing, behind.patience, behind.doubles
        self._credible_s = 0.0
        self._gone_for = "not open"
        self._own = b""
        """What was sent last and did not come back so far."""
        self._unechoed: int | None = None
        """How many reads in a row did not come back; None: none was sent yet."""
        self._echo_told = False
        """A silent line is opened anew every few seconds: not each time is it said that its adapter hears itself."""

    @property
    def connected(self) -> bool:
        return self.wire.is_open

    async def connect(self) -> None:
        async with self._lock:
            if not self.wire.is_open:
                self._buffer.clear()
                self._own, self._unechoed = b"", None  # it may be another adapter
                self._doubles.begin()
                await self.wire.open(self._on_bytes, self._on_lost)
                self._rest(asyncio.get_running_loop().time())
                self.tally.line.opened += 1

    async def close(self) -> None:
        self.wire.close()
        self._let_go("closed")

    async def end(self) -> None:
        await self.close()
        self.wire.end()

    def pace(self, unit: int, gap_s: float) -> None:
        self._gaps[unit] = gap_s

    def free_at(self, unit: int, *, to_read: bool = True, question: Question | None = None) -> float:
        owing, free = self._owing.get(unit), self._doubles.free_at(unit) if to_read else 0.0
        if not owing:
            return free
        request = None if question is None else frames.read_request(unit, *question)
        return max(free, owing.free_at(request, to_read=to_read))

    def _free_at(self, request: Request) -> float:
        reads = request.function in _READS
        doubled = self._doubles.free_at(request.unit) if reads else 0.0
        return max(doubled, self._owing[request.unit].free_at(request, to_read=reads))

    def timeout_s(self, unit: int, timeout_ms: int, *, patient: bool = False) -> float:
        """How long this unit is waited for: what its profile says, or longer where it was seen to need it."""
        return self._latency_s + self._patience[unit].timeout_s(timeout_ms / 1000, patient=patient)

    async def send(self, request: Request, timeout_ms: int = TIMEOUT_MS, *, patient: bool = False) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            # Outside the lock, so that other units are served while this one settles.
            await asyncio.sleep(max(0.0, self._free_at(request) - loop.time()))
            async with self._lock:
                if self._free_at(request) > loop.time() + _INSTANT_S:
                    continue
                if request.function in _ECHOED and not self._knows_echo:
                    with contextlib.suppress(DeviceFault):
                        await self._exchange(frames.read_request(request.unit, Space.DISCRETE, 0, 1), _LISTEN_MS)
                return await self._exchange(request, timeout_ms, patient=patient or not request.reads)

    async def broadcast(self, request: Request) -> None:
        async with self._lock:
            await self._silence(max(self._gaps.values(), default=0.0))
            self._transmit(request)
            self.tally.line.broadcasts += 1
            wait = self._turnaround_s + len(request.frame) * self.char_s
            await asyncio.sleep(wait)

    async def _exchange(self, request: Request, timeout_ms: int, *, patient: bool = False) -> bytes:
        self._credible_s = timeout_ms / 1000
        if self._owing[request.unit] or self._doubles.may_repeat(request.unit):
            await _hear_out()
        await self._silence(self._gaps.get(request.unit, 0.0))
        self._owing[request.unit].forget(asyncio.get_running_loop().time())
        self._transmit(request)
        self.tally.asked(request.unit)
        waited_s = self.timeout_s(request.unit, timeout_ms, patient=patient)
        wait = waited_s + self._bytes_s(request)
        return await self._await_answer(request, asyncio.get_running_loop().time(), wait)

    async def _silence(self, gap_s: float) -> None:
        """Until the line was quiet for 3.5 characters, or for as long as this unit needs."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + _CHATTER_S + gap_s
        more = max(0.0, gap_s - self.silence_s)
        while (wait := min(self._quiet_from + more, give_up) - loop.time()) > _INSTANT_S:
            if wait > _GRAIN_S + _INSTANT_S:
                await asyncio.sleep(wait - _GRAIN_S)
            else:
                await _nap(wait)

    def _rest(self, from_at: float) -> None:
        self._quiet_from = max(self._quiet_from, from_at + self.silence_s)

    def _transmit(self, request: Request) -> None:
        """Clear what lies about, then hand the frame to the wire whole."""
        self.wire.glance()
        if not self.wire.is_open:
            raise line_gone(self.wire.name, self._gone_for)
        self._discard(len(self._buffer), request.unit)
        if self._own and self._own[1] in _READS:
            self._unechoed = min(_NO_ECHO, (_NO_ECHO if self._unechoed is None else self._unechoed) + 1)
        self._own = request.frame
        self.wire.send(request.frame)
        self._quiet_from = 0.0
        self._rest(asyncio.get_running_loop().time() + len(request.frame) * self.char_s)

    async def _await_answer(self, request: Request, asked_at: float, wait: float) -> bytes:
        answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._request, self._answer = request, answer
        timer = asyncio.get_running_loop().call_later(wait, _expire, answer)
        try:
            found = await answer or self._last_look(request)
        except asyncio.CancelledError:
            self._owe(request, asked_at)
            raise
        finally:
            timer.cancel()
            self._request = self._answer = None
        if found is None:
            raise self._missed(request, asked_at)
        self._owing[request.unit].answered(request, asked_at, self._travel_s(request))
        took_s = self._took(request, asked_at)
        self._patience[request.unit].answered(took_s)
        self.tally.latencies[request.unit].add(took_s)
        if found.exception is not None:
            self.tally.add(request.unit, "exceptions")
            raise Refused(found.exception)
        self.tally.answered(request.unit)
        return found.body

    def _took(self, request: Request, asked_at: float) -> float:
        """How long the unit itself took: less what the bytes and the network before the line take anyway."""
        return max(0.0, asyncio.get_running_loop().time() - asked_at - self._travel_s(request))

    def _bytes_s(self, request: Request) -> float:
        return (len(request.frame) + request.size) * self.char_s

    def _travel_s(self, request: Request) -> float:
        return self._bytes_s(request) + self._latency_s

    def _last_look(self, request: Request) -> Answer | None:
        found = self._buffer.answer_to(request, final=True)
        if found:
            self._take(found, request)
        return found

    def _missed(self, request: Request, asked_at: float) -> DeviceFault:
        """No answer in time. Where it came damaged nothing is under way but its double, and the unit may be asked again."""
        damaged = self._discard(len(self._buffer), request.unit, request)
        self.tally.add(request.unit, "timeouts")
        if damaged:
            self._owing[request.unit].answered(request, asked_at, self._travel_s(request))
            if self._doubles.may_repeat(request.unit):
                self._owe(request, asked_at)
            return DeviceFault("bad_crc", f"unit {request.unit}")
        self._patience[request.unit].missed()
        self._doubles.missed(request.unit)
        self._owe(request, asked_at)
        return DeviceFault("timeout", f"unit {request.unit}")

    def _owe(self, request: Request, asked_at: float) -> None:
        now = asyncio.get_running_loop().time()
        self._owing[request.unit].missed(request, asked_at, now, self._credible_s, self._travel_s(request))

    def _on_bytes(self, chunk: bytes) -> None:
        self._rest(asyncio.get_running_loop().time())
        self._buffer += chunk
        self._strip_own()
        self._strip_doubles()
        self._settle()
        if self._request is not None and self._answer is not None and not self._answer.done():
            found = self._buffer.answer_to(self._request)
            if found:
                self._take(found, self._request)
                self._answer.set_result(found)
        self._discard(self._buffer.surplus)

    @property
    def _knows_echo(self) -> bool:
        """Whether a read was sent yet, so that it is known if the adapter hears itself."""
        return self._unechoed is not None or self._own[1:2] in {bytes((function,)) for function in _READS}

    def _strip_own(self) -> None:
        """What was sent and comes back, on an adapter that is known to hear itself, or of a read, whose answer looks different."""
        echoes = self._unechoed is not None and self._unechoed < _NO_ECHO
        if not self._own or not (echoes or self._own[1] in _READS):
            return
        start = self._buffer.find(self._own)
        if start < 0:
            return
        self._buffer.cut(start, start + len(self._own))
        self.tally.add(self._own[0], "foreign_frames")
        self._own, self._unechoed = b"", 0
        if not echoes and not self._echo_told:
            self._echo_told = True
            log.warning("adapter_hears_itself", port=self.wire.name)

    def _take(self, found: Answer, request: Request) -> None:
        """Cut the answer out of the buffer, counting what lay before it."""
        damaged = self._discard(found.start, request.unit, request)
        self._cut(request, 0, found.end - found.start)
        if damaged:
            self._doubles.missed(
                request.unit
            )  # this may have been the second word: the next answer is listened to, too

    def _cut(self, request: Request, start: int, end: int) -> None:
        """Take a frame out of the buffer, remembering it for its double."""
        frame = self._buffer.cut(start, end)
        now = asyncio.get_running_loop().time()
        self._doubles.said(request.unit, frame, now, to_read=request.function in _READS)
        self._strip_doubles(answered=request is self._request)

    def _strip_doubles(self, *, answered: bool = False) -> None:
        """What units say a second time is nobody's answer."""
        if not self._buffer:
            return
        asked = [debt.request for owing in self._owing.values() for debt in owing]
        if self._request is not None and not answered and self._answer is not None and not self._answer.done():
            asked.append(self._request)  # whoever waits for it may not have had his turn since it was answered
        for unit, news in self._doubles.strip(self._buffer, asyncio.get_running_loop().time(), asked):
            self.tally.add(unit, "doubled")
            if news:
                log.warning("answers_twice", port=self.wire.name, unit_id=unit)

    def _settle(self) -> None:
        """Late answers among what came: they free their unit and teach its latency, and are nobody's value."""
        now = asyncio.get_running_loop().time()
        for unit, owing in self._owing.items():
            if owing:
                owing.forget(now)
            for debt in owing:
                found = self._buffer.answer_to(debt.request) if not self._expects(debt) else None
                if found is not None:
                    self._take_late(unit, owing, debt, found)

    def _expects(self, debt: Debt) -> bool:
        """Whether the same is being asked just now: then what comes is its answer."""
        waits = self._request is not None and self._answer is not None and not self._answer.done()
        return waits and self._request is not None and self._request.frame == debt.request.frame

    def _take_late(self, unit: int, owing: Owing, debt: Debt, found: Answer) -> None:
        frame, now = bytes(self._buffer[found.start : found.end]), asyncio.get_running_loop().time()
        again = self._doubles.said_since(unit, frame, debt.asked[0])
        asked = self._request
        function = debt.request.frame[:2]
        foreign = asked is not None and asked.frame[:2] == function
        several = sum(other.request.frame[:2] == function for other in owing) > 1
        self._doubles.missed(unit)  # whether it says this twice, too, is to be heard before it is read again
        self._cut(debt.request, found.start, found.end)
        self._doubles.missed(unit)  # and this may have been the second word: the next answer is listened to as well
        self.tally.add(unit, "late")
        if again or (found.exception is not None and (foreign or several)):
            return  # its second word, or a refusal of who knows which question: what is owed may still come
        asked_at = owing.paid(debt)
        self._patience[unit].late(self._took(debt.request, asked_at))
        log.info("answer_came_late", port=self.wire.name, unit_id=unit, after_ms=round((now - asked_at) * 1000))

    def _discard(self, size: int, unit: int | None = None, request: Request | None = None) -> bool:
        """Drop the first bytes of the buffer, counted; True where our own answer lay there, damaged."""
        if not size:
            return False
        junk = frames.weigh(self._buffer.cut(0, size), request)
        for name in ("noise_bytes", "foreign_frames", "crc_errors"):
            count = getattr(junk, name)
            if count and unit is not None:
                self.tally.add(unit, name, count)
            elif count:
                setattr(self.tally.line, name, getattr(self.tally.line, name) + count)
        return junk.crc_errors > 0

    def _on_lost(self, why: str) -> None:
        """The wire has gone by itself."""
        self.tally.line.lost += 1
        self.tally.line.babbled += why == BABBLES
        self._let_go(why)

    def _let_go(self, why: str) -> None:
        """Whoever waits is told at once."""
        self._gone_for = why
        self._buffer.clear()
        if self._request is not None:
            # A quick return of the port must not let its answer in as another's.
            self._owe(self._request, asyncio.get_running_loop().time())
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(line_gone(self.wire.name, why))


async def _hear_out() -> None:
    """Let the loop hand up what came while it was held up, or that is taken for the answer: it looks behind us, and hands up a turn later."""
    for _ in range(2):
        await asyncio.sleep(0)


async def _nap(wait: float) -> None:
    """The last part of a millisecond, in the thread itself; on a clock that does not run by itself, in the loop."""
    loop = asyncio.get_running_loop()
    before = loop.time()
    time.sleep(wait)  # noqa: ASYNC251 - shorter than the loop's own grain
    if loop.time() <= before:
        await asyncio.sleep(wait)


def _expire(answer: asyncio.Future[Answer | None]) -> None:
    """Its time is over."""
    if not answer.done():
        answer.set_result(None)
