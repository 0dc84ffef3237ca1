"""The only file that reads a clock.

``Clock`` is what the machine shows; ``Timeline`` turns it into the site timeline on which everything else runs.
Sources: clock_gettime(2) for CLOCK_BOOTTIME, proc(5) for the boot id, systemd.unit(5) for ``%b``, systemd-timesyncd.service(8) for
``/run/systemd/timesync/synchronized``, adjtimex(2) for the kernel's own opinion.
"""

from __future__ import annotations

import ctypes
import os
import time
import uuid
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

    def boottime_ms(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

    def stamp(self) -> Stamp:
        boottime_ms = self.boottime_ms()
        if boottime_ms - self._asked_ms >= _ASK_EVERY_MS:
            self._asked_ms = boottime_ms
            self._quality = ClockQuality.SYNCED if _synchronised() else ClockQuality.UNSYNCED
        return Stamp(self._boot_id, boottime_ms, time.time_ns() // 1_000_000, self._quality)


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


def _synchronised() -> bool:
    """Whether something disciplines the wall clock. Not allowed to ask (hardened unit) counts as no."""
    return os.path.exists(_TIMESYNC_FLAG) or _kernel_synchronised()  # a fifth of what Path.exists costs


def _kernel_synchronised() -> bool:
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    state = _libc.adjtimex(buffer)
    max_error = int.from_bytes(buffer.raw[_TIMEX_MAXERROR : _TIMEX_MAXERROR + 8], "little", signed=True)
    status = int.from_bytes(buffer.raw[_TIMEX_STATUS : _TIMEX_STATUS + 4], "little")
    return state not in {-1, _TIME_ERROR} and not status & _STA_UNSYNC and max_error < _MAX_ERROR_US


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
