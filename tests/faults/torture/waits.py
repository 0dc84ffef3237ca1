"""kill -9 while something waits: an on-delay that must not begin anew, one that must end with its cause, and a shelf with its end.

The air is stale for longer than a rule's delay, and hot for less; a stranger's alert is shelved for some seconds. Meanwhile the daemon
is killed again and again, so that no life is as long as the delay. The downtime of a killed process is known: what was waiting goes on.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from .rows import Budget, Row
from .stage import READ, Stage

DELAY_S = SHELVED_S = 16.0
_RULE = """  - rule: {name}
    subjects: {{ kind: air-sensor }}
    when: {{ point: {when} }}
    on_delay: {delay:g}s
    priority: medium
    grade: small
    text: {{ zh: 空气, en: The air }}
"""
_CAUSES = {"stuffy": "co2, above: 1500 ppm", "hot": "temperature, above: 40 °C"}
CO2_PPM, TEMPERATURE = 5, 0
"""Registers of the air sensor in the hall; the temperature in tenths."""
GOOD, BAD = {CO2_PPM: 480, TEMPERATURE: 223}, {CO2_PPM: 1900, TEMPERATURE: 450}
ON_DISK_S = 4.0
"""Quiet readings are committed within a second, and a busy machine's disk has the rest: one that was not is read anew by the next life,
and waits anew, rightly.
"""
UP_TO_KILL_S, DOWN_S = 3.0, 1.0
EARLY_S, ANEW_S = 0.05, 4.0
"""A delay that began anew with the second life or later would end this much late: a kill comes after ``ON_DISK_S`` at the soonest."""
STUFFY, HOT, STRANGER = ("stuffy", "air-hall"), ("hot", "air-hall"), ("stranger", "gate-1")


def _rules() -> str:
    return "rules:\n" + "".join(_RULE.format(name=name, when=when, delay=DELAY_S) for name, when in _CAUSES.items())


async def waiting(folder: Path, budget: Budget, *entry: str) -> Row:
    """A trial is a kill; a round ends when all that waited has come. ``entry``: another way to start the daemon."""
    row, dice = Row(), budget.dice()
    async with Stage(folder, ("rules:\n", _rules()), seed=budget.seed) as stage:
        await stage.live(*entry)
        for _ in budget.rounds():
            await _round(stage, dice, row, entry)
            await stage.close_all({"stuffy", "hot", "stranger"})
        return stage.close_account(row)


async def _round(stage: Stage, dice: random.Random, row: Row, entry: tuple[str, ...]) -> None:
    loop = asyncio.get_running_loop()
    stage.stranger()
    await stage.all_heard()
    (stranger,) = [alert for alert, kind in stage.open.items() if kind == STRANGER]
    returned, heat = stage.changes(*STUFFY).count("returned"), len(stage.raised[HOT])
    stage.cause(*STUFFY)
    began, read = await _breathe(stage, BAD)
    asked, shelf = loop.time(), {"for_s": SHELVED_S, "reason": "waiting"}
    reply = await stage.answered("shelve", stranger, command_id=f"shelve-{stranger}", **shelf)
    if not reply["accepted"]:
        row.wrong.append(f"a shelf was refused: {reply}")
    await asyncio.sleep(max(0.0, read + ON_DISK_S - loop.time()))
    killed = await _kill(stage, dice, row, entry)
    _, cooled = await _breathe(stage, BAD | {TEMPERATURE: GOOD[TEMPERATURE]})
    await asyncio.sleep(ON_DISK_S)
    while loop.time() < max(began + DELAY_S, asked + SHELVED_S):
        if "unshelved" in _changes(stage, stranger):
            row.wrong.append("the shelf ended early")
        await asyncio.sleep(dice.uniform(0, UP_TO_KILL_S))
        killed = await _kill(stage, dice, row, entry)
    await stage.until_heard_since(killed, row)
    await stage.until(lambda: "unshelved" in _changes(stage, stranger), "the shelf ends")
    await _judge_delay(stage, row, began, read)
    if cooled > began + DELAY_S - ON_DISK_S:
        stage.brings(*HOT)
        row.notes.append("heat is not judged: no life read in time that it was over")
    elif len(stage.raised[HOT]) > heat:
        row.wrong.append("heat for less than the delay was told")
    if (times := _changes(stage, stranger).count("unshelved")) != 1:
        row.wrong.append(f"a shelf ended {times} times")
    stage.world.air_hall.holding.update(GOOD)
    await stage.alert(*STUFFY, "returned", times=returned + 1)


async def _breathe(stage: Stage, air: dict[int, int]) -> tuple[float, float]:
    """The air is like this from now on; when that was, and when somebody had certainly read all of it."""
    unit, loop = stage.world.air_hall, asyncio.get_running_loop()
    unit.holding.update(air)
    began, seen = loop.time(), len(unit.requests)

    def read() -> bool:
        asked = [range(at, at + count) for function, at, count in unit.requests[seen:] if function in READ]
        return all(any(register in registers for registers in asked) for register in air)

    await stage.until(read, "the air is read")
    return began, loop.time()


async def _kill(stage: Stage, dice: random.Random, row: Row, entry: tuple[str, ...]) -> float:
    """And live again; when it was killed."""
    await stage.kill()
    killed = asyncio.get_running_loop().time()
    row.trials += 1
    await asyncio.sleep(dice.uniform(0, DOWN_S))
    await stage.live(*entry)
    return killed


def _changes(stage: Stage, alert: str) -> list[str]:
    return [one.body["data"]["change"] for one in stage.office.arrivals if one.alert == alert]


async def _judge_delay(stage: Stage, row: Row, began: float, read: float) -> None:
    """By the age that the daemon says, which goes by the machine's uptime, not by when a life came to tell it."""
    loop = asyncio.get_running_loop()
    asked = loop.time()
    said = {(item["rule"], item["subject"]): item["age_s"] for item in (await stage.loudong("alerts")).items}
    age, answered = said.get(STUFFY), loop.time()
    if age is None:
        row.wrong.append("stale air is told and not known")
    elif answered - age < began + DELAY_S - EARLY_S:
        row.wrong.append(f"stale air was told after {answered - age - began:.2f} s")
    elif asked - age > read + DELAY_S + ANEW_S:
        row.wrong.append(f"the delay began anew: {asked - age - read:.2f} s after the air was read")
