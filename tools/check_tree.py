#!/usr/bin/env python3
"""Checks every file git would carry: nothing names the machine it was written on, and no key or password lies about."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/=]{20}")
_SOMEBODYS_HOME = re.compile(rb"(?<![\w.~$-])/(?:home|Users)/[a-z][\w.-]*/")


def files(root: Path = ROOT) -> list[Path]:
    """What git carries or would carry; every file but the hidden folders' where this is no git checkout."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0:
        found = [root / os.fsdecode(name) for name in listing.stdout.split(b"\0") if name]
    else:
        found = [path for path in root.rglob("*") if not any(map(_is_made, path.relative_to(root).parts))]
    return sorted(path for path in found if path.is_file())


def _is_made(name: str) -> bool:
    """Hidden, or written by a tool."""
    return name.startswith(".") or name in {"__pycache__", "build", "dist"} or name.endswith(".egg-info")


def traces(root: Path = ROOT) -> list[bytes]:
    """Paths that mean this very machine: the checkout and the home of whoever works on it.

    A checkout at the place where the unit expects it, or straight below ``/``, gives nothing away.
    """
    own = {path for path in (root, Path.home()) if len(path.parts) > 2 and path != Path("/opt/loudong")}
    return [os.fsencode(path) + b"/" for path in own] + [b"/root/"]


def faults_of(path: Path, root: Path = ROOT) -> Iterator[str]:
    """What one file must not have."""
    content = path.read_bytes()
    name = path.relative_to(root)
    for trace in traces(root):
        if trace in content:
            yield f"{name}: names {os.fsdecode(trace)}, a folder of this machine"
    if home := _SOMEBODYS_HOME.search(content):
        yield f"{name}: names {os.fsdecode(home.group())}, somebody's home"
    if _PRIVATE_KEY.search(content):
        yield f"{name}: holds a private key"


if __name__ == "__main__":
    itself = Path(__file__).resolve()
    found = [fault for path in files() if path != itself for fault in faults_of(path)]
    print("\n".join(found) or "tree: names no machine, holds no key")
    sys.exit(bool(found))
