"""How a TCP door that strangers may call at is opened: few are let in a turn of the loop.

Theory. Of whoever is turned away the descriptor is free some turns of the loop later, and asyncio takes as many new ones in each
as its ``backlog`` says: a hundred. So where hundreds call at once it is the turn that bounds what is open, not the books of
the door. ``backlog`` is the length of the kernel's queue as well, which should be long: whoever waits there costs us nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

A_TURN = 16
"""Callers taken in one turn of the loop."""
_QUEUE = 128  # who may wait in the kernel; beyond that it lets them call again, after a second


async def open_door(make: Callable[[], asyncio.BaseProtocol], host: str, port: int) -> asyncio.Server:
    """Listen there. Raises OSError where the port cannot be had."""
    server = await asyncio.get_running_loop().create_server(make, host, port, backlog=A_TURN, start_serving=False)
    try:
        # Apart: ``create_server`` would wait for a turn then, and forget the server where that is cancelled.
        await server.start_serving()
        for listening in server.sockets:
            with listening.dup() as same:
                same.listen(_QUEUE)
    except (OSError, asyncio.CancelledError):
        server.close()  # or nobody holds it, and the port is taken for ever
        raise
    return server
