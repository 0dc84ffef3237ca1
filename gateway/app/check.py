"""A site file checked whole: its own faults and those of its rules, together.

What no single room can see is looked at here: a detector that no rule of weight listens to would be polled for years and
never raise anything.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from gateway.alerts import Priority
from gateway.app.compound import BUILTIN, compound_of
from gateway.drivers.modbus.load import FULLEST, FULLEST_ALARMS, BusLoad, Turn, load_of
from gateway.nodes import Faults, duration_text
from gateway.rules.compound import HEALTH, Compound, Rule, within
from gateway.rules.conditions import Is, Threshold, leaves
from gateway.rules.history import sources
from gateway.rules.language import compile_rules
from gateway.rules.outputs import drive
from gateway.site.model import Bus, ModbusDevice, Site
from gateway.site.profile import Danger, PointClass, PointSpec, Profile
from gateway.site.reading import load_site

HAZARDS: Mapping[str, tuple[str, ...]] = {
    "gas-detector": ("gas (%LEL)", "gas_high_alarm", "gas_low_alarm", "alarm", "co (ppm)", "co_alarm"),
    "smoke-detector": ("smoke", "alarm"),
    "co-detector": ("co (ppm)", "co_alarm", "alarm"),
    "heat-detector": ("alarm",),
    "water-detector": ("water", "alarm"),
    "electric-monitor": ("residual_alarm", "residual_current (mA)", "overheat_alarm", "line_temperature (°C)"),
}
"""Kind of detector -> the points by which the built-in rules hear of a danger (a test reads them from ``builtin.yaml``)."""
SIDES: Mapping[str, Danger] = {
    **dict.fromkeys(("gas", "co", "residual_current", "line_temperature", "co2", "pm25", "tvoc"), Danger.ABOVE),
    **dict.fromkeys(("oxygen", "battery"), Danger.BELOW),
}
"""Measured point -> the side on which the built-in rules take it for dangerous (a test reads them from ``builtin.yaml``)."""
TOLERATED = frozenset(
    {
        *("fault.overbooked", "fault.alarm_ages", "fault.alarms_beyond_guard"),
        *("fault.feedback_no_state", "fault.feedback_written"),
        *("fault.point_opens", "fault.valve_reopens"),
        *("fault.profile_withdrawn", "fault.profile_found_wrong", "fault.profile_placeholder"),
        *("fault.profile_point_past_end", "fault.serial_format"),
        *("fault.profile_point_ours", "fault.id_ours"),
    }
)
"""What stops no start: a bus or a device asked for too much, an output that is unproven or unsafe, a profile that is withdrawn, was
never filled in or names a register beyond the last, a product of which the serial format has become known, a name that is ours. A version
before let them pass, and an upgrade that knows better must leave nobody without alerts."""
_NO_DANGER = frozenset({HEALTH, "reason", "tamper"})
"""Facts that speak of the device itself: a rule that reads only these hears no gas."""
_ZONE = re.compile(r"(?P<before>[a-z_]+?)_?[2-9][0-9]*|zone[0-9]+_(?P<after>[a-z_]+)")


def check(path: Path, faults: Faults) -> tuple[Site, Compound] | None:
    """The site and the compound it makes; None where the file cannot be read at all. Faults go to ``faults``."""
    site = load_site(path, faults, BUILTIN)
    if site is None:
        return None
    _check_loads(site, faults)
    before = len(faults.errors)
    compound = compound_of(site, faults)
    if len(faults.errors) == before:  # else a rule that could not be read would be missed here a second time
        _check_heard(site, compound, faults)
        _check_sides(site, compound, faults)
        _check_acted_for(site, compound, faults)
    return site, compound


def loads(site: Site) -> list[BusLoad]:
    """What the site asks of each bus."""
    return [load_of(bus) for bus in site.buses.values()]


def _check_loads(site: Site, faults: Faults) -> None:
    """No bus is asked for more than it can promise, and no alarm point for more than its bus."""
    for load in loads(site):
        _check_ages(site.buses[load.bus], load, faults)
        check_pauses(site.buses[load.bus], load, faults)
        if load.overbooked:
            fields = {"load": f"{load.share:.0%}", "alarms": f"{load.alarm_share:.0%}"}
            limits = {"most": f"{FULLEST:.0%}", "most_alarms": f"{FULLEST_ALARMS:.0%}"}
            faults.add(site.buses[load.bus].mark, "fault.overbooked", name=load.bus, **fields, **limits)


def _check_ages(bus: Bus, load: BusLoad, faults: Faults) -> None:
    """An alarm point that may be older than the age at which it counts as lost, though nothing is wrong, is never to be relied on."""
    devices = {device.id: device for device in bus.devices}
    for age in load.alarms:
        if age.lost:
            told = {
                "given": ", ".join(age.points),
                "worst": f"{age.worst_s[0] + age.untold_s:.1f}",
                "most": f"{age.most_s:g}",
            }
            faults.add(devices[age.device].mark, "fault.alarm_ages", name=age.device, bus=bus.id, **told)


def check_pauses(bus: Bus, load: BusLoad, faults: Faults) -> None:
    """No device is asked more often than the pauses it wants allow: its alarm points never, the others with a warning."""
    devices = {device.id: device for device in bus.devices}
    for asked in (one for one in load.pauses if one.overasked):
        device = devices[asked.device]
        told = {
            "times": f"{asked.times_a_minute:.1f}",
            "most": f"{asked.most_a_minute:.1f}",
            "given": "; ".join(f"{_names(turn)} {duration_text(round(1000 * turn.period_s))}" for turn in asked.turns),
            "guard": duration_text(device.profile.guard_ms),
            "profile": device.profile.id,
        }
        if asked.alarms_late:
            faults.add(device.mark, "fault.alarms_beyond_guard", name=device.id, **told)
        else:
            faults.warn(device.mark, "fault.asked_beyond_guard", name=device.id, **told)


def _names(turn: Turn) -> str:
    return ", ".join(point.name for point in turn.block.points)


def _check_heard(site: Site, compound: Compound, faults: Faults) -> None:
    """Every detector is heard by a rule of weight; only who changed the built-in rules himself is merely warned."""
    devices = [device for bus in site.buses.values() for device in bus.devices if _is_itself(device, compound)]
    deaf = [one for one in devices if one.profile.kind in HAZARDS and not _heard(one, compound.rules)]
    unchanged = compile_rules(site.rules, {}, compound.subjects, Faults()) if deaf and site.builtin else {}
    for device in deaf:
        note = faults.warn if _heard(device, unchanged) else faults.add
        fields = {"kind": device.profile.kind, "profile": device.profile.id}
        points = ", ".join(point.name for point in device.profile.points)
        allowed = " | ".join(HAZARDS[device.profile.kind])
        note(device.mark, "fault.detector_unheard", name=device.id, given=points, allowed=allowed, **fields)
    for device in (one for one in devices if one not in deaf):
        if unheard := [point for point in _other_zones(device.profile) if not _heard(device, compound.rules, (point,))]:
            names = ", ".join(point.name for point in unheard)
            faults.warn(device.mark, "fault.zones_unheard", name=device.id, profile=device.profile.id, given=names)
    read = _read_by(compound.rules)
    for device in (one for one in devices if one not in deaf):
        if names := ", ".join(_unread(device, read[device.id])):
            faults.warn(device.mark, "fault.points_unheard", name=device.id, profile=device.profile.id, given=names)


def _is_itself(device: ModbusDevice, compound: Compound) -> bool:
    """Not where another thing bears its id, which is a fault of its own: then the rules know that one."""
    return compound.subjects[device.id].kind == device.profile.kind


def _read_by(rules: Mapping[str, Rule]) -> defaultdict[str, set[str]]:
    """What the rules read of each subject."""
    read: defaultdict[str, set[str]] = defaultdict(set)
    for rule in rules.values():
        facts = {getattr(leaf, "fact", "") for leaf in sources(rule.when)}
        for name in (name for about in rule.subjects for name in rule.watched(about)):
            read[name] |= facts
    return read


def _unread(device: ModbusDevice, read: Collection[str]) -> list[str]:
    """Its points of class alarm that no rule reads at all, but those that judge others, and latches: they repeat what was said."""
    zones = {point.name for point in _other_zones(device.profile)}
    return [
        point.name
        for point in device.profile.points
        if point.point_class is PointClass.ALARM
        and point.name not in read
        and point.name not in zones
        and not (point.quality_of or point.moves_within_ms or point.latched is True)
    ]


def _check_acted_for(site: Site, compound: Compound, faults: Faults) -> None:
    """Gas that shuts no valve and sounds no siren is worth a word: one a bus, at its first such detector."""
    for bus in site.buses.values():
        detectors = [device for device in bus.devices if device.place and device.profile.kind == "gas-detector"]
        if alone := [one for one in detectors if _heard(one, compound.rules) and not _acted_for(one, compound)]:
            names, places = (dict.fromkeys(had) for had in zip(*((one.id, one.place) for one in alone), strict=True))
            faults.warn(alone[0].mark, "fault.nothing_acts", name=", ".join(names), places=", ".join(places))


def _acted_for(device: ModbusDevice, compound: Compound) -> bool:
    rules = [rule for rule in compound.rules.values() if _watches(rule, device)]
    return any(
        output.kind in {"valve", "siren"}
        and _moves_for(rule, output.kind, device)
        and rule.id in (output.rules or (rule.id,))
        for output in compound.outputs.values()
        if any(within(device.place, area) for area in output.serves)
        for rule in rules
    )


def _moves_for(rule: Rule, kind: str, device: ModbusDevice) -> bool:
    return any(drive(rule, kind, about) for about in rule.subjects if device.id in rule.watched(about))


def _check_sides(site: Site, compound: Compound, faults: Faults) -> None:
    """No rule waits for a value to rise whose danger is that it falls."""
    devices = {device.id: device for bus in site.buses.values() for device in bus.devices}
    for rule in compound.rules.values():
        limits = [leaf for leaf in leaves(rule.when) if isinstance(leaf, Threshold)]
        for name in [name for about in rule.subjects for name in rule.watched(about) if limits and name in devices]:
            points = {point.name: point for point in devices[name].profile.points}
            for leaf in [leaf for leaf in limits if leaf.fact in points and _wrong_way(leaf, points[leaf.fact])]:
                side = Danger.ABOVE if leaf.above else Danger.BELOW
                fields = {"point": leaf.fact, "given": side.value, "side": points[leaf.fact].alarm_when}
                faults.warn(devices[name].mark, "fault.rule_wrong_way", name=name, rule=rule.id, **fields)


def _wrong_way(leaf: Threshold, point: PointSpec) -> bool:
    return point.alarm_when is (Danger.BELOW if leaf.above else Danger.ABOVE)


def _other_zones(profile: Profile) -> Iterator[PointSpec]:
    """The dangers of a device's second zone and beyond (``water2``, ``zone2_alarm``): the built-in rules know only the first."""
    dangers = {danger.split(" ")[0] for danger in HAZARDS.get(profile.kind, ())}
    for point in profile.points:
        zone = _ZONE.fullmatch(point.name)
        if zone is not None and (zone["before"] or zone["after"]) in dangers and point.name != "co2":
            yield point


