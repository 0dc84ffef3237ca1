"""The power of a real ext4 on a loop device is cut under the store: a few cuts of ``make torture``, and one that must lose."""

from __future__ import annotations

import pytest

from .test_store_power_cut import NORMAL
from .torture import ext4
from .torture.rows import Budget, Row

TRIES = 20
pytestmark = pytest.mark.skipif(not ext4.possible(), reason=ext4.NOT_HERE)


def test_no_cut_takes_an_acknowledged_commit_or_document(tmp_path):
    row = ext4.store(tmp_path, Budget(4, 120))
    assert row.clean, row
    assert (row.trials, row.raised > 0) == (4, True)


def test_a_store_that_does_not_sync_loses_what_it_acknowledged(tmp_path):
    row = Row()
    with ext4.Ext4(tmp_path / "power") as disk:
        for n in range(TRIES):
            state = disk.folder / f"state-{n}"
            state.mkdir(mode=0o700)
            acks = ext4.cut_store(disk, ext4.endless(NORMAL), state, 0.2)
            ext4.judge_store(row, acks, state, ext4.commits)
            if row.lost:
                return
    raise AssertionError("nothing was ever lost: the power was not cut")
