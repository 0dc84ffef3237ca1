"""Reads a device profile: YAML nodes to ``Profile``, every fault at once. Pure; no file is opened here.

The same reader serves the profiles shipped in ``gateway/drivers/profiles`` and those an installer puts beside the site
file, so a mistake in either is shown with its line.
"""

from __future__ import annotations

import re
from enum import StrEnum

from gateway.events import Quality, Scalar
from gateway.nodes import Faults, Node, Reader, nearest
from gateway.site.profile import PointClass, PointSpec, Profile, Space

_ID = r"[a-z0-9]+(-[a-z0-9]+)*"
_POINT = r"[a-z][a-z0-9_]*"
_LETTERS = "ABCDEFGH"
_FAMILIES = {"ABCD", "CDAB", "BADC", "DCBA"}
_FLOATS = {"float32", "float64"}


class _Kind(StrEnum):
    GAS = "gas-detector"
    SMOKE = "smoke-detector"
    CO = "co-detector"
    AIR = "air-sensor"
    RELAY = "relay"
    WATER = "water-detector"
    OTHER = "other"


class _Status(StrEnum):
    MANUAL = "manual"
    FIELD = "field"
    UNVERIFIED = "unverified"


class _Parity(StrEnum):
    NONE = "none"
    EVEN = "even"
    ODD = "odd"


class _Type(StrEnum):
    """Every type the decoder knows; a test holds the two lists together."""

    UINT8H = "uint8h"
    UINT8L = "uint8l"
    INT8H = "int8h"
    INT8L = "int8l"
    UINT16 = "uint16"
    INT16 = "int16"
    UINT32 = "uint32"
    INT32 = "int32"
    UINT64 = "uint64"
    INT64 = "int64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BITS = "bits"
    STRING = "string"


_BYTES = {_Type.UINT32: 4, _Type.INT32: 4, _Type.FLOAT32: 4, _Type.UINT64: 8, _Type.INT64: 8, _Type.FLOAT64: 8}


def read_profile(node: Node, faults: Faults) -> Profile:
    """The profile a YAML document describes; what is wrong with it is added to ``faults`` and replaced by a default."""
    named = node.mapping.get("id")
    name = str(named.value) if named else "profile"
    reader = Reader(node, faults, name)
    identity = reader.take_text("id", required=True, pattern=_ID)
    zh, en = _names(reader, faults, name)
    kind = reader.take_choice("kind", _Kind, _Kind.OTHER, required=True)
    status = reader.take_choice("status", _Status, _Status.UNVERIFIED, required=True)
    source = reader.take_text("source", required=True)
    points = reader.take_each("points", lambda point, child: _point(point, child, faults, name))
    if not points:
        faults.add(reader.mark("points"), "fault.profile_without_points", name=name)
    profile = Profile(
        identity, kind.value, zh, en, status.value, source, tuple(points.values()),
        max_read=reader.take_int("max_read", 125, low=1, high=125),
        max_hole=reader.take_int("max_hole", 8, high=124),
        no_read=_ranges(reader, faults, name),
        bit_step=reader.take_int("bit_step", 1, low=1, high=2000),
        guard_ms=reader.take_duration("guard", 0, high=5_000),
        timeout_ms=reader.take_duration("timeout", 300, low=20, high=3_000),
        baud=reader.take_int("baud", 9600, low=300, high=1_000_000),
        parity=reader.take_choice("parity", _Parity, _Parity.NONE).value,
        stop_bits=reader.take_int("stop_bits", 1, low=1, high=2),
        ex_rated=reader.take_flag("ex_rated"),
        warm_up_ms=reader.take_duration("warm_up"),
    )  # fmt: skip
    reader.done()
    _check_reach(profile, reader, faults)
    return profile


def _names(reader: Reader, faults: Faults, name: str) -> tuple[str, str]:
    node = reader.take("name", required=True)
    if node is None:
        return "", ""
    names = Reader(node, faults, name)
    both = names.take_text("zh", required=True), names.take_text("en", required=True)
    names.done()
    return both


