"""The one thread that may touch the disk, and what the event loop does while the disk does not answer.

Jobs run in the order they were given. A job that has been running for ``STALL_S`` makes the worker *stalled*: whoever may
do without the disk is told at once instead of queueing behind it; the job itself goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeVar

import structlog
from msgspec import structs

from gateway.faults import StoreFault
from gateway.store.database import Database
from gateway.store.rows import Damage, Loaded, Message
from gateway.store.thread import DiskThread
from gateway.store.told import Told
from gateway.store.unkept import Unkept

log = structlog.get_logger()

STALL_S = 3.0
"""A job that takes longer is a sick disk: memory cards rest for a second at times, and an alarm has 10 s in all to its ACK
(GB 26875.1-2011; facts, reliability 1)."""
FIRST_S = 0.002
"""The longest the loop stands still for a commit that somebody is to be told of. Both threads share one interpreter, and one that
comes back from SQLite or from the deflating waits each time until the other lets it go: half a millisecond in all, of the 0.4 ms
until its sync begins (docs/performance.md). What acts without the disk was told before.
"""
OPEN_S = 5.0
"""The longest a start waits for the disk: half of an alarm's 10 s. The opening goes on behind."""
COUNT_S = 1.0
"""The longest it waits for its run to be counted, once it knows what was there: that is two or three syncs, and memory cards rest for
a second at times. Longer, and nobody hears a button for the sake of a name.
"""
FOLD_S = 0.25
"""A fold that has gone on for so long leaves the rest of the commit log to the next one: an alert may find it in its way. All of it is
folded at once as a rule, for each fold writes the same dozen pages again: in steps of 64 kB a quiet day wrote 237 MB instead of 36.
"""
TOLD_S = 0.5
"""The longest that telling from memory waits for its words to be written down; that takes a millisecond where the system is not
held up by the disk.
"""
_UNKNOWN = 100_000
"""Of so many numbers one is drawn for a run that does not know what was told before: what it tells has other ids."""
_T = TypeVar("_T")


