"""What a kill costs while the disk is ill: a life that told from memory, and the next one on a good disk.

Put off with 503 a terminal keeps its event; after ten seconds it gets 200 for what memory alone holds, so that no alarm waits behind it
(docs/decisions/0025). What is gone then is counted, and no fault of the row; that it is told, and that nothing else is gone, is judged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, NamedTuple

from faults.test_faults_disk import small_disk

from .damage import _is_leap
from .rows import Row
from .stage import PATIENCE_S, Stage

PASS_S = 0.5
PUT_OFF_S = 10.0
"""So long a door is told 503 at least: the promise, whatever the gateway makes of it."""
ROOM = "64m"
"""For what many rounds leave behind: a disk that is full by itself does not become well again."""


class _Life(NamedTuple):
    """Serial numbers of what the terminal saw in a life that was killed, and of what it still kept then; how long it was ill in truth."""

    seen: set[int]
    kept: set[int]
    ill_s: float


async def killed_ill(
    folder: Path, sick: Callable[[Stage], AbstractAsyncContextManager[None]], ill_s: float, row: Row
) -> None:
    """People leave by the button of a door, one each half second, for as long as the disk is ill, and somebody presses; then a kill -9."""
    async with Stage(folder) as stage:
        with small_disk(stage.world.state, ROOM):
            await stage.live()
            life = await _ill_life(stage, sick, ill_s)
            await stage.live()
            stage.world.gate.exit_button()
            await stage.world.gate.settled(PATIENCE_S)
            await _judge_entries(stage, life, row)
            await _judge_alerts(stage, row)
            await stage.kill()


async def _ill_life(stage: Stage, sick: Callable[[Stage], AbstractAsyncContextManager[None]], ill_s: float) -> _Life:
    gate = stage.world.gate
    gate.exit_button()
    await gate.settled(PATIENCE_S)
    before, loop = len(gate.caused), asyncio.get_running_loop()
    async with sick(stage):
        gate.answers.clear()
        began = loop.time()
        await until_a_terminal_is_refused(stage)
        stage.press_some(1)
        until = loop.time() + ill_s
        while loop.time() < until:
            gate.exit_button()
            await asyncio.sleep(PASS_S)
        await stage.all_heard()
        await stage.kill()
        seen, kept = {caused.serial for caused in gate.caused[before:]}, {_serial(event) for event in gate._queue}
        return _Life(seen, kept, loop.time() - began)


async def _judge_entries(stage: Stage, life: _Life, row: Row) -> None:
    """What was kept must be there, and before its time nothing was taken; of what is gone the numbers must be missed."""
    known = {item["body"].get("seq") for item in (await stage.loudong("journal", "--kind", "entry")).items}
    gaps = [item["body"] for item in (await stage.loudong("journal", "--kind", "sequence_gap")).items]
    missed = {number for gap in gaps for number in range(gap["first"], gap["last"] + 1)}
    answered, gone = life.seen - life.kept, life.seen - life.kept - known
    lost = (life.kept - known) | (gone if life.ill_s < PUT_OFF_S else set())
    row.lost += len(lost)
    if lost:
        row.wrong.append(f"put off while the disk was ill, and gone: {sorted(lost)}")
    if gone - missed:
        row.wrong.append(f"gone, and nobody misses their numbers: {sorted(gone - missed)}")
    row.notes.append(
        f"killed after {life.ill_s:.0f} s of illness: of {len(life.seen)} exits {len(life.kept)} were kept by the terminal and said again, "
        f"{len(answered)} answered 200, of which {len(gone)} are gone"
    )


async def _judge_alerts(stage: Stage, row: Row) -> None:
    """What was called durable must be known; what was not is the receiver's alone, and its numbers are leapt over."""
    forgotten = await forgotten_by(stage)
    lost = forgotten & {arrival.alert for arrival in stage.office.arrivals if arrival.body["data"]["durable"]}
    row.lost += len(lost)
    if lost:
        row.wrong.append(f"called durable, and forgotten: {lost}")
    row.notes.append(f"{len(forgotten)} alerts told meanwhile, marked as not durable, are unknown to the next life")
    row.doubled += stage.office.tally["doubled"]
    if not _is_leap(stage.office.missing):
        row.wrong.append(f"gaps in a lane: {stage.office.missing}")


async def forgotten_by(stage: Stage) -> set[str]:
    """Open alerts, as far as the office knows, that this life does not."""
    return set(stage.open) - {item["id"] for item in (await stage.loudong("alerts")).items}


async def until_a_terminal_is_refused(stage: Stage) -> None:
    """Told to keep its event. On a full disk the rest of the log's last block takes some entries yet: those are rightly kept."""
    until = asyncio.get_running_loop().time() + PATIENCE_S
    while 503 not in stage.world.gate.answers:
        assert asyncio.get_running_loop().time() < until, "no terminal was told to keep its event"
        stage.world.gate.exit_button()  # of nobody: its number is not sealed in the journal
        await asyncio.sleep(0.2)


def _serial(envelope: dict[str, Any]) -> int:
    return int(envelope["AccessControllerEvent"]["serialNo"])
