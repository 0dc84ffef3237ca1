"""The compound of the end-to-end tests and the benchmarks: a ``SimWorld`` on a site file whose things have names.

The site file is a template that the caller may bring; two gas detectors, a relay board, a smoke detector, two buttons and a
terminal stand in each of them under the same ids. It never looks into the daemon.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Self

from gateway.sim.buttons import SimButton
from gateway.sim.modbus import SimBus
from gateway.sim.ports import free_port
from gateway.sim.staging import Staged
from gateway.sim.world import SimWorld

SITE = Path(__file__).with_name("site.yaml")
_KEY = "231d39c1d7cc1ab1aee224cd096db932"
_TOKEN = "gate-1-secret-path-0123456789"  # noqa: S105  # a secret of a world that does not exist
VALVE, SIREN, FAN = 0, 1, 2
"""Coils of the relay board."""
_OVER_THE_TOP = 50
"""%LEL at which the detector's own alarm goes off."""


class SimCompound:
    """The simulated world and the site file that describes it. ``folder`` holds everything."""

    def __init__(
        self,
        folder: Path,
        broker_port: int,
        *,
        protocol: str = "3.1.1",
        site: Path = SITE,
        with_bluez: bool | None = None,
    ) -> None:
        """Of the site's buses only ``line`` and ``net`` are ours; others are somebody else's."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.site, self.state = folder, folder / "site.yaml", folder / "state"
        self._write_site(site, broker_port, protocol)
        staged = Staged(self.site, keys={"sos-301": _KEY}, tokens={"gate-1": _TOKEN})
        self.world = SimWorld(staged, folder, with_bluez=with_bluez, buses=("line", "net"))
        units = self.world.units
        self.gas = {name: units[name] for name in ("gas-301", "gas-302")}
        self.relay, self.smoke, self.air_hall = units["relay-1"], units["smoke-302"], units["air-hall"]
        self.air, self.gate = self.world.air, self.world.terminals["gate-1"]
        self.buttons = {name: sim for name, sim in self.world.buttons.items() if isinstance(sim, SimButton)}

    async def __aenter__(self) -> Self:
        await self.world.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.world.__aexit__(*error)

    @property
    def line(self) -> SimBus:
        """The RTU line."""
        bus = self.world.buses["line"]
        if not isinstance(bus, SimBus):
            raise TypeError("line")
        return bus

    # What can happen ----------------------------------------------------------------------------------

    def leak(self, detector: str, lel: int) -> None:
        """Gas in a kitchen, in %LEL; the detector judges for itself, too."""
        image = self.world.images[detector]
        image.put("gas", lel)
        image.put("gas_high_alarm", lel >= _OVER_THE_TOP)

    def smoke_in_302(self, *, there: bool) -> None:
        """Smoke in flat 302."""
        self.world.images["smoke-302"].put("smoke", there)

    async def press(self, button: str, kind: str = "single") -> None:
        """One press, repeated on the air as the vendor repeats it."""
        await self.world.press(button, kind)

    def press_soon(self, button: str, kind: str = "single") -> None:
        """One press, sent while other things happen."""
        self.world.soon(self.press(button, kind))

    @property
    def valve_shut(self) -> bool:
        """What the relay board really did."""
        return bool(self.relay.coils[VALVE])

    @property
    def siren_on(self) -> bool:
        """What the relay board really did."""
        return bool(self.relay.coils[SIREN])

    def _write_site(self, template: Path, broker_port: int, protocol: str) -> None:
        text = string.Template(template.read_text(encoding="utf-8")).substitute(
            port=self.folder / "ttyS-line", tcp_port=free_port(), door_port=free_port(), broker_port=broker_port,
            protocol=protocol,
        )  # fmt: skip
        self.site.write_text(text, encoding="utf-8")
        for name, secret in (("sos-301.key", _KEY), ("gate-1.token", _TOKEN)):
            path = self.folder / name
            path.write_text(secret, encoding="utf-8")
            path.chmod(0o600)