class Worker:
    """Owner of the ``Database``."""

    def __init__(self, folder: Path, pool: Executor | None = None, open_s: float | None = None) -> None:
        """``pool`` must run one job at a time, in order; the default is a thread."""
        self._folder, self._open_s = folder, OPEN_S if open_s is None else open_s
        self._pool = pool or DiskThread("store")
        self._database: Database | None = None
        self._missed = False
        self._read: Loaded | None = None
        """What the database held, before this run was counted."""
        self._counting: asyncio.Future[Loaded] | None = None
        self._marked = False
        """There were marks of what was told from memory when the database was opened."""
        self._closed = False
        self._running: dict[asyncio.Future[Any], float] = {}
        self._keeping: asyncio.Future[object] | None = None
        self._folded = self._hurried = False
        """The last job for the log was a fold; the gateway is to stop."""
        self.after_job: Callable[[], None] = lambda: None
        """Called behind each job, whoever gave it: any of them may have had to mend the database."""
        self._told, self._unkept = Told(folder), Unkept(folder)
        self._beside: tuple[DiskThread, DiskThread] | None = None
        """Write down what is told from memory, and sync that, while the disk's own thread is stuck."""
        self._syncing = threading.Event()
        """The job given last is at its sync, or over."""
        self._marking: asyncio.Future[None] | None = None
        """The mark that something is told which the disk does not hold."""

    async def open(self) -> tuple[Loaded, str]:
        """Open the database and count this run. The reason is empty, or says why the disk cannot be written.

        A disk that does not answer in ``open_s`` is left to its work, and what it holds is missed, unless only the mending is. One
        that only takes its time to count this run goes on with that, and the run has a name of its own.
        """
        reading = self._submit(self._read_all)
        counting = self._counting = self._submit(self._count)
        if not await _is_done(reading, self._open_s):
            for job in (reading, counting):
                job.add_done_callback(_look_away)
            if self._read is not None:
                return _uncounted(self._read, "stalled"), "stalled"
            self._missed = True
            return _unread("stalled"), "stalled"
        loaded, reason = reading.result()
        if reason or not await _is_done(counting, COUNT_S):
            counting.add_done_callback(_look_away)
            return (loaded if reason else structs.replace(loaded, run=_drawn())), reason
        try:
            return counting.result(), ""
        except StoreFault as fault:
            return _uncounted(loaded, str(fault)), str(fault)

    def _forget_last(self) -> None:
        """What the last life told from memory is on the disk, whichever job brought it there. Where this life has told something so
        meanwhile, that waits for the end of memory mode; one that is over leaves it to the next start.
        """
        has_told = self._beside is not None or self._closed
        if self._marked and not has_told and self._database is not None and self._database.is_settled:
            self.forget_told()

    def write(
        self, job: Callable[[Database], _T], then: Callable[[], None] | None = None, *, first: bool = False
    ) -> asyncio.Future[_T]:
        """Run a job, opening the database first where that failed before. Its future may raise StoreFault.

        ``then`` is called before whoever awaits the future, which on a busy loop is a while; what it raises, the future raises.
        ``first``: the loop leaves the interpreter to the job, should it begin now, until its sync does, ``FIRST_S`` at most.
        """
        self._syncing.clear()
        future = self._submit(lambda: job(self._mended()), then)
        if first and len(self._running) == 1:
            self._syncing.wait(FIRST_S)
        return future

    async def ask(self, job: Callable[[Database], _T]) -> _T:
        """Run a job if the disk answers in time. Raises StoreFault where it refuses or stalls; the job may run later."""
        if self.stalled:
            raise StoreFault("stalled")
        future = self._submit(lambda: job(self._present()))
        done, _ = await asyncio.wait({future}, timeout=STALL_S)
        if not done:
            future.add_done_callback(_look_away)
            raise StoreFault("stalled")
        return future.result()

    def later(self, job: Callable[[Database], object]) -> None:
        """Run a job some time, behind those given before; a refusal is logged."""
        self._submit(lambda: job(self._present())).add_done_callback(_look_away)

    def keep_log(self, *, alert_waits: bool = False) -> None:
        """What the commit log needs, behind whatever waits now and a job at a time: an alert that comes meanwhile waits for the one
        under way, and one that waits already for none, unless the log would grow beyond measure. Nobody's answer hangs on it;
        that a fold was refused is told to the next commit.
        """
        database = self._database
        if database is None or self._hurried or not (self._keeping is None or self._keeping.done()):
            return
        if alert_waits and not database.fold_overdue:
            return
        # A fold before any chore, for a log that was folded is not short. Behind each of many a chore: a chore that the disk
        # refuses must not keep back folds, nor they what bounds SQLite's log.
        due = database.fold_due
        chore = None if due and not self._folded else database.chore()
        self._folded = chore is None
        fold = functools.partial(self._fold, database, asyncio.get_running_loop().time)
        job = chore or (fold if due else None)
        if job is not None:
            self._keeping = self._submit(job)
            self._keeping.add_done_callback(self._kept_log)

    def _kept_log(self, job: asyncio.Future[object]) -> None:
        _look_away(job)
        if not self._running and not job.cancelled() and job.exception() is None:
            self.keep_log()

    async def fold(self) -> None:
        """All that the commit log holds, a job at a time, between which others have their turn. Raises StoreFault."""
        now = asyncio.get_running_loop().time
        while await self.ask(lambda database: self._fold(database, now)) and not self._hurried:
            self.later(Database.bring_in)

    def _fold(self, database: Database, now: Callable[[], float]) -> bool:
        """In the disk's thread, where none of the time is spent waiting for a turn. Whether there is more."""
        until = now() + FOLD_S
        return database.fold(lambda: self._hurried or now() >= until)

    async def note_told(self, messages: Sequence[Message]) -> None:
        """These are about to be told from memory, while other words of them may yet be found on the disk. Never fails."""
        await asyncio.wait({self._write_beside(lambda: self._told.write(messages), self._sync_told)}, timeout=TOLD_S)

    def _sync_told(self) -> None:
        self._told.sync()
        if self._unkept.losses:  # they are told behind that leap, and perhaps no table knows of it yet
            self._unkept.sync()

    async def note_unkept(self) -> None:
        """Something is about to be told from memory, and no words of it will be found on the disk. Never fails."""
        await asyncio.wait({self.mark_unkept()}, timeout=TOLD_S)

    def mark_unkept(self) -> asyncio.Future[None]:
        """The same for whoever cannot wait. Once is enough until ``forget_told``."""
        self._marking = self._marking or self._write_beside(self._unkept.set, self._unkept.sync)
        return self._marking

    def _write_beside(self, write: Callable[[], None], sync: Callable[[], None]) -> asyncio.Future[None]:
        """Write while the disk's own thread may be stuck, and sync behind that."""
        loop = asyncio.get_running_loop()
        pen, syncing = self._pens()
        writing = loop.run_in_executor(pen, write)
        writing.add_done_callback(lambda _: self._beside and loop.run_in_executor(syncing, sync))
        return writing

    def _pens(self) -> tuple[DiskThread, DiskThread]:
        """Made when there is something to write: as a rule there never is."""
        self._beside = self._beside or (DiskThread("told"), DiskThread("told-sync"))
        return self._beside

    def forget_told(self) -> None:
        """All that was told from memory is on the disk in the words it was told in. In the thread that writes of more: behind this."""
        self._marking = None
        if self._marked or self._beside is not None:
            self._marked, (pen, _) = False, self._pens()
            for clear in (self._told.clear, self._unkept.clear, self._unkept.prepare):
                asyncio.get_running_loop().run_in_executor(pen, clear)

    @property
    def in_doubt(self) -> bool:
        """Whether a commit that was refused may be found on the disk by a later start."""
        return self._database is not None and self._database.in_doubt

    @property
    def stalled(self) -> bool:
        """Whether a job has been running for longer than a sound disk takes."""
        oldest = next(iter(self._running.values()), None)
        return oldest is not None and asyncio.get_running_loop().time() - oldest >= STALL_S

    @property
    def counted(self) -> bool:
        """Whether the first transaction of this run is over, whatever came of it."""
        return self._counting is None or self._counting.done()

    @property
    def damage(self) -> Damage:
        """What was found bad so far."""
        return structs.replace(self._database.damage) if self._database is not None else Damage()

    @property
    def rebuilt(self) -> int:
        """How often a damaged database was replaced: the rows on the disk became others than those that were loaded."""
        return self._database.rebuilt if self._database is not None else 0

    @property
    def hurt(self) -> bool:
        """Whether damage was met that the next commit is to mend."""
        return self._database is not None and self._database.hurt

    @property
    def late(self) -> bool:
        """A database is open, and the start had to go on without what it holds."""
        return self._missed and self._database is not None and not self._database.was_empty

    def hurry(self) -> None:
        """The gateway is to stop: a fold under way gives way to the commit behind it, and none is begun."""
        self._hurried = True

    async def close(self, within_s: float) -> None:
        """Close the database. What is not done in time is left to its thread, which goes on with it, commits that wait their turn
        included, for as long as the process lives. A commit that was answered is on the disk, if not yet in the tables.
        """
        self.hurry()
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        if await self._rests(within_s) and self._database is not None:
            self._submit(self._database.close).add_done_callback(_look_away)
        rests = await self._rests(until - loop.time())
        self._closed, beside, self._beside = True, self._beside, None
        for thread in beside or ():
            thread.shutdown(wait=False)
        self._pool.shutdown(wait=rests)

    async def _rests(self, within_s: float) -> bool:
        """Wait until no job is left; False where one still is."""
        jobs = [job for job in self._running if not job.done()]
        return not jobs or not (await asyncio.wait(jobs, timeout=max(0.0, within_s)))[1]

    def _submit(self, job: Callable[[], _T], then: Callable[[], None] | None = None) -> asyncio.Future[_T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()
        self._running[future] = loop.time()

        def work() -> None:
            result, error = _tried(job)
            self._syncing.set()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._done, future, result, error, then)

        loop.run_in_executor(self._pool, work)  # its own future is told a turn later
        return future

    def _done(
        self, future: asyncio.Future[_T], result: Any, error: BaseException | None, then: Callable[[], None] | None
    ) -> None:
        _settle(future, result, error, then)
        self._running.pop(future, None)
        # The next job in the row begins now.
        now = asyncio.get_running_loop().time()
        self._running = dict.fromkeys(self._running, now)
        self._forget_last()
        self.after_job()

    def _read_all(self) -> tuple[Loaded, str]:
        try:
            self._read = self._load(self._opened())
        except StoreFault as fault:
            self._missed = True
            return _unread(str(fault)), str(fault)
        return self._read, ""

    def _count(self) -> Loaded:
        database, loaded = self._database, self._read
        if database is None or loaded is None:
            return Loaded()
        run = database.next_run()
        self._unkept.prepare()
        return structs.replace(loaded, run=run, runs=loaded.runs + 1, notes=database.notes)

    def _load(self, database: Database) -> Loaded:
        """What was found damaged is mended only when all that can be read as it lies was read: who waits for the start may have to
        go on with that, for a copy of a long file takes a slow card longer than he waits.
        """
        try:
            loaded = self._read = database.load()
        except StoreFault:
            if not database.hurt:
                raise
            database.mend()
            return database.load()
        if database.hurt:
            with contextlib.suppress(StoreFault):  # the disk does not let us mend it, and this is what it holds
                database.mend()
                return database.load()
        return loaded

    def _opened(self) -> Database:
        if self._database is None:
            database = Database.open(self._folder, mending=False)
            self._database, self._marked = database, database.is_marked
            self._database.before_sync(self._syncing.set)
        return self._database

    def _mended(self) -> Database:
        """For somebody who writes."""
        is_new, database = self._database is None, self._opened()
        if is_new and database.hurt:
            with contextlib.suppress(StoreFault):  # then the write is refused, too
                database.mend()
        return database

    def _present(self) -> Database:
        if self._database is None:
            raise StoreFault("not open")
        return self._database


