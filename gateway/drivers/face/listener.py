"""Where door terminals push to: an HTTP server that answers 200 only when what it was told is on disk.

What a body means is ``isapi.py``'s; this file owns sockets, limits, who may speak, and when a terminal counts as silent.

Theory. A terminal resends until it gets 200 and throws the event away when it does (facts/face 2.2). So 200 means *durable*;
what cannot be kept now is 503, and is sent again; repeats are known by ``Entry.key`` in the core, not here. But neither for a rate
(``chatter.py``) nor for a disk that stays ill (``insisting.py``) nor for a picture: it would hold up the alarm that waits behind. So of a body
that is too large what was whole by then is heard. A body nobody can read is 400, never 500, which terminals resend for ever. Nothing is ever answered that could open a door: every reply is empty.
Who may speak: the door named in the path (else 404), its secret token and the address the site file gives it (else 403), its digest
login where it has one (else 401, ``digest.py``); only then a slot is taken and the body read, so a stranger on the network can hold
up no terminal; nor can a terminal another one, for it has two slots of the eight, and none while it waits for the disk. HTTP parsing is aiohttp's, but
neither its logger nor its error pages are used: both quote what was sent, and that holds names.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import math
import re
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import ClientError, http_exceptions, web

from gateway.crowd import Crowd
from gateway.doorstep import open_door
from gateway.drivers.face.adapters import ADAPTERS
from gateway.drivers.face.bodies import MAX_BODY, TOO_MANY, BodyFault, Scanner, Text
from gateway.drivers.face.digest import DigestGate, Verdict
from gateway.drivers.face.insisting import Insisting
from gateway.drivers.face.intake import Intake
from gateway.drivers.face.terminal import NOT_PAIRED, WRONG_DEVICE
from gateway.events import Health
from gateway.faults import DeviceFault
from gateway.inbox import Ticket
from gateway.site import model
from gateway.site.model import PUSH

log = structlog.get_logger()

READ_LIMIT_S = 10.0
"""For a whole request, header and body each (facts/face 2.2); a 3 MiB picture on a bad line still makes it."""
MOST_READ = 4 * MAX_BODY
"""Of a body that is too large: the rest is thrown away, that its sender comes to the end and to the answer."""
AT_ONCE = 8
"""Bodies read at the same time (facts/face 2.2)."""
AT_ONCE_OF_A_DOOR = 2
"""Of one door: a terminal says one thing after another, and once more on a new connection where it gave up waiting."""
CONNECTIONS_PER_ADDRESS = 16
CONNECTIONS = 128
KEPT_CONNECTIONS = 32
"""Of these, for the addresses of the site's doors. Who has no request that may come in gives way, whoever waits for longest first."""
LINGER_S = 2.0
"""After refusing a body unread: so long its rest is thrown away, that the sender can read the refusal."""
TURN_S = 5.0
"""Longest pause between two signs of life of this worker."""

_LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:[ \t]*([0-9]{1,15})[ \t]*\r\n", re.IGNORECASE)
_HOST = re.compile(rb"\r\nhost[ \t]*:", re.IGNORECASE)
_NO_HOST = b"Host: -\r\n"
_BLANK_LINE = b"\r\n\r\n"
_MAX_HEAD = 32 * 1024
_TOO_MUCH_HEAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

_STATUS = {"too_large": 413, TOO_MANY: 413, WRONG_DEVICE: 403, NOT_PAIRED: 403}
_STALE = web.RequestKey("stale", bool)
_STRANGERS = 256  # addresses remembered that knocked at no door; a subnet of an isolated network has no more

_MUTE = logging.Logger("gateway.drivers.face.http")  # noqa: LOG001 - of no tree, so that no handler ever sees it
_MUTE.disabled = True


