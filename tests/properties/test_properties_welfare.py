"""Looking after people, held against an account kept beside: never a false absence, never silence.

The account is of intervals, not of rules: when signs of life came, when the person was away, when somebody was deaf. The core
keeps rows; this keeps lists, and looks at all of them each time.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.actions import Publish
from gateway.alerts import ChangeKind
from gateway.app.check import BUILTIN, check
from gateway.events import (
    Boot,
    Command,
    DeviceHealth,
    Entry,
    Health,
    Press,
    PressKind,
    SequenceGap,
    SiteLoaded,
    Stamped,
    Verb,
)
from gateway.instant import DAY, HOUR, MINUTE, ClockQuality, Instant
from gateway.nodes import Faults
from gateway.rules.engine import Engine
from gateway.rules.watches import Phase

PROFILE = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
ELDER, WALL = "elder-301", 1_780_000_000_000  # half a year before the leave that the site file plans
FORGIVEN = 10 * MINUTE
TOLD_WITHIN = DAY + FORGIVEN


def _compound():
    checked = check(BUILTIN.parents[2] / "tests/scenarios/care.yaml", faults := Faults())
    assert not faults.errors
    return checked[1]


COMPOUND = _compound()
GATE = COMPOUND.subjects[ELDER].care.pseudonyms["gate-1"]


class Account:
    """What really happened: lists of moments and of (from, until)."""

    def __init__(self):
        self.signs, self.leaves, self.deaf = [0], [], []
        self._open = {}

    def begin(self, name, at):
        self._open.setdefault(name, at)

    def end(self, name, at, *, known=False):
        began = self._open.pop(name, None)
        if began is not None and not known and (at - began > FORGIVEN or name.startswith("gap")):
            self.deaf.append((began, at))

    def away(self, at):
        return any(start <= at < until for start, until in self.leaves)

    def last(self, at):
        """The last moment that began the day anew: a sign, or the end of a leave."""
        return max([s for s in self.signs if s <= at] + [until for _, until in self.leaves if until <= at])

    def was_deaf(self, since, at):
        past = any(until > since and start < at for start, until in self.deaf)
        return past or any(began < at for began in self._open.values())


deeds = st.one_of(
    st.sampled_from(
        ["pass", "press", "stranger", "lost", "ok", "gap", "recovered", "given_up", "away", "back", "nothing"]
    ),
    st.sampled_from(["nothing", "nothing", "sleep 5min", "sleep 3h", "away 2d"]),
)
gaps = st.sampled_from([MINUTE, 5 * MINUTE, 11 * MINUTE, HOUR, 5 * HOUR, 11 * HOUR, DAY])


class Life:
    def __init__(self):
        self.engine, self.account = Engine(COMPOUND), Account()
        self.at, self.count, self.run = 0, 0, 0
        self.boot(None)

    def boot(self, downtime):
        self.run += 1
        self.give(Boot(f"r{self.run}", f"b{self.run}", ClockQuality.SYNCED, downtime, WALL, "test"))
        self.give(SiteLoaded("f"))

    def give(self, event):
        self.count += 1
        self.keep(self.engine.handle(Stamped(Instant(self.at), f"r{self.run}.{self.count}", event)))

    def keep(self, outcome):
        for action in outcome.actions:
            if not isinstance(action, Publish) or action.change.alert.rule != "welfare-absence":
                continue
            change = action.change
            if change.kind in {ChangeKind.RAISED, ChangeKind.RE_ALARMED}:
                self.judge(change.at)

    def judge(self, at):
        """Never a false absence: a whole day without a sign, at home, and everybody heard."""
        assert not self.account.away(at)
        last = self.account.last(at)
        assert at - last >= DAY, (at, last)
        assert not self.account.was_deaf(at - DAY, at)

    def never_silent(self):
        """A day and ten minutes after the last sign somebody has been told something."""
        watches = self.engine._watches
        speaks = any(
            watches._watch(COMPOUND.rules[rule], ELDER).phase is Phase.ACTIVE
            for rule in ("welfare-absence", "welfare-unknown")
        )
        late = self.at - self.account.last(self.at) > TOLD_WITHIN and not self.account.away(self.at)
        listening = self.at - self.woke > FORGIVEN
        assert speaks or not late or not listening

    woke = 0

    def happen(self, gap, deed):
        while (due := self.engine.next_due()) is not None and due < self.at + gap:
            self.keep(self.engine.wake(due))
        self.at += gap
        self.keep(self.engine.wake(Instant(self.at)))
        self.never_silent()
        getattr(self, deed.split()[0])(*deed.split()[1:])
        self.count += 1

    def nothing(self):
        pass

    def _entry(self, kind, person):
        self.give(Entry("gate-1", kind, str(self.count), "5/75", person=person))

    def stranger(self):
        self._entry("access.granted", "f" * 32)

    def press(self):
        self.account.signs.append(self.at)
        self.give(Press("sos-301", PressKind.SINGLE, f"k{self.count}"))

    def lost(self):
        self.account.begin("lost", self.at)
        self.give(DeviceHealth("stair-1", Health.LOST))

    def ok(self):
        self.account.end("lost", self.at)
        self.give(DeviceHealth("stair-1", Health.OK))

    def gap(self):
        self.account.begin("gap", self.at)
        self.give(SequenceGap("gate-1", 5, 7))

    def recovered(self):
        self.account.end("gap", self.at, known=True)
        self.give(SequenceGap("gate-1", 5, 7, open=False, reason="recovered"))

    def given_up(self):
        self.account.end("gap", self.at)
        self.give(SequenceGap("gate-1", 5, 7, open=False, reason="given_up"))

    def away(self, length="3h"):
        until = self.at + {"3h": 3 * HOUR, "2d": 2 * DAY}[length]
        self.account.leaves = [(s, min(u, self.at)) for s, u in self.account.leaves] + [(self.at, until)]
        self.order(for_ms=until - self.at)

    def back(self):
        self.account.leaves = [(s, min(u, self.at)) for s, u in self.account.leaves] + [(self.at, self.at)]
        self.order(back=True)

    def order(self, **more):
        self.give(Command(f"c{self.count}", "local", "head", Verb.AWAY, resident=ELDER, **more))

    def sleep(self, length):
        downtime = {"5min": 5 * MINUTE, "3h": 3 * HOUR}[length]
        rows, self.engine = self.engine.snapshot(), Engine(COMPOUND)
        self.engine.restore(rows)
        if downtime > FORGIVEN:
            self.account.deaf.append((self.at, self.at + downtime))
        self.at += downtime
        self.woke = self.at
        self.boot(downtime)


setattr(Life, "pass", lambda self: (self.account.signs.append(self.at), self._entry("access.granted", GATE)))


@PROFILE
@given(st.lists(st.tuples(gaps, deeds), min_size=5, max_size=40))
def test_never_a_false_absence_never_silence(life):
    lived = Life()
    for gap, deed in life:
        lived.happen(gap, deed)
