"""Compounds to measure with, and what their air does: Fukang Garden of the examples as it stands, and any number of flats with a
detector, a button and an air sensor each, written as a site file.

The same text an installer would write, so that everything measured runs through ``check`` like any site.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from gateway.app.check import check
from gateway.app.compound import compound_of
from gateway.events import Reading, Scalar
from gateway.nodes import Faults
from gateway.rules.compound import Compound
from gateway.sim.image import Image
from gateway.sim.modbus import SimUnit
from gateway.site.model import Site
from gateway.site.profile import PointClass

FUKANG = Path(__file__).resolve().parent.parent / "examples" / "fukang-garden"
FLATS_PER_BUS = 60
"""A line of 31 standard loads carries two detectors a flat at most; the address space of a bus ends at 247."""
_HEAD = """\
site: bench-garden
gateway: bench
name: bench
timezone: Asia/Shanghai
people: {{ head: {{ roles: [answer, shelve] }}, grid: {{}}, community: {{}}, street: {{}}, district: {{}} }}
grid:
  building: {{ b1: [head] }}
  grid: {{ b1: [grid] }}
  community: [community]
  street: [street]
  district: [district]
uplinks: {{ street: {{ host: 127.0.0.1, port: {port} }} }}
"""


class Walk(Struct, frozen=True):
    """One point: where it rests, and how far it moves at a time."""

    device: str
    point: str
    middle: Scalar | None
    step: float


def site_text(flats: int, *, port: int = 1883) -> str:
    """A site file for ``flats`` flats, each with a gas detector, an air sensor and a button."""
    places = ["  b1: one"] + [f"  b1/s1/{n}: flat {n}" for n in range(flats)]
    buses: list[str] = []
    for first in range(0, flats, FLATS_PER_BUS):
        buses += [
            f"  bus{first}:",
            "    host: 127.0.0.1",
            f"    tcp_port: {5020 + first // FLATS_PER_BUS}",
            "    devices:",
        ]
        for n in range(first, min(flats, first + FLATS_PER_BUS)):
            unit = 2 * (n - first) + 1
            buses.append(f"      gas-{n}: {{ profile: combustible-gas-6in1, unit_id: {unit}, place: b1/s1/{n} }}")
            buses.append(f"      air-{n}: {{ profile: air-adtek, unit_id: {unit + 1}, place: b1/s1/{n} }}")
    buttons = [
        f'  sos-{n}: {{ address: "A4:C1:38:00:{n // 256:02X}:{n % 256:02X}", place: b1/s1/{n}, heartbeat: 1h }}'
        for n in range(flats)
    ]
    parts = [_HEAD.format(port=port), "places:", *places, "buses:", *buses, "buttons:", *buttons]
    return "\n".join(parts) + "\n"


def built(folder: Path, text: str) -> tuple[Site, Compound]:
    """The site and its compound, checked like any other."""
    path = folder / "site.yaml"
    path.write_text(text, encoding="utf-8")
    return checked(path)


def checked(path: Path) -> tuple[Site, Compound]:
    """The same of a site that stands somewhere."""
    faults = Faults()
    found = check(path, faults)
    if found is None or faults.errors:
        raise RuntimeError([(f.key, f.fields) for f in faults.errors][:5])
    return found


def quiet_garden() -> tuple[Site, Compound]:
    """Fukang Garden without what would be missed in a day of nothing but its devices: buttons, doors, outputs and uplinks."""
    site = msgspec.structs.replace(checked(FUKANG)[0], buttons={}, doors={}, outputs={}, uplinks={}, radio=None)
    return site, compound_of(site, Faults())


def resting(site: Site) -> list[Walk]:
    """Every point of a site's own devices, where a quiet day has it. Those that measure have a step; others stand still."""
    found: list[Walk] = []
    for device in (device for bus in site.buses.values() for device in bus.devices):
        image = Image(device.profile, SimUnit(device.unit_id))
        for point in (point for point in device.profile.points if not point.write_only):
            moves = image.is_number(point.name) and point.point_class is not PointClass.ALARM
            found.append(Walk(device.id, point.name, image.get(point.name), point.resolution if moves else 0.0))
    return found


def rounds(walks: Sequence[Walk], seed: int = 7) -> Iterator[Reading]:
    """One after another for ever. In a round of ``REFRESH_S`` this is what the poller reports: it repeats that often what stands
    still; and what measures has wandered by its resolution each time, drawn back to its middle.
    """
    chance = random.Random(seed)  # the workload is the same at every run
    moved = dict.fromkeys(range(len(walks)), 0)
    while True:
        for n, walk in enumerate(walks):
            if walk.step:
                moved[n] += 1 if chance.random() < 0.5 - moved[n] / 16 else -1
                yield Reading(walk.device, walk.point, round(float(walk.middle or 0) + moved[n] * walk.step, 1))
            else:
                yield Reading(walk.device, walk.point, walk.middle)


def noise(flats: int, seed: int = 7) -> Iterator[Reading]:
    """Air values that wander for ever within the quiet range, each step as large as its point's resolution: what report by
    exception lets through on a restless day.
    """
    random_walk = random.Random(seed)  # the workload is the same at every run
    walks = [(f"air-{n}", "co2", 600.0, 25.0) for n in range(flats)]
    walks += [(f"air-{n}", "temperature", 22.0, 0.5) for n in range(flats)]
    walks += [(f"air-{n}", "humidity", 60.0, 2.0) for n in range(flats)]
    values = [start for _, _, start, _ in walks]
    while True:
        chosen = random_walk.randrange(len(walks))
        device, point, middle, step = walks[chosen]
        up = random_walk.random() < (0.5 - (values[chosen] - middle) / (40 * step))  # drawn back to the middle
        values[chosen] += step if up else -step
        yield Reading(device, point, round(values[chosen], 1))
