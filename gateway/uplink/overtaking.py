"""Which critical alert goes before what is on its way or was to go first: one that is new, where the broker is silent.

How long a broker has been silent, and how many may pass it for that, is in ``silence.py``; what waits, in ``lanes.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable

from gateway.alerts import Priority
from gateway.uplink.lanes import Lanes
from gateway.uplink.outbox import Message
from gateway.uplink.parcel import Kind, Parcel
from gateway.uplink.silence import FEW, Silence
from gateway.uplink.tolerance import Tolerance


class Overtaking:
    """Of one uplink."""

    def __init__(self, lanes: Lanes, alert: Callable[[Message], Parcel], wake: Callable[[], None]) -> None:
        """``alert`` makes a parcel of a message; ``wake`` is called when a silence has lasted so long that another one may pass."""
        self._lanes, self._alert = lanes, alert
        self._tolerance = Tolerance()
        self.silence = Silence(wake)
        self.gives_up = False
        """The broker keeps silent, takes few at once and no more, and a critical alert waits that is new."""
        self._hurries = False
        """The last session was given up for such: they go first."""
        self._awaited: Parcel | None = None
        """It left when nothing else was on its way, or alone."""
        self._forsaken: set[Hashable] = set()
        """Those for which a session was given up, until they are answered."""
        self.passer: Parcel | None = None
        """The last that passed it, of those that must travel alone, too."""

    def begin(self, tolerance: Tolerance) -> None:
        """A session with a broker of which this is known."""
        self._tolerance, self.gives_up, self.passer = tolerance, False, None
        self.silence.begin()

    def lost(self) -> None:
        """The session is over."""
        self._hurries = self.gives_up

    def wait_for(self, parcel: Parcel) -> None:
        """It leaves when nothing else is on its way, or alone."""
        self.silence.restart()
        self._awaited = parcel

    def arrived(self, parcel: Parcel, left_at: float | None, under_way: Collection[Parcel]) -> None:
        """The broker has this one, which left then (None: nobody knows); these are still on their way."""
        if left_at is not None:
            self.silence.answered(left_at, still_waiting=self._awaited in under_way, alert=parcel.kind is Kind.ALERT)
        if parcel.key in self._forsaken:
            self._forsaken.discard(parcel.key)
            self.silence.was_slow()

    async def past_silence(self, under_way: Collection[Parcel], window: int) -> Parcel | None:
        """A critical alert that is new, where the broker is silent to what travels alone or fills the window. Where it takes few at once,
        and no more, the session is given up, and the next one begins with that alert; silent to many it is dead, or the line.
        """
        so_many = len(under_way)
        is_full = so_many >= window
        if is_full and window > FEW:
            return None
        if (news := await self._lanes.news()) is None:
            return None if is_full else await self._again(len(under_way))
        if not (self.silence.is_odd if is_full else self.silence.lets_pass(so_many)):
            return None
        parcel = await self._lanes.at_head(news)
        if parcel is None or not is_full:
            return parcel
        self.gives_up = True
        self.silence.gave_up()
        if self._awaited is not None and self._awaited in under_way:
            self._forsaken.add(self._awaited.key)
        return None

    async def _again(self, under_way: int) -> Parcel | None:
        """One that is to travel alone, too: a broker that hangs up then does so on this one."""
        waiting = [
            self._alert(one) for one in self._lanes[Priority.CRITICAL].ready if one.sequence not in self._lanes.had
        ]
        waiting = [one for one in waiting if not self._tolerance.is_accused(one)]
        if not waiting or not self.silence.lets_pass(FEW * under_way):
            return None
        parcel = await self._lanes.at_head(min(waiting, key=self._tolerance.turn))
        self.passer = parcel
        return parcel

    async def hurried(self) -> Parcel | None:
        """The one that goes first, where the last session was given up for such."""
        if self._hurries and (news := await self._lanes.news()) is not None:
            return await self._lanes.at_head(news)
        self._hurries = False
        return None
