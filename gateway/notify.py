"""What systemd is told: sd_notify(3) over its datagram socket, without a library.

Here live the sentences' transport and the watchdog's interval; whether the daemon is well is decided in ``supervise.py``.
"""

from __future__ import annotations

import os
import socket

READY = "READY=1"
RELOADING = "RELOADING=1"
STOPPING = "STOPPING=1"
WATCHDOG = "WATCHDOG=1"
_PATIENCE_S = 0.2  # READY must not get lost in a full queue, nor the loop stand still for long


def status(text: str) -> str:
    """The line ``systemctl status`` shows."""
    return f"STATUS={text}"


def watchdog_grants(seconds: float) -> str:
    """How long from now on silence is borne, instead of the unit's ``WatchdogSec``."""
    return f"WATCHDOG_USEC={int(seconds * 1_000_000)}"


def notify(*lines: str) -> bool:
    """Tells systemd, in one datagram. False: nobody listens, or it is too busy to; never raises."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):  # unix(7): abstract names begin with a zero byte
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.settimeout(_PATIENCE_S)
            out.connect(address)
            out.sendall("\n".join(lines).encode())
    except OSError:
        return False
    return True


def watchdog_interval_s() -> float | None:
    """How often to feed the watchdog: half of what the unit grants; None: it has none."""
    granted_s = watchdog_granted_s()
    return None if granted_s is None else granted_s / 2


def watchdog_granted_s() -> float | None:
    """How long the unit bears silence (sd_watchdog_enabled(3)); None: it has no watchdog."""
    granted_us = os.environ.get("WATCHDOG_USEC", "")
    meant_for = os.environ.get("WATCHDOG_PID", "")
    if not granted_us.isdecimal() or int(granted_us) == 0 or meant_for not in {"", str(os.getpid())}:
        return None
    return int(granted_us) / 1_000_000
