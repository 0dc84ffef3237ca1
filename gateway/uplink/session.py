"""One connection to one broker: aiomqtt with the three things it leaves open, and every failure under a name.

aiomqtt 2.5 (a) takes a PUBACK that *refuses* for one that accepts, (b) lets a broker that hangs up before CONNACK run into
the timeout and forgets why, (c) acknowledges a command before anybody has read it. Each would lose an alert or a command,
so ``Session`` overrides those callbacks; tests pin the behaviour of the library version in use. And (d) it asks the kernel
whether a socket that has nothing to send may be written to, and wakes the loop through a pipe before and after: what leaves
is written at once instead, what leaves in the same turn behind it together, and the kernel is asked only about what it did not take.

The broker keeps what comes for us while we are away, up to ``SESSION_EXPIRY_S``: days-old commands among it. Their age can be
judged only by a trusted clock; so whoever connects without one has the broker forget them first. What we send is not touched
by that: the outbox, not the session, knows what has not arrived.

Security: with ``tls`` the certificate and the host name are always checked; there is no switch against it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

import aiomqtt
import paho.mqtt.client as paho
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.faults import UplinkFault
from gateway.lookup import Lookup
from gateway.site.model import Broker, Uplink
from gateway.uplink.departures import WINDOW
from gateway.uplink.manners import restrain
from gateway.uplink.wire import CONTENT_TYPE

CONNECT_S = 5.0  # one TCP or TLS handshake; a broker further away than that is not there
ANSWER_S = 10.0  # GB/T 26875.3-2011, 6.5.4: an answer is waited for at most 10 s
SESSION_EXPIRY_S = (
    7 * 86_400
)  # queued receipts outlive a long weekend; commands queued with them are refused by their age
_INCOMING_BYTES = 64 * 1024  # commands are refused above 16 KiB; a broker must not make us hold more than this
_INCOMING_QUEUE = 200
_HANG_UP_S = 1.0
_ACK_UNANSWERED_MS = 15_000  # tcp(7) TCP_USER_TIMEOUT: unacknowledged bytes kill a connection into a black hole

_SOCKET_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _ACK_UNANSWERED_MS),
)
# MQTT 5, 2.4 reason codes
_AUTH_CODES = frozenset({0x86, 0x87, 0x8C})
_PROTOCOL_CODES = frozenset({0x82, 0x84})
_TAKEN_OVER_CODE = 0x8E
_KEEPALIVE_CODE = 0x8D
# Server busy, shutting down; use another server, server moved; connection rate exceeded, maximum connect time: so a broker goes for reasons
# of its own, and no message is to blame, unless it says so of one only.
_OWN_CODES = frozenset({0x89, 0x8B, 0x9C, 0x9D, 0x9F, 0xA0, _KEEPALIVE_CODE})
_NO_RETAIN_CODE = 0x9A
_NO_MATCHING_SUBSCRIBERS = 0x10
_FIRST_FAILURE = 0x80
# Of PUBACK; "packet too large" is none of its words (3.4.2.1), and the library hangs up on one that uses it.
_PAYLOAD_CODE = 0x99
# "Unspecified" and "implementation specific" (2.4): so says a broker, or what was built into it, of one message or of all.
_UNSAID_CODES = frozenset({0x80, 0x83})
# openssl verify(1): the two verdicts that depend on our clock
_NOT_YET_VALID, _EXPIRED = 9, 10
# And those about whom it is for: the name, the address.
_OTHER_HOST = frozenset({62, 64})
# Fields of the uplink: by what we know the broker, and by what it knows us.
_TRUSTED, _SHOWN = ("ca_file",), ("cert_file", "key_file")


class SessionLost(UplinkFault):
    """The connection failed; ``reason`` is a key of the word catalogue (``reason.…``)."""

    def __init__(self, reason: str, detail: str = "", *, explained: bool = False, files: tuple[str, ...] = ()) -> None:
        """``reason``: refused | tls_certificate | tls_clock | tls | auth | timeout | network | protocol | taken_over |
        publish_refused | tls_files. ``explained``: the broker named a reason of its own. ``files``: fields of the uplink whose
        files are to be looked at.
        """
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail, self.explained, self.files = reason, detail, explained, files


@functools.cache
def _plain_properties() -> Properties:
    """Those of every message that answers nothing: only read, dear to make, and as dear for paho to pack each time (a sixth of
    what a message costs).
    """
    properties = _content_type()
    packed: bytes = properties.pack()  # type: ignore[no-untyped-call]  # paho leaves it untyped
    properties.__dict__["pack"] = lambda: packed
    return properties


def _content_type() -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    properties.ContentType = CONTENT_TYPE
    return properties


def publish_properties(protocol: str, correlation: bytes | None = None) -> Properties | None:
    """MQTT 5: name the content type, echo the correlation data; nothing in 3.1.1."""
    if protocol != "5":
        return None
    if correlation is None:
        return _plain_properties()
    properties = _content_type()
    properties.CorrelationData = correlation
    return properties


class Credentials:
    """What an uplink trusts and who it says it is, read anew for each session, and beside the loop: the system's authorities take a
    tenth of a second, in which no alarm would be heard. One reading at a time: a card that hangs keeps the thread.
    """

    def __init__(self, uplink: Uplink) -> None:
        self._uplink = uplink
        self._reading: asyncio.Future[ssl.SSLContext] | None = None

    async def read(self) -> ssl.SSLContext | None:
        """None without TLS. Raises SessionLost on unreadable files, and where a card does not give them in time."""
        if not self._uplink.tls:
            return None
        if self._reading is None:
            self._reading = asyncio.ensure_future(asyncio.to_thread(_tls_context, self._uplink))
        reading = self._reading
        await asyncio.wait({reading}, timeout=CONNECT_S)
        if not reading.done():
            raise SessionLost("tls_files", "not read in time", files=(*_TRUSTED, *_SHOWN))
        self._reading = None
        try:
            return reading.result()
        except (OSError, ValueError) as fault:
            raise SessionLost("tls_files", str(fault), files=(*_TRUSTED, *_SHOWN)) from fault


def _tls_context(uplink: Uplink) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=uplink.ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if uplink.cert_file:
        context.load_cert_chain(uplink.cert_file, uplink.key_file or None)
    return context


async def find(lookup: Lookup) -> None:
    """Raises SessionLost where nobody says in time where a broker is: another one may be known by its address.

    The library looks the name up once more, in a thread that nobody can call back, where no limit holds.
    """
    try:
        async with asyncio.timeout(CONNECT_S):
            await lookup.addresses()
    except (OSError, TimeoutError) as fault:
        raise SessionLost("network", str(fault) or "no answer from the name server") from fault


class _LastWords(logging.Filter):
    """Keeps the socket error that paho only logs, and lets nothing through to a log of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.error: OSError | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        for argument in record.args if isinstance(record.args, tuple) else ():
            if isinstance(argument, OSError):
                self.error = argument
        return False


