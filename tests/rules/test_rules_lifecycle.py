"""Raise, answer, return, latch, reset, close, shelve: the three axes, and what closes what."""

import itertools

import msgspec
import pytest

from gateway.events import Quality, SiteLoaded
from gateway.instant import DAY, HOUR, MINUTE, SECOND
from gateway.rules.compound import FactSpec, Subject
from gateway.rules.engine import Engine


@pytest.mark.parametrize("order", ["ack first", "return first"])
def test_an_unlatched_alert_closes_at_acknowledge_and_return(core, order):
    core.read("water", "water", True, SECOND)
    steps = [lambda: core.ask("ack", "water"), lambda: core.read("water", "water", False)]
    for step in steps if order == "ack first" else reversed(steps):
        assert "closed" not in core.said()
        step()
    assert core.said()[-1] == "closed"
    assert core.changes[-1].change.alert.closed_as == "resolved"


def test_a_latched_alert_closes_only_after_acknowledge_return_and_reset(core):
    core.read("smoke", "smoke", True, SECOND)
    assert core.ask("reset", "smoke") == "needs_answer_first"
    core.ask("ack", "smoke")
    assert core.ask("reset", "smoke") == "still_active"
    core.read("smoke", "smoke", False)
    assert "closed" not in core.said()
    assert core.ask("reset", "smoke") == "done"
    assert core.said()[-1] == "closed"


def test_closing_a_latched_alert_is_no_way_round_the_acknowledgement(core):
    core.read("smoke", "smoke", True, SECOND)
    core.read("smoke", "smoke", False, MINUTE)
    assert core.ask("close", "smoke") == "needs_answer_first"
    core.ask("ack", "smoke")
    assert core.ask("close", "smoke") == "done", "a named person who closes it has reset it"
    assert core.changes[-1].change.alert.reset_by == "duty"


def test_a_false_alarm_of_a_latched_alert_is_closed_as_mistaken_with_a_reason(core):
    core.read("smoke", "smoke", True, SECOND)
    core.read("smoke", "smoke", False, MINUTE)
    assert core.ask("close", "smoke", mistaken=True) == "needs_reason"
    assert core.ask("close", "smoke", mistaken=True, reason="burnt toast") == "done"
    assert core.changes[-1].change.alert.closed_as == "mistaken"


def test_what_is_closed_as_mistaken_says_by_whom_and_why_and_calls_nobody_any_more(core):
    core.press(SECOND)
    assert core.alert("sos").next_rung == "district"
    core.ask("close", "sos", MINUTE, mistaken=True, reason="spoke with her")
    ended = core.changes[-1].change.alert
    assert (ended.closed_by, ended.closed_as, ended.reason) == ("duty", "mistaken", "spoke with her")
    assert (ended.answered_by, ended.answered_at) == ("duty", MINUTE), "who closes it has answered it"
    assert ended.next_rung is None


def test_what_alarms_again_is_answered_by_nobody(core):
    core.press(SECOND)
    core.ask("ack", "sos", MINUTE, on_site=True)
    core.press(2 * MINUTE)
    again = core.alert("sos")
    assert (again.response, again.answered_by, again.answered_at, again.on_site) == ("unanswered", None, None, False)


def test_what_is_shelved_says_why_until_it_ends(core):
    core.read("water", "water", True, SECOND)
    core.ask("shelve", "water", for_ms=HOUR, reason="plumber is here")
    assert core.alert("water").reason == "plumber is here"
    core.ask("ack", "water")
    core.read("water", "water", False, MINUTE)
    assert core.changes[-1].change.alert.reason == "plumber is here", "closed, and nobody gave another"


def test_a_reset_is_owed_again_after_a_comeback(core):
    core.read("smoke", "smoke", True, SECOND)
    core.ask("ack", "smoke")
    core.read("smoke", "smoke", False)
    core.read("smoke", "smoke", True, MINUTE)
    assert core.said("smoke")[-2:] == ["re-alarmed", "told"]
    core.ask("ack", "smoke")
    core.read("smoke", "smoke", False)
    assert "closed" not in core.said()


