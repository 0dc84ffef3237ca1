"""The control socket is a file of the state folder: where the disk hangs, the loop does not wait for it."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest
from instruments.waiting import until

from gateway.control import server as server_module
from gateway.control.server import ControlServer


async def _nothing(_request, _peer):
    return []


class Disk:
    """Holds up whoever makes the socket, until it is ``free``."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.stood: list[socket.socket] = []
        self._real = server_module._listen

    def listen(self, path, group):
        assert self.free.wait(60)
        self.stood.append(self._real(path, group))
        return self.stood[-1]


@pytest.fixture
def disk(monkeypatch):
    hung = Disk()
    monkeypatch.setattr(server_module, "_listen", hung.listen)
    return hung


def test_a_disk_that_hangs_at_the_start_holds_up_the_socket_alone(tmp_path, disk):
    async def story():
        server = ControlServer(tmp_path / "control.sock", _nothing)
        running = asyncio.create_task(server.run())
        await asyncio.sleep(0.05)  # would not return
        assert not server.stands.is_set()
        disk.free.set()
        await server.stands.wait()
        running.cancel()
        await asyncio.wait({running})
        assert not (tmp_path / "control.sock").exists()

    asyncio.run(story())


def test_what_stands_when_nobody_waits_for_it_any_more_is_closed(tmp_path, disk):
    async def story():
        running = asyncio.create_task(ControlServer(tmp_path / "control.sock", _nothing).run())
        await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled()
        disk.free.set()
        await until(lambda: disk.stood and disk.stood[0].fileno() < 0)

    asyncio.run(story())
