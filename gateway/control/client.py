"""The asker's side of the local door, for the command line: plain blocking calls, no event loop."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.control.folder import SOCKET_NAME, address
from gateway.control.protocol import LONGEST_REQUEST, Refusal, Request, decode_line, encode
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
    """Asks the daemon that runs on ``folder``."""

    def __init__(self, folder: Path, *, patience_s: float = PATIENCE_S) -> None:
        self._folder, self._patience_s = folder, patience_s

    def ask(self, verb: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """The items of the answer, as they come.

        Raises ``DaemonNotRunning`` where none answers or the answer is cut off, ``Refusal`` with the daemon's own reason,
        ``Refusal("not_allowed")`` where this user may not open the socket.
        """
        request = encode(Request(verb, arguments))
        if len(request) > LONGEST_REQUEST:
            raise Refusal("too_long", f"more than {LONGEST_REQUEST} bytes in one request")
        with self._connect() as connection, connection.makefile("rb") as lines:
            try:
                connection.sendall(request)
                for text in lines:
                    line = decode_line(text)
                    if line.error:
                        raise Refusal(line.error, line.detail)
                    if line.end:
                        return
                    yield line.item or {}
            except OSError as error:
                raise DaemonNotRunning(self._folder, str(error)) from None
        raise DaemonNotRunning(self._folder, "the answer was cut off")

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._patience_s)
        try:
            with address(self._folder / SOCKET_NAME) as name:
                connection.connect(name)
        except PermissionError:
            connection.close()
            raise Refusal("not_allowed", str(self._folder / SOCKET_NAME)) from None
        except OSError as error:
            connection.close()
            raise DaemonNotRunning(self._folder, error.strerror or "") from None
        return connection
