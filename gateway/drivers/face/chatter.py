"""What of a door's entries is told at once, and of what repeats too fast only the last word.

Pure. Theory. A terminal sends first in, first out, and repeats until it gets 200. So a refusal holds up all that waits behind it: a
contact that chatters would make a duress alarm late, and what is late is not live and alarms nobody. Nothing is refused here; what
is too much is left out, and least is lost where it says what was just said. Each kind has a rate of its own, so that no kind
keeps another out. The last of a kind that was held back is told before whatever the door tells next, or with the next turn of
the listener: where the door stands in the end is always known. The next one told says how many were left out before it.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from gateway.events import Entry
from gateway.restraint import Allowance, Rate

ENTRY_RATE = Rate(burst=50_000, every_s=0.5)
"""Of each kind that names nobody: the whole log of a terminal that was away (some 20,000, facts/face 0) and as much again, and
172,800 a day; a contact that opens and closes for a thousand residents six times a day says some 12,000."""
ALARM_RATE = Rate(burst=1, every_s=1.0)
"""Of the very same live alarm (kind, code, person): one that repeats within the second says nothing new."""
LEFT_OUT = "left_out:"
"""Begins the anomaly of an entry before which others of its kind were left out; their number follows."""
_ALARMS = ("alarm.", "door.forced")
_CONTACT = frozenset({"door.opened", "door.closed", "door.forced", "door.held_open", "door.held_open_cleared"})

Kind = tuple[str, str | None]
"""What an entry speaks of: a later one of the same says all that an earlier one said."""


class Chatter:
    """Of all doors."""

    def __init__(self) -> None:
        self._usual, self._alarms = Allowance(ENTRY_RATE), Allowance(ALARM_RATE)
        self._held: dict[str, dict[Kind, Entry]] = {}
        """Door -> the last of each kind that was not told, in the order in which they came."""
        self._left_out: Counter[tuple[str, Kind]] = Counter()
        """Since the last of this kind that was told."""

    def hear(self, door: str, entry: Entry, now_s: float) -> list[Entry]:
        """What is to be told now, in order; nothing where this one is held back."""
        kind, held = _kind(entry), self._held.setdefault(door, {})
        if held.pop(kind, None) is not None:
            self._left_out[door, kind] += 1
        if not self._may(door, entry, now_s):
            held[kind] = entry
            return []
        return [*self.rest(door), self._marked(door, kind, entry)]

    def rest(self, door: str) -> list[Entry]:
        """What is held back of a door; it is told now."""
        return [self._marked(door, kind, entry) for kind, entry in self._held.pop(door, {}).items()]

    def _may(self, door: str, entry: Entry, now_s: float) -> bool:
        if entry.live and entry.type.startswith(_ALARMS):
            return self._alarms.take((door, entry.type, entry.code, entry.person), now_s)
        # Who passed is evidence of life; no rate is worth one of them.
        return entry.person is not None or self._usual.take((door, entry.type), now_s)

    def _marked(self, door: str, kind: Kind, entry: Entry) -> Entry:
        times = self._left_out.pop((door, kind), 0)
        if not times:
            return entry
        return msgspec.structs.replace(entry, anomalies=(*entry.anomalies, f"{LEFT_OUT}{times}"))


def _kind(entry: Entry) -> Kind:
    return ("contact", None) if entry.type in _CONTACT else (entry.type.removesuffix("_cleared"), entry.person)
