"""Slips of a Chinese keyboard and of a forgotten space, which to YAML are plain text: what they look like. Pure.

Theory. A full-width sign is right in a sentence for people (``请开窗，离开``), so it is a slip only where it stands for a sign of
YAML: between words of the site file, around a whole value, or in front of a line.
"""

from __future__ import annotations

import re
import unicodedata

_BLANKS = "\u00a0\u2000-\u200a\u3000"
_DASHES = "—–‐－−"
_QUOTES = "“”‘’＂＇"
_NAME = r"[A-Za-z_][\w./-]*"

BLANK = re.compile(f"[^\\S{_BLANKS}]*(?P<sign>[{_BLANKS}])")
"""A space that is none to YAML, in front of a key."""
BLANK_VALUE = re.compile(rf"[^#:\"']*:[^\S{_BLANKS}]*(?P<sign>[{_BLANKS}])")
"""The same in front of what stands there."""
DASH = re.compile(rf" *(?P<sign>[{_DASHES}])[—{_BLANKS} ]*[A-Za-z_]")
"""An item of a list by a dash that is none to YAML."""
GLUED_DASH = re.compile(r" *-[a-z_]+:(?:\s|$)")
"""An item of a list whose dash has no space after it."""
WIDE = re.compile(
    rf"[^#]*?(?:(?P<sign>，) *{_NAME} *[:：]"
    rf"|[:,\[{{] *(?P<quote>[{_QUOTES}])[^{_QUOTES}]*[{_QUOTES}] *(?=[],}}#，]|$)"
    r"|: *(?P<open>[｛［【])"
    r"|[\[{][^#]*(?P<close>[｝］】]),? *(?=#|$))"
)
"""A line the parser stumbled at."""
WIDE_LIST = re.compile(rf"[!-~{_QUOTES}]+(?:(?P<sign>[，、；]) *[!-~{_QUOTES}]+)+")
"""One text in a list, which was to be several: ``[ack， close]``."""
WIDE_QUOTED = re.compile(rf"(?P<quote>[{_QUOTES}])[!-~：]*[{_QUOTES}]|(?P<open>[｛［【])[ -~，：]*[｝］】]")
"""A value in quotes or brackets that are none to YAML: ``“22:00”``, ``［ack］``."""
WORDS = frozenset({"name", "zh", "en", "text", "places"})
"""Keys of words for people, or of a mapping to such: there those signs are as good as any (``name: 【301】``)."""
GLUED_ENTRY = re.compile(r" *(?:- +)?(?P<name>[a-z_]+)(?P<colon>:)(?:[^\s/]|/[^\s/])")
"""A line that begins with an entry whose colon has no space after it."""
GLUED_KEY = re.compile(
    rf"(?P<name>[a-z_]+)(?P<colon>:)(?:\S|(?P<sign>[{_BLANKS}])).*|(?P<wide_name>{_NAME})(?P<wide>：).*"
)
"""Within braces: ``{profile:gas, unit_id: 1}``."""
ONLY_ENTRY = re.compile(
    rf" *(?:(?P<name>[a-z_]+)(?P<colon>:)(?:(?!\d+\s*$)[^\s/]|(?P<sign>[{_BLANKS}]))|(?P<wide_name>{_NAME})(?P<wide>：))"
)
"""A single entry under a heading."""


def key_of(match: re.Match[str]) -> str:
    """The sentence for an entry whose colon is none."""
    if match["sign"]:
        return "fault.yaml_blank"
    return "fault.yaml_fullwidth" if match.groupdict().get("wide") else "fault.yaml_space"


def name_of(match: re.Match[str]) -> str:
    """The key that was meant."""
    return match["name"] or match["wide_name"]


def fields_of(match: re.Match[str]) -> dict[str, str]:
    """What the sentence is to say of it: the sign as it stands there, its code, and what is to stand there."""
    found = {name: text for name, text in match.groupdict().items() if text}
    sign = next((found[name] for name in ("sign", "quote", "open", "close") if name in found), "")
    if not sign:
        return {"given": f"{found['name']}:"} if "colon" in found else {}
    code = f"U+{ord(sign):04X}"
    if BLANK.match(sign):
        return {"given": code}
    return {"given": sign, "code": code, "wanted": _MEANT.get(sign) or unicodedata.normalize("NFKC", sign)}


_MEANT = {"“": '"', "”": '"', "‘": "'", "’": "'", "【": "[", "】": "]", "、": ",", "；": ","} | dict.fromkeys(
    _DASHES, "-"
)
