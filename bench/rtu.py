"""The RTU master on a paced 9600 8N1 line (``bench.wire``): how much of the wire it uses, how old an alarm point gets, what it
takes for true, and how long an output write waits. The real ``BusPoller`` of a real site file; what counts is what the
line saw, not what the master says of itself.

Limits: a read of ten registers is 8 + 25 characters and two silences of 3.5: 41.67 ms, 31 of them 1.292 s (facts of the
Modbus serial line guide, 2.5.1.1).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from bench.figures import Figure, percentile
from bench.wire import CHAR_S, T35_S, signature
from gateway.app.check import BUILTIN
from gateway.drivers.modbus.poller import BusPoller
from gateway.events import DeviceHealth, Event, Quality, Reading
from gateway.nodes import Faults
from gateway.sim.leash import leashed
from gateway.site.reading import load_site

UNITS, REGISTERS, DETECTORS = 31, 10, 10
READ_S = 8 * CHAR_S + T35_S + (5 + 2 * REGISTERS) * CHAR_S + T35_S
FRAME_S = 8 * CHAR_S + 2 * T35_S + (5 + 2 * REGISTERS) * CHAR_S
_ALARM_MS, _FULL_MS, _CROWDED_MS = 500, 3_000, 500
"""Periods of the alarm points, and of the rest: one a line bears, and one that asks three times what it has."""
_TIMEOUT_MS = 300
HUNDRED = 100  # of fewer the 99th percentile is the largest
_NEVER_S = 60.0  # what a write that never left counts for
_DETECTOR = """\
id: bench-detector
kind: other
name: {{ zh: 测试探测器, en: bench detector }}
status: unverified
source: the benchmark itself
max_read: 16
max_hole: 0
timeout: {timeout}
points:
{alarm}{points}
"""
_POINT = "  r{n}: {{ space: holding, address: {n}, type: uint16, class: {kind}, period: {period} }}\n"
_COIL = "  coil: {{ space: coil, address: 0, class: feedback, period: 5s, writable: true }}\n"


class Spans(Struct, frozen=True):
    """How long each part is measured, in seconds: what we do, and beside it what the usual library does with the same."""

    efficiency: tuple[float, float]
    settled: float
    """Until the dead are found out; ages count from then on."""
    age: tuple[float, float]
    wrong: tuple[float, float]
    noise: tuple[float, float]
    writes: tuple[int, int]
    """Not seconds but trials, three a second."""


QUICK = Spans(efficiency=(5, 3), settled=8, age=(9, 4), wrong=(7, 4), noise=(5, 3), writes=(12, 6))
FULL = Spans(efficiency=(25, 8), settled=12, age=(30, 8), wrong=(60, 10), noise=(60, 8), writes=(100, 25))
"""Two minutes and ten, starts included. A thousand answers with noise and more: with fewer none lost would prove little."""


class Heard(Struct):
    """What the poller reported."""

    values: list[Reading] = field(default_factory=list)
    health: list[DeviceHealth] = field(default_factory=list)

    def report(self, event: Event) -> None:
        if isinstance(event, Reading):
            self.values.append(event)
        elif isinstance(event, DeviceHealth):
            self.health.append(event)

    @property
    def _good(self) -> list[Reading]:
        return [r for r in self.values if r.quality is Quality.GOOD and r.point.startswith("r")]

    @property
    def good(self) -> int:
        """Values that were said to be a register's."""
        return len(self._good)

    @property
    def wrong(self) -> int:
        """Values of a register that it never held."""
        return sum(r.value != signature(int(r.device[1:]), int(r.point[1:])) for r in self._good)


