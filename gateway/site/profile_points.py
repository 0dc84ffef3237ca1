"""Reads one point of a device profile: where it is, how its bytes read, what its values mean, how it is written. Pure."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Literal

from gateway.events import Quality, Scalar
from gateway.nodes import Faults, Node, Reader, nearest, unit_spelt
from gateway.site.profile import Danger, Factor, Flash, Notation, PointClass, PointSpec, Scaling, Space

POINT = r"[a-z][a-z0-9_]*"
OURS = frozenset({"health", "reason", "by_hand", "tested"})
"""What the gateway says of each device itself: a point called so is heard by nobody (a test holds them to the core's own)."""
_LETTERS = "ABCDEFGH"
FAMILIES = ("ABCD", "BADC", "CDAB", "DCBA")
_TABLES = {"0": Space.COIL, "1": Space.DISCRETE, "3": Space.INPUT, "4": Space.HOLDING}
"""First digit of a Modicon number (Modicon Modbus Protocol Reference Guide PI-MBUS-300, chapter 2)."""


class PointType(StrEnum):
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
    BCD16 = "bcd16"
    BCD32 = "bcd32"
    SIGN16 = "sign16"
    SIGN32 = "sign32"
    BITS = "bits"
    STRING = "string"


FLOATS = frozenset({PointType.FLOAT32, PointType.FLOAT64})
_COUNTED = re.compile(r"[134][0-9]{4,5}")
"""A number as Modicon counts them, table first (``40001``), which is an address, too; ``0`` (coils) would be any hexadecimal."""
BYTES = {
    PointType.BCD32: 4, PointType.SIGN32: 4,
    PointType.UINT32: 4, PointType.INT32: 4, PointType.FLOAT32: 4,
    PointType.UINT64: 8, PointType.INT64: 8, PointType.FLOAT64: 8,
}  # fmt: skip
"""Bytes of the types longer than one register."""


def read_point(point: str, node: Node, faults: Faults, profile: str, notation: Notation | None) -> PointSpec:
    """One point; its faults are added to ``faults`` and replaced by defaults. ``notation``: None where the profile states none."""
    reader = Reader(node, faults, f"{profile}.{point}")
    if not re.fullmatch(POINT, point):
        faults.add(node.mark, "fault.bad_form", name=profile, field="points", given=point, form="a-z 0-9 _")
    if point in OURS:
        faults.add(node.mark, "fault.profile_point_ours", name=profile, given=point)
    space = reader.take_choice("space", Space, Space.HOLDING, required=not reader.has("vendor"))
    space, address, vendor = place_of(reader, space, notation)
    kind = reader.take_choice("type", PointType, PointType.UINT16)
    mask = take_whole(reader, "mask")
    raw = reader.take_flag("write_raw")
    write_on, write_off = _writes(reader, space, raw=raw)
    side, alarms = _alarm_when(reader)
    spec = PointSpec(
        name=point, space=space, address=address, type=kind.value, order=_order(reader, kind), vendor=vendor,
        length=reader.take_int("length", 1, low=1, high=125),
        mask=mask, shift=reader.take_int("shift", 0, high=63),
        scale=reader.take_number("scale", 1), offset=reader.take_number("offset", 0), scale_by=_scale_by(reader),
        unit=unit_spelt(reader.take_text("unit")), resolution=reader.take_number("resolution", 0, low=0),
        low=take_number_or_none(reader, "low"), high=take_number_or_none(reader, "high"),
        invalid=tuple((float(raw) if raw % 1 else int(raw), q) for raw, q in take_qualities(reader, "invalid", number=True)),
        enum=take_names(reader, "enum"), bits=take_names(reader, "bits"),
        quality_of=take_qualities(reader, "quality_of"), speaks_for=reader.take_texts("speaks_for"),
        true_when=_scalars(reader, "true_when"),
        true_above=take_number_or_none(reader, "true_above"), alarm_when=side, alarm_names=alarms,
        latched=_latched(reader),
        moves_within_ms=reader.take_duration("moves_within", 0, low=1_000),
        point_class=reader.take_choice("class", PointClass, PointClass.NORMAL),
        period_ms=reader.take_duration("period", 0, low=5),
        writable=reader.take_flag("writable"), write_on=write_on, write_off=write_off, write_raw=raw,
        write_function=take_function(reader, "write_function", space),
        write_on_address=_address_of(reader, "write_on_address", space, notation),
        write_off_address=_address_of(reader, "write_off_address", space, notation),
        shown_on=_word(reader, "shown_on"), shown_off=_word(reader, "shown_off"),
        write_only=reader.take_flag("write_only"),
        pulse_ms=reader.take_duration("pulse", 0, low=10), repeat_ms=reader.take_duration("repeat", 0, low=100),
        flash=_flash(reader),
    )  # fmt: skip
    reader.done()
    return spec


# Numbers as manuals print them ------------------------------------------------------------------------


def refuse(reader: Reader, key: str, fault: str, given: object, **fields: object) -> None:
    """Records a fault at a key of the thing being read."""
    reader.faults.add(reader.mark(key), fault, name=reader.name, field=key, given=given, **fields)


def take_whole(reader: Reader, key: str, default: int | None = None) -> int | None:
    """A whole number; hexadecimal may stand in quotes or not, as manuals print it."""
    node = reader.take(key)
    if node is None:
        return default
    number = whole(node.value)
    if number is None:
        refuse(reader, key, "fault.not_whole", node.value)
        return default
    return number


def whole(value: object) -> int | None:
    """The whole number a value is, also hexadecimal as text; None where it is none."""
    number = _number(value)
    return None if number is None or number % 1 else int(number)


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


def take_number_or_none(reader: Reader, key: str) -> float | None:
    """A number; None where none is given."""
    number = reader.take_number(key)
    return number if reader.has(key) else None


def _latched(reader: Reader) -> bool | Literal["setting"] | None:
    """Yes, no, as it is set, or not stated."""
    node = reader.take("latched")
    if node is None:
        return None
    if isinstance(node.value, bool):
        return node.value
    if node.value == "setting":
        return "setting"
    refuse(reader, "latched", "fault.not_allowed", node.value, allowed="true | false | setting", near="")
    return None


def _word(reader: Reader, key: str) -> int | None:
    value = take_whole(reader, key)
    if value is not None and not 0 <= value < 0x10000:
        refuse(reader, key, "fault.out_of_bounds", value, low=0, high=0xFFFF)
        return None
    return value


# Where it is ------------------------------------------------------------------------------------------


def place_of(reader: Reader, space: Space, notation: Notation | None) -> tuple[Space, int, str]:
    """Table, address on the wire, and the manual's own number where it is given: the two must agree."""
    vendor = _vendor(reader)
    if not vendor:
        return space, _plain_address(reader, space, notation), ""
    if notation is None and _COUNTED.fullmatch(vendor):
        refuse(reader, "vendor", "fault.profile_vendor_unstated", vendor)
    how = notation or Notation.WIRE
    found = from_vendor(vendor, space, how)
    if found is None:
        refuse(reader, "vendor", "fault.profile_vendor_form", vendor, notation=how.value)
        return space, _address(reader) if reader.has("address") else 0, vendor
    table, address = found
    if reader.has("space") and table is not space:
        refuse(reader, "vendor", "fault.profile_vendor_table", vendor, space=space.value, table=table.value)
    if reader.has("address"):
        stated = _address(reader)
        if stated != address:
            refuse(reader, "vendor", "fault.profile_vendor_differs", vendor, address=stated, meant=address)
        return table, stated, vendor
    reader.take("address")  # known, and not needed
    return table, address, vendor


def _vendor(reader: Reader) -> str:
    """Text, or a plain number."""
    node = reader.take("vendor")
    if node is None:
        return ""
    if type(node.value) is int or isinstance(node.value, str):
        return str(node.value)
    refuse(reader, "vendor", "fault.not_text", node.value)
    return ""


def from_vendor(vendor: str, space: Space, notation: Notation) -> tuple[Space, int] | None:
    """Table and protocol address of a register as the manual numbers it; None where it is no such number."""
    if notation in {Notation.WIRE, Notation.COUNTED}:
        number = _hexadecimal(vendor) if notation is Notation.WIRE else whole(vendor)
        address = None if number is None else number - (notation is Notation.COUNTED)
        return None if address is None or not 0 <= address < 0x10000 else (space, address)
    if not re.fullmatch(r"[0134][0-9]{4,5}", vendor):
        return None
    address = int(vendor[1:]) - (notation is Notation.MODICON)
    return (_TABLES[vendor[0]], address) if 0 <= address < 0x10000 else None


def _hexadecimal(text: str) -> int | None:
    """``0x10``, ``10H``, ``0010h`` or plain decimal."""
    if re.fullmatch(r"[0-9A-Fa-f]{1,5}[Hh]", text):
        return int(text[:-1], 16)
    return whole(text)


def _address(reader: Reader) -> int:
    address = take_whole(reader, "address")
    if address is None:
        if not reader.has("address"):
            reader.faults.add(reader.node.mark, "fault.missing", name=reader.name, field="address")
        return 0
    if not 0 <= address < 0x10000:
        refuse(reader, "address", "fault.out_of_bounds", address, low=0, high=0xFFFF)
        return 0
    return address


def _plain_address(reader: Reader, space: Space, notation: Notation | None) -> int:
    address = _address(reader)
    refuse_counted(reader, "address", address, notation, space)
    return address


def _address_of(reader: Reader, key: str, space: Space, notation: Notation | None) -> int | None:
    address = _word(reader, key)
    if address is not None:
        refuse_counted(reader, key, address, notation, space)
    return address


def refuse_counted(
    reader: Reader, key: str, address: int, notation: Notation | None, space: Space | None = None
) -> None:
    """A bare address that looks like a manual's number, unless the profile says that its numbers are the wire's.

    Manuals number discrete inputs from 10001, input registers from 30001 and holding registers from 40001 (Modicon), some from
    one less; the wire counts from 0. Coils (from 1) cannot be told. ``space`` is None where an address is of any table.
    """
    bits, registers = 10_000 <= address < 20_000, 30_000 <= address < 50_000
    doubtful = {
        Space.COIL: bits,
        Space.DISCRETE: bits,
        Space.INPUT: registers,
        Space.HOLDING: registers,
        None: registers,
    }
    if doubtful[space] and notation is not Notation.WIRE:
        reader.faults.add(reader.mark(key), "fault.profile_counted_address", name=reader.name, given=address)


# How it is written ------------------------------------------------------------------------------------


def _writes(reader: Reader, space: Space, *, raw: bool) -> tuple[int, int]:
    """What goes on the wire for on and off: a register's 16 bits, or a coil's one (raw: its 16, too)."""
    on, off = take_whole(reader, "write_on", 1), take_whole(reader, "write_off", 0)
    high = 1 if space is Space.COIL and not raw else 0xFFFF
    refused = [(k, v) for k, v in (("write_on", on), ("write_off", off)) if v is None or not 0 <= v <= high]
    for key, value in refused:
        refuse(reader, key, "fault.out_of_bounds", value, low=0, high=high)
    return (1, 0) if refused or on is None or off is None else (on, off)


def _flash(reader: Reader) -> Flash | None:
    """``flash: { step: 100ms, address: 0x0200, base: 0, most: 0x7FFF }``."""
    node = reader.take("flash")
    if node is None:
        return None
    inner = Reader(node, reader.faults, f"{reader.name}.flash")
    step_ms = inner.take_duration("step", 0, low=10)
    if not step_ms and not inner.has("step"):
        inner.faults.add(node.mark, "fault.missing", name=inner.name, field="step")
    base, most = _word(inner, "base") or 0, _word(inner, "most")
    flash = Flash(step_ms or 1, _word(inner, "address"), base, 0x7FFF if most is None else most)
    if base + flash.most > 0xFFFF:
        refuse(inner, "most", "fault.out_of_bounds", flash.most, low=1, high=0xFFFF - base)
    inner.done()
    return flash


def take_function(reader: Reader, key: str, space: Space) -> int:
    """The function code of a write: 5 or 15 for a coil, 6 or 16 for a register; 0 where none is given."""
    allowed = (5, 15) if space is Space.COIL else (6, 16)
    function = reader.take_int(key, 0)
    if function and function not in allowed:
        refuse(reader, key, "fault.not_allowed", function, allowed=" | ".join(map(str, allowed)), near="")
        return 0
    return function


# What it means ----------------------------------------------------------------------------------------


def _order(reader: Reader, kind: PointType) -> str:
    order = reader.take_text("order").upper()
    size = BYTES.get(kind, 2)
    if order and order not in FAMILIES and sorted(order) != list(_LETTERS[:size]):
        refuse(reader, "order", "fault.not_allowed", order, allowed=" | ".join(FAMILIES), near="")
        return ""
    return order


def _alarm_when(reader: Reader) -> tuple[Danger | None, tuple[str, ...]]:
    """``alarm_when: below`` of a measured value, ``alarm_when: [low, high]`` of a status."""
    node = reader.node.mapping.get("alarm_when")
    names = reader.take_texts("alarm_when")
    sides = [side for side in Danger if side.value in names]
    return (sides[0], ()) if node is not None and node.value in sides else (None, names)


def _scale_by(reader: Reader) -> tuple[Scaling, ...]:
    """``scale_by: [{point: decimals, factors: {0: 1, 4: 0.1}}]``; a factor may be ``[factor, offset]``."""
    node = reader.take("scale_by")
    if node is None:
        return ()
    if not isinstance(node.value, list):
        refuse(reader, "scale_by", "fault.not_a_list", node.value)
    return tuple(_scaling(Reader(item, reader.faults, f"{reader.name}.scale_by")) for item in node.items)


def _scaling(reader: Reader) -> Scaling:
    point = reader.take_text("point", required=True, pattern=POINT)
    node = reader.take("factors", required=True)
    factors: list[Factor] = []
    for raw, child in node.mapping.items() if node else ():
        numbers = [_number(item.value) for item in child.items] if child.items else [_number(child.value)]
        known = [number for number in numbers if number is not None]
        if len(known) != len(numbers) or not 1 <= len(known) <= 2 or not known[0]:
            refuse(reader, "factors", "fault.not_number", child.value)
        else:
            factors.append(Factor(scalar(raw), known[0], known[1] if len(known) > 1 else 0))
    if node is not None and not node.mapping:
        refuse(reader, "factors", "fault.not_a_mapping", node.value)
    reader.done()
    return Scaling(point, tuple(factors))


def take_qualities(reader: Reader, key: str, *, number: bool = False) -> tuple[tuple[Scalar, Quality], ...]:
    """A mapping of values to qualities."""
    node = reader.take(key)
    if node is None:
        return ()
    pairs: list[tuple[Scalar, Quality]] = []
    known = [str(quality) for quality in Quality]
    for raw, child in node.mapping.items():
        value = _number(raw) if number else scalar(raw)
        if value is None:
            refuse(reader, key, "fault.not_number", raw)
        elif child.value not in known:
            near = nearest(str(child.value), known)
            refuse(reader, key, "fault.not_allowed", child.value, allowed=" | ".join(known), near=near)
        else:
            pairs.append((value, Quality(str(child.value))))
    if not node.mapping:
        refuse(reader, key, "fault.not_a_mapping", node.value)
    return tuple(pairs)


def scalar(raw: object) -> Scalar:
    """A mapping key as the decoded value it stands for: a number, yes or no, or a name."""
    if isinstance(raw, bool | int | float):
        return raw
    if str(raw).lower() in {"true", "false"}:
        return str(raw).lower() == "true"
    number = _number(raw)
    return str(raw) if number is None else number


def take_names(reader: Reader, key: str) -> tuple[tuple[int, str], ...]:
    """A mapping of whole numbers to names."""
    node = reader.take(key)
    if node is None:
        return ()
    if not node.mapping:
        refuse(reader, key, "fault.not_a_mapping", node.value)
    pairs: list[tuple[int, str]] = []
    for raw, child in node.mapping.items():
        number = whole(raw)
        if number is None:
            refuse(reader, key, "fault.not_whole", raw)
        elif not isinstance(child.value, str):
            refuse(reader, key, "fault.not_text", child.value)
        else:
            pairs.append((number, child.value))
    return tuple(pairs)


def _scalars(reader: Reader, key: str) -> tuple[Scalar, ...] | None:
    node = reader.take(key)
    if node is None:
        return None
    values = [child.value for child in node.items] if isinstance(node.value, list) else [node.value]
    if not values or not all(isinstance(value, bool | int | float | str) for value in values):
        refuse(reader, key, "fault.not_text_list", node.value)
        return None
    return tuple(_spelt(value) for value in values if isinstance(value, bool | int | float | str))


def _spelt(value: Scalar) -> Scalar:
    """Hexadecimal arrives as text; no name of a code begins with 0x."""
    number = _number(value) if isinstance(value, str) and value[:2].lower() == "0x" else None
    return value if number is None else number
