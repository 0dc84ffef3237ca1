"""``python -m bench [--quick] [SUBJECT …]``: measure, print one table, keep ``build/bench.json``.

``--publish`` measures nothing: what was kept at full length goes into docs/bench.json and the table of docs/performance.md.
"""

from __future__ import annotations

import argparse
import compileall
import importlib
import json
import logging
import sys
import time
from pathlib import Path

import structlog

from bench import document
from bench.figures import Figure, keep, table

SUBJECTS = ("core", "rtu", "tcp", "starts", "garden_run", "deeds", "outbox", "disk", "radio")
"""Each a module here with ``measure(quick) -> iterator of figures``; in this order."""
LONG = ("garden_day", "node_red")
"""The same, measured only where they are named: an hour or more, and a peer that must be installed."""
RESULT = Path("build") / "bench.json"
COMPILED = ("gateway", "bench")
"""As an installation has them: else each start pays for it where Python is told to keep none."""


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=")
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=" | ".join(SUBJECTS + LONG))
    parser.add_argument("--quick", action="store_true", help="shorter runs, for a look; not for the documents")
    parser.add_argument(
        "--curves", action="store_true", help="cost from 10 to 10,000 points, devices, rules: docs/curve-*.svg"
    )
    parser.add_argument("--publish", action="store_true", help="measure nothing: what was kept goes into docs/")
    asked = parser.parse_args()
    if asked.publish:
        document.publish(json.loads(RESULT.read_text(encoding="utf-8")))
        return 0
    wanted = asked.subjects or ([] if asked.curves else list(SUBJECTS))
    if unknown := [subject for subject in wanted if subject not in SUBJECTS + LONG]:
        parser.error(f"no such subject: {', '.join(unknown)}")
    for package in COMPILED:
        compileall.compile_dir(package, quiet=1)
    logging.disable(logging.CRITICAL)  # what libraries say of the trouble we make for them
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if asked.curves:
        importlib.import_module("bench.curves").draw(quick=asked.quick)
    figures: list[Figure] = []
    took = {}
    for subject in wanted:
        began = time.monotonic()
        figures += _measure(subject, quick=asked.quick)
        took[subject] = time.monotonic() - began
    if figures:
        print(table(figures))
        each = ", ".join(f"{subject} {seconds:.0f} s" for subject, seconds in took.items())
        print(f"took {sum(took.values()) / 60:.0f} min: {each}")
        print(f"kept in {RESULT}" + (" (quick run)" if asked.quick else ""))
    return 0


def _measure(subject: str, *, quick: bool) -> list[Figure]:
    figures, of = [], {"version": document.version(), "date": document.today()}
    for figure in importlib.import_module(f"bench.{subject}").measure(quick=quick):
        print(f"  {figure.key} = {figure.figure:.6g} {figure.unit}  {figure.note}", file=sys.stderr, flush=True)
        figures.append(figure)
        keep([figure], RESULT, quick=quick, of=of)
    return figures


if __name__ == "__main__":
    sys.exit(main())
