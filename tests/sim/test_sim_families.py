"""A simulated world presses every family of buttons, and the real Bleak with the real watcher hears each press once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from collections import Counter

import pytest

from gateway.app.check import check
from gateway.drivers.ble.adverts import Decoder
from gateway.drivers.ble.beacons import beacon_rule
from gateway.drivers.ble.watcher import RadioWatcher
from gateway.events import DeviceHealth, Health, Press
from gateway.instant import Instant
from gateway.nodes import Faults, Mark
from gateway.sim.beacons import simulated
from gateway.sim.staging import stage
from gateway.sim.world import SimWorld
from gateway.site.model import Button, Sign

SITE = """
site: fukang
gateway: main
places: { b1: Building 1 }
people: { head: {} }
grid: { building: { b1: [head] }, grid: { b1: [head] }, community: [head], street: [head], district: [head] }
buttons:
  bthome: { address: "A4:C1:38:00:00:01", place: b1, key_file: k }
  mibeacon: { address: "A4:C1:38:00:00:02", place: b1, format: mibeacon, key_file: k }
  ibeacon: { address: "A4:C1:38:00:00:03", place: b1, format: ibeacon, idle: { major: 1 } }
  eddystone: { address: "A4:C1:38:00:00:04", place: b1, format: eddystone, pressed: { instance: 00000000000a } }
  flag: { address: "A4:C1:38:00:00:05", place: b1, format: flag }
  learned: { address: "A4:C1:38:00:00:06", place: b1, format: learned, pressed: { service: fff0, data: "a101" }, idle: { service: fff0, data: "a100" } }
  gatt: { address: "A4:C1:38:00:00:07", place: b1, format: gatt }
"""


@pytest.mark.skipif(
    shutil.which("dbus-daemon") is None, reason="dbus-daemon is not installed: real Bleak cannot be tested here"
)
def test_each_press_of_each_family_is_heard_once(tmp_path, monkeypatch):
    for name in ("bleak", "dbus_fast"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    (tmp_path / "own.yaml").write_text(SITE)
    made = stage(tmp_path / "own.yaml", tmp_path / "site", lambda _uplink: None)
    assert not [note for note, _ in made.notes if note == "button_silent"]
    site, _ = check(made.site, Faults())
    events = []

    def heard():
        return Counter(event.button for event in events if isinstance(event, Press))

    async def run():
        async with SimWorld(made, tmp_path, with_bluez=True) as world:
            monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", world.air.bus.address)
            keys = {name: bytes.fromhex(key) for name, key in made.keys.items()}
            watcher = RadioWatcher(
                site.radio, site.buttons, keys, lambda: Instant(time.monotonic_ns() // 1_000_000), events.append, {},
                lambda: None,
            )  # fmt: skip
            task = asyncio.ensure_future(watcher.run())
            async with asyncio.timeout(60):
                while not (world.air.heard and DeviceHealth("gatt", Health.OK) in events):
                    await asyncio.sleep(0.05)
                for beacon in world.buttons.values():
                    beacon.lasts_s = 1.0  # ten in the field
                await asyncio.gather(*(world.press(name) for name in site.buttons))
                await world.press("gatt")
                while len(heard()) < len(site.buttons) or heard()["gatt"] < 2:
                    await asyncio.sleep(0.05)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert heard() == dict.fromkeys(site.buttons, 1) | {"gatt": 2}


SIGNS = {
    "ibeacon of a UUID": ("ibeacon", Sign(uuid="CDCA0D93-8D39-454A-8816-E603A1484724")),
    "ibeacon of a number": ("ibeacon", Sign(major=0xFFFF)),
    "eddystone of a name": ("eddystone", Sign(namespace="f" * 20)),
    "eddystone of an address": ("eddystone", Sign(url="https://other.example/")),
    "learned": ("learned", Sign(service="fff0", data="a1000100", mask="ff00ff00")),
    "flag": ("flag", Sign(company="0822", at=2, mask="80")),
}


@pytest.mark.parametrize(("form", "sign"), SIGNS.values(), ids=SIGNS)
def test_a_beacon_described_by_half_still_sends_both_its_frames(form, sign):
    """With only its pressed frame known it must not be silent, or the radio of a small site seems deaf."""
    for told in ({"pressed": sign}, {"idle": sign}) if form != "flag" else ({"pressed": sign},):
        sim = simulated(Button("b", "A4:C1:38:00:00:01", "b1", Mark("site.yaml", 1), format=form, **told))
        decoder = Decoder(form, sim.address, None, beacon_rule(form, told.get("pressed"), told.get("idle")))
        idle, down = (decoder.decode(one.service_data, one.manufacturer_data) for one in (sim.heartbeat(), sim.press()))
        assert idle is not None
        assert (idle.pressed, len(down.pressed)) == ((), 1)
