"""The steward: what is done to the gateway itself, and to what it knows of persons. Each deed is written down before it is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.app.house import House
from gateway.control.protocol import PeerCredentials
from gateway.store.rows import AuditRow, Part


class Steward:
    """Answers errands of the daemon's own user and root. A disk that cannot write them down refuses them (StoreFault)."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def prepare_backup(self, _arguments: Mapping[str, Any], peer: PeerCredentials) -> list[dict[str, Any]]:
        """Somebody takes a backup: all that waits goes to the disk first."""
        await self._note(peer, "backup", "")
        return [{"durable": await self._house.store.put(Part(urgent=True))}]

    async def _note(self, peer: PeerCredentials, verb: str, about: str) -> None:
        await self._house.store.note(AuditRow(self._house.timeline.now(), peer.login, verb, about))
