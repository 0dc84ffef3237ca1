"""What watches and alerts say of each other, brought to agree where a life did not go on from its own last word.

Theory. A watch stands (ACTIVE, CLEARING) just while its rule has an open alert about its subject whose condition is active; of a
rule and a subject one alert is open; and the alert of an event has no return, so a person may end it at any time. Every step of
a life keeps to that, and then there is nothing to do here. But one damaged row of the disk is put aside alone, alerts of a run
without its disk are laid over what the disk holds, and a rule may become one of an event under its old id. A watch that stood
without an alert would be mute for as long as the danger lasts; an alert without a watch would have no end.
"""

from __future__ import annotations

import functools
from collections import defaultdict

import msgspec

from gateway.alerts import Alert, Condition, NoteKind, Response, Suppression
from gateway.instant import Instant
from gateway.rules.calls import done_at
from gateway.rules.compound import Compound, Rule
from gateway.rules.facts import FactBoard
from gateway.rules.question import Case
from gateway.rules.register import AlertRegister
from gateway.rules.watches import Moment, Phase, Watch, Watchkeeper

ONE_STANDS = "one_stands"
"""Why an alert was withdrawn that met another of its rule and subject."""
_replace = msgspec.structs.replace


class Agreement:
    """Between the watches and the alerts of one core."""

    def __init__(self, compound: Compound, board: FactBoard, register: AlertRegister, watches: Watchkeeper) -> None:
        self._compound, self._board, self._register, self._watches = compound, board, register, watches

    def reach(self, at: Instant, cause: str) -> None:
        """Let watches and alerts agree; whoever calls looks at all watches afterwards. ``cause``: the event in hand."""
        met: defaultdict[tuple[str, str], list[Alert]] = defaultdict(list)
        for alert in self._register.open_alerts():
            met[alert.rule, alert.subject].append(alert)
        for (name, subject), alerts in met.items():
            rule = self._compound.rules.get(name)
            asked = rule is not None and self._is_asked(rule, subject)
            if rule is None or not (asked or rule.calls_for_help):
                continue  # what is left of it is withdrawn
            kept = self._one_of(rule, alerts, at)
            if asked:
                self._follow(rule, subject, kept)
        for name, subject in self._watches.rows:
            rule = self._compound.rules.get(name)
            if rule is None or not self._is_asked(rule, subject):
                continue
            if rule.momentary:
                self._watches.begin_anew(rule, subject, Watch())
            elif self._stands_alone(rule, subject):
                self._watches.begin_anew(rule, subject, Watch(Phase.CONFIRMING, at, cause))

    def let_go(self, alert: Alert, moment: Moment) -> None:
        """A person did something to this alert. If that ended what goes on, its watch begins anew, and may raise it anew."""
        rule = self._compound.rules.get(alert.rule)
        if rule is not None and self._is_asked(rule, alert.subject) and self._stands_alone(rule, alert.subject):
            self._watches.begin_anew(rule, alert.subject, Watch())
            self._watches.look(rule.id, alert.subject, moment)

    def _is_asked(self, rule: Rule, subject: str) -> bool:
        """Now, about something that is there. Of what is not the site file disposes, and of what is kept the whole core (``bare``)."""
        return subject in rule.subjects and (subject in rule.members or subject in self._compound.subjects)

    def _one_of(self, rule: Rule, alerts: list[Alert], at: Instant) -> Alert:
        """The one that stays: the disk's own, which its watch knows by its occasion. A run without its disk counts its time from
        nothing. A drill stands for no alarm.
        """
        cause = self._watches.cause(rule, alerts[0].subject)
        kept, *others = sorted(alerts, key=lambda a: (a.drill, a.occasion != cause, -a.opened_at))
        for other in others:
            kept = self._withdraw(rule, other, kept, at)
        return kept

    def _withdraw(self, rule: Rule, other: Alert, kept: Alert, at: Instant) -> Alert:
        """What it says is said by the one that stays: recorded on it, and it alarms again where that is news to it."""
        register = self._register
        register.close(other, at, None, "withdrawn", ONE_STANDS)
        again = functools.reduce(done_at, other.origins, kept)
        again = _replace(again, occurrences=kept.occurrences + other.occurrences)
        kept = register.note(NoteKind.REPEATED, again, at, reason=other.id)
        if rule.momentary:
            news = other.response is Response.UNANSWERED and kept.response is Response.ACKNOWLEDGED
        else:
            news = other.condition is Condition.ACTIVE and kept.condition is Condition.NORMAL
        if not news or other.drill:  # a test that goes on is heard anew, and is one then
            return kept
        if kept.suppression is Suppression.SHELVED and rule.life_safety:
            kept = register.unshelve(kept, at, None, "came_back")
        register.re_alarm(kept, at, other.why, "pressed_again" if rule.momentary else "came_back")
        return register.standing(kept.rule, kept.subject) or kept

    def _follow(self, rule: Rule, subject: str, alert: Alert) -> None:
        """An active alert has its watch, by which it may return; that of an event its person, and so has one that would return
        by what is older than it.
        """
        if rule.momentary and not alert.momentary:
            self._register.end_by_person(alert)
        elif not alert.momentary and alert.condition is Condition.ACTIVE and not self._watches.stands(rule, subject):
            for device in rule.watched(subject):
                self._board.doubt(device)
            if self._waits_for_proof(rule, subject):
                self._watches.begin_anew(rule, subject, Watch(Phase.ACTIVE, None, alert.occasion))
            else:
                self._register.end_by_person(alert)

    def _waits_for_proof(self, rule: Rule, subject: str) -> bool:
        """Whether only what is heard from now on can show that it is gone: it holds by what is known, or nobody knows and a bus is
        read anew. A memory lacks the time in which the alert came; a door, a button or a worker may have nothing new to say.
        """
        if rule.slots:
            return False
        members = rule.members.get(subject, ())
        case = Case(self._board, subject, self._board.clock.at, standing=True, members=members)
        truth = rule.when.find(case).truth
        return truth is True or (truth is None and all(self._board.via(one) for one in rule.watched(subject)))

    def _stands_alone(self, rule: Rule, subject: str) -> bool:
        """Without an active alert. Its danger was confirmed: unless it is known to be gone, it is raised, and under another id, for
        of the one that is lost nobody knows what was told.
        """
        alert = self._register.standing(rule.id, subject)
        return self._watches.stands(rule, subject) and (alert is None or alert.condition is not Condition.ACTIVE)
