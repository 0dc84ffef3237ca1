"""The state folder: where it is, who owns it, and where its socket stands.

One daemon alone writes a state folder. Its claim is a flock(2) on the folder itself: it needs no file (a full or read-only
disk must not keep the gateway from starting), and the kernel drops it with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gateway.faults import LoudongError

SOCKET_NAME = "control.sock"
PORTER_NAME = "people.sock"
"""Where the porter listens (``porter.py``), if there is one."""
_LONGEST_ADDRESS = 107  # unix(7): sun_path holds 108 bytes, one of them the closing zero


class StateFolderTaken(LoudongError):
    """Another daemon already runs on this state folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"another daemon already runs on {folder}")
        self.folder = folder


def state_folder(given: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """``--state DIR``, else ``$STATE_DIRECTORY`` (systemd.exec(5): the first of a colon-separated list), else ``./.loudong``."""
    return Path(given or environment.get("STATE_DIRECTORY", "").split(":")[0] or ".loudong")


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Holds the folder for this process; makes it (0750) where it is missing.

    Raises ``StateFolderTaken`` where another process holds it, ``OSError`` where it cannot be made or entered.
    """
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateFolderTaken(folder) from None
        yield
    finally:
        os.close(handle)


@contextmanager
def address(path: Path) -> Iterator[str]:
    """The name by which bind(2) and connect(2) find ``path``, also where it is longer than a socket address may be."""
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield str(path)
        return
    handle = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/{path.name}"
    finally:
        os.close(handle)
