"""YAML text to ``Node`` trees that remember their lines, and nothing of YAML that bites.

Here lives all that is known of YAML; no file is opened here, and no word of the site's own is known.

Theory. YAML guesses types, and readers of different ages guess differently: ``NO`` is false to one and Norway to another,
``12:30`` is 750 (sexagesimal), ``010`` is 8, ``1e3`` is a number or a word, and PyYAML takes the last of two equal keys in
silence. So this reader builds straight from the parser's events and guesses only what all agree on: ``true``/``false``,
plain decimal integers and fractions. Whatever an older or newer reader would take for something else is a fault with its
line, and quotes settle it. Tags, anchors and aliases are refused: without them the tree is no larger than the text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import yaml

from gateway.nodes import Faults, Mark, Node, Spoilt
from gateway.site import slips

MAX_DEPTH = 24
"""The deepest thing of a site file, a condition within a rule, stands at about ten."""
MAX_NODES = 200_000
"""About 20 000 devices; a list of alarm devices this long is a mistake."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML was built with it (four times faster on a site of 1000 flats); both give the same events."""

_INT = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_HEX = re.compile(r"0x[0-9A-Fa-f]{1,16}")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+([eE][-+][0-9]{1,3})?")

_TRAPS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(form))
    for kind, form in (
        # YAML 1.1, language-independent types repository (yaml.org/type/): bool, null, int, float, timestamp, merge, value
        ("fault.yaml_bool", r"y|Y|n|N|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|True|TRUE|False|FALSE"),
        ("fault.yaml_null", r"~|null|Null|NULL"),
        ("fault.yaml_sixty", r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"),
        ("fault.yaml_radix", r"[-+]?0([xX][0-9a-fA-F_]+|[oO]?[0-7_]+|[bB][01_]+|[0-9_]+)"),
        ("fault.yaml_date", r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?"),
        (
            "fault.yaml_number",
            r"[-+]?(\.(inf|Inf|INF)|[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|\.[0-9_]+([eE][-+]?[0-9]+)?)",
        ),
        ("fault.yaml_number", r"\.(nan|NaN|NAN)"),
        ("fault.yaml_merge", r"<<|="),
    )
)

_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
"""Control characters, invisible marks and the line ends no editor counts; pasted from chats and web pages."""

_SYNTAX: tuple[tuple[str, str], ...] = (
    ("mapping values are not allowed", "fault.yaml_colon"),
    ("quoted scalar", "fault.yaml_quote"),
    ("flow ", "fault.yaml_bracket"),
    ("cannot start any token", "fault.yaml_character"),
    ("alphabetic or numeric character", "fault.yaml_character"),
    ("block mapping", "fault.yaml_indent"),
    ("block collection", "fault.yaml_indent"),
    ("could not find expected ':'", "fault.yaml_indent"),
)
"""Part of the parser's message -> what it means to somebody who does not know YAML. Tried in order."""

_CLEARER = (
    (re.compile(r" *\t"), "fault.yaml_tab"),
    (slips.BLANK, "fault.yaml_blank"),
    (slips.BLANK_VALUE, "fault.yaml_blank"),
    (re.compile(r"[^#:\"']*："), "fault.yaml_fullwidth"),
    (slips.WIDE, "fault.yaml_wide"),
    (slips.GLUED_ENTRY, "fault.yaml_space"),
    (slips.DASH, "fault.yaml_wide"),
    (slips.GLUED_DASH, "fault.yaml_dash"),
)
"""What a line looks like -> a clearer word than the parser's."""

_LOOKED_AT = 500
"""Characters of it; nobody writes longer lines by hand, and to look for a slip takes the square of them."""


class _Stop(Exception):
    """Nothing more can be read from this text; its fault is recorded."""


def parse(text: str, file: str, faults: Faults, *, hexadecimal: bool = False) -> Node | None:
    """The tree of one YAML text, or None where its form is so broken that there is none (the fault is recorded).

    Never raises, whatever the text. An empty text is an empty mapping. With ``hexadecimal`` (device profiles), ``0xFFFF`` may
    stand as manuals print it and is handed on as text.
    """
    unseen = _UNSEEN.search(text)
    if unseen is not None:
        mark = Mark(file, text.count("\n", 0, unseen.start()) + 1)
        faults.add(mark, "fault.yaml_unseen", given=f"U+{ord(unseen[0]):04X}")
        return None
    try:
        return _Builder(text, file, faults, hexadecimal=hexadecimal).document()
    except _Stop:
        return None


class _Builder:
    """One text on its way to a tree."""

    def __init__(self, text: str, file: str, faults: Faults, *, hexadecimal: bool) -> None:
        self._text, self._file, self._faults, self._hexadecimal = text, file, faults, hexadecimal
        self._events = self._parsed()
        self._count = 0

    def document(self) -> Node:
        """The only document of the stream."""
        node = Node({}, Mark(self._file, 1))
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._faults.add(self._mark(event), "fault.yaml_second_document")
                    raise _Stop
            elif not isinstance(event, yaml.StreamStartEvent | yaml.StreamEndEvent | yaml.DocumentEndEvent):
                node = self._node(event, 0)
        return Node({}, node.mark) if node.value is None else node

    def _parsed(self) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(self._text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            self._syntax(error)
            raise _Stop from error
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            # PyYAML lets chr() and int() rise on "\UFFFFFFFF" and on a %YAML directive of 5000 digits
            self._faults.add(Mark(self._file, 1), "fault.yaml_syntax", problem=type(error).__name__)
            raise _Stop from error

    def _syntax(self, error: yaml.MarkedYAMLError) -> None:
        at = error.problem_mark or error.context_mark
        begun = error.context_mark or at
        if re.search("simple key|quoted scalar", error.context or ""):
            at = begun  # the parser stumbles at the next word, or at the end of the file
        line = at.line + 1 if at is not None else 1
        message = f"{error.context or ''} {error.problem or ''}"
        key = next((key for part, key in _SYNTAX if part in message), "fault.yaml_syntax")
        fields = {"problem": str(error.problem), "first": str(begun.line + 1 if begun is not None else line)}
        for form, clearer in _CLEARER:  # the parser often stumbles one line after the slip
            found = next(
                ((n, match) for n in (line, line - 1) if (match := form.match(self._line(n)[:_LOOKED_AT]))), None
            )
            if found:
                line, key, fields = found[0], clearer, slips.fields_of(found[1])
                break
        self._faults.add(Mark(self._file, line), key, **fields)

    def _line(self, number: int) -> str:
        lines = self._text.split("\n")
        return lines[number - 1] if 0 < number <= len(lines) else ""

    def _mark(self, event: yaml.Event) -> Mark:
        at = event.start_mark
        return Mark(self._file, at.line + 1 if at is not None else 1)

    def _node(self, event: yaml.Event, depth: int, *, words: bool = False) -> Node:
        """The node that begins with this event; reads on to its end. ``words``: what it says is for people."""
        mark = self._mark(event)
        self._count += 1
        if depth > MAX_DEPTH or self._count > MAX_NODES:
            self._faults.add(mark, "fault.yaml_too_much", depth=MAX_DEPTH, nodes=MAX_NODES)
            raise _Stop
        self._refuse_marks(event, mark)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(mark, depth, words=words)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(mark, depth, flow=bool(event.flow_style))
        if isinstance(event, yaml.ScalarEvent):
            return Node(self._scalar(event, mark, words=words), mark)
        return Node(Spoilt(""), mark)  # an alias, its fault recorded

    def _refuse_marks(self, event: yaml.Event, mark: Mark) -> None:
        anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
        if anchor is not None:
            sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
            self._faults.add(mark, "fault.yaml_alias", given=f"{sign}{anchor}")
        if tag is not None:
            self._faults.add(mark, "fault.yaml_tag", given=tag)

    def _sequence(self, mark: Mark, depth: int, *, flow: bool) -> Node:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            item = self._node(event, depth + 1)
            wide = slips.WIDE_LIST.fullmatch(_plain_text(event)) if flow else None
            if wide is not None and not isinstance(item.value, Spoilt):
                self._faults.add(item.mark, "fault.yaml_wide", **slips.fields_of(wide))
                item = Node(Spoilt(""), item.mark)
            items.append(item)
        return Node(items, mark)

    def _mapping(self, mark: Mark, depth: int, *, words: bool) -> Node:
        entries: dict[str, Node] = {}
        keys: dict[str, Mark] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key_mark = self._mark(event)
            key = self._key(event, depth)
            value = self._node(next(self._events), depth + 1, words=words or key in slips.WORDS)
            if key is None:
                continue
            if value.value is None and (glued := slips.GLUED_KEY.fullmatch(_plain_text(event))):
                self._faults.add(key_mark, slips.key_of(glued), **slips.fields_of(glued))
                key, value = slips.name_of(glued), Node(Spoilt(""), key_mark)
            if key in entries:
                first = f"{keys[key].file}:{keys[key].line}"
                self._faults.add(key_mark, "fault.duplicate_key", field=key, first=first)
                continue
            below = value.mark.line > key_mark.line and isinstance(value.value, str)
            if below and (glued := slips.ONLY_ENTRY.match(self._line(value.mark.line))):
                self._faults.add(value.mark, slips.key_of(glued), **slips.fields_of(glued))
                value = Node(Spoilt(""), value.mark)
            if isinstance(value.value, dict | list):
                value.mark = key_mark  # what is missing in a block is missing under its heading
            entries[key], keys[key] = value, key_mark
        return Node(entries, mark, keys)

    def _key(self, event: yaml.Event, depth: int) -> str | None:
        """A key is always text; None where it is none (fault recorded)."""
        node = self._node(event, depth + 1)
        if isinstance(node.value, Spoilt):
            return None
        if isinstance(node.value, str):
            blank = slips.BLANK.match(_plain_text(event))
            if blank is not None:
                self._faults.add(node.mark, "fault.yaml_blank", **slips.fields_of(blank))
                return None
            return str(node.value)
        if isinstance(node.value, bool):
            return "true" if node.value else "false"
        if isinstance(node.value, int):
            return str(node.value)  # ``301:`` reads the same to everybody
        self._faults.add(node.mark, "fault.yaml_key")
        return None

    def _scalar(self, event: yaml.ScalarEvent, mark: Mark, *, words: bool) -> object:
        text: str = event.value
        if _UNSEEN.search(text):  # by an escape within double quotes
            self._faults.add(mark, "fault.yaml_unseen", given="\\")
            return Spoilt("")
        if event.style:  # quoted or block: a text, whatever it looks like
            return text
        if self._hexadecimal and _HEX.fullmatch(text):
            return text
        value, trap = plain(text)
        if trap:
            self._faults.add(mark, trap, given=text[:60])
            return Spoilt(text)
        if not words and (blank := slips.BLANK.match(text)):
            self._faults.add(mark, "fault.yaml_blank", **slips.fields_of(blank))
            return Spoilt(text)
        if not words and (wide := slips.WIDE_QUOTED.fullmatch(text)):
            self._faults.add(mark, "fault.yaml_wide", **slips.fields_of(wide))
            return Spoilt(text)
        return value


def _plain_text(event: yaml.Event) -> str:
    """What stands there without quotes; empty for all else."""
    return event.value if isinstance(event, yaml.ScalarEvent) and not event.style else ""


def plain(text: str) -> tuple[object, str]:
    """What an unquoted scalar means, and the key of its fault where readers of YAML would not agree (else empty)."""
    if text == "":
        return None, ""
    if text in {"true", "false"}:
        return text == "true", ""
    if _INT.fullmatch(text) and text != "-0":
        return int(text), ""
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number, ""
    return text, next((kind for kind, form in _TRAPS if form.fullmatch(text)), "")
