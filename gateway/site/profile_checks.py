"""What is right field by field in a device profile and wrong together. Pure.

Marks: a fault of a point stands at the line of the key it is about, so the reader of the point is made again from its node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.nodes import Faults, Reader, duration_text, nearest
from gateway.site.profile import Example, PointSpec, Profile, Space, Write
from gateway.site.profile_alarms import check_alarms
from gateway.site.profile_points import BYTES, FLOATS, PointType, refuse

_BIT = frozenset({Space.COIL, Space.DISCRETE})


def width(spec: PointSpec) -> int:
    """Registers (or bits) a point takes."""
    if spec.space in _BIT:
        return 1
    if spec.type in {PointType.STRING, PointType.BITS}:
        return spec.length
    return BYTES.get(PointType(spec.type), 2) // 2


def check_profile(profile: Profile, reader: Reader) -> None:
    """Every fault of the profile as a whole and of its points."""
    faults = reader.faults
    node = reader.node.mapping.get("points")
    nodes = node.mapping if node else {}
    points = {spec.name: spec for spec in profile.points}
    for spec in profile.points:
        # Read a second time only for its marks: what the fields themselves are has been said.
        point = Reader(nodes[spec.name], faults, f"{profile.id}.{spec.name}")
        _check_point(spec, point)
        _check_end(spec, point)
        _check_companions(spec, points, point)
    _check_reach(profile, reader, faults)
    check_alarms(profile, nodes, reader)
    _check_deeds(profile, points, reader)
    _check_examples(profile, points, reader)


def _check_point(spec: PointSpec, reader: Reader) -> None:
    faults = reader.faults
    bit = spec.space in _BIT
    if (spec.mask is not None or spec.shift) and (bit or spec.type in {*FLOATS, "string"}):
        faults.add(reader.mark("mask"), "fault.profile_mask_not_here", name=reader.name, type=spec.type)
    if spec.low is not None and spec.high is not None and spec.low >= spec.high:
        fields = {"low": spec.low, "high": spec.high}
        faults.add(reader.mark("high"), "fault.profile_low_not_below_high", name=reader.name, **fields)
    last = 0 if bit else _bits_of(spec) - 1
    for number, _ in spec.bits:
        if not 0 <= number <= last:
            faults.add(reader.mark("bits"), "fault.profile_bit_beyond", name=reader.name, given=number, high=last)
    if spec.true_above is not None and (spec.true_when is not None or spec.enum or spec.bits or bit):
        faults.add(reader.mark("true_above"), "fault.profile_not_both", name=reader.name, field="true_above")
    if spec.scale == 0:
        faults.add(reader.mark("scale"), "fault.profile_zero_scale", name=reader.name)
    _check_names(spec, reader)
    _check_writes(spec, reader)


def _bits_of(spec: PointSpec) -> int:
    if spec.type == PointType.BITS:
        return 16 * spec.length
    return 8 if spec.type.startswith(("uint8", "int8")) else 8 * BYTES.get(PointType(spec.type), 2)


def _check_names(spec: PointSpec, reader: Reader) -> None:
    """``true_when`` and ``quality_of`` speak of names that exist."""
    names: set[object] = {name for _, name in spec.enum} or {name for _, name in spec.bits}
    if spec.bits:
        names.add("")  # no bit set
    for key, used in (("true_when", spec.true_when or ()), ("quality_of", tuple(v for v, _ in spec.quality_of))):
        # With true_when the decoded value is yes or no, and quality_of speaks of that.
        expected = {True, False} if key == "quality_of" and spec.true_when is not None else names
        for value in used if expected else ():
            if value not in expected:
                near = nearest(str(value), [str(e) for e in expected])
                allowed = " | ".join(sorted(str(e) for e in expected if e != ""))
                refuse(reader, key, "fault.not_allowed", value, allowed=allowed, near=near)


def _check_writes(spec: PointSpec, reader: Reader) -> None:
    """One coil or one whole register is written and compared: a part of one, or several, would be written over."""
    faults = reader.faults
    if spec.writable and spec.space in {Space.DISCRETE, Space.INPUT}:
        faults.add(reader.mark("writable"), "fault.profile_read_only_space", name=reader.name, space=spec.space)
    whole = spec.space is not Space.HOLDING or spec.type in {PointType.UINT16, PointType.INT16}
    if spec.writable and (not whole or spec.mask is not None or spec.shift or spec.bits):
        faults.add(reader.mark("writable"), "fault.profile_not_one_register", name=reader.name)
    same_place = spec.write_on_address == spec.write_off_address
    if spec.write_on == spec.write_off and same_place:
        key = "write_on" if reader.has("write_on") else "write_off"
        faults.add(reader.mark(key), "fault.profile_same_write", name=reader.name, given=spec.write_on)
    if 0 < spec.pulse_ms < spec.repeat_ms:
        fields = {"repeat": spec.repeat_ms / 1000, "pulse": spec.pulse_ms / 1000}
        faults.add(reader.mark("repeat"), "fault.profile_repeat_too_late", name=reader.name, **fields)
    if spec.write_raw and spec.space is not Space.COIL:
        faults.add(reader.mark("write_raw"), "fault.profile_raw_not_here", name=reader.name)
    if spec.write_only and not spec.writable:
        faults.add(reader.mark("write_only"), "fault.needs", name=reader.name, field="write_only", other="writable")


def _check_end(spec: PointSpec, reader: Reader) -> None:
    """Its last register exists: addresses end at 65535 (Application Protocol 1.1b3, 4.4), and no device answers beyond."""
    highest = 0x10000 - width(spec)
    if spec.address > highest:
        key = "address" if reader.has("address") else "vendor"
        refuse(reader, key, "fault.profile_point_past_end", spec.address, high=highest)


def _check_companions(spec: PointSpec, points: Mapping[str, PointSpec], reader: Reader) -> None:
    """Points it names exist, are others, and lead to no circle."""
    for key, named in (("scale_by", [s.point for s in spec.scale_by]), ("speaks_for", spec.speaks_for)):
        for name in named:
            if name not in points or name == spec.name:
                near = nearest(name, points)
                refuse(
                    reader,
                    key,
                    "fault.not_allowed",
                    name,
                    allowed=" | ".join(sorted(set(points) - {spec.name})),
                    near=near,
                )
            elif key == "scale_by" and points[name].scale_by:
                refuse(reader, key, "fault.profile_scale_chain", name)


def _check_reach(profile: Profile, reader: Reader, faults: Faults) -> None:
    """No point may lie where the device must not be read, nor be longer than one read."""
    for spec in profile.points:
        size = width(spec)
        first, last = spec.address, spec.address + size - 1
        name = f"{profile.id}.{spec.name}"
        if spec.write_only:
            continue
        if any(low <= last and first <= high for low, high in profile.no_read):
            faults.add(reader.mark("no_read"), "fault.profile_point_not_readable", name=name)
        windows = [w for w in profile.windows if w.space is spec.space]
        if windows and not any(w.first <= first and last <= w.last for w in windows):
            faults.add(reader.mark("windows"), "fault.profile_point_outside", name=name)
        if size > profile.max_read:
            faults.add(reader.mark("max_read"), "fault.profile_point_too_long", name=name)
    for window in profile.windows:
        limit = profile.max_read * (16 if window.space in _BIT else 1)
        if window.exact and window.last - window.first + 1 > limit:
            faults.add(reader.mark("windows"), "fault.profile_point_too_long", name=f"{profile.id}.windows")


def _check_deeds(profile: Profile, points: Mapping[str, PointSpec], reader: Reader) -> None:
    for deed in (*profile.commissioning, profile.self_test, profile.reset):
        if deed is not None and deed.expect and deed.expect not in points:
            near = nearest(deed.expect, points)
            fields = {"given": deed.expect, "allowed": " | ".join(sorted(points)), "near": near}
            at = reader.mark(deed.name if reader.has(deed.name) else "commissioning")
            reader.faults.add(at, "fault.not_allowed", name=f"{profile.id}.{deed.name}", field="expect", **fields)


def _check_examples(profile: Profile, points: Mapping[str, PointSpec], reader: Reader) -> None:
    writable = {name: spec for name, spec in points.items() if spec.writable}
    for example in profile.examples:
        for name in (*example.gives, *example.qualities):
            _check_named(profile, example, "gives", name, points, reader)
        if example.write is not None:
            _check_named(profile, example, "writes", example.write.point, writable, reader)
            for key, fields in _about_write(profile, example, example.write, writable.get(example.write.point)):
                reader.faults.add(example.mark, key, name=f"{profile.id}.examples", **fields)


def _check_named(
    profile: Profile, example: Example, field: str, name: str, points: Mapping[str, PointSpec], reader: Reader
) -> None:
    if name not in points:
        fields = {"given": name, "allowed": " | ".join(sorted(points)), "near": nearest(name, points)}
        reader.faults.add(example.mark, "fault.not_allowed", name=f"{profile.id}.examples", field=field, **fields)


def _about_write(
    profile: Profile, example: Example, write: Write, spec: PointSpec | None
) -> Iterator[tuple[str, dict[str, object]]]:
    """A pulse is the point's own and no longer than it can be; all at once is told only what says that it listens."""
    if example.request[:1] == b"\0" and not profile.broadcast:
        yield "fault.needs", {"field": "request: 00 …", "other": "broadcast: true"}
    if spec is None or not write.pulse_ms:
        return
    if spec.flash is None:
        yield "fault.needs", {"field": "pulse", "other": f"{spec.name}.flash"}
    elif not spec.flash.step_ms <= write.pulse_ms <= spec.flash.step_ms * spec.flash.most:
        bounds = {"low": spec.flash.step_ms, "high": spec.flash.step_ms * spec.flash.most}
        said = {key: duration_text(ms) for key, ms in {"given": write.pulse_ms, **bounds}.items()}
        yield "fault.out_of_bounds", {"field": "pulse", **said}
