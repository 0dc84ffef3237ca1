"""A start beside a slow disk: what the store holds is known before any sync is asked for, whatever the last life left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from instruments.waiting import until
from msgspec import structs

from gateway.faults import StoreFault
from gateway.store import database as database_module
from gateway.store.access import Access
from gateway.store.commit_log import NAME as LOG
from gateway.store.database import NAME, Database
from gateway.store.lineage import LEAP
from gateway.store.rows import Message
from gateway.store.store import Store
from gateway.store.told import Told
from gateway.store.unkept import Unkept

START = """
import asyncio, os, sys
from pathlib import Path
from gateway.store.database import Database
from gateway.store.store import Store

load = Database.load

def said(database):
    loaded = load(database)
    os.write(1, b"loaded\\n")
    return loaded

async def life():
    loaded = await Store(Path(sys.argv[1])).start()
    os.write(1, b"started %d %d\\n" % (len(loaded.state), loaded.writable))
    os._exit(0)

Database.load = said
asyncio.run(life())
"""


@pytest.fixture
def killed(tmp_path, make_batch):
    """Two alerts in the tables, three in the log, and nothing in SQLite's log but the fourth run."""
    live, left = tmp_path / "live", tmp_path / "left"
    database = Database.open(live)
    for n in (1, 2):
        database.commit(make_batch(n))
    database.close()
    database = Database.open(live)
    database.next_run()
    for n in (3, 4, 5):
        database.commit(make_batch(n))
    shutil.copytree(live, left)
    database.close()
    return left


