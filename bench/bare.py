"""A bare publisher as a process. It prints a line when it is ready, and stays until its standard input closes.

``python -m bench.bare PORT N SIZE WINDOW`` publishes ``N`` bodies by aiomqtt, and prints a line when the broker has taken all.
``python -m bench.bare PORT told [PATH]`` publishes a body whenever it is told its size, and prints when it began: CLOCK_MONOTONIC
seconds. With a ``PATH`` the same bytes are first written there and synced, over bytes that were laid out before: the least that
durable before told can be.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import aiomqtt

from bench.rig import BARE, bare_publish

_LAID_OUT = 1 << 20


def main() -> None:
    """Entry point."""
    port, word, *rest = sys.argv[1:]
    if word == "told":
        asyncio.run(_whenever_told(int(port), _writer(Path(rest[0])) if rest else lambda _: None))
        return
    print("ready", flush=True)
    asyncio.run(bare_publish(int(port), int(word), int(rest[0]), window=int(rest[1])))
    print("done", flush=True)
    sys.stdin.read()


async def _whenever_told(port: int, keep: Callable[[bytes], None]) -> None:
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            began, body = time.monotonic(), b"x" * int(line)
            keep(body)
            await client.publish(BARE, body, qos=1)
            print(began, flush=True)


def _writer(path: Path) -> Callable[[bytes], None]:
    """Writes bodies one behind the other, from the front again where the file ends, each with an fdatasync."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    os.write(handle, bytes(_LAID_OUT))
    os.fsync(handle)
    places = itertools.count()

    def write(body: bytes) -> None:
        os.pwrite(handle, body, next(places) * len(body) % (_LAID_OUT - len(body)))
        os.fdatasync(handle)

    return write


if __name__ == "__main__":
    main()
