"""What of a door's entries is told at once, and of what repeats too fast only the last word.

Pure. Theory. A terminal sends first in, first out, and repeats until it gets 200. So a refusal holds up all that waits behind it: a
contact that chatters would make a duress alarm late, and what is late is not live and alarms nobody. Nothing is refused here; what
is too much is left out, and least is lost where it says what was just said. Each kind has a rate of its own, so that no kind
keeps another out. The last of a kind that was held back is told with the next turn of the listener; what says how the door stands
before whatever the door tells next, for what is older than the last word moves no door (``rules/terminals.py``): how it stands in
the end is always known. The next one told says how many were left out before it.

Who passed is evidence of life, so a person is left out only beyond what can pass a door at all: then the terminal lies or is
broken, and its door is said to be so (``overran``). Those whom the site has under care have a measure of their own, which no
invented person can use up (docs/decisions/0020).
"""

from __future__ import annotations

from collections import Counter
from enum import Enum

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
PERSONS_RATE = Rate(burst=50_000, every_s=1.0)
"""Of all passages that name persons, at one door: the whole log of a terminal twice over, as above, and 86,400 a day. A lane lets
through some forty persons a minute at its best, and not for a day."""
PERSONS_ALARM_RATE = Rate(burst=100, every_s=1.0)
"""Of one kind of live alarm, whoever is named: a hundred different people under duress at one door within one minute are no
people, and the alert stands already: it is one for each terminal and kind."""
OVERRUN_S = 600.0
"""So long after the last person that was left out the terminal is not believed to be well."""
_ALARMS = ("alarm.", "door.forced")
_CONTACT = frozenset({"door.opened", "door.closed", "door.forced", "door.held_open", "door.held_open_cleared"})

_STATES = frozenset({"contact", "alarm.tamper", "alarm.fire"})
"""Kinds of which the last word stands until the next."""


class Whose(Enum):
    """Of whom an entry speaks."""

    NOBODYS = "nobodys"
    SOMEBODYS = "somebodys"
    AWAITED = "awaited"
    """Of somebody under care: a rule waits for his signs of life."""


Kind = tuple[str, Whose]
"""What an entry speaks of: of those that were held back a later one of the same replaces an earlier one."""


class Chatter:
    """Of all doors."""

    def __init__(self) -> None:
        self._usual, self._alarms = Allowance(ENTRY_RATE), Allowance(ALARM_RATE)
        self._persons, self._persons_alarms = Allowance(PERSONS_RATE), Allowance(PERSONS_ALARM_RATE)
        self._held: dict[str, dict[Kind, Entry]] = {}
        """Door -> the last of each kind that was not told, in the order in which they came."""
        self._left_out: Counter[tuple[str, Kind]] = Counter()
        """Since the last of this kind that was told."""
        self._overrun_at: dict[str, float] = {}

    def hear(self, door: str, entry: Entry, now_s: float, *, awaited: bool = False) -> list[Entry]:
        """What is to be told now, in order; nothing where this one is held back. ``awaited``: it names somebody under care."""
        kind, held = _kind(entry, awaited=awaited), self._held.setdefault(door, {})
        if held.pop(kind, None) is not None:
            self._left_out[door, kind] += 1
        if not self._may(door, entry, kind[1], now_s):
            held[kind] = entry
            return []
        standing = [one for one in held if one[0] in _STATES]
        return [*(self._marked(door, one, held.pop(one)) for one in standing), self._marked(door, kind, entry)]

    def rest(self, door: str) -> list[Entry]:
        """What is held back of a door; it is told now."""
        return [self._marked(door, kind, entry) for kind, entry in self._held.pop(door, {}).items()]

    def overran(self, door: str, now_s: float) -> bool:
        """Whether this door named more persons lately than can pass one."""
        at = self._overrun_at.get(door)
        return at is not None and now_s - at < OVERRUN_S

    def _may(self, door: str, entry: Entry, whose: Whose, now_s: float) -> bool:
        alarms = entry.live and entry.type.startswith(_ALARMS)
        if alarms and not self._alarms.take((door, entry.type, entry.code, entry.person), now_s):
            return False
        if whose is Whose.NOBODYS:
            return alarms or self._usual.take((door, entry.type), now_s)
        may = (
            self._persons_alarms.take((door, entry.type, whose), now_s)
            if alarms
            else self._persons.take((door, whose), now_s)
        )
        if not may:
            self._overrun_at[door] = now_s
        return may

    def _marked(self, door: str, kind: Kind, entry: Entry) -> Entry:
        times = self._left_out.pop((door, kind), 0)
        if not times:
            return entry
        return msgspec.structs.replace(entry, anomalies=(*entry.anomalies, f"{LEFT_OUT}{times}"))


def _kind(entry: Entry, *, awaited: bool) -> Kind:
    if entry.type in _CONTACT:
        return "contact", Whose.NOBODYS
    if entry.person is None:
        return entry.type.removesuffix("_cleared"), Whose.NOBODYS
    return entry.type.removesuffix("_cleared"), Whose.AWAITED if awaited else Whose.SOMEBODYS
