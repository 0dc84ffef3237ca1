"""Who reads the store sees no seam between the tables and what is only in the commit log."""

from __future__ import annotations

import pytest
from msgspec import structs

from gateway.store.commit_log import Entry
from gateway.store.database import Database
from gateway.store.recording import Recording
from gateway.store.retention import CLOSED
from gateway.store.rows import Batch, HistoryRow, JournalRow, StateRow
from gateway.store.unfolded import Unfolded


def _closing(make_batch, n):
    """The n-th alert is closed, and its open state goes."""
    state = (StateRow("alert", f"a{n}", None), StateRow(CLOSED, f"a{n}", b"how"))
    step = HistoryRow(f"a{n}", 2, "closed", n * 1_000 + 500, "li", "", b"h")
    return structs.replace(make_batch(n + 10), state=state, history=(step,), messages=())


def _seen(database):
    loaded = database.load()
    return {
        "state": {row for row in loaded.state if row.kind != "counter"},
        "stamp": loaded.stamp,
        "sequences": loaded.sequences,
        "journal": [structs.replace(row, quiet=False) for row in database.journal.rows()],
        "middle": database.journal.block(2, 2)[:2],  # it may give more
        "histories": [database.steps.all(f"a{n}") for n in range(1, 6)],
        "closed": database.closed.recent(2),
        "messages": database.uplinks.take("noc", "critical", 9),
    }


def _beside(folder):
    with Recording(folder) as recording:
        return [*recording.rows()], recording.first, recording.last, recording.until, recording.steps


@pytest.mark.parametrize("folded_before", range(7))
def test_every_answer_is_the_same_before_and_after_folding(tmp_path, make_batch, folded_before):
    database = Database.open(tmp_path)
    database.uplinks.add("noc")
    batches = [
        make_batch(1),
        make_batch(2),
        _closing(make_batch, 1),
        make_batch(3),
        make_batch(4),
        _closing(make_batch, 3),
    ]
    for place, batch in enumerate(batches):
        if place == folded_before:
            database.fold()
        database.commit(batch)
    before, beside = _seen(database), _beside(tmp_path)
    while database._unfolded:  # a record at a time
        database.fold(lambda: True)
        assert _seen(database) == before
        assert _beside(tmp_path) == beside
    assert database._log.size == 0
    assert [row.n for row in before["journal"]] == [1, 2, 3, 4, 5, 6]
    assert [row.key for row in before["closed"]] == ["a3", "a1"]
    assert {row.key for row in before["state"]} == {"a2", "a4"}
    assert [message.sequence for message in before["messages"]] == [1, 2, 3, 4]
    database.close()


def test_what_the_tables_hold_already_is_not_laid_over_them_again():
    rows = [JournalRow(n, f"r{n}", "press", b"") for n in (1, 2, 3)]
    log = Unfolded(Entry(n, Batch((row,), stamp=(n, b"")), ()) for n, row in enumerate(rows, 1))
    assert [row.n for row in log.behind(1).journal(1)] == [2, 3]
    assert not log.behind(3)
    assert log.behind(3).stamp() is None
    assert log.stamp() == (3, b"")
