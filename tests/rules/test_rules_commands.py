"""Who may do what, when, and once."""

import pytest

from gateway.actions import Reenrol, Reply
from gateway.events import SiteLoaded
from gateway.instant import DAY, MINUTE, SECOND
from gateway.rules.answered import REMEMBERED


@pytest.mark.parametrize(
    ("verb", "who", "more", "verdict"),
    [
        ("ack", "nobody", {}, "not_a_person"),
        ("ack", "guest", {}, "not_allowed"),
        ("shelve", "head", {"for_ms": MINUTE, "reason": "x"}, "not_allowed"),
        ("unshelve", "head", {}, "not_allowed"),
        ("unshelve", "duty", {}, "not_shelved"),
        ("ack", "head", {"alert": "0123456789abcdef"}, "no_such_alert"),
        ("ack", "head", {"alert": None}, "no_such_alert"),
        ("ack", "head", {"reason": "x" * 501}, "reason_too_long"),
        ("shelve", "duty", {"for_ms": MINUTE}, "needs_reason"),
        ("shelve", "duty", {"reason": "x"}, "needs_duration"),
        ("shelve", "duty", {"reason": "x", "for_ms": -MINUTE}, "needs_duration"),
        ("shelve", "duty", {"reason": "x", "for_ms": 30 * MINUTE + 1}, "too_long"),
        ("shelve", "duty", {"reason": "x", "for_ms": 10**30}, "too_long"),
        ("shelve", "duty", {"reason": "x", "for_ms": 30 * MINUTE}, "done"),
        ("close", "head", {"mistaken": True}, "needs_reason"),
        ("reset", "head", {}, "needs_answer_first"),
        ("reenrol", "head", {"button": "button"}, "needs_reason"),
        ("reenrol", "head", {"button": "gas", "reason": "x"}, "no_such_button"),
        ("reenrol", "head", {"button": "nowhere", "reason": "x"}, "no_such_button"),
        ("reenrol", "guest", {"button": "button", "reason": "x"}, "not_allowed"),
        ("reenrol", "head", {"button": "button", "reason": "battery changed"}, "done"),
        ("pair", "head", {"door": "gate", "for_ms": 600_000}, "needs_reason"),
        ("pair", "head", {"door": "gate", "reason": "new"}, "needs_duration"),
        ("pair", "head", {"door": "gate", "reason": "new", "for_ms": 3_600_001}, "too_long"),
        ("pair", "head", {"door": "gas", "reason": "new", "for_ms": 600_000}, "no_such_door"),
        ("pair", "head", {"door": "nowhere", "reason": "new", "for_ms": 600_000}, "no_such_door"),
        ("pair", "guest", {"door": "gate", "reason": "new", "for_ms": 600_000}, "not_allowed"),
        ("pair", "head", {"door": "gate", "reason": "new", "for_ms": 600_000}, "done"),
        ("away", "head", {"resident": "nobody", "for_ms": DAY}, "no_such_resident"),
        ("away", "head", {"resident": "gas", "for_ms": DAY}, "no_such_resident"),
        ("away", "head", {"resident": "elder"}, "needs_duration"),
        ("away", "head", {"resident": "elder", "for_ms": -DAY}, "needs_duration"),
        ("away", "head", {"resident": "elder", "for_ms": 90 * DAY + 1}, "too_long"),
        ("away", "head", {"resident": "elder", "for_ms": 90 * DAY}, "done"),
        ("away", "head", {"resident": "elder", "back": True}, "done"),
        ("away", "guest", {"resident": "elder", "for_ms": DAY}, "not_allowed"),
        ("duty-check", "head", {"alert": None}, "done"),
        ("duty-check", "guest", {"alert": None}, "not_allowed"),
        ("duty-check", "nobody", {}, "not_a_person"),
    ],
)
def test_the_verdict_is_a_named_reason(core, verb, who, more, verdict):
    core.press(SECOND)
    assert core.ask(verb, "sos", who=who, **more) == verdict


def test_what_is_no_matter_of_life_may_be_shelved_for_a_week(core):
    core.read("water", "water", True, SECOND)
    assert core.ask("shelve", "water", for_ms=7 * DAY + 1, reason="spare part") == "too_long"
    assert core.ask("shelve", "water", for_ms=7 * DAY, reason="spare part") == "done"


CALL = """
- rule: call
  subjects: { kind: button }
  when: { press: any }
  priority: critical
  grade: big
"""


@pytest.mark.parametrize("reload", [True, False], ids=["reload", "restart"])
@pytest.mark.parametrize("edit", ["a matter of life", "narrowed", "gone"])
def test_a_shelf_of_days_ends_where_the_site_file_makes_more_of_the_alert(make, house, rules_text, edit, reload):
    """Was: what a person may shelve for half an hour stayed out of sight for a week, if it had been shelved before the edit."""
    core = make(rules_text + CALL)
    core.press(SECOND, "c1")
    assert core.ask("shelve", "call", for_ms=5 * DAY, reason="x") == "done"
    edited = {
        "a matter of life": CALL + "  life_safety: true\n",
        "narrowed": CALL.replace("kind: button", "place: b2"),
        "gone": "",
    }
    core.forget()
    if reload:
        core.die(house(rules_text + edited[edit]))
        core.give(SiteLoaded("f"))
    else:
        core.restart(after=SECOND, compound=house(rules_text + edited[edit]))
    core.wait(20 * MINUTE)
    assert "unshelved" not in core.said("call")
    core.wait(31 * MINUTE)
    assert core.said("call")[-2:] == ["unshelved", "told"]


