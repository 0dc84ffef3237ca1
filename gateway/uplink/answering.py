"""The answers to what came from upstream: each goes when what it answers is on disk, and only then may the broker forget the order.

A session that ends while an answer is on its way may have ended by it: no alert is to be blamed for that. And a broker that hangs up on
an answer (there are such, where a login may not write to that topic) gives us the order again in the next session, and would end every
one: an answer that was on its way when ``STRIKES`` of them broke is left out.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import structlog
from paho.mqtt.properties import Properties

from gateway.site.model import Uplink
from gateway.uplink.hearing import Heard
from gateway.uplink.payloads import reply_body
from gateway.uplink.session import Session, packed_bytes, packet_bytes, publish_properties, refused
from gateway.uplink.tolerance import STRIKES

log = structlog.get_logger()

_Key = tuple[str, str]
"""Where an answer goes, and which command it answers."""


class Answering:
    """The mouth of one uplink."""

    def __init__(self, uplink: Uplink, site: str, gateway: str, prefix: str, counts: Counter[str]) -> None:
        """``prefix`` is the topic of the gateway itself, ending in a slash."""
        self._uplink, self._site, self._gateway = uplink, site, gateway
        self._prefix, self._counts = prefix, counts
        self._under_way: _Key | None = None
        self._struck, self._strikes = ("", ""), 0
        """The last answer by which a session may have ended, and how many did so in a row."""

    def begin(self) -> None:
        """A new session, in which nothing was answered yet."""
        self._under_way = None

    def lost(self) -> bool:
        """The session broke. Whether it may have been by an answer."""
        one, self._under_way = self._under_way, None
        if one is None:
            return False
        if one == self._struck:
            self._strikes += 1
        elif one[0] != self._struck[0] or self._strikes < STRIKES:  # to where one was left out, once is enough
            self._strikes = 1
        self._struck = one
        return True

    async def run(self, session: Session, heard: asyncio.Queue[Heard]) -> None:
        """Answer what is heard, one after the other, until the session ends: SessionLost."""
        while True:
            one = await heard.get()
            durable = await one.ticket.durable() if one.ticket is not None else None
            if one.parsed is not None and one.parsed.principal:
                reply = one.reply()
                correlation = getattr(one.message.properties, "CorrelationData", None)
                properties = publish_properties(self._uplink.protocol, correlation)
                body = reply_body(self._site, self._gateway, reply, durable=durable)
                await self._deliver(session, (one.parsed.reply_to, reply.command_id), body, properties)
            session.acknowledge(one.message)
            heard.task_done()

    async def _deliver(self, session: Session, key: _Key, body: bytes, properties: Properties | None) -> None:
        """Publish now and wait for the PUBACK; who sends alerts watches over the time it takes."""
        if reason := self._reason_against(session, key, body, properties):
            self._counts[f"replies_{reason}"] += 1
            log.warning("reply_left_out", uplink=self._uplink.id, bytes=len(body), reason=reason)
            return
        self._under_way = key
        code = await session.send(self._prefix + key[0], body, properties=properties)
        self._under_way = None  # not where the session ends: its end is judged by it
        if key[0] == self._struck[0]:
            self._strikes = 0
        self._counts["replies_refused" if refused(code) else "replies"] += 1

    def _reason_against(self, session: Session, key: _Key, body: bytes, properties: Properties | None) -> str:
        size = packet_bytes(self._prefix + key[0], body, packed_bytes(properties))
        if session.most is not None and size > session.most:
            return "too_large"
        return "not_taken" if key == self._struck and self._strikes >= STRIKES else ""
