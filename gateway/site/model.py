"""The compound as the site file describes it, typed and checked: places, people, devices, outputs, uplinks.

Data only. ``reading.py`` makes it from YAML; ``app`` hands each room its own part. Ids are ``[a-z0-9-]+``; every thing keeps
the mark of the line it came from, so that a fault found later (by a rule, by a room) can still point there.
"""

from __future__ import annotations

import unicodedata
from enum import StrEnum

from msgspec import Struct

from gateway.alerts import Priority, Rung
from gateway.instant import DAY, HOUR
from gateway.nodes import Mark, Node
from gateway.site.mapping import DoorMapping
from gateway.site.profile import Profile


class Place(Struct, frozen=True):
    """``building``, ``building/stair``, ``building/stair/flat``, or a named public place."""

    path: str
    name: str
    tags: tuple[str, ...] = ()

    @property
    def building(self) -> str:
        """First part of the path."""
        return self.path.split("/")[0]


class Consent(Struct, frozen=True):
    """What somebody agreed to, recorded where it takes effect (PIPL art. 29; facts/face 5: separate consent, record of processing)."""

    purpose: str = ""
    """In words, as it was put to the person."""
    consent: str = ""
    """Date of the consent, ``YYYY-MM-DD``."""


class PlannedLeave(Struct, frozen=True):
    """Days on which somebody is known to be away, by the site's own calendar."""

    start: str = ""
    """``YYYY-MM-DD``, or with ``Thh:mm``."""
    until: str = ""
    """Here again from then on."""


class Person(Struct, frozen=True):
    """Somebody who answers alerts, or whom one looks after, by an id that is no name."""

    id: str
    roles: tuple[str, ...] = ("answer",)
    """answer (ack, close, silence, reset) | shelve; who is under care has none unless they are written down."""
    login: str = ""
    """Local user whose commands count as this person's (unix(7), SO_PEERCRED)."""
    place: str = ""
    """Under care: where alerts about the person lead."""
    tags: tuple[str, ...] = ()
    pseudonyms: dict[str, str] = {}
    """Enrolment group of terminals -> pseudonym there (``loudong pseudonym GROUP``)."""
    signs: tuple[str, ...] = ()
    """``device.point``: a change of its value is a sign of life."""
    care: dict[str, Consent] = {}
    """Rule -> the person's consent to it. Without one, no rule looks at the person."""
    away: tuple[PlannedLeave, ...] = ()
    mark: Mark = Mark("", 0)


class Grid(Struct, frozen=True):
    """Who stands on which rung, and how long each is waited for."""

    building: dict[str, tuple[str, ...]]
    """Building -> person ids."""
    grid: dict[str, tuple[str, ...]]
    community: tuple[str, ...]
    street: tuple[str, ...]
    district: tuple[str, ...]
    ladder: dict[Priority, dict[Rung, int | None]]
    """Delay in ms from the raise; None: never told."""
    building_ladders: dict[str, dict[Priority, dict[Rung, int | None]]]
    answer_by: dict[Priority, int]
    """Second deadline after an acknowledgement, ms."""


class ModbusDevice(Struct, frozen=True):
    """One slave on a bus."""

    id: str
    profile: Profile
    unit_id: int
    place: str
    mark: Mark
    tags: tuple[str, ...] = ()
    max_age_ms: int = 180_000
    """An alarm point the core has not heard of for this long is a fault by itself (the poller itself reports a silent
    device within 10 s; this catches a silent poller)."""


class Framing(StrEnum):
    """How frames lie in the bytes of a connection."""

    RTU = "rtu"
    """As on a serial line: unit, PDU, CRC. Converters that only pass bytes on."""
    TCP = "tcp"
    """With the header of Modbus TCP."""


