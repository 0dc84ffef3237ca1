"""From the site file's devices to the core's subjects: the one translation between ``site`` and ``rules``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.alerts import Rung
from gateway.app.left_on import places
from gateway.app.local_time import wall_ms
from gateway.instant import DAY, MINUTE
from gateway.nodes import Faults, nearest
from gateway.rules.bare import bare
from gateway.rules.choosing import PERSON
from gateway.rules.compound import (
    BY_HAND,
    CLOCK,
    CONFIRMED,
    DOOR,
    GAP,
    HEALTH,
    HEARD,
    HELD,
    STORE,
    SYNCED,
    Care,
    Compound,
    FactSpec,
    GridPlan,
    OutputSpec,
    Rule,
    Subject,
)
from gateway.rules.language import compile_rules
from gateway.rules.outputs import moves
from gateway.rules.terminals import UNPROVEN
from gateway.site.model import BEAT, STREAM, Bus, Button, Door, Grid, ModbusDevice, Output, Person, Site
from gateway.site.profile import PointClass

PRESSED = "pressed"
"""Fact of a button without counter: it is pressed right now."""
QUIET = "quiet"
"""Fact of a button: silent for much longer than it usually is."""
OVERLOADED = "overloaded"
"""Fact of a bus: it leaves out too many of its turns."""
SITE_HEALTH = "worker-site"
"""The site file as a part of the gateway: it ails where a start had to tolerate its faults."""
HEARTBEATS_MISSED = 3
LONGEST_HEARD_MS = DAY
"""A button is missing after three of its heartbeats, and after a day at the latest (facts/ble 6)."""
_HEALTH = {HEALTH: FactSpec(), "reason": FactSpec()}
_DEVICE = _HEALTH | {BY_HAND: FactSpec()}
BUILTIN = Path(__file__).parents[1] / "rules" / "builtin.yaml"
_OURS = frozenset({"bus", "radio", "uplink", "worker"})
"""Kinds of subjects that no installer names: their ids are made from others."""
_ZONE_YEARS = (2020, 2051)
"""Fixed, so that no clock is asked: a gateway that boots in 1970 must still know the summer time of today."""


def compound_of(site: Site, faults: Faults) -> Compound:
    """The compound as the core sees it. Faults of the rules are added to ``faults``."""
    zone = zone_offsets(site.timezone)
    subjects = {subject.id: subject for subject in (*_subjects(site), *_people(site, zone))}
    rules = compile_rules(site.rules, site.builtin, subjects, faults)
    _check_ids(site, faults)
    _check_outputs(site, rules, faults)
    _check_consents(site, faults)
    return Compound(
        site=site.id,
        fingerprint=site.fingerprint,
        subjects=subjects,
        outputs=_outputs(site),
        rules=rules,
        grid=_grid(site.grid),
        roles={person.id: person.roles for person in site.people.values()},
        zone=zone,
        principals=frozenset(name for uplink in site.uplinks.values() for name in uplink.principals),
    )


def life_safety_alone(site: Site, compound: Compound) -> Compound:
    """The compound with the built-in life-safety rules as they were shipped, and all others unasked."""
    shipped = [node for node in site.rules if node.mark.file == str(BUILTIN)]
    return bare(compound, compile_rules(shipped, {}, compound.subjects, Faults()))


def _check_ids(site: Site, faults: Faults) -> None:
    """What is called as a bus, a radio, an uplink or a part of the gateway is called in events would take its place, or it that one's."""
    ours = {subject.id for subject in _subjects(site) if subject.kind in _OURS}
    devices = [device for bus in site.buses.values() for device in bus.devices]
    named: list[ModbusDevice | Button | Door | Output | Person] = [
        *devices,
        *site.buttons.values(),
        *site.doors.values(),
    ]
    for thing in [*named, *site.outputs.values(), *site.people.values()]:
        if thing.id in ours:
            faults.add(thing.mark, "fault.id_ours", name=thing.id)


