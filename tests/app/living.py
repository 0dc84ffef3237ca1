"""A small real house on a virtual clock: two Modbus endpoints on sockets, a siren, and a site file that may be changed."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import msgspec
from instruments.virtual import VirtualClock

from gateway.app.house import House, Surroundings, build
from gateway.app.orders import Reloaded, read_site, with_secrets
from gateway.app.reload import Reloader
from gateway.events import Event
from gateway.nodes import Faults
from gateway.sim.modbus import SimTcp, SimUnit
from gateway.store.database import Database
from gateway.store.persons import SEALED
from gateway.store.recording import Recording

SITE = """
site: fukang
gateway: main
timezone: Asia/Shanghai
language: en
places: { b1: Building 1, b1/s1: Stair 1, b1/s1/301: Flat 301, b1/s1/302: Flat 302, b1/hall: Hall }
people: { head: { roles: [answer, shelve] }, grid-1: {}, community-1: {}, duty: {}, leader: {} }
grid:
  building: { b1: [head] }
  grid: { b1: [grid-1] }
  community: [community-1]
  street: [duty]
  district: [leader]
  ladder:
    critical: { building: 0s, grid: 2min, community: 20min, street: 40min, district: 60min }
buses:
  one:
    host: 127.0.0.1
    tcp_port: $one
    devices:
      gas-301: { profile: combustible-gas-6in1, unit_id: 1, place: b1/s1/301 }
      relay: { profile: relay-waveshare-8ch, unit_id: 9, place: b1/s1 }
  two:
    host: 127.0.0.1
    tcp_port: $two
    devices:
      air-hall: { profile: air-adtek, unit_id: 2, place: b1/hall }
      gas-hall: { profile: combustible-gas-6in1, unit_id: 3, place: b1/hall }
outputs:
  siren: { kind: siren, device: relay, point: relay2, place: b1/s1, serves: [b1] }
"""
SIREN = 1
"""Coil of relay2."""
_EVENTS = msgspec.json.Decoder(Event)


def gas_detector(unit_id: int) -> SimUnit:
    """Registers of the six-in-one module: %LEL in register 1, status in 5."""
    return SimUnit(unit_id, holding={0: 0x2000, 1: 0, 2: 10, 3: 50, 4: 100, 5: 1, 6: 0, 7: 725, 8: 0x0B00, 9: 510})


class Living:
    """The house, lived in while the block runs; ``edit`` changes its site file, ``reload`` makes it live by that."""

    def __init__(self, folder: Path, *, before: Callable[[Living], None] = lambda _living: None) -> None:
        """``before``: done to it before the first start."""
        self._before = before
        self.path, self.state = folder / "site.yaml", folder / "state"
        self.state.mkdir(mode=0o750)
        self.gas = {unit: gas_detector(unit) for unit in (1, 2)}
        self.relay = SimUnit(9, coils=dict.fromkeys(range(8), 0))
        self.air = SimUnit(2, holding={0: 223, 1: 480, 2: 0, 3: 0, 4: 0, 5: 640})
        self.hall = gas_detector(3)
        self.one, self.two = SimTcp([*self.gas.values(), self.relay]), SimTcp([self.air, self.hall])
        self.text = SITE
        self.surroundings = Surroundings()
        self._stack = contextlib.AsyncExitStack()
        self.house: House
        self.reloader: Reloader

    async def __aenter__(self) -> Self:
        self.clock = VirtualClock(asyncio.get_running_loop())
        for endpoint in (self.one, self.two):
            await self._stack.enter_async_context(endpoint)
        self.text = self.text.replace("$one", str(self.one.tcp_port)).replace("$two", str(self.two.tcp_port))
        self.edit("", "")
        self._before(self)
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self._stack.aclose()

    async def start(self) -> None:
        """Build and live, as `loudong run` does."""
        faults = Faults()
        orders = with_secrets(*read_site(self.path, faults, starting=True), self.state, faults)
        self.house = await build(orders, self.state, self.clock, self.surroundings)
        self.reloader = Reloader(self.house, self.path, self.state)
        self.house.desk.offer("reload", self.reloader.answer)
        ready = asyncio.Event()
        self._running = asyncio.create_task(self.house.run(ready.set))
        told = asyncio.ensure_future(ready.wait())
        await asyncio.wait({told, self._running}, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        assert ready.is_set() or self._running.done()

    async def stop(self) -> None:
        """SIGTERM, as it were."""
        if not self._running.done():
            self.house.stop()
            await self._running

    def edit(self, before: str, after: str) -> None:
        """Change the site file on the disk."""
        assert before in self.text
        self.text = self.text.replace(before, after)
        self.path.write_text(self.text, encoding="utf-8")

    async def reload(self) -> Reloaded:
        return await self.reloader.reload(Faults())

    async def until(self, came: Callable[[], object], what: str, seconds: float = 60) -> None:
        """Wait for it, in the house's time."""
        async with asyncio.timeout(seconds):
            while not came():
                assert not self._running.done(), self._running.result()
                await asyncio.sleep(0.5)
        assert came(), what

    def open(self) -> dict[tuple[str, str], Any]:
        """Open alerts by rule and subject."""
        return {(alert.rule, alert.subject): alert for alert in self.house.engine.alerts()}

    def rungs(self, rule: str, subject: str) -> list[str]:
        return [told.rung.value for told in self.open()[rule, subject].told]

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What the store holds, commit log and all, read from a copy beside."""
        with tempfile.TemporaryDirectory() as name:
            for path in self.state.iterdir():
                if path.is_file() and not path.name.endswith("-shm"):
                    shutil.copy(path, Path(name) / path.name)  # a key that others may read is not read
            Database.open(Path(name)).close()
            with contextlib.closing(sqlite3.connect(Path(name) / "loudong.db")) as connection:
                return connection.execute(query, values).fetchall()

    def journal(self) -> list[Event]:
        """The events on the disk, in order."""
        with Recording(self.state) as recording:
            return [_EVENTS.decode(row.body) for row in recording.rows() if SEALED not in row.body]
