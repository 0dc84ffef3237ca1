"""What of all that is read is worth an event: report by exception. Pure.

A point is reported when it is first known, when its value moved by its resolution (an alarm point: at all), when its
quality changed, when somebody asked, and now and then although nothing happened, so that nobody takes an old value for a
fresh one. A status point speaks for the whole device: until it is known nothing else of the device is. Only "beyond the
range" is said of what is measured for alarms alone: it makes no contact doubtful, and no temperature.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct

from gateway.drivers.modbus.codec import Decoded, decode
from gateway.drivers.modbus.plan import Block, period_ms
from gateway.events import Quality, Reading, Scalar
from gateway.site.model import ModbusDevice
from gateway.site.profile import PointClass, PointSpec, Space

_TROUBLE = {Quality.SENSOR_FAULT, Quality.INVALID}
_DAMNING = (Quality.SENSOR_FAULT, Quality.INVALID, Quality.OUT_OF_SERVICE)
"""What a status may say that makes every value of the device worthless."""
_BEYOND = {Quality.OVER_RANGE, Quality.UNDER_RANGE}
_MEASURED = {Quality.GOOD, Quality.INVALID, *_BEYOND}
"""What a point may say of itself and still be beyond its range: sensors send their sentinel then."""
REFRESH_S = 60.0
"""How often a point that does not move is reported all the same."""


class _Told(Struct):
    value: Scalar | None
    quality: Quality
    at: float


class Points:
    """What one device's points are now, and what was last said of them."""

    def __init__(self, device: ModbusDevice) -> None:
        self._device = device.id
        self._specs = {spec.name: spec for spec in device.profile.points}
        self._refresh = {spec.name: _refresh_s(spec, device.max_age_ms) for spec in device.profile.points}
        self._now: dict[str, Decoded] = {}
        self._told: dict[str, _Told] = {}

    def accept(self, block: Block, answer: Sequence[int], at: float, asked: Collection[str] = ()) -> list[Reading]:
        """A block was read; ``asked`` points are reported whether they changed or not."""
        for spec in block.points:
            self._now[spec.name] = decode(block.words(spec, answer), spec)
        return self._due(at, {spec.name for spec in block.points}, asked)

    def refuse(self, block: Block, at: float) -> list[Reading]:
        """The device lives but does not give these points."""
        self._now |= {spec.name: Decoded(None, Quality.INVALID) for spec in block.points}
        return self._due(at, (), ())

    def mute(self, block: Block, at: float) -> list[Reading]:
        """The device answers, but not to this. Its last word, if that was damning, stands until it speaks again."""
        damning = self._overlay() in _DAMNING
        kept = {spec.name for spec in block.points if spec.quality_of and damning}
        self._now |= {spec.name: Decoded(None, Quality.COMMS) for spec in block.points if spec.name not in kept}
        return self._due(at, (), ())

    def lose(self, at: float) -> list[Reading]:
        """The device does not answer: nothing is known any more."""
        self._now = {name: Decoded(None, Quality.COMMS) for name in self._specs}
        readings = self._due(at, (), ())
        for spec in self._specs.values():
            if spec.quality_of:
                del self._now[spec.name]  # back again, it says nothing before its own word on itself
        return readings

    def current(self, point: str) -> Decoded:
        """What a point is now, with what the status points say of it."""
        return self._seen(self._specs[point], self._overlay() or Quality.GOOD)

    def trouble(self) -> Quality | None:
        """Why the device cannot do its work although it answers: its own word, or an alarm point that has no value."""
        alarms = (name for name, spec in self._specs.items() if spec.point_class is PointClass.ALARM)
        told = [self._overlay() or Quality.GOOD, *(self.current(name).quality for name in alarms if name in self._now)]
        return next((quality for quality in told if quality in _TROUBLE), None)

    def _due(self, at: float, fresh: Collection[str], asked: Collection[str]) -> list[Reading]:
        overlay = self._overlay()
        if overlay is None:
            return []
        readings = []
        for name in self._now:
            seen = self._seen(self._specs[name], overlay)
            if name in asked or self._moved(name, seen) or (name in fresh and self._stale(name, at)):
                self._told[name] = _Told(seen.value, seen.quality, at)
                readings.append(Reading(self._device, name, seen.value, seen.quality))
        return readings

    def _overlay(self) -> Quality | None:
        """What the status points say of all others; None while one of them was never read."""
        verdict = Quality.GOOD
        for spec in self._specs.values():
            if not spec.quality_of:
                continue
            status = self._now.get(spec.name)
            if status is None:
                return None
            says = status.quality
            if says is Quality.GOOD:
                says = next((quality for value, quality in spec.quality_of if value == status.value), Quality.GOOD)
            if verdict is Quality.GOOD:
                verdict = says
        return verdict

    def _seen(self, spec: PointSpec, overlay: Quality) -> Decoded:
        """A point's own fault says more than the device's, but "beyond the range" more than a sentinel."""
        own = self._now.get(spec.name, Decoded(None, Quality.COMMS))
        if overlay in _BEYOND and not spec.quality_of:
            return Decoded(None, overlay) if _measures(spec) and own.quality in _MEASURED else own
        if spec.quality_of or own.quality is not Quality.GOOD:
            return own
        return Decoded(own.value, overlay)

    def _moved(self, name: str, seen: Decoded) -> bool:
        told = self._told.get(name)
        if told is None or told.quality is not seen.quality:
            return True
        spec = self._specs[name]
        if spec.point_class is PointClass.ALARM or not (_is_number(seen.value) and _is_number(told.value)):
            return seen.value != told.value
        distance = abs(float(seen.value or 0) - float(told.value or 0))
        # The last digit of a scaled number may not hide a step of exactly the resolution.
        return distance > 0 and distance >= spec.resolution * (1 - 1e-9)

    def _stale(self, name: str, at: float) -> bool:
        return at - self._told[name].at >= self._refresh[name]


def _is_number(value: Scalar | None) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _measures(spec: PointSpec) -> bool:
    """Whether it is a number that alarms are judged by; a contact, a name or a slow number is beyond no range."""
    named = spec.true_when is not None or spec.enum or spec.bits or spec.type in {"string", "bits"}
    return spec.point_class is PointClass.ALARM and not named and spec.space in {Space.HOLDING, Space.INPUT}


def _refresh_s(spec: PointSpec, max_age_ms: int) -> float:
    """An alarm point must be heard of thrice within the age at which it counts as lost."""
    if spec.point_class is not PointClass.ALARM:
        return REFRESH_S
    return max(0.0, (max_age_ms / 3 - period_ms(spec)) / 1000)