def test_a_button_never_cancels(core):
    core.press(SECOND)
    core.press(2 * SECOND)
    core.ask("ack", "sos")
    core.press(3 * SECOND)
    core.wait(30 * DAY)
    assert [a.rule for a in core.engine.alerts()].count("sos") == 1
    assert core.notes() == ["repeated"]
    assert core.alert("sos").occurrences == 3


def test_presses_that_nobody_has_answered_yet_stand_on_their_alert_each_with_its_time(core):
    for n in range(1, 4):
        core.press(n * SECOND)
    assert [why.at for why in core.alert("sos").why] == [SECOND, 2 * SECOND, 3 * SECOND]
    for n in range(4, 30):
        core.press(n * SECOND)
    assert [why.at for why in core.alert("sos").why] == [n * SECOND for n in range(22, 30)], "the last eight"


def test_a_press_has_no_return_an_answer_alone_does_not_close_it(core):
    core.press(SECOND)
    core.ask("ack", "sos", on_site=True)
    core.ask("reset", "sos")
    assert "closed" not in core.said()
    assert core.ask("close", "sos") == "done"


def test_a_worse_value_re_alarms_what_was_answered(core):
    core.gas(22.0, SECOND)
    core.ask("ack", "gas-high", on_site=True)
    core.read("gas", "gas", 31.0, MINUTE)
    assert core.said("gas-high")[-1] == "acknowledged"
    core.read("gas", "gas", 32.0, 2 * MINUTE)
    assert core.said("gas-high")[-2:] == ["re-alarmed", "told"]


def test_beyond_the_measuring_range_is_worse_than_any_value_and_once(core):
    core.gas(22.0, SECOND)
    core.ask("ack", "gas-high", on_site=True)
    core.forget().read("gas", "gas", None, MINUTE, Quality.OVER_RANGE)
    assert core.said("gas-high") == ["re-alarmed", "told"]
    core.ask("ack", "gas-high", on_site=True)
    core.forget().read("gas", "gas", None, 2 * MINUTE, Quality.OVER_RANGE)
    core.die()
    core.read("gas", "gas", None, 3 * MINUTE, Quality.OVER_RANGE)
    assert core.said("gas-high") == []


AIR = Subject("pit", "other", "b1/s1", (), {"oxygen": FactSpec("%VOL"), "co": FactSpec("ppm"), "alarm": FactSpec()})


@pytest.mark.parametrize(
    ("when", "steps"),
    [
        ("{ point: oxygen, below: 19.5 %VOL, deadband: 0.5 %VOL }", [("oxygen", 19.0), ("oxygen", 18.1), ("oxygen", 18.0)]),
        ("{ point: oxygen, below: 20 %VOL }", [("oxygen", 19.0), ("oxygen", 17.1), ("oxygen", 17.0)]),
        ("{ point: oxygen, below: 0 %VOL }", [("oxygen", -1), ("oxygen", -1.9), ("oxygen", -2)]),
        ("{ point: co, above: 70 ppm, deadband: 60 ppm }", [("co", 70), ("co", 129), ("co", 130)]),
        (
            "{ any: [{ point: co, above: 100 ppm }, { point: oxygen, below: 19.5 %VOL, deadband: 0.5 %VOL }] }",
            [("co", 110), ("oxygen", 19.0), ("oxygen", 18.0)],
        ),
        ("{ any: [{ point: alarm, is: true }, { point: co, above: 100 ppm }] }", [("alarm", True), ("co", 99), ("co", 100)]),
        (
            "{ any: [{ point: alarm, is: true }, { point: oxygen, below: 19 %VOL, deadband: 1 %VOL }] }",
            [("alarm", True), ("oxygen", 19.5), ("oxygen", 19)],
        ),
    ],
)  # fmt: skip
def test_each_limit_is_worse_on_its_own_side_by_its_own_step_and_once(make, when, steps):
    core = make(
        f"- {{ rule: air, subjects: {{ kind: other }}, when: {when}, priority: high, grade: small }}", subjects=(AIR,)
    )
    first, short, worse = steps
    core.read("pit", *first, SECOND)
    core.ask("ack", "air", on_site=True)
    core.forget().read("pit", *short, MINUTE)
    assert core.said("air") == []
    core.read("pit", *worse, 2 * MINUTE)
    assert core.said("air")[0] == "re-alarmed"
    core.ask("ack", "air", on_site=True)
    core.die()
    core.forget().read("pit", *short, 3 * MINUTE)
    core.read("pit", *worse)
    assert core.said("air") == []


