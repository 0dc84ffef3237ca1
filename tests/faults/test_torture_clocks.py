"""What is called early, late, twice, never, and what may not be at all."""

from __future__ import annotations

import pytest

from .torture import clocks
from .torture.register import Diary
from .torture.rows import Row

DUE = {(clocks.STUFFY, "raised"): (1800.0, 1840.0), (clocks.HOT, "raised"): None}


@pytest.mark.parametrize(
    ("stuffy", "hot", "wrong"),
    [
        ([1805.0], [], 0),
        ([1799.0], [], 1),
        ([1841.0], [], 1),
        ([1805.0, 1830.0], [], 1),
        ([], [], 1),
        ([1805.0], [1900.0], 1),
    ],
    ids=["in time", "early", "late", "twice", "never", "what ended before"],
)
def test_a_wait_ends_once_and_at_its_time(stuffy, hot, wrong):
    diary = Diary()
    for kind, moments in ((clocks.STUFFY, stuffy), (clocks.HOT, hot)):
        if moments:
            diary.alerts[kind].add(kind[0])
        diary.steps[kind[0]] = [("raised", at) for at in moments] + [("told", 1.0)]
    clocks.judge_waits(diary, DUE, row := Row(trials=1))
    assert len(row.wrong) == wrong


def test_who_asks_for_an_alert_that_never_was_makes_none():
    diary = Diary()
    assert diary.alert(clocks.HOT) == ""
    diary.close_account(row := Row(trials=1))
    assert row.clean
