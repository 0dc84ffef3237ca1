"""The whole daemon on workload S (``bench.workload``): points a second, what they cost, and what becomes of asking for more.

The simulator counts what it was asked for, a subscriber what arrived; the daemon is asked nothing. Peers on the same
workload (facts of 2026-11, another run of this kind of machine): ThingsBoard Gateway sustains 2,070 points/s at 0.21-0.34 CPU
s per 1,000, Node-RED 16,900 at 0.04-0.07 and then collapses to 3,000; neither coalesces by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from msgspec import Struct

from bench.figures import Figure, median, percentile
from bench.rig import Daemon, Ear, Helper, bare_publish, broker, is_alert, paced_publish, synced_publish
from bench.workload import UNITS
from gateway.sim.broker import free_port

_PROFILE = """\
id: workload-s
kind: other
name: {{ zh: 测试负载, en: workload S }}
status: unverified
source: the benchmark itself
max_read: 125
points:
{points}
"""
_SITE = """\
site: bench
gateway: bench
timezone: Asia/Shanghai
places: {{ b1: one }}
people: {{ head: {{}} }}
grid: {{ building: {{ b1: [head] }}, grid: {{ b1: [head] }}, community: [head], street: [head], district: [head] }}
buses:
{buses}
uplinks: {{ street: {{ host: 127.0.0.1, port: {port} }} }}
rules:
  - rule: bench
    subjects: {{ kind: other }}
    when: {{ point: r0, above: "500" }}
    priority: critical
    grade: big
    text: {{ zh: 测试, en: bench }}
"""
QUIET_MS, BEST_MS = 1_000, (100, 50, 25)
SHARED_AMONG = 64
"""Connections when pushed: what ``check`` would have an installer do who asks for so much."""


class Rate(Struct, frozen=True):
    """One step of the pushing."""

    period_ms: int
    polled: float
    published: float
    cores: float
    rss_mib: float

    @property
    def cpu_s_per_1000(self) -> float:
        return 1000 * self.cores / self.polled


def measure(*, quick: bool) -> Iterator[Figure]:
    """All figures on workload S."""
    yield from asyncio.run(_latency(30 if quick else 200))
    steps = asyncio.run(_steps(quick=quick))
    yield from _pushed(steps)
    yield from asyncio.run(_steady(20 if quick else 120))
    yield asyncio.run(_start(3 if quick else 7))


# The site and its world --------------------------------------------------------------------------------------------------


def write_site(
    folder: Path, tcp_port: int, port: int, period_ms: int, kind: str = "normal", connections: int = 1
) -> Path:
    """The site file of workload S, and its profile beside it.

    ``connections``: how many the units are shared among; ``check`` reckons 2 ms a round trip and refuses what one cannot bear.
    """
    each = f"class: {kind}, period: {period_ms}ms"
    points = [f"  r{n}: {{ space: holding, address: {n}, type: uint16, {each} }}" for n in range(4)]
    points += [f"  f{n}: {{ space: holding, address: {n}, type: float32, {each} }}" for n in (100, 102)]
    points += [f"  d{n}: {{ space: discrete, address: {n}, {each} }}" for n in range(2)]
    (folder / "profiles").mkdir(exist_ok=True)
    (folder / "profiles" / "workload-s.yaml").write_text(_PROFILE.format(points="\n".join(points)), encoding="utf-8")
    buses = []
    for first in range(1, UNITS + 1, UNITS // connections):
        buses += [f"  net-{first}:", f"    host: 127.0.0.{first}", f"    tcp_port: {tcp_port}", "    devices:"]
        units = range(first, first + UNITS // connections)
        buses += [f"      u{n}: {{ profile: workload-s, unit_id: {n}, place: b1 }}" for n in units]
    site = folder / "site.yaml"
    site.write_text(_SITE.format(port=port, buses="\n".join(buses)), encoding="utf-8")
    return site


@contextlib.asynccontextmanager
async def standing(
    period_ms: int, kind: str = "normal", connections: int = 1
) -> AsyncIterator[tuple[Daemon, Helper, Ear, int]]:
    """The daemon, polling; with its simulator, an ear at the broker, and the broker's port."""
    tcp_port = free_port()
    async with broker() as mqtt, Helper("-m", "bench.workload", str(tcp_port)) as world, Ear(mqtt.port) as ear:
        with tempfile.TemporaryDirectory() as folder:
            site = write_site(Path(folder), tcp_port, mqtt.port, period_ms, kind, connections)
            async with Daemon(site, Path(folder) / "state") as daemon:
                await ear.until(lambda topic, _: topic.endswith("/status"))
                yield daemon, world, ear, mqtt.port