class Session(aiomqtt.Client):
    """One connection, from CONNECT to the loss of it. Made anew for every attempt."""

    def __init__(
        self,
        uplink: Uplink,
        broker: Broker,
        identifier: str,
        will: aiomqtt.Will | None,
        password: str | None,
        tls: ssl.SSLContext | None,
        *,
        clock_trusted: bool,
        fleeting: bool = False,
        retains: bool = True,
        answer_s: float = ANSWER_S,
    ) -> None:
        """Must be made inside a running loop.

        ``clock_trusted`` decides whether the session is resumed with what the broker kept for it, or begun clean, and whom an
        expired certificate is blamed on. A ``fleeting`` session leaves nothing behind at the broker. ``retains``: the broker keeps
        messages, until it says something else (MQTT 5; in 3.1.1 it must).
        """
        clean = fleeting or not clock_trusted
        self._five = five = uplink.protocol == "5"
        logger = logging.Logger(f"mqtt.{uplink.id}", logging.WARNING)  # noqa: LOG001  must not reach the root's handlers
        super().__init__(
            broker.host,
            broker.port,
            identifier=identifier,
            protocol=aiomqtt.ProtocolVersion.V5 if five else aiomqtt.ProtocolVersion.V311,
            username=uplink.username or None,
            password=password,
            keepalive=uplink.keepalive_s,
            will=will,
            clean_start=clean if five else paho.MQTT_CLEAN_START_FIRST_ONLY,
            clean_session=None if five else clean,
            properties=_connect_properties(0 if fleeting else SESSION_EXPIRY_S) if five else None,
            tls_context=tls,
            timeout=answer_s,
            logger=logger,
            max_queued_incoming_messages=_INCOMING_QUEUE,
            max_inflight_messages=WINDOW,
            socket_options=_SOCKET_OPTIONS,
        )
        self._tls, self._last_words = uplink.tls, _LastWords()
        logger.addFilter(self._last_words)
        self._clock_trusted, self._answer_s = clock_trusted, answer_s
        self._under_way: dict[int, tuple[asyncio.Future[ReasonCode], float]] = {}
        self.pending_calls_threshold = 1000  # below it the library warns for every call (facts: baseline M7)
        self.window, self.retains = WINDOW, retains
        self.most: int | None = None
        """Bytes of a packet that the broker takes; None: it does not say."""
        self.lost: asyncio.Future[SessionLost] = self._loop.create_future()
        self._opening = self._sending = False
        self._burst = 0
        """Messages sent in this turn."""
        self._watching = False
        """The kernel is asked to say when it takes more."""
        self._hung_up = asyncio.Event()
        self._client.manual_ack_set(True)
        self._client.connect_timeout = CONNECT_S
        restrain(self._client, _INCOMING_BYTES, is_open=self._connected.done)

    async def open(self) -> None:
        """Connect; raises SessionLost by name. Cancelled, it still waits for the connecting thread and hangs up."""
        self._opening = True
        connecting = asyncio.ensure_future(self.__aenter__())
        try:
            await asyncio.shield(connecting)
        except asyncio.CancelledError:
            await asyncio.wait({connecting})
            if not connecting.exception():
                await self.abort()
            raise
        except aiomqtt.MqttError as fault:
            self._opening = False
            await self.abort()
            raise self._named(fault) from fault
        except ValueError as fault:  # a host name that is none, found only when it is looked up (idna)
            raise SessionLost("network", str(fault)) from fault
        self._opening = False

    async def close(self) -> None:
        """Say goodbye, so that the broker keeps the last will to itself."""
        self._forget()
        with contextlib.suppress(aiomqtt.MqttError):
            await self.__aexit__(None, None, None)
        await self.abort()

    async def abort(self) -> None:
        """Cut the line without goodbye: the broker shall speak the last will."""
        self._forget()
        line = self._client.socket()
        if isinstance(line, socket.socket):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HANG_UP_S):
                    await self._hung_up.wait()
        self._look_at_end()

    def _look_at_end(self) -> None:
        """We have our own name for it; asyncio must not complain that nobody looked."""
        if self._disconnected.done() and not self._disconnected.cancelled():
            self._disconnected.exception()

    def send(
        self, topic: str, body: bytes, *, retain: bool = False, properties: Properties | None = None
    ) -> asyncio.Future[ReasonCode]:
        """Publish with QoS 1; the future gives the PUBACK's reason code. Raises SessionLost if the line is down."""
        self._sending = True  # what paho now says it has to write is written below: a turn of the loop may take a while
        try:
            info = self._client.publish(topic, body, 1, retain and self.retains, properties)
        finally:
            self._sending = False
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise self.lost.result() if self.lost.done() else SessionLost("network", paho.error_string(info.rc))
        answer: asyncio.Future[ReasonCode] = self._loop.create_future()
        self._under_way[info.mid] = (answer, self._loop.time())
        if not self._burst:
            self._write()
            self._loop.call_soon(self.flush)
        self._burst += 1
        return answer

    def flush(self) -> None:
        """Write what was sent behind the first message of this turn, in as few segments as it fits in: each costs a tenth of a
        message here, and wakes the broker. Whoever does not call this has it written in the next turn.
        """
        rest, self._burst = self._burst - 1, 0
        if rest <= 0:
            return
        line = self._client.socket()
        with contextlib.suppress(OSError):  # a broken line is told by whoever writes to it
            if rest > 1 and isinstance(line, socket.socket):
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        self._write()
        with contextlib.suppress(OSError):
            if rest > 1 and isinstance(line, socket.socket):
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    async def listen_to(self, topic: str) -> bool:
        """Subscribe with QoS 1; False if the broker refuses, or says nothing for the time of an answer. Raises SessionLost.

        Retain as published (MQTT 5): a command published with the retain flag shows it, even to those already listening.
        A task of its own, because ``wait_for`` in the library forgets a cancellation that comes together with the answer.
        """
        options = SubscribeOptions(qos=1, retainAsPublished=True) if self._five else None
        asking = asyncio.ensure_future(self.subscribe(topic, 0 if self._five else 1, options=options))
        try:
            either: set[asyncio.Future[Any]] = {asking, self.lost}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if self.lost.done():
                raise self.lost.result()
            codes = asking.result()
            return bool(codes) and not any(refused(code) for code in codes)
        except aiomqtt.MqttCodeError as fault:
            raise SessionLost("network", str(fault)) from fault
        except aiomqtt.MqttError:
            return False
        finally:
            asking.cancel()

    def acknowledge(self, message: aiomqtt.Message) -> None:
        """PUBACK for a message from the broker: it will not come again."""
        self._client.ack(message.mid, message.qos)

    def check(self) -> float:
        """Seconds until the oldest PUBACK is overdue. Raises SessionLost if it is, or if the line is down."""
        if self.lost.done():
            raise self.lost.result()
        if self.overdue is not None:
            raise SessionLost("timeout", "PUBACK")
        return self._left_s

    @property
    def overdue(self) -> asyncio.Future[ReasonCode] | None:
        """The answer that is waited for longest, if its time is over."""
        return next(iter(self._under_way.values()))[0] if self._left_s <= 0 else None

    @property
    def _left_s(self) -> float:
        _, sent = next(iter(self._under_way.values()), (None, self._loop.time()))
        return sent + self._answer_s - self._loop.time()

    def waive(self) -> None:
        """Wait no longer for what is overdue; with the broker its place stays taken."""
        answer, _ = self._under_way.pop(next(iter(self._under_way)))
        answer.cancel()

    def fail(self, fault: SessionLost) -> None:
        """Count the line as down for a reason of ours."""
        if not self.lost.done():
            self.lost.set_result(fault)

    def on_lost(self, call: Callable[[], None]) -> None:
        """Call once the line is down."""
        self.lost.add_done_callback(lambda _: call())

    def _forget(self) -> None:
        under_way, self._under_way = self._under_way, {}
        for answer, _ in under_way.values():
            answer.cancel()

    def _on_connect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: Any,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        allowed = int(getattr(properties, "ReceiveMaximum", WINDOW))
        self.window = max(1, min(WINDOW, allowed))
        # Of what is beyond (an answer, a goodbye) each waits in the client for a PUBACK. Its setter wants to be called before anybody
        # can know the number.
        client._max_inflight_messages = self.window  # noqa: SLF001
        self.most = getattr(properties, "MaximumPacketSize", None)
        self.retains = reason_code != _NO_RETAIN_CODE and bool(getattr(properties, "RetainAvailable", 1))
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        """Paho has something to send. While it connects it says so in a thread of its own, and the library's way stands."""
        if self._opening:
            super()._on_socket_register_write(client, userdata, sock)
        elif not self._sending:
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        try:
            self._client.loop_write()
        except OSError as fault:  # as the library does: the connection is broken
            if not self._disconnected.done():
                self._disconnected.set_exception(fault)
            return
        sock = self._client.socket()
        if sock is not None and self._client.want_write():
            self._watching = True
            self._loop.add_writer(sock.fileno(), self._write)

    def _on_socket_unregister_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        """All is written; as a rule the kernel was never asked."""
        if self._opening or self._watching:
            super()._on_socket_unregister_write(client, userdata, sock)
        self._watching = False

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        """One whose topic nobody can read (none at all, no UTF-8, a pattern) is taken and forgotten: it would come again in every session,
        and end it.
        """
        try:
            super()._on_message(client, userdata, message)
        except ValueError:
            client.ack(message.mid, message.qos)

    # The library's own way to publish, which it would tell here, is not used. The names are its, too.
    def _on_publish(
        self,
        client: paho.Client,  # noqa: ARG002
        userdata: Any,  # noqa: ARG002
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,  # noqa: ARG002
    ) -> None:
        answer, _ = self._under_way.pop(mid, (None, 0.0))
        if answer is not None and not answer.done():
            answer.set_result(reason_code)

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: Any,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        super()._on_disconnect(client, userdata, flags, reason_code, properties)
        self._look_at_end()  # the library forgets that of a broker that hangs up in the same breath as it accepts
        # May run in the connecting thread.
        self._loop.call_soon_threadsafe(self._lose, reason_code)

    def _lose(self, reason_code: ReasonCode) -> None:
        self._hung_up.set()
        if self._opening and not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttCodeError(reason_code, "hung up before CONNACK"))
            self._connected.exception()  # whoever waited for it may be gone; asyncio must not complain that nobody looked
        self.fail(self._named_code(reason_code))

    def _named(self, fault: aiomqtt.MqttError) -> SessionLost:
        """The library raises its own error ``from None``; what really happened is still its context."""
        cause = fault.__context__
        if isinstance(cause, OSError):
            return self._named_error(cause)
        if isinstance(fault, aiomqtt.MqttCodeError) and isinstance(fault.rc, ReasonCode):
            named = self._named_code(fault.rc)
            said_no = isinstance(fault, MqttConnectError) and named.reason == "network"
            if said_no:
                return SessionLost("refused", str(fault.rc))
            # TLS 1.3: a broker that dislikes our certificate says so after the handshake, and its alert may get lost.
            return SessionLost("tls", named.detail, files=_SHOWN) if self._tls and named.reason == "network" else named
        return SessionLost("timeout", str(fault))

    def _named_code(self, code: ReasonCode) -> SessionLost:
        named = self._named_by(code)
        named.explained = code.value in _OWN_CODES
        return named

    def _named_by(self, code: ReasonCode) -> SessionLost:
        if code.value in _AUTH_CODES:
            return SessionLost("auth", str(code), files=("password_file", *_SHOWN))
        if code.value in _PROTOCOL_CODES:
            return SessionLost("protocol", str(code))
        if code.value == _TAKEN_OVER_CODE:
            return SessionLost("taken_over", str(code))
        if code.value == _KEEPALIVE_CODE:
            return SessionLost("timeout", str(code))
        if self._last_words.error is not None:
            return self._named_error(self._last_words.error)
        return SessionLost("network", str(code))

    def _named_error(self, error: OSError) -> SessionLost:
        if isinstance(error, ssl.SSLCertVerificationError):
            by_date = error.verify_code in {_NOT_YET_VALID, _EXPIRED}
            reason = "tls_clock" if by_date and not self._clock_trusted else "tls_certificate"
            unknown = not by_date and error.verify_code not in _OTHER_HOST
            return SessionLost(reason, error.verify_message, files=_TRUSTED if unknown else ())
        if isinstance(error, ssl.SSLError):
            ours_refused = "ALERT" in (error.reason or "")  # the broker's alert: it does not like our certificate
            reason = "tls_certificate" if ours_refused else "tls"
            return SessionLost(reason, error.reason or str(error), files=_SHOWN if ours_refused else ())
        if isinstance(error, ConnectionRefusedError):
            return SessionLost("refused", "")
        if isinstance(error, TimeoutError):
            return SessionLost("timeout", "connect")
        return SessionLost("network", error.strerror or str(error))


