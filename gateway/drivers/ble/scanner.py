"""One adapter that never stops listening: plain Bleak, and everything Bleak does not notice or heal.

Here live the scan settings, the freshness test and the life of a scanner; no button is known here but by address.

Theory. Three questions are asked again and again: does anything say that we are deaf (``BluezWatch``), is it suspiciously
quiet (nobody at all heard for ``silence_ms``), did a call answer in time? Any "no" ends this scanner; after a pause a *new*
one starts. A state that came back by itself still counts as lost, because the scan did not survive it.

Freshness. BlueZ keeps a device's last data and Bleak repeats all of it whenever anything changes, so one press came out as
six. But Bleak makes a new ``ServiceData`` object only when BlueZ sent that property, and BlueZ, asked for ``DuplicateData``,
sends it for every frame received: a new object is a frame, the same object is memory. Facts: ble 2.1, 2.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NoReturn, TypeVar

import structlog
from bleak import BleakScanner
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakError
from msgspec import Struct

from gateway.drivers.ble.bluez import (
    WORLD,
    Adapter,
    BluezWatch,
    cached_devices,
    name_fault,
    refuses_passive,
    release_scan,
)
from gateway.drivers.ble.passive import OrPattern
from gateway.drivers.ble.source import Advert, Hear
from gateway.events import Health
from gateway.faults import DeviceFault
from gateway.instant import Instant

log = structlog.get_logger()

K = TypeVar("K", str, int)


class Patience(Struct, frozen=True):
    """How long to wait for what, in milliseconds."""

    start_ms: int = 15_000
    """habluetooth START_TIMEOUT: slow dongles take several seconds to start."""
    stop_ms: int = 5_000
    """habluetooth STOP_TIMEOUT."""
    leave_ms: int = 200
    """The same when we leave for good: the connection that closes with us ends the discovery anyway."""
    call_ms: int = 5_000
    """One D-Bus call that is no start."""
    turn_ms: int = 5_000
    """Longest time between two beats when all is well."""
    settle_ms: int = 2_000
    """How long BlueZ may say that it does not discover before we believe it: signals of two connections race."""
    retry_ms: int = 500
    """First pause before a new start; doubles. facts/ble 2.2: a change of BlueZ wakes us earlier anyway."""
    retry_most_ms: int = 30_000
    """Longest pause: the gateway must be known as deaf, and try, within 60 s (facts/ble 6)."""
    cycle_after: int = 3
    """Fruitless starts before the adapter is switched off and on; then twice as many, and so on."""


ReportHealth = Callable[[str, Health, str, str], None]
"""Device, health, named reason, detail."""

_BREATH_S = 0.05
"""Least pause before a new start, so that a flapping adapter cannot make us spin."""

_STUCK = {"scanner_silent", "in_progress", "start_hangs", "scan_refused", "discovery_ended"}
"""Reasons that may lie in the adapter or its driver, which a power cycle sets right (facts/ble 2.2)."""


class AdapterScanner:
    """Keeps one adapter listening."""

    def __init__(
        self,
        wanted: str,
        watch: BluezWatch,
        *,
        known: AbstractSet[str],
        silence_ms: int,
        now: Callable[[], Instant],
        report: ReportHealth,
        beat: Callable[[], None],
        patience: Patience,
        patterns: Sequence[OrPattern] = (),
        fobs: AbstractSet[str] = frozenset(),
    ) -> None:
        """``wanted``: name or address of the adapter, empty for the first. ``known``: addresses of enrolled buttons.

        ``patterns``: scan passively, for these; empty: actively. ``fobs``: addresses that are news even without any data.
        """
        self.device = f"radio-{(wanted or 'hci0').lower().replace(':', '')}"
        self.counts = {"heard": 0, "stale": 0, "starts": 0, "power_cycles": 0, "passive_refused": 0}
        self._wanted, self._watch, self._known, self._silence_ms = wanted, watch, known, silence_ms
        self._now, self._report, self._beat, self._patience = now, report, beat, patience
        self._patterns, self._passive, self._remark = patterns, False, ""
        self._fobs = fobs
        self.devices: dict[str, tuple[Instant, BLEDevice]] = {}
        """The enrolled ones this adapter has heard, and when last: to be connected to."""
        self._wake = watch.subscribe()
        self._hear: Hear = lambda _advert: None
        self._scanner: BleakScanner | None = None
        self._last_heard = now()
        self._objects: dict[str, dict[str, object]] = {}
        self._told: tuple[Health, str] | None = None
        self._proof_owed = False
        self._unmended: tuple[str, str] | None = None
        """Last failure to mend that was logged."""
        self._fruitless = 0
        self._next_cycle = patience.cycle_after

    async def run(self, hear: Hear) -> None:
        """Listen until cancelled."""
        self._hear = hear
        await self._watch.known.wait()
        while True:
            fault = await self._listen()
            self._tell(Health.LOST, fault.reason, fault.detail)
            await self._mend(fault.reason)
            await self._pause()

    async def _listen(self) -> DeviceFault:
        """One scanner's life, from start to the fault that ended it."""
        try:
            adapter = self._watch.find(self._wanted)
            losses = self._watch.losses(adapter.path)
            await self._start(adapter)
            await self._wait_for_fault(adapter, losses)
        except (DeviceFault, *WORLD) as error:
            return name_fault(error)
        finally:
            await self._stop()

    async def _start(self, adapter: Adapter) -> None:
        if not adapter.powered:
            raise DeviceFault("powered_off", adapter.name)
        self.counts["starts"] += 1
        async with asyncio.timeout(self._patience.start_ms / 1000):
            self._take_baseline(await cached_devices(adapter.path))
            await self._start_scan(adapter)
        self._last_heard = self._now()

    async def _start_scan(self, adapter: Adapter) -> None:
        """Passively where that is wanted and can be; what cannot is remarked, and costs nobody a press."""
        self._passive, self._remark = bool(self._patterns), ""
        if self._passive:
            patterns = [(offset, AdvertisementDataType(kind), data) for offset, kind, data in self._patterns]
            self._scanner = BleakScanner(
                self._take, bluez={"adapter": adapter.name, "or_patterns": patterns}, scanning_mode="passive"
            )
            try:
                await self._scanner.start()
            except BleakError as error:
                if not refuses_passive(error):
                    raise
                log.warning("passive_scan_refused", radio=self.device, detail=str(error))
                self._passive, self._remark = False, "passive_refused"
                self.counts["passive_refused"] += 1
            else:
                return
        self._scanner = BleakScanner(
            self._take, bluez={"adapter": adapter.name, "filters": {"DuplicateData": True}}, scanning_mode="active"
        )
        await self._scanner.start()

    async def _wait_for_fault(self, adapter: Adapter, losses: tuple[int, str]) -> NoReturn:
        """Raises ``DeviceFault`` when this scanner has become, or may have become, deaf."""
        idle_since: Instant | None = None
        while True:
            self._beat()
            if not self._proof_owed:
                self._tell(Health.OK, self._remark)
            state = self._watch.adapters.get(adapter.path)
            now = self._now()
            if self._watch.losses(adapter.path) != losses or state is None:
                raise DeviceFault(self._watch.losses(adapter.path)[1] or "adapter_gone", adapter.name)
            idle_since = None if state.discovering or self._passive else (idle_since or now)
            if idle_since is not None and now - idle_since >= self._patience.settle_ms:
                raise DeviceFault("discovery_ended", adapter.name)
            quiet_ms = now - self._last_heard
            if quiet_ms >= self._silence_ms:
                raise DeviceFault("scanner_silent", adapter.name)
            due = self._silence_ms - quiet_ms
            await self._sleep(min(due, self._patience.turn_ms if idle_since is None else self._patience.settle_ms))

    async def _stop(self) -> None:
        scanner, self._scanner = self._scanner, None
        if scanner is None:
            return
        patience_ms = self._patience.leave_ms if _is_leaving() else self._patience.stop_ms
        try:
            async with asyncio.timeout(patience_ms / 1000):
                await scanner.stop()
        except WORLD as error:
            log.info("scan_stop_failed", radio=self.device, error=type(error).__name__, detail=str(error))

    async def _mend(self, reason: str) -> None:
        """What can be done beyond starting anew: free a stuck session, switch on, switch off and on."""
        self._fruitless += 1
        try:
            adapter = self._watch.find(self._wanted)
            if reason in {"in_progress", "start_hangs"}:
                await release_scan(adapter.path, self._patience.call_ms / 1000)
            if reason == "powered_off":
                await self._watch.set_power(adapter.path, on=True)
            elif reason in _STUCK and self._fruitless >= self._next_cycle:
                self._next_cycle *= 2
                self.counts["power_cycles"] += 1
                log.warning("adapter_cycled", radio=self.device, reason=reason, fruitless=self._fruitless)
                await self._watch.set_power(adapter.path, on=False)
                await self._watch.set_power(adapter.path, on=True)
        except (DeviceFault, *WORLD) as error:
            if self._unmended != (reason, type(error).__name__):
                self._unmended = reason, type(error).__name__
                log.info(
                    "mending_failed", radio=self.device, reason=reason, error=type(error).__name__, detail=str(error)
                )
        else:
            self._unmended = None

    async def _pause(self) -> None:
        """Wait a little longer every time; a change of BlueZ, even one since the fault, ends the wait."""
        self._beat()
        await asyncio.sleep(_BREATH_S)
        await self._sleep(
            min(self._patience.retry_ms * 2 ** min(self._fruitless - 1, 10), self._patience.retry_most_ms)
        )

    async def _sleep(self, length_ms: float) -> None:
        """Until something changed at BlueZ, at most so long."""
        try:
            async with asyncio.timeout(max(length_ms, 0) / 1000):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    def _tell(self, health: Health, reason: str = "", detail: str = "") -> None:
        """Report a change of health, once. After silence, only an advertisement proves that we hear again, whatever fails meanwhile."""
        self._proof_owed |= reason == "scanner_silent"
        if self._told == (health, reason):
            return
        self._told = (health, reason)
        self._report(self.device, health, reason, detail)

    def _take_baseline(self, cached: Mapping[str, Mapping[str, Any]]) -> None:
        """Hand on, once, what BlueZ remembers of the enrolled buttons, marked as memory."""
        for path, properties in cached.items():
            address = str(properties.get("Address", "")).upper()
            if address not in self._known:
                continue
            if address in self._fobs:  # held by a life of ours that crashed, it will not call again (facts/ble 2.2)
                found = BLEDevice(address, properties.get("Name"), {"path": path, "props": properties})
                self.devices[address] = self.devices.get(address, (Instant(0),))[0], found
                self._hear(Advert(address, {}, fresh=False))
                continue
            services = _octets(properties["ServiceData"], str) if self._changed(path, properties, "ServiceData") else {}
            makers = (
                _octets(properties["ManufacturerData"], int)
                if self._changed(path, properties, "ManufacturerData")
                else {}
            )
            if services or makers:
                self._hear(Advert(address, services, makers, fresh=False))

    def _take(self, device: BLEDevice, data: AdvertisementData) -> None:
        """Bleak's callback: every change of every device around."""
        self._last_heard = self._now()
        self.counts["heard"] += 1
        self._fruitless, self._next_cycle = 0, self._patience.cycle_after
        if self._proof_owed:
            self._proof_owed = False
            self._wake.set()
        address = str(device.address).upper()
        services, makers = data.service_data, data.manufacturer_data
        if address in self._known:
            path, properties = data.platform_data
            self.devices[address] = self._last_heard, device
            services = _octets(services, str) if self._changed(path, properties, "ServiceData") else {}
            makers = _octets(makers, int) if self._changed(path, properties, "ManufacturerData") else {}
            if not services and not makers and address not in self._fobs:
                self.counts["stale"] += 1
                return
        rssi_dbm = data.rssi if type(data.rssi) is int else None
        name = data.local_name if isinstance(data.local_name, str) else ""
        self._hear(Advert(address, services, makers, rssi_dbm, name=name))

    def _changed(self, path: str, properties: Mapping[str, Any], name: str) -> bool:
        """Whether this property was sent anew. Holds on to the object, so that its identity cannot be given away."""
        value, seen = properties.get(name), self._objects.setdefault(path, {})
        changed = value is not None and value is not seen.get(name)
        seen[name] = value
        return changed


