"""What a fault wants of the machine: each function says in words what is not here, or nothing."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys

from e2e.walking import lacking
from faults.odd_clock import CLONE_NEWTIME, PRELOADED

from . import ext4

compound = lacking
"""The simulated compound with its broker and its radio."""


@functools.cache
def tracing() -> str:
    if os.geteuid() != 0 or shutil.which("strace") is None:
        return "no root, or no strace"
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False)
    return "no strace that may be attached" if tried.returncode else ""


@functools.cache
def small_disks() -> str:
    """A tmpfs of a stated size, mounted where it is needed."""
    tried = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    return "no small file system can be mounted" if tried.returncode else ""


@functools.cache
def loop_disks() -> str:
    return "" if ext4.possible() else ext4.NOT_HERE


def odd_walls() -> str:
    return "libfaketime is not installed" if PRELOADED is None else ""


@functools.cache
def odd_uptimes() -> str:
    code = f"import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare({CLONE_NEWTIME}))"
    tried = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    return "no time namespace can be made" if tried.returncode else ""