def _unread(reason: str) -> Loaded:
    return _uncounted(Loaded(losses=1 + secrets.randbelow(_UNKNOWN)), reason)


def _uncounted(loaded: Loaded, reason: str) -> Loaded:
    """A run that nobody could count gets a name that nobody else will draw."""
    notes = (*loaded.notes, f"store_unwritable: {reason}")
    return structs.replace(loaded, run=_drawn(), notes=notes, writable=False)


def _drawn() -> str:
    return f"m{secrets.token_hex(8)}"


async def _is_done(job: asyncio.Future[Any], within_s: float) -> bool:
    done, _ = await asyncio.wait({job}, timeout=within_s)
    return bool(done)


def _tried(job: Callable[[], _T]) -> tuple[_T | None, BaseException | None]:
    try:
        return job(), None
    except BaseException as error:  # noqa: BLE001 (not swallowed: it rises in whoever waits for the answer)
        return None, error


def _settle(
    future: asyncio.Future[_T], result: Any, error: BaseException | None, then: Callable[[], None] | None
) -> None:
    """Give the future what came of its job."""
    if future.cancelled():
        return
    if error is None and then is not None:
        _, error = _tried(then)
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _look_away(future: asyncio.Future[Any]) -> None:
    """Nobody waits for this job; a refusal shows again at the next one. A bug goes to the loop's exception handler."""
    error = None if future.cancelled() else future.exception()
    if isinstance(error, StoreFault):
        log.warning("store_job_failed", fault=str(error))
    elif error is not None:
        raise error
