"""The alert register: every open alert, its revisions, and what is said of each change.

The engine decides *that* something happened to an alert; here each step gets its revision, its place in a lane, and its
deadlines. One step, one revision, one message.
"""

from __future__ import annotations

from collections import defaultdict

import msgspec

from gateway.actions import Action, Note, Publish
from gateway.alerts import (
    CHAIN_TEST,
    Alert,
    Change,
    ChangeKind,
    Condition,
    NoteKind,
    Origin,
    Suppression,
    Why,
    building_of,
)
from gateway.instant import Instant
from gateway.rules import calls, grading, ladder, lifecycle
from gateway.rules.compound import Compound, Rule, Subject, within
from gateway.rules.conditions import furthest
from gateway.rules.deadlines import Deadlines
from gateway.rules.drills import Drill, alert_of, is_real_alarm, is_test, tests_among
from gateway.rules.facts import FactBoard
from gateway.rules.ladder import Because
from gateway.rules.ledger import Table
from gateway.rules.numbering import Numbering
from gateway.rules.whereabouts import called_elsewhere, calls_out, place_now
from gateway.rules.worsening import all_said, is_worse, with_reasons

_replace = msgspec.structs.replace
_SOUNDS = frozenset({ChangeKind.RAISED, ChangeKind.RE_ALARMED, ChangeKind.UNSHELVED})
UNDATED_KEPT = 200
"""Closed alerts kept for a clock that may never come right: a day's worth of a very bad day."""
CAME_BACK = "came_back"
"""Why an alert alarms again whose condition had gone."""
MOVED = "moved"
"""Why an alert is told anew whose subject stands elsewhere than the site file said."""
GONE = "gone"
"""Why an alert is told anew whose button, door or rule the site file has no more."""


