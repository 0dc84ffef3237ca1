"""A database that is damaged while the house lives, and mended in passing: a person is told, and the open alerts stay."""

from __future__ import annotations

import asyncio

import pytest
from app.living import Living
from instruments.virtual import virtual_run

from gateway.faults import StoreFault
from gateway.rules.compound import HEALTH, STORE
from gateway.store.database import Database
from gateway.store.rows import AuditRow

PAGE = 4_096


def _lose_the_alerts(database: Database) -> None:
    database.fold()
    connection = database._access.connection
    (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'state'").fetchone()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.execute("PRAGMA shrink_memory").fetchall()
    with database._access._path.open("r+b") as file:
        file.seek((root - 1) * PAGE)
        file.write(b"\xa5" * PAGE)


def test_an_open_alert_outlives_the_mending_of_the_database(tmp_path):
    async def story(living):
        living.gas[1].holding[1] = 26
        await living.until(lambda: ("gas-high", "gas-301") in living.open(), "the leak is known")
        store = living.house.store
        await store._worker.ask(_lose_the_alerts)
        with pytest.raises(StoreFault):
            await store._worker.ask(Database.load)
        await store.past.note(AuditRow(1, "root", "backup", ""))  # mends it

        def health():
            known = living.house.engine.fact(STORE, HEALTH)
            return known is not None and known.value

        await living.until(lambda: health() == "faulty", "somebody is told")
        await living.stop()
        await living.start()
        assert ("gas-high", "gas-301") in living.open()

    async def main():
        async with Living(tmp_path) as living:
            await asyncio.wait_for(story(living), 100_000)

    virtual_run(main(), patience_s=0.0)
