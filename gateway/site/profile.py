"""What a device profile says: knowledge about one product, as data.

Here live the types. The products are YAML files in ``gateway/drivers/profiles`` and in ``profiles/`` beside the site file;
``gateway/site/reading.py`` reads both the same way. A default keeps the plainest Modbus device: whoever reads a field may
trust that a profile that does not name it means exactly what the default says. None is *not known*: what a product left the
factory with is no matter of defaults.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from msgspec import Struct

from gateway.events import Quality, Scalar
from gateway.nodes import Mark

KINDS = (
    "gas-detector", "smoke-detector", "co-detector", "heat-detector", "water-detector", "air-sensor", "electric-monitor",
    "meter", "ups", "heater", "relay", "inputs", "siren", "valve", "other",
)  # fmt: skip
"""What a product is to the rules; the built-in rules speak of these kinds."""
DETECTORS = frozenset(
    {"gas-detector", "smoke-detector", "co-detector", "heat-detector", "water-detector", "electric-monitor"}
)
"""Those that watch for a danger."""


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
    CONFIG = "config"
    """Set points and versions: somebody may change them on the device, hardly ever."""


class Danger(StrEnum):
    """On which side of its set points a measured value is dangerous."""

    ABOVE = "above"
    BELOW = "below"
    """Lack of oxygen, of pressure, of voltage."""
    OUTSIDE = "outside"
    """Both: the lower set point and the upper one."""


class Notation(StrEnum):
    """How the manual numbers its registers; on the wire they count from 0."""

    WIRE = "wire"
    """The printed number is the protocol address, decimal or hexadecimal."""
    COUNTED = "counted"
    """Counted from 1: "No. 5" is address 4."""
    MODICON = "modicon"
    """The first of five or six digits names the table, the rest counts from 1: 40001 is holding register 0, 300017 input 16."""
    MODICON_0 = "modicon-0"
    """The same, but the rest counts from 0: 40000 is holding register 0."""


class Factor(Struct, frozen=True):
    """What a value is multiplied by while another point of the device says ``when``."""

    when: Scalar
    factor: float
    offset: float = 0.0
    """Added after the factor: °F to °C wants one."""


class Scaling(Struct, frozen=True):
    """Another point tells how this one reads: decimals, unit. A value of it that is not listed makes this one invalid."""

    point: str
    factors: tuple[Factor, ...]


SEEN_MS = 1_000
"""A pulse shorter than this may be over when it is read back."""


class Flash(Struct, frozen=True):
    """A command of the device's own: on, and off again by itself after so many steps. Its value is ``base`` and their number."""

    step_ms: int
    address: int | None = None
    """Where it is written, if not at the point's own address."""
    base: int = 0
    most: int = 0x7FFF
    """Steps."""


