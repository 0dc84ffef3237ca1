"""From a press on the air to the siren's relay and to the receiver, through the whole daemon: real Bleak, a real RTU frame on a
pty whose characters take as long as at 9600 baud, a real broker, every alert on the disk before it is told; then the same on a disk
whose every fsync takes 200 ms and 2 s.

The frame is on the air when the stand-in BlueZ is told of it; the siren sounds when the relay has the last character of the write; the
alert has arrived when a subscriber holds it. One machine, one clock (CLOCK_MONOTONIC). Slow disks are made by strace(1)
delaying fsync and fdatasync of an unmodified daemon.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from bench.figures import Figure, median, percentile
from bench.rig import (
    Daemon,
    Ear,
    Helper,
    NowAndThen,
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
from gateway.control.client import ControlClient
from gateway.sim.buttons import SERVICE
from gateway.sim.compound import SIREN, SimCompound

BUTTON, RSSI_DBM = "sos-301", -60
PHASE_S = 0.5
"""A write to the siren waits for the read under way, so it matters where in a round of the line a press falls: anywhere. Without
this pause each press follows the closing of the one before, which takes as long as the disk likes.
"""
ROUNDS = 3
"""Each disk is looked at so often, in turns: what the machine does meanwhile is then nobody's alone."""
CHAR_S, WRITE_CHARS = 10 / 9600, 8
"""Of the line, 8N1; a write of one coil and its checksum."""
READ_S, READS = (3.5 + 17 + 3.5) * CHAR_S, range(1, 5)
"""How long a read of six registers is under way once it was asked, its silences included; function codes of reads."""


class Presses(Struct):
    """Milliseconds from the air to the siren, to the receiver, of bare publishes in a hot loop, and of others beside each press; how
    many were durable when told; and to how many a read was in the way of the siren.
    """

    sirens: list[float] = []
    arrivals: list[float] = []
    bare: list[float] = []
    beside: list[float] = []
    durable: int = 0
    met: int = 0

    def __add__(self, other: Presses) -> Presses:
        return Presses(
            self.sirens + other.sirens, self.arrivals + other.arrivals, self.bare + other.bare, self.beside + other.beside,
            self.durable + other.durable, self.met + other.met,
        )  # fmt: skip

    @property
    def said(self) -> str:
        """Of the siren."""
        each = ", ".join(f"p{round(100 * share)} {percentile(self.sirens, share):.1f}" for share in (0.5, 0.9, 0.99))
        return f"{each}; {len(self.sirens)} presses, {self.met} met a read of the line"


