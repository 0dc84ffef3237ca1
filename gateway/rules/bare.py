"""The core with nothing but the built-in life-safety rules: for when the whole of it keeps breaking.

What is open stays open: a rule that is not asked any more still has its alerts, and they climb, are answered and closed as
before. Only its condition is neither true nor false from now on. So it is with a rule of the site's that stood in the place
of a shipped one, where it was about other subjects.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from gateway.actions import OutputState
from gateway.rules.compound import Compound, OutputSpec, Rule
from gateway.rules.outputs import moves, strongest
from gateway.rules.question import Case, Finding

_replace = msgspec.structs.replace
LOUD = (
    *("part-failing", "device-lost", "line-lost", "button-missing"),
    *("output-not-confirmed", "disk-failing", "uplink-lost"),
)
"""Rules that are no life safety, but say that we, or a detector, or what we move, are no longer to be relied on."""


class Unasked(Struct, frozen=True):
    """A condition that nobody looks into."""

    def find(self, _case: Case) -> Finding:
        """Unknown."""
        return Finding(None)


def bare(compound: Compound, builtin: Mapping[str, Rule]) -> Compound:
    """The compound with the built-in life-safety rules as shipped, whatever the site made of them; all others unasked."""
    silent = {name: _replace(rule, when=Unasked()) for name, rule in compound.rules.items()}
    heard = {name: rule for name, rule in builtin.items() if rule.life_safety or name in LOUD}
    return _replace(
        compound,
        fingerprint=f"{compound.fingerprint}, life safety alone",
        rules=silent | {name: _keeping(rule, silent.get(name)) for name, rule in heard.items()},
        outputs={name: _answering(output, heard) for name, output in compound.outputs.items()},
    )


def _keeping(shipped: Rule, replaced: Rule | None) -> Rule:
    """The shipped rule that lets the alerts of the site's own of its name stand, which may be about other subjects (a stair)."""
    if replaced is None:
        return shipped
    others = tuple(name for name in replaced.subjects if name not in shipped.subjects)
    return _replace(shipped, kept=others, drives=_driving(shipped, replaced, others))


def _driving(shipped: Rule, replaced: Rule, others: tuple[str, ...]) -> dict[str, OutputState | dict[str, OutputState]]:
    """What the shipped rule drives for some subjects only, it drives for a place of which they are, too."""
    drives = dict(shipped.drives)
    for kind, some in shipped.drives.items():
        if isinstance(some, dict):
            asked = {about: strongest(some, replaced.watched(about)) for about in others}
            drives[kind] = some | {about: state for about, state in asked.items() if state is not None}
    return drives


def _answering(output: OutputSpec, heard: Mapping[str, Rule]) -> OutputSpec:
    """One tied to rules of which none that is asked now drives it would move for nothing: it answers to all that are."""
    able = [name for name, rule in heard.items() if moves(rule, output.kind)]
    tied = output.rules and not set(able) & set(output.rules)
    return _replace(output, rules=(*output.rules, *able)) if tied else output
