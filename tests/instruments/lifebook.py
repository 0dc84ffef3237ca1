"""An alert's life, told a second time: what the contract, docs/rules.md and docs/upstream.md promise, and nothing of how it is done.

First written from these alone, then held against the core; it imports nothing of the gateway, so that what both say was understood
twice. One loop over everything that may fall due, no rows, no ids, no texts; times are milliseconds of the site timeline.

Where the documents leave a question open, what the core does was taken: a deadband counts for a whole rule while its alert stands,
whichever part raised it; each re-alarm ends a silence; whoever is told because nobody
came has as long again, beside the ladder's own times; an answered alert that leaves its shelf is waited for anew; over an unknown
downtime shelves that are no matter of life, and the time to a greater grade, stand still; a reset that nothing waits for is "done"
and ends nothing; a real alert that alarms in a test while it is shelved stays on the shelf as long as the test is believed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
RUNGS = ("building", "grid", "community", "street", "district")
ENDS = {"private": "building", "small": "community", "big": "street", "hard": "district"}
LADDER = {
    "critical": (0, 0, 0, 0, 3 * MINUTE),
    "high": (0, 0, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE),
    "medium": (0, 30 * MINUTE, 4 * HOUR, 24 * HOUR, None),
    "low": (0, 7 * DAY, None, None, None),
}
ANSWER_BY = {"critical": 10 * MINUTE, "high": 30 * MINUTE}
REREAD = 1_500
SWING = 10 * MINUTE
BELIEVED = 30 * MINUTE  # how long a test is taken for one
GRACE = MINUTE  # how long after a start, where it was one when the life before ended, what was not read anew
LIFE_SHELF, LONGEST_SHELF = 30 * MINUTE, 7 * DAY


@dataclass(frozen=True)
class Leaf:
    """A part of a condition: an alarm bit, or a number at or above a limit."""

    point: str
    limit: float | None = None
    deadband: float = 0.0

    @property
    def step(self):
        return max(self.limit / 2, self.deadband)


@dataclass(frozen=True)
class Law:
    """A rule, as far as its alerts' lives go. Without leaves it is momentary."""

    name: str
    priority: str
    grade: str
    leaves: tuple[Leaf, ...] = ()
    latch: bool = False
    life: bool = False
    silent: bool = False
    explosive: bool = False
    reread: bool = False
    on_delay: int = 0
    off_delay: int = 0
    regrades: tuple[tuple[int, str], ...] = ()
    drives: dict = field(default_factory=dict)
    implied_by: str = ""


CHAIN = Law("chain-test", "critical", "small")
"""In the place of a rule: a test of the chain that a person asked for."""


@dataclass(eq=False)
class Case:
    """One alert."""

    law: Law
    subject: str
    place: str
    grade: str
    condition: str = "active"
    response: str = "unanswered"
    occurrences: int = 1
    shelved_until: int | None = None
    shelved_at: int = 0
    shelved_ms: int = 0
    silenced: bool = False
    drill: bool = False
    ends: int | None = None  # of a test of the chain: when it is over by itself
    up_to: str = ""
    on_site: bool = False
    spent: set = field(default_factory=set)  # who answered since it last alarmed
    closed_as: str | None = None
    told: list = field(default_factory=list)  # (rung, at, whether somebody stands there)
    start: int = 0
    rung: int = 0  # the next one
    climbing: bool = False
    lapse: int | None = None  # nobody came: the second deadline
    again: int | None = None  # it swings: the climb begins anew then
    called: int | None = None
    worst: float | None = None
    said: set = field(default_factory=set)
    regrade_due: int | None = None
    step: int = 0
    outlives: bool = False  # its rule is gone
    log: list = field(default_factory=list)  # (kind, at)

    @property
    def open(self):
        return self.response != "closed"

    @property
    def suppression(self):
        return "shelved" if self.shelved_until is not None else "by_design" if self.drill else "none"


