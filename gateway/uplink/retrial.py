"""What was set aside gets its second tries: one at a time, alone, and when nothing waits in its lane or above.

Whose turn it is is said in ``latecomers.py``, and when a broker is given one again in ``tolerance.py``. Here that one is looked up
in the outbox, beside the loop of sending: an alert must not wait for a disk that hangs, for the sake of one that was passed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import structlog

from gateway.faults import StoreFault
from gateway.uplink.latecomers import LANES, Latecomer, Latecomers
from gateway.uplink.outbox import Message, Outbox
from gateway.uplink.parcel import Kind, Parcel
from gateway.uplink.tolerance import FIRST_REST_S, Tolerance

log = structlog.get_logger()


class Retrial:
    """Of one uplink."""

    def __init__(
        self,
        uplink: str,
        outbox: Outbox,
        parcel: Callable[[Message], Parcel],
        news: Callable[[], None],
        counts: Counter[str],
    ) -> None:
        """``parcel`` makes one of a message; ``news`` is called when there may be one to try."""
        self._uplink, self._outbox, self._parcel = uplink, outbox, parcel
        self._news, self._counts = news, counts
        self._tolerance = Tolerance()
        self._all, self._is_read = Latecomers(), False
        self._found: Parcel | None = None
        """The one whose turn it is, as the outbox has it."""
        self._looking_up: asyncio.Task[None] | None = None
        self._look_up_at = 0.0
        self._is_trying = False
        self._had: list[tuple[str, int]] = []
        """Lane and sequence of what has arrived, and the outbox was not told of."""

    def __len__(self) -> int:
        return len(self._all)

    def knows(self, message: Message) -> bool:
        """Whether it was set aside: where a session broke before the cursor passed it, the outbox gives it once more."""
        return bool(self._all) and (message.lane, message.sequence) in self._all

    def begin(self, tolerance: Tolerance) -> None:
        """A session with a broker of which this is known."""
        self._tolerance, self._is_trying = tolerance, False
        self._all.look_again()

    def end(self) -> None:
        """Nothing is looked up any more."""
        if self._looking_up is not None:
            self._looking_up.cancel()
            self._looking_up = None

    def add(self, parcel: Parcel, *, tried: bool) -> None:
        """It was set aside; one that was not ``tried`` for its own sake is tried once without a rest."""
        self._all.add(parcel.lane, parcel.sequence, parcel.size, tries=int(tried))

    def turn(self, lane: str) -> Parcel | None:
        """The one of this lane that is to be tried now, if it is at hand."""
        if self._is_trying or (self._is_read and not self._all):
            return None
        first = self._first(lane)
        if self._is_read and first is None:
            return None
        if first is not None and self._found is not None and self._found.key == (Kind.ALERT, lane, first.sequence):
            return self._found
        self._look_up()
        return None

    def leave(self, parcel: Parcel) -> None:
        """It has its turn."""
        self._found, self._is_trying = None, True
        self._all.tried(parcel.lane, parcel.sequence)

    def arrived(self, parcel: Parcel) -> None:
        """The broker has it at last."""
        self._is_trying = False
        self._all.drop(parcel.lane, parcel.sequence)
        self._had.append((parcel.lane, parcel.sequence))

    def refused(self, parcel: Parcel) -> None:
        """The broker says again that it does not take it."""
        self._is_trying = False
        self._tolerance.refused_again(parcel.lane, _now())

    async def save(self) -> None:
        """Tell the outbox what has arrived."""
        while self._had:
            await self._outbox.settle(self._uplink, *self._had.pop())

    def _first(self, lane: str) -> Latecomer | None:
        first = self._all.first(lane, self._tolerance.bears)
        ready = first is not None and (not first.tries or self._tolerance.is_rested(lane, _now()))
        return first if ready else None

    def _look_up(self) -> None:
        if self._looking_up is not None and self._looking_up.done():
            self._looking_up.result()
            self._looking_up = None
        if self._looking_up is None and _now() >= self._look_up_at:
            self._looking_up = asyncio.create_task(self._find())

    async def _find(self) -> None:
        try:
            if not self._is_read:
                for place in await self._outbox.aside(self._uplink):
                    self._all.add(*place)
                self._is_read = True
            first = next(filter(None, map(self._first, LANES)), None)
            if first is not None:
                self._found = self._as_found(first, await self._outbox.find(first.lane, first.sequence))
        except StoreFault:  # the store says so loudly itself
            self._look_up_at = _now() + FIRST_REST_S
        self._news()

    def _as_found(self, first: Latecomer, message: Message | None) -> Parcel | None:
        if message is None:
            # Only here: its row stays, and the next life looks for it again.
            self._all.drop(first.lane, first.sequence)
            self._counts["alert_gone"] += 1
            log.error("message_gone", uplink=self._uplink, lane=first.lane, sequence=first.sequence)
            return None
        parcel = self._parcel(message)
        self._all.measured(first, parcel.size)
        return parcel if self._tolerance.bears(parcel.size) else None


def _now() -> float:
    return asyncio.get_running_loop().time()
