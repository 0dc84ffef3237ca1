"""What happened: the only things that enter the core.

An event is a frozen fact about the world, already decoded and checked by the driver that reports it; it never says
what the fact means. The inbox wraps it once in ``Stamped`` (when, and which), and from then on it is journalled,
replayed and cited as the cause of alerts. Constructors check nothing, so codecs must: a value that is not finite never
becomes a ``Reading`` but a ``Quality``.

Journal and wire tolerate unknown fields, so that a new gateway reads an old journal and the reverse.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from gateway.instant import MINUTE, ClockQuality, Instant

Scalar = bool | int | float | str


class Quality(StrEnum):
    """How far a value may be believed (facts/modbus: every value has a time and a quality)."""

    GOOD = "good"
    WARM_UP = "warm_up"
    """The device still heats or settles: an alarming value counts, a quiet one proves nothing."""
    SENSOR_FAULT = "sensor_fault"
    OVER_RANGE = "over_range"
    """Beyond the measuring range: *above* every limit, never "no value"."""
    UNDER_RANGE = "under_range"
    INVALID = "invalid"
    """The device answered with something that is no value (sentinel, NaN, impossible number)."""
    OUT_OF_SERVICE = "out_of_service"
    """Disabled, isolated or set up by a person at the device."""
    UNDER_TEST = "under_test"
    """The device is being tested or calibrated by a person: what it alarms may be that person's doing."""
    COMMS = "comms"
    """The device did not answer."""


class Health(StrEnum):
    """State of a device, bus, radio, terminal or store as a whole."""

    OK = "ok"
    FAULTY = "faulty"
    LOST = "lost"
    OUT_OF_SERVICE = "out_of_service"
    """It answers, and says that a person has disabled it or is testing it (the reason says which)."""


class PressKind(StrEnum):
    """How a button was pressed (contract: every kind is SOS unless the site file gives another meaning)."""

    SINGLE = "single"
    DOUBLE = "double"
    TRIPLE = "triple"
    LONG = "long"
    HOLD = "hold"
    RELEASE = "release"
    OTHER = "other"
    """A press whose code no document names: an alarm all the same (facts/ble 1.4 rule 6)."""


class Verb(StrEnum):
    """What a person or the upstream may ask for (contract: topics, commands)."""

    ACK = "ack"
    CLOSE = "close"
    RESET = "reset"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    SILENCE = "silence"
    AWAY = "away"
    """Somebody under care is away for a time, or is back."""
    TEST = "test"
    """A drill of the whole chain, from here to whoever answers; nothing is to be done but answer it."""
    DUTY_CHECK = "duty-check"
    REENROL = "reenrol"
    """A button's battery was changed: its counter begins anew, and old frames are believed once more."""
    PAIR = "pair"
    """A terminal is new at its door: for a while the door learns which device it is."""


UPSTREAM_VERBS = tuple(verb for verb in Verb if verb is not Verb.PAIR)
"""What an upstream may be allowed to ask for: who pairs a terminal stands before it."""


class Boot(Struct, frozen=True, tag_field="event", tag="boot"):
    """The daemon started. Rides first in every run's journal."""

    run: str
    """Name of this run of the process, never used twice by one gateway."""
    boot_id: str
    clock: ClockQuality
    downtime_ms: int | None
    """How long nobody listened; None where no trusted clock can tell."""
    offset_ms: int | None
    """Anchor of the timeline where the wall clock is synchronised, else None."""
    version: str
    losses: int = 0
    """More than at the boot before: what the store held, and perhaps told, may be lost."""
    missed_ms: int = 0
    """How much of the timeline went by without this core: the downtime, or so much of an unknown one as a run without its disk was
    there to count (``app/late.py``)."""


class ClockSynced(Struct, frozen=True, tag_field="event", tag="clock_synced"):
    """The wall clock became trustworthy, or a trusted clock was corrected: true time is ``instant + offset_ms``."""

    offset_ms: int


class SiteLoaded(Struct, frozen=True, tag_field="event", tag="site_loaded"):
    """The rules and devices from here on are those of the site file with this fingerprint."""

    fingerprint: str


class Reading(Struct, frozen=True, tag_field="event", tag="reading", gc=False):
    """One point of one device: a value in the point's unit, reported by exception."""

    device: str
    point: str
    value: Scalar | None
    quality: Quality = Quality.GOOD


class Press(Struct, frozen=True, tag_field="event", tag="press"):
    """Somebody pressed a panic button: exactly one for each press of which a frame reached us."""

    button: str
    kind: PressKind
    key: str = ""
    """Natural key of this press (counter, packet id with its window); empty where the button gives none."""
    index: str = "1"
    """Which key of a button with several, from 1."""
    counter: int | None = None
    packet_id: int | None = None
    digest: str = ""
    """Fingerprint of the frame, so that the tracker knows it again after a restart."""
    encrypted: bool = False
    late: bool = False
    """Found in the radio's memory at start: pressed while nobody listened."""
    suspect: str | None = None
    """Named reason to doubt it (an old counter: replay or battery swap). It alarms all the same, and says so."""
    rssi_dbm: int | None = None


ENTRY_TYPES = frozenset(
    [
        *(f"access.{what}" for what in ("granted", "denied", "verify_request", "face_match", "unknown")),
        *(f"door.{what}" for what in ("unlocked", "locked", "opened", "closed", "forced", "held_open")),
        *(f"door.{what}" for what in ("held_open_cleared", "exit_button", "exit_button_released", "remote_open")),
        *(f"door.{what}" for what in ("unlock_fault", "bell")),
        *(f"alarm.{what}" for what in ("tamper", "tamper_cleared", "duress", "attempt_limit", "blocklist")),
        *(f"alarm.{what}" for what in ("tailgating", "fire", "fire_cleared")),
        *(f"device.{what}" for what in ("power_on", "network_lost", "network_back", "clock_set")),
        *(f"device.{what}" for what in ("log_nearly_full", "heartbeat", "other")),
    ]
)
"""Every ``Entry.type`` an adapter may report (facts/face 2.1, and ``alarm.fire_cleared`` for codes 1/1047, 1/1049)."""


