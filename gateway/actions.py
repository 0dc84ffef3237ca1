"""What is to be done: the only things that leave the core.

An action names a deed; how, when and whether it worked is the edge's business and comes back as an event.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from gateway.alerts import Change, Priority


class OutputState(StrEnum):
    """What an output should be. ``LEAVE`` asks for nothing: a valve once shut is opened by a person, never by us."""

    ON = "on"
    OFF = "off"
    SHUT = "shut"
    LEAVE = "leave"


class Publish(Struct, frozen=True):
    """Tell every uplink of a change; ``sequence`` is gapless per lane."""

    lane: Priority
    sequence: int
    change: Change


class Note(Struct, frozen=True):
    """Keep a change in the alert's history without telling anyone."""

    change: Change


class Want(Struct, frozen=True):
    """The desired state of an output, and the alerts that ask for it."""

    output: str
    state: OutputState
    causes: tuple[str, ...]


class Reread(Struct, frozen=True):
    """Ask a device for one point again, at once: one reading alone does not shut a valve."""

    device: str
    point: str


class Reenrol(Struct, frozen=True):
    """Forget a button's counter: its battery was changed, said a person."""

    button: str


class OpenPairing(Struct, frozen=True):
    """Let a door learn its terminal for so long, said a person."""

    door: str
    for_ms: int


class Reply(Struct, frozen=True):
    """The answer to a command; the same for every repeat of its ``command_id``."""

    command_id: str
    principal: str
    accepted: bool
    reason: str
    """A ``gateway.rules.commands.Verdict``."""
    alert: str | None = None


Action = Publish | Note | Want | Reread | Reenrol | OpenPairing | Reply
