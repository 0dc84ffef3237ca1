"""What counts as a sign of life of whom: passes by pseudonym, presses by place, readings by name. Made once, from the site.

What a sign means is for the rules to say; here is only who gave it.
"""

from __future__ import annotations

from gateway.events import Entry
from gateway.instant import Anchor, Instant
from gateway.rules.compound import Compound

GRANTED = "access.granted"
RECEIVED = "received"
"""``time_quality`` of an entry whose terminal does not say when it was."""


class Presence:
    """Looks up whose sign of life an event is."""

    def __init__(self, compound: Compound) -> None:
        self._passes: dict[tuple[str, str], list[str]] = {}
        self._presses: dict[str, list[str]] = {}
        self.by_reading: dict[tuple[str, str], list[str]] = {}
        """(device, point) -> whose deed a change of it is."""
        for subject in compound.subjects.values():
            if subject.care is None:
                continue
            for terminal, pseudonym in subject.care.pseudonyms.items():
                self._passes.setdefault((terminal, pseudonym), []).append(subject.id)
            for button in subject.care.buttons:
                self._presses.setdefault(button, []).append(subject.id)
            for reading in subject.care.readings:
                self.by_reading.setdefault(reading, []).append(subject.id)

    def at_terminal(self, entry: Entry) -> list[str]:
        """Who stood at the terminal, as far as it knows them."""
        return self._passes.get((entry.terminal, entry.person), []) if entry.person else []

    def at_button(self, button: str) -> list[str]:
        """Whose button it is."""
        return self._presses.get(button, [])


def when(entry: Entry, at: Instant, anchor: Anchor | None) -> Instant:
    """When somebody passed: now if it is live; of a recovered pass what the terminal wrote down, if that can be dated."""
    if entry.live or entry.time_quality == RECEIVED or entry.terminal_time_ms is None or anchor is None:
        return at
    return max(Instant(0), min(at, Instant(entry.terminal_time_ms - anchor.offset_ms)))
