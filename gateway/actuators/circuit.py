"""What the gateway knows of one output: who asked what, what was tried, what was told. No waiting, no device.

A ``Circuit`` changes from two sides: ``want`` is called by whoever hands on the core's actions, everything else by the task
that tends the output. Both run on the event loop, neither waits in between, so no lock is needed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from gateway.actions import OutputState, Want
from gateway.actuators.decide import Ask, Kind, ask_of, opposite, state_name
from gateway.events import Actuated
from gateway.site.model import Output

NO_ANSWER = "no_answer"
LOST = frozenset({NO_ANSWER, "bad_crc", "wrong_answer"})
"""Nothing was learnt of the output: the write or what was said to it came to grief on the line."""
LOST_TRIES = 3
"""So often in a row before anybody is told. A write and its read-back are four frames: where one in a hundred is lost, every 25th siren
would else call the whole grid for what holds at the next try, a tenth of a second later; three in a row are one in sixteen thousand.
"""
SUPERSEDED = "superseded"
"""A newer want came before this one could be proven or fail. ``confirmed`` is as last reported: nothing was learnt."""


class Outcome(Struct, frozen=True):
    """What became of an ask, as far as the device could prove it."""

    actual: str | None
    confirmed: bool
    reason: str = ""


@dataclass(slots=True, eq=False)
class Asked:
    """One want on its way, from the moment it is wanted until a newer one takes its place."""

    want: Want
    ask: Ask
    by_core: bool = True
    """False: the idle state assumed until the core says something."""
    tried: bool = False
    given: bool | None = None
    """Of a momentary output: the state its coil was last brought to; None: not yet, in vain says the feedback, or a cause came."""
    told: Actuated | None = None
    superseded: asyncio.Event = field(default_factory=asyncio.Event)


class Circuit:
    """One output with its present ask."""

    def __init__(self, output: Output, *, ours: bool = False) -> None:
        self.output = output
        self.kind = Kind(output.kind)
        self.relay = output.device, output.point
        self.feedback = output.feedback.partition(".")[::2] if output.feedback else None
        """Device and point that prove the state."""
        self.proves = output.feedback_means or str(state_name(self.kind, energised=True))
        """State that a true feedback proves; a false one proves its opposite."""
        self.disproves = opposite(self.proves)
        self.momentary, self.unread = output.momentary, output.unread
        idle = OutputState.LEAVE if self.kind is Kind.VALVE else OutputState.OFF
        first = Want(output.id, idle, ())
        self.asked = Asked(first, ask_of(self.kind, first), by_core=False)
        self.woken = asyncio.Event()
        self.ours = ours
        """Asked on, in this run or an earlier one, and not yet proven off again: what we may switch off."""
        self.begun = self.looked = False
        """Tended at all; read for the first time."""
        self.failures = 0
        self.proven = False
        """The present ask was confirmed; what follows is verification."""
        self._doubted = self._flashes = False
        """A poll of the feedback has belied what was proven; and so it did before, in vain: a siren may flash."""
        self._confirmed = True
        """As last reported."""
        self._owed: list[Asked] = []

    def want(self, want: Want) -> None:
        """Take a want. The same state once more (another cause) is no new ask, but a reason to look at once.

        A momentary output is given another pulse for a new cause, unless its feedback shows that there is no need: since the
        last one somebody may have undone what it did.
        """
        ask = ask_of(self.kind, want)
        if ask is self.asked.ask:
            if not set(want.causes) <= set(self.asked.want.causes):
                self.asked.given = None
            self.asked.want, self.asked.by_core = want, True
        else:
            self._replace(Asked(want, ask))
        self.woken.set()

    def _replace(self, asked: Asked) -> None:
        old, self.asked = self.asked, asked
        old.superseded.set()
        if old.by_core and old.told is None:
            self._owed.append(old)
        self.ours = self.ours or asked.ask is Ask.ON
        self.failures, self.proven = 0, False
        self.looked = self.looked or self.begun  # the first look is for what was wanted before the start

    def standing(self) -> dict[str, Any]:
        """What is asked, by which alerts, and what became of it as last told; ``confirmed`` None: nothing was told of it yet."""
        told = self.asked.told
        return {
            "output": self.output.id,
            "kind": self.kind.value,
            "place": self.output.place,
            "wanted": self.asked.ask.state.value,
            "causes": list(self.asked.want.causes),
            "actual": told and told.actual,
            "confirmed": told and told.confirmed,
            "reason": told.reason if told else "",
        }

    def is_belied(self, shown: tuple[str, str], state: bool) -> bool:
        """Whether the relay or the feedback (device and point), as a poll has just shown it, is not as was proven; of a relay of which
        nothing is asked, not as was told: somebody else moves it.

        A feedback that does so for nothing is next believed after a look that nobody asked for.
        """
        ask = self.asked.ask
        if not self.proven:
            return False
        if not ask.stands:
            return self._moves_unasked(shown, state)
        if shown == self.feedback:
            belied = (self.proves if state else self.disproves) != state_name(self.kind, energised=ask.energises)
            fresh = belied and not self._flashes
            self._doubted = self._doubted or fresh
            return fresh
        return not (self.momentary or self.unread) and state is not ask.energises

    def _moves_unasked(self, shown: tuple[str, str], state: bool) -> bool:
        told = self.asked.told
        if shown != self.relay or self.momentary or self.unread or told is None or told.actual is None:
            return False
        return state_name(self.kind, state) != told.actual

    def must_look(self) -> bool:
        """Whether to read before deciding: at the start, to verify, and where only the look can tell what to do.

        A fresh or failed ask toward safe is written without looking: that saves a transaction when it counts. The coil of a
        momentary output has let go by itself, and some relays are never read: nothing can be seen there. One that lives on
        renewals may still be on from a life, or a bus, that renews it no more: only a write begins them again.
        """
        if self.momentary or self.unread or (self.output.renewed and self.asked.ask.energises):
            return False
        return self._wants_a_look()

    def must_look_at_feedback(self) -> bool:
        """The same for a momentary output, of which only the feedback knows: not to pulse again what is done already."""
        if not self.momentary or self.feedback is None:
            return False
        once_more = self.asked.tried and self.asked.given is None
        return once_more or (not self.proven and self._wants_a_look())

    def _wants_a_look(self) -> bool:
        return not self.looked or self.proven or not (self.asked.ask.stands or self._to_be_put_off())

    def _to_be_put_off(self) -> bool:
        return self.asked.ask is Ask.OFF and self.ours

    def urgent(self) -> bool:
        """Whether it goes before retries and verification: asked for a change, and not tried yet."""
        return not self.asked.tried and (self.asked.ask.stands or self._to_be_put_off())

    def may_be_chance(self, outcome: Outcome) -> bool:
        """Whether what came to grief on the line may hold at the next try."""
        return outcome.reason in LOST and self.failures + 1 < LOST_TRIES

    def note(self, asked: Asked, outcome: Outcome | None) -> list[Actuated]:
        """Remember what came of ``asked``; what is to be reported, oldest first. None: nothing was learnt."""
        asked.tried = True
        if outcome is not None and self.may_be_chance(outcome):
            outcome = None
        owed, self._owed = self._owed, []
        reports = [self._report(old, outcome if old is asked else None) for old in owed]
        if asked is not self.asked:
            return reports
        self.proven = outcome is not None and outcome.confirmed
        if outcome is not None and outcome.actual is not None and not outcome.confirmed:
            asked.given = None  # the feedback says it is not so: once more
        self._flashes, self._doubted = self.proven and self._doubted, False
        self.failures = 0 if self.proven else self.failures + 1
        if self.proven and asked.ask in {Ask.OFF, Ask.HELD_OFF}:
            self.ours = False
        if outcome is not None and (report := self._report(asked, outcome)) != asked.told:
            asked.told = report
            reports.append(report)
        return reports

    def _report(self, asked: Asked, outcome: Outcome | None) -> Actuated:
        result = outcome or Outcome(None, self._confirmed, SUPERSEDED)
        self._confirmed = result.confirmed
        return Actuated(
            output=self.output.id,
            wanted=str(asked.ask.state),
            actual=result.actual,
            confirmed=result.confirmed,
            reason=result.reason,
        )
