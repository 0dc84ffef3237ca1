"""What bluetoothd and its adapters are doing, seen over a D-Bus connection of our own.

Bleak notices none of: bluetoothd killed or restarted, adapter pulled and re-plugged, powered off, discovery ended by
somebody else (facts/ble 2.2). Four match rules and one ``GetManagedObjects`` tell all of it. The last part of this file is
what we must take from Bleak's inside, in one place, with the reason for each.

Sources: org.bluez.Adapter(5); D-Bus specification, "Message Bus Messages"; facts/ble 2.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar

import structlog
from bleak.backends.bluezdbus.manager import get_global_bluez_manager
from bleak.exc import BleakBluetoothNotAvailableError, BleakDBusError, BleakError
from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError
from msgspec import Struct
from msgspec.structs import replace

from gateway.faults import DeviceFault

log = structlog.get_logger()

T = TypeVar("T")

_DBUS, _BLUEZ = "org.freedesktop.DBus", "org.bluez"
_OBJECTS, _PROPERTIES = f"{_DBUS}.ObjectManager", f"{_DBUS}.Properties"
_ADAPTER, _DEVICE = f"{_BLUEZ}.Adapter1", f"{_BLUEZ}.Device1"
_DBUS_PATH = "/org/freedesktop/DBus"
_SIGNALS = {
    "NameOwnerChanged": "sss",
    "InterfacesAdded": "oa{sa{sv}}",
    "InterfacesRemoved": "oas",
    "PropertiesChanged": "sa{sv}as",
}
_MANAGED_OBJECTS = "a{oa{sa{sv}}}"
_RULES = (
    f"type='signal',sender='{_DBUS}',member='NameOwnerChanged',arg0='{_BLUEZ}'",
    f"type='signal',sender='{_BLUEZ}',interface='{_OBJECTS}',member='InterfacesAdded'",
    f"type='signal',sender='{_BLUEZ}',interface='{_OBJECTS}',member='InterfacesRemoved'",
    f"type='signal',sender='{_BLUEZ}',interface='{_PROPERTIES}',arg0='{_ADAPTER}'",
)

WORLD = (BleakError, DBusFastError, OSError, EOFError, TimeoutError)
"""What the world may throw through Bleak and dbus-fast; anything else is a bug."""


class Adapter(Struct, frozen=True):
    """One Bluetooth adapter as BlueZ shows it."""

    path: str
    address: str
    powered: bool
    discovering: bool

    @property
    def name(self) -> str:
        """``hci0``"""
        return self.path.rsplit("/", 1)[-1]


class BluezWatch:
    """Keeps ``adapters`` true and counts every loss, so that one that came and went is not overlooked."""

    def __init__(self, call_ms: int, retry_ms: int, retry_most_ms: int) -> None:
        """``call_ms``: patience with one D-Bus call; ``retry_ms``: first pause before connecting again.

        It doubles up to ``retry_most_ms``.
        """
        self._call_s, self._retry_s, self._retry_most_s = call_ms / 1000, retry_ms / 1000, retry_most_ms / 1000
        self._failures = 0
        """Attempts since the bus last answered."""
        self._trouble: tuple[str, str] | None = None
        """Last loss logged; a bus that stays away is one line."""
        self._bus: MessageBus | None = None
        self._ears: list[asyncio.Event] = []
        self._changed = asyncio.Event()
        self._losses: dict[str, tuple[int, str]] = {}
        self.present = False
        """bluetoothd owns its name."""
        self.adapters: dict[str, Adapter] = {}
        self.known = asyncio.Event()
        """What is there has been asked for once, with or without an answer."""

    @property
    def connected(self) -> bool:
        """The system bus answers."""
        return self._bus is not None

    def subscribe(self) -> asyncio.Event:
        """An event that is set at every change."""
        ear = asyncio.Event()
        self._ears.append(ear)
        return ear

    def losses(self, path: str) -> tuple[int, str]:
        """How often this adapter was lost so far, and the named reason of the last time."""
        return self._losses.get(path, (0, ""))

    def find(self, wanted: str) -> Adapter:
        """The adapter of this name or address; of several for an empty ``wanted``, the first powered one.

        Raises ``DeviceFault``: bus_gone, bluetoothd_gone, adapter_gone.
        """
        if not self.connected:
            raise DeviceFault("bus_gone")
        if not self.present:
            raise DeviceFault("bluetoothd_gone")
        fitting = [a for a in self.adapters.values() if wanted.upper() in {"", a.name.upper(), a.address.upper()}]
        if not fitting:
            raise DeviceFault("adapter_gone", wanted)
        return min(fitting, key=lambda a: (not a.powered, len(a.path), a.path))

    async def run(self) -> None:
        """Watch until cancelled, connecting again whenever the bus goes."""
        while True:
            try:
                await self._watch()
            except WORLD as error:
                self._complain("bus_lost", error)
            finally:
                self._drop()
                self.known.set()
            await asyncio.sleep(self._next_pause_s())

    def _next_pause_s(self) -> float:
        self._failures += 1
        return min(self._retry_s * 2.0 ** min(self._failures - 1, 16), self._retry_most_s)

    def _complain(self, event: str, error: BaseException) -> None:
        trouble = (event, type(error).__name__)
        if self._trouble != trouble:
            self._trouble = trouble
            log.warning(event, error=type(error).__name__, detail=str(error))

    async def set_power(self, path: str, *, on: bool) -> None:
        """Switch an adapter. Raises what the world throws (``WORLD``)."""
        await self._call(path, f"{_PROPERTIES}.Set", "ssv", [_ADAPTER, "Powered", Variant("b", on)])

    async def _watch(self) -> None:
        bus = MessageBus(bus_type=BusType.SYSTEM)
        try:
            async with asyncio.timeout(self._call_s):
                await bus.connect()
            bus.add_message_handler(self._take)
            self._bus = bus
            for rule in _RULES:
                await self._call(_DBUS_PATH, f"{_DBUS}.AddMatch", "s", [rule], to=_DBUS)
            owned = await self._call(_DBUS_PATH, f"{_DBUS}.NameHasOwner", "s", [_BLUEZ], to=_DBUS)
            self.present = bool(owned.body[0])
            await self._last(bus)
        finally:
            bus.disconnect()

    async def _last(self, bus: MessageBus) -> None:
        """Until the connection ends, or something in here is at fault."""
        tasks = [asyncio.ensure_future(self._keep_loaded()), asyncio.ensure_future(_until_gone(bus))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()

    async def _keep_loaded(self) -> None:
        """Ask for all adapters at first and whenever bluetoothd came anew; until it answers."""
        while True:
            self._changed.clear()
            try:
                if self.present:
                    await self._load()
            except WORLD as error:
                self._complain("adapters_unread", error)
                with suppress(TimeoutError):  # bluetoothd may come anew meanwhile
                    await asyncio.wait_for(self._changed.wait(), self._next_pause_s())
                continue
            self._failures, self._trouble = 0, None
            self.known.set()
            self._wake()
            await self._changed.wait()

    async def _load(self) -> None:
        reply = await self._call("/", f"{_OBJECTS}.GetManagedObjects")
        if reply.signature != _MANAGED_OBJECTS:
            raise BleakError(f"GetManagedObjects answered {reply.signature}")
        for path, interfaces in reply.body[0].items():
            self._add(path, interfaces)

    async def _call(
        self, path: str, member: str, signature: str = "", body: list[Any] | None = None, *, to: str = _BLUEZ
    ) -> Message:
        """``member`` with its interface. Raises ``WORLD``."""
        if self._bus is None:
            raise EOFError(member)
        interface, _, name = member.rpartition(".")
        call = Message(
            destination=to, path=path, interface=interface, member=name, signature=signature, body=body or []
        )
        async with asyncio.timeout(self._call_s):
            reply = await self._bus.call(call)
        if reply is None:
            raise EOFError(member)
        if reply.message_type is MessageType.ERROR:
            raise BleakDBusError(str(reply.error_name), reply.body)
        return reply

    def _take(self, message: Message) -> None:
        """One signal. Only adapters and bluetoothd itself matter here; devices are Bleak's business."""
        if message.message_type is not MessageType.SIGNAL or message.signature != _SIGNALS.get(message.member or ""):
            return
        match message.member:
            case "NameOwnerChanged" if message.body[0] == _BLUEZ:
                self._take_owner(before=message.body[1], after=message.body[2])
            case "InterfacesAdded":
                self._add(message.body[0], message.body[1])
            case "InterfacesRemoved" if _ADAPTER in message.body[1]:
                self.adapters.pop(message.body[0], None)
                self._lose(message.body[0], "adapter_gone")
            case "PropertiesChanged" if message.body[0] == _ADAPTER and message.path in self.adapters:
                self._change(message.path, message.body[1])

    def _take_owner(self, before: str, after: str) -> None:
        if before:
            for path in list(self.adapters):
                self._lose(path, "bluetoothd_gone")
            self.adapters.clear()
        self.present = bool(after)
        self._changed.set()
        if not after:
            self._wake()  # with a new owner nothing can start before its adapters are read

    def _add(self, path: str, interfaces: Mapping[str, Mapping[str, Variant]]) -> None:
        properties = interfaces.get(_ADAPTER)
        if properties is None:
            return
        adapter = Adapter(
            path,
            address=_value(properties, "Address", ""),
            powered=_value(properties, "Powered", default=False),
            discovering=_value(properties, "Discovering", default=False),
        )
        if self.adapters.get(path) != adapter:
            self.adapters[path] = adapter
            self._wake()

    def _change(self, path: str, changed: Mapping[str, Variant]) -> None:
        before = self.adapters[path]
        self.adapters[path] = replace(
            before,
            powered=_value(changed, "Powered", before.powered),
            discovering=_value(changed, "Discovering", before.discovering),
        )
        if before.powered and not self.adapters[path].powered:
            self._lose(path, "powered_off")
        if before != self.adapters[path]:
            self._wake()

    def _lose(self, path: str, reason: str) -> None:
        self._losses[path] = (self.losses(path)[0] + 1, reason)
        self._wake()

    def _drop(self) -> None:
        """The connection is gone, and with it all we knew. One that never was is no news, and must wake nobody."""
        had_bus, self._bus, self.present = self.connected, None, False
        for path in list(self.adapters):
            self._lose(path, "bus_gone")
        self.adapters.clear()
        if had_bus:
            self._wake()

    def _wake(self) -> None:
        for ear in self._ears:
            ear.set()


