"""What of all that is read is worth an event: report by exception. Pure.

A point is reported when it is first known, when its value moved by its resolution (an alarm point: at all), when its
quality changed, when somebody asked, and now and then although nothing happened, so that nobody takes an old value for a
fresh one. A status point speaks for the whole device, or for the points it names: until it is known they are not. Only
"beyond the range" is said of what is measured for alarms alone: it makes no contact doubtful, and no temperature. A
heartbeat that stands still is a device that hangs although it answers. A device that was away may have lost its power: until
it has warmed up its quiet values prove nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct

from gateway.drivers.modbus.codec import Decoded, decode, width
from gateway.drivers.modbus.line import Question
from gateway.drivers.modbus.plan import Block, refresh_s
from gateway.events import Quality, Reading, Scalar
from gateway.site.model import ModbusDevice
from gateway.site.profile import PointClass, PointSpec

_GOOD = Quality.GOOD  # looked up in its enum for every point, it cost as much as comparing its value
_TROUBLE = (Quality.SENSOR_FAULT, Quality.INVALID)
_AWAY_BY_HAND = (Quality.OUT_OF_SERVICE, Quality.UNDER_TEST)
"""A person has taken it out of service: no fault, and no detector either."""
_DAMNING = (Quality.SENSOR_FAULT, Quality.INVALID, *_AWAY_BY_HAND)
"""What a status may say that makes every value of the device worthless."""
_BEYOND = (Quality.OVER_RANGE, Quality.UNDER_RANGE)
_MEASURED = (Quality.GOOD, Quality.INVALID, *_BEYOND)
"""What a point may say of itself and still be beyond its range: sensors send their sentinel then."""
REFRESH_S = 60.0
"""How often a point that does not move is reported all the same."""
_AWAY = float("inf")
_UNREAD = Decoded(None, Quality.COMMS)


class _Beat(Struct):
    """A heartbeat: what it was, and since when."""

    value: Scalar | None
    since: float


class _Whole(Struct, gc=False):
    """An answer of which there was nothing to tell; until then there is nothing to tell of the same one either."""

    block: Block
    answer: Sequence[int]
    until: float


class _Told(Struct, gc=False):
    value: Scalar | None
    quality: Quality
    at: float


class Points:
    """What one device's points are now, and what was last said of them."""

    def __init__(self, device: ModbusDevice) -> None:
        self._device = device.id
        self._specs = {spec.name: spec for spec in device.profile.points}
        self._widths = {spec.name: width(spec) for spec in device.profile.points}
        self._alarms = [spec.name for spec in device.profile.points if spec.point_class is PointClass.ALARM]
        self._statuses = [spec for spec in device.profile.points if _speaks(spec)]
        self._refresh = {spec.name: _refresh_s(spec, device.max_age_ms) for spec in device.profile.points}
        self._warm_up_s = _warm_up_s(device)
        self._warm_at = 0.0
        """When it will have warmed up; infinite while it is away."""
        self._warming = self._was_warming = False
        self._read: dict[str, tuple[Sequence[int], Decoded]] = {}
        """What was read last of a point, and what that means: the same words mean the same."""
        self._same: dict[Question, _Whole] = {}
        """What was answered last, of blocks all of whose points stand for themselves."""
        self._words: dict[str, tuple[int, ...]] = {}
        """Of the points whose scale another point tells: what was read last."""
        self._beats: dict[str, _Beat] = {}
        self._now: dict[str, Decoded] = {}
        self._told: dict[str, _Told] = {}
        self._trouble: Quality | None = None

    def accept(self, block: Block, answer: Sequence[int], at: float, asked: Collection[str] = ()) -> list[Reading]:
        """A block was read; ``asked`` points are reported whether they changed or not."""
        if self._warm_at == _AWAY:
            self._warm_at = at + self._warm_up_s
        self._warming = at < self._warm_at
        if not asked and self._is_same(block, answer, at):
            return []
        for spec in block.points:
            start = spec.address - block.address
            words = answer[start : start + self._widths[spec.name]]
            if spec.scale_by:
                self._words[spec.name] = tuple(words)
            else:
                seen = self._decoded(spec, words)
                self._now[spec.name] = self._beating(spec, seen, at) if spec.moves_within_ms else seen
        self._scale()
        names = [spec.name for spec in block.points]
        readings = self._due(at, names, asked)
        self._remember(block, answer, names)
        return readings

    def _is_same(self, block: Block, answer: Sequence[int], at: float) -> bool:
        """Most answers are those of before: to compare them whole costs a fifth of looking at each point. The same question may be asked
        for other points, each class at its own pace.
        """
        whole = self._same.get(block.question)
        return whole is not None and whole.block is block and whole.answer == answer and at < whole.until

    def _remember(self, block: Block, answer: Sequence[int], names: Sequence[str]) -> None:
        self._same = {at: whole for at, whole in self._same.items() if not _overlap(whole.block, block)}
        if not (self._statuses or self._words or self._warming):
            until = min(self._told[name].at + self._refresh[name] for name in names)
            self._same[block.question] = _Whole(block, answer, until)

    def _decoded(self, spec: PointSpec, words: Sequence[int]) -> Decoded:
        read = self._read.get(spec.name)
        if read is None or read[0] != words:
            read = self._read[spec.name] = words, decode(words, spec)
        return read[1]

    def refuse(self, block: Block, at: float) -> list[Reading]:
        """The device lives but does not give these points."""
        self._drop({spec.name: Decoded(None, Quality.INVALID) for spec in block.points})
        return self._due(at, (), ())

    def mute(self, block: Block, at: float) -> list[Reading]:
        """The device answers, but not to this. Its last word, if that was damning, stands until it speaks again."""
        damning = self._overlay() in _DAMNING
        kept = {spec.name for spec in block.points if _speaks(spec) and damning}
        self._drop({spec.name: Decoded(None, Quality.COMMS) for spec in block.points if spec.name not in kept})
        return self._due(at, (), ())

    def lose(self, at: float) -> list[Reading]:
        """The device does not answer: nothing is known any more."""
        self._warm_at, self._warming = _AWAY, False
        self._drop({name: Decoded(None, Quality.COMMS) for name in self._specs})
        readings = self._due(at, (), ())
        for spec in self._specs.values():
            if _speaks(spec):
                del self._now[spec.name]  # back again, it says nothing before its own word on itself
        return readings

    def _drop(self, now: dict[str, Decoded]) -> None:
        """These are not what was read before."""
        self._same.clear()
        for name in now:
            self._words.pop(name, None)
            self._beats.pop(name, None)
        self._now |= now
        self._scale()

    def _scale(self) -> None:
        """The points whose scale or unit others tell, as far as those are known."""
        for name, words in self._words.items():
            spec = self._specs[name]
            if all(scaling.point in self._now for scaling in spec.scale_by):
                self._now[name] = decode(words, spec, self._now)

    def _beating(self, spec: PointSpec, seen: Decoded, at: float) -> Decoded:
        """A heartbeat that stood still for too long is a fault."""
        beat = self._beats.get(spec.name)
        if beat is None or beat.value != seen.value:
            beat = self._beats[spec.name] = _Beat(seen.value, at)
        stuck = (at - beat.since) * 1000 > spec.moves_within_ms
        return Decoded(seen.value, Quality.SENSOR_FAULT) if stuck else seen

    def current(self, point: str) -> Decoded:
        """What a point is now, with what the status points say of it."""
        spec = self._specs[point]
        return self._seen(spec, self._overlay(spec) or _GOOD)

    @property
    def speaks(self) -> bool:
        """Whether it says of itself how it fares."""
        return bool(self._statuses)

    @property
    def has_spoken(self) -> bool:
        """Whether it has done so since it is there."""
        return self._overlay() is not None

    def trouble(self) -> Quality | None:
        """Why the device cannot do its work although it answers: its own word, or an alarm point that has no value.

        One that was away and has not spoken of itself since is as it was.
        """
        if not (self._statuses or self._alarms):
            return None
        overlay = self._overlay()
        if overlay is not None:
            alarms = (name for name in self._alarms if name in self._now)
            told = [overlay, *(self.current(name).quality for name in alarms)]
            fault = next((quality for quality in told if quality in _TROUBLE), None)
            self._trouble = fault or next((quality for quality in told if quality in _AWAY_BY_HAND), None)
        return self._trouble

    def _due(self, at: float, fresh: Collection[str], asked: Collection[str]) -> list[Reading]:
        """Of all that is known; where no point says anything of others, and nothing warms up, only what is fresh can be due."""
        alone = fresh and not (self._statuses or self._words or self._warming or self._was_warming)
        readings = []
        for name in fresh if alone else self._now:
            spec = self._specs[name]
            overlay = _GOOD if alone else self._overlay(spec)
            if overlay is None:
                continue
            seen = self._seen(spec, overlay)
            if name in asked or self._moved(name, seen) or (name in fresh and self._stale(name, at)):
                self._told[name] = _Told(seen.value, seen.quality, at)
                readings.append(Reading(self._device, name, seen.value, seen.quality))
        self._was_warming = self._warming
        return readings

    def _overlay(self, of: PointSpec | None = None) -> Quality | None:
        """What the status points say of a point, or of the device; None while one of them was never read."""
        verdict = _GOOD
        for spec in self._statuses:
            if of is not None and not _speaks_for(spec, of):
                continue
            status = self._now.get(spec.name)
            if status is None:
                return None
            if verdict is _GOOD:
                verdict = _says(spec, status)
        return Quality.WARM_UP if verdict is _GOOD and self._warming else verdict

    def _seen(self, spec: PointSpec, overlay: Quality) -> Decoded:
        """A point's own fault says more than the device's, but "beyond the range" more than a sentinel."""
        own = self._now.get(spec.name, _UNREAD)
        if overlay is _GOOD:
            return own
        if overlay in _BEYOND and not _speaks(spec):
            return Decoded(None, overlay) if _measures(spec) and own.quality in _MEASURED else own
        if overlay in _AWAY_BY_HAND and _measures(spec):
            # A channel that is switched off reads anything. What one under test reads may be gas, however long ago the test began.
            return Decoded(_reached(spec, own) if overlay is Quality.UNDER_TEST else None, overlay)
        if _speaks(spec) or own.quality is not _GOOD:
            return own
        return Decoded(None if self._is_void(spec) else own.value, overlay)

    def _is_void(self, spec: PointSpec) -> bool:
        """Whether a status that names this very contact says that it means nothing now (an alarm bit that is not in use)."""
        naming = (
            (status, self._now.get(status.name, _UNREAD)) for status in self._statuses if spec.name in status.speaks_for
        )
        void = any(now.quality is Quality.GOOD and _says(one, now) is Quality.INVALID for one, now in naming)
        return void and spec.says_yes_or_no

    def _moved(self, name: str, seen: Decoded) -> bool:
        told = self._told.get(name)
        if told is None or told.quality is not seen.quality:
            return True
        if seen.value == told.value:
            return False
        spec = self._specs[name]
        if spec.point_class is PointClass.ALARM or not (_is_number(seen.value) and _is_number(told.value)):
            return True
        distance = abs(float(seen.value or 0) - float(told.value or 0))
        # The last digit of a scaled number may not hide a step of exactly the resolution.
        return distance > 0 and distance >= spec.resolution * (1 - 1e-9)

    def _stale(self, name: str, at: float) -> bool:
        return at - self._told[name].at >= self._refresh[name]


