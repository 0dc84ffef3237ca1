"""A key fob that must be connected to, on real Bleak: held, heard, and missed at once when it goes."""

from __future__ import annotations

import asyncio

from gateway.drivers.ble.fobs import FobKeeper
from gateway.events import DeviceHealth, Health, PressKind
from gateway.nodes import Mark
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
