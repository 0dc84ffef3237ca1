"""Who reads the store beside a gateway that goes on: what he gets is of one moment, also where the log is begun anew meanwhile."""

from __future__ import annotations

import os
import shutil

import pytest
from msgspec import structs

from gateway.store import backup, commit_log
from gateway.store.database import Database
from gateway.store.recording import Recording
from gateway.store.rows import JournalRow

LONG = 9_000


@pytest.fixture
def gateway(tmp_path, make_batch):
    """A database with six long records in its log, and ``go_on``: it folds them and writes two over their places."""

    class Gateway:
        folder = tmp_path / "state"
        database = Database.open(folder)
        went_on = 0

        def commit(self, n):
            row = JournalRow(n, f"run.{n}", "press", os.urandom(LONG))
            self.database.commit(structs.replace(make_batch(n), journal=(row,)))

        def go_on(self):
            self.went_on += 1
            last = 6 + 4 * (self.went_on - 1)
            self.database.fold()
            for n in range(last + 1, last + 5):
                self.commit(n)

    gateway = Gateway()
    gateway.database.next_run()
    for n in range(1, 7):
        gateway.commit(n)
    yield gateway
    gateway.database.close()


def test_a_recording_of_a_log_begun_anew_while_it_is_read_has_no_hole(gateway, monkeypatch):
    real = os.pread

    def pread(handle, size, at):
        if 2 * LONG < at < 2 * LONG + 5_000 and gateway.went_on < 1:
            gateway.go_on()
        return real(handle, size, at)

    monkeypatch.setattr(os, "pread", pread)
    with Recording(gateway.folder) as recording:
        rows = [row.id for row in recording.rows()]
        assert (recording.first, recording.last) == (1, len(rows))
    assert gateway.went_on == 1
    assert len(rows) >= 6
    assert rows == [f"run.{n}" for n in range(1, len(rows) + 1)]


def test_a_backup_of_a_log_begun_anew_while_it_is_copied_is_whole(gateway, tmp_path, monkeypatch):
    real = shutil.copyfile

    def copyfile(source, target):
        if source.name != commit_log.NAME or gateway.went_on:
            return real(source, target)
        with source.open("rb") as old:
            half = old.read(2 * LONG)
            gateway.go_on()
            target.write_bytes(half + old.read())
        return target

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    backup.make(gateway.folder, tmp_path / "b", loudong="x", made_ms=0)
    (tmp_path / "new").mkdir()
    with backup.unpacked(tmp_path / "b", tmp_path / "new") as (_, stage):
        backup.move_in(stage, tmp_path / "new", force=False)
    assert gateway.went_on == 1
    restored = Database.open(tmp_path / "new")
    assert restored.load().notes == ()
    rows = [row.id for row in restored.journal.rows()]
    assert len(rows) >= 6
    assert rows == [f"run.{n}" for n in range(1, len(rows) + 1)]
    restored.close()


def test_what_is_really_missing_is_missing_in_the_copy_too(gateway, tmp_path):
    log = gateway.folder / commit_log.NAME
    content = bytearray(log.read_bytes())
    content[LONG + LONG // 2 + 512] ^= 1  # in the second record
    log.write_bytes(content)
    backup.make(gateway.folder, tmp_path / "b", loudong="x", made_ms=0)
    with Recording(gateway.folder) as recording:
        assert [row.id for row in recording.rows()] == [f"run.{n}" for n in (1, 3, 4, 5, 6)]
    (tmp_path / "new").mkdir()
    with backup.unpacked(tmp_path / "b", tmp_path / "new") as (_, stage):
        backup.move_in(stage, tmp_path / "new", force=False)
    restored = Database.open(tmp_path / "new")
    assert restored.load().notes == ("log_damaged: 1",)
    assert [row.id for row in restored.journal.rows()] == [f"run.{n}" for n in (1, 3, 4, 5, 6)]
    restored.close()


@pytest.mark.parametrize("body", [b"no number", b"\xff", b"99"])
def test_a_damaged_note_of_the_last_commit_ends_neither_a_backup_nor_a_recording(gateway, tmp_path, body):
    gateway.database.fold()
    gateway.commit(7)
    gateway.database._access.connection.execute("UPDATE meta SET body = ? WHERE key = 'serial'", (body,))
    backup.make(gateway.folder, tmp_path / "archive", loudong="test", made_ms=0)
    with Recording(gateway.folder) as recording:
        assert [row.id for row in recording.rows()] == [f"run.{n}" for n in range(1, 8)]
