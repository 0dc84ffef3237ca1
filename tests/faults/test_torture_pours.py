"""That the row of a hundred a second can fail, and what it calls out of order."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from e2e.walking import needs

from .torture import pours
from .torture.pours import Event, overtaken
from .torture.rows import Budget

HASTY = str(Path(__file__).with_name("hasty.py"))


@pytest.mark.timeout(300)
def test_a_gateway_that_answers_from_a_queue_in_memory_loses_what_it_accepted(monkeypatch, tmp_path):
    needs()
    monkeypatch.setattr(pours, "QUIET_S", 10.0)
    monkeypatch.setattr(pours, "KILLED_S", (1.5, 1.5))
    monkeypatch.setattr(pours, "overtaken", lambda *_: 7)
    row = asyncio.run(pours.hundred_a_second(tmp_path, Budget(1, 60), HASTY))
    assert (row.lost > 0, row.out_of_order) == (True, 7)
    assert row.wrong == [f"answered 200 and lost: {row.lost} of {pours.DOORS}"]


@pytest.mark.parametrize(
    ("came", "count"),
    [(["a", "b", "c"], 0), (["b", "a", "c"], 0), (["a", "c", "b"], 1), (["c", "b", "a"], 1), (["c", "a"], 1)],
    ids=["as caused", "two at once", "behind a later one", "all behind", "one lost"],
)
def test_out_of_order_is_what_came_behind_one_that_was_caused_after_it_was_accepted(came, count):
    events = [Event("a", caused=0.0, accepted=1.0), Event("b", caused=0.5, accepted=1.5), Event("c", 2.0, 2.1)]
    assert overtaken(events, came) == count
