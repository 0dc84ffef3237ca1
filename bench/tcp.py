"""The whole daemon on workload S (``bench.workload``): points a second, what they cost, and what becomes of asking for more.

The simulator counts what it was asked for, a subscriber what arrived; the daemon is asked nothing. Peers on the same
workload (facts of 2026-11, another run of this kind of machine): ThingsBoard Gateway sustains 2,070 points/s at 0.21-0.34 CPU
s per 1,000, Node-RED 16,900 at 0.04-0.07 and then collapses to 3,000; neither coalesces by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from msgspec import Struct

from bench.figures import Figure, median, percentile
from bench.rig import (
    Daemon,
    Ear,
    Helper,
    NowAndThen,
    Other,
    bare_publish,
    broker,
    is_alert,
    memory_disk,
    now_and_then,
    on_memory_disk,
    paced_publish,
    slow_aim,
    slow_disk,
    synced_publish,
)
from bench.workload import UNITS
from gateway.app.chronicle import BATCH_S
from gateway.sim.broker import Mosquitto
from gateway.sim.ports import free_port

_PROFILE = """\
id: {name}
kind: other
name: {{ zh: 测试负载, en: workload S }}
status: unverified
source: the benchmark itself
max_read: 125
outstanding: {outstanding}
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
_BELL = "  bell: {{ space: input, address: 0, type: uint16, class: alarm, period: {period}ms }}"
QUIET_MS, BEST_MS = 1_000, (50, 25)
SHARED_AMONG = 64
"""Connections of 64 endpoints of one unit each; workload S itself is one endpoint."""
ONE_MS = ((50, 1), (50, 8), (25, 8))
"""Periods and questions at once of one endpoint that ``check`` admits where it is said to answer within ``ONE_REPLY``."""
ONE_REPLY = "0.3ms"
EDGE_S = 1.0
"""How long after a batch of telemetry a window begins: the next is as far away as can be."""
ALL, NUMBERS = 8, 6
"""Points that change at each read."""
BELLS, BELL_MS = 10, 200
"""Units with an alarm point when three times the best is asked for."""


class Step(Struct, frozen=True):
    """What is asked for."""

    period_ms: int
    connections: int = SHARED_AMONG
    moving: int = NUMBERS
    bells: int = 0
    outstanding: int = 1


class Rate(Struct, frozen=True):
    """What became of it, or of a loop of one's own."""

    period_ms: int
    polled: float
    published: float
    cores: float
    rss_mib: float
    ages: tuple[float, ...] = ()
    """Milliseconds between two answers with an alarm point."""

    @property
    def cpu_s_per_1000(self) -> float:
        return 1000 * self.cores / self.polled


def measure(*, quick: bool) -> Iterator[Figure]:
    """All figures on workload S."""
    yield from asyncio.run(_latency(30 if quick else 120))
    for fsync_ms, trials in ((200, 40), (2_000, 15)):
        yield asyncio.run(_latency_on_a_slow_disk(fsync_ms, 10 if quick else trials))
    yield from _pushed(seconds=10 if quick else 20, periods=BEST_MS[1:] if quick else BEST_MS)
    yield from asyncio.run(_steady(20 if quick else 30))
    yield asyncio.run(_start(3 if quick else 5))


# The site and its world --------------------------------------------------------------------------------------------------


