"""What the core remembers of the door terminals, in the words of those who talk to them."""

from __future__ import annotations

from collections.abc import Callable

from gateway.drivers.face.serials import Remembered
from gateway.instant import Instant
from gateway.rules.engine import Engine


class TerminalMemory:
    """The core's rows, as ``gateway.drivers.face.intake.Memory``."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        """``engine``: the core as it is now; a new site file makes another of it."""
        self._engine = engine

    def serials(self, door: str) -> Remembered:
        last = self._engine().last_serial(door)
        seq, at = last if last is not None else (None, Instant(0))
        return Remembered(seq, at, self._engine().open_gaps(door))

    def has_seen(self, door: str, key: str) -> bool:
        return self._engine().has_seen(door, key)

    def paired(self, door: str) -> str:
        return self._engine().paired(door)
