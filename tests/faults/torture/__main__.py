"""``make torture [ARGS="--quick --resume FAULT …"]``: break everything, count, print one table, keep ``build/torture.json``."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path

import structlog

from .faults import FAULTS
from .rows import Budget, Row, keep, kept, table

RESULT = Path("build") / "torture.json"
QUICK = Path("build") / "torture-quick.json"


def main() -> int:
    """Entry point; 1 where anything was lost, doubled, out of order or wrong."""
    parser = argparse.ArgumentParser(prog="make torture ARGS=")
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=" | ".join(FAULTS))
    parser.add_argument("--quick", action="store_true", help="a few minutes in all")
    parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped, and add up")
    parser.add_argument("--trials", type=int, help="of each fault, instead of its own number")
    parser.add_argument("--seconds", type=float, help="at most for each fault; it is said which did not get through")
    parser.add_argument("--into", type=Path, help=f"another file than {RESULT}")
    asked = parser.parse_args()
    if unknown := [name for name in asked.faults if name not in FAULTS]:
        parser.error(f"no such fault: {', '.join(unknown)}")
    logging.disable(logging.CRITICAL)  # what libraries say of the trouble we make for them
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    path = asked.into or (QUICK if asked.quick else RESULT)
    rows = kept(path) if asked.resume else {}
    for name in asked.faults or FAULTS:
        fault = FAULTS[name]
        budget = Budget(*(fault.quick if asked.quick else fault.full))
        before = rows.get(name, Row(name))
        budget.trials = (asked.trials or budget.trials) - before.trials
        budget.seconds = asked.seconds or budget.seconds
        if budget.trials > 0:
            rows[name] = before + _try(name, budget)
            keep(rows, path)
            print(table([rows[name]]), file=sys.stderr, flush=True)
    print(table(list(rows.values())))
    print(f"kept in {path}")
    return 0 if all(row.clean for row in rows.values()) else 1


def _try(name: str, budget: Budget) -> Row:
    """One fault; what breaks off is a row, too."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    try:
        row = FAULTS[name].run(folder, budget)
    except (AssertionError, TimeoutError, ExceptionGroup) as broken:
        row = Row(trials=1, wrong=[f"broke off: {type(broken).__name__} {broken}"])
    if not row.clean:
        for log in folder.rglob("daemon.log"):
            kept_log = RESULT.parent / "torture" / f"{name}.log"
            kept_log.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(log, kept_log)
            row.wrong.append(f"the daemon's log is kept in {kept_log}")
    shutil.rmtree(folder, ignore_errors=True)
    row.fault, row.took_s = name, round(time.monotonic() - began, 1)
    return row


if __name__ == "__main__":
    sys.exit(main())
