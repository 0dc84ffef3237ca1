"""kill -9 of the real process: at random instants, at every named place of the order of deeds, and in a drain.

In each life some buttons are pressed and a terminal speaks, the daemon is killed, and the next life must bring all of it to the
receiver, once and in order. A press is repeated on the air until one life has listened for two seconds: what is lost is lost by
the gateway, not by a button that fell silent while nobody was there. Old presses of the encrypted button are sent again to each
new life; an alert of one would be one too many, and counts as doubled.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from faults.test_faults_process import CRASHING

from .between import Between
from .rows import Budget, Row
from .stage import PATIENCE_S, READ, SINGLE, WRITTEN, Stage

PRESSES = 4
DRAIN_BYTES_PER_S = 60_000.0
"""The hundred messages of a drain take two seconds or more, so that three kills find it under way."""
PRESS_TO_KILL_S = 1.5
START_TO_KILL_S = 1.5
STARTS = 5
"""Every so many-th life is killed while it starts."""
TO_ITS_PLACE_S = 8.0
GAS = frozenset({"gas-high", "gas-low"})


async def anywhere(folder: Path, budget: Budget) -> Row:
    """At a random instant after a press, and sometimes of the start."""
    row, dice = Row(), budget.dice()
    async with Stage(folder, seed=budget.seed) as stage:
        await stage.live()
        await stage.record()
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
            await stage.live()
            await stage.replay()
            await stage.until_heard_since(killed, row)
            await stage.close_all()
            row.trials += 1
        return stage.close_account(row)


# Between two deeds ------------------------------------------------------------------------------------


class Life:
    """One life with a crash built in, and what is asked of the next."""

    def __init__(self, stage: Stage, place: str, dice: random.Random, row: Row, *, first: bool = False) -> None:
        self.stage, self.place, self.dice, self.row, self.first = stage, place, dice, row, first
        self.came = False
        """Whether it came by its place."""
        self.seen = self.sirens = 0

    async def begin(self, rule: str = "", passages: int = 1) -> None:
        """It may be over before it listens to anybody."""
        await self.stage.up(CRASHING, self.place, rule, str(passages))

    async def end(self) -> None:
        """At its place; else from outside. Whatever is pressed comes by the first passage, however long it takes."""
        self.came = await self.stage.fell(PATIENCE_S if self.first else TO_ITS_PLACE_S)
        self.wrong("nobody came by", unless=self.came or not self.first)

    def passage(self, last: int) -> int:
        return 1 if self.first else self.dice.randint(1, last)

    async def next(self) -> None:
        """The life after it, without a crash."""
        self.seen, self.sirens = len(self.stage.world.relay.requests), len(self.stage.siren_at)
        killed = asyncio.get_running_loop().time()
        await self.stage.live()
        await self.stage.replay()
        await self.stage.until_heard_since(killed, self.row)

    def wrong(self, what: str, *, unless: bool) -> None:
        if not unless:
            self.row.wrong.append(f"{self.place}: {what}")

    def judge_looks(self) -> None:
        """Each output was read before it was written."""
        blind = written_unread(self.stage.world.relay.requests[self.seen :])
        self.wrong(f"outputs were written before they were read: {blind}", unless=not blind)

    def judge_silence(self) -> None:
        self.wrong("a silenced siren sounded again", unless=len(self.stage.siren_at) == self.sirens)

    def judge_answer(self, alert: str) -> None:
        told = [one.body["data"]["change"] for one in self.stage.office.arrivals if one.alert == alert]
        self.wrong(f"acknowledged {told.count('acknowledged')} times", unless=told.count("acknowledged") == 1)


def written_unread(requests: Sequence[tuple[int, int, int]]) -> list[int]:
    """Addresses of a relay board that were written before they were read; -1 where nothing was ever read.

    ``requests``: (function, address, count or value), from the start of a life on.
    """
    known, blind = set[int](), list[int]()
    for function, address, count in requests:
        touched = range(address, address + (1 if function in SINGLE else count))
        if function in READ:
            known.update(touched)
        elif function in WRITTEN:
            blind += [one for one in touched if one not in known]
    return blind if known else [*blind, -1]


async def _press(life: Life) -> None:
    stage = life.stage
    await life.begin("sos", life.passage(PRESSES))
    stage.press_some(PRESSES, held=True)
    stage.stranger()
    await life.end()
    await life.next()


async def _leak(life: Life) -> None:
    """A leak shuts the valve; the life after it is killed, too, once the alert is answered and the siren silent."""
    stage, world = life.stage, life.stage.world
    stage.open_valve_by_hand()
    wanted = len(world.world.site.outputs) + life.passage(2)  # each output is wanted once at the start
    await life.begin("", wanted if life.place == "wanted" else 1)
    for rule in sorted(GAS):
        stage.cause(rule, "gas-301")
    world.leak("gas-301", 26)
    await life.end()
    await life.next()
    await stage.until(lambda: world.valve_shut and world.siren_on, "shut, and loud")
    life.judge_looks()
    alert = stage.raised["gas-high", "gas-301"][-1]
    reply = await stage.answered("ack", alert, on_site=True, command_id=f"ack-{alert}")
    life.wrong(f"the answer was refused: {reply}", unless=reply["accepted"])
    await stage.until(lambda: not world.siren_on, "silent")
    await stage.kill()
    await life.next()
    returned = stage.changes("gas-high", "gas-301").count("returned")
    world.leak("gas-301", 0)
    await stage.alert("gas-high", "gas-301", "returned", times=returned + 1)
    life.judge_looks()
    life.judge_silence()
    life.judge_answer(alert)
    life.wrong("the valve is open", unless=world.valve_shut)


async def _answer(life: Life) -> None:
    """Somebody answers a press while the siren sounds, and hears nothing of it before the next life."""
    stage = life.stage
    await life.begin()
    (button,) = stage.press_some(1, held=True)
    await stage.all_heard()
    await stage.until(lambda: stage.world.siren_on, "it sounds")
    alert = stage.raised["sos", button][-1]
    answer = {"on_site": True, "command_id": f"ack-{alert}"}
    asking = asyncio.create_task(stage.command("ack", alert, **answer))
    await life.end()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await life.next()
    reply = await stage.answered("ack", alert, **answer)
    life.wrong(f"the answer was refused: {reply}", unless=reply["accepted"])
    await stage.until(lambda: not stage.world.siren_on, "silent")
    await stage.until(lambda: stage.changes("sos", button)[-1:] == ["acknowledged"], "the answer is told")
    life.judge_looks()
    life.judge_silence()
    life.judge_answer(alert)


PLACES: dict[str, Callable[[Life], Awaitable[None]]] = {
    "handled": _press,
    "wanted": _leak,
    "committed": _press,
    "command": _answer,
    "sent": _press,
    "puback": _press,
    "written": _leak,
    "arrived": _press,
    "hushed": _answer,
    "advanced": _press,
}
"""Place of ``crashing.py`` -> what makes a life come by it."""


async def between_deeds(folder: Path, budget: Budget) -> Row:
    """At the n-th passage of each place; the life after it sets all right. One that did not come so far tries the first."""
    row, dice = Row(), budget.dice()
    places = list(PLACES.items())
    dice.shuffle(places)  # a job with few trials is no stranger to the last ones
    async with Stage(folder, seed=budget.seed) as stage:
        await stage.live()
        await stage.record()
        await stage.kill()
        for _, (place, story) in zip(budget.rounds(), itertools.cycle(places), strict=False):
            for first in (False, True):
                life = Life(stage, place, dice, row, first=first)
                await story(life)
                await stage.close_all({"sos", "stranger", *GAS})
                await stage.kill()
                row.came_by(place, life.came)
                row.trials += life.came
                if life.came:
                    break
        return stage.close_account(row)


# While a backlog leaves -------------------------------------------------------------------------------


async def draining(folder: Path, budget: Budget) -> Row:
    """Alerts gather while the broker is away; then it is killed again and again while they leave, over a line that takes its time.

    A trial is a kill with something still to come.
    """
    row, dice, line = Row(), budget.dice(), Between(0)
    async with Stage(folder, seed=budget.seed, uplink_port=line.port) as stage, line:
        line._target = stage.broker.port
        await stage.live()
        for n in budget.rounds():
            stage.stranger()
            await stage.all_heard()
            (stranger,) = [alert for alert, (rule, _) in stage.open.items() if rule == "stranger"]
            await asyncio.to_thread(stage.broker.stop)
            stage.press_some(PRESSES, held=True)
            await stage.fidget(stranger, 40)
            await asyncio.sleep(1)
            line.bytes_per_s = DRAIN_BYTES_PER_S
            await asyncio.to_thread(stage.broker.start)
            for _ in range(3):
                await stage.until(stage._online, "it is back at the broker")
                await asyncio.sleep(dice.uniform(0, 0.3))
                await stage.kill()
                killed = asyncio.get_running_loop().time()
                under_way = stage.changes("stranger", "gate-1").count("unshelved") < 40 * (n + 1)
                row.came_by("under way", under_way)
                row.trials += under_way
                await stage.start(waiting=False)
            line.bytes_per_s = None
            await stage.all_heard()
            await stage.alert("stranger", "gate-1", "unshelved", times=40 * (n + 1))  # the last of the backlog
            row.recoveries_s.append(round(asyncio.get_running_loop().time() - killed, 3))
            await stage.close_all()
        return stage.close_account(row)
