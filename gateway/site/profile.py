"""What a device profile says: knowledge about one product, as data.

Here live the types. The products are YAML files in ``gateway/drivers/profiles`` and in ``profiles/`` beside the site file;
``gateway/site/reading.py`` reads both the same way.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from gateway.events import Quality, Scalar


class Space(StrEnum):
    """Which of the four Modbus tables, and so which function codes (Modbus Application Protocol 1.1b3, chapter 6)."""

    COIL = "coil"
    DISCRETE = "discrete"
    HOLDING = "holding"
    INPUT = "input"


class PointClass(StrEnum):
    """How soon a point must be fresh; sets its poll period."""

    ALARM = "alarm"
    FEEDBACK = "feedback"
    NORMAL = "normal"
    SLOW = "slow"


class PointSpec(Struct, frozen=True):
    """One point of a product: where it is, how its bytes read, what its values mean."""

    name: str
    space: Space
    address: int
    """Protocol address, from 0."""
    type: str = "uint16"
    order: str = ""
    """Significance of each byte in wire order, A the highest; empty: plain big-endian."""
    length: int = 1
    """Registers of a ``string`` or ``bits``; every other type knows its own."""
    mask: int | None = None
    shift: int = 0
    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""
    resolution: float = 0.0
    """Report when the value moved at least this far (ignored for alarm-class points: any change)."""
    low: float | None = None
    high: float | None = None
    """Measuring range in the point's unit; beyond it the quality says so."""
    invalid: tuple[tuple[float, Quality], ...] = ()
    """Raw values that are no value, each with its quality."""
    enum: tuple[tuple[int, str], ...] = ()
    """Names of raw values; a raw value not named is invalid."""
    bits: tuple[tuple[int, str], ...] = ()
    """Names of bits; the value is the names of those set, joined by commas."""
    quality_of: tuple[tuple[Scalar, Quality], ...] = ()
    """For a status point: what a decoded value says about the quality of *all* the device's other points."""
    true_when: tuple[Scalar, ...] | None = None
    """Turns the decoded value into a bool: true when among these (active-low alarms, alarm codes)."""
    point_class: PointClass = PointClass.NORMAL
    period_ms: int = 0
    """0: the class's own."""
    writable: bool = False
    write_on: int = 1
    """What is written for on: 16 bits as on the wire, or 1 or 0 for a coil."""
    write_off: int = 0


class Profile(Struct, frozen=True):
    """One product."""

    id: str
    kind: str
    """gas-detector | smoke-detector | co-detector | air-sensor | relay | water-detector | other"""
    name_zh: str
    name_en: str
    status: str
    """manual | field | unverified"""
    source: str
    points: tuple[PointSpec, ...]
    max_read: int = 125
    """Registers (or bits x 16) in one request; Modbus itself allows 125."""
    max_hole: int = 8
    """Registers nobody asked for that may be read along to save a request."""
    no_read: tuple[tuple[int, int], ...] = ()
    """Closed ranges of addresses that must never be read."""
    bit_step: int = 1
    """Bits are asked for in multiples of this: some relays answer only a count of 8 (facts/modbus, row 24)."""
    guard_ms: int = 0
    """Least pause between two requests to this device."""
    timeout_ms: int = 300
    """The slowest credible answer."""
    baud: int = 9600
    parity: str = "none"
    stop_bits: int = 1
    ex_rated: bool = False
    warm_up_ms: int = 0
