"""The control socket: the real server on a real socket, with many clients that say what they like, and an honest one after them.

An input is pieces between ``aa 55``. The first byte of each: whose it is (one of 64 clients); the second: how often it is said (its upper
half, and once more), whether a pause of a second comes before it (8), and what he does behind it: 0 nothing, 1 he says no more, 2 he goes,
3 he reads no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from instruments.virtual import VirtualLoop

from gateway.control.folder import SOCKET_NAME
from gateway.control.protocol import (
    LONGEST_REQUEST,
    PeerCredentials,
    Refusal,
    Request,
    decode_line,
    decode_request,
    encode,
)
from gateway.control.server import MOST_CONNECTIONS, PATIENCE_S, ROOTS_SEATS, ControlServer
from gateway.faults import StoreFault

BREAK = b"\xaa\x55"
REASONS = {"", "malformed", "too_large", "timeout", "busy", "too_many", "refused", "store_fault", "not_allowed"}


def control_socket(data: bytes) -> None:
    """Whatever many clients send at once, in whatever pieces, and however they leave: the server stands; each is told only lines of an
    answer, one end for each request; what is answered was said whole, in one line of bounded length; no more are let in than there are
    seats; and in the end nobody is left, and an honest client gets his answer.
    """
    loop, faults = _loop(), list[dict[str, Any]]()
    loop.set_exception_handler(lambda _, context: faults.append(context))
    with contextlib.redirect_stdout(None), tempfile.TemporaryDirectory() as folder:
        loop.run_until_complete(_met(data.split(BREAK)[:200], Path(folder) / SOCKET_NAME))
    assert not faults, faults


@cache
def _loop() -> VirtualLoop:
    return VirtualLoop(patience_s=0.0005)  # both ends are in it


class _Client:
    def __init__(self, path: Path) -> None:
        self._path, self.said, self.got = path, b"", b""
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Future[None] | None = None

    async def say(self, text: bytes, then: int) -> None:
        if self._writer is None:
            reader, self._writer = await asyncio.open_unix_connection(str(self._path))
            self._listening = asyncio.ensure_future(self._listen(reader))
        if self._writer.is_closing() or not self._writer.can_write_eof():
            return
        self.said += text
        with contextlib.suppress(OSError, RuntimeError):  # he has ended, or was hung up on
            self._writer.write(text)
            match then:
                case 1:
                    self._writer.write_eof()
                case 2:
                    self._writer.transport.abort()
                case 3 if self._listening is not None:
                    self._listening.cancel()
        await asyncio.sleep(0)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while more := await reader.read(65_536):
                self.got += more

    async def leave(self) -> None:
        if self._writer is not None and self._listening is not None:
            await asyncio.wait({self._listening}, timeout=3 * PATIENCE_S)
            self._writer.transport.abort()


async def _met(pieces: list[bytes], path: Path) -> None:
    asked: list[Request] = []

    async def answer(request: Request, peer: PeerCredentials) -> Iterable[dict[str, Any]]:
        assert peer.uid == os.getuid() or request.caller is not None
        assert 0 < server._open <= MOST_CONNECTIONS + ROOTS_SEATS + 1  # one more is being told that there is no seat
        asked.append(request)
        if request.verb == "refuse":
            raise Refusal("refused")
        if request.verb == "fault":
            raise StoreFault("stalled")
        return [{"verb": request.verb}]

    server = ControlServer(path, answer)
    serving = asyncio.ensure_future(server.run())
    await server.stands.wait()
    clients = [_Client(path) for _ in range(64)]
    for piece in pieces:
        if len(piece) > 1:
            if piece[1] & 8:
                await asyncio.sleep(1.0)
            await clients[piece[0] % 64].say(piece[2:] * (1 + (piece[1] >> 4)), piece[1] & 3)
    await asyncio.gather(*(client.leave() for client in clients))
    _judge(clients, asked)
    honest = _Client(path)
    await honest.say(encode(Request("status")), 1)
    await honest.leave()
    assert [decode_line(line).item for line in honest.got.splitlines()] == [{"verb": "status"}, None]
    assert not serving.done()
    assert server._open == 0
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


def _judge(clients: list[_Client], asked: list[Request]) -> None:
    said = [line for client in clients for line in client.said.split(b"\n")]
    whole = [request for line in said if len(line) <= LONGEST_REQUEST and (request := _request(line)) is not None]
    assert all(request in whole for request in asked)
    for client in clients:
        *lines, rest = client.got.split(b"\n")
        assert not rest or client.said, "only who reads no more may have half a line"
        last = [line for line in map(decode_line, lines) if line.item is None]
        assert {line.error for line in last} <= REASONS
        assert all(line.end is not bool(line.error) for line in last)
        assert len(last) <= client.said.count(b"\n") + 1


def _request(line: bytes) -> Request | None:
    try:
        return decode_request(line)
    except Refusal:
        return None


TARGETS = (control_socket,)
