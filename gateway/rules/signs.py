"""Signs of life of a person under care, and leave of absence: what the core makes of passes, presses, readings and orders.

Not journalled: a sign is made anew from its event by every replay.
"""

from __future__ import annotations

from msgspec import Struct

from gateway.instant import Instant

SIGNS = ("pass", "press", "reading")


class Sign(Struct, frozen=True):
    """A person was there."""

    person: str
    by: str
    """One of ``SIGNS``."""
    at: Instant
    """When; a pass from a terminal's log happened before it was heard of."""


class Leave(Struct, frozen=True):
    """Whether a subject is away."""

    truth: bool | None = False
    """None: the clock cannot be trusted, so nobody knows whether the leave is over."""
    until: Instant | None = None
    ended: Instant | None = None
    """When the last leave ended: nothing was to be heard before."""


PRESENT = Leave()
