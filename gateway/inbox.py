"""The door between the world and the core: what a driver holds in its hand to report an event.

A driver calls ``report(event)`` and goes on. The event is stamped and handled before ``report`` returns; whoever must know
that it is on disk (a terminal waits for its 200, a person for "done") awaits the ticket.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.actions import Action
from gateway.events import Event


class Ticket(Protocol):
    """What became of one reported event."""

    @property
    def actions(self) -> tuple[Action, ...]:
        """What the core answered; known at once."""
        ...

    def durable(self) -> Awaitable[bool]:
        """Waits until the event is committed. False: the disk refuses, it is held in memory only."""
        ...


Report = Callable[[Event], Ticket]