def _heard(device: ModbusDevice, rules: Mapping[str, Rule], among: Iterable[PointSpec] = ()) -> bool:
    points = {point.name: point for point in among or device.profile.points}
    return any(
        _watches(rule, device)
        and (rule.life_safety or rule.priority in {Priority.CRITICAL, Priority.HIGH})
        and any(_reads(leaf, points) for leaf in leaves(rule.when))
        for rule in rules.values()
    )


def _watches(rule: Rule, device: ModbusDevice) -> bool:
    """Itself, or as one of those in its place."""
    return device.id in rule.subjects or any(device.id in there for there in rule.members.values())


def _reads(leaf: object, points: Mapping[str, PointSpec]) -> bool:
    """Whether the leaf reads a point of the device that can give what the leaf waits for."""
    if not isinstance(leaf, Threshold | Is) or leaf.fact in _NO_DANGER or leaf.fact not in points:
        return False
    if isinstance(leaf, Threshold) and _wrong_way(leaf, points[leaf.fact]):
        return False
    return _speaks_words(points[leaf.fact]) == (
        isinstance(leaf, Is) and all(isinstance(value, str) for value in leaf.among)
    )


def _speaks_words(point: PointSpec) -> bool:
    """Whether its decoded value is a name (of a code, of bits) and so neither a number nor yes or no."""
    return not point.says_yes_or_no and bool(point.enum or point.bits or point.type == "string")
