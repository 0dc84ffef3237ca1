"""The power of a real ext4 on a loop device is cut under the store: a few cuts of ``make torture``, and one that must lose."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys

import pytest
from instruments.waiting import until

from gateway.sim.leash import leashed

from .test_store_power_cut import NORMAL
from .torture import ext4
from .torture.folders import mounted_below, passing_folder
from .torture.jobs import TESTS
from .torture.rows import Budget, Row

pytestmark = pytest.mark.skipif(not ext4.possible(), reason=ext4.NOT_HERE)


def test_no_cut_takes_an_acknowledged_commit_or_document(tmp_path):
    row = ext4.store(tmp_path, Budget(4, 120))
    assert row.clean, row
    assert (row.trials, row.raised > 0) == (4, True)


def test_a_store_that_does_not_sync_loses_what_it_acknowledged(tmp_path):
    unsynced = NORMAL.replace("_CHECKPOINT_PAGES = 24", "_CHECKPOINT_PAGES = 1_000_000")  # folding back would sync
    row, state = Row(), tmp_path / "power" / "disk" / "state"
    with ext4.Ext4(tmp_path / "power") as disk:
        state.mkdir(mode=0o700)
        acks = ext4.cut_store(disk, ext4.endless(unsynced), state, 0.2)
        ext4.judge_store(row, acks, state, ext4.commits)
    assert row.lost > 0, row


def _loops(folder):
    """Loop devices whose image is, or was, in a folder."""
    said = subprocess.run(
        ["losetup", "--list", "--noheadings", "--output", "BACK-FILE"], capture_output=True, check=True
    )
    return [line for line in said.stdout.decode().splitlines() if line.strip().startswith(str(folder))]


def test_a_run_that_is_told_to_end_leaves_no_mount_and_no_loop_device(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(TESTS), "TMPDIR": str(tmp_path)}
    options = ["--job", "--into", str(tmp_path / "row.json"), "--trials", "100000", "power-cut-ext4-store"]
    process = subprocess.Popen(leashed([sys.executable, "-m", "faults.torture", *options]), env=environment)
    try:
        asyncio.run(until(lambda: [place for place in mounted_below(tmp_path) if list(place.glob("state-*"))], 120))
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.wait()
    assert mounted_below(tmp_path) == []
    asyncio.run(until(lambda: not _loops(tmp_path), 60))
    assert [path.name for path in tmp_path.glob("torture-*")] == []


def test_what_is_left_mounted_in_a_folder_goes_with_it(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with contextlib.suppress(KeyboardInterrupt), passing_folder("torture-") as folder:
        ext4.Ext4(folder / "power of one").__enter__()
        assert len(mounted_below(folder)) == 1
        raise KeyboardInterrupt
    assert mounted_below(tmp_path) == []
    assert not folder.exists()
    asyncio.run(until(lambda: not _loops(tmp_path), 60))
