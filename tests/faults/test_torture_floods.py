"""What is asked of a flood of alerts: that they can be shown together, and that none is hidden for it."""

from __future__ import annotations

import pytest

from gateway.sim.receiver import Arrival

from .torture.floods import CROSSED, judge_together
from .torture.rows import Row

COUNT = 3


def _raised(counted):
    """Of each limit so many messages, each of which counts its group so."""
    bodies = [{"data": {"rule": rule, "change": "raised", "group": {"open": n}}} for rule in CROSSED for n in counted]
    return [Arrival(f"a{n}/1", "s", "critical", n, body) for n, body in enumerate(bodies, 1)]


@pytest.mark.parametrize(
    ("listed", "counted", "wrong"),
    [
        ("abc", (1, 2, 3), 0),
        ("acb", (2, 1, 3), 0),
        ("ab", (1, 2, 3), 1),
        ("abbc", (1, 2, 3), 1),
        ("abc", (1, 2, 2), 2),
        ("abc", (1, 2), 2),
        ("abc", (), 2),
    ],
)
def test_an_alert_that_is_hidden_or_not_counted_is_found_out(listed, counted, wrong):
    opened = dict.fromkeys("abc", ("gas-low", "gas-1"))
    judge_together(row := Row(trials=1), opened, listed, _raised(counted), COUNT)
    assert len(row.wrong) == wrong, row.wrong
