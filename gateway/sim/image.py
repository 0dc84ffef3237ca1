"""What a product's registers hold: a device of any profile, as plain tables that may be changed while they are being read.

The profile is the installer's knowledge and is shared; how its words are spelled is our own idea, and shares nothing with the
decoder in ``gateway/drivers``, so that the two can disagree. Pure but for the tables of the ``SimUnit``.

Theory. Points may share a register (a status code, its alarm bits), so a quiet device is a puzzle: a value for each word such
that every alarm contact says no and no status speaks ill of the others. It is solved by trying.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping

from gateway.events import Quality, Scalar
from gateway.sim.modbus import SimUnit
from gateway.site.profile import PointSpec, Profile, Space

_TYPICAL: Mapping[str, float] = {
    "°C": 22.0,
    "%RH": 50.0,
    "V": 225.0,
    "Hz": 50.0,
    "%": 90.0,
    "kPa": 101.0,
    "hPa": 1013.0,
}
_TYPICAL_OF: Mapping[str, float] = {"co2": 620.0, "oxygen": 20.9, "o2": 20.9, "pm25": 18.0, "pm10": 30.0, "tvoc": 90.0}
"""A quiet day, by unit and by name; everything else rests at zero, or at its lowest."""
_STRUCTS = {
    "uint16": ">H", "int16": ">h", "uint32": ">I", "int32": ">i", "uint64": ">Q", "int64": ">q", "float32": ">f", "float64": ">d",
}  # fmt: skip
_CALM = ("ok", "normal", "idle", "good", "run", "running", "measuring", "closed", "off")
"""Names of states that manuals give to a device at rest."""


class CannotSimulate(ValueError):
    """No word of this device says that."""


class NotThere(CannotSimulate):
    """The site file has no such thing; names its kind (button, device, door, output) and it."""


class Image:
    """One device: its points by name over the tables of ``unit``."""

    def __init__(self, profile: Profile, unit: SimUnit, twin: Image | None = None) -> None:
        """``twin``: a quiet one of the same product, so that the puzzle is solved once; a compound has sixty of one kind."""
        self.profile, self.unit = profile, unit
        self.points = {point.name: point for point in profile.points}
        if twin is None:
            self._lay_out()
            for group in _sharing(profile.points):
                self._calm(group)
        else:
            for mine, its in zip(self._tables().values(), twin._tables().values(), strict=True):  # noqa: SLF001
                mine.update(its)

    def put(self, name: str, value: Scalar | None, quality: Quality = Quality.GOOD) -> None:
        """Let a point read as this value with this quality. Raises CannotSimulate."""
        point = self.points.get(name)
        if point is None:
            raise CannotSimulate(name)
        if value is not None:
            self._set(point, self._number(point, value))
        if quality is not Quality.GOOD:
            self._degrade(point, quality)
        elif value is None:
            raise CannotSimulate(f"{name} = none")
        else:
            self._vouch(point)

    def get(self, name: str) -> Scalar | None:
        """What a point reads as, by our own reading; None for what is no value."""
        return self._meaning(self.points[name])

    def show(self, name: str, number: int) -> None:
        """Let the words read back as this raw number: what a relay shows once it has moved."""
        self._set(self.points[name], number)

    def is_number(self, name: str) -> bool:
        """Whether the point measures something that can waver."""
        point = self.points[name]
        return _is_number(point) and not point.writable and not point.scale_by and not point.moves_within_ms

    def beat(self) -> None:
        """Whatever must move lest the device seem to hang, moves."""
        for point in self.points.values():
            if point.moves_within_ms:
                self._set(point, (int(self._raw(point)) + 1) % 256)

    # Laying out ---------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        """Every address between the first and the last of a table answers, but for what must never be read."""
        for space, table in self._tables().items():
            used = [address for point in self.profile.points if point.space is space for address in _addresses(point)]
            if not used:
                continue
            step = self.profile.bit_step if space in {Space.COIL, Space.DISCRETE} else 1
            last = max(used) + (-(max(used) - min(used) + 1)) % step
            table.update(
                (address, 0)
                for address in range(min(used), last + 1)
                if address in used or not any(low <= address <= high for low, high in self.profile.no_read)
            )

    def _calm(self, group: tuple[PointSpec, ...]) -> None:
        """A quiet state of points that share words."""
        for point in sorted(group, key=lambda one: (bool(one.scale_by), bool(one.quality_of))):
            wanted = self._scale_told(point)
            wanted = _rest(point) if wanted is None else wanted
            if wanted is not None:
                self._set(point, self._number(point, wanted))
        if self._is_calm(group):
            return
        first = min((point for point in group), key=_breadth)
        for number in _guesses(first):
            if self._spells(first, number) and self._is_calm(group):
                return

    def _scale_told(self, point: PointSpec) -> Scalar | None:
        """For a point that tells how others read: the plainest thing it can say. None: it tells nothing."""
        factors = [
            factor
            for other in self.points.values()
            for scaling in other.scale_by
            if scaling.point == point.name
            for factor in scaling.factors
        ]
        return next((one.when for one in sorted(factors, key=lambda one: one.factor != 1)), None)

    def _is_calm(self, group: Iterable[PointSpec]) -> bool:
        return all(self._rests(point) for point in group)

    def _rests(self, point: PointSpec) -> bool:
        meaning = self._meaning(point)
        if point.quality_of:
            return _quality_said(point, meaning) is Quality.GOOD
        return meaning is False if _is_flag(point) else meaning is not None

    # Words --------------------------------------------------------------------------------------------

    def _tables(self) -> dict[Space, dict[int, int]]:
        unit = self.unit
        return {
            Space.COIL: unit.coils,
            Space.DISCRETE: unit.discrete,
            Space.HOLDING: unit.holding,
            Space.INPUT: unit.input,
        }

    def _bytes(self, point: PointSpec) -> bytearray:
        """The point's bytes, highest first."""
        table = self._tables()[point.space]
        wire = b"".join(table[address].to_bytes(2, "big") for address in _addresses(point))
        arranged = bytearray(len(wire))
        for byte, place in zip(wire, _significance(point.order, len(wire)), strict=True):
            arranged[place] = byte
        return arranged

    def _store(self, point: PointSpec, data: bytes) -> None:
        table = self._tables()[point.space]
        wire = bytes(data[place] for place in _significance(point.order, len(data)))
        for n, address in enumerate(_addresses(point)):
            table[address] = int.from_bytes(wire[2 * n : 2 * n + 2], "big")

    def _raw(self, point: PointSpec) -> float:
        """The number the words spell, before scale and names."""
        if point.space in {Space.COIL, Space.DISCRETE}:
            return self._tables()[point.space][point.address]
        data = bytes(self._bytes(point))
        if point.mask is not None or point.shift:
            pattern = int.from_bytes(_byte_of(point, data), "big")
            return (pattern & (point.mask if point.mask is not None else -1)) >> point.shift
        if point.type in _STRUCTS:
            return float(struct.unpack(_STRUCTS[point.type], data)[0])
        if point.type.startswith("bcd"):
            return int(data.hex()) if data.hex().isdecimal() else -1
        if point.type.startswith("sign"):
            whole, top = int.from_bytes(data, "big"), 1 << (8 * len(data) - 1)
            return -(whole - top) if whole & top else whole
        return int.from_bytes(_byte_of(point, data), "big", signed=point.type.startswith("int8"))

    def _set(self, point: PointSpec, number: float) -> None:
        """Spell a number into the words, and leave what other points have in them."""
        if point.space in {Space.COIL, Space.DISCRETE}:
            self._tables()[point.space][point.address] = int(bool(number))
            return
        data = self._bytes(point)
        try:
            if point.mask is not None or point.shift:
                part = _byte_of(point, data)
                mask = point.mask if point.mask is not None else (1 << 8 * len(part)) - 1 >> point.shift << point.shift
                pattern = int.from_bytes(part, "big") & ~mask | (int(number) << point.shift) & mask
                spelled = pattern.to_bytes(len(part), "big")
            else:
                spelled = _spelled(point, number, len(data))
        except (struct.error, OverflowError, ValueError):
            raise CannotSimulate(f"{point.name} = {number:g}") from None
        if point.type.endswith("8h"):
            data[0:1] = spelled
        elif point.type.endswith("8l"):
            data[1:2] = spelled
        else:
            data[:] = spelled
        self._store(point, bytes(data))

    def _spells(self, point: PointSpec, number: float) -> bool:
        """Set it, if the words can hold it."""
        try:
            self._set(point, number)
        except CannotSimulate:
            return False
        return True

    # Meaning ------------------------------------------------------------------------------------------

    def _meaning(self, point: PointSpec) -> Scalar | None:
        raw = self._raw(point)
        if point.type == "string":
            return ""
        if any(raw == bad for bad, _ in point.invalid):
            return None
        value: Scalar | None
        if point.enum:
            value = next((name for code, name in point.enum if code == raw), None)
        elif point.bits:
            names = [name for bit, name in sorted(point.bits) if int(raw) >> bit & 1]
            if point.true_when is not None:
                return any(name in point.true_when for name in names or [""])
            value = ",".join(names)
        elif point.space in {Space.COIL, Space.DISCRETE}:
            value = bool(raw)
        else:
            value = raw * point.scale + point.offset
            for factor in self._factors(point):
                value = value * factor[0] + factor[1]
            if (above := point.true_above) is not None:
                return value > above
        return value if value is None or point.true_when is None else value in point.true_when

    def _number(self, point: PointSpec, value: Scalar) -> float:
        """The raw number that reads as ``value``. Raises CannotSimulate."""
        if _is_flag(point):
            return self._flag(point, bool(value))
        if isinstance(value, str):
            found = next((code for code, name in point.enum if name == value), None)
            if found is None and point.bits:
                return sum(1 << bit for bit, name in point.bits if name in value.split(","))
            if found is None:
                raise CannotSimulate(f"{point.name} = {value}")
            return found
        if point.enum or point.bits:
            raise CannotSimulate(f"{point.name} = {value}")
        number = float(value)
        for factor, offset in reversed(self._factors(point)):
            number = (number - offset) / factor
        number = (number - point.offset) / point.scale
        return number if point.type.startswith("float") else round(number)

    def _flag(self, point: PointSpec, wanted: bool) -> float:
        """The raw number, as mild as possible, that reads as yes or no."""
        before = self._raw(point)
        options = list(dict.fromkeys([before, *_guesses(point)]))
        found = []
        for place, number in enumerate(options):
            if self._spells(point, number) and self._meaning(point) is wanted:
                found.append((self._alarms(), place, number))
                if not found[-1][0]:  # none is milder, and the devices answer nobody meanwhile
                    break
        self._set(point, before)
        if not found:
            raise CannotSimulate(f"{point.name} = {str(wanted).lower()}")
        return min(found)[2]

    def _alarms(self) -> int:
        """How many contacts say yes, and how many statuses speak ill."""
        return sum(not self._rests(point) for point in self.points.values() if _is_flag(point) or point.quality_of)

    def _factors(self, point: PointSpec) -> list[tuple[float, float]]:
        found = []
        for scaling in point.scale_by:
            said = self.get(scaling.point)
            factor = next((one for one in scaling.factors if one.when == said), None)
            if factor is None:
                raise CannotSimulate(f"{scaling.point} says nothing of {point.name}")
            found.append((factor.factor, factor.offset))
        return found

    # Quality ------------------------------------------------------------------------------------------

    def _degrade(self, point: PointSpec, quality: Quality) -> None:
        """A sentinel of the point, its range, or the status that speaks for it."""
        sentinel = next((raw for raw, said in point.invalid if said is quality), None)
        edges = {Quality.OVER_RANGE: point.high, Quality.UNDER_RANGE: point.low}
        edge = edges.get(quality)
        if sentinel is not None:
            self._set(point, sentinel)
        elif edge is not None:
            self._set(point, self._number(point, edge + (1 if quality is Quality.OVER_RANGE else -1)))
        else:
            for status in self._statuses(point):
                said = next((word for word, meant in status.quality_of if meant is quality), None)
                if said is not None:
                    self._set(status, self._number(status, said))
                    return
            raise CannotSimulate(f"{point.name} [{quality.value}]")

    def _vouch(self, point: PointSpec) -> None:
        """The statuses that speak for a point speak well of it again."""
        for status in self._statuses(point):
            if status.name != point.name and not self._rests(status):
                self._calm(
                    (status, *(one for one in self.points.values() if one is not status and _meets(status, one)))
                )

    def _statuses(self, point: PointSpec) -> Iterator[PointSpec]:
        for status in self.points.values():
            if status.quality_of and status.name != point.name and point.name in (status.speaks_for or self.points):
                yield status


