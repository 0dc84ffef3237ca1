"""Answers of one unit that may still be under way after their timeout, and what it may be asked meanwhile. Pure.

Theory. An RTU answer does not say which question it answers, so one that comes late is the value of whatever was asked since, if
that has an answer of the same form: another register's value, silently (facts/modbus 0.1). Two times keep that away:

* *Settle.* Until then the unit is not read at all. It covers what the profile allows, and at least ``SETTLE_S`` from the question
  on, so nearly every late answer is seen alone; it says how slow the unit is (``patience.py``), and nothing is owed any more.
* *Far.* Beyond that only the same question may be asked again, for whichever answer then comes first is of the same registers.
  Of the answers owed the oldest is taken to be paid, the others may come until ``FAR_S`` after the last question. Until all have
  come or that time is over, no other question is asked whose answer would look alike.

A write may leave at any time, for no answer to a read looks like its own; but it waits for the settling of a write before it.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from gateway.drivers.modbus.frames import READ_FUNCTION, Request

SETTLE_S = 1.1
"""The slowest answer of a unit that keeps to an ordinary timeout (facts/modbus 3: 1 s recommended); from the question on."""
MORE_S = 0.5
"""And at least so much after a longer wait: then it was learnt already how slow the unit is."""
MARGIN_S = 0.1
"""What a unit may take beyond its profile."""
FAR_S = 3.2
"""The slowest answer anybody may believe in at all."""
_READS = frozenset(READ_FUNCTION.values())


class Debt(Struct):
    """What is owed for one question."""

    request: Request
    asked: list[float]
    """When it was asked, once for each answer that may still come; oldest first."""
    again_at: float = 0.0
    over_at: float = 0.0

    @property
    def reads(self) -> bool:
        """Whether its answer could be a value."""
        return self.request.function in _READS

    def blocks(self, other: Request) -> bool:
        """Whether what is owed would be taken for the answer to this."""
        return self.request.resembles(other)


class Owing:
    """What one unit owes; times on the caller's clock, in seconds."""

    def __init__(self) -> None:
        self._debts: dict[bytes, Debt] = {}
        """By head: of answers that look alike only those to one question are owed at a time."""

    def __iter__(self) -> Iterator[Debt]:
        return iter(tuple(self._debts.values()))

    def __bool__(self) -> bool:
        return bool(self._debts)

    def free_at(self, request: Request | None, *, to_read: bool) -> float:
        """When this may be asked; None: when anything may."""
        free = max((debt.again_at for debt in self if to_read or not debt.reads), default=0.0)
        if request is None:
            return free
        return max(free, max((debt.over_at for debt in self if debt.blocks(request)), default=0.0))

    def forget(self, at: float) -> None:
        """What has not come by now never will."""
        self._debts = {head: debt for head, debt in self._debts.items() if debt.over_at > at}

    def missed(self, request: Request, asked_at: float, at: float, credible_s: float, travel_s: float) -> None:
        """No answer came in time. ``credible_s``: the slowest its profile allows; ``travel_s``: what wire and network take."""
        debt = self._debts.get(request.head)
        if debt is None or debt.request.frame != request.frame:
            debt = self._debts[request.head] = Debt(request, [])
        debt.asked.append(asked_at)
        debt.again_at = max(asked_at + travel_s + max(SETTLE_S, credible_s + MARGIN_S), at + MORE_S)
        debt.over_at = max(debt.again_at, asked_at + travel_s + FAR_S) if debt.reads else debt.again_at

    def answered(self, request: Request, asked_at: float, travel_s: float) -> None:
        """An answer came to this; where others were owed, one of them may still come."""
        debt = self._debts.get(request.head)
        if debt is not None and debt.request.frame == request.frame:
            debt.asked = [*debt.asked[1:], asked_at]
            debt.over_at = max(debt.over_at, asked_at + travel_s + FAR_S)

    def paid(self, debt: Debt) -> float:
        """One of the answers owed came late; gives when it was asked for."""
        asked_at = debt.asked.pop(0)
        if not debt.asked:
            del self._debts[debt.request.head]
        return asked_at
