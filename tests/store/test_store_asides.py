"""Damaged files that are set aside: the newest few are kept, and what a person replaced is left to him."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from gateway.store import files


def _spoil(folder, times, *, because=files.DAMAGED, length=10):
    for n in range(times):
        (folder / "loudong.db").write_bytes(b"%d" % n + bytes(length))
        (folder / "loudong.db-wal").write_bytes(b"w")
        files.set_aside(folder / "loudong.db", because)


def _names(folder):
    return {path.name for path in folder.iterdir()}


def test_the_newest_few_are_kept_with_their_logs_and_somebody_is_told(tmp_path):
    with capture_logs() as said:
        _spoil(tmp_path, 12)
    assert _names(tmp_path) == {f"loudong.db.damaged-{n}{wal}" for n in (10, 11, 12) for wal in ("", "-wal")}
    assert (tmp_path / "loudong.db.damaged-12").read_bytes().startswith(b"11")
    deleted = [event["name"] for event in said if event["event"] == "damaged_file_deleted"]
    assert deleted == [f"loudong.db.damaged-{n}" for n in range(1, 10)]
    assert {event["log_level"] for event in said} == {"error"}


def test_long_ones_are_kept_within_the_limit_but_the_newest_always(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "ASIDE_BYTES", 1_000)
    _spoil(tmp_path, 3, length=600)
    assert _names(tmp_path) == {"loudong.db.damaged-3", "loudong.db.damaged-3-wal"}
    _spoil(tmp_path, 1, length=6_000)
    assert _names(tmp_path) == {"loudong.db.damaged-4", "loudong.db.damaged-4-wal"}


def test_a_number_is_not_given_twice(tmp_path):
    """By it a start knows that something was lost before: see lineage.py."""
    _spoil(tmp_path, 5)
    assert files.last_aside(tmp_path / "loudong.db") == 5
    for path in tmp_path.glob("*-5"):
        path.unlink()  # its log is left
    _spoil(tmp_path, 1)
    assert files.last_aside(tmp_path / "loudong.db") == 6


@pytest.mark.parametrize("name", ["loudong.db.damaged-x", "loudong.db.damaged-", "loudong.dbs.damaged-1"])
def test_files_of_other_names_are_left_alone(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    _spoil(tmp_path, 5)
    assert name in _names(tmp_path)


def test_what_a_person_replaced_is_his_to_delete(tmp_path):
    _spoil(tmp_path, 6, because="replaced")
    assert len([name for name in _names(tmp_path) if not name.endswith("-wal")]) == 6
