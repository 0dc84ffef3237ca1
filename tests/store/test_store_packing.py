"""Quiet rows packed: the same rows come back, in order, under the numbers they would have had."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store import packing
from gateway.store.database import Database
from gateway.store.packing import LEAST, BrokenPack, packed, unpacked
from gateway.store.recording import Recording
from gateway.store.rows import Batch, HistoryRow, JournalRow, Part, StateRow
from gateway.store.store import Store

rows = st.lists(
    st.builds(
        JournalRow, st.integers(-(2**63), 2**63 - 1), st.text(max_size=5), st.sampled_from(["reading", "press"]),
        st.binary(max_size=20), quiet=st.booleans(),
    ),
    max_size=40,
)  # fmt: skip


@given(rows)
def test_what_was_packed_comes_back_with_the_numbers_of_single_rows(given_rows):
    n, back = 0, []
    for row, count in packed(given_rows):
        n += count
        back += unpacked(JournalRow(row.at, row.id, row.kind, row.body, n))
    assert [(r.at, r.id, r.kind, r.body) for r in back] == [(r.at, r.id, r.kind, r.body) for r in given_rows]
    assert [row.n for row in back] == list(range(1, len(given_rows) + 1))


@given(st.binary(max_size=60))
def test_bytes_that_are_no_pack_raise_nothing_else(body):
    try:
        unpacked(JournalRow(0, "", packing.PACKED, body, 9))
    except BrokenPack:
        return


def test_urgent_rows_stay_single_and_are_found_by_their_kind():
    quiet = [JournalRow(n, f"q{n}", "reading", b"x", quiet=True) for n in range(LEAST)]
    kinds = [row.kind for row, _ in packed([*quiet, JournalRow(9, "p", "press", b"y"), *quiet[:2]])]
    assert kinds == [packing.PACKED, "press", "reading", "reading"]


def _batch(first, last):
    return Batch(tuple(JournalRow(n, f"r{n}", "reading", b"%d" % n, quiet=True) for n in range(first, last)))


@pytest.mark.parametrize("folded", [True, False])
def test_readers_see_single_rows_wherever_they_lie(tmp_path, folded):
    database = Database.open(tmp_path)
    database.commit(_batch(1, 50))
    database.fold()
    database.commit(_batch(50, 71))
    if folded:
        database.fold()
    assert [(row.n, row.id) for row in database.journal.rows()] == [(n, f"r{n}") for n in range(1, 71)]
    assert [row.n for row in database.journal.block(60, 5)][:5] == [61, 62, 63, 64, 65]
    assert database._access.connection.execute("SELECT COUNT(*) FROM journal").fetchone()[0] == 1 + folded
    with Recording(tmp_path) as recording:
        assert (recording.first, recording.last) == (1, 70)
        assert [(row.n, row.id) for row in recording.rows()] == [(n, f"r{n}") for n in range(1, 71)]
        assert recording.holes == recording.damaged == 0


def test_idle_parts_wait_for_company_and_come_before_it(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.store.store.QUIET_S", 0.05)

    async def life():
        store = Store(tmp_path)
        await store.start()
        idle = [store.put(Part(_batch(n, n + 1).journal, idle=True)) for n in range(1, 9)]
        await asyncio.sleep(0.3)
        assert not any(answer.done() for answer in idle)
        assert await store.put(Part(_batch(9, 10).journal))
        assert all(answer.done() for answer in idle)
        assert await store.stop()

    asyncio.run(life())
    assert [row.id for row in Database.open(tmp_path).journal.rows()] == [f"r{n}" for n in range(1, 10)]


def test_what_waits_for_company_is_held_as_one_and_committed_in_order(tmp_path):
    """Part by part it was half a MiB of a quiet minute. Of a row of state the last holds, whoever put it."""

    def part(n, body, *, idle):
        return Part(_batch(n, n + 1).journal, (StateRow("fact", "air", body),), stamp=(n, b"clock"), idle=idle)

    async def life():
        store = Store(tmp_path)
        await store.start()
        waiting = [store.put(part(n, b"%d" % n, idle=n != 4)) for n in range(1, 8)]
        assert waiting[0] is waiting[2]
        assert len({id(answer) for answer in waiting}) == 3
        store.put(Part(urgent=True))
        assert await asyncio.gather(*waiting) == [True] * 7
        last = [store.put(part(n, b"%d" % n, idle=True)) for n in range(8, 10)]
        assert await store.stop()
        assert last[0].result()

    asyncio.run(life())
    database = Database.open(tmp_path)
    assert [row.id for row in database.journal.rows()] == [f"r{n}" for n in range(1, 10)]
    loaded = database.load()
    assert [(row.key, row.body) for row in loaded.state] == [("air", b"9")]
    assert loaded.stamp == (9, b"clock")


def test_many_idle_parts_need_no_company(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.store.store.MANY", 30)

    async def life():
        store = Store(tmp_path)
        await store.start()
        first = store.put(Part(_batch(1, 2).journal, idle=True))
        for n in range(2, 30):
            store.put(Part(_batch(n, n + 1).journal, idle=True))
        await asyncio.sleep(0.05)
        assert not first.done()
        store.put(Part(_batch(30, 31).journal, idle=True))
        assert await first
        assert await store.stop()

    asyncio.run(life())


def test_an_idle_part_that_is_to_be_told_of_is_no_company(tmp_path):
    step = HistoryRow("a", 1, "raised", 1, None, "", b"{}")

    async def life():
        store = Store(tmp_path)
        await store.start()
        answers = [store.put(Part(history=history, idle=True)) for history in ((), (step,), ())]
        assert len({id(answer) for answer in answers}) == 3
        assert await store.stop()

    asyncio.run(life())
    assert [row.kind for row in Database.open(tmp_path).steps.all("a")] == ["raised"]


def test_a_row_that_is_no_pack_is_given_as_it_lies_and_counted_once(tmp_path):
    database = Database.open(tmp_path)
    database.commit(Batch((JournalRow(0, "r0", packing.PACKED, b"no pack"), *_batch(1, 50).journal)))
    database.fold()
    for _ in range(2):
        rows = list(database.journal.rows())
        assert [row.n for row in rows] == list(range(1, 51))
        assert rows[0].body == b"no pack"
    assert database.damage.unread == 1
    database.close()
    with Recording(tmp_path) as recording:
        assert [row.n for row in recording.rows()] == list(range(2, 51))
        assert (recording.first, recording.last, recording.damaged) == (1, 50, 1)
