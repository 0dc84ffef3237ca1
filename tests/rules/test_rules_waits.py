"""A site file that says for how long something may be silent: nobody is missed sooner than that after it was said."""

from __future__ import annotations

import msgspec
import pytest

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