class Entry(Struct, frozen=True, tag_field="event", tag="entry"):
    """What a door terminal saw, vendor and person already stripped (facts/face 2.1).

    No name, number, picture or feature exists here on purpose.
    """

    terminal: str
    type: str
    """One of ``ENTRY_TYPES``."""
    key: str
    """Natural key of the occurrence: the same for every resend of it."""
    code: str
    door: str | None = None
    direction: str = "unknown"
    subject: str = "unknown"
    """known | stranger | blocklisted | unknown"""
    person: str | None = None
    """Pseudonym, HMAC of the raw id; the raw id never leaves the adapter."""
    credential: str = "unknown"
    seq: int | None = None
    prev_seq: int | None = None
    live: bool = True
    """False for a replay or a resend from the terminal's log: recorded, never acted on."""
    terminal_time_ms: int | None = None
    time_quality: str = "received"
    reason: str | None = None
    liveness: str = "unknown"
    mask: str = "unknown"
    anomalies: tuple[str, ...] = ()


class SequenceGap(Struct, frozen=True, tag_field="event", tag="sequence_gap"):
    """Serial numbers of a terminal that never came, or (``open`` false) about which its own log has now been asked.

    While a gap is open nobody can say what happened at that door: an absence there proves nothing.
    """

    terminal: str
    first: int
    """First and last missing serial number, both inclusive; a gap is closed under the ``first`` it was opened with."""
    last: int
    open: bool = True
    reason: str = ""
    """How it ended: ``recovered`` (its entries came, not live), ``absent`` (the terminal's log holds none), ``given_up``."""


class Paired(Struct, frozen=True, tag_field="event", tag="paired"):
    """A terminal was learnt in a window that a person had opened: from here on no other device speaks for this door. Or the one that
    the site file names was heard there for the first time.
    """

    terminal: str
    device: str
    """Its MAC or serial number, lower case, letters and digits only."""
    named: bool = False
    """By the site file, which alone says who may speak: nothing was learnt."""


class DeviceHealth(Struct, frozen=True, tag_field="event", tag="device_health"):
    """A device, bus, radio, terminal, uplink or the store changed its health."""

    device: str
    health: Health
    reason: str = ""
    """A named reason, key of the word catalogue: ``timeout``, ``port_gone``, ``scanner_silent`` …"""
    detail: str = ""


COMMAND_FRESH_MS = 5 * MINUTE
"""How old an order may be when it comes (contract: stale commands are refused). It bridges a reconnect, not an outage."""
COMMAND_AHEAD_MS = 1 * MINUTE
"""How far in the future it may be dated: two clocks that both call themselves right differ by less."""


class Command(Struct, frozen=True, tag_field="event", tag="command"):
    """A person, here or upstream, wants something done. Authenticated and well-formed; not yet authorised."""

    command_id: str
    principal: str
    """By which door it came: ``local`` or the uplink's principal."""
    who: str
    verb: Verb
    alert: str | None = None
    reason: str = ""
    for_ms: int | None = None
    """Duration of a shelving, a leave or a test, or of a pairing window."""
    on_site: bool = False
    """With ack: the person stands there already."""
    mistaken: bool = False
    """With close: a named person spoke to the resident, it was no emergency."""
    button: str = ""
    """With reenrol."""
    resident: str = ""
    """With away: who; ``for_ms`` says how long."""
    back: bool = False
    """With away: here again."""
    door: str = ""
    """With pair."""
    target: str = ""
    """With test: a place, or somebody or something the site file names; empty: the whole compound."""
    priority: str = ""
    """With test."""
    up_to: str = ""
    """With test: the last rung it may climb to; empty: the lowest one on which somebody stands."""
    issued_at_ms: int | None = None
    """When the upstream says it was given, ms since 1970; None for those given here."""


class CommandRefused(Struct, frozen=True, tag_field="event", tag="command_refused"):
    """Something came as a command and was not let through: for the journal, so that attempts can be read later."""

    uplink: str
    """``local``: it came over the control socket."""
    principal: str
    """As the topic names it, if the site file knows it; else empty. With ``local`` that of the login."""
    reason: str
    """A ``Refusal``; of the control socket only ``too_many`` is written down."""
    verb: str = ""
    who: str = ""
    command_id: str = ""
    times: int = 1
    """How often this principal was refused for this reason since the last such entry."""


UNPROVEN = "unproven"
"""Reason of an output that was written, and the device took it; but it is a relay that is never read, and nothing can show more."""


class Actuated(Struct, frozen=True, tag_field="event", tag="actuated"):
    """What an output did, read back from the device."""

    output: str
    wanted: str
    actual: str | None
    """State read back; None where it cannot be read."""
    confirmed: bool
    reason: str = ""


class Receipt(Struct, frozen=True, tag_field="event", tag="receipt"):
    """The upstream says it has taken a message."""

    uplink: str
    message_id: str
    system: str
    received_at: str = ""


Event = (
    Boot
    | ClockSynced
    | SiteLoaded
    | Reading
    | Press
    | Entry
    | SequenceGap
    | Paired
    | DeviceHealth
    | Command
    | CommandRefused
    | Actuated
    | Receipt
)


class Stamped(Struct, frozen=True, gc=False):
    """An event with its place on the timeline, given once by the inbox."""

    at: Instant
    """Never less than that of the event before."""
    id: str
    """``{run}.{n}``: never used twice by one gateway."""
    event: Event
