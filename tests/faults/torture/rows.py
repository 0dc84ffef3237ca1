"""A row of the fault table: what was tried how often, and what came of it. No faults are made here."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct, convert, field, structs, to_builtins

HEAD = "fault", "trials", "raised", "lost", "doubled", "out_of_order", "wire_repeats", "recover_s_p50", "recover_s_max"

TRIED = 5
"""So often a place that is not always on the way may be missed before it is wrong that nobody came by."""


class Budget(Struct):
    """How much a fault may have: trials, and seconds, whichever ends first. The first trial is always made."""

    trials: int
    seconds: float
    seed: str = "0"
    """Whoever throws dice throws ``dice()``: jobs beside each other, and a run gone on with, must try something else."""
    told: Callable[[int], None] = lambda _rounds: None
    """Is told how many rounds are done."""
    stopped: bool = False
    """Somebody has seen enough: the round under way is the last."""

    def rounds(self) -> Iterator[int]:
        until = time.monotonic() + self.seconds
        for n in range(self.trials):
            if self.stopped or (n and time.monotonic() > until):
                return
            yield n
            self.told(n + 1)

    def dice(self) -> random.Random:
        return random.Random(self.seed)


class Row(Struct):
    """``recoveries_s``: of each trial, from the end of the fault until all it held up was at the receiver.

    ``wrong``: in words, what should have been otherwise and is no matter of counting; ``late``: what took longer, or grew more,
    than is promised, which a busy machine may be guilty of, too; ``notes``: figures beside.
    """

    fault: str = ""
    trials: int = 0
    raised: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    wire_repeats: int = 0
    recoveries_s: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Where something was to happen -> how often it was tried, and how often a trial came by: one that did not tried nothing."""
    took_s: float = 0
    versions: list[str] = field(default_factory=list)
    """Short commit ids it ran on."""
    dates: list[str] = field(default_factory=list)
    """Days (ISO 8601) on which it ran."""

    @property
    def recover_s_p50(self) -> float | None:
        return round(sorted(self.recoveries_s)[len(self.recoveries_s) // 2], 2) if self.recoveries_s else None

    @property
    def recover_s_max(self) -> float | None:
        return round(max(self.recoveries_s), 2) if self.recoveries_s else None

    @property
    def clean(self) -> bool:
        return self.balanced and not self.late

    @property
    def balanced(self) -> bool:
        """Clean but for times."""
        return self.trials > 0 and not (self.lost or self.doubled or self.out_of_order or self.wrong or self._missed)

    @property
    def said_wrong(self) -> list[str]:
        """What is wrong, places that were tried often enough and that no trial came by included."""
        return [*self.wrong, *self.late, *(f"no trial came by {place}" for place in self._missed)]

    @property
    def _missed(self) -> list[str]:
        return [place for place, (tried, came) in self.places.items() if tried >= TRIED and not came]

    @property
    def said_places(self) -> list[str]:
        came = ", ".join(f"{place} {came} of {tried}" for place, (tried, came) in self.places.items())
        return [f"came by their place: {came}"] if came else []

    def came_by(self, place: str, came: bool) -> None:
        """One trial more for a place."""
        self.places = _sums(self.places, {place: (1, int(came))})

    def __add__(self, other: Row) -> Row:
        """The same fault, gone on with."""
        mine, theirs = structs.asdict(self), structs.asdict(other)
        added = {name: mine[name] + theirs[name] for name in mine if name not in {"fault", "places"}}
        added |= {name: list(dict.fromkeys(added[name])) for name in ("versions", "dates")}
        return Row(fault=other.fault, places=_sums(self.places, other.places), **added)


def _sums(one: dict[str, tuple[int, int]], other: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    summed = dict(one)
    for place, (tried, came) in other.items():
        before = summed.get(place, (0, 0))
        summed[place] = before[0] + tried, before[1] + came
    return summed


def table(rows: list[Row]) -> str:
    """For a terminal, and for the document."""
    cells = [HEAD, *(tuple(_cell(getattr(row, name)) for name in HEAD) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in cells]
    for row in rows:
        lines += [f"  {row.fault}: WRONG {what}" for what in row.said_wrong] + [
            f"  {row.fault}: {what}" for what in (*row.notes, *row.said_places)
        ]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return "-" if value is None else str(value)


def kept(path: Path) -> dict[str, Row]:
    """Rows of earlier runs."""
    if not path.exists():
        return {}
    return {
        name: convert({"fault": name} | row, Row) for name, row in json.loads(path.read_text(encoding="utf-8")).items()
    }


def keep(rows: dict[str, Row], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = {
        name: to_builtins(row) | {"recover_s_p50": row.recover_s_p50, "recover_s_max": row.recover_s_max}
        for name, row in rows.items()
    }
    path.write_text(json.dumps(shown, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
