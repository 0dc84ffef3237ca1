"""Whether the wall is trusted behind the locks of the unit, where the kernel may not be asked (``ProtectClock=``).

The locks are those of ``instruments/jail.py``; the bus is a private one, and on it stands the real systemd-timedated. A laboratory's kernel
is disciplined by nothing: strace answers timedated in its place, and that alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from instruments import jail

from gateway.sim.bluez import PrivateBus
from gateway.sim.leash import leashed

UNIT = Path(__file__).parents[1] / "systemd" / "loudong-gateway.service"
TIMEDATED = Path("/lib/systemd/systemd-timedated")
pytestmark = pytest.mark.skipif(
    not jail.possible(),
    reason="needs root, namespaces and libseccomp; what the unit lets the clock know was not tried",
)
bussed = pytest.mark.skipif(
    not (shutil.which("dbus-daemon") and shutil.which("busctl") and TIMEDATED.exists()),
    reason="no dbus-daemon, busctl or systemd-timedated here; its word on the clock was not tried",
)
_MOST_US = 16_000_000
"""What timedated calls synchronised (systemd: src/basic/time-util.c, ntp_synced)."""
DISCIPLINED = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=adjtimex,clock_adjtime:retval=0"]
"""The call is not made: no error, and a struct of noughts."""
_ASK = "import ctypes; print(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(208)))"
_STAMP = """
from pathlib import Path
from gateway import clock
clock._TIMESYNC_FLAG = Path("/nowhere")
print(clock.SystemClock().stamp().clock.value)
"""


def behind_the_locks(folder: Path, program: str) -> str:
    command = [sys.executable, jail.__file__, str(UNIT), str(folder / "state"), sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.strip()


@contextlib.contextmanager
def timedated(bus: PrivateBus, answered_by: list[str]) -> Iterator[None]:
    """It stands on that bus."""
    command = leashed([*answered_by, str(TIMEDATED)])
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            until = time.monotonic() + 60
            while "org.freedesktop.timedate1" not in _names(bus):
                assert time.monotonic() < until
                time.sleep(0.05)  # a bus that is asked by a program tells of no name that comes
            yield
        finally:
            os.killpg(process.pid, 15)


def _names(bus: PrivateBus) -> str:
    asked = ["busctl", f"--address={bus.address}", "list", "--acquired", "--no-legend"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout


def kernel_says_synchronised() -> bool:
    timex = ctypes.create_string_buffer(208)
    assert ctypes.CDLL(None).adjtimex(timex) != -1
    return int.from_bytes(timex.raw[24:32], "little", signed=True) < _MOST_US


@pytest.fixture
def bus(monkeypatch):
    bus = PrivateBus(leashed=True)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.start())
    yield bus
    bus.remove()


def test_the_unit_keeps_us_from_asking_the_kernel(tmp_path):
    assert subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=True).stdout != "-1\n"
    assert behind_the_locks(tmp_path, _ASK) == "-1"


@bussed
def test_what_the_kernel_says_comes_through_the_locks_by_timedated(bus, tmp_path):
    with timedated(bus, []):
        assert behind_the_locks(tmp_path, _STAMP) == ("synced" if kernel_says_synchronised() else "unsynced")


@bussed
@pytest.mark.skipif(not shutil.which("strace"), reason="no strace; a disciplined kernel was not played")
def test_a_clock_that_chrony_keeps_is_trusted_behind_the_locks(bus, tmp_path):
    with timedated(bus, DISCIPLINED):
        assert behind_the_locks(tmp_path, _STAMP) == "synced"


def test_where_nobody_answers_it_is_not_trusted(monkeypatch, tmp_path):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/no-bus")
    assert behind_the_locks(tmp_path, _STAMP) == "unsynced"
