"""How much of anything one asker may cause, and how often a refusal is written down. Pure: who calls says what time it is.

Theory. A token bucket is one number an asker: the time at which it will be full again (the *theoretical arrival time* of ITU-T
I.371, annex A). Within any stretch of time nobody takes more than ``Rate.most_within`` says, and whoever was quiet for long
enough is not remembered at all.

What a refusal costs must not grow with their number either: journal and log get one of a kind in a minute, with how many there
were.
"""

from __future__ import annotations

from collections.abc import Hashable

from msgspec import Struct

from gateway.events import Verb

REMIND_S = 60.0
"""Journal and log keep one refusal of a kind in this time: a flood must not wear out the disk."""
_PATIENCE = 0.001
"""Of a step: sums of floats must not refuse what comes exactly in time."""
_MOST_ASKERS = 256
"""With more, those who are owed nothing are forgotten; principals, doors and logins of one site are fewer. Where they are many more
(persons whom a terminal invents) they are looked through again when there are twice as many: each costs the same."""


class Rate(Struct, frozen=True):
    """``burst`` at once, and one more every so many seconds."""

    burst: int
    every_s: float

    def most_within(self, seconds: float) -> int:
        """The most that can be taken in any stretch of this length, both its ends included."""
        return self.burst + int(seconds / self.every_s + _PATIENCE)


class Allowance:
    """What each asker may take, by one rate."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._full_at: dict[Hashable, float] = {}
        self._room = _MOST_ASKERS

    def take(self, who: Hashable, now_s: float) -> bool:
        """Take one if one is left."""
        rate = self._rate
        full_at = max(self._full_at.get(who, now_s), now_s)
        if full_at - now_s > (rate.burst - 1 + _PATIENCE) * rate.every_s:
            return False
        self._full_at[who] = full_at + rate.every_s
        if len(self._full_at) > self._room:
            self._full_at = {asker: at for asker, at in self._full_at.items() if at > now_s}
            self._room = max(_MOST_ASKERS, 2 * len(self._full_at))
        return True


ANSWERS = frozenset({Verb.ACK, Verb.CLOSE})
"""What an alarm is waiting for."""
ANSWER_RATE = Rate(burst=1_000, every_s=1.0)
"""Every alert of a compound answered at one stroke, by a system that takes over a shift or after a power cut that a thousand
devices told of; and then 3,600 an hour, which ten people at a desk cannot give."""
ORDER_RATE = Rate(burst=60, every_s=2.0)
"""Of any other verb: a stairwell shelved for the electrician at one stroke; and 1,800 an hour. A client that babbles for a whole
day costs the card some hundred megabytes by this, not thirty gigabytes."""

TEST_RATE = Rate(burst=10, every_s=60.0)
"""Of tests: every building of a compound in one round, and then one a minute. Each rings people, who stop listening else."""


def rate_of(verb: Verb) -> Rate:
    """How often one principal may give this order."""
    return ANSWER_RATE if verb in ANSWERS else TEST_RATE if verb is Verb.TEST else ORDER_RATE


class CommandAllowance:
    """What each principal may order: of each verb apart, so that a client that babbles one cannot shut out another."""

    def __init__(self) -> None:
        self._of = {rate: Allowance(rate) for rate in map(rate_of, Verb)}

    def take(self, principal: Hashable, verb: Verb, now_s: float) -> bool:
        """Whether this one may go to the core; it counts if so."""
        return self._of[rate_of(verb)].take((principal, verb), now_s)


def most_commands_within(seconds: float) -> int:
    """What one principal can get through to the core in a stretch of this length, of all verbs together."""
    return sum(rate_of(verb).most_within(seconds) for verb in Verb)


class Reminders:
    """Says when a refusal of a kind is to be written down again."""

    def __init__(self) -> None:
        self.kept: dict[Hashable, tuple[float, int]] = {}
        """Kind -> when it was last written down, and how many came since."""

    def due(self, kind: Hashable, now_s: float) -> int:
        """How many of this kind there were since the last that was written down, if it is time for one; else 0."""
        since, unsaid = self.kept.get(kind, (now_s - REMIND_S, 0))
        if now_s - since < REMIND_S:
            self.kept[kind] = since, unsaid + 1
            return 0
        self.kept[kind] = now_s, 0
        return unsaid + 1

    def left_s(self, kind: Hashable, now_s: float) -> float:
        """How long until one of a kind that was written down lately may be again."""
        return max(0.0, self.kept[kind][0] + REMIND_S - now_s)

    def rest(self, kind: Hashable, now_s: float) -> int:
        """How many came since the last that was written down, now that its minute is over; they count as written."""
        _, unsaid = self.kept[kind]
        if unsaid:
            self.kept[kind] = now_s, 0
        return unsaid
