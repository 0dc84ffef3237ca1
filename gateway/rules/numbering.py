"""Names and numbers that are given once and never again: the ids of alerts, their revisions, the sequence of each lane.

Theory. A receiver drops what it has by the message's id, alert and revision, and knows by a lane's numbers that nothing is missing. So
what was given before must never be given anew, whatever was forgotten: where the store lost what it held, all goes on far behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from gateway.alerts import Priority, alert_id
from gateway.rules.ledger import Table

LEAP = 1_000
"""Revisions that an alert may have been told in and that are lost; a climb with all its repeats is some dozens."""
OCCASIONS_KEPT = 64
"""More alerts of one button than a person can close while a frame is worth playing back."""


class Lane(Struct, frozen=True):
    """The last sequence number given in a lane."""

    sequence: int


class Reached(Struct, frozen=True):
    """Revisions up to this one may have been told of alerts that we know nothing of."""

    losses: int = 0
    revision: int = 0


class Occasions(Struct, frozen=True):
    """The last alerts of a momentary rule about a subject, closed ones too."""

    ids: tuple[str, ...] = ()


class Numbering:
    """What was given so far, in one site."""

    def __init__(self, site: str) -> None:
        self._site = site
        self.lanes: Table[Lane] = Table("lane", Lane)
        self.occasions: Table[Occasions] = Table("occasion", Occasions)
        self.reached: Table[Reached] = Table("reached", Reached)

    @property
    def revision(self) -> int:
        """That of an alert of which nothing was told."""
        return self._reached.revision

    @property
    def _reached(self) -> Reached:
        return self.reached.get("revision") or Reached()

    def continue_lanes(self, sequences: Mapping[str, int], floor: int = 0) -> None:
        """Never give a number again that the outbox has given, even where our own memory of it was lost.

        ``floor``: nor one up to here, in any lane: even the outbox's memory was lost once.
        """
        for lane in dict.fromkeys((*sequences, *(priority.value for priority in Priority))):
            reached, last = max(sequences.get(lane, 0), floor), self.lanes.get(lane)
            if reached > (last.sequence if last else 0):
                self.lanes.put(Lane(reached), lane)

    def leap(self, losses: int, told: Iterable[int]) -> bool:
        """Go on behind every revision that may have been told, the known ones (``told``) among them; whether more was lost than before."""
        before = self._reached
        if losses <= before.losses:
            return False
        last = max([before.revision, *told])
        revision = max(last + (losses - before.losses) * LEAP, losses * LEAP)  # lives between may have left nothing
        self.reached.put(Reached(losses, revision), "revision")
        return True

    def next(self, lane: Priority) -> int:
        """The next number of a lane."""
        last = self.lanes.get(lane.value)
        sequence = last.sequence + 1 if last else 1
        self.lanes.put(Lane(sequence), lane.value)
        return sequence

    def identity(self, rule: str, subject: str, occasion: str, *, momentary: bool = False) -> str:
        """The id of a new alert. A natural key may come a second time after its alert was closed (a recorded frame is
        played back, a counter runs round): that is another occasion, and must not begin again at revision 1 of the old id.
        """
        known = self.occasions.get(rule, subject) or Occasions()
        identity, n = alert_id(self._site, rule, subject, occasion), 1
        while identity in known.ids:
            n += 1
            identity = alert_id(self._site, rule, subject, f"{occasion}~{n}")
        if momentary:
            self.occasions.put(Occasions((*known.ids, identity)[-OCCASIONS_KEPT:]), rule, subject)
        return identity
