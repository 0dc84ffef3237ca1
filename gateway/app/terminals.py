"""The door terminals as the house sees them: what the core remembers of them, and the desk's question how they fare."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.app.desk import Errand
from gateway.control.protocol import PeerCredentials, Refusal
from gateway.drivers.face.serials import Remembered
from gateway.events import Entry
from gateway.instant import Instant
from gateway.rules.engine import Engine

if TYPE_CHECKING:
    from gateway.drivers.face.selftest import Finding


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

    def stands_at(self, door: str) -> str:
        return self._engine().stands_at(door)

    def awaits(self, entry: Entry) -> bool:
        return self._engine().awaits(entry)


def examiner(test: Callable[[str], Awaitable[list[Finding] | None]]) -> Errand:
    """The errand behind ``loudong doors test``."""

    async def errand(arguments: Mapping[str, Any], _peer: PeerCredentials) -> Iterable[dict[str, Any]]:
        door = str(arguments.get("door", ""))
        found = await test(door)
        if found is None:
            raise Refusal("no_such_door", door)
        return [{"door": door, **msgspec.to_builtins(finding)} for finding in found]

    return errand
