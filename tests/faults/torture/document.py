"""Rows that earlier runs kept, as the table of docs/reliability.md (Markdown), and below it what was said of them.

Nothing is run here. Notes of one wording (a job each, a round each) become one, each number in it the range of what was said;
a number before the first ``: `` is a name ("day 30") and stays. What was *wrong* is said whole, alike only once.
"""

from __future__ import annotations

import functools
import operator
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from .rows import HEAD, Row

_NUMBER = re.compile(r"(?<![\w.-])\d+(?:\.\d+)?(?![\w-])")
_GAP = "\0"
NONE = "–"


def added(runs: Iterable[Mapping[str, Row]]) -> dict[str, Row]:
    """One row a fault, of several files."""
    parts: dict[str, list[Row]] = defaultdict(list)
    for rows in runs:
        for name, row in rows.items():
            parts[name].append(row)
    return {name: functools.reduce(operator.add, rows) for name, rows in parts.items()}


def markdown(rows: Iterable[Row], full: Mapping[str, int]) -> str:
    """``full``: how many trials a full run makes of a fault."""
    rows = list(rows)
    lines = [_line([*HEAD, "full length"]), "|" + "---|" * (len(HEAD) + 1)]
    lines += [_line([*(_cell(getattr(row, name)) for name in HEAD), _cell(full.get(row.fault))]) for row in rows]
    said = [
        f"- {row.fault}: {what}"
        for row in rows
        for what in (*_wrong(row.said_wrong), *merged(row.notes), *row.said_places)
    ]
    return "\n".join([*lines, *([""] if said else []), *said])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    return NONE if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _wrong(wrong: Iterable[str]) -> Iterable[str]:
    for what, times in Counter(wrong).items():
        yield f"**wrong**: {what}" + (f" ({times} times)" if times > 1 else "")


def merged(notes: Iterable[str]) -> list[str]:
    """One note for all of one wording."""
    alike: dict[tuple[str, str], list[list[str]]] = defaultdict(list)
    for note in notes:
        name, colon, said = note.partition(": ") if ": " in note else ("", "", note)
        alike[name + colon, _NUMBER.sub(_GAP, said)].append(_NUMBER.findall(said))
    return [name + _filled(wording, held) for (name, wording), held in alike.items()]


def _filled(wording: str, held: list[list[str]]) -> str:
    ranges = iter([_range(numbers) for numbers in zip(*held, strict=True)])
    return re.sub(_GAP, lambda _: next(ranges), wording) + (f" ({len(held)} times)" if len(held) > 1 else "")


def _range(numbers: Iterable[str]) -> str:
    ordered = sorted(set(numbers), key=float)
    least, most = _short(ordered[0]), _short(ordered[-1])
    return least if least == most else f"{least} to {most}"


def _short(number: str) -> str:
    return f"{float(number):.2f}" if len(number.partition(".")[2]) > 2 else number
