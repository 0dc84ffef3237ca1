"""A bug in each worker of both rings, in a rule of the site and in the core itself, raising or hanging, with presses around it.

A service worker with a bug is restarted (one that keeps failing is an alert); a life worker with a bug ends the process, and the next life (here
as systemd would give it) goes on. An event that broke the core is put aside; after three crashes life safety runs alone. A core that
hangs ends itself; nothing stands behind it here.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from gateway.app.hanging import EXIT_HUNG
from gateway.sim.ports import free_port

from .rows import Budget, Row
from .stage import PATIENCE_S, Stage

BREAKING = str(Path(__file__).parents[1] / "breaking.py")
AFTER_S = 1.0
PRESSES = 2
CO2_PPM = 5
"""Register of the air sensor in the hall."""
HANGS_S = 8.0
"""Buttons are held for longer than a core hangs (ten looks of 0.3 s): the radio that hangs with it counts as listening."""
RAISED = 1
"""Exit code of a bug that raised."""
STUFFY = """rules:
  - rule: stuffy
    subjects: { kind: air-sensor }
    when: { point: co2, above: 1500 ppm }
    priority: low
    grade: small
    text: { zh: 闷, en: Stuffy }
"""


def _full_site() -> tuple[tuple[str, str], ...]:
    """Every kind of worker, beside those of the end-to-end site: a converter, a box that dials in, a terminal that is listened to.

    Nobody answers at these: their workers live by their faults of the world.
    """
    buses = f"""buses:
  converter: {{ host: 127.0.0.1, tcp_port: {free_port()}, framing: rtu, devices: {{ gas-far: {{ profile: combustible-gas-6in1, unit_id: 1, place: b1/s1 }} }} }}
  box: {{ listen: {free_port()}, address: 127.0.0.1, registration: box-1, framing: rtu, devices: {{ gas-box: {{ profile: combustible-gas-6in1, unit_id: 1, place: b1/s1 }} }} }}
"""
    doors = f"""doors:
  east: {{ vendor: hikvision, place: gate, address: 127.0.0.2, transport: stream, http_port: {free_port()}, history: {{ username: events, password_file: east.password }} }}
"""
    return ("buses:\n", buses), ("doors:\n", doors)


class FullStage(Stage):
    """A stage with every kind of worker."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, *_full_site())
        self.brings("line-lost", "bus-converter", "bus-box")
        self.brings("part-failing", "worker-stream-east")
        secret = self.world.folder / "east.password"
        secret.write_text("east-password-0123456789", encoding="utf-8")
        secret.chmod(0o600)

    async def hired(self, ring: str) -> list[str]:
        """The workers of a ring, as the running supervisor got them."""
        await self.up(BREAKING, "worker", "-", "0")
        said = [json.loads(line) for line in self.log_text().splitlines() if line.startswith('{"hired"')]
        await self.kill()
        return [one["hired"] for one in said if one["ring"] == ring]


def _note(row: Row, workers: Collection[str]) -> None:
    row.notes.append(f"{min(row.trials, len(workers))} of {len(workers)} workers: {', '.join(workers)}")


async def service(folder: Path, budget: Budget) -> Row:
    """Each service worker raises once: it alone is begun anew."""
    row = Row()
    async with FullStage(folder) as stage:
        workers = await stage.hired("service")
        for n, worker in zip(budget.rounds(), itertools.cycle(workers), strict=False):
            before = len(stage.log_text())
            await stage.up(BREAKING, "worker", worker, str(AFTER_S))
            stage.press_some(PRESSES, held=True)
            broken = asyncio.get_running_loop().time()
            mark = f'{{"worker": "{worker}", "reason": "crashed", "detail": "BuiltInError'
            await stage.until(lambda m=mark, b=before: m in stage.log_text()[b:], f"{worker} fails")
            stage.press_some(PRESSES)
            stage.stranger()
            await stage.until_heard_since(broken, row)
            row.trials = n + 1
            if not stage.alive:
                row.wrong.append(f"a bug in {worker} ended the process")
                continue
            with contextlib.suppress(AssertionError):
                await stage.until(
                    lambda b=before, w=worker: is_well(stage.log_text()[b:], w), f"{worker} is well again"
                )
            row.wrong += judge_service(stage.log_text()[before:], worker)
            await stage.close_all()
            await stage.kill()
        _note(row, workers)
        return stage.close_account(row)


def judge_service(log: str, broken: str) -> list[str]:
    """What is wrong with a life in which this service worker raised once: it alone fails, once, and is well again by itself."""
    failed = Counter(one["worker"] for one in _said(log) if one.get("event") == "worker_failed")
    wrong = [
        f"a bug in {broken} made {worker} fail {n} times" for worker, n in failed.items() if (worker, n) != (broken, 1)
    ]
    return wrong if broken in failed and is_well(log, broken) else [*wrong, f"{broken} did not fail and come back"]


def is_well(log: str, worker: str) -> bool:
    """Whether the last that was said of it is that it is well."""
    last = [one["event"] for one in _said(log) if one.get("worker") == worker and "event" in one]
    return last[-1:] == ["worker_recovered"]


def _said(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines() if line.startswith('{"worker"') and line.endswith("}")]


