"""A measured figure, the table of them, and the file they are kept in. No measuring here."""

from __future__ import annotations

import json
import operator
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, to_builtins

_ORDER = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}


class Figure(Struct, frozen=True):
    """One figure. ``aim`` is ``(relation, number)`` or None where there is nothing to reach."""

    key: str
    figure: float
    unit: str
    aim: tuple[str, float] | None = None
    baseline: float | None = None
    baseline_is: str = ""
    """What the baseline is, measured in the same run unless it says otherwise."""
    limit: float | None = None
    limit_is: str = ""
    """The physical limit."""
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the aim was reached."""
        return None if self.aim is None else _ORDER[self.aim[0]](self.figure, self.aim[1])


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of all lie; the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return percentile(values, 0.5)


def table(figures: Iterable[Figure]) -> str:
    """The figures as lines for a terminal."""
    head = ("key", "figure", "unit", "aim", "", "baseline", "limit")
    rows = [head, *(_row(figure) for figure in figures)]
    widths = [max(_width(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell + " " * (w - _width(cell)) for cell, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _row(figure: Figure) -> tuple[str, ...]:
    aim = "" if figure.aim is None else f"{figure.aim[0]} {number(figure.aim[1])}"
    verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
    baseline = "" if figure.baseline is None else f"{number(figure.baseline)} ({figure.baseline_is})"
    limit = "" if figure.limit is None else f"{number(figure.limit)} ({figure.limit_is})"
    return figure.key, number(figure.figure), figure.unit, aim, verdict, baseline, limit


def number(value: float) -> str:
    """With three digits or so, as people read it."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def keep(figures: Iterable[Figure], path: Path, *, quick: bool, of: Mapping[str, str]) -> None:
    """Write ``key -> {figure, unit, baseline, limit, …}``; keys of an earlier run that were not measured now stay. ``of``: what is said
    of each, its version and date.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for figure in figures:
        fields = to_builtins(figure)
        kept[fields.pop("key")] = {**fields, "met": figure.met, "quick": quick, **of}
    path.write_text(json.dumps(kept, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")
