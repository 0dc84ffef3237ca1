"""Whose memory goes when he has left the site, and whose stays."""

from __future__ import annotations

from msgspec import structs

from gateway.events import Paired, SequenceGap
from gateway.instant import DAY
from gateway.rules.strangers import REMEMBERED_MS

OF_DEVICES = {"press", "seen", "cursor", "gap", "pin"}
OF_ORDERS = {"done", "latest_order"}


def _kept(core, kinds) -> set[str]:
    return {kind for kind, _ in core.rows if kind in kinds}


def _lived(core):
    """A press, an entry with a number, a gap, a pairing and an order; somebody is there, or the climb would go on for years."""
    core.press(1_000, key="c1")
    core.entry("access.granted", "e1", 2_000, seq=7)
    core.give(SequenceGap("gate", 3, 4, open=True), 3_000)
    core.give(Paired("gate", "mac-1"), 4_000)
    core.ask("ack", "sos", 5_000, issued_at_ms=1, on_site=True)
    assert _kept(core, OF_DEVICES | OF_ORDERS) == OF_DEVICES | OF_ORDERS
    return core


def _without(compound, *names):
    """The same site without some of its devices."""
    rules = {
        name: structs.replace(rule, subjects=tuple(one for one in rule.subjects if one not in names))
        for name, rule in compound.rules.items()
    }
    left = {name: subject for name, subject in compound.subjects.items() if name not in names}
    return structs.replace(compound, subjects=left, rules=rules)


def test_who_left_the_site_is_remembered_for_a_year_and_then_no_longer(make):
    core = _lived(make())
    away = _without(core.compound, "button", "gate")
    core.restart(after=DAY, compound=away)
    assert _kept(core, OF_DEVICES) == OF_DEVICES
    core.restart(after=REMEMBERED_MS)
    assert _kept(core, OF_DEVICES) == OF_DEVICES
    core.restart(after=DAY)
    assert _kept(core, OF_DEVICES) == set()
    core.restart(after=DAY)  # what is dropped is dropped on the disk, and so is since when
    assert _kept(core, OF_DEVICES | {"left"}) == set()


def test_the_year_of_a_button_pressed_once_in_years_begins_when_it_is_taken_out(make):
    core = make()
    core.press(1_000, key="c900")
    there, away = core.compound, _without(core.compound, "button")
    core.restart(after=REMEMBERED_MS + DAY)
    core.restart(after=DAY, compound=away)
    core.restart(after=REMEMBERED_MS)  # the day it was taken out is on the disk, too
    core.restart(after=0, compound=there)
    assert [press.press.key for press in core.engine.presses.values()] == ["c900"]
    core.restart(after=DAY, compound=away)  # and a second leave is a leave of its own
    core.restart(after=REMEMBERED_MS)
    assert core.engine.presses.values()


def test_who_comes_back_within_the_year_finds_his_counters_where_they_were(make):
    core = _lived(make())
    there, away = core.compound, _without(core.compound, "button", "gate")
    core.restart(after=DAY, compound=away)
    core.restart(after=300 * DAY, compound=there)
    assert core.engine.has_seen("gate", "e1")
    assert core.engine.last_serial("gate")[0] == 7
    assert core.engine.paired("gate") == "mac-1"
    assert [press.press.key for press in core.engine.presses.values()] == ["c1"]


def test_who_is_on_the_site_is_never_forgotten_however_silent(make):
    core = _lived(make())
    core.restart(after=10 * REMEMBERED_MS)
    assert _kept(core, OF_DEVICES) == OF_DEVICES


def test_one_late_word_keeps_all_that_is_known_of_a_terminal(make):
    core = _lived(make())
    core.entry("access.granted", "e2", REMEMBERED_MS, seq=8)
    core.restart(after=DAY, compound=_without(core.compound, "gate"))
    assert core.engine.has_seen("gate", "e1")


