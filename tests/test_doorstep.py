"""A door that nobody waits for any more is shut again, whenever that was."""

import asyncio
import contextlib

import pytest

from gateway.doorstep import open_door

TURNS = 10  # more than opening takes


async def _opened_for(turns, port):
    opening = asyncio.ensure_future(open_door(asyncio.Protocol, "127.0.0.1", port))
    for _ in range(turns):
        await asyncio.sleep(0)
    return opening


async def _free_port():
    server = await open_door(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


@pytest.mark.parametrize("turns", range(TURNS))
def test_a_port_is_free_again_when_its_opening_was_cancelled(turns):
    async def story():
        port = await _free_port()
        opening = await _opened_for(turns, port)
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            (await opening).close()
        await asyncio.sleep(0)
        (await open_door(asyncio.Protocol, "127.0.0.1", port)).close()

    asyncio.run(story())


def test_opening_takes_fewer_turns_than_were_tried():
    async def story():
        opening = await _opened_for(TURNS, 0)
        assert opening.done()
        opening.result().close()

    asyncio.run(story())
