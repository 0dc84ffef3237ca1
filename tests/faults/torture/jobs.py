"""One fault in several processes at once: a trial mostly waits, so two cores have room for more than two.

Each job is ``python -m faults.torture --job`` with a share of the trials, and dice, folders and ports of its own; rows add up.
The jobs stand on our leash, in sessions of their own: Ctrl-C reaches us alone, and we ask them to end after the round under
way, so that what was measured is kept. A second Ctrl-C ends them at once.
"""

from __future__ import annotations

import asyncio
import functools
import operator
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from gateway.sim.leash import leashed

from .folders import passing_folder
from .rows import Budget, Row, kept

PROGRESS_S = 10.0
TESTS = Path(__file__).parents[2]


class Progress:
    """Says now and then, on stderr, how far a fault has come."""

    def __init__(self, fault: str, of: int) -> None:
        self._fault, self._of = fault, of
        self._began = self._said = time.monotonic()
        self._rounds: dict[int, int] = {}

    def told(self, rounds: int, job: int = 0) -> None:
        self._rounds[job] = rounds
        now = time.monotonic()
        if now - self._said >= PROGRESS_S:
            self._said = now
            said = f"{self._fault}: {sum(self._rounds.values())} of {self._of} rounds, {now - self._began:.0f} s"
            print(said, file=sys.stderr, flush=True)


def shares(trials: int, jobs: int) -> list[int]:
    """As equal as can be; nobody goes without."""
    jobs = min(trials, jobs)
    return [trials // jobs + (n < trials % jobs) for n in range(jobs)]


def in_jobs(name: str, budget: Budget, jobs: int) -> Row:
    """The row of a fault, from so many jobs. Raises KeyboardInterrupt where it was told to end at once."""
    try:
        return asyncio.run(_in_jobs(name, budget, jobs))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _in_jobs(name: str, budget: Budget, jobs: int) -> Row:
    progress = Progress(name, budget.trials)
    with passing_folder("torture-jobs-") as folder:
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(_job(folder / f"{n}.json", name, share, budget, n, progress))
                for n, share in enumerate(shares(budget.trials, jobs))
            ]
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, _stop, budget, running)
        return functools.reduce(operator.add, (job.result() for job in running))


def side_by_side(asked: Mapping[str, Budget], at_once: int) -> dict[str, Row]:
    """Several faults, each in a job of its own, and so many jobs at once; their rows by fault."""
    return asyncio.run(_side_by_side(asked, at_once))


async def _side_by_side(asked: Mapping[str, Budget], at_once: int) -> dict[str, Row]:
    room = asyncio.Semaphore(at_once)

    async def one(name: str, budget: Budget, folder: Path) -> Row:
        async with room:
            (home := folder / name).mkdir()
            return await _job(home / "row.json", name, budget.trials, budget, 0, Progress(name, budget.trials))

    with passing_folder("torture-jobs-") as folder:
        async with asyncio.TaskGroup() as group:
            jobs = {name: group.create_task(one(name, budget, folder)) for name, budget in asked.items()}
        return {name: job.result() for name, job in jobs.items()}


def _stop(budget: Budget, running: list[asyncio.Task[Row]]) -> None:
    if budget.stopped:
        for job in running:
            job.cancel()
    budget.stopped = True


async def _job(part: Path, name: str, trials: int, budget: Budget, n: int, progress: Progress) -> Row:
    asked = {"--into": part, "--trials": trials, "--seconds": budget.seconds, "--seed": f"{budget.seed}/{n}"}
    options = [str(word) for pair in asked.items() for word in pair]
    path = (os.environ.get("PYTHONPATH"), str(TESTS))
    process = await asyncio.create_subprocess_exec(
        *leashed([sys.executable, "-m", "faults.torture", "--job", *options, name]),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path)), "TMPDIR": str(part.parent)},
    )
    passing_on = asyncio.create_task(_pass_on(budget, process))
    try:
        assert process.stdout is not None
        async for line in process.stdout:
            if line.strip().isdigit():
                progress.told(int(line), n)
            else:  # the stage prints why it broke down
                sys.stderr.buffer.write(line)
        code = await process.wait()
    finally:
        passing_on.cancel()
        if process.returncode is None:
            process.terminate()  # its contexts are left; what stands on its leash ends with it
            await process.wait()
    return kept(part).get(name) or Row(name, trials=1, wrong=[f"job {n} ended with {code} and left no row"])


async def _pass_on(budget: Budget, process: asyncio.subprocess.Process) -> None:
    while not budget.stopped:
        await asyncio.sleep(0.1)
    process.send_signal(signal.SIGINT)
