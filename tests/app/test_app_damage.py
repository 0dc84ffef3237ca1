"""A database that is damaged: a person is told, the open alerts stay or come anew, and all of them can end."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import pytest
from app.living import Living
from instruments.virtual import virtual_run

from gateway.faults import StoreFault
from gateway.rules.compound import HEALTH, STORE
from gateway.store.database import Database
from gateway.store.rows import AuditRow

PAGE = 4_096


def play(folder, story):
    async def main():
        async with Living(folder) as living:
            await asyncio.wait_for(story(living), 100_000)

    virtual_run(main(), patience_s=0.0)


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

    play(tmp_path, story)


def _damage_the_rows(folder):
    """Every alert's row is no longer what its checksum says."""
    with contextlib.closing(sqlite3.connect(folder / "loudong.db", isolation_level=None)) as connection:
        damaged = connection.execute("UPDATE state SET body = substr(body, 1, 20) WHERE kind = 'alert'").rowcount
    assert damaged


def test_an_alert_whose_row_is_lost_is_raised_anew(tmp_path):
    async def story(living):
        living.gas[1].holding[1] = 26
        await living.until(lambda: ("gas-high", "gas-301") in living.open(), "the leak is known")
        lost = living.open()["gas-high", "gas-301"].id
        await living.stop()
        _damage_the_rows(living.state)
        await living.start()
        await living.until(lambda: ("gas-high", "gas-301") in living.open(), "it is known again")
        assert living.open()["gas-high", "gas-301"].id != lost

    play(tmp_path, story)
