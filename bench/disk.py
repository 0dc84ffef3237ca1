"""Bytes to the disk on a quiet day: the real house (core, store, telemetry, registry) on virtual time, fed a day of restless
air.

Fukang Garden and no alert: its own devices report every point once a minute, those that measure with another value each time; the
store really commits and syncs, so a day takes some minutes. Bytes are those the kernel sent to the disk for this process
(proc(5), write_bytes), which counts whole pages. Uplinks are away: what goes upstream is not written. ``core`` replays the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.figures import Figure
from bench.garden import quiet_garden, resting, rounds
from bench.rig import Usage
from gateway.app.house import Surroundings, build
from gateway.app.rooms import Orders
from gateway.app.secrets import read_secrets
from gateway.drivers.modbus.reporting import REFRESH_S
from gateway.nodes import Faults

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from instruments.inline import Inline
from instruments.virtual import VirtualClock, VirtualLoop

DAY_S = 86_400


def measure(*, quick: bool) -> Iterator[Figure]:
    """``disk_bytes_quiet_day``."""
    seconds = 1_800 if quick else DAY_S
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(patience_s=0)) as runner:
        spent, plain, parts = runner.run(_day(seconds))
    whole, lines = spent * DAY_S / seconds, plain * DAY_S / seconds
    said = "a whole day" if seconds == DAY_S else f"{seconds} s, scaled to a day"
    yield Figure(
        "disk_bytes_quiet_day", whole / 1e6, "MB", ("<=", 50), lines / 1e6, "each reading as a line of JSON, never synced",
        note=f"{said}; ThingsBoard Gateway's durable mode 4,000 (facts of 2026-11); files: {parts}",
    )  # fmt: skip


async def _day(seconds: float) -> tuple[int, int, str]:
    """Bytes to the disk, bytes of the same readings as lines of JSON, and what the files hold."""
    with tempfile.TemporaryDirectory() as name:
        folder, loop = Path(name), asyncio.get_running_loop()
        site, compound = quiet_garden()
        quiet = msgspec.structs.replace(site, buses={})  # nobody to call: the readings come from here
        state = folder / "state"
        state.mkdir()
        secrets = read_secrets(quiet, state, Faults())
        house = await build(
            Orders(quiet, compound, secrets), state, VirtualClock(loop), Surroundings(sources=[], pool=Inline())
        )
        living = asyncio.create_task(house.run(lambda: None))
        walks = resting(site)
        readings, step = rounds(walks), REFRESH_S / len(walks)
        for _ in walks:  # what is heard for the first time is news, and a start and no quiet day
            house.inbox.report(next(readings))
        await asyncio.sleep(60)
        before, plain = Usage.of(_self()).written_bytes, 0
        for _ in range(int(seconds / step)):
            await asyncio.sleep(step)
            house.inbox.report(reading := next(readings))
            plain += len(msgspec.json.encode(reading)) + 1
        await asyncio.sleep(60)
        spent = Usage.of(_self()).written_bytes - before
        sizes = ", ".join(
            f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in sorted(state.iterdir()) if path.is_file()
        )
        house.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await living
    return spent, plain, sizes


def _self() -> int:
    return int(Path("/proc/self").readlink().name)
