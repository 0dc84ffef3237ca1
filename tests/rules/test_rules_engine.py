"""What enters the core, restarts, time that passed unheard, and outcomes."""

import pytest

from gateway.actions import Want
from gateway.alerts import Priority, Rung
from gateway.events import DeviceHealth, Entry, Health, Press, PressKind, Quality, Reading
from gateway.instant import DAY, HOUR, MINUTE, SECOND, ClockQuality
from gateway.rules.compound import FactSpec, Subject
from gateway.rules.facts import OURS
from gateway.rules.register import UNDATED_KEPT
from gateway.rules.terminals import SEEN_PER_TERMINAL


def test_a_downtime_that_outlasts_a_wait_is_not_an_absence(core):
    """Design, "Time": absence and heartbeat waits exclude the blind time, even where the wait ends inside it."""
    core.read("gas", "gas", 1.0, 0)
    core.read("gas", "gas_high_alarm", False)
    core.read("button", "heard", -60, MINUTE)
    core.restart(after=24 * HOUR)
    core.wait(core.at + 30 * MINUTE)
    assert core.said() == []
    core.wait(core.at + 40 * MINUTE)
    assert core.said("lost")[0] == "raised"
    assert core.said("missing") == []
    core.wait(core.at + 11 * HOUR)
    assert core.said("missing")[0] == "raised"


def test_a_wait_for_what_was_never_heard_survives_restarts(core):
    for _ in range(14):
        core.wait(core.at + HOUR)
        core.restart(after=SECOND)
    assert core.said("missing")[:1] == ["raised"]


def test_escalation_goes_on_through_a_known_downtime_each_rung_at_its_own_time(core):
    core.read("water", "water", True, SECOND)
    core.restart(after=HOUR)
    assert core.told("water") == [("building", 1), ("grid", 1), ("community", 301)]


def test_unknown_downtime_moves_every_climb_one_rung(core):
    core.health("gas", "lost", 0)
    core.wait(3 * SECOND)
    core.restart(after=None)
    core.wait(core.at)
    assert core.told("lost") == [("building", 2), ("grid", 3)]
    core.wait(core.at + 209 * MINUTE)
    assert len(core.told("lost")) == 2
    core.wait(core.at + 2 * MINUTE)
    assert core.told("lost")[-1][0] == "community"


def test_unknown_downtime_calls_again_for_who_had_promised_to_come(core):
    core.press(SECOND)
    core.ask("ack", "sos", 2 * SECOND)
    core.restart(after=None)
    core.wait(core.at)
    assert core.told("sos")[-1] == ("district", 2)


def test_unknown_downtime_ends_the_shelf_of_a_life_safety_alert(core):
    """Contract: at most 30 min. Nobody can say that they are not over."""
    core.press(SECOND)
    core.ask("shelve", "sos", 2 * SECOND, for_ms=20 * MINUTE, reason="drill")
    core.restart(after=None)
    core.wait(core.at)
    assert "unshelved" in core.said("sos")


def test_unknown_downtime_leaves_any_other_shelf_as_it_is(core):
    """A week at most; a restart is no reason to call people about a leak that the plumber has in hand."""
    core.read("water", "water", True, SECOND)
    core.ask("shelve", "water", 2 * SECOND, for_ms=DAY, reason="plumber is here")
    core.restart(after=None)
    core.forget().wait(core.at + 23 * HOUR)
    assert core.said("water") == []
    core.wait(core.at + HOUR)
    assert core.said("water")[0] == "unshelved"


def test_unknown_downtime_ends_a_test_of_the_chain_and_moves_the_alerts_beside_it(core):
    core.ask("test", "", 0, alert=None, target="b1", priority="low", for_ms=HOUR)
    core.health("gas", "lost", SECOND)
    core.wait(3 * SECOND)
    core.restart(after=None)
    core.wait(core.at)
    assert [alert.rule for alert in core.engine.alerts()] == ["lost"]
    assert core.told("lost") == [("building", 3), ("grid", 3)]


def test_a_delay_that_was_running_ends_in_time_although_the_process_died(core):
    core.health("gas", "lost", 0)
    core.restart(after=SECOND)
    core.forget().wait(1900)
    assert core.said("lost") == []
    core.wait(2 * SECOND)
    assert core.said("lost")[0] == "raised"
    core.health("gas", "ok", MINUTE)
    core.restart(after=SECOND)
    core.wait(MINUTE + 9 * SECOND)
    assert "returned" not in core.said("lost")
    core.wait(MINUTE + 10 * SECOND)
    assert "returned" in core.said("lost")


def test_the_ladder_that_the_site_file_lays_anew_holds_for_the_alerts_that_climb(core, house):
    core.read("water", "water", True, 0)
    sooner = house(ladder={Priority.HIGH: {Rung.BUILDING: 0, Rung.GRID: 0, Rung.COMMUNITY: 2 * MINUTE}})
    core.restart(after=MINUTE, compound=sooner)
    core.wait(4 * MINUTE)
    assert core.told("water")[-1] == ("community", 120)