class PointSpec(Struct, frozen=True):
    """One point of a product: where it is, how its bytes read, what its values mean, how it is written."""

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
    scale_by: tuple[Scaling, ...] = ()
    """Applied in order after ``scale`` and ``offset``."""
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
    """For a status point: what a decoded value (one of the names of set bits; ``""`` no bit set) says about the quality of
    the points it speaks for."""
    speaks_for: tuple[str, ...] = ()
    """Points a status speaks for; empty: all others of the device."""
    true_when: tuple[Scalar, ...] | None = None
    """Turns the decoded value into a bool: true when among these (active-low alarms, alarm codes, names of bits)."""
    true_above: float | None = None
    """Turns a number into a bool: true when above this (a register that gives the distance to the fire, 0 for none)."""
    alarm_when: Danger | None = None
    """Of a measured value: where its danger lies; None: not stated. What says yes or no alarms at yes."""
    alarm_names: tuple[str, ...] = ()
    """Of a status: the names of its codes or bits that are alarms."""
    latched: bool | Literal["setting"] | None = None
    """Whether the device itself holds this alarm until it is reset (True), it follows the danger (False), or either, as it is
    set there; None: the manual does not say."""
    moves_within_ms: int = 0
    """A heartbeat: its value changes at least this often, else the device hangs although it answers. 0: none."""
    point_class: PointClass = PointClass.NORMAL
    period_ms: int = 0
    """0: the class's own."""
    vendor: str = ""
    """The register as the manual prints it, in the profile's ``notation``."""
    writable: bool = False
    write_on: int = 1
    """What is written for on: 16 bits as on the wire, or 1 or 0 for a coil (with ``write_raw`` its 16 bits, too)."""
    write_off: int = 0
    write_function: int = 0
    """5, 6, 15 or 16; 0: 5 for a coil, 6 for a register."""
    write_raw: bool = False
    """FC05 with a value of its own (a pulse length, 0x0100 for on) instead of 0xFF00 and 0x0000."""
    write_on_address: int | None = None
    """Where on is written, if not at ``address``: command registers."""
    write_off_address: int | None = None
    shown_on: int | None = None
    """What reads back at ``address`` once it is on; None: what was written (a coil: 1)."""
    shown_off: int | None = None
    write_only: bool = False
    """Never read: polls leave it out, and nothing is read back."""
    pulse_ms: int = 0
    """On ends by itself after this long, in the device; 0: it stays."""
    flash: Flash | None = None
    """How it is switched on for a time; an output that wants a pulse is given it (``flash.py``)."""
    repeat_ms: int = 0
    """On must be written again at least this often or the device lets go; 0: it stays."""

    @property
    def momentary(self) -> bool:
        """Whether on ends by itself, so that the point does not say afterwards what was done."""
        return self.pulse_ms > 0 and not self.repeat_ms

    @property
    def unread(self) -> bool:
        """Whether nothing shows that on was taken: never read, a pulse that may be over when it is read back, or a register
        of which nobody said what it shows after a command to another.
        """
        untold = self.space is Space.HOLDING and self.write_on_address is not None and self.shown_on is None
        return self.write_only or untold or 0 < self.pulse_ms < SEEN_MS

    @property
    def measures(self) -> bool:
        """Whether its decoded value is a number."""
        return not (self.says_yes_or_no or self.enum or self.bits or self.type in {"string", "bits"})

    @property
    def says_yes_or_no(self) -> bool:
        """Whether its decoded value is a bool."""
        named = self.enum and self.true_when is None
        contact = self.space in {Space.COIL, Space.DISCRETE} and not named
        return contact or self.true_when is not None or self.true_above is not None

    @property
    def alarms(self) -> bool:
        """Whether it says that there is a danger, and not what others are worth, nor how large something is."""
        speaks = self.says_yes_or_no and not (self.quality_of or self.moves_within_ms)
        return bool(self.alarm_names) or (speaks and self.point_class is PointClass.ALARM)


SLOWEST_MS = 1_500
"""No device may be given more time to answer: three answers that fail must show within ten seconds, and until an answer can no
longer come nothing else may be asked that it could be taken for."""


class Deed(Struct, frozen=True):
    """One write that sets a device up, tests or resets it."""

    name: str
    space: Space
    address: int
    value: int | None = None
    """16 bits as on the wire; None: the person who commissions chooses between ``low`` and ``high``."""
    also: tuple[int, ...] = ()
    """What goes into the registers after it, in the same request (function 16): safety patterns."""
    function: int = 0
    """5, 6, 15 or 16; 0: 5 for a coil, 6 for a register, 16 where ``also`` is given."""
    raw: bool = False
    """FC05 with ``value`` as its 16 bits."""
    low: int = 0
    high: int = 0xFFFF
    codes: tuple[tuple[int, str], ...] = ()
    """Where the register holds a code: code -> what it stands for and a person says (``9600``)."""
    read_back: bool = True
    """Whether the register shows afterwards what was written; a command does not."""
    on_start: bool = False
    """Written by the gateway when the device is first heard and whenever it returns, not once by a person."""
    expect: str = ""
    """The point that must become true after it (self-test)."""


class Window(Struct, frozen=True):
    """Addresses of one table that the device answers for; a read must lie within one."""

    space: Space
    first: int
    last: int
    exact: bool = False
    """Only the whole of it is answered, no part."""


class SetPoints(Struct, frozen=True):
    """Where a detector of this product has to alarm, in the unit of its measured point: whoever commissions it sets it so.

    Not a fact of the manual; its bounds are the standards' (contract: low 5-25, high <= 50 %LEL).
    """

    low: float | None = None
    """The first stage; of a value that alarms ``outside``, its lower limit."""
    high: float | None = None
    """The second stage, further into the danger; of a value that alarms ``outside``, its upper limit."""


class Origin(StrEnum):
    """Where the registers of an example are from."""

    PRINTED = "printed"
    """The manual prints them, and what they mean."""
    CAPTURED = "captured"
    """Somebody recorded them from a device."""
    DESCRIBED = "described"
    """Made from the manual's description of the registers: it proves the profile true to the description, no more."""
    ASSUMED = "assumed"
    """Made from what somebody remembers: it proves nothing of the product."""


class Write(Struct, frozen=True):
    """What an example does: a point switched on or off."""

    point: str
    on: bool
    pulse_ms: int = 0
    """As of an output with a pulse of this length: by the ``flash`` of the point; 0: an output that has none."""


