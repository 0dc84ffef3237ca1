"""What the machine's clocks are believed: the boot id, whether the wall is trusted, and where the timeline goes on after a restart."""

from __future__ import annotations

import threading
from pathlib import Path
from unittest.mock import Mock

import pytest

from gateway import clock
from gateway.instant import ClockQuality, Instant, Stamp

KERNELS = "7e8c2f3a-0b1d-4c5e-8f90-a1b2c3d4e5f6"


def test_the_kernels_own_comes_first(monkeypatch):
    monkeypatch.setenv(clock.BOOT_ID_GIVEN, "0" * 32)
    own = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    assert clock.SystemClock().stamp().boot_id == own


def test_where_it_is_hidden_the_units_is_the_same_word(monkeypatch, tmp_path):
    """systemd's %b has no hyphens; in another form a restart behind new locks would pass for a reboot."""
    monkeypatch.setattr(clock, "_BOOT_ID", tmp_path / "boot_id")
    monkeypatch.setenv(clock.BOOT_ID_GIVEN, KERNELS.replace("-", ""))
    assert clock.SystemClock().stamp().boot_id == KERNELS


@pytest.mark.parametrize("given", ["", "%b", "0123"])
def test_without_any_there_is_no_clock(monkeypatch, tmp_path, given):
    monkeypatch.setattr(clock, "_BOOT_ID", tmp_path / "boot_id")
    monkeypatch.setenv(clock.BOOT_ID_GIVEN, given)
    with pytest.raises(OSError, match="boot_id"):
        clock.SystemClock()


# Whether the wall is trusted -------------------------------------------------------------------------

SYNCED, UNSYNCED = ClockQuality.SYNCED, ClockQuality.UNSYNCED


class Kernel:
    """What adjtimex(2) answers: a state, and in the struct the greatest error in microseconds and the status bits."""

    def __init__(self, state: int, max_error_us: int, status: int) -> None:
        self.state, self.max_error_us, self.status = state, max_error_us, status

    def adjtimex(self, buffer) -> int:
        buffer[24:32] = self.max_error_us.to_bytes(8, "little", signed=True)
        buffer[40:44] = self.status.to_bytes(4, "little")
        return self.state


@pytest.mark.parametrize(
    ("kernel", "quality"),
    [
        (Kernel(0, 999_999, 0x01), SYNCED),
        (Kernel(1, 999_999, 0x01), SYNCED),
        (Kernel(0, 1_000_000, 0x01), UNSYNCED),
        (Kernel(0, 0, 0x40), UNSYNCED),
        (Kernel(0, 0, 0x41), UNSYNCED),
        (Kernel(5, 0, 0x01), UNSYNCED),
    ],
    ids=[
        "disciplined",
        "leap second ahead",
        "a second out",
        "unsynchronised",
        "that and more",
        "error",
    ],
)
def test_the_wall_is_trusted_where_the_kernel_is_sure_of_it_to_the_second(monkeypatch, tmp_path, kernel, quality):
    monkeypatch.setattr(clock, "_TIMESYNC_FLAG", tmp_path / "synchronized")
    monkeypatch.setattr(clock, "_libc", kernel)
    monkeypatch.setattr(clock._Timedated, "ask", None)  # nobody need be asked where the kernel answers
    assert clock.SystemClock().stamp().clock is quality


def test_the_word_of_timesyncd_is_enough(monkeypatch, tmp_path):
    (tmp_path / "synchronized").touch()
    monkeypatch.setattr(clock, "_TIMESYNC_FLAG", tmp_path / "synchronized")
    monkeypatch.setattr(clock, "_libc", Kernel(5, 0, 0x40))
    assert clock.SystemClock().stamp().clock is SYNCED


def test_the_kernel_is_asked_once_a_second(monkeypatch):
    asked, uptime = [], 0
    monkeypatch.setattr(clock, "_synchronised", lambda: asked.append(uptime) or True)
    machine = clock.SystemClock()
    asked.clear()
    monkeypatch.setattr(machine, "boottime_ms", lambda: uptime)
    for uptime in (0, 1, 999, 1_000, 1_500, 1_999, 2_000):  # noqa: B007 - read by the clock
        assert machine.stamp().clock is SYNCED
    assert asked == [0, 1_000, 2_000]