class TerminalListener:
    """One HTTP server for all terminals of the site.

    ``tokens`` are the secret parts of the doors' paths, ``passwords`` those of doors with a digest login. ``counters`` (the intake's) counts what came of every request.
    """

    def __init__(
        self,
        listener: model.Listener,
        intake: Intake,
        tokens: Mapping[str, str],
        passwords: Mapping[str, str],
        beat: Callable[[], None],
    ) -> None:
        self._listener, self._intake, self._tokens, self._beat = listener, intake, dict(tokens), beat
        self._passwords = dict(passwords)
        self._gate = DigestGate(secrets.token_bytes(32), lambda: int(asyncio.get_running_loop().time() * 1000))
        self._doors = {door.id: door for door in intake.doors.values() if door.transport == PUSH}
        self.counters = intake.counters
        self.ready = asyncio.Event()
        self.port = 0
        """The port bound (the site file's, or any free one where that is 0); 0 until ``ready``."""
        self._complaint: dict[str, str] = {}
        """Last fault logged for a door, so that a resent body fills no log."""
        self._turned_away: dict[tuple[str, str], None] = {}
        """Logged since the last success: the door (or the address that named none) and the reason."""
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._shares = {door: asyncio.Semaphore(AT_ONCE_OF_A_DOOR) for door in self._doors}
        self._insisting, self._in_memory = Insisting(), set[str]()
        self._bug: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Serve until cancelled, as often as called. Raises DeviceFault where the port cannot be had.

        A bug in handling a push rises from here. The doors' silence counts from the first call on, also between two.
        """
        self._intake.presence.begin()
        self._bug = asyncio.get_running_loop().create_future()
        named = {_address(door.address) for door in self._doors.values() if door.address}
        server = _Server(self._answer, self.counters, lambda address: _address(address) in named)
        try:
            sockets = await open_door(server, self._listener.host, self._listener.port)
        except OSError as error:
            raise DeviceFault("listen_failed", f"port {self._listener.port}: {error.strerror}") from error
        try:
            self.port = sockets.sockets[0].getsockname()[1]
            self.ready.set()
            log.info("listener_opened", port=self.port, doors=len(self._doors))
            await self._watch(self._bug)
        finally:
            self.ready.clear()
            sockets.close()
            await server.shutdown(1.0)

    async def _watch(self, bug: asyncio.Future[None]) -> None:
        """Report the doors that fall silent, and rise with the bug if handling a push meets one."""
        presence = self._intake.presence
        while True:
            presence.look()
            self._intake.tell_rest()
            self._beat()
            wait = presence.next_s()
            await asyncio.wait({bug}, timeout=TURN_S if wait is None else min(TURN_S, wait))
            if bug.done():
                bug.result()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The status of one request, as an empty reply on a connection that then closes: terminals open one a push."""
        task = asyncio.create_task(self._serve(request))
        task.add_done_callback(self._rise)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()  # nothing to cancel, unless the server is being shut down
        status = 503 if task.cancelled() or task.exception() else task.result()
        self.counters[f"status_{status}"] += 1
        reply = web.Response(status=status)
        if status == 401:
            reply.headers["WWW-Authenticate"] = self._gate.challenge(stale=request.get(_STALE, False))
        reply.force_close()
        return reply

    def _rise(self, task: asyncio.Task[int]) -> None:
        """A bug must not end as a 500 that the terminal repeats for ever: it rises from ``run``."""
        bug = None if task.cancelled() else task.exception()
        if bug is not None and self._bug is not None and not self._bug.done():
            self._bug.set_exception(bug)

    async def _serve(self, request: web.BaseRequest) -> int:
        self.counters["requests"] += 1
        door = self._door_of(request)
        if isinstance(door, int):
            return door
        if isinstance(request.protocol, _Connection):
            request.protocol.seated()
        if (request.content_length or 0) > MOST_READ:
            return self._refuse(door, BodyFault("too_large", "declared length"))
        async with contextlib.AsyncExitStack() as share, contextlib.AsyncExitStack() as slot:
            try:
                async with asyncio.timeout(READ_LIMIT_S):
                    await share.enter_async_context(self._shares[door.id])
                    await slot.enter_async_context(self._slots)
            except TimeoutError:
                self.counters["busy"] += 1
                return 503
            return await self._take(request, door, slot.aclose)

    def _door_of(self, request: web.BaseRequest) -> model.Door | int:
        """The door that may push here, or the status to refuse with. Takes equally long for every wrong token."""
        vendor, name, token = (*request.path.strip("/").split("/", 2), "", "", "")[:3]
        door = self._doors.get(name)
        if door is None or door.vendor != vendor or vendor not in ADAPTERS or not self._tokens.get(name):
            return self._turn_away(request, 404, "unknown_terminal")
        if not hmac.compare_digest(_bytes(token), _bytes(self._tokens[name])):
            return self._turn_away(request, 403, "wrong_token", name)
        if door.address and _address(_peer(request)) != _address(door.address):
            return self._turn_away(request, 403, "wrong_address", name)
        if request.method not in {"POST", "PUT"}:
            return self._turn_away(request, 405, "wrong_method", name)
        return self._login(request, door) if door.username else door

    def _login(self, request: web.BaseRequest, door: model.Door) -> model.Door | int:
        """The door, if the terminal proves its password as well; else 401 with a fresh challenge."""
        given, password = request.headers.get("Authorization", ""), self._passwords.get(door.id, "")
        verdict = self._gate.judge(given, request.method, request.raw_path, door.username, password)
        if verdict is Verdict.GRANTED:
            return door
        if verdict in {Verdict.WRONG, Verdict.MALFORMED}:
            return self._turn_away(request, 401, f"login_{verdict.value}", door.id)
        self.counters[f"login_{verdict.value}"] += 1
        request[_STALE] = verdict is not Verdict.MISSING
        return 401

    def _turn_away(self, request: web.BaseRequest, status: int, reason: str, door: str = "") -> int:
        self.counters[reason] += 1
        about = (door or _peer(request), reason)
        if about not in self._turned_away:
            if len(self._turned_away) >= _STRANGERS:
                del self._turned_away[next(iter(self._turned_away))]
            self._turned_away[about] = None
            log.warning("push_turned_away", reason=reason, door=door, address=_peer(request))
        return status

    def _forget_complaints(self, door: str, address: str) -> None:
        """All is well with this door again, so that the next trouble is told anew."""
        self._complaint.pop(door, None)
        for about in [about for about in self._turned_away if about[0] in {door, address}]:
            del self._turned_away[about]

    async def _take(self, request: web.BaseRequest, door: model.Door, read: Callable[[], Awaitable[None]]) -> int:
        """Read one body, report what it holds, and wait until that is durable; ``read`` is called before that wait."""
        scanner = Scanner(request.headers.get("Content-Type", ""), request.headers.get("Content-Encoding", ""))
        cut = False
        try:
            try:
                cut = await self._read(request, scanner)
                texts = scanner.close()
            except BodyFault as fault:
                texts = self._whole(scanner, fault)
            _, tickets = self._intake.receive(door, texts)
        except BodyFault as fault:
            return 408 if cut else self._refuse(door, fault)
        self._forget_complaints(door.id, _peer(request))
        await read()
        if await self._puts_off(door.id, tickets):
            return 503
        # What came before a body broke off is reported, but the terminal must send the rest again.
        return 408 if cut and not scanner.ended else 200

    def _whole(self, scanner: Scanner, fault: BodyFault) -> list[Text]:
        """What stood whole in a body before it was too large. Raises the fault where that is nothing, or it is another."""
        texts = scanner.take() if fault.reason == "too_large" else []
        if not texts:
            raise fault
        self.counters["fault_too_large"] += 1
        return texts

    async def _read(self, request: web.BaseRequest, scanner: Scanner) -> bool:
        """Feed the body to the scanner. True where it broke off: too slow, or the connection went.

        Raises BodyFault; of one that is too large when its sender has come to an end.
        """
        taken, cut, too_large = 0, False, None
        try:
            async with asyncio.timeout(READ_LIMIT_S):
                if request.headers.get("Expect", "").lower() == "100-continue":
                    await request.writer.write(
                        b"HTTP/1.1 100 Continue\r\n\r\n"
                    )  # he may have hung up while he waited for a slot
                    request.writer.output_size = 0  # else aiohttp takes the reply for begun
                while chunk := await request.content.readany():
                    taken += len(chunk)
                    too_large = too_large or _fed(scanner, chunk, taken)
                    if taken > MOST_READ:
                        break
                    await asyncio.sleep(0)  # a body that is all here at once must not hold up the others
        except TimeoutError:
            self.counters["too_slow"] += 1
            cut = True
        except (OSError, ClientError, web.RequestPayloadError, http_exceptions.HttpProcessingError):
            self.counters["broken_off"] += 1
            cut = True
        if too_large is not None:
            raise too_large
        return cut

    async def _puts_off(self, door: str, tickets: list[Ticket]) -> bool:
        """Wait until what was reported is on disk; whether it is to come again because it is not."""
        began = asyncio.get_running_loop().time()
        if not tickets:
            return False
        if await _durable(tickets, self._insisting.patience_s(door, began)):
            self._insisting.on_disk(door)
            self._in_memory.discard(door)
            return False
        self.counters["not_durable"] += 1
        if self._insisting.puts_off(door, began, asyncio.get_running_loop().time()):
            return True
        self.counters["taken_in_memory"] += 1
        if door not in self._in_memory:
            self._in_memory.add(door)
            log.warning("push_held_in_memory", door=door)
        return False

    def _refuse(self, door: model.Door, fault: BodyFault) -> int:
        self.counters[f"fault_{fault.reason}"] += 1
        if self._complaint.get(door.id) != fault.reason:
            self._complaint[door.id] = fault.reason
            log.warning("body_refused", door=door.id, reason=fault.reason, detail=fault.detail)
        if fault.reason in {WRONG_DEVICE, NOT_PAIRED}:
            # Somebody speaks there, so it is no silence; but as long as it is not the one we trust, no door watches.
            self._intake.presence.heard(door, Health.FAULTY, fault.reason)
        return _STATUS.get(fault.reason, 400)


