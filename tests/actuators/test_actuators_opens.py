"""A valve on a point that opens what it moves: never written, and never said to be shut; virtual seconds."""

from __future__ import annotations

import asyncio

OPENS = "point_opens"


def test_a_point_that_opens_is_never_written_and_its_wish_is_never_called_done(one, play):
    b, lane = one("v", "valve", opens=True)

    async def script():
        await asyncio.sleep(1)
        b.want("v", "shut", "gas")
        await asyncio.sleep(120)
        b.reconciler.device_back("board")
        await asyncio.sleep(1)

    play(b, script)
    assert lane.deeds() == []
    assert b.said() == [("leave", None, True, OPENS), ("shut", None, False, OPENS)]


def test_it_is_reported_again_when_nothing_is_asked_of_it_any_more(one, play):
    b, lane = one("v", "valve", opens=True, feedback="board.limit", feedback_means="shut")
    lane.state["board", "limit"] = True

    async def script():
        b.want("v", "shut", "gas")
        await asyncio.sleep(1)
        b.want("v", "leave")
        await asyncio.sleep(1)

    play(b, script)
    assert lane.deeds() == []
    assert b.said()[-1] == ("leave", None, True, OPENS)
