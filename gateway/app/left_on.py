"""Relays that an earlier site file left on: an output was renamed, moved or taken away while it sounded, and the gateway started anew.

A reload refuses that. A start cannot, for the relay itself may be gone. A relay is known by the place where it is switched, for
names are the installer's to change. Where another output stands there now, it is that one's (``rules.wants``); else it is put off
under a name of its own. Where nothing of the site stands there any more, only a person can look, and is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.nodes import Fault
from gateway.rules.wants import LEFT
from gateway.site.model import Bus, ModbusDevice, Output, Site
from gateway.site.profile import PointSpec


def place_of(bus: Bus, device: ModbusDevice, point: PointSpec) -> str:
    """Where a relay is switched: ``10.0.0.5:502 9 coil 1``, end of the bus, unit id, table, address (and mask)."""
    mask = "" if point.mask is None else f" {point.mask:#x}"
    return f"{bus.end} {device.unit_id} {point.space} {point.address}{mask}"


def places(site: Site) -> dict[tuple[str, str], str]:
    """Device and point of each relay of the site -> where it is switched."""
    return {(device.id, point.name): place_of(bus, device, point) for bus, device, point in _relays(site)}


def _relays(site: Site) -> Iterator[tuple[Bus, ModbusDevice, PointSpec]]:
    for bus in site.buses.values():
        for device in bus.devices:
            yield from ((bus, device, point) for point in device.profile.points if point.writable)


def left_on(site: Site, driven: Iterable[str]) -> dict[str, Output]:
    """The outputs to be put off; what another output of the site switches now is that one's."""
    taken = {(output.device, output.point) for output in site.outputs.values()}
    relays = {place_of(bus, device, point): (device, point) for bus, device, point in _relays(site)}
    relays |= {
        f"{device.id}.{point.name}": (device, point) for device, point in relays.values()
    }  # an earlier version's
    found = {}
    for name in driven:
        device, point = relays.get(name.partition(LEFT)[2], (None, None))
        if device is not None and point is not None and (device.id, point.name) not in taken:
            place = device.place
            found[name] = Output(name, "siren", device.id, point.name, place, site.mark, serves=(), unread=point.unread)
    return found


def nowhere(site: Site, driven: Iterable[str]) -> list[str]:
    """Those that perhaps are on, and that nothing of the site can reach."""
    driven = set(driven)
    return sorted(driven - site.outputs.keys() - left_on(site, driven).keys())


def told_of(site: Site, names: Iterable[str]) -> list[Fault]:
    """The same for a person's eyes."""
    parts = [name.partition(LEFT) for name in names]
    return [Fault(site.mark, "fault.left_on", (("name", name), ("given", place or "?"))) for name, _, place in parts]
