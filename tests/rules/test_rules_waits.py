"""A site file that says for how long something may be silent, must hold or be gone, or is answered: nobody is missed sooner than that
after it was said, and nobody is called later for an edit.
"""

from __future__ import annotations

import msgspec
import pytest

from gateway.alerts import Priority
from gateway.events import SiteLoaded
from gateway.instant import DAY, HOUR, MINUTE, SECOND
from gateway.rules.compound import FactSpec, Subject


@pytest.fixture(params=["reload", "restart"])
def waits(request, house, subjects):
    """``waits(core, ms)``: from now on the button is missed when it was silent for so long (None: never; False: it says no such thing)."""

    def edit(core, silence):
        facts = {name: spec for name, spec in subjects[3].facts.items() if name != "heard"}
        if silence is not False:
            facts["heard"] = FactSpec("dBm", silence)
        button = msgspec.structs.replace(subjects[3], facts=facts)
        other = Subject("other", "button", "b1/s1/302", (), {"heard": FactSpec()})
        compound = house(subjects=(*(button if s.id == "button" else s for s in subjects), other))
        core.forget()
        if request.param == "restart":
            core.restart(after=SECOND, compound=compound)
        else:
            core.die(compound)
            core.give(SiteLoaded("f"))
        return core

    return edit


@pytest.mark.parametrize("meanwhile", [None, False])
def test_who_is_waited_for_again_is_missed_no_sooner_than_that(core, waits, meanwhile):
    """Was: a terminal whose heartbeat was edited below an hour and back was lost at once, for what it had said before."""
    core.read("button", "heard", -60, SECOND)
    waits(core, meanwhile)
    core.wait(5 * DAY)
    waits(core, 12 * HOUR)
    core.wait(core.at + 11 * HOUR)
    assert core.said("missing") == []
    core.wait(core.at + HOUR)
    assert core.said("missing") == ["raised", "told"]


def test_a_shorter_wait_begins_when_it_is_said(core, waits):
    """Was: a button that was to be heard once a day was missed at once when it was to be heard each hour."""
    core.read("button", "heard", -60, SECOND)
    core.wait(4 * HOUR)
    waits(core, 3 * HOUR)
    core.wait(6 * HOUR)
    assert core.said("missing") == []
    waits(core, 3 * HOUR)
    core.wait(7 * HOUR + MINUTE)
    assert core.said("missing") == ["raised", "told"]


@pytest.mark.parametrize("wait", [3, 11])
def test_nor_is_anybody_missed_later_for_it_than_by_the_file_before(core, waits, wait):
    """Was: a wait of twelve hours made an hour shorter in its eleventh began anew, and the button was missed after twenty-two."""
    core.read("button", "heard", -60, SECOND)
    core.wait(11 * HOUR)
    waits(core, wait * HOUR)
    core.wait(12 * HOUR - MINUTE)
    assert core.said("missing") == []
    core.wait(12 * HOUR + MINUTE)
    assert core.said("missing") == ["raised", "told"]


def test_who_is_missed_already_is_not_found_by_an_edit(core, waits):
    core.wait(12 * HOUR + MINUTE)
    assert core.said("missing") == ["raised", "told"]
    waits(core, 3 * HOUR)
    core.wait(12 * HOUR + 2 * MINUTE)
    assert core.said("missing") == []
    assert waits(core, 2 * DAY).said("missing") == ["returned"]


def test_another_edit_begins_no_wait_anew(core, waits):
    core.read("button", "heard", -60, SECOND)
    core.wait(11 * HOUR)
    waits(core, 12 * HOUR)
    core.wait(12 * HOUR + MINUTE)
    assert core.said("missing") == ["raised", "told"]


def test_what_it_has_no_more_is_not_what_it_says_when_it_has_it_again(core, house, subjects):
    """Was: a product that was put back alarmed at once by what one of its points had said before it was exchanged."""
    core.read("water", "water", True, SECOND)
    other = msgspec.structs.replace(subjects[2], id="water-2")
    dry = (*(msgspec.structs.replace(s, facts={}) if s.id == "water" else s for s in subjects), other)
    for compound in (house(subjects=dry), core.compound):
        core.forget().die(compound)
        core.give(SiteLoaded("f"))
    assert core.said("water") == []
    core.read("water", "water", True, MINUTE)
    assert core.said("water") == ["raised", "told"]


@pytest.mark.parametrize(
    "edits", [[(4, 3), (5, 12)], [(4, 3), (5, 12), (6, 3), (7, 12), (8, 11), (9, 12)], [(4, 3), (5, 4), (6, 12)]]
)
def test_a_shorter_wait_that_is_taken_back_was_never_said(core, waits, edits):
    """Was: it began when the shorter one was said, so the button was missed hours later than by either file, or never."""
    core.read("button", "heard", -60, SECOND)
    for hour, wait in edits:
        core.wait(hour * HOUR)
        waits(core, wait * HOUR)
    core.wait(12 * HOUR - MINUTE)
    assert core.said("missing") == []
    core.wait(12 * HOUR + MINUTE)
    assert core.said("missing") == ["raised", "told"]


