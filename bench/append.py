"""The least that durable takes, as a process: ``python -m bench.append PATH N SIZE`` appends ``N`` records to a new file, each
followed by one fdatasync, and prints the bytes that the kernel sent to the disk for each (proc(5), write_bytes).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bench.rig import Usage


def main() -> None:
    """Entry point."""
    path, n, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    before = Usage.of(os.getpid()).written_bytes
    with path.open("xb", buffering=0) as file:
        for _ in range(n):
            file.write(b"x" * size)
            os.fdatasync(file.fileno())
    print((Usage.of(os.getpid()).written_bytes - before) / n)


if __name__ == "__main__":
    main()
