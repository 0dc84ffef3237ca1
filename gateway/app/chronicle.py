"""Everything that follows an event and decides nothing: telemetry, what is learnt, and who is told that a state changed.

Events are only noted in the turn in which they happen; the work is done in a worker of the service ring, so that nothing
here can hold up or hurt the core.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from gateway.events import Actuated, DeviceHealth, Health, Press, Quality, Reading, Scalar, Stamped
from gateway.instant import Anchor, Instant
from gateway.rules.compound import Compound
from gateway.uplink.payloads import Reported, telemetry_body

TURN_S = 0.1
"""What comes within it is worked off together. Where nothing comes, nobody is woken."""
NOTED = 10_000
BATCH_S = 10.0
"""Readings of one device go upstream together; telemetry is pictures, not alarms."""
STATUS_TURNS = 6
"""Batches between two words on how the gateway fares, if nothing else makes it say so."""
MOST_IN_BATCH = 500
"""A batch that is full leaves at once."""
NOTES_A_BREATH = 256
"""Notes worked off before the loop is given back: a millisecond, which is what an alarm may find in its way."""
BATTERIES_KEPT = 24
_SILENT_POINTS = ("heard", "pressed", "quiet", "beat")
"""Signs of life: of use to the supervision and the registry, not to anybody's picture."""


class Samples(Protocol):
    """The telemetry file."""

    def add(self, device: str, point: str, at: int, value: Any, quality: str) -> None: ...


class Learning(Protocol):
    """The registry."""

    def note(self, kind: str, key: str, fields: dict[str, Any], *, meaning: bool = False) -> None: ...

    def get(self, kind: str, key: str) -> dict[str, Any]: ...


class Listener(Protocol):
    """An uplink, as far as it is told that a retained state changed."""

    def status_changed(self) -> None: ...

    def device_changed(self, device: str) -> None: ...

    def offer_telemetry(self, device: str, body: bytes) -> None: ...


