"""The disk under the running process: full, read-only, failing at every fsync, or taking two seconds for each.

Full is a small file system of its own, filled. The others are strace(1) attached to the unmodified daemon for as long as the
fault lasts. Alarms go on meanwhile, marked as not durable; a terminal is asked to keep its event; all is well when the disk is,
and a kill after that finds everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from faults.test_faults_disk import fill, small_disk

from .rows import Budget, Row
from .stage import PATIENCE_S, SPOKEN_TO, Stage

PRESSES = 3
ROOM = "64m"
"""For what many rounds leave behind: a disk that is full by itself does not become well again."""
SLOWER = 1.2
GRAIN_MS = 10.0
"""Press to siren may be a fifth slower while the disk is sick (the promise), and what a poll more or less of the relay is."""
SIRENS = *SPOKEN_TO, "gas-low", "gas-high"
"""What the siren sounds for; somebody looked after the leaks, too."""
_JUDGED = 5
"""The middle of fewer presses says nothing."""
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
    """Milliseconds from the first frame on the air to the relay; then all is answered and quiet."""
    loop = asyncio.get_running_loop()
    sounded, began = len(stage.siren_at), loop.time()
    stage.press_some(1)
    await stage.until(lambda: len(stage.siren_at) > sounded, "the siren sounds")
    return 1000 * (stage.siren_at[sounded] - began)


async def _calm(stage: Stage) -> None:
    await stage.all_heard()
    await stage.close_all(SIRENS)
    await stage.until(lambda: not stage.world.siren_on, "it is quiet again")


def _compare(row: Row, good: list[float], bad: list[float]) -> None:
    middle = [sorted(times)[len(times) // 2] for times in (good, bad)]
    row.notes.append(
        f"press to siren p50 {middle[1]:.1f} ms, on a good disk {middle[0]:.1f} ms ({len(bad)} presses each)"
    )
    if len(bad) >= _JUDGED and middle[1] > SLOWER * middle[0] + GRAIN_MS:
        row.late.append(f"the siren waited for the disk: {middle[1]:.1f} ms instead of {middle[0]:.1f}")


Spell = Callable[[Stage], AbstractAsyncContextManager[None]]


async def _sick(folder: Path, budget: Budget, sick: Spell, well: Spell, *, at_once: bool = True) -> Row:
    """``sick(stage)`` makes the disk sick inside its block, ``well(stage)`` costs the daemon as much and does it no harm.

    ``at_once``: nothing can be kept from the first moment on; a full disk has room for a few more alerts in the last block of
    the commit log, and those are rightly called durable, the one about the disk among them.
    """
    row, good, bad = Row(), [], []
    async with Stage(folder) as stage:
        stage.brings("disk-failing", "store")
        for rule in ("gas-low", "gas-high"):
            stage.brings(rule, "gas-301")  # leaks that use up the last room
        with small_disk(stage.world.state, ROOM):
            await stage.live()
            for n in budget.rounds():
                async with well(stage):
                    good.append(await _press_to_siren(stage))
                    await _calm(stage)
                async with sick(stage):
                    bad.append(await _press_to_siren(stage))
                    stage.press_some(PRESSES - 1)
                    await stage.all_heard()
                    raised = [a.body["data"] for a in stage.office.arrivals if a.alert in stage.open]
                    if at_once and not any(data["durable"] is False for data in raised if data["rule"] == "sos"):
                        row.wrong.append("an alert that is not on the disk was not marked")
                    await _until_it_is_said(stage, n + 1)
                    if at_once and all(a.body["data"]["durable"] for a in stage.arrivals("disk-failing", "store")[-1:]):
                        row.wrong.append("the alert that nothing can be stored called itself stored")
                    stage.stranger()
                    await _until_a_terminal_is_refused(stage)
                healed = asyncio.get_running_loop().time()
                await stage.alert("disk-failing", "store", "returned", times=n + 1)
                await _until_it_is_kept(stage)
                await stage.until_heard_since(healed, row)
                stage.world.gate.answers.clear()
                await stage.kill()
                await stage.live()
                known = {item["id"] for item in (await stage.loudong("alerts")).items}
                if forgotten := set(stage.open) - known:
                    row.lost += len(forgotten)
                    row.wrong.append(f"forgotten after the disk was well: {forgotten}")
                await _calm(stage)
                row.trials += 1
            _compare(row, good, bad)
            forgotten_before = row.lost
            stage.close_account(row)
            row.lost += forgotten_before
            await stage.kill()
    return row


async def _until_it_is_kept(stage: Stage) -> None:
    """All that was told. A full disk may take something for a moment and then no more, so that the alert about it returned before."""
    async with asyncio.timeout(PATIENCE_S):
        while not (await stage.loudong("status")).items[0]["durable"]:
            await asyncio.sleep(0.2)


async def _until_it_is_said(stage: Stage, times: int) -> None:
    """That the disk is failing; leaks come and go until whatever room was left is used up."""
    lel = 0
    while (
        len(stage.raised["disk-failing", "store"]) + stage.changes("disk-failing", "store").count("re-alarmed") < times
    ):
        lel = 26 - lel
        stage.world.leak("gas-301", lel)
        await asyncio.sleep(1)
        assert stage.alive
    stage.world.leak("gas-301", 0)


async def _until_a_terminal_is_refused(stage: Stage) -> None:
    """Told to keep its event. On a full disk the rest of the log's last block takes some entries yet: those are rightly kept."""
    until = asyncio.get_running_loop().time() + PATIENCE_S
    while 503 not in stage.world.gate.answers:
        assert asyncio.get_running_loop().time() < until, "no terminal was told to keep its event"
        stage.world.gate.pass_known()
        await asyncio.sleep(0.2)


async def full(folder: Path, budget: Budget) -> Row:
    """ENOSPC, and whatever room the store makes by folding its log is gone at once."""

    @contextlib.asynccontextmanager
    async def sick(stage: Stage) -> AsyncIterator[None]:
        ballast = fill(stage.world.state)
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
                    eaten.write(b"x" * 4096)
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
    """Two seconds for every fsync; press to siren on a good disk beside it, in the same run and under the same strace."""
    row, good, bad = Row(), [], []
    async with Stage(folder) as stage:
        stage.brings("disk-failing", "store")
        await stage.live()
        for _ in budget.rounds():
            async with injected(stage, _SYNC, _HARMLESS):
                for _ in range(3):
                    good.append(await _press_to_siren(stage))
                    await _calm(stage)
            async with injected(stage, _SYNC, "delay_enter=2000000"):
                for _ in range(3):
                    bad.append(await _press_to_siren(stage))
                    await _calm(stage)
            healed = asyncio.get_running_loop().time()
            stage.press_some(PRESSES)
            await stage.until_heard_since(healed, row)
            await stage.close_all()
            row.trials += 1
        _compare(row, good, bad)
        return stage.close_account(row)
