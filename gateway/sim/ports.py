"""TCP ports on loopback for whoever will listen soon, each given to one process of this machine.

Theory. Between the moment a port is picked and the moment somebody listens on it, and whenever whoever does is started anew, it
looks free to everybody. So a process asks for a block of ports first: a name in the kernel's abstract namespace (unix(7)), which one
process can bind, which ends with it however it ends, and which reaches as far as the ports do, a network namespace.
"""

from __future__ import annotations

import random
import socket
import threading
from collections import deque
from collections.abc import Iterator

_LISTENING_PORTS = 16_384, 32_768
"""None of the kernel's ephemeral ones (ip(7), ip_local_port_range: from 32768): any outgoing connection may be given one of those."""
_BLOCK = 128
_KEPT = 2
"""Blocks of a process: of the ports before them, all of which were given away, nobody is thought to come back to one."""


def free_port() -> int:
    """A port that nobody listens on, and that is given to nobody else while this process lives and asks for few more."""
    with _one_at_a_time:
        return next(_ports)


def _free_ports() -> Iterator[int]:
    claims = deque[socket.socket]()
    while True:
        claim, block = _claim()
        claims.append(claim)
        if len(claims) > _KEPT:
            claims.popleft().close()
        yield from filter(_is_free, block)


def _claim() -> tuple[socket.socket, range]:
    """A block that no living process has."""
    while True:
        first = random.randrange(*_LISTENING_PORTS, _BLOCK)
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0loudong-ports-{first}")
        except OSError:
            claim.close()
            continue
        return claim, range(first, first + _BLOCK)


def _is_free(port: int) -> bool:
    """Whether nobody uses it who never asked us."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


_one_at_a_time = threading.Lock()
_ports = _free_ports()
