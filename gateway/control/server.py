"""The daemon's side of the local door.

Whoever the folder's rights let in may ask; what he may do is decided by ``answer``, by the credentials handed along. A bad
asker (garbage, endless line, silence, gone in the middle) is told so where that is possible, and hurts nobody else.

Nor does a bad answer. A fault of the world (a disk that refuses) is told to whoever asked, and that is all. A bug ends its own
connection and then the server; but first everybody else gets the answer he is waiting for, an acknowledgement above all.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import structlog

from gateway.control.folder import address
from gateway.control.protocol import (
    LONGEST_REQUEST,
    UNSEEN,
    Line,
    PeerCredentials,
    Refusal,
    Request,
    decode_request,
    encode,
)
from gateway.faults import DeviceFault, StoreFault, UplinkFault
from gateway.restraint import ANSWERS, Allowance, Rate, Reminders

log = structlog.get_logger()

PATIENCE_S = 30.0
"""How long a connection may take to send a request, or to read some lines of the answer."""
MOST_CONNECTIONS = 32
MOST_OF_ONE = 16
"""Of one user: who opens them all keeps nobody else out. Root, the daemon and the porter speak for many."""
ROOTS_SEATS = 1
"""For root and the daemon's own user, above all others: who mends a machine must come in."""
REQUEST_RATE = Rate(burst=200, every_s=0.05)
"""Requests of one user: a script that shows alerts and histories as they change asks less often. Answers to an alarm (``ANSWERS``)
have as many again of their own, each verb: a script that runs away must not lock out whoever acknowledges under its login.
What they may order is bounded behind this (``CommandAllowance``)."""
ROOTS_RATE = Rate(burst=2_000, every_s=0.02)
"""Of root, and of the daemon's own user: more than a whole duty office at its desk asks. A script that runs away in a tight loop
would else have the loop to itself, and the card; in these terms it has half of it at worst, of answers that take 10 ms."""
GONE_S = 1.0
"""How long an end waits until the socket is gone."""
BREATH = 32
"""Items of an answer made, or written, in one turn of the loop, half a millisecond: a thousand alerts take 40, on every connection."""
_RIGHTS = 0o660  # contract: control.sock is 0660; the state folder decides further
_UCRED = struct.Struct("iII")  # unix(7): pid, uid, gid
_NOBODY = 65534  # user_namespaces(7): the number of everybody who has none in ours
_USER_MAP = Path("/proc/self/uid_map")
_EVERYBODY = ["0", "0", "4294967295"]  # user_namespaces(7): what the first namespace shows

Answer = Callable[[Request, PeerCredentials], Awaitable[Iterable[dict[str, Any]]]]
"""Gives the items of the answer, or raises ``Refusal`` or a fault of the world; anything else it raises is a bug."""


