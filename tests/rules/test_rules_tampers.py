"""A terminal has several lids and several fire inputs: one that is shut again says nothing of the others."""

from __future__ import annotations

import pytest
from rules.asking import HEALTH

from gateway.events import Entry, Paired
from gateway.instant import MINUTE
from gateway.rules.compound import FactSpec, Subject

RULES = """
- rule: tamper
  subjects: { kind: terminal }
  when: { point: tamper, is: true }
  priority: high
  grade: small
"""


@pytest.fixture
def gate(make):
    """Says that a lid of the gate was opened or shut, and answers whether the alert is active."""
    core, count = make(RULES), iter(range(1, 100))

    def say(what: str, lid: str | None, *, live: bool = True) -> bool:
        seq = next(count)
        core.entry(f"alarm.{what}", f"k{seq}", seq * MINUTE, seq=seq, reason=lid, live=live)
        return any(a.rule == "tamper" and a.condition.value == "active" for a in core.engine.alerts())

    say.core = core
    return say


def test_the_alert_returns_when_the_last_lid_is_shut(gate):
    assert gate("tamper", "reader_opened")
    assert gate("tamper", "terminal_opened")
    assert gate("tamper_cleared", "reader_opened"), "the terminal itself is open still"
    gate.core.restart(after=MINUTE)
    assert not gate("tamper_cleared", "terminal_opened")


def test_the_lids_of_another_terminal_are_its_own(make, subjects):
    east = Subject("east", "terminal", "east", facts={"tamper": FactSpec()} | HEALTH)
    core = make(RULES, subjects=(*subjects, east))
    core.entry("alarm.tamper", "a", 0, seq=1, reason="reader_opened")
    core.entry("alarm.tamper", "b", 1, seq=2, reason="terminal_opened")
    core.give(Entry("east", "alarm.tamper", "c", "5/76", seq=1, reason="reader_opened"), 2)
    core.entry("alarm.tamper_cleared", "d", 3, seq=3, reason="reader_opened")
    assert core.engine.board.rows.get("gate", "tamper").value is True


def test_a_log_that_tells_of_one_lid_shut_ends_that_alone(gate):
    assert gate("tamper", "reader_opened")
    assert gate("tamper", "terminal_opened")
    assert gate("tamper_cleared", "reader_opened", live=False)
    assert not gate("tamper_cleared", "terminal_opened", live=False)


def test_one_that_names_no_lid_and_one_of_an_earlier_version_end_by_their_own_word(gate):
    assert gate("tamper", None)
    assert not gate("tamper_cleared", None)
    assert gate("tamper", "reader_opened")
    gate.core.engine._terminals.alarms.drop("gate", "tamper", "reader_opened")
    assert not gate("tamper_cleared", "reader_opened")


def test_a_fire_input_ends_by_the_word_for_all_its_ways(make):
    core = make(RULES)
    core.entry("alarm.fire", "a", 0, seq=1, reason="fire_input_short")
    core.entry("alarm.fire", "b", 1, seq=2, reason="fire_button")
    core.entry("alarm.fire_cleared", "c", 2, seq=3, reason="fire_input")
    assert core.engine.board.rows.get("gate", "fire").value is True
    core.entry("alarm.fire_cleared", "d", 3, seq=4, reason="fire_button")
    assert core.engine.board.rows.get("gate", "fire").value is False


def test_another_device_at_the_door_has_lids_of_its_own(gate):
    gate.core.give(Paired("gate", "one"))
    assert gate("tamper", "reader_opened")
    gate.core.give(Paired("gate", "two"))
    assert not gate("tamper_cleared", "terminal_opened")


def test_a_lid_of_a_terminal_that_was_exchanged_is_open_no_more(gate):
    """Was: the alert stood for ever. Of what goes on none can be closed, and the new terminal's lids were never open."""
    gate.core.give(Paired("gate", "one"))
    assert gate("tamper", "reader_opened")
    gate.core.give(Paired("gate", "one"))
    assert gate("tamper", None), "the very same device was learnt once more"
    gate.core.forget().give(Paired("gate", "two"))
    assert gate.core.said("tamper") == ["returned"]


def test_a_lid_of_a_terminal_that_was_exchanged_in_the_site_file_is_open_no_more(gate):
    """Was: its alert stood for ever, for of this exchange nobody told the core."""
    gate.core.give(Paired("gate", "one", named=True))
    assert gate("tamper", "reader_opened")
    gate.core.restart(after=MINUTE)
    gate.core.give(Paired("gate", "one", named=True))
    assert gate("tamper", None)
    gate.core.forget().give(Paired("gate", "two", named=True))
    assert gate.core.said("tamper") == ["returned"]


def test_what_the_site_file_names_is_not_learnt(gate):
    """Who takes the name out of the site file again is not held to the device it named, but to what was learnt."""
    engine = gate.core.engine
    gate.core.give(Paired("gate", "one", named=True))
    assert (engine.paired("gate"), engine.stands_at("gate")) == ("", "one")
    gate.core.give(Paired("gate", "two"))
    assert (engine.paired("gate"), engine.stands_at("gate")) == ("two", "two")
    gate.core.give(Paired("gate", "three", named=True))
    assert (engine.paired("gate"), engine.stands_at("gate")) == ("two", "three")


def test_an_open_lid_of_a_door_that_was_away_is_none_of_the_door_that_is_back(gate, house, subjects):
    """Was: shut again it stood open all the same, for that of the year before."""
    assert gate("tamper", "reader_opened")
    without = house(RULES, subjects=[one for one in subjects if one.id != "gate"])
    gate.core.restart(after=MINUTE, compound=without)
    gate.core.restart(after=MINUTE, compound=house(RULES))
    assert gate("tamper", "terminal_opened")
    assert not gate("tamper_cleared", "terminal_opened")
