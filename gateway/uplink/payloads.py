"""From a change to the bytes that tell it: pure, so that the same change always gives the same bytes.

Here the body of every topic is built, and nothing is sent. The bytes of an alert are made once, when the change is
committed, and kept in the outbox: a repeat on the wire is byte for byte the same, and ``id`` alone tells it.

Theory of time. A body may lie in the outbox for days, so it cannot say how old it is *now*. It says the true time where
the clock is trusted, else null, and always how old the matter was when the body was made; a ``dated`` revision follows when
the clock is found. An alert may outlive its boot, and each boot has its own tie to true time, or none: every moment is dated
by the tie that holds for it, never by that of another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import UNSET, Struct, structs

from gateway.actions import Reply
from gateway.alerts import CHAIN_TEST, FLOOD, Alert, Change, ChangeKind, Priority, Told, Why, building_of
from gateway.events import Health, Quality, Scalar
from gateway.instant import Anchor, ClockQuality, Instant
from gateway.uplink import wire
from gateway.words import CATALOGUE, LANGUAGES, say

_ENCODER = msgspec.json.Encoder(order="deterministic")
_STATUS = msgspec.json.Decoder(wire.StatusEvent)
_CALLS_FOR_A_DEED = frozenset({ChangeKind.RAISED, ChangeKind.RE_ALARMED, ChangeKind.TOLD})
_OF_A_TEST = frozenset({ChangeKind.RAISED, ChangeKind.CLOSED})
_ACCOUNTED_FOR = frozenset({ChangeKind.RE_ALARMED, ChangeKind.REGRADED, ChangeKind.CLOSED})
"""Said with their reason: a drill that is none any more, one that is elsewhere, one that is withdrawn while another of the same stands."""
_TELLINGS = {"raised": "told_first", "top_again": "told_again"}
"""Why the first rung of a telling was told (``rules.ladder.Because``) -> what the message calls it; every other is a climb."""
# Seven digits and more, with blanks or hyphens between: telephones (ITU-T E.164: up to 15) and identity cards; no dates.
_NUMBER_OF_SOMEBODY = re.compile(r"(?<!\d)(?!\d{4}-\d\d-\d\d)\+?\d(?:[ -]?\d){6,}[Xx]?(?!\d)")
_SEQUENCE_DIGITS = 16  # CloudEvents sequence extension: the text must order like the number


class Wording(Struct, frozen=True):
    """The site's own names, which no catalogue knows. Names are pairs (zh-CN, en)."""

    rules: Mapping[str, tuple[str, str]] = {}
    """Rules written in the site file; built-in ones have their words in the catalogue."""
    places: Mapping[str, str] = {}
    """Place path -> its name."""
    units: Mapping[str, tuple[str, str]] = {}
    facts: Mapping[str, tuple[str, str]] = {}
    """``device.point`` -> what the residents call it."""


class Reported(Struct, frozen=True, gc=False):
    """One reading for a telemetry batch."""

    point: str
    value: Scalar | None
    quality: Quality
    at: Instant
    unit: str = ""


def topic(site: str, gateway: str, leaf: str) -> str:
    """Full topic of ``alerts``, ``devices/{device}`` …"""
    return f"loudong/{wire.VERSION}/{site}/{gateway}/{leaf}"


def source(site: str, gateway: str) -> str:
    """CloudEvents ``source`` of one gateway."""
    return f"/loudong/{wire.VERSION}/{site}/{gateway}"


