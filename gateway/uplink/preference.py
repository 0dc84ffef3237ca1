"""At which of its broker's addresses an uplink should be. Pure.

Only the order lives here: which address is tried next, when a pause is due, when to go back to the first. Nothing connects.

Theory. The addresses stand for each other, the first is preferred. A failed one gives way to the next at once, and only when
all of them failed in a row is it time to pause. The way back must not flap: the first address has to answer several times in
a row before it is believed, and each time it lets us down soon after we came back, twice as often.
"""

from __future__ import annotations

from gateway.site.model import Broker

ANSWERS_NEEDED = 3
"""Answers in a row, one each ``PROBE_S``: a broker that restarts again and again never gives them."""
MOST_NEEDED = 32
"""About ten minutes: the preferred broker must not be given up for good."""


class Preference:
    """One uplink's place among its addresses."""

    def __init__(self, brokers: tuple[Broker, ...], needed: int = ANSWERS_NEEDED) -> None:
        """``needed``: how many answers in a row make the first address trusted again."""
        self._brokers, self._first_needed, self._needed = brokers, needed, needed
        self._at = self._failed = self._answers = 0
        self._returned = False

    @property
    def current(self) -> Broker:
        """Where to connect now."""
        return self._brokers[self._at]

    @property
    def preferred(self) -> Broker:
        """The first address."""
        return self._brokers[0]

    @property
    def at_home(self) -> bool:
        """Whether the current address is the preferred one."""
        return self._at == 0

    @property
    def has_others(self) -> bool:
        """Whether there is another address to go to."""
        return len(self._brokers) > 1

    def failed(self) -> bool:
        """The current address did not serve: try the next. True when all have failed in a row, and a pause is due."""
        if self.at_home and self._returned:
            self._needed = min(self._needed * 2, MOST_NEEDED)
        self._returned, self._answers = False, 0
        self._at = (self._at + 1) % len(self._brokers)
        self._failed += 1
        return self._failed % len(self._brokers) == 0

    def served(self) -> None:
        """The current address has served for a good while."""
        self._failed = 0
        if self.at_home:
            self._returned, self._needed = False, self._first_needed

    def probed(self, *, well: bool) -> bool:
        """The preferred address was asked; True when it has earned its place back."""
        self._answers = self._answers + 1 if well else 0
        return self._answers >= self._needed

    def go_home(self) -> None:
        """Back to the preferred address."""
        self._at = self._failed = self._answers = 0
        self._returned = True
