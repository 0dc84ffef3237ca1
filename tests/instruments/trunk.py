"""An RS-485 line of pseudo-terminals: each end is a real serial device, and what one says all others hear."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import tty
from collections.abc import Iterator


@contextlib.contextmanager
def trunk(ends: int = 2) -> Iterator[list[str]]:
    """Paths of so many ends, joined until the block is over. What nobody reads for long is lost, as on a line."""
    pairs = [os.openpty() for _ in range(ends)]
    for master, slave in pairs:
        tty.setraw(master)
        tty.setraw(slave)
        os.set_blocking(master, False)
    stop_r, stop_w = os.pipe()
    masters = [master for master, _ in pairs]

    def pump() -> None:
        while True:
            ready, _, _ = select.select([*masters, stop_r], [], [])
            if stop_r in ready:
                return
            for fd in ready:
                with contextlib.suppress(OSError):
                    said = os.read(fd, 4096)
                    for other in masters:
                        if other != fd:
                            with contextlib.suppress(OSError):
                                os.write(other, said)

    thread = threading.Thread(target=pump)
    thread.start()
    try:
        yield [os.ttyname(slave) for _, slave in pairs]
    finally:
        os.write(stop_w, b".")
        thread.join()
        for fd in (fd for pair in (*pairs, (stop_r, stop_w)) for fd in pair):
            os.close(fd)