class Bus(Struct, frozen=True):
    """One RS-485 line behind a serial port, one TCP endpoint that we dial, or one that dials in to us."""

    id: str
    mark: Mark
    devices: tuple[ModbusDevice, ...]
    port: str = ""
    """Path of a serial port, or a pattern that fits one; empty for TCP."""
    host: str = ""
    tcp_port: int = 502
    listen: int = 0
    """TCP port on which the device dials in; 0: it does not."""
    address: str = "0.0.0.0"
    """Where ``listen`` listens."""
    dials_from: str = ""
    """The only IP address that may dial in; empty: any."""
    registration: bytes = b""
    """First bytes of whoever dials in."""
    heartbeat: bytes = b""
    """Bytes it sends between answers to keep its connection."""
    framing: Framing | None = None
    """None: RTU for a serial port, else TCP."""
    latency_ms: int = 0
    """What the network before the line may add to each answer."""
    reply_ms: float = 0.0
    """What a device usually takes to answer, beside its bytes and ``latency_ms``; 0: nobody said so."""
    turnaround_ms: int = 200
    """How long the line rests after a broadcast (Serial Line 2.4.1: 100 to 200 ms)."""
    line_behind: bool = False
    """A Modbus TCP gateway with an RS-485 line behind it, whose format is stated."""
    baud: int = 9600
    data_bits: int = 8
    parity: str = "none"
    """none | even | odd"""
    stop_bits: int = 1

    @property
    def end(self) -> str:
        """Where it is to be had: what no two buses share, whatever they are called; empty where the site file does not say."""
        if self.listen:
            return f"{self.listen} {self.dials_from} {self.registration.hex()}"
        return self.port or (f"{self.host}:{self.tcp_port}" if self.host else "")

    @property
    def speaks(self) -> Framing:
        """The framing on its wire."""
        return self.framing or (Framing.RTU if self.port else Framing.TCP)

    @property
    def serial(self) -> bool:
        """Whether there is an RS-485 line in RTU framing, whose speed counts."""
        return self.speaks is Framing.RTU

    @property
    def char_s(self) -> float:
        """How long one character takes on its line."""
        return (1 + self.data_bits + self.stop_bits + (self.parity != "none")) / self.baud


class Sign(Struct, frozen=True):
    """How a beacon's frame looks, as far as somebody said so; which fields count depends on the button's format."""

    uuid: str = ""
    """iBeacon: proximity UUID, 32 hex digits and hyphens."""
    major: int | None = None
    minor: int | None = None
    namespace: str = ""
    """Eddystone UID: 20 hex digits."""
    instance: str = ""
    """Eddystone UID: 12 hex digits."""
    url: str = ""
    """Eddystone URL, as text."""
    service: str = ""
    """Service data: UUID of 4 hex digits, or a full one."""
    company: str = ""
    """Manufacturer data: company of 4 hex digits."""
    at: int = 0
    """flag: which byte, from 0."""
    data: str = ""
    """Hex digits."""
    mask: str = ""
    """Hex digits; a set bit counts."""


class Button(Struct, frozen=True):
    """One panic button."""

    id: str
    address: str
    """Bluetooth address, upper case with colons."""
    place: str
    mark: Mark
    format: str = "bthome"
    """bthome | mibeacon | ibeacon | eddystone | flag | learned | gatt"""
    key_file: str = ""
    """Bind key, 32 hex digits, in a file of its own; empty: the button sends in clear."""
    heartbeat_ms: int = 0
    """How often it is heard from when nobody presses; 0: never, then it is not supervised."""
    pressed: Sign | None = None
    """A beacon's frame while somebody presses."""
    idle: Sign | None = None
    """A beacon's frame while nobody does."""
    until: str = ""
    """A press without counter goes on until its frame was silent for ``hold_ms`` (silence), or until the idle one (idle)."""
    hold_ms: int = 0
    """Silence after which such a button may press anew; 0: as ``until`` has it."""
    characteristic: str = ""
    """gatt: what notifies of a press; 4 hex digits or a full UUID."""
    meanings: dict[str, str] = {}
    """Press kind -> other meaning than SOS; ``ignore`` is the only one today."""
    tags: tuple[str, ...] = ()


class Radio(Struct, frozen=True):
    """The Bluetooth side of the gateway."""

    adapters: tuple[str, ...] = ()
    """Adapter names or addresses; empty: the first one BlueZ has."""
    silence_ms: int = 60_000
    """No advertisement of anybody for this long: the scanner is deaf."""
    scan: str = "active"
    """active | passive"""


PUSH, STREAM = "push", "stream"
"""How a terminal's events reach us: it sends them, or we hold a connection open on which it does."""


class History(Struct, frozen=True):
    """The login with which the gateway asks a terminal: for its own log, its settings, its stream of events."""

    username: str
    password_file: str
    ca_file: str = ""
    """With ``https``: the terminal's own certificate, or that of who signed it; empty: any is believed (warned of)."""


class Door(Struct, frozen=True):
    """One face terminal."""

    id: str
    vendor: str
    place: str
    mark: Mark
    address: str = ""
    """IP address its pushes come from; empty: any (warned of)."""
    token_file: str = ""
    """Secret part of its push path."""
    serial: str = ""
    """Device serial or MAC, where it must match."""
    direction: str = "unknown"
    """in | out | unknown: the terminal itself does not say."""
    enrolment: str = "default"
    """Terminals of one group share their person ids, so one person has one pseudonym at all of them."""
    heartbeat_ms: int = 30_000
    timezone: str = ""
    tags: tuple[str, ...] = ()
    pairing: bool = False
    """Only a device that was paired (or is named by ``serial``) may speak."""
    username: str = ""
    """HTTP digest login that the terminal must give with every push; empty: none is asked for."""
    password_file: str = ""
    history: History | None = None
    """None: the terminal is never asked."""
    transport: str = PUSH
    """push | stream"""
    mapping: DoorMapping | None = None
    """With vendor ``generic``: how its bodies are read."""
    http_port: int = 80
    """Of the terminal's own HTTP server."""
    https: bool = False

    @property
    def is_slow(self) -> bool:
        """Whether it may be silent for so long that we start anew in between: then its silence is counted over our starts."""
        return self.heartbeat_ms >= HOUR


