"""Samples that wait: none other than those that were added, and in a fraction of their place."""

from __future__ import annotations

import tracemalloc
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from gateway.store.samples import RUN, Waiting

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8"), max_size=8),
)
SAMPLES = st.tuples(
    st.sampled_from(["gas-1", "air-7"]), st.just("lel"), st.integers(0, 1 << 62), VALUES, st.just("good")
)


def _fields(waiting):
    return [(one.device, one.point, one.at, type(one.value), one.value, one.quality) for one in waiting]


def _packable(value):
    return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


@given(st.lists(SAMPLES, max_size=40), st.integers(1, 12), st.integers(0, 40))
def test_the_newest_wait_in_order_as_they_were_added_and_the_others_are_counted(samples, most, taken_after):
    waiting, model, dropped, taken = Waiting(most), deque(maxlen=most), 0, []
    for n, (device, point, at, value, quality) in enumerate(samples):
        if n == taken_after:
            taken = [(_fields(waiting.take()), [*model])]
            model.clear()
        dropped += len(model) == most
        kept_all = waiting.add(device, point, at, value, quality)
        assert kept_all == (len(model) < most)
        packed = _packable(value)
        model.append((device, point, at, type(packed), packed, quality))
        assert len(waiting) == len(model)
    assert _fields(waiting) == [*model]
    assert all(got == wanted for got, wanted in taken)


def test_runs_of_full_length_are_dropped_from_their_old_end():
    waiting = Waiting(3 * RUN)
    dropped = sum(not waiting.add("gas-1", "lel", at, at / 4, "good") for at in range(4 * RUN + 7))
    assert dropped == RUN + 7
    assert [one.at for one in waiting] == list(range(RUN + 7, 4 * RUN + 7))


def test_a_sample_that_waits_takes_less_than_half_of_what_its_object_would():
    """An object alone is 56 bytes, its number and its time 24 and 32 more."""
    n = 40 * RUN
    tracemalloc.start()
    try:
        waiting = Waiting(n)
        for at in range(n):
            waiting.add(f"air-{at % 64}", "temperature", 1_700_000_000_000 + at, at / 7, "good")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / n < 56
