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
from gateway.alerts import Alert, Condition, Response, Suppression, Why
from gateway.events import Entry, Press, Quality
from gateway.instant import Instant
from gateway.rules.calls import done_at, origin_of
from gateway.rules.compound import Compound, Rule
from gateway.rules.concerns import Concerns, Watches, look_of
from gateway.rules.conditions import Threshold, leaves
from gateway.rules.deadlines import Deadlines, Name
from gateway.rules.facts import FactBoard, FactKey
from gateway.rules.history import anew, historic
from gateway.rules.ledger import Table
from gateway.rules.memory import Memories, Memory, Occurrence
from gateway.rules.question import Case, Finding
from gateway.rules.register import CAME_BACK, AlertRegister
from gateway.rules.signs import Sign
from gateway.rules.testing import believed_until, in_test, said_in_earnest, still_said, tested_until
from gateway.rules.worsening import all_said, goes_on, is_worse, says_more

REREAD_WITHIN_MS = 1_500
"""A re-read takes one transaction, at most a second on a slow bus; a value that cannot be confirmed alarms all the same."""


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
    """When to look again. Of an active one: it came back under a shelf, or is worse (``why``), in a test that is believed until then."""
    cause: str = ""
    """Event that began it; names the occasion of the alert."""
    since: Instant | None = None
    """Of a delay that runs: when it began. None: an earlier version kept it."""
    why: tuple[Why, ...] = ()
    """What was seen then, kept until it is confirmed; of an active one, what is worse but said in a test."""

    def ripe(self, at: Instant) -> bool:
        """Whether its delay has passed."""
        return self.due is not None and at >= self.due


class Moment(Struct, frozen=True):
    """When and because of what a watch is looked at."""

    at: Instant
    cause: str
    read: FactKey | None = None
    """Device and point of which a fresh reading is in hand: it alone confirms what an earlier one of the same showed."""
    pulse: Press | Entry | Sign | None = None
    """The event in hand, and whose it is."""
    origin: str = ""


_IDLE = Watch()
_BEFORE = (Phase.IDLE, Phase.PENDING, Phase.CONFIRMING)
_STANDING = (Phase.ACTIVE, Phase.CLEARING)
_NOBODY: Watches = {}
_replace = msgspec.structs.replace


def _is_among(read: FactKey | None, subject: str, why: tuple[Why, ...]) -> bool:
    """Whether a reading is of what one of the reasons is about: of its device, where the alert is about a place with several."""
    return any((reason.of or subject, reason.fact) == read for reason in why)


def _delays(rule: Rule) -> dict[Phase, int]:
    """For how long it must hold, or be gone."""
    return {Phase.PENDING: rule.on_delay_ms, Phase.CLEARING: rule.off_delay_ms}


