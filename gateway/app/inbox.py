"""The inbox: stamps each event once, lets the core handle it, acts, and hands what must be kept to the store.

The order of deeds (design decision 4) is this file: a life-safety output is told what it should be *before* anything waits
for a disk; everybody else is told only after the one transaction that holds the event, the changed state and the message.
Everything here runs in one turn of the event loop, so no event can overtake another.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Protocol, get_args

import msgspec
import structlog

from gateway.actions import Action, Note, OpenPairing, Publish, Reenrol, Reply, Reread, Want
from gateway.alerts import Alert, Change, NoteKind
from gateway.clock import Timeline
from gateway.events import Command, DeviceHealth, Entry, Event, Health, Reading, Receipt, Stamped
from gateway.instant import MINUTE, Instant
from gateway.rules.compound import HEALTH
from gateway.rules.engine import Engine, Outcome
from gateway.store.retention import CLOSED
from gateway.store.rows import HistoryRow, JournalRow, Part, PendingMessage, StateRow

log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode
MARK_MS = MINUTE
CLOSED_KNOWN = 10_000
"""Closed alerts of which a receipt is still taken into their history: as many as one outage may leave to be delivered late."""
QUARANTINED = "quarantined"
"""Journal kind of an event that was not shown to the core; its body is wrapped, so that no replay takes it for one."""
EVENT_QUARANTINED = "event_quarantined"
"""Reason of a device's health: something it said is not acted on."""
_KINDS = {event: str(event.__struct_config__.tag) for event in get_args(Event)}
JOURNAL_KINDS = (*_KINDS.values(), QUARANTINED)
"""All kinds of rows in the journal."""
BEAT_S = 5.0
EARLY_MS = 1
"""A loop timer may fire a fraction early; one millisecond more, and the deadline has surely come."""


class Keeper(Protocol):
    """The store, as the inbox needs it."""

    def put(self, part: Part) -> Awaitable[bool]:
        """Keeps a part in the next transaction; resolves when it is on disk (True) or only in memory (False)."""
        ...


