"""What the tests of the store share: parts that look like life, and a disk that is really small."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from instruments.gate import Gate

from gateway.store import store as store_module
from gateway.store import worker as worker_module
from gateway.store.rows import Batch, HistoryRow, JournalRow, Message, Part, PendingMessage, StateRow


@pytest.fixture(autouse=True)
def _a_slow_disk_is_no_sick_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A neighbour may have the machine's disk for seconds. Tests of one that hangs say how soon they lose patience."""
    for module, name in ((store_module, "STALL_S"), (worker_module, "STALL_S"), (worker_module, "OPEN_S")):
        monkeypatch.setattr(module, name, 60.0)


def body(durable: bool) -> bytes:
    return b"told durable" if durable else b"told from memory"


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    """The n-th alert as a batch."""

    def make(n: int, *, lane: str = "critical", size: int = 20) -> Batch:
        return Batch(
            journal=(JournalRow(n * 1_000, f"run.{n}", "press", b"j" * size),),
            state=(StateRow("alert", f"a{n}", b"s" * size), StateRow("counter", "presses", str(n).encode())),
            history=(HistoryRow(f"a{n}", 1, "raised", n * 1_000, None, "", b"h" * size),),
            messages=(Message(lane, n, f"a{n}/1", "alerts", b"m" * size, f"a{n}"),),
            stamp=(n * 1_000, b"clocks"),
        )

    return make


@pytest.fixture
def make_part() -> Callable[..., Part]:
    """The n-th event as a part: urgent with a message, or a quiet reading."""

    def make(n: int, *, urgent: bool = True, lane: str = "critical", size: int = 20) -> Part:
        row = JournalRow(n * 1_000, f"run.{n}", "press" if urgent else "reading", b"j" * size)
        if not urgent:
            return Part((row,), (StateRow("counter", "readings", str(n).encode()),), stamp=(n * 1_000, b""))
        return Part(
            (row,),
            (StateRow("alert", f"a{n}", str(n).encode()),),
            (HistoryRow(f"a{n}", 1, "raised", n * 1_000, None, "", b"h"),),
            (PendingMessage(lane, n, f"a{n}/1", "alerts", f"a{n}", body),),
            (n * 1_000, b"clocks"),
            urgent=True,
        )

    return make


class TinyDisk:
    """A real file system of 768 KiB that can be filled, emptied and made read-only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                pass

    def free(self, bytes_: int | None = None) -> None:
        """So many, or all that was filled."""
        if bytes_ is None:
            self._ballast.unlink()
        else:
            os.truncate(self._ballast, self._ballast.stat().st_size - bytes_)

    @property
    def room(self) -> int:
        """Bytes that are free."""
        state = os.statvfs(self.path)
        return state.f_bavail * state.f_bsize

    def read_only(self, on: bool) -> None:
        subprocess.run(["mount", "-o", f"remount,{'ro' if on else 'rw'}", self.path], check=True)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[TinyDisk]:
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=768k,mode=700", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a file system of our own needs root; RLIMIT_FSIZE covers part of this in tests/faults")
    yield TinyDisk(path)
    subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Syncs of the commit log that do not return until they may; what was written is with the system all the same."""
    may, real = Gate(monkeypatch), os.fdatasync

    def fdatasync(handle: int) -> None:
        may.wait(60)
        real(handle)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    yield may
    may.set()
