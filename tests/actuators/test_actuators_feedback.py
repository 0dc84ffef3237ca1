"""What a valve, fan or siren says of itself is believed before what was written to it; virtual seconds, relays in memory."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from gateway.actuators.outputs import Pace
from gateway.events import Quality

PATIENT = Pace(retry_first_s=1, retry_cap_s=8, verify_s=30)


def test_a_valve_whose_feedback_never_comes_is_reported_and_tried_on(one, play):
    b, lane = one("v", "valve", feedback="board.limit", feedback_means="shut")

    async def script():
        await asyncio.sleep(1)
        b.want("v", "shut", "gas")
        await asyncio.sleep(60)
        assert b.said()[1:] == [("shut", "open", False, "not_confirmed")]
        assert len(lane.deeds()) > 2
        lane.state["board", "limit"] = True
        await asyncio.sleep(10)

    play(b, script)
    assert b.said()[-1] == ("shut", "shut", True, "")
    assert b.reports[1][0] == pytest.approx(1 + 5, abs=0.3)  # confirm_ms after the write


@pytest.mark.parametrize("quality", [Quality.SENSOR_FAULT, Quality.WARM_UP, Quality.COMMS, Quality.INVALID])
def test_a_feedback_of_bad_quality_confirms_nothing(one, play, quality):
    b, lane = one("v", "valve", feedback="board.limit", feedback_means="shut")
    lane.state["board", "limit"], lane.quality["board", "limit"] = True, quality
    b.want("v", "shut", "gas")
    play(b, lambda: asyncio.sleep(10))
    assert b.said() == [("shut", None, False, "feedback_unknown")]


@pytest.mark.parametrize("value", [None, "shut", 1.0, 2, -1])
def test_a_feedback_that_is_no_state_confirms_nothing(one, play, value):
    b, lane = one("v", "valve", feedback="board.limit")
    lane.state["board", "limit"] = value
    b.want("v", "shut", "gas")
    play(b, lambda: asyncio.sleep(10))
    assert b.said() == [("shut", None, False, "feedback_unknown")]


@pytest.mark.parametrize("value", [1, True])
def test_an_input_that_says_yes_proves_the_state(one, play, value):
    b, lane = one("v", "valve", feedback="board.limit")
    lane.state["board", "limit"] = value
    b.want("v", "shut", "gas")
    play(b, lambda: asyncio.sleep(10))
    assert b.said() == [("shut", "shut", True, "")]


def test_a_running_feedback_proves_a_fan_off_by_being_false(one, play):
    b, lane = one("f", "fan", feedback="board.running", feedback_means="on")
    lane.state["board", "running"] = True
    lane.follow["board", "relay-f"] = (("board", "running"), 1.0)

    async def script():
        b.want("f", "off", "smoke")
        await asyncio.sleep(4)
        assert not b.reports  # the coil is off, but it still runs
        lane.state["board", "running"] = False
        await asyncio.sleep(10)

    play(b, script)
    assert b.said() == [("off", "off", True, "")]


def test_a_feedback_lost_later_is_found_by_verification(one, play):
    b, lane = one("v", "valve", feedback="board.limit")
    lane.follow["board", "relay-v"] = (("board", "limit"), 0.1)

    async def script():
        b.want("v", "shut", "gas")
        await asyncio.sleep(10)
        lane.follow.clear()
        lane.state["board", "limit"] = False  # cranked open by hand
        await asyncio.sleep(60)

    play(b, script)
    assert b.said() == [("shut", "shut", True, ""), ("shut", "open", False, "not_confirmed")]


def test_a_want_superseded_while_its_feedback_is_awaited_is_told_so_at_once(bench, fake_lane, an_output, play):
    near, far = fake_lane(), fake_lane(timeout_s=60)
    far.dead.add("sensor")
    siren = an_output("s", feedback="sensor.sounding", feedback_means="on")
    b = bench([siren], {"board": near, "sensor": far}, PATIENT)

    async def script():
        await asyncio.sleep(1)
        b.want("s", "on", "a")
        await asyncio.sleep(1)  # waits for a feedback on a dead bus
        b.want("s", "off")
        await asyncio.sleep(0.1)
        assert near.state["board", "relay-s"] is False
        assert ("on", None, True, "superseded") in b.said()

    play(b, script)


def test_a_siren_that_goes_on_sounding_is_not_confirmed_off(one, play):
    b, lane = one("s", feedback="board.sounding", feedback_means="on")
    lane.state["board", "sounding"] = True

    async def script():
        b.want("s", "on", "x")
        await asyncio.sleep(10)
        b.want("s", "off")
        await asyncio.sleep(10)
        assert b.said()[1:] == [("off", "on", False, "not_confirmed")]
        lane.state["board", "sounding"] = False
        await asyncio.sleep(10)

    play(b, script)
    assert b.said()[-1] == ("off", "off", True, "")


def test_one_of_ours_found_sounding_at_the_start_is_not_off_because_its_coil_is(bench, fake_lane, an_output, play):
    lane = fake_lane()
    lane.state["board", "sounding"] = True  # the relay's contact is welded: the coil let go, the siren did not
    siren = an_output("s", feedback="board.sounding", feedback_means="on")
    b = bench([siren], {"board": lane}, PATIENT, ours={"s"})

    async def script():
        await asyncio.sleep(20)
        assert b.said() == [("off", "on", False, "not_confirmed")]
        lane.state["board", "sounding"] = False
        await asyncio.sleep(10)

    play(b, script)
    assert b.said()[1:] == [("off", "off", True, "")]


@pytest.mark.parametrize(("shown", "to_be", "at_once"), [("relay-v", False, 1), ("limit", False, 1), ("relay-v", True, 0), ("other", False, 0)])  # fmt: skip
def test_what_a_poll_shows_otherwise_than_was_proven_is_looked_at_at_once(one, play, shown, to_be, at_once):
    """A board that lost its power for a moment; a valve that somebody cranks open."""
    b, lane = one("v", "valve", feedback="board.limit")
    lane.follow["board", "relay-v"] = (("board", "limit"), 0.1)

    async def script():
        b.want("v", "shut", "gas")
        await asyncio.sleep(10)
        before = len(lane.deeds("read"))
        lane.state["board", "relay-v"] = lane.state["board", "limit"] = False
        b.reconciler.point_read("board", shown, to_be, Quality.GOOD)
        b.reconciler.point_read("board", shown, None, Quality.COMMS)
        await asyncio.sleep(1)
        assert bool(len(lane.deeds("read")) - before) is bool(at_once)
        assert lane.state["board", "limit"] is bool(at_once), "it was not shut again"

    play(b, script)


@pytest.mark.parametrize("shown", [[True, False], [False, False, False, True]])
def test_a_flashing_siren_is_not_looked_at_with_every_flash(one, play, shown):
    """Was: two reads a second for as long as it sounds, on a line that detectors wait for."""
    b, lane = one("s", feedback="board.lit", feedback_means="on")
    flashes = itertools.cycle(shown)

    async def flash():
        while True:
            lane.state["board", "lit"] = lane.state.get(("board", "relay-s"), False) and next(flashes)
            await asyncio.sleep(0.5)

    async def script():
        flashing = asyncio.create_task(flash())
        b.want("s", "on", "gas")
        await asyncio.sleep(10)
        before = len(lane.deeds("read"))
        for _ in range(120):
            await asyncio.sleep(1.1)  # a poll
            b.reconciler.point_read("board", "lit", bool(lane.state["board", "lit"]), Quality.GOOD)
        assert len(lane.deeds("read")) - before <= 60
        assert len(lane.deeds()) == len(b.said()) == 1
        lane.state["board", "relay-s"] = False
        b.reconciler.point_read("board", "relay-s", False, Quality.GOOD)
        await asyncio.sleep(8)  # a look that waits for the next flash may be under way, as long as a proof may take
        assert lane.state["board", "relay-s"] is True, "a board that lost its power is still seen"
        flashing.cancel()

    play(b, script)
    assert b.said()[0] == ("on", "on", True, "")
    assert b.said()[-1][2]