class Chore:
    """A piece of the core's work that no event asked for. Each is an object of its own, so that one can be told from the next."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class Guard(Protocol):
    """What the last lives of this process have to say about an event."""

    suspect: Stamped | Chore | None
    """What the core is at work on."""
    held_back: int

    def quarantines(self, event: Event) -> bool:
        """Whether the very same event broke the core before."""
        ...


class _Trusting:
    """Nothing ever broke."""

    suspect: Stamped | Chore | None = None
    held_back = 0

    def quarantines(self, _event: Event) -> bool:
        return False


class Kept:
    """The ticket of one event."""

    def __init__(self, actions: tuple[Action, ...], kept: Awaitable[bool]) -> None:
        self.actions, self._kept = actions, kept

    def durable(self) -> Awaitable[bool]:
        return self._kept


class Inbox:
    """The one entrance to the core. Not thread-safe: everything reports from the event loop."""

    def __init__(
        self,
        engine: Engine,
        timeline: Timeline,
        run: str,
        keeper: Keeper,
        message: Callable[[Publish, Instant], PendingMessage],
    ) -> None:
        """``message`` makes the outbox message of a change; ``run`` names this run of the process."""
        self.engine, self.timeline = engine, timeline
        self._run, self._keeper, self._message = run, keeper, message
        self._count = 0
        self._kept_at = Instant(0)
        self._stamped = (Instant(-1), b"")
        """The last instant that was kept, and what the clocks showed then."""
        self._news = asyncio.Event()
        self._asleep_until: Instant | None = None
        """The deadline that ``run`` waits for."""
        self._bug: BaseException | None = None
        self._closed: dict[str, None] = {}
        """Closed alerts, the last one at the end."""
        self._unplaced: list[HistoryRow] | None = []
        """Receipts about an alert that is not known until those closed before the start are; None from then on."""
        self.receipts_astray = 0
        """Receipts about an alert that nobody knows (any more): they are in the journal, and in no history."""
        self.guard: Guard = _Trusting()
        """Knows the events that broke the core before."""
        self._on_want: Callable[[Want], None] = _ignored
        self._on_reread: Callable[[str, str], None] = _ignored
        self._on_event: Callable[[Stamped], None] = _ignored
        self._on_reenrol: Callable[[str], None] = _ignored
        self._on_pairing: Callable[[str, int], None] = _ignored

    def connect(
        self,
        want: Callable[[Want], None],
        reread: Callable[[str, str], None],
        event: Callable[[Stamped], None],
        reenrol: Callable[[str], None] = lambda _button: None,
        pairing: Callable[[str, int], None] = lambda _door, _ms: None,
    ) -> None:
        """Name those who act at once. ``event`` is shown every event after it was handled."""
        self._on_want, self._on_reread, self._on_event, self._on_reenrol = want, reread, event, reenrol
        self._on_pairing = pairing

    def report(self, event: Event) -> Kept:
        """Let an event take effect, now and here; the ticket tells when it is on disk.

        A core that fails is wrong about everything from then on: whoever reported gets the exception, and ``run`` raises it,
        too, so that the process ends even where the reporter's own ring would only restart him. What others report until it
        has ended is not handled: it would carry half an event to the disk.
        """
        if self._bug is not None:
            return Kept((), _answered(durable=False))
        self._count += 1
        stamped = Stamped(self.timeline.now(), f"{self._run}.{self._count}", event)
        if self.guard.quarantines(event):
            return self._set_aside(stamped)
        self.guard.suspect = stamped
        try:
            outcome = self.engine.handle(stamped)
            self._act(outcome)
            remarks = () if isinstance(event, Reading) else self._remarks(stamped, outcome)
            kept = self._keep(outcome, (_journalled(stamped, quiet=not outcome.urgent),), remarks)
        except BaseException as bug:
            self._break(bug, event_kind=_KINDS[type(event)], event_id=stamped.id)
            raise
        self.guard.suspect = None
        self._wake_early()
        self._on_event(stamped)
        return Kept(outcome.actions, kept)

    def _set_aside(self, stamped: Stamped) -> Kept:
        """An event that broke the core before: nothing of it is lost, and nothing comes of it."""
        log.error("event_quarantined", event_kind=_KINDS[type(stamped.event)], event_id=stamped.id)
        self.guard.held_back += 1
        row = _journalled(stamped, quiet=False)
        wrapped = _encode({"event": QUARANTINED, "of": row.kind, "body": row.body})
        aside = JournalRow(row.at, row.id, QUARANTINED, wrapped, person=row.person)
        kept = Kept((), self._keeper.put(Part(journal=(aside,), urgent=True)))
        if isinstance(stamped.event, Reading) and self.engine.is_vital(stamped.event):
            self._call_faulty(stamped.event.device)
        return kept

    def _call_faulty(self, device: str) -> None:
        """A detector whose alarm is not acted on: somebody must be told of it by its name."""
        known = self.engine.fact(device, HEALTH)
        if known is None or known.value not in {Health.LOST.value, Health.FAULTY.value}:
            self.report(DeviceHealth(device, Health.FAULTY, EVENT_QUARANTINED))

    async def run(self, beat: Callable[[], None]) -> None:
        """Fire the core's deadlines when they are due. Raises what broke the core."""
        while True:
            self._news.clear()
            if self._bug is not None:
                raise self._bug
            self._wake()
            self._mark_time()
            beat()
            self._asleep_until = self.engine.next_due()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._news.wait()

    def _wake_early(self) -> None:
        """A deadline comes sooner than ``run`` expects. Woken by every event, it cost a tenth of a reading."""
        due = self.engine.next_due()
        if due is not None and (self._asleep_until is None or due < self._asleep_until):
            self._news.set()

    @contextlib.contextmanager
    def whole(self, **about: str) -> Iterator[None]:
        """Handled, acted on and kept, or the process ends: half an event would be an alarm that nobody hears of."""
        try:
            yield
        except BaseException as bug:
            self._break(bug, **about)
            raise

    def _break(self, bug: BaseException, **about: str) -> None:
        log.critical("core_failed", **about)
        self._bug = bug
        self._news.set()

    def _wake(self) -> None:
        due = self.engine.next_due()
        if due is None or due > self.timeline.now():
            return
        self.guard.suspect = Chore("deadline")
        with self.whole(event_kind="deadline"):
            outcome = self.engine.wake(self.timeline.now())
            self._act(outcome)
            if outcome.rows:
                self._keep(outcome, (), ())
        self.guard.suspect = None

    def _mark_time(self) -> None:
        """On a quiet site, too, the store knows to the minute how long we listened; what is idle rides along."""
        now = self.timeline.now()
        if now - self._kept_at >= MARK_MS:
            self._kept_at = now
            self._keeper.put(Part(stamp=self._stamp(now)))

    def _stamp(self, now: Instant) -> tuple[Instant, bytes]:
        """What the clocks show; asked once for all readings of one answer, which come within a millisecond."""
        if now != self._stamped[0]:
            self._stamped = (now, _encode(self.timeline.clock.stamp()))
        return self._stamped

    def _pause_s(self) -> float:
        """Until the soonest deadline, but never longer than a beat may take."""
        due = self.engine.next_due()
        pause = BEAT_S if due is None else (due - self.timeline.now() + EARLY_MS) / 1000
        return min(max(pause, 0.0), BEAT_S)

    def _act(self, outcome: Outcome) -> None:
        """What waits for no disk: outputs, and the second look at a dangerous value."""
        for action in outcome.actions:
            if isinstance(action, Want):
                self._on_want(action)
            elif isinstance(action, Reread):
                self._on_reread(action.device, action.point)
            elif isinstance(action, Reenrol):
                self._on_reenrol(action.button)
            elif isinstance(action, OpenPairing):
                self._on_pairing(action.door, action.for_ms)

    def recall_closed(self, alerts: Iterable[str]) -> None:
        """These were closed before the start, one after the other. To be called once: receipts of them that came already were held."""
        self._remember_closed([*alerts, *self._closed])
        unplaced, self._unplaced = self._unplaced or [], None
        placed = tuple(row for row in unplaced if self._takes_receipts(row.alert))
        self.receipts_astray += len(unplaced) - len(placed)
        if placed:
            self._keeper.put(Part(history=placed))

    def _remember_closed(self, alerts: Iterable[str]) -> None:
        """These were closed last, one after the other: receipts of them may still come."""
        for alert in alerts:
            self._closed.pop(alert, None)
            self._closed[alert] = None
        while len(self._closed) > CLOSED_KNOWN:
            del self._closed[next(iter(self._closed))]

    def _takes_receipts(self, alert: str) -> bool:
        return self.engine.register.alerts.get(alert) is not None or alert in self._closed

    def _remarks(self, stamped: Stamped, outcome: Outcome) -> tuple[HistoryRow, ...]:
        """What belongs into an alert's history and changes nothing: who has taken which revision, whose command was refused."""
        event = stamped.event
        if isinstance(event, Receipt):
            row = _received(event, stamped.at)
            if self._takes_receipts(row.alert):
                return (row,)
            if self._unplaced is not None and len(self._unplaced) < CLOSED_KNOWN:
                self._unplaced.append(row)
            else:
                self.receipts_astray += 1
        if isinstance(event, Command) and event.alert:
            refused = [a.reason for a in outcome.actions if isinstance(a, Reply) and not a.accepted]
            alert = self.engine.register.alerts.get(event.alert)
            if refused and alert is not None:
                return (_refused(event, alert, refused[0], stamped.at),)
        return ()

    def _keep(
        self, outcome: Outcome, journal: tuple[JournalRow, ...], received: tuple[HistoryRow, ...]
    ) -> Awaitable[bool]:
        now, history = self.timeline.now(), received
        messages: tuple[PendingMessage, ...] = ()
        if not outcome.idle:  # what is idle changed no alert
            self._kept_at = now
            self._remember_closed(row.key for row in outcome.rows if row.kind == CLOSED)
        if outcome.actions:
            changes = [action.change for action in outcome.actions if isinstance(action, Publish | Note)]
            history = (*map(_history, changes), *received)
            messages = tuple(self._message(action, now) for action in outcome.actions if isinstance(action, Publish))
        state = tuple([StateRow(row.kind, row.key, row.body) for row in outcome.rows])
        stamp = self._stamp(now)
        return self._keeper.put(Part(journal, state, history, messages, stamp, outcome.urgent, outcome.idle))


