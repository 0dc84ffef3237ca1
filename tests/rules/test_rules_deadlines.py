"""Deadlines as data."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.rules.deadlines import Deadlines


def test_armed_moved_dropped_and_taken_in_order():
    due = Deadlines()
    due.arm(("b",), 5)
    due.arm(("a",), 5)
    due.arm(("c",), 1)
    due.arm(("c",), 9)
    due.arm(("d",), 2)
    due.arm(("d",), None)
    due.arm(("never",), None)
    assert due.next_due() == 5
    assert due.pop(4) is None
    assert [due.pop(9), due.pop(9), due.pop(9), due.pop(9)] == [(5, ("a",)), (5, ("b",)), (9, ("c",)), None]
    assert due.next_due() is None


def test_armed_again_for_the_same_moment_is_taken_once():
    due = Deadlines()
    for moment in (5, 7, 5, 7, 5):
        due.arm(("a",), moment)
    assert due.pop(9) == (5, ("a",))
    assert due.pop(9) is None


def test_what_is_moved_often_does_not_pile_up():
    due = Deadlines()
    for n in range(10_000):
        due.arm((str(n % 50),), n)
    assert len(due._heap) <= 64 + 4 * 50


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.none() | st.integers(0, 50)), max_size=60))
def test_it_is_a_sorted_dictionary(steps):
    due, model = Deadlines(), {}
    for name, moment in steps:
        due.arm((name,), moment)
        model.pop(name, None)
        if moment is not None:
            model[name] = moment
    taken = iter(lambda: due.pop(100), None)
    assert [(moment, name) for moment, (name,) in taken] == sorted((moment, name) for name, moment in model.items())
