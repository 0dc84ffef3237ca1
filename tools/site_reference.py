#!/usr/bin/env python3
"""Writes docs/site-reference.md and its Chinese sister from the tables by which the site file is read: no field is missing or told wrongly.

    python tools/site_reference.py            write both pages
    python tools/site_reference.py --check    say whether they are as the code has it; exit code 1 where not

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

from gateway.nodes import DURATION_FORM  # noqa: E402 - the checkout itself, wherever it lies
from gateway.site.fields import ID, PLACE  # noqa: E402
from gateway.site.report import form_in_words  # noqa: E402
from gateway.site.schema import site_schema  # noqa: E402

PAGES = {"en": ROOT / "docs" / "site-reference.md", "zh-CN": ROOT / "docs" / "zh" / "site-reference.md"}
Schema = dict[str, Any]

_ENGLISH = {
    "head": """\
# The site file, field by field

English · [中文](zh/site-reference.md)

Written by `python tools/site_reference.py` from the tables by which `loudong check` reads a site file; a test holds the two
together. What each field is for, with examples, is in [site.md](site.md). An *id* is made of lower-case letters, digits and hyphens,
such as `gas-101`; a *place* is a path of up to three ids, such as `b1/s1/301`; a *duration* has a unit (`30s`, `5min`, `4h`, `7d`). A field
without default may be left out unless it says *required*, or another asks for it: a door needs `token_file` unless it has
`transport: stream`.
""",
    "top": "At the top",
    "by_name": " (each by its name)",
    "columns": "| field | what may stand there | default |",
    "required": "*required*",
    "below": "see below",
    "or": " or ",
    "comma": ", ",
    "list": "list of {}",
    "several": "{} (one, or a list of such)",
    "named": "by name: {}",
    "rules": "a mapping, see [rules.md](rules.md)",
    "to": " to ",
    "integer": "whole number",
    "number": "number",
    "flag": "`true` or `false`",
    "text": "text",
    "file": "path of a file, not the secret itself",
    "id": "id",
    "place": "place",
    "duration": "duration",
    "empty": "empty",
}
_CHINESE = {
    "head": """\
# 小区文件逐个字段

[English](../site-reference.md) · 中文

