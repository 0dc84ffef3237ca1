"""What a soak calls growth, over weeks; and that the laboratory's own memory is no part of it."""

from __future__ import annotations

import json
import sys

import pytest

from .torture import soak
from .torture.register import Register
from .torture.rows import Row


def _sizes(*weeks_mib):
    """A day, some hours, and weeks of which each is this large at least, and larger by half at most looks."""
    size = soak.Size(60.0, 27, 23, 9, 3_000_000)
    looks = [size] * (soak.LOOKS_A_DAY + 5)
    for mib in weeks_mib:
        looks += [size._replace(rss_mib=mib), *[size._replace(rss_mib=1.5 * mib)] * (soak.WEEK - 1)]
    return looks


@pytest.mark.parametrize(
    ("weeks_mib", "wrong"),
    [
        ((80.0, 84.0, 86.0, 86.4), []),
        ((80.0, 81.5, 83.0, 84.5), ["memory grew from 83.0 to 84.5 MiB in the last week"]),
        ((80.0, 90.0, 85.0), []),
    ],
)
def test_memory_is_to_level_off(weeks_mib, wrong):
    soak._judge(row := Row(trials=28), _sizes(*weeks_mib))
    assert row.wrong == wrong
    assert row.notes[-1] == f"least memory of each week: {', '.join(map(str, weeks_mib))} MiB"


def _message(lane, sequence, alert, change="raised", subject="pb-1"):
    data = {"rule": "sos", "subject": subject, "change": change}
    body = {"id": f"{alert}/{sequence}", "subject": alert, "lane": lane, "sequence": str(sequence), "data": data}
    return json.dumps(body).encode()


def test_a_register_that_turns_its_page_forgets_messages_and_counts_on():
    register, row = Register(), Row()
    for n in range(1, 1001):
        register.caused["sos", "pb-1"] += 1
        register.take(_message("critical", n, f"a{n}"))
        if n % 100 == 0:
            register.turn_page(row)
            assert len(register) == 0
    assert (row.raised, row.lost, row.doubled, row.out_of_order, row.wrong) == (1000, 0, 0, 0, [])
    assert sys.getsizeof(register._sums) + sys.getsizeof(register._highest) < 1000


def test_what_is_lost_doubled_or_late_over_a_turned_page_is_found():
    register, row = Register(), Row()
    register.take(_message("critical", 1, "a"))
    register.caused["sos", "pb-1"] += 1
    register.turn_page(row)
    register.take(_message("critical", 1, "a"))
    register.take(_message("critical", 3, "b", subject="pb-2"))
    register.caused["sos", "pb-3"] += 1
    register.turn_page(row)
    assert (row.lost, row.out_of_order) == (1, 1)
    assert "lane critical: 1 of 2 messages never came" in row.wrong