def rfc3339(wall_ms: int) -> str:
    """Milliseconds since 1970 as UTC text with milliseconds."""
    whole, rest = divmod(wall_ms, 1000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


class _Times:
    """Dates moments, each by its own anchor, and tells their age."""

    def __init__(self, anchor_at: Callable[[Instant], Anchor | None], now: Instant) -> None:
        self._anchor_at, self._now = anchor_at, now

    def at(self, moment: Instant) -> str | None:
        anchor = self._anchor_at(moment)
        return None if anchor is None else rfc3339(anchor.wall_ms(moment))

    def age_s(self, moment: Instant) -> float:
        return max(0, self._now - moment) / 1000


def moments(change: Change) -> frozenset[Instant]:
    """Every moment that ``alert_body`` dates, for whoever must fix their anchors before the body is made."""
    alert = change.alert
    passed = (*(told.at for told in alert.told), *(why.at for why in alert.why))
    return frozenset((alert.opened_at, change.at, *passed))


def alert_body(
    site: str,
    gateway: str,
    change: Change,
    sequence: int,
    lane: Priority,
    *,
    anchor_at: Callable[[Instant], Anchor | None],
    boot_id: str,
    run: str,
    now: Instant,
    durable: bool,
    wording: Wording,
) -> bytes:
    """One change of one alert. ``now`` is when the body is made.

    ``anchor_at`` is asked for each of ``moments(change)``, and for no other; None where that moment cannot be dated. It must
    give the same answers for every rendering of one change. ``clock`` speaks of the moment of occurrence.
    """
    alert, times = change.alert, _Times(anchor_at, now)
    kind, occurred_at = ChangeKind(change.kind), times.at(change.alert.opened_at)
    data = wire.AlertData(
        change=kind,
        alert=alert.id,
        revision=alert.revision,
        rule=alert.rule,
        subject=alert.subject,
        place=alert.place,
        priority=alert.priority,
        grade=alert.grade,
        condition=alert.condition,
        response=alert.response,
        suppression=alert.suppression,
        latch=alert.latch,
        momentary=alert.momentary,
        silent=alert.silent,
        drill=alert.drill,
        occurrences=alert.occurrences,
        group=wire.Group(f"{alert.rule}@{building_of(alert.place)}", change.alike),
        told=tuple(_told(told, times) for told in alert.told),
        told_left_out=alert.told_left_out or UNSET,
        next_rung=alert.next_rung,
        why=tuple(_reason(why, times) for why in alert.why),
        who=change.who,
        reason=discreet(change.reason),
        closed_as=alert.closed_as,
        occurred_at=occurred_at,
        changed_at=times.at(change.at),
        age_s=times.age_s(alert.opened_at),
        clock=ClockQuality.UNSYNCED if occurred_at is None else ClockQuality.SYNCED,
        boot_id=boot_id,
        run=run,
        durable=durable,
        texts={language: _texts(change, kind, language, wording) for language in LANGUAGES},
    )
    event = wire.AlertEvent(
        specversion="1.0",
        id=f"{alert.id}/{alert.revision}",
        source=source(site, gateway),
        type=f"loudong.alert.{kind}",
        subject=alert.id,
        time=times.at(change.at) or UNSET,
        datacontenttype="application/json",
        sequence=f"{sequence:0{_SEQUENCE_DIGITS}d}",
        lane=lane,
        data=data,
    )
    return _ENCODER.encode(event)


def _told(told: Told, times: _Times) -> wire.ToldRung:
    return wire.ToldRung(told.rung, told.people, told.because, times.at(told.at), times.age_s(told.at))


def _reason(why: Why, times: _Times) -> wire.Reason:
    at, age_s = times.at(why.at), times.age_s(why.at)
    return wire.Reason(why.fact, why.value, why.unit, why.limit, why.quality, at, age_s, why.of)


def _texts(change: Change, kind: ChangeKind, language: str, wording: Wording) -> wire.Texts:
    alert = change.alert
    title = say(
        "alert.title_drill" if alert.drill else "alert.title",
        language,
        priority=say(f"priority.{alert.priority}", language),
        rule=rule_name(alert.rule, language, wording),
        place=wording.places.get(alert.place, alert.place) or alert.subject,  # a bus or an uplink stands nowhere
    )
    sentences = [
        *((say("alert.drill", language),) if alert.drill else ()),
        _change_sentence(change, kind, language),
        *(_why_sentence(why, language, wording) for why in alert.why),
        *_told_sentence(change, kind, language),
        *_flood_sentence(change, language),
        *_advice(alert, kind, language),
        say("alert.grade", language, grade=say(f"grade.{alert.grade}", language)),
    ]
    return wire.Texts(title, say("alert.between", language).join(sentences))


def _change_sentence(change: Change, kind: ChangeKind, language: str) -> str:
    """What happened. Only a climb tells the *next* rung: the foot of the ladder is told first, its top once more."""
    if change.alert.rule == CHAIN_TEST and kind in _OF_A_TEST:
        return _test_sentence(change, kind, language)
    if reason := _because(change, kind, language):
        return say(f"change.{kind}_because", language, because=reason)
    told = _told_now(change, kind)
    because = "" if not told else "top_again" if told[-1].because == "top_again" else told[0].because
    key = f"change.{_TELLINGS.get(because, kind)}"
    rungs = _rungs(told, language)
    if not rungs and key != f"change.{kind}":
        key = "change.told_nobody"
    return say(key, language, who=change.who or "-", reason=discreet(change.reason) or "-", rungs=rungs)


def _because(change: Change, kind: ChangeKind, language: str) -> str:
    """Why it alarms again, is another's matter, or has ended otherwise than as what was dealt with; empty where there is nothing to say."""
    if kind not in _ACCOUNTED_FOR:
        return ""
    ours = "" if change.who else f"because.{change.reason}"
    ended = "" if change.alert.closed_as == "resolved" else f"closed.{change.alert.closed_as}"
    key = next((key for key in (ours, ended) if key in CATALOGUE), "")
    return say(key, language) if key else ""


def _test_sentence(change: Change, kind: ChangeKind, language: str) -> str:
    """That a test of the chain begins; or how it ended, and with what result."""
    who = change.who or change.alert.answered_by
    if kind is ChangeKind.RAISED:
        key = "raised_because" if change.reason else "raised"
    elif change.who is not None:
        key = "closed"
    elif change.reason == "real_alarm":
        key = "real_alarm"
    else:
        key = "answered" if who else "unanswered"
    return say(f"test.{key}", language, who=who or "-", reason=discreet(change.reason))


def _told_now(change: Change, kind: ChangeKind) -> tuple[Told, ...]:
    """The rungs that this change told."""
    return tuple(told for told in change.alert.told if kind is ChangeKind.TOLD and told.at == change.at)


def _rungs(told: Iterable[Told], language: str) -> str:
    """Those with somebody on them, each once: one shelved and taken back for months was told hundreds of times."""
    names = dict.fromkeys(say(f"rung.{one.rung}", language) for one in told if one.people)
    return say("alert.comma", language).join(names)


def discreet(written: str) -> str:
    """What a person wrote, without numbers by which somebody can be rung or looked up; the alert's own history keeps them."""
    return _NUMBER_OF_SOMEBODY.sub("…", written)


def rule_name(rule: str, language: str, wording: Wording) -> str:
    """What people call a rule: the site's own name, else the catalogue's."""
    return _own(wording.rules, rule, language) or say(f"rule.{rule}", language)


def _why_sentence(why: Why, language: str, wording: Wording) -> str:
    unit = _own(wording.units, why.unit, language) or why.unit
    fields = {
        "fact": _own(wording.facts, why.fact, language) or _said("point", why.fact, language),
        "value": _shown(why.value, language),
        "limit": _shown(why.limit, language),
        "quality": say(f"quality.{why.quality}", language),
        "unit": f" {unit}" if unit else "",
    }
    if why.value is None:
        return say("alert.why_quality", language, **fields)
    return say("alert.why" if why.limit is None else "alert.why_limit", language, **fields)


def _advice(alert: Alert, kind: ChangeKind, language: str) -> list[str]:
    """What to do first, while there is something to do."""
    key = f"advice.{alert.rule}"
    return [say(key, language)] if key in CATALOGUE and kind in _CALLS_FOR_A_DEED else []


def _flood_sentence(change: Change, language: str) -> list[str]:
    key = "alert.flood" if change.alert.place else "alert.flood_nowhere"
    return [say(key, language, count=change.alike)] if change.alike > FLOOD else []


def _told_sentence(change: Change, kind: ChangeKind, language: str) -> list[str]:
    """Whom it was told so far, where that is more than what this change says already."""
    alert = change.alert
    rungs, left_out = _rungs(alert.told, language), alert.told_left_out
    if not rungs or (not left_out and alert.told == _told_now(change, kind)):
        return []
    return [say("alert.told_left_out" if left_out else "alert.told", language, rungs=rungs, count=left_out)]


def _own(names: Mapping[str, tuple[str, str]], key: str, language: str) -> str:
    pair = names.get(key)
    return "" if pair is None else pair[0 if language == LANGUAGES[0] else 1]


def _shown(value: Scalar | None, language: str) -> str:
    if isinstance(value, bool):
        return say("value.true" if value else "value.false", language)
    return f"{value:.6g}" if isinstance(value, float) else _said("value", str(value), language)


def _said(family: str, name: str, language: str) -> str:
    """A name from a device or the site in the catalogue's words, or as it is."""
    key = f"{family}.{name}"
    return say(key, language) if key in CATALOGUE else name


def status_body(site: str, gateway: str, message_id: str, status: wire.StatusData, wall_ms: int | None) -> bytes:
    """The gateway as a whole. ``message_id`` must be new for each body; ``wall_ms`` None while the clock is not trusted."""
    return _ENCODER.encode(
        wire.StatusEvent(
            specversion="1.0",
            id=f"status/{message_id}",
            source=source(site, gateway),
            type=f"loudong.status.{status.state}",
            subject=gateway,
            time=UNSET if wall_ms is None else rfc3339(wall_ms),
            datacontenttype="application/json",
            data=status,
        )
    )


def shortened(status: bytes) -> bytes:
    """The same status for a broker that takes no long messages: what is listed or counted is left out, and that it was."""
    event = _STATUS.decode(status)
    data = wire.StatusData(
        state=event.data.state,
        reason=event.data.reason or "shortened",
        clock=event.data.clock,
        disk_bytes_today=event.data.disk_bytes_today,
        durable=event.data.durable,
        boot_id=event.data.boot_id,
        run=event.data.run,
    )
    return _ENCODER.encode(structs.replace(event, data=data))


def device_body(
    site: str,
    gateway: str,
    message_id: str,
    device: str,
    *,
    health: Health,
    reason: str = "",
    detail: str = "",
    place: str = "",
    battery_pct: int | None = None,
    changed_wall_ms: int | None = None,
) -> bytes:
    """Health and battery of one device; ``changed_wall_ms`` None where it cannot be dated."""
    at = None if changed_wall_ms is None else rfc3339(changed_wall_ms)
    clock = ClockQuality.UNSYNCED if at is None else ClockQuality.SYNCED
    return _ENCODER.encode(
        wire.DeviceEvent(
            specversion="1.0",
            id=f"device/{device}/{message_id}",
            source=source(site, gateway),
            type="loudong.device.health",
            subject=device,
            time=at or UNSET,
            datacontenttype="application/json",
            data=wire.DeviceData(
                device=device,
                health=health,
                reason=reason,
                detail=detail,
                place=place,
                battery_pct=battery_pct,
                changed_at=at,
                clock=clock,
            ),
        )
    )


def telemetry_body(
    site: str,
    gateway: str,
    message_id: str,
    device: str,
    readings: Sequence[Reported],
    *,
    anchor: Anchor | None,
    now: Instant,
) -> bytes:
    """A batch of readings of one device, oldest first; all of the running boot, so one anchor dates them."""
    times, samples, last, at, age_s = _Times(lambda _: anchor, now), [], None, None, 0.0
    for reading in readings:
        if reading.at != last:  # all points of one answer have the same
            last, at, age_s = reading.at, times.at(reading.at), times.age_s(reading.at)
        samples.append(
            wire.Sample(
                point=reading.point, value=reading.value, quality=reading.quality, unit=reading.unit, at=at, age_s=age_s
            )
        )
    return _ENCODER.encode(
        wire.TelemetryEvent(
            specversion="1.0",
            id=f"telemetry/{device}/{message_id}",
            source=source(site, gateway),
            type="loudong.telemetry.batch",
            subject=device,
            time=times.at(now) or UNSET,
            datacontenttype="application/json",
            data=wire.TelemetryData(device=device, samples=tuple(samples)),
        )
    )


def reply_body(site: str, gateway: str, reply: Reply, *, durable: bool | None, detail: str = "") -> bytes:
    """The answer to a command; the same bytes for every repeat of it.

    ``durable`` is None for a command that was refused before it reached the core. ``detail`` never quotes what was sent.
    """
    return _ENCODER.encode(
        wire.ReplyEvent(
            specversion="1.0",
            id=f"reply/{reply.principal}/{reply.command_id}/{reply.reason}",
            source=source(site, gateway),
            type="loudong.reply.accepted" if reply.accepted else "loudong.reply.refused",
            subject=reply.command_id,
            datacontenttype="application/json",
            data=wire.ReplyData(
                command_id=reply.command_id,
                accepted=reply.accepted,
                reason=reply.reason,
                alert=reply.alert,
                durable=durable,
                detail=detail,
                texts={language: say(f"answer.{reply.reason}", language) for language in LANGUAGES},
            ),
        )
    )
