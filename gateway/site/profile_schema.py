"""The JSON Schema of a device profile, for editors and for whoever keeps profiles elsewhere.

It knows forms, words and bounds of single fields, and stands beside the reader (``profiles.py``, ``profile_points.py``): a
test holds the two to the same keys. What needs two fields held side by side only ``loudong profiles check`` sees.
"""

from __future__ import annotations

from typing import Any

from gateway.events import Quality
from gateway.nodes import DURATION_FORM
from gateway.site.profile import KINDS, Danger, Notation, Origin, PointClass, Space
from gateway.site.profile_points import POINT, PointType
from gateway.site.profiles import ID, PARITIES, STATUSES

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_NUMBER: Schema = {"type": "number"}
_DURATION: Schema = {"anyOf": [{"type": "string", "pattern": f"^(?:{DURATION_FORM})$"}, {"const": 0}]}
_NUMERAL = r"^-?(0[xX][0-9A-Fa-f]+|[0-9]+)$"
_WHOLE: Schema = {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": _NUMERAL}]}
"""Hexadecimal stands as manuals print it; a YAML reader may hand it on as a number or as text."""
_SCALAR: Schema = {"type": ["boolean", "number", "string"]}
_QUALITIES: Schema = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {"enum": [q.value for q in Quality]},
}
_NAMES: Schema = {"type": "object", "minProperties": 1, "additionalProperties": _TEXT}
_SPACE: Schema = {"enum": [space.value for space in Space]}
_FUNCTION: Schema = {"enum": [5, 6, 15, 16]}


def profile_schema() -> Schema:
    """JSON Schema 2020-12 of one profile file."""
    properties: Schema = {
        "id": {"type": "string", "pattern": f"^(?:{ID})$"},
        "kind": {"enum": list(KINDS)},
        "name": _closed({"zh": _TEXT, "en": _TEXT}, ["zh", "en"]),
        "status": {"enum": list(STATUSES)},
        "source": _TEXT,
        "notation": {"enum": [notation.value for notation in Notation]},
        **_speech(),
        "ex_rated": {"type": ["string", "boolean"]},
        "warm_up": _or_none(_DURATION),
        "set_points": _closed({"low": _NUMBER, "high": _NUMBER}),
        "commissioning": {"type": "object", "additionalProperties": _deed()},
        "self_test": _or_none(_deed()),
        "reset": _or_none(_deed()),
        "points": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": f"^(?:{POINT})$"},
            "additionalProperties": _closed(_point()),
        },
        "examples": {"type": "array", "items": _example()},
    }
    title = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Loudong Gateway device profile"}
    return {**title, **_closed(properties, ["id", "kind", "name", "status", "source", "points"])}


def _closed(properties: Schema, required: list[str] | None = None) -> Schema:
    whole: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**whole, "required": required} if required else whole


def _or_none(what: Schema) -> Schema:
    return {"anyOf": [what, {"enum": ["none", False]}]}


def _between(low: int, high: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high}


def _speech() -> Schema:
    """How it is spoken to."""
    pair = {"type": "array", "items": _WHOLE, "minItems": 1, "maxItems": 2}
    window = _closed({"space": _SPACE, "first": _WHOLE, "last": _WHOLE, "exact": _FLAG}, ["space"])
    shipped = {"description": "as it leaves the factory; absent: not known"}
    return {
        "baud": _between(300, 1_000_000) | shipped,
        "parity": {"enum": list(PARITIES)} | shipped,
        "stop_bits": _between(1, 2) | shipped,
        "unit_id": _between(0, 255)
        | {"description": "as it leaves the factory; 0: set by switches; absent: not known"},
        "max_read": _between(1, 125),
        "max_hole": _between(0, 124),
        "no_read": {"type": "array", "items": {"anyOf": [*_WHOLE["anyOf"], pair]}},
        "windows": {"type": "array", "items": window},
        "bit_step": _between(1, 2000),
        "guard": _DURATION | {"description": "least pause between two requests; absent: not known, 0 is reckoned with"},
        "min_gap": _DURATION,
        "timeout": _DURATION | {"description": "slowest answer; absent: not known, 300 ms are reckoned with"},
        "outstanding": _between(1, 16),
        "broadcast": _FLAG,
    }


def _place() -> Schema:
    return {"space": _SPACE, "address": _WHOLE, "vendor": {"type": ["string", "integer"]}}


def _deed() -> Schema:
    value = {"anyOf": [*_WHOLE["anyOf"], {"type": "array", "items": _WHOLE, "minItems": 1}]}
    more = {"value": value, "low": _WHOLE, "high": _WHOLE, "function": _FUNCTION, "raw": _FLAG}
    return _closed({**_place(), **more, "codes": _NAMES, "read_back": _FLAG, "on_start": _FLAG, "expect": _TEXT})


def _point() -> Schema:
    factor = {"anyOf": [_NUMBER, {"type": "array", "items": _NUMBER, "minItems": 1, "maxItems": 2}]}
    factors = {"type": "object", "minProperties": 1, "additionalProperties": factor}
    return {
        **_place(),
        "type": {"enum": [kind.value for kind in PointType]},
        "order": {"type": "string", "pattern": "^[A-Ha-h]{2,8}$"},
        "length": _between(1, 125),
        "mask": _WHOLE,
        "shift": _between(0, 63),
        "scale": _NUMBER,
        "offset": _NUMBER,
        "scale_by": {"type": "array", "items": _closed({"point": _TEXT, "factors": factors}, ["point", "factors"])},
        "unit": _TEXT,
        "resolution": {"type": "number", "minimum": 0},
        "low": _NUMBER,
        "high": _NUMBER,
        "invalid": _QUALITIES,
        "enum": _NAMES,
        "bits": _NAMES,
        "quality_of": _QUALITIES,
        "speaks_for": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]},
        "true_when": {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR, "minItems": 1}]},
        "true_above": _NUMBER,
        "alarm_when": {
            "anyOf": [_TEXT, {"type": "array", "items": _TEXT}],
            "examples": [side.value for side in Danger],
        },
        "latched": {"enum": [True, False, "setting"]},
        "moves_within": _DURATION,
        "class": {"enum": [one.value for one in PointClass]},
        "period": _DURATION,
        "writable": _FLAG,
        "write_on": _WHOLE,
        "write_off": _WHOLE,
        "write_function": _FUNCTION,
        "write_raw": _FLAG,
        "write_on_address": _WHOLE,
        "write_off_address": _WHOLE,
        "shown_on": _WHOLE,
        "shown_off": _WHOLE,
        "write_only": _FLAG,
        "pulse": _DURATION,
        "repeat": _DURATION,
        "flash": _closed({"step": _DURATION, "address": _WHOLE, "base": _WHOLE, "most": _WHOLE}, ["step"]),
    }


def _example() -> Schema:
    words = {"anyOf": [*_WHOLE["anyOf"], {"type": "array", "items": _WHOLE}]}
    tables = {space.value: {"type": "object", "additionalProperties": words} for space in Space}
    gives = {"type": "object", "additionalProperties": _SCALAR}
    one = {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": _FLAG}
    writes = {"writes": one, "pulse": _DURATION}
    told = {"origin": {"enum": [origin.value for origin in Origin]}, "at": _TEXT, "request": _TEXT, "answer": _TEXT}
    return _closed({"name": _TEXT, **told, **tables, "gives": gives, "quality": _QUALITIES, **writes}, ["name"])
