"""kill -9 in the middle of a climb: rungs come at their own times, each once, none skipped, whoever lived meanwhile.

The downtime of a killed process is known (the machine ran on), so the restart policy asks for the rungs' own times: not early
by the site's timeline nor by the receiver's clock, and what fell into a downtime is told as soon as somebody lives again. One
alert of three is answered on its way, and climbs no further in whatever life. (An answer holds a minute at least, site file
``answer_by``: what comes of an answered one that nobody comes for is for tests on virtual time.)
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

from gateway.alerts import Rung

from .rows import Budget, Row
from .stage import Stage

DELAYS_S = {"building": 0, "grid": 2, "community": 4, "street": 6, "district": 8}
"""Of a critical alert, as in the site file."""
EARLY_S = 0.05
"""Two clocks are compared, and a body's ages are in milliseconds."""
UP_TO_KILL_S = 1.5
DOWN_S = 2.0
DUE_S = 30.0
"""So long a rung that is due may take to be told; a matter of the machine."""


class Climb:
    """One alert on its way up, seen from outside."""

    def __init__(self, stage: Stage, button: str) -> None:
        self.stage, self.button = stage, button
        self._before = len(stage.raised["sos", button])
        self.caused_at = asyncio.get_running_loop().time()
        self.answered = False
        self.heard_at: dict[str, float] = {}
        """Rung -> when the receiver first knew that it was told."""

    @property
    def alert(self) -> str:
        """Its id; empty while nobody heard of it."""
        return next(iter(self.stage.raised["sos", self.button][self._before :]), "")

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [one.body["data"] for one in self.stage.office.arrivals if one.alert == self.alert]

    @property
    def told(self) -> list[str]:
        return [step["rung"] for step in self.bodies[-1]["told"]] if self.bodies else []

    @property
    def over(self) -> bool:
        return self.answered or set(self.told) == set(DELAYS_S)

    def look(self) -> None:
        for rung in self.told:
            self.heard_at.setdefault(rung, asyncio.get_running_loop().time())

    async def answer(self) -> None:
        """Somebody takes it and does not come."""
        self.answered = True
        reply = await self.stage.answered("ack", self.alert, command_id=f"ack-{self.alert}")
        assert reply["accepted"], reply

    def faults(self) -> list[str]:
        """What was not as the ladder says, in words."""
        faults: list[str] = []
        before: list[str] = []
        for body in self.bodies:
            told = [step["rung"] for step in body["told"]]
            if told[: len(before)] != before:
                faults.append(f"told {told} after {before}")
            before = told
        top = len(self._told_when_answered) if self.answered else len(Rung)
        if before != [rung.value for rung in Rung][:top]:
            faults.append(f"climbed {before}{' and was answered' * self.answered}")
        return faults + self._early()

    @property
    def _told_when_answered(self) -> list[Any]:
        return next((list(body["told"]) for body in self.bodies if body["change"] == "acknowledged"), [])

    def _early(self) -> list[str]:
        if not self.bodies:
            return []
        first = self.bodies[-1]["told"][0]["age_s"]
        on_site = {step["rung"]: first - step["age_s"] for step in self.bodies[-1]["told"]}
        return [
            f"{rung} came after {on_site[rung]:.2f} s of the site and {heard - self.caused_at:.2f} s at the receiver"
            for rung, heard in self.heard_at.items()
            if min(on_site[rung], heard - self.caused_at) < DELAYS_S[rung] - EARLY_S
        ]


async def climbing(folder: Path, budget: Budget) -> Row:
    """Three presses one after the other; killed again and again until all have climbed to the top."""
    row, dice, late = Row(), budget.dice(), list[float]()
    async with Stage(folder, seed=budget.seed) as stage:
        await stage.live()
        for _ in budget.rounds():
            climbs: list[Climb] = []
            for _ in range(3):
                climbs += [Climb(stage, button) for button in stage.press_some(1, held=True)]
                await _live(climbs, dice.uniform(0.2, UP_TO_KILL_S))
            await _killed_on_the_way(stage, climbs, dice, row)
            for climb in climbs:
                row.wrong += [f"{climb.button}: {fault}" for fault in climb.faults()]
                late += [at - climb.caused_at - DELAYS_S[rung] for rung, at in climb.heard_at.items()]
            await stage.close_all()
        if late:
            row.notes.append(f"{len(late)} rungs, the latest {max(late):.1f} s after its time, downtimes included")
        return stage.close_account(row)


async def _killed_on_the_way(stage: Stage, climbs: list[Climb], dice: random.Random, row: Row) -> None:
    chosen = dice.choice(climbs)
    until = asyncio.get_running_loop().time() + max(DELAYS_S.values()) + 2
    while not all(climb.over for climb in climbs) and asyncio.get_running_loop().time() < until:
        await stage.kill()
        row.trials += 1
        await asyncio.sleep(dice.uniform(0, DOWN_S))
        killed = asyncio.get_running_loop().time()
        await stage.live()
        await stage.until_heard_since(killed, row)
        if not chosen.answered and "grid" in chosen.told and not chosen.over:
            await chosen.answer()
        await _live(climbs, dice.uniform(0, UP_TO_KILL_S))
    due = asyncio.get_running_loop().time() + DUE_S
    while not all(climb.over for climb in climbs) and asyncio.get_running_loop().time() < due:
        await _live(climbs, 0.2)


async def _live(climbs: list[Climb], seconds: float) -> None:
    """Let time go by and look at who is told."""
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        for climb in climbs:
            climb.look()
        await asyncio.sleep(0.02)
