"""The air between simulated buttons and the real daemon's ears."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Self

from gateway.sim.beacons import Shout
from gateway.sim.bluez import PrivateBus, StandInBluez
from gateway.sim.buttons import SERVICE


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
        """How the daemon hears it: ``bluez`` (real Bleak on a private bus) or ``seam`` (the advertisement seam)."""
        return "bluez" if self.with_bluez else "seam"

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
        """One frame on the air, for every adapter that is plugged in; bare bytes are BTHome's."""
        shout = Shout({SERVICE: frame}) if isinstance(frame, bytes) else frame
        if self.bluez is not None:
            await self._send_all(self.bluez, address, shout, rssi_dbm)
        heard = {
            "address": address,
            "service_data": {uuid: data.hex() for uuid, data in shout.service_data.items()},
            "manufacturer_data": {f"{company:04x}": data.hex() for company, data in shout.manufacturer_data.items()},
            "rssi_dbm": rssi_dbm,
        }
        line = json.dumps(heard)
        for ear in list(self._ears):
            ear.write(line.encode() + b"\n")

    async def _send_all(self, bluez: StandInBluez, address: str, shout: Shout, rssi_dbm: int) -> None:
        for adapter in bluez.adapters:
            await bluez.advertise(
                address,
                service_data=shout.service_data,
                manufacturer_data=shout.manufacturer_data,
                rssi_dbm=rssi_dbm,
                adapter=adapter,
            )

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        if self.bluez is not None:
            return any(map(self.bluez.scanning, self.bluez.adapters))
        return bool(self._ears)

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ears.add(writer)
        try:
            await reader.read()  # they say nothing; this ends when they are gone
        except OSError:
            pass
        finally:
            self._ears.discard(writer)
            writer.close()
