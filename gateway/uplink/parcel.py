"""A message on its way to a broker, as data."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Kind(StrEnum):
    STATUS = "status"
    ALERT = "alert"
    DEVICE = "device"
    TELEMETRY = "telemetry"


Key = tuple[Kind, str, int]
"""What is meant when a message is sent again: of an alert its place in its lane, of anything else all of its kind."""


class Parcel(Struct, frozen=True, eq=False):
    """One message on its way."""

    kind: Kind
    topic: str
    """Leaf."""
    body: bytes
    retain: bool = False
    lane: str = ""
    sequence: int = 0
    size: int = 0
    """Of the whole packet, in bytes."""
    aside: bool = False
    """It was set aside, and is tried once more."""

    @property
    def key(self) -> Key:
        return self.kind, self.lane, self.sequence
