"""What a siren may wait for an ill disk, and what two middles differ by without one."""

from __future__ import annotations

import random

from .torture import disks
from .torture.rows import Row


def _pressed(middle_ms, n=60):
    """Presses that meet a poll of the relay at any moment of it."""
    dice = random.Random(n)
    return [middle_ms + dice.uniform(-8, 8) for _ in range(n)]


def test_a_siren_that_waits_for_the_disk_is_found_out():
    disks._compare(row := Row(trials=1), _pressed(37), _pressed(54))
    assert len(row.late) == 1
    assert row.late[0].startswith("the siren waited for the disk: ")


def test_a_siren_that_is_as_quick_as_ever_or_quicker_is_none():
    for middle_ms in (20, 37, 40):
        disks._compare(row := Row(trials=1), _pressed(37), _pressed(middle_ms))
        assert row.clean, row.late


def test_few_presses_by_which_nothing_can_be_told_judge_nothing():
    disks._compare(row := Row(trials=1), [20.0, 37.0, 54.0], [90.0] * 3)
    assert row.clean


def test_the_grain_is_that_of_the_machine():
    assert disks.grain_ms([37.0] * 60, 60) == 0.0
    busy, quiet = disks.grain_ms(_pressed(37), 60), disks.grain_ms([36.0, 38.0] * 30, 60)
    assert quiet <= 2.0 < busy < 8.0