def test_a_principal_of_the_site_is_never_forgotten_and_its_year_begins_when_it_leaves(make):
    core = _lived(make())
    of_site = structs.replace(core.compound, principals=frozenset({"local"}))
    core.restart(after=10 * REMEMBERED_MS, compound=of_site)
    assert _kept(core, OF_ORDERS) == OF_ORDERS
    core.restart(after=DAY, compound=structs.replace(of_site, principals=frozenset()))
    core.restart(after=REMEMBERED_MS)
    assert _kept(core, OF_ORDERS) == OF_ORDERS
    core.restart(after=DAY)
    assert _kept(core, OF_ORDERS) == set()
    core.restart(after=DAY)
    assert _kept(core, {"left_order"}) == set()


def test_a_principal_of_this_machine_that_ordered_nothing_for_a_year_is_forgotten_and_begins_anew(make):
    core = _lived(make())
    core.restart(after=DAY)
    core.restart(after=REMEMBERED_MS - DAY)
    assert _kept(core, OF_ORDERS) == OF_ORDERS
    core.restart(after=2 * DAY)
    assert _kept(core, OF_ORDERS) == set()
    core.ask("ack", "sos")
    assert _kept(core, OF_ORDERS) >= {"done"}


def test_a_principal_of_this_machine_is_remembered_for_a_year_from_its_last_order(make):
    """It stands in no site file, so its year begins with each order: none that it gave may be carried out twice for its age."""
    core = _lived(make())
    core.restart(after=DAY)
    core.ask("unshelve", "sos", 300 * DAY)
    core.restart(after=REMEMBERED_MS - 2 * DAY)
    assert _kept(core, OF_ORDERS) == OF_ORDERS


def _addressed(compound, **addresses):
    """Its buttons, by name, with these addresses."""
    button = compound.subjects["button"]
    made = {name: structs.replace(button, id=name, address=address) for name, address in addresses.items()}
    others = {name: subject for name, subject in compound.subjects.items() if name != "button"}
    rules = {
        name: structs.replace(rule, subjects=tuple(made)) if rule.subjects == ("button",) else rule
        for name, rule in compound.rules.items()
    }
    return structs.replace(compound, subjects=others | made, rules=rules)


def test_presses_are_remembered_of_a_button_not_of_its_name_and_for_a_year_of_one_that_is_gone(make):
    core = make()
    site = core.compound
    core.press(1_000, key="c900")  # an earlier version kept it by the name
    core.restart(after=DAY, compound=_addressed(site, button="A"))
    core.restart(after=DAY, compound=_addressed(site, button="B"))
    core.press(key="c1")
    assert _presses(core) == {"A": "c900", "B": "c1"}
    core.restart(after=REMEMBERED_MS, compound=_addressed(site, other="A", button="B"))
    core.restart(after=DAY)
    assert _presses(core) == {"A": "c900", "B": "c1"}
    core.ask("reenrol", "-", who="duty", button="button", reason="battery changed")
    core.restart(after=DAY, compound=_addressed(site, button="B"))
    core.restart(after=REMEMBERED_MS + DAY)
    assert _presses(core) == {}


def _presses(core):
    return {name: core.engine.presses.get(name).press.key for (name,) in core.engine.presses}


def test_what_an_earlier_version_heard_after_we_went_back_to_it_counts_when_we_come_again(make):
    """Was: the row by address stood, however old, and the counter fell: what was pressed meanwhile could be played back as a press."""
    core = make()
    site = core.compound
    core.restart(after=DAY, compound=_addressed(site, button="A"))
    core.press(1_000, key="c5")
    core.restart(after=DAY, compound=site)  # which knows no addresses, and keeps it by the name
    core.press(key="c9")
    core.restart(after=DAY, compound=_addressed(site, button="A"))
    assert _presses(core) == {"A": "c9"}
    assert core.engine.last_press(core.compound.subjects["button"]).press.key == "c9"
