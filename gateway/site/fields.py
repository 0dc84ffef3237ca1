"""The kinds of field a site file is made of: how each is read, and how each looks to an editor (JSON Schema).

Reading and schema stand side by side in one constructor a kind, so neither can know a field, a bound or a word the other
does not. Which thing has which fields is in ``shapes.py``.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import Struct

from gateway.instant import DAY
from gateway.nodes import DURATION_FORM, Mark, Reader, duration_text, exact_ms, nearest

Known = dict[str, Collection[str]]
"""Kind of thing -> the names declared so far; of places, what people call each stands beside its path."""
"""Kind of name (``place``, ``person``, ``device`` …) -> the names declared in this site file."""

Schema = dict[str, Any]

ID = r"[a-z0-9-]+"
PLACE = r"[a-z0-9-]+(/[a-z0-9-]+){0,2}"

ABSENT: Any = object()
"""The default of a field whose absence means something."""

CREDENTIAL = "credential:"
"""``credential:NAME`` is the file NAME handed over by systemd (systemd.exec(5), LoadCredential=)."""
_LOOKS_SECRET = r"[0-9A-Fa-f]{24,128}"  # noqa: S105 -- the shape of a key written where its file's name belongs
_INLINE_SECRETS = frozenset(
    {"password", "passwd", "key", "bind_key", "bindkey", "secret", "token", "passphrase", "psk"}
)


class Field(Struct, frozen=True):
    """One field: its key in the file, how its value is taken, what an editor is told."""

    key: str
    take: Callable[[Reader, Known, Any], Any]
    """``take(reader, known, default)``; returns the default after recording a fault."""
    schema: Schema
    required: bool = False
    attr: str = ""
    """Attribute of the model where it differs from the key."""
    write: Callable[[Any], Any] = lambda value: value
    """The model's value as written in a file."""

    @property
    def target(self) -> str:
        """The attribute of the model it fills."""
        return self.attr or self.key


class Table:
    """The fields of one thing, and the model they fill."""

    def __init__(self, model: type[Struct], *fields: Field) -> None:
        self.model, self.fields = model, fields
        self.defaults = _defaults(model)

    def read(self, reader: Reader, known: Known) -> dict[str, Any]:
        """Every field's value by attribute; a missing or faulty one has the model's default (``""`` or 0 where it has none)."""
        refuse_inline_secrets(reader, {f.key for f in self.fields})
        return {f.target: f.take(reader, known, self.defaults.get(f.target, ABSENT)) for f in self.fields}

    def schema(self) -> Schema:
        """The thing as a JSON Schema object."""
        properties: Schema = {}
        for field in self.fields:
            default = self.defaults.get(field.target)
            shown = {} if default in (None, "", b"", (), {}) else {"default": field.write(default)}
            properties[field.key] = {**field.schema, **(shown if _fits(shown.get("default"), field.schema) else {})}
        return closed_object(properties, [f.key for f in self.fields if f.required])


def _fits(default: Any, schema: Schema) -> bool:
    """Whether a file could say so: some defaults stand for what is not given (no heartbeat: 0)."""
    if schema is _WITH_UNIT:
        return bool(default)
    return not isinstance(default, int) or default >= schema.get("minimum", default)


def closed_object(properties: Schema, required: Sequence[str] = ()) -> Schema:
    """A JSON Schema object that allows no other key."""
    shape: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**shape, "required": list(required)} if required else shape


