"""What came from a line and is not understood yet. Pure; it looks at no byte twice for the same question.

Theory. An answer comes in as many pieces as the wire likes, down to single bytes. Who searched everything at each piece would
look at n bytes n times, and a line that only babbles would cost seconds. So it is remembered for each question up to where no
answer begins; whatever is cut out in front ends that. And no answer with all that may lie before it is longer than ``MOST``.
"""

from __future__ import annotations

from typing import SupportsIndex

from gateway.drivers.modbus import frames
from gateway.drivers.modbus.frames import MAX_FRAME, Answer, Request

MOST = 4 * MAX_FRAME
KEPT = 2 * MAX_FRAME
"""What is left where there was more than ``MOST``: not a byte at a time, or everything would be looked at anew each time."""


class Heard(bytearray):
    """Bytes in the order they came."""

    def __init__(self) -> None:
        super().__init__()
        self._looked: dict[bytes, int] = {}
        """By question: where no answer to it begins before."""

    def __delitem__(self, key: SupportsIndex | slice) -> None:
        self._looked.clear()
        super().__delitem__(key)

    def clear(self) -> None:
        self._looked.clear()
        super().clear()

    def answer_to(self, request: Request) -> Answer | None:
        """As ``frames.search``."""
        begin = self._looked.get(request.frame, 0)
        found, self._looked[request.frame] = frames.look(bytes(self), request, begin=begin)
        return found

    @property
    def surplus(self) -> int:
        """How many bytes in front are too old to be kept."""
        return len(self) - KEPT if len(self) > MOST else 0