def _is_flag(point: PointSpec) -> bool:
    return point.says_yes_or_no


def _is_number(point: PointSpec) -> bool:
    return not (_is_flag(point) or point.enum or point.bits or point.type == "string")


def _rest(point: PointSpec) -> Scalar | None:
    """The value of a quiet day; None where only trying can tell."""
    if _is_flag(point):  # of a status that is a contact, the answer that speaks well of the others
        return dict(point.quality_of).get(False, Quality.GOOD) is not Quality.GOOD
    if point.enum:
        names = [name for _, name in point.enum if _quality_said(point, name) is Quality.GOOD]
        calm = [name for name in names if name in _CALM]
        return next(iter(calm + names), None)
    if point.bits or point.type == "string":
        return None
    wanted = _TYPICAL_OF.get(point.name, _TYPICAL.get(point.unit, 0.0))
    low = point.low if point.low is not None else wanted
    high = point.high if point.high is not None else wanted
    return min(max(wanted, low), high)


def _quality_said(status: PointSpec, said: Scalar | None) -> Quality:
    """What a status says of the others; the worst of its names where it is a field of bits."""
    if said is None:
        return Quality.INVALID
    spoken = said.split(",") if isinstance(said, str) and status.bits else [said]
    known = dict(status.quality_of)
    return next((known[word] for word in spoken if known.get(word, Quality.GOOD) is not Quality.GOOD), Quality.GOOD)


