"""The JSON Schema of the site file, for editors: made from the very tables the reader goes by, never written by hand.

It knows forms, words and bounds of single fields. What needs two things held side by side (an unknown place, a unit id
used twice) only ``loudong check`` sees, and of durations it knows the form, not the bounds.
"""

from __future__ import annotations

from gateway.site import shapes
from gateway.site.fields import ID, PLACE, Schema, Table, closed_object

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def site_schema() -> Schema:
    """JSON Schema 2020-12 of one whole ``site.yaml``."""
    place = {"anyOf": [{"type": "string"}, shapes.PLACE_TABLE.schema()]}
    bus = shapes.BUS.schema()
    bus["properties"]["devices"] = _named(shapes.DEVICE.schema())
    bus["oneOf"] = [{"required": ["port"]}, {"required": ["host"]}, {"required": ["listen"]}]
    heading = shapes.HEADING.schema()
    properties: Schema = {
        "include": {"type": ["array", "string"], "items": {"type": "string"}},
        **heading["properties"],
        "places": _named(place, PLACE),
        "people": _named(shapes.PERSON.schema()),
        "grid": shapes.GRID.schema(),
        "buses": _named(bus),
        "radio": shapes.RADIO.schema(),
        "buttons": _table(shapes.BUTTON),
        "retention": shapes.RETENTION.schema(),
        "listener": shapes.LISTENER.schema(),
        "doors": _table(shapes.DOOR),
        "outputs": _table(shapes.OUTPUT),
        "uplinks": _table(shapes.UPLINK),
        "rules": {"type": ["array", "null"], "items": {"type": "object"}},
        "builtin": {"type": ["object", "null"]},
    }
    return {"$schema": DIALECT, "title": "Loudong Gateway site.yaml", **closed_object(properties, heading["required"])}


def _table(table: Table) -> Schema:
    return _named(table.schema())


def _named(thing: Schema, form: str = ID) -> Schema:
    """A section of things by name; a section may stand empty."""
    return {
        "type": ["object", "null"],
        "propertyNames": {"pattern": f"^(?:{form})$"},
        "additionalProperties": thing,
    }
