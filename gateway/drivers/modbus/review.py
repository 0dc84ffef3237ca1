"""A look back at one bus, once a minute: whether it keeps up, and whether its devices are as quick as was reckoned."""

from __future__ import annotations

from typing import Any

import structlog

from gateway.drivers.modbus.line import Tally
from gateway.drivers.modbus.overload import OverloadWatch
from gateway.drivers.modbus.schedule import Schedule, Turns
from gateway.drivers.modbus.timing import timing_of
from gateway.site.model import Bus

log = structlog.get_logger()

OVERLOADED = "overloaded"
"""Point of the bus itself: whether it leaves out too many turns to be relied on as the site wants it."""
_ENOUGH = 100  # answers, before anything is said of how long they take
_FAR_ABOVE, _NOISE_MS = 2.0, 5.0  # times what was reckoned, and more above it than a busy gateway adds by itself


class Review:
    """Of one bus."""

    def __init__(self, bus: Bus, schedule: Schedule, tally: Tally) -> None:
        self.overload = OverloadWatch()
        self._bus, self._schedule, self._tally = bus.id, schedule, tally
        self._reckoned_ms = round(1000 * timing_of(bus).reply_s, 1)
        self._told_slow = False

    def begin(self, at: float) -> None:
        """The line is there."""
        self.overload.begin(at, self._schedule.turns)

    def look_back(self, at: float) -> bool | None:
        """Once a minute: whether the bus is overloaded, where that is another answer than before."""
        self._tally.line.skipped = self._schedule.skipped
        if not self.overload.is_over(at):
            return None
        self.overload.look(at, self._schedule.turns)
        last = self.overload.last
        if last.skipped:
            log.warning("cycles_skipped", bus=self._bus, turns=last.skipped, parts=_percents(last))
        self._tell_slow()
        return self.overload.news()

    def _tell_slow(self) -> None:
        """Once: its devices take much longer than was reckoned, so what ``loudong check`` promised is not to be had."""
        latencies = self._tally.together()
        usual_ms = latencies.at_ms(0.5)
        if usual_ms is None or len(latencies) < _ENOUGH or self._told_slow:
            return
        if usual_ms > max(_FAR_ABOVE * self._reckoned_ms, self._reckoned_ms + _NOISE_MS):
            self._told_slow = True
            log.warning("answers_slower", bus=self._bus, p50_ms=usual_ms, reckoned_ms=self._reckoned_ms)

    def standing(self) -> dict[str, Any]:
        """How the bus as a whole fares: turns of its last whole minute, whether too many were left out, how long its devices take."""
        last, latencies = self.overload.last, self._tally.together()
        return {
            "bus": self._bus,
            "overloaded": bool(self.overload.overloaded),
            "taken": last.taken,
            "skipped": last.skipped,
            "skipped_pct": round(100 * last.share, 1),
            "skipped_pct_of": _percents(last),
            "p50_ms": latencies.at_ms(0.5),
            "p99_ms": latencies.at_ms(0.99),
            "reckoned_ms": self._reckoned_ms,
        }


def _percents(turns: Turns) -> dict[str, float]:
    """Of each class, how much was left out."""
    return {name: round(100 * share, 1) for name, share in turns.shares.items()}