def _overlap(one: Block, other: Block) -> bool:
    """Whether both read something, so that the one may have said what the other has not."""
    apart = one.address + one.count <= other.address or other.address + other.count <= one.address
    return one.space is other.space and not apart


def _speaks(spec: PointSpec) -> bool:
    """Whether it is a status point, or a heartbeat: it says how far others may be believed."""
    return bool(spec.quality_of or spec.moves_within_ms)


def _speaks_for(status: PointSpec, point: PointSpec) -> bool:
    return status is point or not status.speaks_for or point.name in status.speaks_for


def _says(spec: PointSpec, status: Decoded) -> Quality:
    """Its own quality where that is bad; else what its value means: of several bits the first the profile lists."""
    if status.quality is not _GOOD:
        return status.quality
    values: Collection[Scalar | None] = (status.value,)
    if spec.bits and isinstance(status.value, str):
        values = status.value.split(",")
    return next((quality for value, quality in spec.quality_of if value in values), Quality.GOOD)


def _warm_up_s(device: ModbusDevice) -> float:
    """0 where the device itself says that it warms up."""
    told = any(quality is Quality.WARM_UP for spec in device.profile.points for _, quality in spec.quality_of)
    return 0 if told else device.profile.warm_up_ms / 1000


def _reached(spec: PointSpec, own: Decoded) -> Scalar | None:
    """How far a measured value has come at least, for a quality that says another thing of it: beyond the range it is as far as that."""
    if own.quality not in {_GOOD, *_BEYOND}:
        return None
    end = spec.high if own.quality is Quality.OVER_RANGE else spec.low
    return end if own.value is None else own.value


def _is_number(value: Scalar | None) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _measures(spec: PointSpec) -> bool:
    """Whether it is a number that alarms are judged by; a contact, a name or a slow number is beyond no range."""
    named = spec.enum or spec.bits or spec.type in {"string", "bits"}
    return spec.point_class is PointClass.ALARM and not named and not spec.says_yes_or_no


def _refresh_s(spec: PointSpec, max_age_ms: int) -> float:
    return refresh_s(spec, max_age_ms) if spec.point_class is PointClass.ALARM else REFRESH_S
