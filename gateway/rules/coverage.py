"""Who was heard of without a break: the proof that silence means nothing happened.

Theory. "Nobody passed" may be said only of a time in which a pass would have been heard. Each *source* (a terminal, a meter,
a bus) has one row: since when it works without a break. A break is a lost or faulty source, serial numbers that are missing,
and a time nobody ran. A short one is forgiven: terminals keep what they could not hand over and hand it over afterwards,
and if they do not, the next serial number shows it (facts/face 1.1, 1.4).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from gateway.instant import MINUTE, Instant
from gateway.rules.ledger import Table

FORGIVEN_MS = 10 * MINUTE
"""A switch that restarts, an update of the gateway: two rounds of the terminal's log (facts/face 1.4, every 5 min)."""
_replace = msgspec.structs.replace


class Sight(Struct, frozen=True):
    """Since when one source works, and since when it does not."""

    since: Instant
    lost_at: Instant | None = None
    missing_at: Instant | None = None
    """Since when serial numbers are missing."""


class Coverage:
    """One row for each source that an absence rests on."""

    def __init__(self) -> None:
        self.rows: Table[Sight] = Table("sight", Sight)
        self._sources: frozenset[str] = frozenset()

    def rest_on(self, sources: Iterable[str]) -> None:
        """Which sources count; of others nothing is kept."""
        self._sources = frozenset(sources)

    def begin(self, at: Instant, lost: Iterable[str]) -> None:
        """The site was loaded: sources new to it are watched from now on, those of old sites forgotten."""
        down = set(lost)
        for key in self.rows:
            if key[0] not in self._sources:
                self.rows.drop(*key)
        for source in sorted(self._sources):
            if self.rows.get(source) is None:
                self.rows.put(Sight(at, at if source in down else None), source)

    def health(self, source: str, at: Instant, *, well: bool) -> None:
        """The source works, or does not."""
        sight = self.rows.get(source)
        if sight is None or well is (sight.lost_at is None):
            return
        if not well:
            self.rows.put(_replace(sight, lost_at=at), source)
        else:
            short = at - (sight.lost_at or at) <= FORGIVEN_MS
            self.rows.put(_replace(sight, lost_at=None, since=sight.since if short else at), source)

    def gap(self, source: str, at: Instant, *, missing: bool, recovered: bool) -> None:
        """A gap began or ended, and serial numbers are ``missing`` still, or no more. Not ``recovered``: what those of this gap stood
        for will never be known, whatever becomes of others.
        """
        sight = self.rows.get(source)
        if sight is None:
            return
        began = (sight.missing_at if sight.missing_at is not None else at) if missing else None
        self.rows.put(_replace(sight, missing_at=began, since=sight.since if recovered else at), source)

    def slept(self, at: Instant, downtime_ms: int | None) -> None:
        """Nobody ran for so long (None: nobody knows how long)."""
        if downtime_ms is not None and downtime_ms <= FORGIVEN_MS:
            return
        for key in self.rows:
            sight = self.rows.get(*key)
            if sight is not None:
                self.rows.put(_replace(sight, since=at), *key)

    def since(self, sources: Iterable[str]) -> Instant | None:
        """Since when all of them work without a break; None: one of them does not."""
        sights = [self.rows.get(source) for source in sources]
        if any(s is not None and (s.lost_at is not None or s.missing_at is not None) for s in sights):
            return None
        return max((s.since for s in sights if s is not None), default=Instant(0))

    def deaf(self, sources: Iterable[str], since: Instant) -> tuple[tuple[str, Instant], ...]:
        """Those that do not work, or did not at some time after ``since``: since when, or until when."""
        found = []
        for source in sources:
            sight = self.rows.get(source)
            if sight is None:
                continue
            broken = [moment for moment in (sight.lost_at, sight.missing_at) if moment is not None]
            if broken or sight.since > since:
                found.append((source, min(broken, default=sight.since)))
        return tuple(found)
