"""Keeps the workers alive: who is restarted, who ends the process, and when systemd's watchdog is fed.

The only file that may catch every exception. It knows workers by name and nothing of what they do.

Theory. There are two rings. In the *life* ring (buses, radio, rules, store, outputs) a fault of the world restarts the worker,
but a bug ends the process: a core that is wrong must not go on deciding, and systemd starts it anew in two seconds. In the
*service* ring (panel, terminals, uplinks) whatever goes wrong restarts that worker alone, because no alarm hangs on it.

A *beat* is a completed turn of a worker, faults included: a bus that is gone beats, a loop that hangs does not. The watchdog
is withheld only for a vital worker without a beat within its limit; a deaf gateway says so in its status, a restart would
not give it ears.
"""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Callable, Coroutine, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import structlog

from gateway.faults import DeviceFault, LoudongError, StoreFault, UplinkFault
from gateway.notify import STOPPING, WATCHDOG, notify, watchdog_interval_s

log = structlog.get_logger()

BACKOFF_BASE_S = 0.5
BACKOFF_CAP_S = {"life": 5.0, "service": 15.0}
"""A bus that is plugged in again is heard within seconds; an office with a thousand gateways is not stormed."""
SETTLED_S = 60.0
"""A worker that ran this long is well again: its backoff starts from the beginning."""
STOP_S = 3.0
"""All workers together: SIGTERM ends the gateway within 5 s, and the store writes what is left after them."""
_HOUSE = str(Path(__file__).parent)
_CHECK_S = 5.0  # how often stuck workers are looked for where no watchdog sets the pace

OnFault = Callable[[str, str, str], None]
"""``(worker, reason, detail)``; the reason is a word-catalogue key."""


class Ring(StrEnum):
    """How far a worker's failure reaches."""

    LIFE = "life"
    SERVICE = "service"


def backoff_s(attempt: int, cap_s: float, chance: float) -> float:
    """Pause before restart ``attempt`` (from 0): exponential, capped, with full jitter.

    ``chance`` in [0, 1) spreads the restarts. Full jitter: M. Brooker, "Exponential Backoff And Jitter", AWS, 2015.
    """
    return chance * min(cap_s, BACKOFF_BASE_S * 2.0 ** min(attempt, 16))


class _Worker:
    """One worker and how it fares. Times are those of the event loop, in seconds."""

    def __init__(self, name: str, ring: Ring, factory: Callable[[], Coroutine[Any, Any, None]], limit_s: float) -> None:
        self.name, self.ring, self.factory, self.limit_s = name, ring, factory, limit_s
        self.attempt = 0
        self.started = 0.0
        self.last_beat: float | None = None
        """None while it waits for its restart: that is no hanging."""
        self.failing = False
        self.stuck = False
        self.turned = False
        """Whether it ever completed a turn."""
        self.task: asyncio.Task[None] | None = None
        self.ending = False
        """We told it to end. (``Task.cancelling`` does not say so: a ``TaskGroup`` whose task failed leaves it raised.)"""

    def end(self) -> asyncio.Task[None] | None:
        """Tell it to end; its task, if it ever had one."""
        self.ending = True
        if self.task is not None:
            self.task.cancel()
        return self.task


