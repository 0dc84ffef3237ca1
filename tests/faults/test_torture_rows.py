"""Every fault of ``make torture`` at its shortest: nothing lost, doubled, out of order or otherwise wrong. Times decide nothing.

Most of a trial is waiting, so some faults of a family run side by side, each in a process of its own as with ``--jobs``. Each is a
daemon and a compound: more of them on a small machine would only wait for each other.
"""

from __future__ import annotations

from collections import defaultdict

import pytest

from .torture.faults import FAULTS
from .torture.jobs import side_by_side

AT_ONCE = 3
MOST = 12
"""Faults of a part: a large family is several tests, none of which is long; those that have no family wait together."""

FIRST = (
    "kill-9-at-100-a-second",
    "kill-9-in-a-wait",
    "kill-9-in-a-drain",
    "disk-fsync-2s",
    "broker-1-kB-a-second",
    "clock-daylight-saving",
    "clock-tls",
    "clock-ntp-steps-real",
    "clock-counters-wrap",
    "load-babbling-client",
    "bug-in-the-core",
    "bug-hang-in-the-core",
    "bug-at-every-start",
)
"""What takes longest, so that nobody waits for one of these alone; it decides nothing else."""


def _parts() -> dict[str, list[str]]:
    families = defaultdict[str, list[str]](list)
    for name in sorted(FAULTS, key=lambda name: name not in FIRST):
        if not FAULTS[name].apart:
            families[name.partition("-")[0]].append(name)
    alone = [families.pop(family) for family in [family for family, names in families.items() if len(names) == 1]]
    families["alone"] = [name for names in alone for name in names]
    return {
        f"{family}-{n // MOST + 1}": names[n : n + MOST]
        for family, names in families.items()
        for n in range(0, len(names), MOST)
    }


PARTS = _parts()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", PARTS)
def test_nothing_is_lost_doubled_or_out_of_order(part, subtests):
    lacking = {name: FAULTS[name].lacking for name in PARTS[part]}
    rows = side_by_side([name for name in PARTS[part] if not lacking[name]], AT_ONCE)
    for name in PARTS[part]:
        with subtests.test(name):
            if lacking[name]:
                pytest.skip(lacking[name])
            assert rows[name].balanced, (rows[name].wrong, rows[name])
            assert rows[name].raised > 0


def test_every_fault_is_tried_here_or_says_why_not():
    assert set(FIRST) <= set(FAULTS)
    tried = [name for names in PARTS.values() for name in names]
    assert sorted([*tried, *(name for name, fault in FAULTS.items() if fault.apart)]) == sorted(FAULTS)


def test_what_is_too_long_for_this_is_part_of_a_quick_run():
    assert [name for name, fault in FAULTS.items() if fault.apart and not fault.quick[0]] == []
