"""Whatever a line and a broker do to messages: the innocent are not condemned by a dead line, and all come when both are well."""

from __future__ import annotations

import asyncio
import contextlib
from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.uplink import departures, lanes, retrial, silence
from gateway.uplink.departures import Departures
from gateway.uplink.parcel import Kind
from gateway.uplink.tolerance import LONGEST_REST_S

PROFILE = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
DEAD, GOOD, SHAKY = "dead", "good", "shaky"


class World:
    """One uplink's departures on a clock of their own, a line that passes the status, and a broker that hangs up on some alerts."""

    def __init__(self, outbox, hated):
        self.outbox, self.hated, self.now = outbox, hated, 0.0
        self.leaving = Departures("city", outbox, lambda: b"", dict)
        self.got, self.aside_at_most = [], 0

    async def session(self, line):
        """Until it breaks, or nothing happens any more; a shaky line breaks at the third alert."""
        self.leaving.restart()
        passed = 0
        for _ in range(40):
            sent = []
            while (parcel := await self.leaving.next()) is not None:
                sent.append(parcel)
            for parcel in sent:
                if parcel.kind is Kind.ALERT:
                    place = parcel.lane, parcel.sequence
                    if line == DEAD or place in self.hated or (line == SHAKY and passed >= 2):
                        self.leaving.lost()
                        return
                    passed += 1
                    self.got.append(place)
                self.leaving.arrived(parcel)
            await self.leaving.save()
            await asyncio.sleep(0)

    @property
    def all(self):
        return {(lane, one.sequence) for lane, kept in self.outbox.messages.items() for one in kept}


STEPS = st.one_of(
    st.tuples(
        st.just("add"),
        st.sampled_from(["critical", "high", "low"]),
        st.sampled_from([1, 1, 4]),
        st.sampled_from([0, 0, 500]),
    ),
    st.tuples(st.just("session"), st.sampled_from([DEAD, GOOD, SHAKY]), st.sampled_from([1, 6, 12])),
    st.tuples(st.just("wait"), st.sampled_from([3.0, 15.0, 700.0])),
)
HATED = st.sets(st.tuples(st.sampled_from(["critical", "low"]), st.integers(1, 5)), max_size=4)


async def _play(world, steps):
    for what, *how in steps:
        if what == "add":
            lane, n, longer = how
            world.outbox.add(lane, n, longer)
        elif what == "wait":
            world.now += how[0]
        else:
            line, times = how
            for _ in range(times):
                world.now += 1.0
                await world.session(line)


async def _recover(world):
    world.hated = set()
    for _ in range(3 * len(world.all) + 5):
        world.now += LONGEST_REST_S
        await world.session(GOOD)


def _played(house, steps, hated, then):
    async def story():
        world = World(house.MemoryOutbox(), set(hated))

        def clock():
            return world.now

        with contextlib.ExitStack() as stack:
            for module in (departures, lanes, retrial, silence):
                stack.enter_context(mock.patch.object(module, "_now", clock))
            await _play(world, steps)
            await then(world)

    asyncio.run(story())


@PROFILE
@given(st.lists(STEPS, max_size=12), HATED)
def test_all_come_once_line_and_broker_are_well(house, steps, hated):
    async def then(world):
        await _recover(world)
        assert set(world.got) == world.all
        assert world.outbox.kept_aside == []
        lanes = {lane: len(kept) for lane, kept in world.outbox.messages.items() if kept}
        assert world.outbox.cursors == {("city", lane): n for lane, n in lanes.items()}

    _played(house, steps, hated, then)


@PROFILE
@given(st.lists(STEPS.filter(lambda step: step[1] not in {GOOD, SHAKY}), max_size=12))
def test_a_dead_line_condemns_one_at_most(house, steps):
    async def then(world):
        assert len(world.outbox.kept_aside) <= 1

    _played(house, steps, (), then)


@PROFILE
@given(st.lists(STEPS.filter(lambda step: step[1] != DEAD), max_size=12), HATED)
def test_on_a_line_that_passes_some_alerts_only_the_hated_are_not_taken_but_for_one_that_stood_alone(
    house, steps, hated
):
    async def then(world):
        innocent = set(world.outbox.kept_aside) - world.hated
        assert all(world.leaving.counts["alert_too_large"] for _ in innocent)

    _played(house, steps, hated, then)
