"""What the uplink needs from the store: messages in lanes, and a cursor that only moves forward.

The store fulfils ``Outbox``; nothing here touches a disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct


class Message(Struct, frozen=True):
    """One committed message, as it goes on the wire every time it goes."""

    lane: str
    """A ``Priority``."""
    sequence: int
    """Gapless per lane."""
    id: str
    topic: str
    """Leaf below the gateway's prefix, such as ``alerts``."""
    body: bytes


class Outbox(Protocol):
    """The durable queue of one gateway; each uplink has its own cursor per lane."""

    async def take(self, uplink: str, lane: str, n: int) -> list[Message]:
        """Up to ``n`` messages after the durable cursor, in order. Takes nothing away: the same again until ``advance``."""
        ...

    async def advance(self, uplink: str, lane: str, sequence: int) -> None:
        """The upstream holds everything up to ``sequence``. Raises StoreFault if that cannot be written."""
        ...

    async def set_aside(self, uplink: str, lane: str, sequence: int) -> None:
        """``advance`` may pass this message, which the upstream has not got: it is kept until ``settle``, over restarts, too."""
        ...

    async def settle(self, uplink: str, lane: str, sequence: int) -> None:
        """The upstream holds what was set aside."""
        ...

    async def aside(self, uplink: str) -> list[tuple[str, int]]:
        """Lane and sequence of all that is set aside. Raises StoreFault."""
        ...

    async def find(self, lane: str, sequence: int) -> Message | None:
        """One message, whoever has it; None where it cannot be found. Raises StoreFault."""
        ...

    def follow(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call, in the turn in which a message can be taken, and perhaps for nothing; answers what ends that."""
        ...
