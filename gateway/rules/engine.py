"""The core: one event in, what to do out.

Rule of the house: no clock, no I/O, no randomness. ``handle`` first fires every deadline that was due before the event, each
at its own time and in order; so a late wake-up changes nothing, and a month of life is a list of events that replays in
seconds. (Models: a protocol engine whose every entry takes ``now`` and that answers when it wants to be woken.)

State is rows (``ledger``), so the store can write what changed in the same transaction as the event, and ``restore`` gives
back the very same core.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from gateway.actions import Action, OpenPairing, OutputState, Reenrol, Reply, Want
from gateway.alerts import Alert
from gateway.events import (
    Actuated,
    Boot,
    ClockSynced,
    Command,
    CommandRefused,
    DeviceHealth,
    Entry,
    Paired,
    Press,
    Quality,
    Reading,
    Receipt,
    Scalar,
    SequenceGap,
    SiteLoaded,
    Stamped,
    Verb,
)
from gateway.instant import MINUTE, Anchor, Instant
from gateway.rules import outputs
from gateway.rules.answered import AnsweredCommands
from gateway.rules.away import AWAY
from gateway.rules.commands import Verdict, carry_out
from gateway.rules.compound import CLOCK, CONFIRMED, DOOR, GAP, HEALTH, HELD, SYNCED, Compound
from gateway.rules.deadlines import Deadlines
from gateway.rules.facts import ClockRow, FactBoard, Segment
from gateway.rules.ledger import Key, Ledger, Row, Table
from gateway.rules.presence import GRANTED, Presence
from gateway.rules.presence import when as passed_at
from gateway.rules.question import Fact
from gateway.rules.register import AlertRegister
from gateway.rules.signs import Sign
from gateway.rules.watches import Moment, Watchkeeper

SEEN_PER_TERMINAL = 2_000
"""Entries remembered against resends: more than a terminal sends between two acknowledgements (facts/face 1.1)."""
SEGMENTS_KEPT = 16

_DOOR_FACTS: dict[str, tuple[str, Scalar]] = {
    "door.opened": (DOOR, "opened"),
    "door.closed": (DOOR, "closed"),
    "door.forced": (DOOR, "forced"),
    "door.held_open": (DOOR, "held_open"),
    "door.held_open_cleared": (DOOR, "opened"),
    "alarm.tamper": ("tamper", True),
    "alarm.tamper_cleared": ("tamper", False),
    "alarm.fire": ("fire", True),
    "alarm.fire_cleared": ("fire", False),
}
_AT_REST = ((DOOR, "closed"), ("tamper", False), ("fire", False))
"""States that a replay from the terminal's log may set, too: they end alerts and raise none."""
UNPROVEN = "freshness_unproven"
"""Anomaly of an entry (facts/face 0.3), and the fact of a terminal that sends such."""
_ALARMS = ((DOOR, "forced"), ("tamper", True), ("fire", True))
_ACCOUNTED_FOR = frozenset({"recovered", "absent"})
"""How a gap ended if nothing of it is lost: its entries came, or the terminal's log holds none."""
RESET_BY = 10_000
"""A serial number so far back, even in a log, is of a counter that began anew."""
OVERTAKEN_MS = MINUTE
"""How long an event may be on its way behind a younger one; a terminal that was reset needs longer to start."""


class Outcome(Struct, frozen=True):
    """What one event (or one wake-up) led to."""

    actions: tuple[Action, ...]
    rows: tuple[Row, ...]
    urgent: bool
    """Must be on disk before anyone is told: everything but a quiet reading."""


class Seen(Struct, frozen=True):
    """An entry already handled."""

    at: Instant
    live: bool = True
    """False: so far only read from the terminal's log. Should it come live after that, it still alarms."""


class Cursor(Struct, frozen=True):
    """The last serial number that counted, and when it came."""

    seq: int
    at: Instant


class OpenGap(Struct, frozen=True):
    """Missing serial numbers of a terminal; the key holds the first."""

    last: int
    at: Instant


class Pin(Struct, frozen=True):
    """The device that may speak for a door."""

    device: str
    at: Instant


class Driven(Struct, frozen=True):
    """An output we asked on, and have not seen off since: the next life, too, may switch it off."""


class LastPress(Struct, frozen=True):
    """The last press of a button: what the radio's tracker must know again after a restart."""

    at: Instant
    press: Press