def measure(*, quick: bool) -> Iterator[Figure]:
    """All figures of the line."""
    spans = QUICK if quick else FULL
    yield from asyncio.run(_efficiency(*spans.efficiency))
    for dead, rest_ms in ((0, _FULL_MS), (1, _FULL_MS), (3, _FULL_MS), (5, _FULL_MS), (0, _CROWDED_MS)):
        yield asyncio.run(_age(dead, rest_ms, spans.settled, *spans.age))
    yield from asyncio.run(_wrong(*spans.wrong))
    yield asyncio.run(_noise(*spans.noise))
    ours, others = spans.writes
    for dead, lost in ((0, 0.0), (3, 0.0), (0, 0.2)):
        figure = asyncio.run(_preempt(dead, lost, ours))
        bare = asyncio.run(_pymodbus_preempt(dead, lost, others))
        of = f"max of {others} of pymodbus" if others < HUNDRED else "p99 of pymodbus"
        yield replace(figure, baseline=bare, baseline_is=f"{of}, whose client polls without a pause")


# The line and the master on it -------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def line(units: dict[int, dict[str, Any]]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """A paced line; what it saw is in the dictionary once the block is left."""
    config = json.dumps({"units": units})
    wire = await asyncio.create_subprocess_exec(
        *leashed([sys.executable, "-m", "bench.wire", config]),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 28,
    )  # fmt: skip
    assert wire.stdout is not None
    assert wire.stdin is not None
    seen: dict[str, Any] = {}
    try:
        yield (await wire.stdout.readline()).decode().strip(), seen
    finally:
        wire.stdin.close()
        seen.update(json.loads(await wire.stdout.readline()))
        await wire.wait()


def points(kind: str, period: str, first: int = 0) -> str:
    """Ten registers as ten points."""
    return "".join(_POINT.format(n=n, kind=kind, period=period) for n in range(first, first + REGISTERS))


def poller(path: str, profiles: dict[str, str], units: dict[int, str], heard: Heard) -> BusPoller:
    """The master for a site file with these units, each of a profile."""
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site.yaml"
        (Path(folder) / "profiles").mkdir()
        for name, text in profiles.items():
            (Path(folder) / "profiles" / f"{name}.yaml").write_text(
                text.replace("bench-detector", name), encoding="utf-8"
            )
        devices = "".join(
            f"      u{unit}: {{ profile: {name}, unit_id: {unit}, place: b1 }}\n" for unit, name in units.items()
        )
        site.write_text(
            "site: bench\ngateway: bench\nplaces: { b1: one }\nbuses:\n  line:\n"
            f"    port: {path}\n    devices:\n{devices}", encoding="utf-8",
        )  # fmt: skip
        faults = Faults()
        read = load_site(site, faults, BUILTIN)
    if read is None or "line" not in read.buses:
        raise RuntimeError([(fault.key, fault.fields) for fault in faults.errors])
    return BusPoller(read.buses["line"], heard.report)