def _octets(found: object, kind: type[K]) -> dict[K, bytes]:
    """What of a property is bytes by a UUID, or by a company: its type is BlueZ's word, and a wrong one would end the radio, or stand in
    the journal where no next life could read it.
    """
    items = found.items() if isinstance(found, Mapping) else ()
    return {key: bytes(data) for key, data in items if isinstance(key, kind) and isinstance(data, bytes | bytearray)}


def _is_leaving() -> bool:
    """Whether the running task was cancelled and is only tidying up."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class BluezSource:
    """All adapters of this gateway; what one does not hear, another may."""

    def __init__(
        self,
        adapters: tuple[str, ...],
        *,
        known: AbstractSet[str],
        silence_ms: int,
        now: Callable[[], Instant],
        report: ReportHealth,
        beat: Callable[[], None],
        patience: Patience,
        patterns: Sequence[OrPattern] = (),
        fobs: AbstractSet[str] = frozenset(),
    ) -> None:
        """Arguments as for ``AdapterScanner``; no ``adapters``: the first one BlueZ has."""
        self._watch = BluezWatch(patience.call_ms, patience.retry_ms, patience.retry_most_ms)
        self.scanners = [
            AdapterScanner(
                wanted,
                self._watch,
                known=known,
                silence_ms=silence_ms,
                now=now,
                report=report,
                beat=beat,
                patience=patience,
                patterns=patterns,
                fobs=fobs,
            )
            for wanted in adapters or ("",)
        ]

    def find(self, address: str) -> BLEDevice | None:
        """An enrolled device as the adapter knows it that heard it last: another one may be gone since."""
        heard = [scanner.devices[address] for scanner in self.scanners if address in scanner.devices]
        return max(heard, key=lambda one: one[0])[1] if heard else None

    def losses(self, device: BLEDevice) -> int:
        """How often the adapter that heard it was lost so far."""
        return self._watch.losses(device.details["path"].rpartition("/")[0])[0]

    def subscribe(self) -> asyncio.Event:
        """As ``BluezWatch``."""
        return self._watch.subscribe()

    async def run(self, hear: Hear) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch.run())
            for scanner in self.scanners:
                tasks.create_task(scanner.run(hear))