由 `python tools/site_reference.py` 从 `loudong check` 读小区文件所用的表生成，有一个测试保证两者一致。每个字段做什么用、例子，
见[小区文件](site.md)。*编号*由小写字母、数字和连字符组成，如 `gas-101`；*地方*是最多三级编号的路径，如 `b1/s1/301`；
*时长*要带单位（`30s`、`5min`、`4h`、`7d`）。没有默认值的字段可以不写，除非标*必填*，或别的字段
要它：门口机除了 `transport: stream` 都要写 `token_file`。
""",
    "top": "开头",
    "by_name": "（每项以名字开头）",
    "columns": "| 字段 | 可以写什么 | 默认 |",
    "required": "*必填*",
    "below": "见下面的表",
    "or": "，或",
    "comma": "、",
    "list": "一列：{}",
    "several": "{}（一个，或一列）",
    "named": "每项以名字开头：{}",
    "rules": "见[规则页](rules.md)",
    "to": " 到 ",
    "integer": "整数",
    "number": "数字",
    "flag": "`true` 或 `false`",
    "text": "文字",
    "file": "文件名，不是密钥本身",
    "id": "编号",
    "place": "地方",
    "duration": "时长",
    "empty": "空",
}
_OWN_WORDS = {ID: "id", PLACE: "place", DURATION_FORM: "duration"}
"""Forms that the head of the page explains."""


class _Writer:
    """Writes one page in one language."""

    def __init__(self, language: str) -> None:
        self._language, self._words = language, {"en": _ENGLISH, "zh-CN": _CHINESE}[language]

    def page(self) -> str:
        """The whole page."""
        schema = site_schema()
        required = set(schema["required"])
        plain = {k: v for k, v in schema["properties"].items() if not _fields(v)}
        parts = [self._words["head"], f"## {self._words['top']}\n", self._table(plain, required)]
        for name, section in schema["properties"].items():
            parts += self._section([name], section)
        return "\n".join(parts)

    def _section(self, titles: list[str], schema: Schema) -> Iterator[str]:
        """One table for the things of a section, and one more for each thing inside them that has fields of its own; things that
        are alike share one.
        """
        fields = _fields(schema)
        if not fields:
            return
        named = isinstance(schema.get("additionalProperties"), dict)
        yield f"\n## {', '.join(f'`{one}`' for one in titles)}{self._words['by_name'] if named else ''}\n"
        yield self._table(fields, _required(schema))
        alike: dict[str, list[str]] = {}
        for name, field in fields.items():
            if _fields(field):
                alike.setdefault(json.dumps(field, sort_keys=True), []).append(name)
        for names in alike.values():
            yield from self._section([f"{title}.{name}" for title in titles for name in names], fields[names[0]])

    def _table(self, fields: Schema, required: set[str]) -> str:
        rows = [self._words["columns"], "|---|---|---|"]
        for name, field in fields.items():
            default = self._code(field["default"]) if "default" in field else ""
            default = self._words["required"] if name in required else default
            rows.append(f"| `{name}` | {self._form(field)} | {default} |")
        return "\n".join(rows) + "\n"

    def _form(self, field: Schema) -> str:
        words = self._words
        if _fields(field):
            return words["below"]
        if "anyOf" in field:
            one, *others = field["anyOf"]
            if others == [{"type": "array", "items": one}]:
                return words["several"].format(self._form(one))
            return words["or"].join(dict.fromkeys(self._form(one) for one in field["anyOf"]))
        if "enum" in field:
            return words["comma"].join(dict.fromkeys(map(self._code, field["enum"])))
        if "const" in field:
            return self._code(field["const"])
        kinds = field.get("type", "anything")
        kind = next((one for one in kinds if one != "null"), "") if isinstance(kinds, list) else kinds
        if kind == "array":
            return words["list"].format(self._form(field.get("items", {})))
        if kind == "object":
            inner = field.get("additionalProperties")
            return words["named"].format(self._form(inner)) if isinstance(inner, dict) else words["rules"]
        if kind in {"integer", "number"}:
            bounds = [self._code(field[key]) for key in ("minimum", "maximum") if key in field]
            return f"{words[kind]} {words['to'].join(bounds)}".strip()
        return words["flag"] if kind == "boolean" else self._text(field)

    def _text(self, field: Schema) -> str:
        """In words: a regular expression says nothing to an installer."""
        if "not" in field:
            return self._words["file"]
        form = field.get("pattern", "").removeprefix("^(?:").removesuffix(")$")
        if not form:
            return self._words["text"]
        said = self._words[_OWN_WORDS[form]] if form in _OWN_WORDS else form_in_words(form, self._language)
        if said == form:
            raise SystemExit(f"no words for the form {form}: gateway/site/report.py, _FORMS")
        return said

    def _code(self, value: object) -> str:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return f"`{text}`".replace("|", "\\|") if text else self._words["empty"]


def _fields(schema: Schema) -> Schema:
    """The fields of a thing, or of the things by name in a section; none for a plain value."""
    return next((one["properties"] for one in _shapes(schema) if one.get("properties")), {})


def _required(schema: Schema) -> set[str]:
    return next((set(one.get("required", ())) for one in _shapes(schema) if one.get("properties")), set())


def _shapes(schema: Schema) -> list[Schema]:
    inner = schema.get("additionalProperties")
    shapes = [schema, inner if isinstance(inner, dict) else {}]
    return shapes + [one for whole in shapes for one in whole.get("anyOf", ())]


def pages() -> dict[Path, str]:
    """Each page and what it is to hold."""
    return {path: _Writer(language).page() for language, path in PAGES.items()}


if __name__ == "__main__":
    if "--check" not in sys.argv:
        for path, text in pages().items():
            path.write_text(text, encoding="utf-8")
        sys.exit()
    old = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in old:
        print(f"{path.relative_to(ROOT)} is old: python tools/site_reference.py")
    print("" if old else "site reference: as the code has it")
    sys.exit(bool(old))
