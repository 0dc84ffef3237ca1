"""What BlueZ says over D-Bus, behind the real Bleak and dbus-fast, without a bus between: that would take seconds for each input.

An input is lines, each a JSON object: ``member``, ``path``, ``signature`` and ``body`` of one signal, a variant as ``[signature, value]``.
A line that is none, or that dbus-fast does not write, is left out: a bus carries only what its signature says.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
from functools import cache
from typing import Any

import msgspec
from bleak import BleakScanner
from bleak.backends.bluezdbus.manager import BlueZManager
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from dbus_fast import Message, MessageType, SignatureTree, SignatureType, Variant
from dbus_fast._private.unmarshaller import Unmarshaller
from instruments.virtual import VirtualLoop

from gateway.drivers.ble.bluez import devices_under
from gateway.drivers.ble.scanner import BluezSource
from gateway.drivers.ble.watcher import RadioWatcher
from gateway.events import DeviceHealth, Event, Press, Reading
from gateway.faults import DeviceFault
from gateway.instant import Instant
from gateway.nodes import Mark
from gateway.sim.buttons import SERVICE, SimButton
from gateway.site.model import Button, Radio

KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
PLAIN, SEALED, HONEST, FOB = (f"A4:C1:38:00:00:0{n}" for n in (1, 2, 3, 4))
ADAPTER = "/org/bluez/hci0"
ADDED, CHANGED = ("InterfacesAdded", "oa{sa{sv}}"), ("PropertiesChanged", "sa{sv}as")
MOST = 100_000
"""Bleak takes a number where bytes belong for so many zero bytes; only root may speak as org.bluez, and he has shorter ways to our end."""


def bluez_signals(data: bytes) -> None:
    """Whatever types and values BlueZ puts into its signals, and into what it is asked for at a start: nothing of ours raises, what is
    reported can be journaled and read back, a sealed button is never pressed by what its key did not seal, what is known of adapters has
    the types it should have, and an honest press after all of it is heard.
    """
    logging.getLogger("bleak").setLevel(logging.CRITICAL)
    with contextlib.redirect_stdout(None):
        _loop().run_until_complete(
            _heard([found for line in data.split(b"\n")[:100] if (found := _signal(line)) is not None])
        )


@cache
def _loop() -> VirtualLoop:
    return VirtualLoop()


async def _heard(signals: list[Message]) -> None:
    radio = _Radio()
    for message in (*_honest_adapter(), *signals):
        radio.hear(message)
    radio.start_again()
    radio.judge()
    radio.hear(_honest_press())
    assert [one.button for one in radio.events if isinstance(one, Press)][-1:] == ["honest"]


class _Radio:
    """The real watcher, with the scanner of one adapter under the real Bleak."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        buttons = [
            Button("plain", PLAIN, "3/1/101", Mark("site.yaml", 1)),
            Button("sealed", SEALED, "3/1/102", Mark("site.yaml", 1)),
            Button("honest", HONEST, "3/1/103", Mark("site.yaml", 1)),
            Button("fob", FOB, "3/1/104", Mark("site.yaml", 1), format="gatt"),
        ]
        self.watcher = RadioWatcher(
            Radio(), {one.id: one for one in buttons}, {"sealed": KEY, "honest": KEY}, lambda: Instant(0),
            self.events.append, {}, lambda: None,  # type: ignore[arg-type]  # nobody waits for a ticket here
        )  # fmt: skip
        source = self.watcher._sources[0]
        assert isinstance(source, BluezSource)
        self.source, self.watch = source, source._watch
        self.watch._bus = object()  # type: ignore[assignment]  # it counts as connected
        self.watch.present = True
        self.scanner = source.scanners[0]
        self.scanner._hear = self.watcher.hear
        self.bugs: list[Exception] = []
        self.bleak = BlueZManager()
        backend = BleakScanner(self._take, bluez={"adapter": "hci0"})._backend
        self.bleak._advertisement_callbacks[ADAPTER].append(backend._handle_advertising_data)  # type: ignore[attr-defined]

    def _take(self, device: BLEDevice, data: AdvertisementData) -> None:
        try:
            self.scanner._take(device, data)
        except Exception as bug:  # noqa: BLE001 - Bleak's caller would only log it
            self.bugs.append(bug)

    def hear(self, message: Message) -> None:
        self.watch._take(message)
        with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError, AssertionError, RecursionError):
            self.bleak._parse_msg(message)  # what it makes of odd types is its own affair, and is logged by its caller
        self._work()

    def start_again(self) -> None:
        """What BlueZ remembers is asked for, and read."""
        remembered: Any = self.bleak._properties
        self.scanner._take_baseline(devices_under(ADAPTER, remembered))
        self._work()

    def _work(self) -> None:
        assert not self.bugs, self.bugs
        while not self.watcher._queue.empty():
            self.watcher._take(self.watcher._queue.get_nowait())
        self.watcher._let_expire()

    def judge(self) -> None:
        for event in self.events:
            assert isinstance(event, Press | Reading | DeviceHealth)
            assert msgspec.json.decode(msgspec.json.encode(event), type=type(event)) == event
        for adapter in self.watch.adapters.values():
            assert (type(adapter.address), type(adapter.powered), type(adapter.discovering)) == (str, bool, bool)
        for wanted in ("", "hci0", "00:1A:7D:DA:71:01"):
            with contextlib.suppress(DeviceFault):
                self.watch.find(wanted)
        self.source.find(PLAIN)


