"""A site file that no longer knows who an open alert is about, by that name or at all."""

from __future__ import annotations

import msgspec
import pytest

from gateway.events import Press, PressKind, SiteLoaded
from gateway.instant import MINUTE, SECOND
from gateway.rules.compound import Subject

CALLS = """
- rule: duress
  subjects: { kind: terminal }
  when: { entry: alarm.duress }
  priority: critical
  grade: big
  silent: true
- rule: strays
  subjects: { kind: person }
  consent: welfare
  when: { entry: access.granted, direction: out }
  priority: critical
  grade: big
"""


@pytest.fixture
def renamed(make, house, rules_text):
    """``renamed(core, device, reload)``: the site file calls it otherwise from now on."""
    text = rules_text + CALLS

    def rename(core, device, *, reload=True):
        subjects = tuple(
            msgspec.structs.replace(s, id=f"{s.id}-2") if s.id == device else s for s in core.compound.subjects.values()
        )
        core.forget()
        if reload:
            core.die(house(text, subjects=subjects))
            core.give(SiteLoaded("f"))
        else:
            core.restart(after=SECOND, compound=house(text, subjects=subjects))
        return core

    return make(text), rename


@pytest.mark.parametrize("reload", [True, False], ids=["reload", "restart"])
@pytest.mark.parametrize("key", ["", "c7"], ids=["unnumbered", "numbered"])
def test_no_edit_of_the_site_file_ends_a_call_for_help(renamed, reload, key):
    """Was: whoever gave the button another name while somebody waited for help withdrew that, and the climb with it."""
    core, rename = renamed
    core.press(SECOND, key)
    called = core.alert("sos").id
    rename(core, "button", reload=reload)
    assert [(p.change.kind.value, p.change.reason) for p in core.changes] == [("regraded", "gone")]
    core.forget().wait(5 * MINUTE)
    assert core.said("sos") == ["told"], "the district"
    assert core.ask("ack", "sos", 6 * MINUTE, who="head") == "done"
    rename(core, "smoke", reload=reload)
    core.wait(17 * MINUTE)
    assert core.said("sos") == ["told"], "nobody came"
    assert core.ask("close", "sos", who="head", reason="spoken to her") == "done"
    assert (core.alert("sos").id, core.alert("sos").closed_as) == (called, "resolved")
    rename(core, "water", reload=reload)
    assert core.engine.alerts() == []


def test_nor_does_it_end_one_under_duress(renamed):
    core, rename = renamed
    core.entry("alarm.duress", "k1", SECOND)
    rename(core, "gate").forget().wait(5 * MINUTE)
    assert core.said("duress") == ["told"]


SOS = "- rule: sos\n  subjects: { kind: button }"


@pytest.mark.parametrize("reload", [True, False], ids=["reload", "restart"])
@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("rule: sos\n", "rule: help\n"),
        lambda text: text.replace(SOS, f"{SOS}\n  enabled: false"),
        lambda text: text.replace(SOS, "- rule: sos\n  subjects: { place: b2 }"),
    ],
    ids=["renamed", "off", "narrowed"],
)
def test_nor_does_one_of_its_rule(core, house, rules_text, edit, reload):
    """Was: withdrawn, though the button hangs where it hung and somebody waits beside it."""

    def live_by(text):
        core.forget()
        if reload:
            core.die(house(text))
            core.give(SiteLoaded("f"))
        else:
            core.restart(after=SECOND, compound=house(text))

    core.press(SECOND, "c7")
    live_by(edit(rules_text))
    assert [(p.change.kind.value, p.change.reason) for p in core.changes] == [("regraded", "gone")]
    live_by(edit(rules_text))
    assert core.said() == [], "once"
    core.wait(5 * MINUTE)
    assert core.said("sos") == ["told"], "the district"
    live_by(rules_text)
    assert (core.said(), core.alert("sos").gone) == ([], False)
    core.press(6 * MINUTE, "c8")
    assert (core.said(), core.notes()) == ([], ["repeated"]), "it is the same call"
    live_by(edit(rules_text))
    assert core.ask("ack", "sos", 7 * MINUTE, who="head") == "done"
    assert core.ask("close", "sos", who="head", reason="spoken to her") == "done"
    assert core.engine.alerts() == []


