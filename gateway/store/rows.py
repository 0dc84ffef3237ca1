"""What the store keeps: opaque bytes under keys.

Here live the shapes that cross the store's border. No domain type may appear here: what a body means is known to those who
put it in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta, Struct

Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""A number a table can hold (sqlite.org/datatype3.html); checked where a commit enters the log, see ``commit_log.py``."""


class JournalRow(Struct, frozen=True, gc=False):
    """One input of the core, in order. Rows get their number ``n`` when they are written."""

    at: Whole
    """Instant on the site timeline, ms."""
    id: str
    """Never used twice by one gateway."""
    kind: str
    body: bytes
    n: int = 0
    """Place in the journal; 0 until written."""
    person: str = ""
    """Whom it names: then it is written sealed with that person's key."""
    quiet: bool = False
    """Nobody was told anything for it: many of its kind may be kept as one."""


class StateRow(Struct, frozen=True, gc=False):
    """The latest state of one thing. ``body`` None deletes it."""

    kind: str
    key: str
    body: bytes | None


class HistoryRow(Struct, frozen=True):
    """One step in the life of one alert; only ever added, never changed; it goes with the closed alert, or is thinned (``thinning.py``)."""

    alert: str
    revision: Whole
    kind: str
    at: Whole
    who: str | None
    reason: str
    body: bytes


class Message(Struct, frozen=True):
    """One message of the outbox: ``lane`` and ``sequence`` order it, ``id`` makes repeats droppable."""

    lane: str
    sequence: Whole
    id: str
    topic: str
    body: bytes
    alert: str


class PendingMessage(Struct, frozen=True):
    """A message whose body says whether it was durable when it was told.

    ``render(True)`` is made for the commit; should the disk refuse it, ``render(False)`` is what everybody sees.
    """

    lane: str
    sequence: int
    id: str
    topic: str
    alert: str
    render: Callable[[bool], bytes]

    def message(self, *, durable: bool) -> Message:
        """The message as it is to be told."""
        return Message(self.lane, self.sequence, self.id, self.topic, self.render(durable), self.alert)


class Batch(Struct, frozen=True):
    """What goes to disk in one transaction: all of it or none."""

    journal: tuple[JournalRow, ...] = ()
    state: tuple[StateRow, ...] = ()
    history: tuple[HistoryRow, ...] = ()
    messages: tuple[Message, ...] = ()
    stamp: tuple[Whole, bytes] | None = None
    """Last journaled instant, with the clocks of that moment."""
    retold: tuple[Message, ...] = ()
    """Messages that were told in these words while another wording of theirs was on its way to the disk."""


class Part(Struct, frozen=True):
    """What one event leaves behind; parts are committed in the order they were put, several in one transaction."""

    journal: tuple[JournalRow, ...] = ()
    state: tuple[StateRow, ...] = ()
    history: tuple[HistoryRow, ...] = ()
    messages: tuple[PendingMessage, ...] = ()
    stamp: tuple[int, bytes] | None = None
    urgent: bool = False
    """Commit at once; else within a second."""
    idle: bool = False
    """Nothing hangs on it: it may wait for the next commit of anything else (a minute at most, see ``app/inbox.py``)."""


class Loaded(Struct, frozen=True):
    """What a start finds."""

    state: tuple[StateRow, ...] = ()
    stamp: tuple[int, bytes] | None = None
    runs: int = 0
    """Runs of the process this database has counted, this one included once ``run`` is set."""
    run: str = ""
    """Name of this run, never used twice by one gateway, even if the database was lost; empty until counted."""
    sequences: dict[str, int] = {}
    """Highest sequence each lane ever used, delivered and pruned ones included."""
    floor: int = 0
    """No lane may use a place up to here, whatever ``sequences`` says: more was used and is lost."""
    losses: int = 0
    """Grows whenever something that was acknowledged, and perhaps told, may be missing."""
    created: bool = False
    """The database is new: a first start, or the old one was lost (then ``notes`` says so)."""
    writable: bool = True
    notes: tuple[str, ...] = ()
    """What was found amiss and mended: word-catalogue keys with a detail after a colon."""


class AuditRow(Struct, frozen=True):
    """Somebody commanded the gateway itself, or read about a person."""

    at: int
    who: str
    verb: str
    about: str
    """Never a person; of one, the number of the key."""


class Damage(Struct):
    """What was found bad since the database was opened."""

    rows: int = 0
    """Rows whose checksum failed; they lie in the table ``damaged``."""
    conflicts: int = 0
    """Messages refused because their id is kept with another body; they lie in ``damaged`` too."""
    renumbered: int = 0
    """Messages whose place in the lane was taken by another id; they were put behind it."""
    unfolded: int = 0
    """Rows of the commit log that no table took; they lie in ``damaged`` too."""
    unread: int = 0
    """Rows whose checksum holds and which nobody can open, though the key is there; they stay where they are."""


class Pruned(Struct, frozen=True):
    """What one round of tidying removed."""

    messages: int = 0
    journal: int = 0
    closed: int = 0
    keys: int = 0
    """Keys destroyed: of days and persons beyond the journal's limit."""
    steps: int = 0
    """Of the histories of open alerts."""
    more: bool = False
    """The round took as many as it may: there is probably more."""
