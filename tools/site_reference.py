#!/usr/bin/env python3
"""Writes docs/site-reference.md from the tables by which the site file is read, so that no field is missing or told wrongly.

    python tools/site_reference.py            write the page
    python tools/site_reference.py --check    say whether it is as the code has it; exit code 1 where not

What a field is *for*, and what goes with what, is told in docs/site.md; here stand only names, forms and defaults.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gateway.site.fields import ID, PLACE  # noqa: E402 - the checkout itself, wherever it lies
from gateway.site.schema import site_schema  # noqa: E402

PAGE = ROOT / "docs" / "site-reference.md"
HEAD = """\
# The site file, field by field

Written by `python tools/site_reference.py` from the tables by which `loudong check` reads a site file; a test holds the two
together. What each field is for, with examples, is in [site.md](site.md). *id* is `[a-z0-9-]+`, *place* a path of up to three ids, a
*duration* has a unit (`30s`, `5min`, `4h`, `7d`). A field without default may be left out unless it says *required*.
"""
_WORDS = {f"^(?:{ID})$": "id", f"^(?:{PLACE})$": "place"}
Schema = dict[str, Any]


def page() -> str:
    """The whole page."""
    schema = site_schema()
    required = set(schema["required"])
    plain = {k: v for k, v in schema["properties"].items() if not _fields(v)}
    parts = [HEAD, "## At the top\n", _table(plain, required)]
    for name, section in schema["properties"].items():
        parts += _section(name, section)
    return "\n".join(parts)


def _section(title: str, schema: Schema) -> Iterator[str]:
    """One table for the things of a section, and one more for each thing inside them that has fields of its own."""
    fields, required = _fields(schema), _required(schema)
    if not fields:
        return
    by_name = (
        " (each by its name)"
        if "additionalProperties" in schema and isinstance(schema["additionalProperties"], dict)
        else ""
    )
    yield f"\n## `{title}`{by_name}\n"
    yield _table(fields, required)
    for name, field in fields.items():
        if _fields(field):
            yield from _section(f"{title}.{name}", field)


def _table(fields: Schema, required: set[str]) -> str:
    rows = ["| field | what may stand there | default |", "|---|---|---|"]
    for name, field in fields.items():
        default = "*required*" if name in required else _code(field["default"]) if "default" in field else ""
        rows.append(f"| `{name}` | {_form(field)} | {default} |")
    return "\n".join(rows) + "\n"


def _fields(schema: Schema) -> Schema:
    """The fields of a thing, or of the things by name in a section; none for a plain value."""
    inner = schema.get("additionalProperties")
    candidates = [schema, inner if isinstance(inner, dict) else {}]
    candidates += [one for whole in candidates for one in whole.get("anyOf", ())]
    return next((one["properties"] for one in candidates if one.get("properties")), {})


def _required(schema: Schema) -> set[str]:
    inner = schema.get("additionalProperties")
    candidates = [schema, inner if isinstance(inner, dict) else {}]
    candidates += [one for whole in candidates for one in whole.get("anyOf", ())]
    return next((set(one.get("required", ())) for one in candidates if one.get("properties")), set())


def _form(field: Schema) -> str:
    if _fields(field):
        return "see below"
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_form(one) for one in field["anyOf"]))
    if "enum" in field:
        return ", ".join(dict.fromkeys(map(_code, field["enum"])))
    if "const" in field:
        return _code(field["const"])
    kinds = field.get("type", "anything")
    kind = next((one for one in kinds if one != "null"), "") if isinstance(kinds, list) else kinds
    if kind == "array":
        return f"list of {_form(field.get('items', {}))}"
    if kind == "object":
        inner = field.get("additionalProperties")
        return f"by name: {_form(inner)}" if isinstance(inner, dict) else "a mapping, see [rules.md](rules.md)"
    if kind in {"integer", "number"}:
        bounds = [_code(field[key]) for key in ("minimum", "maximum") if key in field]
        return f"{kind} {' to '.join(bounds)}".strip()
    if kind == "string":
        return _text(field)
    return {"boolean": "`true` or `false`"}.get(kind, kind)


def _text(field: Schema) -> str:
    pattern = field.get("pattern", "")
    if "not" in field:
        return "path of a file, not the secret itself"
    if "ms|s|min|h|d" in pattern:
        return "duration"
    if "](" in pattern:  # only hosts have such forms, and Markdown would take them for links
        return "host name or address"
    return _WORDS.get(pattern) or (f"text like {_code(pattern)}" if pattern else "text")


def _code(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{text}`".replace("|", "\\|") if text else "empty"


if __name__ == "__main__":
    if "--check" in sys.argv:
        as_written = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page()
        print(
            "site reference: as the code has it"
            if as_written
            else "docs/site-reference.md is old: python tools/site_reference.py"
        )
        sys.exit(not as_written)
    PAGE.write_text(page(), encoding="utf-8")
