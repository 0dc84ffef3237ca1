"""Whatever the order of parts, refusals, stalls, deliveries, kills and restarts: nothing acknowledged is lost or reordered."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.faults import StoreFault
from gateway.store import memory
from gateway.store import store as store_module
from gateway.store import worker as worker_module
from gateway.store.database import Database
from gateway.store.rows import HistoryRow, JournalRow, Part, PendingMessage, StateRow
from gateway.store.store import Store

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(["critical", "low"]), st.booleans(), st.integers(0, 3)),
        st.sampled_from([("refuse",), ("heal",), ("hang",), ("resume",), ("turn",), ("wait",)]),
        st.tuples(st.just("deliver"), st.sampled_from(["critical", "low"]), st.integers(1, 4)),
        st.sampled_from([("kill",), ("restart",)]),
    ),
    max_size=30,
)


class Disk:
    """Refuses, or hangs, as told."""

    def __init__(self) -> None:
        self.refuses, self.answers = False, threading.Event()
        self.answers.set()


class Life:
    """One gateway over several runs, with what it promised and what it told."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.folder, self.disk = folder, disk
        self.n, self.run = 0, 0
        self.sequence = {"critical": 0, "low": 0}
        self.put: list[tuple[str, asyncio.Future[bool]]] = []
        self.acked: list[str] = []
        self.told: dict[str, bytes] = {}
        self.kept: set[str] = set()
        self.delivered: dict[str, list[int]] = {"critical": [], "low": []}

    async def begin(self) -> None:
        self.run += 1
        self.before = set(threading.enumerate())
        self.store = Store(self.folder)
        loaded = await self.store.start()
        assert loaded.notes == ()
        await self.store.add_uplink("n")
        self.sequence |= loaded.sequences

    def part(self, lane: str, urgent: bool, key: int) -> Part:
        self.n += 1
        self.sequence[lane] += 1
        name = f"r{self.run}.{self.n}"

        def render(durable: bool) -> bytes:
            return f"{name} durable={durable}".encode()

        return Part(
            (JournalRow(self.n, name, "k", b""),),
            (StateRow("s", str(key), name.encode()),),
            (HistoryRow(str(key), self.n, "k", self.n, None, "", name.encode()),),
            (PendingMessage(lane, self.sequence[lane], name, "t", str(key), render),),
            (self.n, b""),
            urgent,
        )

    async def step(self, step: tuple) -> None:
        match step:
            case ("put", lane, urgent, key):
                part = self.part(lane, urgent, key)
                self.put.append((part.journal[0].id, self.store.put(part)))
            case ("refuse",):
                self.disk.refuses = True
            case ("heal",):
                self.disk.refuses = False
            case ("hang",):
                self.disk.answers.clear()
            case ("resume",):
                self.disk.answers.set()
            case ("turn",):
                await asyncio.sleep(0)
            case ("wait",):
                await asyncio.sleep(0.03)
            case ("deliver", lane, n):
                await self.deliver(lane, n)
            case ("restart",):
                await self.end()
                await self.begin()
            case ("kill",):
                await self.kill()
                await self.begin()

    async def deliver(self, lane: str, n: int) -> None:
        messages = await self.store.take("n", lane, n)
        sequences = [message.sequence for message in messages]
        assert sequences == sorted(set(sequences))
        for message in messages:
            assert self.told.setdefault(message.id, message.body) == message.body
        if sequences:
            self.delivered[lane] += sequences
            await self.store.advance("n", lane, sequences[-1])

    def settle(self) -> None:
        for name, future in self.put:
            if future.done() and future.result():
                self.acked.append(name)

    async def end(self) -> None:
        self.disk.refuses = False
        self.disk.answers.set()
        assert await self.store.stop()
        self.kept |= {name for name, _ in self.put}  # a clean end keeps everything that was put
        self.settle()
        self.put.clear()

    async def kill(self) -> None:
        """The process ends without a word: what was promised by now counts, what was only in memory is gone."""
        self.settle()
        self.put.clear()
        self.disk.refuses = True
        self.disk.answers.set()
        await self.store.stop(within_s=0.1)
        assert await self.store._worker._rests(60)  # a commit that got its turn late is this life's, and is refused
        for thread in set(threading.enumerate()) - self.before:  # so is a word that is written down late
            thread.join(60)
        self.disk.refuses = False
        # What was told from memory only is forgotten with the process; the core would number anew.
        self.told = {name: body for name, body in self.told.items() if body.endswith(b"True")}

    def check(self) -> None:
        database = Database.open(self.folder)
        journal = [row.id for row in database.journal.rows()]
        numbers = [int(name.split(".")[1]) for name in journal]
        assert numbers == sorted(set(numbers))  # in order, none twice
        assert set(self.acked) <= set(journal)
        assert self.kept <= set(journal)
        latest: dict[str, bytes] = {}
        for key in map(str, range(4)):
            history = database.steps.all(key)
            assert [row.revision for row in history] == sorted(row.revision for row in history)
            if history:
                latest[key] = history[-1].body
        assert {row.key: row.body for row in database.load().state} == latest
        kept = {m.id: m.body for lane in self.sequence for m in database.uplinks.take("fresh", lane, 10_000)}
        assert set(kept) == set(journal)
        assert all(kept[name] == body for name, body in self.told.items() if name in kept)
        for lane in self.sequence:
            # Everything kept was delivered or still waits for this uplink.
            waiting = {message.sequence for message in database.uplinks.take("n", lane, 10_000)}
            every = {message.sequence for message in database.uplinks.take("fresh", lane, 10_000)}
            assert every <= waiting | set(self.delivered[lane])
        assert database.damage.conflicts == database.damage.rows == database.damage.renumbered == 0
        database.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_no_order_of_events_loses_or_reorders_what_was_promised(steps):
    disk, real = Disk(), Database.commit

    def commit(self, batch):
        disk.answers.wait(2)
        if disk.refuses:
            raise StoreFault("told to refuse")
        real(self, batch)

    async def live(folder: Path) -> None:
        life = Life(folder, disk)
        await life.begin()
        for step in steps:
            await life.step(step)
        await life.end()
        life.check()

    shm = Path("/dev/shm")  # noqa: S108 (a test's own folder)
    folder = Path(tempfile.mkdtemp(dir=shm if shm.is_dir() else None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "commit", commit)
        patch.setattr(memory, "RETRY_S", (0.005,))
        patch.setattr(store_module, "QUIET_S", 0.01)
        patch.setattr(store_module, "STALL_S", 0.02)
        patch.setattr(worker_module, "STALL_S", 0.02)
        try:
            asyncio.run(live(folder))
        finally:
            shutil.rmtree(folder)