def test_how_bad_an_alert_of_an_earlier_version_was_is_what_its_reasons_say(core):
    core.gas(22.0, SECOND)
    core.ask("ack", "gas-high", on_site=True)
    rows = [(row, msgspec.msgpack.decode(row.body)) for row in core.engine.snapshot()]
    for row, body in rows:
        if row.kind == "alert":
            del body["worst_said"]
            body["worst"] = 22.0
    core.engine = Engine(core.compound)
    assert not core.engine.restore(
        [msgspec.structs.replace(row, body=msgspec.msgpack.encode(body)) for row, body in rows]
    )
    core.forget().read("gas", "gas", 31.0, MINUTE)
    assert core.said("gas-high") == []
    core.read("gas", "gas", 32.0)
    assert core.said("gas-high") == ["re-alarmed", "told"]


GAS = "above: 20 %LEL, deadband: 4 %LEL"


@pytest.fixture
def limited(make, house, rules_text):
    """``limited(core, 35)``: from now on gas is high from there on."""

    def edit(core, limit):
        core.forget().die(house(rules_text.replace(GAS, GAS.replace("20", str(limit)))))
        core.give(SiteLoaded("f"))
        return core

    return edit


def test_a_limit_that_is_tightened_makes_nothing_worse(core, limited):
    """Was: 30 %LEL was one step of 20, and four of 10: whoever had answered was called out by the edit."""
    core.gas(30.0, SECOND)
    core.ask("ack", "gas-high", on_site=True)
    assert limited(core, 10).said() == []
    core.read("gas", "gas", 34.0, MINUTE)
    assert core.said() == []
    core.read("gas", "gas", 35.0)
    assert core.said() == ["re-alarmed", "told"], "five more, the step of the new limit"


def test_what_is_worse_by_a_limit_that_was_raised_alarms_again(core, limited):
    """Was: 60 %LEL was four steps of 20, and 95 no four of 35: nobody was told of it."""
    core.gas(60.0, SECOND)
    core.ask("ack", "gas-high", on_site=True)
    assert limited(core, 35).said() == []
    core.read("gas", "gas", 95.0, MINUTE)
    assert core.said() == ["re-alarmed", "told"]


def test_a_limit_that_is_taken_back_leaves_the_worst_as_it_was(core, limited):
    core.gas(30.0, SECOND)
    core.ask("ack", "gas-high", on_site=True)
    assert limited(limited(core, 10), 20).said() == []
    core.read("gas", "gas", 39.0, MINUTE)
    assert core.said() == []
    core.read("gas", "gas", 40.0)
    assert core.said() == ["re-alarmed", "told"]


def test_what_comes_back_while_people_are_called_still_says_what_the_detector_itself_said(core):
    core.read("gas", "gas_high_alarm", True, SECOND)
    core.read("gas", "gas_high_alarm", False, 10 * SECOND)
    core.read("gas", "gas", 0.0)
    core.forget().gas(22.0, 20 * SECOND)
    assert core.said("gas-high") == ["re-alarmed"]
    assert [(why.fact, why.value) for why in core.alert("gas-high").why] == [("gas", 22.0), ("gas_high_alarm", True)]


