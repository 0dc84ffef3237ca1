"""Targets that are more than a call: a door behind its real parser, a file behind its real reader. As in ``targets.py``."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import tempfile
import zlib
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from wire.face_bodies import CANARIES, EMPLOYEE

from gateway.actions import Action
from gateway.app import crashes
from gateway.app.compound import BUILTIN
from gateway.app.rehearsal import rehearse
from gateway.app.rulefile import is_rule_file, quiet_evening, with_rules
from gateway.control.protocol import Refusal, decode_line, encode
from gateway.drivers.face.client import MAX_ANSWER, TerminalClient
from gateway.drivers.face.intake import Intake
from gateway.drivers.face.listener import TerminalListener, _Server
from gateway.drivers.face.serials import Remembered
from gateway.drivers.modbus import frames
from gateway.drivers.modbus.dial_in import DialInWire, Reception, _Caller
from gateway.drivers.modbus.mbap import MbapLine
from gateway.events import Entry, Event, Press, PressKind
from gateway.faults import DeviceFault
from gateway.instant import ClockQuality, Instant, Stamp
from gateway.nodes import Faults, Mark
from gateway.site import model
from gateway.site.reading import load_site
from gateway.site.report import render
from gateway.store import registry, telemetry
from gateway.store.persons import NAME, PersonKeys
from gateway.store.registry import Registry
from gateway.store.rows import JournalRow

THEN_MS = 1_791_277_535_000
TELLING = tuple(canary for canary in CANARIES if canary != EMPLOYEE)
TURNS = 400
"""Turns of the loop in which a door must have said what it has to say: none of it waits for time."""


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """One for all inputs: making one costs more than most of them."""
    return asyncio.new_event_loop()


def _run(story: Coroutine[Any, Any, object]) -> None:
    _loop().run_until_complete(_alone(story))


async def _alone(story: Coroutine[Any, Any, object]) -> None:
    """Whatever it began ends with it."""
    await story
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


# Modbus ---------------------------------------------------------------------------------------------------------


class _Wire:
    """A connection that says what it is told to say."""

    baud, char_s, dials, name = 0, 0.0, True, "fuzz"

    def __init__(self) -> None:
        self.is_open = False

    async def open(self, hear: Callable[[bytes], None], lost: Callable[[str], None]) -> None:
        self.hear, self.lost, self.is_open = hear, lost, True

    def glance(self) -> None: ...

    def send(self, data: bytes) -> None: ...

    def close(self) -> None:
        self.is_open = False

    def end(self) -> None:
        self.close()


def modbus_mbap(data: bytes) -> None:
    """Whatever a Modbus TCP peer says, in whatever pieces: what is taken for an answer stood in a frame of the transaction, unit,
    function and length asked for; else it is a named fault, and the next question can be asked.
    """
    unit, count, step = (1 + data[0] % 247, 1 + data[1] % 60, 1 + data[2]) if len(data) > 2 else (1, 1, 1)
    _run(_mbap(frames.read_request(unit, frames.Space.HOLDING, 0, count), data[3:], step))


async def _mbap(request: frames.Request, said: bytes, step: int) -> None:
    wire = _Wire()
    line = MbapLine(wire, outstanding=2)
    await line.connect()
    asking = [asyncio.ensure_future(line.send(request, 60_000)) for _ in range(2)]
    await asyncio.sleep(0)
    for at in range(0, len(said), step):
        if wire.is_open:
            wire.hear(said[at : at + step])
    if wire.is_open:
        wire.lost("hung up")
    for transaction, one in enumerate(asking, 1):
        try:
            body = await one
        except DeviceFault as fault:
            assert fault.reason in {"wrong_answer", "port_gone", "timeout", "exception"}, fault  # noqa: PT017 - both ways out are judged
            continue
        frame = request.head + body
        assert len(frame) == request.size - 2
        assert transaction.to_bytes(2) + b"\0\0" + len(frame).to_bytes(2) + frame in said
    await line.connect()
    assert line.connected


def dial_in(data: bytes) -> None:
    """Who dials in is the bus whose registration he said whole and from whose address he comes, whatever pieces it came in; what he
    said behind it, and nothing else, is heard; everybody else is turned away or has not said enough.
    """
    if data:
        _run(_dials(data[1:], 1 + data[0] % 16, "10.0.0.9" if data[0] & 0x80 else "10.0.0.1"))


async def _dials(said: bytes, step: int, peer: str) -> None:
    reception = Reception("127.0.0.1", 0)
    guests = {
        name: DialInWire(reception, registration=name, heartbeat=b"\xfe\xfe\xfe\xfe", peer=only)
        for name, only in ((b"gate-0001", ""), (b"gate-00012", "10.0.0.1"), (b"\x01\x03", "10.0.0.9"))
    }
    heard: dict[bytes, list[bytes]] = {name: [] for name in guests}
    for name, guest in guests.items():
        reception._guests.append(guest)
        guest._hear = heard[name].append
    caller = _Caller(reception)
    caller.peer = peer
    taken = ()
    for at in range(0, len(said), step):
        caller.hear(said[at : at + step])
        taken = tuple(name for name, guest in guests.items() if guest._connection is caller)
        if taken or reception.strangers:
            break
    assert len(taken) + min(1, reception.strangers) <= 1
    for name, guest in guests.items():
        if name not in taken:
            assert not heard[name]
            continue
        assert said.startswith(name)
        assert guest.peer in {"", peer}
        assert said[len(name) :].startswith(b"\xfe\xfe\xfe\xfe" * guest.heartbeats + b"".join(heard[name]))


# Terminals ------------------------------------------------------------------------------------------------------


class _Kept:
    actions: tuple[Action, ...] = ()

    def durable(self) -> Awaitable[bool]:
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        kept.set_result(True)
        return kept


class _Memory:
    def serials(self, door: str) -> Remembered:
        return Remembered()

    def has_seen(self, door: str, key: str) -> bool:
        return False

    def paired(self, door: str) -> str:
        return ""

    def stands_at(self, door: str) -> str:
        return ""

    def awaits(self, entry: Entry) -> bool:
        return False


def _door(name: str = "gate", **more: Any) -> model.Door:
    return model.Door(name, "hikvision", "b1", Mark("site.yaml", 1), **{"direction": "in", "enrolment": "c", **more})


_REPLY = re.compile(rb"HTTP/\d\.\d (\d{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")


def face_listener(data: bytes) -> None:
    """Raw bytes to the terminals' HTTP door, in pieces: at most one reply (and before it a 100), without a body, never 500, which
    says nothing of what was sent; a push is 200 only with what was reported; and the door stands for the next.
    """
    _run(_pushed(data[1:], 1 + (data[0] if data else 0) * 8))


async def _pushed(said: bytes, step: int) -> None:
    loop, events = asyncio.get_running_loop(), list[Event]()

    def report(event: Event) -> _Kept:
        events.append(event)
        return _Kept()

    doors = {"gate": _door(), "safe": _door("safe", username="lou")}
    intake = Intake(doors, b"k" * 32, lambda: THEN_MS, report, lambda: Instant(0), _Memory())  # type: ignore[arg-type]  # a fake memory
    listener = TerminalListener(
        model.Listener("", 0), intake, dict.fromkeys(doors, "t"), {"safe": "right"}, lambda: None
    )
    listener._bug = loop.create_future()
    server = _Server(listener._answer, listener.counters)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    transport, _ = await loop.connect_accepted_socket(server, theirs)
    got = bytearray()
    try:
        for at in range(0, len(said), step):
            with suppress(OSError):
                ours.send(said[at : at + step])
            await asyncio.sleep(0)
        for _ in range(TURNS):
            await asyncio.sleep(0)
            with suppress(BlockingIOError, ConnectionError):
                if not (more := ours.recv(65_536)):
                    break
                got += more
    finally:
        ours.close()
        transport.abort()
        await asyncio.sleep(0)
        await server.shutdown(0.0)
    if listener._bug.done():
        listener._bug.result()
    reply = bytes(got).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    if not reply:
        return
    whole = _REPLY.fullmatch(reply)
    assert whole, reply[:300]
    status, heads = int(whole[1]), whole[2].lower()
    assert status in {200, 400, 401, 403, 404, 405, 408, 413, 503}, status
    assert b"content-length: 0\r\n" in heads
    names = {line.partition(b":")[0] for line in heads.splitlines()}
    assert names <= {b"content-length", b"content-type", b"date", b"server", b"connection", b"www-authenticate"}, names
    assert status in {200, 408} or not events


def face_answer(data: bytes) -> None:
    """What a terminal answers to a question, as raw HTTP: a body of bounded size, or a named fault that quotes nothing of it."""
    _run(_asked(data))


async def _asked(data: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    history = model.History("events", "p")
    client = TerminalClient(
        _door(address="127.0.0.1", http_port=server.sockets[0].getsockname()[1], history=history), "right"
    )
    try:
        body = await client.get("/ISAPI/System/deviceInfo")
        assert len(body) <= MAX_ANSWER + 65_536
    except DeviceFault as fault:
        assert fault.reason in {"login_refused", "http_status", "unreachable", "too_large", "timeout"}  # noqa: PT017 - as above
        assert not [canary for canary in TELLING if canary in str(fault)]  # noqa: PT017 - as above
    finally:
        await client.close()
        server.close()


# The control socket ---------------------------------------------------------------------------------------------


def control_answer(data: bytes) -> None:
    """A line of an answer is a line that is written as it was read, or refused as malformed."""
    try:
        line = decode_line(data)
    except Refusal as refusal:
        assert refusal.reason == "malformed"  # noqa: PT017 - as above
        return
    assert decode_line(encode(line)) == line


# Files of the state folder --------------------------------------------------------------------------------------


def telemetry_block(data: bytes) -> None:
    """A block of samples, as it lies there or before it is deflated: those of the series asked for, which come back from a block of
    their own as they are, or none.
    """
    for body in (data, zlib.compress(data, 1)):
        found = list(telemetry.decode(body, "air", "co2"))
        assert all((one.device, one.point) == ("air", "co2") for one in found)
        if found and all(abs(one.at) < 1 << 62 for one in found):
            assert repr(list(telemetry.decode(telemetry.encode(found)[2], "air", "co2"))) == repr(found)


def persons_keys(data: bytes) -> None:
    """Whatever the keys' file holds it is read; rows can be sealed and opened with it, and what is forgotten or old leaves a file that
    reads the same.
    """
    row = JournalRow(5 * 86_400_000, "r.1", "entry", b'{"event":"entry"}', 1, "p-1")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / NAME
        file.write_bytes(data)
        file.chmod(0o600)
        keys = PersonKeys(Path(folder))
        keys.unseal(JournalRow(0, "r.1", "entry", data))
        sealed = keys.seal(row)
        assert keys.unseal(sealed) == row
        assert PersonKeys(Path(folder)).unseal(sealed) == row
        keys.forget("p-2")
        assert keys.unseal(sealed) == row
        keys.expire(3 * 86_400_000)
        assert PersonKeys(Path(folder)).unseal(sealed) == row
        assert keys.forget("p-1")
        assert b'"p-1"' not in file.read_bytes()


class _Clock:
    def stamp(self) -> Stamp:
        return Stamp("boot-1", 1_000_000, THEN_MS, ClockQuality.SYNCED)

    def boottime_ms(self) -> int:
        return 1_000_000


def crashes_file(data: bytes) -> None:
    """What is known of crashes keeps nobody from starting; the file is read or set aside, and the next crash is remembered in it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / crashes.NAME
        file.write_bytes(data)
        press = Press("sos-301", PressKind.SINGLE)
        with contextlib.redirect_stdout(None):
            known = crashes.Crashes(Path(folder), _Clock(), "1.0", "site")
            known.quarantines(press)
            assert file.exists() != bool(list(Path(folder).glob("*.damaged-1")))
            known.remember(None)
            assert all(isinstance(kind, str) for kind in known.kinds)
            before = len(list(Path(folder).glob("*.damaged-*")))
            crashes.Crashes(Path(folder), _Clock(), "1.0", "site")
            assert len(list(Path(folder).glob("*.damaged-*"))) == before, "what was written is read"


