"""Which message leaves next.

Here is the order of departure and the window; no broker, no socket. ``mqtt.py`` asks ``next()`` for parcels, sends them,
and says ``arrived()`` for each PUBACK.

Theory. A broker takes messages of one session in the order they are sent, so what has left cannot be overtaken; therefore
few may be on their way at once (the window, and how quickly this line answers, ``pace.py``), and the last places belong to the higher
lanes: a critical alert never waits for a place behind any backlog.

What the broker does not take (``tolerance.py``) is set aside in the outbox, never deleted: others pass it, and it is tried again
when nothing waits in its lane or above (``retrial.py``). What it refuses by a word that may mean all is in ``doubts.py``, how long it is
silent in ``silence.py``, which critical alert passes it for that in ``overtaking.py``, which alert is the next of its lane and how far each
lane has safely arrived in ``lanes.py``, and what is no alert, and on no disk, in ``reports.py``.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence

import structlog

from gateway.alerts import Priority
from gateway.uplink.doubts import Doubts
from gateway.uplink.lanes import Lanes
from gateway.uplink.latecomers import LANES
from gateway.uplink.outbox import Message, Outbox
from gateway.uplink.overtaking import Overtaking
from gateway.uplink.pace import Pace
from gateway.uplink.parcel import Kind, Parcel
from gateway.uplink.payloads import shortened
from gateway.uplink.reports import Reports
from gateway.uplink.retrial import Retrial
from gateway.uplink.silence import FEW
from gateway.uplink.tolerance import Tolerance

log = structlog.get_logger()

WINDOW = 20  # Mosquitto's default max_inflight_messages; a broker may announce less (MQTT 5, Receive Maximum)
_KEPT_FOR_REPLIES = 2
_KEPT_FOR_CRITICAL = 2
TELEMETRY_KEPT = 1000


class Departures:
    """Everything one uplink has to send."""

    def __init__(
        self,
        uplink: str,
        outbox: Outbox,
        status: Callable[[], bytes],
        devices: Callable[[], dict[str, bytes]],
        telemetry_kept: int = TELEMETRY_KEPT,
        measure: Callable[[str, bytes], int] = lambda topic, body: len(topic) + len(body),
    ) -> None:
        """``measure`` gives the bytes of the packet that a leaf and a body make."""
        self._uplink, self._outbox, self._status, self._measure = uplink, outbox, status, measure
        self._tolerance = Tolerance()
        self._tolerances: dict[Hashable, Tolerance] = {}
        """By broker: what one does not take, another may."""
        self._doubts = Doubts()
        self._under_way: dict[Parcel, float] = {}
        """And when it left."""
        self._passed_at = self._taken_at = 0.0
        """When the youngest of the alerts left that were taken; and when the last one of them was taken."""
        self._again: list[Parcel] = []
        """To leave once more, for it was passed over."""
        self._waived = 0
        """Places of the window that are taken by what is never answered."""
        self._is_told = False
        """The session ends by what was passed over, and that is accounted for."""
        self._status_due, self._status_left_out = True, False
        self.served = False
        """The broker has taken an alert in this session, and has somebody for it, or nobody was waited for any longer."""
        self._answered = False
        """It has taken anything."""
        self._unheard = False
        self._pace = Pace()
        self._open = self._held = self._ended = False
        self._readings_ahead = 0
        """So many batches went before alerts that stand back in this session."""
        self._landed = asyncio.Event()
        self.wake = asyncio.Event()
        self.counts: Counter[str] = Counter()
        self._reports = Reports(devices, telemetry_kept, self._parcel, self.counts)
        self._retrial = Retrial(
            uplink, outbox, lambda message: self._alert(message, aside=True), self.wake.set, self.counts
        )
        self._lanes = Lanes(uplink, outbox, self._retrial, self._alert, self.wake.set, self.counts)
        self._overtaking = Overtaking(self._lanes, self._alert, self.wake.set)

    def restart(self, most: int | None = None, broker: Hashable = None) -> None:
        """A new session: forget what was on its way, and say again how everything stands. ``most``: bytes that its broker takes."""
        self._tolerance = self._tolerances.setdefault(broker, Tolerance())
        self._tolerance.begin(most)
        self._open = True
        self._retrial.begin(self._tolerance)
        self._lanes.begin(self._tolerance)
        self._overtaking.begin(self._tolerance)
        self._drop_under_way()
        self.served = self._answered = self._unheard = False
        self._doubts.begin()
        self._pace = Pace()
        self._held = self._is_told = False
        self._again, self._waived = [], 0
        self._readings_ahead = 0
        self._status_due = True
        self._reports.begin()
        self.wake.set()

    def lost(self, *, explained: bool = False, excused: bool = False) -> bool:
        """A session broke, or none was to be had. Whether an alert seems to be the reason, so that it is no use to wait.

        ``explained``: it is not. ``excused``: so says the broker, and is believed until it takes another one. So is one that went over a
        line of which nothing good was seen: its status was left out.
        """
        if not self._open:
            return False
        self._open = False
        waited_for_ears = self._unheard and not self.served  # the broker had it, and said so
        unproven = not self._answered and all(parcel.kind is Kind.ALERT for parcel in self._under_way)
        undecided = self._doubts.are_open and not self._doubts.denied
        on_their_way = () if waited_for_ears or explained or undecided or self._is_told else self._under_way
        if on_their_way or self.gives_up:
            self._tolerance.suspect(self._under_way)
        if self._is_told and self._is_unruly():
            self._tolerance.suspect([*self._under_way, *self._again])
        blamed = {one for one in on_their_way if one is self._overtaking.passer or one.aside} or on_their_way
        excused |= unproven
        struck = self._tolerance.lost(blamed, _now(), excused=excused) and not excused
        self._overtaking.lost()
        self._drop_under_way()
        return struck or self.gives_up or self._is_told

    def _is_unruly(self) -> bool:
        """So many are tried once more that the broker may as well be slow and answer the newest first; it is in time with few."""
        return sum(map(self._tolerance.is_tried_once_more, [*self._under_way, *self._again])) > FEW

    def begin(self) -> None:
        """There is somebody to send; what is offered from now on waits."""
        self._ended = False

    def end(self) -> int:
        """Nobody sends any more: the readings that wait, on their way or not, and those still to come end here, counted. Answers
        how many waited.
        """
        before = self.counts["telemetry_dropped"]
        self._drop_under_way()
        self._reports.end()
        self._ended = True
        self._retrial.end()
        return self.counts["telemetry_dropped"] - before

    def _drop_under_way(self) -> None:
        self.counts["telemetry_dropped"] += sum(parcel.kind is Kind.TELEMETRY for parcel in self._under_way)
        self._under_way.clear()

    async def settle(self) -> None:
        """Let nothing more leave in this session, and return when the broker has taken what did, with cursors saved."""
        self._held = True
        while self._under_way:
            self._landed.clear()
            await self._landed.wait()
        await self.save()

    def look(self) -> None:
        """The outbox may hold more."""
        self._lanes.look()
        self._status_due |= self._status_left_out
        self.wake.set()

    async def urgent(self) -> None:
        """Between two sessions: until the outbox has a critical alert that is urgent."""
        await self._lanes.urgent()

    async def save(self) -> None:
        """Move the durable cursors to where the lanes have arrived, and past what was set aside."""
        await self._lanes.save()

    @property
    def gives_up(self) -> bool:
        """The broker keeps silent, takes few at once and no more, and a critical alert waits that is new."""
        return self._overtaking.gives_up

    def status_changed(self) -> None:
        self._status_due = True
        self.wake.set()

    def device_changed(self, device: str) -> None:
        self._reports.changed(device)
        self.wake.set()

    def offer(self, device: str, body: bytes) -> None:
        """Telemetry may be dropped, the oldest first, and is counted."""
        if self._ended:
            self.counts["telemetry_dropped"] += 1
            return
        self._reports.offer(device, body)
        self.wake.set()

    @property
    def proven(self) -> bool:
        """The broker has taken an alert in this session; or anything, and no alert is on its way or waits."""
        if self.served or self._unheard:
            return True
        answered = self._answered or (self.left_out and not self._under_way)
        return answered and self._lanes.settled

    def unheard(self, parcel: Parcel, again_s: float = 0.0) -> None:
        """The broker takes alerts, and has nobody for them yet: the one on trial stays so, and leaves again then."""
        self._unheard = True
        if parcel in self._under_way:
            self._under_way[parcel] = _now() + again_s
        self._overtaking.silence.restart(again_s)
        self.wake.set()

    @property
    def on_trial(self) -> bool:
        """The first alert of a session travels alone.

        A broker that takes no alerts from us says so once and may hang up (Mosquitto 2.0 does); bytes sent behind that alert
        would make TCP throw the answer away, and nobody would learn why. Nor would anybody learn who it was that broke a session:
        what was on its way then travels alone, too.
        """
        if self.served and not self._tolerance.suspects_any:
            return False  # as nearly always, and it is asked before each departure
        return any(not parcel.aside and self._is_on_trial(parcel) for parcel in self._under_way)

    def _is_on_trial(self, parcel: Parcel) -> bool:
        return (parcel.kind is Kind.ALERT and not self.served) or self._tolerance.is_suspect(parcel)

    @property
    def doubts(self) -> bool:
        """Whether it is open if the broker refused one alert, or all."""
        return self._doubts.are_open

    @property
    def denied(self) -> bool:
        """Whether the broker means all of them, as far as we can tell."""
        return self._doubts.denied

    @property
    def left_out(self) -> bool:
        """Whether something is known that the broker does not take: alerts, or even how the gateway stands in short."""
        return len(self._retrial) > 0 or self._status_left_out

    async def next(self, window: int = WINDOW) -> Parcel | None:
        """The next parcel that may leave now, or None: nothing to send, or the window has no place for it."""
        if self._held:
            return None
        if self._again and not self._doubts:
            # In the place that it had: where there are few, others would have it for good.
            return self._leave(self._again.pop(0))
        window -= self._waived
        room, crowd = max(1, window - _KEPT_FOR_REPLIES) - len(self._under_way), self._crowd()
        if room <= 0 or crowd >= _KEPT_FOR_CRITICAL or self.on_trial or (self._doubts and self._under_way):
            return self._leave_lane(await self._overtaking.past_silence(self._under_way, window))
        if self._doubts:
            return await self._beside_doubted()
        if self._status_due:
            self._status_due = False
            status = self._from_status()
            self._status_left_out = status is None
            if status is not None:
                return status
        if (hurried := await self._overtaking.hurried()) is not None:
            return self._leave_lane(hurried)
        order: Sequence[str] = LANES
        if self._tolerance.accuses_any:
            order = await self._lanes.in_order(self._doubts)
        has_much = crowd < 0 and room > window // 2
        if self._tolerance.holds_any_back and has_much and (parcel := await self._ahead()) is not None:
            return parcel
        turns = deque(order)
        while turns:
            lane = turns.popleft()
            if lane != Priority.CRITICAL and (crowd >= 0 or room <= min(_KEPT_FOR_CRITICAL, window // 4)):
                return None
            waits = self._lanes[lane]
            if (waits.ready or not waits.dry) and (parcel := await self._lanes.first_of(lane)) is not None:
                if self._must_wait(parcel):
                    return None
                return self._leave_lane(parcel)
            if self._lanes.is_called_away(lane):
                turns.appendleft(Priority.CRITICAL)
                continue
            if (late := self._retrial.turn(lane)) is not None:
                return None if self._under_way else self._leave_late(late)
        return (self._from_devices() or self._from_telemetry()) if has_much else None

    def _crowd(self) -> int:
        """How many more are on their way than this line is known to answer soon; below 0: there is a place. What was passed takes none."""
        if len(self._under_way) < self._pace.places:
            return -1
        return sum(left_at >= self._passed_at for left_at in self._under_way.values()) - self._pace.places

    async def _beside_doubted(self) -> Parcel | None:
        """What was refused, once more, if another alert was taken since; else the one that is to show whether any is."""
        if (again := self._doubts.once_more) is not None:
            return self._leave(again)
        if (hurried := await self._overtaking.hurried()) is not None:
            return self._leave_lane(hurried)
        for name in await self._lanes.in_order(self._doubts):
            if (parcel := await self._lanes.first_of(name)) is not None:
                return self._leave_lane(parcel)
            if self._lanes.is_called_away(name):
                return None
        self._under_way.update(dict.fromkeys(self._doubts.deny(), _now()))
        return None

    def _must_wait(self, parcel: Parcel) -> bool:
        """Whether a parcel leaves only when nothing else is on its way; a critical one waits for none that is tried again in vain."""
        if not self._under_way or not self._tolerance.is_suspect(parcel):
            return False
        urgent = parcel.lane == Priority.CRITICAL and all(other.aside for other in self._under_way)
        return not (urgent and self._overtaking.silence.lets_pass(len(self._under_way)))

    async def _ahead(self) -> Parcel | None:
        """A device or reading, or what was set aside above, where nothing waits but alerts by which each session may end, accused or
        refused: this would wait for ever. Of readings there may be very many, and the accused may be innocent.
        """
        for name in LANES:
            await self._lanes.first_of(name)
        await self._lanes.news()  # one may have come while the outbox was asked for a lower lane
        if not all(self._tolerance.stands_back(self._alert(one)) for one in self._lanes.ready):
            return None
        if (device := self._from_devices()) is not None:
            return device
        if self._readings_ahead < WINDOW and (reading := self._from_telemetry()) is not None:
            self._readings_ahead += 1
            return reading
        for name in LANES:
            if self._under_way or self._lanes[name].ready:
                return None
            if (late := self._retrial.turn(name)) is not None:
                return self._leave_late(late)
        return None

    def _parcel(self, kind: Kind, topic: str, body: bytes) -> Parcel:
        return Parcel(kind, topic, body, kind is not Kind.TELEMETRY, size=self._measure(topic, body))

    def _alert(self, message: Message, *, aside: bool = False) -> Parcel:
        size = self._measure(message.topic, message.body)
        return Parcel(Kind.ALERT, message.topic, message.body, False, message.lane, message.sequence, size, aside)

    def _is_too_large(self, parcel: Parcel) -> bool:
        too_large = self._tolerance.too_large(parcel.kind, parcel.size, _now())
        if too_large and parcel.kind is not Kind.ALERT:
            self.counts[f"{parcel.kind}_too_large"] += 1
        return too_large

    def _from_status(self) -> Parcel | None:
        """How the gateway stands, in short where the broker does not take the whole of it."""
        whole = self._parcel(Kind.STATUS, "status", self._status())
        if not self._is_too_large(whole):
            return self._leave(whole)
        short = self._parcel(Kind.STATUS, "status", shortened(whole.body))
        return None if self._tolerance.too_large(short.kind, short.size, _now()) else self._leave(short)

    def _leave_late(self, parcel: Parcel) -> Parcel:
        """It travels alone: those below wait for that."""
        self._retrial.leave(parcel)
        return self._leave(parcel)

    def _from_devices(self) -> Parcel | None:
        device = self._reports.device(self._must_wait, self._is_too_large)
        return None if device is None else self._leave(device)

    def _from_telemetry(self) -> Parcel | None:
        reading = self._reports.reading(self._must_wait, self._is_too_large)
        return None if reading is None else self._leave(reading)

    def _leave_lane(self, parcel: Parcel | None) -> Parcel | None:
        if parcel is None:
            return None
        self._lanes.leave(parcel)
        return self._leave(parcel)

    def _leave(self, parcel: Parcel) -> Parcel:
        if not self._under_way or (self._is_on_trial(parcel) and not self.on_trial):
            self._overtaking.wait_for(parcel)
        self._under_way[parcel] = _now()
        self.counts[f"{parcel.kind}_sent"] += 1
        return parcel

    def arrived(self, parcel: Parcel) -> None:
        """The broker has taken this parcel."""
        left_at = self._under_way.pop(parcel, None)  # None: it was recalled, and when it left is forgotten
        if left_at is not None:
            self._pace.answered(_now() - left_at)
        self._landed.set()
        self._answered = True
        self._overtaking.arrived(parcel, left_at, self._under_way)
        self._tolerance.taken(parcel)
        if parcel.kind is Kind.ALERT:
            self._passed_at, self._taken_at = max(self._passed_at, left_at or 0.0), _now()
            for elsewhere in self._tolerances.values():
                elsewhere.no_longer_sent(parcel)
            self.served = True
            self._doubts.taken(parcel)
            if parcel.aside:
                self._retrial.arrived(parcel)
            else:
                self._lanes.arrived(parcel)
        self.wake.set()

    def doubt(self, parcel: Parcel) -> None:
        """The broker says no to this alert, and may mean all of them: it is set aside when it does so again behind another that it took.
        Order is kept where it takes none.
        """
        if self._doubts.is_confirmed_by(parcel):
            self.refused(parcel)
            return
        self._under_way.pop(parcel, None)
        self._landed.set()
        self._tolerance.doubt(parcel)
        self._doubts.add(parcel)
        if self.denied:
            self._drop_under_way()
        self.wake.set()

    def refused(self, parcel: Parcel) -> None:
        """The broker says of this very alert that it does not take it."""
        self._under_way.pop(parcel, None)
        self._landed.set()
        if parcel.aside:
            self._retrial.refused(parcel)
        else:
            self._lanes.refused(parcel)
        self.wake.set()

    def overdue(self, parcel: Parcel, window: int) -> bool:
        """The broker did not answer this one in time. Whether the session goes on: alerts that left later were taken, and none other is to
        blame. It leaves once more, then it is set aside.
        """
        left_at, now = self._under_way.get(parcel, _now()), _now()
        if left_at >= self._passed_at or left_at + now > 2 * self._taken_at:
            return False  # none passed it, or none of late: it may be the line
        has_place = parcel.kind is Kind.ALERT and 2 * (self._waived + 1) <= window
        if parcel.aside and not has_place:
            return False  # as where any session breaks by what is tried again
        is_enough = parcel.aside or self._tolerance.passed_over(parcel, now)
        self._is_told = not has_place
        self._waived += has_place
        if is_enough:
            self.refused(parcel)
        elif has_place:
            del self._under_way[parcel]
            self._again.append(parcel)
            self.wake.set()
        return has_place

    def recall(self) -> None:
        """The broker takes no alerts, and the session ends by that: it is the fault of nobody that is on its way."""
        self._drop_under_way()


def _now() -> float:
    return asyncio.get_running_loop().time()