def test_what_worsens_with_the_climb_over_and_nobody_there_climbs_anew(core):
    """Was: 22 %LEL climbed for three minutes, nobody answered, and 95 was told to nobody."""
    core.gas(22.0, SECOND)
    core.forget().wait(10 * MINUTE)
    for minute, value in ((20, 45.0), (30, 46.0), (40, 70.0)):
        core.read("gas", "gas", value, minute * MINUTE)
    assert core.said("gas-high") == ["told", *["re-alarmed", "told", "told"], *["re-alarmed", "told"]]
    assert core.told("gas-high")[-1] == ("street", 40 * 60)


def test_what_worsens_while_somebody_is_called_says_so_and_does_not_begin_again(core):
    core.gas(22.0, SECOND)
    core.forget().read("gas", "gas", 45.0, MINUTE)
    assert core.said("gas-high") == ["re-alarmed"]
    assert core.changes[-1].change.alert.why[0].value == 45.0
    core.wait(10 * MINUTE)
    assert core.told("gas-high")[-1] == ("district", 181)


@pytest.mark.parametrize(
    ("quiet", "said"), [("ack", ["re-alarmed", "told"]), ("shelve", ["unshelved", "re-alarmed", "told"])]
)
def test_what_came_back_worsens_from_where_it_came_back(core, quiet, said):
    """Was: the worst before it had gone counted for ever, and a leak that came back grew unheard."""
    core.read("gas", "gas_high_alarm", False)
    core.gas(22.0, SECOND)
    core.read("gas", "gas", None, MINUTE, Quality.OVER_RANGE)
    core.read("gas", "gas", 0.0, 2 * MINUTE)
    core.gas(21.0, 20 * MINUTE)
    core.ask(quiet, "gas-high", on_site=True, for_ms=20 * MINUTE, reason="repair")
    core.die()
    core.forget().read("gas", "gas", 60.0, 22 * MINUTE)
    assert core.said("gas-high") == said


def test_what_worsens_sounds_again_although_it_was_silenced(core):
    core.gas(21.0, SECOND)
    core.ask("silence", "gas-high")
    core.forget().read("gas", "gas", 30.0, MINUTE)
    assert core.said("gas-high") == []
    core.read("gas", "gas", 80.0, 2 * MINUTE)
    assert (core.said("gas-high"), core.output("siren")) == (["re-alarmed"], "on")


@pytest.mark.parametrize(
    ("quiet", "said"),
    [("ack", ["re-alarmed", "told"]), ("silence", ["re-alarmed"]), ("shelve", ["unshelved", "re-alarmed", "told"])],
)
def test_the_detectors_own_alarm_after_a_number_is_worse_and_once(core, quiet, said):
    core.gas(21.0, SECOND)
    core.ask(quiet, "gas-high", for_ms=20 * MINUTE, reason="repair")
    core.forget().read("gas", "gas_high_alarm", True, MINUTE)
    assert (core.said("gas-high"), core.output("siren")) == (said, "on")
    core.ask("ack", "gas-high", on_site=True)
    core.forget()
    for minute in range(2, 30):
        core.read("gas", "gas_high_alarm", bool(minute % 2), minute * MINUTE)
        core.read("gas", "gas", 21.0 + minute % 5)
    assert core.said("gas-high") == [], "noise is nothing worse"


@pytest.mark.parametrize(
    ("quiet", "said"),
    [("ack", ["re-alarmed", "told"]), ("silence", ["re-alarmed"]), ("shelve", ["unshelved", "re-alarmed", "told"])],
)
def test_the_first_number_after_the_detectors_own_alarm_is_worse_and_once(core, quiet, said):
    core.read("gas", "gas_high_alarm", True, SECOND)
    core.ask(quiet, "gas-high", for_ms=20 * MINUTE, reason="repair")
    core.forget().read("gas", "gas", 21.0, MINUTE)
    assert (core.said("gas-high"), core.output("siren")) == (said, "on")
    core.ask("ack", "gas-high", on_site=True)
    core.forget()
    for minute in range(2, 30):
        core.read("gas", "gas", 10.0 + minute % 15, minute * MINUTE)
    assert core.said("gas-high") == [], "noise is nothing worse"


