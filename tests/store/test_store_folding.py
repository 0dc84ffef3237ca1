"""Folding the commit log: in nobody's way, a step at a time, and whatever a record holds."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import threading
import time
import tracemalloc
from collections import Counter

import pytest
from instruments.waiting import until
from msgspec import structs

from gateway.faults import StoreFault
from gateway.store import database as database_module
from gateway.store import store as store_module
from gateway.store import tables
from gateway.store.database import NAME as DATABASE
from gateway.store.database import Database
from gateway.store.folding import Folder
from gateway.store.jobs import gather
from gateway.store.rows import JournalRow
from gateway.store.store import Store


def _histories(database) -> int:
    return database._access.connection.execute("SELECT COUNT(*) FROM history").fetchone()[0]


@pytest.fixture
def held_up(monkeypatch):
    """Folds that wait for a word; counts them."""

    class Disk:
        begun = 0
        goes_on = threading.Event()
        patience_s = 60

    real = Database.fold

    def fold(self, enough=None):
        if enough is not None:
            Disk.begun += 1
            Disk.goes_on.wait(Disk.patience_s)
        real(self, enough)

    monkeypatch.setattr(Database, "fold", fold)
    monkeypatch.setattr(database_module, "FOLD_BYTES", 400)
    yield Disk
    Disk.goes_on.set()


async def _until_it_folds(store, make_part, held_up) -> int:
    """Alerts, each of them safe, until a fold is under way; how many."""
    for n in range(1, 100):
        assert await asyncio.wait_for(store.put(make_part(n)), 60)
        for _ in range(3):
            await asyncio.sleep(0)  # the ticket is answered first
        if store._worker._database.fold_due:
            await until(lambda: held_up.begun)
            return n
    raise AssertionError("never folded")


def test_an_alert_is_safe_when_its_record_is_however_long_the_fold_takes(tmp_path, make_part, held_up):
    """Was: the fold ran inside the commit, and an alert whose record was synced was told as not durable."""

    async def life():
        store = Store(tmp_path)
        await store.start()
        n = await _until_it_folds(store, make_part, held_up)
        assert store.mode == "disk"
        held_up.goes_on.set()
        assert await asyncio.wait_for(store.put(make_part(n + 1)), 60)  # behind the fold
        assert await store.stop()

    asyncio.run(life())
    database = Database.open(tmp_path)
    assert {message.body for message in database.uplinks.take("n", "critical", 99)} == {b"told durable"}
    database.close()


def test_an_alert_that_meets_a_fold_that_hangs_is_told_from_memory(tmp_path, make_part, held_up, monkeypatch):
    async def life():
        store = Store(tmp_path)
        await store.start()
        n = await _until_it_folds(store, make_part, held_up)
        monkeypatch.setattr(store_module, "STALL_S", 0.15)
        assert not await asyncio.wait_for(store.put(make_part(n + 1)), 60)
        held_up.goes_on.set()
        await until(lambda: store.mode == "disk")
        assert await store.stop()

    asyncio.run(life())


def test_a_stop_leaves_a_fold_that_hangs_to_its_thread(tmp_path, make_part, held_up):
    async def life():
        store = Store(tmp_path)
        await store.start()
        n = await _until_it_folds(store, make_part, held_up)
        assert await asyncio.wait_for(store.stop(within_s=0.2), 60)
        shutil.copytree(tmp_path, tmp_path / "cut")  # what the next start finds
        return n

    n = asyncio.run(life())
    database = Database.open(tmp_path / "cut")
    assert len(list(database.journal.rows())) == n
    database.close()


def test_a_fold_under_way_gives_way_to_the_alert_behind_it_when_the_gateway_is_to_stop(
    tmp_path, make_part, monkeypatch
):
    """Was: the commit that waited behind the fold was cancelled, and the alert was nowhere."""
    monkeypatch.setattr(database_module, "FOLD_BYTES", 2_000)
    begun, real = threading.Event(), Folder._write

    def write(folder, entry):
        begun.set()
        time.sleep(0.5)  # a card on which all of it takes longer than a stop does
        real(folder, entry)

    monkeypatch.setattr(Folder, "_write", write)

    async def life():
        store = Store(tmp_path)
        await store.start()
        n = 100  # as many quiet events, each a record
        for m in range(n):
            store._worker.write(lambda database, m=m: database.commit(gather([make_part(m + 1, urgent=False)])))
        ticket = store.put(make_part(n + 1))
        assert await ticket
        await until(begun.is_set)
        monkeypatch.setattr(Database, "close", lambda _database: None)  # as cut off there: it would fold all the rest
        ticket = store.put(make_part(n + 2))
        assert await store.stop(within_s=20)
        assert await ticket
        return n + 2

    n = asyncio.run(life())
    monkeypatch.undo()
    database = Database.open(shutil.copytree(tmp_path, tmp_path / "next"))
    assert f"a{n}" in {row.key for row in database.load().state}
    database.close()


def test_a_stop_that_is_over_before_a_fold_is_cancels_no_commit_behind_it(tmp_path, make_part, held_up):
    async def life():
        store = Store(tmp_path)
        await store.start()
        n = await _until_it_folds(store, make_part, held_up)
        ticket = store.put(make_part(n + 1))
        await until(lambda: store._committing)
        assert not await asyncio.wait_for(store.stop(within_s=0.2), 60)
        assert not await ticket  # nobody knows yet
        held_up.goes_on.set()
        await asyncio.to_thread(store._worker._pool._thread.join, 60)
        return n + 1

    n = asyncio.run(life())
    database = Database.open(tmp_path)
    assert f"a{n}" in {row.key for row in database.load().state}
    database.close()


def test_a_fold_that_takes_long_leaves_the_rest_to_the_next_and_alerts_come_between(tmp_path, make_part, monkeypatch):
    """Was: one fold of two megabytes beside a busy loop took 3.4 s, and what waited behind it was told as not durable."""
    monkeypatch.setattr(database_module, "FOLD_BYTES", 4_000)
    monkeypatch.setattr("gateway.store.worker.FOLD_S", 0.0)  # whatever it takes is long
    done, commit, write = [], Database.commit, Folder._write
    monkeypatch.setattr(Database, "commit", lambda self, batch: (commit(self, batch), done.append("commit")))
    monkeypatch.setattr(Folder, "_write", lambda folder, entry: (write(folder, entry), done.append("folded")))

    async def life():
        store = Store(tmp_path)
        await store.start()
        sizes = []
        for n in range(1, 100):
            assert await store.put(make_part(n))
            sizes.append(store._worker._database._log.size)
        between = " ".join(done)
        await until(lambda: not store._worker._database._unfolded)
        sizes.append(store._worker._database._log.size)
        assert await store.stop()
        return sizes, between

    sizes, between = asyncio.run(life())
    assert "folded folded" not in between
    assert "commit folded commit folded commit" in between
    assert sizes[-1] == 0, "begun anew in the end"
    database = Database.open(tmp_path)
    assert _histories(database) == 99
    database.close()


def test_a_round_of_tidying_folds_the_log_with_commits_between(tmp_path, make_part, monkeypatch):
    """Was: a flood of alerts that met the first round after a start waited behind one fold of all of it, and a sound disk was told
    as failing.
    """
    monkeypatch.setattr("gateway.store.worker.FOLD_S", 0.0)
    done, goes_on, commit, write = [], threading.Event(), Database.commit, Folder._write

    def fold(folder, entry):
        done.append("folded")
        assert goes_on.wait(60)
        write(folder, entry)

    monkeypatch.setattr(Database, "commit", lambda self, batch: (commit(self, batch), done.append("commit")))
    monkeypatch.setattr(Folder, "_write", fold)

    async def life():
        store = Store(tmp_path)
        await store.start()
        for n in range(1, 20):
            assert await store.put(make_part(n))
        tidying = asyncio.ensure_future(store.tidying._tidy())
        await until(lambda: "folded" in done)
        ticket = store.put(make_part(20))
        await until(lambda: store._committing)
        goes_on.set()
        assert await ticket
        await tidying
        assert not store._worker._database._unfolded
        assert await store.stop()

    asyncio.run(life())
    assert done == ["commit"] * 19 + ["folded", "commit"] + ["folded"] * 19


def test_however_long_alerts_pour_no_commit_and_no_fold_brings_sqlites_log_into_the_file(
    tmp_path, make_part, monkeypatch
):
    """Was: while there was more to fold no chore had its turn, until a fold met 16 MB of SQLite's log and took 3 s."""
    monkeypatch.setattr(database_module, "FOLD_BYTES", 4_000)
    monkeypatch.setattr("gateway.store.worker.FOLD_S", 0.0)
    monkeypatch.setattr("gateway.store.connection._CHECKPOINT_PAGES", 100)
    wrote = Counter()

    def watch(owner, name):
        real = getattr(owner, name)

        def watched(*values):
            before = (tmp_path / DATABASE).stat().st_mtime_ns
            answer = real(*values)
            wrote[name] += (tmp_path / DATABASE).stat().st_mtime_ns != before
            return answer

        monkeypatch.setattr(owner, name, watched)

    async def life():
        store = Store(tmp_path)
        await store.start()
        for owner, name in ((Database, "commit"), (Database, "fold"), (Database, "bring_in")):
            watch(owner, name)
        for n in range(1, 200):
            assert await store.put(make_part(n))
        seen = Counter(wrote)
        assert await store.stop()
        return seen

    seen = asyncio.run(life())
    assert seen["bring_in"] > 1
    assert seen["commit"] == seen["fold"] == 0