def _guesses(point: PointSpec) -> list[float]:
    """Raw numbers worth trying: named ones first, then small ones, single bits and their opposites."""
    named = [code for code, _ in point.enum]
    asked = [int(value) for value in point.true_when or () if not isinstance(value, str)]
    above = point.true_above
    asked += [] if above is None else [int((above + 1 - point.offset) / point.scale)]
    bits = 1 if point.space in {Space.COIL, Space.DISCRETE} else 8 if point.type.endswith(("8h", "8l")) else 16
    if point.mask is not None:
        bits = (point.mask >> point.shift).bit_length()
    singles = [1 << bit for bit in range(bits)]
    whole = (1 << bits) - 1
    small = list(range(min(256, whole + 1)))
    return [*named, *asked, *small, *singles, *(whole ^ one for one in singles), whole]


def _breadth(point: PointSpec) -> int:
    """Who spells the whole word is tried first."""
    return (point.mask is not None) + point.type.endswith(("8h", "8l")) + (not point.enum)


def _addresses(point: PointSpec) -> range:
    if point.space in {Space.COIL, Space.DISCRETE}:
        return range(point.address, point.address + 1)
    if point.type in {"string", "bits"}:
        return range(point.address, point.address + max(1, point.length))
    words = 4 if point.type.endswith("64") else 2 if point.type.endswith("32") else 1
    return range(point.address, point.address + words)


