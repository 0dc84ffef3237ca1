"""A bug in each worker of both rings and in the core itself, with presses around it.

A service worker with a bug is restarted (one that keeps failing is an alert); a life worker with a bug ends the process, and the next life (here
as systemd would give it) goes on. An event that broke the core is put aside; after three crashes life safety runs alone.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from .rows import Budget, Row
from .stage import Stage

BREAKING = str(Path(__file__).parents[1] / "breaking.py")
SERVICE = "uplink-street", "doors", "chronicle", "control"
LIFE = "bus-line", "radio", "outputs", "store", "core", "timekeeper", "bus-net", "bus-peer"
AFTER_S = 2.0
PRESSES = 2
CO2_PPM = 5
"""Register of the air sensor in the hall."""


async def service(folder: Path, budget: Budget) -> Row:
    """Each service worker raises once."""
    row = Row()
    async with Stage(folder) as stage:
        for n, worker in zip(budget.rounds(), SERVICE, strict=False):
            await stage.up(BREAKING, "worker", worker, str(AFTER_S))
            stage.press_some(PRESSES, held=True)
            broken = asyncio.get_running_loop().time()
            mark = f'{{"worker": "{worker}", "reason": "crashed"'
            await stage.until(lambda m=mark: m in stage.log_text(), f"{worker} fails")
            stage.press_some(PRESSES)
            stage.stranger()
            await stage.until_heard_since(broken, row)
            if not stage.alive:
                row.wrong.append(f"a bug in {worker} ended the process")
                continue
            await stage.close_all()
            await stage.stop()
            row.trials = n + 1
        return stage.close_account(row)


async def life(folder: Path, budget: Budget) -> Row:
    """Each life worker raises once; the process ends by it and is started again."""
    row = Row()
    async with Stage(folder) as stage:
        for n, worker in zip(budget.rounds(), LIFE, strict=False):
            await stage.up(BREAKING, "worker", worker, str(AFTER_S))
            stage.press_some(PRESSES, held=True)
            stage.stranger()
            code = await stage.died(30)
            if code == 0:
                row.wrong.append(f"a bug in {worker} ended the process as if nothing were")
            died = asyncio.get_running_loop().time()
            (stage.world.state / "crashes.json").unlink(missing_ok=True)  # each worker is a story of its own
            await stage.up()
            await stage.until_heard_since(died, row)
            await stage.close_all()
            await stage.kill()
            row.trials = n + 1
        return stage.close_account(row)


async def core(folder: Path, budget: Budget) -> Row:
    """Three readings break ``handle``, one a life: each is put aside; after the third, life safety alone; all presses are heard."""
    row, entry = Row(), (BREAKING, "core", "co2", "1300,1999")
    for n in budget.rounds():
        async with Stage(folder / str(n)) as stage:
            await stage.up(*entry)
            for crash in range(3):
                stage.press_some(PRESSES, held=True)
                stage.world.air_hall.holding[CO2_PPM] = 1300 + 200 * crash
                await stage.died(30)
                died = asyncio.get_running_loop().time()
                await stage.up(*entry)
                await stage.until_heard_since(died, row)
                if not stage.alive:
                    row.wrong.append("the event that broke the core broke it again")
                    break
            told = stage.raised.get(("part-failing", "worker-core"))
            if not told:
                row.wrong.append("nobody was told of the core")
            stage.press_some(PRESSES)
            await stage.all_heard()
            await stage.until(lambda s=stage: s.world.siren_on, "the siren sounds by the built-in rules")
            one = stage.close_account(Row(trials=1))
            one.trials = 1
            row += one
    return row
