"""What an alert waits for at the disk: the sync under way, and its own."""

from __future__ import annotations

import asyncio
import os

import pytest

from gateway.store.database import Database
from gateway.store.store import Store


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
            while store._worker._running:  # as long as the next alert takes to come
                await asyncio.sleep(0)
            rooms.add(store._worker._database._log.room)
        assert await store.stop()
        return rooms

    rooms = asyncio.run(life())
    assert len(rooms) > 3, "it grew, again and again"
    assert set(syncs[1:]) == {(1, 0)}, "the first one makes the file"
    database = Database.open(tmp_path)
    assert database._noted_room == max(rooms), "a log that is cut short is known to be"
    database.close()