def _check_outputs(site: Site, rules: Mapping[str, Rule], faults: Faults) -> None:
    """An output may be tied to rules by name; the name must be one that can drive its kind."""
    for output in site.outputs.values():
        able = [rule.id for rule in rules.values() if moves(rule, output.kind)]
        for name in output.rules:
            if name not in able:
                near, allowed = nearest(name, able), " | ".join(able)
                faults.add(output.mark, "fault.rule_drives_not", name=output.id, given=name, near=near, allowed=allowed)


def _check_consents(site: Site, faults: Faults) -> None:
    """A consent to a rule that is not there would be kept for nothing, and the person not looked after."""
    names = [str(node.mapping["rule"].value) for node in site.rules if "rule" in node.mapping]
    for person in site.people.values():
        for name in person.care:
            if name not in names:
                near = nearest(name, names)
                faults.add(person.mark, "fault.consent_to_nothing", name=person.id, given=name, near=near)


def bus_subject(bus: str) -> str:
    """What a bus is called in events and alerts."""
    return f"bus-{bus}"


def uplink_subject(uplink: str) -> str:
    """What an uplink is called in events and alerts."""
    return f"uplink-{uplink}"


def history_worker(door: str) -> str:
    """The worker that asks a door's terminal for its log."""
    return f"history-{door}"


def stream_worker(door: str) -> str:
    """The worker that holds a connection to a door's terminal open."""
    return f"stream-{door}"


def worker_subject(worker: str) -> str:
    """What a part of the gateway itself is called in events and alerts."""
    return f"worker-{worker}"


def worker_names(site: Site) -> tuple[str, ...]:
    """The workers this site needs, in the order in which they start; the last to start stops first."""
    return (
        "store",
        "core",
        "timekeeper",
        *(bus_subject(bus) for bus in site.buses),
        "outputs",
        *(("radio",) if site.buttons else ()),
        *(("doors",) if site.doors else ()),
        *(history_worker(door.id) for door in site.doors.values() if door.history),
        *(stream_worker(door.id) for door in site.doors.values() if door.transport == STREAM),
        *(uplink_subject(uplink) for uplink in site.uplinks),
        "chronicle",
        "control",
    )


def radio_subjects(site: Site) -> tuple[str, ...]:
    """What the radios are called in events and alerts."""
    return tuple(f"radio-{adapter.lower().replace(':', '')}" for adapter in site.radio.adapters or ("hci0",))


def _subjects(site: Site) -> Iterator[Subject]:
    for bus in site.buses.values():
        facts = _HEALTH | {OVERLOADED: FactSpec()}
        yield Subject(bus_subject(bus.id), "bus", _common(d.place for d in bus.devices), facts=facts)
        for device in bus.devices:
            yield _device(device, bus)
    for name in radio_subjects(site) if site.buttons else ():
        yield Subject(name, "radio", _common(b.place for b in site.buttons.values()), facts=_HEALTH)
    for button in site.buttons.values():
        yield _button(button, radio_subjects(site))
    for door in site.doors.values():
        yield _door(door)
    for output in site.outputs.values():
        facts = {CONFIRMED: FactSpec(), HELD: FactSpec()}
        yield Subject(output.id, "output", output.place, facts=facts)
    for uplink in site.uplinks.values():
        yield Subject(uplink_subject(uplink.id), "uplink", "", facts=_HEALTH)
    for worker in worker_names(site):
        yield Subject(worker_subject(worker), "worker", "", facts=_HEALTH)
    yield Subject(SITE_HEALTH, "worker", "", facts=_HEALTH)
    yield Subject(CLOCK, "clock", "", facts={SYNCED: FactSpec()})
    yield Subject(STORE, "store", "", facts=_HEALTH)


