"""Who may stay at a door that many call at: of those who have said nothing whole yet. Pure.

Theory. A connection costs a stranger nothing, so a fixed number of places is a door that anybody can shut. But who has business
there says so within a moment, and who only crowds it says nothing: so where there is no room, whoever has said nothing for
longest goes, of the address that has most such. And of the places some are kept for the addresses that the site file names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

One = TypeVar("One", bound=Hashable)


class Crowd(Generic[One]):
    """The connections of one door."""

    def __init__(self, most: int, of_one: int, kept: int = 0, named: Callable[[str], bool] = lambda _: False) -> None:
        """``most`` in all, ``of_one`` from an address; the last ``kept`` places are for addresses that are ``named``."""
        self._most, self._of_one, self._kept, self._named = most, of_one, kept, named
        self._here: dict[One, str] = {}
        self._idle: dict[One, str] = {}
        """Who has said nothing whole yet, and whence he calls; who waits longest first."""

    def __len__(self) -> int:
        return len(self._here)

    def __iter__(self) -> Iterator[One]:
        return iter(tuple(self._here))

    def enter(self, one: One, address: str) -> One | None:
        """Somebody calls. Gives who must go for him, himself where nobody can be sent away; None where there is room."""
        self._here[one] = self._idle[one] = address
        rivals = self._rivals(address)
        if rivals is None:
            return None
        goes = self._longest_idle(one, rivals)
        return one if goes is None else goes

    def seated(self, one: One) -> None:
        """He has business here: nobody sends him away any more."""
        self._idle.pop(one, None)

    def leave(self, one: One) -> None:
        """He has gone."""
        self._here.pop(one, None)
        self._idle.pop(one, None)

    def _rivals(self, address: str) -> Callable[[str], bool] | None:
        """Whose places are asked for; None: there is a free one."""
        if sum(other == address for other in self._here.values()) > self._of_one:
            return lambda other: other == address
        if self._named(address):
            return None if len(self._here) <= self._most else lambda _: True
        strangers = sum(not self._named(other) for other in self._here.values())
        full = len(self._here) > self._most or strangers > self._most - self._kept
        return (lambda other: not self._named(other)) if full else None

    def _longest_idle(self, newcomer: One, rivals: Callable[[str], bool]) -> One | None:
        idle = {one: address for one, address in self._idle.items() if one is not newcomer and rivals(address)}
        of = Counter(address for address in idle.values())
        return max(idle, key=lambda one: (not self._named(idle[one]), of[idle[one]]), default=None)
