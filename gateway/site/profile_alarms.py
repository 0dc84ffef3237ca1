"""Where the danger of a point lies, and whether all that a profile says of it agrees. Pure.

A measured value is dangerous above its set points, below them (lack of oxygen), or on both sides; a status names the codes or
bits that are alarms. What the built-in rules hear are points that say yes or no, and each of these picks codes of its own:
a code forgotten there would be an alarm that nobody hears, so both lists are held beside each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from gateway.nodes import Node, Reader, nearest
from gateway.site.profile import Danger, PointClass, PointSpec, Profile, SetPoints
from gateway.site.profile_points import refuse

GAS_LOW_LEAST, GAS_LOW_MOST, GAS_HIGH_MOST = 5, 25, 50
"""%LEL: GB 15322.2-2019 low 5 to 25; GB/T 50493-2019 level 1 <= 25, level 2 <= 50 (contract, Built-in rules)."""


def check_alarms(profile: Profile, nodes: Mapping[str, Node], reader: Reader) -> None:
    """Faults of ``alarm_when`` and ``set_points``; ``nodes`` are the points as they stand in the file."""
    readers = {name: Reader(node, reader.faults, f"{profile.id}.{name}") for name, node in nodes.items()}
    for spec in profile.points:
        _check_side(spec, readers[spec.name])
        if spec.alarm_names:
            _check_told(spec, profile.points, readers)
    if profile.set_points is not None:
        inner = Reader(reader.node.mapping["set_points"], reader.faults, f"{profile.id}.set_points")
        _check_set_points(profile, profile.set_points, inner)


def _check_side(spec: PointSpec, reader: Reader) -> None:
    if spec.alarm_when is not None and not spec.measures:
        refuse(reader, "alarm_when", "fault.profile_side_not_here", spec.alarm_when)
    known = [name for _, name in (*spec.enum, *spec.bits)] or [side.value for side in Danger]
    for name in spec.alarm_names:
        if name not in known:
            refuse(
                reader, "alarm_when", "fault.not_allowed", name, allowed=" | ".join(known), near=nearest(name, known)
            )


# Codes ----------------------------------------------------------------------------------------------


def _check_told(status: PointSpec, points: Iterable[PointSpec], readers: Mapping[str, Reader]) -> None:
    """The alarms a status names are those at which a point of class alarm that reads the same words says yes."""
    beside = [spec for spec in points if _picks_codes(spec) and _same_words(spec, status)]
    if not beside:
        return
    names = dict((*status.enum, *status.bits))
    alarms = {raw for raw, name in names.items() if name in status.alarm_names}
    bad = {raw for raw, name in names.items() if name in dict(status.quality_of)}
    heard = {raw for spec in beside for raw in _codes(spec)}
    if missing := alarms - heard:
        refuse(readers[status.name], "alarm_when", "fault.profile_alarm_unheard", _said(missing, names))
    for spec in beside:
        if more := set(_codes(spec)) - alarms - bad:  # beyond its range a status may alarm, and be doubted
            refuse(
                readers[spec.name], "true_when", "fault.profile_alarm_untold", _said(more, names), status=status.name
            )


def _picks_codes(spec: PointSpec) -> bool:
    return spec.point_class is PointClass.ALARM and spec.true_when is not None and not spec.quality_of


def _same_words(one: PointSpec, two: PointSpec) -> bool:
    def place(spec: PointSpec) -> tuple[object, ...]:
        return spec.space, spec.address, spec.type, spec.length, spec.order, spec.mask, spec.shift

    return place(one) == place(two)


def _codes(spec: PointSpec) -> Iterator[int]:
    """The raw codes (or numbers of bits) at which a point says yes."""
    names = {name: raw for raw, name in (*spec.enum, *spec.bits)}
    for value in spec.true_when or ():
        if isinstance(value, str):
            yield from [names[value]] if value in names else []
        else:
            yield int(value)


def _said(codes: Iterable[int], names: Mapping[int, str]) -> str:
    return ", ".join(names.get(code, str(code)) for code in sorted(codes))


# Set points -----------------------------------------------------------------------------------------


def _check_set_points(profile: Profile, found: SetPoints, inner: Reader) -> None:
    """The second stage lies further into the danger; gas in %LEL alarms within the bounds of the standards."""
    spec = profile.measured
    given = [("low", found.low), ("high", found.high)]
    falls = spec is not None and spec.alarm_when is Danger.BELOW
    if found.low is not None and found.high is not None:
        low, high = f"{found.low:g}", f"{found.high:g}"
        if falls and found.high >= found.low:
            refuse(inner, "high", "fault.profile_falling_set_points", high, low=low)
        elif not falls and found.low >= found.high:
            inner.faults.add(
                inner.mark("high"), "fault.profile_low_not_below_high", name=inner.name, low=low, high=high
            )
    most = {"low": GAS_LOW_MOST, "high": GAS_HIGH_MOST}
    if profile.kind == "gas-detector" and spec is not None and spec.name == "gas" and spec.unit == "%LEL":
        for key, value in given:
            if value is not None and not GAS_LOW_LEAST <= value <= most[key]:
                refuse(inner, key, "fault.out_of_bounds", f"{value:g}", low=GAS_LOW_LEAST, high=most[key])
    elif spec is not None and spec.low is not None and spec.high is not None:
        for key, value in given:
            if value is not None and not spec.low <= value <= spec.high:
                refuse(inner, key, "fault.out_of_bounds", f"{value:g}", low=f"{spec.low:g}", high=f"{spec.high:g}")
