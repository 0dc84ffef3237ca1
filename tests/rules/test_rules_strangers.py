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
    """A press, an entry with a number, a gap, a pairing and an order."""
    core.press(1_000, key="c1")
    core.entry("access.granted", "e1", 2_000, seq=7)
    core.give(SequenceGap("gate", 3, 4, open=True), 3_000)
    core.give(Paired("gate", "mac-1"), 4_000)
    core.ask("ack", "sos", 5_000, issued_at_ms=1)
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
    core.restart(after=REMEMBERED_MS - 2 * DAY)
    assert _kept(core, OF_DEVICES) == OF_DEVICES
    core.restart(after=2 * DAY)
    assert _kept(core, OF_DEVICES) == set()
    core.die()  # what is dropped is dropped on the disk
    assert _kept(core, OF_DEVICES) == set()


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


def test_a_principal_that_ordered_nothing_for_a_year_is_forgotten_and_begins_anew(make):
    core = _lived(make())
    core.restart(after=REMEMBERED_MS - DAY)
    assert _kept(core, OF_ORDERS) == OF_ORDERS
    core.restart(after=2 * DAY)
    assert _kept(core, OF_ORDERS) == set()
    core.ask("ack", "sos")
    assert _kept(core, OF_ORDERS) >= {"done"}
