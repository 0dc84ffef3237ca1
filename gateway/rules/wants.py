"""What the outputs were told, and which of them are on because of us. Part of the core: pure, and kept as rows.

What an output should be is ``outputs.py``'s; here it is compared with what was said, so that only what changed is said.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from gateway.actions import OutputState, Want
from gateway.alerts import Alert
from gateway.events import Actuated
from gateway.rules import outputs
from gateway.rules.compound import Compound
from gateway.rules.ledger import Table

LEFT = "@"
"""Between the name of an output and the relay that it left on when it was moved or taken away."""


class Driven(Struct, frozen=True):
    """An output we asked on, and have not seen off since: the next life, too, may switch it off."""

    relay: str = ""
    """Where it was switched then; empty: an earlier version did not say."""


class Wants:
    """The last word to every output of one site."""

    def __init__(self, compound: Compound) -> None:
        self._compound, self._count = compound, len(compound.outputs)
        self.told: Table[Want] = Table("want", Want)
        self._told = self.told.by_key
        self.driven: Table[Driven] = Table("driven", Driven)

    @property
    def owed(self) -> bool:
        """Whether any output was told nothing yet."""
        return len(self._told) < self._count

    def renew(self, alerts: Sequence[Alert]) -> tuple[Want, ...]:
        """The outputs whose desired state (or cause) changed; from now on they are told."""
        rules, specs = self._compound.rules, self._compound.outputs.values()
        kinds = {output.kind for output in specs}
        concerned = {kind: [a for a in alerts if outputs.concerns(kind, rules.get(a.rule))] for kind in kinds}
        wanted = [outputs.desired(output, concerned[output.kind], rules) for output in specs]
        changed = tuple(want for want in wanted if self.told.get(want.output) != want)
        for want in changed:
            self.told.put(want, want.output)
            if want.state is OutputState.ON:
                self.driven.put(Driven(self._compound.outputs[want.output].relay), want.output)
        return changed

    def answered(self, actuated: Actuated) -> None:
        """An output said how it stands: one that is off, and shall be, is ours no longer."""
        wanted = self.told.get(actuated.output)
        if actuated.actual == OutputState.OFF.value and (wanted is None or wanted.state is not OutputState.ON):
            self.driven.drop(actuated.output)

    def part(self) -> None:
        """After a restore: a relay left on is that output's now which switches it; where none does, nobody's, under a name of its own.
        An output that stands elsewhere keeps what it had all the same: perhaps only the name of its relay is new.
        """
        outputs = self._compound.outputs
        holders = {spec.relay: spec.id for spec in outputs.values() if spec.kind != "valve"}  # nobody puts a valve off
        for (name,), row in list(self.driven.by_key.items()):
            nobodys = name if LEFT in name else f"{name}{LEFT}{row.relay}"
            holder = holders.get(row.relay, nobodys)
            if not row.relay or holder == name:
                continue
            self.driven.drop(name)
            self.driven.put(row, holder)
            if name in outputs:
                self.driven.put(Driven(outputs[name].relay), name)

    def take_back(self) -> None:
        """Every run tells its outputs anew what they should be."""
        for output in self.told:
            self.told.drop(*output)

    def forget_strangers(self) -> None:
        """Outputs that are no more."""
        for output in self.told:
            if output[0] not in self._compound.outputs:
                self.told.drop(*output)
