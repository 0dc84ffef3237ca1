"""A simulated year of the whole house: its files must stop growing once the retention is reached, and what it writes is counted.

Growth. Core, store, tidying, folding, samples, registry and steward live their days on virtual time. What only looks whether
there is anything to do looks every ten minutes instead of every second, and the day's readings are fewer than a real one's, or
a year would cost a day; retention goes by age, so a year of few readings must be as flat as one of many. The broker is stood
in for by somebody who takes every message from the outbox and says so. A trial is a day.

Wear. Bytes the kernel was given for the disk (proc(5), write_bytes: whole pages), at true ticks and with the readings of a
compound of sixty flats: of hours without an alert, scaled to a day, and of an alert from its press to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

from instruments.inline import Inline
from instruments.virtual import VirtualClock, virtual_run
from msgspec import structs

from gateway.app import chronicle
from gateway.app.house import House, Surroundings, build
from gateway.app.orders import read_orders
from gateway.control.protocol import Request
from gateway.events import Reading
from gateway.nodes import Faults
from gateway.sim.buttons import SimButton
from gateway.uplink.departures import LANES

from .register import Register
from .rows import Budget, Row
from .slow import Ears, slow_ticks
from .soak import US

YEAR = 365
FLATS = 60
KEPT_DAYS = {"journal": 30, "telemetry": 90, "closed": 90}
"""Closed alerts are kept for two years where the site file says nothing; here less, so that their end is seen, too."""
LEAST_DAYS = {"journal": 1, "telemetry": 1, "closed": 30}
"""That a site file may say (``gateway/site/shapes.py``)."""
SHOWN_AT = 30, 90, 180, YEAR
READINGS_A_DAY, ALERTS_A_DAY = 480, 12
TRUE_READINGS_A_DAY = 870_000
"""As in ``bench/core.py``: 180 points of air, each moving by its resolution every 18 s."""
TICK_S = 600.0
MAY_GROW = 1.05
SLACK_BYTES = 256 * 1024
"""A log that is about to be folded, and one that just was."""
UPLINK = "street"
WORN_HOURS = 2
"""Of true ticks, in a short row too. Each kind of file is begun once in an hour or less, and a day scaled from six minutes was made of
those beginnings: 47 MB for 20 to 28, and over the budget where the kernel cleaned a page between two writes of it.
"""
BUDGET_MB_A_DAY = 50.0
"""docs/reliability.md, "What a card must bear"."""
SITE = """
site: fukang-garden
gateway: year
timezone: Asia/Shanghai
language: en
people: {{ head: {{ roles: [answer, shelve] }}, grid-1: {{}}, community-1: {{}}, duty: {{}}, leader: {{}} }}
grid: {{ building: {{ b1: [head] }}, grid: {{ b1: [grid-1] }}, community: [community-1], street: [duty], district: [leader] }}
places:
  b1: Building 1
{places}
buses:
  one:
    host: 127.0.0.1
    tcp_port: 5020
    devices:
{devices}
buttons:
{buttons}
retention: {{ {retention} }}
"""


class Sizes(NamedTuple):
    """Bytes of what is kept, each with its logs beside it, and of everything."""

    store: int
    samples: int
    all: int

    def __str__(self) -> str:
        return f"{self.store / 1e6:.2f} + {self.samples / 1e6:.2f} MB, in all {self.all / 1e6:.2f}"


def growth(folder: Path, budget: Budget) -> Row:
    """See above. Fewer trials are a shorter year with a shorter memory; it is said where the seconds ended it early."""
    row = Row()
    for name in ("wear", "year"):
        (folder / name).mkdir()
    virtual_run(_wear(folder / "wear", row), patience_s=0.0)
    with slow_ticks(TICK_S):
        virtual_run(_year(folder / "year", budget, row), patience_s=0.0)
    return row


# The house ---------------------------------------------------------------------------------------------


class _Lived(NamedTuple):
    house: House
    ears: Ears
    state: Path


@contextlib.asynccontextmanager
async def _living(folder: Path, kept_days: dict[str, int]) -> AsyncIterator[_Lived]:
    """Nobody is called: readings come from the driver's seam, presses from the air, and somebody takes what is told."""
    path, state, ears = folder / "site.yaml", folder / "state", Ears()
    state.mkdir(mode=0o750)
    path.write_text(_site(kept_days), encoding="utf-8")
    orders = read_orders(path, state, Faults())
    orders = structs.replace(orders, site=structs.replace(orders.site, buses={}))
    clock = VirtualClock(asyncio.get_running_loop())
    whole = await build(orders, state, clock, Surroundings(sources=[ears], pool=Inline()))
    ready = asyncio.Event()
    running = asyncio.create_task(whole.run(ready.set))
    await ready.wait()
    if chronicle.TURN_S == TICK_S:
        whole.rooms.outputs._pace = structs.replace(whole.rooms.outputs._pace, pulse_s=TICK_S)
    await whole.store.add_uplink(UPLINK)
    await asyncio.sleep(TICK_S)
    try:
        yield _Lived(whole, ears, state)
    finally:
        if not running.done():
            whole.stop()
        await running


