"""The wire of a broker: the real uplink over a real socket, with a broker that says what it likes, and an honest one after it.

An input is two bytes and pieces between ``aa 55``. The first byte: 1 MQTT 3.1.1, 2 the gateway's clock is not trusted, 4 it says no
more in the end (else it hangs up), 8 so in three sessions (else in one), and from 16 on how many packets of each it answers as it
should first. The second: how many bytes of a piece come in one turn (0: all). Each further packet gets the next piece.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from instruments.virtual import VirtualLoop

from gateway.alerts import Priority
from gateway.events import Command, CommandRefused, DeviceHealth, Event, Health, Receipt
from gateway.nodes import Mark
from gateway.restraint import CommandAllowance
from gateway.site.model import Broker, Uplink
from gateway.uplink import wire
from gateway.uplink.mqtt import MqttUplink
from gateway.uplink.outbox import Message
from gateway.uplink.payloads import status_body

THEN_MS = 1_791_277_535_000
PREFIX = "loudong/v1/fukang/gw-1/"
BREAK = b"\xaa\x55"
CONNECT, PUBLISH, SUBSCRIBE, PINGREQ, DISCONNECT = 0x10, 0x30, 0x80, 0xC0, 0xE0
ALERTS = [
    Message(lane, sequence, f"{lane}-{sequence}/1", "alerts", f'{{"alert":"{lane}-{sequence}"}}'.encode())
    for lane in (Priority.CRITICAL, Priority.LOW)
    for sequence in (1, 2, 3)
]
STATUS = status_body("fukang", "gw-1", "run/1", wire.StatusData(state=wire.Presence.ONLINE), None)
SILENT_S = 60.0
"""How long it may stay odd: a session in which nothing can be sent would never end."""
WELL_S = 1_000.0
"""All rests of what was set aside are over by then."""
HANGS_S = 10.0
"""Of real time: who needs so much turns in a circle."""
MOST_GROWN = 48 << 20
"""Bytes by which all of it may grow by an input of at most ``mutation.LONGEST``."""


class _Outbox:
    """Six alerts in two lanes."""

    def __init__(self) -> None:
        self.cursors: dict[str, int] = {}
        self.kept_aside: list[tuple[str, int]] = []

    async def take(self, _: str, lane: str, n: int) -> list[Message]:
        return [one for one in ALERTS if one.lane == lane][self.cursors.get(lane, 0) :][:n]

    async def advance(self, _: str, lane: str, sequence: int) -> None:
        assert sequence > self.cursors.get(lane, 0), "a cursor moves forward only"
        self.cursors[lane] = sequence

    async def set_aside(self, _: str, lane: str, sequence: int) -> None:
        self.kept_aside.append((lane, sequence))

    async def settle(self, _: str, lane: str, sequence: int) -> None:
        self.kept_aside.remove((lane, sequence))

    async def aside(self, _: str) -> list[tuple[str, int]]:
        return list(self.kept_aside)

    async def find(self, lane: str, sequence: int) -> Message | None:
        return next(one for one in ALERTS if (one.lane, one.sequence) == (lane, sequence))

    def follow(self, _: Callable[[], None]) -> Callable[[], None]:
        return lambda: None


class _Kept:
    actions = ()

    async def durable(self) -> bool:
        return True


class _Broker:
    """Odd in its first sessions, then honest for ever."""

    def __init__(self, data: bytes) -> None:
        head, self.step = data[0], data[1]
        self.is_five, self.is_trusted, self.is_silent = not head & 1, not head & 2, bool(head & 4)
        self.odd_sessions, self.answers_first = 3 if head & 8 else 1, head >> 4
        self.pieces = data[2:].split(BREAK)
        self.got: set[bytes] = set()
        """Bodies that were answered as they should."""
        self.asked: set[tuple[bytes, bytes]] = set()
        """Packet identifiers and bodies that were not, or in another way."""
        self.is_subscribed = False
        """In an honest session."""
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        odd, self.odd_sessions = self.odd_sessions > 0, self.odd_sessions - 1
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(SILENT_S if odd else None):
                await (self._be_odd(reader, writer) if odd else self._be_honest(reader, writer))
        writer.transport.abort()

    async def _be_odd(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(self.answers_first):
            writer.write(self._answer(*await _packet(reader)))
        for piece in self.pieces:
            self._note(*await _packet(reader))
            step = self.step or max(1, len(piece))
            for at in range(0, len(piece), step):
                if writer.is_closing():
                    return
                writer.write(piece[at : at + step])
                await asyncio.sleep(0)
        while self.is_silent:
            self._note(*await _packet(reader))

    async def _be_honest(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            kind, body = await _packet(reader)
            if kind & 0xF0 == DISCONNECT:
                return
            self.is_subscribed |= kind & 0xF0 == SUBSCRIBE
            writer.write(self._answer(kind, body))

    def _note(self, kind: int, body: bytes) -> None:
        if kind & 0xF0 == PUBLISH:
            self.asked.add(_publish(body))

    def _answer(self, kind: int, body: bytes) -> bytes:
        match kind & 0xF0:
            case 0x10:
                return b"\x20\x03\0\0\0" if self.is_five else b"\x20\x02\0\0"
            case 0x80:
                return b"\x90" + (b"\x04%b\0\x01" if self.is_five else b"\x03%b\x01") % body[:2]
            case 0x30:
                mid, payload = _publish(body)
                self.got.add(payload)
                return b"\x40\x02" + mid
            case 0xC0:
                return b"\xd0\0"
        return b""

    def may_have_taken(self, body: bytes) -> bool:
        """An honest answer, or any bytes that may be one."""
        said = b"".join(self.pieces)
        return any(payload.endswith(body) for payload in self.got) or any(
            payload.endswith(body) and re.search(rb"[\x40-\x4f][\x80-\xff]{0,3}[\x00-\x7f]" + re.escape(mid), said)
            for mid, payload in self.asked
        )

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind, length, shift = (await reader.readexactly(1))[0], 0, 0
    while True:
        digit = (await reader.readexactly(1))[0]
        length, shift = length | (digit & 0x7F) << shift, shift + 7
        if not digit & 0x80:
            return kind, await reader.readexactly(length)


def _publish(body: bytes) -> tuple[bytes, bytes]:
    """Packet identifier, and all that stands behind it."""
    at = 2 + int.from_bytes(body[:2])
    return body[at : at + 2], body[at + 2 :]


@cache
def _loop() -> VirtualLoop:
    return VirtualLoop(patience_s=0.0005)  # both ends are in it, and loopback delivers at once


_STOPPED: list[asyncio.AbstractEventLoop] = []
"""Loops that were stopped in the middle; kept, for their end would be noisy."""


@contextlib.contextmanager
def _bounded(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Ends what turns in a circle; a virtual clock stands still in it. And nothing may be left behind in memory."""
    before = _resident()
    late = threading.Timer(HANGS_S, lambda: loop.call_soon_threadsafe(loop.stop))
    late.start()
    try:
        yield
    except RuntimeError as stopped:  # the loop's own word
        _STOPPED.append(loop)
        _loop.cache_clear()
        raise AssertionError("it turns in a circle") from stopped
    finally:
        late.cancel()
        late.join()
    assert _resident() - before < MOST_GROWN


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def mqtt_broker(data: bytes) -> None:
    """Whatever a broker says to the real uplink over a real socket, at any place of a session: nothing is raised, not even in a callback;
    nothing turns in a circle or grows; the core hears only of what is refused, and of orders and receipts that were said whole, the
    former of those who may; no alert counts as delivered that was not answered; and the next, honest broker gets all others and is
    subscribed to.
    """
    if len(data) < 2:
        return
    loop = _loop()
    faults: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    with contextlib.redirect_stdout(None), _bounded(loop):
        loop.run_until_complete(_met(_Broker(data)))
    assert not faults, faults