def test_one_that_was_out_of_sight_for_longer_comes_back_with_the_edit(make, house, rules_text):
    core = make(rules_text + CALL)
    core.press(SECOND, "c1")
    assert core.ask("shelve", "call", for_ms=5 * DAY, reason="x") == "done"
    core.wait(3 * DAY)
    core.forget().die(house(rules_text + CALL + "  life_safety: true\n"))
    core.give(SiteLoaded("f"))
    core.wait(3 * DAY)
    assert core.said("call") == ["unshelved", "told"]


def test_half_an_hour_of_shelf_is_not_renewed_for_ever(core):
    core.gas(21.0, 0)
    core.ask("ack", "gas-high", SECOND, on_site=True)
    shelf = {"for_ms": 20 * MINUTE, "reason": "repair"}
    assert core.ask("shelve", "gas-high", MINUTE, **shelf) == "done"
    assert core.ask("shelve", "gas-high", 10 * MINUTE, **shelf) == "done", "30 min less 9"
    assert core.ask("shelve", "gas-high", 12 * MINUTE, **shelf) == "shelf_used_up"
    core.wait(31 * MINUTE)
    core.restart(after=SECOND)
    assert core.ask("shelve", "gas-high", 3 * DAY, for_ms=2 * MINUTE, reason="x") == "shelf_used_up"
    assert core.ask("shelve", "gas-high", for_ms=MINUTE, reason="x") == "done", "of 30 min 29 are gone"


def test_what_was_told_again_may_be_shelved_again(core):
    core.press(0)
    assert core.ask("shelve", "sos", SECOND, for_ms=30 * MINUTE, reason="drill") == "done"
    core.forget().wait(31 * MINUTE)
    assert core.said("sos") == ["unshelved", "told"]
    assert core.ask("shelve", "sos", for_ms=30 * MINUTE, reason="drill") == "done"


def test_what_was_told_to_nobody_is_not_shelved_anew(make):
    core = make(people={})
    core.press(0)
    assert core.ask("shelve", "sos", SECOND, for_ms=30 * MINUTE, reason="drill") == "done"
    core.forget().wait(31 * MINUTE)
    assert core.said("sos") == ["unshelved", "told"], "it is recorded that nobody stands there"
    assert core.ask("shelve", "sos", for_ms=30 * MINUTE, reason="drill") == "shelf_used_up"


def test_what_alarms_again_and_is_told_to_nobody_is_not_shelved_anew(make):
    """Was: each worse value gave the half-hour back, and the siren was mute for as long as it got worse."""
    core = make(people={})
    core.gas(21.0, 0)
    assert core.ask("shelve", "gas-high", MINUTE, for_ms=30 * MINUTE, reason="repair") == "done"
    core.wait(31 * MINUTE)
    core.gas(50.0, 32 * MINUTE)
    assert (core.said("gas-high")[-2:], core.output("siren")) == (["re-alarmed", "told"], "on")
    assert core.ask("shelve", "gas-high", for_ms=30 * MINUTE, reason="repair") == "shelf_used_up"


def test_a_command_is_carried_out_once_and_answered_alike_also_after_a_restart(core):
    core.press(SECOND)
    assert core.ask("ack", "sos", command_id="x1") == "done"
    core.press(2 * SECOND)
    alert = core.alert("sos")
    core.restart(after=SECOND)
    assert core.ask("ack", "sos", command_id="x1") == "done"
    assert core.alert("sos") == alert, "the second ack with the old id took nothing"
    replies = [a for a in core.actions if isinstance(a, Reply)]
    assert replies[0] == replies[1]
    assert core.ask("ack", "sos", command_id="x2") == "done"
    assert core.alert("sos").answered_by == "duty"


def test_an_id_with_any_character_is_known_again_after_a_restart(core):
    core.press(SECOND)
    for command_id in ("a\x1fb", "a\x1eb", "\x1e0\x1f", ""):
        core.ask("silence", "sos", command_id=command_id or " ")
    core.forget().die()
    for command_id in ("a\x1fb", "a\x1eb", "\x1e0\x1f", ""):
        core.ask("silence", "sos", command_id=command_id or " ")
    assert core.notes() == []


def test_refusals_are_remembered_too(core):
    assert core.ask("ack", "sos", command_id="x1", alert="0123456789abcdef") == "no_such_alert"
    core.press(SECOND)
    assert core.ask("ack", "sos", command_id="x1", alert="0123456789abcdef") == "no_such_alert"


def test_the_memory_of_commands_is_bounded(core):
    for n in range(REMEMBERED + 20):
        core.ask("duty-check", "", n, command_id=f"d{n}", alert=None)
    kept = [key for kind, key in core.rows if kind == "done"]
    assert len(kept) == REMEMBERED
    assert "local\x1fd19" not in kept
    assert "local\x1fd20" in kept


def test_silence_quiets_the_siren_and_stops_no_climb(core):
    core.press(0)
    assert core.output("siren") == "on"
    core.ask("silence", "sos", SECOND)
    assert core.output("siren") == "off"
    core.wait(4 * MINUTE)
    assert core.told("sos")[-1][0] == "district"
    assert core.output("siren") == "off"


def test_a_button_with_a_new_battery_is_known_anew_by_the_next_life_too(core):
    core.press(SECOND, key="c900")
    assert [press.press.key for press in core.engine.presses.values()] == ["c900"]
    command = {"who": "head", "button": "button", "reason": "battery changed", "command_id": "r1"}
    core.ask("reenrol", "sos", **command)
    assert core.engine.presses.values() == []
    core.ask("reenrol", "sos", **command)
    assert [action for action in core.actions if isinstance(action, Reenrol)] == [Reenrol("button")], (
        "once, not for a repeat"
    )
