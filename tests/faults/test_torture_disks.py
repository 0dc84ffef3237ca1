"""What a siren may wait for an ill disk, and when turns of presses with and without one can tell."""

from __future__ import annotations

import random

from .torture import disks
from .torture.rows import Row


def _turns(middle_ms, n=20, *, spread_ms=8.0, drift_ms=0.0):
    """Three presses each, which meet a poll of the relay at any moment of it, beside a load that comes and goes."""
    dice = random.Random(f"{middle_ms} {n}")
    return [
        [
            middle_ms + (drift_ms if turn % 8 < 4 else 0.0) + dice.uniform(-spread_ms, spread_ms)
            for _ in range(disks.PRESSED)
        ]
        for turn in range(n)
    ]


def _said(good, bad):
    disks._compare(row := Row(trials=1), good, bad)
    (note,) = row.notes
    return note.rpartition(": ")[2], row.late


def test_a_siren_that_waits_for_the_disk_is_found_out():
    said, late = _said(_turns(37), _turns(54))
    assert said == "more than a fifth slower"
    assert len(late) == 1
    assert late[0].startswith("the siren waited for the disk: ")


def test_a_siren_that_is_as_quick_as_ever_or_quicker_is_shown_to_be():
    for middle_ms in (20, 37, 38):
        assert _said(_turns(37), _turns(middle_ms)) == ("shown within a fifth", [])


def test_a_load_that_is_in_both_turns_of_a_round_decides_nothing():
    assert _said(_turns(37, drift_ms=80), _turns(38, drift_ms=80)) == ("shown within a fifth", [])
    assert _said(_turns(37, drift_ms=80), _turns(74, drift_ms=80))[0] == "more than a fifth slower"


def test_presses_that_differ_more_among_themselves_than_by_a_fifth_show_nothing():
    assert _said(_turns(37, spread_ms=36), _turns(42, spread_ms=36)) == ("too coarse to show a fifth", [])


def test_few_turns_by_which_nothing_can_be_told_judge_nothing():
    assert _said([[20.0], [37.0], [54.0]], [[90.0]] * 3) == ("too coarse to show a fifth", [])