def _defaults(model: type[Struct]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(model):
        if field.default is not msgspec.NODEFAULT:
            found[field.name] = field.default
        elif field.default_factory is not msgspec.NODEFAULT:
            found[field.name] = cast(Callable[[], Any], field.default_factory)()
    return found


def _or(default: Any, blank: Any) -> Any:
    return blank if default is ABSENT else default


def text(key: str, *, form: str = "", required: bool = False, attr: str = "") -> Field:
    """A string, optionally of a form (a regular expression that matches whole)."""

    def take(reader: Reader, _known: Known, default: Any) -> Any:
        return reader.take_text(key, _or(default, ""), required=required, pattern=form)

    return Field(key, take, _text_schema(form), required, attr)


def _text_schema(form: str) -> Schema:
    return {"type": "string", "pattern": f"^(?:{form})$"} if form else {"type": "string"}


def reference(key: str, kind: str, *, form: str = ID, required: bool = False) -> Field:
    """The name of something declared elsewhere in the site file."""

    def take(reader: Reader, known: Known, default: Any) -> Any:
        name = reader.take_text(key, _or(default, ""), required=required)
        if name and name not in known[kind]:
            unknown(reader, reader.mark(key), kind, name, known[kind])
            return ""
        return name

    return Field(key, take, _text_schema(form), required)


def references(key: str, kind: str, *, form: str = ID, required: bool = False) -> Field:
    """Names of things declared elsewhere, one or a list."""

    def take(reader: Reader, known: Known, default: Any) -> Any:
        nodes = reader.take_text_nodes(key)
        if nodes is None:
            if required and not reader.has(key):
                reader.take(key, required=True)
            return _or(default, ())
        for node in nodes:
            if node.value not in known[kind]:
                unknown(reader, node.mark, kind, str(node.value), known[kind])
        return tuple(dict.fromkeys(str(n.value) for n in nodes if n.value in known[kind]))

    return Field(key, take, _texts_schema(_text_schema(form)), required, write=list)


def _texts_schema(item: Schema) -> Schema:
    return {"anyOf": [item, {"type": "array", "items": item}]}


def unknown(reader: Reader, mark: Mark, kind: str, given: str, known: Collection[str]) -> None:
    """Record that the thing being read speaks of something nobody declared, with the nearest declared name."""
    below = next((name for name in known if kind == "place" and name.startswith(f"{given}/")), "")
    if below:  # what is nearest is a flat of the stair that is missing
        reader.faults.add(mark, "fault.place_left_out", name=reader.name, given=given, below=below)
        return
    names = {name: name for name in known} | (
        {spoken: name for name, spoken in known.items()} if isinstance(known, Mapping) else {}
    )
    near = names.get(nearest(given, names), "")
    reader.faults.add(mark, f"fault.unknown_{kind}", name=reader.name, given=given, near=near)


def one_of(key: str, allowed: Sequence[str], *, required: bool = False) -> Field:
    """One of a few words."""

    def take(reader: Reader, _known: Known, default: Any) -> Any:
        return reader.take_one_of(key, allowed, _or(default, ""), required=required)

    return Field(key, take, {"type": "string", "enum": list(allowed)}, required)


def some_of(key: str, allowed: Sequence[str]) -> Field:
    """Some of a few words, one or a list."""

    def take(reader: Reader, _known: Known, default: Any) -> Any:
        nodes = reader.take_text_nodes(key)
        for node in nodes or ():
            if node.value not in allowed:
                reader.faults.add(
                    node.mark,
                    "fault.not_allowed",
                    name=reader.name,
                    field=key,
                    given=node.value,
                    allowed=" | ".join(allowed),
                    near=nearest(str(node.value), allowed),
                )
        if nodes is None:
            return _or(default, ())
        return tuple(dict.fromkeys(str(n.value) for n in nodes if n.value in allowed))

    return Field(key, take, _texts_schema({"type": "string", "enum": list(allowed)}), write=list)


def texts(key: str, *, form: str = ID) -> Field:
    """Strings of a form, one or a list."""

    def take(reader: Reader, _known: Known, default: Any) -> Any:
        nodes = reader.take_text_nodes(key)
        if nodes is None:
            return _or(default, ())
        for node in nodes:
            if not re.fullmatch(form, str(node.value)):
                reader.faults.add(node.mark, "fault.bad_form", name=reader.name, field=key, given=node.value, form=form)
        return tuple(dict.fromkeys(str(n.value) for n in nodes if re.fullmatch(form, str(n.value))))

    return Field(key, take, _texts_schema(_text_schema(form)), write=list)


def whole(key: str, low: int, high: int, *, required: bool = False) -> Field:
    """A whole number within bounds."""

    def take(reader: Reader, _known: Known, default: Any) -> Any:
        return reader.take_int(key, _or(default, 0), low=low, high=high, required=required)

    return Field(key, take, {"type": "integer", "minimum": low, "maximum": high}, required)


def choice_of_numbers(key: str, allowed: Sequence[int]) -> Field:
    """One of a few whole numbers."""

    def take(reader: Reader, _known: Known, default: Any) -> Any:
        node = reader.take(key)
        if node is None or (type(node.value) is int and node.value in allowed):
            return default if node is None else node.value
        if isinstance(node.value, str) and node.value in map(str, allowed):
            reader.refuse(key, "fault.not_number")
        else:
            reader.refuse(key, "fault.not_allowed", allowed=" | ".join(str(n) for n in allowed), near="")
        return default

    return Field(key, take, {"type": "integer", "enum": list(allowed)})


def flag(key: str) -> Field:
    """``true`` or ``false``."""

    def take(reader: Reader, _known: Known, default: Any) -> Any:
        return reader.take_flag(key, default=_or(default, False))

    return Field(key, take, {"type": "boolean"})


_WITH_UNIT: Schema = {"type": "string", "pattern": f"^(?:{DURATION_FORM})$"}
_DURATION_SCHEMA: Schema = {"anyOf": [_WITH_UNIT, {"type": "integer", "const": 0}]}


def duration(key: str, attr: str, low: int, high: int = 400 * DAY, *, per: int = 1) -> Field:
    """A duration with its unit; the model counts it in ``per`` milliseconds."""

    def take(reader: Reader, _known: Known, default: Any) -> Any:
        fallback = -1 if default is ABSENT else default * per
        length = reader.take_duration(key, fallback, low=low, high=high)
        return ABSENT if length < 0 else length // per

    schema = _WITH_UNIT if low else _DURATION_SCHEMA
    return Field(key, take, schema, attr=attr, write=lambda value: duration_text(value * per) if value else 0)


def fine_duration(key: str, attr: str, high: int) -> Field:
    """A duration of which parts of a millisecond count, too."""

    def take(reader: Reader, _known: Known, default: Any) -> Any:
        if reader.take_duration(key, -1, high=high) < 0:
            return default
        given = reader.node.mapping[key].value
        return exact_ms(given) if isinstance(given, str) else 0.0

    return Field(key, take, _DURATION_SCHEMA, attr=attr, write=lambda value: f"{value:g}ms" if value else 0)


def delay(key: str) -> Field:
    """A duration, or ``never`` (None)."""

    def take(reader: Reader, _known: Known, default: Any) -> Any:
        node = reader.node.mapping.get(key)
        if node is not None and node.value in ("never", "-"):
            reader.take(key)
            return None
        return reader.take_duration(key, default)

    return Field(key, take, {"anyOf": [*_DURATION_SCHEMA["anyOf"], {"enum": ["never", "-"]}]})


def secret(key: str, *, required: bool = False) -> Field:
    """The name of a file that holds a secret, relative to the file it is written in, or ``credential:NAME``."""

    def take(reader: Reader, _known: Known, default: Any) -> Any:
        node = reader.node.mapping.get(key)
        if node is not None and isinstance(node.value, str) and re.fullmatch(_LOOKS_SECRET, node.value):
            reader.take(key)
            reader.faults.add(node.mark, "fault.secret_inline", name=reader.name, field=key, file_field=key)
            return ""
        name = reader.take_text(key, _or(default, ""), required=required)
        return _located(name, Path(reader.mark(key).file).parent)

    return Field(key, take, {"type": "string", "not": {"pattern": f"^(?:{_LOOKS_SECRET})$"}}, required)


def _located(name: str, folder: Path) -> str:
    if name.startswith(CREDENTIAL):
        given = os.environ.get("CREDENTIALS_DIRECTORY")
        return str(Path(given) / name.removeprefix(CREDENTIAL)) if given else name
    return str(folder / name) if name else ""


def unlocated(name: str, folder: Path) -> str:
    """A secret's file as a file in ``folder`` names it."""
    given, file = os.environ.get("CREDENTIALS_DIRECTORY"), Path(name)
    if given and file.is_relative_to(given):
        return CREDENTIAL + str(file.relative_to(given))
    return str(file.relative_to(folder)) if file.is_relative_to(folder) else name


def refuse_inline_secrets(reader: Reader, keys: Collection[str]) -> None:
    """A secret written into the site file is a fault that names the field to use instead, and never shows the secret."""
    for key in reader.node.mapping:
        if key in _INLINE_SECRETS and key not in keys:
            files = sorted(k for k in keys if k.endswith("_file"))
            near = next((k for k in files if k.startswith(key)), "".join(files[:1]) or f"{key}_file")
            reader.faults.add(reader.mark(key), "fault.secret_inline", name=reader.name, field=key, file_field=near)
            reader.pass_over(key)


def part(key: str, table: Table) -> Field:
    """One thing within another; None where it is absent."""

    def take(reader: Reader, known: Known, default: Any) -> Any:
        inner = _inner(reader, key)
        if inner is None:
            return _or(default, None)
        values = table.read(inner, known)
        inner.done()
        return table.model(**values)

    return Field(key, take, table.schema())


def each(key: str, table: Table) -> Field:
    """Several things of a kind without names; one may stand alone, without its dash."""

    def take(reader: Reader, known: Known, default: Any) -> Any:
        node = reader.take(key)
        if node is None or node.value is None:
            return _or(default, ())
        found = []
        for item in node.items if isinstance(node.value, list) else [node]:
            inner = Reader(item, reader.faults, f"{reader.name}.{key}")
            found.append(table.model(**table.read(inner, known)))
            inner.done()
        return tuple(found)

    one = table.schema()
    return Field(key, take, {"anyOf": [one, {"type": "array", "items": one}]})


DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
MOMENT = rf"{DATE}(T[0-9]{{2}}:[0-9]{{2}})?"


def date(key: str, *, form: str = DATE, attr: str = "") -> Field:
    """A date of the calendar, by local time; as ``MOMENT`` it may have a time of day."""

    def take(reader: Reader, _known: Known, default: Any) -> Any:
        given = reader.take_text(key, _or(default, ""), required=True, pattern=form)
        try:
            return given if not given else dt.datetime.fromisoformat(given) and given
        except ValueError:  # the 30th of February
            reader.faults.add(reader.mark(key), "fault.bad_date", name=reader.name, field=key, given=given)
            return _or(default, "")

    return Field(key, take, _text_schema(form), True, attr)


def whole_or_none(key: str, low: int, high: int) -> Field:
    """A whole number within bounds; None where it is not given, for 0 means something."""
    plain = whole(key, low, high)

    def take(reader: Reader, known: Known, _default: Any) -> Any:
        return plain.take(reader, known, ABSENT) if reader.take(key) is not None else None

    return Field(key, take, plain.schema)


def by_name(key: str, kind: str, make: Callable[[str], Field], *, form: str = ID) -> Field:
    """A mapping from declared names of a kind (``""``: any name of the form) to values that are all read alike."""

    def take(reader: Reader, known: Known, default: Any) -> Any:
        inner = _inner(reader, key)
        if inner is None:
            return _or(default, {})
        for name in inner.node.mapping:
            if kind and name not in known[kind]:
                unknown(inner, inner.mark(name), kind, name, known[kind])
            elif not re.fullmatch(form, name):
                inner.faults.add(inner.mark(name), "fault.bad_form", name=inner.name, field=key, given=name, form=form)
        good = [n for n in inner.node.mapping if re.fullmatch(form, n) and (not kind or n in known[kind])]
        return _given(good, make, inner, known)

    names = {"propertyNames": {"pattern": f"^(?:{form})$"}}
    return Field(key, take, {"type": ["object", "null"], **names, "additionalProperties": make("").schema}, write=dict)


def by_word(key: str, words: Sequence[str], make: Callable[[str], Field]) -> Field:
    """A mapping whose keys are some of a few words."""

    def take(reader: Reader, known: Known, default: Any) -> Any:
        inner = _inner(reader, key)
        if inner is None:
            return _or(default, {})
        for word in words:
            inner.take(word)
        inner.done()
        return _given([w for w in words if inner.has(w)], make, inner, known)

    properties = {word: make(word).schema for word in words}
    return Field(key, take, closed_object(properties))


def _inner(reader: Reader, key: str) -> Reader | None:
    """A reader of the mapping under a key; None where it is absent or empty."""
    node = reader.take(key)
    if node is None or node.value is None:
        return None
    return Reader(node, reader.faults, f"{reader.name}.{key}" if reader.name else key)


def _given(names: Collection[str], make: Callable[[str], Field], inner: Reader, known: Known) -> dict[str, Any]:
    """The values under these names, without the faulty ones."""
    taken = {name: make(name).take(inner, known, ABSENT) for name in names}
    return {name: value for name, value in taken.items() if value is not ABSENT and value != ""}
