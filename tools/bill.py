#!/usr/bin/env python3
"""The bill of materials: all that is shipped, run on or tested with, its licence and where it is used, as CycloneDX 1.6 JSON.

Usage: ``bill.py`` prints the bill; ``bill.py licences`` prints what the installed packages say of their licences, in the form of
``requirements/licences.txt``. The bill is made from the locks (PyPI's and npm's), that list and ``requirements/others.txt`` alone, so
that two runs give the same bytes: it has no date and no number of its own. Packages of the system have no version: it is the
system that chooses. Specification: cyclonedx.org/docs/1.6/json, purl: github.com/package-url/purl-spec.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tomllib
from base64 import b64decode
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
LICENCES = LOCKS / "licences.txt"
OTHERS = LOCKS / "others.txt"
NPM = ROOT / "tests/instruments/node/package-lock.json"
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


def of_npm() -> Iterator[dict[str, object]]:
    """What npm's lock names, once each: a package may lie in several folders."""
    entries: dict[str, dict[str, str]] = {}
    for path, entry in json.loads(NPM.read_text(encoding="utf-8"))["packages"].items():
        if path:
            name = path.rpartition("node_modules/")[2]
            entries[f"pkg:npm/{name.replace('@', '%40')}@{entry['version']}"] = {"name": name, **entry}
    for purl, entry in sorted(entries.items()):
        kind, _, digest = entry["integrity"].partition("-")
        yield {
            "type": "library",
            "bom-ref": purl,
            "name": entry["name"],
            "version": entry["version"],
            "scope": "excluded",
            "purl": purl,
            "hashes": [{"alg": kind.upper().replace("SHA", "SHA-"), "content": b64decode(digest).hex()}],
            "licenses": [{"expression": entry["license"]}],
        }


def of_others() -> Iterator[dict[str, object]]:
    """Packages of the system, and files that others wrote and that lie in this tree."""
    for line in OTHERS.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        kind, name, scope, licence = line.split(" ", 3)
        said = {"name": name, "scope": scope, "licenses": [{"expression": licence}]}
        if kind == "deb":
            yield {"type": "application", "bom-ref": f"pkg:deb/debian/{name}", "purl": f"pkg:deb/debian/{name}", **said}
        else:
            digest = hashlib.sha256((ROOT / name).read_bytes()).hexdigest()
            yield {"type": "file", "bom-ref": name, "hashes": [{"alg": "SHA-256", "content": digest}], **said}


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
        "components": [
            *(component(package, listed[name]) for name, package in sorted(locked().items())),
            *of_npm(),
            *of_others(),
        ],
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