def _meets(one: PointSpec, two: PointSpec) -> bool:
    return one.space is two.space and bool(set(_addresses(one)) & set(_addresses(two)))


def _sharing(points: Iterable[PointSpec]) -> list[tuple[PointSpec, ...]]:
    """Points in groups that share words; those that tell others' scale come first."""
    groups: list[list[PointSpec]] = []
    for point in points:
        met = [group for group in groups if any(_meets(point, one) for one in group)]
        groups = [group for group in groups if group not in met]
        groups.append([point, *(one for group in met for one in group)])
    return [tuple(group) for group in sorted(groups, key=lambda group: any(one.scale_by for one in group))]


def _significance(order: str, size: int) -> list[int]:
    """For each byte of the wire, how significant it is, 0 the highest."""
    letters = order.upper()
    if len(letters) == size and letters not in {"ABCD", "CDAB", "BADC", "DCBA"}:
        return [ord(letter) - ord("A") for letter in letters]
    places = list(range(size))
    words = [places[n : n + 2] for n in range(0, size, 2)]
    if letters in {"CDAB", "DCBA"}:
        words.reverse()
    if letters in {"BADC", "DCBA", "BA"}:
        words = [word[::-1] for word in words]
    return [place for word in words for place in word]


def _byte_of(point: PointSpec, data: bytes | bytearray) -> bytes:
    if point.type.endswith("8h"):
        return bytes(data[:1])
    return bytes(data[1:2]) if point.type.endswith("8l") else bytes(data)


def _spelled(point: PointSpec, number: float, size: int) -> bytes:
    kind = point.type
    if kind in _STRUCTS:
        return struct.pack(_STRUCTS[kind], number if kind.startswith("float") else int(number))
    if kind.startswith("bcd"):
        return bytes.fromhex(f"{int(number):0{2 * size}d}")
    if kind.startswith("sign"):
        whole = abs(int(number)) | (1 << (8 * size - 1) if number < 0 else 0)
        return whole.to_bytes(size, "big")
    if kind == "string":
        return bytes(size)
    single = 1 if kind.endswith(("8h", "8l")) else size
    return int(number).to_bytes(single, "big", signed=number < 0)
