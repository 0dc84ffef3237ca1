"""What registers mean: from raw words to a value and how far it may be believed. Pure; the only decoder of Modbus values.

Order of work, the same for every point: bytes in the order of their significance, the number, sentinels, mask and shift,
name (enum) or scale and offset, what other points say of scale and unit, range, and last ``true_when``. A number that is none (NaN, infinity, sentinel, a code
nobody named) never leaves as a value: it leaves as a quality, because ``nan >= 10`` is false and would never alarm.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Mapping, Sequence

from msgspec import Struct

from gateway.events import Quality, Scalar
from gateway.faults import DeviceFault
from gateway.site.profile import Factor, PointSpec, Scaling, Space

_FORMAT = {
    "uint16": ">H", "int16": ">h", "uint32": ">I", "int32": ">i", "uint64": ">Q", "int64": ">q",
    "float32": ">f", "float64": ">d",
}  # fmt: skip
_BYTE = ("uint8h", "uint8l", "int8h", "int8l")
_DIGITS = ("bcd16", "bcd32")
"""Four bits a decimal digit: 0x1234 is 1234."""
_SIGNED = ("sign16", "sign32")
"""Highest bit the sign, the others the magnitude: 0x8005 is -5."""
TYPES = (*_BYTE, *_FORMAT, *_DIGITS, *_SIGNED, "bits", "string")
ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")
"""The four families; each reads for 2, 4 and 8 bytes. Any other arrangement is spelled out in full."""
WORD = 0x10000
_GOOD = Quality.GOOD  # looked up in its enum for every value, it cost a tenth of decoding it
_BITS = (Space.COIL, Space.DISCRETE)


class Decoded(Struct, frozen=True, gc=False):
    """A value in the point's unit, and its quality; the value is None where there is none."""

    value: Scalar | None
    quality: Quality = _GOOD


def width(spec: PointSpec) -> int:
    """Registers (or bits) a point takes."""
    return _width(spec.space, spec.type, spec.length)


@functools.lru_cache(maxsize=256)
def _width(space: Space, kind: str, length: int) -> int:
    """Asked twice for each point of each answer."""
    if space in _BITS:
        return 1
    if kind in {"string", "bits"}:
        return max(1, length)
    if kind in {*_DIGITS, *_SIGNED}:
        return 2 if kind.endswith("32") else 1
    return struct.calcsize(_FORMAT.get(kind, ">H")) // 2


