"""A corrupt store never prevents a start: what can be read is saved, what cannot is reported."""

from __future__ import annotations

import contextlib
import random
import sqlite3

import pytest

from gateway.faults import StoreFault
from gateway.store import salvage
from gateway.store.database import NAME, Database
from gateway.store.rows import Batch, JournalRow

PAGE = 4096


@pytest.fixture
def filled(tmp_path, make_batch):
    """A closed store of 200 alerts; answers its file."""
    database = Database.open(tmp_path)
    database.next_run()
    for n in range(1, 201, 20):
        parts = [make_batch(m, size=200) for m in range(n, n + 20)]
        database.commit(
            Batch(
                tuple(row for part in parts for row in part.journal),
                tuple(part.state[0] for part in parts),
                tuple(row for part in parts for row in part.history),
                tuple(row for part in parts for row in part.messages),
                (n, b""),
            )
        )
    database.close()
    return tmp_path / NAME


def _start(folder):
    """A start as the gateway does it: everything is read, something is written."""
    database = Database.open(folder)
    loaded = database.load()
    database.next_run()
    database.commit(Batch(journal=(JournalRow(9, "new.1", "press", b"after"),)))
    assert list(database.journal.rows())[-1].id == "new.1"
    return database, loaded


@pytest.mark.parametrize(
    "content", [b"garbage" * 1000, b"\0" * 8192, b"SQLite format 3\0" + b"\xff" * 5000], ids=["text", "zeros", "header"]
)
def test_a_file_that_is_no_database_is_put_aside(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    _, loaded = _start(tmp_path)
    assert loaded.notes[0].startswith("database_damaged: ")
    assert (tmp_path / f"{NAME}.damaged-1").read_bytes() == content


def test_damage_upon_damage_overwrites_no_evidence(tmp_path):
    for number in (1, 2, 3):
        (tmp_path / NAME).write_bytes(b"garbage %d" % number)
        (tmp_path / f"{NAME}-wal").unlink(missing_ok=True)
        Database.open(tmp_path).close()
        assert (tmp_path / f"{NAME}.damaged-{number}").read_bytes() == b"garbage %d" % number


def test_one_bad_page_costs_only_what_was_on_it(filled):
    """Every page in turn is overwritten with noise; each time the store starts and saves the rest."""
    original, saved = filled.read_bytes(), []
    for page in range(len(original) // PAGE):
        for file in filled.parent.iterdir():
            file.unlink()
        noise = random.Random(page).randbytes(PAGE)
        filled.write_bytes(original[: page * PAGE] + noise + original[(page + 1) * PAGE :])
        database, loaded = _start(filled.parent)
        assert loaded.notes or len(loaded.state) == 200  # noticed, or nothing was on that page
        saved.append(
            len(loaded.state) + len(list(database.journal.rows())) + len(database.uplinks.take("n", "critical", 999))
        )
        database.close()
    whole = 200 + 201 + 200
    assert max(saved) == whole
    assert sorted(saved)[len(saved) // 2] > whole * 0.9


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_still_starts(filled, share):
    content = filled.read_bytes()
    filled.write_bytes(content[: int(len(content) * share)])
    database, loaded = _start(filled.parent)
    assert loaded.notes or loaded.created or share == 0.0
    if share > 0.8:
        assert len(database.uplinks.take("n", "critical", 999)) > 50


def test_random_flipped_bits_never_prevent_a_start_and_never_pass_for_truth(filled):
    original = filled.read_bytes()
    for seed in range(25):
        for file in filled.parent.iterdir():
            file.unlink()
        broken, dice = bytearray(original), random.Random(seed)
        for _ in range(20):
            broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
        filled.write_bytes(broken)
        database, loaded = _start(filled.parent)
        assert all(row.body == b"s" * 200 for row in loaded.state if row.kind == "alert")
        assert all(row.body == b"j" * 200 for row in database.journal.rows() if row.id != "new.1")
        assert all(message.body == b"m" * 200 for message in database.uplinks.take("n", "critical", 999))
        assert all(row.body == b"h" * 200 for n in range(1, 201) for row in database.steps.all(f"a{n}"))
        database.close()


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("journal", "body = x'00' WHERE n = 7"),
        ("journal", "at = at + 1 WHERE n = 7"),
        ("state", "body = x'00' WHERE key = 'a7'"),
        ("state", "key = CAST(x'ff' AS TEXT) WHERE key = 'a7'"),
        ("history", "reason = 'x' WHERE alert = 'a7'"),
        ("outbox", "topic = 'elsewhere' WHERE sequence = 7"),
        ("outbox", "sequence = 1 << 40 WHERE sequence = 7"),
        ("cursors", "sequence = 100 WHERE lane = 'critical'"),
    ],
)
def test_a_changed_row_is_found_set_aside_and_counted_once(filled, table, change):
    database = Database.open(filled.parent)
    with database._access.writing() as connection:
        database._outbox.add_uplink(connection, "n", {})  # as if it had been there from the first day
    database.uplinks.advance("n", "critical", 5)
    database.commit(Batch())
    database.fold()
    database._access.connection.execute(f"UPDATE {table} SET {change}")  # noqa: S608 (a test's own words)
    database.close()
    database = Database.open(filled.parent)
    for _ in range(2):
        loaded, journal = database.load(), list(database.journal.rows())
        history, messages = database.steps.all("a7"), database.uplinks.take("n", "critical", 999)
    assert database.damage.rows == 1
    assert database._access.connection.execute("SELECT origin, reason FROM damaged").fetchall() == [(table, "checksum")]
    assert len(loaded.state) == 200 - (table == "state")
    assert len(journal) == 200 - (table == "journal")
    assert len(history) == 1 - (table == "history")
    # A cursor that cannot be believed starts over; a bad message is passed over.
    assert len(messages) == {"cursors": 200, "outbox": 194}.get(table, 195)


def test_more_bad_rows_than_are_asked_for_do_not_hide_the_good_ones(filled):
    database = Database.open(filled.parent)
    database._access.connection.execute("UPDATE outbox SET topic = 'x' WHERE sequence <= 50")
    assert [message.sequence for message in database.uplinks.take("n", "critical", 3)] == [51, 52, 53]
    database._access.connection.execute("UPDATE journal SET kind = 'x' WHERE n <= 50")
    assert next(iter(database.journal.rows())).n == 51


def test_damage_met_while_running_is_repaired_and_the_commit_succeeds_on_the_next_try(filled, make_batch):
    database = Database.open(filled.parent)
    size = filled.stat().st_size
    database._access.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with filled.open("r+b") as file:
        file.seek(PAGE)
        file.write(b"\xff" * (size - PAGE))
    database._access.connection.execute("PRAGMA shrink_memory")
    with pytest.raises(StoreFault):
        database.load()
    database.commit(make_batch(500))
    assert database.rebuilt == 1  # the only word of it here; the store passes it on: test_store_repairs_told.py
    assert len(database.load().state) < 200
    assert [row.id for row in database.journal.rows()][-1] == "run.500"


@pytest.mark.parametrize("step", range(1, 12))
def test_an_exchange_cut_short_at_any_step_is_finished_by_the_next_start(filled, monkeypatch, step):
    """The repair is stopped before its n-th change to the folder, as by a power cut; the next start has all readable rows."""
    content = bytearray(filled.read_bytes())
    content[100:120] = b"\xff" * 20  # b-tree header of the schema's page: the file is no sound database
    content[28:32] = b"\0\0\0\1"
    filled.write_bytes(content)
    steps = iter(range(1, 100))

    class Cut(BaseException):
        pass

    def cutting(real):
        def maybe(*args, **kwargs):
            if next(steps) == step:
                raise Cut
            return real(*args, **kwargs)

        return maybe

    with monkeypatch.context() as patch:
        for name in ("rename", "unlink"):
            patch.setattr(f"pathlib.Path.{name}", cutting(getattr(type(filled), name)))
        patch.setattr("gateway.store.files.sync_folder", cutting(salvage.files.sync_folder))
        with contextlib.suppress(Cut):
            Database.open(filled.parent).close()
    database, _ = _start(filled.parent)
    database.close()
    assert not list(filled.parent.glob("*.new*"))
    assert list(filled.parent.glob(f"{NAME}.damaged-*"))


def test_a_log_without_its_database_is_not_replayed_into_a_new_one(tmp_path, make_batch):
    old = Database.open(tmp_path / "old")
    old.commit(make_batch(1))
    log = (tmp_path / "old" / f"{NAME}-wal").read_bytes()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / f"{NAME}-wal").write_bytes(log)
    database, loaded = _start(tmp_path / "new")
    assert loaded.created
    assert (tmp_path / "new" / f"{NAME}.damaged-1-wal").read_bytes() == log
    assert database._access.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_an_emptied_file_beside_a_log_keeps_the_log_for_a_person(tmp_path, make_batch):
    database = Database.open(tmp_path)
    database.commit(make_batch(1))
    log = (tmp_path / f"{NAME}-wal").read_bytes()
    new = tmp_path / "copy"
    new.mkdir()
    (new / NAME).write_bytes(b"")
    (new / f"{NAME}-wal").write_bytes(log)
    _, loaded = _start(new)
    assert loaded.notes
    assert (new / f"{NAME}.damaged-1-wal").exists()


def test_the_test_can_fail_plain_sqlite_believes_a_flipped_bit(filled):
    """What the checksum is for: SQLite reads a changed body without a word."""
    content = filled.read_bytes()
    at = content.rindex(b"j" * 200)
    filled.write_bytes(content[:at] + b"X" + content[at + 1 :])
    connection = sqlite3.connect(filled)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("SELECT COUNT(*) FROM journal WHERE substr(body, 1, 1) = x'58'").fetchone() == (1,)
    connection.close()
    database = Database.open(filled.parent)
    assert len(list(database.journal.rows())) == 199
    assert database.damage.rows == 1