def test_a_call_whose_rule_is_gone_goes_with_its_button(core, house, rules_text):
    core.press(SECOND, "c7")
    subjects = tuple(
        msgspec.structs.replace(s, place="b1/s2/9") if s.id == "button" else s for s in core.compound.subjects.values()
    )
    core.forget().die(house(rules_text.replace("rule: sos\n", "rule: help\n"), subjects=subjects))
    core.give(SiteLoaded("f"))
    assert (core.said(), core.alert("sos").place) == (["re-alarmed", "told", "regraded"], "b1/s2/9")


BELL = {"long": "bell"}
PLACES = ("b1/s1/301", "b1/s2/302", "b2/s1/9")


@pytest.fixture
def exchanged(make, house, subjects):
    """``exchanged(core)``: two buttons of other stairs have each other's addresses from now on, or any have any (``addresses``)."""
    others = tuple(s for s in subjects if s.kind != "button")

    def hung(addresses):
        names = [f"button-{n}" if n else "button" for n in (0, 2, 3)]
        buttons = zip(names, PLACES, addresses, strict=False)
        return (*others, *(Subject(n, "button", p, (), subjects[3].facts, "", BELL, address=a) for n, p, a in buttons))

    def exchange(core, addresses="BA", *, reload=True):
        core.forget()
        if reload:
            core.die(house(subjects=hung(addresses)))
            core.give(SiteLoaded("f"))
        else:
            core.restart(after=SECOND, compound=house(subjects=hung(addresses)))

    return make(subjects=hung("AB")), exchange


@pytest.mark.parametrize("reload", [True, False], ids=["reload", "restart"])
def test_people_are_called_to_both_doors_where_two_buttons_changed_names(exchanged, reload):
    """Was: to the flat of the name alone, though the button that was pressed hangs in the other by now."""
    core, exchange = exchanged
    core.press(SECOND, "c7")
    exchange(core, reload=reload)
    assert core.said() == ["raised", "told"]
    places = {alert.subject: alert.place for alert in core.engine.alerts()}
    assert places == {"button": "b1/s1/301", "button-2": "b1/s2/302"}
    core.forget().wait(core.at + 3 * MINUTE)
    assert core.said() == ["told", "told"], "both climb"
    core.give(Press("button-2", PressKind.SINGLE, "c8"))
    assert core.notes() == ["repeated"]


def test_they_are_called_there_once_and_for_an_open_call_alone(exchanged):
    core, exchange = exchanged
    core.press(SECOND, "c7")
    exchange(core)
    there = next(alert.id for alert in core.engine.alerts() if alert.subject == "button-2")
    assert core.ask("close", "sos", alert=there, who="head", mistaken=True, reason="all well") == "done"
    exchange(core)
    assert core.said() == []
    assert core.ask("close", "sos", who="head", mistaken=True, reason="all well") == "done"
    exchange(core)
    assert core.engine.alerts() == []


def _mistaken(core, subject):
    """Somebody went there, and all is well."""
    alert = next(alert.id for alert in core.engine.alerts() if alert.subject == subject)
    assert core.ask("close", "sos", alert=alert, who="head", mistaken=True, reason="all well") == "done"


@pytest.mark.parametrize("meanwhile", ["bell", "reenrol"])
def test_which_button_was_pressed_is_known_whatever_became_of_it_since(exchanged, meanwhile):
    """Was: only of its last press, so that one with another meaning, or a new enrolment, left the second door uncalled."""
    core, exchange = exchanged
    core.press(SECOND, "c7")
    if meanwhile == "bell":
        core.give(Press("button", PressKind.LONG, "c8"), 2 * SECOND)
    else:
        assert core.ask("reenrol", "-", button="button", reason="battery changed") == "done"
    exchange(core)
    assert core.said() == ["raised", "told"]


