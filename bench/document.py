"""The table of docs/performance.md: figures that runs kept (docs/bench.json), and the part of the page that is made of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.figures import number

DOCS = Path(__file__).parents[1] / "docs"
FIGURES, PAGE = DOCS / "bench.json", DOCS / "performance.md"
BEGIN, END = "<!-- of bench.json: begin -->", "<!-- of bench.json: end -->"
_HEAD = ("key", "figure", "aim", "", "baseline", "limit", "version", "date", "note")
_AIM = {"<=": "≤ ", ">=": "≥ ", "==": ""}


def publish(run: Mapping[str, Any]) -> None:
    """Take the figures of a run into docs/bench.json and write the page anew; keys that were not measured stay as they were.

    Raises ValueError if some are of a quick run, or of a tree with changes that are in no version: such are not for the documents.
    """
    doubtful = sorted(key for key, one in run.items() if one["quick"] or one["version"].endswith("dirty"))
    if doubtful:
        raise ValueError(f"quick, or of no version: {', '.join(doubtful)}")
    known = published()
    order = {key: place for place, key in enumerate([*known, *(key for key in run if key not in known)])}
    kept = dict(sorted({**known, **run}.items(), key=lambda one: order[one[0]]))
    FIGURES.write_text(json.dumps(kept, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.replace(part(text), block(kept)), encoding="utf-8")


def published() -> dict[str, Any]:
    """What the page shows, in its order: key -> figure, unit, aim, baseline, limit, note, version, date."""
    read: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    return read


def part(page: str) -> str:
    """Of the page, what is made of docs/bench.json."""
    return page[page.index(BEGIN) : page.index(END)]


def block(figures: Mapping[str, Any]) -> str:
    """What stands on the page from ``BEGIN`` on."""
    rows = [_HEAD, ("---",) * len(_HEAD), *(_cells(key, one) for key, one in figures.items())]
    return "\n".join([BEGIN, "", *(f"| {' | '.join(row)} |" for row in rows), "", ""])


def _cells(key: str, one: Mapping[str, Any]) -> tuple[str, ...]:
    aim = "" if one["aim"] is None else _AIM[one["aim"][0]] + number(one["aim"][1])
    verdict = {True: "met", False: "**missed**", None: ""}[one["met"]]
    beside = [
        "" if one[name] is None else f"{number(one[name])} ({one[f'{name}_is']})" for name in ("baseline", "limit")
    ]
    figure = f"{number(one['figure'])} {one['unit']}"
    return f"`{key}`", figure, aim, verdict, *beside, one["version"], one["date"], one["note"].replace("|", "\\|")


def version() -> str:
    """Of the tree that is measured: its commit, and whether it is that."""
    asked = ("git", "describe", "--always", "--dirty", "--abbrev=7")
    return subprocess.run(asked, cwd=DOCS, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def today() -> str:
    """As dates stand on the page."""
    return datetime.now(UTC).date().isoformat()
