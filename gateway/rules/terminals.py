"""What the core remembers of each door terminal: which entries it has had, in what order they count, and which are missing.

Theory. A terminal resends until it is answered, and reads its log to us afterwards; so an entry is known by its key, ordered by
its serial number, and only a live one may begin an alarm. Nothing is decided here about alerts.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from msgspec import Struct

from gateway.events import Entry, Paired, Scalar, SequenceGap
from gateway.instant import MINUTE, Instant
from gateway.rules.compound import DOOR
from gateway.rules.facts import FactBoard
from gateway.rules.ledger import Table

SEEN_PER_TERMINAL = 2_000
"""Entries remembered against resends: more than a terminal sends between two acknowledgements (facts/face 1.1)."""
_DOOR_FACTS: dict[str, tuple[str, Scalar]] = {
    "door.opened": (DOOR, "opened"),
    "door.closed": (DOOR, "closed"),
    "door.forced": (DOOR, "forced"),
    "door.held_open": (DOOR, "held_open"),
    "door.held_open_cleared": (DOOR, "opened"),
    "alarm.tamper": ("tamper", True),
    "alarm.tamper_cleared": ("tamper", False),
    "alarm.fire": ("fire", True),
    "alarm.fire_cleared": ("fire", False),
}
_AT_REST = ((DOOR, "closed"), ("tamper", False), ("fire", False))
"""States that a replay from the terminal's log may set, too: they end alerts and raise none."""
UNPROVEN = "freshness_unproven"
"""Anomaly of an entry (facts/face 0.3), and the fact of a terminal that sends such."""
_ALARMS = ((DOOR, "forced"), ("tamper", True), ("fire", True))
_ACCOUNTED_FOR = frozenset({"recovered", "absent"})
"""How a gap ended if nothing of it is lost: its entries came, or the terminal's log holds none."""
RESET_BY = 10_000
"""A serial number so far back, even in a log, is of a counter that began anew."""
OVERTAKEN_MS = MINUTE
"""How long an event may be on its way behind a younger one; a terminal that was reset needs longer to start."""


class Seen(Struct, frozen=True):
    """An entry already handled."""

    at: Instant
    live: bool = True
    """False: so far only read from the terminal's log. Should it come live after that, it still alarms."""


class Cursor(Struct, frozen=True):
    """The last serial number that counted, and when it came."""

    seq: int
    at: Instant


class OpenGap(Struct, frozen=True):
    """Missing serial numbers of a terminal; the key holds the first."""

    last: int
    at: Instant


class Pin(Struct, frozen=True):
    """The device that may speak for a door."""

    device: str
    """As learnt; empty: none was."""
    at: Instant
    named: str = ""
    """The one that the site file named when it was last heard of, if that was after the learning."""

    @property
    def stands(self) -> str:
        """The device that stands there."""
        return self.named or self.device


class Sounding(Struct, frozen=True):
    """A lid that is open, or a fire input that is on; the key holds the terminal, the fact and which of them it is."""

    at: Instant


class Window(Struct, frozen=True):
    """In which a door learns which device is its own."""

    until: Instant


