#!/usr/bin/env python3
"""Asks what is known against what is locked.

Usage: ``audit.py PIP_AUDIT``. Three questions, each with a line of its own: known weaknesses of each of PyPI's locks (``pip-audit``, of
one source of advisories and then the other), known weaknesses of npm's (``npm audit``), and whether the index from which pip installs
here still offers each package with a hash of the locks, none of them withdrawn (PEP 592). Exit codes: 0 all was looked up and is clean, 1
something is wrong, 75 (EX_TEMPFAIL) no verdict: somebody did not answer, which is not the same as clean.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
NPM = ROOT / "tests/instruments/node"
LEVELS = ("test", "check")
SOURCES = ("pypi", "osv")
CLEAN, WEAK, NO_VERDICT = 0, 1, 75
_SAYS = {CLEAN: "no known weakness", WEAK: "KNOWN WEAKNESS", NO_VERDICT: "NO VERDICT (this is not clean)"}
_OFFERS = {
    CLEAN: "each package is offered as locked, none is withdrawn",
    WEAK: "NOT AS LOCKED",
    NO_VERDICT: _SAYS[NO_VERDICT],
}
_YANKED = re.compile(r"yanked version: '?([^' ]+)'? candidate \(version ([^ ]+) ")
_CONFIGURED = re.compile(r"^global\.(index-url|cert)='(.*)'$", re.MULTILINE)
_GONE = re.compile(r"No matching distribution found for (\S+)")
_OTHER_HASH = re.compile(r"([A-Za-z0-9._-]+==[^\s;]+)[^\n]* from [^\n]+\n\s+Expected sha256")

Verdict = tuple[int, list[str]]
"""What came of a question, and why."""


def judged(answer: str) -> Verdict:
    """What one answer of pip-audit (``--format json``) amounts to."""
    try:
        packages = json.loads(answer)["dependencies"]
        weak = [f"{one['name']} {one['version']}: {bug['id']}" for one in packages for bug in one.get("vulns", ())]
        unknown = [f"{one['name']}: {one['skip_reason']}" for one in packages if "skip_reason" in one]
    except (ValueError, KeyError, TypeError):
        return NO_VERDICT, ["the source did not answer"]
    if weak:
        return WEAK, weak
    return (NO_VERDICT, unknown) if unknown or not packages else (CLEAN, [])


def ask(program: str, level: str, source: str) -> Verdict:
    """One of PyPI's locks, one source of advisories."""
    lock = str(LOCKS / f"{level}.txt")
    how = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--timeout", "15", "--format", "json"]
    done = subprocess.run([program, "-s", source, *how, "-r", lock], capture_output=True, text=True, check=False)
    verdict, why = judged(done.stdout)
    if verdict is NO_VERDICT and done.stderr:
        # pip-audit's last line counts only what it could look up: "No known vulnerabilities found" is no verdict here.
        said = [line for line in done.stderr.strip().splitlines() if not line.startswith("No known vulnerabilities")]
        why = [*why[:3], *(line[:200] for line in said[-1:])]
    return verdict, why


def judged_npm(answer: str) -> Verdict:
    """What one answer of ``npm audit --json`` amounts to."""
    try:
        found = json.loads(answer)
        weak = [f"{name}: {one['severity']}" for name, one in found["vulnerabilities"].items()]
        asked = found["metadata"]["dependencies"]["total"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return NO_VERDICT, ["the registry did not answer"]
    if weak:
        return WEAK, weak
    return (CLEAN, []) if asked else (NO_VERDICT, ["nothing was asked"])


def ask_npm() -> Verdict:
    """Npm's lock, which only tests use."""
    if shutil.which("npm") is None:
        return NO_VERDICT, ["npm is not installed"]
    command = ["npm", "audit", "--package-lock-only", "--json"]
    return judged_npm(subprocess.run(command, cwd=NPM, capture_output=True, text=True, check=False).stdout)


def offered(pip: list[str], lock: Path) -> Verdict:
    """Whether pip, with nothing but the index it is set up with, would install each file of a lock.

    Only the index is asked: folders of wheels and further indexes of the machine would answer in its place, and know of no
    withdrawal.
    """
    environment = {
        name: value for name, value in os.environ.items() if name not in {"PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"}
    }
    configured = subprocess.run([*pip, "config", "list"], capture_output=True, text=True, check=False).stdout
    for name, value in _CONFIGURED.findall(configured):
        environment.setdefault(f"PIP_{name.upper().replace('-', '_')}", value)
    environment["PIP_CONFIG_FILE"] = os.devnull
    how = [
        "--dry-run",
        "--ignore-installed",
        "--no-deps",
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--retries",
        "1",
    ]
    command = [*pip, "install", *how, "--disable-pip-version-check", "-r", str(lock)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return judged_offer(done.returncode, done.stdout + done.stderr)


def judged_offer(code: int, said: str) -> Verdict:
    """What pip's words amount to. An index that does not answer looks to pip like one that holds nothing."""
    wrong = [f"{name} {version}: withdrawn" for name, version in _YANKED.findall(said)]
    wrong += [f"{package}: another file" for package in _OTHER_HASH.findall(said)]
    if not wrong and code and "(from versions: none)" not in said:
        wrong += [f"{package}: gone" for package in _GONE.findall(said)]
    if wrong:
        return WEAK, wrong
    lines = [line for line in said.strip().splitlines() if "ERROR" in line]
    return (CLEAN, []) if code == 0 else (NO_VERDICT, [line[:200] for line in lines[-1:]])


def main(program: str, pip: list[str] | None = None) -> int:
    """The worst verdict of all; of the advisories about one lock the first that a source gives."""
    verdicts = []
    for level in LEVELS:
        for source in SOURCES:
            verdict, why = ask(program, level, source)
            print(f"{level}.txt, {source}: {_SAYS[verdict]}", *why, sep="\n  ")
            if verdict is not NO_VERDICT:
                break
        verdicts.append(verdict)
    verdict, why = ask_npm()
    print(f"package-lock.json, npm: {_SAYS[verdict]}", *why, sep="\n  ")
    verdicts.append(verdict)
    for level in LEVELS:
        verdict, why = offered(pip or [sys.executable, "-m", "pip"], LOCKS / f"{level}.txt")
        print(f"{level}.txt, index: {_OFFERS[verdict]}", *why, sep="\n  ")
        verdicts.append(verdict)
    return WEAK if WEAK in verdicts else max(verdicts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
