"""Asking a terminal: HTTP to its own server, with its digest login. One terminal, one request at a time.

The answer is a stranger's: bounded in time and size, never followed elsewhere, never unpacked here. A terminal locks an
account after a few bad passwords (facts/face 1.1), so a refused login closes this door to ourselves for a while: a wrong
password in the site file must not keep the property's own people out.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Mapping

import aiohttp
import msgspec

from gateway.faults import DeviceFault
from gateway.site import model

ASK_LIMIT_S = 10.0
"""A page of 30 rows takes an embedded server a second or two; one that takes longer is asked again later."""
MAX_ANSWER = 1024 * 1024
"""A page of 30 rows without pictures is under 30 KiB."""
FIRST_PAUSE_S, LOCKED_S = 60.0, 1800.0
"""After one refused login, and after the next: terminals lock for half an hour (facts/face 1.1)."""
_UNLOCK = re.compile(rb"unlockTime\"?[ \t\r\n]{0,9}[>:][ \t\r\n\"]{0,9}([0-9]{1,6})")
_LONGEST_LOCK_S = 86_400.0


class TerminalClient:
    """Requests to one terminal. Raises DeviceFault with a named reason for all that can go wrong."""

    def __init__(self, door: model.Door, password: str) -> None:
        self._door, self._password = door, password
        self._session: aiohttp.ClientSession | None = None
        self._users = 0
        self._refusals = 0
        self._locked_until = 0.0
        self._one = asyncio.Lock()

    async def get(self, path: str) -> bytes:
        """The body of a page."""
        async with self._one, self._ask("GET", path, limit_s=ASK_LIMIT_S) as answer:
            return await _read(answer)

    async def post(self, path: str, body: Mapping[str, object]) -> bytes:
        """The answer to a JSON body."""
        async with self._one, self._ask("POST", path, msgspec.json.encode(body), limit_s=ASK_LIMIT_S) as answer:
            return await _read(answer)

    @contextlib.asynccontextmanager
    async def stream(self, path: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """A page without end; whoever reads it bounds its silence and its size."""
        async with self._ask("GET", path, limit_s=None) as answer:
            yield answer

    @contextlib.asynccontextmanager
    async def used(self) -> AsyncIterator[None]:
        """While somebody works with it: whoever leaves last hangs up, for all of one door share it."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                await self.close()

    async def close(self) -> None:
        """Hang up."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @contextlib.asynccontextmanager
    async def _ask(
        self, method: str, path: str, body: bytes | None = None, *, limit_s: float | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        loop = asyncio.get_running_loop()
        if loop.time() < self._locked_until:
            raise DeviceFault("login_refused", f"asks again in {round(self._locked_until - loop.time())} s")
        headers = {"Accept-Encoding": "identity"} | ({} if body is None else {"Content-Type": "application/json"})
        timeout = aiohttp.ClientTimeout(total=limit_s, sock_connect=ASK_LIMIT_S)
        try:
            async with self._opened().request(
                method, self._url(path), data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                await self._judge(answer)
                yield answer
        except TimeoutError as error:
            raise DeviceFault("timeout", path.partition("?")[0]) from error
        except (aiohttp.ClientError, OSError) as error:  # their texts may quote what was sent
            raise DeviceFault("unreachable", type(error).__name__) from None

    async def _judge(self, answer: aiohttp.ClientResponse) -> None:
        if answer.status == 401:
            self._lock(await _read(answer))
        self._refusals = 0
        if answer.status != 200:
            raise DeviceFault("http_status", str(answer.status))

    def _lock(self, body: bytes) -> None:
        """One more refused login."""
        self._refusals += 1
        told = _UNLOCK.search(body)
        pause_s = FIRST_PAUSE_S if self._refusals == 1 else LOCKED_S
        pause_s = min(_LONGEST_LOCK_S, max(pause_s, float(told[1]) if told else 0.0))
        self._locked_until = asyncio.get_running_loop().time() + pause_s
        raise DeviceFault("login_refused", f"asks again in {round(pause_s)} s")

    def _url(self, path: str) -> str:
        scheme, address = "https" if self._door.https else "http", self._door.address
        host = f"[{address}]" if ":" in address else address
        return f"{scheme}://{host}:{self._door.http_port}{path}"

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            login = self._door.history.username if self._door.history else ""
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=2, ssl=self._tls(), force_close=True),
                middlewares=[aiohttp.DigestAuthMiddleware(login, self._password)],
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _tls(self) -> ssl.SSLContext:
        """A terminal's certificate names no address; where the site file has it, it is the one certificate believed.

        Always a context: those of aiohttp's own believe nobody here (``app/trades.py``). Raises DeviceFault where the file is none.
        """
        ca_file = self._door.history.ca_file if self._door.history else ""
        try:
            context = ssl.create_default_context(cafile=ca_file) if ca_file else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        except OSError:
            raise DeviceFault("ca_file_unreadable", ca_file) from None
        context.check_hostname = False
        if not ca_file:
            context.verify_mode = ssl.CERT_NONE
        return context


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    found = bytearray()
    async for chunk in answer.content.iter_any():
        found += chunk
        if len(found) > MAX_ANSWER:
            raise DeviceFault("too_large", f"answer over {MAX_ANSWER} bytes")
    return bytes(found)