async def counted(world: Helper) -> tuple[int, int]:
    """Requests and points served so far."""
    world.tell("count")
    requests, points = map(int, (await world.hear()).split())
    return requests, points


# Reading to upstream -----------------------------------------------------------------------------------------------------


async def _latency(trials: int) -> list[Figure]:
    """From the answer that carried the value to the alert at the receiver; the poll is not in it, the disk is."""
    took = []
    async with standing(400, "alarm") as (_, world, ear, port):
        await asyncio.sleep(2)
        for trial in range(trials):
            unit, since = trial % UNITS + 1, len(ear.heard)
            world.tell(f"set {unit} 900")
            left = float((await world.hear()).split()[2])
            since, arrived = await ear.until(is_alert("bench", f"u{unit}"), since)
            took.append(1000 * (arrived - left))
            world.tell(f"set {unit} 0")
            await world.hear()
            await ear.until(is_alert("bench", f"u{unit}", "returned"), since)
        bare = [1000 * one for one in await bare_publish(port, 300)]
        synced = [1000 * one for one in await synced_publish(port, 300)]
        paced = [1000 * one for one in await paced_publish(port, ear, trials)]
    return [
        Figure("reading_to_upstream_ms", percentile(took, 0.99), "ms (p99)", ("<=", min(50.0, 3 * percentile(bare, 0.99))),
               percentile(bare, 0.99), "p99 of a bare aiomqtt publish, no disk",
               note=f"p50 {median(took):.1f}, bare p50 {median(bare):.1f}; with one fdatasync bare p50 {median(synced):.1f}, "
               f"p99 {percentile(synced, 0.99):.1f}; bare now and then, to the same receiver, p50 {median(paced):.1f}, "
               f"p99 {percentile(paced, 0.99):.1f}; {trials} changes; poll excluded, fdatasync included"),
    ]  # fmt: skip


# Pushed to its best, and beyond ------------------------------------------------------------------------------------------


