"""A long database is believed before it was looked through: no poll waits for that, and damage is found and mended all the same."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest
from instruments.waiting import until

from gateway.store import access, rounds
from gateway.store import connection as dialling
from gateway.store import worker as worker_module
from gateway.store.database import NAME, Database
from gateway.store.rows import Batch, HistoryRow, Part, StateRow
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
    monkeypatch.setattr(worker_module, "OPEN_S", 0.2)
    may_end, real = threading.Event(), Database.next_run

    def slowly(database):
        may_end.wait(60)
        return real(database)

    monkeypatch.setattr(Database, "next_run", slowly)

    async def story(store, loaded):
        assert len([row for row in loaded.state if row.kind == "alert"]) == len(OPEN)
        assert store.mode == "memory"
        assert not store._worker.late
        may_end.set()
        await until(lambda: store.mode == "disk")
        assert await store.put(Part(state=(StateRow("alert", "new", b"n"),), urgent=True))

    _start(lived, story)