def _answered(*, durable: bool) -> Awaitable[bool]:
    future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    future.set_result(durable)
    return future


def _journalled(stamped: Stamped, *, quiet: bool) -> JournalRow:
    event = stamped.event
    person = event.person if isinstance(event, Entry) and event.person else ""
    quiet = quiet and isinstance(event, Reading)
    return JournalRow(stamped.at, stamped.id, _KINDS[type(event)], _encode(event), quiet=quiet, person=person)


def _history(change: Change) -> HistoryRow:
    alert = change.alert
    return HistoryRow(alert.id, alert.revision, change.kind.value, change.at, change.who, change.reason, _encode(alert))


def _refused(command: Command, alert: Alert, reason: str, at: Instant) -> HistoryRow:
    tried = f"{command.verb}: {reason} ({command.principal})"
    return HistoryRow(alert.id, alert.revision, NoteKind.REFUSED.value, at, command.who, tried, _encode(command))


def _received(event: Receipt, at: Instant) -> HistoryRow:
    alert, _, revision = event.message_id.rpartition("/")
    number = int(revision) if revision.isascii() and revision.isdecimal() and len(revision) < 10 else 0
    return HistoryRow(alert, number, NoteKind.RECEIVED.value, at, event.system, event.uplink, _encode(event))


def _ignored(*_: object) -> None:
    """Nobody is connected yet: wants are told again to whoever connects at the boot event."""