async def _durable(tickets: list[Ticket], limit_s: float) -> bool:
    """Whether everything reported is on disk in time. Never cancels a commit that others may wait for."""
    waits: list[asyncio.Future[bool]] = [asyncio.ensure_future(ticket.durable()) for ticket in tickets]
    await asyncio.wait(waits, timeout=limit_s)
    return all(wait.done() and wait.result() for wait in waits)


def _fed(scanner: Scanner, chunk: bytes, taken: int) -> BodyFault | None:
    """Feed it; the fault where the body is too large with it. Raises BodyFault for any other."""
    if taken > MAX_BODY:
        return BodyFault("too_large", f"body over {MAX_BODY} bytes")
    try:
        scanner.feed(chunk)
    except BodyFault as fault:
        if fault.reason != "too_large":
            raise
        return fault
    return None


def _bytes(token: str) -> bytes:
    return token.encode("utf-8", "surrogatepass")


def _peer(request: web.BaseRequest) -> str:
    """Where it came from, also of one that has hung up since."""
    return request.protocol.peer if isinstance(request.protocol, _Connection) else ""


def _address(text: str) -> object:
    """An address in one form: ``::ffff:192.0.2.9`` is 192.0.2.9, as a dual-stack socket shows it."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    return getattr(address, "ipv4_mapped", None) or address


class _Server(web.Server):
    """aiohttp's server with bounded connections and nothing of a request in log or reply."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        counters: Counter[str],
        named: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """``named``: whether an address is that of a door."""
        super().__init__(handler)
        self._counters = counters
        self._crowd: Crowd[_Connection] = Crowd(CONNECTIONS, CONNECTIONS_PER_ADDRESS, KEPT_CONNECTIONS, named)

    def __call__(self) -> web.RequestHandler:
        # A connection that brings no whole header in ``keepalive_timeout`` is closed by aiohttp.
        return _Connection(
            self,
            self._counters,
            self._crowd,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=READ_LIMIT_S,
            lingering_time=LINGER_S,
            auto_decompress=False,
            access_log=None,
            logger=_MUTE,
        )


