"""What an alert waits for at the disk: the sync under way, and its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import threading

import pytest
from instruments.waiting import until

from gateway.faults import StoreFault
from gateway.store import connection as dialling
from gateway.store.commit_log import NAME, CommitLog
from gateway.store.database import NAME as DATABASE
from gateway.store.database import Database
from gateway.store.rows import Batch, JournalRow
from gateway.store.store import Store
from gateway.store.worker import Worker


@pytest.fixture
def syncs(monkeypatch):
    """Of each commit: how often it synced the log, and how many rows it changed in the tables, which sync by themselves."""
    seen: list[tuple[int, int]] = []
    count = 0
    real_sync, real_commit = os.fdatasync, Database.commit

    def fdatasync(handle):
        nonlocal count
        count += 1
        real_sync(handle)

    def commit(self, batch):
        before, rows = count, self._access.connection.total_changes
        real_commit(self, batch)
        seen.append((count - before, self._access.connection.total_changes - rows))

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    monkeypatch.setattr(Database, "commit", commit)
    return seen


def test_no_alert_waits_for_the_log_to_grow(tmp_path, make_part, syncs):
    """Was: on a disk of 200 ms a sync, whenever the log had to be doubled an alert waited for three."""

    async def life():
        store = Store(tmp_path)
        await store.start()
        rooms = set()
        for n in range(1, 120):
            assert await store.put(make_part(n, size=3_000))
            await until(lambda: not store._worker._running and store._worker._database.chore() is None)
            rooms.add(store._worker._database._log.room)
        assert await store.stop()
        return rooms

    rooms = asyncio.run(life())
    assert len(rooms) > 2, "it grew, again and again"
    assert set(syncs[1:]) == {(1, 0)}, "the first one makes the file"
    database = Database.open(tmp_path)
    assert database._noted_room == max(rooms), "a log that is cut short is known to be"
    database.close()


def test_no_alert_that_waits_for_a_commit_waits_for_a_chore_behind_it(tmp_path, make_part, monkeypatch):
    """Was: what the log needed was done first, and the alert waited for a third sync."""
    deeds, gate, real = [], threading.Event(), Database.commit

    def commit(self, batch):
        gate.wait(60)
        deeds.append("commit")
        real(self, batch)

    def lay_out(self):
        deeds.append("chore")
        self.room *= 2

    monkeypatch.setattr(Database, "commit", commit)
    monkeypatch.setattr(CommitLog, "is_short", property(lambda self: self.room < 64 << 10))
    monkeypatch.setattr(CommitLog, "lay_out", lay_out)

    async def life():
        store = Store(tmp_path)
        await store.start()
        first = store.put(make_part(1))
        await until(lambda: store._committing)
        second = store.put(make_part(2))
        gate.set()
        assert await first
        assert await second
        await until(lambda: "chore" in deeds)
        await store.stop()

    asyncio.run(life())
    assert deeds[:3] == ["commit", "commit", "chore"]


@pytest.fixture
def opened(tmp_path):
    """Runs a test's life with a worker that has an open database."""

    def run(life):
        async def whole():
            worker = Worker(tmp_path)
            await worker.open()
            try:
                await life(worker)
            finally:
                await worker.close(10)

        asyncio.run(whole())

    return run


def test_the_loop_leaves_the_interpreter_to_an_alert_until_its_sync_begins(opened, tmp_path, make_batch, monkeypatch):
    monkeypatch.setattr("gateway.store.worker.FIRST_S", 60)
    gate, real = threading.Event(), os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda handle: (gate.wait(60), real(handle)))

    async def life(worker):
        commit = worker.write(lambda database: database.commit(make_batch(1)), first=True)
        assert (tmp_path / NAME).read_bytes().count(b"LDC1"), "all but the sync is done"
        assert not commit.done()
        gate.set()
        await commit

    opened(life)


def test_the_loop_waits_for_no_disk(opened, make_batch, monkeypatch):
    """One that hangs before the sync holds it up for a moment; one that is at something else, not at all."""
    gate = threading.Event()
    monkeypatch.setattr("gateway.store.worker.FIRST_S", 0.001)

    async def life(worker):
        hanging = worker.write(lambda _: gate.wait(60), first=True)
        monkeypatch.setattr("gateway.store.worker.FIRST_S", 60)
        commit = worker.write(lambda database: database.commit(make_batch(1)), first=True)
        assert not hanging.done()
        gate.set()
        await commit

    opened(life)


def test_the_loop_waits_for_no_sync_that_never_begins(opened, monkeypatch):
    monkeypatch.setattr("gateway.store.worker.FIRST_S", 60)

    async def life(worker):
        with pytest.raises(StoreFault):
            await worker.write(_refused, first=True)

    opened(life)


def _refused(_):
    raise StoreFault("no space left")


def test_a_fold_leaves_the_file_itself_to_a_job_of_its_own(tmp_path):
    """Was: four syncs in one job, so that on a disk of 200 ms each an alert that met it waited for a second."""
    database, count = Database.open(tmp_path), itertools.count(1)

    def written() -> int:
        return (tmp_path / DATABASE).stat().st_mtime_ns

    before = written()
    for fold in range(1, 9):
        while not database.fold_due:
            database.commit(Batch((JournalRow(n := next(count), f"r{n}", "press", os.urandom(3_000)),)))
            if database._log.is_short:
                database._log.lay_out()
                database._noted_room = database._log.room
        database.fold(lambda: False)
        assert written() == before
        checkpoint = database.chore()
        assert (checkpoint is None) == bool(fold % 3), "they share the writing of the pages that each changes"
        if checkpoint is not None:
            checkpoint()
            assert written() > before
            before = written()
    database.close()


def test_how_long_sqlites_log_is_is_known_in_every_round_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.store.connection._CHECKPOINT_PAGES", 40)
    path, seen = tmp_path / DATABASE, []
    path.touch()
    assert not dialling.is_log_long(path)
    with contextlib.closing(dialling.dial(path)) as connection:
        connection.execute("CREATE TABLE pages (body)")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        for count in (10, 100, 5, 20, 19, 60, 30, 41, 45, 1):
            connection.execute("INSERT INTO pages VALUES (?)", (os.urandom(count * 4_000),))
            seen.append(dialling.is_log_long(path))
            if count != 20:  # and once it goes on where it is
                _, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                assert seen[-1] == (frames >= 40)
    assert seen == [False, True, False, False, True, True, False, True, True, False]
