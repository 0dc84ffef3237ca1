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
"""What the porter (``porter.py``) listens on, if there is one; in a folder of his own, see ``porters_folder``."""
_PORTER_LOCK = "people.lock"
_STATE, _RUN = Path("/var/lib"), Path("/run")
_LONGEST_ADDRESS = 107  # unix(7): sun_path holds 108 bytes, one of them the closing zero


class StateFolderTaken(LoudongError):
    """Another daemon already runs on this state folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"another daemon already runs on {folder}")
        self.folder = folder


class StateFolderUnusable(OSError):
    """The state folder is missing or closed to us; ``filename`` is the folder, ``strerror`` why."""


class NotTheOwner(LoudongError):
    """Only the user to whom the state folder belongs (``owner``, a uid) may do this."""

    def __init__(self, folder: Path, owner: int) -> None:
        super().__init__(f"{folder} belongs to uid {owner}")
        self.folder, self.owner = folder, owner


def state_folder(given: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """``--state DIR``, else ``$STATE_DIRECTORY`` (systemd.exec(5): the first of a colon-separated list), else ``./.loudong``."""
    return Path(given or environment.get("STATE_DIRECTORY", "").split(":")[0] or ".loudong")


def porters_folder(state: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """Where ``people.sock`` stands: what systemd made for him, else that of the state folder's name, else the state folder.

    ``$RUNTIME_DIRECTORY`` is the porter's own (systemd.exec(5)); everybody else goes by the name: of ``/var/lib/loudong`` it is
    ``/run/loudong-porter``, as in the unit.
    """
    if given := environment.get("RUNTIME_DIRECTORY", "").split(":")[0]:
        return Path(given)
    return _RUN / f"{state.name}-porter" if state.absolute().parent == _STATE else state


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Holds the folder for this process; makes it (0750) where it is missing.

    Raises ``StateFolderTaken`` where another process holds it, ``StateFolderUnusable`` where it cannot be made or entered.
    """
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StateFolderUnusable(error.errno, error.strerror, str(folder)) from None
    with _held(handle, folder):
        yield


@contextmanager
def claim_porter(folder: Path) -> Iterator[None]:
    """Holds the porter's place before a folder that is there; by a file beside his socket, for the folder is the daemon's.

    Raises ``StateFolderUnusable``, ``NotTheOwner`` where the folder is another user's (a socket of ours would shut the
    daemon's people out), ``StateFolderTaken`` where another porter stands.
    """
    try:
        owner = folder.stat().st_uid
    except OSError as error:
        raise StateFolderUnusable(error.errno, error.strerror, str(folder)) from None
    if owner != os.geteuid():
        raise NotTheOwner(folder, owner)
    door = porters_folder(folder)
    try:
        handle = os.open(door / _PORTER_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateFolderUnusable(error.errno, error.strerror, str(door)) from None
    with _held(handle, folder):
        yield


@contextmanager
def _held(handle: int, folder: Path) -> Iterator[None]:
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
