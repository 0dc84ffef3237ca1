"""How many messages may be on their way at once, so that a slow line answers the last of them in time. Pure.

Theory. What lies behind others is answered after them, and who is not answered in ten seconds breaks the session, which sends all of them
once more and has each of them doubted. So it is as TCP does it (RFC 5681, 3.1): few at first, one place more for a windowful of answers
that came soon, and half of them once one comes late. A broker that answers at once is given all it takes after some hundred answers.
"""

from __future__ import annotations

FIRST, FEWEST = 4.0, 2.0
"""Four of 1.5 kB are answered within ten seconds by a line of 1 kB/s, two of nearly any size."""
SOON_S = 5.0
"""Half of the time within which an answer is waited for (``ANSWER_S``)."""


class Pace:
    """Of one session."""

    def __init__(self) -> None:
        self._places = FIRST

    @property
    def places(self) -> int:
        """How many may be on their way."""
        return int(self._places)

    def answered(self, after_s: float) -> None:
        """One was answered so long after it left."""
        if after_s <= SOON_S:
            self._places += 1 / self._places
        else:
            self._places = max(FEWEST, self._places / 2)
