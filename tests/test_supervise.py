"""Who runs beside whom: restarts, the two rings, heartbeats and the watchdog."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from instruments.unhurried import unhurried_run
from instruments.virtual import virtual_run

from gateway import supervise
from gateway.faults import DeviceFault, SiteError, StoreFault, UplinkFault
from gateway.notify import READY, notify, status, watchdog_interval_s
from gateway.supervise import Ring, Supervisor, backoff_s


class Heard:
    """What the supervisor reported."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, str, str]] = []
        self.recovered: list[str] = []

    def supervisor(self) -> Supervisor:
        return Supervisor(lambda *fault: self.faults.append(fault), self.recovered.append, chance=lambda: 0.01)


@pytest.fixture
def heard() -> Heard:
    return Heard()


class Flaky:
    """Fails with each of the given errors in turn (None: returns), then works until it is cancelled."""

    def __init__(self, *errors: BaseException | None) -> None:
        self.errors, self.starts = list(errors), 0
        self.working = asyncio.Event()

    async def run(self) -> None:
        self.starts += 1
        if self.errors:
            if (error := self.errors.pop(0)) is not None:
                raise error
            return
        self.working.set()
        await asyncio.Event().wait()


def run_until_working(supervisor: Supervisor, *flaky: Flaky) -> None:
    async def main() -> None:
        running = asyncio.create_task(supervisor.run())
        waits = [asyncio.create_task(one.working.wait()) for one in flaky]
        async with asyncio.timeout(10):
            await asyncio.wait([running, *waits], return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                await asyncio.gather(*waits)
        supervisor.stop()
        await running

    unhurried_run(main())


WORLD = [
    OSError(5, "Input/output error"),
    TimeoutError(),
    DeviceFault("port_gone", "bus-1"),
    UplinkFault("refused"),
    StoreFault("full"),
]
BUGS = [ZeroDivisionError(), KeyError("x"), SiteError("rule"), AssertionError()]


@pytest.mark.parametrize("error", WORLD, ids=lambda error: type(error).__name__)
def test_a_fault_of_the_world_restarts_a_worker_of_the_life_ring(heard, error):
    supervisor, bus = heard.supervisor(), Flaky(error, error)
    supervisor.add("bus", Ring.LIFE, bus.run)
    run_until_working(supervisor, bus)
    assert bus.starts == 3
    assert [worker for worker, _, _ in heard.faults] == ["bus", "bus"]


def test_the_reason_names_the_fault(heard):
    supervisor, bus = heard.supervisor(), Flaky(*WORLD)
    supervisor.add("bus", Ring.LIFE, bus.run)
    run_until_working(supervisor, bus)
    assert [reason for _, reason, _ in heard.faults] == [
        "os_error",
        "timeout",
        "port_gone",
        "uplink_fault",
        "store_fault",
    ]
    assert heard.faults[2] == ("bus", "port_gone", "bus-1")


@pytest.mark.parametrize("error", BUGS, ids=lambda error: type(error).__name__)
def test_a_bug_in_the_life_ring_ends_the_process(heard, error):
    supervisor, bus, panel = heard.supervisor(), Flaky(error), Flaky()
    supervisor.add("bus", Ring.LIFE, bus.run)
    supervisor.add("panel", Ring.SERVICE, panel.run)
    with pytest.raises(type(error)) as raised:
        run_until_working(supervisor, bus)
    assert raised.value is error
    assert any("bus" in note for note in raised.value.__notes__)


@pytest.mark.parametrize("error", [*WORLD, *BUGS], ids=lambda error: type(error).__name__)
def test_whatever_goes_wrong_in_the_service_ring_restarts_that_worker_alone(heard, error):
    supervisor, panel, bus = heard.supervisor(), Flaky(error), Flaky()
    supervisor.add("bus", Ring.LIFE, bus.run)
    supervisor.add("panel", Ring.SERVICE, panel.run)
    run_until_working(supervisor, panel, bus)
    assert (panel.starts, bus.starts) == (2, 1)
    assert len(heard.faults) == 1


@pytest.mark.parametrize(
    ("group", "is_bug"),
    [
        (ExceptionGroup("all world", [OSError(5, "io"), DeviceFault("timeout")]), False),
        (ExceptionGroup("a bug among them", [OSError(5, "io"), ExceptionGroup("", [KeyError("x")])]), True),
    ],
    ids=["world", "bug"],
)
def test_a_group_is_a_fault_of_the_world_only_if_all_in_it_are(heard, group, is_bug):
    supervisor, bus = heard.supervisor(), Flaky(group)
    supervisor.add("bus", Ring.LIFE, bus.run)
    if is_bug:
        with pytest.raises(ExceptionGroup):
            run_until_working(supervisor, bus)
    else:
        run_until_working(supervisor, bus)
        assert bus.starts == 2


@pytest.mark.parametrize("ring", list(Ring))
def test_a_worker_that_returns_or_is_cancelled_from_inside_is_started_again(heard, ring):
    supervisor, worker = heard.supervisor(), Flaky(None, asyncio.CancelledError())
    supervisor.add("worker", ring, worker.run)
    run_until_working(supervisor, worker)
    assert [reason for _, reason, _ in heard.faults] == ["ended", "cancelled"]


def test_what_a_person_sent_does_not_get_into_the_report(heard):
    supervisor, terminal = heard.supervisor(), Flaky(ValueError("invalid literal: '110101199003078888'"))
    supervisor.add("terminal", Ring.SERVICE, terminal.run)
    run_until_working(supervisor, terminal)
    ((_, reason, detail),) = heard.faults
    assert reason == "crashed"
    assert "ValueError" in detail
    assert "test_supervise.py" in detail
    assert "1101" not in detail


def test_the_first_beat_after_a_fault_is_the_recovery(heard):
    supervisor = heard.supervisor()
    bus = Flaky(OSError(5, "io"))

    async def run() -> None:
        if bus.starts:
            supervisor.beat("bus")
            supervisor.beat("bus")
        await bus.run()

    supervisor.add("bus", Ring.LIFE, run)
    run_until_working(supervisor, bus)
    assert heard.recovered == ["bus"]


def test_a_worker_that_owes_no_beats_has_recovered_when_it_runs_on(heard, monkeypatch):
    monkeypatch.setattr(supervise, "SETTLED_S", 0.2)
    monkeypatch.setattr(supervise, "_CHECK_S", 0.02)
    supervisor, listener, bus = heard.supervisor(), Flaky(OSError(5, "io")), Flaky(OSError(5, "io"))
    supervisor.add("listener", Ring.SERVICE, listener.run)
    supervisor.add("bus", Ring.LIFE, bus.run, vital_within_s=60)

    async def main() -> None:
        running = asyncio.create_task(supervisor.run())
        await listener.working.wait()
        assert heard.recovered == []
        while not heard.recovered:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        supervisor.stop()
        await running

    unhurried_run(asyncio.wait_for(main(), 20))
    assert heard.recovered == ["listener"]  # once; the bus owes a beat


def test_two_workers_cannot_have_one_name(heard):
    supervisor = heard.supervisor()
    supervisor.add("bus", Ring.LIFE, Flaky().run)
    with pytest.raises(ValueError, match="bus"):
        supervisor.add("bus", Ring.LIFE, Flaky().run)


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True), st.sampled_from(list(Ring)))
def test_backoff_never_passes_its_cap(attempt, chance, ring):
    cap = supervise.BACKOFF_CAP_S[ring]
    assert 0 <= backoff_s(attempt, cap, chance) < cap


