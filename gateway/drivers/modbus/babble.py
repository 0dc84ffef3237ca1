"""Peers that speak without end, and how much one may say before it is hung up on. Pure.

Theory. Every byte costs the loop that all buses share some microseconds of looking for answers. An RS-485 line cannot bring more
than its baud, noise and all; but a converter gone mad, a broken USB adapter or a stranger on a TCP port brings as much as the loop
takes, and nobody else would have a turn. So of each peer so much is taken as the quickest line brings, and what its questions
allow beside it; whoever says more is hung up on, and rests: the longer the more often, until it has kept within its budget for
``KEPT_S``. Only then its bus is called well (``watch.py``). In one turn of the loop ``TURN_BYTES`` are read of it at most.
"""

from __future__ import annotations

from gateway.drivers.modbus.frames import MAX_FRAME

BABBLES = "babbles"
"""The reason why it was hung up on, in health and logs."""
TURN_BYTES = 4 * MAX_FRAME
"""What one turn of the loop reads: at 115200 baud a tenth of a second brings no more."""
REST_S = 5.0
"""So long nobody listens to it then: the loop is the others', and a peer that has come to its senses is back soon."""
LONGEST_REST_S = 60.0
"""Of one that does so again and again; each rest is twice the one before."""
KEPT_S = 60.0
"""Who has said no more than he may for so long after a rest has come to his senses."""
_LINE = 16_000.0  # bytes a second: the quickest line, 115200 baud, brings 11,520
_MARGIN = 1.25  # for one that is quicker: clocks differ by 2 %, and the loop is late now and then
_BURST = 32_768.0  # what a converter (4 KiB) and a network's window may have kept back while nobody could be heard
_CATCHING_UP_S = (
    25.0  # of a line whose rate is known: a connection outlives a pause of that length (keepalive, tcp_wire.py)
)
_AFTER_REST = 16_384.0  # so that who says little more than he may is found out before he is called well
_A_QUESTION = 2.0 * MAX_FRAME  # its answer, and its echo or its double


class Babble:
    """Of one wire; times on the caller's clock, in seconds."""

    def __init__(self, char_s: float = 0.0) -> None:
        """``char_s``: how long one character takes on the line behind it, if there is one."""
        said = _MARGIN / char_s if char_s else 0.0
        self._rate, self._most = max(_LINE, said), max(_BURST, said * _CATCHING_UP_S)
        self._left, self._at = self._most, 0.0
        self._rest_s, self._rests_until = 0.0, float("-inf")

    def asked(self) -> None:
        """A question was sent, so an answer may come."""
        self._left = min(self._burst, self._left + _A_QUESTION)

    def heard(self, size: int, at: float) -> bool:
        """So many bytes came; False where that is too much, and nothing more is to be heard of it before it has rested."""
        if at >= self._rests_until + KEPT_S:
            self._rest_s = 0.0
        self._left = min(self._burst, self._left + (at - self._at) * self._rate) - size
        self._at = at
        if self._left >= 0:
            return True
        self._rest_s = min(LONGEST_REST_S, 2 * self._rest_s) or REST_S
        self._left, self._rests_until = self._burst, at + self._rest_s
        return False

    @property
    def _burst(self) -> float:
        """What it may say at once."""
        return _AFTER_REST if self._rest_s else self._most

    def rests(self, at: float) -> bool:
        """Whether it was hung up on just now."""
        return at < self._rests_until
