"""Simulated days of the whole house on virtual time: every day gas leaks, is answered and closed. A trial is a day.

What must not grow: memory, tasks, file descriptors, files. The first day is for growing up; after it, each is compared.
The devices are asked seldom (``slow.py``), so that a simulated hour costs a second or two: real Modbus on real sockets, every
device asked something every three seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time
from pathlib import Path
from typing import NamedTuple

from instruments.virtual import virtual_run

from gateway.control.protocol import PeerCredentials, Refusal, Request

from .rows import Budget, Row
from .slow import PERIOD_S, SlowLiving

HOURS_A_DAY = 24
"""A day's leak is at its first hour; the rest is quiet life: polls, refreshes, housekeeping."""
MAY_GROW_MIB_A_WEEK = 2.0
US = PeerCredentials(os.getpid(), os.getuid(), os.getgid(), "root")


class Size(NamedTuple):
    rss_mib: float
    tasks: int
    descriptors: int
    files: int
    stored_bytes: int


def weeks(folder: Path, budget: Budget) -> Row:
    """See above; ends early at the budget's seconds, and says after how many hours."""
    (home := folder / "home").mkdir()
    return virtual_run(_live(home, budget), patience_s=0.0)


async def _live(folder: Path, budget: Budget) -> Row:
    row, sizes, until = Row(), [], time.monotonic() + budget.seconds
    async with SlowLiving(folder) as living:
        for _ in range(budget.trials):
            await _leak(living, row)
            for _ in range(HOURS_A_DAY - 1):
                if time.monotonic() > until and sizes:
                    break
                await asyncio.sleep(3600)
                sizes.append(_size(living))
            row.trials += 1
            if time.monotonic() > until:
                break
        grown_up = min(HOURS_A_DAY, len(sizes) // 2)
        first, last = sizes[grown_up], sizes[-1]
        row.notes.append(f"{len(sizes)} simulated hours: after {grown_up} {_shown(first)}, at the end {_shown(last)}")
        row.wrong += [
            f"{name} grew from {before} to {after}"
            for name, before, after in zip(Size._fields, first, last, strict=True)
            if name in {"tasks", "descriptors", "files"} and after > before
        ]
        if last.rss_mib - first.rss_mib > max(8.0, MAY_GROW_MIB_A_WEEK * (len(sizes) - grown_up) / 168):
            row.wrong.append(f"memory grew from {first.rss_mib:.0f} to {last.rss_mib:.0f} MiB")
    return row


def _shown(size: Size) -> str:
    return f"{size.rss_mib:.1f} MiB, {size.tasks} tasks, {size.descriptors} fds, {size.files} files, {size.stored_bytes // 1024} KiB stored"


async def _leak(living: SlowLiving, row: Row) -> None:
    """Gas at flat 301, once; somebody comes, shuts it off and says so."""
    row.raised += 1
    living.gas[1].holding[1] = 26
    await living.until(lambda: ("gas-high", "gas-301") in living.open(), "the alert is there", 3 * PERIOD_S)
    if len([key for key in living.open() if key[0] == "gas-high"]) != 1:
        row.doubled += 1
    await asyncio.sleep(300)
    living.gas[1].holding[1] = 0
    await asyncio.sleep(3 * PERIOD_S)
    for alert in list(living.house.engine.alerts()):
        for verb, more in (("ack", {"on_site": True}), ("reset", {})):
            with contextlib.suppress(Refusal):  # closed by the first, where it needs no reset
                await living.house.desk.answer(Request(verb, {"alert": alert.id, "who": "head", **more}), US)
    await living.until(lambda: not living.open(), "all is closed")


def _size(living: SlowLiving) -> Size:
    living.forget_questions()
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    files = [path for path in living.state.rglob("*") if path.is_file()]
    return Size(
        int(status.split("VmRSS:")[1].split()[0]) / 1024,
        len(asyncio.all_tasks()),
        len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - names of a kernel's table, no files
        len(files),
        sum(path.stat().st_size for path in files),
    )
