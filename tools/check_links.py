#!/usr/bin/env python3
"""Checks that what the documents point at exists: relative links, and paths of this tree in `code` marks."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_PATH = re.compile(r"`(?P<path>(?:gateway|tests|docs|tools|systemd|examples|requirements)/[\w./-]+)`")


def faults_of(page: Path, root: Path = ROOT) -> Iterator[str]:
    """Dead ends of one page."""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        for link in _LINK.finditer(line):
            target = link["target"].split("#")[0]
            if (
                target
                and "://" not in target
                and not target.startswith("mailto:")
                and not (page.parent / target).exists()
            ):
                yield f"{page.relative_to(root)}:{number}: {target} does not exist"
        for path in _PATH.finditer(line):
            if not (root / path["path"].rstrip(".")).exists():
                yield f"{page.relative_to(root)}:{number}: {path['path']} does not exist"


def pages(root: Path = ROOT) -> list[Path]:
    """Every document of the tree."""
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "examples").rglob("*.md")])


if __name__ == "__main__":
    found = [fault for page in pages() for fault in faults_of(page)]
    print("\n".join(found) or "links: none is dead")
    sys.exit(bool(found))
