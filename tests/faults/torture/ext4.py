"""Power cut of a real ext4: an image on a loop device, and the ioctl by which xfstests pulls the plug (``godown``).

EXT4_IOC_SHUTDOWN with NOLOGFLUSH: what is dirty in the page cache and what the file system's journal has not committed is gone, as
at a power cut. The process is stopped in the same moment, so that nothing it learns afterwards leaves it. Then kill, umount, mount
(the journal is replayed), and what the disk holds is laid beside what had left, and beside what the world caused.

Wants root and loop devices. What a card's own controller may do (lie about a flush, damage blocks nearby) is not in it.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from faults.test_store_power_cut import COMMITS, DOCUMENTS, FOLDING, TABLES

from gateway.faults import StoreFault
from gateway.store.database import Database

from .cuts import judge_disk
from .rows import Budget, Row
from .stage import Stage

_SHUTDOWN = 0x8004587D
"""_IOR('X', 125, __u32): EXT4_IOC_SHUTDOWN, fs/ext4/ext4.h."""
_NOLOGFLUSH = 2
SIZE = 64 << 20
UNMOUNT_S = 60.0
LET_GO_S = 1.0
NOT_HERE = "not tried: wants root, mkfs.ext4 and a loop device that may be mounted"
PRESSES = 4
PRESS_TO_CUT_S = 1.5
START_TO_CUT_S = 2.0
STARTS = 5
"""Every so many-th cut is made while the gateway starts."""
LEL = 26
"""Above both gas alarms of the site."""


class Ext4:
    """A small disk of its own whose power can be cut. Used as a context, so that no mount and no loop device outlives it."""

    def __init__(self, folder: Path) -> None:
        self._image, self.folder = folder / "disk.img", folder / "disk"
        self._mounted = False

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        with self._image.open("wb") as file:
            file.truncate(SIZE)
        _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self._image))
        self.mount()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.unmount()
        finally:
            if self._mounted:  # somebody still has a file open: the name goes now, the loop device with the last file
                subprocess.run(["umount", "--lazy", self.folder], check=False, capture_output=True)
            self._image.unlink(missing_ok=True)

    def mount(self) -> None:
        """Through a loop device that goes with the mount."""
        _run("mount", "-o", "loop", str(self._image), str(self.folder))
        self._mounted = True

    def unmount(self) -> None:
        until = time.monotonic() + UNMOUNT_S
        while self._mounted and time.monotonic() < until:
            done = subprocess.run(["umount", self.folder], check=False, capture_output=True)
            self._mounted = done.returncode != 0
            if self._mounted:
                time.sleep(0.05)

    def cut(self) -> None:
        """The power goes."""
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", _NOLOGFLUSH))
        finally:
            os.close(handle)

    def back(self) -> None:
        """The power is back; whoever held files is gone. The file system replays its journal."""
        self.unmount()
        if self._mounted:
            raise AssertionError("the disk is still in use")
        if not self._is_let_go():
            self._swap()
        self.mount()

    def _is_let_go(self) -> bool:
        """Whether the kernel has forgotten the file system. A mount namespace that somebody made meanwhile keeps a copy of it, and
        a mount of the same image would give us the one that was shut down."""
        until = time.monotonic() + LET_GO_S
        while time.monotonic() < until:
            if not subprocess.run(["losetup", "-j", self._image], check=True, capture_output=True).stdout:
                return True
            time.sleep(0.02)
        return False

    def _swap(self) -> None:
        """Go on with a copy: nothing is written to the old one any more."""
        copy = self._image.with_name(f"{self._image.name}-{time.monotonic_ns()}")
        _run("cp", "--sparse=always", str(self._image), str(copy))
        self._image.unlink()
        self._image = copy


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise OSError(done.returncode, f"{command[0]}: {done.stderr.strip()}")


def possible() -> bool:
    """Whether such a disk can be made here."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        return False
    folder = Path(tempfile.mkdtemp(prefix="torture-ext4-"))
    try:
        with Ext4(folder):
            return True
    except OSError:
        return False
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# The whole daemon ---------------------------------------------------------------------------------


async def daemon(folder: Path, budget: Budget) -> Row:
    """Presses, strangers and gas under way; cut at a random instant of them or of a start. The next life must bring all of it."""
    row, dice = Row(), budget.dice()
    if not possible():
        return Row(notes=[NOT_HERE])
    with Ext4(folder / "power") as disk:
        async with Stage(folder) as stage:
            stage.world.state = disk.folder / "state"
            await stage.live()
            stage.cause("gas-low", "gas-301")
            stage.cause("gas-high", "gas-301")
            for n in budget.rounds():
                stage.world.leak("gas-301", LEL + n % 20)
                stage.press_some(PRESSES, held=True)
                stage.stranger()
                await asyncio.sleep(dice.uniform(0, PRESS_TO_CUT_S))
                await _cut(stage, disk, row)
                if n % STARTS == 0:
                    await stage.start(waiting=False)
                    await asyncio.sleep(dice.uniform(0, START_TO_CUT_S))
                    await _cut(stage, disk, row)
                back = asyncio.get_running_loop().time()
                await stage.live()
                await stage.until_heard_since(back, row)
                await stage.close_all()
            await stage.kill()
            left = len(_durable(stage))
            row.notes.append(f"{left} messages left as durable")
            return stage.close_account(row)


