"""The porter: a process that sees who knocks, beside a daemon that does not.

The hardened unit gives the daemon a user namespace of its own (``PrivateUsers=yes``), in which the kernel shows it everybody
but root and itself as 65534, so it cannot know who acknowledges. The porter is the same user without that namespace and
without network or devices: he takes a request, adds who asked, and passes it to the daemon's own socket. He decides nothing and
remembers nothing. Without him root and the daemon's user still come in.

What he could do if he were overcome: answer alerts as any person that has a login, read the state folder (he is its owner; in
the unit he sees it read-only), and send signals to the daemon. He cannot command the gateway: the daemon knows him by his group.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import structlog

from gateway.control.client import ControlClient, DaemonNotRunning
from gateway.control.folder import PORTER_NAME, SOCKET_NAME, claim_porter, porters_folder
from gateway.control.protocol import NO_DAEMON, Caller, PeerCredentials, Refusal, Request
from gateway.control.server import MOST_CONNECTIONS, ControlServer

log = structlog.get_logger()


class Porter:
    """Stands before the daemon of ``folder``, for those who may enter it."""

    def __init__(self, folder: Path, door: Path | None = None) -> None:
        """``door``: the folder of his own socket."""
        self._folder = folder
        self._errands = ThreadPoolExecutor(MOST_CONNECTIONS, "porter")
        self.server = ControlServer((door or folder) / PORTER_NAME, self._pass_on, group=folder)

    async def run(self) -> None:
        """Serves until cancelled. Raises ``OSError`` where the socket cannot stand."""
        try:
            await self.server.run()
        finally:
            self._errands.shutdown(wait=False, cancel_futures=True)

    async def _pass_on(self, request: Request, peer: PeerCredentials) -> Iterable[dict[str, Any]]:
        client = ControlClient(self._folder, door=SOCKET_NAME)  # not his own
        theirs = Request(request.verb, request.arguments, Caller(peer.pid, peer.uid, peer.gid))

        def ask() -> list[dict[str, Any]]:
            return list(client.put(theirs))

        try:
            return await asyncio.get_running_loop().run_in_executor(self._errands, ask)
        except DaemonNotRunning as missing:
            raise Refusal(NO_DAEMON, missing.detail) from None


def stand(folder: Path) -> None:
    """Be the porter of a state folder until SIGTERM or SIGINT. Raises what ``claim_porter`` does, and OSError."""

    async def until_told() -> None:
        porter, loop = Porter(folder, porters_folder(folder)), asyncio.get_running_loop()
        task, stands = asyncio.ensure_future(porter.run()), asyncio.ensure_future(porter.server.stands.wait())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        await asyncio.wait({task, stands}, return_when=asyncio.FIRST_COMPLETED)
        stands.cancel()
        if not task.done():
            log.info("porter_ready", folder=str(folder))
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()

    with claim_porter(folder):
        asyncio.run(until_told())
