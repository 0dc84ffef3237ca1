"""A compound big enough to measure with: flats with a detector, a button and an air sensor each, written as a site file.

The same text an installer would write, so that everything measured runs through ``check`` like any site.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from gateway.app.check import check
from gateway.events import Reading
from gateway.nodes import Faults
from gateway.rules.compound import Compound
from gateway.site.model import Site

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
    faults = Faults()
    checked = check(path, faults)
    if checked is None or faults.errors:
        raise RuntimeError([(f.key, f.fields) for f in faults.errors][:5])
    return checked


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
