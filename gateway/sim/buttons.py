"""Panic buttons that exist only here: real BTHome v2 frames, sent as a real button sends them.

The encoder is our own and shares nothing with the decoder in ``gateway/drivers/ble``, so that the two can disagree.
A press is one occurrence however often its frame is repeated; the simulator counts occurrences, never frames.
Sources: bthome.io/format, bthome.io/encryption; facts/ble 1.1.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from gateway.ciphers import seal_ccm

SERVICE = "0000fcd2-0000-1000-8000-00805f9b34fb"
CODES = {"none": 0x00, "single": 0x01, "double": 0x02, "triple": 0x03, "long": 0x04, "hold": 0x80, "release": 0x81}
REPEATS = 6
"""Frames of one press. No vendor publishes the number; six over about a second is our guess (facts/ble 7)."""
SPREAD_S = 1.0

Air = Callable[[str, bytes, int], Awaitable[object]]
"""Sends one frame: address, service data under ``SERVICE``, signal strength in dBm."""


class SimButton:
    """One button with its packet id, its counter and its battery."""

    def __init__(
        self,
        address: str,
        key: bytes | None = None,
        *,
        battery_pct: int = 100,
        packet_id: int | None = 0,
        counter: int = 1_700_000_000,
        rssi_dbm: int = -60,
    ) -> None:
        """``packet_id=None``: a button that sends none. ``counter``: seeded from the epoch, as real ones seem to be."""
        self.address, self.key, self.battery_pct = address, key, battery_pct
        self.packet_id, self.counter, self.rssi_dbm = packet_id, counter, rssi_dbm
        self.pressed = 0
        """Presses made so far: what a correct gateway must have reported."""
        self.radio = asyncio.Lock()
        """A button has one: it sends one content at a time, never an older one after a newer, and no heartbeat while it is busy."""
        self.tamper: bool | None = None
        """Said in every frame from then on; None: this button has no such contact."""

    def press(self, kind: str = "single", index: int = 1) -> bytes:
        """Press once; the frame it will repeat. ``index``: which key of a button with several."""
        self.pressed += 1
        return self._frame(b"".join(bytes([0x3A, CODES[kind] if i == index else 0]) for i in range(1, index + 1)))

    def heartbeat(self) -> bytes:
        """The frame of a button nobody presses: a new packet id, no event."""
        return self._frame(bytes([0x3A, CODES["none"]]))

    def swap_battery(self, counter: int = 0) -> None:
        """A fresh battery: packet id and counter start over."""
        self.battery_pct, self.counter = 100, counter
        self.packet_id = None if self.packet_id is None else 0

    async def send(self, frame: bytes, air: Air, *, repeats: int = REPEATS, spread_s: float = SPREAD_S) -> None:
        """Repeat one frame as the vendor does, each time a little louder or weaker."""
        async with self.radio:
            for _ in range(repeats):
                await air(self.address, frame, self.rssi_dbm + random.randint(-6, 6))
                await asyncio.sleep(spread_s / repeats)

    def _frame(self, events: bytes) -> bytes:
        objects = b""
        if self.packet_id is not None:
            self.packet_id = (self.packet_id + 1) % 256
            objects += bytes([0x00, self.packet_id])
        objects += bytes([0x01, self.battery_pct])
        if self.tamper is not None:
            objects += bytes([0x2B, self.tamper])
        objects += events
        if self.key is None:
            return b"\x44" + objects
        self.counter += 1
        return seal(self.address, self.key, self.counter, objects)


def seal(address: str, key: bytes, counter: int, objects: bytes, info: int = 0x45) -> bytes:
    """BTHome v2 encryption: info, ciphertext, counter, integrity check."""
    count = counter.to_bytes(4, "little")
    nonce = bytes(int(part, 16) for part in address.split(":")) + bytes.fromhex("d2fc") + bytes([info]) + count
    sealed = seal_ccm(key, nonce, objects, tag_bytes=4)
    return bytes([info]) + sealed[:-4] + count + sealed[-4:]
