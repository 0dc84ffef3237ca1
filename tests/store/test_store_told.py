"""One id, one body: what was told from memory is what a start after a crash sends, whatever it finds of the commit."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import threading
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from instruments.gate import Gate
from instruments.waiting import until

from gateway.store import memory
from gateway.store import told as told_module
from gateway.store import worker as worker_module
from gateway.store.access import Access
from gateway.store.database import Database
from gateway.store.rows import Message
from gateway.store.store import Store
from gateway.store.told import Told

MEMORY = b"told from memory"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(memory, "RETRY_S", (0.02, 0.05))
    monkeypatch.setattr(worker_module, "TOLD_S", 60)  # a busy machine may take its time to write the words down


def _after_a_kill(folder, other):
    """Body of each message that the next start would send."""
    shutil.copytree(folder, other)
    database = Database.open(other)
    found = {message.sequence: message.body for message in database.uplinks.take("n", "critical", 99)}
    assert database.damage.conflicts == database.damage.renumbered == 0
    database.close()
    assert not (other / told_module.NAME).exists() or not (other / told_module.NAME).read_bytes()
    return found


def test_killed_while_the_disk_is_slow(tmp_path, make_part, slow):
    async def life():
        store = Store(tmp_path / "state")
        await store.start()
        assert await store.put(make_part(1))
        slow.shut()
        assert not await asyncio.wait_for(store.put(make_part(2)), 60)
        assert [m.body for m in await store.take("n", "critical", 9)] == [b"told durable", MEMORY]  # somebody is told
        assert _after_a_kill(tmp_path / "state", tmp_path / "stuck") == {1: b"told durable", 2: MEMORY}
        slow.open()
        await until(lambda: store.mode == "disk")
        assert await store.stop()

    asyncio.run(life())
    assert _after_a_kill(tmp_path / "state", tmp_path / "well") == {1: b"told durable", 2: MEMORY}


def test_killed_after_the_stalled_commit_landed_and_before_its_words_were_put_right(
    tmp_path, make_part, slow, monkeypatch
):
    async def life():
        store = Store(tmp_path / "state")
        await store.start()
        slow.shut()
        assert not await asyncio.wait_for(store.put(make_part(1)), 60)
        with monkeypatch.context() as held:
            never = asyncio.Event()
            held.setattr(Store, "_retry", lambda _store: never.wait())
            slow.open()
            await until(lambda: not store._memory.rounds[0])
            assert _after_a_kill(tmp_path / "state", tmp_path / "cut") == {1: MEMORY}
        never.set()
        store._set_due(0)
        await until(lambda: store.mode == "disk")
        assert await store.stop()

    asyncio.run(life())


def test_killed_when_neither_the_sync_nor_taking_the_record_back_was_taken(tmp_path, make_part, monkeypatch):
    async def life():
        store = Store(tmp_path / "state")
        await store.start()
        assert await store.put(make_part(1))
        with monkeypatch.context() as sick:

            def refused(_handle):
                raise OSError(errno.EIO, "Input/output error")

            sick.setattr(os, "fdatasync", refused)
            sick.setattr("gateway.store.commit_log.CommitLog._blank", lambda _log: False)
            assert not await store.put(make_part(2))
            assert _after_a_kill(tmp_path / "state", tmp_path / "cut") == {1: b"told durable", 2: MEMORY}
        await until(lambda: store.mode == "disk")
        assert await store.stop()

    asyncio.run(life())
    assert _after_a_kill(tmp_path / "state", tmp_path / "well") == {1: b"told durable", 2: MEMORY}


def test_killed_when_a_commit_to_the_tables_landed_late(tmp_path, make_part, monkeypatch):
    monkeypatch.setattr(Database, "_is_ordinary", lambda *_: False)
    landed, may, real = threading.Event(), Gate(monkeypatch), Access.writing

    @contextmanager
    def writing(self):
        with real(self) as connection:
            yield connection
        if not may.is_set():
            landed.set()
        may.wait(60)

    monkeypatch.setattr(Access, "writing", writing)

    async def life():
        store = Store(tmp_path / "state")
        await store.start()
        may.shut()
        try:
            assert not await asyncio.wait_for(store.put(make_part(1)), 60)
            await until(landed.is_set)
            shutil.copytree(tmp_path / "state", tmp_path / "copy")
        finally:
            may.open()
        await until(lambda: store.mode == "disk")
        assert await store.stop()

    asyncio.run(life())
    assert _after_a_kill(tmp_path / "copy", tmp_path / "cut") == {1: MEMORY}


def test_words_that_cannot_be_written_down_hold_up_nobody(tmp_path, make_part, slow, monkeypatch):
    monkeypatch.setattr(Told, "write", lambda _told, _messages: slow.wait(60))
    monkeypatch.setattr(worker_module, "TOLD_S", 0.1)

    async def life():
        store = Store(tmp_path / "state")
        await store.start()
        slow.shut()
        assert not await asyncio.wait_for(store.put(make_part(1)), 60)
        slow.open()
        await until(lambda: store.mode == "disk")
        assert await store.stop()

    asyncio.run(life())


def test_killed_in_a_second_stall_while_the_sync_of_the_first_words_still_hangs(tmp_path, make_part, slow, monkeypatch):
    held = threading.Event()
    monkeypatch.setattr(Told, "sync", lambda _told: held.wait(120))

    async def life():
        store = Store(tmp_path / "state")
        await store.start()
        assert await store.put(make_part(1))
        for n in (2, 3):
            slow.shut()
            assert not await asyncio.wait_for(store.put(make_part(n)), 60)
            if n == 2:
                slow.open()
                await until(lambda: store.mode == "disk")
        assert {m.sequence: m.body for m in await store.take("n", "critical", 9)}[3] == MEMORY
        assert _after_a_kill(tmp_path / "state", tmp_path / "cut")[3] == MEMORY
        slow.open()
        await until(lambda: store.mode == "disk")
        assert await store.stop()

    try:
        asyncio.run(life())
    finally:
        held.set()


def test_a_disk_that_fills_up_takes_the_words_piece_by_piece(tmp_path, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda handle, data, at: real(handle, data[:7], at))
    Told(tmp_path).write([Message("critical", 1, "a1/1", "alerts", MEMORY, "a")])
    assert [message.body for message in Told(tmp_path).read().values()] == [MEMORY]


def test_words_that_found_no_place_are_told_of_and_spoil_none_after_them(tmp_path, tiny_disk, capsys):
    told, ballast = Told(tiny_disk.path), b"m" * 3_000
    told.write([Message("critical", 1, "a1/1", "alerts", MEMORY, "a")])
    tiny_disk.fill()
    told.write([Message("critical", 2, "a2/1", "alerts", os.urandom(9_000), "a")])  # a page has place for some of it
    assert "told_unwritten" in capsys.readouterr().out
    tiny_disk.free()
    told.write([Message("critical", 3, "a3/1", "alerts", ballast, "a")])
    assert [message.body for message in told.read().values()] == [MEMORY, ballast]


@given(st.binary(max_size=200))
def test_no_file_of_words_prevents_a_start(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("told")
    (folder / told_module.NAME).write_bytes(content)
    assert Told(folder).read() == {}


def test_words_of_several_stalls_are_kept_over_restarts_until_the_disk_has_them(tmp_path):
    for n in (1, 2, 3):
        Told(tmp_path).write([Message("critical", n, f"a{n}/1", "alerts", b"m%d" % n, "a")])
        Told(tmp_path).sync()
    assert [message.body for message in Told(tmp_path).read().values()] == [b"m1", b"m2", b"m3"]
    Told(tmp_path).clear()
    assert Told(tmp_path).read() == {}
