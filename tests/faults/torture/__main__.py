"""``make torture [ARGS="--quick --resume --jobs 4 FAULT …"]``: break everything, count, print one table, keep ``build/torture.json``.

``--print`` and ``--publish`` run nothing: they show what was kept, of several files added up, as the table of docs/reliability.md,
or take it into docs/torture.json and write that page's table anew.
Ctrl-C ends it after the round under way and keeps what was measured; a second one ends it at once.
"""

from __future__ import annotations

import argparse
import datetime as dt
import functools
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

import structlog

from .document import FIGURES, added, figures, markdown, publish
from .faults import FAULTS
from .folders import passing_folder
from .jobs import ROW, Progress, fork_each, in_jobs
from .rows import Budget, Row, keep, kept, table

RESULT = Path("build") / "torture.json"
QUICK = Path("build") / "torture-quick.json"
FULL = {name: fault.full[0] for name, fault in FAULTS.items()}


def main() -> int:
    """Entry point; 1 where anything was lost, doubled, out of order or wrong."""
    parser = _parser()
    asked = parser.parse_args()
    if unknown := [name for name in asked.faults if name not in FAULTS]:
        parser.error(f"no such fault: {', '.join(unknown)}")
    if asked.print or asked.publish:
        return _show(parser, asked)
    if len(asked.into) > 1:
        parser.error("--into: what is measured is kept in one file")
    signal.signal(signal.SIGTERM, _end)
    logging.disable(logging.CRITICAL)  # what libraries say of the trouble we make for them
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if asked.at_once:
        fork_each(asked.faults, asked.at_once, functools.partial(_alone, asked))
        return 0
    (path,) = _files(asked)
    rows = kept(path) if asked.resume else {}
    for name in asked.faults or FAULTS:
        before = rows.get(name, Row(name))
        budget = _budget(name, asked, before)
        if budget.trials <= 0:
            continue
        rows[name] = before + _measured(name, budget, asked)
        keep(rows, path)
        if not asked.job:
            print(f"{name}: {'clean' if rows[name].clean else 'WRONG'}", file=sys.stderr, flush=True)
        if budget.stopped:
            break
    if not asked.job:
        print(table(list(rows.values())))
        print(f"kept in {path}")
    return 0 if all(row.clean for row in rows.values()) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make torture ARGS=")
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=" | ".join(FAULTS))
    parser.add_argument("--quick", action="store_true", help="a few minutes in all")
    parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped, and add up")
    parser.add_argument("--trials", type=int, help="of each fault, instead of its own number")
    parser.add_argument("--seconds", type=float, help="at most for each fault; it is said which did not get through")
    parser.add_argument("--into", type=Path, action="append", default=[], help=f"another file than {RESULT}")
    parser.add_argument(
        "--print",
        action="store_true",
        help="run nothing: what was kept, as a Markdown table (--into A --into B: added)",
    )
    parser.add_argument(
        "--publish", action="store_true", help=f"run nothing: what was kept goes into docs/{FIGURES.name} and its page"
    )
    parser.add_argument("--jobs", type=int, default=1, help="so many processes at once, where a fault can be split")
    parser.add_argument("--seed", help="other dice than those of the number of trials made so far")
    parser.add_argument("--job", action="store_true", help=argparse.SUPPRESS)  # one of several: see jobs.py
    parser.add_argument("--at-once", type=int, default=0, help=argparse.SUPPRESS)  # so many at their least: see jobs.py
    return parser


def _files(asked: argparse.Namespace) -> list[Path]:
    return asked.into or [QUICK if asked.quick else RESULT]


def _show(parser: argparse.ArgumentParser, asked: argparse.Namespace) -> int:
    files = _files(asked)
    if missing := [str(path) for path in files if not path.exists()]:
        parser.error(f"nothing is kept in {', '.join(missing)}")
    rows = added(map(kept, files))
    names = asked.faults or [*(name for name in FAULTS if name in rows), *sorted(rows.keys() - FAULTS.keys())]
    chosen = [rows[name] for name in names if name in rows]
    if asked.publish:
        publish(chosen, FULL)
    else:
        print(markdown(map(figures, chosen), FULL))
    return 0


def _budget(name: str, asked: argparse.Namespace, before: Row) -> Budget:
    fault = FAULTS[name]
    trials, seconds = fault.least if asked.at_once else fault.quick if asked.quick else fault.full
    seed = asked.seed or str(before.trials)
    return Budget((asked.trials or trials) - before.trials, asked.seconds or seconds, seed)


def _alone(asked: argparse.Namespace, name: str) -> None:
    """A fault in a process that has nothing else to do, with a folder of its own for all it leaves."""
    (home := asked.into[0] / name).mkdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(home)
    keep({name: _measured(name, _budget(name, asked, Row(name)), asked)}, home / ROW)


def _measured(name: str, budget: Budget, asked: argparse.Namespace) -> Row:
    began = time.monotonic()
    if asked.jobs > 1 and FAULTS[name].splits:
        row = in_jobs(name, budget, asked.jobs)
    else:
        budget.told = _say_number if asked.job else Progress(name, budget.trials).told
        signal.signal(signal.SIGINT, lambda *_: _stop(budget))
        row = _try(name, budget)
    row.fault, row.took_s = name, round(time.monotonic() - began, 1)
    row.versions, row.dates = [_version()], [dt.datetime.now(dt.UTC).date().isoformat()]
    return row


def _version() -> str:
    """Short id of the commit that is tried; ``-dirty`` where the tree is another."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=7", "--exclude=*"]
    said = subprocess.run(command, cwd=FIGURES.parent, capture_output=True, text=True, check=False)
    return said.stdout.strip() or "unknown"


def _say_number(rounds: int) -> None:
    print(rounds, flush=True)


def _end(*_: object) -> NoReturn:
    """Whoever is told to end leaves its contexts: no mount, no loop device, no process outlives it."""
    sys.exit(128 + signal.SIGTERM)


def _stop(budget: Budget) -> None:
    if budget.stopped:
        raise KeyboardInterrupt
    budget.stopped = True


def _keep_logs(folder: Path, name: str) -> list[str]:
    """Of all the daemons that lived in the folder, the latest first; what is said of that."""
    logs = sorted(folder.rglob("daemon.log"), key=lambda log: log.stat().st_mtime, reverse=True)
    kept = [RESULT.parent / "torture" / f"{name}{f'.{n}' if n else ''}.log" for n in range(len(logs))]
    for log, copy in zip(logs, kept, strict=True):
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(log, copy)
    return [f"the daemon's log is kept in {copy}" for copy in kept[:1]]


def _try(name: str, budget: Budget) -> Row:
    """One fault; what breaks off is a row, too."""
    with passing_folder("torture-") as folder:
        try:
            row = FAULTS[name].run(folder, budget)
        except (AssertionError, OSError, subprocess.SubprocessError, ExceptionGroup) as broken:
            row = Row(trials=1, wrong=[f"broke off (seed {budget.seed}): {type(broken).__name__} {broken}"])
        if not row.clean and row.trials:
            row.notes += _keep_logs(folder, f"{name}-{budget.seed.replace('/', '-')}")
        return row


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)  # the shell's number for an end by SIGINT
