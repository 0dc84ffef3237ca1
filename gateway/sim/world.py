"""The devices of any site, simulated: they answer on its buses as their profiles say, send on the air, push at its doors.

What can happen to them is said in the timetable language; the world never looks into the daemon.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from gateway.events import Actuated, DeviceHealth, Entry, Event, Health, Press, PressKind, Reading
from gateway.nodes import Faults
from gateway.sim.air import Air
from gateway.sim.beacons import SimBeacon, SimMiBeacon, simulated
from gateway.sim.buttons import SimButton
from gateway.sim.fobs import SimFob
from gateway.sim.image import CannotSimulate, Image, NotThere
from gateway.sim.modbus import Flash, SimBus, SimTcp, SimUnit
from gateway.sim.staging import Staged
from gateway.sim.terminal import SimTerminal
from gateway.sim.terminal_server import TerminalServer
from gateway.site.model import STREAM, Bus, Button, Output, Site
from gateway.site.profile import PointSpec, Space
from gateway.site.reading import load_site

Sender = SimButton | SimMiBeacon | SimBeacon

_FAILURE = 4
"""Modbus exception "server device failure": a device that answers and cannot."""
_MOVES_S = 0.3
"""How long a simulated valve takes to reach its end switch."""
_BEAT_S = 1.0
_PAUSE_S, _ROUND_S = 1.0, 4.0
"""Between two buttons that nobody presses, and for all of a few; real ones are heard more seldom, which nobody wants to wait for."""


class SimWorld:
    """Every device of a staged site; an async context manager. ``moved`` is told of each output that moved."""

    def __init__(
        self,
        staged: Staged,
        folder: Path,
        *,
        with_bluez: bool | None = None,
        moved: Callable[[str, bool], None] | None = None,
        buses: Collection[str] | None = None,
    ) -> None:
        """``buses``: those that are ours; None: all."""
        site = load_site(staged.site, Faults())
        if site is None:
            raise FileNotFoundError(staged.site)
        self.site: Site = site
        self.images: dict[str, Image] = {}
        self.units: dict[str, SimUnit] = {}
        self.outputs: dict[str, bool] = dict.fromkeys(site.outputs, False)
        """What the relays really do."""
        self._moved = moved or (lambda _output, _on: None)
        self.buses = {bus.id: self._bus(bus) for bus in site.buses.values() if buses is None or bus.id in buses}
        self.air = Air(folder, with_bluez=with_bluez)
        now = int(time.time())
        self.buttons = {
            button.id: sim
            for button in site.buttons.values()
            if (sim := _button(button, staged.keys.get(button.id), now)) is not None
        }
        self.fobs: dict[str, SimFob] = {}
        """Buttons that must be connected to; only where there is a BlueZ."""
        self.terminals = {
            name: SimTerminal(
                _push_url(site, name, token),
                heartbeat_s=site.doors[name].heartbeat_ms / 2000,
                retry_s=1.0,
                first_serial=now,
                login=(login.username, login.password) if (login := staged.pushes.get(name)) else None,
            )
            for name, token in staged.tokens.items()
        }
        self._servers = [
            TerminalServer(
                self.terminals[name],
                (login.username, login.password),
                push_url=self.terminals[name].url,
                port=login.port,
                stream_heartbeat_s=site.doors[name].heartbeat_ms / 2000,
            )
            for name, login in staged.servers.items()
        ]
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[Any]] = set()
        for output in site.outputs.values():
            if output.device in self.units:
                self._wire(output)

    async def __aenter__(self) -> Self:
        for part in (*self.buses.values(), self.air, *self.terminals.values(), *self._servers):
            await self._stack.enter_async_context(part)
        if self.air.bluez is not None:
            fobs = [button for button in self.site.buttons.values() if button.format == "gatt"]
            self.fobs = {button.id: SimFob(self.air.bluez, button.address) for button in fobs}
        self.soon(self._button_beats())
        self.soon(self._fob_calls())
        self.soon(self._device_beats())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    # What can happen ----------------------------------------------------------------------------------

    async def happen(self, event: Event) -> None:
        """Let one line of a timetable happen at the devices. Raises CannotSimulate, which names what cannot."""
        if isinstance(event, Reading):
            self._image(event.device).put(event.point, event.value, event.quality)
        elif isinstance(event, DeviceHealth):
            self._fare(event.device, event.health)
        elif isinstance(event, Press):
            await self.press(event.button, event.kind.value)
        elif isinstance(event, Entry):
            self._enter(event)
        elif isinstance(event, Actuated):
            self._stick(event.output, stuck=not event.confirmed)
        else:
            raise CannotSimulate(type(event).__name__)

    async def press(self, button: str, kind: str = PressKind.SINGLE.value) -> None:
        """One press, repeated on the air as the vendor repeats it."""
        if button in self.fobs:
            await self.fobs[button].press()
            return
        sim = self.buttons.get(button)
        if sim is None:
            raise CannotSimulate(button) if button in self.site.buttons else NotThere("button", button)
        try:
            await _press(sim, kind, self.air)
        except KeyError:
            raise CannotSimulate(f"{button} {kind}") from None

    @property
    def listened_to(self) -> bool:
        """Whether somebody listens to the air, or there is no button that could be heard."""
        return self.air.heard or not (self.buttons or self.fobs)

    def hears(self, button: str) -> bool:
        """Whether a press would be heard now, of a button that there is; a fob is heard by whoever is connected to it."""
        return self.fobs[button].notifying if button in self.fobs else button not in self.buttons or self.air.heard

    def soon(self, doing: Awaitable[Any]) -> None:
        """Let something go on beside; it ends with the world."""
        task = asyncio.ensure_future(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _image(self, device: str) -> Image:
        if device not in self.images:
            raise NotThere("device", device)
        return self.images[device]

    def _fare(self, name: str, health: Health) -> None:
        """A device, or a whole bus (``bus-NAME``)."""
        bus = name.removeprefix("bus-")
        if name.startswith("bus-") and bus in self.site.buses:
            devices = [device.id for device in self.site.buses[bus].devices]
        elif name in self.terminals:
            terminal = self.terminals[name]
            return terminal.restore_network() if health is Health.OK else terminal.cut_network()
        else:
            devices = [name]
        for device in devices:
            self._image(device)
            self.units[device].silent = health is Health.LOST
            self.units[device].exception = _FAILURE if health is Health.FAULTY else 0
        return None

    def _enter(self, entry: Entry) -> None:
        terminal = self.terminals.get(entry.terminal)
        doing = _ENTRIES.get((entry.type, entry.subject)) or _ENTRIES.get((entry.type, ""))
        if entry.terminal not in self.site.doors:
            raise NotThere("door", entry.terminal)
        if entry.person is not None:  # a pseudonym does not lead back to the face that it was made of
            raise CannotSimulate(f"{entry.terminal} {entry.type} {entry.person}")
        if terminal is None or doing is None:
            raise CannotSimulate(f"{entry.terminal} {entry.type} {entry.subject}")
        doing(terminal)

    def _stick(self, output: str, *, stuck: bool) -> None:
        if output not in self.site.outputs:
            raise NotThere("output", output)
        self.units[self.site.outputs[output].device].stuck = stuck

    # The devices --------------------------------------------------------------------------------------

    def _bus(self, bus: Bus) -> SimBus | SimTcp:
        units = []
        for device in bus.devices:
            unit = SimUnit(device.unit_id)
            twin = next((one for one in self.images.values() if one.profile.id == device.profile.id), None)
            self.images[device.id], self.units[device.id] = Image(device.profile, unit, twin), unit
            units.append(unit)
        return SimBus(units, bus.port) if bus.port else SimTcp(units, bus.tcp_port)

    def _wire(self, output: Output) -> None:
        """What hangs on a relay: it moves, and its end switch closes a little later."""
        unit, before = self.units[output.device], self.units[output.device].on_write
        point = self.images[output.device].points[output.point]
        on_at = point.address if point.write_on_address is None else point.write_on_address
        off_at = point.address if point.write_off_address is None else point.write_off_address
        shown = _shown(point)
        unit.flashes |= _flashes(point, shown)

        def wrote(address: int, value: int) -> None:
            if before is not None:
                before(address, value)
            if on_at != off_at and address in {on_at, off_at}:
                self._move(output, on=address == on_at)
            elif address == on_at and value in {*shown, point.write_on, point.write_off}:
                self._move(output, on=value in {shown[0], point.write_on})

        unit.on_write = wrote

    def _move(self, output: Output, *, on: bool) -> None:
        image, point = self.images[output.device], self.images[output.device].points[output.point]
        shown = point.shown_on if on else point.shown_off
        if shown is not None:
            image.show(output.point, shown)
        if output.latching and not on:  # it stays as the pulse has put it
            return
        if self.outputs[output.id] is not on:
            self.outputs[output.id] = on
            self._moved(output.id, on)
        device, _, name = output.feedback.partition(".")
        if device in self.images:
            proves = on if output.feedback_means != "off" else not on
            asyncio.get_running_loop().call_later(_MOVES_S, self.images[device].put, name, proves)

    async def _device_beats(self) -> None:
        while True:
            for image in self.images.values():
                image.beat()
            await asyncio.sleep(_BEAT_S)

    async def _button_beats(self) -> None:
        """One button after the other, so often that neither a button is missed nor the radio seems deaf."""
        if not self.buttons:
            return
        count = len(self.buttons)
        beats = [b.heartbeat_ms / 2000 for b in self.site.buttons.values() if b.heartbeat_ms]
        pause = min(
            self.site.radio.silence_ms / 4000, min(beats, default=60.0) / count, max(_PAUSE_S, _ROUND_S / count)
        )
        while True:
            for fob in self.fobs.values():
                await fob.advertise()
            for button in self.buttons.values():
                if not button.radio.locked():
                    await _beat(button, self.air, min(0.2, pause / 2))
                await asyncio.sleep(pause)

    async def _fob_calls(self) -> None:
        """A fob that nobody holds calls all the time."""
        while True:
            for fob in self.fobs.values():
                await fob.advertise()
            await asyncio.sleep(_BEAT_S)


def _button(button: Button, key: str | None, counter: int) -> Sender | None:
    """The button, its counter beyond that of any simulation before; None for one that sends no advertisements."""
    sim = simulated(button, None if key is None else bytes.fromhex(key))
    if isinstance(sim, SimButton | SimMiBeacon):
        sim.counter = counter
    return sim


async def _press(sim: Sender, kind: str, air: Air) -> None:
    """Raises KeyError where this button knows no such press."""
    match sim:
        case SimButton():
            await sim.send(sim.press(kind), air.send)
        case SimMiBeacon():
            await sim.send(sim.press(kind), air.send)
        case SimBeacon():  # it knows only one kind
            await sim.send(sim.press(), air.send)


async def _beat(sim: Sender, air: Air, spread_s: float) -> None:
    """What it sends while nobody presses."""
    match sim:
        case SimButton():
            await sim.send(sim.heartbeat(), air.send, repeats=2, spread_s=spread_s)
        case SimMiBeacon():
            await sim.send(sim.heartbeat(), air.send, repeats=2, spread_s=spread_s)
        case SimBeacon() if (idle := sim.heartbeat()) is not None:
            await sim.send(idle, air.send)


def _shown(point: PointSpec) -> tuple[int, int]:
    """What reads back at its own place once it is on, and off."""
    if point.space is Space.COIL:
        on, off = (1, 0) if point.write_raw else (int(bool(point.write_on)), int(bool(point.write_off)))
    else:
        on, off = point.write_on, point.write_off
    return on if point.shown_on is None else point.shown_on, off if point.shown_off is None else point.shown_off


def _flashes(point: PointSpec, shown: tuple[int, int]) -> dict[tuple[int, int], Flash]:
    """What its board times itself: pulses of any length, the one that on is, or how long it holds on to what nobody renews.

    A board whose off is a pulse of no length is one that obeys nothing else while a pulse runs: why else would its profile say so.
    """
    function, on_at = 5 if point.space is Space.COIL else 6, point.write_on_address
    on_at = point.address if on_at is None else on_at
    if flash := point.flash:
        at = point.address if flash.address is None else flash.address
        alone = flash.address is None and point.write_off == flash.base
        told = Flash(point.address, flash.step_ms / 1000, flash.base, flash.most, shown, alone)
        return {(function, at): told}
    if point.pulse_ms:
        return {(function, on_at): Flash(point.address, point.pulse_ms / point.write_on / 1000, shown=shown)}
    if point.repeat_ms and function == 6:
        return {(function, on_at): Flash(point.address, point.repeat_ms / 1000, point.write_on - 1, 1, shown)}
    return {}


def _push_url(site: Site, door: str, token: str) -> str:
    """Where a terminal pushes to; one that is listened to pushes nowhere."""
    if site.doors[door].transport == STREAM:
        return ""
    return f"http://127.0.0.1:{site.listener.port}/hikvision/{door}/{token}"


_ENTRIES: dict[tuple[str, str], Callable[[SimTerminal], int]] = {
    ("access.granted", ""): SimTerminal.pass_known,
    ("access.denied", "stranger"): SimTerminal.stranger,
    ("access.denied", "unknown"): SimTerminal.stranger,
    ("access.denied", "blocklisted"): SimTerminal.blocklisted,
    ("alarm.blocklist", ""): SimTerminal.blocklisted,
    ("alarm.duress", ""): SimTerminal.duress,
    ("alarm.tamper", ""): SimTerminal.tamper,
    ("door.forced", ""): SimTerminal.door_forced,
    ("door.opened", ""): SimTerminal.door_opened,
    ("door.closed", ""): SimTerminal.door_closed,
    ("door.held_open", ""): SimTerminal.held_open,
    ("door.exit_button", ""): SimTerminal.exit_button,
    ("device.log_nearly_full", ""): SimTerminal.log_nearly_full,
}
"""(entry type, subject or any) -> what the terminal does."""