async def _until_gone(bus: MessageBus) -> None:
    await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast leaves it unannotated


def _value(properties: Mapping[str, Variant], name: str, default: T) -> T:
    """A value of another type than it should have is none."""
    value = properties[name].value if name in properties else default
    return value if isinstance(value, type(default)) else default


def name_fault(error: BaseException) -> DeviceFault:
    """The named reason behind what Bleak threw at a start or stop."""
    match error:
        case DeviceFault():
            return error
        case TimeoutError():
            return DeviceFault("start_hangs")
        case BleakDBusError() if error.dbus_error.endswith(".InProgress"):
            return DeviceFault("in_progress", str(error))
        case BleakDBusError() if error.dbus_error.endswith(".NotReady"):
            return DeviceFault("powered_off", str(error))
        case BleakDBusError() if error.dbus_error.endswith((".ServiceUnknown", ".NameHasNoOwner", ".NoReply")):
            return DeviceFault("bluetoothd_gone", str(error))
        case BleakDBusError():
            return DeviceFault("scan_refused", str(error))
        case BleakBluetoothNotAvailableError() | BleakError():
            return DeviceFault("adapter_gone", str(error))
    return DeviceFault("bus_gone", f"{type(error).__name__}: {error}")


def refuses_passive(error: BleakError) -> bool:
    """Whether a start failed because this BlueZ, its kernel or the adapter cannot watch without asking.

    Bleak says so by a bare ``BleakError`` where the monitor interface is missing (BlueZ < 5.56, or without --experimental).
    """
    if isinstance(error, BleakDBusError):
        return error.dbus_error.endswith((".NotSupported", ".UnknownMethod", ".UnknownInterface", ".InvalidArguments"))
    return type(error) is BleakError


