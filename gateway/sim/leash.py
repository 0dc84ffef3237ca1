"""Runs a program that ends when we end, however we end.

    python -m gateway.sim.leash PARENT PROGRAM …      PARENT 0: whoever started it

A simulation that is killed must not leave a gateway behind that holds the ports of the next one. The kernel sends the signal
(prctl(2), PR_SET_PDEATHSIG; it outlives execve) when the *thread* that forked is gone: fork from one that lives as long as
the program is wanted.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def leashed(command: list[str], parent: int | None = None) -> list[str]:
    """The command line that runs ``command`` on our leash, or on that of whoever runs this line (0)."""
    return [sys.executable, "-m", "gateway.sim.leash", str(os.getpid() if parent is None else parent), *command]


def hold() -> None:
    """Put this process on its parent's leash. As ``preexec_fn`` it costs a program no start of Python before its own."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main() -> None:
    """Entry point: becomes the program."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    hold()
    if parent and os.getppid() != parent:  # it died before we were leashed
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - no shell, our own caller's program


if __name__ == "__main__":
    main()
