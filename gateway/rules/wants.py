"""What the outputs were told, and which of them are on because of us. Part of the core: pure, and kept as rows.

What an output should be is ``outputs.py``'s; here it is compared with what was said, so that only what changed is said.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from gateway.actions import OutputState, Want
from gateway.alerts import Alert
from gateway.events import UNPROVEN, Actuated
from gateway.instant import MINUTE
from gateway.rules import outputs
from gateway.rules.compound import Compound, OutputSpec
from gateway.rules.ledger import Table

LEFT = "@"
"""Between the name of an output and the relay that it left on when it was moved or taken away."""
GONE = "relay_gone"
"""Of a relay that was left on: nothing of the site can reach it any more."""
_TOLD_MS = MINUTE
"""Somebody is told of such a relay well within that time of listening."""


class Driven(Struct, frozen=True):
    """An output we asked on, and have not seen off since: the next life, too, may switch it off."""

    relay: str = ""
    """Where it was switched then, by names; empty: an earlier version did not say."""
    stands: str = ""
    """The same by its place; empty: an earlier version did not say."""
    gone: int | None = None
    """Time spent listening, in ms, when it was first said to be out of reach."""


class Wants:
    """The last word to every output of one site."""

    def __init__(self, compound: Compound) -> None:
        self._compound, self._count = compound, len(compound.outputs)
        self.told: Table[Want] = Table("want", Want)
        self._told = self.told.by_key
        self.driven: Table[Driven] = Table("driven", Driven)
        self._is_another_site = False

    @property
    def owed(self) -> bool:
        """Whether any output was told nothing yet, or was told by another site file."""
        return self._is_another_site or len(self._told) < self._count

    def renew(self, alerts: Sequence[Alert]) -> tuple[Want, ...]:
        """The outputs whose desired state (or cause) changed; from now on they are told."""
        self._is_another_site = False
        rules, specs = self._compound.rules, self._compound.outputs.values()
        kinds = {output.kind for output in specs}
        concerned = {kind: [a for a in alerts if outputs.concerns(kind, rules.get(a.rule))] for kind in kinds}
        wanted = [outputs.desired(output, concerned[output.kind], rules) for output in specs]
        changed = tuple(want for want in wanted if self.told.get(want.output) != want)
        for want in changed:
            self.told.put(want, want.output)
            if want.state is OutputState.ON:
                self._drive(self._compound.outputs[want.output])
        return changed

    def _drive(self, output: OutputSpec) -> None:
        self.driven.put(Driven(output.relay, output.stands), output.id)

    def answered(self, actuated: Actuated, heard: int) -> None:
        """An output said how it stands: one that is off, and shall be, is ours no longer. ``heard``: time spent listening so far."""
        row = self.driven.get(actuated.output)
        if row is not None and actuated.reason == GONE:
            self._out_of_reach(actuated.output, row, heard)
            return
        wanted = self.told.get(actuated.output)
        off = actuated.actual == OutputState.OFF.value or _is_written_off(actuated)
        if off and (wanted is None or wanted.state is not OutputState.ON):
            self.driven.drop(actuated.output)

    def _out_of_reach(self, name: str, row: Driven, heard: int) -> None:
        """Nobody can switch it off but a person, so it is kept until somebody was told."""
        if row.gone is None:
            self.driven.put(msgspec.structs.replace(row, gone=heard), name)
        elif heard - row.gone >= _TOLD_MS:
            self.driven.drop(name)

    def part(self) -> None:
        """After a restore: who stands where something was left on has it; what stands elsewhere now has left its old relay on.

        Its new one is its own, too: perhaps only the wire is called otherwise. Where a valve stands now, nobody opens it.
        """
        outputs, rows = self._compound.outputs, {name: self.driven.get(name) for (name,) in self.driven}
        for name, row in rows.items():
            spec, heir = outputs.get(name), None if row is None else self._at(row)
            if row is None or not row.relay or (heir is None and LEFT in name):
                continue
            if self.driven.get(name) is row:  # else it has another's relay by now
                self.driven.drop(name)
            if heir is None:
                self.driven.put(row, f"{name}{LEFT}{row.stands or row.relay}")
            for output in (heir, spec):
                if output is not None and output.kind != "valve":
                    self._drive(output)

    def _at(self, row: Driven) -> OutputSpec | None:
        """The output that is switched where this one was."""
        outputs = self._compound.outputs.values()
        if row.stands:
            return next((one for one in outputs if one.stands == row.stands), None)
        return next((one for one in outputs if one.relay == row.relay), None)

    def take_back(self) -> None:
        """Every run tells its outputs anew what they should be."""
        for output in self.told:
            self.told.drop(*output)

    def forget_strangers(self) -> None:
        """Outputs that are no more; those that are may serve other places, or other rules, and rules may ask other things of them."""
        self._is_another_site = True
        for output in self.told:
            if output[0] not in self._compound.outputs:
                self.told.drop(*output)


def _is_written_off(actuated: Actuated) -> bool:
    """A relay that was left behind and is never read: it took the write, and no later start will learn more of it. An output of the site
    is written off once more by each start, which costs nothing and may mend a write that did not take.
    """
    off = actuated.wanted == OutputState.OFF.value and actuated.confirmed
    return off and actuated.reason == UNPROVEN and LEFT in actuated.output
