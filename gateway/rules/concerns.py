"""Which watches a fact or a pulse concerns: made once, from the rules and the site. Nothing here decides, or ever changes."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.rules.away import AWAY
from gateway.rules.compound import GAP, HEALTH, Compound, Rule
from gateway.rules.conditions import EVENTS, Is, Stale, Threshold
from gateway.rules.deadlines import Name
from gateway.rules.facts import FactBoard, FactKey
from gateway.rules.history import Absent, Historic, Moved, sources

Watches = dict[Name, Rule]
"""Each by the name of its look; a dict keeps their order and has each once."""


def look_of(rule: str, about: str) -> Name:
    """Of one watch: the name of the deadline by which it looks again."""
    return "look", rule, about


class Concerns:
    """Looks up who reads a fact, and whom a pulse is for."""

    def __init__(self, compound: Compound, board: FactBoard, historic: Mapping[str, tuple[Historic, ...]]) -> None:
        self._compound, self._board, self._historic = compound, board, historic
        self.by_fact: dict[FactKey, Watches] = {}
        """(subject, fact) -> the watches that read it."""
        self.by_pulse: dict[str, Watches] = {}
        for rule in compound.rules.values():
            for about in rule.subjects:
                self._index(rule, about)

    def sources(self) -> set[str]:
        """Through what those are heard of of whom a rule says that nothing was heard."""
        return {
            source
            for rule in self._compound.rules.values()
            if any(isinstance(node, Absent) for node in self._historic[rule.id])
            for about in rule.subjects
            for subject in rule.watched(about)
            if (known := self._board.subject(subject)) is not None
            for source in known.sources
        }

    def _index(self, rule: Rule, about: str) -> None:
        name = look_of(rule.id, about)  # one for all that it reads
        for subject in rule.watched(about):
            for leaf in sources(rule.when):
                if isinstance(leaf, EVENTS):
                    self.by_pulse.setdefault(subject, {})[name] = rule
                elif isinstance(leaf, Threshold | Is | Moved):
                    of_bus = isinstance(leaf, Is) and leaf.of_bus
                    self._watch_fact(self._board.via(subject) if of_bus else subject, leaf.fact, rule, name)
                elif isinstance(leaf, Stale):
                    for fact in (leaf.fact,) if leaf.fact else self._board.supervised(subject):
                        self._watch_fact(subject, fact, rule, name)
                elif isinstance(leaf, Absent):
                    self._watch_sources(subject, rule, name)

    def _watch_sources(self, subject: str, rule: Rule, name: Name) -> None:
        """An absence is judged anew when one of its ears fails or comes back, or somebody goes away or comes back."""
        self._watch_fact(subject, AWAY, rule, name)
        known = self._board.subject(subject)
        for source in known.sources if known else ():
            self._watch_fact(source, HEALTH, rule, name)
            self._watch_fact(source, GAP, rule, name)

    def _watch_fact(self, owner: str, fact: str, rule: Rule, name: Name) -> None:
        if rule.momentary and not rule.slots:
            return  # what it reads is asked when its event comes
        self.by_fact.setdefault((owner, fact), {})[name] = rule