class AlertRegister:
    """Open alerts by id and by (rule, subject)."""

    def __init__(self, compound: Compound, board: FactBoard, deadlines: Deadlines) -> None:
        self.compound, self._board, self._deadlines = compound, board, deadlines
        self.alerts: Table[Alert] = Table("alert", Alert)
        self.closed: Table[Alert] = Table("closed", Alert, written_only=True)
        self.numbers = Numbering(compound.site)
        self.said: list[Action] = []
        """Actions of the event being handled; the engine empties it."""
        self._open: dict[tuple[str, str], str] = {}
        self._crowds: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        """(rule, building) -> ids of its open alerts."""
        self._owed: dict[str, None] = {}
        """Closed alerts whose date is still owed, oldest first."""

    def rebuild(self) -> None:
        """After a restore: index and deadlines from the rows."""
        for alert in sorted(self.alerts.values(), key=_age):
            self._index(alert)
            self._arm(alert)
            if not alert.open:
                self._owed[alert.id] = None

    def leap(self, losses: int) -> None:
        """Never tell under an id again that may have been told under, where the store lost what it held (``losses``, see ``Boot``).

        A message's id is alert and revision, and an alert that is lost is raised anew, under its old id, by an occasion that is
        heard again (a press, an entry). So all alerts, those to come, too, go on behind whatever was reached.
        """
        if self.numbers.leap(losses, [alert.revision for alert in self.alerts.values()]):
            for alert in self.alerts.values():
                self.alerts.put(_replace(alert, revision=self.numbers.revision), alert.id)

    def standing(self, rule: str, subject: str) -> Alert | None:
        """The open alert of a rule about a subject."""
        key = self._open.get((rule, subject))
        return self.alerts.get(key) if key else None

    def open_alerts(self) -> list[Alert]:
        """Every alert that is not closed, oldest first."""
        return sorted((alert for alert in self.alerts.values() if alert.open), key=_age)

    # What can happen to an alert ---------------------------------------------------------------

    def raise_(
        self,
        rule: Rule,
        subject: str,
        occasion: str,
        at: Instant,
        why: tuple[Why, ...],
        *,
        tested_until: Instant | None = None,
        origin: Origin | None = None,
    ) -> None:
        """A new alert: raised, then told to every rung that is due at once; of a test, to the building alone."""
        place = subject if rule.members else self.compound.subjects[subject].place
        identity = self.numbers.identity(rule.id, subject, occasion, momentary=rule.momentary)
        worst = furthest(rule.when, why)
        alert = Alert(
            id=identity,
            revision=self.numbers.revision,
            rule=rule.id,
            subject=subject,
            place=place,
            priority=rule.priority,
            grade=rule.grade,
            occasion=occasion,
            opened_at=at,
            changed_at=at,
            why=why,
            latch=rule.latch,
            momentary=rule.momentary,
            silent=rule.silent,
            worst_said=None if worst is None else worst[1],
            suppression=Suppression.NONE if tested_until is None else Suppression.BY_DESIGN,
            drill=tested_until is not None,
            shelved_until=tested_until,
            origins=() if origin is None else (origin,),
        )
        self._climb_from_start(self._say(ChangeKind.RAISED, grading.stand(alert, rule, at), at), at)

    def test(self, drill: Drill, occasion: str, at: Instant, who: str, reason: str) -> str:
        """A person tests the chain: raised as a drill, told as far as was asked for. Answers the alert's id."""
        identity = self.numbers.identity(CHAIN_TEST, drill.subject, occasion)
        alert = alert_of(drill, identity, self.numbers.revision, occasion, at, who, reason)
        return self._climb_from_start(self._say(ChangeKind.RAISED, alert, at, who=who, reason=reason), at).id

    def repeat(self, alert: Alert, at: Instant, why: tuple[Why, ...]) -> None:
        """Pressed again before anybody answered: recorded on the alert."""
        again = _replace(alert, occurrences=alert.occurrences + 1, why=(*alert.why, *why)[-8:])
        self._keep(again)
        self.said.append(Note(Change(NoteKind.REPEATED, at, again)))

    def re_alarm(self, alert: Alert, at: Instant, why: tuple[Why, ...], reason: str) -> None:
        """Came back, worsened, or was pressed again: everybody hears why, and the climb begins anew if nobody climbs. What is back
        while people are being called is no other occasion: who was called for as much is called again when the time to answer is over.
        """
        calling = ladder.is_calling(alert, at)
        known = calling and reason == CAME_BACK and not self._is_worse(alert, why)
        why = all_said(alert, why) if calling else why
        anew = alert.condition is Condition.NORMAL and not calling
        again = lifecycle.re_alarm(self._with_reasons(alert, why, anew=anew))
        again = _replace(again, occurrences=alert.occurrences + 1)
        if alert.condition is Condition.NORMAL:
            again = grading.stand(again, self.compound.rules.get(alert.rule), at)
        said, elsewhere = self._say(ChangeKind.RE_ALARMED, again, at, reason=reason), called_elsewhere(alert)
        if alert.suppression is Suppression.SHELVED or (ladder.is_climbing(alert, at) and not elsewhere):
            return  # else it would never get past the rung before which it flaps
        if known and not elsewhere:
            self._keep(ladder.start_later(said, self.compound.grid))
        else:
            self._climb_from_start(said, at)

    def test_again(self, alert: Alert, at: Instant, why: tuple[Why, ...], until: Instant | None) -> None:
        """What alarmed in a test alarms again in it, or (``until`` is None) the test is over and the alarm stands: in full, then."""
        if until is None:
            real = _replace(
                alert, drill=False, why=(), worst_said=None, also_said=()
            )  # what it said in a test is no measure
            self.re_alarm(lifecycle.unshelve(real, at, None), at, why, "test_over")
        else:
            self.re_alarm(lifecycle.drill(alert, until), at, why, CAME_BACK)

    def return_(self, alert: Alert, at: Instant) -> None:
        """The condition is gone; the alert ends if nothing is owed."""
        self.end_if_settled(self._say(ChangeKind.RETURNED, lifecycle.return_to_normal(alert), at), at)

    def remember(self, alert: Alert, why: tuple[Why, ...]) -> None:
        """A drill says more than it did; nobody is called for that, but it is what the end of the test asks for."""
        self._keep(self._with_reasons(alert, why))

    def _with_reasons(self, alert: Alert, why: tuple[Why, ...], *, anew: bool = False) -> Alert:
        rule = self.compound.rules.get(alert.rule)
        return with_reasons(alert, why, rule.when if rule else None, anew=anew)

    def _is_worse(self, alert: Alert, why: tuple[Why, ...]) -> bool:
        rule = self.compound.rules.get(alert.rule)
        return rule is None or is_worse(alert, why, rule.when)

    def acknowledge(self, alert: Alert, at: Instant, who: str, *, on_site: bool) -> None:
        """A named person took it."""
        due = self.compound.grid.answer_by.get(alert.priority)
        taken = lifecycle.acknowledge(alert, at, who, due, on_site=on_site)
        self.end_if_settled(self._say(ChangeKind.ACKNOWLEDGED, taken, at, who=who), at)

    def reset(self, alert: Alert, at: Instant, who: str) -> None:
        """A person reset the latch."""
        self.end_if_settled(self.note(NoteKind.RESET, _replace(alert, reset_by=who), at, who=who), at)

    def silence(self, alert: Alert, at: Instant, who: str) -> None:
        """The siren falls silent for this alert; the climb goes on."""
        self.note(NoteKind.SILENCED, _replace(alert, silenced=True), at, who=who)

    def follow(self, alert: Alert, at: Instant, since: Instant) -> None:
        """Go with its subject to the place that the site file says now. Who is called, is called at ``at``; what calls nobody is said as
        of ``since``, before what falls due from then on.
        """
        place = place_now(alert, self.compound)
        if place == alert.place:
            return
        calls = calls_out(alert, place)
        self._leave_crowd(alert)
        moved = _replace(alert, place=place)
        if calls:
            self._climb_from_start(self._say(ChangeKind.RE_ALARMED, lifecycle.re_alarm(moved), at, reason=MOVED), at)
        else:
            self._say(
                ChangeKind.REGRADED, _replace(moved, called_to=alert.called_to or alert.place), since, reason=MOVED
            )

    def call_there_too(self, alert_key: str, origin: Origin, button: Subject, at: Instant) -> None:
        """An alert of its own about the button that was pressed, as it is called now, once, where that is no neighbour of this one's."""
        alert = self.alerts.get(alert_key)
        rule = None if alert is None else self.compound.rules.get(alert.rule)
        about = calls.owed(origin, rule, button)
        if (
            alert is None
            or rule is None
            or not about
            or within(alert.place, button.place)
            or within(button.place, alert.place)
        ):
            return
        known = calls.called(origin, about)
        self._keep(calls.done_at(alert, known))
        standing = self.standing(rule.id, about)
        if standing is None:
            self.raise_(rule, about, origin.occasion, at, alert.why, origin=known)
        elif all(one.address != known.address for one in standing.origins):
            self._keep(calls.done_at(standing, known))

    def outlive(self, alert_key: str, at: Instant, *, gone: bool) -> None:
        """The site file knows its button, door or rule no more (``gone``), or again. It stands, and that only a person ends it is said once."""
        alert = self.alerts.get(alert_key)
        if alert is None or alert.gone is gone:
            return
        marked = _replace(alert, gone=gone)
        if gone:
            self._say(ChangeKind.REGRADED, marked, at, reason=GONE)
        else:
            self._keep(marked)

    def shelve(self, alert: Alert, at: Instant, who: str, until: Instant, reason: str) -> None:
        """Out of sight until then."""
        self._say(ChangeKind.SHELVED, lifecycle.shelve(alert, at, who, until, reason), at, who=who, reason=reason)

    def shorten_shelf(self, alert_key: str, at: Instant, longest_ms: int) -> None:
        """The site file makes more of it than when it was shelved: out of sight for no longer than such an alert may be."""
        alert = self.alerts.get(alert_key)
        if alert is None or alert.drill or alert.suppression is not Suppression.SHELVED or alert.shelved_at is None:
            return
        until = max(at, Instant(alert.shelved_at + longest_ms))
        if alert.shelved_until is not None and alert.shelved_until > until:
            self._keep(_replace(alert, shelved_until=until))

    def unshelve(self, alert: Alert, at: Instant, who: str | None, reason: str, *, climbs: bool = True) -> Alert:
        """Back in sight; an unanswered alert climbs from the start, and so does one that was answered elsewhere. Not ``climbs``: it is
        about to alarm again, which is one call.
        """
        shown = lifecycle.unshelve(alert, at, self.compound.grid.answer_by.get(alert.priority))
        back = self._say(ChangeKind.UNSHELVED, shown, at, who=who, reason=reason)
        if back.drill or not climbs:
            return back
        if back.answered_by and back.condition is Condition.ACTIVE and called_elsewhere(back):
            back = self._say(ChangeKind.RE_ALARMED, lifecycle.re_alarm(back), at, reason=MOVED)
        return back if back.answered_by else self._climb_from_start(back, at)

    def end_by_person(self, alert: Alert) -> None:
        """Its rule waits for an event now, which has no return, or nothing will be heard that could show it gone: a person ends it."""
        self._keep(_replace(alert, momentary=True))

    def close(self, alert: Alert, at: Instant, who: str | None, outcome: str, reason: str) -> None:
        """The end of an alert."""
        self._say(ChangeKind.CLOSED, lifecycle.close(alert, at, who, outcome, reason), at, who=who, reason=reason)

    def end_if_settled(self, alert: Alert, at: Instant) -> None:
        """Close what nobody owes anything to any more."""
        if lifecycle.may_end(alert):
            self.close(alert, at, alert.reset_by or alert.answered_by, "resolved", "")

    def date(self, at: Instant) -> None:
        """The clock is trusted now: alerts told without a date get their one ``dated`` revision."""
        for alert in sorted(self.alerts.values(), key=_age):
            if not alert.undated:
                continue
            settled = _replace(alert, undated=False)
            if self._board.anchor_at(alert.opened_at) is None:
                self._keep(settled)  # of an earlier boot whose clock nobody can know any more
            else:
                self._say(ChangeKind.DATED, settled, at)

    # Deadlines ----------------------------------------------------------------------------------

    def fire(self, kind: str, alert_key: str, at: Instant) -> None:
        """A deadline of an alert is due."""
        alert = self.alerts.get(alert_key)
        if alert is None or not alert.open:
            return
        if kind == "climb":
            self._told(alert, ladder.climb(alert, at, self.compound.grid, Because.DUE), at)
        elif kind == "answer":
            again = self.compound.grid.answer_by.get(alert.priority)
            waiting = _replace(alert, answer_due=None if again is None else Instant(at + again))
            self._told(alert, ladder.go_on(waiting, at, self.compound.grid), at)
        elif kind == "regrade":
            self._regrade(alert, at)
        elif kind == "shelf" and is_test(alert):
            self.close(alert, at, None, "resolved", "time_over")
        elif kind == "shelf":
            self.unshelve(alert, at, None, "expired")

    def end_test(self, alert: Alert, at: Instant, until: Instant | None = None) -> None:
        """The half-hour is over and its alarm has gone: a test, and it stays one. ``until``: another one's test has begun."""
        was = _replace(alert, shelved_until=until)
        if until is None and alert.suppression is Suppression.SHELVED:
            self.unshelve(was, at, None, "expired")
        else:
            self._keep(was)

    def after_unknown_downtime(self, at: Instant) -> None:
        """Every waiting climb moves one rung at once."""
        for alert in self.open_alerts():
            if is_test(alert):  # nobody can say that it is not over
                self.close(alert, at, None, "resolved", "time_over")
                continue
            moved = ladder.after_unknown_downtime(alert, at, self.compound.grid)
            rule = self.compound.rules.get(alert.rule)
            urgent = alert.drill or rule is None or rule.life_safety
            over = alert.shelved_until is not None and urgent
            self._keep(
                _replace(
                    moved,
                    answer_due=None if moved.answer_due is None else at,
                    shelved_until=at if over else alert.shelved_until,  # nobody can say that its half-hour is not over
                )
            )

    def relay_ladders(self, at: Instant) -> None:
        """The site may have laid other ladders, and other grades, from this moment on: whoever climbs goes on from his rung on the new one."""
        grid = self.compound.grid
        for alert in self.open_alerts():
            graded = grading.wait(alert, self.compound.rules.get(alert.rule), at)
            relaid = ladder.hasten(ladder.relay(graded, grid), at, grid)
            if relaid != alert:
                self._keep(relaid)

    def call_who_is_there_now(self, at: Instant) -> None:
        """The site file may name people where nobody stood: what none of them was there to be told of calls them."""
        for alert in self.open_alerts():
            if ladder.has_told_nobody(alert, self.compound.grid):
                self._climb_from_start(alert, at)

    def note(self, kind: NoteKind, alert: Alert, at: Instant, *, who: str | None = None, reason: str = "") -> Alert:
        """Keep a change in the history only."""
        self._keep(alert)
        self.said.append(Note(Change(kind, at, alert, who, reason)))
        return alert

    def _regrade(self, alert: Alert, at: Instant) -> None:
        """It has stood for so long; what has returned stands no more, and its time begins anew when it comes back."""
        graded = grading.regrade(alert, self.compound.rules.get(alert.rule), at)
        if graded.grade is alert.grade:
            self._keep(graded)
        else:
            self._say(ChangeKind.REGRADED, ladder.extend(graded, self.compound.grid), at)

    def _climb_from_start(self, alert: Alert, at: Instant) -> Alert:
        return self._told(alert, ladder.start(_replace(alert, called_to=""), at, self.compound.grid), at)

    def _told(self, before: Alert, after: Alert, at: Instant) -> Alert:
        """Say who was told, if anybody was (or an empty rung was passed)."""
        if (after.told, after.told_left_out) != (before.told, before.told_left_out):
            in_sight = _replace(after, shelved_ms=0) if ladder.has_told(after, at) else after
            return self._say(ChangeKind.TOLD, in_sight, at, reason=after.told[-1].because)
        self._keep(after)
        return after

    # One revision -------------------------------------------------------------------------------

    def _say(self, kind: ChangeKind, alert: Alert, at: Instant, *, who: str | None = None, reason: str = "") -> Alert:
        opened = alert.opened_at
        owed = self._board.anchor_at(opened) is None and self._board.is_counted_from(opened)
        said = _replace(
            alert,
            revision=alert.revision + 1,
            changed_at=at,
            undated=kind is not ChangeKind.DATED and (alert.undated or owed),
        )
        self._keep(said)
        change = Change(kind, at, said, who, reason, self._alike(said))
        self.said.append(Publish(said.priority, self.numbers.next(said.priority), change))
        if kind in _SOUNDS and is_real_alarm(said):
            self._end_tests(at, "time_over" if said.silent else "real_alarm")
        return said

    def _end_tests(self, at: Instant, reason: str) -> None:
        """A real critical alert sounds: nobody may be busy with a drill. Of a silent one no test tells: it ends as tests end."""
        for test in tests_among(self.open_alerts()):
            self.close(test, at, None, "resolved", reason)

    def _alike(self, alert: Alert) -> int:
        return len(self._crowds.get(_crowd(alert), ()))

    def _keep(self, alert: Alert) -> None:
        self._arm(alert)
        self._index(alert)
        if alert.open:
            self.alerts.put(alert, alert.id)
            return
        self.closed.put(alert, alert.id)
        if alert.undated:
            self.alerts.put(alert, alert.id)  # its date is still owed
            self._owed[alert.id] = None
        else:
            self.alerts.drop(alert.id)
            self._owed.pop(alert.id, None)
        while len(self._owed) > UNDATED_KEPT:
            oldest = next(iter(self._owed))
            del self._owed[oldest]
            self.alerts.drop(oldest)

    def _index(self, alert: Alert) -> None:
        key, crowd = (alert.rule, alert.subject), _crowd(alert)
        if alert.open:
            self._open[key] = alert.id
            self._crowds[crowd].add(alert.id)
            return
        if self._open.get(key) == alert.id:
            del self._open[key]
        self._leave_crowd(alert)

    def _leave_crowd(self, alert: Alert) -> None:
        crowd = _crowd(alert)
        self._crowds[crowd].discard(alert.id)
        if not self._crowds[crowd]:
            del self._crowds[crowd]

    def _arm(self, alert: Alert) -> None:
        live, in_test = alert.open, alert.drill and not is_test(alert)
        for kind, due in (
            ("climb", alert.climb_due),
            ("answer", alert.answer_due),
            ("regrade", alert.regrade_due),
            ("shelf", None if in_test else alert.shelved_until),
            ("test", alert.shelved_until if in_test else None),
        ):
            self._deadlines.arm((kind, alert.id), due if live else None)


def _crowd(alert: Alert) -> tuple[str, str]:
    return alert.rule, building_of(alert.place)


def _age(alert: Alert) -> tuple[Instant, str]:
    """Oldest first, in one order whatever order the rows came back in."""
    return alert.opened_at, alert.id
