"""What a watch remembers of the past, as one small row: enough to decide again after a restart, and no more.

Bounds: a count keeps as many occurrences as it asks for, an absence two, a sequence one for each step, a trail of values two
for each sixtieth of its window.
"""

from __future__ import annotations

from msgspec import Struct

from gateway.instant import Instant

Trail = tuple[tuple[Instant, float], ...]
"""When a value began to be what; oldest first."""


class Occurrence(Struct, frozen=True, array_like=True):
    """Something that happened once."""

    at: Instant
    of: str = ""
    """The subject it happened to."""
    step: int = 0
    """Which part of the condition it belongs to."""
    heard: int = 0
    """Time spent listening by then, in ms."""


class Memory(Struct, frozen=True, omit_defaults=True):
    """What one condition with a past remembers of one subject or group."""

    begun: Occurrence = Occurrence(Instant(0))
    """When it was first looked at: before that nothing is known."""
    held: tuple[str, ...] = ()
    """``step/subject`` of each part that held when last looked at, so that only its coming counts as an occurrence."""
    unsure: bool = False
    """When last looked at, nobody could say whether the part holds."""
    sure_from: Instant = Instant(0)
    """Since when that is known without a break."""
    past: tuple[Occurrence, ...] = ()
    trail: dict[str, Trail] = {}


class Memories(Struct, frozen=True):
    """The memories of one watch, one for each condition with a past in its rule."""

    shape: str
    """Fingerprint of those conditions: the memory of another question is no answer to this one."""
    slots: tuple[Memory, ...]
