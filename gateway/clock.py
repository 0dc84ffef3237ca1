"""The only file that reads a clock.

``Clock`` is what the machine shows; ``Timeline`` turns it into the site timeline on which everything else runs.
Sources: clock_gettime(2) for CLOCK_BOOTTIME, proc(5) for the boot id, systemd.unit(5) for ``%b``, systemd-timesyncd.service(8) for
``/run/systemd/timesync/synchronized``, adjtimex(2) for the kernel's own opinion, org.freedesktop.timedate1(5) for the same behind the
locks of the unit.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from gateway.instant import ClockQuality, Instant, Stamp

_TIMESYNC_FLAG = Path("/run/systemd/timesync/synchronized")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
BOOT_ID_GIVEN = "LOUDONG_BOOT_ID"
"""The unit hands it over (``%b``) where it keeps us from the kernel's own (``ProcSubset=pid``)."""
_STA_UNSYNC = 0x40  # adjtimex(2): clock unsynchronised
_TIME_ERROR = 5  # adjtimex(2): return value
_MAX_ERROR_US = 1_000_000  # a clock that may be a second out is not called synchronised
_ASK_EVERY_MS = 1_000  # every event is stamped; the kernel need not be asked each time
_TIMEDATED = ("org.freedesktop.timedate1", "/org/freedesktop/timedate1", "org.freedesktop.timedate1", "NTPSynchronized")
_ASK_TIMEDATED_MS = 20_000
"""While it says no. Within the half minute after which it ends: each start of it is lines in the machine's journal."""
_BELIEVE_TIMEDATED_MS = 600_000
"""Once it said yes: a clock that nothing disciplines any more is called synchronised for nine hours all the same."""
_FIRST_WORD_S = 2.0
"""Waited for at the start, where alarms wait, too: on it hangs whether it is known how long a reboot took."""
_TIMEDATED_S = 30.0  # it has to be started first, by a machine that perhaps starts, too; D-Bus gives up after 25
BELIEVED_MS = 7 * 86_400_000
"""The longest downtime that two wall clocks prove. A time server that lies by years would age a whole past in one reboot;
a week of it costs a week of the journal at most, and a box that truly lay in a drawer longer loses nothing by not knowing."""
_TIMEX_BYTES = 208  # sizeof(struct timex) on 64-bit Linux
_TIMEX_MAXERROR = 24  # byte offsets in struct timex, adjtimex(2)
_TIMEX_STATUS = 40
_libc = ctypes.CDLL(None)
"""Looked up once: an alert waited a tenth of a millisecond for it."""


