"""The pure core: events a second with 200 flats and every built-in rule, and a month of life replayed.

Nothing but ``Engine.handle`` is timed: the events are made and stamped beforehand, in blocks. CPU time of this one thread.
The month is Fukang Garden's, and nothing happens but what its own devices report: every point once a minute, those that measure
with another value each time, 25 million events.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from bench.figures import Figure, median
from bench.garden import built, noise, quiet_garden, resting, rounds, site_text
from gateway.drivers.modbus.reporting import REFRESH_S
from gateway.events import Boot, Reading, SiteLoaded, Stamped
from gateway.instant import DAY, ClockQuality, Instant
from gateway.rules.compound import Compound
from gateway.rules.engine import Engine

FLATS = 200
BLOCK = 20_000
BARE = "a dict assignment and an encoded row each"


def measure(*, quick: bool) -> Iterator[Figure]:
    """``engine_events_per_s`` and ``replay_month_s``."""
    yield _rate(blocks=5 if quick else 25)
    yield _month(days=0.1 if quick else 30)


def awake(compound: Compound, at: int = 0) -> Engine:
    """A core after its boot."""
    engine = Engine(compound)
    engine.handle(Stamped(Instant(at), "b.1", Boot("b", "boot", ClockQuality.SYNCED, None, 1_700_000_000_000, "bench")))
    engine.handle(Stamped(Instant(at), "b.2", SiteLoaded(compound.fingerprint)))
    return engine


def compound_of(flats: int) -> Compound:
    """The compound of so many flats."""
    with tempfile.TemporaryDirectory() as folder:
        return built(Path(folder), site_text(flats))[1]


def stamped(readings: Iterator[Reading], step_ms: float) -> Iterator[Stamped]:
    """Readings with their place on the timeline."""
    for n, reading in enumerate(readings, 1):
        yield Stamped(Instant(round(n * step_ms)), f"b.{n + 2}", reading)


def timed(engine: Engine, events: Iterator[Stamped], blocks: int, size: int = BLOCK) -> list[float]:
    """CPU seconds of each block."""
    spent = []
    for _ in range(blocks):
        block = list(islice(events, size))
        began = time.thread_time()
        for event in block:
            engine.handle(event)
        spent.append(time.thread_time() - began)
    return spent


def _rate(blocks: int) -> Figure:
    compound = compound_of(FLATS)
    spent = timed(awake(compound), stamped(noise(FLATS), 1.0), blocks)
    return Figure(
        "engine_events_per_s", BLOCK / median(spent), "events/s", (">=", 100_000),
        baseline=BLOCK / median(_bare(stamped(noise(FLATS), 1.0), blocks)), baseline_is=BARE,
        note=f"{FLATS} flats, {len(compound.rules)} rules, median of {blocks} blocks of {BLOCK}",
    )  # fmt: skip


def _bare(events: Iterator[Stamped], blocks: int) -> list[float]:
    """CPU seconds of each block in a loop that only remembers the last word on each point, and writes it as a row."""
    encode, rows, spent = msgspec.msgpack.Encoder().encode, {}, []
    for _ in range(blocks):
        block = list(islice(events, BLOCK))
        began = time.thread_time()
        for event in block:
            rows[event.event.device, event.event.point] = encode(event.event)
        spent.append(time.thread_time() - began)
    return spent


def _month(days: float) -> Figure:
    site, compound = quiet_garden()
    walks, engine = resting(site), awake(compound)
    a_day = len(walks) * DAY // (1000 * int(REFRESH_S))
    blocks = max(1, int(a_day * days) // BLOCK)
    spent = sum(timed(engine, stamped(rounds(walks), DAY / a_day), blocks))
    bare = sum(_bare(stamped(rounds(resting(site)), DAY / a_day), blocks))
    month = 30 * a_day / (blocks * BLOCK)
    said = "measured whole" if days >= 30 else f"{blocks * BLOCK:,} events measured, scaled to a month"
    return Figure(
        "replay_month_s", spent * month, "s", ("<=", 300), bare * month, BARE, limit=30 * 86_400, limit_is="the month itself",
        note=f"Fukang Garden, {30 * a_day / 1e6:.1f} million events, {len(engine.alerts())} alerts; {said}",
    )  # fmt: skip
