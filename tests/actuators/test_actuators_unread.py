"""Relays that show nothing of what was written to them: asserted again and again, and never called proven; virtual seconds."""

from __future__ import annotations

import asyncio

import pytest


@pytest.mark.parametrize(("kind", "state"), [("siren", "on"), ("valve", "shut")])
def test_a_latching_relay_that_cannot_be_read_is_written_again_and_never_called_proven(one, play, kind, state):
    b, lane = one("x", kind, unread=True)

    async def script():
        await asyncio.sleep(1)
        b.want("x", state, "gas")
        await asyncio.sleep(45)
        lane.state["board", "relay-x"] = False  # the plate lost its power for a moment
        await asyncio.sleep(31)
        assert lane.state["board", "relay-x"] is True

    play(b, script)
    assert lane.deeds("read") == []
    assert b.said()[1:] == [(state, None, False, "unproven")]


def test_its_device_come_back_has_it_written_at_once(one, play):
    b, lane = one("v", "valve", unread=True)

    async def script():
        b.want("v", "shut", "gas")
        await asyncio.sleep(45)
        lane.state["board", "relay-v"] = False
        b.reconciler.device_back("board")
        await asyncio.sleep(0.2)
        assert lane.state["board", "relay-v"] is True

    play(b, script)


def test_a_feedback_proves_it(one, play):
    b, lane = one("v", "valve", unread=True, feedback="board.limit")
    lane.follow["board", "relay-v"] = (("board", "limit"), 1.0)

    async def script():
        b.want("v", "shut", "gas")
        await asyncio.sleep(100)

    play(b, script)
    assert len(lane.deeds()) >= 3, "it was not written again"
    assert b.said() == [("shut", "shut", True, "")]


def test_what_is_asked_off_is_written_off_once_and_raises_no_alarm(one, play):
    b, lane = one("s", "siren", unread=True)

    async def script():
        b.want("s", "on", "sos")
        await asyncio.sleep(2)
        b.want("s", "off")
        await asyncio.sleep(100)

    play(b, script)
    assert lane.deeds("write off") == [("write off", "board", "relay-s")]
    assert b.said() == [("on", None, False, "unproven"), ("off", None, True, "unproven")]


def test_a_pulse_too_short_to_be_read_is_given_once_and_never_called_proven(one, play):
    b, lane = one("v", "valve", unread=True, momentary=True)

    async def script():
        b.want("v", "shut", "gas")
        await asyncio.sleep(300)

    play(b, script)
    assert lane.deeds() == [("write on", "board", "relay-v")]
    assert b.said() == [("shut", None, False, "unproven")]
