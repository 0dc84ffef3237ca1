"""Faults as an installer reads them: ``file:line: error: sentence``, or one JSON object a line.

The words are in ``gateway/words``; here they are only joined with what the fault knows.
"""

from __future__ import annotations

import re

from gateway.nodes import Fault, Faults
from gateway.site import fields, mapping, shapes
from gateway.words import CATALOGUE, say

_FORMS = {
    fields.ID: "form.id",
    fields.PLACE: "form.place",
    fields.DATE: "form.date",
    fields.MOMENT: "form.moment",
    shapes.PSEUDONYM: "form.pseudonym",
    shapes.MAC: "form.mac",
    shapes.ADAPTER: "form.adapter",
    shapes.HOST: "form.host",
    shapes.BROKER: "form.broker",
    shapes.IP: "form.ip",
    shapes.ZONE: "form.zone",
    shapes.LOGIN: "form.login",
    shapes.POINT: "form.point",
    shapes.DEVICE_POINT: "form.device_point",
    shapes.PORT: "form.port",
    shapes.NAME: "form.name",
    shapes.WIRE_BYTES: "form.wire_bytes",
    shapes.USERNAME: "form.username",
    mapping.PATH: "form.json_path",
    shapes.HEX: "form.hex",
    shapes.UUID: "form.uuid",
    shapes.SHORT: "form.short",
    shapes.SHORT_OR_UUID: "form.short_or_uuid",
    shapes.NAMESPACE: "form.namespace",
    shapes.INSTANCE: "form.instance",
    shapes.URL: "form.url",
    "[a-z0-9]+(-[a-z0-9]+)*": "form.id",
    "[a-z][a-z0-9_]*": "form.fact",
    "[a-z0-9_]+": "form.fact",
    "[a-z]+": "form.word",
}
"""A regular expression -> the words that say it."""

_WORDS = {"rung": "rung", "lower": "rung", "priority": "priority", "kind": "output_kind"}
"""Field that holds a word of the site file -> the family of sentences that says it."""

_CHOICE = re.compile(r"[a-z0-9_-]+(\|[a-z0-9_-]+)*")
_LONGEST = 200
"""Characters of one field shown; longer ones are cut, the line number leads to the rest."""


def sentence(fault: Fault, language: str) -> str:
    """What is wrong, the nearest known word, and what may stand there."""
    known = {name: _shown(value) for name, value in fault.fields}
    if language == "zh-CN":
        known |= {name: _in_words(_WORDS[name], known[name], language) for name in _WORDS.keys() & known.keys()}
    if (detail := f"errno.{known.get('detail')}") in CATALOGUE:
        known["detail"] = say(detail, language)
    if "form" in known:
        known["form"] = form_in_words(known["form"], language)
    said = [_ended(say(fault.key, language, **known), language)]
    if known.get("near"):
        said.append(say("fault.near", language, near=known["near"]))
    if known.get("allowed"):
        said.append(say("fault.allowed", language, allowed=known["allowed"]))
    return ("" if language == "zh-CN" else " ").join(said)


def render(faults: Faults, language: str) -> list[str]:
    """One line a fault in the order of the files, as compilers print them, so that editors can jump there."""
    return [
        f"{fault.mark.file}:{fault.mark.line}: {say(_level(fault), language)}: {sentence(fault, language)}"
        for fault in faults.in_order
    ]


def objects(faults: Faults, language: str) -> list[dict[str, object]]:
    """One object a fault, for ``--json``."""
    return [as_object(fault, language) for fault in faults.in_order]


def as_object(fault: Fault, language: str) -> dict[str, object]:
    """A fault and what it says."""
    return {
        "file": fault.mark.file,
        "line": fault.mark.line,
        "level": "warning" if fault.warning else "error",
        "key": fault.key,
        "message": sentence(fault, language),
        "fields": dict(fault.fields),
    }


def summary(faults: Faults, language: str) -> str:
    """How many of each."""
    return say("fault.summary", language, errors=len(faults.errors), warnings=len(faults.warnings))


def _ended(said: str, language: str) -> str:
    """A sentence with its full stop, whatever topic it comes from."""
    return said if said.endswith((".", "。", "?", "？", "!", "！")) else said + ("。" if language == "zh-CN" else ".")


def form_in_words(form: str, language: str) -> str:
    """A regular expression in words; a plain choice of words speaks for itself."""
    if form in _FORMS:
        return say(_FORMS[form], language)
    return form.replace("|", " | ") if _CHOICE.fullmatch(form) else form


def _in_words(family: str, word: str, language: str) -> str:
    """A word of the site file with what it means; the word itself stays, for it is what stands in the file."""
    key = f"{family}.{word}"
    return f"{say(key, language)}（{word}）" if key in CATALOGUE else word


def _level(fault: Fault) -> str:
    return "fault.warning" if fault.warning else "fault.error"


def _shown(value: str) -> str:
    """A field's value, safe for a terminal."""
    text = "".join(c if c.isprintable() else f"<U+{ord(c):04X}>" for c in value)
    if len(text) <= _LONGEST:
        return text
    cut = text[: _LONGEST - 2]
    word_end = cut.rfind(" ") if text[_LONGEST - 2] != " " else len(cut)
    return (cut[:word_end].rstrip(" |,") + " …") if word_end > _LONGEST // 2 else cut + "…"