def write_site(
    folder: Path,
    tcp_port: int,
    port: int,
    period_ms: int,
    kind: str = "normal",
    connections: int = 1,
    bells: int = 0,
    outstanding: int = 1,
) -> Path:
    """The site file of workload S, and its profiles beside it.

    ``connections``: how many the units are shared among; ``check`` reckons 2 ms a round trip and refuses what one cannot bear,
    so that one that is asked often is said to answer sooner. ``bells``: so many units have an alarm point more. ``outstanding``:
    questions at once on a connection.
    """
    each = f"class: {kind}, period: {period_ms}ms"
    points = [f"  r{n}: {{ space: holding, address: {n}, type: uint16, {each} }}" for n in range(4)]
    points += [f"  f{n}: {{ space: holding, address: {n}, type: float32, {each} }}" for n in (100, 102)]
    points += [f"  d{n}: {{ space: discrete, address: {n}, {each} }}" for n in range(2)]
    (folder / "profiles").mkdir(exist_ok=True)
    for name, more in (("workload-s", []), ("workload-bell", [_BELL.format(period=BELL_MS)])):
        text = _PROFILE.format(name=name, outstanding=outstanding, points="\n".join([*points, *more]))
        (folder / "profiles" / f"{name}.yaml").write_text(text, encoding="utf-8")
    buses = []
    for first in range(1, UNITS + 1, UNITS // connections):
        buses += [f"  net-{first}:", f"    host: 127.0.0.{first}", f"    tcp_port: {tcp_port}"]
        buses += [f"    reply: {ONE_REPLY}"] if connections == 1 and period_ms < QUIET_MS else []
        buses += ["    devices:"]
        for n in range(first, first + UNITS // connections):
            profile = "workload-bell" if n <= bells else "workload-s"
            buses.append(f"      u{n}: {{ profile: {profile}, unit_id: {n}, place: b1 }}")
    site = folder / "site.yaml"
    site.write_text(_SITE.format(port=port, buses="\n".join(buses)), encoding="utf-8")
    return site


@contextlib.asynccontextmanager
async def around() -> AsyncIterator[tuple[Mosquitto, Helper, int, Ear]]:
    """A broker, the simulator and its port, and an ear at the broker."""
    tcp_port = free_port()
    async with broker() as mqtt, Helper("-m", "bench.workload", str(tcp_port)) as world, Ear(mqtt.port) as ear:
        yield mqtt, world, tcp_port, ear


@contextlib.asynccontextmanager
async def standing(
    step: Step, kind: str = "normal", wrapped_in: Sequence[str] = (), disk: str | None = None
) -> AsyncIterator[tuple[Daemon, Helper, Ear, int]]:
    """The daemon, polling; with its simulator, an ear at the broker, and the broker's port. ``disk``: where its folder is made."""
    async with around() as (mqtt, world, tcp_port, ear):
        with tempfile.TemporaryDirectory(dir=disk) as folder:
            asked = (step.period_ms, kind, step.connections, step.bells, step.outstanding)
            site = write_site(Path(folder), tcp_port, mqtt.port, *asked)
            async with Daemon(site, Path(folder) / "state", wrapped_in=wrapped_in) as daemon:
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
    async with standing(Step(400, 1), "alarm") as (daemon, world, ear, port):
        async with NowAndThen(port, ear, daemon.log.parent) as beside:
            took = await _changes(world, ear, trials, beside)
        bare = [1000 * one for one in await bare_publish(port, 300)]
        synced = [1000 * one for one in await synced_publish(port, 300)]
        paced = await paced_publish(port, ear, min(trials, 100))
    in_memory: list[float] = []
    if memory := memory_disk():
        async with standing(Step(400, 1), "alarm", disk=memory) as (_, world, ear, _port):
            in_memory = await _changes(world, ear, trials)
    figure = Figure(
        "reading_to_upstream_ms", percentile(took, 0.99), "ms (p99)", ("<=", min(50.0, 3 * percentile(bare, 0.99))),
        percentile(bare, 0.99), "p99 of a bare aiomqtt publish, no disk",
        note=f"p50 {median(took):.1f}, bare p50 {median(bare):.1f}; with one fdatasync bare p50 {median(synced):.1f}, "
        f"p99 {percentile(synced, 0.99):.1f}; bare now and then, to the same receiver, p50 {median(paced):.1f}, "
        f"p99 {percentile(paced, 0.99):.1f}; {on_memory_disk(in_memory)}; "
        f"{trials} changes; poll excluded, fdatasync included",
    )  # fmt: skip
    return [figure, now_and_then("reading_to_upstream_ms", took, beside.took_ms)]


async def _latency_on_a_slow_disk(fsync_ms: int, trials: int) -> Figure:
    """The same, each sync of the daemon delayed by so much."""
    async with standing(Step(400, 1), "alarm", slow_disk(fsync_ms)) as (_, world, ear, port):
        took = await _changes(world, ear, trials)
        durable = [json.loads(body)["data"]["durable"] for topic, body, _ in ear.heard if topic.endswith("/alerts")]
        bare = [fsync_ms + 1000 * one for one in await bare_publish(port, 300)]
    return Figure(
        f"reading_to_upstream_ms/fsync_{fsync_ms}", percentile(took, 0.99), "ms (p99)", slow_aim(fsync_ms),
        percentile(bare, 0.99), "one sync and a bare aiomqtt publish", limit=fsync_ms, limit_is="one sync, where it is awaited",
        note=f"p50 {median(took):.1f}; {trials} changes; {sum(durable)} of {len(durable)} messages were durable when told, the rest "
        "told from memory and marked so; poll excluded",
    )  # fmt: skip


async def _changes(world: Helper, ear: Ear, trials: int, beside: NowAndThen | None = None) -> list[float]:
    """Milliseconds from each answer that carried a danger to its alert at the receiver; behind each, one ``beside``, as long."""
    took = []
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
        if beside is not None:
            await beside.publish(len(ear.heard[since - 1][1]))
    return took


# Pushed to its best, and beyond ------------------------------------------------------------------------------------------


def _pushed(seconds: float, periods: Sequence[int]) -> Iterator[Figure]:
    """Shorter and shorter periods, then a third of the best one's; and beside each what a loop of one's own does at its best."""
    bare = {
        (library, connections): asyncio.run(_plain(library, 0, connections, seconds=4, tells=False))
        for library in ("pymodbus", "asyncio")
        for connections in (1, SHARED_AMONG)
    }
    telling = {
        (library, connections): asyncio.run(_plain(library, 0, connections, seconds=8))
        for library in ("pymodbus", "asyncio")
        for connections in (1, SHARED_AMONG)
    }

    def said(rate: Rate) -> str:
        return f"{rate.polled:,.0f} polled, {rate.published:,.0f} published, {rate.cores:.2f} cores"

    ones = [asyncio.run(_rate(Step(period, 1, outstanding=hands), seconds)) for period, hands in ONE_MS]
    best = max(ones, key=lambda step: step.polled)
    yield Figure(
        "points_polled_per_s", best.polled, "points/s", (">=", 8_000), bare["pymodbus", 1].polled,
        f"bare pymodbus on one connection, without a pause (bare asyncio {bare['asyncio', 1].polled:,.0f})",
        note="one endpoint, as workload S is; " + "; ".join(
            f"{hands} at once, {1000 * UNITS * ALL / period:,.0f} asked for: {said(one)}"
            for (period, hands), one in zip(ONE_MS, ones, strict=True)
        ),
    )  # fmt: skip
    yield _published("points_published_per_s", max(ones, key=lambda step: step.published), telling, 1, NUMBERS)
    steps = [asyncio.run(_rate(Step(period), seconds)) for period in periods]
    best = max(steps, key=lambda step: step.polled)
    yield Figure(
        f"points_polled_per_s/{SHARED_AMONG}_endpoints", best.polled, "points/s", (">=", 8_000), bare["pymodbus", SHARED_AMONG].polled,
        f"bare pymodbus on as many connections (bare asyncio {bare['asyncio', SHARED_AMONG].polled:,.0f})",
        note="; ".join(f"{step.period_ms} ms: {said(step)}" for step in steps),
    )  # fmt: skip
    moving = asyncio.run(_rate(Step(best.period_ms, moving=ALL, bells=BELLS), seconds))
    yield _published(f"points_published_per_s/{SHARED_AMONG}_endpoints", moving, telling, SHARED_AMONG, ALL)
    beyond = asyncio.run(_rate(Step(max(1, best.period_ms // 3), bells=BELLS), seconds))
    yield Figure(
        "overload_polled_share", beyond.polled / best.polled, "of the best", (">=", 0.8), best.polled, "its best, points/s",
        note=f"on {SHARED_AMONG} endpoints, asked for three times its best (said after four minutes, as `bus-overloaded`): "
        f"{beyond.polled:,.0f} points/s, {beyond.published:,.0f} published, {beyond.cores:.2f} cores, {beyond.rss_mib:.0f} MiB; "
        f"Node-RED keeps {3_000 / 16_900:.3f} (facts of 2026-11)",
    )  # fmt: skip
    yield Figure(
        "overload_alarm_age_p99_ms", percentile(beyond.ages, 0.99), "ms", ("<=", 1.4 * BELL_MS), percentile(moving.ages, 0.99),
        "the same points while the best is asked for", BELL_MS, "its period",
        note=f"in the same run, {BELLS} alarm points; p50 {median(beyond.ages):.0f}, "
        f"max {max(beyond.ages):.0f}",
    )  # fmt: skip


def _published(key: str, step: Rate, telling: Mapping[tuple[str, int], Rate], connections: int, moving: int) -> Figure:
    bare, streams = telling["pymodbus", connections], telling["asyncio", connections]
    return Figure(
        key, step.published, "points/s", (">=", 4_000), bare.published,
        f"pymodbus and aiomqtt on as many connections, every point each time (asyncio and aiomqtt {streams.published:,.0f})",
        note=f"{moving} of {ALL} points change at every read; a still point is not published again; {step.polled:,.0f} polled, "
        f"{step.cores:.2f} cores; Node-RED at its best 16,900 on one connection (facts of 2026-11)",
    )  # fmt: skip


async def _rate(step: Step, seconds: float) -> Rate:
    async with standing(step) as (daemon, world, ear, _):
        world.tell(f"moving {step.moving}")
        await asyncio.sleep(8)
        return await observed(step, daemon, world, ear, seconds)


@contextlib.asynccontextmanager
async def plain_loop(
    library: str, period_ms: int, connections: int, *, tells: bool = True
) -> AsyncIterator[tuple[Helper, Helper, Ear]]:
    """``bench.plain``, its simulator and an ear at its broker."""
    async with around() as (mqtt, world, tcp_port, ear):
        numbers = (tcp_port, mqtt.port if tells else 0, period_ms, connections)
        async with Helper("-m", "bench.plain", library, *map(str, numbers)) as loop:
            yield loop, world, ear


async def _plain(library: str, period_ms: int, connections: int, seconds: float, *, tells: bool = True) -> Rate:
    """``bench.plain`` on the same workload."""
    async with plain_loop(library, period_ms, connections, tells=tells) as (loop, world, ear):
        await asyncio.sleep(2)
        return await observed(Step(period_ms), loop, world, ear, seconds)


async def observed(step: Step, gateway: Daemon | Helper | Other, world: Helper, ear: Ear, seconds: float) -> Rate:
    """So long, from now on; of the daemon from just behind a batch of telemetry, and whole batches long, so that all its work is in it.

    Raises RuntimeError where more arrived than was read: then one of the two was counted wrongly.
    """
    ours = isinstance(gateway, Daemon)
    if ours:
        assert seconds % BATCH_S == 0, "a batch more or less is a third of the cost"
        await ear.until(_is_telemetry, len(ear.heard))
        await asyncio.sleep(EDGE_S)
    since, before, began = len(ear.heard), gateway.usage(), time.monotonic()
    points = (await counted(world))[1]
    await asyncio.sleep(seconds)
    points_after = (await counted(world))[1]
    after, ended, ages = gateway.usage(), time.monotonic(), []
    if step.bells:
        world.tell("bells")
        for moments in json.loads(await world.hear()).values():
            ages += [1000 * (later - earlier) for earlier, later in pairwise(moments) if earlier >= began]
    if ours:
        await asyncio.sleep(BATCH_S + EDGE_S)  # what was read last is told then
    span = after.at - before.at
    polled, told = (points_after - points) / span, _told(ear, since, began, ended) / span
    if told > 1.02 * polled:
        raise RuntimeError(f"{told:.0f} points a second told of {polled:.0f} read")
    return Rate(step.period_ms, polled, told, (after.cpu_s - before.cpu_s) / span, after.rss_mib, tuple(ages))


def _is_telemetry(topic: str, _: bytes) -> bool:
    return "/telemetry/" in topic


def _told(ear: Ear, since: int, began: float, ended: float) -> int:
    """Samples that arrived from ``since`` on and were read between two CLOCK_MONOTONIC seconds."""
    count = 0
    for topic, body, arrived in ear.heard[since:]:
        if _is_telemetry(topic, body):
            times = [
                arrived - sample.get("age_s", 0.0) for sample in json.loads(body)["data"]["samples"]
            ]  # oldest first
            count += bisect_left(times, ended) - bisect_left(times, began)
    return count


# Steady, and the start ---------------------------------------------------------------------------------------------------


async def _steady(seconds: float) -> list[Figure]:
    """1 Hz, one connection: what the peers' figures are of. Two thirds of the points moving, all, and none."""
    async with standing(Step(QUIET_MS, 1)) as (daemon, world, ear, _port):
        first = daemon.usage()
        rates = {}
        for moving in (NUMBERS, ALL, 0):
            world.tell(f"moving {moving}")
            await asyncio.sleep(10)
            rates[moving] = await observed(Step(QUIET_MS, 1, moving), daemon, world, ear, seconds)
        last = daemon.usage()
    bare = await _plain("pymodbus", QUIET_MS, 1, min(seconds, 30))
    cost = {
        moving: Figure(
            key, rates[moving].cpu_s_per_1000, "CPU s", ("<=", 0.07), bare.cpu_s_per_1000, "pymodbus and aiomqtt, every point each "
            "time", note=f"1 Hz, {moving} of {ALL} points moving, {rates[moving].published:,.0f} published/s; with nothing moving "
            f"{rates[0].cpu_s_per_1000:.3f}; Node-RED 0.069, ThingsBoard 0.337, Home Assistant 0.50 (facts of 2026-11)",
        )
        for key, moving in (("cpu_s_per_1000_points", NUMBERS), ("cpu_s_per_1000_points/all_moving", ALL))
    }  # fmt: skip
    return [
        *cost.values(),
        Figure("rss_mib", rates[ALL].rss_mib, "MiB", ("<=", 50), bare.rss_mib, "pymodbus and aiomqtt alone",
               note=f"peak {last.peak_mib:.1f}; wrote {(last.written_bytes - first.written_bytes) / 1024:.0f} KiB in "
               f"{last.at - first.at:.0f} s; ThingsBoard Gateway 67, Home Assistant 145, Node-RED 189 (facts of 2026-11)"),
    ]  # fmt: skip


async def _start(trials: int) -> Figure:
    """From exec to the first answer read on the wire, and to the first alert of a danger that was there before us."""
    first_read, first_alert, bare = [], [], []
    for _ in range(trials):
        async with around() as (mqtt, world, tcp_port, ear):
            with tempfile.TemporaryDirectory() as folder:
                site = write_site(Path(folder), tcp_port, mqtt.port, QUIET_MS, "alarm")
                world.tell("set 1 900")
                async with Daemon(site, Path(folder) / "state") as daemon:
                    left = float((await world.hear()).split()[2])
                    _, arrived = await ear.until(is_alert("bench", "u1"))
                first_read.append(1000 * (left - daemon.started_at))
                first_alert.append(1000 * (arrived - daemon.started_at))
            world.tell("set 1 901")
            async with Helper(
                "-m", "bench.plain", "pymodbus", str(tcp_port), str(mqtt.port), str(QUIET_MS), "1"
            ) as loop:
                bare.append(1000 * (float((await world.hear()).split()[2]) - loop.started_at))
    return Figure(
        "start_to_first_reading_ms", median(first_read), "ms", ("<=", 1_000), median(bare), "pymodbus and aiomqtt alone",
        note=f"exec to the first answer; to the alert at the receiver {median(first_alert):.0f} ms; Node-RED 1,570, ThingsBoard "
        "3,460, Home Assistant 4,160 (facts of 2026-11)",
    )  # fmt: skip
