"""One fault in several processes at once: a trial mostly waits, so two cores have room for more than two.

Each job is ``python -m faults.torture --job`` with a share of the trials, and dice, folders and ports of its own; rows add up.
The jobs stand on our leash, in sessions of their own: Ctrl-C reaches us alone, and we ask them to end after the round under
way, so that what was measured is kept. A second Ctrl-C ends them at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import operator
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

from gateway.sim.leash import hold, leashed

from .folders import passing_folder
from .rows import Budget, Row, kept

PROGRESS_S = 10.0
ROW = "row.json"
"""The file of a fault's row in the folder of its process, where each has one."""
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


def side_by_side(names: list[str], at_once: int) -> dict[str, Row]:
    """Each fault at its least, in a process of its own, and so many at once; their rows by fault."""
    with passing_folder("torture-jobs-") as folder:
        command = [sys.executable, "-m", "faults.torture", "--at-once", str(at_once), "--into", str(folder), *names]
        done = subprocess.run(leashed(command), env=_environment(), start_new_session=True, check=False)
        left = {name: kept(folder / name / ROW).get(name) for name in names}
    wrong = f"its process left no row, and what had forked it ended with {done.returncode}"
    return {name: row or Row(name, trials=1, wrong=[wrong]) for name, row in left.items()}


def fork_each(names: Iterable[str], at_once: int, run: Callable[[str], None]) -> None:
    """Run each in a child of this process, which has all modules already: to import them costs as much as a short trial."""
    for n, name in enumerate(names):
        if n >= at_once:
            os.wait()
        if not os.fork():
            _be_child(functools.partial(run, name))
    with contextlib.suppress(ChildProcessError):  # there is none any more
        while True:
            os.wait()


def _be_child(run: Callable[[], None]) -> NoReturn:
    code = 1
    try:
        hold()
        run()
        code = 0
    except BaseException:  # noqa: BLE001 - a child must never go on with what its parent was about
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _stop(budget: Budget, running: list[asyncio.Task[Row]]) -> None:
    if budget.stopped:
        for job in running:
            job.cancel()
    budget.stopped = True


async def _job(part: Path, name: str, trials: int, budget: Budget, n: int, progress: Progress) -> Row:
    asked = {"--into": part, "--trials": trials, "--seconds": budget.seconds, "--seed": f"{budget.seed}/{n}"}
    options = [str(word) for pair in asked.items() for word in pair]
    process = await asyncio.create_subprocess_exec(
        *leashed([sys.executable, "-m", "faults.torture", "--job", *options, name]),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        env=_environment() | {"TMPDIR": str(part.parent)},
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


def _environment() -> dict[str, str]:
    path = (os.environ.get("PYTHONPATH"), str(TESTS))
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}
