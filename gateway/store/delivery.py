"""Which message an uplink gets next, from the disk and from memory together.

Pure bookkeeping, no I/O.

Theory. A lane is read in the order of its sequence, whether a message lies on the disk or is held in memory; where both have
it, memory holds the words that were told. While the disk cannot be read, the messages in memory are told nevertheless, past
those that nobody can reach. The uplink's cursor must then stay where it is, or the unreachable ones would count as delivered:
what was told past it is remembered by number, and left out once the disk is back. Numbers, not prefixes: of a line that was
blind "everything up to here" says nothing about those nobody could read. It sees again when none of those is left below
what was told.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.store.rows import Message

Line = tuple[str, str]
"""An uplink and a lane."""
Held = dict[int, Message]
"""Messages in memory, by sequence."""


class Delivery:
    """How far each uplink has come, as far as the disk does not know."""

    def __init__(self) -> None:
        self._passed: dict[Line, set[int]] = {}
        self._blind: dict[Line, int] = {}
        """The highest number told while the disk could not be read; lines that see are not in it."""
        self._told: dict[Line, set[int]] = {}
        """What the last answer held."""

    def passed(self, line: Line) -> int:
        """How many messages were told past the cursor: read that many more, they will be left out."""
        return len(self._passed.get(line, ()))

    def plain(self, line: Line) -> bool:
        """Whether the disk's cursor alone says what comes next on this line."""
        return line not in self._blind and not self._passed.get(line)

    def merge(
        self, line: Line, n: int, disk: Iterable[Message], cursor: int, *, before: Held, now: Held
    ) -> tuple[list[Message], int]:
        """The next ``n``, and the cursor moved over what was told past it.

        ``before``: what memory held before the disk was read. What came to memory since must wait for the next turn, or
        it would overtake what went from memory to the disk meanwhile; but its words (``now``) are the ones told.
        """
        both = {message.sequence: message for message in disk}
        both |= {sequence: message for sequence, message in before.items() if sequence > cursor}
        passed = self._passed.get(line, set())
        waiting = sorted(both)
        for sequence in waiting:
            if sequence not in passed:
                break
            cursor = sequence
        passed.difference_update([sequence for sequence in passed if sequence <= cursor])
        chosen = [sequence for sequence in waiting if sequence > cursor and sequence not in passed][:n]
        if line in self._blind and (not chosen or chosen[0] > self._blind[line]):
            del self._blind[line]  # from here on deliveries move the cursor on the disk again
        self._told[line] = set(chosen)
        return [now.get(sequence, both[sequence]) for sequence in chosen], cursor

    def blind(self, line: Line, n: int, now: Held) -> list[Message]:
        """The next ``n`` while the disk cannot be read."""
        passed = self._passed.get(line, set())
        chosen = [sequence for sequence in sorted(now) if sequence not in passed][:n]
        self._blind[line] = max(self._blind.get(line, 0), *chosen[-1:], *passed, 0)
        self._told[line] = set(chosen)
        return [now[sequence] for sequence in chosen]

    def advance(self, line: Line, sequence: int, now: Held) -> bool:
        """Note a delivery; True if the cursor on the disk may follow.

        On a line that sees: of everything up to ``sequence``. On a blind one: of ``sequence`` itself, and of what the last
        answer held before it.
        """
        blind = line in self._blind
        told = {one for one in (self._told.get(line, ()) if blind else now) if one <= sequence}
        if blind:
            told.add(sequence)
            self._blind[line] = max(self._blind[line], sequence)
        if told:
            self._passed.setdefault(line, set()).update(told)
        return not blind
