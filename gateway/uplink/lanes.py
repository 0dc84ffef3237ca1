"""The alerts that wait in the outbox, lane by lane: read as they are needed, what the broker does not take set aside, cursors moved.

Here is which one is the next of its lane, and how far each lane has safely arrived; which lane has its turn, and whether there is room, is
in ``departures.py``.

Theory. Within a lane the cursor moves only to where everything read so far has its PUBACK, so after a broken connection the lane starts
again at the first message of which the broker may not know; what it does know arrives twice, with the same bytes. What is news is decided
by number, not by order: an outbox on a sick disk may show a message only after its successor.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Sequence

import structlog

from gateway.alerts import Priority
from gateway.faults import StoreFault
from gateway.uplink.doubts import Doubts
from gateway.uplink.lane import Lane
from gateway.uplink.latecomers import LANES
from gateway.uplink.outbox import Message, Outbox
from gateway.uplink.parcel import Parcel
from gateway.uplink.retrial import Retrial
from gateway.uplink.tolerance import Tolerance

log = structlog.get_logger()

URGENT_S = 10.0
"""As long as an alarm may take in all (GB 26875.1-2011); a line that breaks often needs several sessions to take one alert."""
_NOBODY = (sys.maxsize, True)  # the turn of a lane in which nothing waits


class Lanes:
    """Of one uplink."""

    def __init__(
        self,
        uplink: str,
        outbox: Outbox,
        retrial: Retrial,
        alert: Callable[[Message], Parcel],
        wake: Callable[[], None],
        counts: Counter[str],
    ) -> None:
        """``alert`` makes a parcel of a message; ``wake`` is called when another one may be the next."""
        self._uplink, self._outbox, self._retrial = uplink, outbox, retrial
        self._alert, self._wake, self._counts = alert, wake, counts
        self._tolerance = Tolerance()
        self._lanes = {lane: Lane() for lane in LANES}
        self._newest: dict[str, int] = {}
        """By lane: up to where it was ever read."""
        self._urgent_until = 0.0
        self.had: set[int] = set()
        """Critical alerts that have arrived, in whatever session, and that the cursor has not passed."""
        self._refused: list[Parcel] = []

    def begin(self, tolerance: Tolerance) -> None:
        """A session with a broker of which this is known: each lane is read anew from its cursor."""
        self._tolerance = tolerance
        self._lanes = {lane: Lane() for lane in LANES}
        self._refused = []

    def look(self) -> None:
        """The outbox may hold more."""
        for lane in self._lanes.values():
            lane.dry = False

    def __getitem__(self, name: str) -> Lane:
        return self._lanes[name]

    @property
    def settled(self) -> bool:
        """Whether nothing waits, or is on its way."""
        return not self._refused and all(
            lane.dry and not lane.ready and not lane.under_way for lane in self._lanes.values()
        )

    @property
    def ready(self) -> list[Message]:
        """What was read and has not left."""
        return [one for lane in self._lanes.values() for one in lane.ready]

    async def urgent(self) -> None:
        """Between two sessions: until the outbox has a critical alert that none of them had, or had one only ``URGENT_S`` ago."""
        news = asyncio.Event()
        unfollow = self._outbox.follow(news.set)
        try:
            while (
                not await self._read(Priority.CRITICAL, self._lanes[Priority.CRITICAL]) and _now() >= self._urgent_until
            ):
                await news.wait()
                news.clear()
        finally:
            unfollow()

    async def news(self) -> Parcel | None:
        """The first critical alert that waits, has not arrived, and was on its way when no session broke."""
        lane = self._lanes[Priority.CRITICAL]
        if not lane.dry:
            await self._read(Priority.CRITICAL, lane)
        waiting = (self._alert(one) for one in lane.ready if one.sequence not in self.had)
        return next((one for one in waiting if not self._tolerance.is_suspect(one)), None)

    async def at_head(self, chosen: Parcel) -> Parcel | None:
        """The same as the first of its lane, unless it may not leave at all."""
        ready = self._lanes[chosen.lane].ready
        message = next(one for one in ready if one.sequence == chosen.sequence)
        ready.remove(message)
        ready.appendleft(message)
        parcel = await self.first_of(chosen.lane)
        if parcel is None or parcel.key == chosen.key:
            return parcel
        self._wake()  # it was set aside: there may be another one
        return None

    async def in_order(self, doubts: Doubts) -> Sequence[str]:
        """The lanes where an alert stands accused, or in ``doubts``: those first whose next one is to show whether the broker takes any."""
        turns = dict.fromkeys(LANES, _NOBODY)
        for name in LANES:
            await self.first_of(name)
            ready = self._lanes[name].ready
            if ready:
                least = min(ready, key=self._turn)
                ready.remove(least)
                ready.appendleft(least)
                turns[name] = self._turn(least)
        waiting = self.ready
        if len(waiting) == 1 and not doubts and self._tolerance.is_accused(alone := self._alert(waiting[0])):
            self._tolerance.stands_alone(alone)
        return sorted(LANES, key=lambda name: turns[name])

    def _turn(self, message: Message) -> tuple[int, bool]:
        return self._tolerance.turn(self._alert(message))

    async def first_of(self, name: str) -> Parcel | None:
        """The first message of a lane that may leave, and still stands there; those that the broker does not take are set aside."""
        lane = self._lanes[name]
        while lane.ready or not lane.dry:
            if not lane.ready:
                await self._read(name, lane)
                if not lane.ready:
                    return None  # who looked meanwhile has set ``wake``: where looks come faster than answers, others have their turn
            if self._retrial.knows(lane.ready[0]):
                lane.land(lane.ready.popleft().sequence)
                continue
            parcel = self._alert(lane.ready[0])
            if not (reason := self._reason_against(parcel)):
                return parcel
            lane.ready.popleft()
            await self._set_aside(parcel, reason)
        return None

    def is_called_away(self, name: str) -> bool:
        """A critical alert may have come while the outbox was asked for this lane: on a sick disk each question takes seconds."""
        return name != Priority.CRITICAL and not self._lanes[Priority.CRITICAL].dry

    async def _read(self, name: str, lane: Lane) -> bool:
        """Whether there is one newer than ever was read."""
        lane.dry = True  # before asking: a look() meanwhile must not be forgotten
        try:
            lane.put(await self._outbox.take(self._uplink, name, lane.ask()))
        except StoreFault as fault:  # the store says so loudly itself; we ask again at the next look
            log.warning("outbox_not_read", uplink=self._uplink, lane=name, fault=str(fault))
        known = self._newest.get(name, 0)
        self._newest[name] = max([known, *lane.answer])
        is_news = self._newest[name] > known
        if name == Priority.CRITICAL:
            passed = max(lane.answer, default=sys.maxsize)  # of what lies behind, the answer says nothing
            self.had -= {one for one in self.had if one < passed} - lane.answer
            self._urgent_until = _now() + URGENT_S if is_news else self._urgent_until
        return is_news

    def _reason_against(self, parcel: Parcel) -> str:
        if self._tolerance.too_large(parcel.kind, parcel.size, _now()):
            return "too_large"
        return "not_taken" if self._tolerance.is_guilty(parcel) else ""

    async def _set_aside(self, parcel: Parcel, reason: str) -> None:
        """Others pass it. The outbox keeps it, and that it was set aside."""
        self._tolerance.set_aside(parcel, too_large=reason == "too_large")
        await self._outbox.set_aside(self._uplink, parcel.lane, parcel.sequence)
        self._lanes[parcel.lane].land(parcel.sequence)
        self._counts[f"alert_{reason}"] += 1
        proven = reason == "too_large" and parcel.lane != Priority.CRITICAL
        self._retrial.add(parcel, tried=proven)
        where = {"uplink": self._uplink, "lane": parcel.lane, "sequence": parcel.sequence}
        log.warning("message_set_aside", **where, bytes=parcel.size, reason=reason)

    def leave(self, parcel: Parcel) -> None:
        """The first of its lane goes."""
        lane = self._lanes[parcel.lane]
        lane.under_way.add(lane.ready.popleft().sequence)

    def arrived(self, parcel: Parcel) -> None:
        """The broker has it."""
        self._lanes[parcel.lane].land(parcel.sequence)
        self.had |= {parcel.sequence} if parcel.lane == Priority.CRITICAL else set()

    def refused(self, parcel: Parcel) -> None:
        """The broker does not take it: it is set aside with the next ``save``."""
        self._tolerance.refused(parcel)
        self._refused.append(parcel)

    async def save(self) -> None:
        """Move the durable cursors to where the lanes have arrived, and past what was set aside."""
        while self._refused:
            await self._set_aside(self._refused.pop(0), "not_taken")
        await self._retrial.save()
        for name, lane in self._lanes.items():
            for sequence in lane.due():
                try:
                    await self._outbox.advance(self._uplink, name, sequence)
                except StoreFault as fault:
                    log.warning("cursor_not_saved", uplink=self._uplink, lane=name, fault=str(fault))
                    return
                lane.told(sequence)


def _now() -> float:
    return asyncio.get_running_loop().time()