def registry_file(data: bytes) -> None:
    """What was learnt is read or set aside; what is learnt now is kept, and read again."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(None):
        (Path(folder) / registry.NAME).write_bytes(data)
        known = Registry(Path(folder), lambda: 0)
        known.note("button", "sos-301", {"rssi_dbm": -70})
        assert known.flush()
        again = Registry(Path(folder), lambda: 0)
        assert again.counters.set_aside == 0
        assert again.get("button", "sos-301") == known.get("button", "sos-301")
        assert again.get("button", "sos-301")["rssi_dbm"] == -70


# Rules ----------------------------------------------------------------------------------------------------------


@cache
def _site() -> model.Site:
    text = """
site: fukang
gateway: main
timezone: Asia/Shanghai
places: { b1: B1, b1/s1: S1, b1/s1/101: F }
people: { head: { roles: [answer, shelve] } }
grid: { building: { b1: [head] } }
buses: { line: { port: /dev/serial/by-id/a, devices: {
  gas-101: { profile: combustible-gas-6in1, unit_id: 1, place: b1/s1/101 } } } }
buttons: { sos-101: { address: "A4:C1:38:00:00:01", place: b1/s1/101 } }
"""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "site.yaml").write_text(text, encoding="utf-8")
        site = load_site(Path(folder) / "site.yaml", Faults(), BUILTIN)
    assert site is not None
    return site


def rule_file(data: bytes) -> None:
    """A rule file is a world whose examples can be played, or faults with their lines, in both languages."""
    with tempfile.TemporaryDirectory() as folder:
        file, faults = Path(folder) / "rules.yaml", Faults()
        file.write_bytes(data)
        if is_rule_file(file):
            world = with_rules(_site(), file, faults)
            assert world is not None or faults.errors
            if world is not None and not faults.errors:
                rehearse(world[1], quiet_evening(world[0]), faults, str(file))
        assert all(render(faults, language) or not faults.found for language in ("en", "zh"))


TARGETS = (
    modbus_mbap, dial_in, face_listener, face_answer, control_answer, telemetry_block, persons_keys, crashes_file,
    registry_file, rule_file,
)  # fmt: skip
