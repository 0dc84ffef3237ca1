"""Where a host is, by its name. Whoever dials does so by what stands here, with a limit of his own.

A dead name server keeps getaddrinfo(3) for 20 s and longer, in a thread that nobody can call back: so of each name there is one
lookup at a time, and whoever stopped waiting for it finds it still under way when he asks again, or what it found. That it found
nothing is no answer to who asks later: the name server may be back.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Any


class Lookup:
    """The addresses of one host."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._under_way: asyncio.Future[list[Any]] | None = None

    async def addresses(self) -> list[str]:
        """In the order in which they are to be tried. Raises OSError where there are none."""
        if _is_address(self._host):
            return [self._host]
        if self._under_way is None:
            loop = asyncio.get_running_loop()
            self._under_way = asyncio.ensure_future(loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM))
            self._under_way.add_done_callback(self._over)
        under_way = self._under_way
        await asyncio.wait({under_way})
        if self._under_way is under_way:
            self._under_way = None
        try:
            return [str(address[0]) for *_, address in under_way.result()]
        except UnicodeError as error:  # an empty label, or one over 63 characters (idna)
            raise OSError(f"{self._host} is no host name: {error}") from error

    def _over(self, done: asyncio.Future[list[Any]]) -> None:
        """Whoever waited may be gone by now: its failure is no bug that nobody looked at."""
        if done.cancelled() or done.exception() is not None:
            self._under_way = None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
