"""A duty office to test against: it takes every alert once, counts what came twice or in the wrong order, and answers.

It is also the reference for those who write a real one: a persistent session with QoS 1, doubles dropped by ``id`` alone, a
receipt for every alert it has taken, commands with a fresh ``issued_at`` and a person's id.

Two sessions, one for the alerts alone, one for everything else. A broker counts what a *session* has not acknowledged; NATS
with ``max_ack_pending: 1`` (which keeps the order over a lost line) withholds an alert for its whole ``ack_wait`` when a reply
to the same session is still on its way. Alerts must wait for nobody's answers.

Counts (contract: lost, doubled, in order): *delivered* ids; *wire repeats*, the same id with the same bytes (any number is
fine); *doubled*, the same id with other bytes (never); *disordered*, a first delivery that came behind a later one of its
lane or alert (never); *missing*, gaps in a lane's sequence as it stands.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import ssl
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import aiomqtt
import paho.mqtt.client as paho
from msgspec import Struct
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.uplink.wire import VERSION

_SESSION_EXPIRY_S = 7 * 86_400
_RETRY_S = 0.2
_REPLY_S = 10.0


class Arrival(Struct, frozen=True):
    """One alert message, the first time it came."""

    id: str
    source: str
    lane: str
    sequence: int
    body: dict[str, Any]

    @property
    def alert(self) -> str:
        """Alert id."""
        return self.id.rsplit("/", 1)[0]

    @property
    def revision(self) -> int:
        """Revision of the alert."""
        return int(self.id.rsplit("/", 1)[1])


class _Line(aiomqtt.Client):
    """aiomqtt, but it acknowledges a message when told to and does not wait for answers on a broken line.

    The library's own ways lose what is queued in memory when the line breaks, and sit out the timeout.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._client.manual_ack_set(True)
        self.pending_calls_threshold = 1000

    def acknowledge(self, message: aiomqtt.Message) -> None:
        self._client.ack(message.mid, message.qos)

    async def say(self, topic: str, body: bytes, *, retain: bool = False, properties: Properties | None = None) -> None:
        """Publish with QoS 1 and wait for the PUBACK. Raises MqttError as soon as the line breaks."""
        saying = asyncio.ensure_future(self.publish(topic, body, qos=1, retain=retain, properties=properties))
        try:
            await asyncio.wait({saying, self._disconnected}, return_when=asyncio.FIRST_COMPLETED)
            if not saying.done():
                raise aiomqtt.MqttError("disconnected") from self._disconnected.exception()
            saying.result()
        finally:
            saying.cancel()


