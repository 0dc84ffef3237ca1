"""Parts for the uplink's tests: an outbox in memory, a core that answers everything, a line that can be cut, brokers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import msgspec
import pytest
from instruments.authority import Authority

from gateway.actions import Reply
from gateway.alerts import Alert, Change, ChangeKind, Grade, Priority, alert_id
from gateway.events import Command, DeviceHealth, Receipt
from gateway.instant import Anchor, Instant
from gateway.nodes import Mark
from gateway.restraint import CommandAllowance
from gateway.sim.broker import EmbeddedBroker, Mosquitto
from gateway.site.model import Broker, Uplink
from gateway.uplink import wire
from gateway.uplink.mqtt import MqttUplink
from gateway.uplink.outbox import Message
from gateway.uplink.payloads import Wording, alert_body, status_body

SOURCE = "/loudong/v1/fukang/gw-1"


class MemoryOutbox:
    """Keeps the promises of ``Outbox`` without a disk; outlives sessions as the real one outlives the process."""

    def __init__(self):
        self.messages = {lane.value: [] for lane in Priority}
        self.cursors, self.kept_aside = {}, []
        self.on_advance = None
        self._followers = []

    def add(self, lane, n=1, longer=0):
        """``longer``: so many blanks more than usual."""
        kept = self.messages[lane]
        for _ in range(n):
            usual = alert_message(lane, len(kept) + 1)
            kept.append(msgspec.structs.replace(usual, body=usual.body + b" " * longer))
        for call in tuple(self._followers):
            call()

    async def take(self, uplink, lane, n):
        start = self.cursors.get((uplink, lane), 0)
        return self.messages[lane][start : start + n]

    async def advance(self, uplink, lane, sequence):
        assert sequence > self.cursors.get((uplink, lane), 0), "a cursor moves forward only"
        self.cursors[uplink, lane] = sequence
        if self.on_advance:
            self.on_advance(lane, sequence)

    async def set_aside(self, uplink, lane, sequence):
        self.kept_aside.append((lane, sequence))

    async def settle(self, uplink, lane, sequence):
        self.kept_aside.remove((lane, sequence))

    async def aside(self, uplink):
        return list(self.kept_aside)

    async def find(self, lane, sequence):
        return self.messages[lane][sequence - 1]

    def follow(self, call):
        self._followers.append(call)
        return lambda: self._followers.remove(call)


def alert_message(lane, sequence):
    ident = alert_id("fukang", "gas-high", f"flat-{sequence}", lane)
    alert = Alert(
        ident,
        1,
        "gas-high",
        f"flat-{sequence}",
        "b3/1/501",
        Priority(lane),
        Grade.BIG,
        lane,
        Instant(0),
        Instant(0),
        (),
    )
    body = alert_body(
        "fukang",
        "gw-1",
        Change(ChangeKind.RAISED, Instant(0), alert),
        sequence,
        Priority(lane),
        anchor_at=lambda _: Anchor(1_700_000_000_000),
        boot_id="boot",
        run="run",
        now=Instant(500),
        durable=True,
        wording=Wording(),
    )
    return Message(lane, sequence, f"{ident}/1", "alerts", body)


class Ticket:
    def __init__(self, actions, durable):
        self.actions, self._durable = actions, durable

    async def durable(self):
        if isinstance(self._durable, asyncio.Event):
            await self._durable.wait()
        return True


class Core:
    """Answers every command with ``verdict``; remembers what was reported."""

    def __init__(self):
        self.events = []
        self.verdict = "done"
        self.disk = None
        """An Event that stands for the next commit; None: at once."""

    def report(self, event):
        self.events.append(event)
        replies = ()
        if isinstance(event, Command):
            done, reason = self.verdict == "done", self.verdict
            replies = (Reply(event.command_id, event.principal, accepted=done, reason=reason, alert=event.alert),)
        return Ticket(replies, self.disk)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def commands(self):
        return self.of(Command)

    @property
    def receipts(self):
        return self.of(Receipt)

    @property
    def health(self):
        return [(event.health.value, event.reason) for event in self.of(DeviceHealth)]


class Gateway:
    """One uplink with its outbox and core."""

    def __init__(
        self,
        port,
        outbox=None,
        core=None,
        wall_ms=None,
        password=None,
        answer_s=3.0,
        probe_s=0.1,
        nobody_s=0.0,
        allowance=None,
        **fields,
    ):
        self.outbox, self.core = outbox or MemoryOutbox(), core or Core()
        self.state = wire.Presence.ONLINE
        self.bodies = {"gas-501": b'{"device":"gas-501"}', "button-7": b'{"device":"button-7"}'}
        self.statuses = 0
        given = {
            "id": "city",
            "hosts": (Broker("127.0.0.1"),),
            "principals": {"duty": ("ack", "close", "duty-check")},
            **fields,
        }
        self.uplink = Uplink(mark=Mark("site.yaml", 1), port=port, **given)
        self.mqtt = MqttUplink(
            self.uplink,
            "fukang",
            "gw-1",
            self.outbox,
            self.core.report,
            status=self.status,
            devices=lambda: self.bodies,
            password=password,
            wall_ms=wall_ms or (lambda: time.time_ns() // 1_000_000),
            beat=lambda: None,
            allowance=allowance or CommandAllowance(),
            answer_s=answer_s,
            backoff_max_s=0.3,
            probe_s=probe_s,
            nobody_s=nobody_s,
        )

    @property
    def up(self):
        """The broker takes our messages, as the core was last told."""
        return self.core.health[-1:] == [("ok", "")]

    def status(self):
        self.statuses += 1
        return status_body("fukang", "gw-1", f"run/{self.statuses}", wire.StatusData(state=self.state), None)


class Relay:
    """A TCP line between gateway and broker that can be cut, frozen, or deprived of its answers."""

    def __init__(self, to_port):
        self._to, self.port, self.mute, self.frozen = to_port, 0, False, False
        self.cuts_at = None
        """Upward bytes that break the line they come over."""
        self._writers, self._server = set(), None

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self.cut()

    def cut(self):
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader, writer):
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, up_writer}
        await asyncio.gather(self._pump(reader, up_writer, down=False), self._pump(up_reader, writer, down=True))

    async def _pump(self, reader, writer, *, down):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self.frozen or (down and self.mute):
                    continue
                if not down and self.cuts_at is not None and self.cuts_at in data:
                    break
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


async def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something that must come; fails by name if it does not."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(*jobs):
    """Run these beside the test; one that ends by itself is a failure."""
    tasks = [asyncio.create_task(job.run()) for job in jobs]
    try:
        yield
        assert not [task for task in tasks if task.done()], "a job that runs for ever ended"
    finally:
        for task in tasks:
            task.cancel()
        outcome = await asyncio.gather(*tasks, return_exceptions=True)
        bugs = [one for one in outcome if isinstance(one, Exception)]
        if bugs:
            raise bugs[0]


class _House:
    """What tests may use; a fixture, because test folders are no packages."""

    MemoryOutbox, Core, Gateway, Relay, Authority = MemoryOutbox, Core, Gateway, Relay, Authority
    source, until, running = SOURCE, staticmethod(until), staticmethod(running)
    alert_message = staticmethod(alert_message)


@pytest.fixture
def house():
    return _House


@pytest.fixture
def mosquitto(tmp_path):
    """Starts a Mosquitto with these arguments; all end with the test."""
    yield from _brokers(Mosquitto, tmp_path)


@pytest.fixture
def nats(tmp_path):
    yield from _brokers(EmbeddedBroker, tmp_path)


def _brokers(kind, tmp_path):
    if kind.path() is None:
        pytest.skip(f"{kind.program} is not installed")
    started = []

    def start(**arguments):
        broker = kind(tmp_path / f"{kind.program}-{len(started)}", **arguments)
        started.append(broker)
        broker.start()
        return broker

    yield start
    for broker in started:
        broker.kill()


@pytest.fixture(params=["mosquitto-5", "mosquitto-3.1.1", "nats-3.1.1"])
def broker(request):
    """(broker, protocol) for each pair that the contract names."""
    name, protocol = request.param.split("-")
    return request.getfixturevalue(name)(), protocol