def test_backoff_doubles_until_its_cap_and_jitter_spreads_all_of_it():
    assert [backoff_s(attempt, 5.0, 1.0) for attempt in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert backoff_s(3, 5.0, 0.0) == 0.0


def test_each_restart_waits_for_twice_as_long_until_the_worker_was_well_for_a_while():
    async def main() -> list[float]:
        loop, starts = asyncio.get_running_loop(), []
        supervisor = Supervisor(lambda *_: None, chance=lambda: 1.0)

        async def bus() -> None:
            starts.append(loop.time())
            if len(starts) == 6:
                await asyncio.sleep(supervise.SETTLED_S)
            raise OSError(5, "io")

        supervisor.add("bus", Ring.LIFE, bus)
        running = asyncio.create_task(supervisor.run())
        while len(starts) < 8:
            await asyncio.sleep(1)
        supervisor.stop()
        await running
        return starts

    starts = virtual_run(main())
    pauses = [after - before for before, after in pairwise(starts)]
    assert pauses == pytest.approx([0.5, 1.0, 2.0, 4.0, 5.0, supervise.SETTLED_S + 0.5, 1.0], abs=0.01)


# -- stopping ---------------------------------------------------------------------------------------------------------


def test_workers_stop_in_reverse_order_each_before_the_next(heard):
    supervisor, order = heard.supervisor(), []

    def worker(name: str):
        async def run() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.02)
                order.append(name)

        return run

    for name in ("store", "engine", "bus"):
        supervisor.add(name, Ring.LIFE, worker(name))
    last = Flaky()
    supervisor.add("panel", Ring.SERVICE, last.run)
    run_until_working(supervisor, last)
    assert order == ["bus", "engine", "store"]


