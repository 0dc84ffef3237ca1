"""Nobody takes more than his rate in any stretch of time, nobody is refused below it, and a refusal is written down seldom."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from instruments.virtual import virtual_run

from gateway.events import Verb
from gateway.reminding import RefusalBook
from gateway.restraint import ANSWER_RATE, ORDER_RATE, REMIND_S, Allowance, CommandAllowance, Rate, Reminders

rates = st.builds(Rate, burst=st.integers(1, 20), every_s=st.sampled_from([0.1, 1.0, 7.0]))
pauses = st.lists(st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0, 7.0, 30.0]), max_size=80)


@given(rates, pauses)
def test_in_no_stretch_of_time_more_is_taken_than_the_rate_says(rate, waits):
    allowance = Allowance(rate)
    taken = [at for at in itertools.accumulate(waits) if allowance.take("one", at)]
    for i, begin in enumerate(taken):
        for n, end in enumerate(taken[i:], 1):
            assert n <= rate.most_within(end - begin)


@given(rates, st.integers(1, 100))
def test_who_keeps_to_the_rate_is_never_refused(rate, times):
    allowance = Allowance(rate)
    assert all(allowance.take("one", 1e6) for _ in range(rate.burst))
    assert not allowance.take("one", 1e6)
    assert all(allowance.take("one", 1e6 + n * rate.every_s) for n in range(1, times))


def test_who_is_owed_nothing_is_not_remembered():
    allowance = Allowance(Rate(2, 1.0))
    for n in range(100_000):
        allowance.take(n, n / 10)
    assert len(allowance._full_at) < 1_000


@pytest.mark.parametrize("babbled", list(Verb))
def test_a_principal_that_babbles_one_verb_can_still_give_every_other(babbled):
    allowance = CommandAllowance()
    while allowance.take("duty", babbled, 0.0):
        pass
    assert all(allowance.take("duty", other, 0.0) for other in Verb if other is not babbled)
    assert allowance.take("street", babbled, 0.0)


def test_a_duty_office_of_ten_answers_every_alert_of_a_storm_and_goes_on():
    """A thousand alerts at one stroke, and then ten people who each answer one in ten seconds, for a day."""
    allowance = CommandAllowance()
    assert all(allowance.take("duty", verb, 0.0) for verb in (Verb.ACK, Verb.CLOSE) for _ in range(1_000))
    assert all(allowance.take("duty", Verb.ACK, 1.0 + n) for n in range(86_400))
    assert ANSWER_RATE.most_within(300) >= 1_000
    assert ORDER_RATE.most_within(0) >= 30


def test_of_a_flood_of_refusals_one_a_minute_is_written_down_with_its_number():
    reminders = Reminders()
    said = [times for tenth in range(1_800) if (times := reminders.due("duty", tenth / 10))]
    assert said == [1, 600, 600]
    assert reminders.due("street", 200.0) == 1
    assert reminders.due("duty", 180.0 + REMIND_S) == 600


def test_the_rest_of_a_flood_is_written_when_its_minute_is_over():
    told = []

    async def main():
        book, loop = RefusalBook(), asyncio.get_running_loop()
        for n in range(500):  # within five seconds
            book.note("duty", loop.time(), lambda times, n=n: told.append((round(loop.time()), n, times)))
            await asyncio.sleep(0.01)
        await asyncio.sleep(3 * REMIND_S)
        assert [(n, times) for _, n, times in told] == [(0, 1), (1, 499)]
        assert told[1][0] - told[0][0] == REMIND_S
        book.note("duty", loop.time(), told.append)
        book.note("duty", loop.time(), told.append)
        book.end()
        await asyncio.sleep(3 * REMIND_S)
        assert told[2:] == [1, 1], "at the end at once, and not again"

    virtual_run(main(), patience_s=0.0)
