"""Power cut: every state the disk may be in after every prefix of what a real run of the store asked of the kernel.

The recorder and the disk are those of ``test_store_power_cut``: unmodified programs under strace, two models of a file system, three
fates of what was not synced. A trial is one such state; it is opened as a start after the cut would, and counted against what had
been acknowledged by then. ``raised`` are commits acknowledged, over all states.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from faults.test_store_power_cut import (
    _FD,
    _LINE,
    _STRING,
    CALLS,
    COMMITS,
    FOLDING,
    TABLES,
    Disk,
    _commits,
    _lay,
    _operation,
    _record,
    _states,
)

from gateway.store.database import Database

from .rows import Budget, Row
from .stage import PATIENCE_S, Stage

_MESSAGE = re.compile(rb'"id":"([^"/]+)/(\d+)"')
"""A CloudEvents id of an alert message: alert id and revision."""

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


# The whole daemon ---------------------------------------------------------------------------------


async def daemon(folder: Path, budget: Budget) -> Row:
    """No state of the disk may lack a change that had been given to the broker's socket and called durable.

    One recording after another, each in all its states, for as long as there is time.
    """
    row, until, recorded_ones = Row(), time.monotonic() + budget.seconds, 0
    operations_in_all = left = states = 0
    while row.trials < budget.trials and (not recorded_ones or time.monotonic() < until):
        before, operations = await record_daemon(folder / str(recorded_ones))
        recorded_ones += 1
        operations_in_all += len(operations)
        left += sum(op[0] == "told" for op in operations)
        rest = Budget(budget.trials - row.trials, max(until - time.monotonic(), 1.0))
        states += await asyncio.to_thread(judge_all, row, rest, before, operations, recorded_ones)
    row.notes.append(f"{operations_in_all} operations in {recorded_ones} recordings, {left} messages left meanwhile")
    row.notes.append(f"{row.trials} of {states} states")
    return row


async def record_daemon(folder: Path) -> tuple[dict[str, bytes], list[tuple]]:
    """Alarms of a living daemon under strace: the files there were, copied while it stood still, and what happened from then on."""
    async with Stage(folder) as stage:
        await stage.live()
        assert stage.daemon is not None
        pid, state, log = stage.daemon.pid, stage.world.state, folder / "daemon.strace"
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(0.1)
        before = {path.relative_to(state).as_posix(): path.read_bytes() for path in state.rglob("*") if path.is_file()}
        async with recorded(pid, log):
            os.kill(pid, signal.SIGCONT)
            for _ in range(2):
                stage.press_some(6)
                stage.stranger()
                await stage.all_heard()
                await stage.close_all()
            await asyncio.sleep(1)
        await stage.kill()
    operations = _operations(log, state, before)
    assert {"told", "fsync", "write"} <= {op[0] for op in operations}, "nothing was recorded"
    return before, operations


@contextlib.asynccontextmanager
async def recorded(pid: int, log: Path) -> AsyncIterator[None]:
    """strace attached to a process and all its threads."""
    calls = "trace=sendto," + ",".join(f"?{call}" for call in CALLS.split(","))
    strace = await asyncio.create_subprocess_exec(
        "strace", "-f", "-y", "-xx", "-s", "1000000", "-e", "signal=none", "-o", str(log), "-e", calls, "-p", str(pid),
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert strace.stderr is not None
    assert b"attached" in await asyncio.wait_for(strace.stderr.readline(), PATIENCE_S)
    drain = asyncio.create_task(strace.stderr.read())
    try:
        yield
    finally:
        strace.send_signal(signal.SIGINT)
        await strace.wait()
        await drain


def _whole_lines(log: Path) -> Iterator[str]:
    """Calls that another thread interrupted, put together where they ended; what leaves counts from where it began."""
    begun: dict[str, str] = {}
    for line in log.read_text(encoding="ascii").splitlines():
        pid = line.split(" ", 1)[0]
        if line.endswith("<unfinished ...>"):
            begun[pid] = line.removesuffix("<unfinished ...>")
            if "sendto(" in line[:40]:
                yield begun.pop(pid) + ") = 1"
        elif " resumed>" in line:
            head = begun.pop(pid, "")
            if head:
                yield head + line.split(" resumed>", 1)[1]
        else:
            yield line


def _operations(log: Path, folder: Path, before: dict[str, bytes]) -> list[tuple]:
    """As ``test_store_power_cut`` reads a log, of files that were there before, and of messages: ("told", alert, revision)."""
    inodes = {name: n for n, name in enumerate(before, 1)}
    lengths = {inodes[name]: len(content) for name, content in before.items()}
    prefix, operations = f"{folder}/", []
    for line in _whole_lines(log):
        match = _LINE.match(line)
        if match is None or int(match["result"]) < 0:
            continue
        call, rest = match["call"], match["rest"]
        strings = [bytes.fromhex(text.replace("\\x", "")) for text in _STRING.findall(rest)]
        opened = _FD.match(rest)
        path = bytes.fromhex(opened[1].replace("\\x", "")).decode() if opened else strings[0].decode("utf-8", "replace")
        if call == "sendto":
            operations += [
                ("told", alert.decode(), int(revision))
                for one in strings
                for alert, revision in _MESSAGE.findall(one)
                if b'"durable":true' in one
            ]
        elif path == str(folder) and call in {"fsync", "fdatasync"}:
            operations.append(("fsync-folder",))
        elif path.startswith(prefix) and not path.endswith((" (deleted)", "-shm", ".sock")):
            operations += _operation(call, rest, path.removeprefix(prefix), strings, prefix, inodes, lengths)
    return operations


def judge_all(row: Row, budget: Budget, before: dict[str, bytes], operations: list[tuple], seed: int = 1) -> int:
    """All states, or a fair sample of them, within the budget; answers how many there are."""
    places = [
        (at, strict, fate)
        for at in range(len(operations) + 1)
        for strict in (True, False)
        for fate in ("drop", "keep", "torn")
    ]
    dice, until = random.Random(seed), time.monotonic() + budget.seconds
    chosen = sorted(
        dice.sample(places, min(len(places), budget.trials)), key=lambda place: (place[1], place[2], place[0])
    )
    home = Path(tempfile.mkdtemp(prefix="torture-cut-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))  # noqa: S108
    disk, fed, kind, told = Disk(True), 0, None, []
    for at, strict, fate in chosen:
        if kind != (strict, fate) or fed > at:
            disk, fed, kind, told = _as_before(strict, before), 0, (strict, fate), []
        for op in operations[fed:at]:
            told.append(op[1:]) if op[0] == "told" else disk.feed(op)
        fed = at
        _lay_deep(disk.image(fate, dice), home / "state")
        judge_disk(row, told, home / "state")
        if time.monotonic() > until:
            break
    shutil.rmtree(home)
    return len(places)


def _as_before(strict: bool, before: dict[str, bytes]) -> Disk:
    disk = Disk(strict)
    for n, (name, content) in enumerate(before.items(), 1):
        disk.names[name], disk.durable[n] = n, bytearray(content)
    return disk


def _lay_deep(files: dict[str, bytes], folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)  # as they were: a key that others may read is not read


def judge_disk(row: Row, told: list[tuple], folder: Path) -> None:
    """What a store that a cut left behind holds, beside what had left as durable: (alert, revision)."""
    began = time.monotonic()
    database = Database.open(folder)
    loaded = database.load()
    row.trials += 1
    row.raised += len(told)
    if loaded.notes or database.damage.rows:
        row.wrong.append(f"damage: {loaded.notes}")
    for alert in {alert for alert, _ in told}:
        steps = [step for step in database.steps.all(alert) if step.kind != "received"]  # a receipt is of an older one
        known = {step.revision for step in steps}
        row.lost += len({revision for one, revision in told if one == alert} - known)
        row.doubled += max(0, sum(step.kind == "raised" for step in steps) - 1)
        row.out_of_order += [step.revision for step in steps] != sorted(step.revision for step in steps)
    database.close()
    row.recoveries_s.append(round(time.monotonic() - began, 4))