def test_a_worker_that_will_not_stop_does_not_keep_the_others_from_it(heard, monkeypatch):
    monkeypatch.setattr(supervise, "STOP_S", 0.3)
    supervisor, stopped = heard.supervisor(), []
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async def store() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append("store")

    async def main() -> float:
        supervisor.add("store", Ring.LIFE, store)
        supervisor.add("stubborn", Ring.SERVICE, stubborn)
        running = asyncio.create_task(supervisor.run())
        await asyncio.sleep(0.05)
        began = asyncio.get_running_loop().time()
        supervisor.stop()
        await running
        took = asyncio.get_running_loop().time() - began
        release.set()
        return took

    assert unhurried_run(main()) < 3
    assert stopped == ["store"]


def test_many_that_will_not_stop_are_waited_for_no_longer_than_one(heard):
    supervisor, release = heard.supervisor(), asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    async def main() -> float:
        for number in range(4):
            supervisor.add(f"stubborn-{number}", Ring.SERVICE, stubborn)
        running = asyncio.create_task(supervisor.run())
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        supervisor.stop()
        await running
        took = asyncio.get_running_loop().time() - began
        release.set()
        return took

    assert virtual_run(main()) == pytest.approx(supervise.STOP_S, abs=0.01)


def test_a_worker_that_fails_while_it_stops_is_only_noted(heard):
    supervisor = heard.supervisor()
    ready = Flaky()

    async def bad_end() -> None:
        try:
            await ready.run()
        finally:
            raise OSError(5, "io")

    supervisor.add("bus", Ring.LIFE, bad_end)
    run_until_working(supervisor, ready)
    assert (ready.starts, heard.faults) == (1, [])


# -- systemd ----------------------------------------------------------------------------------------------------------


class Systemd:
    """Listens where systemd would."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

        self._lines: list[str] = []

    def listen(self) -> None:
        """Takes what has come; the kernel queues only a few datagrams (net.unix.max_dgram_qlen)."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._lines.append(self.socket.recv(4096).decode())

    def heard(self) -> list[str]:
        """What was said since the last call."""
        self.listen()
        lines, self._lines = self._lines, []
        return lines