def test_a_wait_between_two_misses_nobody_later_than_the_shorter_did(core, waits):
    core.read("button", "heard", -60, SECOND)
    core.wait(4 * HOUR)
    waits(core, 3 * HOUR)
    core.wait(5 * HOUR)
    waits(core, 4 * HOUR)
    core.wait(7 * HOUR - MINUTE)
    assert core.said("missing") == []
    core.wait(7 * HOUR + MINUTE)
    assert core.said("missing") == ["raised", "told"]


def test_who_was_heard_since_is_waited_for_by_the_shorter_wait_alone(core, waits):
    core.wait(4 * HOUR)
    waits(core, 3 * HOUR)
    core.read("button", "heard", -60, 5 * HOUR)
    core.wait(8 * HOUR - MINUTE)
    assert core.said("missing") == []
    core.die()
    core.wait(8 * HOUR + MINUTE)
    assert core.said("missing") == ["raised", "told"]


# Delays, and the time to come after an answer

LEAK = """
- rule: leak
  subjects: { kind: water-detector }
  when: { point: water, is: true }
  priority: high
  grade: small
"""


@pytest.fixture(params=["reload", "restart"])
def loaded(request):
    """``loaded(core, compound)``: from now on the site file says this."""

    def load(core, compound):
        if request.param == "restart":
            core.restart(after=SECOND, compound=compound)
        else:
            core.die(compound)
            core.give(SiteLoaded("f"))
        core.wait(core.at)
        return core

    return load


def delays(on, off):
    """For how many minutes the leak must be there, and be gone."""
    return f"{LEAK}  on_delay: {on}min\n  off_delay: {off}min\n"


def when(core, kind):
    """In which minutes this was said."""
    return [p.change.at // MINUTE for p in core.changes if p.change.kind.value == kind]


@pytest.mark.parametrize(("minutes", "raised"), [(0, 10), (2, 10), (15, 15), (20, 20), (30, 30)])
def test_a_delay_that_runs_goes_by_the_file_in_force_from_when_it_began(make, house, loaded, minutes, raised):
    """Was: a delay of a day, put right to a minute, ran for the day where it had begun."""
    core = make(delays(20, 0))
    core.read("water", "water", True, 0)
    core.wait(10 * MINUTE)
    for _ in range(2):
        loaded(core, house(delays(minutes, 0)))
    core.wait(HOUR)
    assert when(core, "raised") == [raised]


@pytest.mark.parametrize(("minutes", "returned"), [(0, 10), (2, 10), (15, 15), (30, 30)])
def test_so_does_one_by_which_it_must_be_gone(make, house, loaded, minutes, returned):
    core = make(delays(0, 20))
    core.read("water", "water", True, 0)
    core.read("water", "water", False, 0)
    core.wait(10 * MINUTE)
    loaded(core.forget(), house(delays(0, minutes)))
    core.wait(HOUR)
    assert when(core, "returned") == [returned]


def test_a_delay_that_is_taken_back_was_never_said(make, house, loaded):
    core = make(delays(20, 0))
    core.read("water", "water", True, 0)
    for minute, delay in ((1, 5), (2, 20), (10, 60), (11, 20)):
        core.wait(minute * MINUTE)
        loaded(core, house(delays(delay, 0)))
    core.wait(HOUR)
    assert when(core, "raised") == [20]


@pytest.mark.parametrize(("minutes", "raised"), [(15, 15), (30, 30)])
def test_a_delay_that_would_be_over_in_a_downtime_goes_by_the_file_that_was_found_then(make, house, minutes, raised):
    core = make(delays(20, 0))
    core.read("water", "water", True, 0)
    core.wait(10 * MINUTE)
    core.restart(after=15 * MINUTE, compound=house(delays(minutes, 0)))
    core.wait(HOUR)
    assert when(core, "raised") == [raised]


@pytest.fixture
def answered(make, house):
    """``answered(minutes)``: the house in which who has answered is waited for so long."""

    def within(minutes):
        compound = house(LEAK)
        grid = msgspec.structs.replace(compound.grid, answer_by={Priority.HIGH: minutes * MINUTE})
        return msgspec.structs.replace(compound, grid=grid)

    return within


@pytest.mark.parametrize(("minutes", "told"), [(5, 15), (60, 20)])
def test_who_has_answered_is_waited_for_no_longer_than_the_site_file_says_now(make, loaded, answered, minutes, told):
    """Was: a day, where the file that said so was put right after the answer."""
    core = make(LEAK)
    core.die(answered(20))
    core.give(SiteLoaded("f"))
    core.read("water", "water", True, 0)
    core.ask("ack", "leak", 0)
    core.wait(10 * MINUTE)
    for _ in range(2):
        loaded(core.forget(), answered(minutes))
    core.wait((told + 1) * MINUTE)
    assert (when(core, "told"), core.alert("leak").told[-1].because) == ([told], "not_on_site")
