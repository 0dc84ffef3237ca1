"""The commit log by itself: what is appended comes back, what is not whole does not, and nothing outlives a wipe."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import sqlite3

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.faults import StoreFault
from gateway.store import commit_log
from gateway.store.access import Access
from gateway.store.commit_log import CommitLog, Entry
from gateway.store.database import Database
from gateway.store.recording import Recording
from gateway.store.rows import AuditRow, Batch, JournalRow, StateRow


def _entry(serial, size=50):
    return Entry(serial, Batch((JournalRow(serial, f"r{serial}", "press", os.urandom(size)),)), (("n", "low", serial),))


def test_a_log_used_again_from_the_front_gives_back_only_what_is_newer(tmp_path):
    log = CommitLog(tmp_path / "log")
    old, new = [_entry(n) for n in range(1, 6)], [_entry(n, 20) for n in range(6, 8)]
    for entry in old:
        log.append(entry)
    assert commit_log.read(tmp_path / "log", 2).found.entries == tuple(old[2:])
    log.restart()
    for entry in new:
        log.append(entry)
    reborn = CommitLog(tmp_path / "log")
    assert reborn.find(5).entries == tuple(new)
    assert reborn.size == log.size
    reborn.append(_entry(8))
    assert [entry.serial for entry in commit_log.read(tmp_path / "log", 5).found.entries] == [6, 7, 8]


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(content):
    entry, end = commit_log.decode(content, 0)
    assert entry is None
    assert end > 0


def test_a_refused_sync_is_blanked_and_the_log_rests_until_the_tables_have_it(tmp_path, monkeypatch, make_batch):
    database = Database.open(tmp_path)
    database.commit(make_batch(1))
    real, refusals = os.fdatasync, [1]

    def sync(handle):
        if refusals.pop() if refusals else False:
            raise OSError(errno.EIO, "Input/output error")
        real(handle)

    monkeypatch.setattr(os, "fdatasync", sync)
    with pytest.raises(StoreFault, match="Input/output error"):
        database.commit(make_batch(2))
    assert [entry.serial for entry in commit_log.read(tmp_path / commit_log.NAME, 0).found.entries] == [1]
    database.commit(make_batch(2))
    assert database._access.connection.execute("SELECT COUNT(*) FROM history").fetchone() == (2,)
    database.commit(make_batch(3))
    assert database._access.connection.execute("SELECT COUNT(*) FROM history").fetchone() == (
        2,
    )  # the third is in the log again
    assert [row.id for row in database.journal.rows()] == ["run.1", "run.2", "run.3"]


def test_what_the_tables_could_not_hold_is_refused_before_anybody_is_told(tmp_path):
    database = Database.open(tmp_path)
    for bad in (JournalRow(2**63, "x", "k", b""), JournalRow(1, "x", "k", None)):  # type: ignore[arg-type]
        with pytest.raises((msgspec.ValidationError, OverflowError)):
            database.commit(Batch((bad,)))
    database.commit(Batch((JournalRow(2**63 - 1, "x", "k", b""),)))
    database.fold()
    assert [row.at for row in database.journal.rows()] == [2**63 - 1]


def test_nothing_outlives_a_wipe(tmp_path):
    database = Database.open(tmp_path)
    database.commit(Batch(state=(StateRow("k", "canary-7f3a", os.urandom(64)),)))
    database.commit(Batch(state=(StateRow("k", "canary-7f3a", None),)))
    database.disclosure.forget("nobody")
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith(commit_log.NAME))
    assert not left.removeprefix(commit_log._FIRST).replace(commit_log._LETTERS, b"")
    assert database.load().state == ()


def test_a_fold_that_was_refused_stops_the_next_commit_and_loses_nothing(tmp_path, monkeypatch, make_batch):
    monkeypatch.setattr("gateway.store.database.FOLD_LIMIT", 100)
    database = Database.open(tmp_path)

    def refuse(_self):
        raise StoreFault("no")

    real = Access.writing
    monkeypatch.setattr(Access, "writing", refuse)
    database.commit(make_batch(1))  # safe in the log; that it cannot be folded is told to the next
    with pytest.raises(StoreFault):
        database.commit(make_batch(2))
    monkeypatch.setattr(Access, "writing", real)
    database.commit(make_batch(2))
    assert [row.id for row in database.journal.rows()] == ["run.1", "run.2"]


def _refuse(monkeypatch, *names):
    """This disk refuses these calls until the test undoes it."""

    def refused(*_):
        raise OSError(errno.EIO, "Input/output error")

    for name in names:
        monkeypatch.setattr(os, name, refused)


def _after_a_power_cut(folder, other):
    """The store as the next start finds it: nobody closed anything."""
    shutil.copytree(folder, other)
    return Database.open(other)


def test_what_was_refused_and_could_not_be_blanked_never_covers_what_was_acknowledged_later(
    tmp_path, monkeypatch, make_batch
):
    database = Database.open(tmp_path / "state")
    long = structs.replace(make_batch(1), journal=(JournalRow(1_000, "run.1", "press", os.urandom(4_000)),))
    database.commit(long)
    refused = make_batch(2)
    with monkeypatch.context() as sick:
        _refuse(sick, "fdatasync")
        sick.setattr(CommitLog, "_blank", lambda _log: None)  # it is on the disk for all that
        with pytest.raises(StoreFault):
            database.commit(refused)
    database.fold()  # tidying, or somebody who looks for a person, comes before the next try
    later = make_batch(3)
    database.commit(structs.replace(refused, journal=(*refused.journal, *later.journal), history=(), messages=()))
    reborn = _after_a_power_cut(tmp_path / "state", tmp_path / "cut")
    assert [row.id for row in reborn.journal.rows()] == ["run.1", "run.2", "run.3"]
    reborn.close()
    database.close()


def test_a_refused_fold_that_landed_ends_the_mistrust(tmp_path, monkeypatch, make_batch):
    database = Database.open(tmp_path)
    database.commit(make_batch(1))
    real = Access.writing

    @contextlib.contextmanager
    def landing(self):
        with real(self) as connection:
            yield connection
        self._must_redial = True
        raise StoreFault("refused, and on the disk for all that")

    with monkeypatch.context() as sick:
        sick.setattr(Access, "writing", landing)
        with pytest.raises(StoreFault):
            database.fold()
    database.disclosure.note(AuditRow(1, "li", "looked", "a1"))  # opens the file anew, and finds the fold there
    for n in (2, 3):
        database.commit(make_batch(n))
    assert [one.serial for one in commit_log.read(tmp_path / commit_log.NAME, 1).found.entries] == [3]
    assert [row.id for row in database.journal.rows()] == ["run.1", "run.2", "run.3"]
    database.close()


def test_a_lost_number_of_the_last_fold_brings_nothing_old_back(tmp_path, make_batch):
    """What the log still holds of the past is no news, though the note that says so is damaged."""
    database = Database.open(tmp_path)
    for n in (1, 2):
        database.commit(make_batch(n))
    database.fold()
    closed = StateRow("alert", "a2", b"how it ended")
    last = structs.replace(make_batch(3), state=(closed,), messages=(), retold=make_batch(2).messages)
    database.commit(last)  # out of the ordinary: straight to the tables
    before = database.load().state, [row.id for row in database.journal.rows()]
    database.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "loudong.db")) as file:
        file.execute("UPDATE meta SET sum = sum + 1 WHERE key = 'serial'")
        file.commit()
    with Recording(tmp_path) as recording:
        assert [row.id for row in recording.rows()] == before[1]
    database = Database.open(tmp_path)
    assert (database.load().state, [row.id for row in database.journal.rows()]) == before
    database.commit(make_batch(4))
    with Recording(tmp_path) as recording:
        assert [row.id for row in recording.rows()] == [*before[1], "run.4"]
    database.close()


def test_a_block_that_cannot_be_read_any_more_costs_what_lay_in_it_and_not_the_store(tmp_path, monkeypatch, make_batch):
    """A worn card gives up a block: what stands in the tables, and in the rest of the log, is there all the same."""
    database = Database.open(tmp_path / "state")
    database.commit(make_batch(1))
    database.fold()
    for n in (2, 3, 4):
        rows = (JournalRow(n * 1_000, f"run.{n}", "press", os.urandom(9_000)),)
        database.commit(structs.replace(make_batch(n), journal=rows))
    real, sick = os.pread, 12_288  # of the third record

    def pread(handle, size, at):
        if at <= sick < at + size:
            raise OSError(errno.EIO, "Input/output error")
        return real(handle, size, at)

    shutil.copytree(tmp_path / "state", tmp_path / "cut")
    with monkeypatch.context() as worn:
        worn.setattr(os, "pread", pread)
        reborn = Database.open(tmp_path / "cut")
    loaded = reborn.load()
    assert [row.id for row in reborn.journal.rows()] == ["run.1", "run.2", "run.4"]
    assert any(note.startswith("log_damaged") for note in loaded.notes)
    reborn.close()
    database.close()


def test_a_log_that_somebody_else_wrote_over_is_said_to_be_damaged(tmp_path, make_batch):
    """Nothing of it can be read, so no serial number shows what is missing; but no cut leaves such a beginning."""
    database = Database.open(tmp_path / "state")
    for n in (1, 2, 3):
        database.commit(make_batch(n))
    shutil.copytree(tmp_path / "state", tmp_path / "foreign")
    database.close()
    log = tmp_path / "foreign" / commit_log.NAME
    log.write_bytes(b"\xa5" * log.stat().st_size)
    reborn = Database.open(tmp_path / "foreign")
    assert any(note.startswith("log_damaged") for note in reborn.load().notes)
    reborn.commit(make_batch(4))
    reborn.close()
    again = Database.open(tmp_path / "foreign")
    assert again.load().notes == ()
    again.close()


@pytest.mark.parametrize("whole", [b"", b"LD", bytes(2), bytes(9_000), b"LDC1" + bytes(40)])
def test_what_a_power_cut_may_leave_of_a_first_record_is_no_damage(tmp_path, whole):
    Database.open(tmp_path).close()
    (tmp_path / commit_log.NAME).write_bytes(whole)
    database = Database.open(tmp_path)
    assert database.load().notes == ()
    database.close()


def test_a_record_fills_no_more_blocks_than_it_must(tmp_path):
    """Was: laid end to end, half the records lay across two blocks, and the card took both."""
    log = CommitLog(tmp_path / "log")
    entries = [_entry(n, size) for n, size in enumerate((3_000, 900, 100, 5_000, 2_500, 9_000, 4_500) * 3, 1)]
    for entry in entries:
        before = log.room
        record = log.append(entry)
        first = (log._end - len(record)) // commit_log._BLOCK
        last = (log._end - 1) // commit_log._BLOCK
        assert last - first + 1 == -(-len(record) // commit_log._BLOCK)
        assert log._end <= log.room >= before
    assert log.size == sum(len(commit_log.encode(entry)) for entry in entries)
    assert commit_log.read(tmp_path / "log", 0, log.room).found == commit_log.Found(tuple(entries))
    log.restart()
    newer = [structs.replace(entry, serial=n) for n, entry in enumerate(reversed(entries), len(entries) + 1)]
    for entry in newer:  # over the old ones, some of which remain between them
        log.append(entry)
        assert commit_log.read(tmp_path / "log", len(entries), log.room).found.entries == tuple(
            newer[: newer.index(entry) + 1]
        )


def _fill_until_short(log, serials):
    while not log.is_short:
        log.append(_entry(next(serials), 4_000))


def test_a_full_disk_gets_back_what_a_log_could_not_use_of_it(tiny_disk):
    """Was: the log took the last free bytes and used none of them, and tried, and complained, again behind each commit."""
    log, serials = CommitLog(tiny_disk.path / commit_log.NAME), itertools.count(1)
    _fill_until_short(log, serials)
    while log.room < 64 << 10:
        log.lay_out()
        _fill_until_short(log, serials)
    tiny_disk.fill()
    tiny_disk.free(24 << 10)
    free = tiny_disk.room
    with pytest.raises(StoreFault):
        log.lay_out()
    assert (log._path.stat().st_size, tiny_disk.room) == (log.room, free)
    assert not log.is_short, "it is not tried again"
    while log.room - log._end > 8 << 10:  # what it has is used
        log.append(_entry(next(serials), 4_000))
    with pytest.raises(StoreFault):
        log.append(_entry(next(serials), 20_000))
    assert (log._path.stat().st_size, tiny_disk.room) == (log.room, free)
    found = CommitLog(log._path).find(0, log.room)
    assert (len(found.entries), found.damaged) == (next(serials) - 2, False)
    tiny_disk.free()
    log.restart()
    _fill_until_short(log, serials)
    log.lay_out()
    assert (log.is_short, log._path.stat().st_size) == (False, log.room)
    log.close()


def test_a_record_that_found_no_room_leaves_nothing_to_take_back(tiny_disk, monkeypatch):
    """Was: a piece of the log was blanked where no record had begun, with a sync that the alert waited for before it was told."""
    log = CommitLog(tiny_disk.path / "log")
    serials = itertools.count(1)
    _fill_until_short(log, serials)
    tiny_disk.fill()
    before, syncs, real = (tiny_disk.path / "log").read_bytes(), [], os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda handle: (syncs.append(handle), real(handle)))
    with pytest.raises(StoreFault):
        log.append(_entry(next(serials), 2 * log.room))
    assert log.sick
    assert not log.doubtful
    assert (tiny_disk.path / "log").read_bytes() == before
    assert not syncs
