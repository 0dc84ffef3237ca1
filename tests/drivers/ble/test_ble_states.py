"""A press that lasts while its frame is there: its edge, its echoes, its end, and what a restart makes of it."""

from __future__ import annotations

import pytest

from gateway.drivers.ble.states import ECHO_MS, Habit, Held, habit_of
from gateway.events import PressKind
from gateway.instant import MINUTE, SECOND, Instant
from gateway.site.model import Button

ONE, TWO = ("1", PressKind.SINGLE), ("2", PressKind.SINGLE)
CLEARED = Habit(10 * MINUTE, till_idle=True)


@pytest.mark.parametrize(
    ("format_", "until", "till_idle"),
    [
        ("flag", "", True),
        ("flag", "silence", False),
        ("flag", "idle", True),
        ("ibeacon", "", False),
        ("ibeacon", "idle", True),
    ],
)
def test_a_flag_stands_until_it_is_cleared_unless_the_site_file_says_otherwise(format_, until, till_idle):
    assert habit_of(Button("b", "AA:BB:CC:DD:EE:01", "b1", None, format_, until=until)).till_idle is till_idle


def test_of_two_keys_pressed_the_one_seen_idle_is_ended_and_the_other_goes_on():
    held = Held(CLEARED)
    assert held.take([ONE, TWO], Instant(0)) == (ONE, TWO)
    held.see_idle(["1"])
    assert held.next_due() == ECHO_MS + 1, "the first to end"
    held.expire(Instant(ECHO_MS + 1))
    assert held.take([ONE, TWO], Instant(5 * SECOND)) == (ONE,)


def test_a_slower_radios_echo_of_an_ended_press_is_none():
    held = Held(CLEARED)
    held.take([ONE], Instant(0))
    held.see_idle(["1"])
    assert held.take([ONE], Instant(ECHO_MS)) == ()
    assert held.take([ONE], Instant(ECHO_MS + 1)) == (ONE,)


def test_an_idle_key_that_nobody_pressed_ends_nothing():
    held = Held(CLEARED)
    held.see_idle(["1"])
    assert held.take([ONE], Instant(SECOND)) == (ONE,)


@pytest.mark.parametrize(("said_at", "ends"), [(1, 22), (40, 60)])
def test_after_a_restart_it_goes_on_from_its_press_or_from_when_it_was_last_said_to(said_at, ends):
    """Said anew every five seconds: silence counts from the later of the two, and never from a time to come."""
    held = Held(Habit(15 * SECOND))
    held.restore(ONE, Instant(7 * SECOND))
    held.resume(Instant(said_at * SECOND), Instant((said_at + 10) * SECOND))
    assert held.next_due() == ends * SECOND
