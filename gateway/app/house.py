"""The house: the core and the rooms around it, joined, and life in them.

``build`` opens the store and gives a house whose core stands where the last run left it; ``House.run`` lives in it until it is
told to stop. What the site file describes is built in ``rooms.py``. Tests build the same house on a virtual clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from gateway import __version__
from gateway.actions import OutputState
from gateway.alerts import Alert, Response
from gateway.app.anteroom import Ahead
from gateway.app.chronicle import Chronicle
from gateway.app.compound import SITE_HEALTH, life_safety_alone, worker_subject
from gateway.app.crashes import Crashes
from gateway.app.desk import Desk
from gateway.app.errand import Errand
from gateway.app.hanging import Hourglass
from gateway.app.inbox import EVENT_QUARANTINED, Inbox, Kept
from gateway.app.late import LateRun, Passed, passed, remembered
from gateway.app.learning import Learner
from gateway.app.left_on import nowhere, told_of
from gateway.app.orders import Orders, Reloaded
from gateway.app.publishing import Publishing
from gateway.app.records import CLOSED_SEARCHED, Records
from gateway.app.rooms import OUTPUTS, VITAL_S, Hand, Rooms
from gateway.app.standing import buttons_standing, uplinks_standing
from gateway.app.terminals import examiner
from gateway.app.timekeeper import Timekeeper
from gateway.clock import Clock, Timeline
from gateway.control.folder import SOCKET_NAME
from gateway.control.server import ControlServer
from gateway.drivers.ble.source import AdvertSource
from gateway.events import Actuated, Boot, DeviceHealth, Event, Health, SiteLoaded, Stamped
from gateway.faults import LoudongError, StoreFault
from gateway.instant import Anchor, ClockQuality, Instant, Stamp
from gateway.nodes import Fault
from gateway.rules.compound import HEALTH, STORE, Compound, Rule
from gateway.rules.engine import Engine
from gateway.rules.ledger import Row
from gateway.rules.wants import GONE
from gateway.site.model import Site
from gateway.site.report import as_object
from gateway.store.registry import Registry
from gateway.store.retention import Keep
from gateway.store.rows import Loaded, Part, StateRow
from gateway.store.store import Store
from gateway.store.telemetry import Telemetry
from gateway.supervise import Ring, Supervisor

log = structlog.get_logger()

MB = 1_000_000
SITE_TOLERATED = "site_tolerated"
PATIENT_OPEN_S = 60.0
"""Within the unit's TimeoutStartSec."""
STOP_STORE_S = 1.5
"""After at most 3 s for the workers: SIGTERM ends the gateway within 5 s."""


class OpenedLateError(LoudongError):
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
    hourglass: Hourglass | None = None
    """Ends the process when the core hangs."""


