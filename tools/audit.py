#!/usr/bin/env python3
"""Known weaknesses of what is locked: asks ``pip-audit`` for each lock, of one source of advisories and then the other.

Usage: ``audit.py PIP_AUDIT``. Exit codes: 0 every package was looked up and is clean, 1 a weakness is known, 75 (EX_TEMPFAIL) no
verdict: no source answered for all of them, which is not the same as clean. Sources: PyPI's own advisories, osv.dev.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

LOCKS = Path(__file__).resolve().parent.parent / "requirements"
LEVELS = ("test", "check")
SOURCES = ("pypi", "osv")
CLEAN, WEAK, NO_VERDICT = 0, 1, 75
_SAYS = {CLEAN: "no known weakness", WEAK: "KNOWN WEAKNESS", NO_VERDICT: "NO VERDICT (this is not clean)"}


def judged(answer: str) -> tuple[int, list[str]]:
    """What one answer of pip-audit (``--format json``) amounts to, and why."""
    try:
        packages = json.loads(answer)["dependencies"]
        weak = [f"{one['name']} {one['version']}: {bug['id']}" for one in packages for bug in one.get("vulns", ())]
        unknown = [f"{one['name']}: {one['skip_reason']}" for one in packages if "skip_reason" in one]
    except (ValueError, KeyError, TypeError):
        return NO_VERDICT, ["the source did not answer"]
    if weak:
        return WEAK, weak
    return (NO_VERDICT, unknown) if unknown or not packages else (CLEAN, [])


def ask(program: str, level: str, source: str) -> tuple[int, list[str]]:
    """One lock, one source."""
    lock = str(LOCKS / f"{level}.txt")
    how = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--timeout", "15", "--format", "json"]
    done = subprocess.run([program, "-s", source, *how, "-r", lock], capture_output=True, text=True, check=False)
    verdict, why = judged(done.stdout)
    if verdict is NO_VERDICT and done.stderr:
        # pip-audit's last line counts only what it could look up: "No known vulnerabilities found" is no verdict here.
        said = [line for line in done.stderr.strip().splitlines() if not line.startswith("No known vulnerabilities")]
        why = [*why[:3], *(line[:200] for line in said[-1:])]
    return verdict, why


def main(program: str) -> int:
    """The worst verdict of all locks; of one lock the first that a source gives."""
    verdicts = []
    for level in LEVELS:
        for source in SOURCES:
            verdict, why = ask(program, level, source)
            print(f"{level}.txt, {source}: {_SAYS[verdict]}", *why, sep="\n  ")
            if verdict is not NO_VERDICT:
                break
        verdicts.append(verdict)
    return WEAK if WEAK in verdicts else max(verdicts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