def _point(point: str, node: Node, faults: Faults, profile: str) -> PointSpec:
    reader = Reader(node, faults, f"{profile}.{point}")
    if not re.fullmatch(_POINT, point):
        faults.add(node.mark, "fault.bad_form", name=profile, field="points", given=point, form="a-z 0-9 _")
    space = reader.take_choice("space", Space, Space.HOLDING, required=True)
    kind = reader.take_choice("type", _Type, _Type.UINT16)
    mask = _whole(reader, "mask")
    write_on, write_off = _writes(reader, space)
    spec = PointSpec(
        name=point, space=space, address=_address(reader), type=kind.value, order=_order(reader, kind),
        length=reader.take_int("length", 1, low=1, high=125),
        mask=mask, shift=reader.take_int("shift", 0, high=63),
        scale=reader.take_number("scale", 1), offset=reader.take_number("offset", 0),
        unit=reader.take_text("unit"), resolution=reader.take_number("resolution", 0, low=0),
        low=reader.take_number("low") if reader.has("low") else None,
        high=reader.take_number("high") if reader.has("high") else None,
        invalid=tuple((float(raw) if raw % 1 else int(raw), q) for raw, q in _qualities(reader, "invalid", number=True)),
        enum=_named(reader, "enum"), bits=_named(reader, "bits"),
        quality_of=_qualities(reader, "quality_of"), true_when=_scalars(reader, "true_when"),
        point_class=reader.take_choice("class", PointClass, PointClass.NORMAL),
        period_ms=reader.take_duration("period", 0, low=50),
        writable=reader.take_flag("writable"),
        write_on=write_on, write_off=write_off,
    )  # fmt: skip
    reader.done()
    _check_point(spec, reader, faults)
    return spec


def _refuse(reader: Reader, key: str, fault: str, given: object, **fields: object) -> None:
    reader.faults.add(reader.mark(key), fault, name=reader.name, field=key, given=given, **fields)


def _whole(reader: Reader, key: str, default: int | None = None) -> int | None:
    """A whole number; hexadecimal may stand in quotes or not, as manuals print it."""
    node = reader.take(key)
    if node is None:
        return default
    number = _number(node.value)
    if number is None or number % 1:
        _refuse(reader, key, "fault.not_whole", node.value)
        return default
    return int(number)


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return None
    for parse in (lambda text: int(text, 0), float):
        try:
            number = parse(value)
        except ValueError:
            continue
        return number if abs(number) < float("inf") else None
    return None


def _address(reader: Reader) -> int:
    address = _whole(reader, "address")
    if address is None:
        if not reader.has("address"):
            reader.faults.add(reader.node.mark, "fault.missing", name=reader.name, field="address")
        return 0
    if not 0 <= address < 0x10000:
        _refuse(reader, "address", "fault.out_of_bounds", address, low=0, high=0xFFFF)
        return 0
    if 30_001 <= address <= 39_999 or 40_001 <= address <= 49_999:
        # Manuals number input registers from 30001 and holding registers from 40001; the wire counts from 0.
        reader.faults.warn(reader.mark("address"), "fault.profile_counted_address", name=reader.name, given=address)
    return address


def _writes(reader: Reader, space: Space) -> tuple[int, int]:
    """What goes on the wire for on and off: a register's 16 bits, or a coil's one."""
    on, off = _whole(reader, "write_on", 1), _whole(reader, "write_off", 0)
    high = 1 if space is Space.COIL else 0xFFFF
    refused = [(k, v) for k, v in (("write_on", on), ("write_off", off)) if v is None or not 0 <= v <= high]
    for key, value in refused:
        _refuse(reader, key, "fault.out_of_bounds", value, low=0, high=high)
    if refused or on is None or off is None:
        return 1, 0
    if on == off:
        key = "write_on" if reader.has("write_on") else "write_off"
        reader.faults.add(reader.mark(key), "fault.profile_same_write", name=reader.name, given=on)
    return on, off


def _order(reader: Reader, kind: _Type) -> str:
    order = reader.take_text("order").upper()
    size = _BYTES.get(kind, 2)
    if order and order not in _FAMILIES and sorted(order) != list(_LETTERS[:size]):
        _refuse(reader, "order", "fault.not_allowed", order, allowed=" | ".join(sorted(_FAMILIES)), near="")
        return ""
    return order


def _qualities(reader: Reader, key: str, *, number: bool = False) -> tuple[tuple[Scalar, Quality], ...]:
    """A mapping of values to qualities."""
    node = reader.take(key)
    if node is None:
        return ()
    pairs: list[tuple[Scalar, Quality]] = []
    known = [str(quality) for quality in Quality]
    for raw, child in node.mapping.items():
        value = _number(raw) if number else _scalar(raw)
        if value is None:
            _refuse(reader, key, "fault.not_number", raw)
        elif child.value not in known:
            near = nearest(str(child.value), known)
            _refuse(reader, key, "fault.not_allowed", child.value, allowed=" | ".join(known), near=near)
        else:
            pairs.append((value, Quality(str(child.value))))
    if not node.mapping:
        _refuse(reader, key, "fault.not_a_mapping", node.value)
    return tuple(pairs)


def _scalar(raw: object) -> Scalar:
    """A mapping key as the decoded value it stands for: a number, yes or no, or a name."""
    if isinstance(raw, bool | int | float):
        return raw
    if str(raw).lower() in {"true", "false"}:
        return str(raw).lower() == "true"
    number = _number(raw)
    return str(raw) if number is None else number


