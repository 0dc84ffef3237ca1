"""The asker's side of the local door, for the command line: plain blocking calls, no event loop."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.control.folder import PORTER_NAME, SOCKET_NAME, address, porters_folder
from gateway.control.protocol import LONGEST_REQUEST, NO_DAEMON, Refusal, Request, decode_line, encode
from gateway.faults import LoudongError

PATIENCE_S = 15.0
"""Longest pause in an answer; a command waits for its commit to disk."""


class DaemonNotRunning(LoudongError):
    """No daemon answers at this state folder."""

    exit_code = 69  # contract: exit codes

    def __init__(self, folder: Path, detail: str = "") -> None:
        super().__init__(f"no daemon answers at {folder}" + (f": {detail}" if detail else ""))
        self.folder, self.detail = folder, detail


class ControlClient:
    """Asks the daemon that runs on ``folder``, through the porter where there is one and we are not known to the daemon."""

    def __init__(self, folder: Path, *, patience_s: float = PATIENCE_S, door: str = "") -> None:
        """``door``: this socket and no other."""
        self._folder, self._patience_s, self._door = folder, patience_s, door

    def ask(self, verb: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """The items of the answer, as they come.

        Raises ``DaemonNotRunning`` where none answers or the answer is cut off, ``Refusal`` with the daemon's own reason,
        ``Refusal("door_closed")`` where this user may not open the socket.
        """
        yield from self.put(Request(verb, arguments))

    def put(self, question: Request) -> Iterator[dict[str, Any]]:
        """The same for a request as it stands."""
        request = encode(question)
        if len(request) > LONGEST_REQUEST:
            raise Refusal("too_large", f"more than {LONGEST_REQUEST} bytes in one request")
        with self._connect() as connection, connection.makefile("rb") as lines:
            try:
                connection.sendall(request)
                for text in lines:
                    line = decode_line(text)
                    if line.error == NO_DAEMON:
                        raise DaemonNotRunning(self._folder)
                    if line.error:
                        raise Refusal(line.error, line.detail)
                    if line.end:
                        return
                    yield line.item or {}
            except OSError as error:
                raise DaemonNotRunning(self._folder, str(error)) from None
        raise DaemonNotRunning(self._folder, "the answer was cut off")

    def _connect(self) -> socket.socket:
        if self._door:
            return self._knock(self._door)
        if not self._is_known():
            try:
                return self._knock(PORTER_NAME, porters_folder(self._folder, {}))
            except DaemonNotRunning:  # no porter: an ordinary daemon sees us itself
                pass
        return self._knock(SOCKET_NAME)

    def _is_known(self) -> bool:
        """The kernel always tells the daemon of root and of its own user."""
        try:
            return os.geteuid() in {0, self._folder.stat().st_uid}
        except OSError:
            return False

    def _knock(self, door: str, folder: Path | None = None) -> socket.socket:
        path = (folder or self._folder) / door
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._patience_s)
        try:
            with address(path) as name:
                connection.connect(name)
        except PermissionError:
            connection.close()
            raise Refusal("door_closed", str(path)) from None
        except OSError as error:
            connection.close()
            raise DaemonNotRunning(self._folder, error.strerror or "") from None
        return connection
