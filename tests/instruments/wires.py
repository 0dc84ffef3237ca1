"""A wire for tests of the RTU line on virtual time: open or shut, and what is behind it is said by whoever inherits from it.

Implements ``gateway.drivers.modbus.wire.Wire``.
"""

from __future__ import annotations

from collections.abc import Callable


class BareWire:
    """``heard`` is called with the bytes that come; a subclass answers in ``send``."""

    dials, name = True, "line"

    def __init__(self, baud: int) -> None:
        self.baud, self.char_s = baud, 10 / baud
        self.is_open = False
        self.heard: Callable[[bytes], None] = lambda _: None

    async def open(self, hear: Callable[[bytes], None], _lost: object) -> None:
        self.heard, self.is_open = hear, True

    def glance(self) -> None:
        """Nothing is waiting but what was heard."""

    def close(self) -> None:
        self.is_open, self.heard = False, lambda _: None

    end = close