class ControlServer:
    """Listens on ``path`` and hands every request to ``answer``. Whoever runs it holds the folder's claim."""

    def __init__(
        self, path: Path, answer: Answer, *, patience_s: float = PATIENCE_S, group: Path | None = None
    ) -> None:
        """``group``: the socket is for the group that this folder has."""
        self._path, self._answer, self._patience_s, self._group = path, answer, patience_s, group
        self._open = 0
        self._idle: dict[asyncio.Task[None] | None, int] = {}
        """Connections that wait for a request, and whose; the one that waits longest first."""
        self._answering: set[asyncio.Task[None] | None] = set()
        self._ending = False
        self.stands = asyncio.Event()
        """The socket is there."""
        self._of: Counter[int] = Counter()
        """User -> his connections."""
        self._allowance, self._roots, self._logged = Allowance(REQUEST_RATE), Allowance(ROOTS_RATE), Reminders()
        self.refused = 0
        """Requests that could not be read or came too often: garbage, too long, too slow, too many."""

    async def run(self) -> None:
        """Serves until cancelled. Raises ``OSError`` where the socket cannot stand, and whatever bug ``answer`` has."""
        self._ending = False
        listener = await self._stand()
        bug: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        connections: set[asyncio.Task[None]] = set()

        def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = asyncio.create_task(self._serve(reader, writer))
            connections.add(connection)
            connection.add_done_callback(part)

        def part(connection: asyncio.Task[None]) -> None:
            connections.discard(connection)
            error = None if connection.cancelled() else connection.exception()
            if error is not None and not bug.done():
                bug.set_exception(error)

        try:
            server = await asyncio.start_unix_server(welcome, sock=listener, limit=LONGEST_REQUEST)
            self.stands.set()
            try:
                await asyncio.wait({bug})  # until cancelled, or until there is one
            finally:
                server.close()
            await self._finish(connections)
            bug.result()
        finally:
            for connection in connections:
                connection.cancel()
            await asyncio.gather(*connections, return_exceptions=True)
            listener.close()
            # A disk that hangs keeps nobody from ending; the next start finds a dead socket there, as after a crash.
            gone = asyncio.get_running_loop().run_in_executor(None, lambda: self._path.unlink(missing_ok=True))
            gone.add_done_callback(_look_away)
            await asyncio.wait({gone}, timeout=GONE_S)

    async def _stand(self) -> socket.socket:
        """The listening socket. It is a file of the state folder, and of a disk that hangs the loop must not wait for one."""
        standing = asyncio.get_running_loop().run_in_executor(None, _listen, self._path, self._group)
        try:
            return await asyncio.shield(standing)
        except asyncio.CancelledError:
            standing.add_done_callback(_close)
            raise

    async def _finish(self, connections: set[asyncio.Task[None]]) -> None:
        """Gives the answers under way, within the patience of one."""
        self._ending = True
        under_way = connections & self._answering
        if under_way:
            await asyncio.wait(under_way, timeout=self._patience_s)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            peer = credentials(writer.get_extra_info("socket"))
            with self._counted(peer.uid) as his:
                if not self._seated(peer, his):
                    await self._send(writer, Line(error="busy"))
                    return
                while await self._turn(reader, writer, peer) and not self._ending:
                    pass
                writer.close()
                async with asyncio.timeout(self._patience_s):
                    await writer.wait_closed()  # what is written must still reach him
        except OSError as error:  # the asker went away, or reads nothing
            log.debug("control_connection_lost", error=type(error).__name__)
        finally:
            self._open -= 1
            writer.transport.abort()

    def _seated(self, peer: PeerCredentials, his: int) -> bool:
        """Whether there is a seat: a free one, or that of a connection which says nothing."""
        if is_bounded(peer) and his > MOST_OF_ONE:
            return self._dismiss({peer.uid})
        seats = MOST_CONNECTIONS + (0 if is_bounded(peer) else ROOTS_SEATS)
        return self._open <= seats or self._dismiss(set(self._idle.values()))

    def _dismiss(self, users: set[int]) -> bool:
        """End the longest idle connection of whoever of these has most of them; False where none is idle."""
        idle = [(task, uid) for task, uid in self._idle.items() if uid in users]
        if not idle:
            return False
        task, _ = max(idle, key=lambda one: self._of[one[1]])  # of equals the first, which is idle for longest
        del self._idle[task]
        if task is not None:
            task.cancel()
        return True

    @contextlib.contextmanager
    def _counted(self, uid: int) -> Iterator[int]:
        """Gives the number of this user's connections, this one included."""
        self._of[uid] += 1
        try:
            yield self._of[uid]
        finally:
            self._of[uid] -= 1
            self._of += Counter()  # forget users with none

    async def _turn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: PeerCredentials) -> bool:
        """One request and its answer; False where the connection ends."""
        try:
            line = await self._receive(reader, peer.uid)
            if not line:
                return False
            request = decode_request(line)
            peer = spoken_for(request, peer, os.getuid(), os.getgid(), _login)
            self._restrain(peer, request)
        except Refusal as refusal:
            self.refused += 1
            if times := self._logged.due(refusal.reason, asyncio.get_running_loop().time()):
                log.warning("control_request_refused", reason=refusal.reason, uid=peer.uid, pid=peer.pid, times=times)
            await self._send(writer, Line(error=refusal.reason, detail=refusal.detail))
            return False
        self._answering.add(asyncio.current_task())
        try:
            lines = await self._answered(request, peer, writer)
            for at in range(0, len(lines), BREATH):
                await self._write(writer, b"".join(lines[at : at + BREATH]))
                await asyncio.sleep(0)
        finally:
            self._answering.discard(asyncio.current_task())
        return True

    def _restrain(self, peer: PeerCredentials, request: Request) -> None:
        """Raises ``Refusal`` where he asks too often."""
        asker = (peer.uid, request.verb if request.verb in ANSWERS else "")
        allowance = self._allowance if is_bounded(peer) else self._roots
        if not allowance.take(asker, asyncio.get_running_loop().time()):
            raise Refusal("too_many", request.verb)

    async def _answered(self, request: Request, peer: PeerCredentials, writer: asyncio.StreamWriter) -> list[bytes]:
        """The lines of the answer. A bug is told to the asker, and rises."""
        try:
            return await _lines(await self._answer(request, peer))
        except Refusal as refusal:
            return [encode(Line(error=refusal.reason, detail=refusal.detail))]
        except (StoreFault, DeviceFault, UplinkFault, OSError) as fault:
            reason, detail = _named(fault)
            log.warning("control_answer_failed", reason=reason, detail=detail, uid=peer.uid, pid=peer.pid)
            return [encode(Line(error=reason, detail=detail))]
        except asyncio.CancelledError:
            raise
        except BaseException:
            with contextlib.suppress(OSError):  # he may have gone, which does not make it less of a bug
                await self._send(writer, Line(error="internal"))
            raise

    async def _receive(self, reader: asyncio.StreamReader, uid: int) -> bytes:
        """One line; empty where the asker has no more to ask. Meanwhile his seat may be given to another."""
        self._idle[asyncio.current_task()] = uid
        try:
            async with asyncio.timeout(self._patience_s):
                return await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as cut:
            if cut.partial:
                raise Refusal("malformed", "the line has no end") from None
            return b""
        except asyncio.LimitOverrunError:
            raise Refusal("too_large", f"more than {LONGEST_REQUEST} bytes in one line") from None
        except TimeoutError:
            raise Refusal("timeout", f"no request within {self._patience_s:g} s") from None
        finally:
            self._idle.pop(asyncio.current_task(), None)

    async def _send(self, writer: asyncio.StreamWriter, line: Line) -> None:
        await self._write(writer, encode(line))

    async def _write(self, writer: asyncio.StreamWriter, text: bytes) -> None:
        async with asyncio.timeout(self._patience_s):
            writer.write(text)
            await writer.drain()


