"""Every fault of ``make torture`` at its shortest: nothing lost, doubled, out of order or otherwise wrong. Times decide nothing.

Most of a trial is waiting, so the faults of a family run side by side, each in a process of its own as with ``--jobs``.
"""

from __future__ import annotations

import pytest

from .torture.faults import FAULTS
from .torture.jobs import side_by_side
from .torture.rows import Budget

AT_ONCE = 3
FAMILIES = sorted({name.partition("-")[0] for name, fault in FAULTS.items() if not fault.apart})


@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_lost_doubled_or_out_of_order(family, subtests):
    faults = {name: fault for name, fault in FAULTS.items() if name.partition("-")[0] == family and not fault.apart}
    lacking = {name: fault.lacking for name, fault in faults.items()}
    here = {name: Budget(*fault.least) for name, fault in faults.items() if not lacking[name]}
    rows = side_by_side(here, AT_ONCE)
    for name in faults:
        with subtests.test(name):
            if lacking[name]:
                pytest.skip(lacking[name])
            assert rows[name].balanced, rows[name]
            assert rows[name].raised > 0


def test_what_is_too_long_for_this_is_part_of_a_quick_run():
    assert [name for name, fault in FAULTS.items() if fault.apart and not fault.quick[0]] == []
