"""Telemetry: bounded, droppable, counted, and in nobody's way."""

from __future__ import annotations

import asyncio
import random
import secrets
import zlib

import pytest
from instruments.virtual import virtual_run

from gateway.store import telemetry as telemetry_module
from gateway.store.telemetry import NAME, Telemetry, decode


def _rows(telemetry) -> list:
    return asyncio.run(telemetry.recent("gas-1", "lel", 0, 10_000))


def test_samples_are_found_again_in_order_with_their_types(tmp_path):
    values = [1.5, 2, "text", None, 2**70, -(2**63)]

    async def life():
        telemetry = Telemetry(tmp_path)
        for at, value in enumerate(values):
            telemetry.add("gas-1", "lel", at, value, "good")
            telemetry.add("gas-2", "lel", at, 0, "good")
        await telemetry.flush()
        assert telemetry.counters.written == 12
        assert [one.value for one in await telemetry.recent("gas-1", "lel", 3, 2)] == [str(2**70), -(2**63)]
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            NAME,
            f"{NAME}-wal",
        ]  # and no index, as costly as a block
        await asyncio.get_running_loop().run_in_executor(telemetry._worker, telemetry._close)

    asyncio.run(life())
    assert [one.value for one in _rows(Telemetry(tmp_path))] == [1.5, 2, "text", None, str(2**70), -(2**63)]


async def _fill(telemetry, ats, value=lambda: 0):
    for at in ats:
        telemetry.add("gas-1", "lel", at, value(), "good")
    await telemetry.flush()


def test_age_is_bounded_in_milliseconds(tmp_path):
    telemetry = Telemetry(tmp_path, age_ms=60_000)
    for begin in range(0, 3_000, 500):  # a block goes when its last sample is too old
        asyncio.run(_fill(telemetry, range(begin, begin + 500, 10)))
    asyncio.run(_fill(telemetry, [62_400]))
    assert [one.at for one in _rows(telemetry)] == [*range(2_000, 3_000, 10), 62_400]
    assert telemetry.counters.pruned == 200


def test_the_file_grows_no_further_than_its_bound_and_a_tighter_one_is_reached_step_by_step(tmp_path, monkeypatch):
    monkeypatch.setattr(telemetry_module, "ROUND", 2)
    telemetry = Telemetry(tmp_path, most_bytes=200_000)
    noise = random.Random(1)
    sizes = []
    for block in range(40):
        asyncio.run(_fill(telemetry, range(block * 2_000, block * 2_000 + 2_000), noise.random))
        telemetry._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # all of it in one file, to be measured
        sizes.append((tmp_path / NAME).stat().st_size)
    assert max(sizes) < 500_000
    assert max(sizes[20:]) <= max(sizes[:20])  # it has stopped growing
    assert _rows(telemetry)[-1].at == 79_999
    before = telemetry.counters.pruned
    telemetry.most_bytes = 20_000
    asyncio.run(_fill(telemetry, [80_000]))
    assert 0 < telemetry.counters.pruned - before <= 4_000


def test_too_many_waiting_samples_drop_the_oldest_and_are_counted(tmp_path):
    telemetry = Telemetry(tmp_path, buffer=10)
    for at in range(25):
        telemetry.add("gas-1", "lel", at, 0, "good")
    asyncio.run(telemetry.flush())
    assert telemetry.counters.dropped == 15
    assert [one.at for one in _rows(telemetry)] == list(range(15, 25))


@pytest.mark.parametrize("content", [b"garbage" * 500, b"SQLite format 3\0" + b"\xff" * 9000])
def test_a_damaged_file_is_set_aside(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    telemetry = Telemetry(tmp_path)
    for at in range(2):
        telemetry.add("gas-1", "lel", at, 0, "good")
        asyncio.run(telemetry.flush())
    assert telemetry.counters.set_aside == 1
    assert telemetry.counters.dropped == 1
    assert [one.at for one in _rows(telemetry)] == [1]
    assert (tmp_path / f"{NAME}.damaged-1").read_bytes() == content


def test_a_full_disk_costs_samples_and_nothing_else(tiny_disk):
    telemetry = Telemetry(tiny_disk.path)
    telemetry.add("gas-1", "lel", 1, 0, "good")
    asyncio.run(telemetry.flush())
    tiny_disk.fill()
    for at in range(20_000):
        telemetry.add("gas-1", "lel", at, secrets.token_hex(30), "good")
    asyncio.run(telemetry.flush())
    assert telemetry.counters.dropped == 20_000
    tiny_disk.free()
    telemetry.add("gas-1", "lel", 2, 0, "good")
    asyncio.run(telemetry.flush())
    assert [one.at for one in _rows(telemetry)] == [1, 2]


def test_the_last_block_is_written_at_the_end(tmp_path):
    async def life():
        telemetry = Telemetry(tmp_path)
        task = asyncio.create_task(telemetry.run())
        await asyncio.sleep(0)
        telemetry.add("gas-1", "lel", 1, 0, "good")
        task.cancel()
        await asyncio.wait({task})
        telemetry._worker.shutdown(wait=True)

    asyncio.run(life())
    assert [one.at for one in _rows(Telemetry(tmp_path))] == [1]


def test_a_run_that_was_restarted_writes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(telemetry_module, "BLOCK_S", 0.02)

    async def life():
        telemetry = Telemetry(tmp_path)
        for n in (1, 2, 3):
            task = asyncio.create_task(telemetry.run())
            telemetry.add("gas-1", "lel", n, 0, "good")
            async with asyncio.timeout(60):
                while telemetry.counters.written < n:
                    await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()

    asyncio.run(life())
    assert [one.at for one in _rows(Telemetry(tmp_path))] == [1, 2, 3]


def test_an_end_takes_no_time_where_the_disk_takes_none(tmp_path):
    """On a virtual clock, which jumps wherever it does not know of work that is under way."""

    async def life():
        telemetry, loop = Telemetry(tmp_path), asyncio.get_running_loop()
        task = asyncio.create_task(telemetry.run())
        await asyncio.sleep(0)
        telemetry.add("gas-1", "lel", 1, 1, "good")
        task.cancel()
        await asyncio.wait({task})
        return loop.time(), telemetry.counters.written

    assert virtual_run(life(), patience_s=0.0) == (0.0, 1)


@pytest.mark.parametrize(
    "body", [b"", b"junk", zlib.compress(b"\x91\x95\xa2\xe1\xe1\xa1p\x90\x90\x80"), zlib.compress(b"\x91" * 9_999)]
)
def test_a_block_that_cannot_be_read_holds_nothing(body):
    """Found by mutation: names that are no text."""
    assert list(decode(body, "air", "co2")) == []
