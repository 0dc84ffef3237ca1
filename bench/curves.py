"""How cost grows with the site: from 10 points, devices and rules to 10,000, drawn as SVG into ``docs/``.

Each curve is CPU time of one thread *for each* point, device or rule, so that a level line is what one hopes for, and a
rising one says that something looks through all of them. Sites are written as text and go through ``check`` like any other.
What is polled is polled for real, by TCP of ``bench.workload``, and costs what the kernel takes for it, too.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import plot
from bench.core import awake, timed
from bench.figures import median
from bench.garden import built
from bench.rig import Helper
from gateway.drivers.modbus.poller import BusPoller
from gateway.events import Reading, Stamped
from gateway.instant import Instant
from gateway.rules.compound import Compound
from gateway.rules.engine import Engine
from gateway.sim.ports import free_port
from gateway.site.model import Site

DOCS = Path("docs")
COUNTS, QUICK_COUNTS = (10, 30, 100, 300, 1_000, 3_000, 10_000), (10, 30, 100, 300, 1_000)
POINTS_OF_DEVICE, DEVICES_OF_BUS = 10, 60
_BLOCK, _BLOCKS = 4_000, 7
LEAST_POLLED = 1_000
"""Points a second: a small site is asked more often, else it would be measured for hours."""
_SETTLED_S, _SPANS, _SPAN_S = 2.0, 3, 1.0
MOVING, _MOVE = 6, 4
"""What ``bench.workload`` is told to move at each read, and how many of the ten points of a device that is."""
_HEAD = """\
site: curve
gateway: bench
timezone: Asia/Shanghai
places: { b1: one }
people: { head: {} }
grid: { building: { b1: [head] }, grid: { b1: [head] }, community: [head], street: [head], district: [head] }
"""
_PROFILE = """\
id: curve
kind: other
name: { zh: 曲线, en: curve }
status: unverified
source: the benchmark itself
max_read: 125
points:
"""


def draw(*, quick: bool) -> None:
    """Measure all four and write ``docs/curve-*.svg``."""
    counts = QUICK_COUNTS if quick else COUNTS
    of_points = [(n, _per_reading(_compound(n // POINTS_OF_DEVICE, 0), n)) for n in _told("points", counts)]
    plot.write(
        DOCS / "curve-points.svg", "CPU of the core for each reading, by points of the site", "points", "µs a reading",
        {"one reading": of_points},
    )  # fmt: skip
    polled = [(n, *asyncio.run(_polled(n))) for n in _told("points polled", counts)]
    plot.write(
        DOCS / "curve-polled.svg", "CPU of the pollers for each point polled, by points of the site", "points", "µs a point",
        {f"{_MOVE} of {POINTS_OF_DEVICE} points move at each read": [(n, moving) for n, moving, _ in polled],
         "nothing moves": [(n, still) for n, _, still in polled]},
    )  # fmt: skip
    of_devices = [(n, *_start(n)) for n in _told("devices", counts)]
    plot.write(
        DOCS / "curve-devices.svg", "CPU of the start for each device, by devices of the site", "devices", "ms a device",
        {"site file read, checked and compiled": [(n, read) for n, read, _ in of_devices],
         "core built, woken and told of the site": [(n, woken) for n, _, woken in of_devices]},
    )  # fmt: skip
    of_rules = [(n, *_ruled(n)) for n in _told("rules", counts)]
    plot.write(
        DOCS / "curve-rules.svg", "CPU of the core for each reading, by rules of the site", "rules", "µs a reading",
        {"a reading that one of the rules reads": [(n, read) for n, read, _ in of_rules],
         "a reading that none of them reads": [(n, unread) for n, _, unread in of_rules]},
    )  # fmt: skip


def _told(of: str, counts: tuple[int, ...]) -> Iterator[int]:
    for n in counts:
        print(f"  {of}: {n}", file=sys.stderr, flush=True)
        yield n


# Sites -----------------------------------------------------------------------------------------------------------------


def _compound(devices: int, rules: int) -> Compound:
    """So many devices of ten points; rule ``n`` reads a point of its own as long as there are as many."""
    with tempfile.TemporaryDirectory() as folder:
        return _written(Path(folder), devices, rules)()[1]


def _written(
    folder: Path, devices: int, rules: int, period_ms: int = 5_000, tcp_port: int = 502
) -> Callable[[], tuple[Site, Compound]]:
    """The files of a site; what is answered reads, checks and compiles them."""
    each = f"type: uint16, period: {period_ms}ms"
    points = "".join(f"  p{n}: {{ space: holding, address: {n}, {each} }}\n" for n in range(POINTS_OF_DEVICE))
    (folder / "profiles").mkdir()
    (folder / "profiles" / "curve.yaml").write_text(_PROFILE + points, encoding="utf-8")
    lines = ["buses:"]
    for n in range(devices):
        if n % DEVICES_OF_BUS == 0:
            bus = n // DEVICES_OF_BUS
            lines += [f"  bus-{bus}:", f"    host: 127.0.0.{bus + 1}", f"    tcp_port: {tcp_port}", "    devices:"]
        unit = n % DEVICES_OF_BUS + 1
        lines.append(f"      d{n}: {{ profile: curve, unit_id: {unit}, place: b1 }}")
    lines += ["rules:"] * bool(rules)
    for n in range(rules):
        device, point = n // POINTS_OF_DEVICE % devices, n % POINTS_OF_DEVICE
        lines += [
            f"  - rule: r{n}",
            f"    subjects: {{ id: d{device} }}",
            f'    when: {{ point: p{point}, above: "60000" }}',
        ]
        lines += ["    priority: low", "    grade: small"]
    text = _HEAD + "\n".join(lines) + "\n"
    return lambda: built(folder, text)


# Measuring -------------------------------------------------------------------------------------------------------------


def _per_reading(compound: Compound, points: int) -> float:
    """Microseconds of ``Engine.handle``, at values that move and alarm nobody."""
    spent = timed(awake(compound), _wandering(points), _BLOCKS, _BLOCK)
    return 1e6 * median(spent) / _BLOCK


def _wandering(points: int, first: int = 0) -> Iterator[Stamped]:
    choose = random.Random(7)  # the workload is the same at every run
    at = 1
    while True:
        at += 1
        n = first + choose.randrange(points)
        reading = Reading(f"d{n // POINTS_OF_DEVICE}", f"p{n % POINTS_OF_DEVICE}", choose.randrange(1_000))
        yield Stamped(Instant(at), f"b.{at}", reading)


async def _polled(points: int) -> tuple[float, float]:
    """Microseconds of each point polled, moving and still: from what is due to the ``Reading``, and nothing behind it."""
    period_ms, port = 1_000 * points // max(points, LEAST_POLLED), free_port()
    with tempfile.TemporaryDirectory() as folder:
        site, _ = _written(Path(folder), points // POINTS_OF_DEVICE, 0, period_ms, port)()
    async with Helper("-m", "bench.workload", str(port)) as world:
        polling = [asyncio.ensure_future(BusPoller(bus, _nobody).run()) for bus in site.buses.values()]
        spent = []
        for moving in (MOVING, 0):
            world.tell(f"moving {moving}")
            await asyncio.sleep(_SETTLED_S)
            spent.append(1e6 * median([await _span(world) for _ in range(_SPANS)]))
        for one in polling:
            one.cancel()
        await asyncio.gather(*polling, return_exceptions=True)
    return spent[0], spent[1]


async def _span(world: Helper) -> float:
    """CPU seconds for each point polled meanwhile. The world counts requests: it knows other points than these."""
    requests, began = await _requests(world), time.thread_time()
    await asyncio.sleep(_SPAN_S)
    spent = time.thread_time() - began
    return spent / (await _requests(world) - requests) / POINTS_OF_DEVICE


async def _requests(world: Helper) -> int:
    world.tell("count")
    return int((await world.hear()).split()[0])


def _nobody(_event: object) -> None:
    """Nobody hears what is read."""


def _start(devices: int) -> tuple[float, float]:
    """Milliseconds for each device: until its compound is there, and until a core stands on it."""
    with tempfile.TemporaryDirectory() as folder:
        read = _written(Path(folder), devices, 0)
        began = time.thread_time()
        _, compound = read()
        read_at = time.thread_time()
        _core: Engine = awake(compound)
        done = time.thread_time()
    return 1e3 * (read_at - began) / devices, 1e3 * (done - read_at) / devices


def _ruled(rules: int) -> tuple[float, float]:
    """Microseconds of a reading that a rule reads, and of one that none does: there are twice as many points as rules."""
    devices = -(-2 * rules // POINTS_OF_DEVICE)
    compound = _compound(devices, rules)
    unread = timed(awake(compound), _wandering(rules, rules), _BLOCKS, _BLOCK)
    return _per_reading(compound, rules), 1e6 * median(unread) / _BLOCK