async def _cut(stage: Stage, disk: Ext4, row: Row) -> None:
    """The process stands still, the power goes, and what the disk then holds is judged."""
    assert stage.daemon is not None
    if stage.alive:
        stage.daemon.send_signal(signal.SIGSTOP)
    disk.cut()
    await stage.kill()
    await asyncio.to_thread(disk.back)
    await asyncio.sleep(0.1)  # what had left is on its way from the broker; what comes later is judged at the next cut
    await asyncio.to_thread(_judge, row, disk.folder / "state", _durable(stage))
    row.trials += 1


def _durable(stage: Stage) -> list[tuple[str, int]]:
    """Alert and revision of all that was said to be on disk, and was heard."""
    return [(one.alert, one.revision) for one in stage.office.arrivals if one.body["data"].get("durable") is True]


def _judge(row: Row, state: Path, told: list[tuple[str, int]]) -> None:
    """Of a copy: looking into a store mends it."""
    with tempfile.TemporaryDirectory(prefix="torture-ext4-") as folder:
        copy = Path(folder) / "state"
        copy.mkdir()
        for path in state.iterdir() if state.exists() else ():
            if path.is_file():
                shutil.copy(path, copy / path.name)
        held = Row()
        judge_disk(held, told, copy)
        row.wrong += held.wrong
        if held.lost or held.doubled or held.out_of_order:
            row.wrong.append(
                f"cut {row.trials + 1}: of what had left, {held.lost} not on the disk, {held.doubled} twice, {held.out_of_order} out of order"
            )
        for name in ("registry.json", "crashes.json"):
            if (copy / name).exists():
                json.loads((copy / name).read_bytes())  # the old one or the new one: never a part of either


# The store alone ----------------------------------------------------------------------------------


def endless(program: str) -> str:
    """A program of ``test_store_power_cut`` that goes on until it is ended, and says a line for each acknowledged commit."""
    return (
        program.replace("range(1, 13)", "range(1, 1_000_000)")
        .replace("range(1, 7)", "range(1, 1_000_000)")
        .replace('b"ack %d" % n', 'b"%d\\n" % n')
    )


def store(folder: Path, budget: Budget) -> Row:
    """Commits as fast as the disk takes them, and documents, cut at a random instant: all acknowledged ones are there, in order."""
    row, dice = Row(), budget.dice()
    if not possible():
        return Row(notes=[NOT_HERE])
    programs: tuple[tuple[str, Callable[[Path], int]], ...] = (
        (COMMITS, commits), (FOLDING, commits), (TABLES, commits), (DOCUMENTS, _documents),
    )  # fmt: skip
    with Ext4(folder / "power") as disk:
        for n in budget.rounds():
            program, found = programs[n % len(programs)]
            state = disk.folder / f"state-{n}"
            state.mkdir(mode=0o700)
            acks = cut_store(disk, endless(program), state, dice.uniform(0, 0.4))
            judge_store(row, acks, state, found)
            shutil.rmtree(state)
    return row


def cut_store(disk: Ext4, program: str, state: Path, after_s: float) -> int:
    """How many were acknowledged when the power went."""
    # Told to end in the middle of this, we would leave a child whom nobody knows, and who makes its folder when ours is gone.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    child = subprocess.Popen(
        [sys.executable, "-c", program, state], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )  # unbuffered, or what was read ahead would be missing from what ``communicate`` reads
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(after_s)
        child.send_signal(signal.SIGSTOP)
        disk.cut()
    finally:
        child.kill()
        said = child.communicate()
    disk.back()
    if not first:
        raise AssertionError(said[1].decode())
    return len((first + said[0]).split())


def judge_store(row: Row, acks: int, state: Path, found: Callable[[Path], int]) -> None:
    """``found``: how many are on the disk."""
    began = time.monotonic()
    row.trials += 1
    row.raised += acks
    try:
        n = found(state)
    except (AssertionError, StoreFault, sqlite3.Error, ValueError) as broken:
        row.wrong.append(f"its parts do not agree: {type(broken).__name__} {str(broken)[:200]}")
        return
    row.lost += max(0, acks - n)
    row.doubled += max(0, n - acks - 1)
    row.recoveries_s.append(round(time.monotonic() - began, 4))


def commits(state: Path) -> int:
    """How many the store holds, all its parts agreeing; AssertionError where they do not."""
    database = Database.open(state)
    loaded = database.load()
    journal = [row.id for row in database.journal.rows()]
    n = len(journal)
    assert journal == [f"r.{m}" for m in range(1, n + 1)], "journal"
    assert [message.sequence for message in database.uplinks.take("n", "critical", n + 9)] == list(range(1, n + 1)), (
        "outbox"
    )
    assert [row.revision for row in database.steps.all("a")] == list(range(1, n + 1)), "history"
    assert loaded.stamp == ((n, b"clocks") if n else None), "stamp"
    assert [row.body for row in loaded.state] == ([b"%d" % n] if n else []), "state"
    assert loaded.notes == (), loaded.notes
    assert database.damage.rows == 0, "damage"
    database.close()
    return n


def _documents(state: Path) -> int:
    """The number in the document, which is the old one or the new one, whole."""
    path = state / "registry.json"
    held = json.loads(path.read_bytes()) if path.exists() else None
    return 0 if held is None else max(_numbers(held), default=0)


def _numbers(held: object) -> list[int]:
    if isinstance(held, dict):
        return [held["n"]] if isinstance(held.get("n"), int) else [n for one in held.values() for n in _numbers(one)]
    return []
