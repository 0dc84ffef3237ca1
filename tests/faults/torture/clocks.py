"""Wrong clocks under the whole house on virtual time: real store, real Modbus on loopback, hours and days in seconds.

Gas rises, nobody answers, and the ladder must climb at its own times by the machine's uptime, whatever the wall clock does
meanwhile: no rung early, none late by more than a look, none twice, none skipped; one alert, raised once. Beside it wait an on-delay,
one whose cause ends before, a shelf, and an absence: each must end once and at its time. All of it is judged by what a receiver
behind the shipped uplink was told (``taker.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from app.living import Living
from instruments.virtual import virtual_run

from gateway.control.protocol import Request
from gateway.instant import HOUR, MINUTE

from .register import Diary, Kind
from .rows import Budget, Row
from .soak import US
from .taker import Taker

DAY, YEAR = 24 * HOUR, 365 * 24 * HOUR
CLIMB_S = {"grid": 120, "community": 1200, "street": 2400, "district": 3600}
"""The ladder of ``app.living``."""
LOOK_S = 5
LEAK = 26
GAS, LOW = ("gas-high", "gas-301"), ("gas-low", "gas-301")
CAUSED = GAS, LOW
STUFFY, HOT, COOL = ("stuffy", "air-hall"), ("hot", "air-hall"), ("cool", "air-hall")
DELAY_S, HEAT_S, SHELVED_S, ABSENT_S = 1800, 1200, 1500, 2100
AIR_S = 40
"""Until a change of the air is surely read: it is asked for every 30 s."""
CO2, TEMPERATURE = 5, 0
"""Registers of the air sensor; the temperature in tenths."""
_RULE = """
  - rule: {}
    subjects: {{ kind: air-sensor }}
    when: {}
    priority: medium
    grade: small
    text: {{ zh: 空气, en: The air }}
"""
_HEAT = "{ point: temperature, above: 40 °C }"
RULES = "rules:" + "".join(
    _RULE.format(name, when)
    for name, when in {
        "stuffy": f"{{ point: co2, above: 1500 ppm }}\n    on_delay: {DELAY_S}s",
        "hot": f"{_HEAT}\n    on_delay: {DELAY_S}s",
        "cool": f"{{ absent: {_HEAT}, for: {ABSENT_S}s }}",
    }.items()
)
Due = dict[tuple[Kind, str], tuple[float, float] | None]
"""Of an alert and a change of it: the first and the last moment at which it may be told, by the loop's time; None: never."""
Wrong = Callable[[Living, random.Random], None]


def _steps(*milliseconds: int) -> Wrong:
    return lambda living, dice: living.clock.step_wall(dice.choice(milliseconds))


def _synchronise(living: Living, _dice: random.Random) -> None:
    living.clock.synchronise()


def _story(wall: Callable[[Living], None], wrong: Wrong) -> Callable[[Path, Budget], Row]:
    """``wall``: before the start; ``wrong``: at random moments of the climb."""

    def run(folder: Path, budget: Budget) -> Row:
        row, dice = Row(), budget.dice()
        for n in budget.rounds():
            (home := folder / str(n)).mkdir()
            virtual_run(_climb(home, wall, wrong, dice, row), patience_s=0.0)
        return row

    return run


@contextlib.asynccontextmanager
async def _told(folder: Path, wall: Callable[[Living], None], rules: str = "") -> AsyncIterator[tuple[Living, Diary]]:
    """The house, and a receiver; gas at flat 301 is told when the block begins."""
    diary = Diary()
    async with Taker(diary) as taker:

        def before(living: Living) -> None:
            living.edit("outputs:\n", f"{taker.uplink}{rules}outputs:\n")
            wall(living)

        async with Living(folder, before=before) as living:
            await asyncio.sleep(30)
            diary.caused.update(CAUSED)
            living.gas[1].holding[1] = LEAK
            await living.until(lambda: not diary.missing(), "the alerts are there")
            yield living, diary


async def _climb(folder: Path, wall: Callable[[Living], None], wrong: Wrong, dice: random.Random, row: Row) -> None:
    loop = asyncio.get_running_loop()
    async with _told(folder, wall, RULES) as (living, diary), _waits(living, diary) as due:
        raised, moments = loop.time(), sorted(dice.uniform(1, 3700) for _ in range(4))
        for at, what in sorted([(m, "") for m in moments] + [(s, rung) for rung, s in CLIMB_S.items()]):
            await asyncio.sleep(max(0.0, raised + at - LOOK_S - loop.time()))
            if not what:
                wrong(living, dice)
                continue
            if what in diary.rungs(GAS):
                row.wrong.append(f"{what} was told early")
            await asyncio.sleep(2 * LOOK_S)
            if what not in diary.rungs(GAS):
                row.wrong.append(f"{what} was not told in time")
        if diary.rungs(GAS) != ["building", *CLIMB_S] or diary.changes(GAS).count("told") != 1 + len(CLIMB_S):
            row.wrong.append(f"rungs told: {diary.rungs(GAS)}, {diary.changes(GAS)}")
        judge_waits(diary, due, row)
        dated = {kind: diary.changes(kind).count("dated") for kind in CAUSED}
        if any(times != (wrong is _synchronise) for times in dated.values()):
            row.wrong.append(f"dated revisions: {dated}")
    diary.close_account(row)
    row.trials += 1


