"""Seven days without the broker, and then all of it at once, while somebody presses a button.

First the whole house lives the days on virtual time (real store, real Modbus, slow polls) before a broker that takes its
connections and never answers; its wall clock starts so many days ago that it ends about now. Then the real process starts on
that state folder with a real Mosquitto and drains. A trial is an alert of those days; each is a press on the air, counted when
it is made, and closed by somebody as in any week. Alerts are told apart and counted by a receiver of its own (``register.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import sqlite3
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from app.living import Living
from instruments.inline import Inline
from instruments.virtual import VirtualClock, virtual_run

from gateway.app.house import Surroundings
from gateway.control.client import ControlClient
from gateway.control.protocol import Request
from gateway.events import Reading
from gateway.faults import LoudongError
from gateway.sim.broker import Mosquitto
from gateway.sim.buttons import SimButton
from gateway.sim.leash import leashed
from gateway.sim.modbus import SimTcp, SimUnit
from gateway.sim.staging import Staged
from gateway.sim.world import SimWorld
from gateway.store.telemetry import NAME as TELEMETRY

from .between import PUBACK, PUBLISH, Between
from .register import Register, listening
from .rows import Budget, Row
from .slow import Ears, seldom_asked, slow_ticks, slow_twins
from .soak import US

WEEK_DAYS, FULL_WEEK = 7, 10_000
"""So many alerts and more are spread over a whole week; fewer are a shorter one."""
TICK_S, ASKS_AGAIN_S = 5.0, 600.0
"""How seldom the virtual house looks whether anything is due, and at most tries its broker again."""
BUTTONS, LIVE = 24, ("live-0", "live-1", "live-2")
CRITICAL_EVERY = 10
"""One press in ten is an SOS; nine ask for the house keeper, in a lane below."""
OPEN = 12
"""Alerts open at a time; then the oldest is answered and closed."""
FLATS, READINGS = 60, 122
"""Air units, and what they say for each alert: ten readings a second in a week of 50,000, as in ``years.TRUE_READINGS_A_DAY``."""
ASKED_S = 600.0
"""What the units say comes from the driver's seam; that sixty of them are asked every few seconds is not what a week is lived for."""
MOMENTS = 0.4, 0.6, 0.8
"""Of the drain, at which somebody presses: the critical lane of the week is through by then."""
LOOKS_A_DAY = 4
JUDGED_FROM_DAYS = 2
"""In the first day the house is still warming up: its memory is compared with what it was then."""
MAY_GROW_MIB = 32
AWAY_MIB = 16.0
"""What the house may grow by from the second day to the last: 50,000 presses wait on the disk, the last thousand batches in memory."""
LIVE_S = 2.0
"""What a press of now may take in the middle of a drain (a line of a kilobyte a second and a slow card included)."""
PATIENCE_S = 120.0
SITE = """
site: fukang-garden
gateway: away
timezone: Asia/Shanghai
language: en
places: { b1: Building 1, b1/s1: Stair 1, b1/s1/301: Flat 301, b1/hall: Hall }
people: { head: { roles: [answer, shelve] }, grid-1: {}, community-1: {}, duty: {}, leader: {} }
grid: { building: { b1: [head] }, grid: { b1: [grid-1] }, community: [community-1], street: [duty], district: [leader] }
buses:
  one:
    host: 127.0.0.1
    tcp_port: $bus
    devices:
      gas-301: { profile: combustible-gas-6in1, unit_id: 1, place: b1/s1/301 }
{airs}
radio: { silence: 10min }
buttons:
{buttons}
uplinks: { street: { host: 127.0.0.1, port: $broker } }
rules:
  - rule: sos # these buttons have two keys, as it were
    subjects: { kind: button }
    when: { press: single }
    priority: critical
    grade: big
  - rule: keeper
    subjects: { kind: button }
    when: { press: double }
    priority: medium
    grade: small
    text: { zh: 请管家来, en: Somebody asks for the house keeper }
"""


def _site() -> str:
    named = [f"pb-{n:02}" for n in range(BUTTONS)] + list(LIVE)
    lines = (f'  {name}: {{ address: "{_address(n)}", place: b1/s1/301 }}' for n, name in enumerate(named))
    airs = (f"      air-{n}: {{ profile: air-adtek, unit_id: {n + 2}, place: b1/hall }}" for n in range(FLATS))
    return SITE.replace("{buttons}", "\n".join(lines)).replace("{airs}", "\n".join(airs))