def _syncs(folder, tmp_path) -> tuple[list[str], list[str], str]:
    """Files that were synced before all was loaded, and behind that until the start was over; and what that said."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    log = tmp_path / "strace"
    command = [
        "strace",
        "-f",
        "-y",
        "-o",
        log,
        "-e",
        "trace=fsync,fdatasync,write",
        sys.executable,
        "-c",
        START,
        folder,
    ]
    ran = subprocess.run(command, capture_output=True, check=False, timeout=240)
    if b"ptrace" in ran.stderr.lower():
        pytest.skip("this container does not allow tracing")
    assert ran.returncode == 0, ran.stderr.decode()
    before, _, behind = log.read_text(encoding="utf-8").partition('"loaded')
    synced = re.compile(r"sync\(\d+<[^>]*?/([^/>]+)>")
    return synced.findall(before), synced.findall(behind), ran.stdout.decode().splitlines()[-1]


def _spoil_an_index(path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'closed_age'").fetchone()
        (length,) = connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * length)
        file.write(bytes(length))


def _leave(_folder) -> None:
    """A kill, and no more."""


def _mark(folder) -> None:
    """Something was told that no disk has."""
    Unkept(folder).prepare()
    Unkept(folder).set()


def _retell(folder) -> None:
    """The last but one was told in other words, and one that no disk has."""
    mark = Told(folder)
    mark.write([Message("critical", n, f"a{n}/1", "alerts", b"told from memory", f"a{n}") for n in (4, 6)])


def _tear_the_log(folder) -> None:
    """Its first record cannot be read any more."""
    with (folder / LOG).open("r+b") as file:
        file.seek(512 + 20)
        file.write(bytes(8))


@pytest.mark.parametrize("leave", [_leave, _mark, _retell, _tear_the_log])
def test_what_the_log_holds_is_known_before_any_sync(killed, tmp_path, leave):
    """Was: folded first, two syncs; at two seconds each a start had eaten four of the five that it has."""
    leave(killed)
    before, behind, said = _syncs(killed, tmp_path)
    assert said == f"started {5 if leave is _tear_the_log else 6} 1"
    assert before == []
    assert behind[:2] == [f"{NAME}-wal", "left"]
    assert len(behind) <= 6, behind


@pytest.mark.parametrize("leave", [_mark, _retell, _tear_the_log])
def test_a_loss_is_noted_whenever_the_start_is_killed(killed, leave):
    """Each life tells under numbers of its own."""
    leave(killed)
    losses = []
    for _ in range(3):
        database = Database.open(killed, mending=False)
        losses.append(database.load().losses)  # and it may tell from memory; killed
        database._access.hang_up()
    assert losses == [1, 2, 3]
    database = Database.open(killed, mending=False)
    assert database.load().losses == 4
    database.next_run()
    assert database.load().losses == 4
    database.close()
    assert _lost(killed) >= 4


def _lost(folder) -> int:
    with contextlib.closing(sqlite3.connect(folder / NAME)) as connection:
        return int(connection.execute("SELECT body FROM meta WHERE key = 'losses'").fetchone()[0])


def test_what_the_log_holds_is_in_the_tables_before_the_next_commit(killed, make_batch):
    database = Database.open(killed, mending=False)
    assert len(database.load().state) == 6
    database.commit(make_batch(6))
    assert database._access.connection.execute("SELECT COUNT(*) FROM history").fetchone() == (6,)
    database.close()


def test_what_is_loaded_lies_as_it_will_in_the_tables(killed):
    read = Database.open(killed, mending=False)
    before = read.load()
    read.next_run()
    after = read.load()
    read.close()
    assert before.state == after.state
    assert structs.replace(after, runs=before.runs) == before


def test_a_start_whose_first_transaction_hangs_knows_what_was_there(killed, make_part, monkeypatch):
    """Was: what lay in the log was folded before it was read, and who could not wait for that began anew. And who knew all waited
    five seconds for the name of his run, a patient one a minute, and heard no button.
    """
    free, reasons = threading.Event(), []
    _mark(killed)

    class Waiting(Access):
        def writing(self):
            assert free.wait(60)
            return super().writing()

    monkeypatch.setattr(database_module, "Access", Waiting)
    monkeypatch.setattr("gateway.store.worker.COUNT_S", 0.2)

    async def life():
        store = Store(killed, open_s=60)
        store.on_mode(lambda mode, reason: reasons.append((mode, reason)))
        loaded = await asyncio.wait_for(store.start(), 30)
        assert {row.key for row in loaded.state if row.kind == "alert"} == {f"a{n}" for n in range(1, 6)}
        assert (loaded.notes, loaded.losses, loaded.sequences) == ((), 1, {"critical": 5})
        assert loaded.run.startswith("m")
        kept = store.put(make_part(6))
        await asyncio.sleep(0.1)
        assert not kept.done()
        assert Unkept(killed).is_set
        free.set()
        assert await kept
        await until(lambda: not Unkept(killed).is_set)
        assert await store.stop()

    asyncio.run(life())
    assert reasons == []
    database = Database.open(killed)
    loaded = database.load()
    assert {row.key for row in loaded.state if row.kind == "alert"} == {f"a{n}" for n in range(1, 7)}
    assert loaded.runs == 2  # the name is used up
    database.close()


@pytest.fixture
def counting(monkeypatch):
    """A first transaction that takes as long as it is told to."""
    free, real = threading.Event(), Database.next_run

    def next_run(database):
        assert free.wait(60)
        return real(database)

    monkeypatch.setattr(Database, "next_run", next_run)
    monkeypatch.setattr("gateway.store.worker.COUNT_S", 0.1)
    yield free
    free.set()


@pytest.fixture
def hanging(counting, monkeypatch):
    """The same, beside a store that soon loses patience."""
    monkeypatch.setattr("gateway.store.worker.STALL_S", 0.15)
    monkeypatch.setattr("gateway.store.store.STALL_S", 0.15)
    return counting


def test_an_uplink_is_made_known_however_long_the_first_transaction_takes(killed, make_part, counting):
    """Was: not before the disk refused something, and after three seconds in which nobody was told anything."""

    async def life():
        store = Store(killed)
        await store.start()
        kept = store.put(make_part(6))
        await asyncio.wait_for(store.keep_uplinks(["city"]), 30)
        counting.set()
        assert await kept
        await until(lambda: store._worker._database.uplinks.names() == {"city"})
        assert {message.alert for message in await store.take("city", "critical", 9)} == {f"a{n}" for n in range(1, 7)}
        assert await store.stop()

    asyncio.run(life())


@pytest.mark.parametrize("marked", [False, True], ids=["sound", "marked by the last life"])
def test_the_marks_of_a_life_outlast_the_opening_it_did_not_wait_for(killed, make_part, monkeypatch, marked):
    """Was: whenever the store was opened at last, it took what this life had noted for what the last one had, and wiped it."""
    free, refuses, opening, commit = threading.Event(), [True], Database.open.__func__, Database.commit
    mark = Unkept(killed)
    mark.prepare()
    if marked:
        mark.set()

    def open_late(cls, folder, **how):
        assert free.wait(60)
        return opening(cls, folder, **how)

    def refuse(database, batch):
        if refuses:
            raise StoreFault("told to refuse")
        commit(database, batch)

    monkeypatch.setattr(Database, "open", classmethod(open_late))
    monkeypatch.setattr(Database, "commit", refuse)
    monkeypatch.setattr("gateway.store.memory.RETRY_S", (0.02, 0.05))

    async def life():
        store = Store(killed, open_s=0.2)
        await store.start()
        assert not await store.put(make_part(6))
        await until(lambda: mark.is_set)
        free.set()
        await store.find("critical", 1)  # behind the opening
        assert mark.is_set
        refuses.clear()
        await until(lambda: store.mode == "disk" and not mark.is_set)
        await store.stop()

    asyncio.run(life())


def test_a_start_that_mends_what_it_reads_keeps_what_the_log_holds(killed, make_batch):
    """Was: the log was begun at its front again beside commits that no table held, and the next one lay over the first of them."""
    _spoil_an_index(killed / NAME)
    database = Database.open(killed, mending=False)
    database.load()
    assert database.hurt
    database.mend()
    database.load()
    database.commit(make_batch(6))
    again = killed.with_name("again")
    shutil.copytree(killed, again)
    database.close()
    found = Database.open(again)
    assert found.load().notes == ()
    assert {n for row in found.journal.rows() if (n := row.at // 1_000) > 2} == {3, 4, 5, 6}
    found.close()


def test_a_start_wipes_the_marks_of_a_loss_that_it_noted(killed):
    _mark(killed)
    _retell(killed)

    async def life():
        store = Store(killed)
        loaded = await store.start()
        assert (loaded.losses, loaded.writable) == (1, True)
        await until(lambda: not Unkept(killed).is_set and not Told(killed).read())
        assert await store.stop()

    asyncio.run(life())
    assert _lost(killed) == 1


def test_a_first_transaction_that_ends_behind_the_store_wipes_no_mark(killed, make_part, hanging):
    """Was: it took what this life had noted for what the last one had, and the next start told one id in other words."""

    async def life():
        store = Store(killed)
        await store.start()
        assert not await asyncio.wait_for(store.put(make_part(6)), 60)  # its words are written down
        assert not await store.put(make_part(7))
        await until(lambda: Unkept(killed).is_set)
        assert not await store.stop(within_s=0.2)
        hanging.set()
        await until(store._worker._counting.done)
        await asyncio.sleep(0.3)  # the end of the house, and whatever the loop has left to do

    asyncio.run(life())
    assert "a6/1" in Told(killed).read()
    assert Unkept(killed).is_set


def test_the_number_of_a_loss_is_made_durable_before_anybody_is_told_under_it(killed, make_part, hanging, monkeypatch):
    """Was: only where the disk refused to note it, not where it hung; a power cut left the next life the same numbers."""
    synced, real = [], os.fsync

    def fsync(handle):
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        real(handle)

    async def life():
        store = Store(killed)
        assert (await store.start()).losses == 1
        monkeypatch.setattr(os, "fsync", fsync)
        assert not await asyncio.wait_for(store.put(make_part(LEAP + 6)), 60)
        await until(lambda: "loudong.told" in synced)
        await asyncio.sleep(0.2)
        assert "loudong.unkept" in synced
        hanging.set()
        await until(lambda: store.mode == "disk")
        assert await store.stop()

    _mark(killed)
    asyncio.run(life())


@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
def test_a_loss_that_a_first_transaction_did_not_note_is_counted_once(killed, make_part, monkeypatch, late):
    """Was: the mark stayed where that transaction was refused, and the next start counted another loss."""
    free = threading.Event()

    def refuse(_database):
        assert free.wait(60)
        raise StoreFault("told to refuse")

    async def life():
        store = Store(killed)
        await store.start()
        free.set()
        await until(lambda: store.mode == "disk" and store._worker.counted)
        assert await store.put(make_part(LEAP + 6))
        await until(lambda: not Unkept(killed).is_set)
        assert await store.stop()

    _mark(killed)
    monkeypatch.setattr(Database, "next_run", refuse)
    monkeypatch.setattr("gateway.store.worker.COUNT_S", 0.1)
    monkeypatch.setattr("gateway.store.memory.RETRY_S", (0.02, 0.05))
    if not late:
        free.set()
    asyncio.run(life())
    assert _lost(killed) == 1
    database = Database.open(killed)
    assert database.load().losses == 1
    database.close()


def test_a_loss_outlasts_the_wiping_of_the_log_that_shows_it(killed):
    """Was: who was forgotten before the loss was noted took all that told of it along."""
    log = killed / LOG
    log.write_bytes(log.read_bytes()[:512] + bytes(log.stat().st_size - 512))
    database = Database.open(killed, mending=False)
    assert database.load().losses == 1
    database.disclosure.forget("somebody")
    database._access.hang_up()  # killed
    again = Database.open(killed, mending=False)
    assert again.load().losses >= 1
    again.close()


def test_what_was_told_in_other_words_is_told_in_those_before_the_first_transaction(killed):
    """Was: what the tables hold went out in the words made for its commit until that transaction was through."""
    Told(killed).write([Message("critical", 2, "a2/1", "alerts", b"told from memory", "a2")])
    database = Database.open(killed, mending=False)
    database.load()
    assert [message.body for message in database.uplinks.take("city", "critical", 2)][1] == b"told from memory"
    assert database.uplinks.find("critical", 2).body == b"told from memory"
    database.next_run()
    assert database.uplinks.find("critical", 2).body == b"told from memory"
    database.close()
