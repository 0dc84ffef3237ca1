"""What the outputs do and say, by the clock: virtual seconds, relays in memory."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from gateway.actions import Want
from gateway.actuators.outputs import Pace
from gateway.events import Quality

PATIENT = Pace(retry_first_s=1, retry_cap_s=8, verify_s=30)


def test_a_siren_sounds_and_is_silenced_again(one, play):
    b, lane = one("s")

    async def script():
        await asyncio.sleep(1)
        b.want("s", "on", "alert-1")
        await asyncio.sleep(1)
        b.want("s", "off")
        await asyncio.sleep(1)

    play(b, script)
    assert lane.deeds() == [("write on", "board", "relay-s"), ("write off", "board", "relay-s")]
    assert b.said() == [("off", "off", True, ""), ("on", "on", True, ""), ("off", "off", True, "")]


def test_a_want_goes_to_the_wire_in_the_same_moment(one, play):
    b, lane = one("v", "valve")

    async def script():
        await asyncio.sleep(10)
        b.want("v", "shut", "gas")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert lane.log[-1] == (10.0, "write on", "board", "relay-v")
        await asyncio.sleep(1)

    play(b, script)


@pytest.mark.parametrize(("kind", "state"), [("siren", "on"), ("valve", "shut"), ("fan", "on")])
@pytest.mark.parametrize("already", [True, False])
def test_at_the_start_a_wanted_state_is_asserted_only_where_it_is_missing(one, play, kind, state, already):
    b, lane = one("x", kind)
    lane.state["board", "relay-x"] = already
    b.want("x", state, "alert-1")
    play(b, lambda: asyncio.sleep(1))
    assert lane.log[0][1] == "read"
    assert len(lane.deeds()) == (0 if already else 1)
    assert b.said() == [(state, state, True, "")]


def test_what_is_found_on_without_a_cause_is_held_and_reported(one, play):
    b, lane = one("s")
    lane.state["board", "relay-s"] = True

    async def script():
        b.want("s", "off")
        await asyncio.sleep(100)
        assert not lane.deeds()
        b.want("s", "off")  # said again: still no cause, still held, not reported twice
        await asyncio.sleep(100)
        assert b.said() == [("off", "on", True, "held_without_cause")]
        b.want("s", "on", "alert-1")
        await asyncio.sleep(10)
        b.want("s", "off")
        await asyncio.sleep(10)

    play(b, script)
    assert lane.deeds() == [("write on", "board", "relay-s"), ("write off", "board", "relay-s")]
    assert b.said()[1:] == [("on", "on", True, ""), ("off", "off", True, "")]


def test_a_held_output_that_somebody_switches_off_is_reported(one, play):
    b, lane = one("s")
    lane.state["board", "relay-s"] = True

    async def script():
        await asyncio.sleep(10)
        lane.state["board", "relay-s"] = False
        await asyncio.sleep(60)

    play(b, script)
    assert b.said() == [("off", "on", True, "held_without_cause"), ("off", "off", True, "")]
    assert not lane.deeds()


@pytest.mark.parametrize("kind", ["siren", "fan"])
def test_an_output_that_somebody_else_switches_on_later_is_reported_too(one, play, kind):
    """Was seen at the start alone: `loudong status` said of a siren that sounded that it was off, and confirmed."""
    b, lane = one("s", kind)

    async def script():
        await asyncio.sleep(5)
        for state in (True, True, False):
            lane.state["board", "relay-s"] = state
            b.reconciler.point_read("board", "relay-s", state, Quality.GOOD)
            await asyncio.sleep(5)

    play(b, script)
    assert lane.deeds() == []
    assert b.said() == [("off", "off", True, ""), ("off", "on", True, "held_without_cause"), ("off", "off", True, "")]


def test_a_valve_that_somebody_else_shuts_is_known_to_be_shut(one, play):
    b, lane = one("v", "valve")

    async def script():
        await asyncio.sleep(5)
        looks = len(lane.deeds("read"))
        b.reconciler.point_read("board", "relay-v", False, Quality.GOOD)
        await asyncio.sleep(5)
        assert len(lane.deeds("read")) == looks  # nothing new, so nothing is asked
        lane.state["board", "relay-v"] = True
        b.reconciler.point_read("board", "relay-v", True, Quality.GOOD)
        await asyncio.sleep(5)

    play(b, script)
    assert lane.deeds() == []
    assert b.said() == [("leave", "open", True, ""), ("leave", "shut", True, "")]


def test_an_alert_that_outlives_a_restart_may_still_be_silenced(one, play):
    b, lane = one("s")
    lane.state["board", "relay-s"] = True
    b.want("s", "on", "alert-of-yesterday")

    async def script():
        await asyncio.sleep(5)
        b.want("s", "off")
        await asyncio.sleep(5)

    play(b, script)
    assert lane.deeds() == [("write off", "board", "relay-s")]


def test_a_valve_is_never_reopened(one, play):
    b, lane = one("v", "valve")

    async def script():
        b.want("v", "shut", "gas")
        await asyncio.sleep(100)
        for state in ("leave", "off", "on"):
            b.want("v", state)
            await asyncio.sleep(100)

    play(b, script)
    assert lane.deeds() == [("write on", "board", "relay-v")]
    assert b.said()[-1] == ("leave", "shut", True, "")


def test_a_lost_write_is_tried_again_until_it_holds_and_said_once(one, play):
    b, lane = one("s")
    lane.lost_writes = 3

    async def script():
        await asyncio.sleep(1)
        b.want("s", "on", "alert-1")
        await asyncio.sleep(60)

    play(b, script)
    assert b.said()[1:] == [("on", None, False, "readback"), ("on", "on", True, "")]
    assert len(lane.deeds()) == 4


@pytest.mark.parametrize("lost", [1, 2])
def test_an_answer_that_was_lost_calls_nobody_where_the_next_try_holds(one, play, lost):
    """The alarm about an output goes to the whole grid, and lines lose frames."""
    b, lane = one("s")

    async def script():
        await asyncio.sleep(1)
        lane.lost_answers = lost
        b.want("s", "on", "alert-1")
        await asyncio.sleep(1)

    play(b, script)
    assert b.said()[1:] == [("on", "on", True, "")]
    assert len(lane.deeds()) == lost + 1


def test_what_was_lost_and_not_wanted_any_more_calls_nobody(one, play):
    b, lane = one("s")

    async def script():
        await asyncio.sleep(1)
        b.want("s", "on", "alert-1")
        await asyncio.sleep(1)
        lane.lost_answers = 1
        b.want("s", "off")
        await asyncio.sleep(0.02)
        b.want("s", "on", "alert-2")
        await asyncio.sleep(1)

    play(b, script)
    assert all(confirmed for _, _, confirmed, _ in b.said())
    assert b.said()[-1] == ("on", "on", True, "")


def test_a_board_that_is_away_is_tried_with_growing_pauses_and_reported_when_it_is_back(one, play):
    b, lane = one("s")
    lane.dead.add("board")

    async def script():
        b.want("s", "on", "alert-1")
        await asyncio.sleep(60)
        assert b.said() == [("on", None, False, "no_answer")]
        lane.dead.clear()
        await asyncio.sleep(10)

    play(b, script)
    assert b.said() == [("on", None, False, "no_answer"), ("on", "on", True, "")]
    times = [at for at, deed, *_ in lane.log if deed == "write on"]
    pauses = [round(b - a - 0.5) for a, b in itertools.pairwise(times)]
    assert pauses[:5] == [0, 0, 1, 2, 4]
    assert set(pauses[5:]) == {5}


def tried(bench, an_output, fake_lane, play, kinds, **more):
    """What is asked of a board that never answers, for five minutes: the longest pause between two tries of each output."""
    lane, outputs = fake_lane(timeout_s=0.1), [an_output(f"o{n}", kind, **more) for n, kind in enumerate(kinds)]
    b = bench(outputs, {"board": lane})
    lane.dead.add("board")

    async def script():
        for output in outputs:
            b.want(output.id, "shut" if output.kind == "valve" else "on", "alert-1")
        await asyncio.sleep(300)

    play(b, script)
    tries = [[at for at, deed, _, point in lane.log if "write" in deed and point == o.point] for o in outputs]
    return [max(later - before for before, later in itertools.pairwise(times)) for times in tries], len(lane.deeds())


@pytest.mark.parametrize(("outputs", "longest_s"), [(1, 5), (3, 15), (6, 30), (12, 30)])
def test_what_a_line_lost_is_tried_again_soon_where_few_wait_for_it(
    bench, an_output, fake_lane, play, outputs, longest_s
):
    """Was: half a minute later after seven losses, so that one siren on a line that loses much was on after 43 s."""
    pauses, tries = tried(bench, an_output, fake_lane, play, ["siren"] * outputs)
    assert max(pauses) < longest_s + 2 * outputs * 0.1
    assert tries * 0.1 < 300 / 12, "together they take little of the line"


def test_a_valve_on_a_pulse_that_may_have_had_it_is_not_pulsed_every_few_seconds(bench, an_output, fake_lane, play):
    pauses, _ = tried(bench, an_output, fake_lane, play, ["valve"], momentary=True)
    assert max(pauses) > 29


def test_a_board_that_is_away_for_hours_is_tried_to_the_end_in_pauses_that_grow_no_more(one, play):
    """The pauses double; of a thousand doublings no number is left."""
    b, lane = one("s")
    lane.dead.add("board")
    b.want("s", "on", "alert-1")

    async def script():
        await asyncio.sleep(3 * 3600)
        lane.dead.clear()
        await asyncio.sleep(10)

    play(b, script)
    tries = [at for at, deed, *_ in lane.log if deed.startswith("write")]
    assert len(tries) > 1_100
    assert max(later - before for before, later in itertools.pairwise(tries)) < 10
    assert b.said()[-1] == ("on", "on", True, "")


def test_a_board_known_to_be_back_is_tried_at_once(one, play):
    b, lane = one("s")
    lane.dead.add("board")

    async def script():
        b.want("s", "on", "alert-1")
        await asyncio.sleep(50)
        lane.dead.clear()
        b.reconciler.device_back("another-board")
        b.reconciler.device_back("board")
        await asyncio.sleep(0.1)
        assert b.said()[-1] == ("on", "on", True, "")

    play(b, script)


def test_a_board_that_was_away_for_a_moment_is_looked_at_as_soon_as_it_is_back(one, play):
    b, lane = one("s")

    async def script():
        b.want("s", "on", "alert-1")
        await asyncio.sleep(10)
        lane.state["board", "relay-s"] = False  # it lost its power between two verifications
        b.reconciler.device_back("board")
        await asyncio.sleep(0.2)
        assert lane.state["board", "relay-s"] is True

    play(b, script)


def test_a_board_away_at_the_start_is_no_report_while_nothing_is_asked_of_it(one, play):
    b, lane = one("s")
    lane.dead.add("board")
    lane.state["board", "relay-s"] = True

    async def script():
        b.want("s", "off")
        await asyncio.sleep(60)
        assert not b.reports
        lane.dead.clear()
        await asyncio.sleep(10)

    play(b, script)
    assert b.said() == [("off", "on", True, "held_without_cause")]
    assert not lane.deeds()


@pytest.mark.parametrize(
    ("kind", "want", "drifted"),
    [("siren", ("on", "a"), False), ("valve", ("shut", "a"), False), ("fan", ("off", "a"), True)],
)
def test_drift_is_corrected_toward_safe(one, play, kind, want, drifted):
    b, lane = one("x", kind)

    async def script():
        b.want("x", *want)
        await asyncio.sleep(10)
        before = len(lane.deeds())
        lane.state["board", "relay-x"] = drifted
        await asyncio.sleep(31)
        assert len(lane.deeds()) == before + 1
        assert lane.state["board", "relay-x"] is not drifted

    play(b, script)
    assert b.reconciler.counters["drifted"] == 1
    assert len(b.reports) == 1


@pytest.mark.parametrize(("kind", "state"), [("siren", "off"), ("fan", "off"), ("valve", "leave")])
def test_what_somebody_switches_on_while_nobody_asks_stays_on(one, play, kind, state):
    b, lane = one("x", kind)

    async def script():
        b.want("x", state)
        await asyncio.sleep(10)
        lane.state["board", "relay-x"] = True
        await asyncio.sleep(3600)

    play(b, script)
    assert not lane.deeds()


def test_a_fan_held_off_by_smoke_is_put_off_and_stays_off_afterwards(one, play):
    b, lane = one("f", "fan")
    lane.state["board", "relay-f"] = True  # runs by day, nobody's alarm

    async def script():
        await asyncio.sleep(1)
        b.want("f", "off", "smoke-1")
        await asyncio.sleep(10)
        assert lane.state["board", "relay-f"] is False
        b.want("f", "off")
        await asyncio.sleep(100)

    play(b, script)
    assert lane.deeds() == [("write off", "board", "relay-f")]


def test_a_newer_want_supersedes_and_no_report_is_lost(one, play):
    b, lane = one("s", transaction_s=1.0)

    async def script():
        await asyncio.sleep(5)
        b.want("s", "on", "a")
        await asyncio.sleep(0.5)  # its write is on the wire
        b.want("s", "off")
        b.want("s", "on", "b")
        await asyncio.sleep(0.1)
        b.want("s", "off")
        await asyncio.sleep(5)

    play(b, script)
    assert b.said()[1:] == [
        ("on", "on", True, ""),
        ("off", None, True, "superseded"),
        ("on", None, True, "superseded"),
        ("off", "off", True, ""),
    ]
    assert lane.deeds() == [("write on", "board", "relay-s"), ("write off", "board", "relay-s")]
    assert lane.state["board", "relay-s"] is False


def test_another_cause_for_the_same_state_is_no_new_report_but_a_look(one, play):
    b, lane = one("s")

    async def script():
        b.want("s", "on", "a")
        await asyncio.sleep(2)
        lane.state["board", "relay-s"] = False
        b.want("s", "on", "a", "b")
        await asyncio.sleep(0.2)
        assert lane.state["board", "relay-s"] is True

    play(b, script)
    assert b.said() == [("on", "on", True, "")]


def test_the_core_may_answer_a_report_with_a_want(one, play):
    b, lane = one("s")
    b.answer = lambda a: b.want("s", "off") if a.wanted == "on" and a.confirmed else None

    async def script():
        await asyncio.sleep(1)
        b.want("s", "on", "a")
        await asyncio.sleep(2)

    play(b, script)
    assert b.said()[1:] == [("on", "on", True, ""), ("off", "off", True, "")]
    assert lane.state["board", "relay-s"] is False


def test_a_bug_in_a_lane_rises(one, play):
    b, lane = one("s")

    async def broken(*_):
        raise ZeroDivisionError

    lane.write = broken
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(_until_broken(b))
    assert caught.group_contains(ZeroDivisionError)


async def _until_broken(b):
    b.want("s", "on", "a")
    async with asyncio.timeout(60):
        await b.reconciler.run()


def test_told_to_end_it_still_does_what_was_just_asked(one, play):
    """SIGTERM in the middle of an alarm: the siren is on, and nobody is told that it was not confirmed."""
    b, lane = one("s")

    async def first():
        b.want("s", "on", "a")
        await asyncio.sleep(0.03)  # stopped in the middle of a transaction

    play(b, first)
    assert b.said() == [("on", "on", True, "")]
    assert len(lane.deeds()) == 1


def test_an_output_nobody_has_is_a_bug(one):
    b, _ = one("s")
    with pytest.raises(KeyError):
        b.reconciler.want(Want("nobody", "on", ()))


def test_an_output_whose_device_has_no_lane_is_found_when_built(bench, fake_lane, an_output):
    with pytest.raises(KeyError):
        bench([an_output("s", device="nowhere")], {})
    with pytest.raises(KeyError):
        bench([an_output("s", feedback="nowhere.limit")], {"board": fake_lane()})


def test_a_day_of_verification_leaves_things_as_they_are(one, play):
    b, lane = one("v", "valve")
    b.want("v", "shut", "gas")
    play(b, lambda: asyncio.sleep(86_400))
    assert len(lane.deeds()) == 1
    assert len(b.reports) == 1
    assert len(lane.deeds("read")) == pytest.approx(86_400 / 30, rel=0.02)


def test_a_siren_once_off_again_is_ours_no_more(one, play):
    b, lane = one("s")

    async def script():
        for state in ("on", "off"):
            b.want("s", state)
            await asyncio.sleep(10)
        lane.state["board", "relay-s"] = True  # another controller's alarm
        b.want("s", "off")
        await asyncio.sleep(10)

    play(b, script)
    assert lane.state["board", "relay-s"] is True
    assert b.said()[-1] == ("off", "on", True, "held_without_cause")


def test_a_superseded_want_neither_raises_nor_ends_the_alarm_about_its_output(one, play):
    """``confirmed`` is a level to the core: it may only change by what was really seen."""
    b, lane = one("s", transaction_s=0.4)

    async def script():
        await asyncio.sleep(1)
        for first in ("on", "off"):
            b.want("s", first, *(["a"] if first == "on" else []))
            await asyncio.sleep(0.01)
            b.want("s", "on", "b")
            b.want("s", "off")
            await asyncio.sleep(5)
            lane.dead.add("board")

    play(b, script)
    quiet, loud = b.said()[:4], b.said()[4:]
    assert all(confirmed for _, _, confirmed, _ in quiet)
    assert [(w, r) for w, _, confirmed, r in loud if not confirmed] == [("off", "no_answer")]
    assert ("on", None, True, "superseded") in b.said()