def _named(reader: Reader, key: str) -> tuple[tuple[int, str], ...]:
    """A mapping of whole numbers to names."""
    node = reader.take(key)
    if node is None:
        return ()
    if not node.mapping:
        _refuse(reader, key, "fault.not_a_mapping", node.value)
    pairs: list[tuple[int, str]] = []
    for raw, child in node.mapping.items():
        number = _number(raw)
        if number is None or number % 1:
            _refuse(reader, key, "fault.not_whole", raw)
        elif not isinstance(child.value, str):
            _refuse(reader, key, "fault.not_text", child.value)
        else:
            pairs.append((int(number), child.value))
    return tuple(pairs)


def _scalars(reader: Reader, key: str) -> tuple[Scalar, ...] | None:
    node = reader.take(key)
    if node is None:
        return None
    values = [child.value for child in node.items] if isinstance(node.value, list) else [node.value]
    if not values or not all(isinstance(value, bool | int | float | str) for value in values):
        _refuse(reader, key, "fault.not_text_list", node.value)
        return None
    return tuple(value for value in values if isinstance(value, bool | int | float | str))


def _ranges(reader: Reader, faults: Faults, name: str) -> tuple[tuple[int, int], ...]:
    """``no_read: [[13, 14], 20]``: closed ranges, or single addresses."""
    node = reader.take("no_read")
    ranges: list[tuple[int, int]] = []
    for item in node.items if node else []:
        ends = [_number(end.value) for end in item.items] if item.items else [_number(item.value)]
        whole = [int(end) for end in ends if end is not None and not end % 1]
        if len(whole) != len(ends) or len(whole) > 2 or whole[0] > whole[-1]:
            faults.add(item.mark, "fault.profile_bad_range", name=name, field="no_read")
        else:
            ranges.append((whole[0], whole[-1]))
    return tuple(ranges)


def _check_point(spec: PointSpec, reader: Reader, faults: Faults) -> None:
    """What is right field by field but wrong together."""
    bit = spec.space in {Space.COIL, Space.DISCRETE}
    if (spec.mask is not None or spec.shift) and (bit or spec.type in {*_FLOATS, "string"}):
        faults.add(reader.mark("mask"), "fault.profile_mask_not_here", name=reader.name, type=spec.type)
    if spec.writable and spec.space in {Space.DISCRETE, Space.INPUT}:
        faults.add(reader.mark("writable"), "fault.profile_read_only_space", name=reader.name, space=spec.space)
    if spec.writable:
        _check_writable(spec, reader, faults)
    if spec.low is not None and spec.high is not None and spec.low >= spec.high:
        faults.add(
            reader.mark("high"), "fault.profile_low_not_below_high", name=reader.name, low=spec.low, high=spec.high
        )
    last = 0 if bit else _bits_of(spec) - 1
    for number, _ in spec.bits:
        if not 0 <= number <= last:
            faults.add(reader.mark("bits"), "fault.profile_bit_beyond", name=reader.name, given=number, high=last)
    if spec.scale == 0:
        faults.add(reader.mark("scale"), "fault.profile_zero_scale", name=reader.name)
    names = {name for _, name in spec.enum}
    for key, used in (("true_when", spec.true_when or ()), ("quality_of", tuple(v for v, _ in spec.quality_of))):
        # With true_when the decoded value is yes or no, and quality_of speaks of that.
        expected = {True, False} if key == "quality_of" and spec.true_when is not None else names
        for value in used if expected else ():
            if value not in expected:
                near = nearest(str(value), [str(e) for e in expected])
                allowed = " | ".join(sorted(str(e) for e in expected))
                _refuse(reader, key, "fault.not_allowed", value, allowed=allowed, near=near)


def _bits_of(spec: PointSpec) -> int:
    if spec.type == _Type.BITS:
        return 16 * spec.length
    return 8 if "8" in spec.type else 8 * _BYTES.get(_Type(spec.type), 2)


def _check_writable(spec: PointSpec, reader: Reader, faults: Faults) -> None:
    """One coil or one whole register is written and compared: a part of one, or several, would be written over."""
    whole = spec.space is not Space.HOLDING or spec.type in {_Type.UINT16, _Type.INT16}
    if not whole or spec.mask is not None or spec.shift or spec.bits:
        faults.add(reader.mark("writable"), "fault.profile_not_one_register", name=reader.name)


def _check_reach(profile: Profile, reader: Reader, faults: Faults) -> None:
    """No point may lie where the device must not be read, nor be longer than one read."""
    for spec in profile.points:
        bit = spec.space in {Space.COIL, Space.DISCRETE}
        size = 1 if bit else spec.length if spec.type in {"string", "bits"} else _BYTES.get(_Type(spec.type), 2) // 2
        if any(first < spec.address + size and spec.address <= last for first, last in profile.no_read):
            faults.add(reader.mark("no_read"), "fault.profile_point_not_readable", name=f"{profile.id}.{spec.name}")
        if size > profile.max_read:
            faults.add(reader.mark("max_read"), "fault.profile_point_too_long", name=f"{profile.id}.{spec.name}")
