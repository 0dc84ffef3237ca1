"""A front door with a running listener, whose inbox (and memory) is a fake with the same promises as the real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from gateway.actions import Action
from gateway.drivers.face.intake import Intake
from gateway.drivers.face.listener import TerminalListener
from gateway.drivers.face.serials import Remembered
from gateway.events import Entry, Event
from gateway.instant import Instant
from gateway.nodes import Mark
from gateway.site import model

TOKEN = "s3cret-token"
KEY = b"k" * 32
NOW_MS = 1_791_277_540_000  # 2026-10-06 17:05:40 +08:00, five seconds behind the bodies of tests/wire


class FakeTicket:
    def __init__(self, inbox: FakeInbox) -> None:
        self.inbox = inbox

    @property
    def actions(self) -> tuple[Action, ...]:
        return ()

    def durable(self) -> Awaitable[bool]:
        return self._committed()

    async def _committed(self) -> bool:
        await self.inbox.commit.wait()
        return self.inbox.disk_good


class FakeInbox:
    """Takes every event at once; commits while ``commit`` is set."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.commit = asyncio.Event()
        self.commit.set()
        self.disk_good = True
        self.at = Instant(0)
        self.before: dict[str, Remembered] = {}
        """What a run before this one left."""
        self.pins: dict[str, str] = {}
        self.named: dict[str, str] = {}
        self.under_care: set[str | None] = set()

    def now(self) -> Instant:
        return self.at

    def serials(self, door: str) -> Remembered:
        return self.before.get(door, Remembered())

    def has_seen(self, door: str, key: str) -> bool:
        return any(entry.key == key and entry.terminal == door for entry in self.of(Entry))

    def paired(self, door: str) -> str:
        return self.pins.get(door, "")

    def stands_at(self, door: str) -> str:
        return self.named.get(door) or self.paired(door)

    def awaits(self, entry: Entry) -> bool:
        return entry.person in self.under_care

    def report(self, event: Event) -> FakeTicket:
        self.events.append(event)
        return FakeTicket(self)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class Front:
    """The listener and what is needed to talk to it."""

    def __init__(
        self, listener: TerminalListener, intake: Intake, inbox: FakeInbox, http: aiohttp.ClientSession
    ) -> None:
        self.listener, self.intake, self.inbox, self.http = listener, intake, inbox, http
        self.running: asyncio.Task[None] | None = None

    def url(self, door: str = "gate", token: str = TOKEN, vendor: str = "hikvision") -> str:
        return f"http://127.0.0.1:{self.listener.port}/{vendor}/{door}/{token}"

    async def push(self, body: bytes | Any, content_type: str = "application/json", **options: Any) -> int:
        url = options.pop("url", None) or self.url()
        headers = {"Content-Type": content_type, **options.pop("headers", {})}
        async with self.http.post(url, data=body, headers=headers, **options) as answer:
            assert await answer.read() == b"", "a reply says nothing, least of all yes"
            return answer.status

    async def raw(self, data: bytes, *, pause_s: float = 0.0, limit_s: float = 60.0) -> bytes:
        """Bytes on a bare connection, and all that comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        try:
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(pause_s)
            return await asyncio.wait_for(reader.read(), limit_s)
        finally:
            writer.close()


def door(name: str = "gate", **changes: Any) -> model.Door:
    fields = {"vendor": "hikvision", "place": "b1/s1", "mark": Mark("site.yaml", 1), "address": "127.0.0.1"}
    return model.Door(**{"id": name, **fields, "direction": "in", "enrolment": "compound", **changes})


@asynccontextmanager
async def open_front(
    *doors: model.Door,
    now_ms: Callable[[], int | None] = lambda: NOW_MS,
    passwords: Mapping[str, str] | None = None,
    inbox: FakeInbox | None = None,
) -> AsyncIterator[Front]:
    inbox = inbox or FakeInbox()
    known = {d.id: d for d in doors or (door(),)}
    beats: list[None] = []
    intake = Intake(known, KEY, now_ms, inbox.report, inbox.now, inbox)
    tokens = dict.fromkeys(known, TOKEN)
    listener = TerminalListener(
        model.Listener("127.0.0.1", 0), intake, tokens, passwords or {}, lambda: beats.append(None)
    )
    running = asyncio.create_task(listener.run())
    await asyncio.wait_for(listener.ready.wait(), 60)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
        front = Front(listener, intake, inbox, http)
        front.running = running
        try:
            yield front
        finally:
            running.cancel()
            await asyncio.wait({running})
    assert beats


@pytest.fixture
def front_door() -> Callable[..., Any]:
    """Opens a listener: ``async with front_door(door(...), …) as front``."""
    return open_front


@pytest.fixture
def make_door() -> Callable[..., model.Door]:
    return door
