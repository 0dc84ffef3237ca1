"""Fukang Garden with everything on: what the daemon holds in memory there, and what living costs it.

The example compound behind simulated devices (real RTU lines, Modbus TCP, BlueZ on D-Bus, terminals that push and answer, a
broker for each uplink), its values wavering; the figure is the daemon's resident set after a while (proc(5), VmRSS).
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure
from bench.garden import FUKANG
from bench.rig import Daemon, Ear, Usage
from gateway.sim.broker import Mosquitto
from gateway.sim.life import Life
from gateway.sim.staging import stage
from gateway.sim.world import SimWorld


def measure(*, quick: bool) -> Iterator[Figure]:
    """``garden_rss_mib``."""
    before, after, subjects = asyncio.run(_live(30 if quick else 300))
    cores = (after.cpu_s - before.cpu_s) / (after.at - before.at)
    wrote = (after.written_bytes - before.written_bytes) / (after.at - before.at)
    yield Figure(
        "garden_rss_mib", after.rss_mib, "MiB", ("<=", 60), _libraries_mib(), "pymodbus, aiomqtt, aiohttp and Bleak imported, no more",
        note=f"ThingsBoard Gateway with 64 units 67 (facts of 2026-11); peak {after.peak_mib:.1f}; after {after.at - before.at:.0f} s; "
        f"{subjects}; {cores:.3f} cores; wrote {wrote / 1024:.1f} KiB/s, {86_400 * wrote / 1e6:.0f} MB a day at that",
    )  # fmt: skip


def _libraries_mib() -> float:
    """Resident set of a process that has imported what one writes such a daemon with, and does nothing."""
    script = (
        "import aiohttp.web, aiomqtt, asyncio, bleak, pymodbus.client, sqlite3; print(open('/proc/self/status').read())"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    return int(said.partition("VmRSS:")[2].split()[0]) / 1024


async def _live(seconds: float) -> tuple[Usage, Usage, str]:
    """Usage when everything stood, and after so long; and what stood there."""
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
                async with Daemon(staged.site, folder / "state", environment=world.air.environment()) as daemon:
                    await ear.until(lambda topic, _: topic.endswith("/status"))
                    world.soon(Life(world).waver())
                    await asyncio.sleep(10)
                    before = daemon.usage()
                    await asyncio.sleep(seconds)
                    return before, daemon.usage(), _said(world)
        finally:
            for one in brokers.values():
                await asyncio.to_thread(one.stop)


def _said(world: SimWorld) -> str:
    counted = {"units": world.units, "buttons": world.buttons, "terminals": world.terminals}
    return ", ".join(f"{len(things)} {name}" for name, things in counted.items())
