"""A face terminal that pushes as real ones do: ISAPI bodies over HTTP, counted, resent until they are answered with 200.

It speaks to a gateway over the network and knows nothing of its code. Bodies follow the descriptions in facts/face 1.1 to 1.3:
``serialNo`` counts events (not devices), ``frontSerialNo`` names the one before, a multipart body holds the event and a
picture, a terminal that was cut off sends later with ``currentEvent: false``. Every name, number and picture it makes up is a
canary (``CANARIES``): none may be found anywhere behind the gateway's adapter.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Self
from xml.sax.saxutils import escape

import aiohttp
from msgspec import Struct

CANARY_NAME = "王金丝雀"
CANARY_EMPLOYEE = "70051700"
CANARY_CARD = "7159064823"  # no digits in order: the log keeps numbers that follow each other as columns, which spelt the last one
CANARY_ID_CARD = "110101190001010017"
CANARY_USER = "admin-canary"
CANARIES = (CANARY_NAME, CANARY_EMPLOYEE, CANARY_CARD, CANARY_ID_CARD, CANARY_USER, "/9j/", "SECRET-FEATURE")
"""What must never be found behind the adapter; with the JPEG mark ``FF D8 FF`` among bytes."""

MAC = "88:de:39:00:00:01"
BOUNDARY = "MIME_boundary"
ANSWER_LIMIT_S = 5.0
"""How long a terminal waits for its 200 before it tries again."""


class Caused(Struct, frozen=True):
    """One occurrence at this terminal, for counting what was lost or doubled."""

    serial: int
    code: tuple[int, int]
    at: datetime
    offline: bool = False


class SimTerminal:
    """One terminal; an async context manager that sends in the background while it is open.

    ``login`` (name, password) answers a digest challenge; ``mac`` is the device that its bodies name.
    ``url`` is the whole push address, secret included; empty: it pushes nothing. ``style`` is ``multipart``, ``json`` or ``xml``. ``clock`` gives the
    terminal's own idea of the time.
    """

    def __init__(
        self,
        url: str,
        *,
        style: str = "multipart",
        picture_bytes: int = 70_000,
        heartbeat_s: float = 30.0,
        retry_s: float = 2.0,
        first_serial: int = 1,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        local_address: str = "",
        login: tuple[str, str] | None = None,
        mac: str = MAC,
    ) -> None:
        self.url, self.style = url, style
        self.caused: list[Caused] = []
        self.attempts = 0
        self.answers: list[int] = []
        """Status of every answer, heartbeats included."""
        self._picture = picture(picture_bytes)
        self._heartbeat_s, self._retry_s, self.clock = heartbeat_s, retry_s, clock
        self._next_serial = first_serial
        self.log: list[dict[str, object]] = []
        """Everything that happened, as the terminal keeps it."""
        self.watchers: list[Callable[[dict[str, object]], None]] = []
        """Told of every event as it happens (its own server's stream)."""
        self._queue: deque[dict[str, object]] = deque()
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._cut = False
        self._tasks: list[asyncio.Task[None]] = []
        self._local_address, self._login, self.mac = local_address, login, mac
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        local = (self._local_address, 0) if self._local_address else None
        connector = aiohttp.TCPConnector(local_addr=local, force_close=True)
        timeout = aiohttp.ClientTimeout(total=ANSWER_LIMIT_S)
        digest = [aiohttp.DigestAuthMiddleware(*self._login)] if self._login else []
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, middlewares=digest)
        self._tasks = [asyncio.create_task(self._send_all()), asyncio.create_task(self._send_heartbeats())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def pass_known(self, employee: str = CANARY_EMPLOYEE) -> int:
        """A resident shows their face and the door opens. Returns the serial number, as all the doings below."""
        return self._happen(5, 75, employeeNoString=employee, name=CANARY_NAME, userType="normal", mask="no")

    def pass_card(self, employee: str = CANARY_EMPLOYEE) -> int:
        """A resident's card."""
        return self._happen(5, 1, employeeNoString=employee, name=CANARY_NAME, cardNo=CANARY_CARD, cardType=1)

    def stranger(self) -> int:
        """A face that is not enrolled."""
        return self._happen(5, 76, name="", cardNo="0")

    def blocklisted(self) -> int:
        """Somebody on the terminal's list."""
        return self._happen(5, 113, name=CANARY_NAME, IDCardNo=CANARY_ID_CARD)

    def duress(self, employee: str = CANARY_EMPLOYEE) -> int:
        """A resident opens under threat."""
        return self._happen(1, 1034, employeeNoString=employee, name=CANARY_NAME)

    def door_forced(self) -> int:
        """The contact opens though nobody unlocked."""
        return self._happen(5, 27)

    def door_opened(self) -> int:
        """The contact opens."""
        return self._happen(5, 25)

    def door_closed(self) -> int:
        """The contact closes."""
        return self._happen(5, 26)

    def held_open(self) -> int:
        """The door has been open for too long."""
        return self._happen(5, 28)

    def exit_button(self) -> int:
        """Somebody leaves by the button: nobody knows who."""
        return self._happen(5, 23)

    def tamper(self) -> int:
        """The terminal is taken off the wall."""
        return self._happen(1, 1028)

    def log_nearly_full(self) -> int:
        """The offline log is nearly full."""
        return self._happen(1, 1035)

    def ask_to_open(self, employee: str = CANARY_EMPLOYEE) -> int:
        """The terminal asks its platform whether to open; such a body has no ``frontSerialNo`` (facts/face 1.2)."""
        return self._happen(5, 75, employeeNoString=employee, name=CANARY_NAME, remoteCheck=True, frontSerialNo=None)

    def lose(self, events: int = 1) -> None:
        """So many residents pass of whom nothing is sent, now or later: they stand only in the terminal's log."""
        for _ in range(events):
            self._record(5, 75, employeeNoString=CANARY_EMPLOYEE, name=CANARY_NAME)

    def cut_network(self) -> None:
        """From now on nothing gets through; the terminal keeps a log."""
        self._cut = True

    def restore_network(self) -> None:
        """The log is sent, marked as no current events."""
        self._cut = False
        self._wake.set()

    async def settled(self, timeout_s: float = 10.0) -> None:
        """Wait until everything that happened was answered with 200. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            await self._settled.wait()

    async def heartbeat(self) -> int:
        """Send one heartbeat now; the answer's status, 0 for none."""
        beat = {**self.envelope("heartBeat"), "eventDescription": "heartBeat"}
        return await self._post(*render(beat, self.style, b""))

    def _happen(self, major: int, minor: int, **fields: object) -> int:
        envelope = self._record(major, minor, **fields)
        if self.url:
            self._queue.append(envelope)
            self._settled.clear()
        for watcher in self.watchers:
            watcher(envelope)
        serial = self._next_serial - 1
        self.caused.append(Caused(serial, (major, minor), self.clock(), offline=self._cut))
        self._wake.set()
        return serial

    def _record(self, major: int, minor: int, **fields: object) -> dict[str, object]:
        """What happens gets the next number and a place in the log, sent or not."""
        serial, self._next_serial = self._next_serial, self._next_serial + 1
        event: dict[str, object] = {
            "deviceName": "Access Controller",
            "majorEventType": major,
            "subEventType": minor,
            "doorNo": 1,
            "cardReaderNo": 1,
            "verifyNo": serial,
            "serialNo": serial,
            "frontSerialNo": serial - 1,
            "currentVerifyMode": "cardOrfaceOrPw",
            "currentEvent": not self._cut,
            "netUser": CANARY_USER,
            "picturesNumber": 1,
            **fields,
        }
        event = {name: value for name, value in event.items() if value is not None}
        envelope = {**self.envelope("AccessControllerEvent"), "AccessControllerEvent": event}
        self.log.append(envelope)
        return envelope

    def envelope(self, kind: str) -> dict[str, object]:
        """What every body begins with."""
        return {
            "ipAddress": "192.0.2.64",
            "portNo": 80,
            "protocol": "HTTP",
            "macAddress": self.mac,
            "channelID": 1,
            "dateTime": self.clock().isoformat(timespec="seconds"),
            "activePostCount": 1,
            "eventType": kind,
            "eventState": "active",
            "eventDescription": "Access Controller Event",
        }

    async def _send_all(self) -> None:
        """Oldest first, each until its 200."""
        while True:
            if self._cut or not self._queue:
                if not self._queue:
                    self._settled.set()
                self._wake.clear()
                await self._wake.wait()
                continue
            if await self._post(*render(self._queue[0], self.style, self._picture)) == 200:
                self._queue.popleft()
            else:
                await asyncio.sleep(self._retry_s)

    async def _send_heartbeats(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            if self.url and not self._cut:
                await self.heartbeat()

    async def _post(self, content_type: str, body: bytes) -> int:
        if self._session is None:
            raise RuntimeError("used outside 'async with'")
        self.attempts += 1
        status = 0
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with self._session.post(self.url, data=body, headers={"Content-Type": content_type}) as answer:
                status = answer.status
        self.answers.append(status)
        return status


def picture(size: int) -> bytes:
    """Something that begins and ends like a JPEG and holds whatever trips a parser: line breaks, dashes, braces."""
    filling = b'SECRET-FEATURE\r\n--not a boundary\n{"name": "\xe7\x8e\x8b"}\r\n\r\n--\x00\xff' + bytes(range(256))
    return b"\xff\xd8\xff\xe0" + (filling * (size // len(filling) + 1))[: max(0, size - 6)] + b"\xff\xd9"


def render(envelope: dict[str, object], style: str, image: bytes) -> tuple[str, bytes]:
    """Content type and body of one push."""
    if style == "json":
        return "application/json", _json(envelope)
    if style == "xml":
        text = "\n".join(_elements(envelope))
        root = f'<EventNotificationAlert version="2.0" xmlns="http://www.isapi.org/ver20/XMLSchema">\n{text}\n'
        return 'application/xml; charset="UTF-8"', f"{root}</EventNotificationAlert>\n".encode()
    parts = [("AccessControllerEvent", "application/json", _json(envelope), "")]
    if image:
        parts.append(("Picture", "image/jpeg", image, '; filename="Picture.jpg"'))
    body = b"".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n'
        f"Content-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n".encode()
        + data
        + b"\r\n"
        for name, kind, data, extra in parts
    )
    return f"multipart/form-data; boundary={BOUNDARY}", body + f"--{BOUNDARY}--\r\n".encode()


def _json(envelope: dict[str, object]) -> bytes:
    return json.dumps(envelope, ensure_ascii=False, indent="\t").encode()  # LF and tabs, as terminals indent


def _elements(fields: dict[str, object]) -> Iterator[str]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield f"<{name}>"
            yield from _elements(value)
            yield f"</{name}>"
        else:
            text = str(value).lower() if isinstance(value, bool) else escape(str(value))
            yield f"<{name}>{text}</{name}>"