@pytest.mark.parametrize("answered", [True, False])
def test_a_second_detector_in_the_place_is_worse(make, answered):
    text = """
- rule: stair-smoke
  subjects: { kind: [smoke-detector, water-detector] }
  by: stair
  when: { any: [ { point: smoke, is: true }, { point: water, is: true } ] }
  priority: critical
  grade: big
"""
    core = make(text)
    core.read("smoke", "smoke", True, SECOND)
    if answered:
        core.ask("ack", "stair-smoke", on_site=True)
    core.wait(HOUR)
    core.forget().read("water", "water", True, HOUR + MINUTE)
    assert core.said("stair-smoke") == ["re-alarmed", "told"]
    core.ask("ack", "stair-smoke", on_site=True)
    core.forget()
    for n in range(10):  # one or the other, in turns
        core.read("smoke", "smoke", bool(n % 2), (62 + n) * MINUTE)
        core.read("water", "water", True)
    assert core.said("stair-smoke") == []


def test_what_comes_back_while_shelved_stays_out_of_sight_and_is_told_after(core):
    core.read("water", "water", True, SECOND)
    core.ask("ack", "water")
    core.ask("shelve", "water", for_ms=HOUR, reason="plumber is here")
    core.health("gas", "ok")
    core.read("water", "water", False, MINUTE)
    assert core.said("water")[-1] == "closed", "answered and gone: shelved or not"


def test_a_comeback_of_a_shelved_alert_is_recorded_and_not_told(core):
    core.read("water", "water", True, SECOND)
    core.ask("shelve", "water", for_ms=HOUR, reason="plumber is here")
    core.read("water", "water", False, MINUTE)
    core.forget().read("water", "water", True, 2 * MINUTE)
    assert core.said("water") == ["re-alarmed"]
    core.wait(2 * HOUR)
    assert core.said("water")[:3] == ["re-alarmed", "unshelved", "told"]


def test_a_comeback_of_a_shelved_life_safety_alert_ends_the_shelf(core):
    core.read("smoke", "smoke", True, SECOND)
    core.ask("shelve", "smoke", for_ms=20 * MINUTE, reason="drill")
    core.read("smoke", "smoke", False, MINUTE)
    core.forget().read("smoke", "smoke", True, 2 * MINUTE)
    assert core.said("smoke")[0] == "unshelved"
    assert "re-alarmed" in core.said("smoke")


def test_a_worse_value_or_a_press_ends_a_shelf(core):
    core.gas(22.0, SECOND)
    core.ask("shelve", "gas-high", for_ms=20 * MINUTE, reason="repair")
    core.forget().read("gas", "gas", 60.0, MINUTE)
    assert core.said("gas-high") == ["unshelved", "re-alarmed", "told"]
    core.press(2 * MINUTE)
    core.ask("shelve", "sos", for_ms=20 * MINUTE, reason="drill")
    core.forget().press(3 * MINUTE)
    assert core.said("sos")[:2] == ["unshelved", "told"]


@pytest.mark.parametrize(("answered", "said"), [(False, []), (True, ["re-alarmed"])])
def test_an_event_that_is_no_matter_of_life_ends_no_shelf(core, answered, said):
    core.entry("access.denied", "1", SECOND, subject="stranger")
    if answered:
        core.ask("ack", "stranger")
    assert core.ask("shelve", "stranger", for_ms=DAY, reason="the removal men are here all day") == "done"
    core.forget().entry("access.denied", "2", HOUR, subject="stranger")
    assert core.said("stranger") == said
    assert core.alert("stranger").occurrences == 2
    core.forget().wait(2 * DAY)
    assert core.said("stranger")[:2] == ["unshelved", "told"]


