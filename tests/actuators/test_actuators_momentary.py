"""Outputs that are pulsed: the coil lets go by itself, so reading it back must not pulse them again; virtual seconds.

In the lane of memory a pulse is a coil that is never seen on, and a limit switch that follows what was written.
"""

from __future__ import annotations

import asyncio

import pytest

from gateway.events import Quality


class Pulses:
    """Makes a fake lane's coil let go at once."""

    def __init__(self, lane, switch=None):
        self.lane, write = lane, lane.write

        async def pulsed(device, point, on):
            await write(device, point, on)
            lane.state[device, point] = False
            if switch:
                lane.state[device, switch] = on

        lane.write = pulsed


def on_writes(lane):
    return lane.deeds("write on")


def test_without_a_feedback_it_is_pulsed_once_and_its_coil_never_read(one, play):
    b, lane = one("v", "valve", momentary=True)
    Pulses(lane)

    async def script():
        await asyncio.sleep(1)
        b.want("v", "shut", "gas")
        await asyncio.sleep(300)
        b.want("v", "shut", "gas", "more gas")
        await asyncio.sleep(300)

    play(b, script)
    assert len(on_writes(lane)) == 1
    assert lane.deeds("read") == []
    assert b.said() == [("leave", None, True, ""), ("shut", "shut", True, "")]


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


def test_a_valve_whose_limit_switch_stands_on_a_dead_bus_is_shut_all_the_same(one, play):
    b, lane = one("v", "valve", momentary=True, feedback="board.limit")
    Pulses(lane)
    lane.quality["board", "limit"] = Quality.COMMS
    b.want("v", "shut", "gas")
    play(b, lambda: asyncio.sleep(60))
    assert len(on_writes(lane)) == 1


def test_a_siren_is_put_off_before_its_pulse_is_over_and_never_on_again(one, play):
    b, lane = one("s", "siren", momentary=True)
    Pulses(lane)

    async def script():
        b.want("s", "on", "smoke")
        await asyncio.sleep(2)
        b.want("s", "off")
        await asyncio.sleep(100)

    play(b, script)
    assert lane.deeds("write") == [("write on", "board", "relay-s"), ("write off", "board", "relay-s")]
    assert b.said() == [("on", "on", True, ""), ("off", "off", True, "")]
