"""Reads a device profile: YAML nodes to ``Profile``, every fault at once. Pure; no file is opened here.

The same reader serves the profiles shipped in ``gateway/drivers/profiles`` and those an installer puts beside the site
file, so a mistake in either is shown with its line. Points are read in ``profile_points.py``, examples in
``profile_examples.py``, writes here; what is wrong only when two things are held side by side is looked at in
``profile_checks.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gateway.nodes import Faults, Node, Reader
from gateway.site.profile import KINDS, NEGATABLE, PACES, SLOWEST_MS, Deed, Notation, Profile, SetPoints, Space, Window
from gateway.site.profile_checks import check_profile
from gateway.site.profile_examples import read_example
from gateway.site.profile_points import (
    place_of,
    read_point,
    refuse,
    refuse_counted,
    take_function,
    take_names,
    take_number_or_none,
    take_whole,
    whole,
)

T = TypeVar("T")

ID = r"[a-z0-9]+(-[a-z0-9]+)*"
STATUSES = ("manual", "field", "unverified")
PARITIES = ("none", "even", "odd")


def read_profile(node: Node, faults: Faults) -> Profile:
    """The profile a YAML document describes; what is wrong with it is added to ``faults`` and replaced by a default."""
    named = node.mapping.get("id")
    name = str(named.value) if named else "profile"
    reader = Reader(node, faults, name)
    identity = reader.take_text("id", required=True, pattern=ID)
    zh, en = _names(reader, faults, name)
    kind = reader.take_one_of("kind", KINDS, "other", required=True)
    status = reader.take_one_of("status", STATUSES, "unverified", required=True)
    source = reader.take_text("source", required=True)
    stated = reader.take_choice("notation", Notation, Notation.WIRE) if reader.has("notation") else None
    points = reader.take_each("points", lambda point, child: read_point(point, child, faults, name, stated))
    if not points:
        faults.add(reader.mark("points"), "fault.profile_without_points", name=name)
    without = tuple(key for key in NEGATABLE if _says_none(reader, key))
    profile = Profile(
        identity, kind, zh, en, status, source, tuple(points.values()),
        max_read=reader.take_int("max_read", 125, low=1, high=125),
        max_hole=reader.take_int("max_hole", 124, high=124),
        no_read=_ranges(reader, name, stated),
        windows=_several(reader, "windows", lambda inner: _window(inner, stated)),
        bit_step=reader.take_int("bit_step", 1, low=1, high=2000),
        guard_ms=reader.take_duration("guard", 0, high=5_000),
        min_gap_ms=reader.take_duration("min_gap", 0, high=1_000),
        timeout_ms=reader.take_duration("timeout", 300, low=20, high=SLOWEST_MS),
        outstanding=reader.take_int("outstanding", 1, low=1, high=16),
        broadcast=reader.take_flag("broadcast"),
        assumed=tuple(key for key in PACES if not reader.has(key)),
        unit_id=_if_stated(reader, "unit_id", reader.take_int("unit_id", 1, high=255)),
        baud=_if_stated(reader, "baud", reader.take_int("baud", 9600, low=300, high=1_000_000)),
        parity=_if_stated(reader, "parity", reader.take_one_of("parity", PARITIES, "none")),
        stop_bits=_if_stated(reader, "stop_bits", reader.take_int("stop_bits", 1, low=1, high=2)),
        notation=stated or Notation.WIRE,
        without=without,
        ex_rated=_marking(reader),
        warm_up_ms=0 if "warm_up" in without else reader.take_duration("warm_up"),
        set_points=_set_points(reader, faults),
        commissioning=tuple(reader.take_each("commissioning", lambda n, c: _deed(n, c, faults, name, stated)).values()),
        self_test=None if "self_test" in without else _one_deed(reader, "self_test", stated),
        reset=None if "reset" in without else _one_deed(reader, "reset", stated),
        examples=_several(reader, "examples", read_example),
    )  # fmt: skip
    reader.done()
    check_profile(profile, reader)
    return profile


def _names(reader: Reader, faults: Faults, name: str) -> tuple[str, str]:
    node = reader.take("name", required=True)
    if node is None:
        return "", ""
    names = Reader(node, faults, name)
    both = names.take_text("zh", required=True), names.take_text("en", required=True)
    names.done()
    return both


def _if_stated(reader: Reader, key: str, value: T) -> T | None:
    """None where the key is absent: the manual is silent or nobody looked, and no default is a fact of the product."""
    return value if reader.has(key) else None


def _says_none(reader: Reader, key: str) -> bool:
    """Whether the profile says that the product has it not; ``false`` says so, too."""
    node = reader.node.mapping.get(key)
    if node is None or not (node.value == "none" or node.value is False):
        return False
    reader.take(key)
    return True


def _marking(reader: Reader) -> str:
    """``Ex d IIC T6``; ``true`` where nobody knows more."""
    node = reader.node.mapping.get("ex_rated")
    if node is None or node.value is True or _says_none(reader, "ex_rated"):
        reader.take("ex_rated")
        return "yes" if node is not None and node.value is True else ""
    return reader.take_text("ex_rated")


def _ranges(reader: Reader, name: str, notation: Notation | None) -> tuple[tuple[int, int], ...]:
    """``no_read: [[13, 14], 20]``: closed ranges, or single addresses."""
    node = reader.take("no_read")
    ranges: list[tuple[int, int]] = []
    for item in node.items if node else []:
        ends = [whole(end.value) for end in item.items] if item.items else [whole(item.value)]
        known = [end for end in ends if end is not None]
        if len(known) != len(ends) or len(known) > 2 or known[0] > known[-1]:
            reader.faults.add(item.mark, "fault.profile_bad_range", name=name, field="no_read")
        else:
            ranges.append((known[0], known[-1]))
            refuse_counted(reader, "no_read", known[0], notation)
    return tuple(ranges)


def _several(reader: Reader, key: str, read: Callable[[Reader], T]) -> tuple[T, ...]:
    """A list of things without names: ``windows: [{space: holding, first: 0, last: 9, exact: true}]``."""
    node = reader.take(key)
    if node is None:
        return ()
    if not isinstance(node.value, list):
        reader.faults.add(node.mark, "fault.not_a_list", name=reader.name, field=key)
    return tuple(read(Reader(item, reader.faults, f"{reader.name}.{key}")) for item in node.items)


def _window(reader: Reader, notation: Notation | None) -> Window:
    space = reader.take_choice("space", Space, Space.HOLDING, required=True)
    first, last = take_whole(reader, "first", 0) or 0, take_whole(reader, "last", 0) or 0
    if not 0 <= first <= last < 0x10000:
        reader.faults.add(reader.node.mark, "fault.profile_bad_range", name=reader.name, field="windows")
    refuse_counted(reader, "first", first, notation, space)
    window = Window(space, first, last, reader.take_flag("exact"))
    reader.done()
    return window


def _set_points(reader: Reader, faults: Faults) -> SetPoints | None:
    node = reader.take("set_points")
    if node is None:
        return None
    inner = Reader(node, faults, f"{reader.name}.set_points")
    low, high = take_number_or_none(inner, "low"), take_number_or_none(inner, "high")
    inner.done()
    return SetPoints(low, high)


# Writes --------------------------------------------------------------------------------------------


_COMMANDS = ("self_test", "reset")
"""A register that is told to do something; what it shows afterwards means nothing."""


def _one_deed(reader: Reader, key: str, notation: Notation | None) -> Deed | None:
    node = reader.take(key)
    return None if node is None else _deed(key, node, reader.faults, reader.name, notation)


def _deed(name: str, node: Node, faults: Faults, profile: str, notation: Notation | None) -> Deed:
    reader = Reader(node, faults, f"{profile}.{name}")
    space = reader.take_choice("space", Space, Space.HOLDING)
    space, address, _ = place_of(reader, space, notation)
    raw = reader.take_flag("raw")
    high = 1 if space is Space.COIL and not raw else 0xFFFF
    value, also = _values(reader, high)
    deed = Deed(
        name=name, space=space, address=address, value=value, also=also,
        function=take_function(reader, "function", space), raw=raw,
        low=_word(reader, "low", high) or 0, high=high if (top := _word(reader, "high", high)) is None else top,
        codes=take_names(reader, "codes"), read_back=reader.take_flag("read_back", default=name not in _COMMANDS),
        on_start=reader.take_flag("on_start"), expect=reader.take_text("expect"),
    )  # fmt: skip
    if space in {Space.DISCRETE, Space.INPUT}:
        faults.add(reader.mark("space"), "fault.profile_read_only_space", name=reader.name, space=space)
    if deed.value is None and (deed.on_start or name in {"self_test", "reset"}):
        faults.add(node.mark, "fault.missing", name=reader.name, field="value")
    for code, _ in deed.codes:
        if not deed.low <= code <= deed.high:
            refuse(reader, "codes", "fault.out_of_bounds", code, low=deed.low, high=deed.high)
    if deed.low >= deed.high:
        faults.add(
            reader.mark("high"), "fault.profile_low_not_below_high", name=reader.name, low=deed.low, high=deed.high
        )
    reader.done()
    return deed


def _values(reader: Reader, high: int) -> tuple[int | None, tuple[int, ...]]:
    """``value: 234``, or what goes into several registers in a row: ``value: [0x015E, 0x3626]``."""
    node = reader.node.mapping.get("value")
    if node is None or not isinstance(node.value, list):
        return _word(reader, "value", high), ()
    reader.take("value")
    words = [whole(item.value) for item in node.items]
    good = [word for word in words if word is not None and 0 <= word <= high]
    if len(good) != len(words) or not good:
        refuse(reader, "value", "fault.not_whole", [item.value for item in node.items])
        return None, ()
    return good[0], tuple(good[1:])


def _word(reader: Reader, key: str, high: int) -> int | None:
    value = take_whole(reader, key)
    if value is not None and not 0 <= value <= high:
        refuse(reader, key, "fault.out_of_bounds", value, low=0, high=high)
        return None
    return value
