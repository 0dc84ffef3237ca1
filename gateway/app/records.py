"""What the desk looks up in the store: alerts that are over, and the steps of each.

The core holds only what is open; everything else is on the disk, and a disk may refuse.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.alerts import Alert, ChangeKind
from gateway.control.protocol import Refusal
from gateway.faults import StoreFault
from gateway.store.rows import HistoryRow
from gateway.store.store import Store

ID_DIGITS = 16
CLOSED_SEARCHED = 1_000


class Records:
    """Raises ``Refusal("store_fault")`` where the disk cannot be read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def history(self, alert: str) -> list[dict[str, Any]]:
        """Every step of an alert, oldest first; of a closed one the beginning of its id may be given."""
        try:
            rows = await self._store.past.history(await self._closed_id(alert))
        except StoreFault as fault:
            raise Refusal("store_fault", str(fault)) from None
        return [
            {"at": r.at, "revision": r.revision, "kind": r.kind, "who": r.who, "reason": r.reason, "told": _told(r)}
            for r in rows
        ]

    async def closed(self, most: int) -> list[Alert]:
        """The alerts closed last, newest first."""
        try:
            rows = await self._store.past.recent_closed(min(most, CLOSED_SEARCHED))
        except StoreFault as fault:
            raise Refusal("store_fault", str(fault)) from None
        return [msgspec.msgpack.decode(row.body, type=Alert) for row in rows if row.body is not None]

    async def _closed_id(self, asked: str) -> str:
        """The whole id of a closed alert of which the beginning was given."""
        if len(asked) >= ID_DIGITS or not asked:
            return asked
        found = [row.key for row in await self._store.past.recent_closed(CLOSED_SEARCHED) if row.key.startswith(asked)]
        if len(found) > 1:
            raise Refusal("ambiguous", " ".join(found))
        return found[0] if found else asked


def _told(row: HistoryRow) -> list[dict[str, Any]]:
    """The rungs that were told at this step, and the people on them."""
    if row.kind != ChangeKind.TOLD:
        return []
    told = msgspec.json.decode(row.body, type=Alert).told
    return [{"rung": one.rung.value, "people": list(one.people)} for one in told if one.at == row.at]
