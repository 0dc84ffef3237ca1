"""The limits of the unit, each on a process that asks for more."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from instruments import jail, limits

pytestmark = pytest.mark.skipif(
    not limits.possible(), reason="needs root and control groups of version 1; TasksMax and DeviceAllow were not tried"
)
UNIT = jail.settings(Path(__file__).parent.parent / "systemd" / "loudong-gateway.service")


def within(groups: dict[str, Path], program: str, *arguments: str) -> str:
    """What a program says that joined the groups first."""
    joined = "\n".join(f"open({str(folder / 'cgroup.procs')!r}, 'w').write('0')" for folder in groups.values())
    command = [sys.executable, "-c", joined + "\n" + textwrap.dedent(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_of_the_devices_only_serial_ports_and_what_every_program_needs_are_let_in(tmp_path):
    """Refused is EPERM; a serial port that is let in and not there is ENXIO."""
    nodes = {
        "null": (1, 3),
        "urandom": (1, 9),
        "memory": (1, 1),
        "fuse": (10, 229),
        "rtc": (254, 0),
        "usb": (188, 0),
        "uart": (204, 64),
    }
    for name, (major, minor) in nodes.items():
        os.mknod(tmp_path / name, 0o600 | 0o020000, os.makedev(major, minor))
    program = """
    import errno, os, sys
    for name in sorted(os.listdir(sys.argv[1])):
        try:
            os.close(os.open(os.path.join(sys.argv[1], name), os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
            print(name, "opened")
        except OSError as error:
            print(name, errno.errorcode[error.errno])
    """
    with limits.groups(UNIT) as groups:
        inside = dict(
            line.split() for line in within({"devices": groups["devices"]}, program, str(tmp_path)).splitlines()
        )
    outside = dict(line.split() for line in within({}, program, str(tmp_path)).splitlines())
    assert {name for name, said in inside.items() if said == "EPERM"} == {"memory", "fuse", "rtc"}
    assert {name: inside[name] for name in ("null", "urandom", "usb", "uart")} == {
        name: outside[name] for name in ("null", "urandom", "usb", "uart")
    }
    assert outside["fuse"] != "EPERM"


def test_a_thread_beyond_the_tasks_is_refused_and_the_others_live_on():
    program = """
    import threading
    end = threading.Event()
    started = 1
    try:
        for _ in range(1_000):
            threading.Thread(target=end.wait).start()
            started += 1
    except RuntimeError:
        pass
    print(started)
    end.set()
    """
    with limits.groups(UNIT) as groups:
        assert int(within({"pids": groups["pids"]}, program)) == int(UNIT["TasksMax"][0])
