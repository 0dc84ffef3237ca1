"""A core that hangs: noticed by a thread beside it, remembered as any other crash is, and ended so that a new life begins.

Theory. A bug that raises ends the process by itself; a loop without an end does not. systemd's watchdog ends it after 30 s but
knows not by which event, and the next life would be shown the same again. So what the core is at work on is known
(``Crashes.suspect``), and a thread looks about once a second whether it still is. Looks are counted and not seconds: a process
that was stopped, a machine that slept or had no time for us makes no looks, either. And a loop without an end burns CPU: a core
that only waits for the world (a page of its code from a sick card, a log that takes nothing) has no bug, and the event it has in
hand is no culprit. That one is left to the watchdog. The asyncio loop cannot look: it hangs, too.

A C function that never returns and keeps the interpreter's lock stops this thread as well; what is left there is the watchdog.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from typing import Self

import structlog

from gateway.app.crashes import Crashes
from gateway.app.inbox import Chore
from gateway.events import Stamped

log = structlog.get_logger()

LOOK_S = 1.0
LOOKS = 10
"""Nothing has come of it in ten looks. The slowest that was measured is a boot that finds 3,000 parts silent for a day and raises
2,000 alerts: 0.7 s on a busy machine, so a fifth of its pace is still no hang. And the unit's watchdog (30 s, fed every 5 s) must
not come first, for it takes no notes."""
BURNT_S = 5.0
"""CPU that its thread has used meanwhile. A loop without an end uses that in 10 s where half a core is ours, and in 25 s, still
before the watchdog, where a fifth is."""
BURNT_WHOLE_S = 15.0
"""The same of work on the whole site at once, which grows with it: those 0.7 s are 5 s on the slowest machine that a gateway is put
on, where it starts with everything else. A start called hung three times would leave life safety alone, of a site that only is
large. Nothing is fed before the start is over, so the unit's TimeoutStartSec (120 s) is what must not come first."""
WHOLE = frozenset({"start", "boot", "site_loaded", "rehearsal"})
"""Kinds of such work."""
LAST_WORDS_S = 5.0
"""So long the note may take, on a disk or a log that hangs as well."""
EXIT_HUNG = 70
"""EX_SOFTWARE (sysexits.h): systemd shows ``status=70/SOFTWARE``."""


class Hourglass:
    """The thread. Used as a context it looks until the context ends; it takes nothing from the core but a look at one attribute."""

    def __init__(self) -> None:
        self._crashes: Crashes | None = None
        self._cpu = time.CLOCK_THREAD_CPUTIME_ID
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, name="hourglass", daemon=True)

    def watch(self, crashes: Crashes) -> None:
        """Look at this core's work from now on. Called in the thread in which it works."""
        self._cpu = time.pthread_getcpuclockid(threading.get_ident())
        self._crashes = crashes

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _keep_looking(self) -> None:
        seen, looks, begun_s = None, 0, 0.0
        while not self._over.wait(LOOK_S):
            crashes = self._crashes
            work = None if crashes is None else crashes.suspect
            if crashes is None or work is None or work is not seen:
                seen, looks, begun_s = work, 0, time.clock_gettime(self._cpu)
                continue
            looks += 1
            most_s = BURNT_WHOLE_S if crashes.kind_of(work) in WHOLE else BURNT_S
            if looks >= LOOKS and time.clock_gettime(self._cpu) - begun_s >= most_s:
                _end(crashes, work)


def _end(crashes: Crashes, work: Stamped | Chore) -> None:
    """Take the note, say where it hangs, and end. Not in good order: whoever could end it so is the one that hangs."""
    faulthandler.dump_traceback_later(LAST_WORDS_S, exit=True)
    crashes.remember(work)
    name = crashes.kind_of(work)
    log.critical("core_hung", event_kind=name, event_id=work.id if isinstance(work, Stamped) else "", looks=LOOKS)
    faulthandler.dump_traceback(sys.stderr, all_threads=True)
    os._exit(EXIT_HUNG)