async def _met(broker: _Broker) -> None:
    events = list[Event]()

    def report(event: Event) -> _Kept:
        events.append(event)
        return _Kept()

    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    outbox = _Outbox()
    uplink = MqttUplink(
        Uplink(
            "city", (Broker("127.0.0.1"),), Mark("site.yaml", 1), server.sockets[0].getsockname()[1],
            "5" if broker.is_five else "3.1.1", principals={"duty": ("ack",)},
        ),
        "fukang", "gw-1", outbox, report, status=lambda: STATUS, devices=lambda: {"gas-501": b"{}"},
        wall_ms=lambda: THEN_MS if broker.is_trusted else None, beat=lambda: None, allowance=CommandAllowance(),
        chance=lambda: 1.0,
    )  # fmt: skip
    running = asyncio.ensure_future(uplink.run())
    try:
        async with asyncio.timeout(WELL_S):
            while not (_is_well(uplink, broker) and all(broker.may_have_taken(one.body) for one in ALERTS)):
                assert not running.done(), running.result()
                await asyncio.sleep(1.0)
    finally:
        broker.hang_up()
        server.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    _judge(events, b"".join(broker.pieces))
    for one in ALERTS:
        if one.sequence <= outbox.cursors.get(one.lane, 0) and (one.lane, one.sequence) not in outbox.kept_aside:
            assert broker.may_have_taken(one.body)


def _is_well(uplink: MqttUplink, broker: _Broker) -> bool:
    """A status that three sessions broke by is left out for a while, and said to be."""
    health, reason, _ = uplink.standing
    return (health, reason) in {(Health.OK, ""), (Health.FAULTY, "set_aside")} and broker.is_subscribed


def _judge(events: list[Event], said: bytes) -> None:
    for event in events:
        match event:
            case Command():
                assert (event.principal, event.verb) == ("duty", "ack")
                assert event.command_id.encode() in said
            case Receipt():
                assert event.message_id.encode() in said
            case _:
                assert isinstance(event, CommandRefused | DeviceHealth)


TARGETS = (mqtt_broker,)