class Locked:
    """A machine whose kernel may not be asked, and what its timedated says when; ``tests/test_systemd_clock.py`` has the real ones."""

    def __init__(self, monkeypatch, answer) -> None:
        self.asked: list[int] = []
        self.uptime_ms, self._answer = 0, answer
        monkeypatch.setattr(clock, "_synchronised", lambda: None)
        monkeypatch.setattr(clock, "_ask_timedated", self._hear)
        monkeypatch.setattr(clock.SystemClock, "boottime_ms", lambda _: self.uptime_ms)
        self.clock = clock.SystemClock()

    def _hear(self) -> bool:
        self.asked.append(self.uptime_ms)
        return self._answer()

    def quality_at(self, uptime_ms: int) -> ClockQuality:
        """As the stamp after the answer has it."""
        self.uptime_ms = uptime_ms
        self.clock.stamp()
        while asking := [thread for thread in threading.enumerate() if thread.name == "timedated"]:
            asking[0].join()
        self.uptime_ms += 1_000
        return self.clock.stamp().clock


def test_timedated_is_asked_again_soon_while_it_says_no_and_seldom_once_it_said_yes(monkeypatch):
    says = False
    machine = Locked(monkeypatch, lambda: says)
    shown = []
    for seconds in range(0, 2_000, 5):
        says = 30 < seconds < 1_000
        shown.append((machine.quality_at(1_000 * seconds), seconds))
    assert [at // 1_000 for at in machine.asked][:4] == [0, 20, 40, 640]
    assert {seconds for quality, seconds in shown if quality is SYNCED} == set(range(40, 1_240, 5))


def test_an_answer_that_does_not_come_holds_up_one_stamp_and_no_second_is_asked_for(monkeypatch):
    monkeypatch.setattr(clock, "_FIRST_WORD_S", 0.05)
    come = threading.Event()
    machine = Locked(monkeypatch, lambda: come.wait(60))
    try:
        for machine.uptime_ms in range(0, 100_000, 1_000):
            assert machine.clock.stamp().clock is UNSYNCED
        assert machine.asked == [0]
    finally:
        come.set()
    assert machine.quality_at(100_000) is SYNCED


def test_where_no_thread_is_to_be_had_it_is_asked_at_the_next_stamp(monkeypatch):
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread")))
        machine = Locked(monkeypatch, lambda: True)
        assert machine.clock.stamp().clock is UNSYNCED
    assert machine.quality_at(1_000) is SYNCED


# The timeline ----------------------------------------------------------------------------------------


class Machine:
    """A clock in our hand."""

    def __init__(self, uptime_ms: int) -> None:
        self.uptime_ms = uptime_ms

    def boottime_ms(self) -> int:
        return self.uptime_ms

    def stamp(self) -> Stamp:
        return Stamp("b", self.uptime_ms, 5_000_000 + self.uptime_ms, SYNCED)


def test_the_timeline_goes_with_the_machine_and_never_back():
    machine = Machine(300)
    line = clock.Timeline(machine, Instant(70_000), machine.stamp())
    shown = []
    for machine.uptime_ms in (300, 301, 250, 300, 1_300):
        shown.append(line.now())
    assert shown == [70_000, 70_001, 70_001, 70_001, 71_000]
    assert line.now() + line.offset_ms(machine.stamp()) == machine.stamp().wall_ms


@pytest.mark.parametrize(
    ("then", "now", "went_on_ms"),
    [
        (Stamp("a", 5_000, 9_000, SYNCED), Stamp("a", 65_000, 1_000, SYNCED), 60_000),
        (Stamp("a", 5_000, 9_000, UNSYNCED), Stamp("a", 65_000, 9_000_000, UNSYNCED), 60_000),
        (Stamp("a", 5_000, 9_000, SYNCED), Stamp("a", 4_000, 9_000, SYNCED), 0),
        (Stamp("a", 5_000, 9_000, SYNCED), Stamp("b", 100, 69_000, SYNCED), 60_000),
        (Stamp("a", 5_000, 9_000, SYNCED), Stamp("b", 100, 8_000, SYNCED), 0),
        (Stamp("a", 5_000, 9_000, UNSYNCED), Stamp("b", 100, 69_000, SYNCED), None),
        (Stamp("a", 5_000, 9_000, SYNCED), Stamp("b", 100, 69_000, UNSYNCED), None),
    ],
    ids=[
        "same boot, wall stepped", "same boot, no clock", "same boot, not back", "reboot", "reboot, wall a little back",
        "not trusted before", "not trusted after",
    ],
)  # fmt: skip
def test_after_a_restart_it_goes_on_by_what_can_be_known_of_the_time_between(then, now, went_on_ms):
    assert clock.resume((Instant(100_000), then), now) == (100_000 + (went_on_ms or 0), went_on_ms)


def test_the_first_start_begins_at_nought():
    assert clock.resume(None, Stamp("a", 5_000, 9_000, SYNCED)) == (0, None)
