"""The folder of a run, and its end: whatever ended the run, nothing stays mounted below it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def passing_folder(prefix: str) -> Iterator[Path]:
    """A temporary folder that goes with all it holds, disks included."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    finally:
        for place in reversed(mounted_below(folder)):
            subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def mounted_below(folder: Path) -> list[Path]:
    """Where something is mounted in a folder, in the order in which it was (proc(5), mountinfo: blanks are written in octal)."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    places = [Path(line.split()[4].encode().decode("unicode_escape")) for line in lines]
    return [place for place in places if place.is_relative_to(folder.resolve())]
