"""Building the rooms: every worker that the site file describes, each handed only what it needs.

Here stands what a room is built *from* (its recipe) and how. Living in the rooms is ``house.py``, exchanging them while they
are lived in is ``reload.py``.

Theory. A room is known by the name of its worker, and its recipe is all that it was built from, less the line numbers of the
site file. Two site files with the same recipe for a room mean the same room: it may run on.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

import msgspec
import structlog
from msgspec import Struct

from gateway.actions import Want
from gateway.actuators.outputs import OutputReconciler
from gateway.app.anteroom import Ahead, Begun
from gateway.app.compound import PRESSED, bus_subject, history_worker, stream_worker, uplink_subject, worker_subject
from gateway.app.inbox import Inbox
from gateway.app.left_on import left_on
from gateway.app.orders import Orders
from gateway.app.publishing import Publishing
from gateway.app.terminals import TerminalMemory
from gateway.app.timekeeper import Timekeeper
from gateway.drivers.ble.intervals import Usual
from gateway.drivers.ble.source import AdvertSource
from gateway.drivers.modbus.lines import line_of
from gateway.drivers.modbus.poller import BusPoller
from gateway.events import DeviceHealth, Health, Quality, Scalar
from gateway.faults import DeviceFault
from gateway.instant import Instant
from gateway.nodes import Mark
from gateway.restraint import CommandAllowance
from gateway.rules.compound import HEALTH
from gateway.rules.engine import Engine
from gateway.site.model import STREAM, Bus, Door, Site
from gateway.store.registry import Registry
from gateway.store.store import Store
from gateway.supervise import Ring
from gateway.uplink.mqtt import MqttUplink
from gateway.uplink.outbox import Message

if TYPE_CHECKING:  # 20 MiB and half a second for who has neither doors nor buttons: see trades.py
    from gateway.drivers.ble.watcher import RadioWatcher
    from gateway.drivers.face.client import TerminalClient
    from gateway.drivers.face.intake import Intake
    from gateway.drivers.face.listener import TerminalListener
    from gateway.drivers.face.selftest import Finding

log = structlog.get_logger()

VITAL_S = 30.0
"""A vital part that completes no turn for this long is stuck: longer than any timeout on a bus, shorter than patience."""
REBUILT_WITHIN_S = 5.0
"""The longest a write waits for a bus that is being exchanged; its worker is given 3 s to end."""
BUTTON, INTERVAL = "button", "usual_interval_ms"
"""Where the registry keeps how often a button is heard: median and ninth decile."""
OUTPUTS, RADIO, DOORS = "outputs", "radio", "doors"


class Hand(Struct, frozen=True):
    """A worker to be hired."""

    name: str
    ring: Ring
    run: Callable[[], Coroutine[Any, Any, None]]
    vital_within_s: float | None = None


def recipes(orders: Orders) -> dict[str, bytes]:
    """Worker -> digest of all that it is built from, in the order in which they start. Ours alone: another process may make another."""
    site, secrets = orders.site, orders.secrets
    found: dict[str, object] = {bus_subject(bus.id): bus for bus in site.buses.values()}
    found[OUTPUTS] = site.outputs
    if site.buttons:
        found[RADIO] = (site.radio, site.buttons, secrets.bind_keys)
    if site.doors:
        listening = (site.listener, site.doors, site.timezone)
        found[DOORS] = (*listening, secrets.tokens, secrets.door_passwords, secrets.pseudonym_key)
    for door in site.doors.values():
        if door.history:  # it goes with the listener, whose intake it shares
            found[history_worker(door.id)] = (found[DOORS], secrets.history_passwords.get(door.id))
        if door.transport == STREAM:
            found[stream_worker(door.id)] = (found[DOORS], secrets.history_passwords.get(door.id))
    for uplink in site.uplinks.values():
        found[uplink_subject(uplink.id)] = (
            uplink,
            secrets.passwords.get(uplink.id),
            secrets.certificates.get(uplink.id),
        )
    # What a site of 63 devices says, kept only to be compared at the next reload, was 0.8 MiB.
    return {
        worker: hashlib.blake2b(repr(unmarked(thing)).encode(), digest_size=16).digest()
        for worker, thing in found.items()
    }


def unmarked(thing: object) -> object:
    """A thing of the site without its line numbers, to be compared: what is equal reads the same."""
    if isinstance(thing, Mark):
        return None
    if isinstance(thing, Struct):
        return type(thing), tuple(unmarked(getattr(thing, name)) for name in thing.__struct_fields__)
    if isinstance(thing, dict):
        return dict, sorted(((key, unmarked(value)) for key, value in thing.items()), key=repr)
    if isinstance(thing, set | frozenset):
        return set, sorted(map(unmarked, thing), key=repr)
    if isinstance(thing, list | tuple):
        return tuple(unmarked(one) for one in thing)
    return thing


class Rooms:
    """The rooms of one house."""

    def __init__(
        self,
        inbox: Inbox,
        timekeeper: Timekeeper,
        publishing: Publishing,
        store: Store,
        registry: Registry,
        beat: Callable[[str], Callable[[], None]],
        sources: Sequence[AdvertSource] | None,
        ahead: Ahead,
        *,
        downtime_known: bool,
    ) -> None:
        """``ahead``: buses that are polled already; ``downtime_known``: somebody knows how long nobody lived here, so that what
        was heard before can be dated.
        """
        self._inbox, self._timekeeper, self._publishing = inbox, timekeeper, publishing
        self._store, self._registry, self._beat, self._sources = store, registry, beat, sources
        self._dated = downtime_known
        self.pollers: dict[str, BusPoller] = {}
        """By worker, as all that follows."""
        self._ahead = ahead
        self.uplinks: dict[str, MqttUplink] = {}
        self.intake: Intake | None = None
        self._windows = _windows(inbox.engine, downtime_known=downtime_known)
        """In which a door learns its terminal; they outlast the room of the doors, and a start after which somebody knows the time."""
        self.terminals: dict[str, TerminalClient] = {}
        """By door: those that can be asked."""
        self.listener: TerminalListener | None = None
        self.radio: RadioWatcher | None = None
        self._allowance = CommandAllowance()
        """Of the principals of all uplinks."""
        self._built: dict[str, bytes] = {}
        self._lanes: dict[str, BusPoller] = {}
        self._left_on: frozenset[str] = frozenset()
        """Relays that an earlier site file left on, and the outputs' room puts off."""
        self._standing = asyncio.Event()
        """Not while a bus is being exchanged."""

    # Building ---------------------------------------------------------------------------------------

    def outdated(self, orders: Orders) -> tuple[str, ...]:
        """The workers that must go: their room is gone from the site, or is built from something else now.

        The outputs' also where a board is back of which something was left on.
        """
        wanted = recipes(orders)
        back = {OUTPUTS} if left_on(orders.site, self._inbox.engine.driven()).keys() - self._left_on else set()
        return tuple(name for name, recipe in self._built.items() if wanted.get(name) != recipe or name in back)

    def clear(self, names: Collection[str]) -> None:
        """These rooms are given up; nobody is sent to them any more. Their workers are still to be ended."""
        gone = [self.pollers.pop(name) for name in names if name in self.pollers]
        if gone:
            self._standing.clear()
        self._lanes = {device: poller for device, poller in self._lanes.items() if poller not in gone}
        for name in names:
            self._built.pop(name, None)
            self.uplinks.pop(name, None)
        self.radio = None if RADIO in names else self.radio
        if DOORS in names:
            self.terminals.clear()
            self._windows = {} if self.intake is None else self.intake.windows
            self.intake = self.listener = None

    def end(self) -> None:
        """The house ends, and whoever was too slow for it is left behind: what they held is counted."""
        for uplink in self.uplinks.values():
            uplink.end()

    def furnish(self, orders: Orders) -> list[Hand]:
        """Build what the site has and no room stands for; the hands to be hired, in the order in which they start."""
        hands = []
        for name, recipe in recipes(orders).items():
            if name not in self._built:
                self._built[name] = recipe
                hands.append(self._room(name, orders))
        self._standing.set()
        return hands

    def _room(self, name: str, orders: Orders) -> Hand:
        if name == OUTPUTS:
            return self._outputs(orders)
        if name == RADIO:
            return self._radio(orders)
        if name == DOORS:
            return self._doors(orders)
        for door in orders.site.doors.values():
            if self.intake is not None and name in {history_worker(door.id), stream_worker(door.id)}:
                return self._asking(name, door, self.intake, orders)  # the doors' room comes first
        bus = next((bus for bus in orders.site.buses.values() if bus_subject(bus.id) == name), None)
        if bus is None:
            return self._uplink(name, orders)
        return self._bus(name, bus)

    def _bus(self, name: str, bus: Bus) -> Hand:
        poller, run = self._ahead.take(name) or self._poller(name, bus)
        self.pollers[name] = poller
        self._lanes |= {device.id: poller for device in bus.devices}
        return Hand(name, Ring.LIFE, run)

    def _poller(self, name: str, bus: Bus) -> Begun:
        line = line_of(bus, self._ahead.receptions, self._ahead.ends)
        poller = BusPoller(bus, self._inbox.report, beat=self._beat(name), line=line)
        return poller, poller.run

    def _outputs(self, orders: Orders) -> Hand:
        devices = [device.id for bus in orders.site.buses.values() for device in bus.devices]
        lane, ours = _Lane(self), self._inbox.engine.driven()
        left = left_on(orders.site, ours)
        self._left_on = frozenset(left)
        self.outputs = OutputReconciler(
            orders.site.outputs | left, dict.fromkeys(devices, lane), self._inbox.report, self._beat(OUTPUTS), ours=ours
        )
        return Hand(OUTPUTS, Ring.LIFE, self.outputs.run, VITAL_S)

    def _radio(self, orders: Orders) -> Hand:
        from gateway.drivers.ble.watcher import RadioWatcher

        site, engine = orders.site, self._inbox.engine
        known = [engine.compound.subjects[button] for button in site.buttons]
        last = {button.id: press for button in known if (press := engine.last_press(button)) is not None}
        memory = {button: (press.press, press.at) for button, press in last.items()}
        self.radio = RadioWatcher(
            site.radio, site.buttons, orders.secrets.bind_keys, self._inbox.timeline.now, self._inbox.report, memory,
            self._beat(RADIO), earlier={button: press.earlier for button, press in last.items()},
            faults=self._faulty(site), held=self._held(site), sources=self._sources,
            usual=self._usual(site), learnt=self._learnt,
        )  # fmt: skip
        return Hand(RADIO, Ring.LIFE, self.radio.run)

    def _faulty(self, site: Site) -> dict[str, str]:
        """Buttons that were not well as far as the core knows, and why."""
        engine = self._inbox.engine
        health = {button: engine.fact(button, HEALTH) for button in site.buttons}
        ill = [button for button, fact in health.items() if fact is not None and fact.value != Health.OK.value]
        return {button: str(fact.value) if (fact := engine.fact(button, "reason")) else "" for button in ill}

    def _held(self, site: Site) -> dict[str, Instant | None]:
        """Buttons without counter that are pressed as far as the core knows, and when it was last told so."""
        facts = {button: self._inbox.engine.fact(button, PRESSED) for button in site.buttons}
        held = {
            button: fact.at if self._dated else None for button, fact in facts.items() if fact and fact.value is True
        }
        self._dated = True  # rooms that are built anew later follow others in the same run
        return held

    def _doors(self, orders: Orders) -> Hand:
        from gateway.drivers.face.intake import Intake
        from gateway.drivers.face.listener import TerminalListener

        site, secrets = orders.site, orders.secrets
        self.intake = Intake(
            site.doors, secrets.pseudonym_key, self._timekeeper.wall_ms, self._inbox.report, self._inbox.timeline.now,
            TerminalMemory(lambda: self._inbox.engine), timezone=site.timezone, windows=self._windows,
        )  # fmt: skip
        self.listener = TerminalListener(
            site.listener, self.intake, secrets.tokens, secrets.door_passwords, self._beat(DOORS)
        )
        return Hand(DOORS, Ring.SERVICE, self.listener.run)

    def _asking(self, name: str, door: Door, intake: Intake, orders: Orders) -> Hand:
        """A worker that asks a terminal; all of one door share one client, so that a refused login counts once."""
        from gateway.drivers.face.client import TerminalClient
        from gateway.drivers.face.historian import Historian
        from gateway.drivers.face.stream import TerminalStream

        if name == history_worker(door.id):
            self.terminals[door.id] = TerminalClient(door, orders.secrets.history_passwords[door.id])
        client = self.terminals[door.id]

        def set_health(health: Health, reason: str, detail: str) -> None:
            self._inbox.report(DeviceHealth(worker_subject(name), health, reason, detail))

        worker = Historian if name == history_worker(door.id) else TerminalStream
        return Hand(name, Ring.SERVICE, worker(door, intake, client, set_health, self._beat(name)).run)

    async def test_door(self, name: str, orders: Orders) -> list[Finding] | None:
        """How a door's terminal is set up; None for a door that is not there."""
        from gateway.drivers.face.selftest import examine

        door, intake, listener = orders.site.doors.get(name), self.intake, self.listener
        if door is None or intake is None or listener is None:
            return None
        token = orders.secrets.tokens.get(name, "")
        return await examine(door, intake, self.terminals.get(name), token=token, port=listener.port)

    def _uplink(self, name: str, orders: Orders) -> Hand:
        uplink = next(one for one in orders.site.uplinks.values() if uplink_subject(one.id) == name)
        self.uplinks[name] = MqttUplink(
            uplink, orders.site.id, orders.site.gateway, Outbox(self._store), self._inbox.report,
            status=self._publishing.status_message, devices=self._publishing.device_messages,
            password=orders.secrets.passwords.get(uplink.id), wall_ms=self._timekeeper.wall_ms,
            beat=self._beat(name), allowance=self._allowance,
        )  # fmt: skip
        return Hand(name, Ring.SERVICE, self.uplinks[name].run)

    # What is asked of them --------------------------------------------------------------------------

    def want(self, want: Want) -> None:
        """An output's desired state."""
        self.outputs.want(want)

    def device_back(self, device: str) -> None:
        """A device answers again."""
        self.outputs.device_back(device)

    def point_read(self, device: str, point: str, value: Scalar | None, quality: Quality) -> None:
        """What a point is now, perhaps that of an output."""
        self.outputs.point_read(device, point, value, quality)

    def reread(self, device: str, point: str) -> None:
        """A second look at a dangerous value, if its bus stands."""
        if device in self._lanes:
            self._lanes[device].reread(device, point)

    def clock_moved(self) -> None:
        """The wall clock is another."""
        for uplink in self.uplinks.values():
            uplink.clock_moved()

    def reenrol(self, button: str) -> None:
        """A button's counter begins anew."""
        if self.radio is not None:
            self.radio.reenrol(button)

    def pair(self, door: str, for_ms: int) -> None:
        """A door learns its terminal for so long."""
        if self.intake is not None:
            self.intake.open_window(door, for_ms)

    async def lane(self, device: str) -> BusPoller:
        """The bus of a device, waiting where it is being exchanged. Raises DeviceFault where there is none."""
        if device not in self._lanes:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REBUILT_WITHIN_S):
                    await self._standing.wait()
        if device not in self._lanes:
            raise DeviceFault("port_gone", device)
        return self._lanes[device]

    def units(self) -> list[dict[str, Any]]:
        """Every device of every bus, as its poller sees it."""
        return [unit for poller in self.pollers.values() for unit in poller.overview()]

    def buses(self) -> list[dict[str, Any]]:
        """Every bus as a whole."""
        return [poller.review.standing() for poller in self.pollers.values()]

    def counts(self) -> dict[str, int]:
        """What was counted since the rooms were built, for the status and for whoever looks for a bad cable."""
        counted: Counter[str] = Counter()
        for name, poller in self.pollers.items():
            line = msgspec.to_builtins(poller.line.tally.line)
            counted.update({f"{name}.{field}": n for field, n in line.items()})
        if self.radio is not None:
            counted.update({f"radio.{name}": n for name, n in self.radio.counts.items()})
        if self.listener is not None:
            counted.update({f"doors.{name}": n for name, n in self.listener.counters.items()})
        for worker, uplink in self.uplinks.items():
            counted.update({f"{worker}.{name}": n for name, n in uplink.counts.items()})
        counted.update({f"outputs.{name}": n for name, n in self.outputs.counters.items()})
        return dict(counted)

    def _usual(self, site: Site) -> dict[str, Usual]:
        """The usual intervals of the buttons, as they were learnt in runs before."""
        learnt = {button: self._registry.get(BUTTON, button).get(INTERVAL) for button in site.buttons}
        return {button: Usual(*numbers) for button, numbers in learnt.items() if _is_interval(numbers)}

    def _learnt(self, button: str, usual: Usual, means_another: bool) -> None:
        fields = {INTERVAL: [usual.interval_ms, usual.nine_in_ten_ms, usual.longest_ms]}
        self._registry.note(BUTTON, button, fields, meaning=means_another)


