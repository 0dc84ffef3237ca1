"""A database that is mended while the store runs, in whichever job that is met: the house is told, and puts all state again."""

from __future__ import annotations

import asyncio

import pytest
from instruments.waiting import until
from msgspec import structs

from gateway.faults import StoreFault
from gateway.store import database as database_module
from gateway.store.database import NAME, Database
from gateway.store.rows import AuditRow, Part, StateRow
from gateway.store.store import Store

PAGE = 4_096
ALERTS = tuple(StateRow("alert", f"a{n:04}", b"s" * 400) for n in range(200))


@pytest.fixture
def filled(tmp_path):
    """A folder whose tables hold the alerts."""

    async def life():
        store = Store(tmp_path)
        await store.start()
        assert await store.put(Part(state=ALERTS, urgent=True))
        assert await store.stop()

    asyncio.run(life())
    return tmp_path


def _damage(database: Database) -> None:
    """A worn card: pages of alerts read as noise, and nothing of them is in memory."""
    connection = database._access.connection
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.execute("PRAGMA shrink_memory").fetchall()
    with database._access._path.open("r+b") as file:
        content = file.read()
        holding = [n for n in range(1, len(content) // PAGE) if b"alerta0" in content[n * PAGE : (n + 1) * PAGE]]
        for page in holding[1:-1]:
            file.seek(page * PAGE)
            file.write(b"\xa5" * PAGE)


async def _meet(store):
    with pytest.raises(StoreFault, match="CORRUPT"):
        await store._worker.ask(Database.load)


async def _put(store, make_part):
    await _meet(store)
    assert await store.put(structs.replace(make_part(1), messages=()))  # to the tables, and safe there


async def _note(store, _make_part):
    await _meet(store)
    await store.past.note(AuditRow(1, "root", "backup", ""))


async def _tidy(store, _make_part):
    await _meet(store)
    await store.tidying._tidy()


async def _uplink(store, _make_part):
    await _meet(store)
    await store.add_uplink("new")


async def _fold(store, make_part):
    """A fold meets the damage, and nobody waits for its answer; the next one mends it."""
    for row in ALERTS:
        await store.put(structs.replace(make_part(1), state=(row,), history=(), messages=()))
        await asyncio.sleep(0)
        if store._worker.rebuilt:
            return
    await until(lambda: store._worker.rebuilt)


async def _read(store, _make_part):
    """Nothing else is asked of the disk: the damage that is met is reason enough to mend it while the state is known."""
    await _meet(store)


@pytest.mark.parametrize("job", [_put, _note, _tidy, _uplink, _fold, _read])
def test_whoever_meets_it_the_house_is_told_and_no_open_alert_is_gone_at_the_next_start(
    filled, make_part, monkeypatch, job
):
    said = []

    async def life():
        store = Store(filled)

        def on_mode(mode, reason):
            said.append((mode, reason))
            if reason == "rebuilt":
                store.put(Part(state=ALERTS, urgent=True))

        store.on_mode(on_mode)
        await store.start()
        if job is _fold:
            monkeypatch.setattr(database_module, "FOLD_BYTES", 1)
        await store._worker.ask(_damage)
        await job(store, make_part)
        await until(lambda: ("disk", "rebuilt") in said)
        assert await store.stop(60)

    asyncio.run(life())
    assert said.count(("disk", "rebuilt")) == 1
    database = Database.open(filled)
    assert {row.key for row in database.load().state} >= {row.key for row in ALERTS}
    assert (filled / f"{NAME}.damaged-1").exists()
    database.close()


def test_a_database_that_is_left_is_not_mended_in_leaving_for_nobody_could_put_its_state_again(filled, make_batch):
    database = Database.open(filled)
    _damage(database)
    database.commit(structs.replace(make_batch(1), messages=()))  # into the log
    with pytest.raises(StoreFault, match="CORRUPT"):
        database.load()
    database.close()
    assert database.rebuilt == 0
    database = Database.open(filled)
    assert [note.split(":")[0] for note in database.load().notes][:1] == ["database_damaged"]
    assert "a1" in {row.key for row in database.load().state}
    database.close()
