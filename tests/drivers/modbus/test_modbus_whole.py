"""A block that was split because its device refused it for a while is asked whole again; minutes on a virtual clock."""

import asyncio

import pytest
from instruments.virtual import virtual_run

from gateway.drivers.modbus.line import Refused, Tally


class Moody:
    """A line to one device that answers everything, but refuses to read over a hole while it is ``moody``."""

    outstanding, connected, dials = 1, True, True

    def __init__(self, *, moody=False):
        self.tally, self.moody, self.asked = Tally(), moody, []

    async def connect(self):
        pass

    close = end = connect

    def pace(self, unit, gap_s):
        pass

    def free_at(self, unit, *, to_read=True, question=None):
        return 0.0

    async def read(self, unit, space, address, count, timeout_ms=300, *, patient=False):
        await asyncio.sleep(0.02)
        self.asked.append((address, count))
        if self.moody and count > 2:
            raise Refused(2)
        return [7] * count


def asked_for(kit, story, **more):
    line = Moody(**more)
    profile = kit.profile(*(kit.alarm(f"p{address}", address) for address in (0, 1, 5)))

    async def run():
        async with kit.polling(kit.bus("", (1, profile), host="h"), line=line) as (_, ear):
            await story(line)
            assert ear.health("dev1")[-1] == ("dev1", "ok", "")
            line.asked.clear()
            await asyncio.sleep(60)

    virtual_run(run())
    return set(line.asked)


@pytest.mark.parametrize("moods", [1, 3])
def test_what_was_refused_for_a_while_is_asked_whole_again(kit, moods):
    """Was: in pieces for as long as the gateway ran, three times the line that `check` had reckoned with."""

    async def story(line):
        for _ in range(moods):
            await asyncio.sleep(10)
            line.moody = True
            await asyncio.sleep(5)
            assert (0, 2) in line.asked[-6:]
            line.moody = False
            await asyncio.sleep(15 * 60)

    assert asked_for(kit, story) == {(0, 6)}


def test_what_was_never_answered_is_not_tried_again(kit):
    async def story(line):
        await asyncio.sleep(20 * 60)
        assert line.asked.count((0, 6)) == 1

    assert asked_for(kit, story, moody=True) == {(0, 2), (5, 1)}


def test_what_is_refused_from_now_on_is_tried_seldom(kit):
    async def story(line):
        await asyncio.sleep(10)
        line.moody = True
        line.asked.clear()
        await asyncio.sleep(60 * 60)
        assert 2 <= line.asked.count((0, 6)) <= 14

    assert asked_for(kit, story) >= {(0, 2), (5, 1)}
