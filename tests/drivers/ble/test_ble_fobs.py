"""A key fob that must be connected to, on real Bleak: held, heard, and missed at once when it goes."""

from __future__ import annotations

import asyncio

from gateway.drivers.ble.fobs import FobKeeper
from gateway.events import DeviceHealth, Health, PressKind
from gateway.nodes import Mark
from gateway.sim.bluez import StandInBluez
from gateway.sim.fobs import SimFob
from gateway.site.model import Button

FOB = Button("fob", "FF:FF:10:00:00:01", "3/1/103", Mark("site.yaml", 1), format="gatt")
LOST, HELD = (Health.FAULTY, "not_connected"), (Health.OK, "")


def of_fob(air):
    return [(e.health, e.reason) for e in air.events if isinstance(e, DeviceHealth) and e.device == "fob"]


async def calling(fob):
    while True:
        await fob.advertise()
        await asyncio.sleep(0.05)


def test_each_notification_is_one_press_and_a_lost_connection_is_told_and_made_anew(on_air):
    async def scene(air):
        fob = SimFob(air.bluez, FOB.address)
        task = asyncio.ensure_future(calling(fob))
        await air.until(lambda: fob.notifying and of_fob(air)[-1:] == [HELD], within_s=20)
        for n in range(1, 4):
            await fob.press()
            await air.until(lambda n=n: len(air.presses) == n)
        told = len(of_fob(air))
        await fob.leave()
        await air.until(lambda: LOST in of_fob(air)[told:])
        await air.until(lambda: fob.notifying and of_fob(air)[-1] == HELD, within_s=20)
        await fob.press()
        await air.until(lambda: len(air.presses) == 4)
        task.cancel()

    air = on_air(scene, more=(FOB,), silence_ms=30_000)
    assert [(p.button, p.kind, p.key) for p in air.presses] == [("fob", PressKind.SINGLE, "")] * 4
    assert of_fob(air)[-3:] == [HELD, LOST, HELD]  # on a slow machine it was missed at first
    assert air.readings("battery") == [96]
    assert None in air.readings("heard")


def test_a_fob_that_a_crashed_life_still_holds_is_taken_over(on_air, monkeypatch):
    """BlueZ keeps a connection whose owner died, so the fob does not call, and nobody would ever look for it."""

    async def stay_connected(_self, _client):
        return

    async def scene(air):
        fob = SimFob(air.bluez, FOB.address)
        calls = asyncio.ensure_future(calling(fob))
        with monkeypatch.context() as crash:
            crash.setattr(FobKeeper, "_let_go", stay_connected)
            first = asyncio.ensure_future(air.watch(more=(FOB,), silence_ms=30_000).run())
            await air.until(lambda: fob.notifying and of_fob(air)[-1:] == [HELD], within_s=20)
            calls.cancel()
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        fob.notifying = False
        second = asyncio.ensure_future(air.watch(more=(FOB,), silence_ms=30_000).run())
        await air.until(lambda: fob.notifying and air.watcher.counts.get("fob.connections") == 1, within_s=20)
        await fob.press()
        await air.until(lambda: air.watcher.counts["fob.notifications"] == 1)  # the dead life's client hears it, too
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)

    on_air(scene, start=False)


def test_a_fob_that_never_calls_is_told_as_lost(on_air):
    async def scene(air):
        await air.until(lambda: of_fob(air) == [LOST])

    on_air(scene, more=(FOB,), silence_ms=30_000)


def test_buttons_that_only_shout_are_heard_beside_it(on_air):
    async def scene(air):
        fob = SimFob(air.bluez, FOB.address)
        task = asyncio.ensure_future(calling(fob))
        await air.until(lambda: fob.notifying, within_s=20)
        await air.plain.send(air.plain.press(), air.air, spread_s=0.05)
        await air.until(lambda: [p.button for p in air.presses] == ["b-1"])
        task.cancel()

    on_air(scene, more=(FOB,), silence_ms=30_000)


def test_a_fob_whose_bluetoothd_was_killed_is_lost_and_held_anew(on_air):
    """Nobody says that the connection is gone: not BlueZ, which is dead, and not Bleak, which asks nobody."""

    async def scene(air):
        fob = SimFob(air.bluez, FOB.address)
        calls = asyncio.ensure_future(calling(fob))
        await air.until(lambda: fob.notifying and of_fob(air)[-1:] == [HELD], within_s=20)
        calls.cancel()
        told = len(of_fob(air))
        air.bluez.crash()
        await air.until(lambda: of_fob(air)[told:] == [LOST], within_s=20)
        air.bluez = await StandInBluez(air.bus.address).start()
        await air.bluez.add_adapter()
        again = SimFob(air.bluez, FOB.address)
        calls = asyncio.ensure_future(calling(again))
        await air.until(lambda: again.notifying and of_fob(air)[-1] == HELD, within_s=20)
        await again.press()
        await air.until(lambda: len(air.presses) == 1)
        calls.cancel()

    on_air(scene, more=(FOB,), silence_ms=30_000)


def test_a_fob_that_another_adapter_hears_is_held_by_that_one(on_air):
    async def scene(air):
        fob = SimFob(air.bluez, FOB.address)
        calls = asyncio.ensure_future(calling(fob))
        await air.until(lambda: fob.notifying and of_fob(air)[-1:] == [HELD], within_s=20)
        calls.cancel()
        told = len(of_fob(air))
        air.bluez.peripherals.remove(fob)
        await fob.leave()
        await air.bluez.remove_adapter("hci0")
        await air.until(lambda: LOST in of_fob(air)[told:], within_s=20)
        again = SimFob(air.bluez, FOB.address, adapter="hci1")
        calls = asyncio.ensure_future(calling(again))
        await air.until(lambda: again.notifying and of_fob(air)[-1] == HELD, within_s=20)
        calls.cancel()

    async def with_two(air):
        await air.bluez.add_adapter("hci1", "00:1A:7D:DA:71:02")
        watching = asyncio.ensure_future(air.watch(more=(FOB,), silence_ms=30_000, adapters=("hci0", "hci1")).run())
        await air.until(lambda: air.bluez.scanning("hci0") and air.bluez.scanning("hci1"))
        try:
            await scene(air)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    on_air(with_two, start=False)
