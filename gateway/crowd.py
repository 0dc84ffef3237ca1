"""Who may stay at a door that many call at: of those who have said nothing whole yet. Pure.

Theory. A connection costs a stranger nothing, so a fixed number of places is a door that anybody can shut. But who has business
there says so within a moment, and who only crowds it says nothing: so where there is no room, whoever has said nothing for
longest goes, of the address that has most such. And of the places some are kept for the addresses that the site file names.
Who is told to go hangs up in a later turn of the loop, and hundreds may call in one: so he is off the books at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, NamedTuple, TypeVar

One = TypeVar("One", bound=Hashable)


class _Whence(NamedTuple):
    """Where somebody calls from, and whether the site file names that."""

    address: str
    named: bool


class Crowd(Generic[One]):
    """The connections of one door."""

    def __init__(self, most: int, of_one: int, kept: int = 0, named: Callable[[str], bool] = lambda _: False) -> None:
        """``most`` in all, ``of_one`` from an address; the last ``kept`` places are for addresses that are ``named``."""
        self._most, self._of_one, self._kept, self._named = most, of_one, kept, named
        self._here: dict[One, _Whence] = {}
        self._idle: dict[One, _Whence] = {}
        """Who has said nothing whole yet; who waits longest first."""

    def __len__(self) -> int:
        return len(self._here)

    def __iter__(self) -> Iterator[One]:
        return iter(tuple(self._here))

    def enter(self, one: One, address: str) -> One | None:
        """Somebody calls. Gives who must go for him, himself where nobody can be sent away; None where there is room.

        Whoever must go is counted no more.
        """
        whence = _Whence(address, self._named(address))
        rivals = self._rivals(whence)
        goes = self._longest_idle(rivals) if rivals else None
        if rivals and goes is None:
            return one
        if goes is not None:
            self.leave(goes)
        self._here[one] = self._idle[one] = whence
        return goes

    def seated(self, one: One) -> None:
        """He has business here: nobody sends him away any more."""
        self._idle.pop(one, None)

    def leave(self, one: One) -> None:
        """He has gone."""
        self._here.pop(one, None)
        self._idle.pop(one, None)

    def _rivals(self, new: _Whence) -> Callable[[_Whence], bool] | None:
        """Whose places are asked for; None: there is a free one."""
        if sum(other.address == new.address for other in self._here.values()) >= self._of_one:
            return lambda other: other.address == new.address
        if new.named:
            return None if len(self._here) < self._most else lambda _: True
        strangers = sum(not other.named for other in self._here.values())
        full = len(self._here) >= self._most or strangers >= self._most - self._kept
        return (lambda other: not other.named) if full else None

    def _longest_idle(self, rivals: Callable[[_Whence], bool]) -> One | None:
        idle = {one: whence for one, whence in self._idle.items() if rivals(whence)}
        strangers = {one: whence.address for one, whence in idle.items() if not whence.named}
        addresses = strangers or {one: whence.address for one, whence in idle.items()}
        of = Counter(addresses.values())
        return max(addresses, key=lambda one: of[addresses[one]], default=None)
