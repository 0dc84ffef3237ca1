"""The real daemon on a machine whose clocks are not those of this one; everything else is the shipped code.

    python tests/faults/odd_clock.py wall OFFSET_FILE SYNCED_FLAG SITE --state DIR
    python tests/faults/odd_clock.py uptime SECONDS SITE --state DIR

``wall``: under libfaketime the wall clock is off by the seconds in a file that may be changed while it runs; uptime is true.
A second file stands for ``/run/systemd/timesync/synchronized``, as no kernel of a laboratory is disciplined by anything.
``uptime``: so much longer up than this machine, in a time namespace of its own (time_namespaces(7); needs CAP_SYS_ADMIN).
A test entry point like ``crashing.py``.
"""

from __future__ import annotations

import ctypes
import os
import select
import sys
import time
from pathlib import Path

CLONE_NEWTIME = 0x80  # linux/sched.h
_OURS = "LOUDONG_ODD_CLOCK"
SEEN_S = 3
"""Until a change of the file is surely seen: libfaketime reads it when what it knows is more than a full second old."""
PRELOADED = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def wall(offset_file: str, flag: str) -> None:
    """Once more, with the library before libc; then live by the flag."""
    if _OURS not in os.environ:
        os.environ |= {
            _OURS: "wall",
            "LD_PRELOAD": str(PRELOADED),
            "FAKETIME_TIMESTAMP_FILE": offset_file,
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - our own command line, no shell
    from gateway import clock

    clock._TIMESYNC_FLAG = Path(flag)
    clock._kernel_synchronised = lambda: False
    # libfaketime takes the absolute monotonic deadline of Python's sleep for a length: it would sleep for the whole uptime.
    time.sleep = lambda seconds: select.select([], [], [], float(seconds)) and None


def uptime(seconds: int) -> None:
    """Move into a time namespace, and begin anew there: nothing that was read of the old clocks is kept."""
    if _OURS in os.environ:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.unshare(CLONE_NEWTIME))
    Path("/proc/self/timens_offsets").write_text(f"monotonic {seconds} 0\nboottime {seconds} 0\n", encoding="ascii")
    with Path("/proc/self/ns/time_for_children").open("rb") as namespace:
        _checked(libc.setns(namespace.fileno(), CLONE_NEWTIME))
    os.environ[_OURS] = "uptime"
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - our own command line, no shell


def _checked(answer: int) -> None:
    if answer:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def main() -> None:
    what, *given, site, _, state = sys.argv[1:]
    if what == "wall":
        wall(*given)
    else:
        uptime(int(given[0]))
    from gateway.app.logs import set_up_logging  # not before the process has begun anew: all would be read twice
    from gateway.app.running import run

    set_up_logging(as_json=True)
    run(Path(site), Path(state))


if __name__ == "__main__":
    main()