def test_a_second_correction_calls_people_from_the_second_door_to_the_third(exchanged):
    """Was: once the first alert was closed as mistaken, nobody went where the button that was pressed hangs."""
    core, exchange = exchanged
    core.press(SECOND, "c7")
    exchange(core)
    _mistaken(core, "button")
    exchange(core, "CBA")
    assert [(p.change.kind.value, p.change.alert.place) for p in core.changes] == [
        ("raised", "b2/s1/9"),
        ("told", "b2/s1/9"),
    ]
    _mistaken(core, "button-3")
    for addresses in ("CBA", "BA", "AB"):
        exchange(core, addresses)
        assert core.said() == [], "at each door once"


def test_another_press_under_the_same_alert_is_another_button(exchanged):
    """Was: exchanged and exchanged back, the second button's press was a call that its own flat had had."""
    core, exchange = exchanged
    core.press(SECOND, "c7")
    exchange(core)
    _mistaken(core, "button-2")
    core.press(MINUTE, "c9")
    exchange(core, "AB")
    assert (core.said(), core.alert("sos").subject) == (["raised", "told"], "button-2")


@pytest.mark.parametrize("reload", [True, False], ids=["reload", "restart"])
def test_a_press_with_an_old_counter_stands_as_well_and_is_looked_for_at_both_doors(exchanged, reload):
    """Was: withdrawn with the name. Perhaps its battery was changed, and the contract lets only a person close a press."""
    core, exchange = exchanged
    core.press(SECOND, "c1", suspect="old_counter")
    exchange(core, reload=reload)
    assert core.said() == ["raised", "told"]
    exchange(core, "", reload=reload)
    assert [(p.change.kind.value, p.change.reason) for p in core.changes] == [("regraded", "gone")] * 2


def test_nor_does_an_edit_end_a_call_for_help_that_is_told_of_a_building(make, house, subjects, rules_text):
    """Was: the occasion names the door, the alert its building, and what was made at a door of it was withdrawn with the rule's name."""
    at_stair = tuple(msgspec.structs.replace(s, place="b1/s1") if s.kind == "terminal" else s for s in subjects)
    text = rules_text + CALLS.replace("terminal }", "terminal }\n  by: building", 1)
    core = make(text, subjects=at_stair)
    core.entry("alarm.duress", "k1", SECOND)
    assert core.alert("duress").subject == "b1"
    core.forget().die(house(text.replace("rule: duress", "rule: force"), subjects=at_stair))
    core.give(SiteLoaded("f"))
    assert [(p.change.kind.value, p.change.reason) for p in core.changes] == [("regraded", "gone")]


def test_what_is_no_call_for_help_is_withdrawn_with_its_subject(renamed):
    """Of what is measured nobody would know when it is gone, and of a person who takes part no more nothing is kept."""
    core, rename = renamed
    core.gas(30.0, SECOND)
    core.entry("access.granted", "k1", 2 * SECOND, person="p1", subject="known", direction="out")
    core.entry("access.denied", "k2", 3 * SECOND, subject="stranger")
    for device in ("gas", "elder", "gate"):
        rename(core, device)
        assert [p.change.alert.closed_as for p in core.changes] == ["withdrawn"]


@pytest.mark.parametrize("reload", [True, False], ids=["reload", "restart"])
def test_a_call_for_help_sounds_on_though_it_came_from_the_only_button(core, house, reload):
    """Was: a rule about nobody was left out of the site, and with it what its alert asked of the siren."""
    core.press(SECOND, "c7")
    assert core.output("siren") == "on"
    left = tuple(subject for subject in core.compound.subjects.values() if subject.kind != "button")
    core.forget()
    if reload:
        core.die(house(subjects=left))
        core.give(SiteLoaded("f"))
    else:
        core.restart(after=SECOND, compound=house(subjects=left))
    assert {want.output: want.state for want in core.engine.wants()}["siren"] == "on"
    assert core.ask("ack", "sos", MINUTE, who="head") == "done"
    assert core.output("siren") == "off"