class Engine:
    """The deterministic core of one site."""

    def __init__(self, compound: Compound) -> None:
        self.compound = compound
        self._now = Instant(0)
        self._deadlines = Deadlines()
        self.board = FactBoard(compound)
        self.register = AlertRegister(compound, self.board, self._deadlines)
        self._presence = Presence(compound)
        self._watches = Watchkeeper(compound, self.board, self.register, self._deadlines)
        self.presses: Table[LastPress] = Table("press", LastPress)
        self._seen: Table[Seen] = Table("seen", Seen)
        self._answered = AnsweredCommands()
        self._wants: Table[Want] = Table("want", Want)
        self._cursors: Table[Cursor] = Table("cursor", Cursor)
        self._gaps: Table[OpenGap] = Table("gap", OpenGap)
        self._pins: Table[Pin] = Table("pin", Pin)
        self._driven: Table[Driven] = Table("driven", Driven)
        self._seen_keys: dict[str, deque[str]] = {}
        """Oldest first, so that forgetting costs the same however much is remembered."""
        self._ledger = Ledger(
            self.board.rows,
            self.board.clock_row,
            self.register.alerts,
            self.register.closed,
            self.register.lanes,
            self.register.occasions,
            self._watches.rows,
            self._watches.memories,
            self.board.coverage.rows,
            self.board.away.rows,
            self.presses,
            self._seen,
            self._answered.done,
            self._answered.latest,
            self._wants,
            self._driven,
            self._cursors,
            self._gaps,
            self._pins,
        )

    # The four entrances ---------------------------------------------------------------------------

    def handle(self, stamped: Stamped) -> Outcome:
        """Let one event take effect. ``stamped.at`` is never less than that of the event before."""
        if isinstance(stamped.event, Boot):
            self._count_as_blind(stamped.event, stamped.at)
        self._fire_until(stamped.at)
        self._now = stamped.at
        self._dispatch(stamped)
        return self._outcome(urgent=not isinstance(stamped.event, Reading | Receipt | CommandRefused))

    def wake(self, at: Instant) -> Outcome:
        """Fire what is due by ``at``."""
        self._fire_until(at)
        return self._outcome(urgent=False)

    def next_due(self) -> Instant | None:
        """When ``wake`` has something to do."""
        return self._deadlines.next_due()

    def snapshot(self) -> tuple[Row, ...]:
        """Everything the core knows."""
        return self._ledger.everything()

    def restore(self, rows: Iterable[Row]) -> tuple[str, ...]:
        """Become the core that handed out these rows; answers the names of rows that could not be read."""
        unreadable = self._ledger.restore(rows)
        self._now = self.board.clock.at
        self._remember()
        self.register.rebuild()
        self._watches.rebuild(self._now)
        return unreadable

    def _remember(self) -> None:
        """What is forgotten first, from the rows: the store gives them back in any order."""
        self._seen_keys = {}
        for terminal, key in _oldest_first(self._seen):
            self._seen_keys.setdefault(terminal, deque()).append(key)
        self._answered.rebuild()

    def paired(self, terminal: str) -> str:
        """The device learnt for this door; empty: none."""
        pin = self._pins.get(terminal)
        return "" if pin is None else pin.device

    def has_seen(self, terminal: str, key: str) -> bool:
        """Whether this entry was handled before: what comes now is a resend."""
        return self._seen.get(terminal, key) is not None

    def last_serial(self, terminal: str) -> tuple[int, Instant] | None:
        """The last serial number that counted, and when it came."""
        cursor = self._cursors.get(terminal)
        return None if cursor is None else (cursor.seq, cursor.at)

    def open_gaps(self, terminal: str) -> list[tuple[int, int]]:
        """First and last of each run of serial numbers that is still missing, oldest first: what its log is asked for."""
        return sorted(
            (int(key[1]), gap.last) for key in self._gaps if key[0] == terminal and (gap := self._gaps.get(*key))
        )

    # Questions ------------------------------------------------------------------------------------

    def alerts(self) -> list[Alert]:
        """Every open alert, oldest first."""
        return self.register.open_alerts()

    def fact(self, subject: str, name: str) -> Fact | None:
        """The last word on a fact."""
        return self.board.fact(subject, name)

    def wants(self) -> list[Want]:
        """What every output was told last, for one who has not heard it."""
        return self._wants.values()

    def driven(self) -> frozenset[str]:
        """Outputs that are on because of us, as far as we know."""
        return frozenset(key[0] for key in self._driven)

    def anchor_at(self, at: Instant) -> Anchor | None:
        """The tie of this moment to true time, if known."""
        return self.board.anchor_at(at)

    # Events ---------------------------------------------------------------------------------------

    def _dispatch(self, stamped: Stamped) -> None:
        event, at = stamped.event, stamped.at
        if isinstance(event, Reading):
            self._reading(event, stamped)
        elif isinstance(event, Press):
            self._press(event, stamped)
        elif isinstance(event, Entry):
            self._entry(event, stamped)
        elif isinstance(event, DeviceHealth):
            self._hear(event.device, "reason", event.reason, Quality.GOOD, stamped)
            self._hear(event.device, HEALTH, event.health.value, Quality.GOOD, stamped)
        elif isinstance(event, SequenceGap):
            self._gap(event, stamped)
        elif isinstance(event, Paired):
            self._paired(event, at)
        elif isinstance(event, Actuated):
            self._hear(event.output, CONFIRMED, event.confirmed, Quality.GOOD, stamped)
            self._hear(event.output, HELD, event.reason.startswith("held"), Quality.GOOD, stamped)
            wanted = self._wants.get(event.output)
            if event.actual == OutputState.OFF.value and (wanted is None or wanted.state is not OutputState.ON):
                self._driven.drop(event.output)
        elif isinstance(event, Command):
            self._command(event, stamped)
        elif isinstance(event, Boot):
            self._boot(event, stamped)
        elif isinstance(event, ClockSynced):
            self._synced(event.offset_ms, stamped)
        elif isinstance(event, SiteLoaded):
            self._site_loaded(stamped)
        # A Receipt changes no alert; whoever journals it keeps it in the alert's history. A CommandRefused changes nothing.

    def _reading(self, reading: Reading, stamped: Stamped) -> None:
        people = self._presence.at_reading(reading)
        before = self.board.fact(reading.device, reading.point) if people else None
        self._hear(reading.device, reading.point, reading.value, reading.quality, stamped)
        if before is None or before.value is None or reading.value is None or reading.quality is not Quality.GOOD:
            return
        if before.value != reading.value:
            self._sign(people, "reading", stamped.at, stamped)

    def _sign(self, people: list[str], by: str, when: Instant, stamped: Stamped) -> None:
        for person in people:
            self._watches.pulse(person, Sign(person, by, when), stamped.id, stamped.at)

    def _hear(self, subject: str, name: str, value: Scalar | None, quality: Quality, stamped: Stamped) -> None:
        if subject not in self.compound.subjects:
            return  # a device that the site no longer knows; the journal keeps the event
        self.board.hear(subject, name, value, quality, stamped.at)
        read = name if isinstance(stamped.event, Reading) else ""
        self._watches.fact_changed(subject, name, Moment(stamped.at, stamped.id, read))

    def _press(self, press: Press, stamped: Stamped) -> None:
        if press.button not in self.compound.subjects:
            return
        self.presses.put(LastPress(stamped.at, press), press.button)
        occasion = f"{press.button}:{press.key}" if press.key else stamped.id
        self._watches.pulse(press.button, press, occasion, stamped.at)
        if press.suspect is None:
            self._sign(self._presence.at_button(press.button), "press", stamped.at, stamped)

    def _entry(self, entry: Entry, stamped: Stamped) -> None:
        if entry.terminal not in self.compound.subjects:
            return
        seen = self._seen.get(entry.terminal, entry.key)
        if seen is not None and (seen.live or not entry.live):
            return
        self._seen.put(Seen(stamped.at, entry.live), entry.terminal, entry.key)
        if seen is None:
            self._seen_keys.setdefault(entry.terminal, deque()).append(entry.key)
            self._forget_oldest(entry.terminal)
        self._freshness(entry, stamped)
        newer, changed = self._in_sequence(entry, stamped.at), _DOOR_FACTS.get(entry.type)
        if changed is not None:
            self._door(entry, changed, stamped, newer=newer)
        people, occasion = self._presence.at_terminal(entry), f"{entry.terminal}:{entry.key}"
        if entry.live:
            for subject in (entry.terminal, *people):
                self._watches.pulse(subject, entry, occasion, stamped.at)
        if entry.type == GRANTED:
            passed = passed_at(entry, stamped.at, self.board.anchor_at(stamped.at))
            self._sign(people, "pass", passed, stamped)

    def _in_sequence(self, entry: Entry, at: Instant) -> bool:
        """Sequence, not time, orders a terminal's events (facts/face 0.6): a late one must not move the door back.

        A live event far behind in time as well is none that was overtaken: the terminal's counter began anew.
        """
        last = self._cursors.get(entry.terminal)
        if entry.seq is None or last is None or entry.seq >= last.seq:  # a resend of the same is known by its key
            newer = True
        else:
            newer = at - last.at > OVERTAKEN_MS and (entry.live or last.seq - entry.seq >= RESET_BY)
        if newer and entry.seq is not None:
            self._cursors.put(Cursor(entry.seq, at), entry.terminal)
        return newer

    def _door(self, entry: Entry, changed: tuple[str, Scalar], stamped: Stamped, *, newer: bool) -> None:
        """Opened and closed go by sequence; an alarm that is live counts in any order; a terminal's log only ends alarms."""
        terminal, (name, value) = entry.terminal, changed
        if newer and (entry.live or changed in _AT_REST):
            self._hear(terminal, name, value, Quality.GOOD, stamped)
        elif entry.live and changed in _ALARMS:
            before = self.board.fact(terminal, name)
            self._hear(terminal, name, value, Quality.GOOD, stamped)
            if before is not None:  # overtaken by younger news: the alert stands, the door does not go back
                self._hear(terminal, name, before.value, Quality.GOOD, stamped)

    def _freshness(self, entry: Entry, stamped: Stamped) -> None:
        """A terminal whose events nobody can date raises nothing, and that must not go unsaid."""
        unproven = UNPROVEN in entry.anomalies
        known = self.board.fact(entry.terminal, UNPROVEN)
        if unproven != (known is not None and known.value is True):
            self._hear(entry.terminal, UNPROVEN, unproven, Quality.GOOD, stamped)

    def _gap(self, gap: SequenceGap, stamped: Stamped) -> None:
        """A terminal has a gap while any of its own is open."""
        if gap.open:
            self._gaps.put(OpenGap(gap.last, stamped.at), gap.terminal, str(gap.first))
        else:
            self._gaps.drop(gap.terminal, str(gap.first))
        missing = any(key[0] == gap.terminal for key in self._gaps)
        known = gap.open or gap.reason in _ACCOUNTED_FOR
        self.board.coverage.gap(gap.terminal, stamped.at, missing=missing, recovered=known)
        self._hear(gap.terminal, GAP, missing, Quality.GOOD, stamped)

    def _paired(self, paired: Paired, at: Instant) -> None:
        """Another device counts its events from elsewhere."""
        before = self._pins.get(paired.terminal)
        self._pins.put(Pin(paired.device, at), paired.terminal)
        if before is not None and before.device != paired.device:
            self._cursors.drop(paired.terminal)

    def _forget_oldest(self, terminal: str) -> None:
        mine = self._seen_keys[terminal]
        while len(mine) > SEEN_PER_TERMINAL:
            self._seen.drop(terminal, mine.popleft())

    def _command(self, command: Command, stamped: Stamped) -> None:
        at = stamped.at
        earlier = self._answered.earlier(command)
        if earlier is not None:
            self.register.said.append(earlier)
            return
        verdict = carry_out(command, at, self.register)
        if command.verb is Verb.REENROL and verdict is Verdict.DONE:
            self.presses.drop(command.button)  # nor does the radio of the next life know the old counter
            self.register.said.append(Reenrol(command.button))
        if command.verb is Verb.PAIR and verdict is Verdict.DONE:
            self.register.said.append(OpenPairing(command.door, command.for_ms or 0))
        if command.verb is Verb.AWAY and verdict is Verdict.DONE:
            self._away(command, stamped)
        reply = Reply(command.command_id, command.principal, verdict is Verdict.DONE, verdict.value, command.alert)
        self._answered.remember(command, at, reply, clock_known=self.anchor_at(at) is not None)
        self.register.said.append(reply)

    def _away(self, command: Command, stamped: Stamped) -> None:
        if command.back:
            self.board.away.back(command.resident, stamped.at, command.who)
        else:
            self.board.away.leave(command.resident, stamped.at, command.for_ms or 0, command.who)
        self._watches.fact_changed(command.resident, AWAY, _moment(stamped))

    def _count_as_blind(self, boot: Boot, at: Instant) -> None:
        """Before any deadline of the downtime fires: a wait that would have ended in it has not, for nobody listened."""
        downtime = boot.downtime_ms or 0
        self._fire_until(Instant(at - downtime))
        self.board.clock = msgspec.structs.replace(self.board.clock, blind_ms=self.board.clock.blind_ms + downtime)
        self.board.coverage.slept(at, boot.downtime_ms)

    def _boot(self, boot: Boot, stamped: Stamped) -> None:
        clock, at = self.board.clock, stamped.at
        blind = clock.blind_ms
        known = boot.downtime_ms is not None and bool(clock.segments)
        offset = boot.offset_ms if boot.offset_ms is not None or not known else clock.segments[-1].offset_ms
        segments = (
            (*clock.segments[:-1], Segment(clock.segments[-1].start, offset))
            if known
            else (*clock.segments, Segment(self._segment_start(at), offset))
        )
        self.board.clock = ClockRow(at, boot.run, boot.boot_id, blind, at - blind, segments[-SEGMENTS_KEPT:])
        if boot.downtime_ms is None:
            self._watches.observe_anew(at)
            self.register.after_unknown_downtime(at)
        for output in self._wants:
            self._wants.drop(*output)  # every run tells its outputs anew what they should be
        # Known from earlier in this boot counts: the kernel may waver, the tie to true time does not (and nobody reports it
        # a second time, so this fact would stay false for ever).
        self._hear(CLOCK, SYNCED, offset is not None, Quality.GOOD, stamped)
        if offset is not None:
            self.register.date(at)
            self.board.away.date(at)
        self._watches.look_at_all(_moment(stamped))

    def _segment_start(self, at: Instant) -> Instant:
        """Where the time of a boot begins of which nobody knows how long after the last it came.

        The timeline goes on where it stood, so its first millisecond may hold the last alert of the boot before, and that
        must not be dated by this one's clock.
        """
        clock = self.board.clock
        return Instant(at + 1) if clock.segments and clock.at >= at else at

    def _synced(self, offset_ms: int, stamped: Stamped) -> None:
        clock = self.board.clock
        start = clock.segments[-1].start if clock.segments else stamped.at
        self.board.clock = msgspec.structs.replace(clock, segments=(*clock.segments[:-1], Segment(start, offset_ms)))
        self._hear(CLOCK, SYNCED, True, Quality.GOOD, stamped)
        self.register.date(stamped.at)
        self.board.away.date(stamped.at)
        self._watches.look_at_all(_moment(stamped))  # times of day have a meaning now

    def _site_loaded(self, stamped: Stamped) -> None:
        """Alerts whose rule or subject went away end as withdrawn; everything else is looked at again."""
        for alert in self.alerts():
            rule = self.compound.rules.get(alert.rule)
            if rule is None or alert.subject not in rule.subjects:
                self.register.close(alert, stamped.at, None, "withdrawn", "")
        self.register.relay_ladders()
        self.board.forget_strangers()
        for output in self._wants:
            if output[0] not in self.compound.outputs:
                self._wants.drop(*output)
        self._watches.forget_strangers()
        self.board.await_unheard(stamped.at)
        self.board.coverage.begin(stamped.at, self.board.lost())
        self.board.away.forget_all_but(name for name, s in self.compound.subjects.items() if s.care is not None)
        self._watches.look_at_all(_moment(stamped))

    # Deadlines and the outcome ------------------------------------------------------------------------

    def _fire_until(self, until: Instant) -> None:
        while (next_one := self._deadlines.pop(until)) is not None:
            at, (kind, *name) = next_one
            self._now = at = max(at, self._now)
            if kind in {"ripe", "look"}:
                self._watches.look(name[0], name[1], Moment(at, f"due.{at}"))
            else:
                self.register.fire(kind, name[0], at)

    def _outcome(self, *, urgent: bool) -> Outcome:
        said = self._taken()
        if self.board.clock.at != self._now:
            self.board.clock = msgspec.structs.replace(self.board.clock, at=self._now)
        told_nothing = len(self._wants) < len(self.compound.outputs)
        wants = self._drive() if self.register.alerts.is_changed or told_nothing else ()
        actions = (*wants, *said)
        return Outcome(actions, self._ledger.changed(), urgent or bool(actions))

    def _taken(self) -> list[Action]:
        said, self.register.said = self.register.said, []
        return said

    def _drive(self) -> tuple[Want, ...]:
        """The outputs whose desired state (or cause) changed."""
        rules, alerts = self.compound.rules, self.alerts()
        kinds = {output.kind for output in self.compound.outputs.values()}
        concerned = {kind: [a for a in alerts if outputs.concerns(kind, rules.get(a.rule))] for kind in kinds}
        wanted = [outputs.desired(output, concerned[output.kind], rules) for output in self.compound.outputs.values()]
        changed = tuple(want for want in wanted if self._wants.get(want.output) != want)
        for want in changed:
            self._wants.put(want, want.output)
            if want.state is OutputState.ON:
                self._driven.put(Driven(), want.output)
        return changed


def _oldest_first(table: Table[Seen]) -> list[Key]:
    aged = [(row.at, key) for key in table for row in (table.get(*key),) if row is not None]
    return [key for _, key in sorted(aged)]


def _moment(stamped: Stamped) -> Moment:
    return Moment(stamped.at, stamped.id)
