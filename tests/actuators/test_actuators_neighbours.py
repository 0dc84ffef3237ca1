"""Outputs beside one another: a dead board, a slow look or a stuck lane keeps no other waiting; virtual seconds."""

from __future__ import annotations

import asyncio

import pytest

from gateway.actuators.outputs import Pace

PATIENT = Pace(retry_first_s=1, retry_cap_s=8, verify_s=30)


def test_a_dead_lane_delays_no_other(bench, fake_lane, an_output, play):
    good, bad = fake_lane(), fake_lane(timeout_s=20)
    bad.dead.add("far")
    b = bench([an_output("a", device="far"), an_output("b", device="near")], {"far": bad, "near": good}, PATIENT)

    async def script():
        await asyncio.sleep(1)
        b.want("a", "on", "x")
        b.want("b", "on", "x")
        await asyncio.sleep(0.1)
        assert b.said("b")[-1] == ("on", "on", True, "")

    play(b, script)


def test_a_fresh_want_overtakes_the_retries_of_a_dead_board_on_its_own_bus(bench, fake_lane, an_output, play):
    lane = fake_lane()
    dead = [an_output(f"d{n}", device="dead") for n in range(8)]
    b = bench([*dead, an_output("s", device="near")], {"dead": lane, "near": lane}, Pace(retry_cap_s=0.5))
    lane.dead.add("dead")

    async def script():
        for output in dead:
            b.want(output.id, "on", "x")
        await asyncio.sleep(30)  # by now eight outputs of a dead board fight for the bus without a pause
        asked_at = asyncio.get_running_loop().time()
        b.want("s", "on", "x")
        await asyncio.sleep(5)
        said_at = next(at for at, a in b.reports if a.output == "s" and a.wanted == "on")
        assert said_at - asked_at <= 0.5 + 0.05 + 0.01  # the transaction under way, and its own

    play(b, script)


def test_outputs_of_one_board_are_switched_one_after_another_while_feedback_is_awaited(
    bench, fake_lane, an_output, play
):
    lane = fake_lane()
    valve = an_output("v", "valve", feedback="board.limit", feedback_means="shut")
    b = bench([valve, an_output("s")], {"board": lane}, PATIENT)
    lane.follow["board", "relay-v"] = (("board", "limit"), 3.0)

    async def script():
        await asyncio.sleep(1)
        b.want("v", "shut", "gas")
        b.want("s", "on", "gas")
        await asyncio.sleep(0.2)
        assert b.said("s")[-1] == ("on", "on", True, "")
        assert b.said("v")[-1][0] != "shut"
        await asyncio.sleep(4)

    play(b, script)
    assert b.said("v")[-1] == ("shut", "shut", True, "")
    assert len([d for d in lane.deeds() if d[2] == "relay-v"]) == 1


def test_it_beats_though_every_device_is_dead_but_not_when_a_lane_is_stuck(one, play):
    b, lane = one("s")
    lane.dead.add("board")
    seen = []

    async def script():
        b.want("s", "on", "a")
        await asyncio.sleep(60)
        seen.append(len(b.beats))
        lane.stuck = True
        await asyncio.sleep(20)
        seen.append(len(b.beats))
        await asyncio.sleep(600)
        seen.append(len(b.beats))

    play(b, script)
    assert seen[0] >= 10
    assert seen[2] - seen[1] == 0


def test_a_want_during_the_first_look_goes_out_next_and_without_the_look(bench, fake_lane, an_output, play):
    lane = fake_lane(transaction_s=0.5)
    b = bench([*(an_output(f"o{n}") for n in range(8)), an_output("s")], {"board": lane}, PATIENT)

    async def script():
        await asyncio.sleep(0.1)  # seven looks wait before it
        b.want("s", "on", "x")
        await asyncio.sleep(6)

    play(b, script)
    assert [entry[1:] for entry in lane.log[:2]] == [("read", "board", "relay-o0"), ("write on", "board", "relay-s")]


def test_a_lane_that_lets_a_dead_board_wait_keeps_no_other_board_waiting(bench, fake_lane, an_output, play):
    """The bus master leaves a silent slave in peace for a while; a write to it ends only then."""
    lane = fake_lane()
    write, asked_at = lane.write, 3.0

    async def resting(device, point, on, written):
        if device == "dead":
            await asyncio.sleep(20)
        await write(device, point, on, written)

    lane.write = resting
    lane.dead.add("dead")
    b = bench([an_output("d", device="dead"), an_output("s", device="near")], {"dead": lane, "near": lane}, PATIENT)

    async def script():
        b.want("d", "on", "x")
        await asyncio.sleep(asked_at)
        b.want("s", "on", "x")
        await asyncio.sleep(1)

    play(b, script)
    assert [at for at, a in b.reports if a.output == "s" and a.wanted == "on"] == [pytest.approx(asked_at + 0.05)]


def test_a_want_during_its_own_look_goes_out_right_behind_it(bench, fake_lane, an_output, play):
    lane = fake_lane()
    outputs = [an_output("s"), *(an_output(f"o{n}") for n in range(4))]
    b = bench(outputs, {"board": lane}, PATIENT)

    async def script():
        await asyncio.sleep(0.02)  # its first look is on the wire, the others wait
        b.want("s", "on", "x")
        await asyncio.sleep(1)

    play(b, script)
    assert [entry[1:] for entry in lane.log[:2]] == [("read", "board", "relay-s"), ("write on", "board", "relay-s")]
