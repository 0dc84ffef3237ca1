"""The store as the rest of the house uses it: put what an event leaves behind, and learn when it is safe.

Parts are committed in the order they were put, as many as wait in one transaction: an urgent one starts it at once, quiet
ones ride along or wait a second, idle ones ride along with whatever comes.

Theory. Nothing is told before it is committed, and nothing waits for a sick disk. So there are two modes. On ``disk`` a
message can be taken once its commit returned. When a commit is refused, or has not returned in three seconds, the store goes
into ``memory`` mode: tickets answer False at once, messages are rendered again as not durable and can be taken from memory,
and everything held is tried again with growing pauses until the disk takes it; then the mode is ``disk`` again. A message
has one wording for the whole world: the one that was told is the one that ends on the disk, over a crash in between, too
(``told.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Literal

import structlog
from msgspec import structs

from gateway.faults import StoreFault
from gateway.store import company, jobs, memory, rounds
from gateway.store.company import Company
from gateway.store.database import Database
from gateway.store.departures import Departures
from gateway.store.memory import Memory
from gateway.store.past import Past
from gateway.store.rows import Batch, Damage, Loaded, Message, Part
from gateway.store.tidying import Tidying
from gateway.store.worker import STALL_S, Worker

log = structlog.get_logger()

Mode = Literal["disk", "memory"]
Entry = tuple[Part, "asyncio.Future[bool]"]
LayOver = Callable[[Batch, Callable[[], tuple[int, bytes] | None]], Batch]
"""Of a batch, and a question for the last stamp of the database: what may be laid over it. Runs in the disk's thread."""

QUIET_S = 1.0
"""The longest a quiet part waits for company (design: at a crash only a tail of at most a second may be missing)."""
MANY = 1_024
"""Quiet parts that are enough for a commit of their own."""
CURSOR_S = 10.0
"""The longest a cursor waits for a commit to ride on; a kill before repeats at most the deliveries of this time."""
STOP_S = 5.0
TURN_S = 5.0
"""The writer shows that it lives at least this often, even where nothing happens."""
_EARLY_S = 1e-6  # asyncio lets a timer fire that early (its clock's resolution); waiting once more would be for nothing
_STOP_RETRY_S = 0.2  # at the end there is no time for growing pauses
_IO = Path("/proc/self/io")


