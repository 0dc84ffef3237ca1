"""Valves that are pulsed: the coil lets go by itself, so reading it back must not pulse them again; virtual seconds.

In the lane of memory a pulse is a coil that is never seen on, and a limit switch that follows what was written.
"""

from __future__ import annotations

import asyncio

import pytest

from gateway.actuators.outputs import Pace
from gateway.events import Quality

PATIENT = Pace(retry_first_s=1, retry_cap_s=8, verify_s=30)


class Pulses:
    """Makes a fake lane's coil let go at once."""

    def __init__(self, lane, switch=None):
        self.lane, write = lane, lane.write

        async def pulsed(device, point, on, written):
            await write(device, point, on, written)
            lane.state[device, point] = False
            if switch:
                lane.state[device, switch] = on

        lane.write = pulsed


def on_writes(lane):
    return lane.deeds("write on")


def test_without_a_feedback_it_is_pulsed_once_for_each_new_cause_and_its_coil_never_read(one, play):
    b, lane = one("v", "valve", momentary=True)
    Pulses(lane)

    async def script():
        await asyncio.sleep(1)
        b.want("v", "shut", "gas-301")
        await asyncio.sleep(300)
        b.want("v", "shut", "gas-301")
        await asyncio.sleep(300)
        assert len(on_writes(lane)) == 1
        b.want("v", "shut", "gas-301", "gas-302")  # somebody may have opened it meanwhile, and nothing would show it
        await asyncio.sleep(300)
        assert len(on_writes(lane)) == 2
        b.want("v", "shut", "gas-302")
        await asyncio.sleep(300)

    play(b, script)
    assert len(on_writes(lane)) == 2
    assert lane.deeds("read") == []
    assert b.said() == [("leave", None, True, ""), ("shut", "shut", True, "")]


@pytest.mark.parametrize(("opened", "pulses"), [(False, 1), (True, 2)])
def test_at_a_new_cause_its_feedback_says_whether_it_is_pulsed_again(one, play, opened, pulses):
    b, lane = one("v", "valve", momentary=True, feedback="board.limit")
    Pulses(lane, "limit")

    async def script():
        b.want("v", "shut", "gas-301")
        await asyncio.sleep(10)
        lane.state["board", "limit"] = not opened
        b.want("v", "shut", "gas-301", "gas-302")
        await asyncio.sleep(1)
        assert len(on_writes(lane)) == pulses
        await asyncio.sleep(100)

    play(b, script)
    assert len(on_writes(lane)) == pulses
    assert b.said()[-1] == ("shut", "shut", True, "")


def test_one_that_shows_it_is_shut_is_verified_and_not_pulsed_again(one, play):
    b, lane = one("v", "valve", momentary=True, feedback="board.limit")
    Pulses(lane, "limit")

    async def script():
        await asyncio.sleep(1)
        b.want("v", "shut", "gas")
        await asyncio.sleep(200)

    play(b, script)
    assert len(on_writes(lane)) == 1
    assert len(lane.deeds("read")) >= 6, "it was not verified"
    assert b.said()[-1] == ("shut", "shut", True, "")
    assert all(point == "limit" for _, _, point in lane.deeds("read"))


def test_one_that_shows_it_is_open_again_is_pulsed_again(one, play):
    b, lane = one("v", "valve", momentary=True, feedback="board.limit")
    Pulses(lane, "limit")

    async def script():
        b.want("v", "shut", "gas")
        await asyncio.sleep(40)
        assert len(on_writes(lane)) == 1
        lane.state["board", "limit"] = False  # cranked open by hand
        await asyncio.sleep(60)

    play(b, script)
    assert len(on_writes(lane)) == 2
    assert b.said()[-1] == ("shut", "shut", True, "")


@pytest.mark.parametrize("quality", [Quality.COMMS, Quality.SENSOR_FAULT])
def test_a_feedback_that_cannot_be_believed_pulses_nothing(one, play, quality):
    b, lane = one("v", "valve", momentary=True, feedback="board.limit")
    Pulses(lane)
    lane.quality["board", "limit"] = quality

    async def script():
        await asyncio.sleep(1)
        b.want("v", "shut", "gas")
        await asyncio.sleep(120)
        assert b.said()[-1] == ("shut", None, False, "feedback_unknown")
        lane.state["board", "limit"], lane.quality["board", "limit"] = True, Quality.GOOD
        await asyncio.sleep(60)

    play(b, script)
    assert len(on_writes(lane)) == 1
    assert b.said()[-1] == ("shut", "shut", True, "")


def test_a_pulse_that_did_not_take_is_given_again(one, play):
    b, lane = one("v", "valve", momentary=True)
    Pulses(lane)
    lane.lost_writes = 2

    async def script():
        b.want("v", "shut", "gas")
        await asyncio.sleep(120)

    play(b, script)
    assert len(on_writes(lane)) == 3
    assert b.said()[-1] == ("shut", "shut", True, "")


def test_a_valve_that_is_shut_already_at_the_start_is_not_pulsed(one, play):
    b, lane = one("v", "valve", momentary=True, feedback="board.limit")
    Pulses(lane)
    lane.state["board", "limit"] = True
    b.want("v", "shut", "gas")
    play(b, lambda: asyncio.sleep(60))
    assert on_writes(lane) == []
    assert b.said() == [("shut", "shut", True, "")]


@pytest.fixture
def far_switch(bench, fake_lane, an_output):
    """A valve whose limit switch stands on another bus, which hangs."""
    near, far = fake_lane(), fake_lane()
    far.stuck = True
    valve = an_output("v", "valve", momentary=True, feedback="sensor.limit")
    return bench([valve], {"board": near, "sensor": far}, PATIENT), near, far


def test_a_hanging_feedback_holds_up_the_shutting_at_a_start_for_half_a_second_at_most(far_switch, play):
    b, near, far = far_switch
    b.want("v", "shut", "gas")
    play(b, lambda: asyncio.sleep(60))
    assert far.deeds("read"), "a valve that is shut already must not be pulsed: it is looked at"
    assert [(at <= 0.5, deed) for at, deed, _, _ in near.log] == [(True, "write on")]


def test_gas_while_the_first_look_hangs_shuts_the_valve_at_once(far_switch, play):
    b, near, far = far_switch

    async def script():
        await asyncio.sleep(0.1)
        assert far.deeds("read")
        b.want("v", "shut", "gas")
        await asyncio.sleep(60)

    play(b, script)
    assert [(at, deed) for at, deed, _, _ in near.log] == [(0.1, "write on")]


def test_a_slow_valve_that_has_come_home_meanwhile_is_not_pulsed_again(one, play):
    b, lane = one("v", "valve", momentary=True, feedback="board.limit")
    Pulses(lane)
    lane.follow["board", "relay-v"] = (("board", "limit"), 5.5)  # confirm is 5 s, the retry comes at 6 s

    async def script():
        await asyncio.sleep(1)
        b.want("v", "shut", "gas")
        await asyncio.sleep(60)

    play(b, script)
    assert len(on_writes(lane)) == 1
    assert b.said()[1:] == [("shut", "open", False, "not_confirmed"), ("shut", "shut", True, "")]
