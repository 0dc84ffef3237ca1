"""Which message leaves next, and how far each lane has safely arrived.

Here is the order of departure and the window; no broker, no socket. ``mqtt.py`` asks ``next()`` for parcels, sends them,
and says ``arrived()`` for each PUBACK.

Theory. A broker takes messages of one session in the order they are sent, so what has left cannot be overtaken; therefore
few may be on their way at once (the window), and the last places of the window belong to the higher lanes: a critical alert
never waits for a place behind any backlog. Within a lane the cursor moves only to where everything read so far has its
PUBACK, so after a broken connection the lane starts again at the first message of which the broker may not know; what it
does know arrives twice, with the same bytes. What is news is decided by number, not by order: an outbox on a sick disk may
show a message only after its successor.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from enum import StrEnum

import structlog
from msgspec import Struct

from gateway.alerts import Priority
from gateway.faults import StoreFault
from gateway.uplink.outbox import Message, Outbox

log = structlog.get_logger()

LANES = tuple(lane.value for lane in Priority)
"""In order of departure."""
WINDOW = 20  # Mosquitto's default max_inflight_messages; a broker may announce less (MQTT 5, Receive Maximum)
_KEPT_FOR_REPLIES = 2
_KEPT_FOR_CRITICAL = 2
_READ_AHEAD = 100  # each asking of the disk costs as much as sending twenty
TELEMETRY_KEPT = 1000


class Kind(StrEnum):
    STATUS = "status"
    ALERT = "alert"
    DEVICE = "device"
    TELEMETRY = "telemetry"


class Parcel(Struct, frozen=True, eq=False):
    """One message on its way."""

    kind: Kind
    topic: str
    """Leaf."""
    body: bytes
    retain: bool = False
    lane: str = ""
    sequence: int = 0


class _Lane:
    """One lane in one session."""

    def __init__(self) -> None:
        self.ready: deque[Message] = deque()
        self.under_way: set[int] = set()
        self.arrived: set[int] = set()
        self.read: set[int] = set()
        """Read from the outbox in this session, and not yet counted as delivered there."""
        self.answer: set[int] = set()
        """What the outbox had to give when it was asked last."""
        self.dry = False

    def ask(self) -> int:
        """How many messages must be taken to see new ones behind those the outbox still counts as waiting."""
        return _READ_AHEAD + len(self.read)

    def put(self, taken: list[Message]) -> None:
        """Keep what is news. A lower number may be news after a higher one: the outbox could not read it before."""
        self.answer = {message.sequence for message in taken}
        fresh = [message for message in taken if message.sequence not in self.read]
        if fresh:
            self.ready.extend(fresh)
            self.read.update(message.sequence for message in fresh)
            self.dry = False

    def land(self, sequence: int) -> None:
        self.under_way.discard(sequence)
        self.arrived.add(sequence)

    def due(self) -> list[int]:
        """What to tell the outbox: the last number below which everything that was read has arrived.

        Numbers missing in its last answer are told each by itself: an outbox that cannot reach them now would not know that
        they are meant.
        """
        if not self.arrived:
            return []
        first_out = min(self.read - self.arrived, default=None)
        run = sorted(one for one in self.arrived if first_out is None or one < first_out)
        return [one for one in run[:-1] if one not in self.answer] + run[-1:]

    def told(self, sequence: int) -> None:
        """The outbox counts everything up to here as delivered."""
        self.read = {one for one in self.read if one > sequence}
        self.arrived = {one for one in self.arrived if one > sequence}


class Departures:
    """Everything one uplink has to send."""

    def __init__(
        self,
        uplink: str,
        outbox: Outbox,
        status: Callable[[], bytes],
        devices: Callable[[], dict[str, bytes]],
        telemetry_kept: int = TELEMETRY_KEPT,
    ) -> None:
        self._uplink, self._outbox, self._status, self._devices = uplink, outbox, status, devices
        self._telemetry: deque[tuple[str, bytes]] = deque()
        self._telemetry_kept = telemetry_kept
        self._lanes = {lane: _Lane() for lane in LANES}
        self._under_way: set[Parcel] = set()
        self._status_due = True
        self._devices_due: dict[str, bytes | None] = {}
        self._retained: set[str] = set()
        """Devices of which the broker was told in this session."""
        self._taken: set[Kind] = set()
        self._unheard = False
        self._held = self._ended = False
        self._landed = asyncio.Event()
        self.wake = asyncio.Event()
        self.counts: Counter[str] = Counter()

    def restart(self) -> None:
        """A new session: forget what was on its way, and say again how everything stands."""
        self._lanes = {lane: _Lane() for lane in LANES}
        self._drop_under_way()
        self._taken, self._unheard = set(), False
        self._held = False
        self._status_due = True
        self._devices_due = dict(self._devices())
        self._retained = set()
        self.wake.set()

    def begin(self) -> None:
        """There is somebody to send; what is offered from now on waits."""
        self._ended = False

    def end(self) -> int:
        """Nobody sends any more: the readings that wait, on their way or not, and those still to come end here, counted. Answers
        how many waited.
        """
        before = self.counts["telemetry_dropped"]
        self._drop_under_way()
        self.counts["telemetry_dropped"] += len(self._telemetry)
        self._telemetry.clear()
        self._ended = True
        return self.counts["telemetry_dropped"] - before

    def _drop_under_way(self) -> None:
        self.counts["telemetry_dropped"] += sum(parcel.kind is Kind.TELEMETRY for parcel in self._under_way)
        self._under_way = set()

    async def settle(self) -> None:
        """Let nothing more leave in this session, and return when the broker has taken what did, with cursors saved."""
        self._held = True
        while self._under_way:
            self._landed.clear()
            await self._landed.wait()
        await self.save()

    def look(self) -> None:
        """The outbox may hold more."""
        for lane in self._lanes.values():
            lane.dry = False
        self.wake.set()

    def status_changed(self) -> None:
        self._status_due = True
        self.wake.set()

    def device_changed(self, device: str) -> None:
        self._devices_due[device] = None
        self.wake.set()

    def offer(self, device: str, body: bytes) -> None:
        """Telemetry may be dropped, the oldest first, and is counted."""
        if self._ended:
            self.counts["telemetry_dropped"] += 1
            return
        if len(self._telemetry) >= self._telemetry_kept:
            self._telemetry.popleft()
            self.counts["telemetry_dropped"] += 1
        self._telemetry.append((device, body))
        self.wake.set()

    @property
    def proven(self) -> bool:
        """The broker has taken an alert in this session; or anything, and no alert is on its way or waits."""
        settled = all(lane.dry and not lane.ready and not lane.under_way for lane in self._lanes.values())
        return Kind.ALERT in self._taken or self._unheard or (bool(self._taken) and settled)

    def unheard(self) -> None:
        """The broker takes alerts, and has nobody for them yet: the one on trial stays so."""
        self._unheard = True
        self.wake.set()

    @property
    def on_trial(self) -> bool:
        """The first alert of a session travels alone.

        A broker that takes no alerts from us says so once and may hang up (Mosquitto 2.0 does); bytes sent behind that alert
        would make TCP throw the answer away, and nobody would learn why.
        """
        return Kind.ALERT not in self._taken and any(parcel.kind is Kind.ALERT for parcel in self._under_way)

    async def next(self, window: int = WINDOW) -> Parcel | None:
        """The next parcel that may leave now, or None: nothing to send, or the window has no place for it."""
        room = max(1, window - _KEPT_FOR_REPLIES) - len(self._under_way)
        if room <= 0 or self._held or self.on_trial:
            return None
        if self._status_due:
            self._status_due = False
            return self._leave(Parcel(Kind.STATUS, "status", self._status(), retain=True))
        for lane in LANES:
            if lane != Priority.CRITICAL and room <= min(_KEPT_FOR_CRITICAL, window // 4):
                return None
            waits = self._lanes[lane]
            if (waits.ready or not waits.dry) and (message := await self._from_lane(lane)) is not None:
                waits.under_way.add(message.sequence)
                return self._leave(Parcel(Kind.ALERT, message.topic, message.body, False, lane, message.sequence))
        if room <= window // 2:
            return None
        return self._from_devices() or self._from_telemetry()

    async def _from_lane(self, name: str) -> Message | None:
        lane = self._lanes[name]
        if not lane.ready and not lane.dry:
            lane.dry = True  # before asking: a look() meanwhile must not be forgotten
            try:
                lane.put(await self._outbox.take(self._uplink, name, lane.ask()))
            except StoreFault as fault:  # the store says so loudly itself; we ask again at the next look
                log.warning("outbox_not_read", uplink=self._uplink, lane=name, fault=str(fault))
        return lane.ready.popleft() if lane.ready else None

    def _from_devices(self) -> Parcel | None:
        while self._devices_due:
            device, body = next(iter(self._devices_due.items()))
            if body is None:
                bodies = self._devices()
                self._devices_due = {due: bodies.get(due, b"") for due in self._devices_due}
                continue
            del self._devices_due[device]
            if not body and device in self._retained:  # it is no more, and neither shall be what the broker keeps of it
                self._retained.discard(device)
                return self._leave(Parcel(Kind.DEVICE, f"devices/{device}", b"", retain=True))
            if body:
                self._retained.add(device)
                return self._leave(Parcel(Kind.DEVICE, f"devices/{device}", body, retain=True))
        return None

    def _from_telemetry(self) -> Parcel | None:
        if not self._telemetry:
            return None
        device, body = self._telemetry.popleft()
        return self._leave(Parcel(Kind.TELEMETRY, f"telemetry/{device}", body))

    def _leave(self, parcel: Parcel) -> Parcel:
        self._under_way.add(parcel)
        self.counts[f"{parcel.kind}_sent"] += 1
        return parcel

    def arrived(self, parcel: Parcel) -> None:
        """The broker has taken this parcel."""
        self._under_way.discard(parcel)
        self._landed.set()
        self._taken.add(parcel.kind)
        if parcel.kind is Kind.ALERT:
            self._lanes[parcel.lane].land(parcel.sequence)
        self.wake.set()

    async def save(self) -> None:
        """Move the durable cursors to where the lanes have arrived."""
        for name, lane in self._lanes.items():
            for sequence in lane.due():
                try:
                    await self._outbox.advance(self._uplink, name, sequence)
                except StoreFault as fault:
                    log.warning("cursor_not_saved", uplink=self._uplink, lane=name, fault=str(fault))
                    return
                lane.told(sequence)
