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


def test_what_is_moved_often_does_not_pile_up_and_keeps_its_order():
    due, last = Deadlines(), {}
    for n in range(10_000):
        last[n % 50] = n * 7919 % 10_007
        due.arm((str(n % 50),), last[n % 50])
    assert len(due._heap) <= 64 + 4 * 50
    assert [moment for moment, _ in iter(lambda: due.pop(10_007), None)] == sorted(last.values())


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


@given(
    st.lists(
        st.tuples(st.sampled_from(["arm", "later", "next"]), st.sampled_from("abcde"), st.none() | st.integers(0, 50)),
        max_size=60,
    )
)
def test_a_doubted_one_is_what_it_is_by_now_whenever_it_is_asked_for(steps):
    due, model = Deadlines(), {}
    due.ask = lambda name, _armed: model.get(name[0])
    for what, name, moment in steps:
        if what == "arm":
            due.arm((name,), moment)
            model[name] = moment
        elif what == "later" and moment is not None:
            model[name] = None if model.get(name) is None else model[name] + moment
            due.doubt([(name,)])
        elif what == "next":
            assert due.next_due() == min((at for at in model.values() if at is not None), default=None)
    taken = iter(lambda: due.pop(10_000), None)
    left = sorted((moment, name) for name, moment in model.items() if moment is not None)
    assert [(moment, name) for moment, (name,) in taken] == left


def test_one_that_is_no_more_when_it_is_asked_for_is_not_taken():
    due = Deadlines()
    due.ask = lambda _name, _armed: None
    due.arm(("a",), 5)
    due.arm(("b",), 7)
    due.doubt([("a",)])
    assert [due.pop(9), due.pop(9)] == [(7, ("b",)), None]