@pytest.fixture
def systemd(tmp_path, monkeypatch) -> Iterator[Systemd]:
    listening = Systemd(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "40000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    yield listening
    listening.socket.close()


def run_for(supervisor: Supervisor, seconds: float, systemd: Systemd) -> None:
    async def main() -> None:
        asyncio.get_running_loop().add_reader(systemd.socket, systemd.listen)
        running = asyncio.create_task(supervisor.run())
        await asyncio.wait([running], timeout=seconds)
        supervisor.stop()
        await running

    unhurried_run(main())


def test_the_watchdog_is_fed_while_vital_workers_complete_turns(heard, systemd):
    supervisor = heard.supervisor()

    async def bus() -> None:
        while True:
            await asyncio.sleep(0.01)
            supervisor.beat("bus")

    supervisor.add("bus", Ring.LIFE, bus, vital_within_s=5)
    run_for(supervisor, 0.3, systemd)
    told = systemd.heard()
    assert 3 <= told.count("WATCHDOG=1") < 100  # fifteen, at the pace it asks for
    assert told[-1] == "STOPPING=1"
    assert heard.faults == []


def test_a_stuck_vital_worker_starves_the_watchdog_and_is_reported_once(heard, systemd):
    supervisor, begun = heard.supervisor(), []

    async def engine() -> None:
        begun.append(asyncio.get_running_loop().time())
        await asyncio.Event().wait()

    async def main() -> None:
        asyncio.get_running_loop().add_reader(systemd.socket, systemd.listen)
        running = asyncio.create_task(supervisor.run())
        while not heard.faults:
            await asyncio.sleep(0.01)
        before = systemd.heard()
        await asyncio.sleep(0.3)
        assert systemd.heard() == []  # a dozen meals missed
        assert before.count("WATCHDOG=1") >= 1
        assert supervisor.stuck(begun[0] + 0.2) == ("engine",)
        assert supervisor.stuck(begun[0] + 0.1) == ()
        assert heard.faults == [("engine", "stuck", "")]
        supervisor.beat("engine")
        while "WATCHDOG=1" not in systemd.heard():
            await asyncio.sleep(0.01)
        supervisor.stop()
        await running

    supervisor.add("engine", Ring.LIFE, engine, vital_within_s=0.15)
    supervisor.add("panel", Ring.SERVICE, Flaky().run)
    unhurried_run(asyncio.wait_for(main(), 20))
    assert heard.recovered == ["engine"]


def test_a_worker_that_is_not_vital_never_starves_the_watchdog(heard, systemd):
    supervisor = heard.supervisor()
    supervisor.add("panel", Ring.SERVICE, Flaky().run)
    run_for(supervisor, 0.3, systemd)
    assert systemd.heard().count("WATCHDOG=1") >= 3


def test_a_gone_bus_does_not_starve_the_watchdog(heard, systemd):
    supervisor = heard.supervisor()
    supervisor.add("bus", Ring.LIFE, Flaky(*[OSError(5, "io")] * 1000).run, vital_within_s=0.2)
    run_for(supervisor, 0.5, systemd)
    assert len(heard.faults) > 1
    assert ("bus", "stuck", "") not in heard.faults
    assert systemd.heard().count("WATCHDOG=1") >= 3


def test_systemd_hears_readiness_and_status_in_one_message(systemd):
    assert notify(READY, status("12 devices"))
    assert systemd.heard() == ["READY=1\nSTATUS=12 devices"]


def test_an_abstract_socket_is_reached(monkeypatch):
    name = f"loudong-test-{os.getpid()}"
    listening = Systemd("\0" + name)
    monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
    assert notify(READY)
    assert listening.heard() == [READY]
    listening.socket.close()


def test_without_systemd_nothing_is_told(monkeypatch, tmp_path):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify(READY)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not notify(READY)


def test_a_deaf_systemd_is_not_waited_for(systemd):
    answers = [notify(status("x" * 1000))]
    while answers[-1] and len(answers) < 2000:
        answers.append(notify(status("x" * 1000)))
    assert answers[0]
    assert not answers[-1]


@pytest.mark.parametrize(
    ("granted", "pid", "interval"),
    [("30000000", "", 15.0), ("30000000", "1", None), ("", "", None), ("0", "", None), ("soon", "", None)],
)
def test_the_watchdog_interval_is_half_of_what_the_unit_grants(monkeypatch, granted, pid, interval):
    monkeypatch.setenv("WATCHDOG_USEC", granted)
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert watchdog_interval_s() == interval


@pytest.mark.parametrize("ring", [Ring.LIFE, Ring.SERVICE])
def test_a_worker_of_several_tasks_is_restarted_like_any_other(heard: Heard, ring: Ring) -> None:
    """``TaskGroup`` cancels the task it runs in, and before Python 3.13 forgets to take that back."""
    supervisor, part = heard.supervisor(), Flaky(OSError("no such device"), OSError("no such device"))

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(part.run())
            tasks.create_task(asyncio.sleep(3600))

    supervisor.add("several", ring, run)
    run_until_working(supervisor, part)
    assert [(name, reason) for name, reason, _ in heard.faults] == [("several", "os_error")] * 2
    assert part.starts == 3