BEAT = "beat"
"""Point of a slow door: heard, whatever it said."""


class Output(Struct, frozen=True):
    """A siren, valve or fan behind a relay."""

    id: str
    kind: str
    """siren | valve | fan"""
    device: str
    point: str
    place: str
    mark: Mark
    serves: tuple[str, ...]
    """Places whose alerts it answers to."""
    rules: tuple[str, ...] = ()
    """Rules it answers to; empty: those of its kind."""
    feedback: str = ""
    """``device.point`` that proves the state; empty: the coil is read back."""
    feedback_means: str = ""
    """State (shut, on) that a true feedback proves."""
    ex_rated: bool = False
    confirm_ms: int = 5_000
    pulse_ms: int = 0
    """It is switched on by a pulse of so long that its relay board ends by itself; 0: it is switched on and off."""
    latching: bool = False
    """A valve that stays as a pulse has put it; one that its spring brings back would open again at the end of the pulse."""
    momentary: bool = False
    """A valve on a pulse, which does the deed for good and ends by itself: the coil says nothing of the state (from the profile)."""
    unread: bool = False
    """Nothing shows that its relay took what was written: only a feedback proves it (from the profile)."""
    renewed: bool = False
    """Its relay lets go unless it is written again in time: seen on, it may be at the end of its last pulse (from the profile)."""
    opens: bool = False
    """A valve whose point opens it: a fault that a start tolerates, so it is never written (from the profile)."""


class Broker(Struct, frozen=True):
    """Where an MQTT broker listens."""

    host: str
    port: int = 0
    """0: the uplink's own."""


class Uplink(Struct, frozen=True):
    """One receiver's broker; several addresses stand for each other, the first is preferred."""

    id: str
    hosts: tuple[Broker, ...]
    mark: Mark
    port: int = 1883
    protocol: str = "5"
    """5 | 3.1.1"""
    tls: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    username: str = ""
    password_file: str = ""
    principals: dict[str, tuple[str, ...]] = {}
    """Who may command through this broker -> verbs."""
    keepalive_s: int = 30

    @property
    def brokers(self) -> tuple[Broker, ...]:
        """Every address with its port, in order of preference."""
        return tuple(Broker(broker.host, broker.port or self.port) for broker in self.hosts)


class Listener(Struct, frozen=True):
    """Where door terminals push to."""

    host: str = "0.0.0.0"
    port: int = 8099


class Retention(Struct, frozen=True):
    """How long what is kept, on the site timeline, and how much at most."""

    telemetry_ms: int = 90 * DAY
    telemetry_mb: int = 200
    journal_ms: int = 30 * DAY
    """What happened, event by event; with it every trace of who passed which door."""
    closed_ms: int = 730 * DAY
    """Closed alerts with their histories. Open and undelivered ones are kept for ever."""
    store_mb: int = 500
    """Of the database of alerts; beyond it the journal gives way first."""


class Site(Struct, frozen=True):
    """The whole compound."""

    id: str
    gateway: str
    name: str
    timezone: str
    language: str
    mark: Mark
    places: dict[str, Place]
    people: dict[str, Person]
    grid: Grid
    buses: dict[str, Bus]
    radio: Radio
    buttons: dict[str, Button]
    listener: Listener
    doors: dict[str, Door]
    outputs: dict[str, Output]
    uplinks: dict[str, Uplink]
    retention: Retention
    rules: tuple[Node, ...]
    """Rule nodes in file order, built-ins first; ``gateway/rules/language.py`` understands them."""
    builtin: dict[str, Node]
    """Changes to built-in rules, by name."""
    fingerprint: str
    """Hash of all files read."""
    sources: dict[str, str] = {}
    """Each of them, with the SHA-256 of what was in it."""
    secret_lines: dict[str, Mark] = {}
    """``sos-301.key_file``, ``gate-1.history.password_file`` -> where it is written."""

    def full_name(self, path: str) -> str:
        """A place as people find it: ``1号楼1单元301室``, ``House 1 Stair 1 Flat 101``.

        One flat's own name is that of six in six buildings.
        """
        parts = path.split("/")
        wholes = ("/".join(parts[: n + 1]) for n in range(len(parts)))
        name = ""
        for own in (self.places[whole].name for whole in wholes if whole in self.places):
            close = not name or any(unicodedata.east_asian_width(one) in "WF" for one in (name[-1], own[0]))
            name += own if close else f" {own}"
        return name or path
