"""What every adapter is told of a terminal, and what it gives back.

Pure data, of no vendor; the adapters are ``isapi.py`` (Hikvision) and ``mapped.py`` (a mapping of the site file).
"""

from __future__ import annotations

from datetime import tzinfo

from msgspec import Struct

from gateway.drivers.face.persons import Seal
from gateway.events import Entry
from gateway.site.mapping import DoorMapping

WRONG_DEVICE, NOT_PAIRED = "wrong_device", "not_paired"
"""Reasons of a ``BodyFault``, and of a door's bad health: another device than the one known; none is known yet."""
PERSONAL = ("access.", "alarm.duress", "alarm.blocklist")
"""Beginnings of the types that are about what a person does at the reader, and so have a direction."""
SHORTEST_SERIAL, LONGEST_SERIAL = 6, 64
"""Ours: fewer characters identify no device, and would fit the end of many a serial."""
MAX_EVENTS = 256
"""Of one body. Terminals push one event, at most a history page of 30 (facts/face 1.1); the rest is room, and a bound on
how long one body may hold up everybody else's."""


class Terminal(Struct, frozen=True):
    """What the adapter must know of one terminal; from the site file."""

    id: str
    seal: Seal
    enrolment: str = "default"
    direction: str = "unknown"
    zone: tzinfo | None = None
    """For times without an offset; None: such times are not believed."""
    serial: str = ""
    """Device serial or MAC that a body must name, if it names one of the same sort; empty: any."""
    clock_off: bool = False
    """Its last heartbeat was not dated now, so a date of the past may as well be of now."""
    mapping: DoorMapping | None = None
    """How its bodies are read, where no adapter of a vendor reads them."""


class Decoded(Struct, frozen=True):
    """What one body held."""

    entries: tuple[Entry, ...]
    outcome: str
    """events | heartbeat | ignored | picture_only"""
    faults: tuple[str, ...] = ()
    """Reasons of the parts that could not be read beside others that could."""
    device: str = ""
    """What the body calls its device: a MAC (12 hex digits), else a serial number; empty: it names none."""
    clock_off: bool | None = None
    """Whether the terminal's clock is wrong, by a heartbeat in it; None where it does not say."""

    @property
    def unmapped(self) -> int:
        """How many entries carry a code that is not in the table."""
        return sum("unmapped_code" in entry.anomalies for entry in self.entries)
