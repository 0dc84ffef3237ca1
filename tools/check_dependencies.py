#!/usr/bin/env python3
"""Checks that ``docs/dependencies.md`` names every locked package once, and that what is imported is declared.

Also that locks carry hashes for every package, lie inside one another, and name no index, folder or machine.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES_OF_MODULES = {"paho": "paho-mqtt", "serial": "pyserial", "yaml": "pyyaml", "dbus_fast": "dbus-fast"}
"""Modules whose distribution has another name."""
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^ ;\\]+)(?P<rest>.*)$")
_ROW = re.compile(r"^\| *(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*) *\| *(?P<reason>[^|]*)\|$")


def normal(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(text: str) -> dict[str, str]:
    """Package -> version of a lock file."""
    return {normal(pin["name"]): pin["version"] for pin in map(_PIN.match, text.splitlines()) if pin}


def faults_of_lock(name: str, text: str) -> Iterator[str]:
    """What a lock must not have: a package without hash, an index, an address, a folder."""
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith("#") or line.lstrip().startswith("#") or not line.strip():
            continue
        if _PIN.match(line):
            if number == len(lines) or "--hash=sha256:" not in lines[number]:
                yield f"{name}:{number}: {line.split()[0]} has no hash"
        elif not re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line):
            yield f"{name}:{number}: neither a pinned package nor a hash: {line.strip()}"
    for number, line in enumerate(lines, 1):
        if re.search(r"https?:|file:|index-url|find-links|(^|[\s@])/", line):
            yield f"{name}:{number}: names an index, an address or a folder"


def documented(text: str) -> dict[str, list[str]]:
    """Package -> its reasons in the tables of the page."""
    rows: dict[str, list[str]] = {}
    for row in filter(None, map(_ROW.match, text.splitlines())):
        if row["name"] != "package":
            rows.setdefault(normal(row["name"]), []).append(row["reason"].strip())
    return rows


def imported(folder: Path) -> dict[str, str]:
    """Foreign module -> the first file that imports it."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            else:
                continue
            for module in modules:
                found.setdefault(module.split(".")[0], str(path.relative_to(folder.parent)))
    return {module: path for module, path in found.items() if module not in {*sys.stdlib_module_names, folder.name}}


def faults() -> Iterator[str]:
    """All faults, each a line."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {normal(re.split(r"[<>=!~\[; ]", one)[0]) for one in project["dependencies"]}
    texts = {
        level: (ROOT / "requirements" / f"{level}.txt").read_text("utf-8") for level in ("run", "demo", "test", "check")
    }
    locks = {level: locked(text) for level, text in texts.items()}
    for level, text in texts.items():
        yield from faults_of_lock(f"requirements/{level}.txt", text)
    for smaller, larger in (("run", "demo"), ("demo", "test")):
        for name, version in locks[smaller].items():
            if locks[larger].get(name) != version:
                yield f"requirements/{larger}.txt: {name} is not {version} as in {smaller}.txt"
    for level in ("run", "demo", "test"):
        if "rich" in locks[level]:
            yield f"requirements/{level}.txt: rich must stay out of the daemon's environment"
    for module, path in imported(ROOT / "gateway").items():
        if normal(NAMES_OF_MODULES.get(module, module)) not in declared:
            yield f"{path}: imports {module}, which pyproject.toml does not declare"
    rows, known = documented((ROOT / "docs/dependencies.md").read_text(encoding="utf-8")), set().union(*locks.values())
    yield from (f"docs/dependencies.md: {name} is missing" for name in sorted(known - set(rows)))
    yield from (f"docs/dependencies.md: {name} is in no lock any more" for name in sorted(set(rows) - known))
    for name, reasons in rows.items():
        if len(reasons) > 1 or not reasons[0]:
            yield f"docs/dependencies.md: {name} needs exactly one row, with a reason"


if __name__ == "__main__":
    found = list(faults())
    print("\n".join(found) or "dependencies: documented, locked, declared")
    sys.exit(bool(found))