@functools.lru_cache(maxsize=256)
def places(order: str, size: int) -> tuple[int, ...]:
    """For each byte of the wire, its significance (0 the highest).

    Raises ``DeviceFault("bad_order")`` where the letters are no arrangement of ``size`` bytes.
    """
    order = order.upper()
    if not order or (order in ORDERS and order == "ABCD"):
        return tuple(range(size))
    if len(order) == size and sorted(order) == [chr(ord("A") + n) for n in range(size)]:
        return tuple(ord(letter) - ord("A") for letter in order)
    if order not in ORDERS:
        raise DeviceFault("bad_order", f"{order} for {size} bytes")
    words = [(2 * n, 2 * n + 1) for n in range(size // 2)]
    if order in {"CDAB", "DCBA"}:
        words.reverse()
    swapped = order in {"BADC", "DCBA"}
    return tuple(byte for pair in words for byte in (reversed(pair) if swapped else pair))


def _arrange(registers: Sequence[int], order: str) -> bytes:
    wire = struct.pack(f">{len(registers)}H", *registers)
    if order in {"", "ABCD"}:
        return wire
    arranged = bytearray(len(wire))
    for byte, place in zip(wire, places(order, len(wire)), strict=True):
        arranged[place] = byte
    return bytes(arranged)


_ALONE: Mapping[str, Decoded] = {}


def decode(words: Sequence[int], spec: PointSpec, beside: Mapping[str, Decoded] = _ALONE) -> Decoded:
    """A point's registers (or its one bit) as value and quality; ``beside`` are the points that scale it, by name.

    Raises ``DeviceFault``: ``truncated`` or ``surplus`` for the wrong number of words, ``bad_word`` for one that is no
    16-bit number, ``bad_order`` or ``bad_type`` for a profile that cannot be.
    """
    if len(words) != width(spec):
        raise DeviceFault(
            "truncated" if len(words) < width(spec) else "surplus", f"{len(words)} of {width(spec)} words"
        )
    if min(words) < 0 or max(words) >= WORD:
        raise DeviceFault("bad_word", str(list(words)))
    if spec.space in _BITS:
        return _meaning(words[0] and 1, spec, beside, bit=True)
    if spec.type == "string":
        return _judged(_text(words, spec.order), spec)
    return _number(words, spec, beside)


def _number(words: Sequence[int], spec: PointSpec, beside: Mapping[str, Decoded]) -> Decoded:
    if spec.type == "uint16" and not (spec.order or spec.shift or spec.invalid) and spec.mask is None:
        return _meaning(words[0], spec, beside)  # most points: the word is the number
    data = _arrange(words, spec.order)
    if spec.type in _BYTE:
        data = data[:1] if spec.type.endswith("h") else data[1:]
    pattern = int.from_bytes(data, "big")
    number = _plain(data, pattern, spec.type)
    if number is None:
        return Decoded(None, _sentinel((pattern,), spec) or Quality.INVALID)
    whole = number
    if spec.mask is not None or spec.shift:
        number = (pattern & (pattern if spec.mask is None else spec.mask)) >> spec.shift
    quality = _sentinel((whole, pattern, number), spec)
    return Decoded(None, quality) if quality else _meaning(number, spec, beside)


def _plain(data: bytes, pattern: int, kind: str) -> int | float | None:
    """The number the bytes spell; None where they spell none (NaN, infinity, a digit above 9)."""
    if kind in _BYTE:
        return int.from_bytes(data, "big", signed=kind.startswith("int"))
    if kind == "bits":
        return pattern
    if kind in _DIGITS:
        return int(data.hex()) if data.hex().isdecimal() else None
    if kind in _SIGNED:
        top = 1 << (8 * len(data) - 1)
        return -(pattern - top) if pattern & top else pattern
    if kind not in _FORMAT:
        raise DeviceFault("bad_type", kind)
    number: int | float = struct.unpack(_FORMAT[kind], data)[0]
    return number if math.isfinite(number) else None


def _sentinel(seen: Sequence[float], spec: PointSpec) -> Quality | None:
    """A raw value that is no value, whether the manual prints it signed, unsigned, or after the mask."""
    return next((quality for raw, quality in spec.invalid if raw in seen), None) if spec.invalid else None


def _meaning(number: float, spec: PointSpec, beside: Mapping[str, Decoded], *, bit: bool = False) -> Decoded:
    if spec.enum:
        name = next((name for raw, name in spec.enum if raw == number), None)
        return Decoded(None, Quality.INVALID) if name is None else _judged(name, spec)
    if bit:
        return _judged(bool(number), spec)
    if spec.bits:
        return _flagged(set_bits(int(number), spec), spec)
    if not spec.scale_by and spec.scale == 1 and not spec.offset:
        return _ranged(number, spec)
    factors = [Factor(True, spec.scale, spec.offset)]
    for scaling in spec.scale_by:
        factor, quality = _factor(scaling, beside)
        if factor is None:
            return Decoded(None, quality)
        factors.append(factor)
    return _scaled(number, [f for f in factors if f.factor != 1 or f.offset], spec)


def _scaled(number: float, factors: Sequence[Factor], spec: PointSpec) -> Decoded:
    if not factors:
        return _ranged(number, spec)
    for factor in factors:
        number = number * factor.factor + factor.offset
    # Twelve digits are more than any sensor has, and 234 x 0.1 reads 23.4.
    return _ranged(float(f"{number:.12g}"), spec) if math.isfinite(number) else Decoded(None, Quality.INVALID)


def _factor(scaling: Scaling, beside: Mapping[str, Decoded]) -> tuple[Factor | None, Quality]:
    """What another point says of this one; where it says nothing, the quality this one then has."""
    other = beside.get(scaling.point)
    if other is None:
        return None, Quality.INVALID
    if other.quality is not Quality.GOOD:
        return None, other.quality
    # A unit nobody listed is refused, never guessed.
    return next((f for f in scaling.factors if f.when == other.value), None), Quality.INVALID


def _flagged(names: list[str], spec: PointSpec) -> Decoded:
    """Names of the bits that are set, or whether one of those asked for is (``""``: none is set)."""
    if spec.true_when is None:
        return Decoded(",".join(names))
    return Decoded(any(name in spec.true_when for name in names or [""]))


def set_bits(number: int, spec: PointSpec) -> list[str]:
    """Names of the bits that are set, lowest first."""
    return [name for bit, name in sorted(spec.bits) if number >> bit & 1]


def _ranged(number: float, spec: PointSpec) -> Decoded:
    """Beyond the measuring range the value stays: above every limit is not "no value"."""
    if spec.high is not None and number > spec.high:
        return _judged(number, spec, Quality.OVER_RANGE)
    if spec.low is not None and number < spec.low:
        return _judged(number, spec, Quality.UNDER_RANGE)
    return _judged(number, spec)


def _judged(value: Scalar, spec: PointSpec, quality: Quality = _GOOD) -> Decoded:
    if spec.true_above is not None and not isinstance(value, str):
        return Decoded(value > spec.true_above, quality)
    return Decoded(value if spec.true_when is None else value in spec.true_when, quality)


def _text(words: Sequence[int], order: str) -> str:
    """ASCII, cut at the first NUL, without trailing blanks; what is no printable ASCII shows as ``?``."""
    if order.upper() not in {"", "AB", "BA", "ABCD", "BADC"}:
        raise DeviceFault("bad_order", f"{order} for a string")
    high_first = order.upper() in {"", "AB", "ABCD"}
    raw = b"".join(word.to_bytes(2, "big" if high_first else "little") for word in words)
    text = raw.split(b"\0", 1)[0].decode("ascii", "replace")
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in text).rstrip()


def decode_request(request: Mapping[str, object]) -> dict[str, object]:
    """One line of ``loudong decode`` of kind ``modbus`` (contract: commands).

    Gives ``{"value", "quality"}``, or ``{"error", "detail"}`` for any fault; never raises. With ``bits`` the value is the list
    of the names of the bits that are set.
    """
    try:
        spec, registers = _asked(request)
        result = decode(registers, spec)
    except DeviceFault as fault:
        return {"error": fault.reason, "detail": fault.detail}
    value: object = result.value
    if spec.bits and isinstance(value, str):
        value = value.split(",") if value else []
    return {"value": value, "quality": str(result.quality)}


def _asked(request: Mapping[str, object]) -> tuple[PointSpec, list[int]]:
    registers = request.get("registers")
    if not isinstance(registers, list) or not all(type(word) is int for word in registers):
        raise DeviceFault("bad_request", "registers must be a list of whole numbers")
    kind = request.get("type", "uint16")
    if kind not in TYPES:
        raise DeviceFault("bad_type", str(kind))
    order = request.get("order") or ""
    if not isinstance(order, str):
        raise DeviceFault("bad_order", str(order))
    mask = request.get("mask")
    if mask is not None and str(kind).startswith("float"):
        raise DeviceFault("bad_request", "a mask needs a whole number type")
    spec = PointSpec(
        name="value", space=Space.HOLDING, address=0, type=str(kind), order=order,
        length=_words_asked(str(kind), registers),
        mask=None if mask is None else _whole("mask", mask), shift=_shift(request.get("shift")),
        scale=_real("scale", request.get("scale"), 1), offset=_real("offset", request.get("offset"), 0),
        invalid=_invalid(request.get("invalid")), enum=_named("enum", request.get("enum")),
        bits=_named("bits", request.get("bits")),
    )  # fmt: skip
    return spec, registers


def _words_asked(kind: str, registers: Sequence[int]) -> int:
    """Only a string is as long as it comes; a bit field is 16, 32 or 64 bits."""
    if kind == "bits" and len(registers) not in {0, 1, 2, 4}:
        raise DeviceFault("surplus", f"{len(registers)} registers are no bit field")
    return len(registers) if kind in {"string", "bits"} else 1


def _whole(name: str, value: object) -> int:
    """A whole number, also as text (``"0x10"``), since JSON keys are text."""
    if type(value) is int:
        return value
    if isinstance(value, str):
        try:
            return int(value, 0)
        except ValueError:
            pass
    raise DeviceFault("bad_request", f"{name}: {value!r} is no whole number")


def _shift(value: object) -> int:
    shift = 0 if value is None else _whole("shift", value)
    if not 0 <= shift < 64:
        raise DeviceFault("bad_request", f"shift: {shift}")
    return shift


def _real(name: str, value: object, default: float) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        raise DeviceFault("bad_request", f"{name}: {value!r} is no number")
    return value


def _invalid(value: object) -> tuple[tuple[float, Quality], ...]:
    """``[65535]``, ``[[65535, "warm_up"]]`` or ``{"65535": "warm_up"}``."""
    if value is None:
        return ()
    pairs = value.items() if isinstance(value, Mapping) else value if isinstance(value, list) else None
    if pairs is None:
        raise DeviceFault("bad_request", "invalid must be a list or a mapping")
    return tuple(_sentinel_asked(pair) for pair in pairs)


def _sentinel_asked(pair: object) -> tuple[float, Quality]:
    raw, quality = pair if isinstance(pair, list | tuple) and len(pair) == 2 else (pair, Quality.INVALID)
    if not isinstance(quality, str) or quality not in set(Quality):
        raise DeviceFault("bad_request", f"invalid: {quality!r} is no quality")
    number = raw if type(raw) is float and math.isfinite(raw) else _whole("invalid", raw)
    return number, Quality(str(quality))


def _named(name: str, value: object) -> tuple[tuple[int, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise DeviceFault("bad_request", f"{name} must be a mapping")
    pairs = tuple((_whole(name, raw), str(text)) for raw, text in value.items())
    if name == "bits" and not all(0 <= bit < 64 for bit, _ in pairs):
        raise DeviceFault("bad_request", "bits are numbered from 0 to 63")
    return pairs
