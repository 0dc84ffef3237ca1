"""The core with nothing but the built-in life-safety rules: for when the whole of it keeps breaking.

What is open stays open: a rule that is not asked any more still has its alerts, and they climb, are answered and closed as
before. Only its condition is neither true nor false from now on.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from gateway.rules.compound import Compound, Rule
from gateway.rules.question import Case, Finding

LOUD = ("part-failing", "device-lost")
"""Rules that are no life safety, but say that we, or a detector, are no longer to be relied on."""


class Unasked(Struct, frozen=True):
    """A condition that nobody looks into."""

    def find(self, _case: Case) -> Finding:
        """Unknown."""
        return Finding(None)


def bare(compound: Compound, builtin: Mapping[str, Rule]) -> Compound:
    """The compound with the built-in life-safety rules as shipped, whatever the site made of them; all others unasked."""
    silent = {name: msgspec.structs.replace(rule, when=Unasked()) for name, rule in compound.rules.items()}
    heard = {name: rule for name, rule in builtin.items() if rule.life_safety or name in LOUD}
    return msgspec.structs.replace(
        compound, fingerprint=f"{compound.fingerprint}, life safety alone", rules={**silent, **heard}
    )
