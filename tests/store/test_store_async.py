"""Parts in, answers out: group commit, memory mode and the way back, with a real file system under it."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest
import structlog
from instruments.gate import Gate
from instruments.inline import Inline
from instruments.waiting import until
from msgspec import structs

from gateway.faults import StoreFault
from gateway.store import memory
from gateway.store import store as store_module
from gateway.store import worker as worker_module
from gateway.store.database import NAME, Database
from gateway.store.holding import GAP, Held
from gateway.store.rows import JournalRow, Message, Part, StateRow
from gateway.store.store import Store


@pytest.fixture
def quick(monkeypatch):
    """The same store with shorter pauses; a disk that is only slow, as on a busy machine, is none that stalls."""
    monkeypatch.setattr(memory, "RETRY_S", (0.02, 0.05))
    monkeypatch.setattr(store_module, "QUIET_S", 0.05)
    monkeypatch.setattr(store_module, "CURSOR_S", 0.05)
    for module in (store_module, worker_module):
        monkeypatch.setattr(module, "STALL_S", 60.0)


@pytest.fixture
def refusing(monkeypatch):
    """A disk that can be told to refuse commits; counts them."""

    class Disk:
        refuses = False
        commits = 0

    real = Database.commit

    def commit(self, batch):
        if Disk.refuses:
            raise StoreFault("told to refuse")
        Disk.commits += 1
        real(self, batch)

    monkeypatch.setattr(Database, "commit", commit)
    return Disk


def _journal(folder) -> list[str]:
    database = Database.open(folder)
    rows = [row.id for row in database.journal.rows()]
    database.close()
    return rows


def test_an_urgent_part_is_on_disk_when_its_answer_comes(tmp_path, make_part):
    async def life():
        store = Store(tmp_path)
        loaded = await store.start()
        assert loaded.created
        assert loaded.run
        assert await store.put(make_part(1))
        assert _journal(tmp_path) == ["run.1"]  # while the store still runs
        assert [(m.sequence, m.body) for m in await store.take("n", "critical", 9)] == [(1, b"told durable")]
        assert await store.stop()

    asyncio.run(life())


def test_quiet_parts_share_one_commit_and_ride_along_with_an_urgent_one(tmp_path, make_part, quick, refusing):
    async def life():
        store = Store(tmp_path)
        await store.start()
        quiet = [store.put(make_part(n, urgent=False)) for n in range(1, 11)]
        await asyncio.sleep(0)
        assert not any(answer.done() for answer in quiet)
        assert all(await asyncio.gather(*quiet))
        assert refusing.commits == 1
        answers = [store.put(make_part(n, urgent=n == 15)) for n in range(11, 16)]
        assert all(await asyncio.gather(*answers))
        assert refusing.commits == 2
        assert [row.body for row in Database.open(tmp_path).load().state if row.key == "readings"] == [b"14"]
        assert await store.stop()

    asyncio.run(life())
    assert _journal(tmp_path) == [f"run.{n}" for n in range(1, 16)]


def test_many_quiet_parts_do_not_wait(tmp_path, make_part, monkeypatch):
    monkeypatch.setattr(store_module, "QUIET_S", 3600.0)

    async def life():
        store = Store(tmp_path)
        await store.start()
        answers = [store.put(make_part(n, urgent=False)) for n in range(store_module.MANY)]
        assert all(await asyncio.gather(*answers))
        await store.stop()

    asyncio.run(life())


def test_stop_writes_what_still_waits(tmp_path, make_part):
    async def life():
        store = Store(tmp_path)
        await store.start()
        answers = [store.put(make_part(n, urgent=False)) for n in range(1, 4)]
        assert await store.stop()
        assert [answer.result() for answer in answers] == [True] * 3
        assert not await store.put(make_part(4))  # too late: not durable, and it says so
        await store.ended()

    asyncio.run(life())
    assert _journal(tmp_path) == ["run.1", "run.2", "run.3"]


def test_a_store_that_was_opened_is_alive_at_once(tmp_path, make_part):
    """Its first turn may be over before anybody tends it; a start must not wait for the next one."""

    async def life():
        store, beats = Store(tmp_path), []
        await store.start()
        await store.put(make_part(1))
        tending = asyncio.create_task(store.tend(lambda: beats.append(1)))
        await asyncio.sleep(0)
        assert beats
        assert await store.stop()
        await tending

    asyncio.run(life())


def test_cursors_reach_the_disk_without_any_part(tmp_path, make_part, quick):
    def left():
        with contextlib.closing(Database.open(tmp_path)) as other:
            return [message.sequence for message in other.uplinks.take("n", "critical", 9)]

    async def life():
        store = Store(tmp_path)
        await store.start()
        await store.add_uplink("n")
        await asyncio.gather(*(store.put(make_part(n)) for n in range(1, 6)))
        await store.advance("n", "critical", 3)
        await until(lambda: left() == [4, 5])
        await store.stop()

    asyncio.run(life())


def test_who_follows_is_called_once_a_message_can_be_taken(tmp_path, make_part):
    async def life():
        store = Store(tmp_path)
        await store.start()
        calls = []
        unfollow = store.follow(lambda: calls.append(store.mode))
        await store.put(make_part(1))
        assert calls == ["disk"]
        assert len(await store.take("n", "critical", 9)) == 1
        store.put(make_part(2, urgent=False))
        await asyncio.sleep(0.05)
        assert calls == ["disk"]
        await store.put(make_part(3))
        assert calls == ["disk", "disk"]
        unfollow()
        await store.put(make_part(4))
        assert calls == ["disk", "disk"]
        await store.stop()

    asyncio.run(life())


def test_a_full_disk_means_memory_mode_and_all_is_written_when_there_is_room(tiny_disk, make_part, quick, monkeypatch):
    monkeypatch.setattr("gateway.store.commit_log._ROOM", 4_096)  # what is laid out of the log still takes commits
    modes = []

    async def life():
        store = Store(tiny_disk.path)
        store.on_mode(lambda mode, reason: modes.append((mode, reason)))
        await store.start()
        assert await store.put(make_part(1))
        tiny_disk.fill()
        answers = [await store.put(make_part(n, size=4_000)) for n in range(2, 60)]
        assert False in answers
        first = answers.index(False) + 2
        assert set(answers[first - 2 :]) == {False}
        assert store.mode == "memory"
        # Everything can be told, in order, and says whether it is durable.
        told = await store.take("n", "critical", 99)
        assert [message.sequence for message in told] == list(range(1, 60))
        assert {message.body for message in told if message.sequence >= first} == {b"told from memory"}
        assert {message.body for message in told if message.sequence < first} == {b"told durable"}
        await store.advance("n", "critical", 30)
        tiny_disk.free()
        await until(lambda: store.mode == "disk")
        assert await store.put(make_part(60))
        again = await store.take("n", "critical", 99)
        assert [message.sequence for message in again] == list(range(31, 61))
        assert [m.body for m in again[:-1]] == [m.body for m in told[30:]]  # the same words on disk as were told
        assert len(await store.past.history("a59")) == 1
        assert await store.stop()

    asyncio.run(life())
    assert _journal(tiny_disk.path) == [f"run.{n}" for n in range(1, 61)]
    assert [mode for mode, _ in modes] == ["memory", "disk"]
    assert "No space left" in modes[0][1]


def test_a_start_on_a_read_only_disk_knows_the_alerts_and_writes_later(tiny_disk, make_part, quick):
    async def first():
        store = Store(tiny_disk.path)
        await store.start()
        await store.put(make_part(1))
        await store.stop()

    async def second():
        store = Store(tiny_disk.path)
        loaded = await store.start()
        assert [row.key for row in loaded.state] == ["a1"]
        assert loaded.run.startswith("m")
        assert not loaded.writable
        assert any(note.startswith("store_unwritable") for note in loaded.notes)
        assert not await store.put(make_part(2))
        assert [message.sequence for message in await store.take("n", "critical", 9)] == [1, 2]
        tiny_disk.read_only(False)
        await until(lambda: store.mode == "disk")
        assert await store.stop()

    asyncio.run(first())
    tiny_disk.read_only(True)
    asyncio.run(second())
    assert _journal(tiny_disk.path) == ["run.1", "run.2"]


def test_a_folder_that_cannot_be_made_is_memory_mode_from_the_start(tmp_path, make_part, quick):
    (tmp_path / "folder").write_text("in the way")
    reasons = []

    async def life():
        store = Store(tmp_path / "folder")
        store.on_mode(lambda mode, reason: reasons.append(reason))
        loaded = await store.start()
        assert not loaded.writable
        await store.add_uplink("n")
        assert not await store.put(make_part(1))
        with structlog.testing.capture_logs() as lines:
            for _ in range(20):
                assert [message.sequence for message in await store.take("n", "critical", 9)] == [1]
        assert [line["event"] for line in lines].count("outbox_unreadable") == 1, (
            "was: once for every look, 100 a second"
        )
        await store.advance("n", "critical", 1)
        assert await store.take("n", "critical", 9) == []
        (tmp_path / "folder").unlink()
        await until(lambda: store.mode == "disk")
        assert reasons[-1] == "written"  # nothing was there to load
        assert await store.put(make_part(2))
        assert [message.sequence for message in await store.take("n", "critical", 9)] == [2]
        assert await store.stop()

    asyncio.run(life())
    assert _journal(tmp_path / "folder") == ["run.1", "run.2"]


def test_a_disk_that_hangs_holds_up_nobody_and_the_words_told_are_the_words_kept(
    tmp_path, make_part, quick, monkeypatch
):
    gate, real = Gate(monkeypatch), Database.commit

    def commit(self, batch):
        assert gate.wait(60)
        real(self, batch)

    monkeypatch.setattr(Database, "commit", commit)

    async def life():
        store = Store(tmp_path)
        await store.start()
        assert await store.put(make_part(1))
        gate.shut()
        stuck = store.put(make_part(2))
        assert not await asyncio.wait_for(stuck, 60)
        assert store.mode == "memory"
        assert not await asyncio.wait_for(store.put(make_part(3)), 60)
        # The disk cannot be asked: what is at hand is told.
        told = await asyncio.wait_for(store.take("n", "critical", 9), 60)
        assert [(message.sequence, message.body) for message in told] == [
            (1, b"told durable"),
            (2, b"told from memory"),
            (3, b"told from memory"),
        ]
        await store.advance("n", "critical", 3)
        gate.open()
        await until(lambda: store.mode == "disk")
        assert await store.take("n", "critical", 9) == []
        assert store.damage.conflicts == 0
        assert await store.stop()

    asyncio.run(life())
    database = Database.open(tmp_path)
    assert [row.id for row in database.journal.rows()] == ["run.1", "run.2", "run.3"]
    assert [m.body for m in database.uplinks.take("south", "critical", 9)] == [b"told durable"] + [
        b"told from memory"
    ] * 2
    assert database.uplinks.take("n", "critical", 9) == []


def test_what_comes_during_a_retry_is_neither_lost_nor_overtaken(tmp_path, make_part, quick, refusing):
    async def life():
        store = Store(tmp_path)
        await store.start()
        refusing.refuses = True
        n = 0
        for round_ in range(30):
            refusing.refuses = round_ % 7 < 4
            for _ in range(4):
                n += 1
                store.put(make_part(n, urgent=n % 3 != 0))
            await asyncio.sleep(0.01)
        refusing.refuses = False
        await until(lambda: store.mode == "disk")
        assert await store.stop()
        return n

    n = asyncio.run(life())
    assert _journal(tmp_path) == [f"run.{m}" for m in range(1, n + 1)]


def test_a_database_spoilt_while_running_is_replaced_and_the_app_is_told_to_put_all_again(tmp_path, make_part, quick):
    reasons = []

    async def life():
        store = Store(tmp_path)
        store.on_mode(lambda mode, reason: reasons.append((mode, reason)))
        await store.start()
        for n in range(1, 30):
            await store.put(make_part(n, size=500))
        await store._worker.ask(Database.fold)
        await store._worker.ask(lambda db: db._access.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        with (tmp_path / NAME).open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * 60_000)
        await store._worker.ask(lambda db: db._access.connection.execute("PRAGMA shrink_memory").fetchall())
        assert not await store.put(make_part(30))
        await until(lambda: store.mode == "disk")
        assert await store.put(make_part(31))
        await store.stop()

    asyncio.run(life())
    assert reasons[-1] == ("disk", "rebuilt")
    assert _journal(tmp_path)[-2:] == ["run.30", "run.31"]


def test_a_bug_in_the_writer_reaches_whoever_waits_and_the_supervisor(tmp_path, make_part):
    async def life():
        store = Store(tmp_path)
        await store.start()
        bad = Part((JournalRow(1, "x", "kind", "no bytes"),), urgent=True)  # type: ignore[arg-type]
        answer = store.put(bad)
        with pytest.raises(Exception, match="Expected `bytes`"):
            await asyncio.wait_for(answer, 60)
        with pytest.raises(Exception, match="Expected `bytes`"):
            await store.ended()
        assert not await store.put(make_part(2))
        await store.stop()

    asyncio.run(life())


def test_what_waited_when_the_writer_broke_is_not_called_kept(tmp_path, make_part, monkeypatch):
    async def bug(_store):
        raise RuntimeError("nobody thought of it")

    async def life():
        store = Store(tmp_path)
        await store.start()
        monkeypatch.setattr(Store, "_flush", bug)
        idle = store.put(structs.replace(make_part(1, urgent=False), idle=True))
        answers = idle, store.put(make_part(2))
        with pytest.raises(RuntimeError):
            await store.ended()
        assert [str(answer.exception()) for answer in answers] == 2 * ["nobody thought of it"]
        return await store.stop()

    assert not asyncio.run(life())


def test_written_bytes_grow_with_what_is_written(tmp_path, make_part):
    async def life():
        store = Store(tmp_path)
        await store.start()
        before = store.written_bytes
        await store.put(Part((JournalRow(1, "run.1", "press", os.urandom(200_000)),), urgent=True))
        grown = store.written_bytes - before
        await store.stop()
        return grown

    grown = asyncio.run(life())
    if grown == 0:
        pytest.skip("this file system does not account for its writes (tmpfs)")
    assert grown >= 200_000


def test_an_inline_pool_needs_no_thread(tmp_path, make_part):
    """For loops with virtual time, which cannot wait for a thread."""

    async def life():
        store = Store(tmp_path, Inline())
        await store.start()
        assert await store.put(make_part(1))
        assert len(await store.take("n", "critical", 9)) == 1
        assert await store.stop()

    asyncio.run(life())


# What memory drops when it must


def test_quiet_rows_go_first_and_leave_a_gap_that_says_how_many(make_part):
    held = Held(quiet_bytes=10_000, held_bytes=1_000_000)
    for n in range(1, 101):
        held.add(make_part(n, urgent=n % 10 == 0), [])
    batch = held.batch()
    assert batch.journal[0].kind == GAP
    dropped = int(batch.journal[0].body)
    assert dropped == held.dropped_journal == 100 - (len(batch.journal) - 1)
    kept = [int(row.id.split(".")[1]) for row in batch.journal[1:]]
    assert kept == sorted(kept)
    assert set(range(10, 101, 10)) <= set(kept)
    assert len(batch.history) == 10
    assert [row.body for row in batch.state if row.key == "readings"] == [b"99"]


def test_messages_go_last_of_all(make_part):
    held = Held(quiet_bytes=10_000, held_bytes=20_000)
    for n in range(1, 301):
        part = make_part(n, size=100)
        held.add(part, [message.message(durable=False) for message in part.messages])
    assert held.dropped_messages > 0
    batch = held.batch()
    assert [row.kind for row in batch.journal] == [GAP]
    assert batch.history == ()
    assert batch.messages[-1].sequence == 300
    assert [message.sequence for message in batch.messages] == list(range(301 - len(batch.messages), 301))
    assert len(batch.state) == 300


def test_of_messages_the_least_urgent_lane_goes_first_and_its_oldest(make_part):
    def told(lane, sequence):
        return Message(lane, sequence, f"{lane}-{sequence}/1", "alerts", b"x" * 1_000, f"{lane}-{sequence}")

    held = Held(held_bytes=20_000)
    held.add(Part(urgent=True), [told("critical", 1), told("high", 1)])
    for n in range(1, 40):
        held.add(Part(urgent=True), [told("low", n)])
    assert list(held.messages("critical")) == list(held.messages("high")) == [1]
    low = list(held.messages("low"))
    assert low == list(range(40 - len(low), 40))
    assert held.dropped_messages == 39 - len(low) > 0
    for n in range(2, 40):
        held.add(Part(urgent=True), [told("critical", n)])
    assert list(held.messages("low")) == [39]
    assert list(held.messages("critical"))[-1] == 39


def test_later_state_wins_when_two_holds_are_merged():
    first, second = Held(), Held()
    first.add(Part(state=(StateRow("alert", "a", b"1"), StateRow("alert", "b", b"1"))), [])
    second.add(Part(state=(StateRow("alert", "a", None),), stamp=(5, b"")), [])
    first.merge(second)
    assert structs.asdict(first.batch())["state"] == (StateRow("alert", "b", b"1"), StateRow("alert", "a", None))
    assert first.batch().stamp == (5, b"")