class House:
    """All rooms of one gateway, joined."""

    def __init__(self, orders: Orders, folder: Path, store: Store, surroundings: Surroundings) -> None:
        self.orders, self.store = orders, store
        self._folder, self._surroundings = folder, surroundings
        self.supervisor = Supervisor(self._worker_failed, self._worker_recovered)
        self._ahead = Ahead(self.site.buses.values(), self._beat)
        self._late = asyncio.Event()

    @property
    def site(self) -> Site:
        """As it is run now."""
        return self.orders.site

    @property
    def engine(self) -> Engine:
        """The core as it is now; a new site file makes another of it."""
        return self.inbox.engine

    # Building ---------------------------------------------------------------------------------------

    def found(self, loaded: Loaded, clock: Clock) -> None:
        """Stand the core where the last run left it, build the rooms around it, and tell it of the boot."""
        now = clock.stamp()
        last, notes = remembered(loaded.stamp)
        loaded = msgspec.structs.replace(loaded, notes=(*loaded.notes, *notes))
        time = passed(last, now)
        self.timeline = Timeline(clock, time.origin, now)
        self._downtime = time.downtime_ms
        self.crashes = Crashes(self._folder, clock, __version__, self.site.fingerprint)
        if self._surroundings.hourglass is not None:
            self._surroundings.hourglass.watch(self.crashes)
        if self.crashes.alone:
            log.critical("life_safety_alone", reason="crashes")
            self.orders = msgspec.structs.replace(
                self.orders, compound=life_safety_alone(self.site, self.orders.compound)
            )
        with self.crashes:
            self._begin(loaded, now, time)

    def _begin(self, loaded: Loaded, now: Stamp, time: Passed) -> None:
        with self.crashes.chore("start"):
            engine = Engine(self.orders.compound)
            unreadable = engine.restore(Row(row.kind, row.key, row.body) for row in loaded.state)
            engine.register.numbers.continue_lanes(loaded.sequences, loaded.floor)
        self.publishing = Publishing(self.site, engine, now.boot_id, loaded.run, self.store)
        self.inbox = Inbox(engine, self.timeline, loaded.run, self.store, self.publishing.message)
        self.inbox.guard = self.crashes
        self.crashes.is_vital = self._is_vital
        self.publishing.bare = self.crashes.alone
        self.run_name = loaded.run
        self._furnish()
        self.store.on_mode(self._store_mode)
        offset = self.timeline.offset_ms(now) if now.clock is ClockQuality.SYNCED else None
        self.inbox.report(
            Boot(
                loaded.run, now.boot_id, now.clock, time.downtime_ms, offset, __version__, loaded.losses, time.missed_ms
            )
        )  # fmt: skip
        self.inbox.report(_loaded(self.orders))
        notes = (*loaded.notes, *self.orders.secrets.notes, *(f"state_unreadable: {row}" for row in unreadable))
        self._report_store(notes)
        self._report_self()

    def _is_vital(self, event: Event) -> bool:
        return self.engine.is_vital(event)  # of the core as it is then

    def _report_self(self) -> None:
        """Whether the core runs whole, and on a site file without faults."""
        reason = "safe_mode" if self.crashes.alone else EVENT_QUARANTINED if self.crashes.kinds else ""
        self._report_part(worker_subject("core"), reason, self.crashes.kinds)
        for name in nowhere(self.site, self.engine.driven()):
            self.inbox.report(Actuated(name, OutputState.OFF.value, None, confirmed=False, reason=GONE))
        tolerated = self._tolerated()
        self._report_part(SITE_HEALTH, SITE_TOLERATED if tolerated else "", [fault.key for fault in tolerated])

    def _tolerated(self) -> list[Fault]:
        """What is wrong with the site file, and what it left on."""
        return [*self.orders.tolerated, *told_of(self.site, nowhere(self.site, self.engine.driven()))]

    def _report_part(self, name: str, reason: str, details: Iterable[str]) -> None:
        """Said only where all is not well, or was not when last heard of."""
        known = self.engine.fact(name, HEALTH)
        if reason or (known is not None and known.value != Health.OK.value):
            health = Health.FAULTY if reason else Health.OK
            self.inbox.report(DeviceHealth(name, health, reason, ", ".join(details)))

    def _report_released(self) -> None:
        """Devices of which something was put aside are heard whole again."""
        for device in self.orders.compound.subjects:
            because = self.engine.fact(device, "reason")
            if because is not None and because.value == EVENT_QUARANTINED and device != worker_subject("core"):
                self.inbox.report(DeviceHealth(device, Health.OK))

    def _report_store(self, notes: tuple[str, ...]) -> None:
        """How the store was found: well, mended, or unwilling."""
        well = not notes and self.store.mode == "disk"
        reason = "" if well else "store_mended" if self.store.mode == "disk" else "store_memory"
        self.inbox.report(DeviceHealth(STORE, Health.OK if well else Health.FAULTY, reason, ", ".join(notes)))

    def _furnish(self) -> None:
        """What every house has, whatever its site file says; then what that describes."""
        report, site = self.inbox.report, self.site
        self.timekeeper = Timekeeper(
            self.timeline, lambda: self.engine.anchor_at(self.timeline.now()), report, self._beat("timekeeper")
        )
        self.registry = Registry(self._folder, self.timeline.now)
        self.telemetry = Telemetry(self._folder)
        self._set_retention(site)
        self.rooms = Rooms(
            self.inbox, self.timekeeper, self.publishing, self.store, self.registry, self._beat, self._surroundings.sources,
            self._ahead, downtime_known=self._downtime is not None,
        )  # fmt: skip
        self._hands = self.rooms.furnish(self.orders)
        self.chronicle = Chronicle(
            self.orders.compound, site.gateway, self.telemetry, self.registry, self.rooms.uplinks.values()
        )
        self.desk = Desk(self.orders.compound, site.people, self._alerts, report, self.timeline.now)
        self.control = ControlServer(self._folder / SOCKET_NAME, self.desk.answer)
        self._connect()

    def _connect(self) -> None:
        rooms = self.rooms
        records = Records(self.store, self.timeline.now, lambda: self.orders.compound)
        self.inbox.connect(rooms.want, rooms.reread, self.chronicle.follow, rooms.reenrol, rooms.pair)
        self.chronicle.connect(rooms.device_back, rooms.point_read)
        self.timekeeper.connect(rooms.clock_moved)
        self.publishing.counts = self.counts
        self.desk.offer("doors-test", examiner(lambda door: rooms.test_door(door, self.orders)))
        self.desk.offer(
            "learn", Learner(lambda: rooms.radio, lambda: self.site.buttons, self.publishing.radio_deaf).answer
        )
        self.desk.connect(
            self._status, self._anchor_at, records.history, records.closed, self._named_doors, self._place_name,
            lambda: self.site.language, records.closed_one, self.publishing.reason,
        )  # fmt: skip

    # Living -----------------------------------------------------------------------------------------

    async def run(
        self, ready: Callable[[], None], farewell: Callable[[BaseException | None], None] | None = None
    ) -> None:
        """Live until ``stop``; raises the bug that a worker of the life ring had.

        ``ready`` is called once every vital worker has completed its first turn, ``farewell`` before they are ended.
        """
        asked = Errand(self._ask_behind)
        recalling = asyncio.create_task(self._recall_closed())
        recalling.add_done_callback(_rise)
        self._hire(asked)
        try:
            with self.crashes:
                await self.supervisor.run(ready, farewell)
        finally:
            asked.cancel()
            recalling.cancel()
            self.rooms.end()
            await self.store.stop(within_s=STOP_STORE_S)
            self.registry.flush()

    async def _ask_behind(self) -> None:
        """What no bus and no output waits for; an uplink does, or it would be told the past."""
        await self.store.keep_uplinks(self.site.uplinks)

    async def _recall_closed(self) -> None:
        """What nobody waits for: receipts that come before are held, and belong into histories."""
        closed: list[str] = []
        try:
            closed = await _lately_closed(self.store)
        finally:
            self.inbox.recall_closed(closed)

    def stop(self) -> None:
        """Ask ``run`` to end."""
        self.supervisor.stop()

    async def resettle(self, orders: Orders) -> Reloaded:
        """Live by another site file of the same gateway. Raises what the new core has against it, before anything changed."""
        with self.crashes.chore("rehearsal"):
            _renewed(self.engine, orders.compound).handle(Stamped(self.timeline.now(), "rehearsal", _loaded(orders)))
        # A new uplink must be known before it first asks, or it would be told the past; and a disk that hangs is waited for
        # while every bus is still there.
        await self.store.keep_uplinks([*self.site.uplinks, *orders.site.uplinks])
        ended = self.rooms.outdated(orders)
        with self.inbox.whole(event_kind="site_loaded", event_id=orders.site.fingerprint):
            self.rooms.clear(ended)
            await self.supervisor.remove(*ended)
            kept, begun, withdrawn = self._take_over(orders)
        await self.store.keep_uplinks(orders.site.uplinks)
        outlived = sum(alert.gone for alert in self.engine.alerts())
        return Reloaded(orders.site.fingerprint, ended, begun, withdrawn, outlived, await kept.durable())

    async def forget_subject(self, subject: str) -> None:
        """Forget all that the core knows of somebody: for one moment the site is without him.

        His alerts close as withdrawn, and what was waited for is waited for anew.
        """
        with self.inbox.whole(event_kind="site_loaded", event_id=subject):
            whole = self.orders.compound
            for compound in (without(whole, subject), whole):
                self.inbox.engine = _renewed(self.engine, compound)
                self.publishing.resettle(self.site, self.engine)
                kept = self.inbox.report(SiteLoaded(compound.fingerprint))
        await kept.durable()

    def _take_over(self, orders: Orders) -> tuple[Kept, tuple[str, ...], int]:
        """The exchange itself, in one turn; the ticket of the event, who came, and how many alerts were withdrawn."""
        engine, self.orders = _renewed(self.engine, orders.compound), orders
        self.inbox.engine = engine
        self._set_retention(orders.site)
        self.publishing.resettle(orders.site, engine)
        self.desk.resettle(orders.compound, orders.site.people)
        self.crashes.forgive(orders.site.fingerprint)
        self.publishing.bare = False
        hands = self.rooms.furnish(orders)
        self.chronicle.resettle(orders.compound, self.rooms.uplinks.values())
        before = {alert.id for alert in self.engine.alerts()}
        kept = self.inbox.report(_loaded(orders))
        for want in engine.wants():
            self.rooms.want(want)  # an output built anew knows of nothing yet
        self.hire(hands)
        self._report_self()
        self._report_released()
        withdrawn = len(before - {alert.id for alert in engine.alerts()})
        return kept, tuple(hand.name for hand in hands), withdrawn

    def _hire(self, asked: Errand) -> None:
        """Every worker with its ring (design, decision 6); the uplinks begin when the store was ``asked``."""
        life, service = Ring.LIFE, Ring.SERVICE
        self._add(Hand("store", life, self._keep_store, VITAL_S))
        self._add(Hand("core", life, self._run_core, VITAL_S))
        self._add(Hand("timekeeper", life, self.timekeeper.run, VITAL_S))
        self._add(Hand("chronicle", service, self._chronicle))
        self._add(Hand("control", service, self.control.run))
        self.hire([_behind(asked, hand) if hand.name in self.rooms.uplinks else hand for hand in self._hands])

    def _add(self, hand: Hand, before: str | None = None) -> None:
        """A worker that was failing when last heard of, in a life before or under another site file, must say when it is well.

        But for the core, of whose health ``_report_self`` speaks.
        """
        known = self.engine.fact(worker_subject(hand.name), HEALTH)
        failing = hand.name != "core" and known is not None and known.value != Health.OK.value
        self.supervisor.add(
            hand.name, hand.ring, hand.run, vital_within_s=hand.vital_within_s, before=before, failing=failing
        )

    def hire(self, hands: Sequence[Hand]) -> None:
        """Workers of rooms: the buses before the outputs, which still need them while they end; all before the desk."""
        for hand in hands:
            before = OUTPUTS if hand.ring is Ring.LIFE and self.supervisor.has(OUTPUTS) else "chronicle"
            self._add(hand, before)

    async def _run_core(self) -> None:
        await self._ahead.anteroom.open(self.inbox.report)
        await self.inbox.run(self._beat("core"))

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
            # No task of the group: it ends before them, and what it works off last is still written.
            await self.chronicle.run(self.timeline.now, self._anchor_at, self.run_name, self._beat("chronicle"))

    def _set_retention(self, site: Site) -> None:
        """How long what is kept; it takes effect with the next round of tidying."""
        asked = site.retention
        self.store.tidying.keep = Keep(asked.journal_ms, asked.closed_ms, bytes=asked.store_mb * MB)
        self.telemetry.age_ms, self.telemetry.most_bytes = asked.telemetry_ms, asked.telemetry_mb * MB

    # What the rooms tell each other -----------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """What was counted since the start, for the status and for whoever looks for a bad cable."""
        kept: dict[str, int] = {f"store.pruned_{name}": n for name, n in self.store.tidying.pruned.items()}
        kept |= {f"store.dropped_{name}": n for name, n in self.store.dropped.items()}
        kept |= {f"telemetry.{name}": n for name, n in msgspec.to_builtins(self.telemetry.counters).items()}
        kept["core.quarantined"] = self.crashes.held_back
        kept["core.receipts_astray"] = self.inbox.receipts_astray
        control = {"control.refused": self.control.refused, "control.too_many": self.desk.too_many}
        return self.rooms.counts() | kept | control

    def _place_name(self, place: str) -> str:
        return self.site.full_name(place)

    def _named_doors(self) -> frozenset[str]:
        """Doors whose terminal the site file names."""
        return frozenset(door.id for door in self.site.doors.values() if door.serial)

    def _alerts(self) -> list[Alert]:
        return self.engine.alerts()

    def _anchor_at(self, at: Instant) -> Anchor | None:
        return self.engine.anchor_at(at)

    def _status(self) -> dict[str, Any]:
        shown: dict[str, Any] = msgspec.to_builtins(self.publishing.status())
        out: dict[str, Any] = {
            "uplinks": list(uplinks_standing(self.rooms.uplinks.values(), self.engine, self.timeline.now)),
            "outputs": self.rooms.outputs.standing(),
            "sources": self.site.sources,
            "buttons": list(buttons_standing(self.site.buttons, self.engine, self.timeline.now)),
            # Of the site file each fault has a line of its own.
            "failing": {part: why for part, why in self.publishing.failing().items() if part != SITE_HEALTH},
            "switched_off": [
                {"rule": dict(fault.fields)["name"], "file": fault.mark.file, "line": fault.mark.line}
                for fault in self.orders.switched_off
            ],
        }
        alerts = self.engine.alerts()
        out["alerts"] = {"open": len(alerts), "unanswered": sum(a.response is Response.UNANSWERED for a in alerts)}
        out["ailing"] = self.publishing.ailing()
        out["tolerated"] = [as_object(fault, self.site.language) for fault in self._tolerated()]
        return shown | out | {"buses": self.rooms.buses(), "units": self.rooms.units()}

    def _beat(self, worker: str) -> Callable[[], None]:
        return lambda: self.supervisor.beat(worker)

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
        # late: what the disk holds waits for the next start; set_aside, rebuilt: a person has to look at what was lost
        well = mode == "disk" and reason not in {"late", "set_aside", "rebuilt"}
        said = "" if well else "store_memory" if mode == "memory" else "store_mended"
        self.inbox.report(DeviceHealth(STORE, Health.OK if well else Health.FAULTY, said, reason))


