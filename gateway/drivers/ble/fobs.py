"""Key fobs that must be connected to: one connection a fob, held as long as the world allows. Discouraged, and supervised.

Here lives the connection and nothing else; a notification is a press, without number, and never comes twice.

Theory. Such a fob is deaf and dumb while it is not connected, so the loss of the connection *is* the loss of the button: it
is told at once, and again and again a new connection is tried whenever an adapter hears the fob call. Bleak connects only
to what a scan has found; the scanner's own find is used, because a second discovery beside ours would be refused. A bluetoothd
that is killed says nothing of the connections that end with it, and Bleak does not ask: so whatever loses the adapter loses the fob.
Facts: ble 1.1 (FFE0/FFE1 notifies 01, 180F/2A19 battery), 1.1 (a), 2.2 (Bleak waits for ever: every call has its patience).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

import structlog
from bleak import BleakClient
from bleak.backends.device import BLEDevice
from msgspec import Struct

from gateway.drivers.ble.bluez import WORLD
from gateway.drivers.ble.frame import full_uuid
from gateway.events import DeviceHealth, Event, Health, Press, PressKind, Reading
from gateway.site.model import Button

log = structlog.get_logger()

PRESSED, BATTERY = full_uuid("ffe1"), full_uuid("2a19")
LOST = "not_connected"


class FobPatience(Struct, frozen=True):
    """How long to wait for what, in milliseconds."""

    connect_ms: int = 20_000
    """Connecting and finding its services; a fob far away takes several attempts of the controller."""
    call_ms: int = 5_000
    retry_ms: int = 2_000
    """First pause between two attempts; doubles."""
    retry_most_ms: int = 60_000
    silent_ms: int = 30_000
    """Never heard since the start for this long: told as lost. A fob heard before is tried as often even if it does not call."""
    alive_ms: int = 60_000
    """While connected: how often it is said that it is still there."""


class Air(Protocol):
    """What the adapters know of fobs."""

    def find(self, address: str) -> BLEDevice | None:
        """The fob as an adapter heard it last, None if none did."""
        ...

    def losses(self, device: BLEDevice) -> int:
        """How often the adapter that heard it was lost so far, bluetoothd and bus included."""
        ...

    def subscribe(self) -> asyncio.Event:
        """An event that is set at every change of an adapter."""
        ...


class FobKeeper:
    """Keeps one fob connected."""

    def __init__(
        self,
        button: Button,
        air: Air,
        report: Callable[[Event], object],
        patience: FobPatience,
    ) -> None:
        self._button, self._air, self._report, self._patience = button, air, report, patience
        given = button.characteristic
        self._characteristic = (full_uuid(given) if len(given) == 4 else given.lower()) or PRESSED
        self._called = asyncio.Event()
        self._stirred = air.subscribe()
        """Something may have happened to the connection."""
        self._told: Health | None = None
        self._battery: int | None = None
        self._failures = 0
        self.counts = {"connections": 0, "notifications": 0}

    def call(self) -> None:
        """The fob was heard advertising, which it does only while nobody holds it."""
        self._called.set()

    async def run(self) -> None:
        """Hold it until cancelled."""
        while True:
            device = await self._await_call()
            if device is not None:
                await self._hold(device)
            self._tell(Health.FAULTY)
            if device is not None:
                await asyncio.sleep(self._pause_s())

    async def _await_call(self) -> BLEDevice | None:
        """The fob, as soon as it calls, or after a while without a call; None where no adapter ever heard it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience.silent_ms / 1000):
                await self._called.wait()
        self._called.clear()
        return self._air.find(self._button.address)

    async def _hold(self, device: BLEDevice) -> None:
        """One connection, from the attempt to its loss."""
        losses, gone = self._air.losses(device), asyncio.Event()

        def leave(_client: BleakClient) -> None:
            gone.set()
            self._stirred.set()

        client = BleakClient(device, disconnected_callback=leave, timeout=self._patience.connect_ms / 1000)
        try:
            async with asyncio.timeout(self._patience.connect_ms / 1000):
                await client.connect()
                await client.start_notify(self._characteristic, lambda _sender, value: self._press(bytes(value)))
            self.counts["connections"] += 1
            self._failures = 0
            self._tell(Health.OK)
            await self._read_battery(client)
            await self._stay(lambda: not gone.is_set() and self._air.losses(device) == losses)
        except WORLD as error:
            self._failures += 1
            log.info("fob_not_reached", button=self._button.id, error=type(error).__name__, detail=str(error))
        finally:
            await self._let_go(client)

    async def _stay(self, held: Callable[[], bool]) -> None:
        while held():
            self._report(Reading(self._button.id, "heard", None))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience.alive_ms / 1000):
                    await self._stirred.wait()
            self._stirred.clear()

    async def _read_battery(self, client: BleakClient) -> None:
        """At each connection; a fob without one says so, which is no reason to lose it."""
        try:
            async with asyncio.timeout(self._patience.call_ms / 1000):
                value = bytes(await client.read_gatt_char(BATTERY))
        except WORLD as error:
            log.info("fob_battery_unread", button=self._button.id, error=type(error).__name__)
            return
        if value and value[0] <= 100 and value[0] != self._battery:
            self._battery = value[0]
            self._report(Reading(self._button.id, "battery", value[0]))

    async def _let_go(self, client: BleakClient) -> None:
        try:
            async with asyncio.timeout(self._patience.call_ms / 1000):
                await client.disconnect()
        except WORLD as error:
            log.info("fob_not_released", button=self._button.id, error=type(error).__name__, detail=str(error))

    def _press(self, value: bytes) -> None:
        """One notification. Whatever it says, somebody pressed: fobs send 01, and none says anything else when idle."""
        self.counts["notifications"] += 1
        log.info("button_pressed", button=self._button.id, kind="single", key="", reason="new")
        self._report(Press(self._button.id, PressKind.SINGLE, digest=value[:8].hex()))

    def _tell(self, health: Health) -> None:
        if self._told is not health:
            self._told = health
            reason = "" if health is Health.OK else LOST
            log.info("device_health_changed", device=self._button.id, health=health.value, reason=reason)
            self._report(DeviceHealth(self._button.id, health, reason))

    def _pause_s(self) -> float:
        return min(self._patience.retry_ms * 2.0 ** min(self._failures, 10), self._patience.retry_most_ms) / 1000