def measure(*, quick: bool) -> Iterator[Figure]:
    """Press to siren and to upstream, on a good disk and on two bad ones."""
    trials = 30 if quick else 150
    disks = dict.fromkeys((0, 200, 2_000), Presses())
    for turn in range(ROUNDS):
        disks = {ms: before + asyncio.run(_presses(trials // ROUNDS, ms, turn)) for ms, before in disks.items()}
    found = disks.pop(0)
    sirens, arrivals = found.sirens, found.arrivals
    memory = memory_disk()
    in_memory = asyncio.run(_presses(trials, 0, 0, memory)).arrivals if memory else []
    bare_sirens = asyncio.run(_bare_sirens(trials))
    beside = asyncio.run(_beside(min(trials, 100)))
    yield Figure(
        "press_to_siren_ms", percentile(sirens, 0.99), "ms (p99)", ("<=", 50), percentile(bare_sirens, 0.99),
        f"Bleak and pymodbus by themselves, p50 {median(bare_sirens):.1f}", 1000 * WRITE_CHARS * CHAR_S, "the write's own characters",
        note=f"{found.said}; no disk in it",
    )  # fmt: skip
    least = percentile(found.bare, 0.99)
    yield Figure(
        "press_to_upstream_ms", percentile(arrivals, 0.99), "ms (p99)", ("<=", min(50.0, 3 * least)), least,
        "p99 of a bare aiomqtt publish, no disk", note=f"p50 {median(arrivals):.1f}, bare p50 {median(found.bare):.1f}; fdatasync included; "
        f"{on_memory_disk(in_memory)}; {beside}",
    )  # fmt: skip
    yield now_and_then("press_to_upstream_ms", arrivals, found.beside)
    good = percentile(sirens, 0.9)
    for fsync_ms, slowed in disks.items():
        late, bare = slowed.arrivals, slowed.bare
        yield Figure(
            f"press_to_siren_slow_disk_ms/{fsync_ms}", percentile(slowed.sirens, 0.9), "ms (p90)", ("<=", 1.2 * good), good,
            f"p90 on a good disk, in turns: {found.said}", note=slowed.said,
        )  # fmt: skip
        yield Figure(
            f"press_to_upstream_slow_disk_ms/{fsync_ms}", percentile(late, 0.99), "ms (p99)", slow_aim(fsync_ms),
            fsync_ms + percentile(bare, 0.99), "one sync and a bare aiomqtt publish", fsync_ms, "one sync, where it is awaited",
            note=f"p50 {median(late):.1f}; {slowed.durable} of {len(late)} were durable when told, the rest told from memory and marked so",
        )  # fmt: skip


async def _beside(trials: int) -> str:
    """What a publish costs whose bytes are synced first, and one that comes now and then."""
    async with broker() as mqtt, Ear(mqtt.port) as ear:
        synced = [1000 * one for one in await synced_publish(mqtt.port, 300)]
        paced = await paced_publish(mqtt.port, ear, trials)
    return (
        f"bare with one fdatasync p50 {median(synced):.1f}, p99 {percentile(synced, 0.99):.1f}, "
        f"bare now and then p50 {median(paced):.1f}, p99 {percentile(paced, 0.99):.1f}"
    )


async def _presses(trials: int, fsync_ms: int, turn: int, disk: str | None = None) -> Presses:
    """``disk``: the folder in which the daemon's own is made; None: the usual one."""
    chance = random.Random(turn)  # the same moments on every disk
    found = Presses()
    with tempfile.TemporaryDirectory(dir=disk) as name:
        async with (
            broker() as mqtt,
            SimCompound(Path(name) / "world", mqtt.port, protocol="5") as world,
            Ear(mqtt.port) as ear,
        ):
            world.line.char_s = CHAR_S
            slow = slow_disk(fsync_ms)
            async with Daemon(world.site, world.state, wrapped_in=slow, environment=world.air.environment()) as _daemon:
                await _until(lambda: world.air.heard)
                await ear.until(lambda topic, _: topic.endswith("/status"))
                await asyncio.sleep(3)
                async with NowAndThen(mqtt.port, ear, world.folder) as beside:
                    for _ in range(trials):
                        await asyncio.sleep(chance.uniform(0, PHASE_S))
                        siren, arrival, alert, met = await _press(world, ear)
                        found.met += met
                        found.sirens.append(1000 * siren)
                        found.arrivals.append(1000 * arrival)
                        found.durable += json.loads(alert)["data"]["durable"]
                        await beside.publish(len(alert))
                found.beside = beside.took_ms
            found.bare = [1000 * one for one in await bare_publish(mqtt.port, 300)]
    return found


async def _bare_sirens(trials: int) -> list[float]:
    """Milliseconds of as many presses to the siren by ``bench.siren``, on the same air and line."""
    took, chance = [], random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        async with broker() as mqtt, SimCompound(Path(name) / "world", mqtt.port) as world:
            button, line = world.buttons[BUTTON], (str(world.line.path), world.buttons[BUTTON].address, SERVICE)
            world.line.char_s = CHAR_S
            bus = world.air.environment()["DBUS_SYSTEM_BUS_ADDRESS"]
            async with Helper("-m", "bench.siren", bus, *line, str(world.relay.unit_id), str(SIREN)):
                await asyncio.sleep(2)
                for _ in range(trials):
                    await asyncio.sleep(0.1 + chance.uniform(0, PHASE_S))
                    sounded = _sounding(world)
                    frame, began = button.press(), time.monotonic()
                    await world.air.send(button.address, frame, RSSI_DBM)
                    took.append(1000 * (await asyncio.wait_for(sounded, 30) - began))
    return took


def _sounding(world: SimCompound) -> asyncio.Future[float]:
    """When the siren's relay will have its next write."""
    sounded: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def written(address: int, value: int) -> None:
        if address == SIREN and value and not sounded.done():
            sounded.set_result(time.monotonic())

    world.relay.on_write = written
    return sounded


async def _press(world: SimCompound, ear: Ear) -> tuple[float, float, bytes, bool]:
    """One press: seconds to the siren and to the receiver, what was told, and whether a read was in the siren's way; then somebody
    closes it, so that the next is a new alert.
    """
    sounded = _sounding(world)
    button, since = world.buttons[BUTTON], len(ear.heard)
    frame = button.press()
    began = time.monotonic()
    await world.air.send(button.address, frame, RSSI_DBM)
    since, arrived = await ear.until(is_alert("sos", BUTTON, "raised"), since)
    at = await asyncio.wait_for(sounded, 30)
    alert = ear.heard[since - 1][1]
    met = any(began - READ_S < asked < at and frame[1] in READS for asked, frame in world.line.log)
    await asyncio.to_thread(_close, world.state, str(json.loads(alert)["subject"]))
    await ear.until(is_alert("sos", BUTTON, "closed"), since)
    await _until(lambda: not world.siren_on)
    return at - began, arrived - began, alert, met


def _close(state: Path, alert: str) -> None:
    list(ControlClient(state).ask("close", alert=alert, who="duty-1", mistaken=True, reason="bench"))


async def _until(came: Callable[[], object], within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while not came():
            await asyncio.sleep(0.01)
