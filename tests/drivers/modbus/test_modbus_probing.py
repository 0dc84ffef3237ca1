"""What may be spent on asking the dead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.drivers.modbus.probing import PART, ProbeBudget


def test_a_few_probes_at_once_then_one_fiftieth_of_the_time():
    budget, at, sent = ProbeBudget(0.0), 0.0, []
    while at < 600:
        at = max(at, budget.free_at(at))
        budget.spend(at, 0.1)
        at += 0.1
        sent.append(at)
    assert sent[4] == pytest.approx(0.5), "the first ones need not wait"
    assert budget.spent_s / 600 <= PART + 0.5 / 600 + 0.001
    assert len(sent) == pytest.approx(600 * PART / 0.1 + 5, abs=2)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 3)), max_size=60))
def test_it_never_spends_more_than_its_part(story):
    budget, at = ProbeBudget(0.0), 0.0
    for pause, cost in story:
        at = max(at + pause, budget.free_at(at + pause))
        budget.spend(at, cost)
        at += cost
    assert budget.spent_s <= PART * at + 0.5 + 3
