"""What was set aside, and whose turn it is to be tried again. Pure.

Theory. Which of them the broker truly does not take nobody knows: a bad line may have had one condemned that it would take. So who was
tried least often is the first of its lane, then the older. One that was condemned in this life is tried once without a rest;
each further try is the broker's to allow (``tolerance.py``).
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from gateway.alerts import Priority

LANES = tuple(lane.value for lane in Priority)
"""In order of departure."""


class Latecomer(Struct):
    """A message that was set aside."""

    lane: str
    sequence: int
    size: int = 0
    """Of the packet; 0: not known, it was set aside by a life before."""
    tries: int = 1

    @property
    def turn(self) -> tuple[int, int]:
        return self.tries, self.sequence


class Latecomers:
    """Those of one uplink."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, int], Latecomer] = {}
        self._first: dict[str, Latecomer | None] = {}
        """As it was found last, by lane."""

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, place: tuple[str, int]) -> bool:
        return place in self._all

    def add(self, lane: str, sequence: int, size: int = 0, tries: int = 1) -> None:
        """One that is known already stays as it is known."""
        self._all.setdefault((lane, sequence), Latecomer(lane, sequence, size, tries))
        self._first.clear()

    def drop(self, lane: str, sequence: int) -> None:
        """It has come, or will not."""
        self._all.pop((lane, sequence), None)
        self._first.clear()

    def tried(self, lane: str, sequence: int) -> None:
        """It has its turn."""
        if (one := self._all.get((lane, sequence))) is not None:
            one.tries += 1
            self._first.clear()

    def measured(self, one: Latecomer, size: int) -> None:
        """It makes a packet so large."""
        one.size = size
        self._first.clear()

    def look_again(self) -> None:
        """The broker may bear other sizes now."""
        self._first.clear()

    def first(self, lane: str, bears: Callable[[int], bool]) -> Latecomer | None:
        """Whose turn it is in a lane, of those that the broker bears. Asked before each departure, so it is found once."""
        if lane not in self._first:
            borne = (one for one in self._all.values() if one.lane == lane and bears(one.size))
            self._first[lane] = min(borne, key=lambda one: one.turn, default=None)
        return self._first[lane]