@dataclass(eq=False)
class Watch:
    """What one rule makes of one subject."""

    law: Law
    subject: str
    holds: bool = False
    hushed: bool = False  # it came back in a test, and its alert stays on the shelf until that is over
    seen: tuple = (None, frozenset())  # how bad it was when a second reading was asked for
    coming: int | None = None  # on_delay, or the second reading, is awaited until then
    going: int | None = None


class Lifebook:
    """The compound and every alert there ever was. ``occupied(rung, building)``; outputs as (id, kind, place, serves, ex_rated)."""

    def __init__(self, laws, places, outputs, occupied, roles):
        self.laws, self.places, self.outputs, self.occupied, self.roles = laws, places, outputs, occupied, roles
        self.now = 0
        self.cases: list[Case] = []
        self.facts: dict = {}
        self.tests: dict = {}  # subject -> when its test is no longer believed
        self.graces: dict = {}  # subject -> until when what was said in its test before this life is, and of which points
        self.watches = {(law.name, s): Watch(law, s) for law, subjects in laws.values() for s in subjects if law.leaves}

    # Time

    def reach(self, at):
        """Everything that falls due until then, each at its own time."""
        while (first := min(self._dues(), key=lambda due: due[0], default=None)) and first[0] <= at:
            self.now = max(self.now, first[0])
            first[1](*first[2:])
        self.now = at

    def _dues(self):
        """When what is due; of one instant in this order (taken, too)."""
        cases, watches = [case for case in self.cases if case.open], self.watches.values()
        yield from ((case.lapse, self._lapse, case) for case in cases if case.lapse is not None)
        yield from (
            (case.start + self._rungs(case)[case.rung][1], self._climb, case) for case in cases if case.climbing
        )
        yield from ((case.again, self._anew, case) for case in cases if case.again is not None)
        yield from ((case.regrade_due, self._regrade, case) for case in cases if case.regrade_due is not None)
        yield from ((watch.coming, self._come, watch) for watch in watches if watch.coming is not None)
        yield from ((watch.going, self._go, watch) for watch in watches if watch.going is not None)
        shelved = (case for case in cases if case.shelved_until is not None and not self._in_test(case))
        yield from ((case.shelved_until, self._unshelve, case) for case in shelved)
        yield from ((case.ends, self._end_test, case) for case in cases if case.ends is not None)
        yield from ((until, self._disbelieve, subject) for subject, until in self.tests.items() if until is not None)
        yield from ((until, self._end_grace, subject) for subject, (until, _) in self.graces.items())

    # The world

    def read(self, subject, point, value, *, good=True, test=False):
        self.facts[subject, point] = (value, good and not test, test)
        if value is not None and subject in self.graces:
            self.graces[subject][1].discard(point)
        for watch in self.watches.values():
            if watch.subject == subject and any(leaf.point == point for leaf in watch.law.leaves):
                self._look(watch, point)

    def look_again(self):
        """The clock was put right, a life or a site file begins: no news, but a test may be one no longer."""
        for watch in self.watches.values():
            self._look(watch)

    def begin_test(self, subject):
        """A person begins to test a detector."""
        self.tests.setdefault(subject, self.now + BELIEVED)

    def end_test(self, subject):
        """All its points were read anew and are well."""
        self.tests.pop(subject, None)
        self.graces.pop(subject, None)

    def _begin_graces(self, downtime):
        at = self.now + downtime
        self.graces = {subject: (until + downtime, points) for subject, (until, points) in self.graces.items()}
        for subject, until in self.tests.items():
            if until is not None:
                self.graces[subject] = (at + GRACE, {point for of, point in self.facts if of == subject})

    def _end_grace(self, subject):
        del self.graces[subject]
        if self.tests.get(subject) is None:
            self._disbelieve(subject)

    def _test_ends(self, subject):
        ends = (self.tests.get(subject), self.graces.get(subject, (None,))[0])
        return max((end for end in ends if end is not None), default=None)

    def _said_in_test(self, subject, point):
        """In one that is believed."""
        believed = self.tests.get(subject) is not None or point in self.graces.get(subject, (None, ()))[1]
        return believed and self.facts.get((subject, point), (None, False, False))[2]

    def _disbelieve(self, subject):
        self.tests[subject] = None
        for watch in self.watches.values():
            case = self._standing(watch.law.name, subject) if watch.subject == subject else None
            if watch.hushed:
                self._look(watch)
            elif case is not None and case.drill and case.condition == "active":
                if any(self._answer(watch, leaf) for leaf in watch.law.leaves) and self._is_drill(watch):
                    continue  # nobody has read it anew
                if any(self._answer(watch, leaf) for leaf in watch.law.leaves):
                    self._turn_real(case, *self._beyond(watch))
                    continue
                if case.shelved_until is not None:
                    self._unshelve(case)
                self._go(watch)
            elif (
                case is not None
                and case.condition == "active"
                and any(self._answer(watch, leaf) for leaf in watch.law.leaves)
            ):
                self._weigh(case, watch)

    def _in_test(self, case):
        return case.drill and case.condition == "active" and self._test_ends(case.subject) is not None

    def _is_drill(self, watch):
        """Whether all that alarms is said in a test."""
        said = [leaf.point for leaf in watch.law.leaves if self._answer(watch, leaf)]
        if not said and self.tests.get(watch.subject) is None:
            return False
        return all(self._said_in_test(watch.subject, point) for point in said)

    def _turn_real(self, case, steps, bits):
        """The test is over, and it stands: in full. What was said in the test is no measure."""
        case.worst, case.said = steps, bits
        case.drill, case.shelved_until = False, None
        self._sound(case)
        self._anew(case)

    def _test_again(self, case):
        """What alarmed before alarms in a test."""
        case.drill = True
        self._sound(case)
        if case.shelved_until is None:
            self._anew(case)
        else:
            case.shelved_until = self._test_ends(case.subject)

    def happen(self, name, subject):
        """A press or an entry that the rule reads."""
        law, subjects = self.laws.get(name, (None, ()))
        if subject not in subjects:
            return
        case = self._standing(name, subject)
        if case is None:
            self._raise(law, subject)
            return
        if case.shelved_until is not None and case.response == "unanswered" and law.life:
            self._unshelve(case)
        if case.response == "acknowledged":
            self._re_alarm(case)
        else:
            case.occurrences += 1
            case.log.append(("repeated", self.now))

    def _answer(self, watch, leaf):
        value, good, _ = self.facts.get((watch.subject, leaf.point), (None, False, False))
        if value is None:
            return None
        beyond = leaf.limit is not None and value >= leaf.limit - (leaf.deadband if watch.holds else 0)
        yes = value is True if leaf.limit is None else beyond
        return True if yes else (False if good else None)

    def _look(self, watch, point=None):
        law, case = watch.law, self._standing(watch.law.name, watch.subject)
        active = case is not None and case.condition == "active"
        answers = {leaf: self._answer(watch, leaf) for leaf in law.leaves}
        if True in answers.values():
            watch.going = None
            bits = any(answer and leaf.limit is None for leaf, answer in answers.items())
            if active:
                self._weigh(case, watch)
            elif self._is_implied(watch):
                watch.coming = None
            elif law.on_delay:
                watch.coming = watch.coming if watch.coming is not None else self.now + law.on_delay
            elif law.reread and not bits and watch.coming is None:
                watch.coming, watch.seen = self.now + REREAD, self._beyond(watch)
            elif (
                law.reread
                and not bits
                and not any(leaf.point == point and leaf.limit is not None for leaf in law.leaves)
            ):
                pass  # another point spoke: the second reading is still awaited
            else:
                self._come(watch)
        elif None in answers.values():
            watch.going = None
            refuted = any(
                answer is False and leaf.point == point and leaf.limit is not None for leaf, answer in answers.items()
            )
            if law.on_delay or refuted:
                watch.coming = None
        else:
            watch.coming = None
            if active and law.off_delay:
                watch.going = watch.going if watch.going is not None else self.now + law.off_delay
            elif active:
                self._go(watch)

    def _is_implied(self, watch):
        greater = self._standing(watch.law.implied_by, watch.subject)
        return greater is not None and greater.condition == "active" and not greater.drill

    def _beyond(self, watch, *, earnest=False):
        """How many steps beyond its limit the number is, and which bits alarm; or only what is not said in a test."""
        steps, bits = None, set()
        for leaf in watch.law.leaves:
            value, *_ = self.facts.get((watch.subject, leaf.point), (None,))
            if earnest and self._said_in_test(watch.subject, leaf.point):
                continue
            if leaf.limit is None and value is True:
                bits.add(leaf.point)
            elif leaf.limit is not None and value is not None and value >= leaf.limit:
                steps = (value - leaf.limit) / leaf.step
        return steps, bits

    def _is_worse(self, case, steps, bits):
        """One word more of a detector, the first number after its word alone, or a number a step beyond the worst that alarmed."""
        if bits - case.said:
            return True
        return steps is not None and (case.worst is None or steps >= case.worst + 1)

    def _weigh(self, case, watch):
        """It stands, and something was heard."""
        drill, shelved = self._is_drill(watch), case.shelved_until is not None
        hushed, watch.hushed = watch.hushed, watch.hushed and shelved and drill
        if case.drill and not drill:
            self._turn_real(case, *self._beyond(watch))
        elif hushed and shelved:
            if not drill:
                self._re_alarm(case, *self._beyond(watch))
        elif not case.drill:
            steps, bits = self._beyond(watch, earnest=shelved or case.response == "acknowledged")
            if self._is_worse(case, steps, bits):
                self._re_alarm(case, steps, bits, worse=True)

    def _come(self, watch):
        """The condition begins to hold."""
        known = any(self._answer(watch, leaf) for leaf in watch.law.leaves)
        steps, bits = self._beyond(watch) if known else watch.seen  # no second reading came: silence is no all-clear
        watch.coming, watch.holds = None, True
        case, drill = self._standing(watch.law.name, watch.subject), self._is_drill(watch)
        if case is None:
            case = self._raise(watch.law, watch.subject, drill=drill)
            case.worst, case.said = steps, bits
            return
        settled = case.response == "acknowledged"
        case.condition = "active"
        self._await_regrade(case)
        if case.drill or (drill and settled):
            if drill:
                case.worst, case.said = steps, bits
                self._test_again(case)
            else:
                self._turn_real(case, steps, bits)
            return
        swings = self._is_calling(case)
        if not swings:
            case.worst, case.said = None, set()
        worse = swings and self._is_worse(case, steps, bits)
        watch.hushed = drill and case.law.life and case.shelved_until is not None
        self._re_alarm(case, steps, bits, worse=worse, swings=swings, hushed=watch.hushed)

    def _is_calling(self, case):
        """Whether people are called who have not answered: a climb is under way, or its last call is no ten minutes old."""
        if (
            case.response != "unanswered"
            or case.drill
            or (case.shelved_until is not None and self.now > case.shelved_at)
        ):
            return False
        return case.climbing or case.again is not None or (case.called is not None and self.now < case.called + SWING)

    def _go(self, watch):
        """It is gone."""
        watch.going, watch.holds, watch.hushed = None, False, False
        case = self._standing(watch.law.name, watch.subject)
        case.condition, case.regrade_due = "normal", None
        case.log.append(("returned", self.now))
        if case.response == "acknowledged" and not case.law.latch:
            self._close(case, "resolved")
        for lesser in self.watches.values():
            if lesser.law.implied_by == watch.law.name and lesser.subject == watch.subject:
                self._look(lesser)

    # The alert

    def _standing(self, name, subject):
        return next((c for c in self.cases if c.open and c.law.name == name and c.subject == subject), None)

    def _raise(self, law, subject, *, drill=False):
        case = Case(law, subject, self.places[subject], law.grade, drill=drill, log=[("raised", self.now)])
        self.cases.append(case)
        self._await_regrade(case)
        self._give_way(case)
        self._anew(case)
        return case

    def _give_way(self, case):
        """A real critical alert sounds: nobody may be busy with a test of the chain."""
        if case.law.priority == "critical" and not case.drill:
            for test in self._tests():
                self._close(test, "resolved")

    def _tests(self):
        return [case for case in self.cases if case.open and case.law is CHAIN]

    def _end_test(self, case):
        self._close(case, "resolved")

    def _sound(self, case):
        case.occurrences += 1
        case.log.append(("re-alarmed", self.now))
        case.response, case.lapse, case.on_site, case.silenced = "unanswered", None, False, False
        case.spent = set()
        self._give_way(case)

    def _re_alarm(self, case, steps=None, bits=frozenset(), *, worse=False, swings=False, hushed=False):
        """It came back, worsened, or was pressed again."""
        answered = case.response == "acknowledged"
        if case.shelved_until is not None and (worse or case.law.life) and not hushed:
            self._show(case)
            answered = True  # a shelf cuts the climb short
        case.worst = max((far for far in (case.worst, steps) if far is not None), default=None)
        case.said = case.said | bits
        self._sound(case)
        if case.shelved_until is not None or (case.climbing and not answered):
            return
        if answered or worse or not swings:
            self._anew(case)
        elif case.again is None:
            case.again = case.called + SWING

    def _close(self, case, how):
        case.response, case.closed_as = "closed", how
        case.shelved_until = case.lapse = case.again = case.regrade_due = case.ends = None
        case.climbing = False
        case.log.append(("closed", self.now))

    def _show(self, case):
        case.shelved_ms += self.now - case.shelved_at
        case.shelved_until = None
        case.log.append(("unshelved", self.now))
        self._give_way(case)

    def _unshelve(self, case):
        self._show(case)
        if case.drill:
            return
        if case.response == "unanswered":
            self._anew(case)
        elif not case.on_site:
            self._await_somebody(case)

    def _await_regrade(self, case):
        if case.step < len(case.law.regrades):
            case.regrade_due = self.now + case.law.regrades[case.step][0]

    def _regrade(self, case):
        after, case.grade = case.law.regrades[case.step]
        case.step += 1
        case.regrade_due = None
        case.log.append(("regraded", self.now))
        if case.step < len(case.law.regrades):
            case.regrade_due = self.now + case.law.regrades[case.step][0] - after
        if (
            case.response == "unanswered"
            and case.shelved_until is None
            and not case.climbing
            and case.rung < len(self._rungs(case))
        ):
            case.climbing = True

    # The ladder

    def _rungs(self, case):
        last = case.up_to or ("district" if case.law.priority == "critical" else ENDS[case.grade])
        return [
            (rung, delay)
            for rung, delay in zip(RUNGS, LADDER[case.law.priority], strict=True)
            if delay is not None and RUNGS.index(rung) <= RUNGS.index(last)
        ]

    def _stands(self, case, rung):
        return self.occupied(rung, case.place.partition("/")[0])

    def _anew(self, case):
        """The climb begins, or begins again."""
        case.again = None
        if case.drill and not case.up_to:
            case.rung = 0
            self._tell(case)
            case.rung, case.climbing = len(self._rungs(case)), False
            return
        case.start, case.rung, case.climbing = self.now, 0, True
        self._climb(case)

    def _climb(self, case):
        """Tells every rung whose time has come, and passes those on which nobody stands."""
        rungs = self._rungs(case)
        while case.rung < len(rungs) and case.start + rungs[case.rung][1] <= self.now:
            self._tell(case)
        case.climbing = case.rung < len(rungs)

    def _tell(self, case):
        """The next rung, and the one above it where nobody stands there."""
        rungs = self._rungs(case)
        while case.rung < len(rungs):
            case.rung += 1
            self._record(case, rungs[case.rung - 1][0])
            if case.told[-1][2]:
                break
        case.climbing = case.rung < len(rungs)

    def _move_one(self, case):
        """One rung at once; those above keep their distances."""
        case.start = self.now - self._rungs(case)[case.rung][1]
        self._climb(case)

    def _await_somebody(self, case):
        wait = ANSWER_BY.get(case.law.priority)
        case.lapse = None if wait is None or case.drill else self.now + wait

    def _lapse(self, case):
        """Somebody took it and did not come; who is told now has as long again."""
        self._await_somebody(case)
        if case.rung < len(self._rungs(case)):
            self._move_one(case)
        if case.called != self.now:
            rungs = [rung for rung, _ in self._rungs(case)]
            top = next((rung for rung in reversed(rungs) if self._stands(case, rung)), rungs[-1])
            self._record(case, top)

    def _record(self, case, rung):
        stands = self._stands(case, rung)
        case.told.append((rung, self.now, stands))
        if stands:
            case.called, case.shelved_ms = self.now, 0

    # People

    def order(self, who, verb, case, reason="", for_ms=None, *, on_site=False, mistaken=False):
        """What is answered."""
        law, refused = case.law, self._refusal(who, verb, case, reason, for_ms, mistaken)
        if refused:
            return refused
        if verb == "ack":
            self._ack(case, who, on_site)
        elif verb == "silence":
            case.silenced = True
        elif verb == "shelve":
            if case.shelved_until is not None:
                case.shelved_ms += self.now - case.shelved_at
            until = (
                self._test_ends(case.subject) if self._in_test(case) else self.now + for_ms
            )  # a drill: as long as its test
            case.shelved_at, case.shelved_until = self.now, until
            case.climbing, case.again, case.lapse = False, None, None
            case.log.append(("shelved", self.now))
        elif verb == "unshelve":
            self._unshelve(case)
        elif verb == "close" or law.latch:
            self._close(case, "mistaken" if mistaken and verb == "close" else "resolved")
        return "done"

    def test(self, who, subject, place, for_ms=None, up_to=""):
        """A person tests the chain. What is answered."""
        for_ms = 10 * MINUTE if for_ms is None else for_ms
        if "test" not in self.roles.get(who, ("test",)) or who not in self.roles:
            return "not_allowed" if who in self.roles else "not_a_person"
        if for_ms > HOUR:
            return "too_long"
        case = Case(
            CHAIN, subject, place, "small", drill=True, ends=self.now + for_ms, up_to=up_to, log=[("raised", self.now)]
        )
        manned = {rung: delay for rung, delay in self._rungs(case) if self._stands(case, rung)}
        if not manned or (up_to and manned.get(up_to, for_ms) >= for_ms):
            return "out_of_reach"
        if any(c.open and c.law.priority == "critical" and not c.drill and not c.law.silent for c in self.cases):
            return "real_alarm"
        if self._tests():
            return "already_testing"
        self.cases.append(case)
        self._anew(case)
        return "done"

    def _ack(self, case, who, on_site):
        first, already_there = case.response == "unanswered", case.on_site
        case.log.append(("acknowledged", self.now))
        case.response = "acknowledged"
        case.on_site = case.on_site or on_site
        if not already_there and (first or who not in case.spent):
            case.climbing = False
        if not already_there:
            case.spent.add(who)
        if first:
            case.again = None
        if first and case.shelved_until is None:
            self._await_somebody(case)
        if case.on_site:
            case.lapse, case.climbing = None, False
        if case.condition == "normal" and not case.law.latch:
            self._close(case, "resolved")

    def _refusal(self, who, verb, case, reason, for_ms, mistaken):
        law = case.law
        if who not in self.roles:
            return "not_a_person"
        if ("shelve" if "shelve" in verb else "answer") not in self.roles[who]:
            return "not_allowed"
        if not case.open:
            return "already_closed"
        if verb == "shelve":
            if law is CHAIN:
                return "is_a_test"
            used = case.shelved_ms + (self.now - case.shelved_at if case.shelved_until is not None else 0)
            if not reason:
                return "needs_reason"
            if not for_ms:
                return "needs_duration"
            if for_ms > (LIFE_SHELF if law.life else LONGEST_SHELF):
                return "too_long"
            if law.life and used + for_ms > LIFE_SHELF:
                return "shelf_used_up"
        if verb == "unshelve" and case.shelved_until is None:
            return "not_shelved"
        if verb in {"close", "reset"}:
            if verb == "reset" and case.response == "unanswered":
                return "needs_answer_first"
            if case.condition == "active" and law.leaves:
                return "still_active"
            if verb == "close" and mistaken:
                return "" if reason else "needs_reason"
            call = not law.leaves and law.priority == "critical" and law is not CHAIN
            if case.response == "unanswered" and (law.latch or call):
                return "needs_answer_first"
        return ""

    # Ends and beginnings

    def restart(self, downtime):
        """The process ends and begins anew after so long; None: nobody knows how long."""
        self._begin_graces(downtime or 0)
        if downtime is not None:
            self.reach(self.now + downtime)
            self.look_again()
            return
        for case in (case for case in self.cases if case.open):
            if case.law is CHAIN:  # nobody can say that it is not over
                self._end_test(case)
            if case.shelved_until is not None and case.law.life:
                case.shelved_until = self.now
            if case.climbing:  # one rung; those above keep their distances
                case.start = self.now - self._rungs(case)[case.rung][1]
            case.lapse = None if case.lapse is None else self.now
            case.again = None if case.again is None else self.now
        self.tests = dict.fromkeys(self.tests)  # no test is believed any more
        for watch in self.watches.values():
            if watch.coming is not None:
                watch.coming = self.now + (watch.law.on_delay or REREAD)
            if watch.going is not None:
                watch.going = self.now + watch.law.off_delay
        self.look_again()
        self.reach(self.now)
        for subject in self.tests:
            self._disbelieve(subject)

    def reload(self, laws, occupied):
        """Another site file: what it does not know any more is withdrawn, what holds by its rules is raised."""
        self.laws, self.occupied = laws, occupied
        for case in self.cases:
            law, subjects = laws.get(case.law.name, (None, ()))
            if case.open and case.law is not CHAIN and case.subject not in subjects:
                self._part(case)
            elif law is not None:
                case.law, case.outlives = law, False
        old = self.watches
        self.watches = {(law.name, s): Watch(law, s) for law, subjects in laws.values() for s in subjects if law.leaves}
        for key, watch in self.watches.items():
            if key in old:
                self.watches[key] = old[key]
                old[key].law = watch.law
        for case in self.cases:
            if (
                case.open
                and self._is_known_to_nobody(case)
                and any(self._stands(case, rung) for rung, _ in self._rungs(case))
            ):
                self._anew(case)
        self.look_again()

    def _is_known_to_nobody(self, case):
        """It calls, and on none of its rungs was anybody there to be told."""
        calls = case.response == "unanswered" and case.suppression == "none"
        return calls and not case.climbing and case.again is None and not any(there for _, _, there in case.told)

    def _part(self, case):
        """Its rule or subject is gone: so is the alert, but for a call for help, which a person ends."""
        if case.law.leaves or case.law.priority != "critical":
            self._close(case, "withdrawn")
        elif not case.outlives:
            case.law, case.outlives = replace(case.law, drives={}, life=True), True
            case.log.append(("regraded", self.now))

    # Outputs

    def wants(self):
        """Output -> what it is to be."""
        return {output[0]: self._want(*output) for output in self.outputs}

    def _want(self, _, kind, place, serves, ex_rated):
        rest = "leave" if kind == "valve" else "off"
        asked, sparks = set(), not ex_rated
        for case in self.cases:
            state = case.law.drives.get(kind)
            there = _within(place, case.place)
            tested = case.drill and (kind == "siren" or self._test_ends(case.subject) is None)
            if case.open and case.law.explosive and case.condition == "active" and there and sparks and not tested:
                asked.add("no spark")
            if not case.open or not state or not any(_within(case.place, area) for area in serves):
                continue
            holds = case.condition == "active" or case.law.latch
            shelved = case.shelved_until is not None
            if case.drill and state == "on":
                continue
            if kind == "siren" and (not holds or case.response != "unanswered" or case.silenced or shelved):
                continue
            if kind == "fan" and not holds:
                continue
            if kind == "fan" and shelved and state == "on" and not (case.law.life and case.condition == "active"):
                continue
            if state == "on" and case.law.explosive and there and sparks:
                continue
            asked.add(state)
        if "off" in asked or ("no spark" in asked and "on" in asked):
            return "off"
        return "shut" if "shut" in asked else "on" if "on" in asked else rest


def _within(place, area):
    return place == area or place.startswith(area + "/")