def test_the_second_deadline_runs_again_after_a_shelf(core):
    core.press(0)
    core.ask("ack", "sos", SECOND)
    core.ask("shelve", "sos", 2 * SECOND, for_ms=20 * MINUTE, reason="on the way")
    core.forget().wait(21 * MINUTE)
    assert core.said("sos") == ["unshelved"]
    core.wait(31 * MINUTE)
    assert core.said("sos") == ["unshelved", "told"]
    assert core.told("sos")[-1][0] == "district"


def test_an_answer_to_a_shelved_alert_starts_no_deadline_until_it_is_back(core):
    core.press(0)
    core.ask("shelve", "sos", SECOND, for_ms=20 * MINUTE, reason="drill")
    core.ask("ack", "sos", 2 * SECOND)
    core.forget().wait(19 * MINUTE)
    assert core.said("sos") == []
    core.wait(31 * MINUTE)
    assert core.said("sos") == ["unshelved", "told"]


def test_unknown_is_never_safe_a_broken_sensor_does_not_return(core):
    core.gas(30.0, SECOND)
    core.read("gas", "gas", None, MINUTE, Quality.SENSOR_FAULT)
    core.wait(DAY)
    assert "returned" not in core.said("gas-high")
    core.ask("ack", "gas-high")
    assert core.ask("close", "gas-high") == "still_active"


def test_one_wild_value_is_confirmed_by_its_own_reread_and_by_no_other_reading(core):
    core.read("gas", "gas", 1.0, 0)
    core.read("gas", "gas", 88.0, SECOND)
    assert [r.point for r in core.rereads()] == ["gas"]
    core.read("gas", "gas_high_alarm", False, SECOND)
    assert core.said() == []
    core.read("gas", "gas", 1.0, SECOND + 200)
    core.wait(MINUTE)
    assert core.said() == []


def test_a_reread_refutes_a_wild_value_also_while_the_alarm_bit_is_unheard_of(core):
    core.read("gas", "gas", 88.0, SECOND)
    core.read("gas", "gas", 1.0, SECOND + 200)
    core.wait(MINUTE)
    assert core.said() == []


def test_what_cannot_be_confirmed_alarms_all_the_same(core):
    core.read("gas", "gas", 88.0, SECOND)
    core.wait(SECOND + 1499)
    assert core.said() == []
    core.wait(SECOND + 1500)
    assert core.said("gas-high")[0] == "raised"


def test_the_detectors_own_bit_needs_no_second_look(core):
    core.read("gas", "gas_high_alarm", True, SECOND)
    assert core.rereads() == []
    assert core.said("gas-high")[0] == "raised"


def test_only_what_stands_on_a_bus_is_asked_again(make):
    core = make(
        "- rule: flat\n  subjects: { kind: button }\n  when: { point: battery, below: 20 % }\n  confirm: reread\n"
        "  priority: low\n  grade: small\n"
    )
    core.read("button", "battery", 5, SECOND)
    assert core.rereads() == []
    assert core.said("flat")[0] == "raised"


def test_the_same_press_twice_is_never_two_bodies_under_one_message_id(core):
    """A recorded frame played back again after its alert was closed: a new matter, not revision 1 of the old one."""
    for n in range(4):
        core.press(SECOND * (n + 1), "c3-abcd", suspect="old_counter")
        core.ask("close", "sos-suspect", mistaken=True, reason="nobody there")
        if n == 1:
            core.die()
    ids = [(p.change.alert.id, p.change.alert.revision) for p in core.changes]
    assert core.said("sos-suspect").count("raised") == 4
    assert len(ids) == len(set(ids))


def test_identity_does_not_depend_on_time_or_run(make):
    one, other = make(), make(offset=None)
    one.press(SECOND, "c7")
    other.boot(HOUR, downtime=None)
    other.press(2 * HOUR, "c7")
    assert one.alert("sos").id == other.alert("sos").id
    assert one.alert("sos").occasion == "button:c7"