def test_no_round_of_tidying_brings_sqlites_log_into_the_file_in_a_fold(tmp_path, make_part, monkeypatch):
    monkeypatch.setattr("gateway.store.worker.FOLD_S", 0.0)
    monkeypatch.setattr("gateway.store.connection._CHECKPOINT_PAGES", 100)
    at_folds, fold = [], Database.fold

    def watched(*values):
        before = (tmp_path / DATABASE).stat().st_mtime_ns
        more = fold(*values)
        at_folds.append((tmp_path / DATABASE).stat().st_mtime_ns != before)
        return more

    async def life():
        store = Store(tmp_path)
        await store.start()
        for n in range(1, 100):
            assert await store.put(make_part(n))
        monkeypatch.setattr(Database, "fold", watched)
        await store.tidying._tidy()
        assert await store.stop()

    asyncio.run(life())
    assert len(at_folds) >= 99
    assert not any(at_folds)


def test_who_looks_for_a_person_has_the_log_folded_a_part_at_a_time(tmp_path, make_part, monkeypatch):
    monkeypatch.setattr("gateway.store.worker.FOLD_S", 0.0)
    jobs, fold, write = [], Database.fold, Folder._write

    def begin(*values):
        jobs.append(0)
        return fold(*values)

    def count(folder, entry):
        jobs[-1] += 1
        write(folder, entry)

    monkeypatch.setattr(Database, "fold", begin)
    monkeypatch.setattr(Folder, "_write", count)

    async def life():
        store = Store(tmp_path)
        await store.start()
        for n in range(1, 20):
            row = JournalRow(n, f"run.{n}", "entry", b"", person="p")
            assert await store.put(structs.replace(make_part(n), journal=(row,)))
        assert len(await store.past.person_rows("p")) == 19
        seen = list(jobs)
        assert await store.stop()
        return seen

    seen = asyncio.run(life())
    assert sum(seen) == 19
    assert max(seen) == 1


