"""The simulated terminal against a real HTTP server: what it sends, that it counts, and that it never gives up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from gateway.drivers.face.isapi import Decoded, Terminal, decode
from gateway.drivers.face.persons import sealer
from gateway.sim.terminal import CANARIES, SimTerminal, picture

GATE = Terminal("gate", sealer(b"k"))


class Desk:
    """Takes pushes and answers as told."""

    def __init__(self) -> None:
        self.pushes: list[tuple[str, bytes]] = []
        self.answers: list[int] = []
        """Statuses still to give; 200 when used up."""
        self.url = ""

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        self.pushes.append((request.headers["Content-Type"], await request.read()))
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    def decoded(self) -> list[Decoded]:
        return [decode(body, content_type, GATE, None) for content_type, body in self.pushes]

    def codes(self) -> list[str]:
        return [entry.code for decoded in self.decoded() for entry in decoded.entries]


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    found = Desk()
    server = await asyncio.get_running_loop().create_server(web.Server(found.take), "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hikvision/gate/token"
    try:
        yield found
    finally:
        server.close()


DOINGS = {
    "pass_known": "5/75", "pass_card": "5/1", "stranger": "5/76", "blocklisted": "5/113", "duress": "1/1034",
    "door_forced": "5/27", "door_opened": "5/25", "door_closed": "5/26", "held_open": "5/28", "exit_button": "5/23",
    "tamper": "1/1028", "log_nearly_full": "1/1035", "ask_to_open": "5/75",
}  # fmt: skip


@pytest.mark.parametrize("style", ["multipart", "json", "xml"])
def test_everything_it_can_do_arrives_in_order(style: str) -> None:
    async def scene() -> None:
        async with desk() as here, SimTerminal(here.url, style=style, first_serial=217) as terminal:
            serials = [getattr(terminal, doing)() for doing in DOINGS]
            await terminal.settled()
            assert here.codes() == list(DOINGS.values())
            entries = [entry for decoded in here.decoded() for entry in decoded.entries]
            assert [entry.seq for entry in entries] == serials == list(range(217, 217 + len(DOINGS)))
            assert [entry.prev_seq for entry in entries] == [s - 1 for s in serials[:-1]] + [None]
            assert entries[-1].type == "access.verify_request"
            assert all(entry.live for entry in entries)
            assert [caused.serial for caused in terminal.caused] == serials

    asyncio.run(scene())


def test_it_resends_the_same_until_200() -> None:
    async def scene() -> None:
        async with desk() as here, SimTerminal(here.url, retry_s=0.01) as terminal:
            here.answers = [503, 500, 403]
            terminal.pass_known()
            terminal.door_opened()
            await terminal.settled()
            assert here.codes() == ["5/75"] * 4 + ["5/25"]
            assert len({body for _, body in here.pushes[:4]}) == 1
            assert terminal.answers == [503, 500, 403, 200, 200]
            assert len(terminal.caused) == 2

    asyncio.run(scene())


def test_nobody_there_is_waited_for() -> None:
    async def scene() -> None:
        async with desk() as here, SimTerminal("http://127.0.0.1:9/x", retry_s=0.01) as terminal:
            terminal.door_forced()
            with pytest.raises(TimeoutError):
                await terminal.settled(0.1)
            terminal.url = here.url
            await terminal.settled()
            assert here.codes() == ["5/27"]
            assert terminal.answers[0] == 0

    asyncio.run(scene())


def test_a_cut_network_makes_history() -> None:
    async def scene() -> None:
        async with desk() as here, SimTerminal(here.url) as terminal:
            terminal.cut_network()
            terminal.stranger()
            await asyncio.sleep(0.05)
            assert not here.pushes
            terminal.restore_network()
            terminal.door_opened()
            await terminal.settled()
            entries = [entry for decoded in here.decoded() for entry in decoded.entries]
            assert [entry.live for entry in entries] == [False, True]
            assert [caused.offline for caused in terminal.caused] == [True, False]

    asyncio.run(scene())


@pytest.mark.parametrize("style", ["multipart", "json", "xml"])
def test_heartbeats(style: str) -> None:
    async def scene() -> None:
        async with desk() as here, SimTerminal(here.url, style=style, heartbeat_s=0.02) as terminal:
            assert await terminal.heartbeat() == 200
            while len(here.pushes) < 3:
                await asyncio.sleep(0.01)
            assert {decoded.outcome for decoded in here.decoded()} == {"heartbeat"}

    asyncio.run(scene())


def test_its_bodies_hold_the_canaries_and_a_picture() -> None:
    async def scene() -> Any:
        async with desk() as here, SimTerminal(here.url, picture_bytes=70_000) as terminal:
            terminal.pass_card()
            terminal.blocklisted()
            await terminal.settled()
            return here.pushes

    pushes = asyncio.run(scene())
    everything = b"".join(body for _, body in pushes)
    assert all(canary.encode() in everything for canary in CANARIES if canary != "/9j/")
    assert picture(70_000) in pushes[0][1]
    assert len(picture(70_000)) == 70_000
    assert not [canary for canary in CANARIES if canary in repr([decode(b, t, GATE, None) for t, b in pushes])]
    assert json.loads(pushes[0][1].split(b"\r\n\r\n")[1].split(b"\r\n--")[0])["eventType"] == "AccessControllerEvent"


def test_outside_its_context_it_says_so() -> None:
    with pytest.raises(RuntimeError):
        asyncio.run(SimTerminal("http://127.0.0.1:9/x").heartbeat())