def refused(code: ReasonCode | int) -> bool:
    """Whether a PUBACK or SUBACK says no (MQTT 5, 2.4, and MQTT 3.1.1, 3.9.3: 0x80 and above)."""
    return (code if isinstance(code, int) else int(code.value)) >= _FIRST_FAILURE


def refused_for_itself(code: ReasonCode) -> bool:
    """Whether a PUBACK that says no speaks of this message, and not of its topic or of us."""
    return int(code.value) == _PAYLOAD_CODE


def refused_without_reason(code: ReasonCode) -> bool:
    """Whether a PUBACK that says no leaves open of what it speaks: who is to blame must be found out as if the broker had hung up."""
    return int(code.value) in _UNSAID_CODES


def packed_bytes(properties: Properties | None) -> int:
    """How long the properties of a PUBLISH are; without any, as 3.1.1 has it, a byte is counted too many."""
    packed: bytes = b"\0" if properties is None else properties.pack()  # type: ignore[no-untyped-call]  # paho leaves it untyped
    return len(packed)


def packet_bytes(topic: str, body: bytes, packed: int) -> int:
    """How long the PUBLISH of a message is, with properties of ``packed`` bytes (MQTT 5, 3.3)."""
    rest = 2 + len(topic.encode()) + 2 + packed + len(body)
    return 1 + max(1, -(-rest.bit_length() // 7)) + rest


def unheard(code: ReasonCode) -> bool:
    """Whether the broker took a message and has nobody to give it to (MQTT 5, 3.4.2.1; 3.1.1 cannot say so)."""
    return int(code.value) == _NO_MATCHING_SUBSCRIBERS


def _connect_properties(expiry_s: int) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    properties.SessionExpiryInterval = expiry_s
    properties.ReceiveMaximum = WINDOW
    properties.MaximumPacketSize = _INCOMING_BYTES
    return properties
