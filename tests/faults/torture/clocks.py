"""Wrong clocks under the whole house on virtual time: real store, real Modbus on loopback, hours and days in seconds.

Gas rises, nobody answers, and the ladder must climb at its own times by the machine's uptime, whatever the wall clock does
meanwhile: no rung early, none late by more than a look, none twice, none skipped; one alert, raised once. All of it is judged by
what a receiver behind the shipped uplink was told (``taker.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from app.living import Living
from instruments.virtual import virtual_run

from gateway.instant import HOUR, MINUTE

from .register import Diary
from .rows import Budget, Row
from .taker import Taker

DAY, YEAR = 24 * HOUR, 365 * 24 * HOUR
CLIMB_S = {"grid": 120, "community": 1200, "street": 2400, "district": 3600}
"""The ladder of ``app.living``."""
LOOK_S = 5
LEAK = 26
GAS = "gas-high", "gas-301"
CAUSED = GAS, ("gas-low", "gas-301")
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
async def _told(folder: Path, wall: Callable[[Living], None]) -> AsyncIterator[tuple[Living, Diary]]:
    """The house, and a receiver; gas at flat 301 is told when the block begins."""
    diary = Diary()
    async with Taker(diary) as taker:

        def before(living: Living) -> None:
            living.edit("outputs:\n", f"{taker.uplink}outputs:\n")
            wall(living)

        async with Living(folder, before=before) as living:
            await asyncio.sleep(30)
            diary.caused.update(CAUSED)
            living.gas[1].holding[1] = LEAK
            await living.until(lambda: not diary.missing(), "the alerts are there")
            yield living, diary


async def _climb(folder: Path, wall: Callable[[Living], None], wrong: Wrong, dice: random.Random, row: Row) -> None:
    loop = asyncio.get_running_loop()
    async with _told(folder, wall) as (living, diary):
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
        dated = {kind: diary.changes(kind).count("dated") for kind in CAUSED}
        if any(times != (wrong is _synchronise) for times in dated.values()):
            row.wrong.append(f"dated revisions: {dated}")
    diary.close_account(row)
    row.trials += 1


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
