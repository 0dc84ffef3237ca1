"""What is told from memory while the disk refuses: one round of it is on its way to the disk (in *flight*), what came since waits.

Pure bookkeeping; when a round begins, and what its end means for anybody else, is the business of ``store.py``.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.store.holding import Held
from gateway.store.rows import Batch, Message, Part

RETRY_S = (1.0, 2.0, 4.0, 5.0)
"""Pauses between attempts in memory mode; the last one repeats, and so long a disk that is well again goes unnoticed at most."""


class Memory:
    """Of one store."""

    def __init__(self) -> None:
        self._flight, self._waiting = Held(), Held()
        self._refusals = 0

    def __bool__(self) -> bool:
        return bool(self._waiting or self._flight)

    @property
    def rounds(self) -> tuple[Held, Held]:
        """What is in flight, and what waits."""
        return self._flight, self._waiting

    @property
    def waits(self) -> bool:
        """Whether anything is for the next round."""
        return bool(self._waiting)

    def told(self) -> tuple[Message, ...]:
        """Every message that is told from here."""
        return (*self._flight.told(), *self._waiting.told())

    def messages(self, lane: str) -> dict[int, Message]:
        """Those of one lane, by sequence."""
        return self._flight.messages(lane) | self._waiting.messages(lane)

    @property
    def dropped(self) -> dict[str, int]:
        """What found no place, by kind."""
        return {
            kind: sum(getattr(held, f"dropped_{kind}") for held in self.rounds)
            for kind in ("journal", "history", "messages")
        }

    def hold(self, parts: Iterable[Part]) -> None:
        """These wait for the next round."""
        _add(self._waiting, parts)

    # Rounds ------------------------------------------------------------------------------------------------------

    def stall(self, parts: Iterable[Part]) -> None:
        """These are with a disk that does not answer: perhaps they land."""
        _add(self._flight, parts)

    def end_stall(self, *, landed: bool) -> None:
        """The disk answered. What it took is on it, with messages in words that nobody was told."""
        stalled = self._flight
        if landed:
            stalled = Held()
            stalled.keep_counts(self._flight)
            stalled.retell(self._flight.told())
        stalled.merge(self._waiting)
        self._flight, self._waiting = Held(), stalled

    def take_off(self) -> Batch:
        """All that waits, as one round."""
        self._flight, self._waiting = self._waiting, Held()
        return self._flight.batch()

    def land(self) -> list[Message]:
        """The disk took the round; its messages, in order."""
        landed = sorted(self._flight.told(), key=lambda message: (message.lane, message.sequence))
        self._waiting.keep_counts(self._flight)
        self._flight = Held()
        return landed

    def turn_back(self) -> float:
        """The disk refused the round; answers for how long it is let alone."""
        self._flight.merge(self._waiting)
        self._flight, self._waiting = Held(), self._flight
        pause = RETRY_S[min(self._refusals, len(RETRY_S) - 1)]
        self._refusals += 1
        return pause

    def rest(self) -> None:
        """The disk is well again."""
        self._refusals = 0


def _add(held: Held, parts: Iterable[Part]) -> None:
    for part in parts:
        held.add(part, [message.message(durable=False) for message in part.messages])
