"""A night on which the clock is put forward, back, or neither, in the whole house on virtual time.

The air is stale all night, and rules with windows of the day watch it; gas leaks before the change, and the ladder climbs over
it. Windows open once, at what the wall shows; what is timed by uptime does not move. The process lives in another zone still.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

from app.living import Living
from instruments.virtual import virtual_run

from gateway.instant import MINUTE

from .clocks import CAUSED, CLIMB_S, GAS, LEAK, LOOK_S
from .register import Diary
from .rows import Budget, Row
from .taker import Taker

BEFORE_MIN, LATE_MIN = 50, 1
_RULE = """
  - rule: {0}
    subjects: {{ kind: air-sensor }}
    when: {{ all: [{{ point: co2, above: 400 ppm }}, {{ between: {1} }}] }}
    priority: medium
    grade: small
    text: {{ zh: 空气, en: The air }}
"""
RULES = "rules:" + "".join(
    _RULE.format(name, times)
    for name, times in {
        "evening": '["22:00", "02:30"]',
        "morning": '["02:30", "04:00"]',
        "short": '["02:15", "02:45"]',
    }.items()
)
Spells = dict[str, tuple[int, int] | None]
"""Window -> minutes after 02:00 on the wall, as it is first shown or left out, of opening and closing; None: not on this night.

Counted by hand. The evening's window is open before the house is.
"""
NIGHTS: tuple[tuple[str, str, Spells], ...] = (
    ("2026-10-25T00:00Z", "Europe/Berlin", {"evening": (-BEFORE_MIN, 90), "morning": (30, 180), "short": (15, 105)}),
    ("2026-03-29T01:00Z", "Europe/Berlin", {"evening": (-BEFORE_MIN, 0), "morning": (0, 60), "short": None}),
    ("2026-10-24T18:00Z", "Asia/Shanghai", {"evening": (-BEFORE_MIN, 30), "morning": (30, 120), "short": (15, 45)}),
)


def nights(folder: Path, budget: Budget) -> Row:
    """Put back, put forward, left alone, in turn."""
    row, dice = Row(), budget.dice()
    with _elsewhere("America/New_York"):
        for n in budget.rounds():
            (home := folder / str(n)).mkdir()
            virtual_run(_night(home, NIGHTS[n % len(NIGHTS)], dice, row), patience_s=0.0)
    return row


@contextlib.contextmanager
def _elsewhere(zone: str) -> Iterator[None]:
    """The process in another zone than the site."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ")
        os.environ |= {} if before is None else {"TZ": before}
        time.tzset()


async def _night(folder: Path, night: tuple[str, str, Spells], dice: random.Random, row: Row) -> None:
    two_o_clock, zone, spells = night
    turn_ms = int(dt.datetime.fromisoformat(two_o_clock).timestamp() * 1000)

    def before(living: Living) -> None:
        living.edit("timezone: Asia/Shanghai", f"timezone: {zone}")
        living.edit("outputs:\n", f"{taker.uplink}{RULES}outputs:\n")
        living.clock.step_wall(turn_ms - BEFORE_MIN * MINUTE - living.clock.true_ms())

    loop, diary = asyncio.get_running_loop(), Diary()
    diary.caused.update([*CAUSED, *((window, "air-hall") for window, spell in spells.items() if spell)])
    async with Taker(diary) as taker, Living(folder, before=before) as living:
        started = loop.time()
        leaks = dice.uniform(1, BEFORE_MIN)
        await asyncio.sleep(60 * leaks)
        living.gas[1].holding[1] = LEAK
        ends = max(spell[1] for spell in spells.values() if spell)
        await asyncio.sleep(60 * (BEFORE_MIN + ends + 1) - (loop.time() - started))
        _judge_climb(diary, row)
        _judge_windows(diary, spells, turn_ms - living.clock.wall_ms() + 1000 * loop.time(), row)
    diary.close_account(row)
    row.trials += 1


def _judge_climb(diary: Diary, row: Row) -> None:
    told = diary.told[diary.alert(GAS)]
    if list(told) != ["building", *CLIMB_S]:
        row.wrong.append(f"rungs told: {told}")
    for rung, seconds in CLIMB_S.items():
        if not seconds <= told.get(rung, seconds) <= seconds + LOOK_S:
            row.wrong.append(f"{rung} was told {told[rung]} s after the leak")


def _judge_windows(diary: Diary, spells: Spells, turn_ms: float, row: Row) -> None:
    """``turn_ms``: two o'clock by the loop's time."""
    for window, spell in spells.items():
        steps = diary.steps[diary.alert((window, "air-hall"))]
        moved = [
            (kind, round((at * 1000 - turn_ms) / MINUTE, 1)) for kind, at in steps if kind not in {"told", "regraded"}
        ]
        due = [] if spell is None else list(zip(("raised", "returned"), spell, strict=True))
        if [kind for kind, _ in moved] != [kind for kind, _ in due] or any(
            not minute <= was <= minute + LATE_MIN for (_, was), (_, minute) in zip(moved, due, strict=True)
        ):
            row.wrong.append(f"{window}: {moved}, not {spell}")
