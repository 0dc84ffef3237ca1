"""Refusals written down once a minute of a kind, and the rest of them when that minute is over. Keeps timers, decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable

from gateway.restraint import REMIND_S, Reminders

Tell = Callable[[int], None]


class RefusalBook:
    """Which of many refusals are written down. What ``tell`` gets is how many of the kind there were."""

    def __init__(self) -> None:
        self._reminders = Reminders()
        self._waiting: dict[Hashable, tuple[asyncio.TimerHandle, Tell]] = {}

    def note(self, kind: Hashable, now_s: float, tell: Tell) -> None:
        """One more. A flood that ends within its minute leaves its number behind all the same."""
        times = self._reminders.due(kind, now_s)
        if times:
            self._forget(kind)
            tell(times)
        elif kind not in self._waiting:
            left_s = self._reminders.left_s(kind, now_s)
            timer = asyncio.get_running_loop().call_later(left_s, self._tell_rest, kind, now_s + left_s)
            self._waiting[kind] = timer, tell

    def end(self) -> None:
        """Tell now what waits."""
        for kind in list(self._waiting):
            self._tell_rest(kind, self._reminders.kept[kind][0] + REMIND_S)

    def _tell_rest(self, kind: Hashable, now_s: float) -> None:
        _, tell = self._waiting[kind]
        self._forget(kind)
        if rest := self._reminders.rest(kind, now_s):
            tell(rest)

    def _forget(self, kind: Hashable) -> None:
        if kind in self._waiting:
            self._waiting.pop(kind)[0].cancel()
