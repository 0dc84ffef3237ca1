"""The table of docs/reliability.md: rows that runs kept, in short (docs/torture.json), and the page's part that is made of it.

Nothing is run here. Notes of one wording (a job each, a round each) become one, each number in it the range of what was said;
a number before the first ``: `` is a name ("day 30") and stays. What was *wrong* is said whole, alike only once.
"""

from __future__ import annotations

import functools
import operator
import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct, field

from .rows import HEAD, Row

DOCS = Path(__file__).parents[3] / "docs"
FIGURES, PAGE = DOCS / "torture.json", DOCS / "reliability.md"
BEGIN, END = "<!-- of torture.json: begin -->", "<!-- of torture.json: end -->"
COLUMNS = *HEAD, "full length", "version", "date"
_NUMBER = re.compile(r"(?<![\w.-])\d+(?:\.\d+)?(?![\w-])")
_GAP = "\0"
NONE = "–"
_WIDTH = 140


class Figures(Struct):
    """A row in short, for the table: the columns of ``HEAD``, and ``said``, a line each, of what is wrong or beside."""

    fault: str
    trials: int = 0
    raised: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    wire_repeats: int = 0
    recover_s_p50: float | None = None
    recover_s_max: float | None = None
    said: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    dates: list[str] = field(default_factory=list)
    took_s: float = 0


def added(runs: Iterable[Mapping[str, Row]]) -> dict[str, Row]:
    """One row a fault, of several files."""
    parts: dict[str, list[Row]] = defaultdict(list)
    for rows in runs:
        for name, row in rows.items():
            parts[name].append(row)
    return {name: functools.reduce(operator.add, rows) for name, rows in parts.items()}


def figures(row: Row) -> Figures:
    said = [*_wrong(row.said_wrong), *merged(row.notes), *row.said_places]
    return Figures(
        **{name: getattr(row, name) for name in HEAD},
        said=said,
        versions=row.versions,
        dates=row.dates,
        took_s=round(row.took_s, 1),
    )


def published(path: Path | None = None) -> list[Figures]:
    """What the page shows, in its order."""
    path = path or FIGURES
    return msgspec.json.decode(path.read_bytes(), type=list[Figures]) if path.exists() else []


def publish(rows: Iterable[Row], full: Mapping[str, int]) -> None:
    """Take rows into docs/torture.json and write the page anew. ``full``: how many trials a full run makes of a fault.

    Of a fault stay the newest row and, where that is shorter than a full run, the longest of those before it. One that was not tried
    yet has a row without trials.
    """
    new = [figures(row) for row in rows]
    replaced = {(one.fault, *one.versions) for one in new}
    kept = [one for one in published() if (one.fault, *one.versions) not in replaced]
    by_fault: dict[str, list[Figures]] = {name: [] for name in full}
    for one in [*kept, *new]:
        by_fault.setdefault(one.fault, []).append(one)
    shown = [
        one for name, known in by_fault.items() for one in _worth_showing(known or [Figures(name)], full.get(name, 0))
    ]
    FIGURES.write_bytes(msgspec.json.format(msgspec.json.encode(shown), indent=1) + b"\n")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.replace(part(text), block(shown, full)), encoding="utf-8")


def _worth_showing(known: list[Figures], full: int) -> list[Figures]:
    *before, newest = known
    longer = [one for one in before if one.trials > newest.trials < full]
    return [*sorted(longer, key=lambda one: one.trials)[-1:], newest]


def part(page: str) -> str:
    """Of the page, what is made of docs/torture.json."""
    return page[page.index(BEGIN) : page.index(END)]


def block(rows: Iterable[Figures], full: Mapping[str, int]) -> str:
    """What stands on the page from ``BEGIN`` on."""
    return f"{BEGIN}\n\n{markdown(rows, full)}\n\n"


def markdown(rows: Iterable[Figures], full: Mapping[str, int]) -> str:
    """The table, and below it what was said."""
    rows = list(rows)
    lines = [_line(COLUMNS), "|" + "---|" * len(COLUMNS), *(_line(_cells(row, full)) for row in rows)]
    twice = {name for name, times in Counter(row.fault for row in rows).items() if times > 1}
    said = [
        textwrap.fill(f"- {_named(row, twice)}: {what}", _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        for row in rows
        for what in row.said
    ]
    return "\n".join([*lines, *([""] if said else []), *said])


def _named(row: Figures, twice: set[str]) -> str:
    return f"{row.fault} ({', '.join(row.versions)})" if row.fault in twice else row.fault


def _cells(row: Figures, full: Mapping[str, int]) -> list[str]:
    cells = [_cell(getattr(row, name)) for name in HEAD]
    return [*cells, _cell(full.get(row.fault)), ", ".join(row.versions) or NONE, " to ".join(_ends(row.dates)) or NONE]


def _ends(dates: list[str]) -> list[str]:
    return sorted({min(dates), max(dates)}) if dates else []


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