def _address(n: int) -> str:
    return f"A4:C1:38:00:01:{n:02X}"


def week(folder: Path, budget: Budget) -> Row:
    """See above. Fewer trials are a shorter week."""
    row, register, between = Row(), Register(), Between(0)
    (home := folder / "home").mkdir()
    began = time.monotonic()
    days = WEEK_DAYS * min(1.0, budget.trials / FULL_WEEK)
    with slow_ticks(TICK_S), seldom_asked(ASKED_S):
        virtual_run(_be_away(home, budget.trials, days * 86_400, between.port, register, row), patience_s=0.0)
    row.notes.append(f"{budget.trials} alerts in {days:.2f} days away took {time.monotonic() - began:.0f} s of ours")
    asyncio.run(_come_back(folder, home, between, register, row))
    row.trials = budget.trials
    return row


# The days without a broker -----------------------------------------------------------------------------


class _Away(Living):
    """The house of those days."""

    def __init__(self, folder: Path, broker_port: int, seconds: float) -> None:
        super().__init__(folder, before=self._begin_then)
        self._seconds, self.ears = seconds, Ears()
        airs = [SimUnit(n + 2, holding=dict(self.air.holding)) for n in range(FLATS)]
        self.units = [self.gas[1], *airs]
        self.one = SimTcp(self.units)
        text = slow_twins(folder, _site()).replace("$broker", str(broker_port))
        self.text = text.replace("$bus", "$one")
        self.surroundings = Surroundings(sources=[self.ears], pool=Inline())

    def _begin_then(self, _living: Living) -> None:
        """So many days ago, by a clock that is known to be right."""
        wall_ms = time.time_ns() // 1_000_000 - round(self._seconds * 1000)
        self.clock = VirtualClock(asyncio.get_running_loop(), wall_ms=wall_ms, boot_id="the-week-before")


async def _never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(4096):
            pass
    writer.close()