class Watchkeeper:
    """Looks at every rule and subject that a changed fact or a pulse concerns."""

    def __init__(self, compound: Compound, board: FactBoard, register: AlertRegister, deadlines: Deadlines) -> None:
        self._compound, self._board, self._register, self._deadlines = compound, board, register, deadlines
        self.rows: Table[Watch] = Table("watch", Watch)
        self._rows = self.rows.by_key
        self.memories: Table[Memories] = Table("memory", Memories)
        self._implies: dict[str, list[Rule]] = {}
        self._again: list[tuple[Rule, str]] = []
        """Watches whose greater alert has just returned: what it implied is looked at for itself."""
        self._historic = {rule.id: historic(rule.when) for rule in compound.rules.values()}
        self._concerns = Concerns(compound, board, self._historic)
        self._at_rest: set[Name] = set()
        """Idle watches that did not find, when they last looked, that their rule holds, and that remember nothing."""
        deadlines.ask = self._due_again
        for rule in compound.rules.values():
            if rule.implied_by:
                self._implies.setdefault(rule.implied_by, []).append(rule)
        board.coverage.rest_on(self._concerns.sources())

    def fact_heard(self, key: FactKey, at: Instant, cause: str, *, read: bool = False, news: bool) -> None:
        """A fact (subject, name) was heard: look at every watch that reads it. Most values of air interest no rule.

        One that is no news only grew younger (``FactBoard.hear``). Of a watch at rest that changes nothing but when it looks
        again by itself: later, so it is enough to ask when that moment comes.
        """
        concerned = self._concerns.by_fact.get(key)
        if concerned is None:
            return
        if not news and concerned.keys() <= self._at_rest:
            self._deadlines.doubt(concerned)
            return
        moment = Moment(at, cause, key if read else None)
        for (_, _, about), rule in concerned.items():
            self._look(rule, about, moment)
        if self._again:
            self._settle(moment)

    def _due_again(self, name: Name, armed: Instant) -> Instant | None:
        """When a watch at rest looks again, of which facts were heard since that was said.

        What it finds is the same at every moment until then, so also at the last one before what was said.
        """
        _, rule_id, about = name
        rule = self._compound.rules[rule_id]
        return rule.when.find(self._case(rule, about, Instant(armed - 1), _IDLE)).due

    def look_at_all(self, moment: Moment) -> None:
        """Look at every watch: the clock or the site changed."""
        for rule in self._compound.rules.values():
            for subject in rule.subjects:
                self._look(rule, subject, moment)
        self._settle(moment)

    def look(self, rule: str, subject: str, moment: Moment) -> None:
        """A deadline of one watch is due."""
        self._look(self._compound.rules[rule], subject, moment)
        self._settle(moment)

    def rebuild(self, at: Instant) -> None:
        """After a restore: deadlines from the rows, without looking."""
        for rule in self._compound.rules.values():
            for subject in rule.subjects if not rule.momentary or rule.slots else ():
                watch = self._watch(rule, subject)
                self._deadlines.arm(("ripe", rule.id, subject), watch.due)
                due = rule.when.find(self._case(rule, subject, at, watch)).due
                self._deadlines.arm(look_of(rule.id, subject), due)

    def forget_strangers(self) -> None:
        """Drop the watches of rules and subjects that are no more."""
        for key in self.rows:
            rule = self._compound.rules.get(key[0])
            if rule is None or not rule.knows(key[1]):
                self.rows.drop(*key)
                self._deadlines.arm(("ripe", *key), None)
                self._deadlines.arm(look_of(*key), None)
        for key in self.memories:
            rule = self._compound.rules.get(key[0])
            if rule is None or not (key[1] in rule.kept or (key[1] in rule.subjects and rule.slots)):
                self.memories.drop(*key)
                self._deadlines.arm(look_of(*key), None)

    def observe_anew(self, at: Instant) -> None:
        """Nobody knows how long we were away: a delay that was running is waited for from the start."""
        for key in self.rows:
            rule, watch = self._compound.rules.get(key[0]), self.rows.get(*key)
            if rule is None or key[1] not in rule.subjects or watch is None or watch.due is None:
                continue
            delay = _delays(rule).get(watch.phase, REREAD_WITHIN_MS)
            self._set(rule, key[1], _replace(watch, due=Instant(at + delay), since=at))
        for key in self.memories:
            known, nodes = self.memories.get(*key), self._historic.get(key[0], ())
            if known is not None and len(known.slots) == len(nodes):
                slots = tuple(anew(node, memory) for node, memory in zip(nodes, known.slots, strict=True))
                self.memories.put(_replace(known, slots=slots), *key)

    def relay_delays(self, at: Instant) -> None:
        """The site file may say other delays from this moment on: one that runs goes by them, from when it began."""
        for key in self.rows:
            rule, watch = self._compound.rules.get(key[0]), self.rows.get(*key)
            delay = _delays(rule).get(watch.phase) if rule is not None and watch is not None else None
            if rule is None or watch is None or watch.since is None or delay is None:
                continue
            due = Instant(watch.since + delay)
            if key[1] in rule.subjects and due != watch.due:
                self._set(rule, key[1], _replace(watch, due=max(at, due)))

    def pulse(self, subject: str, event: Press | Entry | Sign, occasion: str, at: Instant) -> None:
        """Something happened that has no return: raise, record or re-alarm; or one more of what a rule counts."""
        moment = Moment(at, occasion, pulse=event, origin=subject)
        for (_, _, about), rule in self._concerns.by_pulse.get(subject, _NOBODY).items():
            if rule.momentary:
                self._happened(rule, about, moment)
            else:
                self._look(rule, about, moment)
        self._settle(moment)

    def _settle(self, moment: Moment) -> None:
        while self._again:
            self._look(*self._again.pop(), Moment(moment.at, moment.cause))

    def _happened(self, rule: Rule, about: str, moment: Moment) -> None:
        case = self._remembered(rule, self._case(rule, about, moment.at, _IDLE, moment))
        finding = rule.when.find(case)
        if rule.slots:
            self._deadlines.arm(look_of(rule.id, about), finding.due)
        if not finding.truth:
            return
        alert, at = self._register.standing(rule.id, about), moment.at
        origin = origin_of(moment.pulse, self._board.subject(moment.origin), moment.cause, about)
        if alert is None:
            self._register.raise_(rule, about, moment.cause, at, finding.why, origin=origin)
            return
        if alert.suppression is Suppression.SHELVED and (rule.life_safety or isinstance(moment.pulse, Press)):
            alert = self._register.unshelve(alert, at, None, "pressed_again")
        alert = done_at(alert, origin)
        if alert.response is Response.ACKNOWLEDGED:
            self._register.re_alarm(alert, at, finding.why, "pressed_again")
        else:
            self._register.repeat(alert, at, finding.why)

    def _look(self, rule: Rule, subject: str, moment: Moment) -> None:
        """Find out whether the rule holds now, and take the step that follows."""
        if rule.momentary and not rule.slots:
            return
        watch, name = self._watch(rule, subject), look_of(rule.id, subject)
        case = self._case(rule, subject, moment.at, watch, moment)
        finding = rule.when.find(self._remembered(rule, case) if rule.slots else case)
        self._deadlines.arm(name, finding.due)
        if rule.momentary:
            return
        if watch is _IDLE and not finding.truth and not rule.slots:
            self._at_rest.add(name)
            return
        self._at_rest.discard(name)
        if finding.truth is True:
            self._holds(rule, subject, watch, finding, moment)
        elif finding.truth is False:
            self._holds_not(rule, subject, watch, moment.at)
        elif watch.phase is Phase.PENDING:
            self._set(rule, subject, _IDLE)
        elif watch.phase is Phase.CLEARING:
            self._set(rule, subject, _replace(watch, phase=Phase.ACTIVE, due=None, since=None))
        elif watch.phase is Phase.CONFIRMING and self._refuted(rule, subject, watch, moment):
            self._set(rule, subject, _IDLE)
        elif watch.phase is Phase.CONFIRMING and watch.ripe(moment.at):
            # The bus fell silent right after a dangerous value. Silence confirms nothing, and is no all-clear either.
            self._raise(rule, subject, watch.why, moment.at, watch.cause)

    def _refuted(self, rule: Rule, subject: str, watch: Watch, moment: Moment) -> bool:
        """The re-read does not bear out what was read, whatever else is unknown (an alarm bit not heard of yet)."""
        if moment.read is None or not _is_among(moment.read, subject, watch.why):
            return False
        device, point = moment.read
        case = Case(self._board, device, moment.at, standing=False)
        again = [leaf for leaf in leaves(rule.when) if isinstance(leaf, Threshold) and leaf.fact == point]
        return all(leaf.find(case).truth is False for leaf in again)

    def _holds(self, rule: Rule, subject: str, watch: Watch, finding: Finding, moment: Moment) -> None:
        ripe = watch.ripe(moment.at)
        reread = all(_is_among(moment.read, subject, why) for why in (watch.why, finding.why))
        confirmed = watch.phase is Phase.CONFIRMING and (reread or finding.solid)
        if watch.phase in _BEFORE and self._implied(rule, subject):
            self._set(rule, subject, _IDLE)
        elif watch.phase is Phase.IDLE:
            self._begin(rule, subject, finding, moment)
        elif confirmed or (ripe and watch.phase in {Phase.PENDING, Phase.CONFIRMING}):
            self._raise(rule, subject, finding.why, moment.at, watch.cause)
        elif watch.phase is Phase.CLEARING:
            self._set(rule, subject, _replace(watch, phase=Phase.ACTIVE, due=None, since=None))
        elif watch.phase is Phase.ACTIVE and watch.due is not None and not watch.why:
            self._goes_on_in_test(rule, subject, watch, finding, moment.at)
        elif watch.phase is Phase.ACTIVE:
            self._worsens(rule, subject, watch, finding, moment.at)

    def _begin(self, rule: Rule, subject: str, finding: Finding, moment: Moment) -> None:
        """The condition came: wait, ask again, or raise."""
        if rule.on_delay_ms:
            due = Instant(moment.at + rule.on_delay_ms)
            self._set(rule, subject, Watch(Phase.PENDING, due, moment.cause, moment.at))
        elif rule.reread and not finding.solid and self._can_be_asked(subject, finding.why):
            due = Instant(moment.at + REREAD_WITHIN_MS)
            self._set(rule, subject, Watch(Phase.CONFIRMING, due, moment.cause, why=finding.why))
            self._ask_again(subject, finding.why)
        else:
            self._raise(rule, subject, finding.why, moment.at, moment.cause)

    def _can_be_asked(self, subject: str, why: tuple[Why, ...]) -> bool:
        """Only a bus can be asked again."""
        return any(self._board.via(reason.of or subject) for reason in why)

    def _ask_again(self, subject: str, why: tuple[Why, ...]) -> None:
        rereads = [Reread(reason.of or subject, reason.fact) for reason in why]
        self._register.said.extend(reread for reread in rereads if reread not in self._register.said)

    def _raise(self, rule: Rule, subject: str, why: tuple[Why, ...], at: Instant, cause: str) -> None:
        self._set(rule, subject, Watch(Phase.ACTIVE, None, cause))
        alert, until = self._register.standing(rule.id, subject), self._tested_until(rule, subject, why, at)
        if alert is None:
            self._register.raise_(rule, subject, cause, at, why, tested_until=until)
            return
        if goes_on(alert, subject, why, self._board):
            self._worsens(rule, subject, self._watch(rule, subject), Finding(True, why), at)
            return
        settled = alert.response is Response.ACKNOWLEDGED and alert.condition is Condition.NORMAL
        if alert.drill or (until is not None and settled):  # who tests what was answered and has gone calls nobody out
            self._register.test_again(alert, at, why, until)
            return
        if alert.suppression is Suppression.SHELVED and rule.life_safety:
            if until is None:
                alert = self._register.unshelve(alert, at, None, CAME_BACK, climbs=False)
            else:
                self._set(rule, subject, Watch(Phase.ACTIVE, until, cause))
        self._register.re_alarm(alert, at, why, CAME_BACK)

    def _goes_on_in_test(self, rule: Rule, subject: str, watch: Watch, finding: Finding, at: Instant) -> None:
        """It came back under a shelf that a test takes off from nothing; once it can be a test no more it has come back."""
        alert, until = self._register.standing(rule.id, subject), self._tested_until(rule, subject, finding.why, at)
        shelved = alert is not None and alert.suppression is Suppression.SHELVED
        self._set(rule, subject, _replace(watch, due=until if shelved else None))
        if alert is None or (shelved and until is not None):
            return
        if shelved:
            alert = self._register.unshelve(alert, at, None, CAME_BACK, climbs=False)
            self._register.re_alarm(alert, at, finding.why, CAME_BACK)
        else:
            self._worsens(rule, subject, self._watch(rule, subject), finding, at)

    def _worsens(self, rule: Rule, subject: str, watch: Watch, finding: Finding, at: Instant) -> None:
        alert = self._register.standing(rule.id, subject)
        if alert is None:
            return
        if alert.drill:
            if self._tested_until(rule, subject, finding.why, at) is None:
                self._register.test_again(alert, at, finding.why, None)
            elif says_more(alert, finding.why, rule.when):
                self._register.remember(alert, all_said(alert, finding.why))
            return
        heard = finding.why
        # A test calls nobody out beside what somebody is busy with, and takes nothing off its shelf.
        if alert.response is Response.ACKNOWLEDGED or alert.suppression is Suppression.SHELVED:
            heard = said_in_earnest(self._board, subject, heard, at)
        worse = is_worse(alert, heard, rule.when)
        waits = not worse and heard != finding.why and is_worse(alert, finding.why, rule.when)
        until = tested_until(self._board, subject, finding.why, at) if waits else None
        if watch.due != until:  # nothing more may be heard of it by the end of the test
            self._set(rule, subject, _replace(watch, due=until, why=finding.why if waits else ()))
        if not worse:
            return
        why = all_said(alert, heard)
        if alert.suppression is Suppression.SHELVED:
            alert = self._register.unshelve(alert, at, None, "worsened", climbs=False)
        self._register.re_alarm(alert, at, why, "worsened")

    def _tested_until(self, rule: Rule, subject: str, why: tuple[Why, ...], at: Instant) -> Instant | None:
        """Until when it may be a test; None also where the rule holds without anything that is said in one."""
        until = tested_until(self._board, subject, why, at)
        if until is None:
            return None
        case = _replace(self._case(rule, subject, at, _IDLE), aside=self._tested(rule, subject, at))
        return None if rule.when.find(case).truth else until

    def end_test(self, key: str, moment: Moment) -> None:
        """A drill's half-hour is over: what stands sounds in full, or is another's test by now; what has gone was one, and has returned."""
        alert, at = self._register.alerts.get(key), moment.at
        if alert is None or not alert.open:
            return
        rule = self._compound.rules.get(alert.rule)
        if alert.condition is Condition.NORMAL:
            self._register.end_test(alert, at)
            return
        if rule is None or alert.subject not in rule.subjects:  # kept beside it: nobody can ask
            self._register.test_again(alert, at, alert.why, None)
            return
        why, stands = self._stands_by(rule, alert, at)
        until = self._tested_until(rule, alert.subject, why, at)
        if stands and until is None:
            self._register.test_again(alert, at, why, None)
        elif stands:
            self._register.end_test(alert, at, until)
        else:
            self._register.end_test(alert, at)
            self._returns(rule, alert.subject, at)
            self._settle(moment)

    def _stands_by(self, rule: Rule, alert: Alert, at: Instant) -> tuple[tuple[Why, ...], bool]:
        """The reasons by which an alarm of a test stands, whatever it was raised for, and whether it does. A quiet detector under
        test proves no quiet, but then what was said in the test is gone.
        """
        finding = rule.when.find(self._case(rule, alert.subject, at, self._watch(rule, alert.subject)))
        if finding.truth is not None:
            return finding.why, finding.truth
        said = still_said(self._board, alert.subject, alert.why, rule.when)
        forgotten = tuple(
            one for one in said if believed_until(self._board, one.of or alert.subject, one.fact, at) is None
        )
        was_test = any(one.quality is Quality.UNDER_TEST for one in alert.why)
        return forgotten or said or alert.why, bool(said) or not was_test

    def _tested(self, rule: Rule, about: str, at: Instant) -> frozenset[FactKey]:
        """What it watches of which a word under test is believed to be one."""
        known = ((device, self._board.subject(device)) for device in rule.watched(about))
        return frozenset().union(*(in_test(self._board, name, one.facts, at) for name, one in known if one is not None))

    def _holds_not(self, rule: Rule, subject: str, watch: Watch, at: Instant) -> None:
        if watch.phase in {Phase.PENDING, Phase.CONFIRMING}:
            self._set(rule, subject, _IDLE)
        elif watch.phase is Phase.ACTIVE and rule.off_delay_ms:
            due = Instant(at + rule.off_delay_ms)
            self._set(rule, subject, _replace(watch, phase=Phase.CLEARING, due=due, since=at))
        elif watch.phase is Phase.ACTIVE or (watch.phase is Phase.CLEARING and watch.ripe(at)):
            self._returns(rule, subject, at)

    def _returns(self, rule: Rule, subject: str, at: Instant) -> None:
        self._set(rule, subject, _IDLE)
        alert = self._register.standing(rule.id, subject)
        if alert is not None and alert.condition is Condition.ACTIVE:
            self._register.return_(alert, at)
            self._again.extend((implied, subject) for implied in self._implies.get(rule.id, ()))

    def _implied(self, rule: Rule, subject: str) -> bool:
        """A greater alert about the same subject says it already; one of a test says it to hardly anybody."""
        greater = self._register.standing(rule.implied_by, subject) if rule.implied_by else None
        return greater is not None and greater.condition is Condition.ACTIVE and not greater.drill

    def _case(self, rule: Rule, about: str, at: Instant, watch: Watch, moment: Moment | None = None) -> Case:
        """The question as it stands now, with what is remembered."""
        standing = watch is not _IDLE and watch.phase in _STANDING
        if not rule.members and not rule.slots:
            return Case(self._board, about, at, standing, moment.pulse if moment else None)
        pulse, origin = (moment.pulse, moment.origin) if moment else (None, "")
        members, past = rule.members.get(about, ()), self._past(rule, about, at)
        return Case(self._board, about, at, standing, pulse, members, origin, past)

    def _past(self, rule: Rule, about: str, at: Instant) -> tuple[Memory, ...]:
        known = self.memories.get(rule.id, about)
        if known is not None and known.shape in {rule.shape, rule.shape_before} and len(known.slots) == rule.slots:
            return known.slots
        begun = Occurrence(at, heard=at - self._board.blind_ms())
        return (Memory(begun),) * rule.slots

    def _remembered(self, rule: Rule, case: Case) -> Case:
        """Bring the memories up to this moment; they are rows like everything else.

        A rule that nobody asks for now (``bare``) has no such conditions, but keeps the memories of those it had.
        """
        nodes = self._historic[rule.id]
        if not nodes:
            return case
        # What is done in a test is no occurrence: it would be counted when the test is long over.
        sober = _replace(case, aside=self._tested(rule, case.subject, case.at))
        past = tuple(node.remember(sober) for node in nodes)
        known = self.memories.get(rule.id, case.subject)
        if known is None or known.shape != rule.shape or known.slots != past:
            self.memories.put(Memories(rule.shape, past), rule.id, case.subject)
        return _replace(case, past=past)

    def stands(self, rule: Rule, subject: str) -> bool:
        """Whether it says that the rule holds, so far."""
        return self._watch(rule, subject).phase in _STANDING

    def cause(self, rule: Rule, subject: str) -> str:
        """The occasion by which it came to stand."""
        return self._watch(rule, subject).cause

    def begin_anew(self, rule: Rule, subject: str, watch: Watch) -> None:
        """Let it stand where its alert says, whatever it has seen."""
        self._set(rule, subject, watch)

    def _watch(self, rule: Rule, subject: str) -> Watch:
        return self._rows.get((rule.id, subject)) or _IDLE

    def _set(self, rule: Rule, subject: str, watch: Watch) -> None:
        self._deadlines.arm(("ripe", rule.id, subject), watch.due)
        if watch.phase is Phase.IDLE:
            self.rows.drop(rule.id, subject)
        else:
            self.rows.put(watch, rule.id, subject)