def test_nobody_having_folded_it_a_commit_does_at_the_limit(tmp_path, make_batch, monkeypatch):
    monkeypatch.setattr(database_module, "FOLD_LIMIT", 1_000)
    database = Database.open(tmp_path)
    for n in range(1, 20):
        database.commit(make_batch(n, size=100))
        assert database._log.size < 1_000
    database.close()


def test_a_fold_opens_one_record_at_a_time(tmp_path, make_batch):
    """Restless air fills the log with 20,000 readings a minute: opened at once they were ten megabytes for a moment, and three
    for good.
    """
    database = Database.open(tmp_path)
    rows = tuple(JournalRow(n, f"run.{n}", "reading", b"j" * 100, quiet=True) for n in range(500))
    for n in range(1, 61):
        database.commit(structs.replace(make_batch(n), journal=rows))
    tracemalloc.start()
    try:
        database.fold()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(list(database.journal.rows())) == 60 * 500
    assert most < 2_000_000, "sixty records of 150 kB each"
    database.close()


@pytest.fixture
def cursed(monkeypatch):
    """A row of history that no table takes."""
    real = tables.write

    def write(connection, batch, serial):
        if any(row.alert == "a2" for row in batch.history):
            raise AttributeError("what nobody thought of")
        real(connection, batch, serial)

    monkeypatch.setattr(tables, "write", write)


