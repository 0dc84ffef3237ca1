"""What things are called: the site's own names beside the catalogue's."""

from __future__ import annotations

from gateway.rules.compound import Compound
from gateway.words import say


def rule_name(compound: Compound, rule: str) -> tuple[str, str]:
    """A rule's name in zh-CN and en: the site's where it gives one, else the catalogue's."""
    known = compound.rules.get(rule)
    if known is not None and known.text_zh:
        return known.text_zh, known.text_en
    return say(f"rule.{rule}", "zh-CN"), say(f"rule.{rule}", "en")
