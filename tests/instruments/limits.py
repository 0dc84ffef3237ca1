"""What a unit's ``TasksMax=``, ``DevicePolicy=`` and ``DeviceAllow=`` do to a process, by control groups of version 1.

Theory. systemd writes the same numbers into version 2 (``pids.max``, and a BPF program for devices); who counts and who refuses is the
kernel in both. Groups are made beside our own, so that nothing of a session or a service is touched, and end with the block.
Sources: systemd.resource-control(5), and of the kernel admin-guide/cgroup-v1/{pids,devices}.rst.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("pids", "devices")
CLOSED = ("c 1:3", "c 1:5", "c 1:7", "c 1:8", "c 1:9", "c 5:0", "c 5:2", "c 136:*")
"""What ``DevicePolicy=closed`` leaves: null, zero, full, random, urandom, tty, ptmx, pts."""
_NEVER = 10.0


@functools.cache
def possible() -> bool:
    """Whether this machine lets us, and its kernel remembers how many tasks a group had at most (``pids.peak``)."""
    writable = (os.access(ROOT / one, os.W_OK) and (ROOT / one / "cgroup.procs").exists() for one in CONTROLLERS)
    return os.geteuid() == 0 and all(writable) and _remembers_peaks()


def _remembers_peaks() -> bool:
    """The root group has no such file on any kernel: asked of a group of our own."""
    probe = ROOT / "pids" / f"loudong-probe-{os.getpid()}"
    try:
        probe.mkdir()
    except OSError:
        return False
    try:
        return (probe / "pids.peak").exists()
    finally:
        probe.rmdir()


@contextlib.contextmanager
def groups(unit: dict[str, list[str]]) -> Iterator[dict[str, Path]]:
    """One group a controller with the unit's limits; whoever is in them has to be gone at the end of the block."""
    made = {one: ROOT / one / f"loudong-{os.getpid()}" for one in CONTROLLERS}
    for folder in made.values():
        folder.mkdir()
    try:
        (made["pids"] / "pids.max").write_text(unit["TasksMax"][0], encoding="ascii")
        assert unit["DevicePolicy"] == ["closed"]
        (made["devices"] / "devices.deny").write_text("a", encoding="ascii")
        for rule in (*(f"{one} rwm" for one in CLOSED), *map(_rule, unit["DeviceAllow"])):
            (made["devices"] / "devices.allow").write_text(rule, encoding="ascii")
        yield made
    finally:
        for folder in made.values():
            _remove(folder)


def _rule(allowed: str) -> str:
    match = re.fullmatch(r"char-(\d+) ([rwm]+)", allowed)
    assert match, allowed
    return f"c {match[1]}:* {match[2]}"


def _remove(folder: Path) -> None:
    """The kernel needs a moment to see that the last one is gone."""
    end = time.monotonic() + _NEVER
    while True:
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return