def test_a_record_that_cannot_be_folded_costs_that_row_alone_and_no_start(tmp_path, make_batch, cursed):
    database = Database.open(tmp_path / "state")
    for n in (1, 2, 3):
        database.commit(make_batch(n))
    shutil.copytree(tmp_path / "state", tmp_path / "cut")
    database = Database.open(tmp_path / "cut")
    assert _histories(database) == 2
    loaded = database.load()
    assert loaded.notes == ("rows_unfolded: 1",)
    assert [row.key for row in loaded.state if row.kind == "alert"] == ["a1", "a2", "a3"]
    assert [row.id for row in database.journal.rows()] == ["run.1", "run.2", "run.3"]
    assert [message.sequence for message in database.uplinks.take("n", "critical", 9)] == [1, 2, 3]
    [(origin, reason, row)] = database._access.connection.execute("SELECT origin, reason, row FROM damaged").fetchall()
    assert (origin, reason) == ("log", "unfoldable")
    assert json.loads(row)[1]["history"][0]["alert"] == "a2"
    for n in (4, 5):
        database.commit(make_batch(n))
    database.fold()
    assert _histories(database) == 4
    assert database.damage.unfolded == 1
    database.close()


def test_a_disk_that_refuses_sets_no_row_aside(tmp_path, make_batch, cursed, monkeypatch):
    database = Database.open(tmp_path)
    for n in (1, 2):
        database.commit(make_batch(n))
    before, calls = tables.write, []

    def write(connection, batch, serial):
        calls.append(1)
        if len(calls) > 3:  # while it is done carefully
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        before(connection, batch, serial)

    with monkeypatch.context() as sick:
        sick.setattr(tables, "write", write)
        with pytest.raises(StoreFault):
            database.fold()
    assert database.damage.unfolded == 0
    database.fold()
    assert database.damage.unfolded == 1
    assert _histories(database) == 1
    database.close()


def test_a_row_set_aside_while_running_is_told(tmp_path, make_part, cursed, monkeypatch):
    reasons = []

    async def life():
        store = Store(tmp_path)
        store.on_mode(lambda mode, reason: reasons.append((mode, reason)))
        await store.start()
        for n in range(1, 8):
            assert await store.put(make_part(n))
        monkeypatch.setattr(database_module, "FOLD_BYTES", 100)
        assert await store.put(make_part(8))
        await until(lambda: reasons)  # of the fold itself: nothing need be put behind it
        assert await store.stop()

    asyncio.run(life())
    assert reasons == [("disk", "set_aside")]


def test_a_chore_that_the_disk_refuses_keeps_back_no_fold(tmp_path, make_part, monkeypatch):
    """Was: the log grew on, to where a commit has to fold it, for each commit gave the chore again and no fold."""

    def refuse(self):
        raise StoreFault("full")

    monkeypatch.setattr(database_module, "FOLD_BYTES", 2_000)
    monkeypatch.setattr(Database, "_note_room", refuse)

    async def life():
        store = Store(tmp_path)
        await store.start()
        for n in range(1, 100):
            assert await store.put(make_part(n, size=500))
            if store._worker._database.fold_due:
                await until(lambda: not store._worker._database.fold_due)
                return await store.stop()
        raise AssertionError("never due")

    assert asyncio.run(life())
