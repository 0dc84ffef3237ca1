"""What goes over the wire, as types: one CloudEvents 1.0 envelope and the data of each topic of ``loudong/v1``.

Data only. ``payloads.py`` fills these, ``schemas.py`` turns them into JSON Schema, so what is promised and what is sent
cannot drift apart. Fields are only ever added; a receiver ignores those it does not know.

Sources: CloudEvents 1.0.2, JSON format and MQTT binding (structured mode); its ``sequence`` extension (values must order
as text, hence the leading zeros).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Generic, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.alerts import ChangeKind, Condition, Grade, Priority, Response, Rung, Suppression
from gateway.events import Health, Quality, Scalar
from gateway.instant import ClockQuality

CONTENT_TYPE = "application/cloudevents+json"
VERSION = "v1"
"""Part of every topic; a change that an old receiver would misread gets a new one."""

Id = Annotated[str, Meta(pattern="^[a-z0-9-]+$")]
Time = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", description="RFC 3339, UTC")]
Seconds = Annotated[float, Meta(ge=0, description="seconds before this body was made")]
Data = TypeVar("Data")


def _means(what: str) -> Meta:
    """A description that a receiver meets in the schema; the whole is in docs/upstream.md."""
    return Meta(description=what)


class CloudEvent(Struct, Generic[Data], frozen=True, kw_only=True):
    """The envelope. ``id`` alone tells doubles; ``source`` names the gateway."""

    specversion: Literal["1.0"]
    id: Annotated[str, Meta(min_length=1)]
    source: Annotated[str, Meta(pattern="^/loudong/v1/[a-z0-9-]+/[a-z0-9-]+$")]
    type: Annotated[str, Meta(pattern="^loudong[.][a-z.-]+$")]
    subject: str
    time: Time | UnsetType = UNSET
    """When it happened; absent while the clock cannot be trusted."""
    datacontenttype: Literal["application/json"]
    sequence: Annotated[str, Meta(pattern="^[0-9]{10,}$")] | UnsetType = UNSET
    lane: Priority | UnsetType = UNSET
    """The lane in which ``sequence`` counts without a gap."""
    data: Data


class Texts(Struct, frozen=True):
    """What a person reads."""

    title: str
    text: str


class ToldRung(Struct, frozen=True):
    """A rung that was told (or passed, then ``people`` is empty). Persons are ids."""

    rung: Rung
    people: tuple[str, ...]
    because: str
    at: Time | None
    age_s: Seconds


class Reason(Struct, frozen=True, omit_defaults=True):
    """A value that speaks for the alert, with what is needed to check it by hand."""

    fact: str
    value: Scalar | None
    unit: str
    limit: Scalar | None
    quality: Quality
    at: Time | None
    age_s: Seconds
    of: str = ""
    """Whose value it is, where the alert is about a place with several."""


class Group(Struct, frozen=True):
    """By what alerts may be shown together when many come at once; each comes all the same."""

    key: str
    """Rule and building, ``gas-high@b1``."""
    open: int
    """Its open alerts after this change."""


class AlertData(Struct, frozen=True, kw_only=True):
    """An alert as it stands after one change."""

    change: ChangeKind
    alert: str
    revision: int
    rule: str
    subject: Annotated[
        str, _means("what it is about: a device, button, door, output, person, bus-…, uplink-… or worker-…")
    ]
    place: Annotated[str, _means("its path in the site file, building/stair/flat; empty where it stands nowhere")]
    priority: Priority
    grade: Grade
    condition: Condition
    response: Response
    suppression: Suppression
    latch: Annotated[bool, _means("closes only after acknowledge, return and reset by a person")]
    momentary: Annotated[
        bool, _means("an event that never returns by itself: condition stays active until a person closes it")
    ]
    silent: Annotated[bool, _means("duress: no sound, no light and no call at the place; the police, by plan")]
    drill: Annotated[bool, _means("a test: show that it is none, and treat it like any other")]
    occurrences: Annotated[int, _means("how often it came while it was open")]
    group: Group
    told: tuple[ToldRung, ...]
    """In order; of very many the first and the last."""
    told_left_out: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    """How many rungs told stand no more in ``told``; absent: none."""
    next_rung: Annotated[Rung | None, _means("who is told next if nobody answers; null: nobody")]
    why: tuple[Reason, ...]
    who: Annotated[str | None, _means("id of the person who made this change; null: it came of itself")]
    reason: Annotated[str, _means("what that person wrote, or a word for why it came of itself")]
    closed_as: Annotated[str | None, _means("resolved, mistaken or withdrawn; null: not closed")]
    occurred_at: Time | None
    changed_at: Time | None
    age_s: Seconds
    clock: ClockQuality
    boot_id: str
    run: str
    durable: Annotated[bool, _means("false: the disk refused, this is held in memory only")]
    texts: Annotated[dict[str, Texts], _means("for people, by language: zh-CN, en")]


class Presence(StrEnum):
    """Whether the gateway does its work, as it honestly knows."""

    ONLINE = "online"
    DEGRADED = "degraded"
    """It runs, but is deaf somewhere or cannot store."""
    OFFLINE = "offline"


class StatusData(Struct, frozen=True, kw_only=True):
    """The gateway as a whole; retained, and the last will."""

    state: Presence
    reason: str = ""
    deaf: dict[str, str] = {}
    """What cannot be heard, with the reason: device, bus, radio or terminal id -> reason."""
    out_of_service: dict[str, str] = {}
    """What a person has disabled or is testing, so that nobody watches there: device id -> which of both."""
    versions: dict[str, str] = {}
    clock: ClockQuality | None = None
    disk_bytes_today: int | None = None
    durable: bool | None = None
    boot_id: str = ""
    run: str = ""
    counts: dict[str, int] = {}
    """Telemetry dropped, commands refused … since the start."""


class DeviceData(Struct, frozen=True, kw_only=True):
    """One device; retained."""

    device: str
    health: Health
    reason: str
    detail: str
    place: str
    battery_pct: int | None
    changed_at: Time | None
    clock: ClockQuality


class Sample(Struct, frozen=True, kw_only=True):
    """One reading in a batch."""

    point: str
    value: Scalar | None
    quality: Quality
    unit: str = ""
    at: Time | None
    age_s: Seconds


class TelemetryData(Struct, frozen=True, kw_only=True):
    """A batch of readings of one device, oldest first."""

    device: str
    samples: tuple[Sample, ...]


class ReplyData(Struct, frozen=True, kw_only=True):
    """The answer to one command."""

    command_id: str
    accepted: bool
    reason: str
    alert: str | None
    durable: bool | None
    """Whether what the command did is on disk; None where it did nothing."""
    detail: str
    texts: dict[str, str]


AlertEvent = CloudEvent[AlertData]
StatusEvent = CloudEvent[StatusData]
DeviceEvent = CloudEvent[DeviceData]
TelemetryEvent = CloudEvent[TelemetryData]
ReplyEvent = CloudEvent[ReplyData]
