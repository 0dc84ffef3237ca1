"""The house: every room built and joined. The one file that knows them all.

``build`` opens the store and gives a house whose core stands where the last run left it; ``House.run`` lives in it until it is
told to stop. Tests build the same house on a virtual clock.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from gateway import __version__
from gateway.actuators.outputs import OutputReconciler
from gateway.alerts import Alert
from gateway.app.chronicle import Chronicle
from gateway.app.compound import bus_subject, uplink_subject, worker_subject
from gateway.app.desk import Desk
from gateway.app.inbox import Inbox
from gateway.app.publishing import Publishing
from gateway.app.secrets import Secrets
from gateway.app.timekeeper import Timekeeper
from gateway.clock import Clock, Timeline, resume
from gateway.control.folder import SOCKET_NAME
from gateway.control.protocol import Refusal
from gateway.control.server import ControlServer
from gateway.drivers.ble.source import AdvertSource
from gateway.drivers.ble.watcher import RadioWatcher
from gateway.drivers.face.listener import TerminalListener
from gateway.drivers.modbus.poller import BusPoller
from gateway.events import Boot, DeviceHealth, Health, SiteLoaded
from gateway.faults import StoreFault
from gateway.instant import ClockQuality, Instant, Stamp
from gateway.rules.compound import STORE, Compound
from gateway.rules.engine import Engine
from gateway.rules.ledger import Row
from gateway.site.model import Site
from gateway.store.registry import Registry
from gateway.store.rows import Loaded, Part, StateRow
from gateway.store.store import Store
from gateway.store.telemetry import Telemetry
from gateway.supervise import Ring, Supervisor
from gateway.uplink.mqtt import MqttUplink
from gateway.uplink.outbox import Message

log = structlog.get_logger()

ID_DIGITS = 16
CLOSED_SEARCHED = 1_000
PATIENT_OPEN_S = 60.0
"""Within the unit's TimeoutStartSec."""
KEPT_LATE = frozenset({"alert", "closed", "press"})
"""State of a run without its disk that may be laid over what the disk holds: alerts early rather than never."""
STOP_STORE_S = 1.5
"""After at most 3 s for the workers: SIGTERM ends the gateway within 5 s."""
VITAL_S = 30.0
"""A vital part that completes no turn for this long is stuck: longer than any timeout on a bus, shorter than patience."""


class OpenedLateError(Exception):
    """The database could be opened only after the start: a new start knows the alerts that are in it, we do not.

    What came meanwhile is committed by then. ``running`` answers it by beginning anew, once and patiently.
    """


class Surroundings(Struct, frozen=True):
    """What a house stands on, where it is not the machine itself (tests, the demo)."""

    sources: Sequence[AdvertSource] | None = None
    """Ears instead of BlueZ."""
    pool: Executor | None = None
    """Runs the disk's work instead of a thread."""
    patient: bool = False
    """The last start was too early for the disk: wait longer, and do not begin anew a second time."""


class _Outbox:
    """The store's outbox as one uplink sees it."""

    def __init__(self, store: Store) -> None:
        self._store, self._seen = store, -1

    async def take(self, uplink: str, lane: str, n: int) -> list[Message]:
        taken = await self._store.take(uplink, lane, n)
        return [Message(m.lane, m.sequence, m.id, m.topic, m.body) for m in taken]

    async def advance(self, uplink: str, lane: str, sequence: int) -> None:
        await self._store.advance(uplink, lane, sequence)

    async def wait(self) -> None:
        self._seen = await self._store.wait_messages(self._seen)