class Store:
    """Durable memory of the gateway: ``start`` first, ``stop`` last; ``tend`` tells of its life and of a bug in between."""

    def __init__(
        self,
        folder: Path,
        pool: Executor | None = None,
        *,
        open_s: float | None = None,
        lay_over: LayOver | None = None,
    ) -> None:
        """``pool`` runs the disk's work, one job at a time; None: a thread. (A virtual-time loop wants one that is inline.)

        ``lay_over`` says what of a batch may be laid over a database that was never loaded; None: all but state and stamp.
        """
        self._worker = Worker(folder, pool, open_s)
        self._lay_over = lay_over or _stateless
        self._memory = Memory()
        self._departures = Departures(self._worker, self._memory.messages, lambda: self._set_due(CURSOR_S))
        self._mode: Mode = "disk"
        self._callbacks: list[Callable[[Mode, str], None]] = []
        self._queue: list[Entry] = []
        self._company: Company | None = None
        """Idle parts that were put since the last of the queue."""
        self._puts = 0
        """Parts in both."""
        self._committing: list[Entry] = []
        self._landing: list[Entry] | None = None
        """What is answered as soon as its commit returns."""
        self.past = Past(self._worker, lambda: self._memory.rounds)
        """What was put, looked up again."""
        self._uplinks: set[str] = set()
        self._wake = asyncio.Event()
        self._told_of = {"rebuilt": 0, "set_aside": 0}
        """Repairs, and rows set aside, of which somebody was told."""
        self._due: float | None = None
        self.tidying = Tidying(self._worker)
        self._stopping = False
        self._beat: Callable[[], None] = lambda: None
        self._task: asyncio.Task[None] | None = None
        self._errands: dict[str, asyncio.Task[None]] = {}
        """What goes on beside the writing: the looking through, and the tidying."""

    # Life --------------------------------------------------------------------------------------------------------

    async def start(self) -> Loaded:
        """Open the store and begin to write. Never fails for what the disk holds or refuses, and never waits for one that
        hangs: see ``Loaded.notes``.
        """
        loaded, reason = await self._worker.open()
        self.tidying.begin(_now(), loaded.stamp)
        self._told_of = self._repairs()
        self._worker.after_job = self._look_for_repairs
        if reason:
            self._enter_memory(reason)
        else:
            self._departures.begin(loaded.sequences)
        for note in loaded.notes:
            log.warning("store_mended", note=note)
        self._task = asyncio.create_task(self._write_on(), name="store")
        self._task.add_done_callback(self._broken)
        self._run_errands()
        return loaded

    def _run_errands(self) -> None:
        """Each that is not under way: one that a fault of the disk has ended begins again, as the worker that tends us does."""
        errands: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "rounds": lambda: rounds.go(self._worker),
            "tidying": lambda: self.tidying.go(lambda: self._mode == "disk"),
        }
        for name, errand in errands.items():
            if name not in self._errands or self._errands[name].done():
                self._errands[name] = asyncio.create_task(errand(), name=f"store-{name}")

    async def stop(self, within_s: float = STOP_S) -> bool:
        """Write what is left, trying again until ``within_s`` seconds are over, and close.

        False: something is in memory only and now lost. A disk that hangs keeps neither this nor the process (its thread is
        a daemon).
        """
        until = _now() + within_s
        self._stopping = True
        self._worker.hurry()
        for errand in self._errands.values():
            errand.cancel()
        self._wake.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=within_s)
            self._task.cancel()
        clean = not self._left
        _answer((*self._committing, *self._take_queue()), durable=False)
        await self._worker.close(until - _now())
        log.info("store_stopped", clean=clean)
        return clean

    async def tend(self, beat: Callable[[], None]) -> None:
        """``ended``, with a ``beat`` at each turn of the writer: at least every five seconds, in memory mode too.

        A disk that hangs does not silence it: waiting for the disk is what the writer then is there for.
        """
        self._beat = beat
        if self._task is not None and not self._stopping:
            self._run_errands()
        beat()  # it was opened: nobody need wait for the first commit, or five seconds, to call the gateway ready
        await self.ended()

    async def ended(self) -> None:
        """Returns when the store was stopped; raises what broke it. For the supervisor of the life ring."""
        tasks = {task for task in (self._task, *self._errands.values()) if task is not None}
        if not tasks:
            return
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if self._stopping and self._task is not None:
            done, _ = await asyncio.wait({self._task})
        for task in done:
            if not task.cancelled():
                task.result()

    # Putting -----------------------------------------------------------------------------------------------------

    def put(self, part: Part) -> asyncio.Future[bool]:
        """Hand over what one event leaves behind. Answers True once it is on disk, False when it is only in memory.

        Idle parts in a row share one answer: it is not to be cancelled.
        """
        if self._mode == "memory" or (self._task is not None and self._task.done()):
            future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._hold([(part, future)])
            return future
        self._puts += 1
        self.tidying.note_time(part.stamp)
        if part.urgent or self._puts >= MANY:
            self._set_due(0)
        elif not part.idle:
            self._set_due(QUIET_S)
        return self._queued(part)

    def _queued(self, part: Part) -> asyncio.Future[bool]:
        if self._company is None or not company.fits(part):
            self._end_company()
            future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            if not company.fits(part):
                self._queue.append((part, future))
                return future
            self._company = Company(future)
        self._company.add(part)
        return self._company.landed

    def _end_company(self) -> None:
        if self._company is not None:
            self._queue.append((self._company.part(), self._company.landed))
            self._company = None

    def _take_queue(self) -> list[Entry]:
        """All that waits; nothing is left."""
        self._end_company()
        entries, self._queue, self._puts = self._queue, [], 0
        return entries

    # Outbox ------------------------------------------------------------------------------------------------------

    def follow(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call whenever there may be more to take; answers what ends that. ``call`` does no more than note it: the writer waits."""
        return self._departures.follow(call)

    async def add_uplink(self, uplink: str) -> None:
        """Make an uplink known: nothing is pruned before it has it. A new one is told what comes from now on, and of what was
        there before this run the last word on each open alert (``Uplinks.add``).

        Holds for a database that can only be opened later, too.
        """
        self._uplinks.add(uplink)
        self._departures.forget_places()
        await self._try("add_uplink", lambda database: database.uplinks.add(uplink))
        self._set_due(CURSOR_S)

    async def keep_uplinks(self, names: Collection[str]) -> None:
        """``add_uplink`` for each name, and ``forget_uplink`` for every other one the store knows (they left the site file)."""
        kept = tuple(names)
        self._uplinks = set(kept)
        self._departures.forget_places()
        await self._try("keep_uplinks", lambda database: database.uplinks.keep(kept))
        self._set_due(CURSOR_S)

    async def forget_uplink(self, uplink: str) -> None:
        """An uplink that left the site file holds back pruning no longer."""
        self._uplinks.discard(uplink)
        self._departures.forget_places()
        await self._try("forget_uplink", lambda database: database.uplinks.forget(uplink))

    async def take(self, uplink: str, lane: str, n: int) -> list[Message]:
        """The next ``n`` messages of a lane behind the uplink's cursor, in order, from disk and memory."""
        return await self._departures.take(uplink, lane, n)

    async def advance(self, uplink: str, lane: str, sequence: int) -> None:
        """The uplink has all of the lane up to ``sequence``; durable with the next commit, at latest in ten seconds.

        While some of the lane cannot be read it counts for ``sequence`` itself and what the last ``take`` held before it.
        """
        self._departures.advance(uplink, lane, sequence)

    async def set_aside(self, uplink: str, lane: str, sequence: int) -> None:
        """The uplink's cursor may pass this message, which its broker did not take: it is kept until ``settle``, whoever has it."""
        self._departures.set_aside(uplink, lane, sequence)

    async def settle(self, uplink: str, lane: str, sequence: int) -> None:
        """The uplink has had what was set aside."""
        self._departures.settle(uplink, lane, sequence)

    async def aside(self, uplink: str) -> list[tuple[str, int]]:
        """Lane and place of what was set aside for this uplink and still waits. Raises StoreFault."""
        return await self._departures.aside(uplink)

    async def find(self, lane: str, sequence: int) -> Message | None:
        """The message at a place of a lane, whoever has had it; None where it cannot be found. Raises StoreFault."""
        return await self._departures.find(lane, sequence)

    async def last_sequences(self) -> dict[str, int]:
        """Highest sequence each lane ever used, on disk or in memory. Raises StoreFault where the disk cannot be read."""
        last = await self._worker.ask(Database.last_sequences)
        for message in self._memory.told():
            last[message.lane] = max(message.sequence, last.get(message.lane, 0))
        return last

    # Persons -----------------------------------------------------------------------------------------------------

    async def forget(self, person: str) -> bool:
        """Destroy a person's key. What waits of him is written, and so sealed, before. Raises StoreFault, also in memory mode."""
        await self.put(Part(urgent=True))
        if self._mode == "memory":
            raise StoreFault("in memory mode")
        return await self._worker.ask(lambda database: database.disclosure.forget(person))

    # Health ------------------------------------------------------------------------------------------------------

    @property
    def mode(self) -> Mode:
        """``disk``, or ``memory`` while the disk refuses."""
        return self._mode

    def on_mode(self, callback: Callable[[Mode, str], None]) -> None:
        """Call back at each change with the new mode and the reason.

        ``set_aside``: something that was acknowledged could not be brought into the tables, or is no longer what was written.
        ``rebuilt``: the file was damaged
        and was replaced by what could be read of it, in whichever job that was met; put all state again. ``late``: what the
        disk holds was never loaded, and what was held is on it now; only a new start brings the two together.
        """
        self._callbacks.append(callback)

    @property
    def damage(self) -> Damage:
        """Bad rows and refused messages so far."""
        return self._worker.damage

    @property
    def dropped(self) -> dict[str, int]:
        """What memory mode could not hold, by kind."""
        return self._memory.dropped

    @property
    def written_bytes(self) -> int:
        """Bytes this *process* sent to the disk so far (proc(5), io: write_bytes); 0 where the kernel does not say."""
        try:
            fields = dict(line.split(": ") for line in _IO.read_text(encoding="ascii").splitlines())
        except OSError:
            return 0
        return int(fields.get("write_bytes", 0))

    # Writing -----------------------------------------------------------------------------------------------------

    async def _write_on(self) -> None:
        while True:
            await self._wait_due()
            self._due, last = None, self._stopping  # an attempt under way when the end was called is not the last one
            if self._mode == "memory":
                await self._retry()
            else:
                await self._flush()
            self._beat()
            if self._mode == "disk":
                self._tell_repairs()
            if last:
                if not self._left:
                    return
                await asyncio.sleep(_STOP_RETRY_S)

    async def _wait_due(self) -> None:
        while not self._stopping:
            pause = None if self._due is None else self._due - _now()
            if pause is not None and pause <= _EARLY_S:
                return
            self._wake.clear()
            try:  # not wait_for(): until Python 3.12 that is a task of its own, two turns of the loop more for each alert
                async with asyncio.timeout(TURN_S if pause is None else min(pause, TURN_S)):
                    await self._wake.wait()
            except TimeoutError:
                self._beat()

    @property
    def _left(self) -> bool:
        """Whether anything is not on the disk."""
        return bool(self._puts or self._committing or self._memory)

    async def _outwait(self, job: asyncio.Future[None]) -> None:
        """Wait for the disk as long as it takes. Raises StoreFault."""
        while not job.done():
            await asyncio.wait({job}, timeout=TURN_S)
            self._beat()
        job.result()

    def _set_due(self, pause: float) -> None:
        due = _now() + pause
        if self._due is None or due < self._due:
            self._due = due
            self._wake.set()

    async def _flush(self) -> None:
        """One commit of everything that waits; a refusal or a stall turns to memory mode."""
        entries = self._take_queue()
        self._committing = entries
        batch, cursors, damage = jobs.gather(part for part, _ in entries), self._departures.cursors, self._worker.damage

        def land() -> None:
            if self._landing is not entries:
                return  # it was told from memory meanwhile
            self._departures.landed(batch.messages, altered=self._worker.damage != damage)
            self._committing = []
            _answer(entries, durable=True)
            if batch.messages:
                self._departures.announce()

        self._landing = entries
        commit = self._worker.write(
            lambda database: jobs.commit(database, self._bearable(database, batch), cursors),
            land,
            first=bool(batch.messages),
        )
        await asyncio.wait({commit}, timeout=STALL_S)
        self._landing = None
        if not commit.done():
            await self._note_told(entries)
            self._memory.stall(part for part, _ in entries)
            self._tell_held(entries)
            self._committing = []
            self._enter_memory("stalled")
            await self._finish_stalled(commit)
            return
        try:
            commit.result()
        except StoreFault as fault:
            if self._worker.in_doubt:
                await self._note_told(entries)
            elif _has_messages(entries):
                await self._worker.note_unkept()
            self._hold(entries)
            self._committing = []
            self._enter_memory(str(fault))
            return
        self._worker.keep_log(alert_waits=any(part.urgent for part, _ in self._queue))

    async def _note_told(self, entries: list[Entry]) -> None:
        """Their messages are told from memory, and may be found on the disk in the words made for the commit."""
        told = [message.message(durable=False) for part, _ in entries for message in part.messages]
        if told:
            await self._worker.note_told(told)

    async def _finish_stalled(self, commit: asyncio.Future[None]) -> None:
        """The disk answers at last, whatever it answers."""
        try:
            await self._outwait(commit)
            self._memory.end_stall(landed=True)
        except StoreFault:
            self._memory.end_stall(landed=False)
        self._set_due(0)

    async def _retry(self) -> None:
        """Write all that is held; what comes meanwhile is held for the next round."""
        batch, cursors, damage = self._memory.take_off(), self._departures.cursors, self._worker.damage
        try:
            job = self._worker.write(
                lambda database: jobs.commit_held(database, self._bearable(database, batch), self._uplinks, cursors)
            )
            await self._outwait(job)
        except StoreFault as fault:
            pause = self._memory.turn_back()
            log.warning("store_refused", fault=str(fault), retry_s=pause)
            self._set_due(pause)
            return
        self._departures.landed(self._memory.land(), altered=self._worker.damage != damage)
        if self._memory.waits:
            self._set_due(0)
            return
        self._memory.rest()
        self._worker.forget_told()
        self._mode = "disk"
        self._departures.announce()  # what nobody could read may be taken now
        if self._worker.late:
            self._report("late")
        elif not self._tell_repairs():
            self._report("written")

    def _bearable(self, database: Database, batch: Batch) -> Batch:
        return self._lay_over(batch, database.last_stamp) if self._worker.late else batch

    def _enter_memory(self, reason: str) -> None:
        self._mode = "memory"
        entries = self._take_queue()
        self._hold(entries)
        self._set_due(memory.RETRY_S[0])
        self._report(reason)

    def _hold(self, entries: list[Entry]) -> None:
        if _has_messages(entries):
            self._worker.mark_unkept()
        self._memory.hold(part for part, _ in entries)
        self._tell_held(entries)

    def _tell_held(self, entries: list[Entry]) -> None:
        _answer(entries, durable=False)
        if _has_messages(entries):
            self._departures.announce()

    def _report(self, reason: str) -> None:
        log.warning("store_mode", mode=self._mode, reason=reason)
        for callback in self._callbacks:
            callback(self._mode, reason)

    def _repairs(self) -> dict[str, int]:
        damage = self._worker.damage
        return {"rebuilt": self._worker.rebuilt, "set_aside": damage.unfolded + damage.rows + damage.unread}

    def _look_for_repairs(self) -> None:
        """Behind each job, whatever it was for: the writer is to mend damage at once, while all state is known, and to tell of it,
        now, or when memory mode ends.
        """
        if self._mode == "disk" and (self._worker.hurt or self._repairs() != self._told_of):
            self._set_due(0)

    def _tell_repairs(self) -> bool:
        """Tell of what had to be mended since the last time; False where there was nothing."""
        told, self._told_of = self._told_of, self._repairs()
        grown = [reason for reason, n in self._told_of.items() if n > told[reason]]
        for reason in grown:
            self._report(reason)
        return bool(grown)

    async def _try(self, what: str, job: Callable[[Database], object]) -> None:
        """A job that may as well fail: it only costs repeats, or waits for another time."""
        if self._worker.stalled or not self._worker.counted:
            self._worker.later(job)  # before whatever is asked from now on; that is waited for long enough
            return
        try:
            await self._worker.ask(job)
        except StoreFault as fault:
            log.warning("store_job_failed", job=what, fault=str(fault))

    def _broken(self, task: asyncio.Task[None]) -> None:
        """A bug in the writer: whoever waits for a commit must not wait for ever."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end_company()
            for _, future in (
                *self._committing,
                *self._queue,
            ):  # which stays: it is not on the disk, and the end must say so
                if not future.done():
                    future.set_exception(error)


def _stateless(batch: Batch, _last_stamp: object) -> Batch:
    return structs.replace(batch, state=(), stamp=None)


def _has_messages(entries: Iterable[Entry]) -> bool:
    return any(part.messages for part, _ in entries)


def _answer(entries: Iterable[Entry], *, durable: bool) -> None:
    for _, future in entries:
        if not future.done():
            future.set_result(durable)


def _now() -> float:
    return asyncio.get_running_loop().time()
