"""The HTTP server inside a simulated terminal: its log, its clock, its settings and its stream of events, behind a digest login.

As facts/face 1.1 and 1.4 describe it from real devices, quirks included (``Firmware``). Its digest check, its paging and its
idea of ISAPI are its own; it shares nothing with the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from msgspec import Struct

from gateway.sim.terminal import BOUNDARY, CANARY_USER, SimTerminal, picture

REALM = "DS-K1T671"
_PIECE_S = 0.6
"""Between two pieces: whoever reads takes them for events of their own."""
_OLD_NAMES = {"majorEventType": "major", "subEventType": "minor"}
_NOT_IN_LOG = {"frontSerialNo", "currentEvent", "deviceName"}
_LOCKED = (
    "<userCheck><statusValue>401</statusValue><lockStatus>lock</lockStatus><unlockTime>1800</unlockTime></userCheck>"
)


class Firmware(Struct, frozen=True):
    """How this terminal differs from others."""

    serials: str = "taken"
    """taken | overlooked | refused: ``beginSerialNo`` and ``endSerialNo`` in a search."""
    major_zero: bool = True
    """``major: 0`` means all events, not none."""
    last_position: int | None = None
    clock_page: bool = True
    offsets: bool = True
    """Times in its log carry their offset."""
    serials_in_log: bool = True
    failures_until_locked: int = 5


class TerminalServer:
    """Serves one ``SimTerminal``; an async context manager. ``port`` is known inside it."""

    def __init__(
        self,
        terminal: SimTerminal,
        login: tuple[str, str],
        firmware: Firmware | None = None,
        *,
        push_url: str = "",
        port: int = 0,
        stream_heartbeat_s: float = 10.0,
        stream_preface: Sequence[bytes] = (),
    ) -> None:
        """``push_url``: what stands in its ``httpHosts``; ``stream_preface``: what its first stream says before anything else,
        piece by piece.
        """
        self.terminal, self.firmware = terminal, firmware or Firmware()
        self.login, self.push_url = login, push_url
        self.port = port
        self.searches: list[dict[str, Any]] = []
        """Every search it was asked for, for tests."""
        self.failures = 0
        self.streams = 0
        """Streams opened so far."""
        self._stream_heartbeat_s, self._preface = stream_heartbeat_s, stream_preface
        self._nonce = secrets.token_hex(8)
        self._runner: web.AppRunner | None = None
        self._streaming: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/ISAPI/AccessControl/AcsEvent", self._behind_login(self._search))
        app.router.add_get("/ISAPI/System/time", self._behind_login(self._time))
        app.router.add_get("/ISAPI/System/deviceInfo", self._behind_login(self._device))
        app.router.add_get("/ISAPI/Event/notification/httpHosts", self._behind_login(self._hosts))
        app.router.add_get("/ISAPI/Event/notification/alertStream", self._behind_login(self._stream))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()
        if self._runner is not None:
            await self._runner.cleanup()

    def hang_up(self) -> None:
        """Break off the stream under way."""
        if self._streaming is not None:
            self._streaming.cancel()

    # Login ------------------------------------------------------------------------------------------

    def _behind_login(
        self, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            given = request.headers.get("Authorization", "")
            locked = self.failures >= self.firmware.failures_until_locked
            if not locked and given and self._is_right(given, request.method):
                return await answer(request)
            self.failures += bool(given) and not locked
            challenge = f'Digest realm="{REALM}", qop="auth", nonce="{self._nonce}"'
            return web.Response(status=401, text=_LOCKED if locked else "", headers={"WWW-Authenticate": challenge})

        return guarded

    def _is_right(self, header: str, method: str) -> bool:
        said = dict(re.findall(r'(\w+)="?([^",]+)"?', header))
        if said.get("nonce") != self._nonce:
            return False
        secret = _md5(f"{self.login[0]}:{REALM}:{self.login[1]}")
        asked = _md5(f"{method}:{said.get('uri', '')}")
        middle = f"{said.get('nc')}:{said.get('cnonce')}:auth"
        return said.get("response") == _md5(f"{secret}:{self._nonce}:{middle}:{asked}")

    # Pages ------------------------------------------------------------------------------------------

    async def _time(self, _request: web.Request) -> web.StreamResponse:
        if not self.firmware.clock_page:
            return web.Response(status=404)
        now = self.terminal.clock().isoformat(timespec="seconds")
        return _xml(f"<Time><timeMode>NTP</timeMode><localTime>{now}</localTime></Time>")

    async def _device(self, _request: web.Request) -> web.StreamResponse:
        return _xml(
            "<DeviceInfo><deviceName>Access Controller</deviceName><model>DS-K1T671M</model>"
            f"<serialNumber>DS-K1T671M20200101V010200CHF00000001</serialNumber><macAddress>{self.terminal.mac}</macAddress></DeviceInfo>"
        )

    async def _hosts(self, _request: web.Request) -> web.StreamResponse:
        found = re.fullmatch(r"http://([^:/]+):(\d+)(/.*)", self.push_url)
        address, port, path = found.groups() if found else ("0.0.0.0", "80", "/")
        slots = "".join(
            f"<HttpHostNotification><id>{number}</id><url>{url}</url><protocolType>HTTP</protocolType>"
            f"<addressingFormatType>ipaddress</addressingFormatType><ipAddress>{host}</ipAddress><portNo>{on}</portNo>"
            f"<userName>{CANARY_USER}</userName><httpAuthenticationMethod>MD5digest</httpAuthenticationMethod>"
            "</HttpHostNotification>"
            for number, url, host, on in ((1, path, address, port), (2, "/", "0.0.0.0", "80"))
        )
        return _xml(
            f'<HttpHostNotificationList xmlns="http://www.isapi.org/ver20/XMLSchema">{slots}</HttpHostNotificationList>'
        )

    async def _search(self, request: web.Request) -> web.StreamResponse:
        asked = (await request.json())["AcsEventCond"]
        self.searches.append(asked)
        by_serial = {"beginSerialNo", "endSerialNo"} & set(asked)
        if "major" not in asked or (by_serial and self.firmware.serials == "refused"):
            return web.json_response({"statusCode": 6, "statusString": "Invalid Content"}, status=400)
        position, most = asked["searchResultPosition"], min(30, asked["maxResults"])
        if self.firmware.last_position is not None and position > self.firmware.last_position:
            return web.json_response({"statusCode": 6, "subStatusCode": "badParameters"}, status=400)
        found = [self._row(envelope) for envelope in self.terminal.log if self._is_asked_for(envelope, asked)]
        shown = found[position : position + most]
        more = position + len(shown) < len(found)
        page = {
            "searchID": asked["searchID"],
            "totalMatches": len(found),
            "responseStatusStrg": "MORE" if more else "OK" if shown else "NO MATCH",
            "numOfMatches": len(shown),
            **({"InfoList": shown} if shown else {}),
        }
        return web.json_response({"AcsEvent": page})

    def _is_asked_for(self, envelope: dict[str, Any], asked: dict[str, Any]) -> bool:
        event = envelope["AccessControllerEvent"]
        wanted = asked["major"] == event["majorEventType"] or (asked["major"] == 0 and self.firmware.major_zero)
        when = datetime.fromisoformat(envelope["dateTime"])
        start, end = (datetime.fromisoformat(asked[name]) for name in ("startTime", "endTime"))
        if self.firmware.serials == "taken":
            wanted = wanted and asked.get("beginSerialNo", 0) <= event["serialNo"] <= asked.get("endSerialNo", 2**53)
        return bool(wanted) and start <= when <= end

    def _row(self, envelope: dict[str, Any]) -> dict[str, Any]:
        event = envelope["AccessControllerEvent"]
        row = {_OLD_NAMES.get(name, name): value for name, value in event.items() if name not in _NOT_IN_LOG}
        if not self.firmware.serials_in_log:
            del row["serialNo"]
        when = datetime.fromisoformat(envelope["dateTime"])
        time = when if self.firmware.offsets else when.replace(tzinfo=None)
        return {
            **row,
            "time": time.isoformat(timespec="seconds"),
            "pictureURL": "http://192.0.2.64/LOCALS/pic/secret.jpeg",
        }

    # Stream -----------------------------------------------------------------------------------------

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """One client only; each connect brings the whole log first (facts/face 0.2)."""
        if self._streaming is not None and not self._streaming.done():
            return web.Response(status=404)
        self._streaming = asyncio.current_task()
        self.streams += 1
        answer = web.StreamResponse(headers={"Content-Type": f"multipart/mixed; boundary={BOUNDARY}"})
        await answer.prepare(request)
        waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.terminal.watchers.append(waiting.put_nowait)
        try:
            preface, self._preface = self._preface, ()
            for piece in preface:
                await answer.write(piece)
                await asyncio.sleep(_PIECE_S)
            for envelope in list(self.terminal.log):
                old = {**envelope["AccessControllerEvent"], "currentEvent": False}  # type: ignore[dict-item]
                await answer.write(_part({**envelope, "AccessControllerEvent": old}))
                await asyncio.sleep(0)  # whatever else is simulated in this loop goes on meanwhile
            while True:
                fresh: dict[str, Any] | None = None
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._stream_heartbeat_s):
                        fresh = await waiting.get()
                if fresh is None:
                    await answer.write(_part(self.terminal.envelope("heartBeat")))
                else:
                    await answer.write(_part(fresh) + _picture_part())
        finally:
            self.terminal.watchers.remove(waiting.put_nowait)


def _part(envelope: dict[str, Any]) -> bytes:
    body = json.dumps(envelope, ensure_ascii=False, indent="\t").encode()
    head = f'--{BOUNDARY}\r\nContent-Type: application/json; charset="UTF-8"\r\nContent-Length: {len(body)}\r\n\r\n'
    return head.encode() + body + b"\r\n"


def _picture_part() -> bytes:
    image = picture(20_000)
    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
    return head.encode() + image + b"\r\n"


def _xml(text: str) -> web.Response:
    return web.Response(text=f'<?xml version="1.0" encoding="UTF-8"?>{text}', content_type="application/xml")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