class Clock(Protocol):
    """What the machine's clocks show now."""

    def stamp(self) -> Stamp:
        """All clocks at one moment."""
        ...

    def boottime_ms(self) -> int:
        """Milliseconds since boot, counting suspend; never steps."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def __init__(self) -> None:
        self._boot_id = _boot_id()
        self._asked_ms, self._quality = -_ASK_EVERY_MS, ClockQuality.UNSYNCED
        self._timedated = _Timedated()
        if _synchronised() is None:  # so that its word is there when the first stamp is made
            self._timedated.ask(self.boottime_ms())

    def boottime_ms(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

    def stamp(self) -> Stamp:
        boottime_ms = self.boottime_ms()
        if boottime_ms - self._asked_ms >= _ASK_EVERY_MS:
            self._asked_ms = boottime_ms
            trusted = _synchronised()
            if trusted is None:
                trusted = self._timedated.synchronised(boottime_ms)
            self._quality = ClockQuality.SYNCED if trusted else ClockQuality.UNSYNCED
        return Stamp(self._boot_id, boottime_ms, time.time_ns() // 1_000_000, self._quality)


class _Timedated:
    """systemd-timedated, which may ask the kernel for those that may not, whatever keeps the clock: chrony, ntpsec, a receiver.

    It is asked beside us, for it may take long and a stamp may not. Its bound is 16 s of possible error, not ours: what nothing
    disciplines any more loses its trust later. ``busctl`` comes with it, and is a process of some milliseconds; a D-Bus library here
    would be megabytes for houses without a radio.
    """

    def __init__(self) -> None:
        self._word, self._asked_ms = False, 0
        self._asking: threading.Thread | None = None
        self._waited = False

    def ask(self, boottime_ms: int) -> None:
        """Begin to; the answer is not waited for."""
        self._asked_ms = boottime_ms
        asking = threading.Thread(target=self._hear, name="timedated", daemon=True)
        with suppress(RuntimeError):  # the system gives no more threads (TasksMax)
            asking.start()
            self._asking = asking

    def synchronised(self, boottime_ms: int) -> bool:
        """What it last said. Waits for its first word only; where nobody answers, that is no."""
        if self._asking is None or (not self._asking.is_alive() and boottime_ms - self._asked_ms >= self._pause_ms()):
            self.ask(boottime_ms)
        if self._asking is not None and not self._waited:
            self._waited = True
            self._asking.join(_FIRST_WORD_S)
        return self._word

    def _pause_ms(self) -> int:
        return _BELIEVE_TIMEDATED_MS if self._word else _ASK_TIMEDATED_MS

    def _hear(self) -> None:
        self._word = _ask_timedated()


def _ask_timedated() -> bool:
    """Whether the kernel tells it that something disciplines the wall clock."""
    with suppress(OSError, subprocess.TimeoutExpired):
        asked = ["busctl", "--system", "get-property", *_TIMEDATED]
        return subprocess.run(asked, capture_output=True, timeout=_TIMEDATED_S, check=False).stdout == b"b true\n"
    return False


def _boot_id() -> str:
    """As the kernel writes it, whoever says it, or a change of the unit would pass for a reboot. Raises OSError."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        try:
            return str(uuid.UUID(os.environ.get(BOOT_ID_GIVEN, "")))  # systemd's has no hyphens
        except ValueError:
            pass
        raise


def monotonic_us() -> int:
    """What systemd wants to be told of a reload (sd_notify(3), MONOTONIC_USEC)."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000


def _synchronised() -> bool | None:
    """Whether something disciplines the wall clock; None where we may not ask."""
    return os.path.exists(_TIMESYNC_FLAG) or _kernel_synchronised()  # a fifth of what Path.exists costs


def _kernel_synchronised() -> bool | None:
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    state = _libc.adjtimex(buffer)
    if state == -1:  # a question is refused for nothing else than the locks of the unit
        return None
    max_error = int.from_bytes(buffer.raw[_TIMEX_MAXERROR : _TIMEX_MAXERROR + 8], "little", signed=True)
    status = int.from_bytes(buffer.raw[_TIMEX_STATUS : _TIMEX_STATUS + 4], "little")
    return state != _TIME_ERROR and not status & _STA_UNSYNC and max_error < _MAX_ERROR_US


class Timeline:
    """The site timeline: boottime plus an offset fixed at start, and never backwards."""

    def __init__(self, clock: Clock, origin: Instant, stamp: Stamp) -> None:
        """``origin`` is the instant that belongs to ``stamp``."""
        self.clock = clock
        self._shift = origin - stamp.boottime_ms
        self._last = origin

    def now(self) -> Instant:
        """This moment on the site timeline; never less than the answer before."""
        self._last = max(self._last, Instant(self.clock.boottime_ms() + self._shift))
        return self._last

    def offset_ms(self, stamp: Stamp) -> int:
        """What to add to an instant to get ``stamp``'s wall time."""
        return stamp.wall_ms - (stamp.boottime_ms + self._shift)


def resume(last: tuple[Instant, Stamp] | None, now: Stamp) -> tuple[Instant, int | None]:
    """Where the timeline goes on, and how long nobody listened (None: unknown).

    Within a boot by CLOCK_BOOTTIME; after a reboot by the wall, but only if it was trusted on both sides, and for
    ``BELIEVED_MS`` at most.
    """
    if last is None:
        return Instant(0), None
    instant, then = last
    if then.boot_id == now.boot_id:
        downtime = max(0, now.boottime_ms - then.boottime_ms)
    elif then.clock is ClockQuality.SYNCED and now.clock is ClockQuality.SYNCED:
        downtime = max(0, now.wall_ms - then.wall_ms)
        if downtime > BELIEVED_MS:
            return instant, None
    else:
        return instant, None
    return Instant(instant + downtime), downtime
