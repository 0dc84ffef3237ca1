"""Where advertisements come from: the seam between a radio and the watcher.

A source hears the air, by BlueZ, by a relay in another stairwell, from a queue, and hands every advertisement on: raw,
unjudged, and only once for each reception. It elects nobody: two sources that hear the same press both pass it on, and the
tracker makes one press of it (facts/ble 4). It says nothing of its own health here: one that can tell reports it as a device.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct


class Advert(Struct, frozen=True):
    """One advertisement as heard by one radio."""

    address: str
    """Upper case with colons."""
    service_data: dict[str, bytes]
    """By full lower-case UUID."""
    manufacturer_data: dict[int, bytes] = {}
    rssi_dbm: int | None = None
    fresh: bool = True
    """Received just now; False for what the radio remembered from before."""
    name: str = ""


Hear = Callable[[Advert], None]
"""Takes an advertisement in. Returns at once and never fails, so that a radio's own callback may call it."""


class AdvertSource(Protocol):
    """Something that hears advertisements."""

    async def run(self, hear: Hear) -> None:
        """Listen until cancelled, healing every fault of the world by itself."""
        ...


class QueueSource:
    """Advertisements from a queue in this process: a relay's, or the simulator's where no D-Bus daemon exists."""

    def __init__(self, queue: asyncio.Queue[Advert], beat: Callable[[], None], turn_s: float = 5.0) -> None:
        """``beat`` is called at least every ``turn_s`` seconds."""
        self._queue, self._beat, self._turn_s = queue, beat, turn_s

    async def run(self, hear: Hear) -> None:
        while True:
            self._beat()
            try:
                async with asyncio.timeout(self._turn_s):
                    hear(await self._queue.get())
            except TimeoutError:
                continue
