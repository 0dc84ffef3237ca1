"""A long database is believed before it was looked through: no poll waits for that, and damage is found and mended all the same."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading

import pytest
from instruments.waiting import until

from gateway.store import access, rounds, salvage
from gateway.store import connection as dialling
from gateway.store import worker as worker_module
from gateway.store.database import NAME, Database
from gateway.store.rows import Batch, HistoryRow, JournalRow, Message, Part, StateRow
from gateway.store.store import Store

PAGE = 4_096
OPEN = tuple(StateRow("alert", f"a{n:04}", b"s" * 400) for n in range(100))
PAST = tuple(HistoryRow(f"c{n:04}", 1, "told", n, None, "", random.Random(n).randbytes(500)) for n in range(400))


@pytest.fixture(autouse=True)
def long(monkeypatch):
    """Any database is a long one, and is walked through at once."""
    monkeypatch.setattr(access, "PROVED_BYTES", 0)
    monkeypatch.setattr(rounds, "FIRST_S", 0.01)
    monkeypatch.setattr(rounds, "PAUSE_S", 0.0)


@pytest.fixture
def lived(tmp_path):
    database = Database.open(tmp_path / "state")
    database.commit(Batch(state=(*OPEN, StateRow("closed", "c", b"c"), StateRow("lane", "high", b"l")), history=PAST))
    database.close()
    return tmp_path / "state"


def _spoil(state, sign: bytes, *, pages: int = 3) -> None:
    content = bytearray((state / NAME).read_bytes())
    holding = [n for n in range(1, len(content) // PAGE) if sign in content[n * PAGE : (n + 1) * PAGE]][1:-1]
    assert len(holding) > pages
    for n in holding[:pages]:
        content[n * PAGE : (n + 1) * PAGE] = b"\xa5" * PAGE
    (state / NAME).write_bytes(content)


def _start(state, story):
    async def main():
        store = Store(state)
        loaded = await store.start()
        try:
            await story(store, loaded)
        finally:
            await store.stop()

    asyncio.run(main())


def test_the_start_does_not_look_through_it(lived, monkeypatch):
    monkeypatch.setattr(dialling, "prove", lambda _connection, **_: pytest.fail("looked through at the start"))

    async def story(store, loaded):
        assert {row.key for row in loaded.state} == {*(row.key for row in OPEN), "high"}
        assert await store.put(Part(state=(StateRow("alert", "new", b"n"),), urgent=True))

    _start(lived, story)


def test_damage_that_nobody_has_met_is_found_beside_the_work_and_mended(lived):
    _spoil(lived, b"c01")
    reasons = []

    async def story(store, loaded):
        store.on_mode(lambda _mode, reason: reasons.append(reason))
        assert loaded.notes == ()
        await until(lambda: reasons)
        assert reasons == ["rebuilt"]
        assert (lived / f"{NAME}.damaged-1").exists()
        assert len(await store.past.history("c0399")) == 1

    _start(lived, story)


def test_damage_among_the_open_alerts_is_mended_before_the_core_begins(lived):
    _spoil(lived, b"alerta00", pages=2)

    async def story(_store, loaded):
        assert [note.split(":")[0] for note in loaded.notes] == ["database_damaged"]
        assert loaded.losses == 1
        known = [row for row in loaded.state if row.kind == "alert"]
        assert 0 < len(known) < len(OPEN)

    _start(lived, story)


def test_a_start_that_can_read_and_not_count_knows_what_it_read(lived, monkeypatch):
    monkeypatch.setattr(worker_module, "COUNT_S", 0.1)
    may_end, real = threading.Event(), Database.next_run

    def slowly(database):
        may_end.wait(60)
        return real(database)

    monkeypatch.setattr(Database, "next_run", slowly)

    async def story(store, loaded):
        assert len([row for row in loaded.state if row.kind == "alert"]) == len(OPEN)
        assert not store._worker.late
        kept = store.put(Part(state=(StateRow("alert", "new", b"n"),), urgent=True))
        await asyncio.sleep(0.1)
        assert (store.mode, kept.done()) == ("disk", False)
        may_end.set()
        assert await kept

    _start(lived, story)


def test_where_a_walk_would_keep_commits_out_there_is_none(lived, monkeypatch):
    """Its one step went through all of the file: on a card a minute in which no alert is written."""
    real = dialling.dial

    def without_a_log(path):
        """As on a file system that shares no memory."""
        connection = real(path)
        assert connection.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
        return connection

    database = Database.open(lived)
    assert database.inspect()
    database.close()
    monkeypatch.setattr(dialling, "dial", without_a_log)
    database = Database.open(lived)
    assert not database.inspect()
    database.close()


@pytest.fixture
def slow_card(monkeypatch):
    """The start waits for a moment; a copy is made when it is let."""
    monkeypatch.setattr(worker_module, "OPEN_S", 2.0)
    may_end, real = threading.Event(), salvage.rebuild

    def slowly(*told):
        may_end.wait(60)
        return real(*told)

    monkeypatch.setattr(salvage, "rebuild", slowly)
    return may_end


def _number_leaps(state) -> None:
    with sqlite3.connect(state / NAME) as connection:
        connection.execute("UPDATE journal SET n = n | (1 << 40) WHERE n = (SELECT MAX(n) FROM journal)")
    connection.close()


def _key_of_one_open_alert(state) -> None:
    content = bytearray((state / NAME).read_bytes())
    content[content.index(b"alerta0050") + 5] ^= 0x10
    (state / NAME).write_bytes(content)


def _pages_of_the_past(state) -> None:
    _spoil(state, b"c01")


@pytest.mark.parametrize("proved", [0, 1 << 30], ids=["long", "looked through"])
@pytest.mark.parametrize("damage", [_number_leaps, _key_of_one_open_alert, _pages_of_the_past])
def test_a_start_that_waits_for_a_copy_in_vain_begins_with_all_that_can_be_read(
    tmp_path, monkeypatch, slow_card, damage, proved
):
    monkeypatch.setattr(access, "PROVED_BYTES", proved)
    monkeypatch.setattr(rounds, "FIRST_S", 60.0)
    state = tmp_path / "state"
    database = Database.open(state)
    rows = tuple(JournalRow(n, f"r-{n}", "press", b"{}") for n in range(10))
    database.commit(Batch(state=OPEN, history=PAST, journal=rows))
    database.fold()
    told = Message("critical", 1, "late/1", "t", b"body", "late")
    database.commit(Batch(state=(StateRow("alert", "late", b"l"),), messages=(told,)))
    database._access.hang_up()  # killed: what came last is in the log alone
    damage(state)
    lost = {"a0050"} if damage is _key_of_one_open_alert else set()

    async def story(store, loaded):
        known = {row.key for row in loaded.state if row.kind == "alert"}
        assert known == {*(row.key for row in OPEN), "late"} - lost
        slow_card.set()
        await store.add_uplink("street")
        assert await store.put(Part(state=(StateRow("alert", "new", b"n"),), urgent=True)) in {True, False}
        await until(lambda: store.mode == "disk" and not store._left)
        assert not store._worker.late
        if damage is not _pages_of_the_past or proved:
            assert (state / f"{NAME}.damaged-1").exists()

    _start(state, story)
    again = Database.open(state)
    assert {row.key for row in again.load().state if row.kind == "alert"} == {
        *(row.key for row in OPEN),
        "late",
        "new",
    } - lost
    assert again.last_sequences()["critical"] >= 1
    again.close()