def test_a_running_on_delay_is_observed_anew(core):
    core.health("gas", "lost", 0)
    core.wait(1900)
    core.restart(after=None)
    core.wait(core.at + 1900)
    assert core.said("lost") == []
    core.wait(core.at + 200)
    assert core.said("lost")[0] == "raised"


def test_an_off_delay_is_observed_anew(core):
    core.health("gas", "lost", 0)
    core.wait(3 * SECOND)
    core.health("gas", "ok", 4 * SECOND)
    core.wait(13 * SECOND)
    core.restart(after=None)
    core.forget().wait(core.at + 9 * SECOND)
    assert "returned" not in core.said("lost")
    core.wait(core.at + 2 * SECOND)
    assert "returned" in core.said("lost")


def test_entries_are_acted_on_once_also_after_a_restart(core):
    core.entry("access.denied", "17", SECOND, subject="stranger")
    core.entry("access.denied", "17", 2 * SECOND, subject="stranger")
    core.restart(after=SECOND)
    core.entry("access.denied", "17", subject="stranger")
    assert core.said("stranger").count("raised") == 1
    assert core.notes() == []


def test_a_replayed_entry_is_recorded_never_acted_on(core):
    core.entry("access.denied", "17", SECOND, subject="stranger", live=False)
    core.entry("door.opened", "18", SECOND, live=False)
    core.wait(HOUR)
    assert core.said() == []


def test_what_was_seen_is_forgotten_oldest_first_per_terminal(make, house):
    core = make()
    for n in range(SEEN_PER_TERMINAL + 10):
        core.entry("access.granted", str(n), n)
    kept = [key for kind, key in core.rows if kind == "seen"]
    assert len(kept) == SEEN_PER_TERMINAL
    assert "gate\x1f9" not in kept
    assert "gate\x1f10" in kept
    core.die()
    core.entry("access.granted", "fresh")
    kept = {key for kind, key in core.rows if kind == "seen"}
    assert "gate\x1f10" not in kept
    assert "gate\x1ffresh" in kept


@pytest.mark.parametrize("word", sorted(OURS))
def test_no_point_of_a_device_takes_the_place_of_what_the_gateway_says_of_it(core, word):
    core.health("gas", "ok", SECOND)
    said = core.engine.fact("gas", word)
    core.read("gas", word, "lost", MINUTE)
    core.wait(HOUR - 1)
    assert core.engine.fact("gas", word) == said
    assert core.said() == []


def test_strangers_leave_no_trace(core):
    before = core.engine.snapshot()
    core.give(Press("nobody", PressKind.SINGLE))
    core.give(Entry("nowhere", "access.denied", "1", "5/76", subject="stranger"))
    core.give(Reading("nothing", "gas", 99.0))
    core.give(DeviceHealth("nothing", Health.LOST))
    assert core.said() == []
    assert core.engine.snapshot() == before


def test_values_no_codec_should_have_let_through_are_called_invalid(core):
    for value in (10**400, -(10**400), 2**64, float("nan"), float("inf"), "26", None, True):
        core.gas(value, SECOND)
    assert core.said("gas-high") == []
    assert core.engine.fact("gas", "gas").value is True
    core.gas(10**30, SECOND)
    assert core.engine.fact("gas", "gas").quality is Quality.INVALID


def test_dates_of_an_alert_in_the_last_millisecond_of_an_unknown_boot_are_not_taken_from_the_next(make):
    core = make(offset=None)
    core.press(5 * SECOND, "k1")
    core.restart(after=None)  # the timeline goes on in the same millisecond
    core.synced(6 * SECOND)
    assert "dated" not in core.said("sos")
    assert core.engine.anchor_at(5 * SECOND) is None
    core.press(7 * SECOND)
    assert core.engine.anchor_at(7 * SECOND) is not None


def test_one_dated_revision_each_for_open_and_closed(make):
    core = make(offset=None)
    core.press(SECOND, "k1")
    core.ask("close", "sos", 2 * SECOND, mistaken=True, reason="spoken to")
    core.read("water", "water", True, 3 * SECOND)
    core.synced(4 * SECOND)
    assert [p.change.alert.rule for p in core.changes if p.change.kind == "dated"] == ["sos", "water"]
    assert core.engine.register.alerts.get(core.changes[0].change.alert.id) is None
    core.synced(5 * SECOND, offset=7)
    core.restart(after=SECOND, offset=9)
    assert core.said().count("dated") == 2


def test_what_an_earlier_boot_left_undated_is_owed_nothing_any_more(make):
    core = make(offset=None)
    core.press(5 * SECOND, "k1")
    core.at = 6 * SECOND
    core.wait(core.at)
    core.boot(7 * SECOND, downtime=None)
    core.synced(8 * SECOND)
    core.ask("close", "sos", 9 * SECOND, mistaken=True, reason="spoken to")
    assert "dated" not in core.said("sos")
    assert not core.engine.register.alerts.values(), "nothing is kept for a date that can never be known"