def _site(kept_days: dict[str, int]) -> str:
    flats = range(FLATS)
    return SITE.format(
        places="\n".join(f"  b1/s1/{n}: Flat {n}" for n in ("", *flats)).replace("b1/s1/: Flat ", "b1/s1: Stair 1"),
        devices="\n".join(
            f"      air-{n}: {{ profile: air-adtek, unit_id: {n + 1}, place: b1/s1/{n} }}" for n in flats
        ),
        buttons="\n".join(f'  pb-{n}: {{ address: "{_address(n)}", place: b1/s1/{n} }}' for n in flats),
        retention=", ".join(f"{name}: {days}d" for name, days in kept_days.items()),
    )


def _address(n: int) -> str:
    return f"A4:C1:38:00:02:{n:02X}"


def _air() -> Iterator[Reading]:
    """Restless air, each step as large as what report by exception lets through."""
    dice = random.Random(7)
    while True:
        flat = f"air-{dice.randrange(FLATS)}"
        yield Reading(flat, "co2", dice.randrange(500, 700, 25))
        yield Reading(flat, "temperature", dice.randrange(20, 25))
        yield Reading(flat, "humidity", dice.randrange(50, 70, 2))


async def _alert(lived: _Lived, button: SimButton, name: str, minutes: float) -> None:
    """A press, and after a while its end."""
    lived.ears.press(button)
    await asyncio.sleep(60 * minutes)
    raised = [one.id for one in lived.house.engine.alerts() if (one.rule, one.subject) == ("sos", name)]
    assert len(raised) == 1, f"{len(raised)} alerts of a press at {name}"
    said = {"alert": raised[0], "who": "head", "mistaken": True, "reason": "spoken to"}
    await lived.house.desk.answer(Request("close", said), US)


async def _deliver(lived: _Lived, register: Register) -> None:
    """Take everything, as a broker that is there does, and hand it to whoever counts alerts."""
    for lane in LANES:
        while messages := await lived.house.store.take(UPLINK, lane, 100):
            await lived.house.store.advance(UPLINK, lane, messages[-1].sequence)
            for message in messages:
                register.take(message.body)


# Growth ------------------------------------------------------------------------------------------------


