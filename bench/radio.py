"""Advertisements a second through real Bleak on a private D-Bus, without losing one.

A stand-in for BlueZ in a process of its own signals frames of 200 buttons as fast as asked; each frame is a press of its own
(a new packet id), so what the watcher reports can be counted one by one. CPU is that of the listening process alone; the bare
baseline is the same Bleak scanner with a callback that only counts.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench.figures import Figure
from bench.rig import Helper
from gateway.drivers.ble.watcher import RadioWatcher
from gateway.events import Event, Press
from gateway.instant import Instant
from gateway.sim.bluez import PrivateBus, StandInBluez
from gateway.sim.buttons import SERVICE, SimButton
from gateway.site.model import Button, Radio

BUTTONS, RATE_PER_S = 200, 2_000
_BLOCK_S = 0.02


def measure(*, quick: bool) -> Iterator[Figure]:
    """``adverts_per_s`` and ``advert_cpu_us``."""
    frames = RATE_PER_S * (4 if quick else 20)
    bus = PrivateBus(leashed=True)
    address = bus.start()
    os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = address
    try:
        bare_rate, bare_us, bare_heard = asyncio.run(_listen(address, frames, _bare))
        rate, cpu_us, heard = asyncio.run(_listen(address, frames, _watch))
    finally:
        bus.remove()
    lost = f"{frames - heard} of {frames} lost (bare: {frames - bare_heard})"
    yield Figure("adverts_per_s", rate if heard == frames else 0, "frames/s", (">=", 0.95 * RATE_PER_S), bare_rate,
                 "bare Bleak", note=f"{lost}; asked for {RATE_PER_S}/s")  # fmt: skip
    yield Figure(
        "advert_cpu_us",
        cpu_us,
        "CPU µs a press",
        None,
        bare_us,
        "bare Bleak",
        note="decoding, tracking and reporting included",
    )


async def _listen(address: str, frames: int, ears: Callable[[Any], Any]) -> tuple[float, float, int]:
    """Frames a second, CPU µs a frame, and how many were heard."""
    heard: list[float] = []
    async with Helper("-m", "bench.radio", address) as air:
        listening = asyncio.create_task(ears(heard))
        try:
            await asyncio.sleep(3)
            spent = time.process_time()
            air.tell(str(frames))
            began = time.monotonic()
            await air.hear()
            took = time.monotonic() - began
            await asyncio.sleep(2)
            spent = time.process_time() - spent
            if listening.done():
                listening.result()  # it should still be listening: say why not
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    return frames / took, 1e6 * spent / frames, len(heard)


async def _watch(heard: list[float]) -> None:
    """The gateway's own radio watcher."""

    def report(event: Event) -> Any:
        if isinstance(event, Press):
            heard.append(time.monotonic())

    from gateway.nodes import Mark

    buttons = {f"b{n}": Button(f"b{n}", address_of(n), "b1", Mark("bench", 1)) for n in range(BUTTONS)}
    began = time.monotonic()
    now = lambda: Instant(round(1000 * (time.monotonic() - began)))  # noqa: E731 - three words
    watcher = RadioWatcher(Radio(), buttons, {}, now, report, {}, lambda: None)
    await watcher.run()


async def _bare(heard: list[float]) -> None:
    """Bleak and nothing else. What BlueZ repeats from memory comes too; only a new payload counts."""
    from bleak import BleakScanner

    last: dict[str, bytes] = {}

    def callback(device: Any, advertised: Any) -> None:
        payload = advertised.service_data.get(SERVICE, b"")
        if payload and last.get(device.address) != payload:
            last[device.address] = payload
            heard.append(0.0)

    async with BleakScanner(callback, bluez={"filters": {"DuplicateData": True}}):
        await asyncio.Event().wait()


def address_of(n: int) -> str:
    """The address of the n-th button."""
    return f"A4:C1:38:00:{n // 256:02X}:{n % 256:02X}"


async def _air(bus: str) -> None:
    """The other process: BlueZ, and everybody pressing."""
    bluez = await StandInBluez(bus).start()
    await bluez.add_adapter()
    buttons = [SimButton(address_of(n), packet_id=0) for n in range(BUTTONS)]
    print("ready", flush=True)
    frames = int(await asyncio.to_thread(sys.stdin.readline))
    began, per_block = time.monotonic(), int(RATE_PER_S * _BLOCK_S)
    for n in range(frames):
        button = buttons[n % BUTTONS]
        await bluez.advertise(button.address, service_data={SERVICE: button.press()}, rssi_dbm=-60)
        if n % per_block == 0 and (wait := began + n / RATE_PER_S - time.monotonic()) > 0:
            await asyncio.sleep(wait)
    print("sent", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await bluez.stop()


if __name__ == "__main__":
    asyncio.run(_air(sys.argv[1]))
