"""Rules of one condition, as an installer writes them, and devices for them to be asked of."""

from __future__ import annotations

from gateway.rules.compound import FactSpec

TAIL = "  priority: medium\n  grade: small\n"
HEALTH = {"health": FactSpec(), "reason": FactSpec()}


def rule(when: str, kind: str = "gas-detector", **more: str) -> str:
    """A rule called ``r`` of subjects of this kind (or kinds); ``more``: further keys."""
    extra = "".join(f"  {key}: {value}\n" for key, value in more.items())
    return f"- rule: r\n  subjects: {{ kind: {kind} }}\n  when: {when}\n{extra}{TAIL}"