class Supervisor:
    """Runs the workers added to it until ``stop()`` or until a bug in the life ring; some may come and go meanwhile."""

    def __init__(
        self,
        on_fault: OnFault,
        on_recovered: Callable[[str], None] = lambda _worker: None,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """``on_fault`` hears of every failure; ``on_recovered`` of the first beat after one, or of ``SETTLED_S`` without another."""
        self._on_fault, self._on_recovered, self._chance = on_fault, on_recovered, chance
        self._workers: dict[str, _Worker] = {}
        self._stopping = asyncio.Event()
        self._running = False
        self._on_ready: Callable[[], None] | None = None
        self._ended: asyncio.Queue[asyncio.Task[None]] = asyncio.Queue()
        """Workers that ended without being asked to: at most a bug of the life ring does."""

    def add(
        self,
        name: str,
        ring: Ring,
        factory: Callable[[], Coroutine[Any, Any, None]],
        *,
        vital_within_s: float | None = None,
        before: str | None = None,
        failing: bool = False,
    ) -> None:
        """Adds a worker; under ``run()`` it starts at once. ``factory`` makes its coroutine anew at every start.

        ``vital_within_s``: the watchdog starves if the worker completes no turn for this long; None: it is not vital.
        Workers stop in reverse order, so add first whatever the others still need while they end (the store); one that comes
        later takes its place ``before`` another. ``failing``: it was, when last heard of, so that being well is news.
        """
        if name in self._workers:
            raise ValueError(f"two workers named {name}")
        limit_s = float("inf") if vital_within_s is None else vital_within_s
        later = list(self._workers)[list(self._workers).index(before) :] if before in self._workers else []
        behind = {one: self._workers.pop(one) for one in later}
        self._workers[name] = worker = _Worker(name, ring, factory, limit_s)
        worker.failing = failing
        self._workers |= behind
        if self._running:
            self._start(worker)

    def has(self, name: str) -> bool:
        """Whether there is a worker of this name."""
        return name in self._workers

    async def remove(self, *names: str) -> None:
        """Ends these workers, all at once, within ``STOP_S``, and forgets them. A bug of theirs ends ``run()`` all the same."""
        going = [self._workers.pop(name) for name in names if name in self._workers]
        tasks = {worker.name: worker.task for worker in going if worker.task is not None}
        for worker in going:
            if worker.task is not None:
                worker.task.remove_done_callback(self._ended.put_nowait)
            worker.end()
        if tasks:
            await asyncio.wait(tasks.values(), timeout=STOP_S)
        for name, task in tasks.items():
            if not task.done():
                log.error("worker_abandoned", worker=name)
            elif not task.cancelled() and task.exception() is not None:
                self._ended.put_nowait(task)

    def beat(self, name: str) -> None:
        """``name`` completed a turn."""
        worker = self._workers.get(name)
        if worker is None:
            return  # a last turn of one that was just removed
        worker.last_beat = asyncio.get_running_loop().time()
        worker.turned = True
        self._note_recovered(worker)
        self._look_ready()

    def stuck(self, now: float) -> tuple[str, ...]:
        """Vital workers that completed no turn within their limit; ``now`` is the event loop's time."""
        return tuple(
            worker.name
            for worker in self._workers.values()
            if worker.last_beat is not None and now - worker.last_beat > worker.limit_s
        )

    def stop(self) -> None:
        """Asks ``run()`` to end; may be called from a signal handler of the loop."""
        self._stopping.set()

    @property
    def stop_asked(self) -> bool:
        """Whether ``stop()`` was called."""
        return self._stopping.is_set()

    async def run(
        self, on_ready: Callable[[], None] | None = None, on_end: Callable[[BaseException | None], None] | None = None
    ) -> None:
        """Runs all workers; returns after ``stop()``, raises the bug that a worker of the life ring had.

        ``on_ready`` is called once, when every vital worker has completed its first turn; ``on_end`` before the workers are
        ended, with the bug that ends them, if it is one. It tells systemd; by default, that we stop.
        """
        self._running, self._on_ready = True, on_ready
        for worker in self._workers.values():
            self._start(worker)
        watch = asyncio.create_task(self._watch())
        stopping = asyncio.create_task(self._stopping.wait())
        bug = asyncio.create_task(self._ended.get())
        try:
            done, _ = await asyncio.wait([bug, watch, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._running = False
            ended = bug.result() if bug.done() and not bug.cancelled() else None
            (on_end or _say_stopping)(None if ended is None or ended.cancelled() else ended.exception())
            for task in (bug, watch, stopping):
                task.cancel()
            await _end(list(self._workers.values()))
        if watch in done:
            watch.result()
        if bug in done:
            bug.result().result()

    def _start(self, worker: _Worker) -> None:
        worker.task = asyncio.create_task(self._keep(worker), name=worker.name)
        worker.task.add_done_callback(self._ended.put_nowait)

    def _look_ready(self) -> None:
        vital = (worker for worker in self._workers.values() if worker.limit_s < float("inf"))
        if self._on_ready is not None and all(worker.turned for worker in vital):
            ready, self._on_ready = self._on_ready, None
            ready()

    async def _keep(self, worker: _Worker) -> None:
        """Starts one worker again and again. Ends only by a bug in the life ring, or cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            worker.started = worker.last_beat = loop.time()
            try:
                await worker.factory()
                reason, detail = "ended", ""
            except asyncio.CancelledError:
                if worker.ending:
                    raise
                reason, detail = "cancelled", ""  # by something inside it
            except Exception as error:
                reason, detail = _describe(error)
                if worker.ending:
                    raise
                if worker.ring is Ring.LIFE and not _is_of_the_world(error):
                    log.critical("worker_bug", worker=worker.name, error=detail)
                    error.add_note(f"in worker {worker.name} of the life ring")
                    raise
            if worker.ending:
                return
            _take_back_cancelling()
            if loop.time() - worker.started >= SETTLED_S:
                worker.attempt = 0
            await self._pause(worker, reason, detail)

    async def _pause(self, worker: _Worker, reason: str, detail: str) -> None:
        worker.failing, worker.last_beat = True, None
        pause_s = backoff_s(worker.attempt, BACKOFF_CAP_S[worker.ring], self._chance())
        worker.attempt += 1
        log.warning("worker_failed", worker=worker.name, reason=reason, detail=detail, restart_in_s=round(pause_s, 2))
        self._on_fault(worker.name, reason, detail)
        await asyncio.sleep(pause_s)

    async def _watch(self) -> None:
        """Feeds systemd's watchdog while no vital worker is stuck, and reports each that becomes so."""
        feed_s = watchdog_interval_s()
        while True:
            await asyncio.sleep(0)  # let every worker have its first turn
            self._look_ready()
            stuck = self.stuck(asyncio.get_running_loop().time())
            if not stuck and feed_s is not None:
                notify(WATCHDOG)
            for worker in self._workers.values():
                self._note_stuck(worker, is_stuck=worker.name in stuck)
                if _has_settled(worker, asyncio.get_running_loop().time()):
                    self._note_recovered(worker)
            await asyncio.sleep(_CHECK_S if feed_s is None else min(feed_s, _CHECK_S))

    def _note_stuck(self, worker: _Worker, *, is_stuck: bool) -> None:
        if is_stuck and not worker.stuck:
            worker.failing = True
            log.error("worker_stuck", worker=worker.name, limit_s=worker.limit_s)
            self._on_fault(worker.name, "stuck", "")
        worker.stuck = is_stuck

    def _note_recovered(self, worker: _Worker) -> None:
        if worker.failing:
            worker.failing = False
            log.info("worker_recovered", worker=worker.name)
            self._on_recovered(worker.name)


def _say_stopping(_cause: BaseException | None) -> None:
    notify(STOPPING)


def _has_settled(worker: _Worker, now: float) -> bool:
    """Whether a worker that owes no beats (a listener waits, perhaps for days) has run long enough to be called well."""
    return worker.limit_s == float("inf") and worker.last_beat is not None and now - worker.started >= SETTLED_S


async def _end(workers: Sequence[_Worker]) -> None:
    """Cancels the workers, last first, each before the next; all within ``STOP_S``."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STOP_S
    for left, worker in zip(range(len(workers), 0, -1), reversed(workers), strict=True):
        task = worker.end()
        assert task is not None  # noqa: S101 (only those that were started come here)
        _, pending = await asyncio.wait([task], timeout=max(0.0, deadline - loop.time()) / left)
        if pending:
            log.error("worker_abandoned", worker=worker.name)
        elif not task.cancelled() and (error := task.exception()) is not None:
            log.error("worker_stopped_badly", worker=worker.name, error=_describe(error)[1])


def _take_back_cancelling() -> None:
    """A ``TaskGroup`` cancels the task it runs in; before Python 3.13 it forgets to take that back where the group waited."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


def _is_of_the_world(error: BaseException) -> bool:
    """Whether retrying may help: the machine, the network or a device refused. Anything else is a bug."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_of_the_world(one) for one in error.exceptions)
    return isinstance(error, OSError | DeviceFault | UplinkFault | StoreFault)  # TimeoutError is an OSError


def _describe(error: BaseException) -> tuple[str, str]:
    """Reason key and detail. The text of a foreign exception is left out: it may quote what a person sent us."""
    if isinstance(error, BaseExceptionGroup):
        return _describe(error.exceptions[0])
    match error:
        case DeviceFault():
            return error.reason, error.detail
        case UplinkFault():
            return "uplink_fault", str(error)
        case StoreFault():
            return "store_fault", str(error)
        case TimeoutError():
            return "timeout", _where(error)
        case OSError():
            return "os_error", f"{error.strerror or type(error).__name__} {_where(error)}"
        case LoudongError():
            return "crashed", f"{type(error).__name__}: {error}"
        case _:
            return "crashed", f"{type(error).__name__} {_where(error)}"


def _where(error: BaseException) -> str:
    """The line that raised it, and the last line of ours on the way there."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(_HOUSE) and frame.filename != __file__]
    lines = dict.fromkeys(f"{Path(frame.filename).name}:{frame.lineno}" for frame in [*ours[-1:], *frames[-1:]])
    return "at " + ", ".join(lines) if lines else ""
