"""A file's content that remembers its lines, and the faults found in it.

``site/`` reads YAML into ``Node`` trees; ``site/`` and ``rules/`` turn them into types field by field through ``Reader``, so
that *every* fault is found at once and each names its file and line. Pure: no file is opened here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum
from typing import TypeVar

import msgspec
from msgspec import Struct

from gateway.instant import DAY, HOUR, MINUTE, SECOND

E = TypeVar("E", bound=Enum)
T = TypeVar("T")


class Mark(Struct, frozen=True, order=True):
    """Where in which file; lines from 1."""

    file: str
    line: int


class Spoilt(str):
    """Text of a scalar whose fault is already recorded: a ``Reader`` takes its default in silence, so one slip is one fault."""

    __slots__ = ()


class Node(Struct):
    """A YAML value with its place: a scalar, a list of nodes, or a mapping of nodes."""

    value: object
    mark: Mark
    keys: dict[str, Mark] = {}
    """For a mapping: where each key stands."""

    @property
    def mapping(self) -> dict[str, Node]:
        """The entries, or none where this is no mapping."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list[Node]:
        """The elements, or none where this is no list."""
        return self.value if isinstance(self.value, list) else []


class Fault(Struct, frozen=True):
    """One thing wrong (or unwise) in a file, for the installer's eyes."""

    mark: Mark
    key: str
    """Key of the sentence in the word catalogue, ``fault.…``."""
    fields: tuple[tuple[str, str], ...] = ()
    warning: bool = False


class Faults:
    """Collects every fault of one check."""

    def __init__(self) -> None:
        self.found: list[Fault] = []
        self.softened: list[Fault] = []
        """Errors that are run on all the same."""
        self.language = "en"
        """That of the site they are about, for whom the locale names none."""

    def add(self, mark: Mark, key: str, **fields: object) -> None:
        """Something that must be mended before the gateway starts."""
        self.found.append(Fault(mark, key, _shown(fields)))

    def warn(self, mark: Mark, key: str, **fields: object) -> None:
        """Legal, but unwise."""
        self.found.append(Fault(mark, key, _shown(fields), warning=True))

    def soften(self, keys: Collection[str]) -> None:
        """Make warnings of the errors of these keys, and remember them."""
        self.softened = [fault for fault in self.errors if fault.key in keys]
        self.found = [msgspec.structs.replace(f, warning=True) if f in self.softened else f for f in self.found]

    @property
    def errors(self) -> list[Fault]:
        """In the order of the files."""
        return [fault for fault in self.in_order if not fault.warning]

    @property
    def warnings(self) -> list[Fault]:
        """In the order of the files."""
        return [fault for fault in self.in_order if fault.warning]

    @property
    def in_order(self) -> list[Fault]:
        """Errors and warnings together, by file and line; equal ones once."""
        return sorted(dict.fromkeys(self.found), key=lambda fault: fault.mark)


def _shown(fields: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(value)) for name, value in fields.items())


def nearest(word: str, known: Iterable[str]) -> str:
    """The known name most like ``word``, or an empty string. What differs in capitals alone is most like."""
    import difflib  # for a slip of the pen alone; no daemon holds it

    names = list(known)
    same = [name for name in names if name.casefold() == word.casefold()]
    return next(iter(same or difflib.get_close_matches(word, names, n=1, cutoff=0.5)), "")


def half_width(text: str) -> str:
    """What the same keys give without a Chinese keyboard: ``１h`` is ``1h``, ``192。168`` is ``192.168``."""
    return unicodedata.normalize("NFKC", text).replace("。", ".").replace("、", ",").strip()


_UNIT_SIGNS = {0xFF01 + n: 0x21 + n for n in range(94)} | {
    ord("℃"): "°C",
    ord("\N{GREEK SMALL LETTER MU}"): "\N{MICRO SIGN}",
    ord("\N{OHM SIGN}"): "\N{GREEK CAPITAL LETTER OMEGA}",
}


def unit_spelt(unit: str) -> str:
    """A unit in the signs by which points and limits are compared: ``℃`` is ``°C``, ``％`` is ``%``. It stays the same unit."""
    return unit.translate(_UNIT_SIGNS)


def meant(given: str, form: str) -> str:
    """The same of the form (a regular expression that must match whole) by other signs or capitals; empty where there is none."""
    plain = half_width(given)
    ways = (plain, plain.lower(), re.sub("[ _]", "-", plain.lower()), plain.replace("-", ":"), plain.replace("\\", "/"))
    return next((one for one in ways if re.fullmatch(form, one)), "")


DURATION_FORM = r"\s*([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*(ms|s|min|h|d)\s*"
"""How a duration is written; also given to editors through the JSON Schema."""
_UNIT_MS = {"ms": 1, "s": SECOND, "min": MINUTE, "h": HOUR, "d": DAY}


