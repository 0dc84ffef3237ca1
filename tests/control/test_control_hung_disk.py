"""The control socket is a file of the state folder: where the disk hangs, the loop does not wait for it."""

from __future__ import annotations

import asyncio
import threading

from instruments.waiting import until

from gateway.control import server as server_module
from gateway.control.server import ControlServer


async def _nothing(_request, _peer):
    return []


def test_a_disk_that_hangs_at_the_start_holds_up_the_socket_alone(tmp_path, monkeypatch):
    free, real = threading.Event(), server_module._listen
    stood = []

    def listen(path, group):
        assert free.wait(60)
        stood.append(real(path, group))
        return stood[-1]

    monkeypatch.setattr(server_module, "_listen", listen)

    async def story():
        server = ControlServer(tmp_path / "control.sock", _nothing)
        running = asyncio.create_task(server.run())
        await asyncio.sleep(0.05)  # would not return
        assert not server.stands.is_set()
        free.set()
        await server.stands.wait()
        running.cancel()
        await asyncio.wait({running})
        assert not (tmp_path / "control.sock").exists()

    asyncio.run(story())


def test_what_stands_when_nobody_waits_for_it_any_more_is_closed(tmp_path, monkeypatch):
    free, real = threading.Event(), server_module._listen
    stood = []

    def listen(path, group):
        assert free.wait(60)
        stood.append(real(path, group))
        return stood[-1]

    monkeypatch.setattr(server_module, "_listen", listen)

    async def story():
        running = asyncio.create_task(ControlServer(tmp_path / "control.sock", _nothing).run())
        await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.wait({running})
        free.set()
        await until(lambda: stood and stood[0].fileno() < 0)

    asyncio.run(story())
