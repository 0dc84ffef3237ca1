"""A shipped detector on its bus, from its registers to the alerts: what it answers is read as the poller reads it."""

from __future__ import annotations

from pathlib import Path

from rules.conftest import Core

from gateway.app.compound import BUILTIN, compound_of
from gateway.drivers.modbus.plan import plan
from gateway.drivers.modbus.reporting import Points
from gateway.drivers.modbus.watch import DeviceWatch
from gateway.events import DeviceHealth, Reading
from gateway.nodes import Faults
from gateway.site.reading import load_site

SITE = """
site: garden
gateway: g1
timezone: Asia/Shanghai
language: en
places: { b1: One }
people: { head: {} }
grid: { building: { b1: [head] }, grid: { b1: [head] }, community: [head], street: [head], district: [head] }
buses: { line: { host: 10.0.0.1, devices: { d: { profile: %s, unit_id: 1, place: b1 } } } }
"""


class Detector:
    """One device ``d`` of a profile, at ``b1``, and the core that hears it."""

    def __init__(self, folder: Path, profile: str) -> None:
        path, faults = folder / "site.yaml", Faults()
        path.write_text(SITE % profile)
        site = load_site(path, faults, BUILTIN)
        assert site is not None, faults.errors
        self.device = site.buses["line"].devices[0]
        self.core = Core(compound_of(site, faults))
        self._connect()

    def _connect(self) -> None:
        self._points = Points(self.device)
        self.watch = DeviceWatch("d", speaks=self._points.speaks)

    def restart(self, at_s: float) -> None:
        """The gateway ends and starts anew, within no time."""
        self.core.restart(after=round(at_s * 1000) - self.core.at)
        self._connect()

    def poll(self, at_s: float, registers: dict[int, int], space: str = "holding") -> list[tuple[str, str]]:
        """Every block is read; registers that are not named are 0. Answers rule and priority of its open alerts."""
        for block in plan(self.device.profile):
            found = registers if block.space.value == space else {}
            words = [found.get(address, 0) for address in range(block.address, block.address + block.count)]
            said = [*self._points.accept(block, words, at_s), self.watch.answered(block.address)]
            sensed = self.watch.sensed(self._points.trouble(), spoken=self._points.has_spoken)
            self._give(at_s, *said, sensed)
        return self.alerts()

    def lose(self, at_s: float) -> None:
        """It answers no more."""
        self._give(at_s, self.watch.lose(), *self._points.lose(at_s))

    def _give(self, at_s: float, *events: Reading | DeviceHealth | None) -> None:
        for event in events:
            if event is not None:
                self.core.give(event, round(at_s * 1000))

    def alerts(self) -> list[tuple[str, str]]:
        """Rule and priority of the open alerts about it, oldest first."""
        return [(a.rule, a.priority.value) for a in self.core.engine.alerts() if a.subject == "d"]
