"""Passive scanning on real Bleak: where BlueZ can, where it cannot, and what it is asked for."""

from __future__ import annotations

import asyncio

from gateway.drivers.ble.passive import or_patterns
from gateway.events import Health
from gateway.nodes import Mark
from gateway.site.model import Button, Sign

PLAIN, SEALED = "A4:C1:38:00:00:01", "A4:C1:38:00:00:02"


def button(form="bthome", **fields):
    return Button("b", PLAIN, "3/1/101", Mark("site.yaml", 1), format=form, **fields)


def test_patterns_name_the_data_of_the_enrolled_formats():
    def asked(*buttons):
        return {(kind, data.hex()) for at, kind, data in or_patterns(buttons) if kind != 0x01}

    assert asked() == {(0xFF, "4c00")}
    assert asked(button()) == {(0xFF, "4c00"), (0x16, "d2fc")}
    assert (0x16, "95fe") in asked(button("mibeacon"))
    assert (0x16, "aafe") in asked(button("eddystone", pressed=Sign(url="https://a.net")))
    assert (0x16, "0088") in asked(button("flag"))
    learned = button("learned", pressed=Sign(company="0822", data="01"), idle=Sign(service="fff0", data="00"))
    assert {(0xFF, "2208"), (0x16, "f0ff")} <= asked(learned)
    long = button("learned", pressed=Sign(service="6E400001-B5A3-F393-E0A9-E50E24DCCA9E", data="01"))
    assert (0x21, "9ecadc24 0ee5 a9e0 93f3 a3b5 0100406e".replace(" ", "")) in asked(long)
    assert len(or_patterns([button()] * 200)) == len(or_patterns([button()]))


def test_presses_are_heard_without_a_discovery(on_air):
    async def scene(air):
        air.bluez.experimental = True
        task = asyncio.ensure_future(air.watch(scan="passive").run())
        await air.until(lambda: any(p for m in air.bluez._monitors.values() for p in m.values()))
        for one in (air.plain, air.sealed):
            await one.send(one.press(), air.air, spread_s=0.05)
        await air.until(lambda: len(air.presses) == 2)
        assert "StartDiscovery" not in air.bluez.calls
        assert air.healths == [("radio-hci0", Health.OK, "")]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not air.bluez.scanning()

    on_air(scene, start=False)


def test_where_bluez_refuses_it_scans_actively_and_says_so(on_air):
    async def scene(air):
        await air.until(lambda: bool(air.healths))
        await air.plain.send(air.plain.press(), air.air, spread_s=0.05)
        await air.until(lambda: len(air.presses) == 1)

    air = on_air(scene, scan="passive")
    assert air.healths == [("radio-hci0", Health.OK, "passive_refused")]


def test_a_passive_scan_that_bluez_forgot_heals(on_air):
    async def scene(air):
        air.bluez.experimental = True
        task = asyncio.ensure_future(air.watch(scan="passive").run())
        await air.until(lambda: any(p for m in air.bluez._monitors.values() for p in m.values()))
        air.bluez.lose_scan()
        await air.until(lambda: ("radio-hci0", Health.LOST, "scanner_silent") in air.healths)
        while not air.presses:
            await air.air(PLAIN, air.plain.press())
            await asyncio.sleep(0.05)
        await air.until(lambda: air.healths[-1:] == [("radio-hci0", Health.OK, "")])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    on_air(scene, start=False)
