"""The stand-in behaves as BlueZ does: checked with a D-Bus client that is not Bleak."""

from __future__ import annotations

import asyncio
import shutil

import pytest
from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from gateway.faults import DeviceFault
from gateway.sim.bluez import PrivateBus, StandInBluez
from gateway.sim.buttons import SERVICE, SimButton

ADDRESS = "A4:C1:38:00:00:01"
ADAPTER = "org.bluez.Adapter1"
PATIENCE_S = 60.0


class Client:
    """Whoever scans: calls BlueZ and keeps the signals."""

    def __init__(self, address):
        self.bus, self.signals = MessageBus(bus_address=address), []

    async def start(self):
        await self.bus.connect()
        self.bus.add_message_handler(self._take)
        rule = "type='signal',sender='org.bluez'"
        dbus, path = "org.freedesktop.DBus", "/org/freedesktop/DBus"
        await self.call("AddMatch", "s", [rule], to=dbus, path=path, interface=dbus)
        return self

    def _take(self, message):
        if message.message_type is MessageType.SIGNAL and message.member != "NameAcquired":
            self.signals.append(message)

    async def call(self, member, signature="", body=(), *, to="org.bluez", path="/org/bluez/hci0", interface=ADAPTER):
        message = Message(to, path, interface, member, signature=signature, body=list(body))
        async with asyncio.timeout(PATIENCE_S):
            reply = await self.bus.call(message)
        return reply.error_name if reply.message_type is MessageType.ERROR else reply.body

    async def scan(self, *, every_frame=True):
        await self.call("SetDiscoveryFilter", "a{sv}", [{"DuplicateData": Variant("b", every_frame)}])
        return await self.call("StartDiscovery")

    async def names(self):
        """What was signalled of devices since last asked: ``added``, or the properties that changed."""
        await self.call("Ping", path="/", interface="org.freedesktop.DBus.Peer")  # its answer comes behind all of them
        seen = [
            "added" if s.member == "InterfacesAdded" else "+".join(sorted(s.body[1]))
            for s in self.signals
            if s.member == "InterfacesAdded" or (s.member == "PropertiesChanged" and s.body[0] != ADAPTER)
        ]
        self.signals.clear()
        return seen


@pytest.fixture
def play():
    """Runs a scene with a stand-in and a client on a private bus."""
    if shutil.which("dbus-daemon") is None:
        pytest.skip("dbus-daemon is not installed")

    def run(scene):
        async def main():
            bus = PrivateBus()
            try:
                bluez = StandInBluez(bus.start())
                await bluez.add_adapter()
                await bluez.start()
                await scene(bluez, await Client(bus.address).start())
            finally:
                bus.remove()

        asyncio.run(main())

    return run


def test_nothing_is_told_before_somebody_scans(play):
    async def scene(bluez, client):
        assert not await bluez.advertise(ADDRESS, service_data={SERVICE: b"\x44"})
        await client.scan()
        assert await bluez.advertise(ADDRESS, service_data={SERVICE: b"\x44"})
        assert await client.names() == ["added"]
        await client.call("StopDiscovery")
        assert not await bluez.advertise(ADDRESS, service_data={SERVICE: b"\x44"})

    play(scene)


@pytest.mark.parametrize(("every_frame", "told"), [(True, ["added", "ServiceData", "ServiceData"]), (False, ["added"])])
def test_an_identical_frame_is_told_only_to_who_asked_for_duplicates(play, every_frame, told):
    async def scene(bluez, client):
        await client.scan(every_frame=every_frame)
        for _ in range(3):
            await bluez.advertise(ADDRESS, service_data={SERVICE: b"\x44"})
        assert await client.names() == told

    play(scene)


def test_signal_strength_is_told_in_steps_of_8_db_and_old_data_stays(play):
    async def scene(bluez, client):
        await client.scan()
        await bluez.advertise(ADDRESS, service_data={SERVICE: b"\x44"}, rssi_dbm=-60)
        for rssi in (-67, -68, -61, -60):
            await bluez.advertise(ADDRESS, rssi_dbm=rssi)
        assert await client.names() == ["added", "RSSI", "RSSI"]
        interface = "org.freedesktop.DBus.ObjectManager"
        [objects] = await client.call("GetManagedObjects", path="/", interface=interface)
        device = objects["/org/bluez/hci0/dev_A4_C1_38_00_00_01"]["org.bluez.Device1"]
        assert device["ServiceData"].value[SERVICE].value == b"\x44"

    play(scene)


def test_one_session_for_each_client_gone_with_it(play):
    async def scene(bluez, client):
        assert await client.scan() == []
        assert await client.scan() == "org.bluez.Error.InProgress"
        client.bus.disconnect()
        async with asyncio.timeout(PATIENCE_S):
            while bluez.scanning():
                await asyncio.sleep(0.005)

    play(scene)


def test_power_and_refusals(play):
    async def scene(bluez, client):
        await bluez.set_powered(on=False, blocked=True)
        assert await client.scan() == "org.bluez.Error.NotReady"
        power = [ADAPTER, "Powered", Variant("b", True)]
        properties = "org.freedesktop.DBus.Properties"
        assert await client.call("Set", "ssv", power, interface=properties) == "org.bluez.Error.Blocked"
        await bluez.set_powered(on=True)
        bluez.refusing["StartDiscovery"] = "InProgress"
        assert await client.scan() == "org.bluez.Error.InProgress"
        bluez.refusing.clear()
        bluez.hanging.add("StartDiscovery")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.scan()

    play(scene)


def test_a_press_is_one_occurrence_of_many_frames(play):
    async def scene(bluez, client):
        await client.scan()
        button = SimButton(ADDRESS, bytes(16))

        async def air(address, frame, rssi_dbm):
            return await bluez.advertise(address, service_data={SERVICE: frame}, rssi_dbm=rssi_dbm)

        await button.send(button.press(), air, spread_s=0.03)
        assert len(await client.names()) == 6
        assert button.pressed == 1

    play(scene)


def test_many_frames_at_once_lose_none(play):
    async def scene(bluez, client):
        await client.scan()
        for count in range(2000):
            await bluez.advertise(ADDRESS, manufacturer_data={1: count.to_bytes(2, "big")})
        async with asyncio.timeout(PATIENCE_S):
            while len(client.signals) < 2001:
                await asyncio.sleep(0.01)

    play(scene)


def test_without_a_daemon_to_run_it_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    bus = PrivateBus()
    with pytest.raises(DeviceFault) as caught:
        bus.start()
    bus.remove()
    assert caught.value.reason == "no_dbus_daemon"