def _signal(line: bytes) -> Message | None:
    """One line as dbus-fast would have it from a bus; None where none can have said so."""
    try:
        said = json.loads(line)
        tree = SignatureTree(said["signature"])
        body = [_value(kind, one) for kind, one in zip(tree.types, said["body"], strict=True)]
        sent = Message(
            path=said["path"], interface="org.bluez.Any", member=said["member"], message_type=MessageType.SIGNAL,
            signature=said["signature"], body=body, serial=1,
        )  # fmt: skip
        return Unmarshaller(io.BytesIO(bytes(sent._marshall(False)))).unmarshall()
    except Exception:  # noqa: BLE001 - whatever it is, no bus carries it
        return None


def _value(kind: SignatureType, said: Any) -> Any:
    match kind.token:
        case "v":
            return Variant(said[0], _value(SignatureTree(said[0]).types[0], said[1]))
        case "a" if kind.children[0].token == "{":
            key, value = kind.children[0].children
            return {_value(key, name): _value(value, one) for name, one in said.items()}
        case "a" if kind.children[0].token == "y":
            return bytes.fromhex(said)
        case "a" | "(":
            return [_value(kind.children[0], one) for one in said]
        case "d":
            return float(said)
        case "b":
            return bool(said)
        case "s" | "o" | "g":
            return str(said)
    number = int(said)
    assert abs(number) < MOST
    return number


def _honest_adapter() -> list[Message]:
    properties = {"Address": ["s", "00:1A:7D:DA:71:01"], "Powered": ["b", True], "Discovering": ["b", True]}
    return _said(*ADDED, [ADAPTER, {"org.bluez.Adapter1": properties}])


def _honest_press() -> Message:
    button = SimButton(HONEST, KEY, counter=1_700_000_000)
    device = {
        "Address": ["s", HONEST], "Adapter": ["o", ADAPTER], "UUIDs": ["as", []], "RSSI": ["n", -60], "Alias": ["s", "x"],
        "ServiceData": ["a{sv}", {SERVICE: ["ay", button.press().hex()]}],
    }  # fmt: skip
    return _said(*ADDED, [f"{ADAPTER}/dev_honest", {"org.bluez.Device1": device}])[0]


def _said(member: str, signature: str, body: list[Any]) -> list[Message]:
    found = _signal(json.dumps({"member": member, "path": "/", "signature": signature, "body": body}).encode())
    assert found is not None
    return [found]


TARGETS = (bluez_signals,)