class House:
    """All rooms of one gateway, joined."""

    def __init__(
        self, site: Site, compound: Compound, folder: Path, secrets: Secrets, store: Store, surroundings: Surroundings
    ) -> None:
        self.site, self.compound, self.store = site, compound, store
        self._folder, self._secrets, self._surroundings = folder, secrets, surroundings
        self.engine = Engine(compound)
        self.supervisor = Supervisor(self._worker_failed, self._worker_recovered)
        self.pollers: dict[str, BusPoller] = {}
        self.uplinks: dict[str, MqttUplink] = {}
        self.listener: TerminalListener | None = None
        self.radio: RadioWatcher | None = None
        self._late = asyncio.Event()

    # Building ---------------------------------------------------------------------------------------

    def found(self, loaded: Loaded, clock: Clock) -> None:
        """Stand the core where the last run left it, build the rooms around it, and tell it of the boot."""
        now = clock.stamp()
        last = (
            None
            if loaded.stamp is None
            else (Instant(loaded.stamp[0]), msgspec.json.decode(loaded.stamp[1], type=Stamp))
        )
        origin, downtime = resume(last, now)
        self.timeline = Timeline(clock, origin, now)
        unreadable = self.engine.restore(Row(row.kind, row.key, row.body) for row in loaded.state)
        self.engine.register.continue_lanes(loaded.sequences)
        self.publishing = Publishing(self.site, self.engine, now.boot_id, loaded.run, self.store)
        self.inbox = Inbox(self.engine, self.timeline, loaded.run, self.store, self.publishing.message)
        self.run_name = loaded.run
        self._furnish()
        self.store.on_mode(self._store_mode)
        offset = self.timeline.offset_ms(now) if now.clock is ClockQuality.SYNCED else None
        self.inbox.report(Boot(loaded.run, now.boot_id, now.clock, downtime, offset, __version__))
        self.inbox.report(SiteLoaded(self.compound.fingerprint))
        notes = (*loaded.notes, *self._secrets.notes, *(f"state_unreadable: {row}" for row in unreadable))
        self._report_store(notes)

    def _report_store(self, notes: tuple[str, ...]) -> None:
        """How the store was found: well, mended, or unwilling."""
        well = not notes and self.store.mode == "disk"
        reason = "" if well else "store_mended" if self.store.mode == "disk" else "store_memory"
        self.inbox.report(DeviceHealth(STORE, Health.OK if well else Health.FAULTY, reason, ", ".join(notes)))

    def _furnish(self) -> None:
        """Every room, each handed only what it needs."""
        beat = self._beat
        report = self.inbox.report
        self.timekeeper = Timekeeper(
            self.timeline, lambda: self.engine.anchor_at(self.timeline.now()), report, beat("timekeeper")
        )
        for bus in self.site.buses.values():
            self.pollers[bus.id] = BusPoller(bus, report, beat=beat(bus_subject(bus.id)))
        lanes = {d.id: self.pollers[bus.id] for bus in self.site.buses.values() for d in bus.devices}
        self.outputs = OutputReconciler(self.site.outputs, lanes, report, beat("outputs"), ours=self.engine.driven())
        if self.site.buttons:
            memory = {press.press.button: (press.press, press.at) for press in self.engine.presses.values()}
            self.radio = RadioWatcher(
                self.site.radio, self.site.buttons, self._secrets.bind_keys, self.timeline.now, report, memory,
                beat("radio"), sources=self._surroundings.sources, neighbour=self._neighbour,
            )  # fmt: skip
        if self.site.doors:
            self.listener = TerminalListener(
                self.site.listener, self.site.doors, self._secrets.tokens, self._secrets.pseudonym_key,
                self.timekeeper.wall_ms, report, beat("doors"), timezone=self.site.timezone,
            )  # fmt: skip
        for uplink in self.site.uplinks.values():
            self.uplinks[uplink.id] = MqttUplink(
                uplink, self.site.id, self.site.gateway, _Outbox(self.store), report,
                status=self.publishing.status_message, devices=self.publishing.device_messages,
                password=self._secrets.passwords.get(uplink.id), wall_ms=self.timekeeper.wall_ms,
                beat=beat(uplink_subject(uplink.id)),
            )  # fmt: skip
        self.registry = Registry(self._folder, self.timeline.now)
        self.telemetry = Telemetry(self._folder)
        self.chronicle = Chronicle(
            self.compound, self.site.gateway, self.telemetry, self.registry, self.uplinks.values()
        )
        self.desk = Desk(self.compound, self.site.people, self.engine.alerts, report, self.timeline.now)
        self.control = ControlServer(self._folder / SOCKET_NAME, self.desk.answer)
        self._connect(lanes)

    def _connect(self, lanes: Mapping[str, BusPoller]) -> None:
        self.inbox.connect(
            self.outputs.want,
            lambda device, point: lanes[device].reread(device, point),
            self.chronicle.follow,
            self._reenrol,
        )
        self.chronicle.connect(self.outputs.device_back)
        self.publishing.counts = self.counts
        self.desk.connect(self._status, self.engine.anchor_at, self._histories, self._closed)

    # Living -----------------------------------------------------------------------------------------

    async def run(self, ready: Callable[[], None]) -> None:
        """Live until ``stop``; raises the bug that a worker of the life ring had."""
        await self.store.keep_uplinks(self.site.uplinks)
        self._hire()
        ready()
        try:
            await self.supervisor.run()
        finally:
            await self.store.stop(within_s=STOP_STORE_S)
            self.registry.flush()

    def stop(self) -> None:
        """Ask ``run`` to end."""
        self.supervisor.stop()

    def _hire(self) -> None:
        """Every worker with its ring (design, decision 6)."""
        add, life, service = self.supervisor.add, Ring.LIFE, Ring.SERVICE
        add("store", life, self._keep_store, vital_within_s=VITAL_S)
        add("core", life, lambda: self.inbox.run(self._beat("core")), vital_within_s=VITAL_S)
        add("timekeeper", life, self.timekeeper.run, vital_within_s=VITAL_S)
        for name, poller in self.pollers.items():  # before the outputs, which still need them while they end
            add(bus_subject(name), life, poller.run)
        add("outputs", life, self.outputs.run, vital_within_s=VITAL_S)
        if self.radio is not None:
            add("radio", life, self.radio.run)
        if self.listener is not None:
            add("doors", service, self.listener.run)
        for name, uplink in self.uplinks.items():
            add(uplink_subject(name), service, uplink.run)
        add("chronicle", service, self._chronicle)
        add("control", service, self.control.run)

    async def _keep_store(self) -> None:
        """The store has its own task; its turns are the beat, its bugs come out here, and so does a call for a new start."""
        tending = asyncio.ensure_future(self.store.tend(self._beat("store")))
        late = asyncio.ensure_future(self._late.wait())
        try:
            await asyncio.wait({tending, late}, return_when=asyncio.FIRST_COMPLETED)
            if late.done():
                raise OpenedLateError
            tending.result()
        finally:
            tending.cancel()
            late.cancel()

    async def _chronicle(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.telemetry.run())
            tasks.create_task(self.registry.run())
            tasks.create_task(
                self.chronicle.run(self.timeline.now, self.engine.anchor_at, self.run_name, self._beat("chronicle"))
            )

    # What the rooms tell each other -----------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """What was counted since the start, for the status and for whoever looks for a bad cable."""
        counted: Counter[str] = Counter()
        for name, poller in self.pollers.items():
            line = msgspec.to_builtins(poller.line.tally.line)
            counted.update({f"{bus_subject(name)}.{field}": n for field, n in line.items()})
        if self.radio is not None:
            counted.update({f"radio.{name}": n for name, n in self.radio.counts.items()})
        if self.listener is not None:
            counted.update({f"doors.{name}": n for name, n in self.listener.counters.items()})
        for uplink in self.uplinks.values():
            counted.update({f"{uplink_subject(uplink.uplink.id)}.{name}": n for name, n in uplink.counts.items()})
        counted.update({f"outputs.{name}": n for name, n in self.outputs.counters.items()})
        counted["control.refused"] = self.control.refused
        return dict(counted)

    def _reenrol(self, button: str) -> None:
        if self.radio is not None:
            self.radio.reenrol(button)

    def _status(self) -> dict[str, Any]:
        shown: dict[str, Any] = msgspec.to_builtins(self.publishing.status())
        return shown

    async def _histories(self, alert: str) -> list[dict[str, Any]]:
        try:
            rows = await self.store.history(await self._closed_id(alert))
        except StoreFault as fault:
            raise Refusal("store_fault", str(fault)) from None
        return [{"at": r.at, "revision": r.revision, "kind": r.kind, "who": r.who, "reason": r.reason} for r in rows]

    async def _closed_id(self, asked: str) -> str:
        """The whole id of a closed alert of which the beginning was given."""
        if len(asked) >= ID_DIGITS or not asked:
            return asked
        found = [row.key for row in await self.store.recent_closed(CLOSED_SEARCHED) if row.key.startswith(asked)]
        if len(found) > 1:
            raise Refusal("ambiguous", " ".join(found))
        return found[0] if found else asked

    async def _closed(self, most: int) -> list[Alert]:
        """The alerts closed last, newest first."""
        try:
            rows = await self.store.recent_closed(min(most, CLOSED_SEARCHED))
        except StoreFault as fault:
            raise Refusal("store_fault", str(fault)) from None
        return [msgspec.msgpack.decode(row.body, type=Alert) for row in rows if row.body is not None]

    def _beat(self, worker: str) -> Callable[[], None]:
        return lambda: self.supervisor.beat(worker)

    def _neighbour(self, address: str, name: str, rssi: int | None) -> None:
        self.registry.note("neighbour", address, {"name": name, "rssi_dbm": rssi})

    def _worker_failed(self, worker: str, reason: str, detail: str) -> None:
        self.inbox.report(DeviceHealth(worker_subject(worker), Health.FAULTY, reason, detail))

    def _worker_recovered(self, worker: str) -> None:
        self.inbox.report(DeviceHealth(worker_subject(worker), Health.OK))

    def _store_mode(self, mode: str, reason: str) -> None:
        """The disk refuses, or is well again; a database made anew is given everything the core knows."""
        if reason == "late" and not self._surroundings.patient:
            self._late.set()
        if reason == "rebuilt":
            rows = self.engine.snapshot()
            self.store.put(Part(state=tuple(StateRow(row.kind, row.key, row.body) for row in rows), urgent=True))
        well = mode == "disk" and reason != "late"  # late: what the disk holds waits for the next start
        said = "" if well else "store_memory" if mode == "memory" else "store_mended"
        self.inbox.report(DeviceHealth(STORE, Health.OK if well else Health.FAULTY, said, reason))


async def build(
    site: Site,
    compound: Compound,
    folder: Path,
    secrets: Secrets,
    clock: Clock,
    surroundings: Surroundings | None = None,
) -> House:
    """Open the store of ``folder`` and build the house on it. The caller holds the claim on the folder."""
    around = surroundings or Surroundings()
    store = Store(folder, around.pool, open_s=PATIENT_OPEN_S if around.patient else None, kept_late=KEPT_LATE)
    loaded = await store.start()
    house = House(site, compound, folder, secrets, store, around)
    house.found(loaded, clock)
    return house
