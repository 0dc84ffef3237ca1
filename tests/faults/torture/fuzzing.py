"""Hostile bytes for as long as the row may take (``tests/fuzz``): a trial is a target's share, what it finds is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from fuzz.mutation import CORPUS

from .rows import Budget, Row

TARGETS = sorted(path.name for path in CORPUS.iterdir())
STARTS = 0.2
"""So much of a share goes into starting, as long as nobody has measured it: coverage is built into every module anew for each target."""
LEAST_S = 0.1
_TRIED = re.compile(r": ([1-9]\d*) inputs, nothing found$")


def hostile_bytes(_folder: Path, budget: Budget) -> Row:
    """Every target in turn; guided by coverage where atheris is installed. A find is kept in ``build/fuzz``."""
    row, began, starting = Row(), time.monotonic(), STARTS * budget.seconds / budget.trials
    for n in budget.rounds():
        now, target = time.monotonic(), turn(n, budget)
        share = (began + budget.seconds - now) / (budget.trials - n)
        seconds = max(LEAST_S, share - starting)
        command = [sys.executable, "-m", "fuzz", "--minutes", f"{seconds / 60:.4f}", target]
        judge(row, target, subprocess.run(command, capture_output=True, text=True, check=False), seconds)
        starting = time.monotonic() - now - seconds
    return row


def turn(n: int, budget: Budget) -> str:
    """Whose turn it is: one behind the other, and a run gone on with (its seed is the number of trials before it) takes up there."""
    before = int(budget.seed) if budget.seed.isdecimal() else 0
    return TARGETS[(before + n) % len(TARGETS)]


def judge(row: Row, target: str, done: subprocess.CompletedProcess[str], seconds: float) -> None:
    """A find is wrong, and so is a target that got nothing; late is one that only started. A note says whether coverage guided it."""
    lines = (done.stdout + done.stderr).strip().splitlines() or ["nothing was said"]
    row.trials += 1
    if done.returncode or not _TRIED.search(lines[-1]):
        row.wrong.append(f"{target}: {' / '.join(lines[-3:])}")
    if seconds <= LEAST_S:
        row.late.append(f"{target} had no time but for its start")
    how = "guided by coverage" if lines[0].startswith("guided") else "blind"
    row.notes.append(f"{lines[-1]} ({how}, {seconds:.0f} s)")