@contextlib.asynccontextmanager
async def polling(master: BusPoller) -> AsyncIterator[None]:
    """The master at work."""
    task = asyncio.create_task(master.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# The figures -------------------------------------------------------------------------------------------------------------


async def _efficiency(seconds: float, bare_s: float) -> list[Figure]:
    heard = Heard()
    profile = _DETECTOR.format(timeout="300ms", alarm="", points=points("normal", "1s"))
    async with line({unit: {} for unit in range(1, UNITS + 1)}) as (path, seen):
        master = poller(path, {"full": profile}, dict.fromkeys(range(1, UNITS + 1), "full"), heard)
        async with polling(master):
            await asyncio.sleep(2.5)
            began = time.monotonic()
            await asyncio.sleep(seconds)
            ended = time.monotonic()
    reads = [read for read in seen["reads"] if began <= read[3] < ended and read[2] == REGISTERS]
    span = max(read[3] for read in reads) - min(read[3] for read in reads)
    efficiency = (len(reads) - 1) * READ_S / span
    bare, broken, asked = await _bare_pymodbus(bare_s)
    return [
        Figure("rtu_wire_efficiency", efficiency, "of the wire", (">=", 0.97), bare, "pymodbus, one request after another "
               "(it keeps no silence, so it can exceed 1)", 1.0, "the wire",
               note=f"cycle of {UNITS} units {UNITS * READ_S / efficiency:.3f} s, limit {UNITS * READ_S:.3f} s"),
        Figure("rtu_broken_gaps", seen["broken_gaps"], "gaps below t3.5", ("==", 0), broken, f"pymodbus, of {asked}", 0, "the standard",
               note=f"of {seen['requests']}; least gap {seen['least_gap_ms']:.2f} ms, t3.5 is {1000 * T35_S:.2f} ms"),
    ]  # fmt: skip


@contextlib.asynccontextmanager
async def _usual(path: str, timeout_s: float) -> AsyncIterator[Any]:
    """The usual library on the line, with no repeats: they would cost it more still where somebody is dead."""
    from pymodbus.client import AsyncModbusSerialClient

    client = AsyncModbusSerialClient(path, baudrate=9600, timeout=timeout_s, retries=0)
    await client.connect()
    try:
        yield client
    finally:
        client.close()


async def _read(client: Any, unit: int, first: int, count: int = REGISTERS) -> list[int]:
    """Its registers, or nothing: whatever it says of that, the line counts."""
    with contextlib.suppress(Exception):
        said = await client.read_holding_registers(first, count=count, device_id=unit)
        return [] if said.isError() else list(said.registers)
    return []


async def _bare_pymodbus(seconds: float) -> tuple[float, int, int]:
    """The same reads by the usual library: its part of the wire, and how many of its gaps were too short, of how many."""
    async with line({unit: {} for unit in range(1, UNITS + 1)}) as (path, seen), _usual(path, 0.3) as client:
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            for unit in range(1, UNITS + 1):
                await _read(client, unit, 0)
    reads = seen["reads"]
    efficiency = (len(reads) - 1) * READ_S / (reads[-1][3] - reads[0][3])
    return efficiency, seen["broken_gaps"], seen["requests"]


def _mixed(dead: int, rest_ms: int) -> tuple[dict[int, dict[str, Any]], dict[str, str], dict[int, str]]:
    """Ten detectors with a quick alarm point and ten slow registers, and 21 others; the dead are spread over both."""
    gone = set(random.Random(3).sample(range(1, UNITS + 1), dead))
    units: dict[int, dict[str, Any]] = {unit: {"dead": unit in gone} for unit in range(1, UNITS + 1)}
    alarm = _POINT.format(n=0, kind="alarm", period=f"{_ALARM_MS}ms")
    slow = points("normal", f"{rest_ms}ms", 20)
    profiles = {
        "detector": _DETECTOR.format(timeout="300ms", alarm=alarm, points=slow),
        "other": _DETECTOR.format(timeout="300ms", alarm="", points=slow),
    }
    return units, profiles, {unit: "detector" if unit <= DETECTORS else "other" for unit in units}


async def _age(dead: int, rest_ms: int, settled_s: float, seconds: float, bare_s: float) -> Figure:
    units, profiles, kinds = _mixed(dead, rest_ms)
    async with line(units) as (path, seen):
        async with polling(poller(path, profiles, kinds, Heard())):
            await asyncio.sleep(settled_s)
            began = time.monotonic()
            await asyncio.sleep(seconds)
    ages = _ages(units, seen, began, began + seconds)
    bare = await _pymodbus_age(units, rest_ms / 1000, bare_s)
    booked = (DETECTORS * (READ_S - 18 * CHAR_S) / _ALARM_MS + UNITS * READ_S / rest_ms) * 1000
    name = f"{dead}_dead" if rest_ms == _FULL_MS else "overbooked"
    return Figure(
        f"rtu_alarm_age_p99_ms/{name}", percentile(ages, 0.99), "ms", ("<=", 700), percentile(bare, 0.99),
        f"pymodbus, alarm points whenever {_ALARM_MS} ms are over, the rest in its turn{_of_few(bare)}", _ALARM_MS, "its period",
        note=f"p50 {percentile(ages, 0.5):.0f}, max {max(ages):.0f}, of {len(_living(units))} living; the wire is {booked:.0%} booked",
    )  # fmt: skip


def _of_few(ages: list[float]) -> str:
    """Of fewer than a hundred the 99th percentile is the largest."""
    return "" if len(ages) >= HUNDRED else f"; max of {len(ages)}"


def _unit(waits: list[float]) -> str:
    return "ms (p99)" if len(waits) >= HUNDRED else f"ms (max of {len(waits)})"


def _living(units: dict[int, dict[str, Any]]) -> list[int]:
    """Units with an alarm point that answer."""
    return [unit for unit in range(1, DETECTORS + 1) if not units[unit]["dead"]]


def _ages(units: dict[int, dict[str, Any]], seen: dict[str, Any], began: float, ended: float) -> list[float]:
    """Milliseconds between two answers with one alarm point in them, of every living one; of one that was never asked the whole time."""
    ages = []
    for unit in _living(units):
        moments = [at for who, address, _, at in seen["reads"] if who == unit and address == 0 and began <= at < ended]
        between = [1000 * (later - earlier) for earlier, later in pairwise(moments)]
        ages += between or [1000 * (ended - began)]
    return ages


async def _pymodbus_age(units: dict[int, dict[str, Any]], rest_s: float, seconds: float) -> list[float]:
    """The loop that one writes: alarm points when their period is over, then one round of the rest when that one's is."""
    async with line(units) as (path, seen), _usual(path, 0.3) as client:
        began = now = time.monotonic()
        alarms_at = rest_at = began
        while now - began < seconds:
            if now >= alarms_at:
                alarms_at = now + _ALARM_MS / 1000
                for unit in range(1, DETECTORS + 1):
                    await _read(client, unit, 0, 1)
            if now >= rest_at:
                rest_at = now + rest_s
                for unit in units:
                    if time.monotonic() - began < seconds:
                        await _read(client, unit, 20)
            await asyncio.sleep(0.005)
            now = time.monotonic()
    return _ages(units, seen, began, now)


async def _wrong(seconds: float, bare_s: float) -> list[Figure]:
    """Units that answer later than their timeout, up to three seconds, with three blocks each; how many values were another register's."""
    heard = Heard()
    block = "".join(points("normal", "200ms", first) for first in (0, 40, 80))
    profile = _DETECTOR.format(timeout="50ms", alarm="", points=block)
    delays = ((10, 80), (40, 120), (60, 250), (900, 1600), (50, 3000))
    late = {unit: {"late_ms": (low, high)} for unit, (low, high) in enumerate(delays, 1)}
    async with line(late) as (path, seen):
        async with polling(poller(path, {"late": profile}, dict.fromkeys(late, "late"), heard)):
            await asyncio.sleep(seconds)
    others, asked = await _pymodbus_wrong(late, bare_s)
    return [
        Figure("rtu_wrong_values", heard.wrong, "values", ("==", 0), others, f"pymodbus, of {asked} reads",
               note=f"of {heard.good} good values reported, from {seen['answers']} late answers of {seen['requests']} questions")
    ]  # fmt: skip


async def _pymodbus_wrong(units: dict[int, dict[str, Any]], seconds: float) -> tuple[int, int]:
    wrong = asked = 0
    async with line(units) as (path, _seen), _usual(path, 0.05) as client:
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            for first in (0, 40, 80):
                for unit in units:
                    asked += 1
                    values = await _read(client, unit, first)
                    wrong += bool(values) and values[0] != signature(unit, first)
    return wrong, asked


async def _noise(seconds: float, bare_s: float) -> Figure:
    """One to five random bytes in front of nine answers of ten: how many answers are not taken."""
    heard, noisy = Heard(), {unit: {"noise": 0.9} for unit in range(1, 9)}
    profile = _DETECTOR.format(timeout="300ms", alarm="", points=points("normal", "100ms"))
    async with line(noisy) as (path, seen):
        master = poller(path, {"noisy": profile}, dict.fromkeys(noisy, "noisy"), heard)
        async with polling(master):
            await asyncio.sleep(seconds)
    missed = seen["answers"] - 1 - master.line.tally.line.answers  # one may be under way at the end
    bare, bare_noisy, bare_answers = await _pymodbus_noise(noisy, bare_s)
    return Figure(
        "rtu_noise_loss", max(0, missed) / seen["answers"], "of the answers", ("<=", 0.001), bare,
        f"pymodbus, of {bare_answers} answers, {bare_noisy} of them with noise",
        note=f"{seen['noisy']} of {seen['answers']} answers with noise; {heard.wrong} wrong values of {heard.good}",
    )  # fmt: skip


async def _pymodbus_noise(units: dict[int, dict[str, Any]], seconds: float) -> tuple[float, int, int]:
    """Part of the answers that it did not take; how many came with noise, and how many in all."""
    taken = 0
    async with line(units) as (path, seen), _usual(path, 0.3) as client:
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            for unit in units:
                values = await _read(client, unit, 0)
                taken += values == [signature(unit, address) for address in range(REGISTERS)]
    return 1 - taken / seen["answers"], seen["noisy"], seen["answers"]


async def _preempt(dead: int, lost: float, trials: int) -> Figure:
    """From asking for an output to the first byte of the write on the wire, the line fully booked.

    ``lost``: the part of the relay's own answers that never come; a write has nothing to wait for in them.
    """
    gone = set(range(UNITS - dead, UNITS))
    units: dict[int, dict[str, Any]] = {unit: {"dead": unit in gone} for unit in range(1, UNITS + 1)}
    units[UNITS]["lost"] = lost
    full = _DETECTOR.format(timeout="300ms", alarm="", points=points("normal", "1s"))
    relay = _DETECTOR.format(timeout="300ms", alarm=_COIL.format(), points="")
    kinds = {unit: "relay" if unit == UNITS else "full" for unit in units}
    asked: list[float] = []
    chance = random.Random(5)
    async with line(units) as (path, seen):
        master = poller(path, {"full": full, "relay": relay}, kinds, Heard())
        async with polling(master):
            await asyncio.sleep(6)
            for trial in range(trials):
                await asyncio.sleep(chance.uniform(0.1, 0.4))
                asked.append(time.monotonic())
                with contextlib.suppress(Exception):
                    # The simulated coil always reads back 0: what counts here is when the write left.
                    await master.write(f"u{UNITS}", "coil", trial % 2 == 1)
            timeout_s = max(master.line.timeout_s(unit, _TIMEOUT_MS) for unit in units)
    waits = [
        min((at for _, _, at in seen["writes"] if at >= began), default=began + _NEVER_S) - began for began in asked
    ]
    never = sum(wait >= _NEVER_S for wait in waits)
    name = f"{dead}_dead" if not lost else "relay_misses"
    return Figure(
        f"write_preempt_ms/{name}", 1000 * percentile(waits, 0.99), _unit(waits), ("<=", 1000 * (FRAME_S + timeout_s)),
        limit=1000 * FRAME_S, limit_is="one frame", note=f"p50 {1000 * percentile(waits, 0.5):.1f}, {trials} writes, "
        f"{never} never left; the aim is one frame and the longest timeout in use, {1000 * timeout_s:.0f} ms",
    )  # fmt: skip


async def _pymodbus_preempt(dead: int, lost: float, trials: int) -> float:
    """The same with the usual library, whose reads and writes stand in one queue: milliseconds, their p99."""
    gone = set(range(UNITS - dead, UNITS))
    units: dict[int, dict[str, Any]] = {unit: {"dead": unit in gone} for unit in range(1, UNITS + 1)}
    units[UNITS]["lost"] = lost
    asked: list[float] = []
    chance = random.Random(5)
    async with line(units) as (path, seen), _usual(path, 0.3) as client:
        ended = asyncio.Event()

        async def poll() -> None:
            while not ended.is_set():
                for unit in units:
                    if not ended.is_set():
                        await _read(client, unit, 0)

        polls = asyncio.create_task(poll())
        for trial in range(trials):
            await asyncio.sleep(chance.uniform(0.1, 0.4))
            asked.append(time.monotonic())
            with contextlib.suppress(Exception):
                await client.write_coil(0, trial % 2 == 1, device_id=UNITS)
        ended.set()
        await polls
    waits = [min((at for *_, at in seen["writes"] if at >= began), default=began + _NEVER_S) - began for began in asked]
    return 1000 * percentile(waits, 0.99)