async def _year(folder: Path, budget: Budget, row: Row) -> None:
    share = min(1.0, budget.trials / YEAR)
    kept = {name: max(LEAST_DAYS[name], round(days * share)) for name, days in KEPT_DAYS.items()}
    until, sizes, register = time.monotonic() + budget.seconds, list[Sizes](), Register()
    async with _living(folder, kept) as lived:
        buttons, air = [SimButton(_address(n)) for n in range(FLATS)], _air()
        for day in range(budget.trials):
            await _day(lived, buttons, day, air, register)
            sizes.append(_sizes(lived.state))
            row.trials += 1
            if time.monotonic() > until:
                row.notes.append(f"ended after {row.trials} of {budget.trials} days")
                break
        if lived.house.store.mode != "disk":
            row.wrong.append("the store gave up its disk")
        pruned = {name: n for name, n in lived.house.counts().items() if "pruned" in name}
    shown = sorted({min(len(sizes), max(1, round(day * share))) for day in SHOWN_AT})
    row.notes += [f"day {day}: {sizes[day - 1]}" for day in shown]
    row.notes.append(f"kept for days: {kept}; {pruned}")
    register.close_account(row)
    _judge(row, sizes, kept)


async def _day(lived: _Lived, buttons: list[SimButton], day: int, air: Iterator[Reading], register: Register) -> None:
    """A day's readings, presses and their ends."""
    for n in range(ALERTS_A_DAY):
        for _ in range(READINGS_A_DAY // ALERTS_A_DAY):
            lived.house.inbox.report(next(air))
        flat = (day * ALERTS_A_DAY + n) % FLATS
        register.caused["sos", f"pb-{flat}"] += 1
        await _alert(lived, buttons[flat], f"pb-{flat}", minutes=30)
        await _deliver(lived, register)
        await asyncio.sleep(86_400 / ALERTS_A_DAY - 30 * 60)


def _sizes(state: Path) -> Sizes:
    files = {path.name: path.stat().st_size for path in state.rglob("*") if path.is_file()}
    by_name = [
        sum(size for name, size in files.items() if name.startswith(stem)) for stem in ("loudong.", "telemetry.")
    ]
    return Sizes(*by_name, sum(files.values()))


def _judge(row: Row, sizes: list[Sizes], kept: dict[str, int]) -> None:
    """From when all that is kept has been kept for its time, the files are as large as they will be."""
    grown_up = max(kept.values()) + max(2, len(sizes) // 20)
    if len(sizes) <= grown_up:
        row.wrong.append(
            f"growth is not judged: it ended with day {len(sizes)}, and only from day {grown_up + 1} on nothing may grow"
        )
        return
    for name, before, after in zip(Sizes._fields, sizes[grown_up], sizes[-1], strict=True):
        if after > before * MAY_GROW + SLACK_BYTES:
            row.wrong.append(f"{name} grew from {before} bytes on day {grown_up + 1} to {after} on day {len(sizes)}")


# Wear --------------------------------------------------------------------------------------------------


async def _wear(folder: Path, row: Row) -> None:
    async with _living(folder, KEPT_DAYS) as lived:
        air, before = _air(), lived.house.store.written_bytes
        for _ in range(WORN_HOURS * 3600):
            for _ in range(TRUE_READINGS_A_DAY // 86_400):
                lived.house.inbox.report(next(air))
            await asyncio.sleep(1)
        day_mb = (lived.house.store.written_bytes - before) * 24 / WORN_HOURS / 1e6
        before = lived.house.store.written_bytes
        for n in range(FLATS):
            await _alert(lived, SimButton(_address(n)), f"pb-{n}", minutes=1)
            await _deliver(lived, Register())
        spent = (lived.house.store.written_bytes - before) / FLATS
    if not day_mb:
        row.notes.append("bytes to the disk are not counted here: it is memory, or the kernel does not say")
        return
    row.notes.append(f"a quiet day of {FLATS} flats writes {day_mb:.1f} MB ({WORN_HOURS} h, scaled)")
    row.notes.append(f"an alert from press to end writes {spent / 1000:.1f} kB (with a quiet minute in it)")
    if day_mb + ALERTS_A_DAY * spent / 1e6 > BUDGET_MB_A_DAY:
        row.wrong.append(f"more than {BUDGET_MB_A_DAY:g} MB a day")
