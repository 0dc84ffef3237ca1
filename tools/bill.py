#!/usr/bin/env python3
"""The bill of materials: every locked package with version, hashes, licence, and where it is used, as CycloneDX 1.6 JSON.

Usage: ``bill.py`` prints the bill; ``bill.py licences`` prints what the installed packages say of their licences, in the form of
``requirements/licences.txt``. The bill is made from the locks and that list alone, so that two runs give the same bytes: it has
no date and no number of its own. Specification: cyclonedx.org/docs/1.6/json, purl: github.com/package-url/purl-spec.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
LICENCES = LOCKS / "licences.txt"
SCOPES = {"run": "required", "demo": "optional", "test": "excluded", "check": "excluded"}
"""Level -> CycloneDX scope: ``excluded`` is used, but not delivered."""
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^ ;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_CLASSIFIED = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL-2.1-or-later",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
_FREE_TEXT = {"BSD 2-Clause License": "BSD-2-Clause"}
"""What packages without an SPDX expression write in their free field, where it says more than the classifier."""


class Locked:
    """One package of a lock."""

    def __init__(self, name: str, version: str, level: str) -> None:
        self.name, self.version, self.level = name, version, level
        self.hashes: list[str] = []


def normal(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked() -> dict[str, Locked]:
    """Every package, under the level that needs it first."""
    found: dict[str, Locked] = {}
    for level in SCOPES:
        entry: Locked | None = None
        for line in (LOCKS / f"{level}.txt").read_text(encoding="utf-8").splitlines():
            if pin := _PIN.match(line):
                name = normal(pin["name"])
                entry = None if name in found else found.setdefault(name, Locked(name, pin["version"], level))
            elif entry and (digest := _HASH.search(line)):
                entry.hashes.append(digest[1])
    return found


def licences() -> dict[str, str]:
    """Package -> SPDX expression, as listed."""
    lines = LICENCES.read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))


def said(package: Distribution) -> str:
    """The SPDX expression a package gives, or what its older fields amount to; empty: it says nothing."""
    if expression := _field(package, "License-Expression"):
        return expression[0]
    free = "".join(_field(package, "License")[:1]).strip()
    if text := _FREE_TEXT.get(free):
        return text
    classified = (one.split(" :: ")[-1] for one in _field(package, "Classifier") if one.startswith("License"))
    known = sorted({_CLASSIFIED[one] for one in classified if one in _CLASSIFIED})
    return " AND ".join(known) or (free if re.fullmatch(r"[A-Za-z0-9.-]{3,30}", free) else "")


def _field(package: Distribution, name: str) -> list[str]:
    return [str(value) for value in package.metadata.get_all(name) or ()]


def installed() -> dict[str, str]:
    """Package -> what it says, of both environments of this checkout."""
    folders = [str(path) for path in ROOT.glob(".venv*/lib/python*/site-packages") if path.parts[-4] != ".venv-audit"]
    return {normal(package.name): said(package) for package in distributions(path=folders)}


def component(package: Locked, licence: str) -> dict[str, object]:
    """One entry of the bill."""
    return {
        "type": "library",
        "bom-ref": f"pkg:pypi/{package.name}@{package.version}",
        "name": package.name,
        "version": package.version,
        "scope": SCOPES[package.level],
        "purl": f"pkg:pypi/{package.name}@{package.version}",
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in package.hashes],
        "licenses": [{"expression": licence}],
    }


def bill() -> dict[str, object]:
    """The whole bill. A package without a licence is a KeyError: nothing unlisted is shipped."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = licences()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "gateway",
                "name": project["name"],
                "version": project["version"],
                "licenses": [{"expression": project["license"]}],
            }
        },
        "components": [component(package, listed[name]) for name, package in sorted(locked().items())],
    }


def _list() -> Iterator[str]:
    yield "# What each locked package says of its licence (SPDX). Made by: tools/bill.py licences"
    told = installed()
    for name in sorted(locked()):
        yield f"{name} {told.get(name) or 'UNKNOWN'}"


if __name__ == "__main__":
    if sys.argv[1:] == ["licences"]:
        print("\n".join(_list()))
    else:
        print(json.dumps(bill(), indent=1))
