"""The packets of an MQTT client, for brokers that misbehave and are written by a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

CONNECT, PUBLISH, PUBACK, SUBSCRIBE = 1, 3, 4, 8


async def packets(reader: asyncio.StreamReader) -> AsyncIterator[tuple[int, bytes]]:
    """Kind and content of each, until the line breaks: asyncio.IncompleteReadError, OSError."""
    while True:
        kind = (await reader.readexactly(1))[0] >> 4
        length = shift = 0
        while True:
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        yield kind, await reader.readexactly(length)


def published(content: bytes) -> tuple[str, bytes]:
    """Topic and packet identifier of a PUBLISH of QoS 1."""
    name = int.from_bytes(content[:2], "big")
    return content[2 : 2 + name].decode(), content[2 + name : 4 + name]


def publish(topic: str, body: bytes, properties: bytes = b"") -> bytes:
    """A PUBLISH of QoS 1; ``properties``, with their length before them, for a client of MQTT 5."""
    content = len(topic).to_bytes(2, "big") + topic.encode() + b"\0\x07" + properties + body
    length, head = len(content), bytearray(b"\x32")
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes((*head, length)) + content
