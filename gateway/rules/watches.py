"""Rules watching subjects: where each stands between quiet and alarm.

```
            holds                    still holds after on-delay / re-read
   IDLE ───────────> PENDING | CONFIRMING ───────────> ACTIVE <───┐ holds again
     ^                    │ holds not                     │ holds not
     └────────────────────┘                               v       │
     └──────────────────────── after off-delay ─────── CLEARING ──┘
```
Unknown keeps ACTIVE, turns CLEARING back to ACTIVE, and PENDING back to IDLE.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec import Struct

from gateway.actions import Reread
from gateway.alerts import Condition, Response, Suppression, Why
from gateway.events import Entry, Press
from gateway.instant import Instant
from gateway.rules.compound import Compound, Rule
from gateway.rules.conditions import Case, Entered, Finding, Is, Pressed, Stale, Threshold, leaves
from gateway.rules.deadlines import Deadlines
from gateway.rules.facts import FactBoard
from gateway.rules.ledger import Table
from gateway.rules.register import AlertRegister, worst_value

REREAD_WITHIN_MS = 1_500
"""A re-read takes one transaction, at most a second on a slow bus; a value that cannot be confirmed alarms all the same."""
WORSE_BY = 0.5
"""A value beyond the worst one alarmed by half the limit (or the deadband, if greater) re-alarms what was answered."""


class Phase(StrEnum):
    IDLE = "idle"
    PENDING = "pending"
    CONFIRMING = "confirming"
    ACTIVE = "active"
    CLEARING = "clearing"


class Watch(Struct, frozen=True):
    """The state of one watch; an idle one has no row."""

    phase: Phase = Phase.IDLE
    due: Instant | None = None
    cause: str = ""
    """Event that began it; names the occasion of the alert."""
    why: tuple[Why, ...] = ()
    """What was seen then, kept until it is confirmed."""

    def ripe(self, at: Instant) -> bool:
        """Whether its delay has passed."""
        return self.due is not None and at >= self.due


class Moment(Struct, frozen=True):
    """When and because of what a watch is looked at."""

    at: Instant
    cause: str
    read: str = ""
    """The point of which a fresh reading is in hand: it alone confirms what an earlier one of the same point showed."""


_IDLE = Watch()
_replace = msgspec.structs.replace


class Watchkeeper:
    """Looks at every rule and subject that a changed fact or a pulse concerns."""

    def __init__(self, compound: Compound, board: FactBoard, register: AlertRegister, deadlines: Deadlines) -> None:
        self._compound, self._board, self._register, self._deadlines = compound, board, register, deadlines
        self.rows: Table[Watch] = Table("watch", Watch)
        self._by_fact: dict[tuple[str, str], list[tuple[Rule, str]]] = {}
        self._by_pulse: dict[str, list[Rule]] = {}
        for rule in compound.rules.values():
            for subject in rule.subjects:
                self._index(rule, subject)

    def fact_changed(self, subject: str, name: str, moment: Moment) -> None:
        """A fact was heard: look at every watch that reads it."""
        for rule, about in self._by_fact.get((subject, name), ()):
            self.look(rule, about, moment)

    def look_at_all(self, moment: Moment) -> None:
        """Look at every watch: the clock or the site changed."""
        for rule in self._compound.rules.values():
            for subject in rule.subjects:
                self.look(rule, subject, moment)

    def rebuild(self, at: Instant) -> None:
        """After a restore: deadlines from the rows, without looking."""
        for rule in self._compound.rules.values():
            for subject in rule.subjects if not rule.momentary else ():
                watch = self._watch(rule, subject)
                self._deadlines.arm(("ripe", rule.id, subject), watch.due)
                self._deadlines.arm(("look", rule.id, subject), self._find(rule, subject, watch, at).due)

    def forget_strangers(self) -> None:
        """Drop the watches of rules and subjects that are no more."""
        for key in self.rows:
            rule = self._compound.rules.get(key[0])
            if rule is None or key[1] not in rule.subjects:
                self.rows.drop(*key)
                self._deadlines.arm(("ripe", *key), None)
                self._deadlines.arm(("look", *key), None)

    def observe_anew(self, at: Instant) -> None:
        """Nobody knows how long we were away: a delay that was running is waited for from the start."""
        for key in self.rows:
            rule, watch = self._compound.rules.get(key[0]), self.rows.get(*key)
            if rule is None or key[1] not in rule.subjects or watch is None or watch.due is None:
                continue
            delays = {Phase.PENDING: rule.on_delay_ms, Phase.CLEARING: rule.off_delay_ms}
            delay = delays.get(watch.phase, REREAD_WITHIN_MS)
            self._set(rule, key[1], _replace(watch, due=Instant(at + delay)))

    def pulse(self, subject: str, event: Press | Entry, occasion: str, at: Instant) -> None:
        """Something happened that has no return: raise, record or re-alarm."""
        for rule in self._by_pulse.get(subject, ()):
            finding = rule.when.find(Case(self._board, subject, at, standing=False, pulse=event))
            if not finding.truth:
                continue
            alert = self._register.standing(rule.id, subject)
            if alert is None:
                self._register.raise_(rule, subject, occasion, at, finding.why)
                continue
            if alert.suppression is Suppression.SHELVED:
                alert = self._register.unshelve(alert, at, None, "pressed_again")
            if alert.response is Response.ACKNOWLEDGED:
                self._register.re_alarm(alert, at, finding.why, "pressed_again")
            else:
                self._register.repeat(alert, at, finding.why)

    def look(self, rule: Rule, subject: str, moment: Moment) -> None:
        """Find out whether the rule holds now, and take the step that follows."""
        if rule.momentary:
            return
        watch = self._watch(rule, subject)
        finding = self._find(rule, subject, watch, moment.at)
        self._deadlines.arm(("look", rule.id, subject), finding.due)
        if finding.truth is True:
            self._holds(rule, subject, watch, finding, moment)
        elif finding.truth is False:
            self._holds_not(rule, subject, watch, moment.at)
        elif watch.phase is Phase.PENDING:
            self._set(rule, subject, _IDLE)
        elif watch.phase is Phase.CLEARING:
            self._set(rule, subject, _replace(watch, phase=Phase.ACTIVE, due=None))
        elif watch.phase is Phase.CONFIRMING and self._refuted(rule, subject, watch, moment):
            self._set(rule, subject, _IDLE)
        elif watch.phase is Phase.CONFIRMING and watch.ripe(moment.at):
            # The bus fell silent right after a dangerous value. Silence confirms nothing, and is no all-clear either.
            self._raise(rule, subject, watch.why, moment.at, watch.cause)

    def _refuted(self, rule: Rule, subject: str, watch: Watch, moment: Moment) -> bool:
        """The re-read does not bear out what was read, whatever else is unknown (an alarm bit not heard of yet)."""
        if all(reason.fact != moment.read for reason in watch.why):
            return False
        case = Case(self._board, subject, moment.at, standing=False)
        again = [leaf for leaf in leaves(rule.when) if isinstance(leaf, Threshold) and leaf.fact == moment.read]
        return all(leaf.find(case).truth is False for leaf in again)

    def _holds(self, rule: Rule, subject: str, watch: Watch, finding: Finding, moment: Moment) -> None:
        ripe = watch.ripe(moment.at)
        reread = any(reason.fact == moment.read for reason in watch.why)
        confirmed = watch.phase is Phase.CONFIRMING and (reread or finding.solid)
        if watch.phase is Phase.IDLE:
            self._begin(rule, subject, finding, moment)
        elif confirmed or (ripe and watch.phase in {Phase.PENDING, Phase.CONFIRMING}):
            self._raise(rule, subject, finding.why, moment.at, watch.cause)
        elif watch.phase is Phase.CLEARING:
            self._set(rule, subject, _replace(watch, phase=Phase.ACTIVE, due=None))
        elif watch.phase is Phase.ACTIVE:
            self._worsens(rule, subject, finding, moment.at)

    def _begin(self, rule: Rule, subject: str, finding: Finding, moment: Moment) -> None:
        """The condition came: wait, ask again, or raise."""
        if rule.on_delay_ms:
            self._set(rule, subject, Watch(Phase.PENDING, Instant(moment.at + rule.on_delay_ms), moment.cause))
        elif rule.reread and not finding.solid and self._board.via(subject):  # only a bus can be asked again
            due = Instant(moment.at + REREAD_WITHIN_MS)
            self._set(rule, subject, Watch(Phase.CONFIRMING, due, moment.cause, finding.why))
            self._ask_again(subject, finding.why)
        else:
            self._raise(rule, subject, finding.why, moment.at, moment.cause)

    def _ask_again(self, subject: str, why: tuple[Why, ...]) -> None:
        rereads = [Reread(subject, reason.fact) for reason in why]
        self._register.said.extend(reread for reread in rereads if reread not in self._register.said)

    def _raise(self, rule: Rule, subject: str, why: tuple[Why, ...], at: Instant, cause: str) -> None:
        self._set(rule, subject, Watch(Phase.ACTIVE, None, cause))
        alert = self._register.standing(rule.id, subject)
        if alert is None:
            self._register.raise_(rule, subject, cause, at, why)
            return
        if alert.suppression is Suppression.SHELVED and rule.life_safety:
            alert = self._register.unshelve(alert, at, None, "came_back")
        self._register.re_alarm(alert, at, why, "came_back")

    def _worsens(self, rule: Rule, subject: str, finding: Finding, at: Instant) -> None:
        alert, value = self._register.standing(rule.id, subject), worst_value(finding.why)
        limits = [leaf for leaf in leaves(rule.when) if isinstance(leaf, Threshold) and leaf.above]
        if alert is None or value is None or alert.worst is None or value <= alert.worst or not limits:
            return
        if value < alert.worst + max(max(WORSE_BY * abs(leaf.limit), leaf.deadband) for leaf in limits):
            return
        if alert.suppression is Suppression.SHELVED:
            alert = self._register.unshelve(alert, at, None, "worsened")
        if alert.response is Response.ACKNOWLEDGED:
            self._register.re_alarm(alert, at, finding.why, "worsened")
        else:
            self._register.worsen(alert, finding.why)

    def _holds_not(self, rule: Rule, subject: str, watch: Watch, at: Instant) -> None:
        if watch.phase in {Phase.PENDING, Phase.CONFIRMING}:
            self._set(rule, subject, _IDLE)
        elif watch.phase is Phase.ACTIVE and rule.off_delay_ms:
            self._set(rule, subject, _replace(watch, phase=Phase.CLEARING, due=Instant(at + rule.off_delay_ms)))
        elif watch.phase is Phase.ACTIVE or (watch.phase is Phase.CLEARING and watch.ripe(at)):
            self._set(rule, subject, _IDLE)
            alert = self._register.standing(rule.id, subject)
            if alert is not None and alert.condition is Condition.ACTIVE:
                self._register.return_(alert, at)

    def _find(self, rule: Rule, subject: str, watch: Watch, at: Instant) -> Finding:
        standing = watch.phase in {Phase.ACTIVE, Phase.CLEARING}
        return rule.when.find(Case(self._board, subject, at, standing))

    def _watch(self, rule: Rule, subject: str) -> Watch:
        return self.rows.get(rule.id, subject) or _IDLE

    def _set(self, rule: Rule, subject: str, watch: Watch) -> None:
        self._deadlines.arm(("ripe", rule.id, subject), watch.due)
        if watch.phase is Phase.IDLE:
            self.rows.drop(rule.id, subject)
        else:
            self.rows.put(watch, rule.id, subject)

    def _index(self, rule: Rule, subject: str) -> None:
        for leaf in leaves(rule.when):
            if isinstance(leaf, Pressed | Entered):
                rules = self._by_pulse.setdefault(subject, [])
                if rule not in rules:
                    rules.append(rule)
            elif isinstance(leaf, Threshold | Is):
                of_bus = isinstance(leaf, Is) and leaf.of_bus
                self._watch_fact(self._board.via(subject) if of_bus else subject, leaf.fact, rule, subject)
            elif isinstance(leaf, Stale):
                for name in (leaf.fact,) if leaf.fact else self._board.supervised(subject):
                    self._watch_fact(subject, name, rule, subject)

    def _watch_fact(self, owner: str, name: str, rule: Rule, subject: str) -> None:
        watching = self._by_fact.setdefault((owner, name), [])
        if (rule, subject) not in watching:
            watching.append((rule, subject))