def test_no_number_that_the_outbox_has_given_is_given_again_where_our_own_memory_of_it_is_lost(core):
    core.press(SECOND)
    core.engine.register.numbers.continue_lanes({"critical": 7, "high": 3})
    core.forget().ask("ack", "sos")
    core.read("water", "water", True)
    assert [(p.lane.value, p.sequence) for p in core.changes] == [("critical", 8), ("high", 4), ("high", 5)]


def test_where_even_the_outbox_forgot_all_lanes_go_on_behind_the_floor(core):
    core.press(SECOND)
    core.engine.register.numbers.continue_lanes({"critical": 7}, 100)
    core.read("water", "water", True)
    core.engine.register.numbers.continue_lanes({"critical": 7}, 100)
    core.ask("ack", "sos")
    later = [(p.lane.value, p.sequence) for p in core.changes if p.sequence > 10]
    assert ("high", 101) in later
    assert next(n for lane, n in later if lane == "critical") == 101
    assert len(later) == len(set(later))


def test_lives_that_start_from_the_same_rows_tell_in_revisions_of_their_own_however_far_an_alert_came(core):
    """On a full disk each of them counts one loss more, and leaves nothing else. Was: beyond revision 1,000 two were one."""
    core.press(SECOND)
    alerts = core.engine.register.alerts
    alerts.put(msgspec.structs.replace(alerts.values()[0], revision=2_500), alerts.values()[0].id)
    rows, reached = core.engine.snapshot(), [2_500]
    for losses in (1, 2, 3):
        life = Engine(core.compound)
        life.restore(rows)
        life.register.leap(losses)
        reached.append(life.register.alerts.values()[0].revision)
    assert all(later >= before + 1_000 for before, later in itertools.pairwise(reached))


def test_revisions_and_lanes_have_no_gaps_over_restarts(core):
    core.press(SECOND)
    core.read("water", "water", True)
    core.restart(after=10 * MINUTE)
    core.ask("ack", "sos")
    core.press()
    core.read("water", "water", False)
    by_lane, by_alert = {}, {}
    for p in core.changes:
        by_lane.setdefault(p.lane, []).append(p.sequence)
        by_alert.setdefault(p.change.alert.id, []).append(p.change.alert.revision)
    for numbers in (*by_lane.values(), *by_alert.values()):
        assert numbers == list(range(1, len(numbers) + 1))


TAKEN = """
- rule: shouted
  subjects: { kind: button }
  when: { press: any }
  priority: critical
  grade: big
  latch: true
"""


def test_the_reset_of_a_latched_alert_without_return_ends_it(make):
    """Was: `done`, and it stood for ever."""
    core = make(TAKEN)
    core.press(SECOND)
    assert core.ask("reset", "shouted") == "needs_answer_first"
    core.ask("ack", "shouted", on_site=True)
    assert core.alert("shouted").response == "acknowledged", "an answer alone ends nothing"
    assert core.ask("reset", "shouted") == "done"
    assert (core.said("shouted")[-1], core.alert("shouted").closed_by) == ("closed", "duty")


def test_one_word_ends_no_call_for_help_that_nobody_has_taken(core):
    """Was: a mistyped id closed a press as resolved, without a word why."""
    core.press(SECOND)
    assert core.ask("close", "sos", reason="seen to") == "needs_answer_first"
    core.ask("ack", "sos")
    assert core.ask("close", "sos") == "done"
    core.press(MINUTE)
    assert core.ask("close", "sos", mistaken=True, reason="spoke with her") == "done"


def test_a_press_after_the_reset_of_a_latched_alert_is_another_alert(make):
    core = make(TAKEN)
    core.press(SECOND)
    core.ask("ack", "shouted")
    core.ask("reset", "shouted")
    core.forget().press(MINUTE)
    assert core.said("shouted") == ["raised", "told"]
