"""Hostile bytes for as long as the row may take (``tests/fuzz``): a trial is a target's share, what it finds is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fuzz.mutation import CORPUS

from .rows import Budget, Row

SHARE = 0.8
"""The rest goes into starting: coverage is built into every module anew for each target."""


def hostile_bytes(_folder: Path, budget: Budget) -> Row:
    """Every target in turn; guided by coverage where atheris is installed. A find is kept in ``build/fuzz``."""
    targets = sorted(path.name for path in CORPUS.iterdir())
    budget.dice().shuffle(targets)  # where the time is not enough for all, the next run has others
    row, minutes = Row(), SHARE * budget.seconds / 60 / budget.trials
    for n in budget.rounds():
        target = targets[n % len(targets)]
        command = [sys.executable, "-m", "fuzz", "--minutes", f"{minutes:.4f}", target]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = (done.stdout + done.stderr).strip().splitlines() or ["nothing was said"]
        row.trials += 1
        row.notes.append(lines[-1])
        if done.returncode:
            row.wrong.append(f"{target}: {' / '.join(lines[-3:])}")
    return row
