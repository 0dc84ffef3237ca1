"""A bus of which more is wanted than it can carry, found out while it runs: it says so, and says when it is over."""

import pytest
import structlog
from instruments.unhurried import unhurried_run

from gateway.drivers.modbus.overload import BEGINS, ENDS, WINDOW_S, OverloadWatch
from gateway.drivers.modbus.review import OVERLOADED
from gateway.drivers.modbus.schedule import Turns
from gateway.sim.modbus import SimBus, SimTcp, SimUnit


def turns(alarms_taken, alarms_skipped, taken, skipped):
    """Of alarms, and of the rest."""
    return Turns((alarms_taken, 0, taken, 0, 0), (alarms_skipped, 0, skipped, 0, 0))


def played(*minutes):
    """What is said after each minute of (turns taken, left out)."""
    watch, taken, skipped, said = OverloadWatch(), 0, 0, []
    watch.begin(0.0, Turns())
    for n, (more, left_out) in enumerate(minutes, 1):
        taken, skipped = taken + more, skipped + left_out
        assert not watch.is_over(n * WINDOW_S - 0.1)
        assert watch.is_over(n * WINDOW_S)
        watch.look(n * WINDOW_S, turns(0, 0, taken, skipped))
        said.append(watch.news())
    return said


def test_one_turn_in_ten_is_too_many_until_hardly_any_is_left_out():
    assert BEGINS > ENDS
    assert played((100, 0), (92, 8), (90, 10), (92, 8), (97, 3), (98, 2), (92, 8)) == [
        False, None, True, None, None, False, None,
    ]  # fmt: skip


def test_a_minute_without_any_turn_is_no_overload():
    assert played((0, 0), (50, 50), (0, 0)) == [False, True, False]


def test_alarms_left_out_count_for_themselves():
    watch = OverloadWatch()
    watch.begin(0.0, turns(10, 0, 1000, 5))
    watch.look(WINDOW_S, turns(14, 5, 2000, 10))
    assert watch.last == turns(4, 5, 1000, 5)
    assert watch.news() is True


def test_units_that_become_slow_overload_the_bus_and_alarms_keep_their_time(kit):
    """Two units take 0.4 s for each answer on a line that has 0.5 s for both; then they are quick again."""

    async def story():
        units = [SimUnit(n, holding={0: n}) for n in (1, 2, 3)]
        alarm = kit.profile(kit.alarm("gas", 0, period_ms=2000), timeout_ms=1500)
        plain = kit.profile(kit.point("level", 0, period_ms=500), timeout_ms=1500)
        async with SimBus(units) as wire:
            bus = kit.bus(wire.path, (1, alarm), (2, plain), (3, plain), baud=115200)
            async with kit.polling(bus) as (poller, ear):
                poller.review.overload = OverloadWatch(window_s=1.5)
                await kit.until(lambda: ear.values(OVERLOADED) == [False], 30)
                for unit in units[1:]:
                    unit.delay_s = 0.4
                await kit.until(lambda: ear.values(OVERLOADED) == [False, True], 30)
                told = poller.review.standing()
                assert told["overloaded"]
                assert told["skipped_pct"] >= 100 * BEGINS
                parts = told["skipped_pct_of"]
                assert parts.get("alarm", 0) < told["skipped_pct"] / 2 < parts["normal"]
                for unit in units[1:]:
                    unit.delay_s = 0.0
                await kit.until(lambda: ear.values(OVERLOADED) == [False, True, False], 60)
                assert not poller.review.standing()["overloaded"]
                assert {event.device for event in ear.readings(OVERLOADED)} == {"bus-a"}
                assert all(health == "ok" for _, health, _ in ear.health())

    unhurried_run(story())


@pytest.mark.parametrize(("said_ms", "told"), [(0, [("a", 2.0)]), (30_000, [])])
def test_devices_far_slower_than_reckoned_are_told_of_once(kit, said_ms, told):
    async def story():
        unit = SimUnit(1, holding={0: 1}, delay_s=0.03)
        profile = kit.profile(kit.alarm("gas", 0, period_ms=20), timeout_ms=2000)
        with structlog.testing.capture_logs() as lines:
            async with SimTcp([unit]) as server:
                bus = kit.bus("", (1, profile), host="127.0.0.1", tcp_port=server.tcp_port, reply_ms=said_ms)
                async with kit.polling(bus) as (poller, _):
                    poller.review.overload = OverloadWatch(window_s=0.1)
                    await kit.until(lambda: len(unit.requests) > 150, 60)
                    standing = poller.review.standing()
                    assert standing["p99_ms"] >= standing["p50_ms"] >= 30
        slower = [line for line in lines if line["event"] == "answers_slower"]
        assert [(line["bus"], line["reckoned_ms"]) for line in slower] == told

    unhurried_run(story())