async def life(folder: Path, budget: Budget) -> Row:
    """Each life worker raises once; the process ends by it and is started again."""
    row = Row()
    async with FullStage(folder) as stage:
        workers = await stage.hired("life")
        for n, worker in zip(budget.rounds(), itertools.cycle(workers), strict=False):
            before = len(stage.log_text())
            await stage.up(BREAKING, "worker", worker, str(AFTER_S))
            stage.press_some(PRESSES, held=True)
            stage.stranger()
            code = await stage.died(PATIENCE_S)
            said = f'{{"worker": "{worker}", "error": "BuiltInError'
            if code != RAISED or said not in stage.log_text()[before:]:
                row.wrong.append(f"a bug in {worker} ended the process with {code}, and nothing was said")
            died = asyncio.get_running_loop().time()
            if len(_forget_crashes(stage)) != 1:
                row.wrong.append(f"the bug in {worker} was not remembered once")
            await stage.live()
            await stage.until_heard_since(died, row)
            await stage.close_all()
            await stage.kill()
            row.trials = n + 1
        _note(row, workers)
        return stage.close_account(row)


def _forget_crashes(stage: Stage) -> list[dict[str, object]]:
    """Each trial is a story of its own; what was remembered until now."""
    path = stage.world.state / "crashes.json"
    known: list[dict[str, object]] = json.loads(path.read_bytes()) if path.exists() else []
    path.unlink(missing_ok=True)
    return known


async def core(folder: Path, budget: Budget) -> Row:
    """Three readings break ``handle``, one a life: each is put aside; after the third, life safety alone; all presses are heard."""
    return await _three_readings(folder, budget, "core", RAISED)


async def hang(folder: Path, budget: Budget) -> Row:
    """The same of a ``handle`` that never comes back."""
    return await _three_readings(folder, budget, "hang", EXIT_HUNG)


async def _three_readings(folder: Path, budget: Budget, how: str, code: int) -> Row:
    row, entry = Row(), (BREAKING, how, "co2", "1300,1999")
    for n in budget.rounds():
        async with Stage(folder / str(n)) as stage:
            stage.held_s = HANGS_S
            stage.brings("part-failing", "worker-core")
            await stage.acquaint()
            await stage.up(*entry)
            for crash in range(3):
                stage.press_some(PRESSES, held=True)
                stage.world.air_hall.holding[CO2_PPM] = 1300 + 200 * crash
                if (ended := await stage.died(PATIENCE_S)) != code:
                    row.wrong.append(f"the core broke with {ended}, not {code}")
                died = asyncio.get_running_loop().time()
                await stage.up(*entry)
                await stage.until_heard_since(died, row)
                if not stage.alive:
                    row.wrong.append("the event that broke the core broke it again")
                    break
            await _life_safety_alone(stage, row)
            row += stage.close_account(Row(trials=1))
    return row


async def _life_safety_alone(stage: Stage, row: Row) -> None:
    await stage.until(lambda: stage.raised.get(("part-failing", "worker-core")), "somebody is told of the core")
    if "life_safety_alone" not in stage.log_text():
        row.wrong.append("after three crashes everything was asked")
    stage.press_some(PRESSES)
    await stage.all_heard()
    await stage.until(lambda: stage.world.siren_on, "the siren sounds by the built-in rules")


async def at_the_start(folder: Path, budget: Budget) -> Row:
    """A rule of the site that raises or hangs whenever it is asked, from the start on: after three lives, life safety alone."""
    row = Row()
    for n, (how, code) in zip(
        budget.rounds(), itertools.cycle((("raises", RAISED), ("hangs", EXIT_HUNG))), strict=False
    ):
        async with Stage(folder / str(n), ("rules:\n", STUFFY)) as stage:
            stage.brings("part-failing", "worker-core")
            entry = BREAKING, "rule", "stuffy", how
            await stage.live()  # a life before, with alerts that the others must know
            stage.press_some(PRESSES)
            await stage.all_heard()
            await stage.kill()
            for _ in range(3):
                await stage.start(*entry, waiting=False)
                if (ended := await stage.died(PATIENCE_S)) != code:
                    row.wrong.append(f"a rule that {how} ended the start with {ended}")
            died = asyncio.get_running_loop().time()
            stage.press_some(PRESSES, held=True)
            await stage.up(*entry)
            await stage.until_heard_since(died, row)
            await _life_safety_alone(stage, row)
            row += stage.close_account(Row(trials=1))
    return row


async def rule(folder: Path, budget: Budget) -> Row:
    """A rule of the site breaks at one entry: that entry is put aside, everything else is heard, and the whole rule hears the next."""
    row = Row()
    async with Stage(folder) as stage:
        stage.held_s = HANGS_S
        stage.brings("part-failing", "worker-core")
        await stage.acquaint()
        for n, (how, code) in zip(
            budget.rounds(), itertools.cycle((("raises", RAISED), ("hangs", EXIT_HUNG))), strict=False
        ):
            entry = BREAKING, "rule", "stranger", how
            await stage.up(*entry)
            stage.press_some(PRESSES, held=True)
            stage.world.gate.stranger()  # nothing may come of it
            if (ended := await stage.died(PATIENCE_S)) != code:
                row.wrong.append(f"a rule that {how} ended the process with {ended}")
            died = asyncio.get_running_loop().time()
            await stage.up(*entry)  # the terminal says it again
            await stage.world.gate.settled()
            if not stage.alive or (await stage.counts())["core.quarantined"] < 1:
                row.wrong.append("what broke the rule was not put aside")
            await stage.until_heard_since(died, row)
            await stage.kill()
            await stage.live()
            stage.stranger()
            await stage.all_heard()
            await stage.close_all()
            _forget_crashes(stage)
            await stage.kill()
            row.trials = n + 1
        return stage.close_account(row)