def _people(site: Site, zone: tuple[tuple[int, int], ...]) -> Iterator[Subject]:
    """Everybody under care. A consent without purpose or date is a fault, and counts for nothing."""
    for person in site.people.values():
        if not person.care:
            continue
        care = Care(
            consents=tuple(rule for rule, given in person.care.items() if given.purpose and given.consent),
            pseudonyms={
                door.id: person.pseudonyms[door.enrolment]
                for door in site.doors.values()
                if door.enrolment in person.pseudonyms
            },
            buttons=tuple(button.id for button in site.buttons.values() if button.place == person.place),
            readings=tuple((device, point) for device, _, point in (sign.partition(".") for sign in person.signs)),
            away=tuple(
                (wall_ms(leave.start, zone), wall_ms(leave.until, zone))
                for leave in person.away
                if leave.start and leave.until
            ),
        )
        yield Subject(person.id, PERSON, person.place, person.tags, {}, care=care)


def _device(device: ModbusDevice, bus: Bus) -> Subject:
    facts = {
        point.name: FactSpec(point.unit, device.max_age_ms if point.point_class is PointClass.ALARM else None)
        for point in device.profile.points
    }
    return Subject(device.id, device.profile.kind, device.place, device.tags, facts | _DEVICE, bus_subject(bus.id))


def _button(button: Button, radios: tuple[str, ...]) -> Subject:
    silence = min(HEARTBEATS_MISSED * button.heartbeat_ms, LONGEST_HEARD_MS) or None
    facts = {
        HEARD: FactSpec("dBm", silence),
        "battery": FactSpec("%"),
        "tamper": FactSpec(),
        PRESSED: FactSpec(),
        QUIET: FactSpec(),
    }
    return Subject(
        button.id, "button", button.place, button.tags, facts | _HEALTH, meanings=button.meanings, ears=radios,
        address=button.address,
    )  # fmt: skip


def _door(door: Door) -> Subject:
    facts = {DOOR: FactSpec(), "tamper": FactSpec(), "fire": FactSpec(), GAP: FactSpec(), UNPROVEN: FactSpec()}
    if door.is_slow:
        facts[BEAT] = FactSpec(max_age_ms=HEARTBEATS_MISSED * door.heartbeat_ms)
    return Subject(door.id, "terminal", door.place, door.tags, facts | _DEVICE)


def _outputs(site: Site) -> dict[str, OutputSpec]:
    stand = places(site)
    return {output.id: _output(output, stand) for output in site.outputs.values()}


def _output(output: Output, stand: Mapping[tuple[str, str], str]) -> OutputSpec:
    relay, at = f"{output.device}.{output.point}", stand.get((output.device, output.point), "")
    return OutputSpec(output.id, output.kind, output.place, output.serves, output.rules, relay, output.ex_rated, at)


def _grid(grid: Grid) -> GridPlan:
    people = {
        Rung.BUILDING: grid.building,
        Rung.GRID: grid.grid,
        Rung.COMMUNITY: {"": grid.community},
        Rung.STREET: {"": grid.street},
        Rung.DISTRICT: {"": grid.district},
    }
    return GridPlan(people, {"": grid.ladder, **grid.building_ladders}, grid.answer_by)


def _common(places: Iterable[str]) -> str:
    """The building that all places share, or the whole compound."""
    buildings = {place.split("/", 1)[0] for place in places}
    return buildings.pop() if len(buildings) == 1 else ""


def zone_offsets(name: str) -> tuple[tuple[int, int], ...]:
    """The zone's UTC offsets, as (from in ms since 1970 UTC, offset in ms), so that the core needs no zone files."""
    zone = ZoneInfo(name)
    start, end = (int(dt.datetime(year, 1, 1, tzinfo=dt.UTC).timestamp()) * 1000 for year in _ZONE_YEARS)
    offsets = [(0, _offset(zone, start))]
    for day in range(start, end, DAY):
        if _offset(zone, day + DAY) != offsets[-1][1]:
            changed = next(m for m in range(day, day + DAY + MINUTE, MINUTE) if _offset(zone, m) != offsets[-1][1])
            offsets.append((changed, _offset(zone, changed)))
    return tuple(offsets)


def _offset(zone: ZoneInfo, utc_ms: int) -> int:
    moment = dt.datetime.fromtimestamp(utc_ms / 1000, dt.UTC).astimezone(zone)
    delta = moment.utcoffset() or dt.timedelta()
    return int(delta.total_seconds()) * 1000