async def _lines(items: Iterable[dict[str, Any]]) -> list[bytes]:
    """An answer as it is sent, made a few items at a time: others have their turn in between, an alarm above all."""
    lines = []
    for item in items:
        lines.append(encode(Line(item=item)))
        if len(lines) % BREATH == 0:
            await asyncio.sleep(0)
    return [*lines, encode(Line(end=True))]


def _named(fault: StoreFault | DeviceFault | UplinkFault | OSError) -> tuple[str, str]:
    """Reason and detail of a fault of the world."""
    match fault:
        case StoreFault():
            return "store_fault", str(fault)
        case DeviceFault():
            return "device_fault", str(fault)
        case UplinkFault():
            return "uplink_fault", str(fault)
        case OSError():
            return "os_error", fault.strerror or type(fault).__name__


def credentials(connection: socket.socket) -> PeerCredentials:
    """Who is at the other end, from the kernel."""
    pid, uid, gid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    login = UNSEEN if uid == _NOBODY and _users_are_hidden() else _login(uid)
    return PeerCredentials(pid, uid, gid, login)


def is_bounded(peer: PeerCredentials) -> bool:
    """Whether he is one among many: everybody but root and the daemon's own user (so not the porter, who asks for others)."""
    return peer.uid not in {0, os.getuid()}


def spoken_for(
    request: Request, peer: PeerCredentials, own_uid: int, own_gid: int, login: Callable[[int], str]
) -> PeerCredentials:
    """For whom a request is. Pure; raises ``Refusal`` where he may not pass it on.

    Root and the daemon's own user may. The porter is that user in another group, which without rights he cannot change
    (setgid(2)); so what he says without a caller is not the daemon's own word, either.
    """
    if request.caller is None:
        porter = peer.uid == own_uid != 0 and peer.gid != own_gid
        return msgspec.structs.replace(peer, is_vouched_for=True) if porter else peer
    if peer.uid not in {0, own_uid}:
        raise Refusal("not_allowed", f"{peer.login}: caller")
    caller = request.caller
    return PeerCredentials(caller.pid, caller.uid, caller.gid, login(caller.uid), is_vouched_for=True)


def _login(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid:{uid}"


def _users_are_hidden() -> bool:
    """Whether we are in a user namespace (``PrivateUsers=``), in which the kernel does not tell everybody's number."""
    try:
        return _USER_MAP.read_text(encoding="ascii").split() != _EVERYBODY
    except OSError:
        return True


def _look_away(done: asyncio.Future[None]) -> None:
    """Nobody waits for it any more."""
    if not done.cancelled():
        done.exception()


def _close(standing: asyncio.Future[socket.socket]) -> None:
    """It stands at last, and nobody wants it."""
    if not standing.cancelled() and standing.exception() is None:
        standing.result().close()


def _listen(path: Path, group: Path | None) -> socket.socket:
    """A listening socket at ``path``, in the place of one a dead daemon left behind.

    It gets its rights under another name first, so that nobody ever finds it with the wrong ones.
    """
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        with address(fresh) as name:
            listener.bind(name)
        if group is not None and (gid := group.stat().st_gid) != fresh.stat().st_gid:
            os.chown(fresh, -1, gid)
        fresh.chmod(_RIGHTS)
        listener.listen(MOST_CONNECTIONS)
        fresh.replace(path)
    except OSError:
        listener.close()
        raise
    return listener