def without(compound: Compound, subject: str) -> Compound:
    """The same compound, of which somebody is no part; nor is a place that a rule watches for him, too: what it remembers is his."""
    rules = {name: _unwatching(rule, subject) for name, rule in compound.rules.items()}
    subjects = {name: known for name, known in compound.subjects.items() if name != subject}
    return msgspec.structs.replace(
        compound, fingerprint=f"{compound.fingerprint}, one forgotten", subjects=subjects, rules=rules
    )


def _unwatching(rule: Rule, subject: str) -> Rule:
    members = {place: watched for place, watched in rule.members.items() if subject not in watched}
    subjects = tuple(about for about in rule.subjects if subject not in rule.watched(about))
    return msgspec.structs.replace(rule, subjects=subjects, members=members)


def _loaded(orders: Orders) -> SiteLoaded:
    return SiteLoaded(orders.compound.fingerprint)


def _renewed(engine: Engine, compound: Compound) -> Engine:
    """The same core on another compound."""
    renewed = Engine(compound)
    if unreadable := renewed.restore(engine.snapshot()):
        raise RuntimeError(f"a core cannot read what a core wrote: {unreadable[0]}")
    return renewed


async def build(orders: Orders, folder: Path, clock: Clock, surroundings: Surroundings | None = None) -> House:
    """Begin to poll, open the store of ``folder`` and build the house on it. The caller holds the claim on the folder."""
    around = surroundings or Surroundings()
    store = Store(folder, around.pool, open_s=PATIENT_OPEN_S if around.patient else None, lay_over=LateRun().lay_over)
    house = House(orders, folder, store, around)
    house.found(await store.start(), clock)
    return house


def _behind(asked: Errand, hand: Hand) -> Hand:
    """The same worker, that begins when this is done."""

    async def run() -> None:
        await asked.done()
        await hand.run()

    return msgspec.structs.replace(hand, run=run)


def _rise(done: asyncio.Task[None]) -> None:
    """Nobody waits for it: its bug goes to the loop's exception handler."""
    if not done.cancelled():
        done.result()


async def _lately_closed(store: Store) -> list[str]:
    """Alerts of which a receipt may still come, in the order in which they were closed."""
    try:
        return [row.key for row in await store.past.recent_closed(CLOSED_SEARCHED)][::-1]
    except StoreFault:  # then their receipts are in the journal alone
        return []