async def _be_away(folder: Path, alerts: int, seconds: float, port: int, register: Register, row: Row) -> None:
    broker = await asyncio.start_server(_never_answer, "127.0.0.1", port)
    async with broker, _Away(folder, port, seconds + 60) as living:
        offered = _count_offers(living)
        for uplink in living.house.rooms.uplinks.values():
            uplink._backoff_max_s = ASKS_AGAIN_S
        await asyncio.sleep(60)
        buttons = [SimButton(_address(n)) for n in range(BUTTONS)]
        waiting: deque[tuple[str, str]] = deque()
        air, sizes = _air(), list[float]()
        for n in range(alerts):
            if n % max(1, alerts // (WEEK_DAYS * LOOKS_A_DAY)) == 0:
                sizes.append(_our_mib(living))
            await asyncio.sleep(seconds / alerts)
            waiting.append(_press(living, buttons[n % BUTTONS], n, register))
            if len(waiting) > OPEN:
                await _answer(living, waiting.popleft())
            for _ in range(READINGS):
                living.house.inbox.report(next(air))
    _judge_the_week(living, row, offered)
    _judge_our_memory(row, sizes, seconds / 86_400)
    _judge_the_samples(living, row, alerts * READINGS)


def _press(living: _Away, button: SimButton, n: int, register: Register) -> tuple[str, str]:
    """One press, heard three times; what must come of it."""
    kind, rule = ("double", "keeper") if n % CRITICAL_EVERY else ("single", "sos")
    about = rule, f"pb-{n % BUTTONS:02}"
    register.caused[about] += 1
    living.ears.press(button, kind)
    return about


async def _answer(living: _Away, about: tuple[str, str]) -> None:
    """Somebody has spoken to them."""
    alert = living.open()[about].id
    said = {"alert": alert, "who": "head", "mistaken": True, "reason": "spoken to"}
    await living.house.desk.answer(Request("close", said), US)


def _air() -> Iterator[Reading]:
    """Restless flats, one after the other."""
    dice = random.Random(7)
    while True:
        for name in (f"air-{n}" for n in range(FLATS)):
            yield Reading(name, "co2", dice.randrange(500, 700, 25))
            yield Reading(name, "temperature", dice.randrange(20, 25))
            yield Reading(name, "humidity", dice.randrange(50, 70, 2))


def _count_offers(living: _Away) -> Counter[str]:
    """How many batches of readings the uplink is offered: what arrives, waits or is counted as dropped must be as many."""
    offers = Counter[str]()
    for uplink in living.house.rooms.uplinks.values():
        real = uplink.offer_telemetry

        def offer(device: str, body: bytes, real: Callable[[str, bytes], None] = real) -> None:
            offers[device] += 1
            real(device, body)

        uplink.offer_telemetry = offer  # type: ignore[method-assign]
    return offers


def _judge_the_week(living: _Away, row: Row, offers: Counter[str]) -> None:
    counts = living.house.counts()
    dropped = sum(n for name, n in counts.items() if name.endswith(".telemetry_dropped"))
    if dropped != offers.total():
        row.wrong.append(f"telemetry: {offers.total()} batches offered, {dropped} counted as dropped")
    if living.house.store.mode != "disk" or any(living.house.store.dropped.values()):
        row.wrong.append(f"the store: {living.house.store.mode}, dropped {living.house.store.dropped}")
    row.notes.append(
        f"telemetry while away: {offers.total()} batches for upstream, {dropped} dropped and counted, those that still waited at the end included"
    )


def _our_mib(living: _Away) -> float:
    """Resident memory, of the house and of all that is simulated around it; the units remember every question, which is theirs."""
    for unit in living.units:
        unit.requests.clear()
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def _judge_our_memory(row: Row, sizes: list[float], days: float) -> None:
    """Of looks spread evenly over all the days."""
    if days < JUDGED_FROM_DAYS:
        row.notes.append(
            f"memory of those days is not judged: they were {days:.2f}, and a house may grow in the first of {JUDGED_FROM_DAYS}"
        )
        return
    later = sizes[round(len(sizes) / days) :]
    first, most = later[0], max(later)
    row.notes.append(f"memory in those days: {first:.0f} MiB after the first, {most:.0f} at most")
    if most - first > AWAY_MIB:
        row.wrong.append(f"memory grew from {first:.0f} to {most:.0f} MiB while the broker was away")


def _judge_the_samples(living: _Away, row: Row, moved: int) -> None:
    """The file of samples needs no broker: every one is in it, or counted."""
    dropped = living.house.counts()["telemetry.dropped"]
    with contextlib.closing(sqlite3.connect(living.state / TELEMETRY)) as connection:
        (kept,) = connection.execute("SELECT SUM(samples) FROM blocks").fetchone()
    if kept + dropped < moved:
        row.wrong.append(f"samples: {moved} at least, {kept} in the file and {dropped} counted as dropped")
    row.notes.append(f"samples of those days: {kept} in the file, {dropped} dropped and counted")


# The broker is back ------------------------------------------------------------------------------------


class _Pubacks:
    """Watches the line: when the broker had the first word on each live press."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self._sent: dict[int, str] = {}

    def __call__(self, up: bool, kind: int, packet: bytes) -> None:
        if up and kind == PUBLISH and b'"subject":"live-' in packet and b'"change":"raised"' in packet:
            at = packet.find(b"/alerts") + len(b"/alerts")
            name = packet.split(b'"subject":"live-')[1].split(b'"')[0].decode()
            self._sent[int.from_bytes(packet[at : at + 2], "big")] = f"live-{name}"
        if not up and kind == PUBACK and (name_ := self._sent.pop(int.from_bytes(packet[2:4], "big"), "")):
            self.at.setdefault(name_, asyncio.get_running_loop().time())


async def _come_back(folder: Path, home: Path, between: Between, register: Register, row: Row) -> None:
    """A new process on the old state; the broker is reached only once it lives, so that its memory before the drain is known."""
    broker, pubacks = Mosquitto(folder / "broker", leashed=True), _Pubacks()
    await asyncio.to_thread(broker.start)
    between._target, between.cut = broker.port, pubacks
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, broker.stop)
        world = await stack.enter_async_context(SimWorld(Staged(home / "site.yaml"), folder))
        hearing = await stack.enter_async_context(listening(register, broker.port))
        daemon = await stack.enter_async_context(_daemon(home, world, folder / "daemon.log"))
        before = await _lives(home / "state", daemon)
        stack.push_async_callback(between.close)
        await between.open()
        await _drain(world, register, pubacks, row, daemon, before)
        if hearing.done():
            hearing.result()
    register.close_account(row)


async def _drain(
    world: SimWorld, register: Register, pubacks: _Pubacks, row: Row, daemon: asyncio.subprocess.Process, before: float
) -> None:
    loop, owed = asyncio.get_running_loop(), register.caused.total()
    began = loop.time()
    for name, moment in zip(LIVE, MOMENTS, strict=True):
        await _until(lambda: register.missing() <= owed * (1 - moment), register, "the drain goes on")  # noqa: B023
        register.caused["sos", name] += 1
        pressed = loop.time()
        world.soon(world.press(name))
        await _until(lambda: name in pubacks.at, register, "the broker has the press")  # noqa: B023
        left = register.missing()
        row.recoveries_s.append(round(pubacks.at[name] - pressed, 3))
        row.notes.append(f"live press PUBACKed after {row.recoveries_s[-1]:.2f} s, with {left} alerts still to come")
        if not left and owed >= FULL_WEEK:  # a shorter drain may be over before anybody's press is on the air
            row.late.append("a live press overtook nothing")
        if row.recoveries_s[-1] > LIVE_S:
            row.late.append(f"a live press waited {row.recoveries_s[-1]} s for its PUBACK")
    await _until(lambda: not register.missing(), register, "all alerts are there")
    drained, heard = loop.time() - began, len(register)
    await _quiet(register)
    peak, after = _rss(daemon, "VmHWM"), _rss(daemon, "VmRSS")
    row.notes.append(
        f"drained {heard} messages in {drained:.0f} s, {heard / drained:.0f} a second; {before:.0f} MiB before, "
        f"{peak:.0f} at most, {after:.0f} after; then {register.telemetry} batches of telemetry"
    )
    if peak - before > MAY_GROW_MIB:
        row.wrong.append(f"memory grew from {before:.0f} to {peak:.0f} MiB while it drained")


async def _until(came: Callable[[], object], register: Register, what: str) -> None:
    """Wait for it as long as anything still comes."""
    loop = asyncio.get_running_loop()
    heard, moved = -1, loop.time()
    while not came():
        if len(register) != heard:
            heard, moved = len(register), loop.time()
        assert loop.time() - moved < PATIENCE_S, f"nothing came for {PATIENCE_S:g} s, and {what} is not so"
        await asyncio.sleep(0.02)


async def _quiet(register: Register) -> None:
    """The last messages of closed alerts come, too, and what telemetry waits behind them."""
    heard = -1
    async with asyncio.timeout(PATIENCE_S):
        while len(register) != heard or not register.telemetry:
            heard = len(register)
            await asyncio.sleep(2)


async def _lives(state: Path, daemon: asyncio.subprocess.Process) -> float:
    """Wait until it answers at its desk; its memory then, in MiB."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            assert daemon.returncode is None, "the daemon ended"
            with contextlib.suppress(LoudongError, OSError):
                await asyncio.to_thread(lambda: list(ControlClient(state).ask("status")))
                break
            await asyncio.sleep(0.1)
    await asyncio.sleep(2)
    return _rss(daemon, "VmRSS")


def _rss(daemon: asyncio.subprocess.Process, name: str) -> float:
    """Of proc(5), in MiB."""
    status = Path(f"/proc/{daemon.pid}/status").read_text(encoding="ascii")
    return int(status.split(f"{name}:")[1].split()[0]) / 1024


@contextlib.asynccontextmanager
async def _daemon(home: Path, world: SimWorld, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    with log.open("ab") as out:
        command = ["-m", "gateway.cli", "run", str(home / "site.yaml"), "--state", str(home / "state")]
        process = await asyncio.create_subprocess_exec(
            *leashed([sys.executable, *command]), stdout=out, stderr=out, start_new_session=True,
            env=os.environ | world.air.environment() | {"LC_ALL": "C.UTF-8"},
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
