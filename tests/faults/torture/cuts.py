"""Power cut: every state the disk may be in after every prefix of what a real run of the store asked of the kernel.

The recorder and the disk are those of ``test_store_power_cut``: unmodified programs under strace, two models of a file system, three
fates of what was not synced. A trial is one such state; it is opened as a start after the cut would, and counted against what had
been acknowledged by then. ``raised`` are commits acknowledged, over all states.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from pathlib import Path

from faults.test_store_power_cut import COMMITS, FOLDING, TABLES, _commits, _lay, _record, _states

from .rows import Budget, Row

PROGRAMS = {"log": COMMITS, "folding": FOLDING, "tables": TABLES}


def store(folder: Path, budget: Budget) -> Row:
    """All states of three runs of the store, with new dice each round; in random order, so that a short look is a fair one."""
    row, until, seed = Row(), time.monotonic() + budget.seconds, 1
    shm = Path("/dev/shm")  # noqa: S108 (a folder of our own)
    ram = Path(tempfile.mkdtemp(prefix="torture-cut-", dir=shm if shm.is_dir() else None))
    try:
        while row.trials < budget.trials and time.monotonic() < until:
            for name, program in PROGRAMS.items():
                run = folder / f"{name}-{seed}"
                run.mkdir()
                states = list(_states(_record(program, run, folder / f"{name}-{seed}.strace"), seed))
                random.Random(seed).shuffle(states)
                for acks, files in states[: max(1, (budget.trials - row.trials) // len(PROGRAMS) + 1)]:
                    _judge(row, acks, files, ram / "state")
                    if time.monotonic() > until:
                        break
            seed += 100
    finally:
        shutil.rmtree(ram, ignore_errors=True)
    return row


def _judge(row: Row, acks: int, files: dict[str, bytes], folder: Path) -> None:
    _lay(files, folder)
    began = time.monotonic()
    row.trials += 1
    row.raised += acks
    try:
        found = _commits(folder)
    except AssertionError as broken:
        row.out_of_order += 1
        row.wrong.append(f"its parts do not agree: {str(broken)[:200]}")
        return
    row.lost += max(0, acks - found)
    row.doubled += max(0, found - acks - 1)
    row.recoveries_s.append(round(time.monotonic() - began, 4))
