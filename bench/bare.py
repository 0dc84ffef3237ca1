"""A bare publisher as a process: ``python -m bench.bare PORT N SIZE WINDOW`` publishes ``N`` bodies by aiomqtt and stays until its
standard input closes. It prints a line first, and another when the broker has taken all.
"""

from __future__ import annotations

import asyncio
import sys

from bench.rig import bare_publish


def main() -> None:
    """Entry point."""
    port, n, size, window = map(int, sys.argv[1:])
    print("ready", flush=True)
    asyncio.run(bare_publish(port, n, size, window=window))
    print("done", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
