"""Ports for whoever will listen soon: nobody else is given the same one meanwhile."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys

from gateway.sim.ports import free_port

ASKED = 100
_ASKS = f"from gateway.sim.ports import free_port\nprint(*(free_port() for _ in range({ASKED})), flush=True)\ninput()"


def test_what_one_process_was_given_no_other_is():
    """Each says its ports and lives on, as somebody does who will listen on them."""
    with contextlib.ExitStack() as stack:
        asking = [sys.executable, "-c", _ASKS]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        living = [stack.enter_context(subprocess.Popen(asking, **pipes)) for _ in range(4)]
        given = [port for one in living for port in one.stdout.readline().split()]
        for one in living:
            one.communicate("\n")
    given += [str(free_port()) for _ in range(ASKED)]
    assert len(set(given)) == len(given) == 5 * ASKED


def test_a_port_that_somebody_has_who_never_asked_is_passed_over():
    first = free_port()
    with contextlib.ExitStack() as stack:
        for port in range(first + 1, first + 4):
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
        assert free_port() not in range(first, first + 4)
