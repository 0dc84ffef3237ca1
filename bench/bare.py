"""A bare publisher as a process: ``python -m bench.bare PORT N SIZE WINDOW`` publishes ``N`` bodies by aiomqtt and stays until its
standard input closes. It prints a line first, and another when the broker has taken all. With ``WINDOW`` 0 it publishes one
whenever it is told a line, and prints when: CLOCK_MONOTONIC seconds.
"""

from __future__ import annotations

import asyncio
import sys
import time

import aiomqtt

from bench.rig import BARE, bare_publish


def main() -> None:
    """Entry point."""
    port, n, size, window = map(int, sys.argv[1:])
    if window == 0:
        asyncio.run(_at_a_word(port, n, size))
        return
    print("ready", flush=True)
    asyncio.run(bare_publish(port, n, size, window=window))
    print("done", flush=True)
    sys.stdin.read()


async def _at_a_word(port: int, n: int, size: int) -> None:
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        print("ready", flush=True)
        for _ in range(n):
            await asyncio.to_thread(sys.stdin.readline)
            began = time.monotonic()
            await client.publish(BARE, b"x" * size, qos=1)
            print(began, flush=True)


if __name__ == "__main__":
    main()
