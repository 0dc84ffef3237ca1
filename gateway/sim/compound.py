"""A simulated compound that speaks the real protocols: sensors on an RTU line and on TCP, buttons on the air, a face terminal.

It is what the demo, the end-to-end tests and the benchmarks run the real daemon against. It never looks into the daemon.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import string
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from gateway.sim.beacons import Shout
from gateway.sim.bluez import PrivateBus, StandInBluez
from gateway.sim.broker import free_port
from gateway.sim.buttons import SERVICE, SimButton
from gateway.sim.modbus import SimBus, SimTcp, SimUnit
from gateway.sim.terminal import SimTerminal

SITE = Path(__file__).with_name("site.yaml")
_KEY = "231d39c1d7cc1ab1aee224cd096db932"
_TOKEN = "gate-1-secret-path-0123456789"  # noqa: S105  # a secret of a world that does not exist
_RELAY_COILS = dict.fromkeys(range(8), 0)
VALVE, SIREN, FAN = 0, 1, 2
"""Coils of the relay board."""
_GAS, _GAS_STATUS = 1, 5
_OK, _LOW_ALARM, _HIGH_ALARM = 1, 5, 6
"""Status codes of the gas detector (profile combustible-gas-6in1)."""
_HEARTBEAT_S = 4.0


class Air:
    """Where simulated buttons send: the stand-in BlueZ where a D-Bus daemon is installed, else the advertisement seam."""

    def __init__(self, folder: Path, *, with_bluez: bool | None = None) -> None:
        """``with_bluez`` None: if it can be."""
        self.with_bluez = shutil.which("dbus-daemon") is not None if with_bluez is None else with_bluez
        self.socket = folder / "air.sock"
        self.bus = PrivateBus(leashed=True)
        self.bluez: StandInBluez | None = None
        self._server: asyncio.AbstractServer | None = None
        self._ears: set[asyncio.StreamWriter] = set()

    @property
    def means(self) -> str:
        """How the daemon hears it."""
        return "bleak on a private dbus-daemon" if self.with_bluez else "advertisement seam (no dbus-daemon here)"

    def environment(self) -> dict[str, str]:
        """What the daemon needs in its environment."""
        return {"DBUS_SYSTEM_BUS_ADDRESS": self.bus.address} if self.with_bluez else {}

    async def __aenter__(self) -> Self:
        if self.with_bluez:
            self.bluez = await StandInBluez(await asyncio.to_thread(self.bus.start)).start()
            await self.bluez.add_adapter()
        else:
            self._server = await asyncio.start_unix_server(self._welcome, self.socket)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.bluez is not None:
            await self.bluez.stop()
        if self._server is not None:
            self._server.close()
        await asyncio.to_thread(self.bus.remove)

    async def send(self, address: str, frame: bytes | Shout, rssi_dbm: int) -> None:
        """One frame on the air; bare bytes are BTHome's."""
        shout = Shout({SERVICE: frame}) if isinstance(frame, bytes) else frame
        if self.bluez is not None:
            await self.bluez.advertise(
                address,
                service_data=shout.service_data,
                manufacturer_data=shout.manufacturer_data,
                rssi_dbm=rssi_dbm,
            )
        heard = {
            "address": address,
            "service_data": {uuid: data.hex() for uuid, data in shout.service_data.items()},
            "manufacturer_data": {f"{company:04x}": data.hex() for company, data in shout.manufacturer_data.items()},
            "rssi_dbm": rssi_dbm,
        }
        line = json.dumps(heard)
        for ear in list(self._ears):
            ear.write(line.encode() + b"\n")

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return self.bluez.scanning() if self.bluez is not None else bool(self._ears)

    async def _welcome(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ears.add(writer)


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
        self.folder, self._broker_port, self._protocol, self._template = folder, broker_port, protocol, site
        folder.mkdir(parents=True, exist_ok=True)
        self.site, self.state = folder / "site.yaml", folder / "state"
        self.gas = {name: _gas_detector(unit) for name, unit in (("gas-301", 1), ("gas-302", 2))}
        self.relay = SimUnit(9, coils=dict(_RELAY_COILS))
        self.smoke = SimUnit(1, discrete={0: 1, 1: 0, 2: 0, 3: 0})
        self.air_hall = SimUnit(2, holding={0: 223, 1: 480, 2: 0, 3: 0, 4: 0, 5: 640})
        self.line = SimBus([*self.gas.values(), self.relay], str(folder / "ttyS-line"))
        self.net = SimTcp([self.smoke, self.air_hall])
        self.air = Air(folder, with_bluez=with_bluez)
        self.buttons = {
            "sos-301": SimButton("A4:C1:38:00:00:01", bytes.fromhex(_KEY)),
            "sos-302": SimButton("A4:C1:38:00:00:02"),
        }
        self._radios = {name: asyncio.Lock() for name in self.buttons}
        """A button has one radio: it sends one content at a time, and never an older one after a newer."""
        self._door_port = free_port()
        self.gate = SimTerminal(
            f"http://127.0.0.1:{self._door_port}/hikvision/gate-1/{_TOKEN}", heartbeat_s=_HEARTBEAT_S, retry_s=1.0
        )
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        for part in (self.line, self.net, self.air, self.gate):
            await self._stack.enter_async_context(part)
        self._write_site()
        self._tasks.append(asyncio.create_task(self._heartbeats()))
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    # What can happen ----------------------------------------------------------------------------------

    def leak(self, detector: str, lel: int) -> None:
        """Gas in a kitchen, in %LEL; the detector judges for itself, too."""
        unit = self.gas[detector]
        unit.holding[_GAS] = lel
        unit.holding[_GAS_STATUS] = _HIGH_ALARM if lel >= 50 else _OK

    def smoke_in_302(self, *, there: bool) -> None:
        """Smoke in flat 302."""
        self.smoke.discrete[2] = int(there)

    async def press(self, button: str, kind: str = "single") -> None:
        """One press, repeated on the air as the vendor repeats it."""
        sim = self.buttons[button]
        async with self._radios[button]:
            await sim.send(sim.press(kind), self.air.send)

    def press_soon(self, button: str, kind: str = "single") -> None:
        """One press, sent while other things happen."""
        self._tasks.append(asyncio.create_task(self.press(button, kind)))

    @property
    def valve_shut(self) -> bool:
        """What the relay board really did."""
        return bool(self.relay.coils[VALVE])

    @property
    def siren_on(self) -> bool:
        """What the relay board really did."""
        return bool(self.relay.coils[SIREN])

    async def _heartbeats(self) -> None:
        while True:
            for name, button in self.buttons.items():
                async with self._radios[name]:
                    await button.send(button.heartbeat(), self.air.send, repeats=2, spread_s=0.2)
            await asyncio.sleep(_HEARTBEAT_S)

    def _write_site(self) -> None:
        text = string.Template(self._template.read_text(encoding="utf-8")).substitute(
            port=self.line.path, tcp_port=self.net.tcp_port, door_port=self._door_port,
            broker_port=self._broker_port, protocol=self._protocol,
        )  # fmt: skip
        self.site.write_text(text, encoding="utf-8")
        for name, secret in (("sos-301.key", _KEY), ("gate-1.token", _TOKEN)):
            path = self.folder / name
            path.write_text(secret, encoding="utf-8")
            path.chmod(0o600)


def _gas_detector(unit_id: int) -> SimUnit:
    """Registers 0-9 of the six-in-one module: %LEL without decimals, warmed up, 22.5 °C, 51 %RH, methane."""
    registers = {0: 0x2000, 1: 0, 2: 10, 3: 50, 4: 100, 5: _OK, 6: 0, 7: 725, 8: 0x0B00, 9: 510}
    return SimUnit(unit_id, holding=registers)
