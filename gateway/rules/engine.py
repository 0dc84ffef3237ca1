"""The core: one event in, what to do out.

Rule of the house: no clock, no I/O, no randomness. ``handle`` first fires every deadline that was due before the event, each
at its own time and in order; so a late wake-up changes nothing, and a month of life is a list of events that replays in
seconds. (Models: a protocol engine whose every entry takes ``now`` and that answers when it wants to be woken.)

State is rows (``ledger``), so the store can write what changed in the same transaction as the event, and ``restore`` gives
back the very same core.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from gateway.actions import Action, OpenPairing, Reenrol, Reply, Want
from gateway.alerts import Alert
from gateway.events import (
    Actuated,
    Boot,
    ClockSynced,
    Command,
    CommandRefused,
    DeviceHealth,
    Entry,
    Event,
    Health,
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
from gateway.instant import Anchor, Instant
from gateway.rules import drills, strangers
from gateway.rules.agreement import Agreement
from gateway.rules.answered import AnsweredCommands
from gateway.rules.away import AWAY
from gateway.rules.calls import calls_for_help
from gateway.rules.commands import Verdict, carry_out, longest_shelf_ms
from gateway.rules.compound import (
    ACTUAL,
    BY_HAND,
    CLOCK,
    CONFIRMED,
    GAP,
    HEALTH,
    HEARD,
    HELD,
    SYNCED,
    UNREAD,
    WANTED,
    Compound,
    Subject,
)
from gateway.rules.deadlines import Deadlines
from gateway.rules.facts import OURS, ClockRow, FactBoard, Segment
from gateway.rules.ledger import Ledger, Row, Table
from gateway.rules.presence import GRANTED, Presence
from gateway.rules.presence import when as passed_at
from gateway.rules.presses import LastPress, follow
from gateway.rules.question import Fact
from gateway.rules.register import AlertRegister
from gateway.rules.signs import Sign
from gateway.rules.terminals import TerminalBook, Window
from gateway.rules.wants import Wants
from gateway.rules.watches import Moment, Watchkeeper

SEGMENTS_KEPT = 16
_replace = msgspec.structs.replace
# Looked up in their enum for each reading, they cost as much as remembering the fact.
_GOOD, _TESTED = Quality.GOOD, Quality.UNDER_TEST
_QUIET = (Reading, Receipt, CommandRefused)
"""Events that need not be on the disk at once."""


class Outcome(Struct, frozen=True):
    """What one event (or one wake-up) led to."""

    actions: tuple[Action, ...]
    rows: tuple[Row, ...]
    urgent: bool
    """Must be on disk before anyone is told: everything but a quiet reading."""
    idle: bool = False
    """A quiet reading that no alarm hangs on, or that repeats the last: losing the last minute of such costs nobody anything."""


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
        self._agreement = Agreement(compound, self.board, self.register, self._watches)
        self._terminals = TerminalBook(self.board)
        self.presses: Table[LastPress] = Table("press", LastPress)
        """By address; by name of a button that has none, and of an earlier version."""
        self._left: Table[strangers.Left] = Table("left", strangers.Left)
        self._answered = AnsweredCommands()
        self._wants = Wants(compound)
        self._ledger = Ledger(
            self.board.rows,
            self.board.clock_row,
            self.board.waits,
            self.board.graces,
            self.register.alerts,
            self.register.closed,
            self.register.numbers.lanes,
            self.register.numbers.occasions,
            self.register.numbers.reached,
            self._watches.rows,
            self._watches.memories,
            self.board.coverage.rows,
            self.board.away.rows,
            self.presses,
            self._terminals.seen,
            self._answered.done,
            self._answered.latest,
            self._wants.told,
            self._wants.driven,
            self._terminals.cursors,
            self._terminals.gaps,
            self._terminals.pins,
            self._terminals.alarms,
            self._terminals.windows,
            self._left,
            self._answered.left,
        )
        self._of_every_reading = {self.board.rows.place, self.board.clock_row.place}
        """Tables that any reading changes; one that changes more (a delay began, a rate was kept) matters."""

    # The four entrances ---------------------------------------------------------------------------

    def handle(self, stamped: Stamped) -> Outcome:
        """Let one event take effect. ``stamped.at`` is never less than that of the event before."""
        if isinstance(stamped.event, Boot):
            self._wake_up(stamped.event, stamped)
        elif isinstance(stamped.event, SiteLoaded):
            self.board.begin_waits(stamped.at)
            self._dispose(stamped.at, stamped.at)
        self._fire_until(stamped.at)
        self._now = stamped.at
        may_wait = self._dispatch(stamped)
        return self._outcome(urgent=not isinstance(stamped.event, _QUIET), idle=may_wait)

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
        self._terminals.rebuild()
        self._answered.rebuild()
        self.register.rebuild()
        self._wants.part()
        self._watches.rebuild(self._now)
        return unreadable

    def paired(self, terminal: str) -> str:
        """The device learnt for this door; empty: none."""
        return self._terminals.paired(terminal)

    def open_windows(self) -> dict[str, Instant]:
        """Until when each door learns its device (``loudong pair``)."""
        return self._terminals.open_windows()

    def stands_at(self, terminal: str) -> str:
        """The device that was learnt, or named by the site file, and heard last; empty: none."""
        return self._terminals.stands_at(terminal)

    def has_seen(self, terminal: str, key: str) -> bool:
        """Whether this entry was handled before: what comes now is a resend."""
        return self._terminals.has_seen(terminal, key)

    def awaits(self, entry: Entry) -> bool:
        """Whether it names somebody under care who is known at this door."""
        return bool(self._presence.at_terminal(entry))

    def last_serial(self, terminal: str) -> tuple[int, Instant] | None:
        """The last serial number that counted, and when it came."""
        return self._terminals.last_serial(terminal)

    def last_press(self, button: Subject) -> LastPress | None:
        """The last press of this very button, whatever it was called then. By name it is newer where an earlier version ran in between."""
        rows = [row for name in (button.address, button.id) if (row := self.presses.get(name)) is not None]
        return max(rows, key=lambda row: row.at, default=None)

    def open_gaps(self, terminal: str) -> list[tuple[int, int]]:
        """First and last of each run of serial numbers that is still missing, oldest first: what its log is asked for."""
        return self._terminals.open_gaps(terminal)

    # Questions ------------------------------------------------------------------------------------

    def alerts(self) -> list[Alert]:
        """Every open alert, oldest first."""
        return self.register.open_alerts()

    def is_vital(self, event: Event) -> bool:
        """Whether it is a press, or a reading of an alarm point (one that may not fall silent)."""
        if isinstance(event, Reading):
            return self.board.is_supervised((event.device, event.point))
        return isinstance(event, Press)

    def fact(self, subject: str, name: str) -> Fact | None:
        """The last word on a fact."""
        return self.board.fact(subject, name)

    def wants(self) -> list[Want]:
        """What every output was told last, for one who has not heard it."""
        return self._wants.told.values()

    def driven(self) -> frozenset[str]:
        """Outputs that are on because of us, as far as we know."""
        return frozenset(key[0] for key in self._wants.driven)

    def anchor_at(self, at: Instant) -> Anchor | None:
        """The tie of this moment to true time, if known."""
        return self.board.anchor_at(at)

    # Events ---------------------------------------------------------------------------------------

    def _dispatch(self, stamped: Stamped) -> bool:
        """Let it take effect; answers whether a crash may cost the last minute of it."""
        event, at = stamped.event, stamped.at
        if isinstance(event, Reading):
            return self._reading(event, stamped)
        if isinstance(event, Press):
            self._press(event, stamped)
        elif isinstance(event, Entry):
            self._entry(event, stamped)
        elif isinstance(event, DeviceHealth):
            self._hear(event.device, "reason", event.reason, Quality.GOOD, stamped)
            self._hear(event.device, HEALTH, event.health.value, Quality.GOOD, stamped)
            if event.health in {Health.OK, Health.OUT_OF_SERVICE}:  # a loss or a fault puts nothing back into service
                disabled = event.health is Health.OUT_OF_SERVICE
                self._hear(event.device, BY_HAND, event.reason if disabled else "", Quality.GOOD, stamped)
        elif isinstance(event, SequenceGap):
            self._hear(event.terminal, GAP, self._terminals.gap(event, stamped.at), Quality.GOOD, stamped)
        elif isinstance(event, Paired):
            for name, value in self._terminals.pair(event, at):
                self._hear(event.terminal, name, value, Quality.GOOD, stamped)
        elif isinstance(event, Actuated):
            if event.wanted:  # a timetable need not say it
                self._hear(event.output, WANTED, event.wanted, Quality.GOOD, stamped)
                self._hear(event.output, ACTUAL, event.actual or UNREAD, Quality.GOOD, stamped)
            self._hear(event.output, CONFIRMED, event.confirmed, Quality.GOOD, stamped)
            self._hear(event.output, HELD, event.reason.startswith("held"), Quality.GOOD, stamped)
            self._wants.answered(event, at - self.board.blind_ms())
        elif isinstance(event, Command):
            self._command(event, stamped)
        elif isinstance(event, Boot):
            self._boot(event, stamped)
        elif isinstance(event, ClockSynced):
            self._synced(event.offset_ms, stamped)
        elif isinstance(event, SiteLoaded):
            self._site_loaded(stamped)
        # A Receipt changes no alert; whoever journals it keeps it in the alert's history. A CommandRefused changes nothing.
        return False

    def _reading(self, reading: Reading, stamped: Stamped) -> bool:
        """A crash may cost the last minute of it, but not of a button, of which it says whether the press that is still on the air is
        known already, nor of news of an alarm point. What such a one repeats says only that it was heard, and it is heard anew after
        the crash; a compound's detectors repeat something every second, and each would be a block of the disk. So does a button's
        sign of life, however strong it was: twelve come before anybody misses them (``drivers/ble/watcher.py``).
        """
        key, good = (reading.device, reading.point), reading.quality is _GOOD
        subject = self.compound.subjects.get(reading.device)
        if subject is None or reading.point in OURS:
            return good  # of a device that the site no longer knows, or in words that are not its own; the journal keeps it
        people = self._presence.by_reading.get(key)
        before = self.board.fact(*key) if people is not None else None
        news = self.board.hear(key, reading.value, reading.quality, stamped.at)
        if news or reading.quality is _TESTED:  # an earlier version has noted nothing, and this is no news to us
            self.board.note_test(key, reading.quality, stamped.at)
        self._watches.fact_heard(key, stamped.at, stamped.id, read=True, news=news)
        if people is not None and good and before is not None and _moved(before.value, reading.value):
            self._sign(people, "reading", stamped.at, stamped)
        if subject.kind == "button":
            return good and reading.point == HEARD
        return good and not (news and self.board.is_supervised(key))

    def _sign(self, people: list[str], by: str, when: Instant, stamped: Stamped) -> None:
        for person in people:
            self._watches.pulse(person, Sign(person, by, when), stamped.id, stamped.at)

    def _hear(self, subject: str, name: str, value: Scalar | None, quality: Quality, stamped: Stamped) -> None:
        if subject not in self.compound.subjects:
            return  # a device that the site no longer knows; the journal keeps the event
        key = subject, name
        news = self.board.hear(key, value, quality, stamped.at)
        self._watches.fact_heard(key, stamped.at, stamped.id, news=news)

    def _press(self, press: Press, stamped: Stamped) -> None:
        button = self.compound.subjects.get(press.button)
        if button is None:
            return
        self.presses.put(follow(self.last_press(button), press, stamped.at), button.address or button.id)
        occasion = f"{press.button}:{press.key}" if press.key else stamped.id
        self._watches.pulse(press.button, press, occasion, stamped.at)
        if press.suspect is None:
            self._sign(self._presence.at_button(press.button), "press", stamped.at, stamped)

    def _entry(self, entry: Entry, stamped: Stamped) -> None:
        if entry.terminal not in self.compound.subjects or not self._terminals.is_news(entry, stamped.at):
            return
        for name, value in self._terminals.facts_of(entry, stamped.at):
            self._hear(entry.terminal, name, value, Quality.GOOD, stamped)
        people, occasion = self._presence.at_terminal(entry), f"{entry.terminal}:{entry.key}"
        if entry.live:
            for subject in (entry.terminal, *people):
                self._watches.pulse(subject, entry, occasion, stamped.at)
        if entry.type == GRANTED:
            passed = passed_at(entry, stamped.at, self.board.anchor_at(stamped.at))
            self._sign(people, "pass", passed, stamped)

    def _command(self, command: Command, stamped: Stamped) -> None:
        at = stamped.at
        earlier = self._answered.earlier(command)
        if earlier is not None:
            self.register.said.append(earlier)
            return
        about = self.register.alerts.get(command.alert or "")
        verdict = carry_out(command, at, self.register)
        if about is not None:
            self._agreement.let_go(about, _moment(stamped))
        if command.verb is Verb.REENROL and verdict is Verdict.DONE:
            for name in (command.button, self.compound.subjects[command.button].address):
                self.presses.drop(name)  # nor does the radio of the next life know the old counter
            self.register.said.append(Reenrol(command.button))
        if command.verb is Verb.PAIR and verdict is Verdict.DONE:
            self._terminals.windows.put(Window(Instant(at + (command.for_ms or 0))), command.door)
            self.register.said.append(OpenPairing(command.door, command.for_ms or 0))
        if command.verb is Verb.AWAY and verdict is Verdict.DONE:
            self._away(command, stamped)
        alert = command.alert
        if command.verb is Verb.TEST:
            alert = self._test(command, stamped) if verdict is Verdict.DONE else None
        reply = Reply(command.command_id, command.principal, verdict is Verdict.DONE, verdict.value, alert)
        anchor = self.anchor_at(at)
        self._answered.remember(command, at, reply, wall_ms=None if anchor is None else anchor.wall_ms(at))
        self.register.said.append(reply)

    def _test(self, command: Command, stamped: Stamped) -> str | None:
        """The id of the alert that shows whether the way works."""
        found = drills.target(command.target, self.compound)
        if found is None:
            return None
        drill = drills.drill_of(command, *found)
        return self.register.test(drill, stamped.id, stamped.at, command.who, command.reason)

    def _away(self, command: Command, stamped: Stamped) -> None:
        if command.back:
            self.board.away.back(command.resident, stamped.at, command.who)
        else:
            self.board.away.leave(command.resident, stamped.at, command.for_ms or 0, command.who)
        self._watches.fact_heard((command.resident, AWAY), stamped.at, stamped.id, news=True)

    def _wake_up(self, boot: Boot, stamped: Stamped) -> None:
        """What comes before any deadline of the downtime; where nobody knows how long that was, climbs move on once the site is loaded."""
        self.register.leap(boot.losses)
        self._agreement.reach(stamped.at, stamped.id)
        asleep = Instant(stamped.at - (boot.downtime_ms or 0))
        # A rung that the site file left out meanwhile is due no more, the one above it may be; nor is what it lets wait for longer.
        self.register.relay_ladders(asleep)
        self._watches.relay_delays(asleep)
        if boot.downtime_ms is not None:
            self._dispose(stamped.at, asleep)
        self._count_as_blind(boot, stamped.at)

    def _count_as_blind(self, boot: Boot, at: Instant) -> None:
        """Before any deadline of the downtime fires: a wait that would have ended in it has not, for nobody listened."""
        downtime = boot.missed_ms if boot.downtime_ms is None else boot.downtime_ms
        self.board.begin_waits(Instant(at - downtime))
        self._fire_until(Instant(at - downtime))
        self.board.pass_time(self._now)  # what fell due there belongs to the boot before
        self.board.begin_graces(Instant(at - downtime), at)
        self.board.clock = _replace(self.board.clock, blind_ms=self.board.clock.blind_ms + downtime)
        self.board.coverage.slept(at, boot.downtime_ms)

    def _boot(self, boot: Boot, stamped: Stamped) -> None:
        clock, at = self.board.clock, stamped.at
        blind = clock.blind_ms
        known = boot.downtime_ms is not None and bool(clock.segments)
        offset = boot.offset_ms if boot.offset_ms is not None or not known else clock.segments[-1].offset_ms
        segments = (
            (*clock.segments[:-1], Segment(clock.segments[-1].start, offset))
            if known
            else (*clock.segments, Segment(self._segment_start(at - boot.missed_ms), offset))
        )
        self.board.clock = ClockRow(at, boot.run, boot.boot_id, blind, at - blind, segments[-SEGMENTS_KEPT:])
        if boot.downtime_ms is None:
            self._watches.observe_anew(at)
            self.register.after_unknown_downtime(at)
            self._terminals.shut_windows(None)
        self._wants.take_back()
        # Known from earlier in this boot counts: the kernel may waver, the tie to true time does not (and nobody reports it
        # a second time, so this fact would stay false for ever).
        self._hear(CLOCK, SYNCED, offset is not None, Quality.GOOD, stamped)
        if offset is not None:
            self.register.date(at)
            self.board.away.date(at)

    def _segment_start(self, at: int) -> Instant:
        """Where the time of a boot begins of which nobody knows how long after the last it came.

        The timeline goes on where it stood, so its first millisecond may hold the last alert of the boot before, and that
        must not be dated by this one's clock.
        """
        clock = self.board.clock
        return Instant(max(at, clock.at + 1) if clock.segments else at)

    def _synced(self, offset_ms: int, stamped: Stamped) -> None:
        clock = self.board.clock
        start = clock.segments[-1].start if clock.segments else stamped.at
        self.board.clock = _replace(clock, segments=(*clock.segments[:-1], Segment(start, offset_ms)))
        self._hear(CLOCK, SYNCED, True, Quality.GOOD, stamped)
        self.register.date(stamped.at)
        self.board.away.date(stamped.at)
        self._watches.look_at_all(_moment(stamped))  # times of day have a meaning now

    def _site_loaded(self, stamped: Stamped) -> None:
        """What is said once of calls for help that outlive their button, door or rule; then all is looked at again."""
        for alert in self.alerts():
            self.register.outlive(alert.id, stamped.at, gone=not (drills.is_test(alert) or self._is_known(alert)))
            self.register.shorten_shelf(alert.id, stamped.at, longest_shelf_ms(alert, self.compound))
        self._agreement.reach(stamped.at, stamped.id)
        self.register.relay_ladders(stamped.at)
        self.register.call_who_is_there_now(stamped.at)
        self._call_where_pressed(stamped.at)
        self.board.forget_strangers()
        self._wants.forget_strangers()
        self._watches.forget_strangers()
        self._watches.relay_delays(stamped.at)
        buttons = [subject for subject in self.compound.subjects.values() if subject.address]
        for button in buttons:
            last = self.last_press(button)
            if last is not None and self.presses.get(button.id) is not None:  # as an earlier version kept it
                self.presses.put(last, button.address)
                self.presses.drop(button.id)
        books = (self.presses, *self._terminals.books)
        known = self.compound.subjects.keys() | {button.address for button in buttons}
        gone = strangers.long_gone(books, self._left, known, stamped.at)
        strangers.forget(books, gone)
        self._terminals.forget(gone)
        self._terminals.shut_windows(stamped.at)
        self._answered.forget_silent(self.compound.principals, stamped.at)
        self.board.coverage.begin(stamped.at, self.board.lost())
        self.board.away.forget_all_but(name for name, s in self.compound.subjects.items() if s.care is not None)
        self._watches.look_at_all(_moment(stamped))

    def _dispose(self, at: Instant, since: Instant) -> None:
        """Of alerts whose rule or subject went away, and that are no calls for help; the others go where their subject stands now: before
        what falls due, the end of a shelf or a climb, calls anybody for them, or to another door than the site file says. ``since``: from
        when on.
        """
        for alert in self.alerts():
            if not (drills.is_test(alert) or self._is_known(alert) or calls_for_help(alert)):
                self.register.close(alert, at, None, "withdrawn", "")
            else:
                self.register.follow(alert, at, since)

    def _call_where_pressed(self, at: Instant) -> None:
        """Another button bears the name of the one that was pressed, which hangs elsewhere: nobody knows whether they were exchanged or put
        right, so people are called there, too (docs/decisions/0030).
        """
        buttons = {subject.address: subject for subject in self.compound.subjects.values() if subject.address}
        for alert in filter(calls_for_help, self.alerts()):
            for origin in alert.origins:
                if origin.address in buttons:
                    self.register.call_there_too(alert.id, origin, buttons[origin.address], at)

    def _is_known(self, alert: Alert) -> bool:
        """By the site file, with its rule."""
        rule = self.compound.rules.get(alert.rule)
        return rule is not None and rule.knows(alert.subject)

    # Deadlines and the outcome ------------------------------------------------------------------------

    def _fire_until(self, until: Instant) -> None:
        while (next_one := self._deadlines.pop(until)) is not None:
            at, (kind, *name) = next_one
            self._now = at = max(at, self._now)
            if kind in {"ripe", "look"}:
                self._watches.look(name[0], name[1], Moment(at, f"due.{at}"))
            elif kind == "test":
                self._watches.end_test(name[0], Moment(at, f"due.{at}"))
            else:
                self.register.fire(kind, name[0], at)

    def _outcome(self, *, urgent: bool, idle: bool = False) -> Outcome:
        said, self.register.said = self.register.said, []
        self.board.pass_time(self._now)
        quiet = self._ledger.touched <= self._of_every_reading
        moved = self._wants.owed or (not quiet and self.register.alerts.is_changed)
        wants = self._wants.renew(self.alerts()) if moved else ()
        actions = (*wants, *said)
        return Outcome(actions, self._ledger.changed(), urgent or bool(actions), idle and quiet and not actions)


def _moment(stamped: Stamped) -> Moment:
    return Moment(stamped.at, stamped.id)


def _moved(before: Scalar | None, now: Scalar | None) -> bool:
    """From one value to another: somebody did that."""
    return before is not None and now is not None and before != now
