"""The daemon's side of the local door.

Whoever the folder's rights let in may ask; what he may do is decided by ``answer``, by the credentials handed along. A bad
asker (garbage, endless line, silence, gone in the middle) is told so where that is possible, and hurts nobody else.
"""

from __future__ import annotations

import asyncio
import pwd
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import structlog

from gateway.control.folder import address
from gateway.control.protocol import LONGEST_REQUEST, Line, PeerCredentials, Refusal, Request, decode_request, encode

log = structlog.get_logger()

PATIENCE_S = 30.0
"""How long a connection may take to send a request, or to read a line of the answer."""
MOST_CONNECTIONS = 32
_RIGHTS = 0o660  # contract: control.sock is 0660; the state folder decides further
_UCRED = struct.Struct("iII")  # unix(7): pid, uid, gid

Answer = Callable[[Request, PeerCredentials], Awaitable[Iterable[dict[str, Any]]]]
"""Gives the items of the answer, or raises ``Refusal``."""


class ControlServer:
    """Listens on ``path`` and hands every request to ``answer``. Whoever runs it holds the folder's claim."""

    def __init__(self, path: Path, answer: Answer, *, patience_s: float = PATIENCE_S) -> None:
        self._path, self._answer, self._patience_s = path, answer, patience_s
        self._open = 0
        self.refused = 0
        """Requests that could not be read: garbage, too long, too slow."""

    async def run(self) -> None:
        """Serves until cancelled. Raises ``OSError`` where the socket cannot stand, and whatever bug ``answer`` has."""
        listener = _listen(self._path)
        try:
            async with asyncio.TaskGroup() as connections:

                def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                    connections.create_task(self._serve(reader, writer))

                server = await asyncio.start_unix_server(welcome, sock=listener, limit=LONGEST_REQUEST)
                try:
                    await asyncio.get_running_loop().create_future()  # until cancelled
                finally:
                    server.close()
        finally:
            listener.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open > MOST_CONNECTIONS:
                await self._send(writer, Line(error="busy"))
                return
            peer = credentials(writer.get_extra_info("socket"))
            while await self._turn(reader, writer, peer):
                pass
            writer.close()
            async with asyncio.timeout(self._patience_s):
                await writer.wait_closed()  # what is written must still reach him
        except OSError as error:  # the asker went away, or reads nothing
            log.debug("control_connection_lost", error=type(error).__name__)
        finally:
            self._open -= 1
            writer.transport.abort()

    async def _turn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: PeerCredentials) -> bool:
        """One request and its answer; False where the connection ends."""
        try:
            line = await self._receive(reader)
            if not line:
                return False
            request = decode_request(line)
        except Refusal as refusal:
            self.refused += 1
            log.warning("control_request_refused", reason=refusal.reason, uid=peer.uid, pid=peer.pid)
            await self._send(writer, Line(error=refusal.reason, detail=refusal.detail))
            return False
        last = Line(end=True)
        try:
            for item in await self._answer(request, peer):
                await self._send(writer, Line(item=item))
        except Refusal as refusal:
            last = Line(error=refusal.reason, detail=refusal.detail)
        await self._send(writer, last)
        return True

    async def _receive(self, reader: asyncio.StreamReader) -> bytes:
        """One line; empty where the asker has no more to ask."""
        try:
            async with asyncio.timeout(self._patience_s):
                return await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as cut:
            if cut.partial:
                raise Refusal("malformed", "the line has no end") from None
            return b""
        except asyncio.LimitOverrunError:
            raise Refusal("too_long", f"more than {LONGEST_REQUEST} bytes in one line") from None
        except TimeoutError:
            raise Refusal("timeout", f"no request within {self._patience_s:g} s") from None

    async def _send(self, writer: asyncio.StreamWriter, line: Line) -> None:
        async with asyncio.timeout(self._patience_s):
            writer.write(encode(line))
            await writer.drain()


def credentials(connection: socket.socket) -> PeerCredentials:
    """Who is at the other end, from the kernel."""
    pid, uid, gid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    try:
        login = pwd.getpwuid(uid).pw_name
    except KeyError:
        login = f"uid:{uid}"
    return PeerCredentials(pid, uid, gid, login)


def _listen(path: Path) -> socket.socket:
    """A listening socket at ``path``, in the place of one a dead daemon left behind.

    It gets its rights under another name first, so that nobody ever finds it with the wrong ones.
    """
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        with address(fresh) as name:
            listener.bind(name)
        fresh.chmod(_RIGHTS)
        listener.listen(MOST_CONNECTIONS)
        fresh.replace(path)
    except OSError:
        listener.close()
        raise
    return listener
