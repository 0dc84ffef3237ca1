"""What carries bytes to a bus and back: a serial port, a TCP connection we open, or one that a device opens to us.

A wire knows nothing of frames. It opens, sends, hands up what it hears, and says when it has gone; ``rtu.py`` and ``mbap.py``
make lines of it. The kinds are ``serial_wire.py``, ``tcp_wire.py`` and ``dial_in.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Hear = Callable[[bytes], None]
Lost = Callable[[str], None]


class Wire(Protocol):
    """One way to a bus; not open at first. Every method that fails raises ``DeviceFault`` and nothing else."""

    baud: int
    """Speed of the RS-485 line behind it, as far as it is known."""
    char_s: float
    """How long one character takes there."""
    dials: bool
    """Whether we open it; one that others open to us cannot be opened anew."""

    @property
    def name(self) -> str:
        """What people call it: a path, or host and port."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether bytes could leave now."""
        ...

    async def open(self, hear: Hear, lost: Lost) -> None:
        """Open it; from then on ``hear`` gets what comes, and ``lost`` is called once if it goes by itself.

        Raises ``port_gone``, or ``babbles`` while it rests after it was hung up on (``babble.py``).
        """
        ...

    def glance(self) -> None:
        """Hand up what has come and was not handed up yet."""
        ...

    def send(self, data: bytes) -> None:
        """Hand the bytes to the driver whole. Raises ``port_gone``, or ``timeout`` where it takes none."""
        ...

    def close(self) -> None:
        """Let go; ``lost`` is not called."""
        ...

    def end(self) -> None:
        """Let go for good: what else it holds (a listening socket) goes, too."""
        ...
