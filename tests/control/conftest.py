"""A control server on a real socket, in a thread of its own, so that the blocking client can be used as the command line does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.control.client import ControlClient, DaemonNotRunning
from gateway.control.folder import SOCKET_NAME
from gateway.control.protocol import Refusal
from gateway.control.server import PATIENCE_S, ControlServer
from gateway.faults import DeviceFault, StoreFault, UplinkFault

FAULTS = {
    "store": StoreFault("stalled"),
    "device": DeviceFault("port_gone", "/dev/ttyUSB0"),
    "uplink": UplinkFault("away"),
    "system": OSError(28, "No space left on device"),
    "time": TimeoutError(),
}


class Daemon:
    """Answers with what it was asked and by whom; ``refuse`` refuses, ``many`` gives a long answer, ``slow`` takes its time."""

    def __init__(self, folder: Path, patience_s: float) -> None:
        self.folder, self.path = folder, folder / SOCKET_NAME
        self.server = ControlServer(self.path, self.answer, patience_s=patience_s)
        self.loop = asyncio.new_event_loop()
        self.failure: BaseException | None = None
        self.answering = threading.Event()
        self.thread = threading.Thread(target=self._run)

    async def answer(self, request, peer):
        match request.verb:
            case "refuse":
                raise Refusal("not_authorised", "only people with the role shelve")
            case "many":
                return [{"n": n, "text": "甲" * 50} for n in range(request.arguments["count"])]
            case "hang":
                await asyncio.sleep(60)
            case "slow":
                self.answering.set()
                await asyncio.sleep(0.3)
            case "bug":
                raise ZeroDivisionError
            case "unsendable":
                return [{"answer": object()}]
            case "fault":
                raise FAULTS[request.arguments["of"]]
        return [
            {
                "verb": request.verb,
                "arguments": request.arguments,
                "uid": peer.uid,
                "pid": peer.pid,
                "login": peer.login,
            }
        ]

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.task = self.loop.create_task(self.server.run())
        try:
            self.loop.run_until_complete(self.task)
        except asyncio.CancelledError:
            pass
        except BaseException as failure:  # noqa: BLE001  a test looks at it
            self.failure = failure

    def start(self) -> None:
        self.thread.start()
        while self.thread.is_alive() and not self._listens():
            self.thread.join(0.01)

    def _listens(self) -> bool:
        try:
            list(ControlClient(self.folder).ask("hello"))
        except DaemonNotRunning:
            return False
        return True

    def stop(self) -> None:
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.task.cancel)
        self.thread.join(60)
        if not self.loop.is_closed():
            self.loop.close()


@pytest.fixture
def make_daemon() -> Iterator[Callable[..., Daemon]]:
    running: list[Daemon] = []

    def make(folder: Path, patience_s: float = PATIENCE_S) -> Daemon:
        daemon = Daemon(folder, patience_s)
        running.append(daemon)
        daemon.start()
        return daemon

    yield make
    for daemon in running:
        daemon.stop()


@pytest.fixture
def daemon(tmp_path: Path, make_daemon: Callable[[Path], Daemon]) -> Daemon:
    return make_daemon(tmp_path)
