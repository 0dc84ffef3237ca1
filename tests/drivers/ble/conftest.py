"""A compound's air for the BLE tests: a private D-Bus daemon, BlueZ's stand-in, the real Bleak, and what was reported."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Awaitable, Callable

import pytest
from instruments.unhurried import unhurried_run

from gateway.drivers.ble.fobs import FobPatience
from gateway.drivers.ble.scanner import Patience
from gateway.drivers.ble.watcher import RadioWatcher
from gateway.events import DeviceHealth, Event, Health, Press, Reading
from gateway.instant import Instant
from gateway.nodes import Mark
from gateway.sim.bluez import PrivateBus, StandInBluez
from gateway.sim.buttons import SERVICE, SimButton
from gateway.site.model import Button, Radio

KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
PLAIN, SEALED = "A4:C1:38:00:00:01", "A4:C1:38:00:00:02"
NEIGHBOUR = "11:22:33:44:55:66"
MARK = Mark("site.yaml", 1)

# A tenth of the real patience and less, so that a failure heals within a test's patience.
QUICK = Patience(
    start_ms=700, stop_ms=300, call_ms=300, turn_ms=50, settle_ms=150, retry_ms=40, retry_most_ms=200, cycle_after=3
)
QUICK_FOB = FobPatience(connect_ms=5_000, call_ms=2_000, retry_ms=20, retry_most_ms=100, silent_ms=400, alive_ms=50)


def now() -> Instant:
    return Instant(round(1000 * asyncio.get_running_loop().time()))


class Compound:
    """One watcher on one bus with one BlueZ, and everything that was reported."""

    def __init__(self, bus: PrivateBus) -> None:
        self.bus, self.bluez = bus, StandInBluez(bus.address)
        self.events: list[Event] = []
        self.beats = 0
        self.watcher: RadioWatcher | None = None
        self.plain, self.sealed = SimButton(PLAIN), SimButton(SEALED, KEY)

    def _report(self, event: Event) -> None:
        self.events.append(event)

    def _beat(self) -> None:
        self.beats += 1

    def watch(
        self, memory=None, *, adapters=(), silence_ms=600, patience=QUICK, scan="active", more=()
    ) -> RadioWatcher:
        """``more``: buttons besides the plain one and the sealed one."""
        bthome = [Button("b-1", PLAIN, "3/1/101", MARK), Button("b-2", SEALED, "3/1/102", MARK)]
        self.watcher = RadioWatcher(
            Radio(adapters=adapters, silence_ms=silence_ms, scan=scan),
            {button.id: button for button in (*bthome, *more)},
            {"b-2": KEY},
            now,
            self._report,
            memory or {},
            self._beat,
            patience=patience,
            fob_patience=QUICK_FOB,
        )
        return self.watcher

    @property
    def presses(self) -> list[Press]:
        return [e for e in self.events if isinstance(e, Press)]

    @property
    def healths(self) -> list[tuple[str, Health, str]]:
        return [(e.device, e.health, e.reason) for e in self.events if isinstance(e, DeviceHealth)]

    def readings(self, point: str) -> list[object]:
        return [e.value for e in self.events if isinstance(e, Reading) and e.point == point]

    async def air(self, address: str, frame: bytes, rssi_dbm: int = -60, adapter: str = "hci0") -> bool:
        return await self.bluez.advertise(address, service_data={SERVICE: frame}, rssi_dbm=rssi_dbm, adapter=adapter)

    async def until(self, true: Callable[[], bool], within_s: float = 60.0) -> None:
        """Wait for something to become true; the test fails if it does not."""
        async with asyncio.timeout(within_s):
            while not true():
                await asyncio.sleep(0.005)

    async def settle(self) -> None:
        """Let everything sent so far arrive."""
        await asyncio.sleep(0.06)

    async def hum(self) -> None:
        """Neighbours keep the air alive, 20 frames a second."""
        count = 0
        while True:
            count += 1
            await self.bluez.advertise(
                NEIGHBOUR, manufacturer_data={0x4C: bytes([2, 21, count % 256])}, name="tv", rssi_dbm=-70
            )
            await asyncio.sleep(0.05)


Scene = Callable[[Compound], Awaitable[None]]


@pytest.fixture
def quick() -> Patience:
    """The tests' patience, to be varied."""
    return QUICK


@pytest.fixture
def private_bus(monkeypatch):
    """A D-Bus daemon that stands in for the system bus while the test runs."""
    if shutil.which("dbus-daemon") is None:
        pytest.skip("dbus-daemon is not installed: real Bleak cannot be tested here")
    bus = PrivateBus()
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.start())
    yield bus
    bus.remove()


@pytest.fixture
def on_air(private_bus):
    """Runs a scene with BlueZ up, one adapter in, and (unless ``start=False``) the watcher listening."""
    logging.getLogger("bleak").setLevel(logging.CRITICAL)
    logging.getLogger("dbus_fast").setLevel(logging.CRITICAL)

    def run(scene: Scene, *, start: bool = True, hum: bool = False, **options) -> Compound:
        async def play() -> Compound:
            compound = Compound(private_bus)
            await compound.bluez.start()
            await compound.bluez.add_adapter()
            tasks = [asyncio.ensure_future(compound.hum())] if hum else []
            if start:
                tasks.append(asyncio.ensure_future(compound.watch(**options).run()))
                await compound.until(compound.bluez.scanning)
            try:
                async with asyncio.timeout(120):
                    await scene(compound)
            finally:
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended
            with contextlib.suppress(OSError):
                compound.bluez.crash()
            return compound

        return unhurried_run(play())

    return run
