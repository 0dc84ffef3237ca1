"""`loudong run`: from a site file to a living house, and down again in good order."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog

from gateway import notify
from gateway.app.hanging import Hourglass
from gateway.app.house import House, OpenedLateError, Surroundings, build
from gateway.app.orders import read_site, with_secrets
from gateway.app.reload import Reloader, standing
from gateway.app.steward import Steward
from gateway.app.threads import WaitingThreads
from gateway.clock import SystemClock, monotonic_us
from gateway.control.folder import claim
from gateway.nodes import Faults

_PATIENT = "LOUDONG_DISK_WAS_LATE"
_M_ARENA_MAX = -8  # malloc.h
_PR_SET_TIMERSLACK = 29  # prctl(2)
ANEW_S = 120.0
"""To end the workers, begin again and open a slow disk: the unit's TimeoutStartSec, which bounds a reload, too."""
_TURN_S = 0.00005
"""How long one thread may keep the interpreter while another waits for it. The disk's thread lets go of it several times in each
commit; with Python's 5 ms it waits behind whatever the loop is at each time, and the slowest alerts took 0.7 ms longer (p99); with
0.1 ms, and the 0.05 ms that the kernel adds to such a wait (prctl(2)), the median one took 0.18 ms longer. The loop's CPU is the same.
"""

log = structlog.get_logger()


def run(path: Path, folder: Path, surroundings: Surroundings | None = None) -> None:
    """Run the gateway of a site file until SIGTERM or SIGINT.

    Raises ``FaultySite`` (nothing was started), ``StateFolderTaken``, or the bug that ended it.
    """
    _libc("mallopt", _M_ARENA_MAX, 1)  # else each thread has a heap, and what it leaves there nobody else uses: a MiB
    _libc("prctl", _PR_SET_TIMERSLACK, 1, 0, 0, 0)  # else a thread that waits for its turn oversleeps 0.05 ms each time
    clock = SystemClock()  # first: who vouches for it has until the house is built to say so
    faults = Faults()
    site, compound = read_site(path, faults, starting=True)  # before the folder is made
    with claim(folder), Hourglass() as hourglass:
        orders = with_secrets(site, compound, folder, faults)
        around = msgspec.structs.replace(
            surroundings or Surroundings(), patient=_PATIENT in os.environ, hourglass=hourglass
        )
        try:
            asyncio.run(_live(lambda: build(orders, folder, clock, around), path, folder))
        except OpenedLateError:
            log.warning("gateway_begins_anew", reason="opened_late")
            os.environ[_PATIENT] = "1"
            # The same process for systemd, with the alerts that are on the disk.
            os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - our own command line, no shell


async def _live(make: Callable[[], Awaitable[House]], path: Path, folder: Path) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(WaitingThreads())
    house = await make()
    # What stands now stands until the end: left to the collector it is walked every quarter of a minute, 20 to 30 ms each
    # time, in which no alarm is heard.
    gc.collect()
    gc.freeze()
    _libc("malloc_trim", 0)  # what the site file was read with lies in holes: a MiB
    sys.setswitchinterval(_TURN_S)
    reloader = Reloader(house, path, folder)
    house.desk.offer("reload", reloader.answer)
    steward = Steward(house)
    errands = {"backup": steward.prepare_backup, "passages": steward.passages, "forget": steward.forget}
    for verb, errand in (errands | {"replay": steward.replay, "audit": steward.audit}).items():
        house.desk.offer(verb, errand)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, house.stop)
    loop.add_signal_handler(signal.SIGHUP, reloader.on_signal)
    log.info("gateway_started", site=house.site.id, gateway=house.site.gateway, run=house.run_name)
    try:
        await house.run(lambda: _ready(house), _farewell)
    except OpenedLateError:
        if not house.supervisor.stop_asked:
            raise
        notify.notify(notify.STOPPING)  # somebody told us to stop while we ended to begin anew
    log.info("gateway_stopped", run=house.run_name)


def _ready(house: House) -> None:
    granted_s = notify.watchdog_granted_s()
    usual = () if granted_s is None else (notify.watchdog_grants(granted_s),)  # a life that began anew was granted more
    notify.notify(notify.READY, notify.status(standing(house)), *usual)


def _farewell(cause: BaseException | None) -> None:
    """What systemd is told before the workers end.

    A process that begins anew must not say that it stops: it would be killed ``TimeoutStopSec`` later, whatever it has become by
    then. To systemd it reloads, which may take as long as a start; and the watchdog, which nobody feeds meanwhile, grants it.
    """
    if isinstance(cause, OpenedLateError):
        notify.notify(notify.RELOADING, f"MONOTONIC_USEC={monotonic_us()}", notify.watchdog_grants(ANEW_S))
    else:
        notify.notify(notify.STOPPING)


def _libc(name: str, *numbers: int) -> None:
    """A word to the kernel, or to the memory allocator of the usual C library (mallopt(3), malloc_trim(3)); another one is left alone."""
    with contextlib.suppress(AttributeError):
        getattr(ctypes.CDLL(None), name)(*numbers)
