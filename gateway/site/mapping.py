"""How a terminal without an adapter of its own writes its events: paths into its JSON, and tables from its words to ours.

Pure: nodes with their lines in, a compiled ``DoorMapping`` out, every fault at once. What the compiled mapping does with a
body is ``gateway/drivers/face/mapped.py``'s.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from msgspec import Struct

from gateway.events import ENTRY_TYPES
from gateway.nodes import Faults, Mark, Node, Reader, nearest

PATH = r"[^.\[\]\s]{1,64}(\[[0-9]{1,3}\])*(\.[^.\[\]\s]{1,64}(\[[0-9]{1,3}\])*){0,7}"
"""``data.records[0].userId``: names between dots, a place in a list in brackets."""
TIME_FORMS = ("iso", "epoch_s", "epoch_ms")
CREDENTIALS = ("face", "card", "pin", "fingerprint", "qr", "palm", "button", "remote", "bluetooth", "multi")
DIRECTIONS = ("in", "out")
_STEP = re.compile(r"([^.\[\]]+)|\[([0-9]+)\]")

Path = tuple[str | int, ...]
"""Names and places in lists, from the outside in; empty: where one stands."""


class Lookup(Struct, frozen=True):
    """A field whose words are translated by a table."""

    path: Path
    values: dict[str, str]
    """What stands there, as text -> our word."""


class Replay(Struct, frozen=True):
    """A field that says whether an event comes from the terminal's memory."""

    path: Path
    values: tuple[str, ...]
    """What it says then."""


class DoorMapping(Struct, frozen=True):
    """Where in a body everything stands; None: it is not there."""

    type: Lookup
    events: Path = ()
    """The event, or the list of them, within the body."""
    person: Path | None = None
    nobody: tuple[str, ...] = ()
    """What stands for a person where the terminal found none."""
    door: Path | None = None
    time: Path | None = None
    time_form: str = "iso"
    """iso | epoch_s | epoch_ms"""
    seq: Path | None = None
    id: Path | None = None
    """What names one event for ever, where there is no serial number."""
    device: Path | None = None
    credential: Lookup | None = None
    direction: Lookup | None = None
    replay: Replay | None = None


def read_mapping(node: Node, faults: Faults, name: str) -> DoorMapping | None:
    """The mapping under ``mapping:``; None after recording what makes it useless."""
    reader = Reader(node, faults, name)
    type_ = _lookup(reader, "type", sorted(ENTRY_TYPES), required=True)
    time, form = _time(reader)
    mapping = None if type_ is None else DoorMapping(
        type=type_,
        events=_path(reader, "events") or (),
        person=_path(reader, "person"),
        nobody=_words(reader, "nobody"),
        door=_path(reader, "door"),
        time=time,
        time_form=form,
        seq=_path(reader, "seq"),
        id=_path(reader, "id"),
        device=_path(reader, "device"),
        credential=_lookup(reader, "credential", CREDENTIALS),
        direction=_lookup(reader, "direction", DIRECTIONS),
        replay=_replay(reader),
    )  # fmt: skip
    if mapping is not None:
        reader.done()
        if mapping.time is None and mapping.seq is None and mapping.id is None:
            faults.add(node.mark, "fault.mapping_unnamed", name=name)
        elif mapping.time is None and mapping.replay is None:
            faults.warn(node.mark, "fault.mapping_undated", name=name)
    return mapping


def mapping_of(value: object, faults: Faults, name: str) -> DoorMapping | None:
    """The same from plain JSON, for ``loudong decode``."""
    return read_mapping(_node(value), faults, name)


def _node(value: object) -> Node:
    mark = Mark("mapping", 1)
    if isinstance(value, Mapping):
        return Node({str(key): _node(inner) for key, inner in value.items()}, mark)
    return Node([_node(inner) for inner in value], mark) if isinstance(value, list) else Node(value, mark)


def _path(reader: Reader, key: str, *, required: bool = False) -> Path | None:
    text = reader.take_text(key, required=required, pattern=PATH)
    return tuple(int(place) if place else step for step, place in _STEP.findall(text)) if text else None


def _inner(reader: Reader, key: str, *, required: bool = False) -> Reader | None:
    node = reader.take(key, required=required)
    return None if node is None else Reader(node, reader.faults, f"{reader.name}.{key}")


def _lookup(reader: Reader, key: str, allowed: Collection[str], *, required: bool = False) -> Lookup | None:
    inner = _inner(reader, key, required=required)
    if inner is None:
        return None
    path = _path(inner, "from", required=True)
    table = inner.take("values", required=True)
    inner.done()
    if path is None or table is None:
        return None
    if not table.mapping:
        reader.faults.add(table.mark, "fault.empty", name=inner.name, field="values", given="")
    for node in table.mapping.values():
        if node.value not in allowed:
            reader.faults.add(
                node.mark,
                "fault.not_allowed",
                name=inner.name,
                field="values",
                given=node.value,
                allowed=" | ".join(allowed),
                near=nearest(str(node.value), allowed),
            )
    return Lookup(path, {said: str(node.value) for said, node in table.mapping.items() if node.value in allowed})


def _time(reader: Reader) -> tuple[Path | None, str]:
    """A path, or a path with the form in which the time is written there."""
    node = reader.node.mapping.get("time")
    if node is None or not isinstance(node.value, dict):
        return _path(reader, "time"), "iso"
    inner = _inner(reader, "time")
    if inner is None:
        return None, "iso"
    found = _path(inner, "from", required=True), inner.take_one_of("as", TIME_FORMS, "iso")
    inner.done()
    return found


def _replay(reader: Reader) -> Replay | None:
    inner = _inner(reader, "replay")
    if inner is None:
        return None
    path, values = _path(inner, "from", required=True), _words(inner, "values", required=True)
    inner.done()
    return None if path is None else Replay(path, values)


def _words(reader: Reader, key: str, *, required: bool = False) -> tuple[str, ...]:
    """Scalars as the text they are compared with."""
    node = reader.take(key, required=required)
    if node is None:
        return ()
    given = node.items if isinstance(node.value, list) else [node]
    for item in given:
        if isinstance(item.value, dict | list | float) or item.value is None:
            reader.faults.add(item.mark, "fault.not_text", name=reader.name, field=key, given="")
    return tuple(as_text(item.value) for item in given)


def as_text(value: object) -> str:
    """A scalar as it is looked up in a table; nothing else has a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip() if isinstance(value, str | int) else ""


def schema() -> dict[str, Any]:
    """The section as JSON Schema."""
    path = {"type": "string", "pattern": f"^(?:{PATH})$"}
    word = {"type": ["string", "integer", "boolean"]}
    words = {"anyOf": [word, {"type": "array", "items": word}]}

    def shut(properties: dict[str, Any], *required: str) -> dict[str, Any]:
        return {"type": "object", "properties": properties, "additionalProperties": False, "required": list(required)}

    def lookup(allowed: Collection[str]) -> dict[str, Any]:
        table = {"type": "object", "minProperties": 1, "additionalProperties": {"enum": list(allowed)}}
        return shut({"from": path, "values": table}, "from", "values")

    time = {"anyOf": [path, shut({"from": path, "as": {"enum": list(TIME_FORMS)}}, "from")]}
    return shut(
        {
            "type": lookup(sorted(ENTRY_TYPES)),
            **dict.fromkeys(("events", "person", "door", "seq", "id", "device"), path),
            "nobody": words,
            "time": time,
            "credential": lookup(CREDENTIALS),
            "direction": lookup(DIRECTIONS),
            "replay": shut({"from": path, "values": words}, "from", "values"),
        },
        "type",
    )
