"""Asking a terminal: bounded, never led elsewhere, and never so often with a bad password that the account is locked."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import connector, web
from instruments.authority import Authority

from gateway.app.trades import fetch_web
from gateway.drivers.face import client as room
from gateway.drivers.face.client import TerminalClient
from gateway.faults import DeviceFault
from gateway.site import model

Open = Callable[..., Any]
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
def terminal(make_door: Open) -> Open:
    @asynccontextmanager
    async def served(
        answer: Answer, tls: ssl.SSLContext | None = None, ca_file: str = ""
    ) -> AsyncIterator[TerminalClient]:
        runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        history = model.History("events", "x", ca_file=ca_file)
        door = make_door(http_port=runner.addresses[0][1], https=tls is not None, history=history)
        client = TerminalClient(door, "p4ssword")
        try:
            yield client
        finally:
            await client.close()
            await runner.cleanup()

    return served


async def fault_of(asking: Awaitable[object]) -> DeviceFault:
    with pytest.raises(DeviceFault) as caught:
        await asking
    return caught.value


def test_an_answer_without_end_is_cut_off(terminal: Open) -> None:
    async def flood(request: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(40):
            await answer.write(b"x" * 65536)
        return answer

    async def scene() -> None:
        async with terminal(flood) as client:
            assert (await fault_of(client.get("/x"))).reason == "too_large"

    asyncio.run(scene())


def test_a_packed_answer_is_not_unpacked_here(terminal: Open) -> None:
    async def bomb(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b"\x1f\x8b\x08", headers={"Content-Encoding": "gzip"})

    async def scene() -> None:
        async with terminal(bomb) as client:
            assert await client.get("/x") == b"\x1f\x8b\x08"

    asyncio.run(scene())


def test_it_is_led_nowhere_else(terminal: Open) -> None:
    async def elsewhere(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "http://127.0.0.1:9/steal"})

    async def scene() -> None:
        async with terminal(elsewhere) as client:
            fault = await fault_of(client.post("/x", {"a": 1}))
            assert (fault.reason, fault.detail) == ("http_status", "302")

    asyncio.run(scene())


def test_one_that_never_answers(terminal: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ASK_LIMIT_S", 0.2)

    async def silent(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    async def scene() -> None:
        async with terminal(silent) as client:
            assert (await fault_of(client.get("/x"))).reason == "timeout"

    asyncio.run(scene())


@pytest.mark.parametrize(
    "challenge", ["", "Basic realm=x", "Digest", 'Digest realm="x"', 'Digest realm="x", nonce="n", algorithm=ROT13']
)
def test_a_challenge_of_any_sort_is_a_refusal(terminal: Open, challenge: str) -> None:
    async def refuse(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    async def scene() -> None:
        async with terminal(refuse) as client:
            assert (await fault_of(client.get("/x"))).reason in {"login_refused", "unreachable"}

    asyncio.run(scene())


def test_a_refused_login_is_left_alone_for_as_long_as_the_terminal_says(
    terminal: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def refuse(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.headers.get("Authorization", ""))
        body = "<userCheck><unlockTime>4000</unlockTime></userCheck>" if len(asked) > 2 else ""
        challenge = {"WWW-Authenticate": 'Digest realm="x", nonce="n", qop="auth"'}
        return web.Response(status=401, text=body, headers=challenge)

    async def scene() -> None:
        async with terminal(refuse) as client:
            first = await fault_of(client.get("/x"))
            assert (first.reason, first.detail) == ("login_refused", "asks again in 60 s")
            for _ in range(5):
                await fault_of(client.get("/x"))
            assert len(asked) == 2, "the challenge and one answer to it"
            client._locked_until = 0.0
            assert (await fault_of(client.get("/x"))).detail == "asks again in 4000 s"
            client._locked_until = 0.0

    asyncio.run(scene())


def test_a_terminals_certificate_is_the_one_the_site_file_names_or_anyones(
    terminal: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever aiohttp believes by itself: that is nobody, where its trade was fetched for a site."""
    for name in ("_SSL_CONTEXT_VERIFIED", "_SSL_CONTEXT_UNVERIFIED"):
        monkeypatch.setattr(connector, name, getattr(connector, name))  # put back what the trade changes
    fetch_web()
    own, other = Authority(tmp_path, "own"), Authority(tmp_path, "other")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*own.issue("terminal"))

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b"here")

    async def scene() -> None:
        for believed in ("", own.ca_file):
            async with terminal(answer, tls, believed) as client:
                assert await client.get("/x") == b"here"
        async with terminal(answer, tls, other.ca_file) as client:
            assert (await fault_of(client.get("/x"))).reason == "unreachable"

    asyncio.run(scene())


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_who_has_no_certificate_to_believe_is_not_sent_to_look_for_a_cable(
    make_door: Open, tmp_path: Path, content: str | None
) -> None:
    """Was: cannot be reached."""
    file = tmp_path / "door.pem"
    if content is not None:
        file.write_text(content)

    async def scene() -> None:
        client = TerminalClient(
            make_door(https=True, history=model.History("events", "x", ca_file=str(file))), "p4ssword"
        )
        fault = await fault_of(client.get("/x"))
        assert (fault.reason, fault.detail) == ("ca_file_unreadable", str(file))

    asyncio.run(scene())


def test_of_aiohttps_own_contexts_nothing_is_held_and_nobody_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_SSL_CONTEXT_VERIFIED", "_SSL_CONTEXT_UNVERIFIED"):
        monkeypatch.setattr(connector, name, getattr(connector, name))
    fetch_web()
    for context in (connector._SSL_CONTEXT_VERIFIED, connector._SSL_CONTEXT_UNVERIFIED):
        assert context.cert_store_stats()["x509"] == 0
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_who_unescapes_has_the_whole_table_although_aiohttp_came_without() -> None:
    """In a process of its own: here everything was imported long ago."""
    script = (
        "from gateway.app.trades import fetch_web; fetch_web();"
        "import html, aiohttp.web_protocol as web;"
        "print(html.unescape('&eacute;&notin;'), web.html_escape('<é>'), web.html_escape is html.escape)"
    )
    said = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", script], capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert said.stdout == "é∉ &lt;é&gt; False\n"
