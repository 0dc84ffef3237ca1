"""The database: what is committed is there, in order, whole or not at all."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from pathlib import Path

import msgspec
import pytest

from gateway.faults import StoreFault
from gateway.store.database import NAME, Database
from gateway.store.migrations import migrate, shipped, versions
from gateway.store.retention import Keep
from gateway.store.rows import Batch, HistoryRow, JournalRow, Message, StateRow


def test_everything_committed_is_found_again(tmp_path, make_batch):
    database = Database.open(tmp_path)
    for n in range(1, 6):
        database.commit(make_batch(n))
    database.close()
    again = Database.open(tmp_path)
    loaded = again.load()
    assert [row.key for row in loaded.state] == ["a1", "a2", "a3", "a4", "a5", "presses"]
    assert loaded.state[-1].body == b"5"
    assert loaded.stamp == (5_000, b"clocks")
    assert not loaded.created
    assert [row.id for row in again.journal.rows()] == [f"run.{n}" for n in range(1, 6)]
    assert [row.n for row in again.journal.rows(since=3)] == [4, 5]
    assert [row.kind for row in again.steps.all("a3")] == ["raised"]
    assert [message.sequence for message in again.uplinks.take("north", "critical", 9)] == [1, 2, 3, 4, 5]


def test_the_file_is_durable_private_and_checked(tmp_path):
    database = Database.open(tmp_path / "new" / "folder")
    connection = database._access.connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    database.commit(Batch(stamp=(1, b"")))
    for file in (tmp_path / "new" / "folder").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_state_row_without_a_body_is_deleted(tmp_path):
    database = Database.open(tmp_path)
    database.commit(Batch(state=(StateRow("alert", "a", b"1"), StateRow("alert", "b", b"1"))))
    database.commit(Batch(state=(StateRow("alert", "a", None),)))
    assert [row.key for row in database.load().state] == ["b"]


def test_closed_alerts_are_for_looking_back_only(tmp_path):
    database = Database.open(tmp_path)
    for n in range(5):
        database.commit(Batch(state=(StateRow("alert", f"a{n}", None), StateRow("closed", f"a{n}", b"x"))))
    assert database.load().state == ()
    assert [row.key for row in database.closed.recent(2)] == ["a4", "a3"]


def test_history_keeps_its_order_and_every_note_of_a_revision(tmp_path):
    database = Database.open(tmp_path)
    steps = [("raised", 1), ("repeated", 1), ("repeated", 1), ("told", 2), ("closed", 3)]
    for at, (kind, revision) in enumerate(steps):
        database.commit(Batch(history=(HistoryRow("a", revision, kind, at, "li", "why", b"x"),)))
    assert [(row.kind, row.revision) for row in database.steps.all("a")] == steps


def test_a_run_is_never_named_twice_even_when_the_file_is_lost(tmp_path):
    names = []
    for _ in range(3):
        database = Database.open(tmp_path)
        names.append(database.next_run())
        database.close()
    (tmp_path / NAME).unlink()
    fresh = Database.open(tmp_path)
    assert fresh.load().created
    names.append(fresh.next_run())
    assert len(set(names)) == 4
    assert fresh.load().runs == 1


def test_a_lost_run_counter_begins_a_new_lineage(tmp_path):
    database = Database.open(tmp_path)
    first = database.next_run()
    database._access.connection.execute("UPDATE meta SET body = x'39' WHERE key = 'runs'")
    assert database.next_run() != first
    assert database.next_run() != first
    assert database.damage.rows == 1


# Outbox


def test_each_uplink_has_its_own_cursor_and_it_survives_with_the_next_commit(tmp_path, make_batch):
    database = Database.open(tmp_path)
    for n in range(1, 7):
        database.commit(make_batch(n))
    database.uplinks.advance("north", "critical", 4)
    database.uplinks.advance("north", "critical", 2)  # never back
    assert [message.sequence for message in database.uplinks.take("north", "critical", 9)] == [5, 6]
    assert [message.sequence for message in database.uplinks.take("south", "critical", 2)] == [1, 2]
    assert database.uplinks.moved
    database.commit(Batch())
    assert not database.uplinks.moved
    database.close()
    assert [message.sequence for message in Database.open(tmp_path).uplinks.take("north", "critical", 9)] == [5, 6]


def test_only_what_every_uplink_has_is_pruned(tmp_path, make_batch):
    database = Database.open(tmp_path)
    for n in range(1, 9):
        database.commit(make_batch(n))
        database.commit(Batch(state=(StateRow("alert", f"a{n}", None),)))  # over and closed
    assert database.prune().messages == 0  # nobody was told anything yet
    assert database.uplinks.add("north")
    assert database.uplinks.add("south")
    assert not database.uplinks.add("south")
    database.uplinks.advance("north", "critical", 8)
    assert database.prune().messages == 0
    database.uplinks.advance("south", "critical", 3)
    assert database.prune().messages == 3
    assert [message.sequence for message in database.uplinks.take("south", "critical", 9)] == [4, 5, 6, 7, 8]
    database.uplinks.forget("south")
    assert database.prune().messages == 4  # the newest stays, to hold the lane's number
    assert database.last_sequences() == {"critical": 8}
    database.uplinks.add("west")
    assert [message.sequence for message in database.uplinks.take("west", "critical", 9)] == [8]


def test_the_same_message_again_is_no_news_but_other_words_are_refused_and_counted(tmp_path):
    database = Database.open(tmp_path)
    message = Message("high", 1, "a/1", "alerts", b"one", "a")
    database.commit(Batch(messages=(message,)))
    database.commit(Batch(messages=(message,)))
    assert database.damage.conflicts == 0
    database.commit(Batch(messages=(Message("high", 1, "a/1", "alerts", b"two", "a"),), stamp=(7, b"")))
    assert database.damage.conflicts == 1
    assert [kept.body for kept in database.uplinks.take("north", "high", 9)] == [b"one"]
    assert database.load().stamp == (7, b"")  # the rest of the batch is not punished
    assert database._access.connection.execute("SELECT reason FROM damaged").fetchall() == [("conflict",)]


def test_a_place_taken_by_another_message_loses_neither(tmp_path):
    """The core forgot its sequences (a store that could not be read at start), the disk did not."""
    database = Database.open(tmp_path)
    database.commit(Batch(messages=(Message("high", 1, "old/1", "alerts", b"o", "old"),)))
    database.commit(Batch(messages=(Message("high", 1, "new/1", "alerts", b"n", "new"),)))
    assert [kept.id for kept in database.uplinks.take("north", "high", 9)] == ["old/1", "new/1"]
    assert database.damage.renumbered == 1


def test_the_journal_is_bounded_from_its_old_end_in_small_steps(tmp_path):
    database = Database.open(tmp_path)
    database.commit(Batch(tuple(JournalRow(n, f"r.{n}", "reading", b"") for n in range(3_000))))
    first = database.prune(Keep(journal_rows=100))
    assert (first.journal, first.more) == (1_000, True)
    while database.prune(Keep(journal_rows=100)).more:
        pass
    rows = list(database.journal.rows())
    assert len(rows) == 100
    assert rows[-1].id == "r.2999"


# Failure


def test_a_batch_that_breaks_half_way_leaves_nothing(tmp_path, make_batch):
    database = Database.open(tmp_path)
    database.commit(make_batch(1))
    good, bad = JournalRow(1, "x", "k", b""), JournalRow(1, "y", "k", None)  # type: ignore[arg-type]
    with pytest.raises(msgspec.ValidationError):  # a bug of the caller rises, it is no fault of the disk
        database.commit(Batch(journal=(good, bad)))
    assert [row.id for row in database.journal.rows()] == ["run.1"]
    database.commit(make_batch(2))
    assert [row.id for row in database.journal.rows()] == ["run.1", "run.2"]


def test_a_full_disk_refuses_whole_batches_and_takes_them_later(tiny_disk, make_batch):
    database = Database.open(tiny_disk.path)
    tiny_disk.fill()
    kept, refused = [], []
    for n in range(1, 40):
        try:
            database.commit(make_batch(n, size=3_000))
            kept.append(n)
        except StoreFault:
            refused.append(n)
    assert len(refused) > 5
    assert [
        message.sequence for message in database.uplinks.take("north", "critical", 99)
    ] == kept  # reading still works
    tiny_disk.free()
    database.commit(make_batch(refused[0]))
    assert len(list(database.journal.rows())) == len(kept) + 1


@pytest.mark.parametrize(
    "left",
    [(NAME,), (NAME, f"{NAME}-wal"), (NAME, f"{NAME}-wal", f"{NAME}-shm"), (NAME, f"{NAME}-wal", "loudong.log")],
    ids=["clean", "wal", "wal-and-index", "not-folded"],
)
def test_a_disk_that_turned_read_only_can_still_be_started_from(tmp_path, tiny_disk, make_batch, left):
    source = Database.open(tmp_path / "source")
    source.commit(make_batch(1))
    if "loudong.log" not in left:
        source.fold()
    if left == (NAME,):
        source.close()
    for part in left:
        shutil.copyfile(tmp_path / "source" / part, tiny_disk.path / part)
    tiny_disk.read_only(True)
    database = Database.open(tiny_disk.path)
    loaded = database.load()
    assert not loaded.writable
    assert [row.key for row in loaded.state] == ["a1", "presses"]
    assert len(database.uplinks.take("north", "critical", 9)) == 1
    with pytest.raises(StoreFault):
        database.commit(make_batch(2))
    with pytest.raises(StoreFault):
        database.next_run()
    tiny_disk.read_only(False)
    database.commit(make_batch(2))
    assert database.load().writable
    assert len(list(database.journal.rows())) == 2


def test_a_commit_that_failed_and_landed_after_all_is_not_written_twice(tmp_path, make_batch, monkeypatch):
    """An fsync that failed may still have reached the disk; whoever opens the file anew finds it."""
    database = Database.open(tmp_path)
    database.commit(make_batch(1))
    database.fold()
    database._log.sick = True  # so that it is the tables that are written

    class Landing:
        """A connection whose COMMIT reaches the disk and reports a failure."""

        def __init__(self, real: sqlite3.Connection) -> None:
            self._real = real

        def execute(self, sql, *values):
            cursor = self._real.execute(sql, *values)
            if sql == "COMMIT":
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC"
                raise error
            return cursor

        def __getattr__(self, name):
            return getattr(self._real, name)

    database._access.connection = Landing(database._access.connection)
    second = make_batch(2)
    with pytest.raises(StoreFault):
        database.commit(second)
    told = Message("critical", 2, "a2/1", "alerts", b"told from memory", "a2")
    third = make_batch(3)
    retry = Batch(
        second.journal + third.journal,
        second.state + third.state,
        second.history + third.history,
        (told, *third.messages),
        third.stamp,
    )
    database.commit(retry)
    assert [row.id for row in database.journal.rows()] == ["run.1", "run.2", "run.3"]
    assert len(database.steps.all("a2")) == 1
    assert [message.body for message in database.uplinks.take("n", "critical", 9)][1] == b"told from memory"
    assert database.damage.conflicts == 0


# Migrations


def test_an_older_database_is_brought_forward_version_by_version(tmp_path):
    (tmp_path / "demo_v1.sql").write_text("CREATE TABLE a (x);")
    (tmp_path / "demo_v2.sql").write_text("ALTER TABLE a ADD COLUMN y; UPDATE a SET y = x * 2;")
    connection = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    schemas = versions(tmp_path, "demo")
    assert migrate(connection, {1: schemas[1]}) == (0, 1)
    connection.execute("INSERT INTO a VALUES (21)")
    assert migrate(connection, schemas) == (1, 2)
    assert migrate(connection, schemas) == (2, 2)
    assert connection.execute("SELECT * FROM a").fetchall() == [(21, 42)]


def test_a_migration_that_fails_leaves_the_version_before(tmp_path):
    connection = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, {1: "CREATE TABLE a (x);", 2: "CREATE TABLE b (x); INSERT INTO nowhere VALUES (1);"})
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("a",)]
    assert not connection.in_transaction


def test_shipped_schemas_have_no_gap(tmp_path: Path):
    assert list(shipped()) == [1, 2]
    (tmp_path / "demo_v2.sql").write_text("SELECT 1;")
    with pytest.raises(ValueError, match="without a gap"):
        versions(tmp_path, "demo")
