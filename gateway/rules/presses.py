"""What the core keeps of each button's presses, for the radio of the next life: the last one, and marks of those before.

Which frames are one press is the radio's business (``drivers/ble/tracker.py``); here it is only made durable, together with
the press itself.
"""

from __future__ import annotations

from msgspec import Struct

from gateway.events import Press
from gateway.instant import Instant

REMEMBERED = 32
"""Marks of one button, 16 digits each: half a kilobyte. Who is pressed daily has a month of recordings that raise nothing."""


class LastPress(Struct, frozen=True):
    """The last press of a button: what the radio's tracker must know again after a restart."""

    at: Instant
    press: Press
    earlier: tuple[str, ...] = ()
    """``Press.digest`` of encrypted presses before it, oldest first: heard again, they are recordings, and no news."""


def follow(last: LastPress | None, press: Press, at: Instant) -> LastPress:
    """What is kept once ``press`` has come after ``last``."""
    if last is None or not press.encrypted:
        return LastPress(at, press)
    # Two keys pressed at once are two presses out of one frame.
    marks = (*(mark for mark in last.earlier if mark != last.press.digest), last.press.digest)
    return LastPress(at, press, tuple(mark for mark in marks if mark and mark != press.digest)[-REMEMBERED:])
