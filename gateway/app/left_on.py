"""Relays that an earlier site file left on: an output was moved or taken away while it sounded, and the gateway started anew.

A reload refuses that. A start cannot, for the relay itself may be gone; where it is not, it is put off under a name of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.rules.wants import LEFT
from gateway.site.model import Output, Site


def left_on(site: Site, driven: Iterable[str]) -> dict[str, Output]:
    """The outputs to be put off; what another output of the site switches now is that one's."""
    taken = {(output.device, output.point) for output in site.outputs.values()}
    devices = {device.id: device for bus in site.buses.values() for device in bus.devices}
    found = {}
    for name in driven:
        device, _, point = name.partition(LEFT)[2].partition(".")
        known = [one for one in devices[device].profile.points if one.name == point] if device in devices else []
        if known and known[0].writable and (device, point) not in taken:
            place = devices[device].place
            found[name] = Output(name, "siren", device, point, place, site.mark, serves=(), unread=known[0].unread)
    return found