def test_a_clock_that_is_never_right_does_not_keep_every_closed_alert(make):
    core = make(offset=None)
    for n in range(600):
        core.press(core.at + SECOND, f"k{n}")
        assert core.ask("close", "sos", mistaken=True, reason="spoken to") == "done"
        if n == 300:
            core.die()
    assert len(core.engine.register.alerts) == UNDATED_KEPT
    assert len([1 for kind, _ in core.rows if kind == "alert"]) == len(core.engine.register.alerts)
    core.forget().synced(core.at + 1)
    assert core.said() == ["dated"] * UNDATED_KEPT
    assert len({p.change.alert.id for p in core.changes}) == UNDATED_KEPT
    assert core.changes[-1].change.alert.occasion == "button:k599", "the last ones are kept"


@pytest.mark.parametrize("woken", [True, False])
def test_what_fell_due_where_a_boot_ended_is_not_dated_by_the_clock_of_the_next(make, woken):
    """Was: only where somebody had woken the core at that very moment; else it was, as if no time had passed between them."""
    core = make(offset=None)
    core.health("gas", "lost", SECOND)
    if woken:
        core.wait(3 * SECOND)
    core.at = 3 * SECOND
    core.restart(after=None, offset=1_795_000_000_000)
    assert core.said("lost")[:2] == ["raised", "told"]
    assert (core.alert("lost").opened_at, "dated" in core.said("lost")) == (3 * SECOND, False)


def test_a_clock_known_from_earlier_in_this_boot_is_not_called_unsynchronised(core):
    """The process restarts while the kernel's own opinion wavers; the tie to true time is still known."""
    core.die()
    core.boot(core.at + SECOND, downtime=SECOND, offset=None, quality=ClockQuality.UNSYNCED)
    assert core.engine.fact("clock", "synced").value is True


def test_a_withdrawn_rule_ends_its_alerts_also_shelved_ones(core, house, rules_text):
    core.read("water", "water", True, SECOND)
    core.ask("shelve", "water", 2 * SECOND, for_ms=MINUTE, reason="drill")
    core.restart(after=HOUR, compound=house(rules_text.replace("rule: water\n", "rule: leak\n")))
    last = next(p.change for p in reversed(core.changes) if p.change.alert.rule == "water")
    assert (last.kind.value, last.alert.closed_as) == ("closed", "withdrawn")
    core.forget().wait(core.at + 24 * HOUR)
    assert core.said("water") == []


def test_a_subject_that_went_away_with_a_delay_running_breaks_nothing(make, house):
    rules = "- rule: quiet\n  subjects: { kind: gas-detector }\n  when: { not: { point: gas, below: 5 %LEL } }\n  on_delay: 10s\n  priority: low\n  grade: small\n"
    core = make(rules)
    core.read("gas", "gas", 50.0, SECOND)
    fewer = house(rules, subjects=tuple(s for s in core.compound.subjects.values() if s.id != "gas"))
    core.restart(after=None, compound=fewer)
    core.wait(HOUR)
    assert core.said() == []


def test_outputs_are_told_anew_by_every_run(core):
    core.gas(30.0, SECOND)
    core.forget().restart(after=SECOND)
    assert [(w.output, w.state.value) for w in core.actions if isinstance(w, Want)] == [
        ("valve", "shut"), ("siren", "on"), ("fan", "off"),
    ]  # fmt: skip


def test_a_quiet_reading_is_not_urgent_and_everything_else_is(core):
    assert not core.read("gas", "gas", 1.0, SECOND).urgent
    assert core.read("smoke", "smoke", True).urgent
    assert core.health("gas", "ok").urgent


def test_only_what_nobody_misses_after_a_crash_may_wait_for_company(make, subjects):
    """Idle: a good value of no button, with no delay begun, that is no news of an alarm point."""
    slow = """
- rule: damp
  subjects: { kind: air-sensor }
  when: { point: humidity, above: "70" }
  on_delay: 10min
  priority: low
  grade: small
"""
    air = Subject("air", "air-sensor", "b1", (), {"humidity": FactSpec(), "co2": FactSpec()})
    core = make(slow, subjects=(*subjects, air), outputs=())

    def idle(device, point, value, quality=Quality.GOOD):
        return core.read(device, point, value, quality=quality).idle

    core.read("air", "co2", 500)
    assert idle("air", "co2", 501)
    assert not idle("air", "co2", 502, Quality.COMMS)
    assert idle("air", "humidity", 60)
    assert not idle("air", "humidity", 80)  # the delay begins
    assert idle("air", "humidity", 81)
    assert not idle("gas", "gas", 1)
    assert idle("gas", "gas", 1)  # as the poller repeats it, three times within its maximum age
    assert not idle("gas", "gas", 2)
    assert not idle("gas", "gas", 2, Quality.COMMS)
    assert not idle("gas", "gas", 2)  # it is back
    assert not idle("button", "pressed", True)
    assert not idle("button", "pressed", True)
    assert idle("button", "heard", -60)  # four times a heartbeat, and three heartbeats are awaited
    assert idle("button", "heard", -71)
    assert not idle("button", "heard", -71, Quality.COMMS)
