"""Time that costs nothing: an event loop whose clock jumps, and the machine clocks that hang on it.

Theory. An asyncio program does one of three things: it runs, it waits for the outside (sockets, threads), or it waits for
time. Only the last may be skipped. ``VirtualLoop`` therefore lets real work be real: it looks at the file descriptors
first, waits for executor work that is under way, and only when nothing else can happen it moves its own clock to the
next timer. A month of sleeping takes milliseconds, in the same order as on a real loop.

What runs outside without the loop knowing (a thread of one's own, a broker that needs a moment to answer) gets
``patience_s`` of real time before each jump, or the code that waits for it says ``with loop.standing_still():``.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, TypeVar, TypeVarTuple, Unpack

from gateway.instant import ClockQuality, Stamp

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_PATIENCE_WITH_SOCKETS_S = 0.005  # a loopback peer answers in well under a millisecond; the machine is noisy
_STALLED_S = 30.0  # real seconds after which waiting for the outside is called hopeless
_DIGITS = 6  # floats that crept up to a deadline without reaching it would have it waited for again and again
_RESOLUTION_S = 1e-6  # timers closer than this fire in one turn; far above the float step of a century in seconds


class Stalled(RuntimeError):
    """No timer is set, and nothing came from outside for a long real while: the test would hang."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """A real event loop on virtual time; ``time()`` starts at 0."""

    def __init__(
        self,
        *,
        patience_s: float | None = None,
        selector: Callable[[VirtualLoop], selectors.BaseSelector] | None = None,
    ) -> None:
        """``patience_s``: real seconds before each jump; None: a little where sockets are open, else none.

        ``selector`` moves the clock; None: one that jumps.
        """
        self._now = 0.0
        self._outside = 0
        super().__init__((selector or _JumpingSelector)(self))
        self.patience_s = patience_s
        self._clock_resolution = _RESOLUTION_S

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        """Move the clock; for the selector."""
        then = round(self._now + seconds, _DIGITS)
        stuck = (
            seconds > 0 and then <= self._now
        )  # less than a digit: whoever waits for that rest would wait in a circle
        self._now = round(self._now + _RESOLUTION_S, _DIGITS) if stuck else then

    @property
    def work_outside(self) -> bool:
        """Whether something is under way that takes real time."""
        return self._outside > 0

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Virtual time waits for real work inside this block."""
        self._outside += 1
        try:
            yield
        finally:
            self._outside -= 1

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._outside += 1
        future.add_done_callback(self._back_inside)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        with self.standing_still():  # from 3.12 on this sets a timer of 300 s, which must not win against the join
            await super().shutdown_default_executor()

    def _back_inside(self, _: asyncio.Future[Any]) -> None:
        self._outside -= 1


class _JumpingSelector(selectors.DefaultSelector):
    """Asks the real selector; turns the wait for a timer into a jump."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        if timeout is None or self._loop.work_outside:
            return self._wait_outside()
        found = super().select(self._patience())
        if not found:
            self._loop.jump(timeout)
        return found

    def _wait_outside(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Only the outside can go on: wait for real, but not for ever."""
        until = time.monotonic() + _STALLED_S
        while time.monotonic() < until:
            if found := super().select(until - time.monotonic()):
                return found
        raise Stalled(f"nothing happened outside for {_STALLED_S:g} s and no timer may fire")

    def _patience(self) -> float:
        if self._loop.patience_s is not None:
            return self._loop.patience_s
        return _PATIENCE_WITH_SOCKETS_S if len(self.get_map()) > 1 else 0  # one is the loop's own wake-up pipe


def virtual_run(main: Coroutine[Any, Any, T], *, patience_s: float | None = None) -> T:
    """``asyncio.run`` on virtual time."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(patience_s=patience_s)) as runner:
        return runner.run(main)


class VirtualClock:
    """A machine's clocks (``gateway.clock.Clock``) on a loop's time: a boot, and a wall that may be wrong.

    True time goes with the loop. The wall shows true time plus an error, which only ``synchronise`` takes away, and the
    machine does not know the error: it knows only whether it is synchronised.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        wall_ms: int = 1_767_225_600_000,  # 2026-01-01T00:00:00Z
        synced: bool = True,
        boot_id: str = "boot-1",
        uptime_ms: int = 20_000,
    ) -> None:
        """``wall_ms`` is true time now; ``uptime_ms`` what the machine took to start so far."""
        self._loop = loop
        self._boots = 1
        self._start_ms = self._loop_ms() - uptime_ms
        self._true_shift = wall_ms - self._loop_ms()
        self._error_ms = 0
        self.synced, self.boot_id = synced, boot_id

    def boottime_ms(self) -> int:
        return self._loop_ms() - self._start_ms

    def stamp(self) -> Stamp:
        quality = ClockQuality.SYNCED if self.synced else ClockQuality.UNSYNCED
        return Stamp(self.boot_id, self.boottime_ms(), self.wall_ms(), quality)

    def true_ms(self) -> int:
        """What time it really is, in milliseconds since 1970 UTC."""
        return self._loop_ms() + self._true_shift

    def wall_ms(self) -> int:
        """What the machine believes."""
        return self.true_ms() + self._error_ms

    def step_wall(self, milliseconds: int) -> None:
        """Somebody (an NTP jump, a person, a flat battery) moves the wall clock."""
        self._error_ms += milliseconds

    def set_wall(self, wall_ms: int) -> None:
        """Set the wall clock to show this now."""
        self._error_ms = wall_ms - self.true_ms()

    def synchronise(self) -> None:
        """The wall is right from now on, and known to be."""
        self._error_ms, self.synced = 0, True

    def reboot(self, wall_step: int = 0, downtime: int = 0, *, synced: bool = False) -> None:
        """The machine comes up again after ``downtime`` ms in which the loop stood still, ``wall_step`` ms further wrong.

        A machine without a battery clock comes up at the wall it went down with: ``reboot(-downtime, downtime)``.
        """
        self._true_shift += downtime
        self._error_ms += wall_step
        self._start_ms = self._loop_ms()
        self._boots += 1
        self.boot_id = f"boot-{self._boots}"
        self.synced = synced

    def _loop_ms(self) -> int:
        return round(self._loop.time() * 1000)
