"""A stand-in for BlueZ: speaks ``org.bluez`` on a private D-Bus daemon, so that the real Bleak scans a simulated air.

Here lives our reading of what bluetoothd does with an advertisement, and every way in which it fails in the field.
What it does, from BlueZ's ``src/adapter.c``, ``src/device.c`` and org.bluez.Adapter(5):

* nothing is delivered unless a client discovers; each connection may hold one session, a second is ``InProgress``, and a
  client that leaves the bus takes its session along;
* first sight of a device is ``InterfacesAdded``, later ones ``PropertiesChanged`` of what changed; signal strength only for
  steps of 8 dB; service and manufacturer data stay on the object, and with ``DuplicateData`` are sent for every frame;
* with ``--experimental``, advertisement monitors: frames that bear one of their patterns, and of repeated content nothing;
* switching off ends discovery; a blocked adapter (rfkill) refuses to be switched on.

Not modelled: the controller's and the kernel's own duplicate filters, scan timing, loss.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, Protocol

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.constants import NameFlag

from gateway.faults import DeviceFault
from gateway.sim import leash

_OBJECTS, _PROPERTIES = "org.freedesktop.DBus.ObjectManager", "org.freedesktop.DBus.Properties"
_ADAPTER, _DEVICE = "org.bluez.Adapter1", "org.bluez.Device1"
_DBUS, _DBUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
_IN_FLIGHT = 32
"""Signals between two questions to the daemon: dbus-fast 5.2 drops its own connection when it outruns the socket."""
_RSSI_STEP_DBM = 8  # src/device.c, RSSI_THRESHOLD

_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>{address}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>"""

_MONITOR = "org.bluez.AdvertisementMonitor1"
_ASKED = 100  # times, a hundredth of a second apart

Properties = dict[str, Variant]
_Pattern = tuple[int, int, bytes]


class Peripheral(Protocol):
    """A device that can be connected to, and answers for the objects under its path."""

    path: str

    def answer(self, message: Message, member: str) -> Message: ...