async def cached_devices(adapter_path: str) -> dict[str, Mapping[str, Any]]:
    """Every device BlueZ remembers under an adapter: object path to properties, the very objects Bleak will hand out.

    Bleak has no public way to them, and without them the first callback after a start cannot be told from a frame
    just received: BlueZ re-delivers an old press on any change of signal strength (facts/ble 2.1).
    """
    manager = await get_global_bluez_manager()
    return devices_under(adapter_path, manager._properties)  # noqa: SLF001 - nothing public tells what it remembers


def devices_under(adapter_path: str, objects: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Of all objects the devices of an adapter."""
    prefix = f"{adapter_path}/"
    found = {path: interfaces.get(_DEVICE) for path, interfaces in objects.items() if path.startswith(prefix)}
    return {path: dict(device) for path, device in found.items() if isinstance(device, Mapping)}


async def release_scan(adapter_path: str, patience_s: float) -> None:
    """End a discovery session that an abandoned start left behind, or drop Bleak's connection if even that hangs.

    BlueZ keeps sessions by connection and refuses a second one with InProgress; ours is Bleak's, and Bleak forgets a
    start that was cancelled (org.bluez.Adapter(5), StartDiscovery). Closing a connection ends all its sessions.
    """
    manager = await get_global_bluez_manager()
    bus = manager._bus  # noqa: SLF001 - its sessions end with its connection, and only so
    if bus is None:
        return
    stop = Message(destination=_BLUEZ, path=adapter_path, interface=_ADAPTER, member="StopDiscovery")
    try:
        async with asyncio.timeout(patience_s):
            await bus.call(stop)
    except TimeoutError:
        bus.disconnect()
