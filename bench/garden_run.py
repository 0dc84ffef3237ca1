"""Fukang Garden with everything on: what the daemon holds in memory there, what living costs it, and how soon it polls.

The example compound behind simulated devices (real RTU lines, Modbus TCP, BlueZ on D-Bus, terminals that push and answer, a
broker for each uplink), its values wavering; the figure is the daemon's resident set after a while (proc(5), VmRSS).
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from bench.figures import Figure
from bench.garden import FUKANG
from bench.rig import Daemon, Ear, Usage
from gateway.sim.broker import Mosquitto
from gateway.sim.life import Life
from gateway.sim.modbus import SimBus
from gateway.sim.staging import stage
from gateway.sim.world import SimWorld
from gateway.store import commit_log

LIBRARIES = "pymodbus, aiomqtt, aiohttp and Bleak imported, no more"


def measure(*, quick: bool) -> Iterator[Figure]:
    """``garden_rss_mib`` and the start."""
    libraries_ms, libraries_mib = _libraries()
    lived = asyncio.run(live(10, 30 if quick else 300))
    before, after = lived.before, lived.after
    yield Figure(
        "start_to_first_reading_ms/fukang_garden", lived.asked_ms, "ms", ("<=", 1_000), libraries_ms, LIBRARIES,
        note="exec to the first question on one of its three serial lines, which is answered within a frame; one start",
    )  # fmt: skip
    cores = (after.cpu_s - before.cpu_s) / (after.at - before.at)
    wrote = (after.written_bytes - before.written_bytes) / (after.at - before.at)
    yield Figure(
        "garden_rss_mib", after.rss_mib, "MiB", ("<=", 60), libraries_mib, LIBRARIES,
        note=f"ThingsBoard Gateway with 64 units 67 (facts of 2026-11); peak {after.peak_mib:.1f}; after {after.at - before.at:.0f} s; "
        f"{lived.subjects}; {cores:.3f} cores; wrote {wrote / 1024:.1f} KiB/s, {86_400 * wrote / 1e6:.0f} MB a day at that",
    )  # fmt: skip


def _libraries() -> tuple[float, float]:
    """Milliseconds and resident MiB of a process that imports what one writes such a daemon with, and does nothing."""
    script = (
        "import aiohttp.web, aiomqtt, asyncio, bleak, pymodbus.client, sqlite3; print(open('/proc/self/status').read())"
    )
    began = time.monotonic()
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    return 1000 * (time.monotonic() - began), int(said.partition("VmRSS:")[2].split()[0]) / 1024


class Lived(Struct, frozen=True):
    """What a daemon used on Fukang Garden."""

    before: Usage
    """So long after everything stood."""
    after: Usage
    subjects: str
    """What stood there."""
    asked_ms: float
    """From its exec to the first question on a serial line."""
    laid_out_bytes: int
    """By which its commit log became longer in between: written once in the life of a store."""


async def live(settle_s: float, seconds: float) -> Lived:
    """Let it live for ``seconds``, ``settle_s`` after everything stood. What it logs costs no disk here."""
    brokers: dict[str, Mosquitto] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def broker(uplink: str) -> tuple[int, str]:
            brokers[uplink] = Mosquitto(folder / f"broker-{uplink}", leashed=True)
            return brokers[uplink].port, "5"

        staged = stage(FUKANG, folder / "site", broker)
        for one in brokers.values():
            await asyncio.to_thread(one.start)
        try:
            async with SimWorld(staged, folder) as world, Ear(next(iter(brokers.values())).port) as ear:
                around = world.air.environment()
                async with Daemon(staged.site, folder / "state", environment=around, log=False) as daemon:
                    await ear.until(lambda topic, _: topic.endswith("/status"))
                    world.soon(Life(world).waver())
                    await asyncio.sleep(settle_s)
                    before, room = daemon.usage(), (folder / "state" / commit_log.NAME)
                    laid_out = room.stat().st_size
                    await asyncio.sleep(seconds)
                    lines = [bus for bus in world.buses.values() if isinstance(bus, SimBus)]
                    asked_ms = 1000 * (min(bus.log[0][0] for bus in lines if bus.log) - daemon.started_at)
                    laid_out = room.stat().st_size - laid_out
                    return Lived(before, daemon.usage(), _said(world), asked_ms, laid_out)
        finally:
            for one in brokers.values():
                await asyncio.to_thread(one.stop)


def _said(world: SimWorld) -> str:
    counted = {"units": world.units, "buttons": world.buttons, "terminals": world.terminals}
    return ", ".join(f"{len(things)} {name}" for name, things in counted.items())