class PrivateBus:
    """A D-Bus daemon of our own on a socket in a folder of our own; may be stopped and started again there."""

    def __init__(self, *, leashed: bool = False) -> None:
        """``leashed``: it ends with the thread that starts it (see ``leash``)."""
        self._leashed = leashed
        self._folder = Path(tempfile.mkdtemp(prefix="loudong-bus-"))
        self.address = f"unix:path={self._folder}/bus"
        """To be put into ``DBUS_SYSTEM_BUS_ADDRESS`` of whoever shall find our BlueZ."""
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Run the daemon; returns its address once it listens. Raises ``DeviceFault`` where there is none to run."""
        program = shutil.which("dbus-daemon")
        if program is None:
            raise DeviceFault("no_dbus_daemon", "dbus-daemon is not installed")
        (self._folder / "bus").unlink(missing_ok=True)
        config = self._folder / "bus.conf"
        config.write_text(_CONFIG.format(address=self.address))
        command = [program, "--nofork", "--nopidfile", f"--config-file={config}", "--print-address=1"]
        self._daemon = subprocess.Popen(
            leash.leashed(command) if self._leashed else command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us: a bus that dies of it is an alert, and nobody pulled a radio out
        )
        if self._daemon.stdout is None or not self._daemon.stdout.readline():
            self.stop()
            raise DeviceFault("no_dbus_daemon", "dbus-daemon did not start")
        return self.address

    def stop(self) -> None:
        """End the daemon this object started, as a crash would."""
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            daemon.kill()
            daemon.wait(5)
            if daemon.stdout is not None:
                daemon.stdout.close()

    def remove(self) -> None:
        """Stop, and take the folder away."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class StandInBluez:
    """One life of bluetoothd. After ``crash`` or ``stop`` make a new one, as systemd would."""

    def __init__(self, address: str) -> None:
        """``address`` of the bus, from ``PrivateBus.start``."""
        self._address = address
        self._bus: MessageBus | None = None
        self._objects: dict[str, dict[str, Properties]] = {}
        self._filters: dict[tuple[str, str], Properties] = {}
        self._sessions: dict[str, dict[str, Properties]] = {}
        self._monitors: dict[str, dict[tuple[str, str], list[_Pattern]]] = {}
        self._blocked: set[str] = set()
        self._tasks: set[asyncio.Future[None]] = set()
        self._sent = 0
        self.calls: list[str] = []
        """Members called so far."""
        self.hanging: set[str] = set()
        """Members never answered and never done."""
        self.mute: set[str] = set()
        """Members done but never answered."""
        self.experimental = False
        """Started with ``--experimental``: advertisement monitors can be registered."""
        self.peripherals: list[Peripheral] = []
        """Devices that can be connected to."""
        self.refusing: dict[str, str] = {}
        """Member to the error it answers, without ``org.bluez.Error.``."""
        self.silent = False
        """The radio hears nothing, and says nothing of it."""

    async def start(self) -> StandInBluez:
        """Take the name ``org.bluez``; adapters added before are there from the first moment."""
        self._bus = await MessageBus(bus_address=self._address).connect()
        self._bus.add_message_handler(self._answer)
        rule = "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg2=''"
        await self._bus.call(Message(_DBUS, _DBUS_PATH, _DBUS, "AddMatch", signature="s", body=[rule]))
        await self._bus.request_name("org.bluez", NameFlag.DO_NOT_QUEUE)
        return self

    def crash(self) -> None:
        """Killed: the name is gone, nobody is told of adapters or devices."""
        if self._bus is not None:
            self._bus.disconnect()
        self._bus = None

    async def stop(self) -> None:
        """Stopped by systemd: everything is taken back, then the name is gone."""
        for name in self.adapters:
            await self.remove_adapter(name)
        await asyncio.sleep(0.02)  # let the signals leave before the connection does
        self.crash()

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of those that are plugged in."""
        return tuple(path.rsplit("/", 1)[-1] for path in self._objects if path.count("/") == 3)

    async def add_adapter(
        self, name: str = "hci0", address: str = "00:1A:7D:DA:71:01", *, powered: bool = True
    ) -> None:
        """Plug one in."""
        path = f"/org/bluez/{name}"
        self._objects[path] = {
            _ADAPTER: {
                "Address": Variant("s", address),
                "Name": Variant("s", name),
                "Alias": Variant("s", name),
                "Powered": Variant("b", powered),
                "Discovering": Variant("b", False),
                "Roles": Variant("as", ["central", "peripheral"]),
                "UUIDs": Variant("as", []),
            }
        }
        await self._signal_added(path)

    async def remove_adapter(self, name: str = "hci0") -> None:
        """Pull one out, and all devices it knew."""
        path = f"/org/bluez/{name}"
        self._sessions.pop(path, None)
        self._monitors.pop(path, None)
        for gone in [p for p in self._objects if p.startswith(f"{path}/")] + [path]:
            interfaces = list(self._objects.pop(gone, {}))
            await self._signal("/", f"{_OBJECTS}.InterfacesRemoved", "oas", [gone, interfaces])

    async def forget(self, address: str, adapter: str = "hci0") -> None:
        """A device unseen for 30 s leaves (main.conf, TemporaryTimeout); here only when told to."""
        path = _device_path(adapter, address)
        if self._objects.pop(path, None) is not None:
            await self._signal("/", f"{_OBJECTS}.InterfacesRemoved", "oas", [path, [_DEVICE]])

    async def set_powered(self, *, on: bool, name: str = "hci0", blocked: bool = False) -> None:
        """Switch an adapter; ``blocked`` ones (rfkill) cannot be switched on by a client."""
        path = f"/org/bluez/{name}"
        (self._blocked.add if blocked else self._blocked.discard)(path)
        await self._power(path, on=on)

    def lose_scan(self) -> None:
        """Discovery is dead, and BlueZ does not know."""
        self._sessions.clear()
        self._monitors.clear()

    async def end_scan(self, name: str = "hci0") -> None:
        """Discovery ended from outside, and BlueZ says so."""
        self._sessions.pop(f"/org/bluez/{name}", None)
        await self._change(f"/org/bluez/{name}", _ADAPTER, {"Discovering": Variant("b", False)})

    def scanning(self, name: str = "hci0") -> bool:
        """Whether anybody would be told of an advertisement."""
        path = f"/org/bluez/{name}"
        return self._bus is not None and not self.silent and bool(self._sessions.get(path) or self._monitors.get(path))

    async def advertise(
        self,
        address: str,
        *,
        service_data: Mapping[str, bytes] | None = None,
        manufacturer_data: Mapping[int, bytes] | None = None,
        rssi_dbm: int = -60,
        name: str = "",
        adapter: str = "hci0",
    ) -> bool:
        """The radio receives one frame. True when BlueZ told anybody."""
        if not self.scanning(adapter) or not self._lets_through(adapter, service_data or {}, manufacturer_data or {}):
            return False
        path = _device_path(adapter, address)
        data: Properties = {}
        if service_data:
            data["ServiceData"] = Variant("a{sv}", {k: Variant("ay", bytes(v)) for k, v in service_data.items()})
        if manufacturer_data:
            data["ManufacturerData"] = Variant(
                "a{qv}", {k: Variant("ay", bytes(v)) for k, v in manufacturer_data.items()}
            )
        if path not in self._objects:
            self._objects[path] = {_DEVICE: _new_device(address, adapter, rssi_dbm, name) | data}
            await self._signal_added(path)
            return True
        changed = self._what_changed(path, adapter, data, rssi_dbm)
        if changed:
            await self._change(path, _DEVICE, changed)
        return bool(changed)

    def _lets_through(self, adapter: str, services: Mapping[str, bytes], makers: Mapping[int, bytes]) -> bool:
        """Discovery hears everything; a monitor what bears one of its patterns (flags 0x06 are taken for granted)."""
        path = f"/org/bluez/{adapter}"
        if self._sessions.get(path):
            return True
        sent = [(0x01, b"\x06")]
        sent += [(0x16, bytes.fromhex(uuid[4:8])[::-1] + data) for uuid, data in services.items()]
        sent += [(0xFF, company.to_bytes(2, "little") + data) for company, data in makers.items()]
        wanted = [pattern for patterns in self._monitors.get(path, {}).values() for pattern in patterns]
        return any(kind == k and data[at:].startswith(part) for at, kind, part in wanted for k, data in sent)

    def _what_changed(self, path: str, adapter: str, data: Properties, rssi_dbm: int) -> Properties:
        device = self._objects[path][_DEVICE]
        sessions = self._sessions.get(f"/org/bluez/{adapter}", {}).values()
        every_frame = any("DuplicateData" in wish and wish["DuplicateData"].value for wish in sessions)
        changed: Properties = {}
        if abs(device["RSSI"].value - rssi_dbm) >= _RSSI_STEP_DBM:
            changed["RSSI"] = Variant("n", rssi_dbm)
        for name, new in data.items():
            if every_frame:
                changed[name] = new
                continue
            old = device[name].value if name in device else {}
            merged = {**old, **new.value}
            if _plain(merged) != _plain(old):
                changed[name] = Variant(new.signature, merged)
        return changed

    async def _power(self, path: str, *, on: bool) -> None:
        changed = {"Powered": Variant("b", on)}
        if not on:
            self._sessions.pop(path, None)
            self._monitors.pop(path, None)
            changed["Discovering"] = Variant("b", False)
        await self._change(path, _ADAPTER, changed)

    async def _change(self, path: str, interface: str, changed: Properties) -> None:
        self._objects[path][interface].update(changed)
        await self._signal(path, f"{_PROPERTIES}.PropertiesChanged", "sa{sv}as", [interface, changed, []])

    async def _signal_added(self, path: str) -> None:
        await self._signal("/", f"{_OBJECTS}.InterfacesAdded", "oa{sa{sv}}", [path, self._objects[path]])

    async def _signal(self, path: str, member: str, signature: str, body: list[Any]) -> None:
        interface, _, name = member.rpartition(".")
        if self._bus is None:
            return
        with contextlib.suppress(OSError, EOFError):
            await self._bus.send(Message.new_signal(path, interface, name, signature, body))
            self._sent += 1
            if self._sent % _IN_FLIGHT == 0:
                await self._bus.call(Message(_DBUS, _DBUS_PATH, _DBUS, "GetId"))

    def _answer(self, message: Message) -> Message | bool | None:
        if message.message_type is MessageType.SIGNAL and message.member == "NameOwnerChanged":
            for sessions in self._sessions.values():
                sessions.pop(message.body[0], None)
            for monitors in self._monitors.values():
                for key in [key for key in monitors if key[0] == message.body[0]]:
                    del monitors[key]
            return None
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        member = message.member or ""
        self.calls.append(member)
        if member in self.hanging:
            return True
        if member in self.refusing:
            return _error(message, self.refusing[member])
        answer = self._do(message, member)
        return True if member in self.mute else answer

    def _do(self, message: Message, member: str) -> Message:
        if member == "GetManagedObjects":
            return Message.new_method_return(message, "a{oa{sa{sv}}}", [self._objects])
        path, sender = message.path or "", message.sender or ""
        for peripheral in self.peripherals:
            if path.startswith(peripheral.path) and path in self._objects:
                return peripheral.answer(message, member)
        if path not in self._objects:
            return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownObject", path)
        match member:
            case "Set" if message.body[:2] == [_ADAPTER, "Powered"]:
                return self._set_power(message, path)
            case "SetDiscoveryFilter":
                self._filters[path, sender] = message.body[0]
                return Message.new_method_return(message)
            case "StartDiscovery":
                return self._start_discovery(message, path, sender)
            case "RegisterMonitor" if self.experimental:
                self._monitors.setdefault(path, {})[sender, message.body[0]] = []
                self.later(self._read_patterns(path, sender, message.body[0]))
                return Message.new_method_return(message)
            case "UnregisterMonitor" if self.experimental:
                self._monitors.get(path, {}).pop((sender, message.body[0]), None)
                return Message.new_method_return(message)
            case "StopDiscovery":
                if self._sessions.get(path, {}).pop(sender, None) is None:
                    return _error(message, "Failed", "No discovery started")
                self.later(self._change(path, _ADAPTER, {"Discovering": Variant("b", bool(self._sessions[path]))}))
                return Message.new_method_return(message)
        return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", member)

    async def _read_patterns(self, path: str, sender: str, monitor: str) -> None:
        """The client exports its monitor after registering it; BlueZ then asks for its patterns."""
        ask = Message(sender, monitor, _PROPERTIES, "Get", signature="ss", body=[_MONITOR, "Patterns"])
        for _ in range(_ASKED):
            reply = await self._bus.call(ask) if self._bus is not None else None
            if reply is not None and reply.message_type is MessageType.METHOD_RETURN:
                patterns = [(int(at), int(kind), bytes(data)) for at, kind, data in reply.body[0].value]
                if (sender, monitor) in self._monitors.get(path, {}):
                    self._monitors[path][sender, monitor] = patterns
                return
            await asyncio.sleep(0.01)

    def _set_power(self, message: Message, path: str) -> Message:
        on = bool(message.body[2].value)
        if on and path in self._blocked:
            return _error(message, "Blocked", "Blocked through rfkill")
        self.later(self._power(path, on=on))
        return Message.new_method_return(message)

    def _start_discovery(self, message: Message, path: str, sender: str) -> Message:
        if not self._objects[path][_ADAPTER]["Powered"].value:
            return _error(message, "NotReady", "Resource Not Ready")
        if sender in self._sessions.get(path, {}):
            return _error(message, "InProgress", "Operation already in progress")
        self._sessions.setdefault(path, {})[sender] = self._filters.get((path, sender), {})
        self.later(self._change(path, _ADAPTER, {"Discovering": Variant("b", True)}))
        return Message.new_method_return(message)

    async def publish(self, path: str, interfaces: dict[str, Properties]) -> None:
        """An object appears."""
        self._objects[path] = interfaces
        await self._signal_added(path)

    async def withdraw(self, path: str) -> None:
        """An object goes."""
        interfaces = list(self._objects.pop(path, {}))
        await self._signal("/", f"{_OBJECTS}.InterfacesRemoved", "oas", [path, interfaces])

    async def change(self, path: str, interface: str, changed: Properties) -> None:
        """Properties of an object change."""
        await self._change(path, interface, changed)

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Signal a change after the answer to the call that made it has left."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _device_path(adapter: str, address: str) -> str:
    return f"/org/bluez/{adapter}/dev_{address.replace(':', '_')}"


def _new_device(address: str, adapter: str, rssi_dbm: int, name: str) -> Properties:
    named = {"Name": Variant("s", name)} if name else {}
    flags = {flag: Variant("b", False) for flag in ("Paired", "Trusted", "Blocked", "Connected", "ServicesResolved")}
    return {
        "Address": Variant("s", address),
        "AddressType": Variant("s", "random"),
        "Alias": Variant("s", name or address.replace(":", "-")),
        "Adapter": Variant("o", f"/org/bluez/{adapter}"),
        "UUIDs": Variant("as", []),
        "RSSI": Variant("n", rssi_dbm),
        **named,
        **flags,
    }


def _plain(data: Mapping[Any, Variant]) -> dict[Any, bytes]:
    return {key: bytes(value.value) for key, value in data.items()}


def _error(message: Message, name: str, text: str = "") -> Message:
    return Message.new_error(message, f"org.bluez.Error.{name}", text or name)
