"""Takes back what a broker still retains of devices that are no more, in a short session of its own.

The gateway keeps no list of what it ever published: the broker has it. The session is separate, because a broker hands out
all it retains at once, and commands must not wait behind that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection

import aiomqtt

from gateway.uplink.session import Session, refused

QUIET_S = 2.0
"""When nothing retained has come for this long, all has: a broker sends it right behind its SUBACK."""


async def sweep(session: Session, prefix: str, known: Callable[[], Collection[str]]) -> int:
    """Clear the retained topic of every device that is not ``known`` by then; how many there were. Raises SessionLost, TimeoutError.

    ``session`` is not open yet, and closed afterwards. A broker that does not let us read shows nothing, and nothing is done.
    """
    await session.open()
    try:
        if not await session.listen_to(f"{prefix}devices/+"):
            return 0
        gone = await _retained(session, f"{prefix}devices/") - set(known())
        async with asyncio.timeout(QUIET_S + len(gone)):
            answers = [await session.send(f"{prefix}devices/{device}", b"", retain=True) for device in sorted(gone)]
        await session.close()
        return sum(not refused(answer) for answer in answers)
    finally:
        await session.abort()


async def _retained(session: Session, prefix: str) -> set[str]:
    found: set[str] = set()
    loop = asyncio.get_running_loop()
    with contextlib.suppress(TimeoutError, aiomqtt.MqttError):
        async with asyncio.timeout(QUIET_S) as quiet:
            async for message in session.messages:
                if message.retain and message.payload:
                    found.add(str(message.topic).removeprefix(prefix))
                    quiet.reschedule(loop.time() + QUIET_S)
                session.acknowledge(message)
    return found
