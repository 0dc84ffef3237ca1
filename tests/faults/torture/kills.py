"""kill -9 of the real process: at random instants, at every named place of the order of deeds, and in a drain.

In each life some buttons are pressed and a terminal speaks, the daemon is killed, and the next life must bring all of it to the
receiver, once and in order. A press is repeated on the air until one life has listened for two seconds: what is lost is lost by
the gateway, not by a button that fell silent while nobody was there.
"""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

from faults.test_faults_process import CRASHING

from .rows import Budget, Row
from .stage import Stage

PRESSES = 4
PLACES = "handled", "committed", "sent", "puback", "arrived", "advanced"
PRESS_TO_KILL_S = 1.5
START_TO_KILL_S = 1.5
STARTS = 5
"""Every so many-th life is killed while it starts."""


async def anywhere(folder: Path, budget: Budget) -> Row:
    """At a random instant after a press, and sometimes of the start."""
    row, dice = Row(), budget.dice()
    async with Stage(folder, seed=budget.seed) as stage:
        await stage.up()
        for n in budget.rounds():
            stage.press_some(PRESSES, held=True)
            stage.stranger()
            await asyncio.sleep(dice.uniform(0, PRESS_TO_KILL_S))
            await stage.kill()
            if n % STARTS == 0:
                await stage.start(waiting=False)
                await asyncio.sleep(dice.uniform(0, START_TO_KILL_S))
                await stage.kill()
                row.trials += 1
            killed = asyncio.get_running_loop().time()
            await stage.up()
            await stage.until_heard_since(killed, row)
            await stage.close_all()
            row.trials += 1
        return stage.close_account(row)


async def between_deeds(folder: Path, budget: Budget) -> Row:
    """At the n-th passage of each place; the life after it sets all right."""
    row, dice, missed = Row(), budget.dice(), 0
    async with Stage(folder, seed=budget.seed) as stage:
        for _, place in zip(budget.rounds(), itertools.cycle(PLACES), strict=False):
            await stage.up(CRASHING, place, "sos", str(dice.randint(1, PRESSES)))
            stage.press_some(PRESSES, held=True)
            stage.stranger()
            try:
                await stage.died(8)
            except TimeoutError:
                missed += 1
                await stage.kill()
            killed = asyncio.get_running_loop().time()
            await stage.up()
            await stage.until_heard_since(killed, row)
            await stage.close_all()
            await stage.kill()
            row.trials += 1
        if missed:
            row.notes.append(f"{missed} of {row.trials} did not come by their place and were killed from outside")
        return stage.close_account(row)


async def draining(folder: Path, budget: Budget) -> Row:
    """Alerts gather while the broker is away; then it is killed again and again while they leave."""
    row, dice = Row(), budget.dice()
    async with Stage(folder, seed=budget.seed) as stage:
        await stage.up()
        for n in budget.rounds():
            stage.stranger()
            await stage.all_heard()
            (stranger,) = [alert for alert, (rule, _) in stage.open.items() if rule == "stranger"]
            await asyncio.to_thread(stage.broker.stop)
            stage.press_some(PRESSES, held=True)
            await stage.fidget(stranger, 40)
            await asyncio.sleep(1)
            await asyncio.to_thread(stage.broker.start)
            for _ in range(3):
                await stage.until(stage._online, "it is back at the broker")
                await asyncio.sleep(dice.uniform(0, 0.3))
                await stage.kill()
                killed = asyncio.get_running_loop().time()
                await stage.start(waiting=False)
                row.trials += 1
            await stage.until_heard_since(killed, row)
            await stage.alert("stranger", "gate-1", "unshelved", times=40 * (n + 1))
            await stage.close_all()
        return stage.close_account(row)
