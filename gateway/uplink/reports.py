"""What one uplink tells beside alerts: how devices stand, the newest word of each, and readings. Pure.

Theory. Nothing here is on the disk, for nothing here is missed for long: every session begins with all devices, and readings may be
dropped, the oldest first, and are counted. When there is a place for them, ``departures.py`` decides.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from gateway.uplink.parcel import Kind, Parcel

Make = Callable[[Kind, str, bytes], Parcel]
"""A parcel of this kind, topic and body."""
Ask = Callable[[Parcel], bool]


class Reports:
    """Of one uplink. What is taken from here is the taker's."""

    def __init__(
        self, devices: Callable[[], dict[str, bytes]], readings_kept: int, make: Make, counts: Counter[str]
    ) -> None:
        """``devices`` gives how each stands now."""
        self._devices, self._readings_kept, self._make, self._counts = devices, readings_kept, make, counts
        self._readings: deque[tuple[str, bytes]] = deque()
        self._due: dict[str, bytes | None] = {}
        """Devices to tell of; None: of which it is not known yet what."""
        self._retained: set[str] = set()
        """Devices of which the broker was told in this session."""

    def begin(self) -> None:
        """A new session: all devices are to be told of."""
        self._due = dict(self._devices())
        self._retained = set()

    def changed(self, device: str) -> None:
        """It stands otherwise now, or is no more."""
        self._due[device] = None

    def offer(self, device: str, body: bytes) -> None:
        """One more batch of readings; where there are too many the oldest ends here, counted."""
        if len(self._readings) >= self._readings_kept:
            self._readings.popleft()
            self._counts["telemetry_dropped"] += 1
        self._readings.append((device, body))

    def end(self) -> None:
        """Nobody takes any more readings: those that wait end here, counted."""
        self._counts["telemetry_dropped"] += len(self._readings)
        self._readings.clear()

    def device(self, must_wait: Ask, too_large: Ask) -> Parcel | None:
        """The next device; None where there is none, or it must wait. One too large for the broker is passed over."""
        while self._due:
            device, body = next(iter(self._due.items()))
            if body is None:
                bodies = self._devices()
                self._due = {due: bodies.get(due, b"") for due in self._due}
                continue
            del self._due[device]
            parcel = self._make(Kind.DEVICE, f"devices/{device}", body)
            if must_wait(parcel):
                self._due[device] = body  # behind the others
                return None
            if not body and device in self._retained:  # it is no more, and neither shall be what the broker keeps of it
                self._retained.discard(device)
                return parcel
            if body and not too_large(parcel):
                self._retained.add(device)
                return parcel
        return None

    def reading(self, must_wait: Ask, too_large: Ask) -> Parcel | None:
        """The oldest batch of readings; None where there is none, or it must wait. One too large for the broker is dropped, counted."""
        while self._readings:
            device, body = self._readings[0]
            parcel = self._make(Kind.TELEMETRY, f"telemetry/{device}", body)
            if must_wait(parcel):
                return None
            self._readings.popleft()
            if not too_large(parcel):
                return parcel
            self._counts["telemetry_dropped"] += 1
        return None
