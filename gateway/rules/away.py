"""Who is away, by whose word, until when.

Theory. A leave ends by the date on the wall, as people mean it. While the clock is not trusted, the timeline stands in for it
as long as no stretch of unknown length lies between; after that nobody knows whether the leave is over, and *unknown* is the
answer: neither a call for somebody who is on a journey, nor silence about somebody who has long been back. Only so much is
sure: the timeline may stand still while the wall goes on, and never the other way round; so what is over by the timeline, or
was over when the clock was last known, is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec
from msgspec import Struct

from gateway.instant import Anchor, Instant
from gateway.rules.ledger import Table
from gateway.rules.signs import PRESENT, Leave

AWAY = "away"
"""What a change of somebody's leave is called where watches are told of it."""


class Absence(Struct, frozen=True):
    """One person's last leave."""

    since: Instant
    until: Instant
    until_wall_ms: int | None
    """UTC; None where the clock was not trusted when it was said."""
    who: str


class Clock(Protocol):
    """What is known of true time."""

    def anchor_at(self, at: Instant) -> Anchor | None: ...

    def is_counted_from(self, at: Instant) -> bool: ...

    def least_offset_ms(self) -> int | None: ...


class AwayBook:
    """The leaves that were announced to the gateway; planned ones stand in the site file."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.rows: Table[Absence] = Table("away", Absence)

    def leave(self, person: str, at: Instant, length_ms: int, who: str) -> None:
        """Away from now on."""
        until = Instant(at + length_ms)
        self.rows.put(Absence(at, until, self._wall_ms(until, at), who), person)

    def back(self, person: str, at: Instant, who: str) -> None:
        """Here again, whatever was said."""
        self.rows.put(Absence(at, at, self._wall_ms(at, at), who), person)

    def date(self, at: Instant) -> None:
        """The clock is trusted now: leaves that were given a length get their date."""
        for key in self.rows:
            row = self.rows.get(*key)
            if row is not None and row.until_wall_ms is None and self._clock.is_counted_from(row.since):
                self.rows.put(msgspec.structs.replace(row, until_wall_ms=self._wall_ms(row.until, at)), *key)

    def forget_all_but(self, people: Iterable[str]) -> None:
        """Who is no more under care leaves no trace here."""
        kept = set(people)
        for key in self.rows:
            if key[0] not in kept:
                self.rows.drop(*key)

    def find(self, person: str, planned: tuple[tuple[int, int], ...], at: Instant) -> Leave:
        """Whether the person is away now; ``planned`` are (from, until) in ms since 1970 UTC."""
        announced = self.rows.get(person)
        found = [] if announced is None else [self._announced(announced, at)]
        found += [self._planned(start, end, at) for start, end in planned]
        if not found:
            return PRESENT
        truths = [leave.truth for leave in found]
        truth = True if True in truths else None if None in truths else False
        until = [leave.until for leave in found if leave.until is not None]
        ended = [leave.ended for leave in found if leave.ended is not None]
        return Leave(truth, min(until, default=None), max(ended, default=None))

    def _announced(self, row: Absence, at: Instant) -> Leave:
        anchor = self._clock.anchor_at(at)
        if anchor is not None and row.until_wall_ms is not None:
            until = Instant(row.until_wall_ms - anchor.offset_ms)
        elif self._clock.is_counted_from(row.since) or at >= row.until:
            until = row.until
        else:
            return Leave(None, row.until)
        return Leave(True, until) if at < until else Leave(False, None, until)

    def _planned(self, start_ms: int, end_ms: int, at: Instant) -> Leave:
        anchor = self._clock.anchor_at(at)
        if anchor is None:
            return self._surely_over(end_ms, at)
        start, end = Instant(start_ms - anchor.offset_ms), Instant(end_ms - anchor.offset_ms)
        if at < start:
            return Leave(False, start)
        return Leave(True, end) if at < end else Leave(False, None, end)

    def _surely_over(self, end_ms: int, at: Instant) -> Leave:
        """While the clock is not trusted: over, or nobody knows."""
        least = self._clock.least_offset_ms()
        if least is None:
            return Leave(None)
        end = Instant(end_ms - least)  # or earlier, on the timeline
        return Leave(None, end) if at < end else Leave(False, None, end)

    def _wall_ms(self, moment: Instant, at: Instant) -> int | None:
        anchor = self._clock.anchor_at(at)
        return None if anchor is None else anchor.wall_ms(moment)
