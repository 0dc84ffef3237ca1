"""A terminal that insists on an event which the disk does not take. Pure.

Theory. While the disk is ill a terminal is told 503 and keeps its event, for what only memory holds a power cut takes. But it
sends first in, first out, and repeats until its 200: a disk ill for hours would keep every alarm behind the first pass until it
is no longer live and alarms nobody (docs/decisions/0025). So a door is put off for ``PUT_OFF_S``. After that its events,
on which the core has acted, are taken with 200 and counted, until one is on disk again; then it may be put off anew.
"""

from __future__ import annotations

PUT_OFF_S = 10.0
"""A disk that stumbles is back by then; terminals send again after five seconds or so, and one that waits longer is put off once."""
DURABLE_LIMIT_S = 10.0
"""A commit takes milliseconds; when it takes this long the disk is the trouble, and the terminal keeps the event for us."""
HURRY_S = 1.0
"""So long a commit is waited for once a door was put off: each event in front of an alarm costs it that."""


class Insisting:
    """Of every door since when it is put off; times on the caller's clock, in seconds."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def patience_s(self, door: str, at: float) -> float:
        """How long the disk is waited for."""
        return HURRY_S if self._enough(door, at) else DURABLE_LIMIT_S

    def on_disk(self, door: str) -> None:
        """What it told was taken by the disk."""
        self._since.pop(door, None)

    def puts_off(self, door: str, began: float, at: float) -> bool:
        """What it told at ``began`` is on no disk: whether it is to come again."""
        self._since.setdefault(door, began)
        return not self._enough(door, at)

    def _enough(self, door: str, at: float) -> bool:
        return door in self._since and at - self._since[door] > PUT_OFF_S
