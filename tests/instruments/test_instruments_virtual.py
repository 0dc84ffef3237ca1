"""The instruments are tools of proof, so they are proven first."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest
from instruments import virtual
from instruments.virtual import VirtualClock, VirtualLoop, virtual_run

from gateway.clock import BELIEVED_MS, Clock, Timeline, resume
from gateway.instant import DAY, ClockQuality, Instant, Stamp

DAY_S = 86_400


def test_thirty_days_of_sleep_take_no_time():
    async def month():
        for _ in range(30):
            await asyncio.sleep(DAY_S)
        await asyncio.sleep(30 * DAY_S)  # longer than asyncio's longest select
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    assert virtual_run(month()) == pytest.approx(60 * DAY_S)
    assert time.monotonic() - began < 5


def test_timers_fire_in_order_each_at_its_own_time():
    async def race():
        loop, seen = asyncio.get_running_loop(), []
        for delay in (3.0, 1.0, 2.0, 1.5, 40 * DAY_S):
            loop.call_later(delay, lambda d=delay: seen.append((d, loop.time())))
        await asyncio.sleep(41 * DAY_S)
        return seen

    seen = virtual_run(race())
    assert [delay for delay, _ in seen] == [1.0, 1.5, 2.0, 3.0, 40 * DAY_S]
    assert all(at == pytest.approx(delay) for delay, at in seen)


def test_a_far_deadline_is_reached_despite_float_steps():
    async def wait_until(deadline):
        loop = asyncio.get_running_loop()
        while loop.time() < deadline:
            await asyncio.sleep(deadline - loop.time())
        return loop.time()

    assert virtual_run(wait_until(100 * 365 * DAY_S + 0.1)) >= 100 * 365 * DAY_S + 0.1


def test_executor_work_is_waited_for_and_no_timer_overtakes_it():
    async def work():
        loop = asyncio.get_running_loop()
        done = await asyncio.wait_for(loop.run_in_executor(None, lambda: time.sleep(0.05) or "done"), timeout=0.001)
        return done, loop.time(), await asyncio.to_thread(lambda: 7)

    assert virtual_run(work()) == ("done", 0.0, 7)


def test_a_failing_executor_job_frees_the_clock():
    async def work():
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)
        await asyncio.sleep(DAY_S)
        return asyncio.get_running_loop().time()

    assert virtual_run(work()) == pytest.approx(DAY_S)


def test_timeouts_fire_on_virtual_time():
    async def too_late():
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.sleep(7200)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.create_future(), 60)
        return loop.time()

    assert virtual_run(too_late()) == pytest.approx(3660)


def test_real_sockets_are_heard_before_time_jumps():
    async def echo():
        async def serve(reader, writer):
            writer.write(await reader.readexactly(4))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server, asyncio.timeout(3600):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"ping")
            answer = await reader.readexactly(4)
            writer.close()
            await writer.wait_closed()
        return answer

    assert virtual_run(echo()) == b"ping"


def test_time_stands_still_for_work_the_loop_cannot_see():
    async def foreign():
        loop = asyncio.get_running_loop()
        arrived = loop.create_future()

        def thread():
            time.sleep(0.05)
            loop.call_soon_threadsafe(arrived.set_result, "here")

        threading.Thread(target=thread).start()
        with loop.standing_still():
            async with asyncio.timeout(1):
                return await arrived, loop.time()

    assert virtual_run(foreign()) == ("here", 0.0)


def test_open_sockets_do_not_stop_time():
    async def open_and_sleep():
        left, right = socket.socketpair()
        left.setblocking(False)
        loop = asyncio.get_running_loop()
        loop.add_reader(left, lambda: None)
        await asyncio.sleep(DAY_S)
        loop.remove_reader(left)
        left.close()
        right.close()
        return loop.time()

    assert virtual_run(open_and_sleep()) == pytest.approx(DAY_S)


def test_a_program_that_waits_for_nothing_is_told_so(monkeypatch):
    monkeypatch.setattr(virtual, "_STALLED_S", 0.05)

    loop = VirtualLoop()
    try:
        with pytest.raises(virtual.Stalled):
            loop.run_until_complete(loop.create_future())
    finally:
        loop.close()


def test_the_clock_is_a_clock():
    async def day():
        loop = asyncio.get_running_loop()
        clock: Clock = VirtualClock(loop, wall_ms=1_000_000, boot_id="b", uptime_ms=5)
        first = clock.stamp()
        await asyncio.sleep(DAY_S)
        return first, clock.stamp()

    first, last = virtual_run(day())
    assert (first.boot_id, first.boottime_ms, first.wall_ms, first.clock) == ("b", 5, 1_000_000, ClockQuality.SYNCED)
    assert last.boottime_ms - first.boottime_ms == last.wall_ms - first.wall_ms == DAY_S * 1000


def test_a_stepped_wall_never_moves_the_timeline():
    async def steps():
        clock = VirtualClock(asyncio.get_running_loop())
        line = Timeline(clock, Instant(0), clock.stamp())
        clock.step_wall(-20 * 365 * DAY_S * 1000)
        back = line.now()
        clock.set_wall(0)
        await asyncio.sleep(1)
        shown = clock.wall_ms()
        clock.synchronise()
        return back, line.now(), shown, clock.wall_ms() - clock.true_ms()

    assert virtual_run(steps()) == (0, 1000, 1000, 0)


def test_a_reboot_under_a_time_server_that_lies_by_years_ages_nothing():
    def after(downtime_ms):
        before, now = (
            Stamp("one", 5_000, 1_000_000, ClockQuality.SYNCED),
            Stamp("two", 1_000, 1_000_000 + downtime_ms, ClockQuality.SYNCED),
        )
        return resume((Instant(100_000), before), now)

    assert after(BELIEVED_MS) == (100_000 + BELIEVED_MS, BELIEVED_MS)
    assert after(BELIEVED_MS + 1) == (100_000, None)
    assert after(10 * 365 * DAY) == (100_000, None)


@pytest.mark.parametrize(("synced", "expected"), [(True, 60_000), (False, None)])
def test_a_reboot_is_a_new_boot_with_a_known_downtime_only_if_synchronised(synced, expected):
    async def reboot():
        clock = VirtualClock(asyncio.get_running_loop())
        await asyncio.sleep(100)
        before = clock.stamp()
        clock.reboot(wall_step=0 if synced else -60_000, downtime=60_000, synced=synced)
        after = clock.stamp()
        assert after.boot_id != before.boot_id
        assert after.boottime_ms == 0
        assert after.wall_ms - before.wall_ms == (60_000 if synced else 0)
        return resume((Instant(100_000), before), after)

    assert virtual_run(reboot())[1] == expected
