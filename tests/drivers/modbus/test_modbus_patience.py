"""How long one unit is waited for: it learns from late answers, and forgets."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.drivers.modbus.load import LISTEN_S
from gateway.drivers.modbus.owing import FAR_S, MARGIN_S, MORE_S, SETTLE_S
from gateway.drivers.modbus.patience import FLOOR_S, MAX_S, SILENT_AFTER, Patience
from gateway.drivers.modbus.watch import MISSES
from gateway.site.profile import SLOWEST_MS

PROFILE_S = 0.3


def test_three_misses_of_the_most_dawdling_unit_fit_into_the_promise():
    settled_s = max(SETTLE_S, MAX_S + MORE_S)
    assert MISSES == 3
    assert LISTEN_S + settled_s + FAR_S + MAX_S < 10, "two of one block, and one of another that looks like it"
    assert SLOWEST_MS / 1000 + MARGIN_S <= MAX_S, "a profile may not allow what nobody waits for"
    patience = Patience()
    patience.late(1.9)
    assert patience.timeout_s(PROFILE_S) == MAX_S


def test_a_late_answer_teaches_and_quick_ones_make_forget():
    patience = Patience()
    assert patience.timeout_s(PROFILE_S) == FLOOR_S, "nothing is known: a short first try, a late answer teaches"
    patience.answered(0.02)
    assert patience.timeout_s(PROFILE_S) == PROFILE_S
    patience.late(0.8)
    assert abs(patience.timeout_s(PROFILE_S) - 1.2) < 1e-9
    for _ in range(60):
        patience.answered(0.02)
    assert 0.8 < patience.timeout_s(PROFILE_S) < 0.9
    for _ in range(600):
        patience.answered(0.02)
    assert patience.timeout_s(PROFILE_S) == FLOOR_S


def test_a_write_gets_all_that_the_profile_allows_from_the_first_one_on():
    patience = Patience()
    assert patience.timeout_s(PROFILE_S, patient=True) == PROFILE_S
    for _ in range(40):
        patience.answered(0.02)
    assert patience.timeout_s(PROFILE_S, patient=True) == PROFILE_S
    patience.late(1.0)
    assert patience.timeout_s(PROFILE_S, patient=True) == 1.5


def test_a_write_is_not_waited_for_patiently_where_the_unit_says_nothing_any_more():
    patience = Patience()
    patience.answered(0.02)
    for _ in range(SILENT_AFTER):
        assert patience.timeout_s(PROFILE_S, patient=True) == PROFILE_S
        patience.missed()
    assert patience.timeout_s(PROFILE_S, patient=True) == FLOOR_S
    patience.answered(0.02)
    assert patience.timeout_s(PROFILE_S, patient=True) == PROFILE_S


def test_a_quick_unit_is_waited_for_half_as_long_again_as_it_took_of_late():
    patience = Patience()
    for _ in range(40):
        patience.answered(0.1)
    assert abs(patience.timeout_s(0.3) - 0.15) < 1e-9
    patience.answered(0.14)
    assert abs(patience.timeout_s(0.3) - 0.21) < 1e-9
    patience.answered(0.29)
    assert patience.timeout_s(0.3) == 0.3, "its profile says how slow it may be"


def test_a_unit_that_is_always_slow_is_not_forgotten():
    patience = Patience()
    patience.late(0.8)
    for _ in range(1000):
        patience.answered(0.8)
    assert patience.timeout_s(PROFILE_S) >= 1.0


def test_a_unit_that_says_nothing_at_all_is_not_waited_for_longer_than_its_profile_says():
    patience = Patience()
    patience.late(1.0)
    for _ in range(MISSES):
        assert patience.timeout_s(PROFILE_S) == 1.5
        patience.missed()
    assert patience.timeout_s(PROFILE_S) == FLOOR_S
    patience.late(0.5)
    assert patience.timeout_s(PROFILE_S) == 0.75, "it speaks again, and is learnt anew"


def test_misses_between_answers_do_not_add_up():
    patience = Patience()
    patience.late(1.0)
    for _ in range(10):
        patience.missed()
        patience.answered(1.0)
    assert patience.timeout_s(PROFILE_S) == 1.5


@given(st.lists(st.tuples(st.sampled_from(["late", "answered", "missed"]), st.floats(0, 5))))
def test_it_stays_between_the_floor_and_the_cap(story):
    patience = Patience()
    for what, after_s in story:
        patience.missed() if what == "missed" else getattr(patience, what)(after_s)
        assert FLOOR_S <= patience.timeout_s(PROFILE_S) <= MAX_S
