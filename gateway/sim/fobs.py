"""A key fob that must be connected to (iTag and its kin), behind the stand-in BlueZ.

It advertises until somebody connects, notifies ``01`` on 0xFFE1 at each press, and has a battery at 0x2A19 (facts/ble 1.1).
"""

from __future__ import annotations

from dbus_fast import Message, Variant

from gateway.sim.bluez import StandInBluez

_LONG = "0000{}-0000-1000-8000-00805f9b34fb"
_DEVICE, _SERVICE, _CHARACTERISTIC = (f"org.bluez.{name}1" for name in ("Device", "GattService", "GattCharacteristic"))


class SimFob:
    """One fob within reach of one adapter."""

    def __init__(self, bluez: StandInBluez, address: str, *, adapter: str = "hci0", battery_pct: int = 96) -> None:
        self._bluez, self.address, self._adapter, self.battery_pct = bluez, address, adapter, battery_pct
        self.path = f"/org/bluez/{adapter}/dev_{address.replace(':', '_')}"
        self.connected = self.notifying = self._loud = False
        self.pressed = 0
        bluez.peripherals.append(self)

    async def advertise(self) -> None:
        """One advertisement of a fob that nobody holds: its name and no data, as an iTag has it."""
        if not self.connected:
            self._loud = not self._loud
            rssi_dbm = -50 if self._loud else -60
            await self._bluez.advertise(self.address, name="iTAG", rssi_dbm=rssi_dbm, adapter=self._adapter)

    async def press(self) -> None:
        """Press once. Nobody hears it unless somebody is connected and asked for notifications."""
        self.pressed += 1
        if self.notifying:
            await self._bluez.change(self._key, _CHARACTERISTIC, {"Value": Variant("ay", b"\x01")})

    async def leave(self) -> None:
        """Out of reach: the connection is lost."""
        self.connected = self.notifying = False
        await self._bluez.change(
            self.path, _DEVICE, {"Connected": Variant("b", False), "ServicesResolved": Variant("b", False)}
        )

    @property
    def _key(self) -> str:
        return f"{self.path}/service0001/char0002"

    @property
    def _battery(self) -> str:
        return f"{self.path}/service0003/char0004"

    def answer(self, message: Message, member: str) -> Message:
        """What BlueZ answers for this device."""
        match member:
            case "Connect":
                self.connected = True
                self._bluez.later(self._appear())
            case "Disconnect":
                self._bluez.later(self.leave())
            case "StartNotify" if message.path == self._key:
                self.notifying = True
            case "StopNotify":
                self.notifying = False
            case "ReadValue" if message.path == self._battery:
                return Message.new_method_return(message, "ay", [bytes([self.battery_pct])])
            case _:
                return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", member)
        return Message.new_method_return(message)

    async def _appear(self) -> None:
        """Connected: its services are found, and BlueZ says so."""
        await self._bluez.change(self.path, _DEVICE, {"Connected": Variant("b", True)})
        for key, service, characteristic, flags in (
            (self._key, "ffe0", "ffe1", ["read", "notify"]),
            (self._battery, "180f", "2a19", ["read"]),
        ):
            parent = key.rsplit("/", 1)[0]
            told = {
                "UUID": Variant("s", _LONG.format(service)),
                "Device": Variant("o", self.path),
                "Primary": Variant("b", True),
                "Includes": Variant("ao", []),
            }
            await self._bluez.publish(parent, {_SERVICE: told})
            value = {
                "UUID": Variant("s", _LONG.format(characteristic)),
                "Service": Variant("o", parent),
                "Value": Variant("ay", b""),
                "Notifying": Variant("b", False),
                "Flags": Variant("as", flags),
                "MTU": Variant("q", 23),
            }
            await self._bluez.publish(key, {_CHARACTERISTIC: value})
        await self._bluez.change(self.path, _DEVICE, {"ServicesResolved": Variant("b", True)})
