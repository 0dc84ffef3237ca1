"""Presses of buttons that give us neither counter nor packet id: a frame that is *there* while somebody presses. Pure.

Theory (facts/ble 1.4 rule 4). The edge is the press; every further frame holds it; it ends, and the button is armed anew, by
silence. How long the silence is depends on the vendor: a beacon that shouts for ten seconds is over when it was silent for
longer; one that shouts until somebody switches it off is over when its idle frame comes back. That is a ``Habit``.

After a restart we know that a button was pressed when the last run ended, not what happened since. What cannot have lasted
over the time that nobody listened has ended; what may have lasted goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from gateway.events import PressKind
from gateway.instant import MINUTE, SECOND, Instant
from gateway.site.model import Button

HOLD_MS = 15 * SECOND  # facts/ble 1.4 rule 4: longest vendor duration found is 10 s
HOLD_TILL_IDLE_MS = 10 * MINUTE
"""Silence that ends even a press that only its idle frame should end: its bearer may have gone away, to be pressed elsewhere."""
ECHO_MS = 3 * SECOND
"""A slower radio's repeats of a press already ended; a transmission lasts about one second (facts/ble 7)."""

Key = tuple[str, PressKind]


class Habit(Struct, frozen=True):
    """How a press of one button ends."""

    hold_ms: int = HOLD_MS
    till_idle: bool = False
    """Its idle frame ends it at once; else an idle frame, which some beacons send all the while, means nothing."""

    @property
    def refresh_ms(self) -> int:
        """How often it is said anew that it goes on, for whoever must know it after a restart."""
        return self.hold_ms // 3


def habit_of(button: Button) -> Habit:
    """What the site file says, or what is known of the format: only flags are set until somebody clears them."""
    till_idle = button.until == "idle" or (button.format == "flag" and not button.until)
    return Habit(button.hold_ms or (HOLD_TILL_IDLE_MS if till_idle else HOLD_MS), till_idle)


class Held:
    """What of one button is pressed right now."""

    def __init__(self, habit: Habit) -> None:
        self._habit = habit
        self._last: dict[Key, Instant] = {}
        self._idle: set[str] = set()
        """Keys seen idle since their last active frame."""

    def take(self, pressed: Iterable[Key], at: Instant) -> tuple[Key, ...]:
        """Frames that say pressed; answers which of them are new presses."""
        edges = []
        for key in pressed:
            last, idle = self._last.get(key), key[0] in self._idle
            if last is not None and idle and at - last <= ECHO_MS:
                continue  # and the echo is not prolonged: who presses again now is heard in a moment
            if last is None or idle or at - last >= self._habit.hold_ms:
                edges.append(key)
            self._last[key] = at
            self._idle.discard(key[0])
        return tuple(edges)

    def see_idle(self, indexes: Iterable[str]) -> None:
        """The frame of a button nobody presses."""
        if self._habit.till_idle:
            self._idle.update(index for index in indexes if any(index == key[0] for key in self._last))

    def restore(self, key: Key, at: Instant) -> None:
        """This was pressed at ``at``, as the last run saw it."""
        self._last[key] = max(self._last.get(key, at), at)

    def resume(self, said_at: Instant | None, now: Instant) -> None:
        """It was last said to be pressed at ``said_at`` (None: nobody knows how long ago), and not since to be over.

        Unknown means a reboot without a clock, which takes longer than any button shouts for a while.
        """
        if said_at is None and not self._habit.till_idle:
            self._last.clear()
        for key, last in self._last.items():
            if self._habit.till_idle:
                self._last[key] = now  # nobody listened: the silence counts from now
            elif said_at is not None:
                self._last[key] = min(max(last, Instant(said_at + self._habit.refresh_ms)), now)

    def expire(self, at: Instant) -> None:
        """Forget what has ended by ``at``."""
        for key, due in list(self._dues().items()):
            if at >= due:
                del self._last[key]
                self._idle.discard(key[0])

    @property
    def pressed(self) -> bool:
        """Whether anything is."""
        return bool(self._last)

    def next_due(self) -> Instant | None:
        """When something ends if no further frame comes."""
        return min(self._dues().values(), default=None)

    def _dues(self) -> Mapping[Key, Instant]:
        wait = {key: ECHO_MS + 1 if key[0] in self._idle else self._habit.hold_ms for key in self._last}
        return {key: Instant(last + wait[key]) for key, last in self._last.items()}
