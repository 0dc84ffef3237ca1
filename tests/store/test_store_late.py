"""A disk that comes late, hangs or refuses for a moment: at the start, at the stop, and in between."""

from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
import threading
import time

import pytest
from instruments.waiting import until
from msgspec import structs

from gateway.faults import StoreFault
from gateway.store import memory
from gateway.store import store as store_module
from gateway.store import worker as worker_module
from gateway.store.database import Database
from gateway.store.rows import JournalRow, Part, PendingMessage, StateRow
from gateway.store.store import Store
from gateway.store.thread import DiskThread
from gateway.store.tidying import Tidying


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A busy machine is no disk that hangs; where one hangs for good, the test says how soon that is noticed."""
    monkeypatch.setattr(memory, "RETRY_S", (0.02, 0.05))
    monkeypatch.setattr(store_module, "STALL_S", 60.0)
    monkeypatch.setattr(worker_module, "STALL_S", 60.0)
    monkeypatch.setattr(worker_module, "OPEN_S", 60.0)


def _part(n: int, tag: str = "") -> Part:
    message = PendingMessage("critical", n, f"a{tag}{n}/1", "alerts", f"a{tag}{n}", lambda durable: b"%d" % n)
    rows = (JournalRow(n, f"r{tag}.{n}", "press", b""),)
    return Part(rows, (StateRow("alert", f"a{tag}{n}", b"x"),), messages=(message,), urgent=True)


async def _deliver(folder, n: int) -> None:
    """Alerts 1..n, all delivered to the city and pruned."""
    store = Store(folder)
    await store.start()
    await store.keep_uplinks({"city"})
    await asyncio.gather(*(store.put(_part(number)) for number in range(1, n + 1)))
    await store.advance("city", "critical", n)
    await store._worker.ask(Database.prune)
    assert await store.stop()


@pytest.mark.parametrize("failing", ["open", "load"])
def test_new_alerts_of_a_start_without_its_database_can_be_taken_when_it_opens(tmp_path, monkeypatch, failing):
    refuses, reasons = [True], []
    real_open, real_load = Database.open.__func__, Database.load

    def opening(cls, folder, **how):
        if refuses[0] and failing == "open":
            raise StoreFault("SQLITE_CANTOPEN")
        return real_open(cls, folder, **how)

    def loading(self):
        if refuses[0] and failing == "load":
            raise StoreFault("SQLITE_IOERR")
        return real_load(self)

    async def life():
        await _deliver(tmp_path, 20)
        monkeypatch.setattr(Database, "open", classmethod(opening))
        monkeypatch.setattr(Database, "load", loading)
        if failing == "load":
            monkeypatch.setattr(Database, "commit", _refusing(refuses))
        store = Store(tmp_path)
        store.on_mode(lambda mode, reason: reasons.append((mode, reason)))
        loaded = await store.start()
        assert loaded.sequences == {}
        assert loaded.run.startswith("m")
        await store.keep_uplinks({"city"})
        assert not await store.put(_part(1, "new"))
        refuses[0] = False
        await until(lambda: store.mode == "disk")
        assert reasons[-1] == ("disk", "late")
        for n in (2, 3):
            assert await store.put(_part(n, "new"))
        taken = await store.take("city", "critical", 50)
        assert {message.id for message in taken} == {"anew1/1", "anew2/1", "anew3/1"}
        assert [message.sequence for message in taken] == [21, 22, 23]
        assert store.damage.renumbered == 3
        assert await store.stop()

    asyncio.run(life())


def _refusing(refuses):
    real = Database.commit

    def commit(self, batch):
        if refuses[0]:
            raise StoreFault("told to refuse")
        real(self, batch)

    return commit


def test_a_disk_that_hangs_at_the_start_is_memory_mode_and_late(tmp_path, monkeypatch):
    free, reasons, real = threading.Event(), [], Database.load

    def load(self):
        assert free.wait(60)
        return real(self)

    async def life():
        await _deliver(tmp_path, 5)
        monkeypatch.setattr(Database, "load", load)
        store = Store(tmp_path, open_s=0.2)
        store.on_mode(lambda mode, reason: reasons.append((mode, reason)))
        loaded = await asyncio.wait_for(store.start(), 60)
        assert not loaded.writable
        assert loaded.notes == ("store_unwritable: stalled",)
        with monkeypatch.context() as short:
            short.setattr(store_module, "STALL_S", 0.15)
            short.setattr(worker_module, "STALL_S", 0.15)
            await store.keep_uplinks({"city"})
            assert not await asyncio.wait_for(store.put(_part(1, "new")), 60)
            assert [message.id for message in await store.take("city", "critical", 9)] == ["anew1/1"]
            assert reasons == [("memory", "stalled")]
        free.set()
        await until(lambda: store.mode == "disk")
        assert reasons[-1] == ("disk", "late")
        assert [message.id for message in await store.take("city", "critical", 9)] == ["anew1/1"]
        assert await store.stop()

    asyncio.run(life())


@pytest.mark.parametrize("failing", ["open", "load"])
def test_a_first_start_misses_nothing_however_late_its_disk_comes(tmp_path, monkeypatch, failing):
    """Was: the gateway began anew for the sake of an empty file, and was deaf for as long as that took on such a disk."""
    free, reasons, refuses, real_open, real_load = threading.Event(), [], [True], Database.open.__func__, Database.load

    def opening(cls, folder, **how):
        if refuses[0] and failing == "open":
            raise StoreFault("SQLITE_CANTOPEN")
        return real_open(cls, folder, **how)

    def loading(self):
        assert failing == "open" or free.wait(60)
        return real_load(self)

    async def life():
        monkeypatch.setattr(Database, "open", classmethod(opening))
        monkeypatch.setattr(Database, "load", loading)
        store = Store(tmp_path, open_s=0.2)
        store.on_mode(lambda mode, reason: reasons.append((mode, reason)))
        assert not (await store.start()).writable
        first = store.put(_part(1))
        refuses[0] = False
        free.set()
        await until(lambda: store.mode == "disk")
        assert not await first
        assert reasons[-1] == ("disk", "written")
        assert await store.put(_part(2))
        assert await store.stop()
        again = await Store(tmp_path).start()
        assert {row.key for row in again.state} == {"a1", "a2"}
        assert again.sequences == {"critical": 2}

    asyncio.run(life())


@pytest.mark.parametrize("left", ["log", "database"])
def test_a_start_that_finds_half_of_what_was_there_misses_the_rest(tmp_path, left):
    """Only what nobody ever wrote in is empty."""
    asyncio.run(_deliver(tmp_path, 5))
    for path in tmp_path.iterdir():
        if path.is_file() and ("loudong.log" in path.name) != (left == "log"):
            path.unlink()
    database = Database.open(tmp_path)
    assert not database.was_empty
    database.close()


def test_a_refusal_at_the_stop_is_tried_again(tmp_path, monkeypatch):
    refuses, real = [3], Database.commit

    def commit(self, batch):
        if refuses[0]:
            refuses[0] -= 1
            raise StoreFault("SQLITE_BUSY")
        real(self, batch)

    monkeypatch.setattr(Database, "commit", commit)

    async def life():
        store = Store(tmp_path)
        await store.start()
        store.put(Part((JournalRow(1, "r.1", "reading", b""),)))
        assert await store.stop()

    asyncio.run(life())
    database = Database.open(tmp_path)
    assert [row.id for row in database.journal.rows()] == ["r.1"]
    database.close()


@pytest.mark.parametrize("stall_s", [0.15, 30.0])
def test_a_stop_in_the_middle_of_a_hanging_commit_says_what_is_lost(tmp_path, monkeypatch, stall_s):
    monkeypatch.setattr(store_module, "STALL_S", stall_s)
    free, real = threading.Event(), Database.commit

    def commit(self, batch):
        free.wait(60)
        real(self, batch)

    monkeypatch.setattr(Database, "commit", commit)

    async def life():
        store = Store(tmp_path)
        await store.start()
        answer = store.put(_part(1))
        await asyncio.sleep(0.05)
        begun = time.monotonic()
        assert not await store.stop(within_s=0.5)
        assert time.monotonic() - begun < 30
        assert not await asyncio.wait_for(answer, 60)

    asyncio.run(life())
    free.set()


def test_a_thread_stuck_on_the_disk_does_not_keep_the_process():
    story = (
        "import asyncio, threading; from gateway.store.thread import DiskThread\n"
        "begun = threading.Event()\n"
        "async def life():\n"
        "    DiskThread('disk').submit(lambda: (begun.set(), threading.Event().wait()))\n"
        "    begun.wait()\n"
        "asyncio.run(life())\n"
    )
    subprocess.run([sys.executable, "-c", story], timeout=60, check=True)


def test_the_disks_thread_works_in_order_and_ends():
    async def life():
        thread, seen, gate = DiskThread("disk"), [], threading.Event()
        first = thread.submit(gate.wait, 60)
        jobs = [thread.submit(seen.append, n) for n in range(5)]
        bad = thread.submit(lambda: 1 // 0)
        gate.set()
        with pytest.raises(ZeroDivisionError):
            await bad
        assert await first
        assert seen == list(range(5))
        assert all(job.done() for job in jobs)
        thread.shutdown()
        with pytest.raises(RuntimeError):
            thread.submit(print)

    asyncio.run(life())


def test_jobs_that_wait_are_cancelled_when_asked():
    async def life():
        thread, begun, gate = DiskThread("disk"), threading.Event(), threading.Event()
        running = thread.submit(lambda: (begun.set(), gate.wait(60)))
        waiting = thread.submit(print)
        assert begun.wait(60)
        thread.shutdown(wait=False, cancel_futures=True)
        gate.set()
        await running
        assert waiting.cancelled()

    asyncio.run(life())


def test_a_job_that_outlives_its_loop_is_done_all_the_same():
    gate, done = threading.Event(), threading.Event()

    async def life():
        thread = DiskThread("disk")
        thread.submit(lambda: (gate.wait(60), 1 // 0))
        thread.submit(done.set)

    asyncio.run(life())
    gate.set()
    assert done.wait(60)


def test_uplinks_that_left_the_site_are_forgotten(tmp_path):
    async def life(names):
        store = Store(tmp_path)
        await store.start()
        await store.keep_uplinks(names)
        known = await store._worker.ask(lambda database: database.uplinks.names())
        await store.put(_part(1))
        assert await store.stop()
        return known

    assert asyncio.run(life({"city", "street"})) == {"city", "street"}
    assert asyncio.run(life(["street", "duty"])) == {"street", "duty"}
    database = Database.open(tmp_path)
    assert database.uplinks.names() == {"street", "duty"}
    database.close()


def test_the_writer_beats_at_its_turns_when_idle_and_while_the_disk_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "STALL_S", 0.15)
    monkeypatch.setattr(store_module, "TURN_S", 0.05)
    free, real, beats = threading.Event(), Database.commit, []

    def commit(self, batch):
        assert free.wait(60)
        real(self, batch)

    monkeypatch.setattr(Database, "commit", commit)

    async def life():
        store = Store(tmp_path)
        await store.start()
        tending = asyncio.create_task(store.tend(lambda: beats.append(store.mode)))
        await until(lambda: beats.count("disk") >= 3)
        assert not await store.put(_part(1))
        await until(lambda: beats.count("memory") >= 3)
        free.set()
        await until(lambda: store.mode == "disk")
        assert await store.stop()
        await asyncio.wait_for(tending, 60)

    asyncio.run(life())


def test_a_writer_that_no_longer_turns_does_not_beat(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "TURN_S", 0.05)
    beats = []

    async def life():
        store = Store(tmp_path)
        await store.start()
        monkeypatch.setattr(store, "_flush", lambda: asyncio.sleep(3600))
        tending = asyncio.create_task(store.tend(lambda: beats.append(1)))
        await until(lambda: len(beats) >= 2)
        store.put(_part(1))
        await asyncio.sleep(0.1)
        silent = len(beats)
        await asyncio.sleep(0.2)
        assert len(beats) == silent
        tending.cancel()
        assert not await store.stop(within_s=0.1)

    asyncio.run(life())


def test_what_the_late_database_knows_of_time_stands(tmp_path, monkeypatch):
    """A run that began at zero without its disk must not turn the clock of ten days of alerts back to zero."""
    free, real = threading.Event(), Database.load

    def load(self):
        assert free.wait(60)
        return real(self)

    def part(at, alert, clock):
        rows = (StateRow("alert", alert, b"x"), StateRow("clock", "clock", clock))
        return Part(state=rows, stamp=(at, b"stamp"), urgent=True)

    asked = []

    def alerts_alone(batch, last_stamp):
        asked.append(last_stamp())
        return structs.replace(batch, state=tuple(r for r in batch.state if r.kind == "alert"), stamp=None)

    async def life():
        first = Store(tmp_path)
        await first.start()
        assert await first.put(part(864_000_000, "old", b"ten days"))
        assert await first.stop()
        with monkeypatch.context() as slow:
            slow.setattr(Database, "load", load)
            second = Store(tmp_path, open_s=0.2, lay_over=alerts_alone)
            await second.start()
            assert not await second.put(part(7_000, "new", b"zero"))
            free.set()
            await until(lambda: second.mode == "disk")
            assert await second.put(part(8_000, "newer", b"zero"))
            await second.stop()
        third = Store(tmp_path)
        loaded = await third.start()
        await third.stop()
        return loaded

    loaded = asyncio.run(life())
    assert asked[0] == loaded.stamp == (864_000_000, b"stamp")
    assert {(row.kind, row.key): row.body for row in loaded.state} == {
        ("alert", "old"): b"x",
        ("alert", "new"): b"x",
        ("alert", "newer"): b"x",
        ("clock", "clock"): b"ten days",
    }


def test_a_start_that_could_not_read_what_was_told_takes_it_for_a_loss(tmp_path, monkeypatch):
    """What it hears again may be told already, under ids that it does not know."""

    def refuse(_folder, **_how):
        raise StoreFault("SQLITE_CANTOPEN")

    async def story():
        monkeypatch.setattr(Database, "open", refuse)
        store = Store(tmp_path)
        loaded = await store.start()
        await store.stop(within_s=0.1)
        return loaded.losses

    assert asyncio.run(story()) > 0


def test_tidying_that_a_fault_of_the_disk_ended_begins_again_with_the_worker(tmp_path, monkeypatch):
    """Else nothing is pruned until the next start, and the supervisor restarts the worker for ever."""
    went: list[int] = []

    async def go(_tidying, _may):
        went.append(len(went))
        if len(went) == 1:
            raise OSError(errno.EIO, "Input/output error")
        await asyncio.Event().wait()

    monkeypatch.setattr(Tidying, "go", go)

    async def story():
        store = Store(tmp_path)
        await store.start()
        with pytest.raises(OSError, match="Input/output"):
            await store.tend(lambda: None)
        tending = asyncio.ensure_future(store.tend(lambda: None))
        await until(lambda: len(went) == 2)
        assert not tending.done()
        assert await store.stop()
        await tending

    asyncio.run(story())
