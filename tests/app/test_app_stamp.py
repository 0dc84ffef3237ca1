"""What cannot be read of the clocks of the last run prevents no start: the site's time goes on where it stood."""

from __future__ import annotations

import asyncio

import pytest
from app.living import Living
from instruments.virtual import virtual_run

from gateway.rules.compound import HEALTH, STORE
from gateway.store.database import Database
from gateway.store.rows import Batch

STOOD = 90_000_000
KNOWN = b'{"boot_id":"b","boottime_ms":1,"wall_ms":1,"clock":'


@pytest.mark.parametrize(
    "clocks",
    [KNOWN + b'"atomic"}', b"", b"[]", KNOWN + b'"synced","later":' + b"[" * 9_000 + b"]" * 9_000 + b"}"],
    ids=["a later quality", "nothing", "another shape", "too deep"],
)
def test_a_start_on_a_stamp_that_cannot_be_read(tmp_path, clocks):
    def leave(living):
        database = Database.open(living.state)
        database.commit(Batch(stamp=(STOOD, clocks)))
        database.close()

    async def main():
        async with Living(tmp_path, before=leave) as living:
            await asyncio.sleep(5)
            assert STOOD <= living.house.timeline.now() < STOOD + 600_000
            assert living.house.engine.fact(STORE, HEALTH).value == "faulty"
            assert any(getattr(event, "detail", "") == "stamp_unreadable" for event in living.journal())

    virtual_run(main(), patience_s=0.0)
