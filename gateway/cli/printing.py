"""How every command ends and speaks: its exit code, the reader's language, one JSON object a line or words.

Knows no command. Exit codes (contract, Commands): 0 done, 64 usage, 69 no daemon running, 78 fault in the site file;
1 the daemon refused.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from gateway.words import CATALOGUE, say

if TYPE_CHECKING:
    from gateway.nodes import Faults

OK, REFUSED, USAGE, NO_DAEMON, FAULTY = 0, 1, 64, 69, 78
Item = dict[str, Any]


site_language = ContextVar("site_language", default="en")
"""Of the gateway that was asked; what is spoken where the locale says nothing."""


def language(otherwise: str | None = None) -> str:
    """The reader's language, from the locale; where that names neither (C, POSIX, none) ``otherwise``, or the language of the
    site whose gateway was asked, or English.
    """
    spoken = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return {"zh": "zh-CN", "en": "en"}.get(spoken[:2], site_language.get() if otherwise is None else otherwise)


def print_item(item: Item) -> None:
    try:
        print(json.dumps(item, ensure_ascii=False, default=str), flush=True)
    except UnicodeEncodeError:  # half a character (JSON can spell one), or a terminal without the script: escaped
        print(json.dumps(item, default=str), flush=True)


def complain(asked: argparse.Namespace, key: str, code: int, **fields: object) -> int:
    if asked.json:
        print_item({"error": key.split(".", 1)[1], **{name: str(value) for name, value in fields.items()}})
    else:
        print(say(key, language(), **fields), file=sys.stderr)
    return code


def typed(question: str) -> str:
    """What somebody types; nothing where nobody is there to type. Asked beside the answer, which a program may read."""
    print(question, end="", file=sys.stderr, flush=True)
    try:
        return input().strip()
    except EOFError:
        print(file=sys.stderr)
        return ""


def hint_folder(asked: argparse.Namespace) -> None:
    """Nobody said where the state lies, and it does not lie where we looked."""
    if asked.state is None and not asked.json:
        print(say("cli.state_hint", language()), file=sys.stderr)


def why(fault: Exception) -> str:
    """What the system refused, and of which file, in the reader's language where we have a word for it."""
    cause = fault if isinstance(fault, OSError) else fault.__cause__
    if cause is None or (said := refused(cause)) == str(cause):
        return str(fault)
    where = fault.filename if isinstance(fault, OSError) else str(fault).rpartition(": ")[0]
    return f"{where}: {said}" if where else said


def refused(cause: BaseException) -> str:
    """The same without the file."""
    from gateway.site.files import name_of

    key = f"errno.{name_of(cause)}"
    return say(key, language()) if key in CATALOGUE else getattr(cause, "strerror", None) or str(cause)


def print_faults(faults: Faults, *, as_json: bool) -> None:
    """In the reader's language, or in that of the site they are about."""
    from gateway.site.report import objects, render, summary

    spoken = language(faults.language)
    if as_json:
        for item in objects(faults, spoken):
            print_item(item)
        return
    for line in render(faults, spoken):
        print(line)
    print(summary(faults, spoken))


def moment(item: Item, width: int = 17) -> str:
    """By the site's clock where one can be trusted, else the place on the site timeline, its number as wide as asked."""
    if local := item.get("at_local"):
        return str(local).replace("T", " ")
    return say("length.s", language(), n=f"{item['at'] / 1000:>{width}.1f}")


def length(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return say(f"length.{unit}", language(), n=f"{seconds / size:.1f}")
    return say("length.s", language(), n=f"{seconds:.0f}")


def listed(parts: Iterable[str], spoken: str) -> str:
    """One after the other, with the comma of the language."""
    return say("alert.comma", spoken).join(parts)