class Chronicle:
    """Follows the events of one site."""

    def __init__(
        self, compound: Compound, gateway: str, samples: Samples, registry: Learning, uplinks: Iterable[Listener]
    ) -> None:
        self._compound, self._gateway = compound, gateway
        self._samples, self._registry, self._uplinks = samples, registry, list(uplinks)
        self._noted: deque[Stamped] = deque(maxlen=NOTED)
        self._news = asyncio.Event()
        self._batches: dict[str, list[Reported]] = {}
        self._full: list[str] = []
        """Devices whose batch is full."""
        self._device_back: Callable[[str], None] = lambda _device: None
        self._point_read: Callable[[str, str, Scalar | None, Quality], None] = lambda *_: None
        self._sent = self._turns = 0
        self.dropped = 0

    def resettle(self, compound: Compound, uplinks: Iterable[Listener]) -> None:
        """Another site file: tell the uplinks there are now how each device stands, and which are no more."""
        concerned = {*self._compound.subjects, *compound.subjects}
        self._compound, self._uplinks = compound, list(uplinks)
        for subject in sorted(concerned):
            self._told(subject)
        for uplink in self._uplinks:
            uplink.status_changed()

    def connect(
        self,
        device_back: Callable[[str], None],
        point_read: Callable[[str, str, Scalar | None, Quality], None] = lambda *_: None,
    ) -> None:
        """Who wants to know at once that a device answers again, and what a point is."""
        self._device_back, self._point_read = device_back, point_read

    def follow(self, stamped: Stamped) -> None:
        """One event has been handled. Only how an output is, and a device that is back, is worth a word at once."""
        event = stamped.event
        if isinstance(event, Reading):
            self._point_read(event.device, event.point, event.value, event.quality)
        elif isinstance(event, DeviceHealth) and event.health is Health.OK:
            self._device_back(event.device)
        self.dropped += len(self._noted) == NOTED
        self._noted.append(stamped)
        self._news.set()

    def _take(self, stamped: Stamped) -> None:
        event, at = stamped.event, stamped.at
        if isinstance(event, Reading):
            self._reading(event, at)
        elif isinstance(event, Press):
            self._registry.note("button", event.button, {"last_press_at": at, "rssi_dbm": event.rssi_dbm})
        elif isinstance(event, DeviceHealth):
            self._health(event)
        elif isinstance(event, Actuated):
            self._registry.note("output", event.output, {"last_moved_at": at, "confirmed": event.confirmed})

    async def run(
        self, now: Callable[[], Instant], anchor: Callable[[Instant], Anchor | None], run: str, beat: Callable[[], None]
    ) -> None:
        """Work off what was noted; send what was gathered, every few seconds. Cancelled, it still works off what was noted."""
        try:
            await self._follow(now, anchor, run, beat)
        except asyncio.CancelledError:
            while self._noted:
                self._take(self._noted.popleft())
            raise

    async def _follow(
        self, now: Callable[[], Instant], anchor: Callable[[Instant], Anchor | None], run: str, beat: Callable[[], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + BATCH_S
        while True:
            await self._noted_by(due)
            await self._work_off(now, anchor, run)
            if loop.time() < due:
                continue
            due = loop.time() + BATCH_S
            self._turns += 1
            if self._turns % STATUS_TURNS == 0:
                for uplink in self._uplinks:
                    uplink.status_changed()  # counts and clock change without an event of their own
            batches, self._batches = self._batches, {}
            for device, readings in batches.items():
                self._send(device, readings, now(), anchor(now()), run)
                await asyncio.sleep(0)
            beat()

    async def _noted_by(self, due: float) -> None:
        """Wait until there are notes, and a little for more of them; at most until then."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                if not self._noted:
                    self._news.clear()
                    await self._news.wait()
                await asyncio.sleep(TURN_S)

    async def _work_off(self, now: Callable[[], Instant], anchor: Callable[[Instant], Anchor | None], run: str) -> None:
        """All that was noted until now, giving the loop back in between; what is noted meanwhile waits for the next turn."""
        for n in range(1, len(self._noted) + 1):
            self._take(self._noted.popleft())
            while self._full:  # taken out before it is sent: what meets a bug is not met again
                device = self._full.pop()
                self._send(device, self._batches.pop(device), now(), anchor(now()), run)
            if n % NOTES_A_BREATH == 0:
                await asyncio.sleep(0)

    def _send(self, device: str, readings: list[Reported], now: Instant, anchor: Anchor | None, run: str) -> None:
        self._sent += 1
        body = telemetry_body(
            self._compound.site, self._gateway, f"{run}.{self._sent}", device, readings, anchor=anchor, now=now
        )
        for uplink in self._uplinks:
            uplink.offer_telemetry(device, body)

    def _reading(self, reading: Reading, at: Instant) -> None:
        if reading.point == "battery":
            self._battery(reading, at)
            self._told(reading.device)
        if reading.point == "heard":
            self._heard(reading, at)
        if reading.point in _SILENT_POINTS:
            return
        self._samples.add(reading.device, reading.point, at, reading.value, reading.quality.value)
        batch = self._batches.setdefault(reading.device, [])
        subject = self._compound.subjects.get(reading.device)
        spec = subject.facts.get(reading.point) if subject else None
        batch.append(Reported(reading.point, reading.value, reading.quality, at, spec.unit if spec else ""))
        if len(batch) >= MOST_IN_BATCH:
            self._full.append(reading.device)

    def _battery(self, reading: Reading, at: Instant) -> None:
        """How a battery wears: the last changes, so that somebody sees which one will be next."""
        trend = self._registry.get("button", reading.device).get("battery_trend", [])
        known = {"battery_pct": reading.value, "battery_trend": [*trend, [at, reading.value]][-BATTERIES_KEPT:]}
        self._registry.note("button", reading.device, known)

    def _heard(self, reading: Reading, at: Instant) -> None:
        """Learn how often a button really gives a sign of life; the site file's promise is what supervises it."""
        known = self._registry.get("button", reading.device)
        last, longest = known.get("heard_at"), known.get("longest_silence_ms", 0)
        silence = at - last if isinstance(last, int) else 0
        fields = {"heard_at": at, "rssi_dbm": reading.value, "longest_silence_ms": max(longest, silence)}
        self._registry.note("button", reading.device, fields)

    def _health(self, event: DeviceHealth) -> None:
        self._told(event.device)
        for uplink in self._uplinks:
            uplink.status_changed()

    def _told(self, device: str) -> None:
        for uplink in self._uplinks:
            uplink.device_changed(device)
