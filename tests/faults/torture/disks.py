"""The disk under the running process: full, read-only, failing at every fsync, or taking two seconds for each.

Full is a small file system of its own, filled. The others are strace(1) attached to the unmodified daemon for as long as the
fault lasts. Alarms go on meanwhile, marked as not durable; a terminal is asked to keep its event; all is well when the disk is,
and a kill after that finds everything. A kill while the disk is still ill does not: what that costs is counted (``price.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import shutil
import signal
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from faults.test_faults_disk import PIECE, fill, small_disk

from .price import ROOM, forgotten_by, killed_ill, until_a_terminal_is_refused
from .rows import Budget, Row
from .stage import PATIENCE_S, SPOKEN_TO, Stage

PRESSES = 3
PRESSED = 3
"""Presses in a row on a good disk, and on a sick one; which comes first alternates, for the time after a start is like no other."""
SLOWER = 1.2
"""Press to siren may be a fifth slower while the disk is sick: the promise."""
Turns = list[list[float]]
"""Press to siren in milliseconds, of each turn."""
_DRAWS, _OF_100 = 1000, 95
SIRENS = *SPOKEN_TO, "gas-low", "gas-high"
"""What the siren sounds for; somebody looked after the leaks, too."""
STORE = "disk-failing", "store"
_JUDGED = 5
"""The middle of fewer turns says nothing."""
SYNC_S, STALLS_S = 2, 4
"""For each sync: what is waited for, and what is a stall, after which messages are told from memory (docs/decisions/0009)."""
STALLED, STALLED_S = 20, 7.0
"""Presses in a stall, and over how long."""
ILL_S = 14.0, 8.0
"""How long the disk is ill before a kill, from the first 503 on: longer and shorter than a door is put off (docs/decisions/0025), and
than a terminal then takes to try again.
"""
ILL_EVERY = 5
"""So many rounds for each kill of an ill life."""
_SYNC = "fsync,fdatasync"
_HARMLESS = "delay_enter=1"  # a microsecond
_WRITES = "write,pwrite64,pwritev,ftruncate,fsync,fdatasync"


@contextlib.asynccontextmanager
async def injected(stage: Stage, calls: str, what: str) -> AsyncIterator[None]:
    """strace on the daemon and all its threads; on files of the state folder alone where calls write elsewhere, too."""
    assert stage.daemon is not None
    assert shutil.which("strace"), "strace is missing: sudo apt-get install --no-install-recommends strace"
    files = [f"-P{path}" for path in stage.world.state.rglob("*") if path.is_file() and "write" in calls]
    strace = await asyncio.create_subprocess_exec(
        "strace", "-f", "-p", str(stage.daemon.pid), "-o", "/dev/null", *files, "-e", f"trace={calls}", "-e", f"inject={calls}:{what}",
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert strace.stderr is not None
    assert b"attached" in await asyncio.wait_for(strace.stderr.readline(), PATIENCE_S)
    drain = asyncio.create_task(strace.stderr.read())
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            strace.send_signal(signal.SIGINT)
        await strace.wait()
        await drain


async def _press_to_siren(stage: Stage) -> float:
    """Milliseconds from the first frame on the air to the relay."""
    loop = asyncio.get_running_loop()
    sounded, began = len(stage.siren_at), loop.time()
    stage.press_some(1)
    await stage.until(lambda: len(stage.siren_at) > sounded, "the siren sounds")
    return 1000 * (stage.siren_at[sounded] - began)


async def _presses(stage: Stage) -> list[float]:
    """Press to siren of some presses, each after the one before was answered and it was quiet."""
    times = []
    for _ in range(PRESSED):
        times.append(await _press_to_siren(stage))
        await _calm(stage)
    return times


async def _calm(stage: Stage) -> None:
    await stage.all_heard()
    await stage.close_all(SIRENS)
    await stage.until(lambda: not stage.world.siren_on, "it is quiet again")


def slower_ms(good: Turns, bad: Turns) -> tuple[float, float]:
    """Between what, in 95 draws of 100, lies the middle of by how much each turn on a sick disk was slower than the one beside it.

    Two turns of a round are seconds apart: what else the machine does meanwhile is in both.
    """
    dice = random.Random(0)
    slower = [statistics.median(ill) - statistics.median(well) for well, ill in zip(good, bad, strict=True)]
    middles = sorted(statistics.median(dice.choices(slower, k=len(slower))) for _ in range(_DRAWS))
    beyond = _DRAWS * (100 - _OF_100) // 200
    return middles[beyond], middles[-1 - beyond]


def _compare(row: Row, good: Turns, bad: Turns) -> None:
    was, became = (statistics.median(itertools.chain.from_iterable(turns)) for turns in (good, bad))
    least, most = slower_ms(good, bad)
    fifth, judged = (SLOWER - 1) * was, len(bad) >= _JUDGED
    said = "shown within a fifth" if judged and most <= fifth else "too coarse to show a fifth"
    if judged and least > fifth:
        said = "more than a fifth slower"
        row.late.append(f"the siren waited for the disk: {became:.1f} ms instead of {was:.1f}")
    row.notes.append(
        f"press to siren p50 {became:.1f} ms, on a good disk {was:.1f} ms ({sum(map(len, bad))} presses each, "
        f"in turns slower by {least:.1f} to {most:.1f} ms): {said}"
    )


Spell = Callable[[Stage], AbstractAsyncContextManager[None]]


async def _sick(folder: Path, budget: Budget, sick: Spell, well: Spell, *, at_once: bool = True) -> Row:
    """``sick(stage)`` makes the disk sick inside its block, ``well(stage)`` costs the daemon as much and does it no harm.

    ``at_once``: nothing can be kept from the first moment on; a full disk has room for a few more alerts in the last block of
    the commit log, and those are rightly called durable, the one about the disk among them.
    """
    row, good, bad = Row(), Turns(), Turns()
    async with Stage(folder) as stage:
        stage.brings("disk-failing", "store")
        for rule in ("gas-low", "gas-high"):
            stage.brings(rule, "gas-301")  # leaks that use up the last room
        with small_disk(stage.world.state, ROOM):
            await stage.live()
            for n in budget.rounds():
                if n % 2 == 0:
                    async with well(stage):
                        good.append(await _presses(stage))
                async with sick(stage):
                    bad.append(await _ill(stage, row, n + 1, at_once=at_once))
                healed = asyncio.get_running_loop().time()
                await stage.alert(*STORE, "returned", times=n + 1)
                await _until_it_is_kept(stage)
                await stage.until_heard_since(healed, row)
                stage.world.gate.answers.clear()
                await _killed(stage, row)
                await _calm(stage)
                if n % 2:
                    async with well(stage):
                        good.append(await _presses(stage))
                row.trials += 1
            _compare(row, good, bad)
            forgotten_before = row.lost
            stage.close_account(row)
            row.lost += forgotten_before
            await stage.kill()
    for n in range(0, row.trials, ILL_EVERY):
        await killed_ill(folder / f"ill-{n}", sick, ILL_S[n // ILL_EVERY % len(ILL_S)], row)
    return row


async def _ill(stage: Stage, row: Row, times: int, *, at_once: bool) -> list[float]:
    """What is promised of an illness: the siren, alerts that are marked, one about the disk, and a terminal that is to keep its event."""
    began = len(stage.office.arrivals)
    waited = await _presses(stage)
    stage.press_some(PRESSES)
    await stage.all_heard()
    raised = [a.body["data"] for a in stage.office.arrivals if a.alert in stage.open]
    if at_once and not any(data["durable"] is False for data in raised if data["rule"] == "sos"):
        row.wrong.append("an alert that is not on the disk was not marked")
    await _until_it_is_said(stage, times, began)
    if at_once and all(a.body["data"]["durable"] for a in stage.arrivals(*STORE)[-1:]):
        row.wrong.append("the alert that nothing can be stored called itself stored")
    stage.stranger()
    await until_a_terminal_is_refused(stage)
    return waited


async def _killed(stage: Stage, row: Row) -> None:
    """Kill -9; the next life must know every alert that is open."""
    await stage.kill()
    await stage.live()
    if forgotten := await forgotten_by(stage):
        row.lost += len(forgotten)
        row.wrong.append(f"forgotten: {forgotten}")


async def _until_it_is_kept(stage: Stage) -> None:
    """All that was told. A full disk may take something for a moment and then no more, so that the alert about it returned before."""
    async with asyncio.timeout(PATIENCE_S):
        while not (await stage.loudong("status")).items[0]["durable"]:
            await asyncio.sleep(0.2)


async def _until_it_is_said(stage: Stage, times: int, since: int) -> None:
    """That the disk is failing, and of one message since then that it is on no disk; leaks come and go until whatever room was left is
    used up.
    """
    lel = 0
    while _rises(stage) < times or all(a.body["data"]["durable"] for a in stage.office.arrivals[since:]):
        lel = 26 - lel
        stage.world.leak("gas-301", lel)
        await asyncio.sleep(1)
        assert stage.alive
    stage.world.leak("gas-301", 0)


def _rises(stage: Stage) -> int:
    """How often the office heard that the disk fails."""
    changes = stage.changes(*STORE)
    return changes.count("raised") + changes.count("re-alarmed")


async def full(folder: Path, budget: Budget) -> Row:
    """ENOSPC, and whatever room the store makes by folding its log is gone at once."""

    @contextlib.asynccontextmanager
    async def sick(stage: Stage) -> AsyncIterator[None]:
        ballast = await fill(stage.world.state)
        eating = asyncio.create_task(_eat(ballast))
        try:
            yield
        finally:
            eating.cancel()
            ballast.unlink()

    return await _sick(folder, budget, sick, lambda _stage: contextlib.nullcontext(), at_once=False)


async def _eat(ballast: Path) -> None:
    """Whatever room there is."""
    with ballast.open("ab", buffering=0) as eaten:
        while True:
            with contextlib.suppress(OSError):
                while True:
                    eaten.write(PIECE)
            await asyncio.sleep(0.02)


async def eio(folder: Path, budget: Budget) -> Row:
    """Every fsync and fdatasync fails with EIO."""
    return await _sick(
        folder,
        budget,
        lambda stage: injected(stage, _SYNC, "error=EIO"),
        lambda stage: injected(stage, _SYNC, _HARMLESS),
    )


async def read_only(folder: Path, budget: Budget) -> Row:
    """Every write to the state folder fails with EROFS."""
    return await _sick(
        folder,
        budget,
        lambda stage: injected(stage, _WRITES, "error=EROFS"),
        lambda stage: injected(stage, _WRITES, _HARMLESS),
    )


async def slow(folder: Path, budget: Budget) -> Row:
    """Two seconds for every sync; press to siren on a good disk beside it, in the same run and under the same strace. Then four, which
    is a stall.
    """
    row, good, bad = Row(), Turns(), Turns()
    async with Stage(folder) as stage:
        stage.brings("disk-failing", "store")
        await stage.live()
        for n in budget.rounds():
            if n % 2 == 0:
                async with injected(stage, _SYNC, _HARMLESS):
                    good.append(await _presses(stage))
            async with injected(stage, _SYNC, _delay(SYNC_S)):
                bad.append(await _presses(stage))
                await _waited_for(stage, row)
            await _killed(stage, row)
            await _calm(stage)
            if n % 2:
                async with injected(stage, _SYNC, _HARMLESS):
                    good.append(await _presses(stage))
            await _stalled(stage, row)
            healed = asyncio.get_running_loop().time()
            await stage.until(lambda: stage.changes(*STORE).count("returned") >= _rises(stage), "the disk is well")
            await _until_it_is_kept(stage)
            stage.press_some(PRESSES)
            await stage.until_heard_since(healed, row)
            await stage.close_all()
            row.trials += 1
        _compare(row, good, bad)
        return stage.close_account(row)


def _delay(seconds: float) -> str:
    return f"delay_enter={seconds * 1_000_000:.0f}"


async def _waited_for(stage: Stage, row: Row) -> None:
    """A press is told when its sync is over and no sooner, and called durable; or it was a stall, which is said, and ends."""
    began = asyncio.get_running_loop().time()
    (button,) = stage.press_some(1)
    await stage.all_heard()
    took = asyncio.get_running_loop().time() - began
    if _raised(stage, button)["durable"] and took < SYNC_S:
        row.wrong.append(f"called durable after {took:.2f} s, and a sync takes {SYNC_S}")
    await _until_it_is_kept(stage)


async def _stalled(stage: Stage, row: Row) -> None:
    """What is promised of a stall (docs/decisions/0009, 0025): told from memory and marked, in order, said, and a terminal keeps its event.

    The presses go on over the end of a sync and the next one: where what is on the disk and what memory holds meet.
    """
    stage.world.gate.answers.clear()
    rises = _rises(stage)
    async with injected(stage, _SYNC, _delay(STALLS_S)):
        (button,) = stage.press_some(1)
        for _ in range(STALLED - 1):
            await asyncio.sleep(STALLED_S / STALLED)
            stage.press_some(1)
        await stage.all_heard()
        await stage.until(lambda: _rises(stage) > rises, "it is said that the disk fails")
        await until_a_terminal_is_refused(stage)
        said = [a.body["data"] for a in stage.arrivals(*STORE) if a.body["data"]["change"] in {"raised", "re-alarmed"}][
            -1
        ]
    told = {f"sos of {button}": _raised(stage, button), "disk-failing": said}
    row.wrong += [f"{name}: told in a stall, and not marked" for name, data in told.items() if data["durable"]]


def _raised(stage: Stage, button: str) -> dict[str, object]:
    """The first that was told of the last press of this button."""
    alert = stage.raised["sos", button][-1]
    data: dict[str, object] = next(a.body["data"] for a in stage.office.arrivals if a.alert == alert)
    return data