def _windows(engine: Engine, *, downtime_known: bool) -> dict[str, Instant]:
    """Those that a restart left open. Where nobody knows how long it took none is: whoever waits at the door would wait for nothing."""
    windows = engine.open_windows()
    if downtime_known:
        return windows
    for door in windows:
        log.warning("pairing_shut", door=door, reason="downtime_unknown")
    return {}


def _is_interval(numbers: object) -> TypeGuard[list[int]]:
    """What the registry holds may be of another version, or of another hand."""
    return isinstance(numbers, list) and len(numbers) in {2, 3} and all(type(one) is int and one > 0 for one in numbers)


class _Lane:
    """Whatever bus a device stands on now: outputs run on while their bus is exchanged under them."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def write(self, device: str, point: str, on: bool, written: Callable[[], None]) -> None:
        poller = await self._rooms.lane(device)
        try:
            await poller.write(device, point, on, written)
        except DeviceFault as fault:
            await self._go_on(device, poller, fault)
            await self.write(device, point, on, written)

    async def read(self, device: str, point: str) -> tuple[Scalar | None, Quality]:
        poller = await self._rooms.lane(device)
        try:
            return await poller.read(device, point)
        except DeviceFault as fault:
            await self._go_on(device, poller, fault)
            return await self.read(device, point)

    async def _go_on(self, device: str, before: BusPoller, fault: DeviceFault) -> None:
        """Raises the fault, unless it only says that the bus has made room for another."""
        if fault.reason != "stopped" or await self._rooms.lane(device) is before:
            raise fault


class Outbox:
    """The store's outbox as one uplink sees it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def take(self, uplink: str, lane: str, n: int) -> list[Message]:
        taken = await self._store.take(uplink, lane, n)
        return [Message(m.lane, m.sequence, m.id, m.topic, m.body) for m in taken]

    async def advance(self, uplink: str, lane: str, sequence: int) -> None:
        await self._store.advance(uplink, lane, sequence)

    async def set_aside(self, uplink: str, lane: str, sequence: int) -> None:
        await self._store.set_aside(uplink, lane, sequence)

    async def settle(self, uplink: str, lane: str, sequence: int) -> None:
        await self._store.settle(uplink, lane, sequence)

    async def aside(self, uplink: str) -> list[tuple[str, int]]:
        return await self._store.aside(uplink)

    async def find(self, lane: str, sequence: int) -> Message | None:
        m = await self._store.find(lane, sequence)
        return None if m is None else Message(m.lane, m.sequence, m.id, m.topic, m.body)

    def follow(self, call: Callable[[], None]) -> Callable[[], None]:
        return self._store.follow(call)