@contextlib.asynccontextmanager
async def _waits(living: Living, diary: Diary) -> AsyncIterator[Due]:
    """The air is stale from now on, and hot for a while; the lower of the two gas alerts is shelved. When each of that must end."""
    loop, air = asyncio.get_running_loop(), living.air.holding
    diary.caused.update([STUFFY, COOL])
    began = loop.time()
    air[CO2], air[TEMPERATURE] = 1900, 450
    cooling = loop.call_later(HEAT_S, air.__setitem__, TEMPERATURE, 223)
    shelf = {"alert": living.open()[LOW].id, "who": "head", "reason": "aired", "for": f"{SHELVED_S}s"}
    await living.house.desk.answer(Request("shelve", shelf), US)
    shelved = loop.time()
    try:
        yield {
            (STUFFY, "raised"): (began + DELAY_S, began + DELAY_S + AIR_S),
            (HOT, "raised"): None,
            (COOL, "raised"): (began + HEAT_S + ABSENT_S, began + HEAT_S + ABSENT_S + AIR_S),
            (LOW, "unshelved"): (shelved + SHELVED_S, shelved + SHELVED_S + LOOK_S),
        }
    finally:
        cooling.cancel()


def judge_waits(diary: Diary, due: Due, row: Row) -> None:
    """Each once, none early or late, and none that must not be."""
    for (kind, change), window in due.items():
        told = [at for what, at in diary.steps[diary.alert(kind)] if what == change]
        if len(told) != (window is not None) or (window is not None and not window[0] <= told[0] <= window[1]):
            row.wrong.append(f"{kind[0]} was {change} at {told}, not within {window}")


def unknown_downtime(folder: Path, budget: Budget) -> Row:
    """The machine goes down in the middle of a climb and comes up without knowing for how long: no rung is skipped or told twice."""
    row, dice = Row(), budget.dice()
    for n in budget.rounds():
        (home := folder / str(n)).mkdir()
        virtual_run(_go_down(home, dice, row), patience_s=0.0)
    return row


async def _go_down(folder: Path, dice: random.Random, row: Row) -> None:
    async with _told(folder, _as_it_is) as (living, diary):
        await asyncio.sleep(dice.uniform(0, 2400))
        told = diary.rungs(GAS)
        await living.stop()
        downtime = dice.choice([MINUTE, HOUR, DAY, 30 * DAY])
        living.clock.reboot(-downtime, downtime)
        await living.start()
        await asyncio.sleep(LOOK_S)
        at_once = diary.rungs(GAS)
        if at_once[: len(told)] != told or len(at_once) > len(told) + 1:
            row.wrong.append(f"at the start: from {told} to {at_once}")
        await asyncio.sleep(3700)
        if diary.rungs(GAS) != ["building", *CLIMB_S]:
            row.wrong.append(f"at the end: {diary.rungs(GAS)}")
    diary.close_account(row)
    row.trials += 1


def _as_it_is(_living: Living) -> None:
    """The clock is right, and known to be."""


def _wall(wall_ms: int) -> Callable[[Living], None]:
    def unsynchronised(living: Living) -> None:
        living.clock.synced = False
        living.clock.set_wall(wall_ms)

    return unsynchronised


def _last_month(living: Living) -> None:
    living.clock.synced = False
    living.clock.step_wall(-30 * DAY)


def _uptime(living: Living) -> None:
    living.clock._start_ms -= 300 * DAY


FAULTS = {
    "boot-in-1970": _story(_wall(10_000), _synchronise),
    "boot-last-month": _story(_last_month, _synchronise),
    "steps-by-hours": _story(_as_it_is, _steps(HOUR, -HOUR, 5 * HOUR, -5 * HOUR, 2 * MINUTE, -2 * MINUTE)),
    "steps-by-years": _story(_as_it_is, _steps(YEAR, -YEAR, 20 * YEAR, -20 * YEAR)),
    "unknown-downtime": unknown_downtime,
    "months-of-uptime": _story(_uptime, _steps(HOUR, -HOUR)),
}