def duration_ms(text: str) -> int | None:
    """``"90s"``, ``"3 min"``, ``"1h"`` in milliseconds; None where it is no duration."""
    exact = exact_ms(text)
    return None if exact is None else round(exact)


def exact_ms(text: str) -> float | None:
    """The same where less than a millisecond counts, too: ``"0.3ms"``."""
    match = re.fullmatch(DURATION_FORM, text)
    return None if match is None else float(match[1]) * _UNIT_MS[match[2]]


_UNITS_MEANT = {
    "ms": ("毫秒",),
    "s": ("秒", "sec", "secs", "second", "seconds"),
    "min": ("分", "分钟", "m", "mins", "minute", "minutes"),
    "h": ("时", "小时", "个小时", "hr", "hrs", "hour", "hours"),
    "d": ("天", "日", "day", "days"),
}
"""What people write for each unit."""


def _duration_meant(given: object) -> str:
    """``60min`` for ``60m`` or ``60分钟``; nothing where no unit tells what was meant."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([^\s0-9.]+)\s*", given) if isinstance(given, str) else None
    unit = next((unit for unit, words in _UNITS_MEANT.items() if match and match[2].lower() in (unit, *words)), "")
    return f"{match[1]}{unit}" if match and unit else ""


def duration_text(length_ms: int) -> str:
    """The shortest way to write a duration: ``180000`` is ``3min``."""
    unit = next((u for u in ("d", "h", "min", "s") if length_ms and length_ms % _UNIT_MS[u] == 0), "ms")
    if unit == "ms" and length_ms > SECOND:
        return f"{length_ms / SECOND:.3f}".rstrip("0") + "s"
    return f"{length_ms // _UNIT_MS[unit]}{unit}" if length_ms else "0"


class Reader:
    """Reads one mapping field by field; ``done()`` reports the keys nobody asked for.

    Every ``take_…`` returns its default after recording a fault, so reading goes on and all faults come out at once.
    """

    def __init__(self, node: Node, faults: Faults, name: str) -> None:
        """``name`` is what the installer calls the thing (the device's name), shown in every fault."""
        self.node, self.faults, self.name = node, faults, name
        self._asked: list[str] = []
        self._answered: set[str] = set()
        if not isinstance(node.value, dict | Spoilt):
            faults.add(node.mark, "fault.not_a_mapping", name=name)

    def has(self, key: str) -> bool:
        """Whether the key is given."""
        return key in self.node.mapping

    def mark(self, key: str) -> Mark:
        """Where the key stands; where the mapping starts if it is absent."""
        return self.node.keys.get(key, self.node.mark)

    def take(self, key: str, *, required: bool = False) -> Node | None:
        """The node under a key as it stands."""
        self._asked.append(key)
        node = self.node.mapping.get(key)
        if node is None and required and isinstance(self.node.value, dict):
            self.faults.add(self.node.mark, "fault.missing", name=self.name, field=key)
        return None if node is not None and isinstance(node.value, Spoilt) else node

    def pass_over(self, key: str) -> None:
        """A fault about this key is recorded already: ``done()`` need not speak of it."""
        self._answered.add(key)

    def take_text(self, key: str, default: str = "", *, required: bool = False, pattern: str = "") -> str:
        """A string, optionally of a given form (a regular expression that must match whole)."""
        node = self.take(key, required=required)
        if node is None:
            return default
        if not isinstance(node.value, str):
            return self._refuse(node, key, "fault.not_text", default)
        if pattern and not re.fullmatch(pattern, node.value):
            return self._refuse(node, key, "fault.bad_form", default, form=pattern, near=meant(node.value, pattern))
        return node.value

    def take_number(
        self,
        key: str,
        default: float = 0,
        *,
        low: float = float("-inf"),
        high: float = float("inf"),
        required: bool = False,
    ) -> float:
        """A number within bounds."""
        node = self.take(key, required=required)
        if node is None:
            return default
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            return self._refuse(node, key, "fault.not_number", default)
        if not low <= node.value <= high:
            return self._refuse(node, key, "fault.out_of_bounds", default, low=f"{low:g}", high=f"{high:g}")
        return node.value

    def take_int(self, key: str, default: int = 0, *, low: int = 0, high: int = 2**63, required: bool = False) -> int:
        """A whole number within bounds."""
        number = self.take_number(key, default, low=low, high=high, required=required)
        if number != int(number):
            return self._refuse(self.node.mapping[key], key, "fault.not_whole", default)
        return int(number)

    def take_flag(self, key: str, *, default: bool = False) -> bool:
        """``true`` or ``false``."""
        node = self.take(key)
        if node is None:
            return default
        return node.value if isinstance(node.value, bool) else self._refuse(node, key, "fault.not_flag", default)

    def take_duration(self, key: str, default: int = 0, *, low: int = 0, high: int = 400 * DAY) -> int:
        """A duration with its unit (``30s``, ``5min``, ``4h``), in milliseconds."""
        node = self.take(key)
        if node is None:
            return default
        length = duration_ms(node.value) if isinstance(node.value, str) else None
        if type(node.value) is int and node.value == 0:
            length = 0  # nothing needs no unit
        if length is None:
            return self._refuse(node, key, "fault.not_duration", default, near=_duration_meant(node.value))
        if not low <= length <= high:
            bounds = {"low": duration_text(low), "high": duration_text(high)}
            return self._refuse(node, key, "fault.out_of_bounds", default, **bounds)
        return length

    def take_choice(self, key: str, choices: type[E], default: E, *, required: bool = False) -> E:
        """One of an enum's values."""
        allowed = [str(c.value) for c in choices]
        return choices(self.take_one_of(key, allowed, str(default.value), required=required))

    def take_one_of(self, key: str, allowed: Sequence[str], default: str = "", *, required: bool = False) -> str:
        """One of the given words."""
        if self._unquoted(key, allowed):
            return default
        node = self.take(key, required=required)
        if node is None:
            return default
        if not isinstance(node.value, str):
            return self._refuse(node, key, "fault.not_allowed", default, allowed=" | ".join(allowed), near="")
        if node.value in allowed:
            return node.value
        near = nearest(node.value, allowed)
        return self._refuse(node, key, "fault.not_allowed", default, allowed=" | ".join(allowed), near=near)

    def _unquoted(self, key: str, allowed: Sequence[str]) -> bool:
        """Whether YAML takes one of these words for a yes or a no; that it is a word, only its reader knows, and says it instead."""
        node = self.node.mapping.get(key)
        if node is None or not isinstance(node.value, bool | Spoilt):
            return False
        wanted = node.value.lower() if isinstance(node.value, Spoilt) else "on" if node.value else "off"
        if wanted not in allowed:
            return False
        self._asked.append(key)
        fault = Fault(node.mark, "fault.unquoted", _shown({"name": self.name, "field": key, "wanted": wanted}))
        said = Fault(node.mark, "fault.yaml_bool", _shown({"given": node.value}))
        if fault not in self.faults.found:
            if said in self.faults.found:
                self.faults.found.remove(said)  # one: an equal one is that of another field of this line
            self.faults.found.append(fault)
        return True

    def take_texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of strings; a single string counts as a list of one, an empty value as none."""
        nodes = self.take_text_nodes(key)
        return default if nodes is None else tuple(str(n.value) for n in nodes)

    def take_text_nodes(self, key: str) -> list[Node] | None:
        """Like ``take_texts``, each string with its place; None where the key is absent or no such list."""
        node = self.take(key)
        if node is None:
            return None
        if node.value is None:
            return []
        if isinstance(node.value, str):
            return [node]
        if not isinstance(node.value, list) or not all(isinstance(i.value, str) for i in node.items):
            return self._refuse(node, key, "fault.not_text_list", None)
        return [i for i in node.items if not isinstance(i.value, Spoilt)]

    def take_each(self, key: str, read: Callable[[str, Node], T]) -> dict[str, T]:
        """A mapping of names to things, each read by ``read(name, node)``."""
        node = self.take(key)
        if node is None or node.value is None:
            return {}
        if not isinstance(node.value, dict):
            return self._refuse(node, key, "fault.not_a_mapping", {})
        return {name: read(name, child) for name, child in node.mapping.items()}

    def done(self) -> None:
        """Report the keys that nobody asked for, each with the nearest known one."""
        for key in self.node.mapping:
            if key not in self._asked and key not in self._answered:
                self.faults.add(
                    self.mark(key),
                    "fault.unknown_key",
                    name=self.name,
                    field=key,
                    near=nearest(key, self._asked),
                    allowed=" | ".join(sorted(set(self._asked))),
                )

    def refuse(self, key: str, fault: str, **fields: object) -> None:
        """Record that what stands under a key cannot stand there."""
        self._refuse(self.node.mapping[key], key, fault, None, **fields)

    def _refuse(self, node: Node, key: str, fault: str, default: T, **fields: object) -> T:
        if node.value is None:
            fault, fields = "fault.empty", {}
        elif isinstance(node.value, str):
            fault, fields = _slip(node.value) or (fault, fields)
        self.faults.add(node.mark, fault, name=self.name, field=key, given=_brief(node.value), **fields)
        return default


def _slip(given: str) -> tuple[str, dict[str, object]] | None:
    """What is said of a refused text whatever was to stand there: its sentence and the text that was meant."""
    plain = half_width(given)
    if plain != given.strip() and plain.isascii():
        return "fault.full_width", {"wanted": plain}
    remark = re.fullmatch(r"([^\s#]+)(#.*)", given)
    return ("fault.remark_glued", {"wanted": f"{remark[1]} {remark[2]}"}) if remark else None


def _brief(value: object) -> str:
    """A value as shown to the installer; what is not a scalar is named by its form."""
    if isinstance(value, dict):
        return "{…}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "[…]" if isinstance(value, list) else str(value)