class Example(Struct, frozen=True):
    """Registers and what they must read as, or a write and what must go on the wire for it."""

    name: str
    mark: Mark
    words: dict[Space, dict[int, int]]
    """Table -> address -> register or bit."""
    gives: dict[str, Scalar]
    qualities: dict[str, Quality]
    origin: Origin | None = None
    """None: not stated."""
    at: str = ""
    """Page, table or address where it is printed or was captured."""
    request: bytes = b""
    answer: bytes = b""
    """Two frames as the manual prints them, with or without their CRC; ``words`` holds what they say."""
    write: Write | None = None
    """None: it reads. Else ``words`` are what is written, each coil of function 05 with its 16 bits."""

    def __hash__(self) -> int:
        """Tables have none; a profile is to be a key."""
        return hash((self.name, self.mark))


NEGATABLE = ("ex_rated", "warm_up", "self_test", "reset")
"""Keys that may say ``none``."""


PACES = ("guard", "timeout")
"""Keys by which a device is given time; where a profile has them not, its values are an assumption of ours."""


_PLACEHOLDERS = frozenset(
    {"请填写中文名称", "please fill in", "说明书名称、版本、页码或网址", "name of the manual, version, page or address"}
)
"""What `loudong profiles new` writes where the installer has to (a test takes them from its text)."""


class Profile(Struct, frozen=True):
    """One product."""

    id: str
    kind: str
    """One of ``KINDS``."""
    name_zh: str
    name_en: str
    status: str
    """manual | field | unverified"""
    source: str
    points: tuple[PointSpec, ...]
    max_read: int = 125
    """Registers (or bits x 16) in one request; Modbus itself allows 125."""
    max_hole: int = 124
    """Registers nobody asked for that may be read along to save a request, where the line makes that pay."""
    no_read: tuple[tuple[int, int], ...] = ()
    """Closed ranges of addresses that must never be read."""
    windows: tuple[Window, ...] = ()
    """Where they are given, every read lies within one."""
    bit_step: int = 1
    """Bits are asked for in multiples of this: some relays answer only a count of 8 (facts/modbus, row 24)."""
    guard_ms: int = 0
    """Least pause between two requests to this device, from its answer on."""
    min_gap_ms: int = 0
    """Least silence on the whole line before it is addressed; 0: the standard's 3.5 characters."""
    timeout_ms: int = 300
    """The slowest credible answer; no more than ``SLOWEST_MS``."""
    outstanding: int = 1
    """Requests that may be under way at once (TCP only)."""
    broadcast: bool = False
    """It obeys writes to unit 0."""
    assumed: tuple[str, ...] = ()
    """Of ``PACES`` what the profile is silent on: the value above is what is reckoned with then, and no fact of the product."""
    unit_id: int | None = None
    """The address it leaves the factory with; 0: set by switches, none; None: not known."""
    baud: int | None = None
    """As it leaves the factory, as are parity and stop bits; None: not known, or it has no serial port."""
    parity: str | None = None
    stop_bits: int | None = None
    notation: Notation = Notation.WIRE
    ex_rated: str = ""
    """Marking of what is built for explosive air (``Ex d IIC T6``)."""
    warm_up_ms: int = 0
    """After it was away: so long its quiet values prove nothing (where no status point says so itself)."""
    set_points: SetPoints | None = None
    commissioning: tuple[Deed, ...] = ()
    self_test: Deed | None = None
    reset: Deed | None = None
    """Ends a latched alarm at the device."""
    without: tuple[str, ...] = ()
    """What the manual says it has not or needs not, of ``NEGATABLE``; what is absent and not here the manual does not speak of."""
    examples: tuple[Example, ...] = ()

    @property
    def measured(self) -> PointSpec | None:
        """The point its set points are about: ``gas``, else the first whose danger has a side."""
        sided = (spec for spec in self.points if spec.alarm_when is not None)
        return next((spec for spec in self.points if spec.name == "gas"), None) or next(sided, None)

    @property
    def serial_format(self) -> dict[str, int | str]:
        """What is known of the serial format it leaves the factory with: ``{"baud": 19200, "parity": "even"}``."""
        known = {"baud": self.baud, "parity": self.parity, "stop_bits": self.stop_bits}
        return {key: value for key, value in known.items() if value is not None}

    @property
    def unfilled(self) -> tuple[tuple[str, str], ...]:
        """Fields that are still as in the template, and what stands there: its registers are invented, too."""
        said = (("name", self.name_zh), ("name", self.name_en), ("source", self.source))
        return tuple((field, given) for field, given in said if given in _PLACEHOLDERS)
