"""The core with the built-in life-safety rules alone, and the way back to the whole of it."""

from __future__ import annotations

from gateway.instant import HOUR, MINUTE
from gateway.rules.bare import bare

RULES = """
- rule: welfare
  subjects: { kind: person }
  when: { absent: { seen: any }, for: 24h }
  priority: high
  grade: small
- rule: counted
  subjects: { kind: terminal }
  when: { count: { entry: access.denied }, at_least: 3, within: 1h }
  priority: low
  grade: small
"""


def test_whoever_was_not_asked_for_a_while_is_asked_again_afterwards(make):
    core = make(RULES)
    whole = core.compound
    core.entry("access.granted", "a", HOUR, person="p1", live=True)
    core.restart(after=MINUTE, compound=bare(whole, {}))
    core.entry("access.denied", "b", 2 * HOUR)
    core.restart(after=MINUTE, compound=whole)
    core.wait(25 * HOUR - 1)
    assert core.said() == [], "nobody looked after anybody meanwhile, so nobody is said to be absent"


def test_what_was_remembered_before_is_still_known_afterwards(make):
    core = make(RULES)
    whole = core.compound
    core.entry("access.denied", "a", HOUR)
    core.entry("access.denied", "b", HOUR + 1)
    core.restart(after=MINUTE, compound=bare(whole, {}))
    core.restart(after=MINUTE, compound=whole)
    core.entry("access.denied", "c")
    assert core.said("counted")[0] == "raised"
