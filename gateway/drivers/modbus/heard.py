"""What came from a line and is not understood yet. Pure; it looks at no byte twice for the same question.

Theory. An answer comes in as many pieces as the wire likes, down to single bytes. Who searched everything at each piece would
look at n bytes n times, and a line that only babbles would cost seconds. So it is remembered for each question up to where no
answer begins; whatever is cut out in front ends that. And no answer with all that may lie before it is longer than ``MOST``.
Where a frame was cut out (a double, a late answer, our own echo) is a *seam*: what lay before it never stood before what lies behind,
and no answer reaches over it.
"""

from __future__ import annotations

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
        self._seams: list[int] = []
        """In their order."""

    def cut(self, start: int, end: int) -> bytes:
        """Take these bytes out; answers what they were."""
        gone, size = bytes(self[start:end]), end - start
        self._looked.clear()
        del self[start:end]
        moved = {seam if seam <= start else max(start, seam - size) for seam in (*self._seams, start)}
        self._seams = sorted(moved - {0})
        return gone

    def clear(self) -> None:
        self._looked.clear()
        self._seams.clear()
        super().clear()

    def answer_to(self, request: Request, *, final: bool = False) -> Answer | None:
        """As ``frames.search``."""
        whole, begin = bytes(self), self._looked.get(request.frame, 0)
        for seam in self._seams:
            if begin < seam:
                found, _ = frames.look(whole[:seam], request, begin=begin, final=True)
                if found is not None:
                    return found
                begin = seam
        found, self._looked[request.frame] = frames.look(whole, request, begin=begin, final=final)
        return found

    @property
    def surplus(self) -> int:
        """How many bytes in front are too old to be kept."""
        return len(self) - KEPT if len(self) > MOST else 0