class _Connection(web.RequestHandler):
    """One connection, for one request.

    What is sent beyond the declared length is dropped here: aiohttp would parse it as a next request, and where that
    fails throw away the good one that came in the same segment. A head without ``Host`` gets one: RFC 9112 3.2 wants it refused, and
    so does aiohttp; but a firmware that writes its own requests may leave out what nobody here reads, and would send an alarm for ever.
    """

    __slots__ = ("_counters", "_crowd", "_handed", "_head", "_room", "peer")

    def __init__(
        self, manager: web.Server, counters: Counter[str], crowd: Crowd[_Connection], **options: object
    ) -> None:
        super().__init__(manager, **options)  # type: ignore[arg-type]  # handed on as they came
        self._counters, self._crowd = counters, crowd
        self._head = b""
        self._handed = 0
        """Bytes of the head that aiohttp has."""
        self._room: float | None = None
        """Bytes of the body still to come; None before the header is whole, infinite where no length is declared."""

    def data_received(self, data: bytes) -> None:
        if self._room is None:
            self._take_head(data)
            return
        fits = data[: int(min(self._room, len(data)))]
        self._room -= len(fits)
        self._hand_on(fits, surplus=len(fits) < len(data))

    def _take_head(self, data: bytes) -> None:
        # Empty lines before a request belong to none (RFC 9112 2.2); two of them would be a whole head.
        self._head = self._head + data if self._handed else (self._head + data).lstrip(b"\r\n")
        end = self._head.find(_BLANK_LINE) + 4
        if end > _MAX_HEAD or (end < 4 and len(self._head) > _MAX_HEAD):
            self._refuse_head()
            return
        if end < 4:  # what may be the beginning of the blank line waits: a line may have to stand before it
            begun, self._handed = self._handed, len(self._head) - _begun(self._head)
            self._hand_on(self._head[begun : self._handed])
            return
        length = _LENGTH.search(self._head, 0, end)
        last = end + int(length[1]) if length else len(self._head)
        self._room = max(0, last - len(self._head)) if length else math.inf
        host = b"" if _HOST.search(self._head, 0, end) else _NO_HOST
        whole = self._head[self._handed : end - 2] + host + self._head[end - 2 : last]
        self._hand_on(whole, surplus=last < len(self._head))

    def _hand_on(self, data: bytes, *, surplus: bool = False) -> None:
        if surplus:
            self._counters["surplus"] += 1
        if data:
            super().data_received(data)

    def _refuse_head(self) -> None:
        """Each line of a head is bounded by aiohttp, but not how many there are."""
        self._counters["head_too_large"] += 1
        self._head, self._room = b"", 0
        if self.transport is not None:
            self.transport.write(_TOO_MUCH_HEAD)
        self.force_close()
        if self.transport is not None:
            self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if peer else ""
        super().connection_made(transport)
        goes = self._crowd.enter(self, self.peer)
        if goes is not None:
            self._counters["too_many_connections"] += 1
            goes.force_close()

    def seated(self) -> None:
        """It brings something that may come in."""
        self._crowd.seated(self)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks for the answer that aiohttp does not give
        """Nothing more comes. Where the body is whole its sender may still wait for the answer; else he has hung up."""
        return self._room == 0

    def connection_lost(self, exc: BaseException | None) -> None:
        self._crowd.leave(self)
        super().connection_lost(exc)

    def handle_error(self, *_: object, **__: object) -> web.StreamResponse:
        """What is no HTTP gets an empty 400. aiohttp's page would quote it."""
        self._counters["not_http"] += 1
        reply = web.Response(status=400)
        reply.force_close()
        return reply


def _begun(head: bytes) -> int:
    """How many bytes at its end may belong to the blank line."""
    return next((n for n in (3, 2, 1) if head.endswith(_BLANK_LINE[:n])), 0)