class TerminalBook:
    """The rows of all terminals."""

    def __init__(self, board: FactBoard) -> None:
        self._board = board
        self.seen: Table[Seen] = Table("seen", Seen)
        self.cursors: Table[Cursor] = Table("cursor", Cursor)
        self.gaps: Table[OpenGap] = Table("gap", OpenGap)
        self.pins: Table[Pin] = Table("pin", Pin)
        self.alarms: Table[Sounding] = Table("sounding", Sounding)
        self.windows: Table[Window] = Table("window", Window)
        self._seen_keys: dict[str, list[tuple[Instant, str]]] = {}
        """A heap for each terminal, so that forgetting costs little however much is remembered. What is forgotten first is
        in the rows alone, not in the order they came in: a restored core must forget alike."""

    def rebuild(self) -> None:
        """What is forgotten first, from the rows: the store gives them back in any order."""
        self._seen_keys = {}
        for (terminal, key), seen in self.seen.by_key.items():
            self._seen_keys.setdefault(terminal, []).append((seen.at, key))
        for keys in self._seen_keys.values():
            heapify(keys)

    @property
    def books(self) -> tuple[Table[Seen], Table[Cursor], Table[OpenGap], Table[Pin], Table[Sounding]]:
        """All rows; their keys begin with the terminal."""
        return self.seen, self.cursors, self.gaps, self.pins, self.alarms

    def forget(self, gone: Iterable[str]) -> None:
        """The rows of these terminals were dropped."""
        for terminal in gone:
            self._seen_keys.pop(terminal, None)

    # Questions ------------------------------------------------------------------------------------

    def paired(self, terminal: str) -> str:
        """The device learnt for this door; empty: none."""
        pin = self.pins.get(terminal)
        return "" if pin is None else pin.device

    def stands_at(self, terminal: str) -> str:
        """The device that was learnt, or named by the site file, and heard last; empty: none."""
        pin = self.pins.get(terminal)
        return "" if pin is None else pin.stands

    def open_windows(self) -> dict[str, Instant]:
        """Until when each door learns its device."""
        return {key[0]: window.until for key, window in self.windows.by_key.items()}

    def has_seen(self, terminal: str, key: str) -> bool:
        """Whether this entry was handled before: what comes now is a resend."""
        return self.seen.get(terminal, key) is not None

    def last_serial(self, terminal: str) -> tuple[int, Instant] | None:
        """The last serial number that counted, and when it came."""
        cursor = self.cursors.get(terminal)
        return None if cursor is None else (cursor.seq, cursor.at)

    def open_gaps(self, terminal: str) -> list[tuple[int, int]]:
        """First and last of each run of serial numbers that is still missing, oldest first."""
        return sorted(
            (int(key[1]), gap.last) for key in self.gaps if key[0] == terminal and (gap := self.gaps.get(*key))
        )

    # Events ---------------------------------------------------------------------------------------

    def is_news(self, entry: Entry, at: Instant) -> bool:
        """Whether the entry is no resend; it is one from now on. A live copy of one known from the log is news."""
        seen = self.seen.get(entry.terminal, entry.key)
        if seen is not None and (seen.live or not entry.live):
            return False
        self.seen.put(Seen(at if seen is None else seen.at, entry.live), entry.terminal, entry.key)
        if seen is None:
            heappush(self._seen_keys.setdefault(entry.terminal, []), (at, entry.key))
            self._forget_oldest(entry.terminal)
        return True

    def facts_of(self, entry: Entry, at: Instant) -> list[tuple[str, Scalar | None]]:
        """What the entry says about its terminal, in the order in which it is to be heard."""
        newer, changed = self._in_sequence(entry, at), _DOOR_FACTS.get(entry.type)
        said = [] if changed is None else self._door(entry, changed, newer=newer)
        return [*self._freshness(entry), *(one for one in said if not (newer and self._sounds_on(entry, one, at)))]

    def gap(self, gap: SequenceGap, at: Instant) -> bool:
        """Whether any serial number of the terminal is missing now."""
        if gap.open:
            self.gaps.put(OpenGap(gap.last, at), gap.terminal, str(gap.first))
        else:
            self.gaps.drop(gap.terminal, str(gap.first))
        missing = any(key[0] == gap.terminal for key in self.gaps)
        known = gap.open or gap.reason in _ACCOUNTED_FOR
        self._board.coverage.gap(gap.terminal, at, missing=missing, recovered=known)
        return missing

    def pair(self, paired: Paired, at: Instant) -> list[tuple[str, Scalar | None]]:
        """Another device counts its events from elsewhere, and has lids of its own: what is to be heard of those of the one before."""
        before = self.pins.get(paired.terminal)
        if paired.named:
            pin = Pin("" if before is None else before.device, at, paired.device)
        else:
            pin = Pin(paired.device, at)
            self.windows.drop(paired.terminal)
        self.pins.put(pin, paired.terminal)
        if before is None or before.stands == paired.device:
            return []
        self.cursors.drop(paired.terminal)
        on = [fact for fact, value in _AT_REST if value is False and self._is_on(paired.terminal, fact)]
        for fact in on:
            self._end_all(paired.terminal, fact)
        return [(fact, False) for fact in on]

    def shut_windows(self, at: Instant | None) -> None:
        """Those whose time is over by then (None: all, for nobody can say whose is not), and of doors that are gone."""
        for (door,), window in list(self.windows.by_key.items()):
            if at is None or window.until < at or door not in self._board.compound.subjects:
                self.windows.drop(door)

    def _in_sequence(self, entry: Entry, at: Instant) -> bool:
        """Sequence, not time, orders a terminal's events (facts/face 0.6): a late one must not move the door back.

        A live event far behind in time as well, or by ten thousand, or next to the last one by the terminal's own word, is none that
        was overtaken: its counter began anew.
        """
        last = self.cursors.get(entry.terminal)
        if entry.seq is None or last is None or entry.seq >= last.seq:  # a resend of the same is known by its key
            newer = True
        else:
            far, late = last.seq - entry.seq >= RESET_BY, at - last.at > OVERTAKEN_MS
            newer = (late and (entry.live or far)) or (entry.live and (far or entry.prev_seq == last.seq))
        if newer and entry.seq is not None:
            self.cursors.put(Cursor(entry.seq, at), entry.terminal)
        return newer

    def _door(self, entry: Entry, changed: tuple[str, Scalar], *, newer: bool) -> list[tuple[str, Scalar | None]]:
        """Opened and closed go by sequence; an alarm that is live counts in any order; a terminal's log only ends alarms."""
        if newer and (entry.live or changed in _AT_REST):
            return [changed]
        if not entry.live or changed not in _ALARMS:
            return []
        before = self._board.fact(entry.terminal, changed[0])
        # Overtaken by younger news: the alert stands, the door does not go back.
        return [changed] if before is None else [changed, (changed[0], before.value)]

    def _sounds_on(self, entry: Entry, said: tuple[str, Scalar | None], at: Instant) -> bool:
        """Whether one is still open when another of the same fact is said to be shut.

        A word that ends all of a kind (``fire_input``) begins those that began it (``fire_input_short``), and one that names none
        ends all.
        """
        (fact, value), which = said, entry.reason or ""
        if value is True:
            if not self._is_on(entry.terminal, fact):  # what stands here was on when the door left the site
                self._end_all(entry.terminal, fact)
            self.alarms.put(Sounding(at), entry.terminal, fact, which)
        if value is not False:
            return False
        mine = [key for key in self.alarms if key[:2] == (entry.terminal, fact)]
        ended = [key for key in mine if key[2].startswith(which) or which.startswith(key[2])]
        for key in ended:
            self.alarms.drop(*key)
        return len(ended) < len(mine)

    def _is_on(self, terminal: str, fact: str) -> bool:
        known = self._board.fact(terminal, fact)
        return known is not None and known.value is True

    def _end_all(self, terminal: str, fact: str) -> None:
        for key in [key for key in self.alarms if key[:2] == (terminal, fact)]:
            self.alarms.drop(*key)

    def _freshness(self, entry: Entry) -> list[tuple[str, Scalar | None]]:
        """A terminal whose events nobody can date raises nothing, and that must not go unsaid."""
        unproven = UNPROVEN in entry.anomalies
        return [(UNPROVEN, unproven)] if unproven != self._is_on(entry.terminal, UNPROVEN) else []

    def _forget_oldest(self, terminal: str) -> None:
        mine = self._seen_keys[terminal]
        while len(mine) > SEEN_PER_TERMINAL:
            self.seen.drop(terminal, heappop(mine)[1])