class DutyOffice:
    """A receiver with a persistent session on every gateway's alerts at one broker."""

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        protocol: str = "5",
        principal: str = "duty",
        username: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
        receipts: bool = True,
        heard: Callable[[bytes], None] = lambda _body: None,
    ) -> None:
        """``principal`` is the name by which it commands, as in the site file's ``principals``.

        ``heard`` gets every alert body as it came, repeats included.
        """
        self._heard = heard
        self._host, self._port, self._protocol, self._principal = host, port, protocol, principal
        self._username, self._password, self._tls, self._receipts = username, password, tls, receipts
        self._alerts: _Line | None = None
        self._desk: _Line | None = None
        self._digests: dict[tuple[str, str], bytes] = {}
        self._highest: dict[tuple[str, str], int] = {}
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._news = asyncio.Event()
        self.arrivals: list[Arrival] = []
        self.statuses: dict[str, dict[str, Any]] = {}
        """Source -> data of its latest ``status``."""
        self.tally: Counter[str] = Counter()
        """delivered, wire_repeats, doubled, disordered, unreadable, receipts, replies"""

    @property
    def missing(self) -> dict[tuple[str, str], list[int]]:
        """(source, lane) -> sequences between the first and the last that never came."""
        return gaps_among(self.arrivals)

    async def run(self) -> None:
        """Listen for ever; a lost broker is tried again."""
        async with asyncio.TaskGroup() as sessions:
            sessions.create_task(self._keep("", self._listen_for_alerts))
            sessions.create_task(self._keep("-desk", self._listen_at_desk))

    async def _keep(self, suffix: str, listen: Callable[[_Line], Awaitable[None]]) -> None:
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with self._connect(suffix) as client:
                    await listen(client)
            _still_wanted()
            await asyncio.sleep(_RETRY_S)

    async def settle(self, delivered: int, timeout_s: float = 20) -> None:
        """Wait until this many different messages have come. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while self.tally["delivered"] < delivered:
                self._news.clear()
                await self._news.wait()

    async def ready(self, timeout_s: float = 20) -> None:
        """Wait until it listens. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while self._alerts is None or self._desk is None:
                self._news.clear()
                await self._news.wait()

    async def command(self, source: str, verb: str, *, who: str, **fields: object) -> dict[str, Any]:
        """Ask the gateway behind ``source`` and return the data of its reply. Raises TimeoutError, MqttError.

        ``fields`` are those of the contract (``alert``, ``reason``, ``for_s`` …) and may replace ``command_id`` and
        ``issued_at``.
        """
        issued_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        body = {"command_id": uuid.uuid4().hex, "issued_at": issued_at, "who": who, **fields}
        return await self.send_command(source, verb, json.dumps(body).encode(), str(body["command_id"]))

    async def send_command(
        self, source: str, verb: str, body: bytes, command_id: str, *, retain: bool = False
    ) -> dict[str, Any]:
        """The same with bytes as they are, good or bad; the reply is known by ``command_id``."""
        if self._desk is None:
            raise aiomqtt.MqttError("not connected")
        answer = self._waiting.setdefault(command_id, asyncio.get_running_loop().create_future())
        prefix, properties = source.removeprefix("/"), None
        if self._protocol == "5":
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
            properties.ResponseTopic = f"{prefix}/replies/{self._principal}"
            properties.CorrelationData = command_id.encode()
        topic = f"{prefix}/commands/{self._principal}/{verb}"
        await self._desk.say(topic, body, retain=retain, properties=properties)
        try:
            async with asyncio.timeout(_REPLY_S):
                return await answer
        finally:
            self._waiting.pop(command_id, None)

    def _connect(self, suffix: str) -> _Line:
        five, properties = self._protocol == "5", None
        if five:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
            properties.SessionExpiryInterval = _SESSION_EXPIRY_S
        return _Line(
            self._host,
            self._port,
            identifier=f"duty-office-{self._principal}{suffix}",
            protocol=aiomqtt.ProtocolVersion.V5 if five else aiomqtt.ProtocolVersion.V311,
            username=self._username,
            password=self._password,
            tls_context=self._tls,
            clean_start=False if five else paho.MQTT_CLEAN_START_FIRST_ONLY,
            clean_session=None if five else False,
            properties=properties,
            socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
        )

    async def _listen_for_alerts(self, client: _Line) -> None:
        await client.subscribe(f"loudong/{VERSION}/+/+/alerts", qos=1)
        self._alerts = client
        self._news.set()
        try:
            async for message in client.messages:
                raw = bytes(message.payload)
                body = self._readable(raw)
                if body is not None:
                    self._heard(raw)
                    await self._take(client, body, raw)
                client.acknowledge(message)
                self._news.set()
        finally:
            self._alerts = None

    async def _listen_at_desk(self, client: _Line) -> None:
        for leaf in ("status", f"replies/{self._principal}"):
            await client.subscribe(f"loudong/{VERSION}/+/+/{leaf}", qos=1)
        self._desk = client
        self._news.set()
        try:
            async for message in client.messages:
                body = self._readable(message.payload)
                if body is not None and str(message.topic).endswith("/status"):
                    self.statuses[body["source"]] = body["data"]
                elif body is not None:
                    self._reply(body)
                client.acknowledge(message)
                self._news.set()
        finally:
            self._desk = None

    def _readable(self, payload: object) -> dict[str, Any] | None:
        body = _read(payload)
        if body is None:
            self.tally["unreadable"] += 1
        return body

    async def _take(self, client: _Line, body: dict[str, Any], raw: bytes) -> None:
        arrival = Arrival(body["id"], body["source"], body["lane"], int(body["sequence"]), body)
        digest, key = hashlib.sha256(raw).digest(), (arrival.source, arrival.id)
        known = self._digests.setdefault(key, digest)
        if known != digest:
            self.tally["doubled"] += 1
        elif len(self._digests) == len(self.arrivals):
            self.tally["wire_repeats"] += 1
        else:
            self._first_time(arrival)
        if self._receipts:
            await self._receipt(client, arrival)

    def _first_time(self, arrival: Arrival) -> None:
        self.arrivals.append(arrival)
        self.tally["delivered"] += 1
        for line, place in ((f"lane {arrival.lane}", arrival.sequence), (f"alert {arrival.alert}", arrival.revision)):
            highest = self._highest.get((arrival.source, line), 0)
            self.tally["disordered"] += place < highest
            self._highest[arrival.source, line] = max(highest, place)

    async def _receipt(self, client: _Line, arrival: Arrival) -> None:
        """Also for a repeat: the gateway may not have heard the first."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        receipt = {"id": arrival.id, "received_at": now, "system": f"duty-office-{self._principal}"}
        topic = f"{arrival.source.removeprefix('/')}/receipts"
        await client.say(topic, json.dumps(receipt).encode())
        self.tally["receipts"] += 1

    def _reply(self, body: dict[str, Any]) -> None:
        self.tally["replies"] += 1
        answer = self._waiting.get(body["data"]["command_id"])
        if answer is not None and not answer.done():
            answer.set_result(body["data"])


def gaps_among(arrivals: Iterable[Arrival]) -> dict[tuple[str, str], list[int]]:
    """(source, lane) -> sequences between the first and the last that are not there; arrivals may be those of several receivers."""
    lanes: dict[tuple[str, str], set[int]] = {}
    for arrival in arrivals:
        lanes.setdefault((arrival.source, arrival.lane), set()).add(arrival.sequence)
    gaps = {lane: sorted(set(range(min(seen), max(seen))) - seen) for lane, seen in lanes.items()}
    return {lane: gap for lane, gap in gaps.items() if gap}


def _still_wanted() -> None:
    """Before Python 3.12 ``wait_for``, which aiomqtt uses, may forget that we were cancelled; the task remembers."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _read(payload: object) -> dict[str, Any] | None:
    """A JSON object, or None."""
    try:
        body = json.loads(payload) if isinstance(payload, bytes | bytearray) else None
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