async def _steps(*, quick: bool) -> list[Rate]:
    """Shorter and shorter periods, then a third of the best one's."""
    seconds = 20 if quick else 60
    steps = [await _rate(period, seconds) for period in (BEST_MS[1:] if quick else BEST_MS)]
    best = max(steps, key=lambda step: step.polled)
    return [*steps, await _rate(max(1, best.period_ms // 3), seconds)]


async def _rate(period_ms: int, seconds: float) -> Rate:
    async with standing(period_ms, connections=SHARED_AMONG) as (daemon, world, ear, _):
        world.tell("moving")
        await asyncio.sleep(12)
        since, before = len(ear.heard), daemon.usage()
        _, points = await counted(world)
        await asyncio.sleep(seconds)
        _, points_after = await counted(world)
        after, heard = daemon.usage(), ear.heard[since:]
    span = after.at - before.at
    told = sum(len(json.loads(body)["data"]["samples"]) for topic, body, _ in heard if "/telemetry/" in topic)
    return Rate(
        period_ms, (points_after - points) / span, told / span, (after.cpu_s - before.cpu_s) / span, after.rss_mib
    )


def _pushed(steps: list[Rate]) -> list[Figure]:
    *tried, beyond = steps
    best = max(tried, key=lambda step: step.polled)
    pymodbus, bare = asyncio.run(_bare_pymodbus()), asyncio.run(_bare_asyncio())
    curve = "; ".join(
        f"{s.period_ms} ms: {s.polled:,.0f} polled, {s.published:,.0f} published, {s.cores:.2f} cores" for s in steps
    )
    published = max(step.published for step in tried)
    return [
        Figure("points_polled_per_s", best.polled, "points/s", (">=", 8_000), pymodbus,
               f"bare pymodbus, three reads a unit (bare asyncio {bare:,.0f})", note=f"{SHARED_AMONG} connections; {curve}"),
        Figure("points_published_per_s", published, "points/s", (">=", 4_000), 16_900, "Node-RED at its best, facts of 2026-11",
               note="6 of 8 points change at every read; a still point is not published again"),
        Figure("overload_polled_share", beyond.polled / best.polled, "of the best", (">=", 0.8), 3_000 / 16_900,
               "Node-RED, facts of 2026-11", note=f"asked for three times its best: {beyond.polled:,.0f} points/s, "
               f"{beyond.published:,.0f} published, {beyond.rss_mib:.0f} MiB"),
    ]  # fmt: skip


async def _bare_pymodbus(seconds: float = 4) -> float:
    """Points a second by three reads a unit, one after another, and nothing done with them."""
    from pymodbus.client import AsyncModbusTcpClient

    port = free_port()
    async with Helper("-m", "bench.workload", str(port)) as world:
        client = AsyncModbusTcpClient("127.0.0.1", port=port)
        await client.connect()
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            for unit in range(1, UNITS + 1):
                await client.read_holding_registers(0, count=4, device_id=unit)
                await client.read_holding_registers(100, count=4, device_id=unit)
                await client.read_discrete_inputs(0, count=2, device_id=unit)
        span = time.monotonic() - began
        client.close()
        return (await counted(world))[1] / span


async def _bare_asyncio(seconds: float = 4) -> float:
    """The same with asyncio's streams."""
    port = free_port()
    async with Helper("-m", "bench.workload", str(port)) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began, asked = time.monotonic(), ((3, 0, 4), (3, 100, 4), (2, 0, 2))
        while time.monotonic() - began < seconds:
            for unit in range(1, UNITS + 1):
                for function, address, count in asked:
                    writer.write(struct.pack(">HHHBBHH", 1, 0, 6, unit, function, address, count))
                    head = await reader.readexactly(6)
                    await reader.readexactly(int.from_bytes(head[4:6], "big"))
        span = time.monotonic() - began
        writer.close()
        return (await counted(world))[1] / span


# Steady, and the start ---------------------------------------------------------------------------------------------------


async def _steady(seconds: float) -> list[Figure]:
    """1 Hz, every number moving: what the peers' figures are of."""
    async with standing(QUIET_MS) as (daemon, world, _, _port):
        world.tell("moving")
        await asyncio.sleep(10)
        before, (_, points) = daemon.usage(), await counted(world)
        await asyncio.sleep(seconds)
        after, (_, points_after) = daemon.usage(), await counted(world)
        world.tell("still")
        await asyncio.sleep(2)
        calm = await _cpu_per_1000(daemon, world, seconds)
    cost = 1000 * (after.cpu_s - before.cpu_s) / (points_after - points)
    return [
        Figure("cpu_s_per_1000_points", cost, "CPU s", ("<=", 0.07), 0.069, "Node-RED, facts of 2026-11 (ThingsBoard 0.337, "
               "Home Assistant 0.50)", note=f"1 Hz, 6 of 8 points moving; with nothing moving {calm:.3f}"),
        Figure("rss_mib", after.rss_mib, "MiB", ("<=", 50), 67, "ThingsBoard Gateway, facts of 2026-11 (Home Assistant 145, "
               "Node-RED 189)", note=f"peak {after.peak_mib:.1f}; wrote {(after.written_bytes - before.written_bytes) / 1024:.0f} KiB "
               f"in {seconds:.0f} s"),
    ]  # fmt: skip


async def _cpu_per_1000(daemon: Daemon, world: Helper, seconds: float) -> float:
    before, (_, points) = daemon.usage(), await counted(world)
    await asyncio.sleep(seconds)
    after, (_, points_after) = daemon.usage(), await counted(world)
    return 1000 * (after.cpu_s - before.cpu_s) / (points_after - points)


async def _start(trials: int) -> Figure:
    """From exec to the first answer read on the wire, and to the first alert of a danger that was there before us."""
    first_read, first_alert = [], []
    for _ in range(trials):
        tcp_port = free_port()
        async with broker() as mqtt, Helper("-m", "bench.workload", str(tcp_port)) as world, Ear(mqtt.port) as ear:
            with tempfile.TemporaryDirectory() as folder:
                site = write_site(Path(folder), tcp_port, mqtt.port, QUIET_MS, "alarm")
                world.tell("set 1 900")
                async with Daemon(site, Path(folder) / "state") as daemon:
                    left = float((await world.hear()).split()[2])
                    _, arrived = await ear.until(is_alert("bench", "u1"))
                first_read.append(1000 * (left - daemon.started_at))
                first_alert.append(1000 * (arrived - daemon.started_at))
    return Figure(
        "start_to_first_reading_ms", median(first_read), "ms", ("<=", 1_000), 1_570, "Node-RED, facts of 2026-11 (ThingsBoard "
        "3,460, Home Assistant 4,160)", note=f"exec to the first answer; to the alert at the receiver {median(first_alert):.0f} ms",
    )  # fmt: skip
